"""The moments that plans name. Durable, since they are derived from durable records."""

import asyncio
import heapq
from collections.abc import Callable
from datetime import datetime
from itertools import count
from typing import Final

from esc_daemon.domain.ids import Key

_LEAST_WAIT: Final = 0.001
"""A timer that fires a rounding error too early would otherwise spin."""
_FEW: Final = 64


class Timers:
    """At most one moment a record; one timer in the loop for the earliest of all."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        now: Callable[[], datetime],
        wake: Callable[[Key], None],
    ) -> None:
        self._loop = loop
        self._now = now
        self._wake = wake
        self._moments: dict[Key, datetime] = {}
        self._heap: list[tuple[datetime, int, Key]] = []
        self._order = count()
        self._handle: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        """Return the number of moments that are waited for."""
        return len(self._moments)

    def wake(self, key: Key, at: datetime | None) -> None:
        """Call the record of *key* at that moment; None: not at all."""
        if self._moments.get(key) == at:
            return
        if at is None:
            self._moments.pop(key, None)
            return
        self._moments[key] = at
        # the number settles a tie: keys cannot be compared, one may have no tenant
        entry = (at, next(self._order), key)
        heapq.heappush(self._heap, entry)
        if self._heap[0] is entry:
            self._arm()
        if len(self._heap) > 2 * len(self._moments) + _FEW:
            self._clear_out()

    def close(self) -> None:
        """Call nobody any more."""
        self._moments.clear()
        self._heap.clear()
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _clear_out(self) -> None:
        """Drop what was moved or taken back, once it is most of what is there."""
        self._heap = [
            (at, number, key) for at, number, key in self._heap if self._moments.get(key) == at
        ]
        heapq.heapify(self._heap)

    def _arm(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
        wait = (self._heap[0][0] - self._now()).total_seconds()
        self._handle = self._loop.call_later(max(wait, _LEAST_WAIT), self._fire)

    def _fire(self) -> None:
        self._handle = None
        now = self._now()
        while self._heap:
            at, _, key = self._heap[0]
            if self._moments.get(key) != at:  # it was moved since
                heapq.heappop(self._heap)
                continue
            if at > now:
                self._arm()
                return
            heapq.heappop(self._heap)
            del self._moments[key]
            self._wake(key)
