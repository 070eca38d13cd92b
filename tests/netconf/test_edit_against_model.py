"""apply_edit against plain values on random schemas: shapes that the data model has not."""

from copy import deepcopy
from typing import Any

from hypothesis import event, given, settings
from hypothesis import strategies as st
from lxml import etree

from esc_daemon.netconf.edit import DefaultOperation, NodeKind, Operation, apply_edit
from esc_daemon.netconf.errors import RpcError
from esc_daemon.netconf.xml import name_of
from tests.generation.naive_edit import (
    INNER,
    Change,
    Insert,
    NaiveEdit,
    as_data,
    as_edit,
    as_tree,
)
from tests.netconf.toy_schema import TOY_NS, Toy, container

MANY = {NodeKind.LIST, NodeKind.LEAF_LIST}
WORDS = st.sampled_from(["1", "2", "3"])
CASES = st.sampled_from([None, None, None, ("choice", "left"), ("choice", "right")])
PLAIN = st.none()
ANY = st.sampled_from([None, None, None, None, "merge", "replace", "create", "delete", "remove"])
PLACES = st.sampled_from(["first", "last", "before", "after"])


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
        ordered = kind in MANY and draw(st.booleans())
        nodes.append(Toy(name, kind, (*leaves, *below), keys, ordered, draw(CASES)))
    return tuple(nodes)


@st.composite
def changes(draw, schema: Toy, operations: st.SearchStrategy[str | None]) -> Change:
    operation = draw(operations)
    insert = None
    if schema.user_ordered and operations is not PLAIN and draw(st.booleans()):
        where = draw(PLACES)
        length = len(schema.keys) or 1
        point = tuple(draw(WORDS) for _ in range(length)) if where in {"before", "after"} else None
        insert = Insert(where, point)
    if schema.kind not in INNER:
        return Change(schema, operation, (draw(WORDS),), insert=insert)
    values = tuple(draw(WORDS) for _ in schema.keys)
    children = []
    for child in schema.children:
        if child.name in schema.keys:
            continue
        many = draw(st.integers(0, 3 if child.kind in MANY else 1))
        children += [draw(changes(child, operations)) for _ in range(many)]
    return Change(schema, operation, values, tuple(draw(st.permutations(children))), insert)


def in_order(schema: Toy, data: Any) -> Any:
    """Return *data* as a value in which the order of all that is alike counts."""
    if not isinstance(data, dict):
        return data
    found: dict[str, list[Any]] = {}
    for (name, values), below in data.items():
        child = schema.child(TOY_NS, name)
        assert child is not None
        found.setdefault(name, []).append((values, in_order(child, below)))
    return found


def keys_stand_first(schema: Toy, element: etree._Element) -> bool:
    names = [name_of(child)[1] for child in element]
    children = ((schema.child(TOY_NS, name_of(child)[1]), child) for child in element)
    return tuple(names[: len(schema.keys)]) == schema.keys and all(
        keys_stand_first(below, child) for below, child in children if below is not None
    )


@settings(max_examples=120, deadline=None)
@given(st.data(), st.sampled_from(list(DefaultOperation)))
def test_an_edit_does_to_the_tree_what_it_does_to_plain_values(data, default_operation):
    schema = data.draw(schemas())
    start = NaiveEdit()
    before = start.apply(None, data.draw(changes(schema, PLAIN)), "merge")
    if start.refusals:
        before = None  # the draw filled two cases of a choice
    change = data.draw(changes(schema, ANY))
    target = None if before is None else as_tree(schema, before)
    edit = as_edit(change)
    untouched = [None if node is None else etree.tostring(node) for node in (target, edit)]

    naive = NaiveEdit()
    expected = naive.apply(before, change, default_operation.value)
    after, refused = None, []
    try:
        after = apply_edit(target, edit, schema, default_operation=default_operation)
    except RpcError as error:
        refused = [(error.tag.value, error.path)]

    event("refused" if refused else "applied")
    assert bool(refused) is bool(naive.refusals)
    assert set(refused) <= set(naive.refusals)  # of several, either may be told
    if not refused:
        assert after is None or keys_stand_first(schema, after)
        got = None if after is None else as_data(schema, after)
        assert in_order(schema, got) == in_order(schema, expected)
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


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_what_is_new_becomes_the_same_by_the_short_way_as_by_the_long_one(data):
    schema = data.draw(schemas())
    edit = as_edit(data.draw(changes(schema, PLAIN)))
    marked = deepcopy(edit)
    for node in marked.iter():
        node.set("{urn:nobody}seen", "true")  # means nothing, and sends each node the long way

    def result(given_edit: etree._Element) -> bytes | str | None:
        try:
            made = apply_edit(None, given_edit, schema, default_operation=DefaultOperation.MERGE)
        except RpcError as error:
            return str(error)
        return None if made is None else etree.tostring(made)

    assert result(edit) == result(marked)
