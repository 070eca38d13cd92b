"""
Actions on a service and on single VMs: stop, start, reboot, monitors (ESC-WORKFLOWS 4 to 6).

A reboot is a stop and a start (ruling 17); a start arms the monitors again. In an action on the
whole service VMs that `waits_for_turn` are switched on by `in_order`.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Final

from esc_daemon.domain import causes, tell_actions
from esc_daemon.domain.advance import tries, ways_out
from esc_daemon.domain.advance.settling import (
    closed,
    entered,
    operation,
    settled,
    unmoved,
    with_vm,
)
from esc_daemon.domain.changed import replace
from esc_daemon.domain.errors import Refused
from esc_daemon.domain.events import Event
from esc_daemon.domain.ids import OperationId, VmGroupName
from esc_daemon.domain.interruption import REQUEST_OF, Request, check, recovering, watched
from esc_daemon.domain.kpi import monitored
from esc_daemon.domain.machine import next_state
from esc_daemon.domain.placing import group_of
from esc_daemon.domain.policy import Attempt, Policy
from esc_daemon.domain.policy import begin as begin_attempt
from esc_daemon.domain.record import (
    ActionType,
    DeploymentRecord,
    OperationType,
    ScaleDirection,
    VmRecord,
    VmTask,
)
from esc_daemon.domain.specs import Power, Server
from esc_daemon.domain.startup import booted
from esc_daemon.domain.states import (
    MONITORED_VM_STATES,
    SERVICE_LIFECYCLE,
    SWITCHED_VM_STATES,
    VM_LIFECYCLE,
    OperationMove,
    ServiceMove,
    ServiceState,
    VmMove,
    VmState,
)
from esc_daemon.domain.step import Step
from esc_daemon.domain.triggers import CallFailed, ServerSwitched, ServiceActed, VmActed

_TO_BE_ON: Final = frozenset({VmState.STARTING, VmState.REBOOTING})
_RUNNING: Final = MONITORED_VM_STATES | {VmState.MONITOR_UNSET, VmState.MONITOR_DISABLED}

_SWITCHES: Final[Mapping[ActionType, tuple[ServiceMove, VmMove, VmTask, Power]]] = {
    ActionType.STOP: (ServiceMove.STOP_WANTED, VmMove.STOP_WANTED, VmTask.STOP, Power.OFF),
    ActionType.START: (ServiceMove.START_WANTED, VmMove.START_WANTED, VmTask.START, Power.ON),
    ActionType.REBOOT: (ServiceMove.REBOOT_WANTED, VmMove.REBOOT_WANTED, VmTask.REBOOT, Power.OFF),
}
"""What an action makes of the service and of each VM, and which switch comes first."""


SCALES: Final[Mapping[ScaleDirection, str]] = {
    ScaleDirection.OUT: "it is being added by scaling",
    ScaleDirection.IN: "it is being removed by scaling",
}
"""Why what scales is refused."""


def moved(vm: VmRecord, *moves: VmMove) -> VmState:
    """Return where *moves* lead from the state of *vm*."""
    state = vm.state
    for move in moves:
        state = next_state(VM_LIFECYCLE, state, move)
    return state


def off_and(vm: VmRecord, move: VmMove) -> VmState:
    """Return where *move* leads once nobody watches *vm* any more."""
    if vm.state in MONITORED_VM_STATES:
        return moved(vm, VmMove.MONITOR_OFF, move)
    return moved(vm, move)


def service_acted(
    record: DeploymentRecord, acted: ServiceActed, now: datetime, policy: Policy
) -> Step:
    """
    Begin what the operator asks for on every VM.

    Raises:
        Refused: Not while what is under way (in-use), or there is nothing to do it to, as for
            START of what runs and STOP of what is off (operation-failed).

    """
    if _is_stopped_again(record, acted.action):
        raise _nothing_for(record, acted.action)
    check(record, REQUEST_OF[acted.action])
    match acted.action:
        case ActionType.ENABLE_MONITOR:
            return _service_monitored(record, acted.id, now)
        case ActionType.DISABLE_MONITOR:
            return _service_unmonitored(record, acted.id, now)
        case _:
            return _service_switched(record, acted, now, policy)


def _service_switched(
    record: DeploymentRecord, acted: ServiceActed, now: datetime, policy: Policy
) -> Step:
    concerned = [vm for vm in record.vms.values() if _can(vm, acted.action)]
    if not concerned:
        raise _nothing_for(record, acted.action)
    move, *_ = _SWITCHES[acted.action]
    going = replace(
        _operating(record, acted.id, now),
        state=next_state(SERVICE_LIFECYCLE, record.state, move),
        action=acted.action,
        error=None,
        vms={
            **record.vms,
            **{vm.id: _in_turn(record, vm, acted.action, now, policy) for vm in concerned},
        },
    )
    return Step(key=record.key, before=record, record=going)


def _is_stopped_again(record: DeploymentRecord, action: ActionType) -> bool:
    """Tell whether *action* asks for what has come true: nothing is under way that would end."""
    return record.state is ServiceState.STOPPED and action is ActionType.STOP


def _nothing_for(record: DeploymentRecord, action: ActionType, way: str | None = None) -> Refused:
    """No VM of *record* is as *action* needs it; asked again later, it is refused again."""
    way = way or ways_out.of_service(record, action)
    return Refused(
        "operation-failed",
        f"{action} of deployment {record.key.name}: it is in {record.state}, "
        f"and none of its VMs {_LACKS[action]}; {way}",
    )


_LACKS: Final[Mapping[ActionType, str]] = {
    ActionType.STOP: "runs",
    ActionType.START: "is stopped",
    ActionType.REBOOT: "runs",
    ActionType.ENABLE_MONITOR: "has monitoring disabled",
    ActionType.DISABLE_MONITOR: "is monitored",
}

_WAITS: Final = f"it waits for its manual recovery; {ways_out.RECOVER}"


def _can(vm: VmRecord, action: ActionType) -> bool:
    """Tell whether *action* has something to do to *vm*."""
    if vm.server is None:
        return False
    match action:
        case ActionType.STOP | ActionType.REBOOT:
            return vm.state in _RUNNING or vm.state is VmState.ERROR
        case ActionType.START:
            return vm.state in {VmState.SHUTOFF, VmState.ERROR}
        case ActionType.ENABLE_MONITOR:
            return vm.state is VmState.MONITOR_DISABLED and vm.recovery is None
        case ActionType.DISABLE_MONITOR:
            return watched(vm)


def _operating(record: DeploymentRecord, id_: OperationId, now: datetime) -> DeploymentRecord:
    begun = operation(record.id, OperationType.OPERATE, now, id_)
    return replace(record, operation=entered(begun, OperationMove.GRANTED, now))


def _switching(vm: VmRecord, action: ActionType, now: datetime, policy: Policy) -> VmRecord:
    _, move, task, power = _SWITCHES[action]
    return replace(
        switched_to(vm, power, begin_attempt(now, policy)),
        state=off_and(vm, move),
        task=task,
        deadline=None,
        recovery=None,
        error=None,
    )


def switched_to(vm: VmRecord, power: Power, attempt: Attempt) -> VmRecord:
    """Return *vm* whose server is to be switched, by a switch of its own."""
    return replace(vm, power=power, switches=vm.switches + 1, attempt=attempt)


def _in_turn(
    record: DeploymentRecord, vm: VmRecord, action: ActionType, now: datetime, policy: Policy
) -> VmRecord:
    """What came true in a VM before it was switched lets no other one be switched on."""
    switching = _switching(vm, action, now, policy)
    if record.intent is None or not record.intent.startup or action is ActionType.STOP:
        return switching
    if action is ActionType.START:
        switching = replace(switching, power=None, attempt=None)
    return replace(switching, came_true=())


def waits_for_turn(vm: VmRecord) -> bool:
    """Tell whether the server of *vm* is off until it is its turn to be switched on."""
    return vm.state in _TO_BE_ON and vm.power is None and vm.recovery is None


def vm_acted(record: DeploymentRecord, acted: VmActed, now: datetime, policy: Policy) -> Step:
    """
    Begin what the operator asks for on one VM.

    Raises:
        Refused: Not while what is under way (in-use), not in its state, or fewer VMs than
            min_active would be left and *force* was not given.

    """
    vm = record.vms.get(acted.vm)
    if vm is None:
        raise Refused("data-missing", f"deployment {record.key.name} has no VM {acted.vm}")
    of_it = f"{acted.action} of VM [{vm.name}]"
    if not (vm.state is VmState.SHUTOFF and _is_stopped_again(record, acted.action)):
        check(record, Request.VM_ACTION, of_it)
    if recovering(vm):
        raise Refused("in-use", f"{of_it}: it is being recovered; {ways_out.LATER}")
    if vm.scale is not None:
        raise Refused("in-use", f"{of_it}: {SCALES[vm.scale.direction]}; {ways_out.LATER}")
    if not _can(vm, acted.action):
        left = _is_left_to_the_operator(vm, acted.action)
        why = _WAITS if left else ways_out.of_vm(record, vm, acted.action)
        raise Refused("operation-failed", f"{of_it}: {why}")
    if acted.action is ActionType.STOP and not acted.force:
        _check_least(record, vm)
    operating = _operating(record, acted.id, now)
    match acted.action:
        case ActionType.ENABLE_MONITOR:
            watching = replace(_watched(record, vm, now), operation=acted.id)
            return settled(record, with_vm(operating, watching), (), now)
        case ActionType.DISABLE_MONITOR:
            unwatched = _unwatched(vm)
            after = with_vm(_operated(operating, now), unwatched)
            return settled(record, after, (tell_actions.vm_monitor_unset(after, unwatched),), now)
        case _:
            switching = replace(_switching(vm, acted.action, now, policy), operation=acted.id)
            return Step(key=record.key, before=record, record=with_vm(operating, switching))


def _operated(record: DeploymentRecord, now: datetime) -> DeploymentRecord:
    return closed(record, OperationType.OPERATE, OperationMove.SUCCEEDED, now)


def _check_least(record: DeploymentRecord, vm: VmRecord) -> None:
    group = group_of(record, vm)
    active = active_in(record, vm.group)
    works = vm.state in _RUNNING and vm.recovery is None
    if works and active - 1 < group.scaling.min_active:
        raise Refused(
            "operation-failed",
            f"STOP of VM [{vm.name}] would leave {active - 1} active VMs in vm_group {vm.group}, "
            f"whose min_active is {group.scaling.min_active}: ask with force true",
        )


def active_in(record: DeploymentRecord, group: VmGroupName) -> int:
    """Return how many VMs of *group* do their work: none that is broken, on its way or off."""
    return sum(
        vm.group == group and vm.state in _RUNNING and vm.recovery is None and vm.scale is None
        for vm in record.vms.values()
    )


def _service_monitored(record: DeploymentRecord, id_: OperationId, now: datetime) -> Step:
    concerned = _concerned(record, ActionType.ENABLE_MONITOR)
    going = replace(
        _operating(record, id_, now),
        action=ActionType.ENABLE_MONITOR,
        vms={**record.vms, **{vm.id: _watched(record, vm, now) for vm in concerned}},
    )
    return settled(record, going, (), now)


def _service_unmonitored(record: DeploymentRecord, id_: OperationId, now: datetime) -> Step:
    concerned = [vm for vm in record.vms.values() if _can(vm, ActionType.DISABLE_MONITOR)]
    after = replace(
        _operated(_operating(record, id_, now), now),
        vms={**record.vms, **{vm.id: _unwatched(vm) for vm in concerned}},
    )
    told = (
        *(tell_actions.vm_monitor_unset(after, vm) for vm in concerned),
        tell_actions.service_monitor_unset(after),
    )
    return settled(record, after, told, now)


def _concerned(record: DeploymentRecord, action: ActionType) -> list[VmRecord]:
    concerned = [vm for vm in record.vms.values() if _can(vm, action)]
    if not concerned:
        waits = any(_is_left_to_the_operator(vm, action) for vm in record.vms.values())
        way = "what waits for its manual recovery wants recoveryVmAction" if waits else None
        raise _nothing_for(record, action, way)
    return concerned


def _is_left_to_the_operator(vm: VmRecord, action: ActionType) -> bool:
    """Tell whether monitors are wanted on that are off until *vm* is recovered by hand."""
    return action is ActionType.ENABLE_MONITOR and vm.recovery is not None


def _watched(record: DeploymentRecord, vm: VmRecord, now: datetime) -> VmRecord:
    group = group_of(record, vm)
    if not monitored(group):
        raise Refused(
            "operation-failed",
            f"ENABLE_MONITOR of VM [{vm.name}]: vm_group {vm.group} has no KPI that is enabled;"
            " enable one by an edit",
        )
    return replace(
        vm,
        state=moved(vm, VmMove.MONITOR_ON),
        task=VmTask.SET_MONITOR,
        deadline=now + timedelta(seconds=group.bootup_time),
        armings=vm.armings + 1,
    )


def _unwatched(vm: VmRecord) -> VmRecord:
    return replace(
        vm,
        state=moved(vm, VmMove.MONITOR_OFF) if vm.state in MONITORED_VM_STATES else vm.state,
        task=VmTask.UNSET_MONITOR,
        deadline=None,
        recovery=None,
    )


def switched(
    record: DeploymentRecord, vm: VmRecord, answer: ServerSwitched, now: datetime, policy: Policy
) -> Step:
    """The VIM has switched the server of *vm*, for an action."""
    if vm.power is not answer.power or vm.switches != answer.number:
        return unmoved(record)
    known = _as_seen(vm, answer.server)
    if vm.task is VmTask.REBOOT and answer.power is Power.OFF:
        if record.action is not None:
            on = replace(known, power=None, attempt=None)
        else:
            on = switched_to(known, Power.ON, begin_attempt(now, policy))
        return Step(key=record.key, before=record, record=with_vm(record, on))
    if vm.task is VmTask.STOP:
        stopped = replace(known, state=moved(vm, VmMove.STOPPED), power=None, attempt=None)
        return _told(record, stopped, tell_actions.vm_switched, now)
    up = booting(record, known, now, group_of(record, vm).bootup_time)
    if vm.task is VmTask.REBOOT:
        history = replace(vm.history, rebooted=now, reboot_cause="it was asked for")
        up = replace(up, history=history)
    return _told(record, up, tell_actions.vm_switched, now)


_ON: Final[Mapping[VmState, VmMove]] = {
    VmState.STARTING: VmMove.STARTED,
    VmState.REBOOTING: VmMove.REBOOTED,
    VmState.DEPLOYING: VmMove.CREATED_MONITORED,
}


def booting(record: DeploymentRecord, vm: VmRecord, now: datetime, seconds: int) -> VmRecord:
    """Return *vm*, whose server is on, waiting that long for life where anybody watches it."""
    watched = monitored(group_of(record, vm))
    return replace(
        vm,
        state=moved(vm, _ON[vm.state] if watched else VmMove.CREATED_UNMONITORED),
        power=None,
        attempt=None,
        deadline=now + timedelta(seconds=seconds) if watched else None,
        history=vm.history if watched else replace(vm.history, up_since=now),
    )


def _as_seen(vm: VmRecord, server: Server) -> VmRecord:
    return replace(vm, host_id=server.host_id, hostname=server.hostname)


_Tell = Callable[[DeploymentRecord, VmRecord], Event]


def _told(record: DeploymentRecord, vm: VmRecord, event: _Tell, now: datetime) -> Step:
    after = with_vm(record, vm)
    return settled(record, after, (event(after, vm),), now)


def alive_again(record: DeploymentRecord, vm: VmRecord, now: datetime) -> Step:
    """
    *vm* lives after it was started or rebooted, or after its monitors were set.

    What other groups wait for besides has to come true within the rest of its time.
    """
    was_up = vm.history.up_since if vm.task is VmTask.SET_MONITOR else None
    history = replace(vm.history, up_since=was_up or now)
    deadline = None if booted(record, vm) else vm.deadline
    lives = replace(vm, state=moved(vm, VmMove.ANSWERED), deadline=deadline, history=history)
    after = with_vm(record, lives)
    told = [tell_actions.vm_alive_again(after, lives)]
    if record.action is None and vm.task is VmTask.SET_MONITOR:
        told.append(tell_actions.vm_monitor_set(after, lives))
    return settled(record, after, tuple(told), now)


def switch_failed(
    record: DeploymentRecord, vm: VmRecord, failure: CallFailed, now: datetime, policy: Policy
) -> Step:
    """A refusal is final, and takes no effect later; after anything else it is switched again."""
    if failure.in_doubt:
        vm = replace(vm, late_switch=now + policy.settle)
    tried, cause = tries.once_more(vm, vm.vim, failure.error, now, policy, final=failure.final)
    if cause is not None:
        return not_switched(record, tried, cause, now)
    return Step(key=record.key, before=record, record=with_vm(record, tried))


def server_lost(record: DeploymentRecord, vm: VmRecord, now: datetime) -> Step:
    """There is no server to be switched."""
    return not_switched(record, vm, "the VIM has no such server", now)


def not_switched(record: DeploymentRecord, vm: VmRecord, cause: str, now: datetime) -> Step:
    """The server of *vm* is not as it was to be: the VM has failed for *cause*."""
    broken = replace(
        vm,
        state=moved(vm, VmMove.FAILED),
        power=None,
        attempt=None,
        error=causes.of_vm(vm, cause),
    )
    after = with_vm(record, broken)
    return settled(record, after, (tell_actions.vm_switched(after, broken, cause),), now)


def followed(step: Step, now: datetime) -> Step:
    """
    Return *step* with the end of the action on one VM, if that has ended: well where it is to be.

    Who loses, heals or removes the VM does not know of the action. An action that another one
    took the place of has no operation any more.
    """
    record = step.record
    if step.before is record or not isinstance(record, DeploymentRecord):
        return step
    occurrence = record.operation
    if occurrence is None or occurrence.type is not OperationType.OPERATE or record.action:
        return step
    vms = [vm for vm in record.vms.values() if vm.operation == occurrence.id]
    if any(vm.state in _ON_ITS_WAY and vm.recovery is None for vm in vms):
        return step
    well = bool(vms) and all(
        vm.state in ({VmState.SHUTOFF} if vm.task is VmTask.STOP else _UP) for vm in vms
    )
    move = OperationMove.SUCCEEDED if well else OperationMove.BROKE
    return replace(step, record=closed(record, OperationType.OPERATE, move, now))


_ON_ITS_WAY: Final = SWITCHED_VM_STATES | {VmState.INERT}
_UP: Final = frozenset({VmState.ALIVE, VmState.MONITOR_UNSET})
