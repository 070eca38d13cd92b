"""apply_edit against a model that knows no XML: trees are dicts, (name, keys) -> text or dict."""

from dataclasses import dataclass
from typing import Any

from hypothesis import event, given, settings
from hypothesis import strategies as st
from lxml import etree
from toy_schema import TOY_NS, Toy, container

from esc_daemon.netconf.edit import DefaultOperation, NodeKind, Operation, apply_edit
from esc_daemon.netconf.errors import RpcError
from esc_daemon.netconf.xml import BASE_NS, name_of

INNER = {NodeKind.CONTAINER, NodeKind.PRESENCE_CONTAINER, NodeKind.LIST}
WORDS = st.sampled_from(["1", "2", "3"])
CASES = st.sampled_from([None, None, None, ("choice", "left"), ("choice", "right")])


@dataclass(frozen=True)
class Change:
    schema: Toy
    operation: str | None
    values: tuple[str, ...]
    children: tuple["Change", ...] = ()

    @property
    def identity(self) -> tuple[str, tuple[str, ...]]:
        told = self.schema.kind in {NodeKind.LIST, NodeKind.LEAF_LIST}
        return self.schema.name, self.values if told else ()


class RefusedError(Exception):
    pass


# --- random schemas, data and edits ---------------------------------------------------------


@st.composite
def schemas(draw, depth: int = 3) -> Toy:
    return container("top", *draw(children_of(depth)))


@st.composite
def children_of(draw, depth: int) -> tuple[Toy, ...]:
    kinds = st.sampled_from(list(NodeKind) if depth else [NodeKind.LEAF, NodeKind.LEAF_LIST])
    nodes = []
    for name in "abc"[: draw(st.integers(1, 3))]:
        kind = draw(kinds)
        below = draw(children_of(depth - 1)) if kind in INNER else ()
        keys = ("k", "l")[: draw(st.integers(1, 2))] if kind is NodeKind.LIST else ()
        leaves = tuple(Toy(key, NodeKind.LEAF) for key in keys)
        nodes.append(Toy(name, kind, (*leaves, *below), keys, case=draw(CASES)))
    return tuple(nodes)


@st.composite
def changes(draw, schema: Toy, operations: st.SearchStrategy[str | None]) -> Change:
    operation = draw(operations)
    if schema.kind not in INNER:
        return Change(schema, operation, (draw(WORDS),))
    values = tuple(draw(WORDS) for _ in schema.keys)
    children = []
    for child in schema.children:
        if child.name in schema.keys:
            continue
        many = child.kind in {NodeKind.LIST, NodeKind.LEAF_LIST}
        children += [
            draw(changes(child, operations)) for _ in range(draw(st.integers(0, 3 if many else 1)))
        ]
    return Change(schema, operation, values, tuple(draw(st.permutations(children))))


PLAIN = st.none()
ANY = st.sampled_from([None, None, None, None, "merge", "replace", "create", "delete", "remove"])


# --- the model ------------------------------------------------------------------------------


def verdict(old: Any, kind: NodeKind, operation: str) -> str | None:
    if old is None and operation == "delete":
        return "data-missing"
    if old is None and operation == "none" and kind is not NodeKind.CONTAINER:
        return "data-missing"
    if old is not None and operation == "create":
        return "data-exists"
    return None


def model(old: Any, change: Change, inherited: str) -> Any:
    operation = change.operation or inherited
    kind = change.schema.kind
    refused = verdict(old, kind, operation)
    if refused:
        raise RefusedError(refused)
    if operation in {"delete", "remove"}:
        return None
    if kind not in INNER:
        return old if operation == "none" else change.values[0]
    new = dict(old or {}) if operation in {"merge", "none"} else {}
    touched: set[Any] = set()
    chosen: dict[str, str] = {}
    by_name = {child.name: child for child in change.schema.children}
    for child in change.children:
        mine = child.identity
        before = new.get(mine) if mine in touched else (old or {}).get(mine)
        touched.add(mine)
        after = model(before, child, operation)
        if after is None:
            new.pop(mine, None)
            continue
        new[mine] = after
        if child.schema.case is not None:
            choice, case = child.schema.case
            if chosen.setdefault(choice, case) != case:
                raise RefusedError("bad-element")
            new = {
                key: value
                for key, value in new.items()
                if by_name[key[0]].case in {None, (choice, case)}
            }
    if kind is NodeKind.CONTAINER and not new:
        return None
    return new


