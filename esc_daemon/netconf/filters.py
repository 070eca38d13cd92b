"""
Choose a part of the data: subtree filters (RFC 6241 section 6) and XPath (section 8.9).

Both mark nodes of the data; one builder then copies what is marked, with the way down to it.
"""

from collections.abc import Iterable, Mapping
from copy import deepcopy
from typing import Protocol, TypeAlias

from lxml import etree

from esc_daemon.netconf.hints import Hint as Hint
from esc_daemon.netconf.hints import key_hints as key_hints
from esc_daemon.netconf.hints import restrict as restrict
from esc_daemon.netconf.hints import root_hints as root_hints
from esc_daemon.netconf.subtree import Marks, evaluate_subtree
from esc_daemon.netconf.subtree import SubtreeFilter as SubtreeFilter
from esc_daemon.netconf.xml import name_of, qualified, tag_of
from esc_daemon.netconf.xpath import XPathFilter as XPathFilter
from esc_daemon.netconf.xpath import evaluate


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
) -> etree._Element:
    """
    Return a new data element with what *filter_* chooses below *data*, in the data's order.

    The ancestors of what is chosen come with it, and the key leaves of the list entries among
    them. *default_namespace* is where names without a prefix stand in XPath; None stands for any.

    Raises:
        RpcError: invalid-value for XPath that is wrong or yields no nodes, too-big for a filter
            that would cost too much.

    """
    marks = _marks(data, filter_, default_namespace)
    if data in marks.whole:
        return deepcopy(data)
    chosen = etree.Element(tag_of(data), nsmap=dict(data.nsmap))
    _build(data, chosen, marks, key_names)
    return chosen


def selects(data: etree._Element, filter_: Filter, *, default_namespace: str | None = None) -> bool:
    """Tell whether *apply_filter* would choose anything; same errors."""
    marks = _marks(data, filter_, default_namespace)
    return bool(marks.whole or marks.part)


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


def _build(
    source: etree._Element, copied: etree._Element, marks: Marks, key_names: KeyNames
) -> None:
    keys = {qualified(name_of(source)[0], key) for key in key_names(source)}
    for child in source:
        if child in marks.whole or child.tag in keys:
            whole = deepcopy(child)
            whole.tail = None
            copied.append(whole)
        elif child in marks.part:
            below = etree.SubElement(copied, tag_of(child), nsmap=_own_prefixes(child))
            for name, value in child.attrib.items():
                below.set(name, value)
            _build(child, below, marks, key_names)


def _own_prefixes(element: etree._Element) -> Mapping[str | None, str]:
    above = element.getparent()
    known = {} if above is None else above.nsmap
    return {prefix: uri for prefix, uri in element.nsmap.items() if known.get(prefix) != uri}
