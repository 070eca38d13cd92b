"""
An edit's way from the roots of the data model down to the entries it touches.

The levels above the entries are never built as a tree: what is there follows from the index of
entries, so that an edit of one deployment costs the same beside ten thousand others.
"""

from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy
from typing import Final, Protocol

from lxml import etree

from esc_daemon.datamodel.elsewhere import instead
from esc_daemon.datamodel.entries import (
    EMPTY,
    INSIDE_TENANT,
    PLACES,
    ROOTS,
    RULES,
    TOP,
    WHOLE,
    Entry,
    EntryPath,
    by_container,
    to_element,
)
from esc_daemon.datamodel.faults import MAX_ERRORS
from esc_daemon.datamodel.names import NAMESPACE, NAMESPACES, bindings_of
from esc_daemon.datamodel.rules import with_known_prefixes
from esc_daemon.datamodel.schema import Schema
from esc_daemon.datamodel.tree import Node
from esc_daemon.domain.ids import DEFAULT_VIM, Kind
from esc_daemon.netconf.edit import (
    DefaultOperation,
    NodeKind,
    Operation,
    apply_edit,
    instance_step,
)
from esc_daemon.netconf.errors import ErrorTag, ErrorType, RpcError
from esc_daemon.netconf.xml import BASE_NS, name_of, qualified, tag_of

_OPERATION: Final = qualified(BASE_NS, "operation")
_number_of_elements: Final = etree.XPath("count(descendant-or-self::*)")
_AWAY: Final = frozenset({Operation.DELETE, Operation.REMOVE})


class Index(Protocol):
    """What is stored."""

    def entry(self, path: EntryPath) -> Entry | None:
        """Return one entry."""

    def paths(self, kind: Kind, tenant: str | None) -> Iterable[EntryPath]:
        """Return the entries of *kind* that stand in *tenant*, oldest first."""


