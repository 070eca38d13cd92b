"""
Tenants, networks, subnets, images and flavors: created, removed, or left behind.

File servers are known to us alone: there at once, changed in place, gone at once.
"""

from datetime import datetime
from typing import Any, TypeVar, assert_never

from esc_daemon.domain import causes, tell
from esc_daemon.domain.changed import replace
from esc_daemon.domain.errors import Refused
from esc_daemon.domain.events import Event
from esc_daemon.domain.ids import NO_VIM, EditId, Key, RecordId, VimId
from esc_daemon.domain.intent import (
    FileServer,
    Flavor,
    Image,
    Network,
    Resource,
    Subnet,
    Tenant,
)
from esc_daemon.domain.machine import next_state
from esc_daemon.domain.policy import Attempt, Policy, exhausted, failed, left
from esc_daemon.domain.policy import begin as begin_attempt
from esc_daemon.domain.record import AnyResourceRecord, ResourceRecord, ResourceSuccessor
from esc_daemon.domain.specs import ResourceHandle
from esc_daemon.domain.states import RESOURCE_LIFECYCLE, ResourceMove, ResourceState
from esc_daemon.domain.step import Step
from esc_daemon.domain.triggers import (
    CallFailed,
    IntentChanged,
    KpiCrossed,
    LeftoversPurged,
    LeftoversRetried,
    LeftoverTrigger,
    NeighboursGone,
    RecoveryAsked,
    RecoveryPermitted,
    ResourceFailed,
    ResourceGone,
    ResourceMade,
    ResourcesReady,
    Restarted,
    ServerDrifted,
    ServerGone,
    ServerSeen,
    ServerSwitched,
    ServerUpdated,
    ServiceActed,
    Trigger,
    VimChecked,
    VimDoubted,
    VmActed,
    Woken,
)

ResourceT = TypeVar("ResourceT", Tenant, Network, Subnet, Image, Flavor, FileServer)
Owner = tuple[Key, RecordId] | None


def advance_resource(
    key: Key, record: AnyResourceRecord | None, trigger: Trigger, now: datetime, policy: Policy
) -> Step:
    """Return the step of a resource; see `advance`."""
    if isinstance(trigger, IntentChanged):
        if trigger.intent is not None:
            assert isinstance(trigger.intent, Resource)
            return _wanted(key, record, trigger, trigger.intent)
        if record is None:
            return Step(key=key, before=None, record=None)
        return _unwanted(record, trigger.edit, now, policy)
    if record is None:  # an answer that came after the end
        return Step(key=key, before=None, record=None)
    return _answered(record, trigger, now, policy)


def advance_file_server(key: Key, record: AnyResourceRecord | None, trigger: Trigger) -> Step:
    """Return the step of a file server, of which no VIM knows and nothing is told."""
    if not isinstance(trigger, IntentChanged):
        return Step(key=key, before=record, record=record)
    intent = trigger.intent
    if intent is None:
        return Step(key=key, before=record, record=None)
    assert isinstance(intent, FileServer)
    if record is None:
        fresh = _begun(key, trigger.id, intent, None, trigger.vim)
        state = next_state(RESOURCE_LIFECYCLE, fresh.state, ResourceMove.CREATED)
        return Step(key=key, before=None, record=replace(fresh, state=state))
    if record.intent == intent:
        return _unmoved(record)
    same: Any = intent
    return Step(key=key, before=record, record=replace(record, intent=same, made=same))


def _answered(record: AnyResourceRecord, trigger: Trigger, now: datetime, policy: Policy) -> Step:
    match trigger:
        case ResourcesReady(handles=handles):
            return _neighbours_ready(record, next(iter(handles.values()), None), now, policy)
        case ResourceFailed(error=error):
            return _neighbour_failed(record, error)
        case NeighboursGone(failures=failures):
            return _may_go(record, failures, now, policy)
        case ResourceMade(id=id_, handle=handle):
            return _made(record, id_, handle)
        case ResourceGone(id=id_):
            return _gone(record, id_, now)
        case CallFailed():
            return _call_failed(record, trigger, now, policy)
        case LeftoversPurged() | LeftoversRetried():
            return _leftover_told(record, trigger, now)
        case Restarted():
            return _restarted(record, now, policy)
        case (
            IntentChanged()
            | ServerSeen()
            | ServerGone()
            | (ServerSwitched() | ServerUpdated())
            | (KpiCrossed() | RecoveryPermitted() | ServerDrifted())
            | (ServiceActed() | VmActed() | RecoveryAsked())
            | Woken()
            | (VimChecked() | VimDoubted())
        ):
            return _unmoved(record)
        case _:
            assert_never(trigger)


