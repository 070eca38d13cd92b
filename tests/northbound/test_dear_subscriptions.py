"""Filters of subscriptions: what they may cost, and that nobody else waits for them."""

import asyncio
from collections import Counter
from contextlib import AsyncExitStack, suppress
from datetime import timedelta

import pytest

from esc_daemon.netconf.subscription import Subscription
from esc_daemon.northbound.ssh.turns import Turns
from tests.northbound.memory_management import START
from tests.northbound.netconf_server import Server
from tests.northbound.raw_client import EVENTS, connected

STOPS_THE_LOOP = "//*[count(//*[count(//*[count(//*)>0])>0])>0][0]"
DEAR = "//*[count(//*)>0]/none"
TOLD = 400


def subscribe(select: str, *, replay: bool = False) -> str:
    start = f"<startTime>{START.isoformat()}</startTime>" if replay else ""
    chosen = select.replace(">", "&gt;")
    return (
        f'<create-subscription xmlns="{EVENTS}"><stream>escEvent</stream>'
        f'<filter type="xpath" select="{chosen}"/>{start}</create-subscription>'
    )


@pytest.fixture
def turns(monkeypatch: pytest.MonkeyPatch) -> Counter[int]:
    """How many events were looked at in each turn of the loop."""
    found: Counter[int] = Counter()
    look = Subscription.event

    def counted(self: Subscription, *event):
        found[turn.number] += 1
        return look(self, *event)

    monkeypatch.setattr(Subscription, "event", counted)
    return found


class turn:  # noqa: N801  a counter, no kind of things
    number = 0


async def count_turns() -> None:
    while True:
        turn.number += 1
        await asyncio.sleep(0)


@pytest.mark.parametrize("replay", [False, True])
@pytest.mark.parametrize(
    "select", [STOPS_THE_LOOP, "//*/following::*", "//*" + "[count(//*)>0]" * 20]
)
async def test_a_filter_that_costs_more_than_an_event_is_worth_is_refused(
    server: Server, *, select: str, replay: bool
):
    async with connected(server.port) as client:
        assert (await client.error(subscribe(select, replay=replay)))[0] == "too-big"
        assert server.services.sessions.subscriptions == 0


@pytest.mark.parametrize(
    "select",
    [
        "/escEvent[status='FAILURE']/event/type",
        "//vm_source[../event/type='VM_ALIVE' and ../status='SUCCESS']",
        "escEvent/event[type='VM_ALIVE' or type='SERVICE_ALIVE' or type='VM_DEPLOYED']",
    ],
)
async def test_what_people_choose_events_by_is_agreed_to(server: Server, select: str):
    async with connected(server.port) as client:
        await client.ok(subscribe(select))


@pytest.mark.parametrize(("select", "at_most"), [(DEAR, 3), ("//none", 100)])
@pytest.mark.parametrize("replay", [False, True])
async def test_others_get_their_turn_though_a_filter_chooses_nothing(
    server: Server, turns: Counter[int], *, select: str, at_most: int, replay: bool
):
    # given events, some before and some after the subscription
    if replay:
        tell(server)
    counting = asyncio.create_task(count_turns())
    async with connected(server.port) as client:
        await client.ok(subscribe(select, replay=replay))
        if not replay:
            tell(server)
        # when they are all looked at
        await server.until(lambda: turns.total() >= TOLD)
    counting.cancel()
    with suppress(asyncio.CancelledError):
        await counting
    # then never more of them in one turn than what the filter costs allows
    assert max(turns.values()) <= at_most


async def test_many_dear_filters_share_the_turns_of_the_loop(server: Server, turns: Counter[int]):
    # given eight subscriptions, each of which may look at two events in a turn
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connected(server.port)) for _ in range(8)]
        for client in clients:
            await client.ok(subscribe(f"{DEAR} | //status"))
        counting = asyncio.create_task(count_turns())
        # when all hear of the same events
        tell(server, 20)
        told = [[await client.event() for _ in range(20)] for client in clients]
        counting.cancel()
    with suppress(asyncio.CancelledError):
        await counting
    # then they look at no more in a turn than one of them would, and miss nothing
    assert max(turns.values()) <= 3
    assert told == [[*map(str, range(20))]] * 8


async def test_a_stop_time_in_the_middle_of_many_events_loses_none_of_them(
    server: Server, monkeypatch: pytest.MonkeyPatch
):
    # given a subscription whose stop time comes while it lets the others have their turn
    async def long_turn(_self: Turns, _work: int) -> None:
        monkeypatch.undo()
        await asyncio.Event().wait()

    monkeypatch.setattr(Turns, "come", long_turn)
    earlier, stop = START - timedelta(hours=1), START + timedelta(seconds=0.1)
    times = f"<startTime>{earlier.isoformat()}</startTime><stopTime>{stop.isoformat()}</stopTime>"
    async with connected(server.port) as client:
        await client.ok(subscribe("//status[count(//*)>0]").replace("</create", f"{times}</create"))
        assert await client.event() == "replayComplete"
        # when events of before that time come all at once
        server.management.clock -= timedelta(minutes=30)
        tell(server)
        server.management.clock = START
        # then all of them are told before the end is
        told = [await client.event() for _ in range(TOLD + 1)]
    assert told == [*map(str, range(TOLD)), "notificationComplete"]


def tell(server: Server, number: int = TOLD) -> None:
    for text in range(number):
        server.management.tell(str(text))
