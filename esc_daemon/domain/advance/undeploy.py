"""Undeploy: from anywhere to nothing, or to leftovers that are shown (ESC-WORKFLOWS section 2)."""

from collections.abc import Collection
from datetime import datetime

from esc_daemon.domain import causes, tell
from esc_daemon.domain.advance import deploy, heal, migrate, scale, updating
from esc_daemon.domain.advance.settling import entered, operation, settled, with_vm
from esc_daemon.domain.changed import replace
from esc_daemon.domain.events import Event
from esc_daemon.domain.ids import EditId, Key, RecordId, ServerKey
from esc_daemon.domain.interruption import Request, takes
from esc_daemon.domain.machine import next_state
from esc_daemon.domain.placing import without_vm
from esc_daemon.domain.policy import Attempt, Policy, exhausted, failed, left
from esc_daemon.domain.policy import begin as begin_attempt
from esc_daemon.domain.record import (
    DeploymentRecord,
    Leftover,
    OperationType,
    VmRecord,
)
from esc_daemon.domain.specs import ResourceHandle, Server
from esc_daemon.domain.states import (
    SERVICE_LIFECYCLE,
    VM_LIFECYCLE,
    OperationMove,
    ServiceMove,
    ServiceState,
    VmMove,
    VmState,
)
from esc_daemon.domain.step import Step
from esc_daemon.domain.triggers import CallFailed


def begin(
    record: DeploymentRecord, now: datetime, policy: Policy, edit: EditId | None = None
) -> Step:
    """The entry is gone by *edit*: whatever is under way is interrupted, only this goes on."""
    if not takes(record, Request.UNDEPLOY):
        return _without_successor(record)
    attempt = begin_attempt(now, policy)
    leaving = replace(
        record,
        intent=None,
        state=next_state(SERVICE_LIFECYCLE, record.state, ServiceMove.REMOVAL_WANTED),
        vms={
            vm.id: going(vm, attempt, now, policy)
            for vm in record.vms.values()
            if vm.state is not VmState.UNDEF  # nothing was ever asked of the VIM for it
        },
        operation=entered(
            operation(record.id, OperationType.TERMINATE, now),
            OperationMove.GRANTED,
            now,
        ),
        action=None,
        edit=edit,
        update=None,
        errands=(),
        error=None,
    )
    return _ended_if_empty(record, leaving, (), now, policy)


def going(vm: VmRecord, attempt: Attempt, now: datetime, policy: Policy) -> VmRecord:
    """Return *vm* on its way out of the VIM."""
    made = vm.state is VmState.DEPLOYING and vm.server is None
    in_flight = made or updating.is_changing(vm)
    return replace(
        vm,
        state=next_state(VM_LIFECYCLE, vm.state, VmMove.REMOVAL_WANTED),
        attempt=attempt,
        deadline=None,
        power=None,
        recovery=None,
        scale=None,
        migration=None,
        errands=(),
        unsure_until=now + policy.settle if in_flight else vm.unsure_until,
    )


def _without_successor(record: DeploymentRecord) -> Step:
    """The next incarnation is unwanted before it began: told, so that its id has an end."""
    if record.successor is None:
        return Step(key=record.key, before=record, record=record)
    return Step(
        key=record.key,
        before=record,
        record=replace(record, successor=None),
        events=(tell.service_undeployed(record, id_=record.successor.id),),
    )


def server_seen(record: DeploymentRecord, vm: VmRecord, server: Server) -> Step:
    """The create that was in flight has answered: from now on gone means gone."""
    known = replace(
        vm,
        server=ResourceHandle(
            vim=vm.vim, resource_id=server.server_id, project=server.project, name=server.name
        ),
        host_id=server.host_id,
        hostname=server.hostname,
        unsure_until=None,
    )
    if known == vm:
        return Step(key=record.key, before=record, record=record)
    return Step(key=record.key, before=record, record=with_vm(record, known))


def server_gone(record: DeploymentRecord, vm: VmRecord, now: datetime, policy: Policy) -> Step:
    """The VIM has no such server; believed once nothing can turn up any more."""
    if vm.unsure_until is not None and now < vm.unsure_until:
        return Step(key=record.key, before=record, record=record)
    remaining = _without(record, vm)
    if vm.scale is not None:
        return scale.ended(record, remaining, vm, None, now, policy)
    return _ended_if_empty(record, remaining, (tell.vm_undeployed(record, vm),), now, policy)


def _without(record: DeploymentRecord, vm: VmRecord) -> DeploymentRecord:
    end = next_state(VM_LIFECYCLE, vm.state, VmMove.REMOVED)
    assert end is VmState.UNDEF  # which has no record
    if record.intent is not None:  # which goes on, and may give out what the VM had
        return without_vm(record, vm)
    rest = {id_: other for id_, other in record.vms.items() if id_ != vm.id}
    return replace(record, vms=rest)