def in_vim(resource: Resource) -> bool:
    """Tell whether the VIM has anything to do for *resource*."""
    if isinstance(resource, Tenant):
        return resource.managed and resource.mapped
    return not isinstance(resource, FileServer)


def waits(record: AnyResourceRecord) -> bool:
    """Tell whether *record* waits for its neighbours, so that nothing is asked of the VIM yet."""
    return record.attempt is None and record.state in {
        ResourceState.CREATING,
        ResourceState.DELETING,
    }


def _unmoved(record: AnyResourceRecord) -> Step:
    return Step(key=record.key, before=record, record=record)


def _begun(
    key: Key, id_: RecordId, intent: ResourceT, owner: Owner, vim: VimId
) -> ResourceRecord[ResourceT]:
    state = next_state(RESOURCE_LIFECYCLE, ResourceState.UNDEF, ResourceMove.ACCEPTED)
    return ResourceRecord(
        key=key, id=id_, intent=intent, made=intent, state=state, vim=vim, owner=owner
    )


def _started(
    key: Key, before: AnyResourceRecord | None, fresh: AnyResourceRecord, events: tuple[Event, ...]
) -> Step:
    """Return the step to *fresh*; what the VIM has no part in is there at once."""
    if before is not None:
        fresh = replace(fresh, revision=before.revision, epoch=before.epoch)
    if in_vim(fresh.made):
        return Step(key=key, before=before, record=fresh, events=events)
    assert isinstance(fresh.made, Tenant)
    project = fresh.made.name if fresh.made.mapped else ""
    handle = ResourceHandle(vim=NO_VIM, resource_id="", project=project, name=fresh.made.name)
    active = replace(
        fresh,
        state=next_state(RESOURCE_LIFECYCLE, fresh.state, ResourceMove.CREATED),
        handle=handle,
    )
    told = (*events, tell.resource_created(active))
    return Step(key=key, before=before, record=active, events=told)


def _wanted(
    key: Key, record: AnyResourceRecord | None, told: IntentChanged, intent: Resource
) -> Step:
    id_, owner, vim = told.id, told.owner, told.vim
    if record is None:
        fresh = replace(_record_of(key, id_, intent, owner, vim), edit=told.edit)
        return _started(key, None, fresh, ())
    if record.intent is None and in_vim(record.made):
        _check_adopted(key, record, intent, vim)
    if _kept(record, told, intent):
        state = next_state(RESOURCE_LIFECYCLE, record.state, ResourceMove.KEPT)
        again: Any = intent
        kept = replace(record, state=state, intent=again, made=again, error=None, edit=None)
        return Step(key=key, before=record, record=kept)
    if record.state is ResourceState.LEFTOVER:
        fresh = replace(_record_of(key, id_, intent, owner, vim), edit=told.edit)
        return _started(key, record, fresh, ())
    if record.state is ResourceState.DELETING and record.successor is None:
        # one key has one kind of intent, so the successor is of the record's own type
        later: Any = ResourceSuccessor(id=id_, intent=intent, owner=owner, vim=vim, edit=told.edit)
        waiting = replace(record, successor=later)
        return Step(key=key, before=record, record=waiting)
    present = record.successor.intent if record.successor else record.intent
    if present == intent:
        return _unmoved(record)
    _check_relisted(key, present, intent)
    same: Any = intent
    if record.successor is not None:
        later = replace(record.successor, intent=same)
        listed = replace(record, successor=later)
    else:
        listed = replace(record, intent=same, made=same)
    return Step(key=key, before=record, record=listed)


def _kept(record: AnyResourceRecord, told: IntentChanged, intent: Resource) -> bool:
    """
    Tell whether the incarnation that is to go is wanted again before its removal was asked for.

    An update takes networks of its deployment away, and the next one may bring them back.
    """
    if record.state is not ResourceState.DELETING or record.successor is not None:
        return False
    if record.id != told.id or record.handle is None or not waits(record):
        return False
    made = record.made
    if isinstance(made, Network) and isinstance(intent, Network):
        return replace(made, subnets=intent.subnets) == intent
    return made == intent


def _check_adopted(key: Key, record: AnyResourceRecord, intent: Resource, vim: VimId) -> None:
    """The next incarnation takes over what may stay in the VIM, or nobody would know of it."""
    if not in_vim(intent):
        raise Refused(
            "in-use",
            f"{key.kind} {key.name} is still being removed from the VIM: ask again for one that "
            "lives in this manager alone when it is gone",
        )
    if record.vim and record.vim != vim:
        raise Refused(
            "in-use",
            f"{key.kind} {key.name} is still being removed from VIM {record.vim}: ask again for "
            f"one in {vim} when it is gone",
        )


def _check_relisted(key: Key, old: Resource | None, new: Resource) -> None:
    """Subnets are records of their own: a network only follows the list of them."""
    if not isinstance(old, Network) or not isinstance(new, Network):
        raise _no_change_in_place(key)
    if replace(old, subnets=new.subnets) != new:
        raise _no_change_in_place(key)


