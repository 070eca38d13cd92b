"""
The events that an order of start waits for (policies/startup): libyang does not look them up.

For each of them it would go through all vm_groups and compare their names, at up to 9 us each; here
they are looked up by name.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Final

from lxml import etree

from esc_daemon.datamodel.faults import MAX_ERRORS, SchemaError, spot_of
from esc_daemon.datamodel.names import esc
from esc_daemon.datamodel.shape import steps, text_at
from esc_daemon.datamodel.tree import Node
from esc_daemon.netconf.errors import ErrorTag

MOST_WAITS: Final = 500_000
"""vm_groups of a deployment times what they wait for: each step of each VM looks at all waits."""
_DEPLOYMENTS: Final = steps("tenants/tenant/deployments/deployment")
_WAITS: Final = steps("policies/startup/depends_on")
_TARGET: Final = "../../../../vm_group[name = current()/../vm_group_ref]/kpi_data/kpi/event_name"
"""What `kpi_event_ref` points to, as esc_policies.yang has it."""


def too_many_waits(document: etree._Element) -> list[SchemaError]:
    """Return the fault of an order of start that would keep everybody else waiting."""
    groups = sum(1 for _ in document.iter(esc("vm_group")))
    waits = sum(1 for _ in document.iter(esc("depends_on")))
    if groups * waits <= MOST_WAITS:
        return []
    text = f"{waits} depends_on among {groups} vm_groups: their product may be {MOST_WAITS}"
    return [SchemaError(tag=ErrorTag.TOO_BIG, message=text, path="")]


def missing_events(
    document: etree._Element, roots: Mapping[str, Node], beside: Sequence[SchemaError] = ()
) -> list[SchemaError]:
    """
    Return the faults of events that are waited for and that no KPI of the group has.

    *beside* is what libyang has found: a value that is none cannot be missing as well.
    """
    wrong = {error.path for error in beside}
    missing = (spot_of(event, roots) for event in _missing(document))
    return [
        SchemaError.dangling(spot, _TARGET)
        for spot in islice(missing, MAX_ERRORS)
        if spot.path not in wrong
    ]


def _missing(document: etree._Element) -> Iterator[etree._Element]:
    for deployment in document.iterfind(_DEPLOYMENTS):
        told = {
            text_at(group, "name"): {
                event.text for event in group.iterfind(steps("kpi_data/kpi/event_name"))
            }
            for group in deployment.iterfind(esc("vm_group"))
        }
        for wait in deployment.iterfind(_WAITS):
            event = wait.find(esc("kpi_event_ref"))
            if event is not None and event.text not in told.get(text_at(wait, "vm_group_ref"), ()):
                yield event