class Walk:
    """
    One edit on its way; *touched* holds what became of each entry (None: it is gone).

    The operations of RFC 6241 section 7.2 on a level above the entries mean the same as on a tree:
    an entry that they take away is taken away with all that stands inside it. What is wrong with
    one entry keeps nobody from looking at the next: *errors* holds the first of each.
    """

    def __init__(
        self, schema: Schema, index: Index, default_operation: DefaultOperation, most: int
    ) -> None:
        """Begin one; no entry may have more than *most* elements."""
        self._schema = schema
        self._most = most
        self._index = index
        self._default = default_operation
        self.touched: dict[EntryPath, etree._Element | None] = {}
        self.errors: list[RpcError] = []
        self._refused: set[EntryPath] = set()
        """Entries with an error: what the edit says of them a second time cannot be judged."""
        self._new: dict[tuple[Kind, str | None], dict[EntryPath, None]] = {}
        """What the edit has made so far, by kind and tenant."""

    def config(self, config: etree._Element) -> None:
        """
        Apply the element ``config`` of an edit-config; see *errors* afterwards.

        A default-operation of replace takes away the roots that are not named.

        Raises:
            RpcError: As `netconf.edit.apply_edit`, for what is wrong above the entries.

        """
        inherited = Operation(self._default.value)
        roots = [(child, self._root(child)) for child in config]
        if inherited is Operation.REPLACE:
            named = {schema.name for _, schema in roots}
            for root in ROOTS:
                if root not in named:
                    self._remove(TOP[root], None)
            if RULES.name not in named and self._now(RULES) is not None:
                self._drop(RULES)
        for child, schema in roots:
            if name_of(child) == WHOLE:
                rules = with_known_prefixes(child, self._schema.prefixes())
                self._try(rules, schema, inherited, "", RULES)
                continue
            kinds = TOP[schema.name]
            operation = self._enter(child, schema, inherited, "", kinds, None)
            self._containers(child, schema, operation, instance_step(schema), kinds, None)

    def _root(self, element: etree._Element) -> Node:
        namespace, name = name_of(element)
        found = self._schema.root(namespace, name)
        if found is None:
            known = [each.name for each in self._schema.roots()]
            raise RpcError.unexpected("", (namespace, name), NAMESPACE, instead(name), known)
        return found

    def _enter(
        self,
        edit: etree._Element,
        schema: Node,
        inherited: Operation,
        parent: str,
        kinds: Sequence[Kind],
        tenant: str | None,
    ) -> Operation:
        """Obey the operation on a container that holds *kinds*; return it."""
        if inherited is Operation.MERGE and not edit.attrib and _stray_text(edit) is None:
            return inherited  # whether it is there or not
        there = any(True for _ in self._live(kinds, tenant))
        target = etree.Element(edit.tag) if there else None
        shell = etree.Element(edit.tag, dict(edit.attrib))
        shell.text = _stray_text(edit)
        apply_edit(
            target,
            shell,
            schema,
            default_operation=self._default,
            inherited=inherited,
            path=parent,
        )
        operation = _operation(edit, inherited)
        if operation in _AWAY:
            self._remove(kinds, tenant)
        return operation

    def _containers(
        self,
        edit: Iterable[etree._Element],
        schema: Node,
        operation: Operation,
        path: str,
        kinds: Sequence[Kind],
        tenant: str | None,
    ) -> None:
        """Go through the containers of entries below a node that *operation* was applied to."""
        if operation in _AWAY:
            return
        inside = by_container(kinds)
        named: list[tuple[etree._Element, Node]] = []
        for child in edit:
            known = schema.child(*name_of(child))
            if known is None:
                raise _unknown(child, schema, path)
            named.append((child, known))
        if operation is Operation.REPLACE:
            kept = {known.name for _, known in named}
            self._remove([kind for kind in kinds if PLACES[kind].container not in kept], tenant)
        for child, known in named:
            self._entries(child, known, operation, path, inside[known.name], tenant)

    def _entries(
        self,
        edit: etree._Element,
        schema: Node,
        inherited: Operation,
        parent: str,
        kinds: Sequence[Kind],
        tenant: str | None,
    ) -> None:
        """Apply the edit of one container of entries, such as ``networks``."""
        operation = self._enter(edit, schema, inherited, parent, kinds, tenant)
        if operation in _AWAY:
            return
        path = parent + instance_step(schema)
        by_name = {PLACES[kind].name: kind for kind in kinds}
        entries: list[tuple[etree._Element, Node, EntryPath]] = []
        for child in edit:
            known = schema.child(*name_of(child))
            if known is None:
                raise _unknown(child, schema, path)
            kind = by_name[known.name]
            entries.append((child, known, _entry_path(child, known, path, kind, tenant)))
        if operation is Operation.REPLACE:
            named = {each[2] for each in entries}
            for gone in [each for each in self._live(kinds, tenant) if each not in named]:
                self._drop(gone)
        given: set[EntryPath] = set()
        for child, known, entry in entries:
            if entry in self._refused or len(self.errors) >= MAX_ERRORS:
                continue
            if entry in given and self.touched[entry] is not None and known.kind is NodeKind.LEAF:
                self._refused.add(entry)
                self.errors.append(_repeated(known.name, path))
                continue
            given.add(entry)
            self._try(child, known, operation, path, entry)

    def _try(
        self,
        edit: etree._Element,
        schema: Node,
        inherited: Operation,
        parent: str,
        entry: EntryPath,
    ) -> None:
        """Apply the edit of one entry; what is wrong with it is kept, and keeps others going."""
        try:
            self._entry(edit, schema, inherited, parent, entry)
        except RpcError as error:
            self._refused.add(entry)
            self.errors.append(error)

    def _entry(
        self,
        edit: etree._Element,
        schema: Node,
        inherited: Operation,
        parent: str,
        entry: EntryPath,
    ) -> None:
        own = edit
        nested: list[etree._Element] = []
        if entry.kind is Kind.TENANT:
            _look_for_services(edit, schema, parent + instance_step(schema, (entry.name,)))
            own, nested = _parted(edit, schema)
        after = self._now(entry)
        if after is None or inherited is not Operation.MERGE or not _only_named(own, schema):
            self._look_at_the_size(entry, own)
            after = apply_edit(
                after,
                own,
                schema,
                default_operation=self._default,
                inherited=inherited,
                path=parent,
            )
            if after is not None:
                self._look_at_the_size(entry, after)
        if after is None:
            self._drop(entry)
            return
        self.touched[entry] = after
        if self._index.entry(entry) is None:
            self._new.setdefault((entry.kind, entry.tenant), {})[entry] = None
        if entry.kind is Kind.TENANT:
            path = parent + instance_step(schema, (entry.name,))
            operation = _operation(edit, inherited)
            self._containers(nested, schema, operation, path, INSIDE_TENANT, entry.name)

    def _look_at_the_size(self, entry: EntryPath, element: etree._Element) -> None:
        """Refuse what all others would wait for while it is made and validated."""
        number = int(_number_of_elements(element))
        if number > self._most:
            text = f"{number} elements: an entry may have {self._most} (limits.entry_elements)"
            path = entry.instance_path()
            error = RpcError(ErrorType.APPLICATION, ErrorTag.TOO_BIG, text)
            raise error.at(path, bindings_of(path))

    def _now(self, path: EntryPath) -> etree._Element | None:
        """Return the entry as it is at this point of the edit."""
        if path in self.touched:
            return _unless_empty(path, self.touched[path])
        stored = self._index.entry(path)
        return None if stored is None else _unless_empty(path, to_element(stored.xml))

    def _live(self, kinds: Iterable[Kind], tenant: str | None) -> Iterator[EntryPath]:
        """Yield what stands there at this point of the edit."""
        for kind in kinds:
            for path in self._index.paths(kind, tenant):
                if self.touched.get(path, path) is not None:
                    yield path
            yield from self._new.get((kind, tenant), ())

    def _remove(self, kinds: Iterable[Kind], tenant: str | None) -> None:
        for path in list(self._live(kinds, tenant)):
            self._drop(path)

    def _drop(self, path: EntryPath) -> None:
        self.touched[path] = None
        if path == RULES and self._index.entry(path) is not None:
            self.touched[path] = to_element(EMPTY)
        self._new.get((path.kind, path.tenant), {}).pop(path, None)
        if path.kind is Kind.TENANT:
            self._remove(INSIDE_TENANT, path.name)


