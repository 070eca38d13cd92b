"""
What the store offers, whatever stands below it.

StoreError
 + StaleEpoch     a record is not what the step began with: somebody else wrote it
 + StoreBroken    the database did not take it or give it (I/O error, damage)
    + StoreFull   no room left on the disk
 + StoreInUse     another daemon has this database open
 + StoreTooNew    a newer version of the daemon wrote this database
 + StoreSealed    it is sealed by another key than ours
 + StoreClosed    asked after `Store.close`
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, Protocol

from esc_daemon.domain.events import Event, Stream
from esc_daemon.domain.ids import Key
from esc_daemon.domain.record import Record
from esc_daemon.domain.step import Step


class StoreError(Exception):
    """Base of this room's errors."""


class StaleEpoch(StoreError):
    """
    A step began with a record that is no longer the stored one; nothing of its commit was written.

    Whoever gets it has lost the record to another writer, or a write of its own: load it again.
    """

    def __init__(self, key: Key, expected: str, found: str) -> None:
        self.key = key
        place = "/".join(part for part in (key.kind.value, key.tenant, key.name) if part)
        super().__init__(f"{place}: expected {expected}, found {found}; load the record again")


class StoreBroken(StoreError):
    """The database failed; nothing was acknowledged, and the same call may work later."""


class StoreFull(StoreBroken):
    """The disk is full; nothing was written, and the same call works once there is room."""


class StoreInUse(StoreError):
    """Another process has the database open."""


class StoreTooNew(StoreError):
    """The database was written by a newer version; this one must not touch it."""


class StoreSealed(StoreError):
    """What the database holds is sealed, and not by the key that was given."""


class StoreClosed(StoreError):
    """The store was closed before this call."""


class EntryPath(NamedTuple):
    """The address of one entry of the running configuration; *tenant* is "" where none is."""

    kind: str
    tenant: str
    name: str


@dataclass(kw_only=True, slots=True, frozen=True)
class Entry:
    """
    One entry of the running configuration.

    *revision* is 1 when it is created and one more with every write. *order* is its place in the
    document: entries come in ascending order.
    """

    path: EntryPath
    xml: str = field(repr=False)
    revision: int
    order: int


@dataclass(kw_only=True, slots=True, frozen=True)
class EntryChange:
    """
    A new text for an entry; *xml* None: it is gone, and that it never was is no error.

    *order* 0 leaves an entry where it stands and puts a new one last; orders begin at 1.
    """

    path: EntryPath
    xml: str | None = field(repr=False)
    order: int = 0


@dataclass(kw_only=True, slots=True, frozen=True)
class Undo:
    """What an entry was before a confirmed commit changed it; *xml* None: it was not there."""

    path: EntryPath
    xml: str | None = field(repr=False)


@dataclass(kw_only=True, slots=True, frozen=True)
class LoggedEvent:
    """An event with its number in the one log (gapless) and the moment of its commit (UTC)."""

    seq: int
    time: datetime
    event: Event


class Store(Protocol):
    """Records, configuration entries and the event log, in one transaction a step (law 4)."""

    async def commit(
        self,
        steps: Sequence[Step],
        entries: Sequence[EntryChange] = (),
        *,
        time: datetime,
        undo: Sequence[Undo] | None = None,
    ) -> Sequence[LoggedEvent]:
        """
        Write all *steps*, *entries* and the steps' events, or nothing; durable when it returns.

        *undo* takes the place of what was noted to go back to; None leaves that. *time* (aware) is
        the time of the events. A caller that is cancelled while its commit waits wrote nothing; one
        that is cancelled later does not learn how it ended.

        Raises:
            StaleEpoch: A record's epoch or revision is not that of the step's *before*.
            StoreFull: No room on the disk.
            StoreBroken: The database failed.
            StoreClosed: The store was closed.

        """

    def load(self) -> AsyncIterator[Record]:
        """Give every record, in the order of the keys."""

    async def events(
        self, *, after: int, limit: int, stream: Stream, since: datetime | None = None
    ) -> Sequence[LoggedEvent]:
        """Return up to *limit* events of *stream* numbered above *after*, not before *since*."""

    async def last_event(self) -> int:
        """Return the number of the newest event, 0 before the first."""

    async def entries(self) -> Sequence[Entry]:
        """Return the running configuration in the order of the document."""

    async def undo(self) -> Sequence[Undo]:
        """Return what was noted to go back to, in the order in which it was noted."""

    async def trim(self, *, keep_events: int, before: datetime | None = None) -> int:
        """
        Forget all but the newest *keep_events* events and return how many went.

        What was told *before* that moment goes too, as far as nothing older than it stays.

        The newest event always stays: it carries the number that the next one follows.
        """

    async def close(self) -> None:
        """Finish what was accepted, then let go of the database; twice is no error."""
