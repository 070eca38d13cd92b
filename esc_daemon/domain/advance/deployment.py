"""A deployment's triggers, each to the topic that knows it."""

from datetime import datetime
from typing import assert_never

from esc_daemon.domain.advance import deploy, undeploy
from esc_daemon.domain.changed import replace
from esc_daemon.domain.errors import Refused
from esc_daemon.domain.ids import Key, ServerKey
from esc_daemon.domain.intent import Deployment
from esc_daemon.domain.policy import Policy
from esc_daemon.domain.record import DeploymentRecord, Successor, VmRecord
from esc_daemon.domain.specs import Server
from esc_daemon.domain.states import ServiceState, VmState
from esc_daemon.domain.step import Step
from esc_daemon.domain.triggers import (
    CallFailed,
    IntentChanged,
    KpiCrossed,
    LeftoversPurged,
    LeftoversRetried,
    NeighboursGone,
    ResourceFailed,
    ResourceGone,
    ResourceMade,
    ResourcesReady,
    Restarted,
    ServerGone,
    ServerSeen,
    Trigger,
    VimChecked,
    VimDoubted,
    Woken,
)


def advance_deployment(
    key: Key, record: DeploymentRecord | None, trigger: Trigger, now: datetime, policy: Policy
) -> Step:
    """Return the step of a deployment; see `advance`."""
    if isinstance(trigger, IntentChanged):
        return _intent_changed(key, record, trigger, now, policy)
    if record is None:  # an answer that came after the end
        return Step(key=key, before=None, record=None)
    return _answered(record, trigger, now, policy)


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
    raise Refused(
        "operation-not-supported",
        f"deployment {key.name} exists and this version does not update one in place: "
        "delete it and deploy it anew",
    )


def _answered(record: DeploymentRecord, trigger: Trigger, now: datetime, policy: Policy) -> Step:
    match trigger:
        case ResourcesReady(handles=handles):
            return deploy.resources_ready(record, handles, now, policy)
        case ResourceFailed(error=error):
            return deploy.resource_failed(record, error, now)
        case NeighboursGone(failures=failures):
            return undeploy.neighbours_gone(record, failures, now)
        case ServerSeen() | ServerGone() | CallFailed() | KpiCrossed():
            return _about_a_server(record, trigger, now, policy)
        case LeftoversPurged(subjects=subjects):
            return undeploy.without_leftovers(record, subjects)
        case LeftoversRetried(subjects=subjects):
            return undeploy.leftovers_due(record, subjects, now)
        case Woken():
            return deploy.boot_deadlines(record, now)
        case Restarted():
            return _restarted(record, now, policy)
        case IntentChanged() | ResourceMade() | ResourceGone() | VimChecked() | VimDoubted():
            return Step(key=record.key, before=record, record=record)
        case _:
            assert_never(trigger)


def _about_a_server(
    record: DeploymentRecord,
    trigger: ServerSeen | ServerGone | CallFailed | KpiCrossed,
    now: datetime,
    policy: Policy,
) -> Step:
    match trigger:
        case ServerSeen(server=server):
            return _server_seen(record, server, now, policy)
        case ServerGone():
            return _server_gone(record, trigger, now, policy)
        case CallFailed():
            return _call_failed(record, trigger, now, policy)
        case KpiCrossed():
            return deploy.kpi_crossed(record, trigger, now, policy)
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
    if vm is None and not gone.looked:
        return undeploy.without_leftovers(record, {gone.key})
    if vm is not None and vm.state is VmState.DEPLOYING:
        return deploy.server_missing(record, vm, now, policy)
    if vm is not None and vm.state is VmState.UNDEPLOYING and not gone.looked:
        return undeploy.server_gone(record, vm, now)
    return Step(key=record.key, before=record, record=record)


def _call_failed(
    record: DeploymentRecord, failure: CallFailed, now: datetime, policy: Policy
) -> Step:
    if not isinstance(failure.subject, tuple):
        return Step(key=record.key, before=record, record=record)
    vm = vm_at(record, failure.subject)
    if vm is None:
        return undeploy.leftover_stays(record, failure.subject, failure.error, now, policy)
    if vm.state is VmState.DEPLOYING and not failure.removal:
        return deploy.call_failed(record, vm, failure, now, policy)
    if vm.state is VmState.UNDEPLOYING:
        return undeploy.call_failed(record, vm, failure, now, policy)
    return Step(key=record.key, before=record, record=record)


def _restarted(record: DeploymentRecord, now: datetime, policy: Policy) -> Step:
    """What was being created when the process died may still turn up: look before making."""
    unsure = {
        vm.id: replace(vm, unsure_until=now + policy.settle)
        for vm in record.vms.values()
        if vm.server is None and _may_be_created(vm)
    }
    if not unsure:
        return Step(key=record.key, before=record, record=record)
    return Step(key=record.key, before=record, record=replace(record, vms={**record.vms, **unsure}))


def _may_be_created(vm: VmRecord) -> bool:
    """
    Tell whether a create for *vm* may have been under way, also one that was given up since.

    That its moment has passed proves nothing: the clock may have been set while nobody ran.
    """
    return vm.state is VmState.DEPLOYING or vm.unsure_until is not None