# --- between the two ------------------------------------------------------------------------


def as_edit(change: Change) -> etree._Element:
    element = etree.Element(f"{{{TOY_NS}}}{change.schema.name}")
    if change.operation is not None:
        element.set(f"{{{BASE_NS}}}operation", change.operation)
    if change.schema.kind not in INNER:
        element.text = change.values[0]
    for key, value in zip(change.schema.keys, change.values, strict=False):
        etree.SubElement(element, f"{{{TOY_NS}}}{key}").text = value
    element.extend([as_edit(child) for child in change.children])
    return element


def as_tree(schema: Toy, data: Any, keys: tuple[str, ...] = ()) -> etree._Element:
    element = etree.Element(f"{{{TOY_NS}}}{schema.name}")
    if schema.kind not in INNER:
        element.text = data
        return element
    for key, value in zip(schema.keys, keys, strict=True):
        etree.SubElement(element, f"{{{TOY_NS}}}{key}").text = value
    for (name, values), below in data.items():
        child = schema.child(TOY_NS, name)
        assert child is not None
        listed = values if child.kind is NodeKind.LIST else ()
        element.append(as_tree(child, below, listed))
    return element


def as_data(schema: Toy, element: etree._Element) -> Any:
    """In the tree's order, as pairs, so that order counts."""
    if schema.kind not in INNER:
        return element.text
    found = []
    for position, node in enumerate(element):
        name = name_of(node)[1]
        if name in schema.keys:
            assert schema.keys[position] == name  # keys stand first, in their order
            continue
        child = schema.child(TOY_NS, name)
        assert child is not None
        values = tuple(node.findtext(f"{{{TOY_NS}}}{key}") for key in child.keys)
        if child.kind is NodeKind.LEAF_LIST:
            values = (node.text,)
        found.append(((name, values), as_data(child, node)))
    return found


def in_order(data: Any) -> Any:
    if isinstance(data, dict):
        return [(key, in_order(value)) for key, value in data.items()]
    return data


@settings(max_examples=80, deadline=None)
@given(st.data(), st.sampled_from(list(DefaultOperation)))
def test_an_edit_does_to_the_tree_what_it_does_to_the_model(data, default_operation):
    schema = data.draw(schemas())
    try:
        before = model(None, data.draw(changes(schema, PLAIN)), "merge")
    except RefusedError:
        before = None  # the draw filled two cases of a choice
    change = data.draw(changes(schema, ANY))
    target = None if before is None else as_tree(schema, before)
    edit = as_edit(change)
    untouched = [None if node is None else etree.tostring(node) for node in (target, edit)]

    try:
        expected = in_order(model(before, change, default_operation.value))
    except RefusedError as refused:
        expected = str(refused)
    try:
        after = apply_edit(target, edit, schema, default_operation=default_operation)
        got = None if after is None else as_data(schema, after)
    except RpcError as error:
        got = str(error.tag)

    event(expected if isinstance(expected, str) else "applied")
    assert got == expected
    assert [None if node is None else etree.tostring(node) for node in (target, edit)] == untouched


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_an_operation_given_by_the_parent_is_as_good_as_a_written_one(data):
    schema = data.draw(schemas())
    change = data.draw(changes(schema, PLAIN))
    written = as_edit(Change(schema, "create", change.values, change.children))

    def result(edit: etree._Element, inherited: Operation | None) -> bytes | str | None:
        try:
            made = apply_edit(
                None, edit, schema, default_operation=DefaultOperation.NONE, inherited=inherited
            )
        except RpcError as error:
            return str(error)
        return None if made is None else etree.tostring(made)

    assert result(as_edit(change), Operation.CREATE) == result(written, None)