def _no_change_in_place(key: Key) -> Refused:
    return Refused(
        "operation-not-supported",
        f"{key.kind} {key.name} exists and this version does not change one in place: "
        "delete it and create it anew",
    )


def _record_of(
    key: Key, id_: RecordId, intent: Resource, owner: Owner, vim: VimId
) -> AnyResourceRecord:
    match intent:  # one arm a type: the type checker follows each through the generic record
        case Tenant():
            return _begun(key, id_, intent, owner, vim)
        case Network():
            return _begun(key, id_, intent, owner, vim)
        case Subnet():
            return _begun(key, id_, intent, owner, vim)
        case Image():
            return _begun(key, id_, intent, owner, vim)
        case Flavor():
            return _begun(key, id_, intent, owner, vim)
        case FileServer():
            return _begun(key, id_, intent, owner, vim)
        case _:
            assert_never(intent)


def _unwanted(
    record: AnyResourceRecord, edit: EditId | None, now: datetime, policy: Policy
) -> Step:
    if record.state is ResourceState.DELETING:
        if record.successor is None:
            return _unmoved(record)
        return Step(key=record.key, before=record, record=replace(record, successor=None))
    if record.state is ResourceState.LEFTOVER:
        return _unmoved(record)
    in_flight = record.state is ResourceState.CREATING and record.attempt is not None
    going = replace(
        record,
        intent=None,
        state=next_state(RESOURCE_LIFECYCLE, record.state, ResourceMove.REMOVAL_WANTED),
        attempt=None,
        unsure_until=now + policy.settle if in_flight else record.unsure_until,
        edit=edit,
        error=None,
    )
    return Step(key=record.key, before=record, record=going)


def _neighbours_ready(
    record: AnyResourceRecord, parent: ResourceHandle | None, now: datetime, policy: Policy
) -> Step:
    if record.state is not ResourceState.CREATING or not waits(record):
        return _unmoved(record)
    ready = replace(record, parent=parent, attempt=begin_attempt(now, policy))
    return Step(key=record.key, before=record, record=ready)


def _neighbour_failed(record: AnyResourceRecord, error: str) -> Step:
    if not waits(record) or record.state is not ResourceState.CREATING:
        return _unmoved(record)
    return _not_created(record, causes.not_asked(error))


def _may_go(
    record: AnyResourceRecord,
    failures: tuple[tuple[Key, str], ...],
    now: datetime,
    policy: Policy,
) -> Step:
    """Kinds leave one after the other: while something of the kind before stays, this stays too."""
    if record.state is not ResourceState.DELETING or not waits(record):
        return _unmoved(record)
    if not in_vim(record.made):
        return _ended(record, record, (tell.resource_deleted(record),))
    attempt = begin_attempt(now, policy)
    if failures:
        return _left_behind(
            record, attempt, causes.not_asked(causes.first_of(failures)[1]), now, policy
        )
    going = replace(record, attempt=attempt)
    return Step(key=record.key, before=record, record=going)


def _made(record: AnyResourceRecord, id_: RecordId, handle: ResourceHandle) -> Step:
    if id_ != record.id:
        return _unmoved(record)
    if record.state is ResourceState.CREATING:
        active = replace(
            record,
            state=next_state(RESOURCE_LIFECYCLE, record.state, ResourceMove.CREATED),
            handle=handle,
            attempt=None,
            unsure_until=None,
            error=None,
        )
        events = (tell.resource_created(active),)
        return Step(key=record.key, before=record, record=active, events=events)
    if record.state is ResourceState.DELETING:
        known = replace(record, handle=handle, unsure_until=None)
        return Step(key=record.key, before=record, record=known)
    return _unmoved(record)


def _not_created(record: AnyResourceRecord, cause: str) -> Step:
    error = causes.of_resource(record, cause)
    broken = replace(
        record,
        state=next_state(RESOURCE_LIFECYCLE, record.state, ResourceMove.FAILED),
        attempt=None,
        error=error,
    )
    events = (tell.resource_created(broken, error),)
    return Step(key=record.key, before=record, record=broken, events=events)


def _gone(record: AnyResourceRecord, id_: RecordId, now: datetime) -> Step:
    if id_ != record.id or record.attempt is None:
        return _unmoved(record)
    if record.state is ResourceState.LEFTOVER:
        return Step(key=record.key, before=record, record=None)
    if record.state is not ResourceState.DELETING:
        return _unmoved(record)
    if record.unsure_until is not None and now < record.unsure_until:
        return _unmoved(record)
    return _ended(record, record, (tell.resource_deleted(record),))


