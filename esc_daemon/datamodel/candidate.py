"""
The candidate: what is being prepared beside running (RFC 6241 section 8.3; DESIGN section 5).

Whom it does not touch follows running. A touched entry remembers the entry of running that it was
taken from: when that has moved, the commit is refused, unless both came to the same text.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from lxml import etree

from esc_daemon.datamodel.datastore import Datastore, Gate, PendingEdit
from esc_daemon.datamodel.entries import (
    PLACES,
    Entry,
    EntryChange,
    EntryPath,
    to_element,
)
from esc_daemon.datamodel.names import bindings_of
from esc_daemon.domain.ids import Kind
from esc_daemon.netconf.edit import DefaultOperation
from esc_daemon.netconf.errors import RpcError

_RANK: Final = {kind: rank for rank, kind in enumerate((*PLACES, Kind.NACM))}


class Candidate:
    """One for all sessions; in memory only, as RFC 6241 leaves it."""

    def __init__(self, running: Datastore) -> None:
        self._running = running
        self._draft = running
        """Running itself while nothing is touched."""
        self._bases: dict[EntryPath, Entry | None] = {}
        """The touched entries, and what running had of each when it was touched first."""
        self._held: set[EntryPath] = set()
        """What a commit that waits for its confirmation will remove: touched, and kept so."""
        self._life = object()
        """Another after each discard: what was asked for before is somebody else's commit then."""

    @property
    def changed(self) -> bool:
        """Tell whether somebody changed it since the last commit."""
        return not self._held.issuperset(self._bases)

    @property
    def configuration(self) -> Datastore:
        """Return the whole of it, to be read."""
        return self._draft

    def edit(
        self,
        config: etree._Element,
        default_operation: DefaultOperation = DefaultOperation.MERGE,
        gate: Gate | None = None,
    ) -> None:
        """
        Change it by the element ``config``; it may be invalid until it is committed.

        Raises:
            RpcError, RpcErrors: Nothing was changed: the edit itself is wrong.

        """
        changes = self._draft.changes(config, default_operation, gate)
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
        if committed.of_candidate is self._life:  # what was edited since goes on from there
            for change in committed.changes:
                self._bases[change.path] = self._running.entry(change.path)
        self._draft.put(change for change in committed.changes if change.path not in self._bases)
        self._settle(change.path for change in committed.changes)

    def _settle(self, paths: Iterable[EntryPath]) -> None:
        """Forget to have touched what has become what running has."""
        for path in paths:
            if path in self._bases and _xml(self._draft, path) == _xml(self._running, path):
                del self._bases[path]
                self._held.discard(path)
        if not self._bases:
            self._draft = self._running

    def copy(self) -> "Candidate":
        """Return another to try an edit on."""
        other = Candidate(self._running)
        other._bases = dict(self._bases)
        if self._bases:
            other._draft = self._draft.fork()
        return other

    def discard(self) -> None:
        """Make it what running is, but for what goes once it is confirmed."""
        held, self._life = self._held, object()
        self._draft, self._bases, self._held = self._running, {}, set()
        self._hold(held)

    def hold_removals(self) -> None:
        """Keep what it removes until `let_go`: the commit of all the rest waits to be confirmed."""
        self._held.update(path for path in self._bases if self._draft.entry(path) is None)

    def holds(self, path: EntryPath) -> bool:
        """Tell whether the entry at *path* is held, alone or with its tenant."""
        return not self._held.isdisjoint({path, EntryPath(Kind.TENANT, None, path.tenant or "")})

    def let_go(self) -> None:
        """Show again what was held and has not gone: the commit was taken back."""
        held, self._held = self._held, set()
        for path in held & self._bases.keys():
            if self._draft.entry(path) is None and (entry := self._running.entry(path)):
                self._draft.put([EntryChange(path=path, old=None, new=entry.xml)])
        self._settle(held)

    def _hold(self, paths: Iterable[EntryPath]) -> None:
        """Remove *paths*, with what stands in them by now."""
        gone = dict.fromkeys(paths)
        for path in tuple(gone):
            if path.kind is Kind.TENANT:
                gone |= dict.fromkeys(self._running.inside_tenant(path.name))
        changes = [
            EntryChange(path=path, old=entry, new=None)
            for path in gone
            if (entry := self._running.entry(path)) is not None
        ]
        if not changes:
            return
        self._draft = self._running.fork()
        self._draft.put(changes)
        self._bases = {change.path: change.old for change in changes}
        self._held = set(self._bases)

    def _touched(self) -> list[EntryPath]:
        """Return the touched entries, those first that others stand in."""
        return sorted(self._bases, key=lambda path: _RANK[path.kind])

    def pending(self, gate: Gate | None = None, *, removals: bool = True) -> PendingEdit:
        """
        Return the edit of running that makes it the candidate; *removals* false: but for what goes.

        *gate* is asked first, of what goes too: an error tells names.

        Raises:
            RpcError, RpcErrors: in-use where running has moved since; what is wrong with it else.

        """
        changes = [
            EntryChange(path=path, old=self._running.entry(path), new=_xml(self._draft, path))
            for path in self._touched()
        ]
        if gate is not None:
            gate(changes)
        for change in changes:
            if change.old is not self._bases[change.path]:
                raise _moved(change.path)
        elements = {
            change.path: None if change.new is None else to_element(change.new)
            for change in changes
        }
        going: list[EntryChange] = []
        if not removals:  # what goes is looked at still: nobody changes it meanwhile
            going = [change for change in changes if change.new is None]
            changes = [change for change in changes if change.new is not None]
        pending = self._running.pending(changes, elements, gate=gate, going=going)
        return replace(pending, of_candidate=self._life)


def _xml(datastore: Datastore, path: EntryPath) -> bytes | None:
    entry = datastore.entry(path)
    return None if entry is None else entry.xml


def _moved(path: EntryPath) -> RpcError:
    text = (
        f"{path.kind} {path.name} was changed in running since the candidate took it: "
        "discard-changes and edit the candidate anew"
    )
    at = path.instance_path()
    return RpcError.in_use(at, text).at(at, bindings_of(at))
