"""
What an `Await` is answered, given the records beside the one that waits.

Whoever keeps the records asks again whenever one of the neighbours has moved.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import assert_never

from esc_daemon.domain.commands import Await, Until
from esc_daemon.domain.ids import Key, Kind, RecordId, TenantName
from esc_daemon.domain.intent import Network
from esc_daemon.domain.placing import subnets_of
from esc_daemon.domain.plan import holds_vim, released
from esc_daemon.domain.record import AnyResourceRecord, Record, ResourceRecord
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


def answer(key: Key, wait: Await, find: Find, under: Under) -> NeighbourTrigger | None:
    """
    Return the answer to the wait of the record *key*, None while there is none.

    *find* returns the record of a key; *under* those that stand under a tenant.
    """
    match wait.until:
        case Until.READY:
            return _ready(wait, _neighbours(key, wait, find))
        case Until.GONE:
            return _gone(wait, find)
        case Until.RELEASED:
            owners = [find(owner) for owner, _ in wait.neighbours]
            pairs = zip(owners, wait.neighbours, strict=True)
            done = all(released(record) or _other(record, id_) for record, (_, id_) in pairs)
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


def _subnets(key: Key, record: Record) -> list[tuple[Key, RecordId]]:
    """A VM's port needs an address: for a deployment a network counts with its subnets."""
    if key.kind is Kind.DEPLOYMENT and isinstance(record.intent, Network):
        return subnets_of(record.key, record.id, record.intent)
    return []


def _other(record: Record | None, id_: RecordId | None) -> bool:
    return record is not None and id_ is not None and record.id != id_


def _neighbours(
    key: Key, wait: Await, find: Find
) -> Iterator[tuple[AnyResourceRecord, RecordId | None]]:
    for at, id_ in wait.neighbours:
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
            error = "it is being removed"
            failures.append(ResourceFailed(waiter=wait.waiter, key=record.key, error=error))
        elif leaving or _other(record, id_):
            waiting = True
        elif record.state is ResourceState.ERROR:
            error = record.error or "it could not be created"
            failures.append(ResourceFailed(waiter=wait.waiter, key=record.key, error=error))
        elif record.state is ResourceState.ACTIVE and record.handle is not None:
            handles[record.key] = record.handle
        else:
            waiting = True
    if waiting:
        return None  # a failure waits for its siblings to end (ESC-WORKFLOWS section 0)
    return failures[0] if failures else ResourcesReady(waiter=wait.waiter, handles=handles)


def _gone(wait: Await, find: Find) -> NeighboursGone | None:
    failures: list[tuple[Key, str]] = []
    for key, id_ in wait.neighbours:
        record = find(key)
        if not isinstance(record, ResourceRecord) or _other(record, id_):
            continue
        if record.state is not ResourceState.LEFTOVER:
            return None
        failures.append((key, record.error or "it would not go"))
    return NeighboursGone(waiter=wait.waiter, failures=tuple(failures))
