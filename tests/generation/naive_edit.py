"""
The edit operations once more, on plain values, from RFC 6241 section 7.2 and RFC 7950 alone.

A tree is a dict from (name, keys) to a text or a dict, in the order of the data; a list's keys
stand in the identity and not below it. Nothing here knows XML but the two ways at the end.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from lxml import etree

from esc_daemon.netconf.edit import NodeKind
from esc_daemon.netconf.xml import BASE_NS, YANG_NS

INNER = {NodeKind.CONTAINER, NodeKind.PRESENCE_CONTAINER, NodeKind.LIST}
Identity = tuple[str, tuple[str, ...]]
Data = dict[Identity, Any]


class Node(Protocol):
    """A node of a schema."""

    @property
    def name(self) -> str: ...
    @property
    def namespace(self) -> str: ...
    @property
    def prefix(self) -> str: ...
    @property
    def kind(self) -> NodeKind: ...
    @property
    def keys(self) -> tuple[str, ...]: ...
    @property
    def user_ordered(self) -> bool: ...
    @property
    def case(self) -> tuple[str, str] | None: ...
    def child(self, namespace: str, name: str) -> "Node | None": ...


@dataclass(frozen=True, slots=True)
class Insert:
    """The attributes *insert*, and *key* or *value*, of RFC 7950 sections 7.7.9 and 7.8.6."""

    where: str
    point: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """One node of an edit; *values* are the keys of an entry, or the text of a leaf."""

    node: Node
    operation: str | None
    values: tuple[str, ...]
    children: tuple["Change", ...] = ()
    insert: Insert | None = None

    @property
    def identity(self) -> Identity:
        told = self.node.kind in {NodeKind.LIST, NodeKind.LEAF_LIST}
        return self.node.name, self.values if told else ()


@dataclass(slots=True)
class NaiveEdit:
    """One edit; *refusals* are all of (error-tag, path) that it may be refused for."""

    refusals: list[tuple[str, str]] = field(default_factory=list)

    def apply(self, old: Any, change: Change, inherited: str, parent: str = "") -> Any:
        """Return what *old* becomes; None: nothing is left. It means nothing with *refusals*."""
        path = parent + step(change.node, change.identity[1])
        operation = change.operation or inherited
        kind = change.node.kind
        if operation in {"delete", "remove"}:
            if old is None and operation == "delete":
                self.refusals.append(("data-missing", path))
            return None
        if operation == "create" and old is not None:
            self.refusals.append(("data-exists", path))
        if operation == "none" and old is None and kind is not NodeKind.CONTAINER:
            self.refusals.append(("data-missing", path))
        if kind not in INNER:
            return old if operation == "none" else change.values[0]
        new = self.below(old or {}, change, operation, path)
        return None if kind is NodeKind.CONTAINER and not new else new

    def below(self, old: Data, change: Change, operation: str, path: str) -> Data:
        new: Data = dict(old) if operation in {"merge", "none"} else {}
        touched: set[Identity] = set()
        chosen: dict[str, str] = {}
        for child in change.children:
            mine = child.identity
            if child.node.kind is NodeKind.LEAF and mine in touched and mine in new:
                self.refusals.append(("bad-element", path))
            before = new.get(mine) if mine in touched else old.get(mine)
            touched.add(mine)
            after = self.apply(before, child, operation, path)
            if after is None:
                new.pop(mine, None)
                continue
            new[mine] = after
            if child.insert is not None:
                new = self.moved(new, mine, child.insert, path)
            if child.node.case is not None:
                choice, case = child.node.case
                if chosen.setdefault(choice, case) != case:
                    self.refusals.append(("bad-element", path))
                new = _without_other_cases(new, change.node, choice, case)
        return new

    def moved(self, new: Data, mine: Identity, insert: Insert, path: str) -> Data:
        name = mine[0]
        order = [each for each in new if each != mine]
        alike = [each for each in order if each[0] == name]
        if insert.where == "first":
            place = order.index(alike[0]) if alike else 0
        elif insert.where == "last":
            place = order.index(alike[-1]) + 1 if alike else 0
        else:
            point = name, insert.point or ()
            if point == mine:
                return new
            if point not in new:
                self.refusals.append(("bad-attribute", path))
                return new
            place = order.index(point) + (insert.where == "after")
        order.insert(place, mine)
        return {each: new[each] for each in order}


def _without_other_cases(data: Data, parent: Node, choice: str, case: str) -> Data:
    kept = {}
    for identity, value in data.items():
        node = parent.child(parent.namespace, identity[0])
        other = node is not None and node.case is not None and node.case[0] == choice
        if not other or node.case == (choice, case):
            kept[identity] = value
    return kept


def step(node: Node, values: tuple[str, ...]) -> str:
    """Return a step of a path; no value here has an apostrophe."""
    prefix = node.prefix
    if node.kind is NodeKind.LEAF_LIST:
        return f"/{prefix}:{node.name}[.='{values[0]}']"
    pairs = zip(node.keys, values, strict=False)
    predicates = "".join(f"[{prefix}:{key}='{value}']" for key, value in pairs)
    return f"/{prefix}:{node.name}{predicates}"


# --- to and from XML ------------------------------------------------------------------------


def as_edit(change: Change) -> etree._Element:
    """Return the edit as a client would send it."""
    node = change.node
    element = etree.Element(f"{{{node.namespace}}}{node.name}", nsmap={None: node.namespace})
    if change.operation is not None:
        element.set(f"{{{BASE_NS}}}operation", change.operation)
    if change.insert is not None:
        element.set(f"{{{YANG_NS}}}insert", change.insert.where)
        if change.insert.point is not None:
            element.set(*_point(node, change.insert.point))
    if node.kind not in INNER:
        element.text = change.values[0] or None
    for key, value in zip(node.keys, change.values, strict=False):
        etree.SubElement(element, f"{{{node.namespace}}}{key}").text = value
    element.extend([as_edit(child) for child in change.children])
    return element


def _point(node: Node, values: tuple[str, ...]) -> tuple[str, str]:
    if node.kind is NodeKind.LEAF_LIST:
        return f"{{{YANG_NS}}}value", values[0]
    pairs = zip(node.keys, values, strict=True)
    return f"{{{YANG_NS}}}key", "".join(f"[{key}='{value}']" for key, value in pairs)


def as_tree(node: Node, data: Any, keys: tuple[str, ...] = ()) -> etree._Element:
    """Return the data of *node* as XML."""
    element = etree.Element(f"{{{node.namespace}}}{node.name}", nsmap={None: node.namespace})
    if node.kind not in INNER:
        element.text = data or None
        return element
    for key, value in zip(node.keys, keys, strict=True):
        etree.SubElement(element, f"{{{node.namespace}}}{key}").text = value
    for (name, values), below in data.items():
        child = node.child(node.namespace, name)
        assert child is not None
        element.append(as_tree(child, below, values if child.kind is NodeKind.LIST else ()))
    return element


def as_data(node: Node, element: etree._Element) -> Any:
    """Return what *element* says; empty containers say nothing."""
    if node.kind not in INNER:
        return element.text or ""
    found: Data = {}
    for child in element:
        name = str(etree.QName(child).localname)
        if name in node.keys:
            continue
        below = node.child(node.namespace, name)
        assert below is not None
        told = as_data(below, child)
        if below.kind is not NodeKind.CONTAINER or told:
            found[name, values_of(below, child)] = told
    return found


def values_of(node: Node, element: etree._Element) -> tuple[str, ...]:
    if node.kind is NodeKind.LEAF_LIST:
        return (element.text or "",)
    return tuple(element.findtext(f"{{{node.namespace}}}{key}") or "" for key in node.keys)


def compared(node: Node, data: Any) -> Any:
    """Return *data* as a value in which order counts only where the user makes it."""
    if not isinstance(data, dict):
        return data
    return sorted(_groups(node, data), key=lambda group: group[0])


def _groups(node: Node, data: Data) -> Iterator[tuple[str, Any]]:
    for name in {each[0] for each in data}:
        child = node.child(node.namespace, name)
        assert child is not None
        alike = [(keys, compared(child, data[name, keys])) for own, keys in data if own == name]
        yield name, alike if child.user_ordered else sorted(alike, key=lambda each: each[0])
