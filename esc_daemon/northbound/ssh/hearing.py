"""The events that one user may be told of (RFC 8341 section 3.4.6)."""

import re
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Final

from esc_daemon.northbound.ssh.services import Events, Feed, Guard, LoggedNotification

_ROOT: Final = re.compile(rb'<([\w.-]+)[^>]*?\sxmlns="([^"]*)"')
"""The start of an event as we write it: no prefix."""
_LONGEST_START: Final = 256


class Hearing:
    """Stands before the management of one listener, and drops what its user may not hear of."""

    def __init__(self, management: Events, guard: Guard, user: str) -> None:
        self._management = management
        self._guard = guard
        self._user = user
        self._dropped = 0
        """The last of the log that was read and dropped: a replay looks at its end twice."""

    async def events(
        self, *, after: int, limit: int, since: datetime | None
    ) -> Sequence[LoggedNotification]:
        """Return logged events as `Events.events` does; none only when none are left."""
        after = max(after, self._dropped)
        while page := await self._management.events(after=after, limit=limit, since=since):
            if kept := self.kept(page):
                return kept
            after = self._dropped = page[-1].seq
        return ()

    def subscribe(self) -> Feed:
        """Return a feed of the events to come."""
        return _Feed(self._management.subscribe(), self)

    def kept(self, batch: Sequence[LoggedNotification]) -> Sequence[LoggedNotification]:
        """Return those of *batch* that may be sent, as the rules are now."""
        if self._guard.hears_all(self._user):
            return batch
        return [each for each in batch if self._guard.may_hear(self._user, _named(each.payload))]


class _Feed:
    def __init__(self, inner: Feed, hearing: Hearing) -> None:
        self._inner = inner
        self._hearing = hearing

    async def __aiter__(self) -> AsyncIterator[Sequence[LoggedNotification]]:
        async for batch in self._inner:
            if kept := self._hearing.kept(batch):
                yield kept

    def close(self) -> None:
        self._inner.close()


def _named(payload: bytes) -> tuple[str, str]:
    """Return (namespace, name) of an event."""
    return _name_in(payload[:_LONGEST_START].partition(b">")[0] + b">")


@lru_cache(maxsize=256)
def _name_in(start: bytes) -> tuple[str, str]:
    found = _ROOT.match(start)
    assert found is not None, "an event begins with its element and namespace"
    return found[2].decode(), found[1].decode()
