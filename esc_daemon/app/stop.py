"""
How the process ends: asked once it tidies up, within a bound; asked twice it goes at once.

Nothing that was acknowledged is lost either way; what is open goes on after the next start.
"""

import asyncio
import os
import select
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Final

import structlog

log = structlog.get_logger()

STOP_SECONDS: Final = 45.0
"""From the signal to the end: requests 10, HTTP 5, VIM calls 5, drivers 5, the disk the rest."""
_LEAVE_SECONDS: Final = 2.0
"""For threads that nobody waits for any more, such as one that looks up a name."""
_LAST_WORD_SECONDS: Final = 0.5
"""For the line that says why: who reads the log may be what hangs."""
EXIT_CUT_SHORT: Final = 1
_ENDING: Final = frozenset({signal.SIGTERM, signal.SIGINT})


class Stop:
    """
    The wish to end; to be made inside the running loop of the main thread.

    Signals are read by a thread, which alone keeps the bound: what hangs may be the loop itself,
    or whoever writes the log.
    """

    def __init__(self, reopen_log: Callable[[], None], seconds: float = STOP_SECONDS) -> None:
        self._wanted = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._reopen_log = reopen_log
        self._seconds = seconds
        self.began = 0.0
        self._told, tell = os.pipe()
        os.set_blocking(tell, False)
        # the C code of a signal writes its number there, whatever Python is at; the loop has no
        # handlers of its own that could miss it
        signal.set_wakeup_fd(tell, warn_on_full_buffer=False)
        for number in (*_ENDING, signal.SIGHUP):
            signal.signal(number, lambda *_: None)
        threading.Thread(target=self._watch, name="signals", daemon=True).start()

    async def wait(self) -> None:
        """Return when somebody wants the daemon to end."""
        await self._wanted.wait()

    def _watch(self) -> None:
        """Pass signals to the loop; end the process when it is asked again or takes too long."""
        until: float | None = None
        while True:
            left = None if until is None else max(0.0, until - monotonic())
            if not select.select([self._told], [], [], left)[0]:
                _cut_short(f"it took longer than {self._seconds:g} s")
            number = os.read(self._told, 1)[0]
            if number == signal.SIGHUP:
                self._tell(self._hung_up)
            elif number in _ENDING:
                if until is not None:
                    _cut_short("a second signal")
                until = monotonic() + self._seconds
                self._tell(self._begin)

    def _tell(self, work: Callable[[], None]) -> None:
        with suppress(RuntimeError):  # the loop is closed: it is ending anyway
            self._loop.call_soon_threadsafe(work)

    def _hung_up(self) -> None:
        self._reopen_log()
        log.info("log.opened_anew", hint="settings are read at the start only: restart for them")

    def _begin(self) -> None:
        self.began = self._loop.time()
        self._wanted.set()

    def ended(self) -> None:
        """Everything is closed: from here on nothing may keep the process."""
        seconds = self._loop.time() - self.began
        log.info("daemon.stopped", seconds=round(seconds, 3))
        timer = threading.Timer(_LEAVE_SECONDS, os._exit, (0,))
        timer.daemon = True
        timer.start()


def _cut_short(why: str) -> None:
    """End the process at once, and say *why* if the log takes it."""

    def say() -> None:
        log.error("daemon.stop_cut_short", why=why)

    saying = threading.Thread(target=say, daemon=True)
    saying.start()
    saying.join(_LAST_WORD_SECONDS)
    os._exit(EXIT_CUT_SHORT)
