"""How far an update has come: where its VMs are, and what becomes of their monitors."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from esc_daemon.domain.changed import replace
from esc_daemon.domain.interruption import is_about_to_move, recovering
from esc_daemon.domain.kpi import monitored
from esc_daemon.domain.machine import next_state
from esc_daemon.domain.migration import MigrationPhase
from esc_daemon.domain.placing import group_of
from esc_daemon.domain.record import DeploymentRecord, UpdatePhase, VmRecord, VmTask
from esc_daemon.domain.startup import Turn, never_started, turns
from esc_daemon.domain.states import VM_LIFECYCLE, VmMove, VmState

RESTING: Final = frozenset(
    {VmState.ALIVE, VmState.MONITOR_UNSET, VmState.MONITOR_DISABLED, VmState.SHUTOFF, VmState.ERROR}
)
"""Where VMs are that nothing is done to."""


def is_changing(vm: VmRecord) -> bool:
    """Tell whether the VIM is asked to change the server of *vm*."""
    asked = vm.change is not None and vm.attempt is not None and vm.state in RESTING
    return asked and not is_proving(vm)


def is_proving(vm: VmRecord) -> bool:
    """Tell whether another VIM is asked whether it could have *vm*."""
    return vm.migration is not None and vm.migration.phase is MigrationPhase.PROVING


def failed(record: DeploymentRecord, error: str) -> DeploymentRecord:
    """
    Return *record* with its update failed for *error*, unless it has failed already.

    What has not begun to move stays where it is.
    """
    if record.update is None or record.update.error is not None:
        return record
    stays = {vm.id: _stays(vm) for vm in record.vms.values() if is_about_to_move(vm)}
    vms = {**record.vms, **stays} if stays else record.vms
    return replace(record, vms=vms, update=replace(record.update, error=error))


def _stays(vm: VmRecord) -> VmRecord:
    assert vm.migration is not None
    stays = replace(vm.migration, phase=MigrationPhase.WANTED)
    return replace(vm, migration=stays, attempt=None)


def rests(record: DeploymentRecord) -> bool:
    """Tell whether nothing of the update's present phase is under way."""
    assert record.update is not None
    stopped = record.update.error is not None
    if record.update.phase in {UpdatePhase.PREPARING, UpdatePhase.PROVING} and not stopped:
        return False
    turn = turns(record)
    return all(
        (stopped or turn.get(vm.group) is Turn.NEVER) if vm.state is VmState.UNDEF else _rests(vm)
        for vm in record.vms.values()
    )


def is_clearing(record: DeploymentRecord) -> bool:
    """
    Tell whether networks, and subnets, are all that is still to leave.

    One in which a VM has to stay, since the VIM did not change it, is left behind then.
    """
    assert record.update is not None
    at_end = record.update.phase is UpdatePhase.ARMING
    return bool(record.leaving) and not at_end and rests(record)


def _rests(vm: VmRecord) -> bool:
    moves = vm.deadline is not None or recovering(vm) or is_changing(vm)
    return vm.state in RESTING and not moves


def failure(record: DeploymentRecord) -> str | None:
    """Return why the update fails: its own error, or a VM that broke, or never began, under it."""
    update = record.update
    assert update is not None
    broken = [
        vm for vm in record.vms.values() if vm.state is VmState.ERROR and vm.id not in update.broken
    ]
    if update.error is None and broken:
        barred = never_started(record)
        error = broken[0].error or "the VM failed"
        return error + beside(broken) + (f"; never started: {barred}" if barred else "")
    if update.error is None and any(vm.state is VmState.UNDEF for vm in record.vms.values()):
        return f"never started: {never_started(record)}"
    return update.error


def beside(broken: Sequence[VmRecord]) -> str:
    """Return the end of an error of one VM that says how many more are *broken*."""
    more = len(broken) - 1
    return f" (and {more} more VM{'s' if more > 1 else ''})" if more else ""


def paused(vm: VmRecord) -> VmRecord:
    """Return *vm*, if it is watched, with its monitors off for as long as the update works."""
    if vm.state is not VmState.ALIVE:
        return vm
    state = next_state(VM_LIFECYCLE, vm.state, VmMove.MONITOR_OFF)
    return replace(vm, state=state, task=VmTask.UPDATE)


def armed(record: DeploymentRecord, now: datetime) -> DeploymentRecord:
    """Return *record* with the monitors on that are to be on, and with those only."""
    assert record.update is not None
    changed = {
        vm.id: after for vm in record.vms.values() if (after := _armed(record, vm, now)) is not vm
    }
    update = replace(record.update, phase=UpdatePhase.ARMING)
    return replace(record, update=update, vms={**record.vms, **changed})


def _armed(record: DeploymentRecord, vm: VmRecord, now: datetime) -> VmRecord:
    held = vm.state is VmState.MONITOR_DISABLED and vm.task is VmTask.UPDATE and vm.recovery is None
    if not (held or vm.state in {VmState.ALIVE, VmState.MONITOR_UNSET}):
        return vm
    group = group_of(record, vm)
    if monitored(group):
        if held:
            return _moved(replace(vm, armings=vm.armings + 1), VmMove.MONITOR_RESUMED)
        if vm.state is VmState.MONITOR_UNSET:
            deadline = now + timedelta(seconds=group.bootup_time)
            inert = _moved(vm, VmMove.MONITOR_ON)
            again = vm.armings + 1
            return replace(inert, task=VmTask.UPDATE, deadline=deadline, armings=again)
        return vm
    if held:
        return _moved(vm, VmMove.MONITOR_UNWANTED)
    if vm.state is VmState.ALIVE:
        return _moved(_moved(vm, VmMove.MONITOR_OFF), VmMove.MONITOR_UNWANTED)
    return vm


def _moved(vm: VmRecord, move: VmMove) -> VmRecord:
    return replace(vm, state=next_state(VM_LIFECYCLE, vm.state, move))
