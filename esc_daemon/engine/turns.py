"""A turn that many may share, or one have alone."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


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
