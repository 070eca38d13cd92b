"""
Tenants, networks, subnets, images, flavors and volumes: created, changed, removed, or left behind.

What an edit asks of them is taken in `resource_intent`; here is what comes of it.
"""

from datetime import datetime
from typing import assert_never

from esc_daemon.domain import causes, tell
from esc_daemon.domain.advance.resource_intent import (
    ON_THEIR_WAY_OUT,
    adoptable,
    begin_when_sure,
    in_vim,
    succeeded,
    unmoved,
    unwanted,
    waits,
    wanted,
)
from esc_daemon.domain.changed import replace
from esc_daemon.domain.ids import Key, Kind, RecordId
from esc_daemon.domain.intent import Resource
from esc_daemon.domain.machine import next_state
from esc_daemon.domain.policy import Attempt, Policy, exhausted, failed, left
from esc_daemon.domain.policy import begin as begin_attempt
from esc_daemon.domain.record import AnyResourceRecord
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
    ScriptsRan,
    ServerDrifted,
    ServerGone,
    ServerProven,
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


def advance_resource(
    key: Key, record: AnyResourceRecord | None, trigger: Trigger, now: datetime, policy: Policy
) -> Step:
    """Return the step of a resource; see `advance`."""
    if isinstance(trigger, IntentChanged):
        if trigger.intent is not None:
            assert isinstance(trigger.intent, Resource)
            return wanted(key, record, trigger, trigger.intent, now, policy)
        if record is None:
            return Step(key=key, before=None, record=None)
        going = unwanted(record, trigger.edit, now, policy)
        return Step(key=key, before=record, record=going)
    if record is None:  # an answer that came after the end
        return Step(key=key, before=None, record=None)
    return _answered(record, trigger, now, policy)


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
            | (ServerSwitched() | ServerUpdated() | ServerProven())
            | (KpiCrossed() | RecoveryPermitted() | ServerDrifted())
            | (ServiceActed() | VmActed() | RecoveryAsked())
            | (ScriptsRan() | Woken())
            | (VimChecked() | VimDoubted())
        ):
            return unmoved(record)
        case _:
            assert_never(trigger)


def _neighbours_ready(
    record: AnyResourceRecord, parent: ResourceHandle | None, now: datetime, policy: Policy
) -> Step:
    if record.state is not ResourceState.CREATING or not waits(record):
        return unmoved(record)
    ready = replace(record, parent=parent, attempt=begin_when_sure(record, now, policy))
    return Step(key=record.key, before=record, record=ready)


def _neighbour_failed(record: AnyResourceRecord, error: str) -> Step:
    if not waits(record) or record.state is not ResourceState.CREATING:
        return unmoved(record)
    return _not_created(record, causes.not_asked(error))


def _may_go(
    record: AnyResourceRecord,
    failures: tuple[tuple[Key, str], ...],
    now: datetime,
    policy: Policy,
) -> Step:
    """Kinds leave one after the other: while something of the kind before stays, this stays too."""
    if record.state is not ResourceState.DELETING or not waits(record):
        return unmoved(record)
    if not in_vim(record.made):
        return succeeded(record, record, (tell.resource_deleted(record),))
    attempt = begin_attempt(now, policy)
    if failures:
        return _left_behind(
            record, attempt, causes.not_asked(causes.first_of(failures)[1]), now, policy
        )
    going = replace(record, attempt=attempt)
    return Step(key=record.key, before=record, record=going)


def _made(record: AnyResourceRecord, id_: RecordId, handle: ResourceHandle) -> Step:
    if id_ != record.id:
        return unmoved(record)
    if record.state is ResourceState.CREATING:
        active = replace(
            record,
            state=next_state(RESOURCE_LIFECYCLE, record.state, ResourceMove.CREATED),
            handle=handle,
            attempt=None,
            unsure_until=None,
            error=None,
        )
        events = (tell.resource_created(active, changed=record.handle is not None),)
        return Step(key=record.key, before=record, record=active, events=events)
    if record.state is ResourceState.DELETING:
        known = replace(record, handle=handle, unsure_until=None)
        return Step(key=record.key, before=record, record=known)
    return unmoved(record)


def _not_created(record: AnyResourceRecord, cause: str) -> Step:
    error = causes.of_resource(record, cause)
    broken = replace(
        record,
        state=next_state(RESOURCE_LIFECYCLE, record.state, ResourceMove.FAILED),
        attempt=None,
        error=error,
    )
    events = (tell.resource_created(broken, error, changed=record.handle is not None),)
    return Step(key=record.key, before=record, record=broken, events=events)


def _gone(record: AnyResourceRecord, id_: RecordId, now: datetime) -> Step:
    if id_ != record.id or record.attempt is None:
        return unmoved(record)
    if record.state is ResourceState.LEFTOVER:
        return succeeded(record, record, ())
    if record.state is not ResourceState.DELETING:
        return unmoved(record)
    if record.unsure_until is not None and now < record.unsure_until:
        return unmoved(record)
    return succeeded(record, record, (tell.resource_deleted(record),))


