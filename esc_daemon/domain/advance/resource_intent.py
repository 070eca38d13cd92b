"""
What an edit asks of a resource: one that comes, changes, or goes.

What differs of one that stands is changed in place, or it is deleted and created anew under its
name (`resource_changes`); whether others use it is not looked at here.

File servers are known to us alone: there at once, changed in place, gone at once.
"""

from datetime import datetime
from typing import Any, TypeVar, assert_never

from esc_daemon.domain import tell
from esc_daemon.domain.changed import replace
from esc_daemon.domain.errors import Refused
from esc_daemon.domain.events import Event
from esc_daemon.domain.ids import NO_VIM, EditId, Key, Kind, RecordId, VimId, parts_of
from esc_daemon.domain.intent import (
    FileServer,
    Flavor,
    Image,
    Network,
    Resource,
    Subnet,
    Tenant,
    TenantVolume,
)
from esc_daemon.domain.machine import next_state
from esc_daemon.domain.policy import Attempt, Policy
from esc_daemon.domain.policy import begin as begin_attempt
from esc_daemon.domain.record import AnyResourceRecord, ResourceRecord, ResourceSuccessor
from esc_daemon.domain.resource_changes import Way, below, changed, way_of
from esc_daemon.domain.specs import ResourceHandle
from esc_daemon.domain.states import RESOURCE_LIFECYCLE, ResourceMove, ResourceState
from esc_daemon.domain.step import Step
from esc_daemon.domain.triggers import IntentChanged, Trigger

ResourceT = TypeVar("ResourceT", Tenant, Network, Subnet, Image, Flavor, TenantVolume, FileServer)
Owner = tuple[Key, RecordId] | None

_REPLACEABLE = frozenset({Kind.IMAGE, Kind.FLAVOR})
"""What stands alone: nothing else is made in it."""
_BOUND_TO_WHAT_IS_LEFT = _REPLACEABLE | {Kind.VOLUME}
"""What the VIM cannot make into just anything that is wanted under its name."""
ON_THEIR_WAY_OUT = frozenset({ResourceState.DELETING, ResourceState.LEFTOVER})


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
        return unmoved(record)
    same: Any = intent
    return Step(key=key, before=record, record=replace(record, intent=same, made=same))


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


def adoptable(record: AnyResourceRecord, intent: Resource) -> bool:
    """
    Tell whether what *record* leaves in its VIM will do for *intent*, or can be made to.

    What cannot is a leftover until it is gone: *intent* waits, as the VIM would refuse it, and a
    record of *intent* would hide what is there (ruling 8).
    """
    if record.key.kind not in _BOUND_TO_WHAT_IS_LEFT:
        return True
    ways = {each.rule.way for each in changed(record.key.kind, _as_it_is(record), intent)}
    return ways.isdisjoint({Way.REPLACED, Way.REFUSED})


def _as_it_is(record: AnyResourceRecord) -> Resource:
    """Return what the VIM has of *record*: of a volume the size that it told, 0 before it did."""
    made, handle = record.made, record.handle
    if not isinstance(made, TenantVolume):
        return made
    return replace(made, size_gib=(handle.size_gib or made.size_gib) if handle else 0)


def unmoved(record: AnyResourceRecord) -> Step:
    """Return the step of a record that has nothing to do with what happened."""
    return Step(key=record.key, before=record, record=record)


def wanted(
    key: Key,
    record: AnyResourceRecord | None,
    told: IntentChanged,
    intent: Resource,
    now: datetime,
    policy: Policy,
) -> Step:
    """
    Return the step by which *record* begins to become *intent*.

    Raises:
        Refused: It cannot, or not now; *below* leads to the node at fault.

    """
    if record is None:
        return started(key, None, _told(key, told, intent), ())
    if record.intent is None and in_vim(record.made):
        _check_adopted(key, record, intent, told.vim)
    if _kept(record, told, intent):
        state = next_state(RESOURCE_LIFECYCLE, record.state, ResourceMove.KEPT)
        again: Any = intent
        kept = replace(record, state=state, intent=again, made=again, error=None, edit=None)
        return Step(key=key, before=record, record=kept)
    if record.state is ResourceState.LEFTOVER and adoptable(record, intent):
        state = next_state(RESOURCE_LIFECYCLE, record.state, ResourceMove.ACCEPTED)
        adopting = replace(_told(key, told, intent), state=state)
        return started(key, record, _after_late(record, adopting, now, policy), ())
    if record.state in ON_THEIR_WAY_OUT:
        return _after_removal(record, told, intent)
    assert record.intent is not None
    if record.intent == intent:
        return unmoved(record)
    return _revised(record, told, intent, now, policy)


def unwanted(
    record: AnyResourceRecord, edit: EditId | None, now: datetime, policy: Policy
) -> AnyResourceRecord:
    """Return *record* on its way out; the next incarnation under its name is wanted no more."""
    if record.state in ON_THEIR_WAY_OUT:
        return replace(record, successor=None) if record.successor is not None else record
    in_flight = record.state is ResourceState.CREATING and record.attempt is not None
    return replace(
        record,
        intent=None,
        state=next_state(RESOURCE_LIFECYCLE, record.state, ResourceMove.REMOVAL_WANTED),
        attempt=None,
        unsure_until=now + policy.settle if in_flight else record.unsure_until,
        edit=edit,
        error=None,
    )


