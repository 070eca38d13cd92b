"""One configuration entry can mean several records: which, and what each of them is told."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from esc_daemon.domain.changed import replace
from esc_daemon.domain.ids import EditId, Key, Kind, RecordId, VimId, derived
from esc_daemon.domain.intent import Deployment, Intent, Network
from esc_daemon.domain.placing import home_of_network, network_key, owned_by, subnets_of
from esc_daemon.domain.record import DeploymentRecord, Record, ResourceRecord
from esc_daemon.domain.triggers import IntentChanged

Told = tuple[Key, IntentChanged]
Changed = tuple[Key, Intent | None]
"""What the entry of a key becomes; None: it goes."""


def decompose_edit(
    changes: Sequence[Changed],
    find: Callable[[Key], Record | None],
    new_id: Callable[[], RecordId],
    vim: VimId,
) -> list[Told]:
    """
    Return what every touched record is told by the edit of *changes*, in their order.

    *find* returns the record of a key, *new_id* an id not used before; *vim* as in `decompose`.

    What an edit brings or takes away goes kind by kind, also where nothing names the other
    (ESC-WORKFLOWS section 0). What needs what is known without the edit; only networks and
    volumes of their own can come beside what does not name them. So without these, or alone,
    nothing is told of the edit.
    """
    ids = [new_id() for _ in changes]
    ordered = len(changes) > 1 and any(key.kind in _BESIDE for key, _ in changes)
    told: list[Told] = []
    for (key, intent), id_ in zip(changes, ids, strict=True):
        edit = EditId(ids[0]) if ordered and key.kind in _IN_ORDER else None
        told += decompose(key, intent, find(key), id_, vim, edit)
    return told


_BESIDE = frozenset({Kind.NETWORK, Kind.VOLUME})
_IN_ORDER = frozenset({Kind.TENANT, Kind.DEPLOYMENT}) | _BESIDE


def decompose(
    key: Key,
    intent: Intent | None,
    record: Record | None,
    new_id: RecordId,
    vim: VimId,
    edit: EditId | None = None,
) -> list[Told]:
    """
    Return what every touched record is told when the entry of *key* becomes *intent*.

    *record* is what stands under *key* now; *new_id* names a new incarnation if there is one,
    *vim* is the default connector of this moment, *edit* the edit in whose order it takes part.
    """
    target = _target(record)
    told = [(key, IntentChanged(id=new_id, intent=intent, vim=vim, edit=edit))]
    if key.kind is Kind.DEPLOYMENT:
        told += _ephemeral(key, target, intent, new_id, vim, _homes(record))
    elif key.kind is Kind.NETWORK:
        there = target or _Target(new_id, None, vim)
        home = there.vim or vim
        subnets = _subnets(key, there.intent, intent, id_=there.id, owner=None, vim=home)
        told += [(at, replace(trigger, edit=edit)) for at, trigger in subnets]
    return told


def entry_of(key: Key, trigger: IntentChanged) -> Key:
    """Return the key of the entry by which the record of *key* was told: `decompose` backwards."""
    if trigger.owner is not None:
        return trigger.owner[0]
    if key.kind is Kind.SUBNET:
        return Key(Kind.NETWORK, key.tenant, key.name.rpartition("/")[0])
    return key


class _Target(NamedTuple):
    """The incarnation that the configuration last asked for, what it asked, and where it lives."""

    id: RecordId
    intent: Intent | None
    vim: VimId


def _target(record: Record | None) -> _Target | None:
    if not isinstance(record, DeploymentRecord | ResourceRecord):
        return None
    asked = record.successor or record
    return None if asked.intent is None else _Target(asked.id, asked.intent, asked.vim)


def _homes(record: Record | None) -> Mapping[str, VimId]:
    if not isinstance(record, DeploymentRecord):
        return {}
    return {name: handle.vim for name, handle in record.networks.items()}


def _ephemeral(
    key: Key,
    target: _Target | None,
    after: Intent | None,
    new_id: RecordId,
    vim: VimId,
    homes: Mapping[str, VimId],
) -> Iterator[Told]:
    """*homes* are the connectors of the networks that are there, by their names."""
    if after is None:
        if target is not None and isinstance(target.intent, Deployment):
            for at, id_ in owned_by(key, target.id, target.intent):
                yield at, IntentChanged(id=id_, intent=None)
        return
    assert isinstance(after, Deployment)
    id_ = new_id if target is None else target.id
    before = target.intent if target is not None else None
    there = {each.name: each for each in before.networks} if isinstance(before, Deployment) else {}
    owner = (key, id_)
    for network in after.networks:
        old = there.pop(network.name, None)
        if old == network:
            continue
        at = network_key(key, network.name)
        network_id = RecordId(derived(id_, "network", network.name))
        home = (homes.get(network.name) if old else None) or home_of_network(
            after, network.name, (target and target.vim) or vim
        )
        yield at, IntentChanged(id=network_id, intent=network, owner=owner, vim=home)
        yield from _subnets(at, old, network, id_=network_id, owner=owner, vim=home)
    for network in there.values():
        at = network_key(key, network.name)
        network_id = RecordId(derived(id_, "network", network.name))
        yield at, IntentChanged(id=network_id, intent=None)
        for subnet, subnet_id in subnets_of(at, network_id, network):
            yield subnet, IntentChanged(id=subnet_id, intent=None)


def _subnets(
    key: Key,
    before: Intent | None,
    after: Intent | None,
    *,
    id_: RecordId,
    owner: tuple[Key, RecordId] | None,
    vim: VimId,
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
            yield at, IntentChanged(id=subnet_id, intent=subnet, owner=owner, vim=vim)
