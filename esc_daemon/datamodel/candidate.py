"""
The candidate: what is being prepared beside running (RFC 6241 section 8.3; DESIGN section 5).

Whom it does not touch follows running. A touched entry remembers the entry of running that it was
taken from: when that has moved, the commit is refused, unless both came to the same text.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from lxml import etree

from esc_daemon.datamodel.datastore import Datastore, PendingEdit
from esc_daemon.datamodel.entries import (
    INSIDE_TENANT,
    PLACES,
    Entry,
    EntryChange,
    EntryPath,
    to_element,
)
from esc_daemon.datamodel.names import NAMESPACES
from esc_daemon.domain.ids import Kind
from esc_daemon.netconf.edit import DefaultOperation
from esc_daemon.netconf.errors import RpcError

_RANK: Final = {kind: rank for rank, kind in enumerate(PLACES)}


class Candidate:
    """One for all sessions; in memory only, as RFC 6241 leaves it."""

    def __init__(self, running: Datastore) -> None:
        self._running = running
        self._draft = running
        """Running itself while nothing is touched."""
        self._bases: dict[EntryPath, Entry | None] = {}
        """The touched entries, and what running had of each when it was touched first."""
        self._offered: PendingEdit | None = None
        """The commit under way."""

    @property
    def changed(self) -> bool:
        """Tell whether there is anything to commit."""
        return bool(self._bases)

    @property
    def configuration(self) -> Datastore:
        """Return the whole of it, to be read."""
        return self._draft

    def edit(
        self, config: etree._Element, default_operation: DefaultOperation = DefaultOperation.MERGE
    ) -> None:
        """
        Change it by the element ``config``; it may be invalid until it is committed.

        Raises:
            RpcError, RpcErrors: Nothing was changed: the edit itself is wrong.

        """
        changes = self._draft.changes(config, default_operation)
        if not changes:
            return
        if self._draft is self._running:
            self._draft = self._running.fork()
        self._draft.put(changes)
        for change in changes:
            self._bases.setdefault(change.path, self._running.entry(change.path))
        self._settle(change.path for change in changes)

    def follow(self, committed: PendingEdit) -> None:
        """Take over what a commit, also that of the candidate, has changed in running."""
        if self._draft is self._running:
            return
        if committed is self._offered:  # what was edited since goes on from there
            for change in committed.changes:
                self._bases[change.path] = self._running.entry(change.path)
        self._draft.put(change for change in committed.changes if change.path not in self._bases)
        self._settle(change.path for change in committed.changes)

    def _settle(self, paths: Iterable[EntryPath]) -> None:
        """Forget to have touched what has become what running has."""
        for path in paths:
            if path in self._bases and _xml(self._draft, path) == _xml(self._running, path):
                del self._bases[path]
        if not self._bases:
            self._draft = self._running

    def copy(self) -> "Candidate":
        """Return another to try an edit on."""
        other = Candidate(self._running)
        other._bases = dict(self._bases)
        if self.changed:
            other._draft = self._draft.fork()
        return other

    def discard(self) -> None:
        """Make it what running is."""
        self._draft = self._running
        self._bases = {}

    def removals(self) -> Sequence[EntryPath]:
        """Return the entries that running has and the candidate has not."""
        return [path for path in self._touched() if self._draft.entry(path) is None]

    def _touched(self) -> list[EntryPath]:
        """Return the touched entries, those first that others stand in."""
        return sorted(self._bases, key=lambda path: _RANK[path.kind])

    def pending(self, *, removals: bool = True, also_gone: Iterable[EntryPath] = ()) -> PendingEdit:
        """
        Return the edit of running that makes it the candidate.

        *removals* false leaves out what goes. *also_gone* goes too, unless it was touched since.

        Raises:
            RpcError, RpcErrors: in-use where running has moved since; what is wrong with it else.

        """
        changes = []
        for path in self._touched():
            old = self._running.entry(path)
            if old is not self._bases[path]:
                raise _moved(path)
            new = _xml(self._draft, path)
            if new is not None or removals:
                changes.append(EntryChange(path=path, old=old, new=new))
        for path in also_gone:
            old = self._running.entry(path)
            if old is not None and path not in self._bases:
                changes.append(EntryChange(path=path, old=old, new=None))
        for path in self._strays():
            raise _moved(path)
        elements = {
            change.path: None if change.new is None else to_element(change.new)
            for change in changes
        }
        self._offered = self._running.pending(changes, elements)
        return self._offered

    def _strays(self) -> Iterator[EntryPath]:
        """Yield what would stand in a tenant that is not there: one of the two went meanwhile."""
        for path in self._bases:
            if path.tenant is not None and self._draft.entry(path) is not None:
                tenant = EntryPath(Kind.TENANT, None, path.tenant)
                if self._draft.entry(tenant) is None:
                    yield path
            if path.kind is Kind.TENANT and self._draft.entry(path) is None:
                for kind in INSIDE_TENANT:
                    yield from self._draft.paths(kind, path.name)


def _xml(datastore: Datastore, path: EntryPath) -> bytes | None:
    entry = datastore.entry(path)
    return None if entry is None else entry.xml


def _moved(path: EntryPath) -> RpcError:
    text = (
        f"{path.kind} {path.name} was changed in running since the candidate took it: "
        "discard-changes and edit the candidate anew"
    )
    return RpcError.in_use(path.instance_path(), text).at(path.instance_path(), NAMESPACES)
