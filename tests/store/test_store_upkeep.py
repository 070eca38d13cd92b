"""The event log does not grow for ever."""

import asyncio
from datetime import datetime, timedelta

import pytest
from structlog.testing import capture_logs

from esc_daemon.domain.events import Event, EventType, Stream
from esc_daemon.domain.ids import Key, Kind
from esc_daemon.domain.step import Step
from esc_daemon.store import SqlStore, StoreFull
from esc_daemon.store.upkeep import PAUSE_SECONDS, short_event_log, warn_of_the_clock
from tests.store.store_samples import NOW, TENANT

pytestmark = pytest.mark.looptime(start=0)


class FullOnce(SqlStore):
    """A store whose disk has no room at the first trim."""

    full = True

    async def trim(self, *, keep_events: int, before: datetime | None = None) -> int:
        if self.full:
            self.full = False
            raise StoreFull("no room on the disk")
        return await super().trim(keep_events=keep_events, before=before)


async def tell(store, count: int) -> None:
    event = Event(type=EventType.CREATE_TENANT, message="", tenant=TENANT)
    step = Step(
        key=Key(Kind.TENANT, None, TENANT), before=None, record=None, events=(event,) * count
    )
    await store.commit([step], time=NOW)


async def numbers(store) -> list[int]:
    found = await store.events(after=0, limit=1000, stream=Stream.ESC_EVENT)
    return [logged.seq for logged in found]


async def test_the_log_is_cut_at_the_start_and_again_and_again(memory):
    await tell(memory, 20)

    async with short_event_log(memory, keep_events=5):
        await asyncio.sleep(1)
        assert await numbers(memory) == list(range(16, 21))
        await tell(memory, 10)
        await asyncio.sleep(PAUSE_SECONDS)
        assert await numbers(memory) == list(range(26, 31))

    await tell(memory, 10)
    await asyncio.sleep(2 * PAUSE_SECONDS)
    assert len(await numbers(memory)) == 15


async def test_a_log_that_cannot_be_cut_now_is_cut_later():
    store = FullOnce.from_image()
    await tell(store, 20)

    with capture_logs() as logs:
        async with short_event_log(store, keep_events=5):
            await asyncio.sleep(2 * PAUSE_SECONDS)

    assert [line["event"] for line in logs] == ["event_log.not_trimmed", "event_log.trimmed"]
    assert len(await numbers(store)) == 5
    await store.close()


async def test_a_clock_that_was_set_back_since_the_last_event_is_told(memory):
    with capture_logs() as before_any:
        await warn_of_the_clock(memory, NOW)
    await tell(memory, 2)

    with capture_logs() as small_step:
        await warn_of_the_clock(memory, NOW - timedelta(seconds=59))
    with capture_logs() as set_back:
        await warn_of_the_clock(memory, NOW - timedelta(days=1))

    assert before_any == small_step == []
    assert [(line["event"], line["seconds"]) for line in set_back] == [("clock.set_back", 86_400)]
