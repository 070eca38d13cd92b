"""What was told of each incarnation of a deployment, held against what a life may be."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from esc_daemon.domain.events import Event, EventStatus, EventType
from esc_daemon.domain.ids import Key, RecordId
from esc_daemon.domain.record import DeploymentRecord, Record, VmTask
from esc_daemon.domain.states import ServiceState, VmState
from esc_daemon.store.base import LoggedEvent
from tests.domain.legal import illegal, life_of

_IN_USE = re.compile(r"\(([0-9a-f-]{36})\) still has ")
"""What a cloud says of a network or subnet with VMs in it, by its id."""
_KEPT_BY = re.compile(r"VM \[([^]]+)\] of vm_group \S+ in VIM \S+: it is still in ")
"""What we say of one that an update does not ask for, by the VM."""
_REMOVED: Final = ": it is being removed"
"""What we say of a network outside that a VM should have a port in."""
_OK, _FAILED = EventStatus.SUCCESS, EventStatus.FAILURE
_SWITCHED: Final = (
    EventType.SERVICE_STOPPED,
    EventType.SERVICE_STARTED,
    EventType.SERVICE_REBOOTED,
)
_MENDING: Final = frozenset(
    {
        *_SWITCHED,
        EventType.SERVICE_ALIVE,
        EventType.VM_RECOVERY_COMPLETE,
        EventType.VM_RECOVERY_CANCELLED,
        EventType.VM_MANUAL_RECOVERY_NO_NEED,
        EventType.VM_STARTED,
        EventType.VM_STOPPED,
        EventType.VM_REBOOTED,
    }
)
"""After these a service may be well again, or broken."""
_RESTARTED: Final = frozenset({VmTask.START, VmTask.REBOOT, VmTask.SET_MONITOR})


class Lives:
    """Every incarnation that was ever accepted, by what was committed."""

    def __init__(self) -> None:
        self._accepted: dict[RecordId, Key] = {}

    def note(self, records: Iterable[Record]) -> None:
        """Learn what is durable, from a commit that was answered or from a start."""
        for record in records:
            if isinstance(record, DeploymentRecord):
                if record.state is not ServiceState.UNDEF:
                    self._accepted[record.id] = record.key
                if record.successor is not None:
                    self._accepted[record.successor.id] = record.key

    def wrong(self, events: Iterable[LoggedEvent], records: Mapping[Key, Any]) -> Iterator[str]:
        """Yield what does not hold of what was told up to a moment at which all is at rest."""
        told = _by_incarnation(events)
        there = {
            record.id: record
            for record in records.values()
            if isinstance(record, DeploymentRecord) and record.state is not ServiceState.UNDEF
        }
        for id_, key in self._accepted.items():
            story = told.pop(id_, [])
            for fault in (*_illegal(story), *_end(story, there.get(id_))):
                types = " ".join(f"{each.type}:{each.status}" for each in story)
                yield f"{key.name} {id_}: {fault}: {types}"
        for stranger in told:
            yield f"events of {stranger}, which nobody accepted"


def updated(events: Iterable[LoggedEvent]) -> set[str | None]:
    """Return the deployments that an edit has changed where they stood."""
    begun = EventType.SERVICE_UPDATING_STATE
    return {logged.event.deployment_id for logged in events if logged.event.type is begun}


def unprovoked(events: Iterable[LoggedEvent]) -> Iterator[str]:
    """
    Yield what of deployments was not removed though the clouds removed whatever they could.

    A shared network is not counted: deployments may still use it. Nor is an ephemeral one that a
    stranger's VM sits in (docs/limits.md): its VIM is not that of its own deployment's networks. A
    VM that could not be made or changed may have left a port where an update took the network away,
    and so may one whose update found that the network which it should change to was being removed.
    """
    told = [logged.event for logged in events]
    guests, unfinished, halted = _guests(told), _unfinished(told), _halted(told)
    for event in told:
        ends = event.type.startswith("DELETE_") or event.type.endswith("_UNDEPLOYED")
        if not ends or event.deployment is None or event.status is not _FAILED:
            continue
        kept_by = _KEPT_BY.findall(event.message)
        if unfinished.intersection(kept_by) or (kept_by and event.deployment_id in halted):
            continue
        held = _IN_USE.findall(event.message)
        if not held or any(guests[id_] <= {event.deployment_id} for id_ in held):
            yield f"{event.type} of {event.deployment} failed without a cause: {event.message}"


def _unfinished(told: Sequence[Event]) -> set[str]:
    """Return the VMs that could not be made, or not be changed as their update asked."""
    failed = (each for each in told if each.status is _FAILED and each.source is not None)
    works = {EventType.VM_DEPLOYED, EventType.VM_UPDATED}
    return {each.source.vmname for each in failed if each.type in works}


def _halted(told: Sequence[Event]) -> set[str | None]:
    """Return the deployments whose update was for a network that was just being removed."""
    failed = (each for each in told if each.status is _FAILED)
    ends = (each for each in failed if each.type is EventType.SERVICE_UPDATED)
    return {each.deployment_id for each in ends if _REMOVED in each.message}


def _guests(told: Sequence[Event]) -> defaultdict[str, set[str | None]]:
    """Return who had VMs in a network or subnet, by its id, away from its own networks' VIM."""
    homes: defaultdict[str | None, set[str | None]] = defaultdict(set)
    for event in told:
        if event.type is EventType.CREATE_NETWORK and event.status is _OK:
            homes[event.deployment_id].add(event.vim)
    guests: defaultdict[str, set[str | None]] = defaultdict(set)
    for event in told:
        at_home = homes[event.deployment_id]
        if event.source is None or not at_home or event.source.vim_id in at_home:
            continue
        for port in event.source.interfaces:
            for id_ in (port.network_id, *(each.subnet_id for each in port.addresses)):
                if id_:
                    guests[id_].add(event.deployment_id)
    return guests


