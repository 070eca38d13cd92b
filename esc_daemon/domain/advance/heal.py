"""
Healing: the ladder from a VM that is not alive to one that is (ESC-WORKFLOWS sections 8 and 9).

    (held)             until it may begin (`held`); life ends it
    MONITOR_DISABLED   wait recovery_wait_time; life ends it
      REBOOTING        hard reboot; also where it failed the wait for life goes on
        INERT          wait reboot_time
      UNDEPLOYING      remove the server; its ports, addresses and name stay
        DEPLOYING      make its next generation
          INERT        wait bootup_time; then again, max_retries times, each in its turn

VM_RECOVERY_INIT is told when it begins, before the wait, and after a reboot that failed the whole
time of the boot runs out: so the time stamps of seed 003 show it.
"""

from datetime import datetime, timedelta
from typing import Final

from esc_daemon.domain import causes, tell_recovery
from esc_daemon.domain.advance import ways_out
from esc_daemon.domain.advance.healed import Move, ended_badly, ended_well, in_error
from esc_daemon.domain.advance.operate import SCALES, booting, moved, off_and, switched_to
from esc_daemon.domain.advance.settling import (
    entered,
    operation,
    settled,
    unmoved,
    with_vm,
)
from esc_daemon.domain.changed import replace
from esc_daemon.domain.errors import Refused
from esc_daemon.domain.events import Event
from esc_daemon.domain.ids import OperationId, derived
from esc_daemon.domain.intent import RecoveryAction, VmGroup
from esc_daemon.domain.interruption import Request, check, recovering
from esc_daemon.domain.kpi import decides_life, monitored
from esc_daemon.domain.placing import group_of
from esc_daemon.domain.policy import Policy, begin_again
from esc_daemon.domain.policy import begin as begin_attempt
from esc_daemon.domain.record import (
    DeploymentRecord,
    OperationType,
    Recovery,
    RecoveryPhase,
    VmRecord,
    VmTask,
)
from esc_daemon.domain.specs import Power
from esc_daemon.domain.states import (
    OperationMove,
    OperationState,
    ServiceState,
    VmMove,
    VmState,
)
from esc_daemon.domain.step import Step
from esc_daemon.domain.triggers import RecoveryAsked, ServerSwitched

_HOUR: Final = timedelta(hours=1)
_DEPLOYING: Final = frozenset({ServiceState.DEPLOYING, ServiceState.INERT})
_ASKABLE: Final = frozenset(
    {VmState.ALIVE, VmState.MONITOR_UNSET, VmState.MONITOR_DISABLED, VmState.ERROR}
)
_OPEN: Final = frozenset({OperationState.STARTING, OperationState.PROCESSING})


def begin(record: DeploymentRecord, vm: VmRecord, now: datetime, p: Policy) -> Move:
    """Begin the recovery of *vm* that was held until now."""
    assert vm.recovery is not None
    recovery = replace(vm.recovery, phase=RecoveryPhase.WAITING, began=now)
    wait = timedelta(seconds=group_of(record, vm).recovery_wait_time)
    return _under_way(record, vm, recovery, now, wait, p)


def lately(vm: VmRecord, now: datetime) -> tuple[datetime, ...]:
    """Return when the recoveries of *vm* that began by themselves came to act, in the last hour."""
    return tuple(each for each in vm.history.recoveries if each > now - _HOUR)


def waited(record: DeploymentRecord, vm: VmRecord, now: datetime, p: Policy) -> Move:
    """Nothing came back by itself in time: the recovery of *vm*, which nobody asked for, acts."""
    assert vm.recovery is not None
    history = replace(vm.history, recoveries=(*lately(vm, now), now))
    return next_rung(record, replace(vm, history=history), vm.recovery.cause, now, p)


def needed(record: DeploymentRecord, vm: VmRecord) -> Move:
    """
    Ask the operator for the recovery of *vm*.

    A deployment, or an update, does not wait for him: there the VM has failed. So has one without
    monitors. Nor does scaling: a VM that is to come has failed to, and nobody is asked.
    """
    assert vm.recovery is not None
    if vm.scale is not None:
        return with_vm(record, in_error(vm, vm.recovery.cause)), ()
    fails = (
        record.state in _DEPLOYING or record.update is not None or vm.state is VmState.MONITOR_UNSET
    )
    why = _nothing_to_do(group_of(record, vm), vm, vm.recovery)
    to_do = why or "it is to be recovered by recoveryVmAction"
    waiting = replace(
        vm,
        state=moved(vm, VmMove.FAILED if fails else VmMove.MONITOR_OFF),
        recovery=replace(vm.recovery, phase=RecoveryPhase.NEEDED),
        deadline=None,
        error=causes.of_vm(vm, f"{vm.recovery.cause}; {to_do}") if fails else vm.error,
    )
    after = with_vm(record, waiting)
    return after, (tell_recovery.manual_recovery_needed(after, waiting, why),)


