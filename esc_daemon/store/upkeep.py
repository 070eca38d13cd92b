"""The event log kept short while the daemon runs, and what its times tell of the clock."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog

from esc_daemon.domain.events import Stream
from esc_daemon.store.base import Store, StoreError

log = structlog.get_logger()

PAUSE_SECONDS: Final = 600.0
"""Between two looks: the log may be longer by what is told meanwhile."""
_SET_BACK: Final = timedelta(minutes=1)
"""Less than this between two runs is a clock that was put right."""


async def warn_of_the_clock(store: Store, now: datetime) -> None:
    """Say that the clock was set back since the last run: what waits for a moment waits longer."""
    last = await store.last_event()
    newest = await store.events(after=last - 1, limit=1, stream=Stream.ESC_EVENT)
    if newest and newest[0].time > now + _SET_BACK:
        log.warning(
            "clock.set_back",
            seconds=round((newest[0].time - now).total_seconds()),
            newest_event=newest[0].time.isoformat(timespec="seconds"),
            hint="tries and time-outs of before wait until then: put the clock right and restart, "
            "or delete what waits and deploy it anew",
        )


@asynccontextmanager
async def short_event_log(
    store: Store, *, keep_events: int, keep_days: float | None = None
) -> AsyncIterator[None]:
    """
    Forget all but about the newest *keep_events* events while the context lasts.

    And those that are older than *keep_days*, None: none for their age.
    """
    task = asyncio.create_task(_trim(store, keep_events, keep_days), name="short event log")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _trim(store: Store, keep_events: int, keep_days: float | None) -> None:
    while True:
        before = None if keep_days is None else datetime.now(UTC) - timedelta(days=keep_days)
        try:
            gone = await store.trim(keep_events=keep_events, before=before)
        except StoreError as error:
            log.error("event_log.not_trimmed", error=str(error))  # noqa: TRY400  it says all
        else:
            if gone:
                log.info("event_log.trimmed", events=gone)
        await asyncio.sleep(PAUSE_SECONDS)
