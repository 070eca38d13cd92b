"""Events as lines of the log."""

import asyncio

import pytest
import structlog

from esc_daemon.app.told import EventFigures, log_events
from esc_daemon.domain.events import Event
from esc_daemon.domain.tell import resource_deleted
from esc_daemon.engine.broadcast import Broadcast
from esc_daemon.store.base import LoggedEvent
from tests.domain.pure_world import World
from tests.domain.stories import ACME, a_network, a_tenant, net_key
from tests.engine.engine_bench import BEGAN

pytestmark = pytest.mark.looptime(start=0)


def logged(*events: Event) -> list[LoggedEvent]:
    return [LoggedEvent(seq=seq, time=BEGAN, event=each) for seq, each in enumerate(events, 1)]


async def told(*events: Event) -> list[dict[str, object]]:
    """Return the lines of *events*."""
    broadcast = Broadcast(0)
    with structlog.testing.capture_logs() as lines:
        telling = asyncio.create_task(log_events(broadcast.listen(), EventFigures()))
        broadcast.publish(logged(*events))
        await asyncio.sleep(1)
        telling.cancel()
        await asyncio.gather(telling, return_exceptions=True)
    return lines


async def test_a_network_that_could_not_be_removed_is_told_with_its_vim() -> None:
    world = World()
    key = net_key("in")
    world.apply({ACME: a_tenant(), key: a_network("in", "a")})
    world.rest()

    (line,) = await told(resource_deleted(world.records[key], "not asked for"))

    assert line["type"] == "DELETE_NETWORK"
    assert line["vim"] == world.records[key].vim != ""
