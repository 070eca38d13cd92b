"""Signs of life: what KPIs that cross and deadlines that pass mean for a VM."""

from datetime import datetime, timedelta

from esc_daemon.domain import causes, tell
from esc_daemon.domain.actions import Effect, effect_of
from esc_daemon.domain.advance import heal, healed, held, migrate, scale
from esc_daemon.domain.advance.deploy import begun, too_late
from esc_daemon.domain.advance.operate import alive_again, moved
from esc_daemon.domain.advance.settling import settled, unmoved, with_vm
from esc_daemon.domain.changed import replace
from esc_daemon.domain.events import Event
from esc_daemon.domain.intent import VmGroup
from esc_daemon.domain.interruption import Request, is_about_to_move, takes, watched
from esc_daemon.domain.kpi import actions, decides_life, seconds_to_tell
from esc_daemon.domain.placing import group_of
from esc_daemon.domain.policy import Policy
from esc_daemon.domain.record import (
    DeploymentRecord,
    RecoveryPhase,
    VmRecord,
    VmTask,
)
from esc_daemon.domain.startup import awaited_of, booted
from esc_daemon.domain.states import MONITORED_VM_STATES, VmMove, VmState
from esc_daemon.domain.step import Step
from esc_daemon.domain.triggers import KpiCrossed

_RESTARTED = frozenset({VmTask.START, VmTask.REBOOT, VmTask.SET_MONITOR})


def kpi_crossed(
    record: DeploymentRecord, crossed: KpiCrossed, now: datetime, policy: Policy
) -> Step:
    """
    Life is what the KPI with the TRUE rule says, not the VM's power state.

    Blindness ends no life: only while a VM boots its time runs out all the same, and then nothing
    is done to it. A VM that other groups wait for has booted when it lives and all that they wait
    for came true.
    """
    vm = record.vms.get(crossed.server.vm)
    if vm is None or vm.generation != crossed.server.generation or record.intent is None:
        return unmoved(record)
    if vm.state is VmState.UNDEPLOYING or is_about_to_move(vm):
        return unmoved(record)  # its group may have left the intent
    noted = _measured(record, vm, crossed, now)
    if noted.moved:
        assert isinstance(noted.record, DeploymentRecord)
        return noted.then(kpi_crossed(noted.record, crossed, now, policy))
    follows = {
        effect_of(action)
        for action in actions(group_of(record, vm).rules, crossed.event_name, holds=crossed.holds)
    }
    if not crossed.holds:
        if crossed.blind or Effect.RECOVER not in follows:
            return unmoved(record)  # who cannot measure knows nothing of the VM
        return held.life_lost(record, vm, crossed.event_name, now, policy)
    step = _holds(record, vm, crossed.event_name, now, policy)
    return step if step.moved else scale.asked(record, vm, follows, now, policy)


def _measured(record: DeploymentRecord, vm: VmRecord, crossed: KpiCrossed, now: datetime) -> Step:
    """Remember of a VM that is waited for whether anybody can tell that it lives."""
    blind = crossed.blind and vm.state is VmState.INERT
    if crossed.event_name != _lives_by(vm, group_of(record, vm)) or vm.history.unmeasured == blind:
        return unmoved(record)
    history = replace(vm.history, unmeasured=blind)
    return settled(record, with_vm(record, replace(vm, history=history)), (), now)


def _lives_by(vm: VmRecord, group: VmGroup) -> str | None:
    """Return the event by which *vm* of *group* lives, or lives again."""
    return decides_life(group) if vm.recovery is None else vm.recovery.event_name


def _holds(
    record: DeploymentRecord, vm: VmRecord, event_name: str, now: datetime, policy: Policy
) -> Step:
    assert record.intent is not None
    group = group_of(record, vm)
    awaited = awaited_of(record.intent, vm.group)
    noted, told = record, tuple[Event, ...]()
    if event_name in awaited and event_name not in vm.came_true and watched(vm):
        vm = replace(vm, came_true=(*vm.came_true, event_name))
        noted = with_vm(record, vm)
    if held.is_held(vm) and vm.recovery is not None and event_name == vm.recovery.event_name:
        noted, vm = held.freed(noted, vm)
    if vm.recovery is not None:
        if event_name == vm.recovery.event_name:
            noted, told = healed.alive(noted, vm, now)
    elif vm.state is VmState.INERT and event_name == decides_life(group):
        if vm.task in _RESTARTED:
            return alive_again(record, vm, now)
        noted, told = _lives(noted, vm, now)
    if noted is record:
        return unmoved(record)
    noted = _booted(noted, noted.vms[vm.id], now)
    return settled(record, begun(noted, VmMove.TURN_COME, now, policy), told, now)


