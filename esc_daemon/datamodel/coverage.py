"""
The check at start-up that no leaf of the configuration is taken and then forgotten.

CoverageError   a leaf of the YANG is neither bound nor listed, or the tables name what is not there
"""

from esc_daemon.datamodel.bind import INHERITED, SHAPES
from esc_daemon.datamodel.entries import INSIDE_TENANT, ONLY_INSIDE_TENANT, PLACES, WHOLE
from esc_daemon.datamodel.idle import ACCEPTED_NO_EFFECT, BOUND_FOR_LATER
from esc_daemon.datamodel.schema import Schema
from esc_daemon.datamodel.tree import Node
from esc_daemon.domain.ids import Kind


class CoverageError(Exception):
    """A leaf has neither a binding nor an entry in `ACCEPTED_NO_EFFECT`, or the reverse."""


def check_coverage(schema: Schema) -> None:
    """
    Compare the YANG with the tables.

    Raises:
        CoverageError: They differ; the message names each leaf and where it belongs.

    """
    for kind in PLACES:
        known = _leaves_of(schema, kind)
        bound = set(SHAPES[kind].leaves()) | set(INHERITED.get(kind, ()))
        idle = set(ACCEPTED_NO_EFFECT[kind])
        later = set(BOUND_FOR_LATER.get(kind, ()))
        faults = {
            "has neither a binding nor a place in ACCEPTED_NO_EFFECT": known - bound - idle,
            "is bound and in ACCEPTED_NO_EFFECT": bound & idle,
            "is in BOUND_FOR_LATER and not bound": later - bound,
            "is in a table and not in the YANG": (bound | idle) - known,
        }
        for fault, leaves in faults.items():
            if leaves:
                raise CoverageError(f"{kind}: {', '.join(sorted(leaves))} {fault}")
    if homeless := _homeless(schema):
        raise CoverageError(f"{', '.join(homeless)} stands in no entry of the table PLACES")


def entry_nodes(schema: Schema) -> dict[Kind, Node]:
    """Return the node of the entries of each kind."""
    rules = schema.root(*WHOLE)
    assert rules is not None
    return {Kind.NACM: rules, **{kind: entry_node(schema, kind) for kind in PLACES}}


def entry_node(schema: Schema, kind: Kind) -> Node:
    """Return the node of the list, or of the leaf, that the entries of *kind* are."""
    return schema.node(_path_of(kind))


def _path_of(kind: Kind) -> str:
    place = PLACES[kind]
    inside = "tenants/tenant/" if kind in ONLY_INSIDE_TENANT else ""
    return f"{place.root}/{inside}{place.container}/{place.name}"


def _leaves_of(schema: Schema, kind: Kind) -> set[str]:
    leaves = set(entry_node(schema, kind).leaves())
    if kind is not Kind.TENANT:
        return leaves
    others = tuple(f"{PLACES[inside].container}/" for inside in INSIDE_TENANT)
    return {leaf for leaf in leaves if not leaf.startswith(others)}


def _homeless(schema: Schema) -> list[str]:
    """Return the leaves that no kind of entry brings with it."""
    leaves = (f"{root.name}/{leaf}" for root in schema.roots() for leaf in root.leaves())
    homes = tuple(f"{_path_of(kind)}/" for kind in PLACES)
    return sorted(leaf for leaf in leaves if not f"{leaf}/".startswith(homes))
