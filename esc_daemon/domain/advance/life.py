"""Signs of life: what KPIs that cross and deadlines that pass mean for a VM."""

from datetime import datetime

from esc_daemon.domain import causes, tell
from esc_daemon.domain.actions import Effect, effect_of
from esc_daemon.domain.advance import heal
from esc_daemon.domain.advance.deploy import begun, too_late
from esc_daemon.domain.advance.operate import alive_again, moved
from esc_daemon.domain.advance.settling import settled, unmoved, with_vm
from esc_daemon.domain.changed import replace
from esc_daemon.domain.interruption import Request, takes
from esc_daemon.domain.kpi import actions, decides_life
from esc_daemon.domain.placing import group_of
from esc_daemon.domain.policy import Policy
from esc_daemon.domain.record import DeploymentRecord, RecoveryPhase, VmRecord, VmTask
from esc_daemon.domain.startup import awaited_of
from esc_daemon.domain.states import MONITORED_VM_STATES, VmMove, VmState
from esc_daemon.domain.step import Step
from esc_daemon.domain.triggers import KpiCrossed

_RESTARTED = frozenset({VmTask.START, VmTask.REBOOT, VmTask.SET_MONITOR})


def kpi_crossed(
    record: DeploymentRecord, crossed: KpiCrossed, now: datetime, policy: Policy
) -> Step:
    """
    Life is what the KPI with the TRUE rule says, not the VM's power state.

    A VM that other groups wait for has booted when it lives and all that they wait for came true.
    """
    vm = record.vms.get(crossed.server.vm)
    if vm is None or vm.generation != crossed.server.generation or record.intent is None:
        return unmoved(record)
    follows = {
        effect_of(action)
        for action in actions(group_of(record, vm).rules, crossed.event_name, holds=crossed.holds)
    }
    if not crossed.holds:
        if Effect.RECOVER not in follows:
            return unmoved(record)
        return heal.life_lost(record, vm, crossed.event_name, now, policy)
    if vm.recovery is not None:
        if crossed.event_name != vm.recovery.event_name:
            return unmoved(record)
        return heal.alive(record, vm, now)
    return _holds(record, vm, crossed.event_name, now, policy)


def _holds(
    record: DeploymentRecord, vm: VmRecord, event_name: str, now: datetime, policy: Policy
) -> Step:
    assert record.intent is not None
    if vm.state not in MONITORED_VM_STATES:
        return unmoved(record)
    lives = vm.state is VmState.INERT and event_name == decides_life(group_of(record, vm))
    if lives and vm.task in _RESTARTED:
        return alive_again(record, vm, now)
    awaited = awaited_of(record.intent, vm.group)
    news = event_name in awaited and event_name not in vm.came_true
    if not lives and not news:
        return unmoved(record)
    came_true = (*vm.came_true, event_name) if news else vm.came_true
    state = moved(vm, VmMove.ANSWERED) if lives else vm.state
    booted = state is VmState.ALIVE and awaited.issubset(came_true)
    history = replace(vm.history, up_since=now) if lives else vm.history
    seen = replace(
        vm,
        state=state,
        came_true=came_true,
        deadline=None if booted else vm.deadline,
        history=history,
    )
    after = with_vm(record, seen)
    told = (tell.vm_alive(after, seen),) if lives else ()
    return settled(record, begun(after, VmMove.TURN_COME, now, policy), told, now)


def deadlines(record: DeploymentRecord, now: datetime, policy: Policy) -> Step:
    """Take up every VM whose time is over: to boot, or to come back by itself."""
    step = unmoved(record)
    for vm in record.vms.values():
        if vm.deadline is not None and vm.deadline <= now and record.intent is not None:
            assert isinstance(step.record, DeploymentRecord)
            step = step.then(_time_is_over(step.record, vm, now, policy))
    return step


def _time_is_over(record: DeploymentRecord, vm: VmRecord, now: datetime, policy: Policy) -> Step:
    if vm.recovery is not None:
        if vm.recovery.phase is RecoveryPhase.WAITING:
            cause = vm.recovery.cause
        else:
            cause = _not_booted(record, vm)
        after, told = heal.next_rung(record, vm, cause, now, policy)
        return settled(record, after, told, now)
    if vm.state not in MONITORED_VM_STATES:
        return unmoved(record)
    cause = _not_booted(record, vm)
    if vm.state is VmState.INERT and takes(record, Request.HEAL):
        event_name = decides_life(group_of(record, vm)) or ""
        after, told = heal.begin(record, vm, cause, event_name, now, policy)
        return settled(record, after, told, now)
    broken = replace(
        vm, state=moved(vm, VmMove.FAILED), deadline=None, error=causes.of_vm(vm, cause)
    )
    return settled(record, with_vm(record, broken), (), now)


def _not_booted(record: DeploymentRecord, vm: VmRecord) -> str:
    assert record.intent is not None
    group = group_of(record, vm)
    seconds = group.bootup_time
    if vm.recovery is not None and not vm.recovery.redeployed and group.reboot_time is not None:
        seconds = group.reboot_time
    return f"{too_late(vm, awaited_of(record.intent, vm.group))} of {seconds} s"
