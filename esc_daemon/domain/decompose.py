"""One configuration entry can mean several records: which, and what each of them is told."""

from collections.abc import Iterator

from esc_daemon.domain.ids import Key, Kind, RecordId, derived
from esc_daemon.domain.intent import Deployment, Network, Resource
from esc_daemon.domain.placing import network_key, owned_by, subnets_of
from esc_daemon.domain.record import Record
from esc_daemon.domain.triggers import IntentChanged

Told = tuple[Key, IntentChanged]


def decompose(
    key: Key, intent: Deployment | Resource | None, record: Record | None, new_id: RecordId
) -> list[Told]:
    """
    Return what every touched record is told when the entry of *key* becomes *intent*.

    *record* is what stands under *key* now; *new_id* names a new incarnation if there is one.
    """
    id_, before = _target(record)
    told = [(key, IntentChanged(id=new_id, intent=intent))]
    if key.kind is Kind.DEPLOYMENT:
        told += _ephemeral(key, before, intent, old_id=id_, new_id=new_id)
    elif key.kind is Kind.NETWORK:
        told += _subnets(key, before, intent, id_=id_ or new_id, owner=None)
    return told


def entry_of(key: Key, trigger: IntentChanged) -> Key:
    """Return the key of the entry by which the record of *key* was told: `decompose` backwards."""
    if trigger.owner is not None:
        return trigger.owner[0]
    if key.kind is Kind.SUBNET:
        return Key(Kind.NETWORK, key.tenant, key.name.rpartition("/")[0])
    return key


def _target(record: Record | None) -> tuple[RecordId | None, Deployment | Resource | None]:
    """Return the incarnation that the configuration last asked for, and what it asked."""
    if record is None:
        return None, None
    if record.successor is not None:
        return record.successor.id, record.successor.intent
    if record.intent is None:
        return None, None
    return record.id, record.intent


def _ephemeral(
    key: Key,
    before: Deployment | Resource | None,
    after: Deployment | Resource | None,
    *,
    old_id: RecordId | None,
    new_id: RecordId,
) -> Iterator[Told]:
    if before == after:
        return
    if after is None:
        if isinstance(before, Deployment) and old_id is not None:
            for at, id_ in owned_by(key, old_id, before):
                yield at, IntentChanged(id=id_, intent=None)
        return
    if before is not None:
        return  # a change in place is decided, and refused for now, by the deployment itself
    assert isinstance(after, Deployment)
    owner = (key, new_id)
    for network in after.networks:
        at = network_key(key, network.name)
        network_id = RecordId(derived(new_id, "network", network.name))
        yield at, IntentChanged(id=network_id, intent=network, owner=owner)
        yield from _subnets(at, None, network, id_=network_id, owner=owner)


def _subnets(
    key: Key,
    before: Deployment | Resource | None,
    after: Deployment | Resource | None,
    *,
    id_: RecordId,
    owner: tuple[Key, RecordId] | None,
) -> Iterator[Told]:
    old = before if isinstance(before, Network) else None
    new = after if isinstance(after, Network) else None
    kept = {subnet.name: subnet for subnet in new.subnets} if new else {}
    if old is not None:
        for (at, subnet_id), subnet in zip(subnets_of(key, id_, old), old.subnets, strict=True):
            if subnet.name not in kept:
                yield at, IntentChanged(id=subnet_id, intent=None)
    if new is not None:
        for (at, subnet_id), subnet in zip(subnets_of(key, id_, new), new.subnets, strict=True):
            yield at, IntentChanged(id=subnet_id, intent=subnet, owner=owner)