def call_failed(
    record: DeploymentRecord, vm: VmRecord, failure: CallFailed, now: datetime, policy: Policy
) -> Step:
    """A removal is tried again, also after a refusal; in the end the server is a leftover."""
    if not failure.removal:
        sure = vm.server is not None and vm.change is None
        if sure or not failure.in_doubt:
            return Step(key=record.key, before=record, record=record)
        known = replace(vm, unsure_until=now + policy.settle)
        return Step(key=record.key, before=record, record=with_vm(record, known))
    assert vm.attempt is not None
    attempt = failed(vm.attempt, failure.error, now, policy, subject=vm.id)
    given_up = exhausted(attempt, now) or (failure.final and attempt.tries >= policy.removal_tries)
    if not given_up:
        tried = replace(vm, attempt=attempt)
        return Step(key=record.key, before=record, record=with_vm(record, tried))
    cause = causes.given_up(vm.vim, attempt, failure.error, now)
    if vm.recovery is not None:
        return heal.not_undeployed(record, vm, cause, now)
    if vm.migration is not None:
        return migrate.not_removed(record, vm, cause, attempt, now, policy)
    later = left(attempt, now, policy, subject=vm.id)
    leftover = Leftover(vm=replace(vm, scale=None), deployment=record.id, attempt=later)
    remaining = replace(_without(record, vm), leftovers=(*record.leftovers, leftover))
    if vm.scale is not None:
        return scale.ended(record, remaining, vm, causes.vm_left(vm, cause), now, policy)
    remaining = replace(remaining, error=record.error or causes.vm_left(vm, cause))
    events = (tell.vm_undeployed(record, vm, cause),)
    failing = updating.failed(remaining, causes.vm_left(vm, cause))
    return _ended_if_empty(record, failing, events, now, policy)


def _ended_if_empty(
    before: DeploymentRecord,
    record: DeploymentRecord,
    events: tuple[Event, ...],
    now: datetime,
    policy: Policy,
) -> Step:
    if record.intent is not None:  # what remains of it goes on
        return settled(
            before, deploy.begun(record, VmMove.RESOURCES_READY, now, policy), events, now
        )
    if record.vms or record.owned or record.leaving:
        return Step(key=record.key, before=before, record=record, events=events)
    return _ended(before, record, events, now)


def neighbours_gone(
    record: DeploymentRecord, failures: tuple[tuple[Key, str], ...], now: datetime
) -> Step:
    """The ephemeral networks have left after the last VM: that was all."""
    if record.state is not ServiceState.UNDEPLOYING or record.vms:
        return Step(key=record.key, before=record, record=record)
    if failures and record.error is None:
        more = f" (and {len(failures) - 1} more)" if len(failures) > 1 else ""
        record_left = replace(record, error=causes.first_of(failures)[1] + more)
    else:
        record_left = record
    return _ended(record, record_left, (), now, others=len(failures))


def _ended(
    before: DeploymentRecord,
    record: DeploymentRecord,
    events: tuple[Event, ...],
    now: datetime,
    *,
    others: int = 0,
) -> Step:
    """*others* are its networks and subnets that stay; its VMs that stay it knows itself."""
    left = others + sum(each.deployment == record.id for each in record.leftovers)
    told = (*events, tell.service_undeployed(record, record.error, left=left))
    end = next_state(SERVICE_LIFECYCLE, record.state, ServiceMove.REMOVED)
    after: DeploymentRecord | None = None
    if record.successor is not None:
        after, first = deploy.succeed(record, record.successor, now)
        told = (*told, *first)
    elif record.leftovers:
        after = replace(
            record,
            state=end,
            owned=(),
            leaving=(),
            networks={},
            operation=None,
            edit=None,
        )
    return Step(key=record.key, before=before, record=after, events=told)


def without_leftovers(record: DeploymentRecord, subjects: Collection[ServerKey | RecordId]) -> Step:
    """Leftovers have left at last, or are forgotten; their names and addresses are free again."""
    rest = tuple(each for each in record.leftovers if _key(each) not in subjects)
    if len(rest) == len(record.leftovers):
        return Step(key=record.key, before=record, record=record)
    if not rest and record.state is ServiceState.UNDEF:
        return Step(key=record.key, before=record, record=None)
    return Step(key=record.key, before=record, record=replace(record, leftovers=rest))


def leftovers_due(
    record: DeploymentRecord, subjects: Collection[ServerKey | RecordId], now: datetime
) -> Step:
    """The operator does not want to wait: the next try is now."""
    due = tuple(
        replace(each, attempt=replace(each.attempt, next=now))
        if _key(each) in subjects and each.attempt.next > now
        else each
        for each in record.leftovers
    )
    if due == record.leftovers:
        return Step(key=record.key, before=record, record=record)
    return Step(key=record.key, before=record, record=replace(record, leftovers=due))


def leftover_stays(
    record: DeploymentRecord, key: ServerKey, error: str, now: datetime, policy: Policy
) -> Step:
    """A leftover would not go: again after a long pause, for as long as it takes."""
    if not any(_key(each) == key for each in record.leftovers):
        return Step(key=record.key, before=record, record=record)
    again = tuple(
        replace(each, attempt=_again(each, error, now, policy)) if _key(each) == key else each
        for each in record.leftovers
    )
    return Step(key=record.key, before=record, record=replace(record, leftovers=again))


def _again(leftover: Leftover, error: str, now: datetime, policy: Policy) -> Attempt:
    subject = leftover.vm.id
    tried = failed(leftover.attempt, error, now, policy, subject=subject)
    return left(tried, now, policy, subject=subject)


def _key(leftover: Leftover) -> ServerKey:
    return ServerKey(leftover.vm.id, leftover.vm.generation)
