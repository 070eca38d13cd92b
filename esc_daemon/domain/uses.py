"""
Who uses what stands alone, from networks to file servers, by the names in deployments.

An edit that would take such a thing from under a deployment is refused. What a deployment that is
on its way out still holds is the VIM's to say, and its removal is tried again.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from esc_daemon.domain.errors import Node, Refused
from esc_daemon.domain.ids import Key, Kind, VimId, joined, parts_of
from esc_daemon.domain.intent import Deployment, FileServer, Network, Subnet, VmGroup
from esc_daemon.domain.placing import home_of, networks_of, ports_of, uses
from esc_daemon.domain.record import (
    AnyResourceRecord,
    DeploymentRecord,
    Record,
    ResourceRecord,
    VmRecord,
)
from esc_daemon.domain.resource_changes import Way, below, changed
from esc_daemon.domain.states import ResourceState
from esc_daemon.domain.step import Step

Find = Callable[[Key], Record | None]

_SHOWN: Final = 3
"""Users that are named; the others are counted."""


class _User(NamedTuple):
    deployment: Key
    group: str


def named_by(record: Record | None) -> Iterator[Key]:
    """
    Yield what *record* may use and does not bring along; a key may come twice.

    That it lives in another VIM than these is no matter here: it may move. A name of a network is
    that of its tenant's or of a shared one.
    """
    if not isinstance(record, DeploymentRecord):
        return
    for asked in (record, record.successor):
        if asked is not None and asked.intent is not None:
            for group in asked.intent.groups:
                yield from _named_by_group(record.key, asked.intent, group)


def _named_by_group(key: Key, intent: Deployment, group: VmGroup) -> Iterator[Key]:
    own = {network.name for network in intent.networks}
    for network in networks_of([group]):
        if network not in own:
            yield Key(Kind.NETWORK, key.tenant, joined(network))
            yield Key(Kind.NETWORK, None, joined(network))
    for volume in group.volumes:
        if not volume.is_ephemeral:
            yield Key(Kind.VOLUME, key.tenant, volume.name)
        elif volume.image:
            yield Key(Kind.IMAGE, None, volume.image)
    if group.image:
        yield Key(Kind.IMAGE, None, group.image)
    if group.flavor:
        yield Key(Kind.FLAVOR, None, group.flavor)
    for file in group.day_zero:
        if file.remote is not None:
            yield Key(Kind.FILE_SERVER, None, file.remote.server)


def check_uses(
    steps: Mapping[Key, Step], users: Callable[[Key], Iterable[Key]], find: Find
) -> None:
    """
    Refuse *steps*, those of one edit, where they take away what a deployment uses.

    *users* returns the deployments that named a key before the edit, *find* the record of a key.

    Raises:
        Refused: They do (in-use); *key* is that of the record, *below* leads to the leaf.

    """
    leaving = [(key, record) for key, step in steps.items() if (record := _leaving(step))]
    if not leaving:
        return

    def after(key: Key) -> Record | None:
        return steps[key].record if key in steps else find(key)

    edited = [key for key in steps if key.kind is Kind.DEPLOYMENT]
    for key, record in leaving:
        at = _network_of(key) if key.kind is Kind.SUBNET else key
        candidates = dict.fromkeys((*users(at), *edited))
        found = [
            user
            for each in candidates
            for user in _users(after(each), at, record, lambda key: _stands(after(key)))
        ]
        if found:
            raise Refused(
                "in-use",
                f"{key.kind} {'/'.join(parts_of(key.name))} is in use by {_shown(found)}: undeploy "
                "that first, or let it use another",
                key=key,
                below=_below(steps[key]),
            )


def _leaving(step: Step) -> AnyResourceRecord | None:
    """Return the record that *step* begins to take away, if something may be made of it."""
    before, after = step.before, step.record
    if not isinstance(before, ResourceRecord) or before.intent is None or before.owner is not None:
        return None
    if isinstance(after, ResourceRecord) and after.intent is not None:
        return None
    in_vim = before.handle is not None or before.state is ResourceState.CREATING
    return before if in_vim or isinstance(before.made, FileServer) else None


def _users(
    record: Record | None, at: Key, leaving: AnyResourceRecord, stands: Callable[[Key], bool]
) -> Iterator[_User]:
    if not isinstance(record, DeploymentRecord):
        return
    for asked in (record, record.successor):
        if asked is None or asked.intent is None:
            continue
        for group in asked.intent.groups:
            here = at.kind is Kind.FILE_SERVER or home_of(group, asked.vim) == asked.vim
            there = here or _is_still_there(record, group)
            if not there or at not in _named_by_group(record.key, asked.intent, group):
                continue
            if at.kind is Kind.NETWORK and not _meant(record, at, leaving, stands):
                continue
            if isinstance(leaving.made, Subnet) and not _in_subnet(record, group, leaving.made):
                continue
            yield _User(record.key, group.name)


def _is_still_there(record: DeploymentRecord, group: VmGroup) -> bool:
    """
    Tell whether a VM of a group that is to be elsewhere is in the default VIM, or may go back.

    Resources of their own are made in that one only.
    """
    return any(vm.group == group.name and record.vim in _vims_of(vm) for vm in record.vms.values())


def _vims_of(vm: VmRecord) -> Iterator[VimId]:
    yield vm.vim
    if vm.migration is not None and vm.migration.source is not None:
        yield vm.migration.source.vim


def _meant(
    record: DeploymentRecord,
    at: Key,
    leaving: AnyResourceRecord,
    stands: Callable[[Key], bool],
) -> bool:
    """Tell whether of the networks with this name it is the one at *at* that is used."""
    known = record.networks.get(parts_of(at.name)[0])
    if known is not None and isinstance(leaving.made, Network) and leaving.handle is not None:
        return known.resource_id == leaving.handle.resource_id
    nearer = Key(Kind.NETWORK, record.key.tenant, at.name)
    return at == nearer or not stands(nearer)


def _in_subnet(record: DeploymentRecord, group: VmGroup, subnet: Subnet) -> bool:
    named = {
        wanted.subnet
        for interface in group.interfaces
        if interface.network == subnet.network
        for wanted in interface.wanted
    }
    vms = [vm for vm in record.vms.values() if vm.group == group.name]
    return subnet.name in named or any(uses(port, subnet) for port in ports_of(vms))


def _stands(record: Record | None) -> bool:
    return isinstance(record, ResourceRecord) and record.intent is not None


def _network_of(subnet: Key) -> Key:
    return Key(Kind.NETWORK, subnet.tenant, subnet.name.rpartition("/")[0])


def _below(step: Step) -> tuple[Node, ...]:
    before, after = step.before, step.record
    if not isinstance(after, ResourceRecord) or after.successor is None:
        return below(step.key)
    assert isinstance(before, ResourceRecord)
    news = changed(step.key.kind, before.made, after.successor.intent)
    leaf = next((each.leaf for each in news if each.rule.way is Way.REPLACED), None)
    return below(step.key, leaf) if leaf else below(step.key)


def _shown(users: list[_User]) -> str:
    shown = [
        f"vm_group {group} of deployment {'/'.join(parts_of(key.name))} of tenant {key.tenant}"
        for key, group in users[:_SHOWN]
    ]
    more = len(users) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")
