"""A deployment's triggers, each to the topic that knows it."""

from datetime import datetime
from typing import assert_never

from esc_daemon.domain.advance import (
    broken_off,
    change,
    deploy,
    errands,
    heal,
    held,
    in_order,
    life,
    migrate,
    operate,
    scale,
    undeploy,
    update,
)
from esc_daemon.domain.advance.updating import is_changing, is_proving
from esc_daemon.domain.changed import replace
from esc_daemon.domain.errors import Refused
from esc_daemon.domain.ids import Key, ServerKey
from esc_daemon.domain.intent import Deployment
from esc_daemon.domain.policy import Policy
from esc_daemon.domain.record import DeploymentRecord, Successor, VmRecord
from esc_daemon.domain.specs import Server
from esc_daemon.domain.states import SWITCHED_VM_STATES, ServiceState, VmState
from esc_daemon.domain.step import Step
from esc_daemon.domain.triggers import (
    ActionTrigger,
    CallFailed,
    IntentChanged,
    KpiCrossed,
    LeftoversPurged,
    LeftoversRetried,
    LeftoverTrigger,
    NeighboursGone,
    NeighbourTrigger,
    RecoveryAsked,
    RecoveryPermitted,
    ResourceFailed,
    ResourceGone,
    ResourceMade,
    ResourcesReady,
    Restarted,
    ScriptsRan,
    ServerDrifted,
    ServerGone,
    ServerProven,
    ServerSeen,
    ServerSwitched,
    ServerTrigger,
    ServerUpdated,
    ServiceActed,
    Trigger,
    VimChecked,
    VimDoubted,
    VmActed,
    Woken,
)


def advance_deployment(
    key: Key, record: DeploymentRecord | None, trigger: Trigger, now: datetime, policy: Policy
) -> Step:
    """Return the step of a deployment; see `advance`."""
    return errands.followed(_moved(key, record, trigger, now, policy), now)


def _moved(
    key: Key, record: DeploymentRecord | None, trigger: Trigger, now: datetime, policy: Policy
) -> Step:
    if isinstance(trigger, IntentChanged):
        return _intent_changed(key, record, trigger, now, policy)
    if isinstance(trigger, ActionTrigger):
        return in_order.followed(_acted(key, record, trigger, now, policy), now, policy)
    if record is None:  # an answer that came after the end
        return Step(key=key, before=None, record=None)
    answered = in_order.followed(_answered(record, trigger, now, policy), now, policy)
    return scale.followed(operate.followed(answered, now), now, policy)


def _intent_changed(
    key: Key,
    record: DeploymentRecord | None,
    trigger: IntentChanged,
    now: datetime,
    policy: Policy,
) -> Step:
    if trigger.intent is None:
        if record is None:
            return Step(key=key, before=None, record=None)
        return undeploy.begin(record, now, policy, trigger.edit)
    assert isinstance(trigger.intent, Deployment)
    if record is None or record.state is ServiceState.UNDEF:
        fresh = deploy.begin(
            key, trigger.id, trigger.intent, trigger.vim, now, before=record, edit=trigger.edit
        )
        return Step(key=key, before=record, record=fresh)
    if record.state is ServiceState.UNDEPLOYING and record.successor is None:
        # what cannot be placed is refused rather now than later
        deploy.begin(key, trigger.id, trigger.intent, trigger.vim, now, before=record)
        successor = Successor(
            id=trigger.id, intent=trigger.intent, vim=trigger.vim, edit=trigger.edit
        )
        return Step(key=key, before=record, record=replace(record, successor=successor))
    present = record.successor.intent if record.successor else record.intent
    if present == trigger.intent:
        return Step(key=key, before=record, record=record)
    return update.begin(record, trigger, now, policy)


def _acted(
    key: Key,
    record: DeploymentRecord | None,
    trigger: ActionTrigger,
    now: datetime,
    policy: Policy,
) -> Step:
    if record is None or record.intent is None:
        raise Refused("data-missing", f"there is no deployment {key.name} of tenant {key.tenant}")
    match trigger:
        case ServiceActed():
            return operate.service_acted(record, trigger, now, policy)
        case VmActed():
            return operate.vm_acted(record, trigger, now, policy)
        case RecoveryAsked():
            return heal.asked(record, trigger, now, policy)
        case _:
            assert_never(trigger)