def _call_failed(
    record: AnyResourceRecord, failure: CallFailed, now: datetime, policy: Policy
) -> Step:
    if failure.subject != record.id:
        return _removal_of_old(record, failure, now, policy)
    if record.state is ResourceState.CREATING and not failure.removal and not waits(record):
        return _creation_failed(record, failure, now, policy)
    if record.state is ResourceState.DELETING and not failure.removal:
        if not failure.in_doubt:
            return unmoved(record)
        unsure = now + policy.settle
        return Step(key=record.key, before=record, record=replace(record, unsure_until=unsure))
    if failure.removal and record.attempt is not None:
        return _removal_failed(record, failure, now, policy)
    return unmoved(record)


def _removal_of_old(
    record: AnyResourceRecord, failure: CallFailed, now: datetime, policy: Policy
) -> Step:
    """The removal of what *record* took over may still take effect: ask only after that."""
    if record.state is not ResourceState.CREATING or not (failure.removal and failure.in_doubt):
        return unmoved(record)
    until = now + policy.settle
    attempt = record.attempt
    if attempt is not None:
        attempt = replace(attempt, next=max(attempt.next, until))
    waiting = replace(record, unsure_until=until, attempt=attempt)
    return Step(key=record.key, before=record, record=waiting)


def _creation_failed(
    record: AnyResourceRecord, failure: CallFailed, now: datetime, policy: Policy
) -> Step:
    assert record.attempt is not None
    if failure.final:
        return _not_created(record, failure.error)
    tries = replace(record.attempt, give_up=record.attempt.give_up + failure.waited)
    attempt = failed(tries, failure.error, now, policy, subject=record.id)
    unsure = record.unsure_until
    if failure.reached:  # it may still turn up: ask again only when looking will find it
        unsure = now + policy.settle
        attempt = replace(attempt, next=max(attempt.next, unsure))
    tried = replace(record, attempt=attempt, unsure_until=unsure)
    if exhausted(attempt, now):
        cause = causes.given_up(record.vim, attempt, failure.error, now)
        if record.key.kind is Kind.IMAGE and record.handle is None:
            cause += f"; once that is mended {causes.IMAGE_ANEW}"
        return replace(_not_created(tried, cause), before=record)
    return Step(key=record.key, before=record, record=tried)


def _removal_failed(
    record: AnyResourceRecord, failure: CallFailed, now: datetime, policy: Policy
) -> Step:
    assert record.attempt is not None
    attempt = failed(record.attempt, failure.error, now, policy, subject=record.id)
    late = now + policy.settle if failure.in_doubt else record.late_removal
    tried = replace(record, attempt=attempt, late_removal=late)
    if record.state is ResourceState.LEFTOVER:
        later = left(attempt, now, policy, subject=record.id)
        return Step(key=record.key, before=record, record=replace(tried, attempt=later))
    if record.state is not ResourceState.DELETING:
        return unmoved(record)
    refused = failure.final and attempt.tries >= policy.removal_tries
    if not refused and not exhausted(attempt, now):
        return Step(key=record.key, before=record, record=tried)
    cause = causes.given_up(record.vim, attempt, failure.error, now)
    return replace(_left_behind(tried, attempt, cause, now, policy), before=record)


def _left_behind(
    record: AnyResourceRecord, attempt: Attempt, cause: str, now: datetime, policy: Policy
) -> Step:
    events = (tell.resource_deleted(record, causes.of_resource(record, cause)),)
    stays = replace(
        record, state=next_state(RESOURCE_LIFECYCLE, record.state, ResourceMove.LEFT_BEHIND)
    )
    later = record.successor
    if later is not None and adoptable(record, later.intent):
        return succeeded(record, stays, events, ResourceMove.ACCEPTED)
    remaining = replace(
        stays,
        attempt=left(
            replace(attempt, error=attempt.error or cause), now, policy, subject=record.id
        ),
        error=causes.resource_left(record, cause),
    )
    return Step(key=record.key, before=record, record=remaining, events=events)


def _leftover_told(record: AnyResourceRecord, told: LeftoverTrigger, now: datetime) -> Step:
    """The operator has it forgotten, or tried again now; what is no leftover is not touched."""
    if record.state is not ResourceState.LEFTOVER or record.id not in told.subjects:
        return unmoved(record)
    if isinstance(told, LeftoversPurged):
        return succeeded(record, record, (), ResourceMove.PURGED)
    if record.attempt is None or record.attempt.next <= now:
        return unmoved(record)
    due = replace(record, attempt=replace(record.attempt, next=now))
    return Step(key=record.key, before=record, record=due)


def _restarted(record: AnyResourceRecord, now: datetime, policy: Policy) -> Step:
    """
    What was being created when the process died may still turn up: wait, then look.

    So may what was given up since; that its moment has passed proves nothing, for the clock may
    have been set while nobody ran. A removal that was asked for may take effect as late.
    """
    unsure = now + policy.settle
    if record.state is ResourceState.CREATING and record.attempt is not None:
        attempt = replace(record.attempt, next=max(record.attempt.next, unsure))
        waiting = replace(record, unsure_until=unsure, attempt=attempt)
        return Step(key=record.key, before=record, record=waiting)
    removing = record.state in ON_THEIR_WAY_OUT and record.attempt is not None
    if record.unsure_until is None and not removing:
        return unmoved(record)
    known = replace(
        record,
        unsure_until=unsure if record.unsure_until is not None else None,
        late_removal=unsure if removing else record.late_removal,
    )
    return Step(key=record.key, before=record, record=known)
