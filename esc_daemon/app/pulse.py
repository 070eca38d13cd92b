"""What is done again and again while the daemon runs: the loop is timed, the watchdog is told."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic
from typing import Final

import structlog

from esc_daemon.app.notify import Notify, watchdog_seconds
from esc_daemon.histogram import Histogram
from esc_daemon.logs import LogFigures

log = structlog.get_logger()

BEAT_SECONDS: Final = 1.0
_LAG_BOUNDS: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)


class Pulse:
    """
    The loop's lag, seconds: how late it comes to what is due.

    The watchdog is told from the loop, so that one that hangs is found out.
    """

    def __init__(self, figures: LogFigures) -> None:
        self.lag = Histogram(_LAG_BOUNDS)
        self._figures = figures

    @asynccontextmanager
    async def beating(self, notify: Notify) -> AsyncIterator[None]:
        """Beat while the context lasts, and tell the watchdog by *notify*."""
        task = asyncio.create_task(self._beat(notify), name="pulse")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _beat(self, notify: Notify) -> None:
        asked = watchdog_seconds()
        pause = BEAT_SECONDS if asked is None else min(BEAT_SECONDS, asked / 3)
        while True:
            due = monotonic() + pause
            await asyncio.sleep(pause)
            self.lag.observe(max(0.0, monotonic() - due))
            if asked is not None:
                notify("WATCHDOG=1")
            for event, lines in self._figures.floods_ended():
                log.warning("log.left_out", line=event, lines=lines)
