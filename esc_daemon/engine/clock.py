"""Wall time that moves with the loop's own clock."""

import asyncio
from datetime import UTC, datetime, timedelta


class Clock:
    """
    Wall time at the start plus the loop's progress (DESIGN section 7).

    So a step of the machine's clock moves no deadline, and virtual time in a test moves all.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, started: datetime | None = None) -> None:
        self._loop = loop
        self._started = started or datetime.now(UTC)
        self._zero = loop.time()

    def now(self) -> datetime:
        """Return the present moment, aware, in UTC."""
        return self._started + timedelta(seconds=self._loop.time() - self._zero)
