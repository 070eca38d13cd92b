"""The order in which what one edit moved goes, held against every step."""

from collections.abc import Iterator, Mapping
from typing import Any

from esc_daemon.domain.ids import Key, Kind, RecordId, TenantName
from esc_daemon.domain.neighbours import Part, takes_part
from esc_daemon.domain.record import DeploymentRecord, Record, ResourceRecord
from esc_daemon.domain.states import ResourceState
from esc_daemon.domain.step import Step


def out_of_turn(step: Step, records: Mapping[Key, Record]) -> Iterator[str]:
    """Yield what should have ended before *step*; *records* are those after its commit."""
    before: Any = step.before
    after: Any = step.record
    if getattr(before, "edit", None) is None or after is None or after.id != before.id:
        return
    for other in records.values():
        if other.key != step.key and _same_edit(before, other) and _too_early(before, after, other):
            yield f"{step.key} went on before {other.key}: {getattr(other, 'state', '')}"


def took(
    records: Mapping[Key, Record], part: Part, tenant: TenantName | None
) -> list[tuple[Key, RecordId]]:
    """Return who takes part in the order of an edit, by a look at all: an engine has an index."""
    return [
        (at, id_)
        for at, record in records.items()
        for its_part, id_ in takes_part(record).items()
        if its_part == part and (tenant is None or at.tenant in {tenant, None})
    ]


def _same_edit(before: Any, other: Any) -> bool:
    if not isinstance(other, DeploymentRecord | ResourceRecord):
        return False
    again = other.successor is not None and other.successor.edit == before.edit
    going = other.intent is None and not again
    mine, its = before.key.tenant, other.key.tenant
    if its not in {mine, None} and (mine is not None or before.intent is not None):
        return False  # what comes at the root waits for none of a tenant
    if again:
        return before.intent is not None
    return other.edit == before.edit and going == (before.intent is None)


_COMES_AFTER = {
    Kind.NETWORK: {Kind.TENANT},
    Kind.SUBNET: {Kind.NETWORK},
    Kind.DEPLOYMENT: {Kind.NETWORK, Kind.SUBNET},
}
_GOES_AFTER = {Kind.SUBNET: {Kind.DEPLOYMENT}, Kind.NETWORK: {Kind.DEPLOYMENT, Kind.SUBNET}}


def _too_early(before: Any, after: Any, other: Any) -> bool:
    kind = before.key.kind
    if before.intent is None:
        if other.key.kind not in _GOES_AFTER.get(kind, ()):
            return False
        there = other.vms if isinstance(other, DeploymentRecord) else not _left(other)
        return bool(there) and _begins(before, after, ResourceState.DELETING)
    if other.key.kind not in _COMES_AFTER.get(kind, ()):
        return False
    if kind is Kind.NETWORK and before.key.tenant is not None:
        return False  # it waits for its own tenant alone
    if isinstance(before, DeploymentRecord):
        begins = before.tenant is None and after.tenant is not None
    else:
        begins = _begins(before, after, ResourceState.CREATING)
    if other.key.kind is Kind.TENANT and other.state is ResourceState.ERROR:
        return False  # it fails what is its own, by its name
    return begins and other.state is not ResourceState.ACTIVE


def _left(other: Any) -> bool:
    return other.state is ResourceState.LEFTOVER


def _begins(before: Any, after: Any, state: ResourceState) -> bool:
    """Tell whether the VIM is asked for the first time."""
    waited = before.state is state and before.attempt is None
    return waited and after.state is state and after.attempt is not None
