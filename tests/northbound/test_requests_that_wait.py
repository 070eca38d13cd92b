"""Requests that a client sends before the earlier ones are answered: in order, and so many."""

import asyncio

from tests.northbound.memory_management import ESC
from tests.northbound.netconf_server import Serving
from tests.northbound.raw_client import connected

AN_EDIT = (
    f'<edit-config><target><running/></target><config><slow xmlns="{ESC}"/></config></edit-config>'
)


async def test_pipelined_requests_are_answered_in_order(serving: Serving):
    async with serving(rpcs_in_flight=4) as server, connected(server.port) as client:
        # given an edit that takes its time and, behind it, more requests than may wait
        server.management.gate = asyncio.Event()
        sent = [client.ask(AN_EDIT)]
        sent += [client.ask("<get/>") for _ in range(50)]
        session = server.session()
        await server.until(lambda: session._paused)
        assert 0 < len(session._waiting) <= 4
        # when it goes on
        server.management.gate.set()
        # then the answers come in the order of the questions
        answers = [(await client.xml()).get("message-id") for _ in sent]
        assert answers == sent


async def test_behind_large_requests_no_more_are_taken_in(serving: Serving):
    async with serving() as server, connected(server.port) as client:
        # given an edit that takes its time and, behind it, requests of half a MiB each
        server.management.gate = asyncio.Event()
        large = f"<get><filter><a>{'x' * 500_000}</a></filter></get>"
        sent = [client.ask(AN_EDIT)]
        sent += [client.ask(large) for _ in range(20)]
        session = server.session()
        await server.until(lambda: session._paused)
        assert 0 < len(session._waiting) < 10
        # when it goes on
        server.management.gate.set()
        # then all are answered, in order
        answers = [(await client.xml()).get("message-id") for _ in sent]
        assert answers == sent


async def test_one_answer_makes_no_room_for_what_large_requests_have_filled(serving: Serving):
    async with serving() as server, connected(server.port) as client:
        # given edits that take their time, and behind them requests of half a MiB each
        gate = server.management.gate = asyncio.Event()
        large = f"<get><filter><a>{'x' * 500_000}</a></filter></get>"
        sent = [client.ask(AN_EDIT) for _ in range(5)]
        sent += [client.ask(large) for _ in range(20)]
        session = server.session()
        await server.until(lambda: session._paused)
        # when the edits are answered, one by one
        answers = []
        for _ in range(4):
            server.management.gate = asyncio.Event()
            gate.set()
            gate = server.management.gate
            answers.append(await client.xml())
        # then what waits is as large as before
        assert 0 < len(session._waiting) < 10
        gate.set()
        answers += [await client.xml() for _ in range(21)]
        assert [answer.get("message-id") for answer in answers] == sent
