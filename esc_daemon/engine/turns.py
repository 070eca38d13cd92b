"""Turns: one that many may share or one have alone, and those at the mailboxes."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from esc_daemon.domain.ids import Key
from esc_daemon.engine.mailbox import Mailbox


class SharedTurn:
    """
    Held by many together or by one alone, in the order in which they asked.

    One who wants it alone waits for those who have it, and whoever comes later waits behind.
    """

    def __init__(self) -> None:
        self._gate = asyncio.Lock()
        self._sharing = 0
        self._unshared = asyncio.Event()
        self._unshared.set()

    @asynccontextmanager
    async def shared(self) -> AsyncIterator[None]:
        """Hold it with others; this waits only for one who has it, or wants it, alone."""
        async with self._gate:
            self._sharing += 1
            self._unshared.clear()
        try:
            yield
        finally:
            self._sharing -= 1
            if not self._sharing:
                self._unshared.set()

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Hold it with nobody else."""
        async with self._gate:  # shut until the end
            await self._unshared.wait()
            yield


class MailboxTurn:
    """
    Hold a mailbox: nobody else moves its record meanwhile.

    A class, since a generator costs three times as much.
    """

    __slots__ = ("_box", "_unused")

    def __init__(self, box: Mailbox, unused: Callable[[Mailbox], None]) -> None:
        self._box = box
        self._unused = unused

    async def __aenter__(self) -> None:
        self._box.users += 1
        try:
            await self._box.turn.acquire()
        except BaseException:
            self._left()
            raise

    async def __aexit__(self, *_: object) -> None:
        self._box.turn.release()
        self._left()

    def _left(self) -> None:
        self._box.users -= 1
        self._unused(self._box)


def in_order(key: Key) -> tuple[str, str, str]:
    """Mailboxes are always taken in this order, so that two edits cannot wait for each other."""
    return key.kind.value, key.tenant or "", key.name