def _under_way(
    record: DeploymentRecord,
    vm: VmRecord,
    recovery: Recovery,
    now: datetime,
    wait: timedelta,
    p: Policy,
    asked: OperationId | None = None,
) -> Move:
    resting = vm.state in {VmState.MONITOR_DISABLED, VmState.ERROR, VmState.MONITOR_UNSET}
    began = replace(
        vm,
        state=vm.state if resting else moved(vm, VmMove.MONITOR_OFF),
        task=VmTask.RECOVER,
        recovery=recovery,
        deadline=now + wait,
    )
    after = with_vm(_healing(record, vm, now, asked), began)
    told = (tell_recovery.recovery_init(after, began),)
    if wait > timedelta(0):
        return after, told
    if asked is None:
        later, more = waited(after, began, now, p)
    else:
        later, more = next_rung(after, began, recovery.cause, now, p)
    return later, (*told, *more)


def _healing(
    record: DeploymentRecord, vm: VmRecord, now: datetime, asked: OperationId | None
) -> DeploymentRecord:
    """A recovery is an operation of its own unless another one is under way."""
    if record.operation is not None and record.operation.state in _OPEN:
        return record
    id_ = asked or OperationId(derived(record.id, "heal", vm.id, now.isoformat()))
    begun = operation(record.id, OperationType.HEAL, now, id_)
    return replace(record, operation=entered(begun, OperationMove.GRANTED, now))


def asked(record: DeploymentRecord, trigger: RecoveryAsked, now: datetime, p: Policy) -> Step:
    """
    The operator wants it to be recovered: at once, whatever the policy says of who begins.

    Raises:
        Refused: Not while what is under way (in-use), or not in its state.

    """
    vm = record.vms.get(trigger.vm)
    if vm is None:
        text = f"deployment {record.key.name} has no VM {trigger.vm}"
        raise Refused("data-missing", text)
    check(record, Request.RECOVER, f"recovery of VM [{vm.name}]")
    if recovering(vm):
        raise Refused("in-use", f"VM [{vm.name}] is being recovered; {ways_out.LATER}")
    if vm.scale is not None:
        why = f"{SCALES[vm.scale.direction]}; {ways_out.LATER}"
        raise Refused("in-use", f"recovery of VM [{vm.name}]: {why}")
    if vm.state is VmState.MONITOR_DISABLED and vm.recovery is None:
        text = f"VM [{vm.name}]: its monitors are disabled; ask for ENABLE_MONITOR first"
        raise Refused("operation-failed", text)
    if vm.state not in _ASKABLE:
        way = ways_out.of_recovery(record, vm)
        raise Refused("operation-failed", f"recovery of VM [{vm.name}]: {way}")
    group = group_of(record, vm)
    if vm.server is None and group.recovery.action is RecoveryAction.REBOOT_ONLY:
        raise Refused("operation-failed", ways_out.of_reboot(vm))
    recovery = Recovery(
        phase=RecoveryPhase.WAITING,
        cause=vm.recovery.cause if vm.recovery else "it was asked for",
        gone=vm.recovery is not None and vm.recovery.gone,
        began=now,
        event_name=decides_life(group) or "",
        server=vm.server,
        host_id=vm.host_id,
        hostname=vm.hostname,
    )
    if why := _nothing_to_do(group, vm, recovery):
        raise Refused("operation-failed", f"VM [{vm.name}]: {why}")
    after, told = _under_way(record, vm, recovery, now, timedelta(0), p, asked=trigger.id)
    return settled(record, after, told, now)


def next_rung(
    record: DeploymentRecord,
    vm: VmRecord,
    cause: str,
    now: datetime,
    p: Policy,
    *,
    queues: bool = True,
) -> Move:
    """
    Return what comes next on the ladder, or its end; *cause* is what ended the last rung.

    Each round but the first *queues* for a turn of its own: there may be no last one.
    """
    assert vm.recovery is not None
    rung = _rung(group_of(record, vm), vm, vm.recovery)
    if rung is None:
        return ended_badly(record, vm, cause, now)
    if not vm.recovery.rounds or not queues:
        return _climbing(record, vm, rung, now, p), ()
    waits = replace(vm, recovery=replace(vm.recovery, queued=now), deadline=None)
    if vm.state is VmState.INERT:  # its guest may still come up meanwhile
        return with_vm(record, waits), ()
    return _climbing(record, waits, rung, now, p), ()


