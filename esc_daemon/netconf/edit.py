"""
The edit operations of RFC 6241 section 7.2 and RFC 7950 on trees of lxml.

Nothing here knows a datastore: the caller hands in the part of it that an edit touches and
stores what comes back. A failed edit has changed nothing, since nothing is changed in place.
What an edit says is made canonical (RFC 7950 section 9.1); the target is expected to be.
"""

import re
from contextlib import suppress
from copy import deepcopy
from enum import StrEnum
from typing import Final, NoReturn

from lxml import etree

from esc_daemon.netconf.errors import RpcError
from esc_daemon.netconf.fresh import Identity, NotPlain, blank, fresh, new_leaf
from esc_daemon.netconf.schema import LEAVES, Path, Place
from esc_daemon.netconf.schema import NodeKind as NodeKind
from esc_daemon.netconf.schema import SchemaNode as SchemaNode
from esc_daemon.netconf.schema import instance_step as instance_step
from esc_daemon.netconf.xml import (
    BASE_NS,
    DEFAULT_TAG_NS,
    YANG_NS,
    name_of,
    qualified,
    split_name,
    tag_of,
)

_OPERATION: Final = qualified(BASE_NS, "operation")
_DEFAULT_TAG: Final = qualified(DEFAULT_TAG_NS, "default")
_INSERT: Final = qualified(YANG_NS, "insert")
_POINT: Final = {"list": qualified(YANG_NS, "key"), "leaf-list": qualified(YANG_NS, "value")}
_PREDICATE: Final = re.compile(
    r"""\[\s*(?:[\w.-]+:)?(?P<name>[\w.-]+)\s*=\s*(?:'(?P<a>[^']*)'|"(?P<b>[^"]*)")\s*\]\s*"""
)


class Operation(StrEnum):
    """RFC 6241 section 7.2, the attribute *operation*; NONE comes from default-operation only."""

    MERGE = "merge"
    REPLACE = "replace"
    CREATE = "create"
    DELETE = "delete"
    REMOVE = "remove"
    NONE = "none"


class DefaultOperation(StrEnum):
    """RFC 6241 section 7.2, the parameter *default-operation*."""

    MERGE = "merge"
    REPLACE = "replace"
    NONE = "none"


_OF_ATTRIBUTE: Final = {word.value: word for word in Operation if word is not Operation.NONE}
_TRUE: Final = frozenset({"true", "1"})
_SETS: Final = frozenset({Operation.MERGE, Operation.REPLACE, Operation.CREATE})
_KEEPS_OTHERS: Final = frozenset({Operation.MERGE, Operation.NONE})


def apply_edit(
    target: etree._Element | None,
    edit: etree._Element,
    schema: SchemaNode,
    *,
    default_operation: DefaultOperation,
    inherited: Operation | None = None,
    path: str = "",
) -> etree._Element | None:
    """
    Return what *target* becomes when *edit* is applied to it; None when nothing is left.

    *target* is the same data node as *edit* (for a list the same entry) or None when the datastore
    has none; both are left as they are. *schema* describes that node, *path* is its parent's
    instance path, *inherited* the operation that the parent's edit gives to it. Nodes keep their
    places, new ones go to the end, keys stand first. Containers without presence that end up
    empty are dropped. A default-operation of replace is applied from *edit* downwards: whether it
    also empties the rest of the datastore is the caller's business.

    Raises:
        RpcError: data-exists, data-missing, missing-element (a key), unknown-element,
            unknown-attribute, bad-attribute or bad-element, with the path.

    """
    run = _Edit()
    identity = run.identity(edit, schema, path)
    operation = inherited or Operation(default_operation.value)
    return run.node(target, edit, schema, identity, operation, path)


