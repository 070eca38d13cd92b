"""Readings of files that may never end, in threads that nothing waits for."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from threading import Thread
from typing import Any, Final, TypeVar

import structlog

from esc_daemon.dayzero.base import DayZeroUnknown

log = structlog.get_logger()

ReadT = TypeVar("ReadT")

READERS: Final = 4
"""Files that are read at a time: a file system that hangs must not hold up the rest."""


class ReaderThreads:
    """
    A thread for each reading, no more than *limit* at a time.

    They are daemons, unlike those of an executor, which the interpreter joins at its end: a file
    system that hangs must not keep the process.
    """

    def __init__(self, limit: int = READERS, *, setting: str = "day0.directories") -> None:
        self._limit = limit
        self._setting = setting
        self._turns = asyncio.Semaphore(limit)
        self._under_way: set[asyncio.Future[Any]] = set()

    async def run(self, read: Callable[[], ReadT]) -> ReadT:
        """
        Return what *read* returns, and raise what it raises.

        Whoever stops waiting leaves the thread behind, and it keeps its turn until it ends.

        Raises:
            DayZeroUnknown: Nobody waits any more for any of the readings that are under way.

        """
        if self._all_hang:
            raise DayZeroUnknown(
                f"all readers hang, each of the {self._limit} in a file that is long given up;"
                f" see to the file systems of the setting {self._setting}"
            )
        await self._turns.acquire()
        done: asyncio.Future[ReadT] = asyncio.get_running_loop().create_future()
        try:
            Thread(target=self._read, args=(read, done), name="day-0", daemon=True).start()
        except RuntimeError:
            self._turns.release()
            raise DayZeroUnknown("this machine gives no thread to read files in") from None
        self._under_way.add(done)
        try:
            return await done
        except asyncio.CancelledError:
            if self._all_hang:
                log.error("day_zero.all_readers_hang", readers=self._limit)  # noqa: TRY400
            raise

    @property
    def _all_hang(self) -> bool:
        given_up = sum(done.cancelled() for done in self._under_way)
        return given_up == self._limit

    def _read(self, read: Callable[[], ReadT], done: asyncio.Future[ReadT]) -> None:
        try:
            answer = partial(done.set_result, read())
        except Exception as error:  # noqa: BLE001  it is raised where it is waited for
            answer = partial(done.set_exception, error)
        with suppress(RuntimeError):  # the loop has ended, and with it who waited
            done.get_loop().call_soon_threadsafe(self._ended, done, answer)

    def _ended(self, done: asyncio.Future[Any], answer: Callable[[], None]) -> None:
        self._under_way.remove(done)
        self._turns.release()
        if not done.cancelled():
            answer()
