"""
A wheel of slots with one timer.

What stands on it costs memory and nothing else until its turn.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from math import ceil
from typing import Final, Generic, TypeVar

TICK: Final = 1 / 16
"""Seconds a slot: a power of two, so that the sums of slots are exact."""


@dataclass(slots=True, eq=False)
class Spoke:
    """What stands on a wheel; *due* in loop time."""

    due: float
    slot: int = 0


S = TypeVar("S", bound=Spoke)


class Wheel(Generic[S]):
    """
    Calls *turn* with all that is due, by slot and then by arrival, and with the loop's time.

    To be made inside a running loop. What was due is off the wheel; *turn* may place it again.
    """

    def __init__(self, turn: Callable[[list[S], float], None]) -> None:
        self._turn = turn
        self._loop = asyncio.get_running_loop()
        self._slots: dict[int, dict[S, None]] = {}
        self._order: list[int] = []
        self._timer: asyncio.TimerHandle | None = None
        self._wound = 0.0
        """When it rings: uvloop's timer does not tell, where that is at once."""

    def place(self, spoke: S) -> None:
        """Put *spoke* where it is due; `wind` sets the timer once all are placed."""
        slot = spoke.slot = ceil(spoke.due / TICK)
        if slot not in self._slots:
            self._slots[slot] = {}
            heappush(self._order, slot)
        self._slots[slot][spoke] = None

    def take(self, spoke: S) -> None:
        """Take *spoke* off the wheel."""
        slot = self._slots[spoke.slot]
        del slot[spoke]
        if slot:
            return
        del self._slots[spoke.slot]
        # Slots that were emptied stay in the heap until they are most of it.
        if len(self._order) > 2 * len(self._slots) + 64:
            self._order = list(self._slots)
            heapify(self._order)

    def wind(self) -> None:
        """Set the one timer to the earliest slot."""
        if not self._order:
            return
        when = self._order[0] * TICK
        if self._timer is not None:
            if self._wound <= when:
                return
            self._timer.cancel()
        self._timer, self._wound = self._loop.call_at(when, self._ring), when

    def stop(self) -> None:
        """Let go of the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _ring(self) -> None:
        self._timer = None
        now = self._loop.time()
        due: list[S] = []
        # A timer may come early by the clock's resolution, never by half a tick.
        while self._order and self._order[0] * TICK <= now + TICK / 2:
            due.extend(self._slots.pop(heappop(self._order), ()))
        try:
            self._turn(due, now)
        finally:
            self.wind()
