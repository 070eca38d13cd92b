"""
How a recovery ends: life came back by itself or by what was done, or it was in vain.

What began it, and what it does, is `heal`.
"""

from collections.abc import Callable
from datetime import datetime

from esc_daemon.domain import causes, tell, tell_recovery
from esc_daemon.domain.advance.operate import moved
from esc_daemon.domain.advance.settling import closed, first_error, never_made, with_vm
from esc_daemon.domain.changed import replace
from esc_daemon.domain.events import Event
from esc_daemon.domain.interruption import recovering
from esc_daemon.domain.kpi import monitored
from esc_daemon.domain.placing import group_of
from esc_daemon.domain.record import DeploymentRecord, OperationType, RecoveryPhase, VmRecord
from esc_daemon.domain.states import OperationMove, ServiceState, VmMove, VmState

Move = tuple[DeploymentRecord, tuple[Event, ...]]
"""A record after a part of a step, and what that told."""


def in_error(vm: VmRecord, cause: str) -> VmRecord:
    """Return *vm* in error, with nothing of its recovery under way any more."""
    return replace(
        vm,
        state=vm.state if vm.state is VmState.ERROR else moved(vm, VmMove.FAILED),
        recovery=None,
        attempt=None,
        power=None,
        deadline=None,
        error=causes.of_vm(vm, cause),
    )


def alive(record: DeploymentRecord, vm: VmRecord, now: datetime) -> Move:
    """Life has come back to *vm*, by itself or by what was done."""
    assert vm.recovery is not None
    match vm.recovery.phase:
        case RecoveryPhase.WAITING:
            return _back_by_itself(record, vm, tell_recovery.recovery_cancelled, now)
        case RecoveryPhase.NEEDED:
            return _back_by_itself(record, vm, tell_recovery.manual_recovery_no_need, now)
        case RecoveryPhase.BOOTING:
            return ended_well(record, vm, now)
        case _:
            return record, ()


def _back_by_itself(
    record: DeploymentRecord,
    vm: VmRecord,
    event: Callable[[DeploymentRecord, VmRecord], Event],
    now: datetime,
) -> Move:
    after, lives = _lives(record, vm, "it came back by itself", now)
    return after, (event(record, vm), *_first_life(after, vm, lives))


def ended_well(record: DeploymentRecord, vm: VmRecord, now: datetime) -> Move:
    """Return *record* after the recovery of *vm* did what it was for, and what is told."""
    after, lives = _lives(record, vm, "recovered", now)
    told = tell_recovery.recovery_complete(after, replace(lives, recovery=vm.recovery))
    return after, (told, *_first_life(after, vm, lives))


def _lives(
    record: DeploymentRecord, vm: VmRecord, outcome: str, now: datetime
) -> tuple[DeploymentRecord, VmRecord]:
    state = vm.state
    if monitored(group_of(record, vm)):
        state = moved(vm, VmMove.ANSWERED)
    elif state is not VmState.MONITOR_UNSET:
        state = moved(vm, VmMove.MONITOR_UNWANTED)
    history = replace(
        vm.history,
        recovered=now,
        recovery_outcome=outcome,
        up_since=now,
    )
    lives = replace(
        vm,
        state=state,
        recovery=None,
        deadline=None,
        error=None,
        history=history,
    )
    after = with_vm(record, lives)
    if after.state is ServiceState.ERROR and first_error(after) is None:
        after = replace(after, error=never_made(after) or after.error)
    return _done(after, OperationMove.SUCCEEDED, now), lives


def _first_life(record: DeploymentRecord, before: VmRecord, vm: VmRecord) -> tuple[Event, ...]:
    """A VM that was never alive before its recovery is told to be so, as any other."""
    if before.history.up_since is not None or vm.state is not VmState.ALIVE:
        return ()
    return (tell.vm_alive(record, vm),)


def ended_badly(record: DeploymentRecord, vm: VmRecord, cause: str, now: datetime) -> Move:
    """Return *record* after the recovery of *vm* was in vain, and what is told."""
    history = replace(vm.history, recovered=now, recovery_outcome=f"failed: {cause}")
    broken = replace(in_error(vm, cause), history=history)
    after = _done(with_vm(record, broken), OperationMove.BROKE, now)
    told = tell_recovery.recovery_complete(after, replace(broken, recovery=vm.recovery), cause)
    return after, (told,)


def _done(record: DeploymentRecord, move: OperationMove, now: datetime) -> DeploymentRecord:
    """End the operation with the last of the recoveries that it stands for."""
    if any(recovering(vm) for vm in record.vms.values()):
        return record
    return closed(record, OperationType.HEAL, move, now)
