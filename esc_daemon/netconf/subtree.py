"""Subtree filters to the letter of RFC 6241 section 6."""

from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from lxml import etree

from esc_daemon.netconf.errors import RpcError
from esc_daemon.netconf.xml import name_of, tag_of

MAX_FILTER_NODES: Final = 1000
"""Elements of a subtree filter."""
MAX_COMPARISONS: Final = 1_000_000
"""Elements of the data that one evaluation may look at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubtreeFilter:
    """The filter element itself; its children are the filter's top."""

    element: etree._Element


@dataclass(slots=True)
class Marks:
    """What is chosen: subtrees as a whole, and nodes on the way to them."""

    whole: set[etree._Element] = field(default_factory=set)
    part: set[etree._Element] = field(default_factory=set)


def refuse_if_large(filter_element: etree._Element) -> None:
    """
    Raise too-big for a filter of too many elements, without a look at all of them.

    To be called before anything else is done with one: a message has room for millions.
    """
    found = sum(1 for _ in islice(filter_element.iter(), MAX_FILTER_NODES + 1))
    if found > MAX_FILTER_NODES:
        raise RpcError.too_big(f"a subtree filter may have {MAX_FILTER_NODES} elements")


def evaluate_subtree(data: etree._Element, filter_element: etree._Element) -> Marks:
    """
    Return what the filter chooses below *data*.

    Raises:
        RpcError: too-big for a filter of too many elements or comparisons.

    """
    return _Subtree(filter_element).marks(data)


@dataclass(frozen=True, slots=True)
class SiblingSet:
    """The children of a filter's node by their kind (RFC 6241 section 6.2)."""

    content: tuple[etree._Element, ...]
    selection: tuple[etree._Element, ...]
    containment: tuple[etree._Element, ...]

    @classmethod
    def below(cls, node: etree._Element) -> "SiblingSet":
        """Sort the children of *node*."""
        leaves = [child for child in node if len(child) == 0]
        return cls(
            content=tuple(child for child in leaves if text_of(child)),
            selection=tuple(child for child in leaves if not text_of(child)),
            containment=tuple(child for child in node if len(child)),
        )


def text_of(element: etree._Element) -> str:
    """Return the text as a content match compares it (RFC 6241 section 6.2.5)."""
    return (element.text or "").strip()


class _Subtree:
    """One evaluation of a subtree filter."""

    def __init__(self, top: etree._Element) -> None:
        self._top = top
        self._sets: dict[etree._Element, SiblingSet] = {}
        self._budget = MAX_COMPARISONS

    def marks(self, data: etree._Element) -> Marks:
        refuse_if_large(self._top)
        marks = Marks()
        if len(self._top):  # RFC 6241 section 6.4.2: an empty filter selects nothing
            self._siblings(self._top, data, marks)
        marks.part.discard(data)
        return marks

    def _siblings(self, node: etree._Element, data: etree._Element, marks: Marks) -> bool:
        """Mark what the children of *node* choose below *data*; tell whether that is anything."""
        below = self._sets.get(node)
        if below is None:
            below = self._sets[node] = SiblingSet.below(node)
        matched: list[etree._Element] = []
        for test in below.content:
            hits = [leaf for leaf in self._named(test, data) if text_of(leaf) == text_of(test)]
            if not hits:
                return False
            matched += hits
        if not below.selection and not below.containment:
            marks.whole.add(data)
            return True
        chosen = bool(matched)
        marks.whole.update(matched)
        for wanted in below.selection:
            for child in self._named(wanted, data):
                marks.whole.add(child)
                chosen = True
        for inner in below.containment:
            for child in self._named(inner, data):
                chosen = self._siblings(inner, child, marks) or chosen
        if chosen:
            marks.part.add(data)
        return chosen

    def _named(self, test: etree._Element, data: etree._Element) -> list[etree._Element]:
        """Return the children of *data* that *test* means by name and attributes."""
        namespace, name = name_of(test)
        # RFC 6241 section 6.2.1: no namespace means any
        found = list(data.iterchildren(tag_of(test) if namespace else f"{{*}}{name}"))
        self._budget -= len(found) + 1
        if self._budget < 0:
            raise RpcError.too_big("the subtree filter compares too much; name the keys you want")
        wanted = test.attrib.items()
        return [child for child in found if all(child.get(key) == value for key, value in wanted)]