def _answered(record: DeploymentRecord, trigger: Trigger, now: datetime, policy: Policy) -> Step:
    match trigger:
        case ResourcesReady() | ResourceFailed() | NeighboursGone():
            return _about_neighbours(record, trigger, now, policy)
        case ServerSeen() | ServerGone() | CallFailed():
            return _about_a_server(record, trigger, now, policy)
        case ServerSwitched() | ServerUpdated() | ServerProven():
            return _about_a_server(record, trigger, now, policy)
        case KpiCrossed() | ServerDrifted() | RecoveryPermitted() | Woken():
            return _about_life(record, trigger, now, policy)
        case LeftoversPurged() | LeftoversRetried():
            return _about_leftovers(record, trigger, now)
        case ScriptsRan():
            return errands.ended(record, trigger)
        case Restarted():
            return _restarted(record, now, policy)
        case IntentChanged() | ServiceActed() | VmActed() | RecoveryAsked():
            raise AssertionError(trigger)  # taken above
        case ResourceMade() | ResourceGone() | VimChecked() | VimDoubted():
            return Step(key=record.key, before=record, record=record)
        case _:
            assert_never(trigger)


def _about_neighbours(
    record: DeploymentRecord, trigger: NeighbourTrigger, now: datetime, policy: Policy
) -> Step:
    match trigger:
        case ResourcesReady(handles=handles) if record.update is None:
            return deploy.resources_ready(record, handles, now, policy)
        case ResourcesReady(handles=handles):
            return update.resources_ready(record, handles, now, policy)
        case ResourceFailed(error=error) if record.update is None:
            return deploy.resource_failed(record, error, now)
        case ResourceFailed(error=error):
            return update.resource_failed(record, error, now)
        case NeighboursGone(failures=failures) if record.update is None:
            return undeploy.neighbours_gone(record, failures, now)
        case NeighboursGone():
            return update.cleared(record, trigger, now)
        case _:
            assert_never(trigger)


def _about_leftovers(record: DeploymentRecord, trigger: LeftoverTrigger, now: datetime) -> Step:
    if isinstance(trigger, LeftoversPurged):
        return undeploy.without_leftovers(record, trigger.subjects)
    return undeploy.leftovers_due(record, trigger.subjects, now)


def _about_a_server(
    record: DeploymentRecord,
    trigger: ServerTrigger | CallFailed,
    now: datetime,
    policy: Policy,
) -> Step:
    match trigger:
        case ServerSeen(server=server):
            return _server_seen(record, server, now, policy)
        case ServerGone():
            return _server_gone(record, trigger, now, policy)
        case ServerSwitched():
            return _server_switched(record, trigger, now, policy)
        case ServerUpdated(server=server):
            return _server_updated(record, server, now)
        case ServerProven():
            vm = vm_at(record, trigger.key)
            return (
                _unmoved(record) if vm is None else update.proven(record, vm, trigger, now, policy)
            )
        case CallFailed():
            return _call_failed(record, trigger, now, policy)
        case _:
            assert_never(trigger)


def _about_life(
    record: DeploymentRecord,
    trigger: KpiCrossed | ServerDrifted | RecoveryPermitted | Woken,
    now: datetime,
    policy: Policy,
) -> Step:
    match trigger:
        case KpiCrossed():
            return life.kpi_crossed(record, trigger, now, policy)
        case ServerDrifted():
            return held.drifted(record, trigger, now, policy)
        case RecoveryPermitted(server=server):
            return held.permitted(record, server, now, policy)
        case Woken():
            return life.deadlines(record, now, policy)
        case _:
            assert_never(trigger)


def vm_at(record: DeploymentRecord, key: ServerKey) -> VmRecord | None:
    """Return the VM whose present server *key* is."""
    vm = record.vms.get(key.vm)
    return vm if vm is not None and vm.generation == key.generation else None


def _server_seen(record: DeploymentRecord, server: Server, now: datetime, policy: Policy) -> Step:
    vm = vm_at(record, server.key)
    if vm is None:
        return Step(key=record.key, before=record, record=record)
    if vm.state is VmState.DEPLOYING:
        return deploy.server_seen(record, vm, server, now, policy)
    if vm.state is VmState.UNDEPLOYING:
        return undeploy.server_seen(record, vm, server)
    return Step(key=record.key, before=record, record=record)


def _server_gone(record: DeploymentRecord, gone: ServerGone, now: datetime, policy: Policy) -> Step:
    vm = vm_at(record, gone.key)
    if vm is None:
        return _unmoved(record) if gone.looked else undeploy.without_leftovers(record, {gone.key})
    if vm.state is VmState.DEPLOYING:
        return deploy.server_missing(record, vm, now, policy)
    if vm.state in SWITCHED_VM_STATES:
        return _not_switched(record, vm, None, now, policy)
    if is_changing(vm) and gone.looked:
        return change.server_lost(record, vm, now)
    if vm.state is not VmState.UNDEPLOYING or gone.looked:
        return _unmoved(record)
    if vm.recovery is not None:
        return heal.undeployed(record, vm, now, policy)
    if not gone.ports:  # what a recovery removed has left its ports there: they are still to go
        return _unmoved(record)
    if vm.migration is not None:
        return migrate.removed(record, vm, now, policy)
    return undeploy.server_gone(record, vm, now, policy)