class _Edit:
    """One run over an edit: what is the same for all its nodes."""

    def __init__(self) -> None:
        self.namespaces: dict[str, str] = {}

    def node(
        self,
        target: etree._Element | None,
        edit: etree._Element,
        schema: SchemaNode,
        identity: Identity,
        inherited: Operation,
        parent: Path,
    ) -> etree._Element | None:
        self.namespaces[schema.prefix] = schema.namespace
        path = Place(parent, schema, identity[1])
        operation = inherited
        if edit.attrib:
            self.check_attributes(edit, schema, path)
            operation = self.operation(edit, inherited, path)
        match operation:
            case Operation.DELETE if target is None:
                self.fail(RpcError.data_missing(str(path)))
            case Operation.DELETE | Operation.REMOVE:
                return None
            case Operation.CREATE if target is not None:
                self.fail(RpcError.data_exists(str(path)))
            # RFC 7950 section 7.5.1: a container without presence is always there
            case Operation.NONE if target is None and schema.kind is not NodeKind.CONTAINER:
                self.fail(RpcError.data_missing(str(path)))
            case _:
                pass
        if schema.kind in LEAVES:
            return self.leaf(target, edit, schema, operation, path)
        if target is None and operation in _SETS:
            with suppress(NotPlain):
                return fresh(edit, schema)
        return self.inner(target, edit, schema, operation, path)

    def leaf(
        self,
        target: etree._Element | None,
        edit: etree._Element,
        schema: SchemaNode,
        operation: Operation,
        path: Path,
    ) -> etree._Element | None:
        for child in edit:
            self.fail(RpcError.unexpected(str(path), name_of(child), schema.namespace))
        if operation in _SETS and edit.get(_DEFAULT_TAG) in _TRUE:
            # RFC 6243 section 4.5.2; in the basic mode explicit, default data is what nobody set
            if schema.default is None or schema.canonical(edit.text or "") != schema.default:
                self.fail(RpcError.invalid_value(str(path), f"the default is {schema.default}"))
            return None
        if operation is Operation.NONE and target is not None:
            return _copy(target)
        return new_leaf(edit, schema)

    def inner(
        self,
        target: etree._Element | None,
        edit: etree._Element,
        schema: SchemaNode,
        operation: Operation,
        path: Path,
    ) -> etree._Element | None:
        if _has_stray_text(edit):
            self.fail(RpcError.bad_element(str(path), schema.name, "text where elements belong"))
        todo = [self.known_child(child, schema, path) for child in edit]
        children = _Children(self, target, schema, path)
        children.start(
            keep=operation in _KEEPS_OTHERS, touched={identity for _, _, identity in todo}
        )
        for child, child_schema, identity in todo:
            if child_schema.kind is NodeKind.LEAF and children.was_given(identity):
                self.fail(
                    RpcError.bad_element(str(path), child_schema.name, "a leaf may occur only once")
                )
            if schema.kind is NodeKind.LIST and child_schema.name in schema.keys:
                self.check_key(child, path)
                children.put(identity, child_schema, new_leaf(child, child_schema))
                continue
            now = children.now(identity)
            after = self.node(now, child, child_schema, identity, operation, path)
            children.put(identity, child_schema, after)
            if after is not None and child_schema.user_ordered:
                children.move(child, child_schema, after)
        return children.result()

    def known_child(
        self, child: etree._Element, schema: SchemaNode, path: Path
    ) -> tuple[etree._Element, SchemaNode, Identity]:
        found = schema.child(*name_of(child))
        if found is None:
            error = RpcError.unexpected(
                str(path), name_of(child), schema.namespace, known=schema.names
            )
            self.fail(error)
        return child, found, self.identity(child, found, path)

    def identity(self, node: etree._Element, schema: SchemaNode, parent: Path) -> Identity:
        if schema.kind is NodeKind.LEAF_LIST:
            return tag_of(node), (schema.canonical(node.text or ""),)
        if schema.kind is not NodeKind.LIST:
            return tag_of(node), ()
        values: list[str] = []
        for key in schema.keys:
            leaf = node.find(qualified(schema.namespace, key))
            if leaf is None:
                self.fail(
                    RpcError.missing_element(
                        str(Place(parent, schema, tuple(values))),
                        key,
                        f"an entry of the list {schema.name} needs its key {key}",
                    )
                )
            values.append(_canonical_key(schema, key, leaf.text or ""))
        return tag_of(node), tuple(values)

    def check_key(self, leaf: etree._Element, path: Path) -> None:
        """Refuse to take the key from an entry that stays; other operations say nothing new."""
        operation = self.operation(leaf, Operation.MERGE, path)
        if operation in {Operation.DELETE, Operation.REMOVE}:
            name = name_of(leaf)[1]
            self.fail(
                RpcError.bad_attribute(
                    str(path), name, "operation", f"a key cannot be {operation}d"
                )
            )

    def operation(self, edit: etree._Element, inherited: Operation, path: Path) -> Operation:
        word = edit.get(_OPERATION)
        if word is None:
            return inherited
        if word not in _OF_ATTRIBUTE:
            name = name_of(edit)[1]
            self.fail(
                RpcError.bad_attribute(str(path), name, "operation", f"no such operation: {word!r}")
            )
        return _OF_ATTRIBUTE[word]

    def check_attributes(self, edit: etree._Element, schema: SchemaNode, path: Path) -> None:
        """
        Refuse what looks like an instruction and is none; other namespaces' attributes pass.

        An *operation* that lost its prefix would turn a deletion into a merge.
        """
        for tag in edit.attrib:
            namespace, name = split_name(str(tag))
            allowed = {
                "": False,
                BASE_NS: name == "operation",
                YANG_NS: schema.user_ordered and name in {"insert", "key", "value"},
            }
            if not allowed.get(namespace, True):
                self.fail(RpcError.unknown_attribute(str(path), schema.name, name))

    def fail(self, error: RpcError) -> NoReturn:
        raise error.at(error.path, self.namespaces)


