"""
What an `Await` is answered, given the records beside the one that waits.

This is how what one edit asks for goes kind by kind (ESC-WORKFLOWS section 0): what waits is of the
kind after what it waits for. One kind goes on side by side, so a failure is answered when all that
is waited for has ended; then whoever waited fails too, and nothing was asked for it.

    deploy    tenant, its networks, their subnets, then the deployment (`_ready`)
    undeploy  the VMs (`_released`), the subnets (`_gone`), then the networks

Of one deployment the first subnet waits for the last network, and on the way back the first
network for the last subnet (`_BESIDE`). What stands alone waits for what it stands in, or holds,
and for what the same edit brought or takes away beside it (`_OF_EDIT`). There a removal that
fails keeps nothing: that is the order of what need not touch each other. What was deleted since
takes part no more. Each waits for a kind before its own, or goes: no two wait for each other.

Whoever keeps the records asks again when what held the answer up (`Held`) has moved: until then
there is none, whatever the others do. What a deployment owns of one kind, or an edit brought
(`Kin`), is looked at once for all who wait for it. So the lookups of a deployment grow with its
networks, not with the square.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from esc_daemon.domain.advance.deploy import waits_for_neighbours
from esc_daemon.domain.causes import first_of, named, of_resource, of_vm
from esc_daemon.domain.commands import Await, Until
from esc_daemon.domain.ids import EditId, Key, Kind, RecordId, TenantName
from esc_daemon.domain.intent import Network
from esc_daemon.domain.placing import needed_by, subnets_of
from esc_daemon.domain.plan import holds_vim, keeper, released
from esc_daemon.domain.record import DeploymentRecord, Record, ResourceRecord
from esc_daemon.domain.specs import ResourceHandle
from esc_daemon.domain.states import ResourceState
from esc_daemon.domain.triggers import (
    NeighboursGone,
    NeighbourTrigger,
    ResourceFailed,
    ResourcesReady,
)

Find = Callable[[Key], Record | None]
Under = Callable[[TenantName], Iterable[Record]]
Failures = tuple[tuple[Key, str], ...]
_Neighbour = tuple[Key, RecordId | None]


class Part(NamedTuple):
    """One half of what an edit moves: what comes by it, or what goes (*going*)."""

    edit: EditId
    going: bool


Took = Callable[[Part, TenantName | None], Sequence[tuple[Key, RecordId]]]
"""
Returns who takes part in the order of an edit, in which incarnation.

