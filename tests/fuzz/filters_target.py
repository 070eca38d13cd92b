"""
Filters over a tree: refused or evaluated, and what is foreseen as too much is refused.

Subtree filters choose what the plain reading of the RFC chooses; hints of any filter lose nothing.
No time is measured: another program on the machine would fail it. What costs far more than was
foreseen ends by the fuzzer's own time-out; MAX_WORK is about two seconds.
"""

from copy import deepcopy
from random import Random

from lxml import etree

from esc_daemon.netconf.errors import RpcError
from esc_daemon.netconf.filters import (
    Filter,
    SubtreeFilter,
    XPathFilter,
    apply_filter,
    key_hints,
    restrict,
    root_hints,
    selects,
    work_of,
)
from esc_daemon.netconf.xml import MalformedMessage, parse
from esc_daemon.netconf.xpath import MAX_WORK
from tests.fuzz.choices import Choices
from tests.generation.any_filter import any_subtree, any_xpath
from tests.generation.naive_filter import Node, as_element, as_nodes, filtered

ESC = "http://www.cisco.com/esc/esc"
SEEDS = tuple(
    mode + text.encode()
    for mode, text in (
        (b"\x00", "/esc_datamodel/tenants/tenant[name='a']/x:name | //b[last()]"),
        (b"\x00", "a/b[c='1' and not(d)]/../following-sibling::*[position() > 1]"),
        (b"\x00", "//*[count(.//*[. = ../*]) > 1]"),
        (b"\x00", "descendant-or-self::node()/ancestor::*//text()"),
        (b"\x00", "id('x')[lang('y')] | a[number(.) div 2 = -1]"),
        (b"\x01", "<filter><a xmlns='http://www.cisco.com/esc/esc'><b>1</b><c/></a></filter>"),
        (b"\x01", "<filter><a><a><b>2</b></a><c x='1'/></a><b/></filter>"),
        (b"\x02", "0123456789abcdef"),
        (b"\x03", "fedcba9876543210"),
    )
)


def _tree(rng: Random, depth: int) -> tuple[Node, ...]:
    """Return a tree whose names come again at each depth."""
    return tuple(
        Node(
            rng.choice((ESC, ESC, ESC, "urn:y")),
            rng.choice("abc"),
            text="" if depth and number else rng.choice("12"),
            children=_tree(rng, depth - 1) if depth and number else (),
        )
        for number in range(rng.randint(2, 5))
    )


NODES = _tree(Random(4), 3)
DATA = as_element(Node("", "data", children=NODES))


def run(data: bytes) -> None:
    mode, rest = data[:1], data[1:]
    match int.from_bytes(mode, "little") % 4:
        case 0:
            _xpath(rest.decode("utf-8", "surrogateescape"))
        case 1:
            try:
                element = parse(rest)
            except MalformedMessage:
                return
            _subtree(element, as_nodes(element))
        case 2:
            tests = any_subtree(Choices(rest), NODES)
            _subtree(as_element(Node("", "filter", children=tests)), tests)
        case _:
            _xpath(any_xpath(Choices(rest), NODES).without_prefixes())


def _xpath(select: str) -> None:
    for namespace in (ESC, None):
        filter_ = XPathFilter(select=select, namespaces=(("x", ESC), ("y", "urn:y")))
        _outcome(DATA, filter_, namespace)
        root_hints(filter_)
        hints = key_hints(filter_, default_namespace=namespace)
        if hints is not None:
            expected = _outcome(DATA, filter_, namespace)
            assert _outcome(restrict(DATA, hints), filter_, namespace) == expected


def _subtree(element: etree._Element, tests: tuple[Node, ...]) -> None:
    filter_ = SubtreeFilter(element=element)
    chosen = _outcome(DATA, filter_, None)
    root_hints(filter_)
    hints = key_hints(filter_, default_namespace=None)
    if hints is not None:
        assert _outcome(restrict(DATA, hints), filter_, None) == chosen
    if isinstance(chosen, bytes):
        assert as_nodes(etree.fromstring(chosen)) == filtered(NODES, tests)


def _outcome(data: etree._Element, filter_: Filter, namespace: str | None) -> bytes | None:
    """Return what is chosen; None for a refusal."""
    left = deepcopy(data)
    try:
        something = selects(left, filter_, default_namespace=namespace)
        apply_filter(left, filter_, default_namespace=namespace)
    except RpcError:
        return None
    assert something or not len(left)
    if isinstance(filter_, XPathFilter):
        nodes = sum(1 for _ in data.iter())
        assert work_of(filter_, nodes) <= MAX_WORK, "it was foreseen as too much"
    return etree.tostring(left)
