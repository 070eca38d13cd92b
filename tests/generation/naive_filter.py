"""
What a filter chooses and what default data is, once more, on plain values.

Subtree filters are written from RFC 6241 section 6.2 alone: what is selected is a set of paths of
positions. XPath is lxml's own business here; only its result is brought into the same form.
"""

from dataclasses import dataclass

from lxml import etree

from esc_daemon.netconf.edit import NodeKind
from tests.generation.configurations import name_of
from tests.generation.specs import Spec

Position = tuple[int, ...]


@dataclass(frozen=True)
class Node:
    """An element as plain data; *keys* are the names of its keys when it is a list's entry."""

    namespace: str
    name: str
    text: str = ""
    children: tuple["Node", ...] = ()
    attributes: tuple[tuple[str, str], ...] = ()
    keys: tuple[str, ...] = ()


def as_nodes(parent: etree._Element, specs: dict[str, Spec] | None = None) -> tuple[Node, ...]:
    """Return the children of *parent*; *specs* describe them where that matters."""
    found = []
    for child in parent:
        name = name_of(child)
        spec = None if specs is None else specs.get(name)
        below = as_nodes(child, None if spec is None else spec.children)
        found.append(
            Node(
                namespace=etree.QName(child).namespace or "",
                name=name,
                text=child.text or "",
                children=below,
                attributes=tuple(sorted((str(key), value) for key, value in child.attrib.items())),
                keys=() if spec is None else spec.keys,
            )
        )
    return tuple(found)


def as_element(node: Node) -> etree._Element:
    made = etree.Element(f"{{{node.namespace}}}{node.name}" if node.namespace else node.name)
    made.text = node.text or None
    made.attrib.update(dict(node.attributes))
    made.extend([as_element(child) for child in node.children])
    return made


def grouped(level: tuple[Node, ...]) -> object:
    """Return nodes as a value in which order counts among those of one name only."""
    told = [
        (node.namespace, node.name, node.text, node.attributes, grouped(node.children))
        for node in level
    ]
    return sorted(told, key=lambda each: each[:2])


# --- subtree filters --------------------------------------------------------------------------


def filtered(data: tuple[Node, ...], tests: tuple[Node, ...]) -> tuple[Node, ...]:
    """Return what the *tests*, which are the children of a filter, choose of *data*."""
    whole = _select(tests, data, ()) if tests else set()
    return pruned(data, whole)


def _meant(test: Node, node: Node) -> bool:
    return (
        test.name == node.name
        and test.namespace in {"", node.namespace}
        and set(test.attributes) <= set(node.attributes)
    )


def _select(tests: tuple[Node, ...], level: tuple[Node, ...], at: Position) -> set[Position]:
    """Return the positions of whole subtrees that one set of siblings chooses."""
    numbered = list(enumerate(level))
    contents = [test for test in tests if not test.children and test.text.strip()]
    others = [test for test in tests if test not in contents]
    found: set[Position] = set()
    for test in contents:
        wanted = test.text.strip()
        hits = {(*at, i) for i, n in numbered if _meant(test, n) and n.text.strip() == wanted}
        if not hits:
            return set()
        found |= hits
    if not others:
        return {at}
    for test in others:
        for i, node in numbered:
            if _meant(test, node):
                below = _select(test.children, node.children, (*at, i))
                found |= below if test.children else {(*at, i)}
    return found


def pruned(level: tuple[Node, ...], whole: set[Position], at: Position = ()) -> tuple[Node, ...]:
    """Return what is *whole*, with the way down to it and the keys on that way."""
    if () in whole:
        return level
    kept = []
    for i, node in enumerate(level):
        here = (*at, i)
        if here in whole:
            kept.append(node)
        elif any(chosen[: len(here)] == here for chosen in whole):
            keys = {(*here, k) for k, each in enumerate(node.children) if each.name in node.keys}
            below = pruned(node.children, whole | keys, here)
            kept.append(Node(node.namespace, node.name, "", below, node.attributes, node.keys))
    return tuple(kept)


# --- XPath ------------------------------------------------------------------------------------


def found_by_xpath(
    data: etree._Element, expression: str, namespaces: dict[str, str]
) -> set[Position]:
    """Return the positions of the elements that lxml finds; of a text or an attribute its own."""
    found = data.xpath(expression, namespaces=namespaces)
    elements = (each if etree.iselement(each) else each.getparent() for each in found)
    return {_position(data, element) for element in elements}


def _position(data: etree._Element, element: etree._Element) -> Position:
    if element is data:
        return ()
    parent = element.getparent()
    assert parent is not None
    return (*_position(data, parent), parent.index(element))


# --- default data -----------------------------------------------------------------------------


def without_defaults(level: tuple[Node, ...], specs: dict[str, Spec]) -> tuple[Node, ...]:
    """Return *level* without what is written as its default is (RFC 6243 section 3.2)."""
    kept = []
    for node in level:
        spec = specs[node.name]
        if spec.kind is NodeKind.LEAF and node.text == spec.default and not spec.is_key():
            continue
        below = without_defaults(node.children, spec.children)
        if spec.kind is NodeKind.CONTAINER and node.children and not below:
            continue
        kept.append(Node(node.namespace, node.name, node.text, below, node.attributes, node.keys))
    return tuple(kept)