def _unless_empty(path: EntryPath, element: etree._Element | None) -> etree._Element | None:
    return None if path == RULES and element is not None and not len(element) else element


def _operation(edit: etree._Element, inherited: Operation) -> Operation:
    """Return the operation of an element whose attributes `apply_edit` has found right."""
    word = edit.get(_OPERATION)
    return inherited if word is None else Operation(word)


def _entry_path(
    edit: etree._Element, schema: Node, parent: str, kind: Kind, tenant: str | None
) -> EntryPath:
    if schema.kind is NodeKind.LEAF:
        return EntryPath(kind, tenant, DEFAULT_VIM.name)
    (key,) = schema.keys
    leaf = edit.find(qualified(schema.namespace, key))
    if leaf is None:
        message = f"an entry of the list {schema.name} needs its key {key}"
        path = parent + instance_step(schema)
        raise RpcError.missing_element(path, key, message).at(path, NAMESPACES)
    return EntryPath(kind, tenant, leaf.text or "")


def _parted(edit: etree._Element, schema: Node) -> tuple[etree._Element, list[etree._Element]]:
    """Return the edit of a tenant without the entries inside it, and the containers of those."""
    containers = {qualified(schema.namespace, PLACES[kind].container) for kind in INSIDE_TENANT}
    own = etree.Element(edit.tag, dict(edit.attrib))
    own.text = _stray_text(edit)
    nested: list[etree._Element] = []
    for child in edit:
        if tag_of(child) in containers:
            nested.append(child)
        else:
            own.append(deepcopy(child))
    return own, nested


def _look_for_services(edit: etree._Element, schema: Node, path: str) -> None:
    """Refuse a tenant with what we can name a replacement for, before anything else is said."""
    for child in edit:
        if schema.child(*name_of(child)) is None and instead(name_of(child)[1]) is not None:
            raise _unknown(child, schema, path)


def _only_named(edit: etree._Element, schema: Node) -> bool:
    """Tell whether the edit of an entry says its key and no more: merged, that changes nothing."""
    plain = len(schema.keys) == len(edit) == 1 and not edit.attrib and _stray_text(edit) is None
    return plain and not edit[0].attrib and not len(edit[0])


def _stray_text(element: etree._Element) -> str | None:
    text = "".join((element.text or "", *(child.tail or "" for child in element)))
    return text.strip() or None


def _repeated(name: str, path: str) -> RpcError:
    return RpcError.bad_element(path, name, "a leaf may occur only once").at(path, NAMESPACES)


def _unknown(element: etree._Element, schema: Node, path: str) -> RpcError:
    name = name_of(element)
    error = RpcError.unexpected(path, name, NAMESPACE, instead(name[1]), schema.names)
    return error.at(path, NAMESPACES)
