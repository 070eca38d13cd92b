"""Turns of the event loop, for many who each have work to do that nobody else should wait for."""

import asyncio
from heapq import heappop, heappush
from itertools import count

_Waiter = tuple[int, int, int, asyncio.Future[None]]
"""When it is due, by the clock of work; its number; its work; what is done when it may."""


class Turns:
    """
    Shares the loop among those who work: together they do so much *work* in a turn of it.

    In what it is counted is theirs; it should take a few milliseconds. What is more than all work
    of a turn has one to itself.

    Who has the least to do comes first, so that a dear filter holds up no cheap one; among equals
    who has waited for longest. None starves: whoever comes is due so much later than the one served
    last as is to do, so that each of the others overtakes nobody by more work than that.
    """

    def __init__(self, work: int) -> None:
        self._whole = work
        self._left = work
        self._clock = 0
        """When the one was due who was served last, counted in work."""
        self._numbers = count()
        self._waiting: list[_Waiter] = []
        self._another: asyncio.Handle | None = None

    async def come(self, work: int) -> None:
        """Return when *work* may be done: at once if there is room for it in this turn."""
        if (turn := self.ask(work)) is not None:
            await turn

    def ask(self, work: int) -> asyncio.Future[None] | None:
        """Return what is done when *work* may be done; None: it may be done at once."""
        loop = asyncio.get_running_loop()
        if not self._waiting and self._has_room(work):
            self._left -= work
            self._call(loop)
            return None
        mine = loop.create_future()
        heappush(self._waiting, (self._clock + work, next(self._numbers), work, mine))
        self._call(loop)
        return mine

    def _has_room(self, work: int) -> bool:
        return work <= self._left or self._left == self._whole

    def _call(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._another is None:
            self._another = loop.call_soon(self._next_turn, loop)

    def _next_turn(self, loop: asyncio.AbstractEventLoop) -> None:
        self._another = None
        self._left = self._whole
        while self._waiting and self._has_room(self._waiting[0][2]):
            due, _, work, who = heappop(self._waiting)
            if not who.done():  # it may have been cut off
                self._clock = due
                self._left -= work
                who.set_result(None)
        if self._left < self._whole:  # after those who were just called
            self._call(loop)
