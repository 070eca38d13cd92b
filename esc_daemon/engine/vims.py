"""The VIM connections that there are, and how much may be asked of each at a time."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

from esc_daemon.domain.ids import VimId
from esc_daemon.vim.base import VimDriver, VimRefused

CALLS_AT_A_TIME: Final = 256
"""Calls in flight to one VIM; the rest wait their turn in order."""


class Vims:
    """Drivers by connector id; the empty id is the default connector."""

    def __init__(
        self,
        drivers: Mapping[VimId, VimDriver],
        *,
        default: VimId,
        call_timeout: float,
        calls_at_a_time: int = CALLS_AT_A_TIME,
    ) -> None:
        self._drivers = dict(drivers)
        self._default = default
        self._turns = {vim: asyncio.Semaphore(calls_at_a_time) for vim in drivers}
        self.call_timeout = call_timeout

    def driver(self, vim: VimId) -> VimDriver:
        """
        Return the driver of the connector *vim*.

        Raises:
            VimRefused: There is no such connector.

        """
        try:
            return self._drivers[vim or self._default]
        except KeyError:
            known = ", ".join(sorted(self._drivers))
            raise VimRefused(f"there is no VIM connector {vim} (there are: {known})") from None

    @asynccontextmanager
    async def asking(self, vim: VimId) -> AsyncIterator[None]:
        """
        Hold one of the turns at *vim* for a single verb, and bound the wait for its answer.

        Raises:
            TimeoutError: The answer did not come within the time-out of a call.

        """
        async with self._turns[vim or self._default], asyncio.timeout(self.call_timeout):
            yield

    async def close(self) -> None:
        """Let go of every connection."""
        for driver in self._drivers.values():
            await driver.close()