Of a tenant: what stands under it, and what stands at the root, which is for all. None: of all.
"""

_LEAVING = frozenset({ResourceState.DELETING, ResourceState.LEFTOVER})

_BESIDE: Final[Mapping[tuple[Kind, Until], tuple[Kind, Until]]] = {
    (Kind.SUBNET, Until.READY): (Kind.NETWORK, Until.READY),
    (Kind.NETWORK, Until.RELEASED): (Kind.SUBNET, Until.GONE),
    (Kind.NETWORK, Until.GONE): (Kind.SUBNET, Until.GONE),
}
"""The kind that a deployment has ended before the next one begins: who waits, and for which."""

_OF_EDIT: Final[Mapping[tuple[Kind, Until], tuple[Kind, ...]]] = {
    (Kind.NETWORK, Until.READY): (Kind.TENANT,),
    (Kind.SUBNET, Until.READY): (Kind.NETWORK,),
    (Kind.DEPLOYMENT, Until.READY): (Kind.NETWORK, Kind.SUBNET),
    (Kind.SUBNET, Until.GONE): (Kind.DEPLOYMENT,),
    (Kind.NETWORK, Until.GONE): (Kind.DEPLOYMENT, Kind.SUBNET),
    (Kind.VOLUME, Until.GONE): (Kind.DEPLOYMENT,),
}
"""The kinds before the one that waits, of those that take part in the order of an edit."""


@dataclass(kw_only=True, slots=True, frozen=True)
class Kin:
    """
    All of *kinds* that the deployment *owner* brought along, or that *edit* moved.

    *tenant* is whose of the edit: see `Took`. Deployments are waited for until they have no VM.
    What comes at the root waits for what comes at the root alone, and there for the tenants to
    have ended, well or not: so tenants keep apart also through what they share.
    """

    kinds: tuple[Kind, ...]
    until: Until
    owner: tuple[Key, RecordId] | None = None
    edit: EditId | None = None
    tenant: TenantName | None = None


@dataclass(kw_only=True, slots=True, frozen=True)
class Held:
    """
    There is no answer before one of *by* moves, whatever else does.

    *place* is where among its neighbours the next look begins, so that those of before, which
    have ended, are not all looked at each time.
    """

    by: tuple[Key, ...] = ()
    place: int = 0


Ended = Callable[[Kin], Failures | None]


def takes_part(record: Record | None) -> dict[Part, RecordId]:
    """Return in the order of which edits *record* takes part, and in which incarnation."""
    found: dict[Part, RecordId] = {}
    if not isinstance(record, (DeploymentRecord, ResourceRecord)):
        return found
    if record.edit is not None:
        found[Part(record.edit, going=record.intent is None)] = record.id
    if record.successor is not None and record.successor.edit is not None:
        found[Part(record.successor.edit, going=False)] = record.successor.id
    return found


def answer(
    key: Key, wait: Await, find: Find, under: Under, took: Took = lambda *_: ()
) -> NeighbourTrigger | None:
    """
    Return the answer to the wait of the record *key*, None while there is none.

    *find* returns the record of a key; *under* those that stand under a tenant.
    """

    def ended(kin: Kin) -> Failures | None:
        found = look_at_kin(kin, find, took)
        return None if isinstance(found, Held) else found

    found = look(key, wait, find, under, ended)
    return None if isinstance(found, Held | Kin) else found


def ready_already(record: Record | None, find: Find) -> ResourcesReady | None:
    """
    Return what a deployment would be told at once if it waited for its neighbours.

    None: it waits for none, or must wait, or would fail, or takes part in the order of an edit that
    moved others too. *find* as in `answer`.
    """
    if not isinstance(record, DeploymentRecord) or not waits_for_neighbours(record):
        return None
    if record.edit is not None:
        return None
    wait = Await(until=Until.READY, waiter=record.id, neighbours=needed_by(record))
    found = answer(record.key, wait, find, lambda _: ())
    return found if isinstance(found, ResourcesReady) else None


def look(
    key: Key, wait: Await, find: Find, under: Under, ended: Ended, place: int = 0
) -> NeighbourTrigger | Held | Kin:
    """
    Return the answer to the wait of the record *key*, or what holds it up.

    *ended* returns what failed of such kin, None while it has not ended; *place* is that of the
    last `Held`.
    """
    if wait.until is Until.CHILDLESS:
        tenants = [TenantName(tenant.name) for tenant, _ in wait.neighbours]
        if any(holds_vim(record) for name in tenants for record in under(name)):
            return Held()
        return NeighboursGone(waiter=wait.waiter)
    held = _held(key, wait, find, place)
    if held is not None:
        return held
    failures = _failures(key, wait, find)
    for kin in _kin_beside(key, wait, find):
        beside = ended(kin)
        if beside is None:
            return kin
        failures += beside
    return _answer(key, wait, find, failures)


def look_at_kin(kin: Kin, find: Find, took: Took, place: int = 0) -> Held | Failures:
    """Return what failed of *kin* when all of it has ended, else what holds it up."""
    members = members_of(kin, find, took)
    for index in _from(place, len(members)):
        at, id_ = members[index]
        if at.kind not in kin.kinds:
            continue
        until = Until.RELEASED if at.kind is Kind.DEPLOYMENT else kin.until
        if _pends(until, find(at), id_):
            return Held(by=(at,) if kin.owner is None else (at, kin.owner[0]), place=index)
    if kin.owner is None and kin.until is not Until.READY:
        return ()
    counting = [kind for kind in kin.kinds if kind is not Kind.TENANT]
    return _failed(kin.until, ((at, id_, find(at)) for at, id_ in members if at.kind in counting))


def members_of(kin: Kin, find: Find, took: Took) -> Sequence[tuple[Key, RecordId]]:
    """
    Return who belongs to *kin*, of whatever kind.

    An edit gets no more of them once it is taken, a deployment only when it moves itself.
    """
    if kin.owner is not None:
        owner = _owner(kin.owner, find)
        return () if owner is None else owner.owned
    if kin.edit is None:
        return ()
    coming = kin.until is Until.READY
    taking = took(Part(kin.edit, going=not coming), kin.tenant)
    if coming and kin.tenant is None:
        taking = [(at, id_) for at, id_ in taking if at.tenant is None]
    return taking


def _owner(owner: tuple[Key, RecordId], find: Find) -> DeploymentRecord | None:
    record = find(owner[0])
    return record if isinstance(record, DeploymentRecord) and record.id == owner[1] else None


def _held(key: Key, wait: Await, find: Find, place: int) -> Held | None:
    waiting = find(key) if wait.until is Until.RELEASED else None
    for index in _from(place, len(wait.neighbours)):
        neighbour = wait.neighbours[index]
        for at, id_, record in _counted(key, wait, find, neighbour):
            if _pends(wait.until, record, id_, waiting):
                by = (at,) if at == neighbour[0] else (at, neighbour[0])
                return Held(by=by, place=index)
    return None


def _from(place: int, count: int) -> Iterator[int]:
    """Yield the numbers below *count* once round from *place*."""
    return ((place + step) % count for step in range(count))


def _counted(
    key: Key, wait: Await, find: Find, neighbour: _Neighbour
) -> Iterator[tuple[Key, RecordId | None, Record | None]]:
    """Yield *neighbour*, and what counts with it: see `_subnets`."""
    record = find(neighbour[0])
    yield *neighbour, record
    if wait.until is Until.READY and record is not None:
        for at, id_ in _subnets(key, record):
            yield at, id_, find(at)


def _subnets(key: Key, record: Record) -> list[tuple[Key, RecordId]]:
    """A VM's port needs an address: for a deployment a network counts with its subnets."""
    if key.kind is Kind.DEPLOYMENT and isinstance(record.intent, Network):
        return subnets_of(record.key, record.id, record.intent)
    return []


