"""Events as lines of the log."""

import asyncio
from collections.abc import AsyncIterator, MutableMapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
import structlog

from esc_daemon.app.told import EventFigures, ToldEvents
from esc_daemon.domain.events import Event, Stream
from esc_daemon.domain.record import ResourceRecord
from esc_daemon.domain.tell import resource_deleted
from esc_daemon.engine.broadcast import Broadcast
from esc_daemon.store.base import LoggedEvent, StoreBroken
from tests.domain.pure_world import World
from tests.domain.stories import ACME, a_network, a_tenant, net_key
from tests.engine.engine_bench import BEGAN
from tests.store.store_samples import an_event

pytestmark = pytest.mark.looptime(start=0)


def logged(*events: Event) -> list[LoggedEvent]:
    return [LoggedEvent(seq=seq, time=BEGAN, event=each) for seq, each in enumerate(events, 1)]


@asynccontextmanager
async def telling(
    broadcast: Broadcast, store: object = None, limit: int = 10
) -> AsyncIterator[list[MutableMapping[str, Any]]]:
    """Give the lines, all of them when the context has ended."""
    told = ToldEvents(broadcast, cast("Any", store), EventFigures(), limit)
    with structlog.testing.capture_logs() as lines:
        async with told.writing():
            yield lines
            await asyncio.sleep(1)


async def test_a_network_that_could_not_be_removed_is_told_with_its_vim() -> None:
    world = World()
    key = net_key("in")
    world.apply({ACME: a_tenant(), key: a_network("in", "a")})
    world.rest()
    record = world.records[key]
    assert isinstance(record, ResourceRecord)

    broadcast = Broadcast(0)

    async with telling(broadcast) as lines:
        broadcast.publish(logged(resource_deleted(record, "not asked for")))

    (line,) = lines
    assert line["type"] == "DELETE_NETWORK"
    assert line["vim"] == record.vim != ""


async def test_what_is_told_at_the_end_is_written_too() -> None:
    # given
    broadcast, event = Broadcast(0), an_event()
    told = ToldEvents(broadcast, cast("Any", None), EventFigures())
    # when: nobody has a turn between the last event and the end
    with structlog.testing.capture_logs() as lines:
        async with told.writing():
            await asyncio.sleep(1)
            broadcast.publish(logged(event, event))
    # then
    assert [line["event"] for line in lines] == ["event.told", "event.told"]


async def test_a_writer_that_breaks_says_so() -> None:
    broadcast = Broadcast(0)
    told = ToldEvents(broadcast, cast("Any", None), EventFigures())
    with structlog.testing.capture_logs() as lines:
        async with told.writing():
            broadcast.publish(cast("Any", [LoggedEvent(seq=1, time=BEGAN, event=cast("Any", 0))]))
            await asyncio.sleep(1)
    assert [line["event"] for line in lines] == ["events.unwritten"]


class Kept:
    """A store that holds *events*."""

    def __init__(self, events: Sequence[LoggedEvent]) -> None:
        self.events_there = events

    async def events(self, *, after: int, limit: int, stream: Stream) -> Sequence[LoggedEvent]:
        assert stream is Stream.ESC_EVENT
        return [each for each in self.events_there if each.seq > after][:limit]


class Broken:
    async def events(self, **_: object) -> Sequence[LoggedEvent]:
        raise StoreBroken("no disk")


def numbers(lines: Sequence[MutableMapping[str, Any]]) -> list[int]:
    return [line["seq"] for line in lines if line["event"] == "event.told"]


async def test_events_that_were_too_many_to_wait_are_told_from_the_store() -> None:
    events = logged(*(an_event() for _ in range(3001)))
    broadcast = Broadcast(0)
    async with telling(broadcast, Kept(events), limit=2990) as lines:
        broadcast.publish(events[:5])
        await asyncio.sleep(1)
        broadcast.publish(events[5:2998])  # one is stored and not yet handed out
        await asyncio.sleep(1)
        broadcast.publish(events[2998:])

    assert numbers(lines) == list(range(1, 3002))
    assert [line["event"] for line in lines if line["log_level"] == "error"] == ["events.overrun"]


async def test_events_that_cannot_be_read_either_are_named_and_those_after_them_told() -> None:
    events = logged(*(an_event() for _ in range(20)))
    broadcast = Broadcast(0)
    async with telling(broadcast, Broken(), limit=10) as lines:
        broadcast.publish(events[:11])
        await asyncio.sleep(1)
        broadcast.publish(events[11:])

    assert numbers(lines) == list(range(12, 21))
    missed = [line for line in lines if line["event"] == "events.missed"]
    assert [(line["after"], line["until"]) for line in missed] == [(0, 11)]
