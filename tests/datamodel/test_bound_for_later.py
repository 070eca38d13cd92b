"""The list of leaves that are bound and not acted upon, held against what the code reads."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from esc_daemon.datamodel import coverage
from esc_daemon.datamodel.bind import SHAPES
from esc_daemon.datamodel.coverage import CoverageError, check_coverage
from esc_daemon.datamodel.idle import BOUND_FOR_LATER, Waits, unheeded
from esc_daemon.datamodel.names import esc
from esc_daemon.datamodel.schema import Schema
from esc_daemon.datamodel.shape import Many, One, Shape
from esc_daemon.domain.ids import Kind

PACKAGE = Path(coverage.__file__).parents[1]
ACTING = ("domain", "engine", "vim", "monitor", "dayzero")
"""The rooms in which something follows from an intent; the others check, keep and show it."""
SAME_NAME = {
    (kind, f"properties/property/{leaf}")
    for kind in (Kind.IMAGE, Kind.FLAVOR)
    for leaf in ("name", "value")
}
"""Not acted upon either, though the name of their field is read of other things."""


def attributes_read() -> set[str]:
    sources = [file for room in ACTING for file in sorted((PACKAGE / room).rglob("*.py"))]
    nodes = (node for file in sources for node in ast.walk(ast.parse(file.read_text())))
    found = (node for node in nodes if isinstance(node, ast.Attribute))
    return {node.attr for node in found if isinstance(node.ctx, ast.Load)}


def unread(shape: Shape[Any], read: set[str], parent: str = "") -> Iterator[str]:
    """Yield the leaves of fields that nobody reads, and all below such a field."""
    for name, field in shape.fields.items():
        if name not in read:
            yield from (parent + leaf for leaf in field.leaves())
        elif isinstance(field, One):
            yield from unread(field.shape, read, f"{parent}{field.path}/")
        elif isinstance(field, Many):
            for path in field.paths:
                yield from unread(field.shape, read, f"{parent}{path}/")


def test_what_is_bound_is_acted_upon_or_listed() -> None:
    read = attributes_read()

    idle = {(kind, leaf) for kind, shape in SHAPES.items() for leaf in unread(shape, read)}

    listed = {(kind, leaf) for kind, leaves in BOUND_FOR_LATER.items() for leaf in leaves}
    assert idle | SAME_NAME == listed
    assert not idle & SAME_NAME


def test_a_leaf_that_is_listed_for_later_and_not_bound_stops_the_start(
    schema: Schema, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given: a leaf that has no effect because nobody binds it
    later = {Kind.FLAVOR: {"description": Waits.DRIVERS}}
    monkeypatch.setattr(coverage, "BOUND_FOR_LATER", later)

    with pytest.raises(CoverageError, match="flavor: description is in BOUND_FOR_LATER and not"):
        check_coverage(schema)


def test_the_log_is_silent_about_a_policy_of_recovery() -> None:
    deployment = with_leaf("recovery_policy", "max_retries")

    assert list(unheeded(Kind.DEPLOYMENT, deployment)) == []


def with_leaf(*path: str) -> etree._Element:
    deployment = etree.Element(esc("deployment"))
    below = deployment
    for name in ("vm_group", *path):
        below = etree.SubElement(below, esc(name))
    return deployment
