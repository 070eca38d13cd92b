"""
How the process ends: asked once it tidies up, within a bound; asked twice it goes at once.

Nothing that was acknowledged is lost either way; what is open goes on after the next start.
"""

import asyncio
import os
import signal
import threading
from collections.abc import Callable
from typing import Final

import structlog

log = structlog.get_logger()

STOP_SECONDS: Final = 45.0
"""From the signal to the end: requests 10, HTTP 5, VIM calls 5, drivers 5, the disk the rest."""
_LEAVE_SECONDS: Final = 2.0
"""For threads that nobody waits for any more, such as one that looks up a name."""
EXIT_CUT_SHORT: Final = 1


class Stop:
    """The wish to end; to be made inside the running loop."""

    def __init__(self, reopen_log: Callable[[], None]) -> None:
        self._wanted = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._asked)
        loop.add_signal_handler(signal.SIGHUP, reopen_log)
        self.began = 0.0

    async def wait(self) -> None:
        """Return when somebody wants the daemon to end."""
        await self._wanted.wait()

    def _asked(self) -> None:
        if self._wanted.is_set():
            log.warning("daemon.stop_cut_short", why="a second signal")
            os._exit(EXIT_CUT_SHORT)
        self._wanted.set()
        self.began = asyncio.get_running_loop().time()
        # a thread, since what keeps the process may be the loop itself
        _later(STOP_SECONDS, _too_long)

    def ended(self) -> None:
        """Everything is closed: from here on nothing may keep the process."""
        seconds = asyncio.get_running_loop().time() - self.began
        log.info("daemon.stopped", seconds=round(seconds, 3))
        _later(_LEAVE_SECONDS, lambda: os._exit(0))


def _later(seconds: float, work: Callable[[], None]) -> None:
    timer = threading.Timer(seconds, work)
    timer.daemon = True
    timer.start()


def _too_long() -> None:
    log.error("daemon.stop_cut_short", why=f"it took longer than {STOP_SECONDS:g} s")
    os._exit(EXIT_CUT_SHORT)