def _kin_beside(key: Key, wait: Await, find: Find) -> Iterator[Kin]:
    """Yield what else of the same deployment or edit comes before the record *key*."""
    if wait.edit is not None:
        kinds = _OF_EDIT.get((key.kind, wait.until))
        if kinds is not None and (kinds != (Kind.TENANT,) or key.tenant is None):
            # what stands in a tenant waits for that one
            yield Kin(kinds=kinds, until=wait.until, edit=wait.edit, tenant=key.tenant)
        return
    beside = _BESIDE.get((key.kind, wait.until))
    waiting = find(key) if beside else None
    if beside is None or not isinstance(waiting, ResourceRecord) or waiting.owner is None:
        return
    owner = _owner(waiting.owner, find)
    ready = wait.until is Until.READY
    if owner is None or (not ready and owner.intent is not None):
        return
    kind, until = beside
    yield Kin(kinds=(kind,), until=until, owner=waiting.owner)
    if ready and owner.edit is not None:  # its subnets come after all networks of its edit
        yield Kin(kinds=(kind,), until=until, edit=owner.edit, tenant=key.tenant)


def _other(record: Record | None, id_: RecordId | None) -> bool:
    return record is not None and id_ is not None and record.id != id_


def _pends(
    until: Until, record: Record | None, id_: RecordId | None, waiting: Record | None = None
) -> bool:
    """Tell whether the neighbour *record*, wanted as incarnation *id_*, has not ended yet."""
    if until is Until.RELEASED:
        return not _other(record, id_) and not released(record, waiting)
    if not isinstance(record, ResourceRecord):
        return False
    if until is Until.GONE:
        return not _other(record, id_) and record.state is not ResourceState.LEFTOVER
    if record.state in _LEAVING:  # what waits for a leftover to go may wait for ever
        return record.successor is not None and record.state is ResourceState.DELETING
    if _other(record, id_):
        return True
    made = record.state is ResourceState.ACTIVE and record.handle is not None
    return not made and record.state is not ResourceState.ERROR


def _failure(
    until: Until, record: Record | None, id_: RecordId | None, waiting: Record | None = None
) -> str | None:
    """Return why a neighbour that has ended failed, None: it did not."""
    if until is Until.RELEASED:
        if not isinstance(record, DeploymentRecord) or _other(record, id_):
            return None
        return _not_released(record, waiting)
    if not isinstance(record, ResourceRecord):
        return None
    if until is Until.GONE:
        other = _other(record, id_)
        return None if other else record.error or of_resource(record, "it would not go")
    if record.state in _LEAVING:
        left = record.error if record.successor is not None else None
        return left or of_resource(record, "it is being removed")
    if record.state is ResourceState.ERROR:
        return record.error or of_resource(record, "it could not be created")
    return None


def _not_released(record: DeploymentRecord, waiting: Record | None) -> str | None:
    """A VM that would not go ends the undeploy, one that the VIM would not change the update."""
    if record.intent is None or not isinstance(waiting, ResourceRecord):
        return (record.error or None) if record.intent is None else None
    vm = keeper(record, waiting)
    return None if vm is None else of_vm(vm, f"it is still in {named(waiting.key)}")


def _failed(
    until: Until,
    ended: Iterable[tuple[Key, RecordId | None, Record | None]],
    waiting: Record | None = None,
) -> Failures:
    found = ((at, _failure(until, record, id_, waiting)) for at, id_, record in ended)
    return tuple((at, error) for at, error in found if error is not None)


def _failures(key: Key, wait: Await, find: Find) -> Failures:
    counted = (each for one in wait.neighbours for each in _counted(key, wait, find, one))
    return _failed(wait.until, counted, find(key) if wait.until is Until.RELEASED else None)


def _answer(key: Key, wait: Await, find: Find, failures: Failures) -> NeighbourTrigger:
    """A failure is answered when all has ended (ESC-WORKFLOWS section 0)."""
    if wait.until is not Until.READY:
        gone = tuple(at for at, _ in wait.neighbours)
        return NeighboursGone(waiter=wait.waiter, failures=failures, gone=gone)
    if failures:
        at, error = first_of(failures)
        return ResourceFailed(waiter=wait.waiter, key=at, error=error)
    handles: dict[Key, ResourceHandle] = {}
    for neighbour in wait.neighbours:
        for at, _, record in _counted(key, wait, find, neighbour):
            if isinstance(record, ResourceRecord) and record.handle is not None:
                handles[at] = record.handle
    return ResourcesReady(waiter=wait.waiter, handles=handles)
