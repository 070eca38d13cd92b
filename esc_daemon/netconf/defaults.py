"""
Default data in retrievals (RFC 6243), on trees of lxml; basic mode explicit.

What a client has set is its own, even when it equals the default. Values are compared as they are
written. A default is in use where RFC 7950 section 7.6.1 says so: its parent is there, or would be
there without saying anything (a container without presence).
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, Protocol

from lxml import etree

from esc_daemon.netconf.edit import NodeKind, SchemaNode
from esc_daemon.netconf.xml import DEFAULT_TAG_NS, name_of, qualified

TAG: Final = qualified(DEFAULT_TAG_NS, "default")
"""The attribute that marks default data (RFC 6243 section 6)."""


class WithDefaults(StrEnum):
    """RFC 6243 section 3; EXPLICIT is what every retrieval gets that asks for nothing."""

    EXPLICIT = "explicit"
    TRIM = "trim"
    REPORT_ALL = "report-all"
    REPORT_ALL_TAGGED = "report-all-tagged"


class DefaultsNode(SchemaNode, Protocol):
    """A data node of the schema with what may stand below it."""

    @property
    def children(self) -> "Mapping[str, DefaultsNode]":
        """By name, in the schema's order; all of them are in the namespace of their parent."""


class Roots(Protocol):
    """Gives the schema of a top-level node; None for one that has no defaults."""

    def __call__(self, namespace: str, name: str, /) -> DefaultsNode | None: ...


def add_defaults(data: etree._Element, roots: Roots, *, tagged: bool) -> None:
    """Put the defaults that are in use into the top-level nodes of *data*, in place."""
    for child in data:
        schema = roots(*name_of(child))
        if schema is not None:
            _add(child, schema, tagged=tagged)


def _add(element: etree._Element, schema: DefaultsNode, *, tagged: bool) -> None:
    there: dict[str, list[etree._Element]] = {}
    for child in element:
        there.setdefault(name_of(child)[1], []).append(child)
    cases = {schema.children[name].case for name in there if name in schema.children}
    for name, below in schema.children.items():
        if below.kind in {NodeKind.LEAF, NodeKind.LEAF_LIST}:
            if below.default is not None and name not in there and below.case in {None, *cases}:
                element.append(_default(below, below.default, tagged=tagged))
        elif name in there:
            for child in there[name]:
                _add(child, below, tagged=tagged)
        elif below.kind is NodeKind.CONTAINER and below.case in {None, *cases}:
            implied = etree.Element(qualified(below.namespace, name))
            _add(implied, below, tagged=tagged)
            if len(implied):
                element.append(implied)


def _default(schema: DefaultsNode, value: str, *, tagged: bool) -> etree._Element:
    prefixes = {"wd": DEFAULT_TAG_NS} if tagged else None
    leaf = etree.Element(qualified(schema.namespace, schema.name), nsmap=prefixes)
    leaf.text = value
    if tagged:
        leaf.set(TAG, "true")
    return leaf


def trim_defaults(data: etree._Element, roots: Roots) -> None:
    """
    Take the leaves that have their default's value out of *data*, in place.

    A container without presence that holds nothing any more goes with them.
    """
    for child in list(data):
        schema = roots(*name_of(child))
        if schema is not None:
            _trim(child, schema)


def _trim(element: etree._Element, schema: DefaultsNode) -> None:
    for child in list(element):
        below = schema.children.get(name_of(child)[1])
        if below is None:
            continue
        if below.kind is NodeKind.LEAF:
            if child.text == below.default and below.name not in schema.keys:
                element.remove(child)
        elif len(child):
            _trim(child, below)
            if len(child) == 0 and below.kind is NodeKind.CONTAINER:
                element.remove(child)
