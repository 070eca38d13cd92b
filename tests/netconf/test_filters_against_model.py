"""Subtree filters against a plain reading of RFC 6241 section 6, and hints against the filters."""

from copy import deepcopy

from hypothesis import event, given, settings
from hypothesis import strategies as st
from lxml import etree

from esc_daemon.netconf.filters import (
    Filter,
    SubtreeFilter,
    XPathFilter,
    apply_filter,
    is_whole_root,
    key_hints,
    restrict,
    root_hints,
)
from tests.generation.naive_filter import Node, as_element, as_nodes, filtered

NAMES = st.sampled_from(["a", "b", "c"])
TEXTS = st.sampled_from(["1", "2"])
NAMESPACES = st.sampled_from(["urn:x", "urn:x", "urn:x", "urn:y"])


def nodes(namespaces: st.SearchStrategy[str], texts: st.SearchStrategy[str], depth: int):
    leaf = st.builds(Node, namespaces, NAMES, texts)
    if depth == 0:
        return leaf
    below = st.lists(nodes(namespaces, texts, depth - 1), min_size=1, max_size=5).map(tuple)
    inner = st.builds(Node, namespaces, NAMES, st.just(""), below)
    return st.one_of(leaf, inner, inner)


TREES = st.lists(nodes(NAMESPACES, TEXTS, 3), min_size=1, max_size=4).map(tuple)


@st.composite
def subtrees(draw, level: tuple[Node, ...]) -> tuple[Node, ...]:
    """Draw tests that mostly name what is there."""
    tests = []
    for node in draw(st.lists(st.sampled_from(level), max_size=2)) if level else ():
        namespace = draw(st.sampled_from([node.namespace, node.namespace, "", "urn:y"]))
        if node.children:
            below = draw(subtrees(node.children))
            tests.append(Node(namespace, node.name, "", below))
        else:
            tests.append(Node(namespace, node.name, draw(st.sampled_from(["", node.text, "2"]))))
    return tuple(tests)


def wrapped(children: tuple[Node, ...]) -> etree._Element:
    return as_element(Node("urn:d", "data", "", children))


@settings(max_examples=100, deadline=None)
@given(TREES, st.data())
def test_a_subtree_filter_chooses_what_the_plain_reading_chooses(data, draws):
    tests = draws.draw(subtrees(data))
    filter_ = SubtreeFilter(element=as_element(Node("", "filter", "", tests)))

    left = wrapped(data)
    apply_filter(left, filter_)
    result = as_nodes(left)

    event("nothing" if not result else "all" if result == data else "some")
    assert result == filtered(data, tests)


# --- hints ----------------------------------------------------------------------------------

PREDICATES = st.sampled_from(
    [
        "",
        "",
        "[a='1']",
        "[b = '2']",
        "[a='1' and b='2']",
        "[a='1'][c='1']",
        "[a='1' or b='1']",
        "[2]",
        "[last()]",
        "[a='1'][last()]",
        "[c]",
        "[.//a='1']",
        "[../a='1']",
        "[/a/b='1']",
        "['1'=a]",
        "[x:a='1']",
        "[a=1]",
    ]
)
ENDS = st.sampled_from(["", "", "", "", "/..", "/../b", "/text()", "//c"])


@st.composite
def paths(draw, level: tuple[Node, ...]) -> str:
    """Draw a path that mostly leads somewhere."""
    path = ""
    while level and (not path or draw(st.integers(0, 4))):
        node = draw(st.sampled_from(level))
        leaves = [f"[{leaf.name}='{leaf.text}']" for leaf in node.children if not leaf.children]
        names = [node.name, node.name, node.name, "*", f"child::{node.name}", f"x:{node.name}"]
        path += draw(st.sampled_from(["/", "/", "/", "/", "/", "//"]))
        path += draw(st.sampled_from(names))
        path += draw(st.sampled_from(leaves) if leaves and draw(st.booleans()) else PREDICATES)
        level = node.children
    return path + draw(ENDS)


@st.composite
def xpaths(draw, level: tuple[Node, ...]) -> str:
    path = draw(paths(level))
    form = draw(st.sampled_from(["absolute", "absolute", "relative", "union"]))
    if form == "union":
        return path + " | " + draw(paths(level))
    return path if form == "absolute" else path.lstrip("/")


def outcome(data: etree._Element, filter_: Filter, namespace: str | None) -> bytes:
    left = deepcopy(data)
    apply_filter(left, filter_, default_namespace=namespace)
    return etree.tostring(left)


@settings(max_examples=100, deadline=None)
@given(TREES, st.data(), st.sampled_from([None, "urn:x"]))
def test_hints_of_an_xpath_filter_lose_no_result(tree, draws, namespace):
    filter_ = XPathFilter(select=draws.draw(xpaths(tree)), namespaces=(("x", "urn:x"),))
    data = wrapped(tree)

    hints = key_hints(filter_, default_namespace=namespace)

    expected = outcome(data, filter_, namespace)
    event(("no hints" if hints is None else f"{len(hints)} hints") + f", {len(expected) > 60}")
    if hints is not None:
        assert outcome(restrict(data, hints), filter_, namespace) == expected


@settings(max_examples=100, deadline=None)
@given(TREES, st.data())
def test_hints_of_a_subtree_filter_lose_no_result(tree, draws):
    tests = draws.draw(subtrees(tree))
    filter_ = SubtreeFilter(element=as_element(Node("", "filter", "", tests)))
    data = wrapped(tree)

    hints = key_hints(filter_)

    expected = outcome(data, filter_, None)
    event(("no hints" if hints is None else f"{len(hints)} hints") + f", {len(expected) > 60}")
    if hints is not None:
        assert outcome(restrict(data, hints), filter_, None) == expected


NAMED_ROOTS = st.one_of(
    st.sampled_from(["a", "/b", "x:a", "/x:c"]).map(
        lambda select: XPathFilter(select=select, namespaces=(("x", "urn:x"),))
    ),
    st.builds(
        lambda namespace, name: SubtreeFilter(
            element=as_element(Node("", "filter", "", (Node(namespace, name),)))
        ),
        st.sampled_from(["", "urn:x", "urn:y"]),
        st.sampled_from(["a", "b", "c"]),
    ),
)


@settings(max_examples=100, deadline=None)
@given(TREES, NAMED_ROOTS)
def test_a_filter_of_a_whole_root_leaves_all_that_its_hint_admits(tree, filter_):
    assert is_whole_root(filter_)
    roots = root_hints(filter_)
    assert roots is not None

    left = wrapped(tree)
    apply_filter(left, filter_)

    (root,) = roots
    meant = (node for node in tree if root.is_named((node.namespace, node.name)))
    assert as_nodes(left) == tuple(meant)