def turn_came(record: DeploymentRecord, vm: VmRecord, now: datetime, p: Policy) -> Move:
    """Another round of the recovery of *vm* may begin."""
    assert vm.recovery is not None
    goes = replace(vm, recovery=replace(vm.recovery, queued=None))
    if vm.state is VmState.UNDEPLOYING:
        pause = begin_again(now, p, rounds=vm.recovery.rounds - 1, subject=vm.id)
        return with_vm(record, replace(goes, attempt=pause)), ()
    if vm.history.unmeasured:  # what lives, perhaps, is not removed
        cause = f"{vm.recovery.event_name} could not be measured"
        return ended_badly(record, goes, cause, now)
    return next_rung(record, goes, vm.recovery.cause, now, p, queues=False)


def _climbing(
    record: DeploymentRecord, vm: VmRecord, rung: RecoveryPhase, now: datetime, p: Policy
) -> DeploymentRecord:
    assert vm.recovery is not None
    if rung is RecoveryPhase.REBOOTING:
        return _rebooting(record, vm, vm.recovery, now, p)
    return _undeploying(record, vm, vm.recovery, now, p)


def _rung(group: VmGroup, vm: VmRecord, recovery: Recovery) -> RecoveryPhase | None:
    wanted = group.recovery
    again = wanted.max_retries < 0 or recovery.rounds < wanted.max_retries
    match wanted.action:
        case RecoveryAction.REBOOT_ONLY:
            return RecoveryPhase.REBOOTING if again and not recovery.gone else None
        case RecoveryAction.REBOOT_THEN_REDEPLOY:
            done = recovery.rebooted or recovery.redeployed or recovery.gone
            if vm.server is not None and not done:
                return RecoveryPhase.REBOOTING
        case RecoveryAction.REDEPLOY_ONLY:
            pass
    return RecoveryPhase.UNDEPLOYING if again else None


def _nothing_to_do(group: VmGroup, vm: VmRecord, recovery: Recovery) -> str:
    """Return why *recovery* could do nothing by its policy, and what helps; empty: it could."""
    if _rung(group, vm, recovery) is not None:
        return ""
    policy = f"{group.recovery.action}, max_retries {group.recovery.max_retries}"
    way = f"change it by an edit, then {ways_out.RECOVER}"
    return f"its recovery_policy ({policy}) leaves nothing to be done; {way}"


def _rebooting(
    record: DeploymentRecord, vm: VmRecord, recovery: Recovery, now: datetime, p: Policy
) -> DeploymentRecord:
    counted = group_of(record, vm).recovery.action is RecoveryAction.REBOOT_ONLY
    going = replace(
        recovery,
        phase=RecoveryPhase.REBOOTING,
        rebooted=True,
        rounds=recovery.rounds + (1 if counted else 0),
    )
    attempt = begin_again(now, p, rounds=recovery.rounds, subject=vm.id)
    return with_vm(
        record,
        replace(
            switched_to(vm, Power.HARD_REBOOT, attempt),
            state=off_and(vm, VmMove.REBOOT_WANTED),
            recovery=going,
            deadline=None,
            error=None,
        ),
    )


def _undeploying(
    record: DeploymentRecord, vm: VmRecord, recovery: Recovery, now: datetime, p: Policy
) -> DeploymentRecord:
    going = replace(recovery, phase=RecoveryPhase.UNDEPLOYING, rounds=recovery.rounds + 1)
    return with_vm(
        record,
        replace(
            vm,
            state=off_and(vm, VmMove.REDEPLOY_WANTED),
            recovery=going,
            attempt=begin_again(now, p, rounds=recovery.rounds, subject=vm.id),
            deadline=None,
            error=None,
        ),
    )


def rebooted(record: DeploymentRecord, vm: VmRecord, answer: ServerSwitched, now: datetime) -> Step:
    """The hard reboot of a recovery was done: its guest gets its time to boot."""
    if vm.power is not answer.power or vm.switches != answer.number:
        return unmoved(record)
    assert vm.recovery is not None
    history = replace(vm.history, rebooted=now, reboot_cause=vm.recovery.cause)
    seen = replace(
        vm, history=history, host_id=answer.server.host_id, hostname=answer.server.hostname
    )
    return _boots(record, seen, now)


