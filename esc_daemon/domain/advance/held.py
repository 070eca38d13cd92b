"""
Before a recovery begins: a VM that was lost is held until the guard lets it go (ruling 18).

It stays in its state, nothing is told of it, and life that returns ends it without a trace. The
guard answers when neither blindness nor a limit stands against it: so it is asked anew after a
restart, and an action or an undeploy takes the place of what it waits for.
"""

from datetime import datetime

from esc_daemon.domain.advance import heal, healed
from esc_daemon.domain.advance.settling import settled, unmoved, with_vm
from esc_daemon.domain.changed import replace
from esc_daemon.domain.drift import HEALED_VM_STATES, Drift, drift_of, healed_by_itself
from esc_daemon.domain.ids import ServerKey
from esc_daemon.domain.intent import RecoveryType
from esc_daemon.domain.interruption import Request, takes
from esc_daemon.domain.kpi import decides_life, monitored
from esc_daemon.domain.placing import group_of
from esc_daemon.domain.policy import Policy
from esc_daemon.domain.record import DeploymentRecord, Recovery, RecoveryPhase, VmRecord
from esc_daemon.domain.states import VmState
from esc_daemon.domain.step import Step
from esc_daemon.domain.triggers import ServerDrifted


def is_held(vm: VmRecord) -> bool:
    """Tell whether *vm* waits for its recovery to begin."""
    return vm.recovery is not None and vm.recovery.phase is RecoveryPhase.HELD


def life_lost(
    record: DeploymentRecord, vm: VmRecord, event_name: str, now: datetime, p: Policy
) -> Step:
    """The KPI *event_name* of *vm*, which was alive, no longer holds: a rule asks for recovery."""
    if vm.state is not VmState.ALIVE or vm.recovery is not None or not takes(record, Request.HEAL):
        return unmoved(record)
    after, told = hold(record, vm, f"{event_name} no longer holds", event_name, now, p)
    return settled(record, after, told, now)


def hold(
    record: DeploymentRecord, vm: VmRecord, cause: str, event_name: str, now: datetime, p: Policy
) -> healed.Move:
    """
    Let *vm* wait for its recovery, or ask the operator for it; by the KPI *event_name* it lives.

    The operator is asked, at once, where the policy says MANUAL, for a VM that was recovered too
    often, and for one of which nobody could measure whether it lives.
    """
    found = _found(vm, cause, event_name, now, p)
    lost = replace(vm, recovery=found, deadline=None)
    asks = found.cause != cause or vm.history.unmeasured
    if asks or group_of(record, vm).recovery.type is RecoveryType.MANUAL:
        return heal.needed(record, lost)
    return with_vm(record, lost), ()


def _found(vm: VmRecord, cause: str, event_name: str, now: datetime, p: Policy) -> Recovery:
    lately = len(heal.lately(vm, now))
    if 0 < p.recoveries_an_hour <= lately:
        cause = f"{cause}; it was recovered {lately} times in an hour"
    return Recovery(
        phase=RecoveryPhase.HELD,
        cause=cause,
        began=now,
        event_name=event_name,
        server=vm.server,
        host_id=vm.host_id,
        hostname=vm.hostname,
    )


def drifted(record: DeploymentRecord, trigger: ServerDrifted, now: datetime, p: Policy) -> Step:
    """
    Take what a look at the VIM found that nobody had asked for.

    A VM that runs and is gone or off is lost as one whose KPI says so. Where nobody asked for its
    healing the operator is asked, once the guard lets it go. What was stopped, or was taken out of
    the monitors' sight, is the operator's: it is only remembered.
    """
    vm = record.vms.get(trigger.key.vm)
    if vm is None or vm.generation != trigger.key.generation:
        return unmoved(record)
    found = drift_of(record, vm, trigger.status)
    match found:
        case None:
            return unmoved(record)
        case Drift.BACK:
            return _back(record, vm, now)
        case Drift.GONE if vm.recovery is not None:  # it is lost already: no reboot will help
            gone = replace(vm, recovery=replace(vm.recovery, gone=True))
            return settled(record, with_vm(record, gone), (), now)
    seen = replace(vm, history=replace(vm.history, drifted=now, drift=found.said))
    if vm.state not in HEALED_VM_STATES:
        known = vm.history.drift == found.said
        return unmoved(record) if known else settled(record, with_vm(record, seen), (), now)
    group = group_of(record, vm)
    event_name = (decides_life(group) or "") if monitored(group) else ""
    recovery = _found(vm, found.said, event_name, now, p)
    recovery = replace(recovery, drifted=True, gone=found is Drift.GONE)
    lost = replace(seen, recovery=recovery, deadline=None)
    return settled(record, with_vm(record, lost), (), now)


def _back(record: DeploymentRecord, vm: VmRecord, now: datetime) -> Step:
    """The VIM has it as it should be again."""
    if is_held(vm):
        after, _ = freed(record, vm)
        return settled(record, after, (), now)
    after, told = healed.alive(record, vm, now)
    return settled(record, after, told, now)


def permitted(record: DeploymentRecord, server: ServerKey, now: datetime, p: Policy) -> Step:
    """The recovery of the VM of *server* may begin, or go on, or be asked for."""
    vm = record.vms.get(server.vm)
    if vm is None or vm.generation != server.generation:
        return unmoved(record)
    if vm.recovery is not None and vm.recovery.queued is not None:
        after, told = heal.turn_came(record, vm, now, p)
        return settled(record, after, told, now)
    if not is_held(vm) or not takes(record, Request.HEAL):
        return unmoved(record)  # it is asked again when what is under way has ended
    assert vm.recovery is not None
    too_often = 0 < p.recoveries_an_hour <= len(heal.lately(vm, now))
    group = group_of(record, vm)
    manual = group.recovery.type is RecoveryType.MANUAL  # by an update, since it was lost
    unmeasured = vm.state is VmState.INERT and vm.history.unmeasured
    if manual or unmeasured or (vm.recovery.drifted and (too_often or not healed_by_itself(group))):
        after, told = heal.needed(record, vm)
    else:
        after, told = heal.begin(record, vm, now, p)
    return settled(record, after, told, now)


def freed(record: DeploymentRecord, vm: VmRecord) -> tuple[DeploymentRecord, VmRecord]:
    """Return the record and *vm* without the recovery that it waits for: it is not needed."""
    lives = replace(vm, recovery=None)
    return with_vm(record, lives), lives


def rearmed(vm: VmRecord, record: DeploymentRecord) -> VmRecord:
    """
    Return *vm*, which stays as it is, before its monitors are armed anew, maybe with other KPIs.

    They, or the next look at the VIM, find out again that it is lost: a recovery that began
    meanwhile would be in the way of the update, or wait for a sign that nobody looks for any more.
    """
    if vm.recovery is None:
        return vm
    if is_held(vm):
        return replace(vm, recovery=None)
    group = group_of(record, vm)
    lives_by = (decides_life(group) or "") if monitored(group) and vm.recovery.event_name else ""
    return replace(vm, recovery=replace(vm.recovery, event_name=lives_by))