def _ended(before: AnyResourceRecord, record: AnyResourceRecord, events: tuple[Event, ...]) -> Step:
    waiting = record.successor
    if waiting is None:
        return Step(key=record.key, before=before, record=None, events=events)
    fresh = _record_of(record.key, waiting.id, waiting.intent, waiting.owner, waiting.vim)
    return _started(record.key, before, replace(fresh, edit=waiting.edit), events)


def _call_failed(
    record: AnyResourceRecord, failure: CallFailed, now: datetime, policy: Policy
) -> Step:
    if failure.subject != record.id:
        return _unmoved(record)
    if record.state is ResourceState.CREATING and not failure.removal and not waits(record):
        return _creation_failed(record, failure, now, policy)
    if record.state is ResourceState.DELETING and not failure.removal:
        if failure.final or not failure.reached:
            return _unmoved(record)
        unsure = now + policy.settle
        return Step(key=record.key, before=record, record=replace(record, unsure_until=unsure))
    if failure.removal and record.attempt is not None:
        return _removal_failed(record, failure, now, policy)
    return _unmoved(record)


def _creation_failed(
    record: AnyResourceRecord, failure: CallFailed, now: datetime, policy: Policy
) -> Step:
    assert record.attempt is not None
    if failure.final:
        return _not_created(record, failure.error)
    attempt = failed(record.attempt, failure.error, now, policy, subject=record.id)
    unsure = record.unsure_until
    if failure.reached:  # it may still turn up: ask again only when looking will find it
        unsure = now + policy.settle
        attempt = replace(attempt, next=max(attempt.next, unsure))
    tried = replace(record, attempt=attempt, unsure_until=unsure)
    if exhausted(attempt, now):
        step = _not_created(tried, causes.given_up(record.vim, attempt, failure.error, now))
        return replace(step, before=record)
    return Step(key=record.key, before=record, record=tried)


def _removal_failed(
    record: AnyResourceRecord, failure: CallFailed, now: datetime, policy: Policy
) -> Step:
    assert record.attempt is not None
    attempt = failed(record.attempt, failure.error, now, policy, subject=record.id)
    if record.state is ResourceState.LEFTOVER:
        later = left(attempt, now, policy, subject=record.id)
        return Step(key=record.key, before=record, record=replace(record, attempt=later))
    if record.state is not ResourceState.DELETING:
        return _unmoved(record)
    refused = failure.final and attempt.tries >= policy.removal_tries
    if not refused and not exhausted(attempt, now):
        return Step(key=record.key, before=record, record=replace(record, attempt=attempt))
    cause = causes.given_up(record.vim, attempt, failure.error, now)
    return _left_behind(record, attempt, cause, now, policy)


def _left_behind(
    record: AnyResourceRecord, attempt: Attempt, cause: str, now: datetime, policy: Policy
) -> Step:
    events = (tell.resource_deleted(record, causes.of_resource(record, cause)),)
    if record.successor is not None:  # the next one adopts what would not go
        return _ended(record, record, events)
    remaining = replace(
        record,
        state=next_state(RESOURCE_LIFECYCLE, record.state, ResourceMove.LEFT_BEHIND),
        attempt=left(
            replace(attempt, error=attempt.error or cause), now, policy, subject=record.id
        ),
        error=causes.resource_left(record, cause),
    )
    return Step(key=record.key, before=record, record=remaining, events=events)


def _leftover_told(record: AnyResourceRecord, told: LeftoverTrigger, now: datetime) -> Step:
    """The operator has it forgotten, or tried again now; what is no leftover is not touched."""
    if record.state is not ResourceState.LEFTOVER or record.id not in told.subjects:
        return _unmoved(record)
    if isinstance(told, LeftoversPurged):
        end = next_state(RESOURCE_LIFECYCLE, record.state, ResourceMove.PURGED)
        assert end is ResourceState.UNDEF  # which has no record
        return Step(key=record.key, before=record, record=None)
    if record.attempt is None or record.attempt.next <= now:
        return _unmoved(record)
    due = replace(record, attempt=replace(record.attempt, next=now))
    return Step(key=record.key, before=record, record=due)


def _restarted(record: AnyResourceRecord, now: datetime, policy: Policy) -> Step:
    """
    What was being created when the process died may still turn up: wait, then look.

    So may what was given up since; that its moment has passed proves nothing, for the clock may
    have been set while nobody ran.
    """
    unsure = now + policy.settle
    if record.state is ResourceState.CREATING and record.attempt is not None:
        attempt = replace(record.attempt, next=max(record.attempt.next, unsure))
        waiting = replace(record, unsure_until=unsure, attempt=attempt)
        return Step(key=record.key, before=record, record=waiting)
    if record.unsure_until is None:
        return _unmoved(record)
    return Step(key=record.key, before=record, record=replace(record, unsure_until=unsure))
