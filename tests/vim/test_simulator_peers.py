"""What the client makes of a simulator that talks too much, has just gone, or is of another day."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest
from msgspec import to_builtins

from esc_daemon.domain.ids import ServerKey
from esc_daemon.domain.specs import Server, ServerStatus
from esc_daemon.vim.base import VimUnknown
from esc_daemon.vim.simulator.client import RemoteSimulator
from esc_daemon.vim.simulator.driver import PAGE
from tests.vim.test_simulator_program import Lab, raw
from tests.vim.vim_contract import a_vm

virtual = pytest.mark.looptime
KEY = ServerKey(a_vm(), 1)
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def a_client_of(talk: Talk) -> AsyncIterator[RemoteSimulator]:
    async def strange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            await talk(reader, writer)
            await reader.read()
        writer.close()

    listener = await asyncio.start_server(strange, "127.0.0.1", 0)
    client = RemoteSimulator("127.0.0.1", listener.sockets[0].getsockname()[1], timeout_seconds=5)
    try:
        yield client
    finally:
        await client.close()
        listener.close()
        await listener.wait_closed()


@virtual
@pytest.mark.parametrize("number", [1, 999_999])
async def test_who_answers_more_than_was_asked_is_cut_off(number: int):
    async def talkative(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(2):
            await reader.readline()
        for _ in range(1000):
            writer.write(b'{"id":%d,"result":null}\n' % number)
            await writer.drain()

    async with a_client_of(talkative) as client:
        calls = [client.find_server(KEY), client.find_server(KEY)]
        answers = await asyncio.gather(*calls, return_exceptions=True)
    lost = [str(answer) for answer in answers if isinstance(answer, VimUnknown)]
    why = "find_server: no answer: what answers there is no simulator"
    assert lost == [why] * (1 if number == 1 else 2)


async def test_many_answers_at_once_leave_the_others_their_turn():
    async def all_at_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        numbers = [json.loads(await reader.readline())["id"] for _ in range(400)]
        writer.write(b"".join(b'{"id":%d,"result":null}\n' % number for number in numbers))

    turn = 0
    answered: Counter[int] = Counter()

    async def ask(client: RemoteSimulator) -> None:
        await client.find_server(KEY)
        answered[turn] += 1

    async with a_client_of(all_at_once) as client:
        asking = asyncio.gather(*(ask(client) for _ in range(400)))
        while not asking.done():
            turn += 1
            await asyncio.sleep(0)
    assert answered.total() == 400
    assert max(answered.values()) <= 100


@virtual
@pytest.mark.parametrize(
    ("word", "why"), [(b"find_server", "the connection was lost"), (b"cancel", "time-out")]
)
async def test_a_connection_that_uvloop_has_closed_already_is_a_lost_one(
    monkeypatch: pytest.MonkeyPatch, word: bytes, why: str
):
    # given: uvloop raises this for a transport that asyncio would write to in vain
    write = asyncio.StreamWriter.write

    def closed(self: asyncio.StreamWriter, data: bytes) -> None:
        if word in data:
            raise RuntimeError("unable to perform operation; the handler is closed")
        write(self, data)

    monkeypatch.setattr(asyncio.StreamWriter, "write", closed)

    async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.readline()

    async with a_client_of(silent) as client:
        with pytest.raises(VimUnknown, match=why):
            await client.find_server(KEY)


@virtual
async def test_fields_of_another_version_are_ignored_on_both_sides():
    async def newer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b'{"id":1,"result":null,"seconds":2}\n')

    async with a_client_of(newer) as client:
        assert await client.find_server(KEY) is None
    async with Lab() as lab:
        (reply,) = await raw(lab.port, b'{"id":1,"verb":"check","colour":"red"}\n')
    assert reply["result"] == {"status": "CONNECTION_SUCCESSFUL", "detail": ""}


@virtual
@pytest.mark.parametrize(
    ("servers", "after", "why"),
    [
        (PAGE + 1, 1, f"a page of {PAGE + 1} servers, not of {PAGE}"),
        (PAGE, 0, "the pages of the list of servers do not advance"),
    ],
)
async def test_a_list_of_servers_that_leads_nowhere_is_not_read_on(
    servers: int, after: int, why: str
):
    async def liar(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            page = [to_builtins(a_server(number)) for number in range(servers)]
            reply = {"id": json.loads(line)["id"], "result": [page, after]}
            writer.write(json.dumps(reply).encode() + b"\n")

    async with a_client_of(liar) as client:
        with pytest.raises(VimUnknown, match=why):
            assert [server async for server in client.servers()] == []


def a_server(number: int) -> Server:
    key = ServerKey(a_vm(), number)
    status = ServerStatus.ACTIVE
    return Server(key=key, server_id="s", name="n", project="p", status=status)