def _lives(
    record: DeploymentRecord, vm: VmRecord, now: datetime
) -> tuple[DeploymentRecord, tuple[Event, ...]]:
    if migrate.is_under_way(vm):
        return migrate.lives(record, vm, now)
    history = replace(vm.history, up_since=now)
    lives = replace(vm, state=moved(vm, VmMove.ANSWERED), history=history)
    after = with_vm(record, lives)
    return after, (tell.vm_alive(after, lives),)


def _booted(record: DeploymentRecord, vm: VmRecord, now: datetime) -> DeploymentRecord:
    """A VM that lives has booted when all that other groups wait for came true, and no sooner."""
    if vm.state is not VmState.ALIVE:
        return record
    deadline = None
    if not booted(record, vm):
        wait = timedelta(seconds=group_of(record, vm).bootup_time)
        deadline = vm.deadline or now + wait
    return record if deadline == vm.deadline else with_vm(record, replace(vm, deadline=deadline))


def after_start(record: DeploymentRecord, vm: VmRecord, now: datetime) -> VmRecord:
    """
    Return *vm* with time enough left for its life to be seen, now that the process began anew.

    While nobody ran nobody looked: a wait that ended then, or is about to, says nothing of the VM.
    Its KPIs get the time that they need to tell, and never more than the whole wait was.
    """
    if vm.deadline is None or record.intent is None:
        return vm
    group = group_of(record, vm)
    names = {_lives_by(vm, group)} | awaited_of(record.intent, vm.group)
    chance = min(seconds_to_tell(group, names), _seconds(group, vm))
    deadline = max(vm.deadline, now + timedelta(seconds=chance))
    return vm if deadline == vm.deadline else replace(vm, deadline=deadline)


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
            after, told = heal.waited(record, vm, now, policy)
        elif vm.history.unmeasured:  # what lives, perhaps, is not removed
            after, told = healed.ended_badly(record, vm, _not_booted(record, vm), now)
        else:
            after, told = heal.next_rung(record, vm, _not_booted(record, vm), now, policy)
        return settled(record, after, told, now)
    if vm.state not in MONITORED_VM_STATES:
        return unmoved(record)
    cause = _not_booted(record, vm)
    if vm.state is VmState.INERT and takes(record, Request.HEAL):
        before, events = record, tuple[Event, ...]()
        if migrate.is_under_way(vm):  # it is where it is now, and is healed as any other
            record, events = migrate.silent(record, vm, cause, now)
            vm = record.vms[vm.id]
        event_name = decides_life(group_of(record, vm)) or ""
        after, told = held.hold(record, vm, cause, event_name, now, policy)
        return settled(before, after, (*events, *told), now)
    broken = replace(
        vm, state=moved(vm, VmMove.FAILED), deadline=None, error=causes.of_vm(vm, cause)
    )
    return settled(record, with_vm(record, broken), (), now)


def _not_booted(record: DeploymentRecord, vm: VmRecord) -> str:
    assert record.intent is not None
    group = group_of(record, vm)
    seconds = _seconds(group, vm)
    if vm.state is VmState.INERT and vm.history.unmeasured:
        lives_by = _lives_by(vm, group)
        types = (kpi.collector.type for kpi in group.kpis if kpi.event_name == lives_by)
        metric = next(types, "no KPI")
        return f"{lives_by} ({metric}) could not be measured within its bootup_time of {seconds} s"
    return f"{too_late(vm, awaited_of(record.intent, vm.group))} of {seconds} s"


def _seconds(group: VmGroup, vm: VmRecord) -> int:
    """Return how long the wait for *vm* is that its deadline ends."""
    if vm.recovery is None or vm.recovery.redeployed:
        return group.bootup_time
    if vm.recovery.phase is RecoveryPhase.WAITING:
        return group.recovery_wait_time
    return group.bootup_time if group.reboot_time is None else group.reboot_time