class _Children:
    """The children of one inner node while an edit goes through them."""

    def __init__(
        self, run: _Edit, target: etree._Element | None, schema: SchemaNode, path: Path
    ) -> None:
        self._run = run
        self._schema = schema
        self._path = path
        self._before: dict[Identity, etree._Element] = {}
        """As the datastore has them."""
        self._after: dict[Identity, etree._Element] = {}
        """As they stand in the new node; what the edit still has to touch is an empty element."""
        self._given: set[Identity] = set()
        self._chosen: dict[str, str] = {}
        """Choices settled by this edit: the case of each."""
        self._node = etree.Element(
            qualified(schema.namespace, schema.name), nsmap={None: schema.namespace}
        )
        for position, child in enumerate(() if target is None else target):
            self._before[self._identity(child, position)] = child

    def _identity(self, child: etree._Element, position: int) -> Identity:
        schema = self._schema.child(*name_of(child))
        if schema is None:
            # the datastore may hold what the schema of today does not know: it stays as it is
            return tag_of(child), (str(position),)
        return self._run.identity(child, schema, self._path)

    def start(self, *, keep: bool, touched: set[Identity]) -> None:
        """Lay out the new node: keys first, then, if *keep*, the old children in their order."""
        keys = [qualified(self._schema.namespace, key) for key in self._schema.keys]
        for key in keys:
            self._after[key, ()] = etree.SubElement(self._node, key)
        for identity, child in self._before.items() if keep else ():
            if identity in self._after:
                continue
            if identity in touched:
                self._after[identity] = etree.SubElement(self._node, child.tag)
            else:
                self._after[identity] = _copy(child)
                self._node.append(self._after[identity])

    def now(self, identity: Identity) -> etree._Element | None:
        """Return the child as it is at this point of the edit."""
        if identity in self._given:
            return self._after.get(identity)
        return self._before.get(identity)

    def was_given(self, identity: Identity) -> bool:
        """Tell whether this edit has already put the child there."""
        return identity in self._given and identity in self._after

    def put(self, identity: Identity, schema: SchemaNode, child: etree._Element | None) -> None:
        """Set the child, or take it away, and with it (RFC 7950 7.9.6) the other cases."""
        self._given.add(identity)
        place = self._after.pop(identity, None)
        if child is None:
            if place is not None:
                self._node.remove(place)
            return
        self._after[identity] = child
        if place is None:
            self._node.append(child)
        else:
            self._node.replace(place, child)
        if schema.case is not None:
            self._settle(schema.name, *schema.case)

    def _settle(self, name: str, choice: str, case: str) -> None:
        """Take the nodes of the choice's other cases away."""
        settled = self._chosen.get(choice)
        if settled == case:
            return
        if settled is not None:
            self._run.fail(
                RpcError.bad_element(
                    str(self._path),
                    name,
                    f"the choice {choice} is made twice: {settled} and {case}",
                )
            )
        self._chosen[choice] = case
        for identity in list(self._after):
            sibling = self._schema.child(*split_name(identity[0]))
            if sibling is None or sibling.case is None or sibling.case == (choice, case):
                continue
            if sibling.case[0] == choice:
                self._node.remove(self._after.pop(identity))

    def move(self, edit: etree._Element, schema: SchemaNode, child: etree._Element) -> None:
        """Obey the attribute *insert* of RFC 7950 sections 7.7.9 and 7.8.6."""
        match edit.get(_INSERT):
            case None:
                return
            case "first":
                next(self._node.iterchildren(tag_of(child))).addprevious(child)
            case "last":
                next(self._node.iterchildren(tag_of(child), reversed=True)).addnext(child)
            case "before":
                self._anchor(edit, schema).addprevious(child)
            case "after":
                self._anchor(edit, schema).addnext(child)
            case word:
                self._run.fail(
                    RpcError.bad_attribute(
                        str(self._path), schema.name, "insert", f"no such place: {word!r}"
                    )
                )

    def _anchor(self, edit: etree._Element, schema: SchemaNode) -> etree._Element:
        attribute = _POINT[schema.kind]
        word = edit.get(attribute)
        name = split_name(attribute)[1]
        if word is None:
            self._run.fail(RpcError.missing_attribute(str(self._path), schema.name, name))
        identity = tag_of(edit), _point(word, schema)
        if identity not in self._after:
            self._run.fail(
                RpcError.bad_attribute(
                    str(self._path), schema.name, name, f"no entry to insert beside: {word!r}"
                ).tagged("missing-instance")  # RFC 7950 section 15.7
            )
        return self._after[identity]

    def result(self) -> etree._Element | None:
        """Return the new node, None for a container that says nothing."""
        empty = len(self._node) == 0 and self._schema.kind is NodeKind.CONTAINER
        return None if empty else self._node


def _point(word: str, schema: SchemaNode) -> tuple[str, ...]:
    """Return the values that tell the entry which *key* or *value* names."""
    if schema.kind is NodeKind.LEAF_LIST:
        return (schema.canonical(word),)
    given = {
        found["name"]: found["a"] if found["b"] is None else found["b"]
        for found in _PREDICATE.finditer(word)
    }
    return tuple(_canonical_key(schema, key, given.get(key, "")) for key in schema.keys)


def _canonical_key(schema: SchemaNode, key: str, text: str) -> str:
    leaf = schema.child(schema.namespace, key)
    return text if leaf is None else leaf.canonical(text)


def _copy(node: etree._Element) -> etree._Element:
    copied = deepcopy(node)
    copied.tail = None
    return copied


def _has_stray_text(node: etree._Element) -> bool:
    return not blank(node.text) or not all(blank(child.tail) for child in node)