def _server_switched(
    record: DeploymentRecord, answer: ServerSwitched, now: datetime, policy: Policy
) -> Step:
    vm = vm_at(record, answer.server.key)
    if vm is None or vm.state not in SWITCHED_VM_STATES:
        return _unmoved(record)
    if vm.recovery is not None:
        return heal.rebooted(record, vm, answer, now)
    return operate.switched(record, vm, answer, now, policy)


def _server_updated(record: DeploymentRecord, server: Server, now: datetime) -> Step:
    vm = vm_at(record, server.key)
    if vm is None:
        return _unmoved(record)
    if vm.state is VmState.UNDEPLOYING:
        return undeploy.server_seen(record, vm, server)
    return change.server_updated(record, vm, server, now)


def _not_switched(
    record: DeploymentRecord,
    vm: VmRecord,
    failure: CallFailed | None,
    now: datetime,
    policy: Policy,
) -> Step:
    """*failure* None: the VIM has no such server."""
    if operate.waits_for_turn(vm) or _is_old(failure, vm):
        return _unmoved(record)
    if vm.recovery is not None:
        cause = failure.error if failure else "the VIM has no such server"
        unsure = failure is not None and failure.in_doubt
        late = now + policy.settle if unsure else vm.late_switch
        tried, gone = replace(vm, late_switch=late), failure is None
        return heal.not_rebooted(record, tried, cause, now, policy, gone=gone)
    if failure is None:
        return operate.server_lost(record, vm, now)
    return operate.switch_failed(record, vm, failure, now, policy)


def _is_old(failure: CallFailed | None, vm: VmRecord) -> bool:
    """Tell whether *failure* is that of an earlier switch of *vm*, or of no switch at all."""
    return failure is not None and failure.switch != vm.switches


def _unmoved(record: DeploymentRecord) -> Step:
    return Step(key=record.key, before=record, record=record)


def _call_failed(
    record: DeploymentRecord, failure: CallFailed, now: datetime, policy: Policy
) -> Step:
    if not isinstance(failure.subject, tuple):
        return _unmoved(record)
    vm = vm_at(record, failure.subject)
    if vm is None:
        return undeploy.leftover_stays(record, failure.subject, failure.error, now, policy)
    if vm.state is VmState.DEPLOYING and not failure.removal:
        return deploy.call_failed(record, vm, failure, now, policy)
    if vm.state is VmState.UNDEPLOYING:
        return undeploy.call_failed(record, vm, failure, now, policy)
    if vm.state in SWITCHED_VM_STATES and not failure.removal:
        return _not_switched(record, vm, failure, now, policy)
    if is_proving(vm) and failure.proof:
        return migrate.proof_failed(record, vm, failure, now, policy)
    if is_changing(vm) and not failure.removal and failure.switch is None:
        return change.failed_once(record, vm, failure, now, policy)
    if failure.removal:
        return _unmoved(record)
    return broken_off.answered(record, vm, failure, now, policy)


def _restarted(record: DeploymentRecord, now: datetime, policy: Policy) -> Step:
    """What was under way when the process died may still turn up, and nobody looked since."""
    vms = {vm.id: _after_start(record, vm, now, policy) for vm in record.vms.values()}
    if all(vms[vm.id] is vm for vm in record.vms.values()):
        return _unmoved(record)
    return Step(key=record.key, before=record, record=replace(record, vms=vms))


def _after_start(record: DeploymentRecord, vm: VmRecord, now: datetime, policy: Policy) -> VmRecord:
    vm = life.after_start(record, vm, now)
    if _may_be_switched(vm):
        vm = replace(vm, late_switch=now + policy.settle)
    if (vm.server is None or vm.change is not None) and _may_be_created(vm):
        return replace(vm, unsure_until=now + policy.settle)
    return vm


def _may_be_switched(vm: VmRecord) -> bool:
    """Tell whether a switch of *vm* may be under way, also one that an update broke off."""
    broken_off_once = vm.state is VmState.ERROR and vm.late_switch is not None
    return vm.state in SWITCHED_VM_STATES or broken_off_once


def _may_be_created(vm: VmRecord) -> bool:
    """
    Tell whether a create, or a change, of *vm* may be under way, also one that was given up since.

    That its moment has passed proves nothing: the clock may have been set while nobody ran.
    """
    making = vm.state is VmState.DEPLOYING or is_changing(vm)
    return making or vm.unsure_until is not None
