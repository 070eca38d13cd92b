"""
Where in the data all results of a filter lie, so that the rest need not be built.

A hint is a step down from the data's root. *restrict* says in code what may be left out: applying
a filter to the restricted data gives what it gives on all data.
"""

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from lxml import etree

from esc_daemon.netconf.errors import RpcError
from esc_daemon.netconf.subtree import SiblingSet, SubtreeFilter, text_of
from esc_daemon.netconf.xml import name_of
from esc_daemon.netconf.xpath import Token, TokenKind, XPathFilter, escapes, tokens_of


@dataclass(frozen=True, slots=True)
class Hint:
    """
    One step: every result lies in a node of this name whose leaves *keys* have these values.

    *namespace* is None when any will do. *keys* are (name, value) of leaves, in the namespace of
    the step; they may be no keys of a list. White space around values does not count.
    """

    namespace: str | None
    name: str
    keys: tuple[tuple[str, str], ...] = ()

    def is_named(self, name: tuple[str, str]) -> bool:
        """Tell whether a node of this (namespace, local name) may be meant."""
        return name[1] == self.name and self.namespace in {None, name[0]}

    def admits(self, node: etree._Element) -> bool:
        """Tell whether *node* is of this name and none of its leaves has another value."""
        if not self.is_named(name_of(node)):
            return False
        for key, value in self.keys:
            found = list(node.iterchildren(f"{{{self.namespace or '*'}}}{key}"))
            # what is no leaf, or absent, is for the filter itself to judge
            if found and not any(len(leaf) or text_of(leaf) == value for leaf in found):
                return False
        return True


def restrict(data: etree._Element, hints: Sequence[Hint]) -> etree._Element:
    """
    Return a copy of *data* without what *hints* say no result needs.

    At each step stay the nodes that the hint admits, all leaves, and what the keys of the step
    above name; everything else goes.
    """
    restricted = deepcopy(data)
    level = [restricted]
    compared: set[str] = set()
    for hint in hints:
        kept: list[etree._Element] = []
        for node in level:
            for child in list(node):
                if hint.admits(child):
                    kept.append(child)
                elif len(child) and name_of(child)[1] not in compared:
                    node.remove(child)
        compared = {name for name, _ in hint.keys}
        level = kept
    return restricted


def key_hints(
    filter_: SubtreeFilter | XPathFilter, *, default_namespace: str | None = None
) -> tuple[Hint, ...] | None:
    """
    Return the steps that every result of *filter_* lies under; None when nothing can be said.

    A filter that is wrong gives None too: evaluating it will tell.
    """
    match filter_:
        case SubtreeFilter(element=element):
            return tuple(_subtree_steps(element)) or None
        case XPathFilter(select=select, namespaces=namespaces):
            try:
                return _xpath_hints(select, namespaces, default_namespace)
            except RpcError:
                return None


@lru_cache(maxsize=256)
def _xpath_hints(
    select: str, namespaces: tuple[tuple[str, str], ...], default_namespace: str | None
) -> tuple[Hint, ...] | None:
    """Clients ask the same again and again; what is wrong or too long raises and is not kept."""
    tokens = tokens_of(select)
    steps = tuple(_XPathSteps(tokens, dict(namespaces), default_namespace).steps())
    return _until_a_key_is_entered(steps) or None


def root_hints(filter_: SubtreeFilter | XPathFilter) -> tuple[Hint, ...] | None:
    """
    Return the nodes right below the data's root that results may lie in; None stands for any.

    A name without a prefix or a namespace may stand in any namespace.
    """
    match filter_:
        case SubtreeFilter(element=element):
            return tuple(Hint(name_of(child)[0] or None, name_of(child)[1]) for child in element)
        case XPathFilter():
            hints = key_hints(filter_)
            return None if hints is None else hints[:1]


def is_whole_root(filter_: SubtreeFilter | XPathFilter) -> bool:
    """Tell whether *filter_* chooses the nodes that `root_hints` names whole, and no others."""
    match filter_:
        case SubtreeFilter(element=element):
            return len(element) == 1 and _is_plain_selection(element[0])
        case XPathFilter(select=select, namespaces=namespaces):
            try:
                return _is_one_name(select, namespaces)
            except RpcError:
                return False


