"""
The running datastore, kept entry by entry (DESIGN, law 8).

An edit is prepared (`Datastore.edit`), activated by others, and only then committed; between the
two nothing is changed. A keyed get costs its result and an edit the entries that it touches.

StaleEdit   an edit was overtaken: an entry that it touches has another revision by now
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from itertools import chain
from typing import Final, TypeAlias

from lxml import etree

from esc_daemon.datamodel.bind import NO_ACTIONS, Binding, bind
from esc_daemon.datamodel.coverage import check_coverage, entry_nodes
from esc_daemon.datamodel.entries import (
    EMPTY,
    INSIDE_TENANT,
    PLACES,
    ROOTS,
    RULES,
    TOP,
    WHOLE,
    Entry,
    EntryChange,
    EntryPath,
    by_container,
    in_container,
    in_root,
    to_xml,
    wrapped,
)
from esc_daemon.datamodel.faults import MAX_ERRORS as MAX_ERRORS
from esc_daemon.datamodel.names import bindings_of
from esc_daemon.datamodel.rules import rules_xml
from esc_daemon.datamodel.schema import Schema
from esc_daemon.datamodel.seal import seal
from esc_daemon.datamodel.selection import EVERYTHING, Selection
from esc_daemon.datamodel.walk import Walk
from esc_daemon.domain.ids import Key, Kind
from esc_daemon.domain.intent import Intent, PostedEvent
from esc_daemon.netconf.edit import DefaultOperation
from esc_daemon.netconf.errors import RpcError, RpcErrors
from esc_daemon.vault import Vault

_FIRST: Final = (Kind.VIM_CONNECTOR, Kind.DEFAULT_VIM_CONNECTOR, Kind.FILE_SERVER)
"""What else an edit brings may need these at once (ruling 14)."""
ENTRY_ELEMENTS: Final = 20_000
"""Some 100 vm_groups; 0.1 s of the loop."""
_END_OF_TENANT: Final = b"</tenant>"


class StaleEdit(Exception):
    """The edit was prepared on entries that have changed since; prepare it again."""


@dataclass(kw_only=True, slots=True, frozen=True)
class PendingEdit:
    """
    An edit that can be committed.

    *changes* are the entries that differ, VIM connectors and file servers first, parents before
    what stands in them. *intents* are what these ask of their records, one each and in the same
    order, None for what is to go. *warnings* are for the log, each with the path of its entry.
    Two that do not collide may be committed side by side.
    """

    changes: tuple[EntryChange, ...]
    intents: tuple[tuple[Key, Intent | None], ...]
    warnings: tuple[str, ...]
    touched: frozenset[EntryPath] = frozenset()
    """What the edit looked at, changed or not: the result holds for these as they are."""
    going: frozenset[EntryPath] = frozenset()
    """What is to go later, once it is confirmed."""
    of_candidate: object = None
    """What the candidate was when it asked for this, of a commit; see `Candidate.follow`."""

    def collides(self, other: "PendingEdit") -> bool:
        """Tell whether one of the two changes, or will remove, what the other looked at."""
        return not (
            other.touched.isdisjoint(self.going)
            and self.touched.isdisjoint(other.going)
            and other.touched.isdisjoint(change.path for change in self.changes)
            and self.touched.isdisjoint(change.path for change in other.changes)
        )


Gate: TypeAlias = Callable[[Iterable[EntryChange]], None]
"""Raises RpcError for changes that their author may not make."""


class Datastore:
    """The running configuration, in memory, its secrets sealed; not safe for threads."""

    def __init__(
        self,
        schema: Schema,
        vault: Vault,
        actions: Mapping[str, PostedEvent] = NO_ACTIONS,
        entry_elements: int = ENTRY_ELEMENTS,
    ) -> None:
        """Make it empty; *entry_elements*: so many may an entry have after an edit of it."""
        check_coverage(schema)
        self._entry_elements = entry_elements
        self._schema = schema
        self._vault = vault
        self._actions = actions
        self._nodes = entry_nodes(schema)
        self._entries: dict[tuple[Kind, str | None], dict[str, Entry]] = {}
        """By kind and tenant, each in the order of creation."""

    def load(self, entries: Iterable[Entry]) -> None:
        """Take the *entries* of an earlier run, oldest first."""
        for entry in entries:
            self._put(entry)

    def entry(self, path: EntryPath) -> Entry | None:
        """Return one entry."""
        return self._entries.get((path.kind, path.tenant), {}).get(path.name)

    def paths(self, kind: Kind, tenant: str | None) -> Iterator[EntryPath]:
        """Yield the entries of *kind* that stand in *tenant* (None: at the root), oldest first."""
        for name in self._entries.get((kind, tenant), {}):
            yield EntryPath(kind, tenant, name)

    def entries(self) -> Iterator[Entry]:
        """Yield all entries; a tenant before what stands inside it."""
        for kind in chain.from_iterable(TOP.values()):
            for path in self.paths(kind, None):
                yield self._at(path)
                if kind is Kind.TENANT:
                    for inside in INSIDE_TENANT:
                        yield from self._entries.get((inside, path.name), {}).values()
        yield from self._some(Kind.NACM, None, None)

    def edit(
        self,
        config: etree._Element,
        default_operation: DefaultOperation = DefaultOperation.MERGE,
        gate: Gate | None = None,
    ) -> PendingEdit:
        """
        Return what the element ``config`` would change; nothing is changed yet.

        *gate* is asked before anything else is said of the changes.

        Raises:
            RpcError, RpcErrors: The edit is refused whole.

        """
        walk = self._walk(config, default_operation)
        changes = tuple(self._changes(walk.touched))
        return self.pending(changes, walk.touched, walk.errors, gate)

    def changes(
        self,
        config: etree._Element,
        default_operation: DefaultOperation = DefaultOperation.MERGE,
        gate: Gate | None = None,
    ) -> Sequence[EntryChange]:
        """
        Return what the element ``config`` would change, whether it is valid then or not.

        Raises:
            RpcError, RpcErrors: The edit is refused whole.

        """
        walk = self._walk(config, default_operation)
        changes = tuple(self._changes(walk.touched))
        if gate is not None:
            gate(changes)
        _raise(walk.errors)
        return changes

    def _walk(self, config: etree._Element, default_operation: DefaultOperation) -> Walk:
        walk = Walk(self._schema, self, default_operation, self._entry_elements)
        walk.config(config)
        walk.errors += self._seal(walk.touched)
        return walk

    def pending(
        self,
        changes: Sequence[EntryChange],
        touched: Mapping[EntryPath, etree._Element | None],
        errors: Iterable[RpcError] = (),
        gate: Gate | None = None,
        going: Sequence[EntryChange] = (),
    ) -> PendingEdit:
        """
        Return *changes* as an edit if they are valid.

        *touched* holds the element of each (None: gone), and may hold more that was looked at;
        *errors* are those that were found before; *gate* is asked first. *going* are removals that
        come later: nothing may stand in what goes then, and nothing is put there meanwhile.

        Raises:
            RpcError, RpcErrors: They are not; in-use for what would stand in no tenant.

        """
        strays = tuple(self._strays([*changes, *going]))
        if gate is not None:
            gate(changes)
            # what else stands in a tenant that goes would go too
            gate(
                EntryChange(path=path, old=entry, new=None)
                for path in strays
                if (entry := self.entry(path)) is not None
            )
        self._validate(changes, errors, discreet=gate is not None)
        for stray in strays:
            raise _stray(stray)
        ordered = sorted(changes, key=_turn)
        bindings = [self._bind(change, touched[change.path]) for change in ordered]
        return PendingEdit(
            changes=tuple(ordered),
            touched=frozenset(touched).union(
                EntryPath(Kind.TENANT, None, each.path.tenant)
                for each in changes
                if each.path.tenant is not None
            ),
            going=frozenset(change.path for change in going),
            intents=tuple(
                (change.path.key(), None if binding is None else binding.intent)
                for change, binding in zip(ordered, bindings, strict=True)
                if change.path != RULES
            ),
            warnings=tuple(
                f"{change.path.instance_path()}: {warning}"
                for change, binding in zip(ordered, bindings, strict=True)
                if binding is not None
                for warning in binding.warnings
            ),
        )

    def faults(self, entry: Entry) -> list[RpcError]:
        """Return what the data model has against an entry: of an earlier version, say."""
        return self._faults(entry.path, entry.xml)

    def _faults(self, path: EntryPath, xml: bytes, *, discreet: bool = False) -> list[RpcError]:
        look = self._schema.validate_rules if path == RULES else self._schema.validate
        return [error.rpc_error(discreet=discreet) for error in look(wrapped(path, xml))]

    def commit(self, pending: PendingEdit) -> Sequence[Entry]:
        """
        Make *pending* the running configuration; return the entries as they are now.

        Raises:
            StaleEdit: An entry of it was changed by another commit; nothing was changed.

        """
        for change in pending.changes:
            if self.entry(change.path) is not change.old:
                raise StaleEdit(f"{change.path.kind} {change.path.name} was changed meanwhile")
        return self.put(pending.changes)

    def put(self, changes: Iterable[EntryChange]) -> Sequence[Entry]:
        """Make *changes* without a question; return the entries as they are now."""
        written: list[Entry] = []
        for change in changes:
            if change.new is None:
                self._take(change.path)
                continue
            entry = Entry(path=change.path, xml=change.new, revision=_next(change))
            self._put(entry)
            written.append(entry)
        return tuple(written)

    def fork(self) -> "Datastore":
        """Return a copy that goes its own way from here; the entries are shared, not copied."""
        other = copy(self)
        other._entries = {  # noqa: SLF001  of its own class
            at: dict(siblings) for at, siblings in self._entries.items()
        }
        return other

    def without_entries(self) -> "Datastore":
        """Return another one, empty: an edit of it judges a configuration by itself."""
        other = copy(self)
        other._entries = {}  # noqa: SLF001  of its own class
        return other

    def get_config(
        self,
        selection: Selection | None = EVERYTHING,
        roots: Collection[str] = (*ROOTS, WHOLE[1]),
    ) -> list[bytes]:
        """
        Return a part of the configuration as pieces of its documents, one for each of *roots*.

        A root with nothing in it is left out. A piece is about an entry long, so that a caller can
        send piece by piece.
        """
        if selection is None:
            return []
        inside = (in_root(root, self.inside(root, selection)) for root in ROOTS if root in roots)
        found = list(chain.from_iterable(inside))
        entry = self.entry(RULES)
        if WHOLE[1] in roots and selection.holds(WHOLE[1]) and entry and entry.xml != EMPTY:
            found.append(entry.xml)
        return found

    def inside(self, root: str, selection: Selection | None = EVERYTHING) -> list[bytes]:
        """
        Return what stands inside one root, as pieces.

        What the *selection* names is there whole, with its parents and the leaves beside it.
        """
        if selection is None or selection.root not in {None, root}:
            return []
        body: list[bytes] = []
        for container, kinds in by_container(TOP[root]).items():
            if selection.top in {None, *kinds}:
                entries = (each for kind in kinds for each in self._top(kind, selection))
                body += in_container(container, entries)
        return body

    def _top(self, kind: Kind, selection: Selection) -> Iterable[bytes]:
        if kind is Kind.TENANT:
            return self._tenants(selection)
        if selection.top in {None, kind}:
            return self._list(kind, None, selection.name)
        # a filter may compare the leaves beside what it selects
        return self._list(kind, None, None) if PLACES[kind].key is None else ()

    def _tenants(self, selection: Selection) -> Iterator[bytes]:
        for entry in self._some(Kind.TENANT, None, selection.name):
            inside: list[bytes] = []
            for kind in INSIDE_TENANT:
                if selection.inside in {None, kind}:
                    name = selection.inside_name
                    container = PLACES[kind].container
                    inside += in_container(container, self._list(kind, entry.path.name, name))
            # with nothing inside as well: a filter may choose its leaves (RFC 6241 6.2.5)
            yield entry.xml.removesuffix(_END_OF_TENANT)
            yield from inside
            yield _END_OF_TENANT

    def _list(self, kind: Kind, tenant: str | None, name: str | None) -> Iterator[bytes]:
        return (entry.xml for entry in self._some(kind, tenant, name))

    def _some(self, kind: Kind, tenant: str | None, name: str | None) -> Iterable[Entry]:
        """Return one entry, or all where *name* is None."""
        siblings = self._entries.get((kind, tenant), {})
        if name is None:
            return siblings.values()
        return [siblings[name]] if name in siblings else []

    def _seal(self, touched: Mapping[EntryPath, etree._Element | None]) -> Iterator[RpcError]:
        for path, element in touched.items():
            if element is not None:
                for objection in seal(path, element, self._vault):
                    yield objection.rpc_error(path, element, self._nodes[path.kind])

    def _changes(self, touched: dict[EntryPath, etree._Element | None]) -> Iterator[EntryChange]:
        for path, element in touched.items():
            old = self.entry(path)
            new = None if element is None else self._xml(path, element)
            if new != (None if old is None else old.xml):
                yield EntryChange(path=path, old=old, new=new)

    def _xml(self, path: EntryPath, element: etree._Element) -> bytes:
        if path == RULES:
            return rules_xml(element, self._schema.prefixes())
        return to_xml(element)

    def inside_tenant(self, tenant: str) -> Iterator[EntryPath]:
        """Yield what stands in *tenant*."""
        for kind in INSIDE_TENANT:
            yield from self.paths(kind, tenant)

    def _strays(self, changes: Iterable[EntryChange]) -> Iterator[EntryPath]:
        """Yield what would be left, or put, where no tenant is."""
        after = {change.path: change.new for change in changes}
        for path, new in after.items():
            if path.tenant is not None and new is not None:
                tenant = EntryPath(Kind.TENANT, None, path.tenant)
                there = after[tenant] if tenant in after else self.entry(tenant)
                if there is None:
                    yield path
            if path.kind is Kind.TENANT and new is None:
                left = self.inside_tenant(path.name)
                yield from (each for each in left if after.get(each, b"") is not None)

    def _validate(
        self,
        changes: Iterable[EntryChange],
        found_before: Iterable[RpcError],
        *,
        discreet: bool,
    ) -> None:
        """Refuse what is not valid; *discreet*: to one who may not read all of an entry."""
        errors = list(found_before)
        for change in changes:
            if change.new is not None and len(errors) < MAX_ERRORS:
                errors += self._faults(change.path, change.new, discreet=discreet)
        _raise(errors)

    def _bind(self, change: EntryChange, new: etree._Element | None) -> Binding | None:
        if new is None or change.path == RULES:
            return None
        return bind(change.path, new, self._nodes[change.path.kind], self._actions)

    def _at(self, path: EntryPath) -> Entry:
        return self._entries[path.kind, path.tenant][path.name]

    def _put(self, entry: Entry) -> None:
        siblings = self._entries.setdefault((entry.path.kind, entry.path.tenant), {})
        siblings[entry.path.name] = entry

    def _take(self, path: EntryPath) -> None:
        siblings = self._entries[path.kind, path.tenant]
        del siblings[path.name]
        if not siblings:
            del self._entries[path.kind, path.tenant]


def _stray(path: EntryPath) -> RpcError:
    text = (
        f"{path.kind} {path.name} would stand in no tenant: that was changed meanwhile;"
        " read running and send the edit anew, of a candidate after discard-changes"
    )
    return RpcError.in_use(path.instance_path(), text).at(
        path.instance_path(), bindings_of(path.instance_path())
    )


def _raise(errors: Sequence[RpcError]) -> None:
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise RpcErrors(errors[:MAX_ERRORS])


def _turn(change: EntryChange) -> int:
    kind = change.path.kind
    return _FIRST.index(kind) if kind in _FIRST else len(_FIRST)


def _next(change: EntryChange) -> int:
    """Count an entry's writes as the store does, so that a restart changes no revision."""
    return 1 if change.old is None else change.old.revision + 1
