"""
What an `Await` is answered, given the records beside the one that waits.

This is how what one edit asks for goes kind by kind (ESC-WORKFLOWS section 0): what waits is of the
kind after what it waits for. One kind goes on side by side, so a failure is answered when all that
is waited for has ended; then whoever waited fails too, and nothing was asked for it.

    deploy    tenant, its networks, their subnets, then the deployment (`_ready`)
    undeploy  the VMs (`_released`), the subnets (`_gone`), then the networks

Of one deployment the first subnet waits for the last network, and on the way back the first
network for the last subnet (`_BESIDE`); what stands alone waits for what it stands in, or holds.

Whoever keeps the records asks again whenever one of the neighbours has moved.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Final, assert_never

from esc_daemon.domain.causes import of_resource
from esc_daemon.domain.commands import Await, Until
from esc_daemon.domain.ids import Key, Kind, RecordId, TenantName
from esc_daemon.domain.intent import Network
from esc_daemon.domain.placing import subnets_of
from esc_daemon.domain.plan import holds_vim, released
from esc_daemon.domain.record import (
    AnyResourceRecord,
    DeploymentRecord,
    Record,
    ResourceRecord,
)
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

_LEAVING = frozenset({ResourceState.DELETING, ResourceState.LEFTOVER})


_BESIDE: Final[Mapping[tuple[Kind, Until], Kind]] = {
    (Kind.SUBNET, Until.READY): Kind.NETWORK,
    (Kind.NETWORK, Until.RELEASED): Kind.SUBNET,
    (Kind.NETWORK, Until.GONE): Kind.SUBNET,
}
"""The kind that a deployment has ended before the next one begins: who waits, and for which."""


def answer(key: Key, wait: Await, find: Find, under: Under) -> NeighbourTrigger | None:
    """
    Return the answer to the wait of the record *key*, None while there is none.

    *find* returns the record of a key; *under* those that stand under a tenant.
    """
    match wait.until:
        case Until.READY:
            return _ready(wait, _neighbours(key, wait, find))
        case Until.GONE:
            return _gone(wait, (*wait.neighbours, *_beside(key, wait, find)), find)
        case Until.RELEASED:
            return _released(key, wait, find)
        case Until.CHILDLESS:
            tenants = [TenantName(tenant.name) for tenant, _ in wait.neighbours]
            done = not any(holds_vim(record) for name in tenants for record in under(name))
        case _:
            assert_never(wait.until)
    return NeighboursGone(waiter=wait.waiter) if done else None


def looked_at(key: Key, wait: Await, find: Find) -> Iterator[Key]:
    """Return the records whose moves may change the answer, as things are; not a tenant's own."""
    for neighbour, _ in wait.neighbours:
        yield neighbour
        record = find(neighbour)
        if wait.until is Until.READY and record is not None:
            yield from (subnet for subnet, _ in _subnets(key, record))
    yield from (each for each, _ in _beside(key, wait, find))


def _subnets(key: Key, record: Record) -> list[tuple[Key, RecordId]]:
    """A VM's port needs an address: for a deployment a network counts with its subnets."""
    if key.kind is Kind.DEPLOYMENT and isinstance(record.intent, Network):
        return subnets_of(record.key, record.id, record.intent)
    return []


def _beside(key: Key, wait: Await, find: Find) -> Iterator[tuple[Key, RecordId | None]]:
    """Yield what else of the same deployment comes before the record *key*: see `_BESIDE`."""
    kind = _BESIDE.get((key.kind, wait.until))
    waiting = find(key) if kind else None
    if not isinstance(waiting, ResourceRecord) or waiting.owner is None:
        return
    at, id_ = waiting.owner
    owner = find(at)
    if not isinstance(owner, DeploymentRecord) or owner.id != id_:
        return
    if wait.until is Until.READY or owner.intent is None:
        own = [neighbour for neighbour, _ in wait.neighbours]
        yield from (each for each in owner.owned if each[0].kind is kind and each[0] not in own)


def _other(record: Record | None, id_: RecordId | None) -> bool:
    return record is not None and id_ is not None and record.id != id_


def _neighbours(
    key: Key, wait: Await, find: Find
) -> Iterator[tuple[AnyResourceRecord, RecordId | None]]:
    for at, id_ in (*wait.neighbours, *_beside(key, wait, find)):
        record = find(at)
        if not isinstance(record, ResourceRecord):
            continue
        yield record, id_
        for subnet_key, subnet_id in _subnets(key, record):
            subnet = find(subnet_key)
            if isinstance(subnet, ResourceRecord):
                yield subnet, subnet_id


def _ready(
    wait: Await, neighbours: Iterator[tuple[AnyResourceRecord, RecordId | None]]
) -> ResourcesReady | ResourceFailed | None:
    handles: dict[Key, ResourceHandle] = {}
    failures: list[ResourceFailed] = []
    waiting = False
    for record, id_ in neighbours:
        leaving = record.state in _LEAVING
        if leaving and record.successor is None:
            error = of_resource(record, "it is being removed")
            failures.append(ResourceFailed(waiter=wait.waiter, key=record.key, error=error))
        elif leaving or _other(record, id_):
            waiting = True
        elif record.state is ResourceState.ERROR:
            error = record.error or of_resource(record, "it could not be created")
            failures.append(ResourceFailed(waiter=wait.waiter, key=record.key, error=error))
        elif record.state is ResourceState.ACTIVE and record.handle is not None:
            handles[record.key] = record.handle
        else:
            waiting = True
    if waiting:
        return None  # a failure waits for its siblings to end (ESC-WORKFLOWS section 0)
    return failures[0] if failures else ResourcesReady(waiter=wait.waiter, handles=handles)


def _released(key: Key, wait: Await, find: Find) -> NeighboursGone | None:
    """A VM that would not go ends the undeploy: its subnets and networks are not asked for."""
    failures: list[tuple[Key, str]] = []
    for at, id_ in wait.neighbours:
        record = find(at)
        if _other(record, id_):
            continue
        if not released(record):
            return None
        if record is not None and isinstance(record, DeploymentRecord) and record.error:
            failures.append((at, record.error))
    below = _gone(wait, _beside(key, wait, find), find)
    return below and replace(below, failures=(*failures, *below.failures))


def _gone(
    wait: Await, neighbours: Iterable[tuple[Key, RecordId | None]], find: Find
) -> NeighboursGone | None:
    failures: list[tuple[Key, str]] = []
    for key, id_ in neighbours:
        record = find(key)
        if not isinstance(record, ResourceRecord) or _other(record, id_):
            continue
        if record.state is not ResourceState.LEFTOVER:
            return None
        failures.append((key, record.error or of_resource(record, "it would not go")))
    return NeighboursGone(waiter=wait.waiter, failures=tuple(failures))