@lru_cache(maxsize=256)
def _is_one_name(select: str, namespaces: tuple[tuple[str, str], ...]) -> bool:
    return _XPathSteps(tokens_of(select), dict(namespaces), None).is_one_name()


def _is_plain_selection(node: etree._Element) -> bool:
    return len(node) == 0 and not text_of(node) and not node.attrib


def _subtree_steps(node: etree._Element) -> Iterator[Hint]:
    below = SiblingSet.below(node)
    ways = below.selection + below.containment
    while len(ways) == 1:
        namespace, name = name_of(ways[0])
        below = SiblingSet.below(ways[0])
        keys = tuple(
            (name_of(test)[1], text_of(test))
            for test in below.content
            if name_of(test)[0] == namespace and not test.attrib
        )
        yield Hint(namespace or None, name, keys)
        ways = below.selection + below.containment


def _until_a_key_is_entered(steps: Sequence[Hint]) -> tuple[Hint, ...]:
    """Stop before a step into a node that the predicate above compares: it has to stay whole."""
    for position, (above, step) in enumerate(pairwise(steps), start=1):
        if step.name in {name for name, _ in above.keys}:
            return tuple(steps[:position])
    return tuple(steps)


class _XPathSteps:
    """Reads the plain beginning of a location path: names, and predicates [leaf = 'literal']."""

    def __init__(
        self,
        tokens: Sequence[Token],
        namespaces: Mapping[str, str],
        default_namespace: str | None,
    ) -> None:
        # One slash in front is the data's root; any other one makes the path no plain one.
        self._tokens = tokens[1:] if tokens and tokens[0].is_symbol("/") else tokens
        self._namespaces = namespaces
        self._default = default_namespace
        self._position = 0

    def is_one_name(self) -> bool:
        return len(self._tokens) == 1 and self._name_here() is not None

    def steps(self) -> Iterator[Hint]:
        if any(escapes(self._tokens, position) for position in range(len(self._tokens))):
            return
        if self._is_no_single_path():
            return
        while (named := self._name_here()) is not None:
            self._position += 1
            keys, plain = self._predicates(named[0])
            yield Hint(*named, keys)
            if not plain or not self._take("/"):
                return

    def _is_no_single_path(self) -> bool:
        """Tell whether an operator outside of predicates makes more of it than one path."""
        depth = 0
        for token in self._tokens:
            depth += token.is_symbol("[") - token.is_symbol("]")
            plain = token.kind is not TokenKind.OPERATOR or token.text in {"/", "//"}
            if depth == 0 and not plain:
                return True
        return False

    def _name_here(self) -> tuple[str | None, str] | None:
        """Return (namespace, name) of a step by name; None for all else."""
        token = self._peek()
        if token is None or token.kind is not TokenKind.NAME_TEST:
            return None
        prefix, colon, name = token.text.rpartition(":")
        if name == "*":
            return None
        if not colon:
            return self._default, name
        return (self._namespaces[prefix], name) if prefix in self._namespaces else None

    def _predicates(self, namespace: str | None) -> tuple[tuple[tuple[str, str], ...], bool]:
        """Return the equalities of the leading predicates, and whether there were no others."""
        keys: list[tuple[str, str]] = []
        while self._take("["):
            before = self._position
            found = self._equalities(namespace)
            if found is None:
                self._position = before
                return tuple(keys), False
            keys += found
        return tuple(keys), True

    def _equalities(self, namespace: str | None) -> list[tuple[str, str]] | None:
        found: list[tuple[str, str]] = []
        while True:
            named = self._name_here()
            if named is None or named[0] != namespace:
                return None
            self._position += 1
            if not self._take("="):
                return None
            literal = self._peek()
            if literal is None or literal.kind is not TokenKind.LITERAL:
                return None
            self._position += 1
            found.append((named[1], literal.text[1:-1].strip()))
            if self._take("]"):
                return found
            if not self._take("and"):
                return None

    def _peek(self) -> Token | None:
        return self._tokens[self._position] if self._position < len(self._tokens) else None

    def _take(self, text: str) -> bool:
        token = self._peek()
        taken = token is not None and token.is_symbol(text)
        self._position += taken
        return taken
