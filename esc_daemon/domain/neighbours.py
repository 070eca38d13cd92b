"""
What an `Await` is answered, given the records beside the one that waits.

This is how what one edit asks for goes kind by kind (ESC-WORKFLOWS section 0): what waits is of the
kind after what it waits for. One kind goes on side by side, so a failure is answered when all that
is waited for has ended; then whoever waited fails too, and nothing was asked for it.

    deploy    tenant, its networks, their subnets, then the deployment (`_ready`)
    undeploy  the VMs (`_released`), the subnets (`_gone`), then the networks

Of one deployment the first subnet waits for the last network, and on the way back the first
network for the last subnet (`_BESIDE`); what stands alone waits for what it stands in, or holds.

Whoever keeps the records asks again when what held the answer up (`Held`) has moved: until then
there is none, whatever the others do. What a deployment owns of one kind (`Kin`) is looked at once
for all who wait for it. So the lookups of a deployment grow with its networks, not with the square.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from esc_daemon.domain.advance.deploy import waits_for_neighbours
from esc_daemon.domain.causes import of_resource
from esc_daemon.domain.commands import Await, Until
from esc_daemon.domain.ids import Key, Kind, RecordId, TenantName
from esc_daemon.domain.intent import Network
from esc_daemon.domain.placing import needed_by, subnets_of
from esc_daemon.domain.plan import holds_vim, released
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

_LEAVING = frozenset({ResourceState.DELETING, ResourceState.LEFTOVER})

_BESIDE: Final[Mapping[tuple[Kind, Until], tuple[Kind, Until]]] = {
    (Kind.SUBNET, Until.READY): (Kind.NETWORK, Until.READY),
    (Kind.NETWORK, Until.RELEASED): (Kind.SUBNET, Until.GONE),
    (Kind.NETWORK, Until.GONE): (Kind.SUBNET, Until.GONE),
}
"""The kind that a deployment has ended before the next one begins: who waits, and for which."""


@dataclass(kw_only=True, slots=True, frozen=True)
class Kin:
    """All of one kind that the deployment *owner*, of the incarnation *id*, brought along."""

    owner: Key
    id: RecordId
    kind: Kind
    until: Until


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


def answer(key: Key, wait: Await, find: Find, under: Under) -> NeighbourTrigger | None:
    """
    Return the answer to the wait of the record *key*, None while there is none.

    *find* returns the record of a key; *under* those that stand under a tenant.
    """

    def ended(kin: Kin) -> Failures | None:
        found = look_at_kin(kin, find)
        return None if isinstance(found, Held) else found

    found = look(key, wait, find, under, ended)
    return None if isinstance(found, Held | Kin) else found


def ready_already(record: Record | None, find: Find) -> ResourcesReady | None:
    """
    Return what a deployment would be told at once if it waited for its neighbours.

    None: it waits for none, or must wait, or would fail. *find* as in `answer`.
    """
    if not isinstance(record, DeploymentRecord) or not waits_for_neighbours(record):
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
    kin = _kin_beside(key, wait, find)
    if kin is not None:
        beside = ended(kin)
        if beside is None:
            return kin
        failures = failures or beside
    return _answer(key, wait, find, failures)


def look_at_kin(kin: Kin, find: Find, place: int = 0) -> Held | Failures:
    """Return what failed of *kin* when all of it has ended, else what holds it up."""
    owner = find(kin.owner)
    if not isinstance(owner, DeploymentRecord) or owner.id != kin.id:
        return ()
    owned = owner.owned
    for index in _from(place, len(owned)):
        at, id_ = owned[index]
        if at.kind is kin.kind and _pends(kin.until, find(at), id_):
            return Held(by=(at, kin.owner), place=index)
    members = ((at, id_, find(at)) for at, id_ in owned if at.kind is kin.kind)
    return _failed(kin.until, members)


def _held(key: Key, wait: Await, find: Find, place: int) -> Held | None:
    for index in _from(place, len(wait.neighbours)):
        neighbour = wait.neighbours[index]
        for at, id_, record in _counted(key, wait, find, neighbour):
            if _pends(wait.until, record, id_):
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


def _kin_beside(key: Key, wait: Await, find: Find) -> Kin | None:
    """Return what else of the same deployment comes before the record *key*: see `_BESIDE`."""
    beside = _BESIDE.get((key.kind, wait.until))
    waiting = find(key) if beside else None
    if beside is None or not isinstance(waiting, ResourceRecord) or waiting.owner is None:
        return None
    at, id_ = waiting.owner
    owner = find(at)
    if not isinstance(owner, DeploymentRecord) or owner.id != id_:
        return None
    if wait.until is not Until.READY and owner.intent is not None:
        return None
    kind, until = beside
    return Kin(owner=at, id=id_, kind=kind, until=until)


def _other(record: Record | None, id_: RecordId | None) -> bool:
    return record is not None and id_ is not None and record.id != id_


def _pends(until: Until, record: Record | None, id_: RecordId | None) -> bool:
    """Tell whether the neighbour *record*, wanted as incarnation *id_*, has not ended yet."""
    if until is Until.RELEASED:
        return not _other(record, id_) and not released(record)
    if not isinstance(record, ResourceRecord):
        return False
    if until is Until.GONE:
        return not _other(record, id_) and record.state is not ResourceState.LEFTOVER
    if record.state in _LEAVING:
        return record.successor is not None
    if _other(record, id_):
        return True
    made = record.state is ResourceState.ACTIVE and record.handle is not None
    return not made and record.state is not ResourceState.ERROR


def _failure(until: Until, record: Record | None, id_: RecordId | None) -> str | None:
    """Return why a neighbour that has ended failed, None: it did not."""
    if until is Until.RELEASED:  # a VM that would not go ends the undeploy
        if not isinstance(record, DeploymentRecord) or _other(record, id_):
            return None
        return record.error or None
    if not isinstance(record, ResourceRecord):
        return None
    if until is Until.GONE:
        other = _other(record, id_)
        return None if other else record.error or of_resource(record, "it would not go")
    if record.state in _LEAVING:
        return of_resource(record, "it is being removed")
    if record.state is ResourceState.ERROR:
        return record.error or of_resource(record, "it could not be created")
    return None


def _failed(until: Until, ended: Iterable[tuple[Key, RecordId | None, Record | None]]) -> Failures:
    found = ((at, _failure(until, record, id_)) for at, id_, record in ended)
    return tuple((at, error) for at, error in found if error is not None)


def _failures(key: Key, wait: Await, find: Find) -> Failures:
    counted = (each for one in wait.neighbours for each in _counted(key, wait, find, one))
    return _failed(wait.until, counted)


def _answer(key: Key, wait: Await, find: Find, failures: Failures) -> NeighbourTrigger:
    """A failure is answered when all has ended (ESC-WORKFLOWS section 0)."""
    if wait.until is not Until.READY:
        return NeighboursGone(waiter=wait.waiter, failures=failures)
    if failures:
        at, error = failures[0]
        return ResourceFailed(waiter=wait.waiter, key=at, error=error)
    handles: dict[Key, ResourceHandle] = {}
    for neighbour in wait.neighbours:
        for at, _, record in _counted(key, wait, find, neighbour):
            if isinstance(record, ResourceRecord) and record.handle is not None:
                handles[at] = record.handle
    return ResourcesReady(waiter=wait.waiter, handles=handles)
