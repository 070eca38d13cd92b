"""How a deployment's state follows its VMs' states, and what is told when all have settled."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final, NamedTuple

from esc_daemon.domain import causes, tell, tell_actions, tell_update
from esc_daemon.domain.advance import updating
from esc_daemon.domain.changed import replace
from esc_daemon.domain.events import Event
from esc_daemon.domain.ids import OperationId, RecordId
from esc_daemon.domain.interruption import recovering
from esc_daemon.domain.machine import next_state
from esc_daemon.domain.operations import operation_id
from esc_daemon.domain.record import (
    ActionType,
    DeploymentRecord,
    OperationOccurrence,
    OperationType,
    UpdatePhase,
    VmRecord,
)
from esc_daemon.domain.startup import Turn, never_started, turns
from esc_daemon.domain.states import (
    OPERATION_LIFECYCLE,
    SERVICE_LIFECYCLE,
    SETTLED_VM_STATES,
    OperationMove,
    OperationState,
    ServiceMove,
    ServiceState,
    VmState,
)
from esc_daemon.domain.step import Step

Told = Callable[[DeploymentRecord, str | None], Event]
"""Returns the event at the end of an operation; FAILURE where there is an error."""


class _End(NamedTuple):
    """How what a service is put through ends: where its VMs rest then, its move, its event."""

    resting: frozenset[VmState]
    move: ServiceMove
    told: Told


_UP: Final = SETTLED_VM_STATES
_OFF: Final = frozenset({VmState.SHUTOFF, VmState.ERROR})
_AGAIN: Final = _UP | {VmState.SHUTOFF, VmState.MONITOR_DISABLED}
"""VMs that were stopped or unwatched each by itself stay so when others are started or rebooted."""
_ENDS: Final[Mapping[ServiceState, _End]] = {
    ServiceState.DEPLOYING: _End(_UP, ServiceMove.VMS_ALIVE, tell.service_alive),
    ServiceState.INERT: _End(_UP, ServiceMove.VMS_ALIVE, tell.service_alive),
    ServiceState.STOPPING: _End(_OFF, ServiceMove.STOPPED, tell_actions.service_stopped),
    ServiceState.STARTING: _End(_AGAIN, ServiceMove.VMS_ALIVE, tell_actions.service_started),
    ServiceState.REBOOTING: _End(_AGAIN, ServiceMove.VMS_ALIVE, tell_actions.service_rebooted),
}
_STILL_WANTED: Final = "what an update wanted of it is still to be done; the next update tries it"
_AT_REST: Final = _UP - {VmState.ERROR} | {VmState.SHUTOFF, VmState.MONITOR_DISABLED}
"""Where the VMs of a service that is well may be."""


def with_vm(record: DeploymentRecord, vm: VmRecord) -> DeploymentRecord:
    """Return *record* with *vm* in it; the other VMs stay the same objects (law 8)."""
    if vm.history.unmeasured and vm.state is not VmState.INERT:  # of one wait, and of no later one
        vm = replace(vm, history=replace(vm.history, unmeasured=False))
    return replace(record, vms={**record.vms, vm.id: vm})


def unmoved(record: DeploymentRecord) -> Step:
    """Return the step of a record that nothing happened to."""
    return Step(key=record.key, before=record, record=record)


def operation(
    id_: RecordId, kind: OperationType, now: datetime, given: OperationId | None = None
) -> OperationOccurrence:
    """Return the occurrence of a request that was just accepted; *given* is its own id."""
    return OperationOccurrence(
        id=given or operation_id(id_, kind),
        type=kind,
        state=OperationState.STARTING,
        started=now,
        entered=now,
    )


def entered(
    occurrence: OperationOccurrence | None, move: OperationMove, now: datetime
) -> OperationOccurrence | None:
    """Return *occurrence* after *move*."""
    if occurrence is None:
        return None
    state = next_state(OPERATION_LIFECYCLE, occurrence.state, move)
    return replace(occurrence, state=state, entered=now)


def closed(
    record: DeploymentRecord, kind: OperationType, move: OperationMove, now: datetime
) -> DeploymentRecord:
    """Return *record* after the end of its operation, if that is of *kind* and still goes on."""
    occurrence = record.operation
    if occurrence is None or occurrence.type is not kind:
        return record
    if occurrence.state is not OperationState.PROCESSING:
        return record
    return replace(record, operation=entered(occurrence, move, now))


def settled(
    before: DeploymentRecord, record: DeploymentRecord, events: tuple[Event, ...], now: datetime
) -> Step:
    """Return the step to *record* after the service's state has followed its VMs' states."""
    if record.update is not None:
        record, events = _updated(record, events, now)
        return Step(key=record.key, before=before, record=record, events=events)
    end = _ENDS.get(record.state)
    if end is None:
        record, events = _at_rest(record, events, now)
        return Step(key=record.key, before=before, record=record, events=events)
    vms = _concerned(record)
    if any(vm.state in {VmState.UNDEF, VmState.DEPLOYING} for vm in vms):
        return Step(key=record.key, before=before, record=record, events=events)
    if any(vm.state not in end.resting or vm.deadline is not None for vm in vms):
        if record.state is ServiceState.DEPLOYING:
            state = next_state(SERVICE_LIFECYCLE, record.state, ServiceMove.VMS_DEPLOYED)
            record = replace(record, state=state)
        return Step(key=record.key, before=before, record=record, events=events)
    error = first_error(record) or never_made(record)
    if error is None and end.move is ServiceMove.VMS_ALIVE:
        error = _unmet(record)
    service_move, operation_move = (
        (end.move, OperationMove.SUCCEEDED)
        if error is None
        else (ServiceMove.FAILED, OperationMove.BROKE)
    )
    record = replace(
        record,
        state=next_state(SERVICE_LIFECYCLE, record.state, service_move),
        operation=entered(record.operation, operation_move, now),
        action=None,
        error=error,
    )
    told = (*events, end.told(record, error))
    return Step(key=record.key, before=before, record=record, events=told)


def _concerned(record: DeploymentRecord) -> list[VmRecord]:
    """Return the VMs whose end is waited for; of those not yet made, those that are to be."""
    turn = turns(record)
    return [
        vm
        for vm in record.vms.values()
        if vm.state is not VmState.UNDEF
        or (record.action is None and turn.get(vm.group) is not Turn.NEVER)
    ]


def _at_rest(
    record: DeploymentRecord, events: tuple[Event, ...], now: datetime
) -> tuple[DeploymentRecord, tuple[Event, ...]]:
    """Follow the VMs of a service that rests: it breaks with one of them, and is well with all."""
    if record.state not in {ServiceState.ACTIVE, ServiceState.ERROR}:
        return record, events
    error = first_error(record)
    if error is not None and record.state is ServiceState.ACTIVE:
        record = replace(record, state=_moved(record, ServiceMove.FAILED), error=error)
    elif record.state is ServiceState.ERROR and _well(record):
        record = replace(record, state=_moved(record, ServiceMove.REPAIRED), error=None)
    if record.action is not None and _action_ended(record):
        move = OperationMove.SUCCEEDED if record.error is None else OperationMove.BROKE
        ended = closed(record, OperationType.OPERATE, move, now)
        told = tell_actions.service_monitor_set(record, error or record.error)
        return replace(ended, action=None), (*events, told)
    return record, events


def _updated(
    record: DeploymentRecord, events: tuple[Event, ...], now: datetime
) -> tuple[DeploymentRecord, tuple[Event, ...]]:
    """Follow the VMs of a service that is updated: the monitors are on before its end is told."""
    assert record.update is not None
    if updating.is_clearing(record):
        if record.update.phase is UpdatePhase.CLEARING:
            return record, events
        clearing = replace(record.update, phase=UpdatePhase.CLEARING)
        return replace(record, update=clearing), events
    if updating.rests(record) and record.update.phase is not UpdatePhase.ARMING:
        record = updating.armed(record, now)
    if not updating.rests(record):
        return record, events
    error = updating.failure(record)
    move = OperationMove.SUCCEEDED if error is None else OperationMove.BROKE
    record = replace(record, update=None, operation=entered(record.operation, move, now))
    if error is not None:
        if record.state is ServiceState.ACTIVE:
            record = replace(record, state=_moved(record, ServiceMove.FAILED))
        record = replace(record, error=error)
    else:
        wanted = _unmet(record) if record.state is ServiceState.ERROR else None
        record = replace(record, error=first_error(record) or wanted)
        if record.error is None and record.state is ServiceState.ERROR:
            record = replace(record, state=_moved(record, ServiceMove.REPAIRED))
    return record, (*events, tell_update.service_updated(record, error))


def _moved(record: DeploymentRecord, move: ServiceMove) -> ServiceState:
    return next_state(SERVICE_LIFECYCLE, record.state, move)


def _well(record: DeploymentRecord) -> bool:
    """Tell whether every VM is there, and is what its group wants."""
    return (
        record.intent is not None
        and bool(record.vms)
        and all(
            vm.scale is not None
            or (vm.state in _AT_REST and vm.server is not None and _is_as_wanted(vm))
            for vm in record.vms.values()
        )
    )


def _is_as_wanted(vm: VmRecord) -> bool:
    return vm.change is None and vm.migration is None


def _unmet(record: DeploymentRecord) -> str | None:
    """Return the first VM that is not yet what an update wanted, in words; None: all are."""
    wrong = (vm for vm in record.vms.values() if vm.scale is None and not _is_as_wanted(vm))
    first = next(wrong, None)
    return None if first is None else causes.of_vm(first, _STILL_WANTED)


def _action_ended(record: DeploymentRecord) -> bool:
    """Tell whether what ENABLE_MONITOR of the service waits for has come, or never will."""
    assert record.action is ActionType.ENABLE_MONITOR
    return all(
        vm.state in _AGAIN | {VmState.UNDEF} and not recovering(vm) for vm in record.vms.values()
    )


def never_made(record: DeploymentRecord) -> str | None:
    """
    Return the first VM that was never made, in words; None: all were.

    A service that was deployed by half may be acted upon, and is no whole one then either.
    """
    unmade = (vm for vm in record.vms.values() if vm.state is VmState.UNDEF and vm.scale is None)
    first = next(unmade, None)
    return None if first is None else causes.of_vm(first, "it was never made")


def first_error(record: DeploymentRecord) -> str | None:
    """
    Return why the first broken VM broke and how many more there are; None: none is broken.

    One that only waited for another comes after that, and in an action on the service one that
    it found without a server: that one broke before.
    One that failed to come while its group was scaled is none of the service's.
    """
    broken = [vm for vm in record.vms.values() if vm.state is VmState.ERROR and vm.scale is None]
    if not broken:
        return None
    never = {group for group, turn in turns(record).items() if turn is Turn.NEVER}
    first = min(broken, key=lambda vm: (vm.group in never, _is_unserved(record, vm)))
    error = first.error or "the VM failed"
    if _is_unserved(record, first):
        error = causes.without_server(first, error)
    barred = never_started(record)
    return error + updating.beside(broken) + (f"; never started: {barred}" if barred else "")


def _is_unserved(record: DeploymentRecord, vm: VmRecord) -> bool:
    return record.action is not None and vm.server is None
