"""
Choose a part of the data: subtree filters (RFC 6241 section 6) and XPath (section 8.9).

Both mark nodes of the data; what is neither marked nor on the way to it is then taken out.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import Protocol, TypeAlias

from lxml import etree

from esc_daemon.netconf.hints import Hint as Hint
from esc_daemon.netconf.hints import is_whole_root as is_whole_root
from esc_daemon.netconf.hints import key_hints as key_hints
from esc_daemon.netconf.hints import restrict as restrict
from esc_daemon.netconf.hints import root_hints as root_hints
from esc_daemon.netconf.subtree import Marks, evaluate_subtree
from esc_daemon.netconf.subtree import SubtreeFilter as SubtreeFilter
from esc_daemon.netconf.xml import name_of, qualified
from esc_daemon.netconf.xpath import XPathFilter as XPathFilter
from esc_daemon.netconf.xpath import evaluate, tokens_of
from esc_daemon.netconf.xpath import work_of as _work_of_xpath


class KeyNames(Protocol):
    """Gives the names of a list entry's key leaves; empty for anything else."""

    def __call__(self, element: etree._Element, /) -> tuple[str, ...]: ...


Filter: TypeAlias = SubtreeFilter | XPathFilter


def no_keys(_element: etree._Element) -> tuple[str, ...]:
    """Say that nothing is a list entry."""
    return ()


def apply_filter(
    data: etree._Element,
    filter_: Filter,
    *,
    default_namespace: str | None = None,
    key_names: KeyNames = no_keys,
) -> None:
    """
    Take out of the element *data* all that *filter_* does not choose.

    The ancestors of what is chosen stay, and the key leaves of the list entries among them.
    *default_namespace* is where names without a prefix stand in XPath; None stands for any.

    Nothing is copied: a copy of everything costs as much as parsing it, and the memory twice.

    Raises:
        RpcError: invalid-value for XPath that is wrong or yields no nodes, too-big for a filter
            that would cost too much.

    """
    marks = _marks(data, filter_, default_namespace)
    if data not in marks.whole:
        _prune(data, marks, key_names)


def check_filter(filter_: Filter, *, default_namespace: str | None = None) -> None:
    """Raise what `apply_filter` would where there is no data; an XPath is looked at once."""
    match filter_:
        case SubtreeFilter():
            _marks(etree.Element("data"), filter_, default_namespace)
        case XPathFilter():
            _checked(filter_, default_namespace)


@lru_cache(maxsize=256)
def _checked(filter_: XPathFilter, default_namespace: str | None) -> None:
    _marks(
        etree.Element("data"), filter_, default_namespace
    )  # what is wrong raises, and is not kept


def selects(data: etree._Element, filter_: Filter, *, default_namespace: str | None = None) -> bool:
    """Tell whether *apply_filter* would choose anything; same errors."""
    marks = _marks(data, filter_, default_namespace)
    return bool(marks.whole or marks.part)


def work_of(filter_: Filter, nodes: int) -> int:
    """
    Return a bound of the looks at nodes that *filter_* takes over *nodes* nodes.

    Raises:
        RpcError: invalid-value or too-big for XPath that cannot be read.

    """
    match filter_:
        case SubtreeFilter(element=element):
            return sum(1 for _ in element.iter()) * nodes
        case XPathFilter(select=select):
            return _work_of_xpath(tokens_of(select), nodes)


def _marks(data: etree._Element, filter_: Filter, default_namespace: str | None) -> Marks:
    match filter_:
        case SubtreeFilter(element=element):
            return evaluate_subtree(data, element)
        case XPathFilter(select=select, namespaces=namespaces):
            found = evaluate(data, select, dict(namespaces), default_namespace)
            return _with_ancestors(data, found)


def _with_ancestors(data: etree._Element, found: Iterable[etree._Element]) -> Marks:
    marks = Marks(whole=set(found))
    for node in marks.whole:
        above = node.getparent()
        while above is not None and above is not data and above not in marks.part:
            marks.part.add(above)
            above = above.getparent()
    return marks


def _prune(node: etree._Element, marks: Marks, key_names: KeyNames) -> None:
    node.text = None
    keys = {qualified(name_of(node)[0], key) for key in key_names(node)}
    for child in list(node):
        if child in marks.whole or child.tag in keys:
            child.tail = None
        elif child in marks.part:
            child.tail = None
            _prune(child, marks, key_names)
        else:
            node.remove(child)
