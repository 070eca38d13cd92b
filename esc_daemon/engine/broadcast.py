"""The event log's live end: what was committed reaches every listener, in order, once."""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Final

from esc_daemon.store.base import LoggedEvent

LISTENER_LIMIT: Final = 20_000
"""Events that may wait for one listener; beyond it is dropped and told: it can replay."""


class ListenerDropped(Exception):
    """The listener was too slow; what it missed is in the event log."""


class Listener:
    """One reader of the broadcast. Bounded: when full it is dropped (law 9)."""

    def __init__(self, broadcast: "Broadcast", limit: int) -> None:
        self._broadcast = broadcast
        self._limit = limit
        self._waiting: deque[LoggedEvent] = deque()
        self._arrived = asyncio.Event()
        self._dropped = False

    @property
    def waiting(self) -> int:
        """Return how many events it has not taken."""
        return len(self._waiting)

    def offer(self, events: Sequence[LoggedEvent]) -> None:
        """Take *events*, or be dropped."""
        if self._dropped:
            return
        if len(self._waiting) + len(events) > self._limit:
            self._dropped = True
            self._broadcast.dropped += 1
            self._waiting.clear()
        else:
            self._waiting.extend(events)
        self._arrived.set()

    async def batch(self) -> list[LoggedEvent]:
        """
        Return everything that waits, at least one event.

        Raises:
            ListenerDropped: It was too slow.

        """
        while not self._waiting and not self._dropped:
            self._arrived.clear()
            await self._arrived.wait()
        if self._dropped:
            raise ListenerDropped
        events = list(self._waiting)
        self._waiting.clear()
        return events

    def close(self) -> None:
        """Listen no more; twice is no error."""
        self._broadcast.forget(self)


class Broadcast:
    """
    Puts commits back into the order of their numbers and hands them to the listeners.

    Commits of different records return in any order; the numbers are gapless, so an event
    waits here until all before it have come.
    """

    def __init__(self, last: int) -> None:
        self._last = last
        self._early: dict[int, LoggedEvent] = {}
        self._listeners: dict[Listener, None] = {}
        self.dropped = 0
        """Listeners that were too slow."""

    def __len__(self) -> int:
        """Return the number of listeners."""
        return len(self._listeners)

    @property
    def lag(self) -> int:
        """Return the most events that wait for one listener."""
        return max((listener.waiting for listener in self._listeners), default=0)

    @property
    def last(self) -> int:
        """Return the number of the last event that was handed out."""
        return self._last

    def publish(self, events: Sequence[LoggedEvent]) -> None:
        """Hand out *events*, which are committed and readable, once their turn has come."""
        for event in events:
            self._early[event.seq] = event
        ready: list[LoggedEvent] = []
        while (event_now := self._early.pop(self._last + 1, None)) is not None:
            ready.append(event_now)
            self._last += 1
        if ready:
            for listener in self._listeners:
                listener.offer(ready)

    def listen(self, limit: int = LISTENER_LIMIT) -> Listener:
        """Return a listener of everything after `last`."""
        listener = Listener(self, limit)
        self._listeners[listener] = None
        return listener

    def forget(self, listener: Listener) -> None:
        """Hand nothing to *listener* any more."""
        self._listeners.pop(listener, None)