def _by_incarnation(events: Iterable[LoggedEvent]) -> dict[str, list[Any]]:
    told: dict[str, list[Any]] = {}
    for event in (logged.event for logged in events):
        if event.deployment_id is not None and event.network is None:
            told.setdefault(event.deployment_id, []).append(event)
    return told


def _illegal(story: Sequence[Event]) -> Iterator[str]:
    """Yield what may be in no life, however it was interrupted."""
    yield from illegal(story)
    ends = (number for number, each in enumerate(story) if each.type is EventType.SERVICE_ALIVE)
    first = next(ends, None)  # those that follow tell of its monitors
    if first is None or story[first].status is not _OK:
        return
    if any(each.status is _FAILED for each in story[:first] if _ends_it(each)):
        yield "it is alive after something of it had failed"


def _ends_it(event: Event) -> bool:
    """Tell whether a deployment is over when this fails; on the way of a recovery much may."""
    return not event.type.startswith("VM_RECOVERY") or event.type is EventType.VM_RECOVERY_COMPLETE


def _end(story: Sequence[Any], record: DeploymentRecord | None) -> Iterator[str]:
    """Yield what is wrong about the end: one for each life that is over, and none before."""
    types = [event.type for event in story]
    if record is None:
        if EventType.SERVICE_UNDEPLOYED not in types:
            yield "it is over, and its end was not told"
        return
    yield from (f"it never ended: {what}" for what in life_of(story).unended())
    alive = [event.status for event in story if event.type is EventType.SERVICE_ALIVE]
    if EventType.SERVICE_UNDEPLOYED in types:
        yield f"its end was told and it is {record.state}"
    last = [event for event in story if event.type in _SWITCHED]
    stopped = bool(last) and (last[-1].type, last[-1].status) == (EventType.SERVICE_STOPPED, _OK)
    if stopped is not (record.state is ServiceState.STOPPED):
        yield f"it is {record.state} and its last switch told {last[-1:]}"
    if EventType.SERVICE_UPDATED in types:
        return  # it is as the last update left it
    told = [event.status for event in story if event.type in _MENDING]
    if record.state is ServiceState.ACTIVE and _OK not in told:
        yield f"it is active and told {alive}"
    asked = EventType.VM_MANUAL_RECOVERY_NEEDED in types
    failed = asked or _FAILED in told or _fell_silent(record)
    if record.state is ServiceState.ERROR and not failed:
        yield f"it is broken and told {alive}"


def _fell_silent(record: DeploymentRecord) -> bool:
    """Tell whether a VM that was started or watched anew never lived: no event says so."""
    return any(vm.state is VmState.ERROR and vm.task in _RESTARTED for vm in record.vms.values())