def not_rebooted(
    record: DeploymentRecord,
    vm: VmRecord,
    cause: str,
    now: datetime,
    p: Policy,
    *,
    gone: bool = False,
) -> Step:
    """
    It could not be rebooted, or nobody knows: it may come up all the same, if it is watched.

    Not where the server is *gone*.
    """
    group = group_of(record, vm)
    if monitored(group) and not gone:
        return _boots(record, vm, now, cause)
    assert vm.recovery is not None
    told = tell_recovery.recovery_reboot(record, vm, cause)
    recovery = replace(vm.recovery, gone=gone)
    failed = replace(
        vm, state=moved(vm, VmMove.FAILED), power=None, attempt=None, recovery=recovery
    )
    if group.recovery.action is RecoveryAction.REBOOT_ONLY:  # without a pause it has no next one
        after, more = ended_badly(record, failed, cause, now)
    else:
        after, more = next_rung(record, failed, cause, now, p)
    return settled(record, after, (told, *more), now)


def _boots(record: DeploymentRecord, vm: VmRecord, now: datetime, cause: str | None = None) -> Step:
    group = group_of(record, vm)
    seconds = group.bootup_time if group.reboot_time is None else group.reboot_time
    boots = _waiting_for_life(record, vm, now, seconds)
    after = with_vm(record, boots)
    told = tell_recovery.recovery_reboot(after, boots, cause)
    return _or_done(record, after, boots, (told,), now)


def _waiting_for_life(
    record: DeploymentRecord, vm: VmRecord, now: datetime, seconds: int
) -> VmRecord:
    assert vm.recovery is not None
    recovery = replace(vm.recovery, phase=RecoveryPhase.BOOTING)
    return replace(booting(record, vm, now, seconds), recovery=recovery)


def _or_done(
    before: DeploymentRecord,
    record: DeploymentRecord,
    vm: VmRecord,
    told: tuple[Event, ...],
    now: datetime,
) -> Step:
    """A VM that nobody watches is recovered when its server is there again."""
    if monitored(group_of(record, vm)):
        return settled(before, record, told, now)
    after, more = ended_well(record, vm, now)
    return settled(before, after, (*told, *more), now)


def undeployed(record: DeploymentRecord, vm: VmRecord, now: datetime, p: Policy) -> Step:
    """The old server is gone: make the next generation, on the same ports."""
    if vm.unsure_until is not None and now < vm.unsure_until:
        return unmoved(record)
    assert vm.recovery is not None
    told = tell_recovery.recovery_undeployed(record, vm)
    fresh = replace(
        vm,
        state=moved(vm, VmMove.RESOURCES_READY),
        generation=vm.generation + 1,
        server=None,
        host_id="",
        hostname="",
        recovery=replace(vm.recovery, phase=RecoveryPhase.DEPLOYING, redeployed=True, gone=False),
        attempt=begin_attempt(now, p),
        unsure_until=None,
        late_switch=None,
    )
    return Step(key=record.key, before=record, record=with_vm(record, fresh), events=(told,))


def not_undeployed(record: DeploymentRecord, vm: VmRecord, cause: str, now: datetime) -> Step:
    """The VIM would not remove the old server: a second one beside it would be a leftover."""
    told = tell_recovery.recovery_undeployed(record, vm, cause)
    after, more = ended_badly(record, vm, cause, now)
    return settled(record, after, (told, *more), now)


def deployed(record: DeploymentRecord, vm: VmRecord, now: datetime) -> Step:
    """The VIM has the new server of *vm*."""
    boots = replace(
        _waiting_for_life(record, vm, now, group_of(record, vm).bootup_time), error=None
    )
    after = with_vm(record, boots)
    return _or_done(record, after, boots, (tell_recovery.recovery_deployed(after, boots),), now)


def not_deployed(
    record: DeploymentRecord, vm: VmRecord, cause: str, now: datetime, p: Policy
) -> Step:
    """The new server could not be had: once more, after what there may be of it is removed."""
    told = tell_recovery.recovery_deployed(record, vm, cause)
    broken = replace(vm, state=moved(vm, VmMove.FAILED), attempt=None)
    after, more = next_rung(record, broken, cause, now, p)
    return settled(record, after, (told, *more), now)
