"""
The check at start-up that no leaf of the configuration is taken and then forgotten.

CoverageError   a leaf of the YANG is neither bound nor listed, or the tables name what is not there
"""

from esc_daemon.datamodel.bind import INHERITED, SHAPES
from esc_daemon.datamodel.entries import INSIDE_TENANT, LISTS, ROOT
from esc_daemon.datamodel.idle import ACCEPTED_NO_EFFECT
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
    for kind in LISTS:
        known = _leaves_of(schema, kind)
        bound = set(SHAPES[kind].leaves()) | set(INHERITED.get(kind, ()))
        idle = set(ACCEPTED_NO_EFFECT[kind])
        faults = {
            "has neither a binding nor a place in ACCEPTED_NO_EFFECT": known - bound - idle,
            "is bound and in ACCEPTED_NO_EFFECT": bound & idle,
            "is in a table and not in the YANG": (bound | idle) - known,
        }
        for fault, leaves in faults.items():
            if leaves:
                raise CoverageError(f"{kind}: {', '.join(sorted(leaves))} {fault}")


def entry_node(schema: Schema, kind: Kind) -> Node:
    """Return the node of the list whose entries are of *kind*."""
    inside = "tenants/tenant/" if kind is Kind.DEPLOYMENT else ""
    return schema.node(f"{ROOT}/{inside}{'/'.join(LISTS[kind])}")


def _leaves_of(schema: Schema, kind: Kind) -> set[str]:
    leaves = set(entry_node(schema, kind).leaves())
    if kind is not Kind.TENANT:
        return leaves
    others = tuple(f"{LISTS[inside][0]}/" for inside in INSIDE_TENANT)
    return {leaf for leaf in leaves if not leaf.startswith(others)}