def _after_late(
    left: AnyResourceRecord, adopting: AnyResourceRecord, now: datetime, policy: Policy
) -> AnyResourceRecord:
    """Let what takes over a leftover wait out the removal that may be under way."""
    under_way = left.attempt is not None and left.attempt.next <= now
    until = now + policy.settle if under_way else left.late_removal
    return replace(adopting, unsure_until=until)


def begin_when_sure(record: AnyResourceRecord, now: datetime, policy: Policy) -> Attempt:
    """Return an attempt that does not overtake what an earlier try may still do."""
    attempt = begin_attempt(now, policy)
    if record.unsure_until is None:
        return attempt
    return replace(attempt, next=max(attempt.next, record.unsure_until))


def succeeded(
    before: AnyResourceRecord,
    record: AnyResourceRecord,
    events: tuple[Event, ...],
    move: ResourceMove = ResourceMove.REMOVED,
) -> Step:
    """Return the step by which *record* ends, and its successor begins if there is one."""
    end = next_state(RESOURCE_LIFECYCLE, record.state, move)
    waiting = record.successor
    if waiting is None:
        assert end is ResourceState.UNDEF  # which has no record
        return Step(key=record.key, before=before, record=None, events=events)
    fresh: Any = _record_of(record.key, waiting.id, waiting.intent, waiting.owner, waiting.vim)
    fresh = replace(fresh, edit=waiting.edit)
    if move is ResourceMove.ACCEPTED:
        fresh = replace(fresh, unsure_until=record.late_removal)
    return started(record.key, before, fresh, events)


def started(
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


def _after_removal(record: AnyResourceRecord, told: IntentChanged, intent: Resource) -> Step:
    """Of what is to come nothing was begun yet: it may still become anything."""
    same: Any = intent  # one key has one kind of intent, so it is of the record's own type
    if record.successor is None:
        later: Any = _successor(told, same)
    elif record.successor.intent == intent:
        return unmoved(record)
    else:
        later = replace(record.successor, intent=same)
    return Step(key=record.key, before=record, record=replace(record, successor=later))


def _successor(told: IntentChanged, intent: Any) -> ResourceSuccessor[Any]:
    return ResourceSuccessor(
        id=told.id, intent=intent, owner=told.owner, vim=told.vim, edit=told.edit
    )


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


def _revised(
    record: AnyResourceRecord, told: IntentChanged, intent: Resource, now: datetime, policy: Policy
) -> Step:
    """Change what stands, or what is being made, to *intent*."""
    assert record.intent is not None
    key = record.key
    way = _way(record, intent)
    same: Any = intent
    listed = replace(record, intent=same, made=same)
    if way is Way.NONE or (waits(record) and way is Way.IN_PLACE):
        # a network follows the list of its subnets, which are records of their own
        return Step(key=key, before=record, record=listed)
    # a volume that may be there is asked for by another size: to delete it would lose what is on it
    known = record.handle is not None or isinstance(intent, TenantVolume)
    stands = known and record.state is not ResourceState.CREATING
    if way is Way.IN_PLACE and stands:
        return Step(key=key, before=record, record=_changing(listed, now, policy))
    if key.kind in _REPLACEABLE:
        _check_adopted(key, record, intent, told.vim)
        gone: Any = unwanted(record, None, now, policy)
        leaving = replace(gone, successor=_successor(told, same))
        return Step(key=key, before=record, record=leaving)
    name = "/".join(parts_of(key.name))
    if record.state is ResourceState.CREATING:
        text = f"{key.kind} {name} is being made or changed: ask again when that has ended"
        raise Refused("in-use", text, below=below(key))
    text = f"{key.kind} {name} could not be created: delete it and create it anew"
    raise Refused("operation-not-supported", text, below=below(key))


def _way(record: AnyResourceRecord, intent: Resource) -> Way:
    """
    Return how *record* becomes *intent*, which is not what was asked for last.

    A volume that could not grow may be wanted as large as it is: then it is asked for as well.
    """
    assert record.intent is not None
    if not isinstance(record.made, TenantVolume):
        return way_of(record.key, record.intent, intent)
    way = way_of(record.key, _as_it_is(record), intent)
    return Way.IN_PLACE if way is Way.NONE else way


def _changing(listed: AnyResourceRecord, now: datetime, policy: Policy) -> AnyResourceRecord:
    """The VIM is asked at once: what it stands in is there."""
    state = next_state(RESOURCE_LIFECYCLE, listed.state, ResourceMove.CHANGED)
    attempt = begin_when_sure(listed, now, policy)
    return replace(listed, state=state, attempt=attempt, error=None)


def _told(key: Key, told: IntentChanged, intent: Resource) -> AnyResourceRecord:
    return replace(_record_of(key, told.id, intent, told.owner, told.vim), edit=told.edit)


def _begun(
    key: Key, id_: RecordId, intent: ResourceT, owner: Owner, vim: VimId
) -> ResourceRecord[ResourceT]:
    state = next_state(RESOURCE_LIFECYCLE, ResourceState.UNDEF, ResourceMove.ACCEPTED)
    return ResourceRecord(
        key=key, id=id_, intent=intent, made=intent, state=state, vim=vim, owner=owner
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
        case TenantVolume():
            return _begun(key, id_, intent, owner, vim)
        case FileServer():
            return _begun(key, id_, intent, owner, vim)
        case _:
            assert_never(intent)
