"""From an intent to the VMs, names, addresses and neighbours that it means."""

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Final

from esc_daemon.domain.changed import replace
from esc_daemon.domain.errors import Refused
from esc_daemon.domain.history import NEVER_SCALED
from esc_daemon.domain.ids import (
    DeploymentId,
    Key,
    Kind,
    PortKey,
    RecordId,
    VimId,
    VmId,
    derived,
    joined,
)
from esc_daemon.domain.intent import (
    Deployment,
    Interface,
    Network,
    Resource,
    Subnet,
    VmGroup,
)
from esc_daemon.domain.pools import GroupPools, Pools
from esc_daemon.domain.record import (
    DeploymentRecord,
    InterfaceRecord,
    Leftover,
    VmRecord,
)
from esc_daemon.domain.specs import Address, NetworkRef, PortSpec, ResourceHandle, ServerSpec
from esc_daemon.domain.states import VmState
from esc_daemon.domain.volumes import volume_specs, volumes_of

MAX_VMS: Final = 500
"""A deployment has at most that many VMs (ruling 15c)."""


def vms_of(
    key: Key,
    id_: DeploymentId,
    intent: Deployment,
    vim: VimId,
    leftovers: tuple[Leftover, ...] = (),
) -> dict[VmId, VmRecord]:
    """
    Return the VMs that *intent* means, none of them begun; *vim* is where no locator sends them.

    The addresses of *leftovers* are taken: their ports are still in the VIM (ruling 8).

    Raises:
        Refused: More than `MAX_VMS`, or a static pool that is too small.

    """
    wanted = sum(group.scaling.min_active for group in intent.groups)
    if wanted > MAX_VMS:
        text = f"the deployment has {wanted} VMs, the limit is {MAX_VMS}"
        raise Refused("resource-denied", text)
    found: dict[VmId, VmRecord] = {}
    pools = Pools(intent, leftovers)
    for group in intent.groups:
        drawn = pools.of(group, f"min_active {group.scaling.min_active}")
        for index in range(group.scaling.min_active):
            vm = _vm(key, id_, group, index, home_of(group, vim), drawn)
            found[vm.id] = vm
    return found


def another_vm(
    record: DeploymentRecord, group: VmGroup, need: str = "one VM more"
) -> tuple[DeploymentRecord, VmRecord]:
    """
    Return one VM more for *group*, not begun, and *record* knowing that its number is taken.

    *need* says what a pool that is used up does not suffice for.

    Its index was no VM's before, so what may still turn up of another VM is never taken for this
    one's; it has the lowest seat that is free. A leftover keeps its seat.

    Raises:
        Refused: The deployment has `MAX_VMS`, or a static pool is used up.

    """
    assert record.intent is not None
    if len(record.vms) >= MAX_VMS:
        text = f"the deployment has {len(record.vms)} VMs, which is the limit"
        raise Refused("resource-denied", text)
    left = [each.vm for each in record.leftovers if each.deployment == record.id]
    kin = [vm for vm in (*record.vms.values(), *left) if vm.group == group.name]
    known = record.scaled.get(group.name, NEVER_SCALED)
    index = max([known.next_index, *(vm.index + 1 for vm in kin)])
    seats = {vm.seat for vm in kin}
    seat = next(each for each in range(len(kin) + 1) if each not in seats)
    pools = Pools(record.intent, record.leftovers, record.vms.values(), record.freed)
    drawn = pools.of(group, need)
    vm = _vm(record.key, record.id, group, index, home_of(group, record.vim), drawn, seat)
    scaled = {**record.scaled, group.name: replace(known, next_index=index + 1)}
    return replace(drawn_by(record, vm), scaled=scaled), vm


def drawn_by(record: DeploymentRecord, vm: VmRecord) -> DeploymentRecord:
    """Return *record* knowing that *vm* has what it has of what was freed."""
    taken = set(addresses_of(vm.ports))
    freed = tuple(each for each in record.freed if each not in taken)
    return replace(record, freed=freed) if freed != record.freed else record


def without_vm(record: DeploymentRecord, vm: VmRecord) -> DeploymentRecord:
    """Return *record* without *vm*, knowing its number and which pool addresses it gives back."""
    known = record.scaled.get(vm.group, NEVER_SCALED)
    history = replace(known, next_index=max(known.next_index, vm.index + 1))
    return replace(
        given_back(record, vm.ports),
        vms={id_: other for id_, other in record.vms.items() if id_ != vm.id},
        scaled={**record.scaled, vm.group: history},
    )


def given_back(record: DeploymentRecord, ports: Iterable[InterfaceRecord]) -> DeploymentRecord:
    """Return *record* knowing which pool addresses the interfaces *ports* give back."""
    assert record.intent is not None
    pools = {each for group in record.intent.groups for each in pooled(group)}
    back = list(dict.fromkeys(each for each in addresses_of(ports) if each in pools))
    kept = (each for each in record.freed if each in pools and each not in back)
    return replace(record, freed=(*kept, *back))


def pooled(group: VmGroup) -> set[tuple[str, str]]:
    """Return the addresses of the pools of *group*, MAC addresses too, each with its network."""
    return {
        (pool.network, address)
        for pool in (*group.scaling.address_pools, *group.scaling.mac_pools)
        for address in pool.addresses
    }


def addresses_of(ports: Iterable[InterfaceRecord]) -> Iterator[tuple[str, str]]:
    """Yield the addresses of *ports*, MAC addresses too, each with its network."""
    for port in ports:
        for each in (*(address.ip_address for address in port.addresses), port.mac_address):
            if each is not None:
                yield port.network, each


def _vm(
    key: Key,
    id_: DeploymentId,
    group: VmGroup,
    index: int,
    vim: VimId,
    pools: GroupPools,
    seat: int | None = None,
) -> VmRecord:
    vm_id = VmId(derived(id_, "vm", group.name, index))
    number = index if seat is None else seat
    return VmRecord(
        id=vm_id,
        name=f"{key.name}_{group.name}_{index}_{vm_id}",
        group=group.name,
        index=index,
        generation=1,
        state=VmState.UNDEF,
        vim=vim,
        project=group.locator.vim_project,
        interfaces=tuple(interface_of(each, number, pools) for each in group.interfaces),
        place=None if number == index else number,
        volumes=volumes_of(group),
    )


def interface_of(wanted: Interface, index: int, pools: GroupPools) -> InterfaceRecord:
    """
    Return the interface of the VM in the place *index*, as far as it is known before it is made.

    Raises:
        Refused: A static pool is too small.

    """
    bare = InterfaceRecord(
        nicid=wanted.nicid,
        network=wanted.network,
        type=wanted.type,
        model=wanted.model,
        admin_state_up=wanted.admin_state_up,
        mac_address=pools.mac(wanted, index),
    )
    return bare.with_addresses(pools.addresses(wanted, index))


def networks_of(groups: Iterable[VmGroup]) -> tuple[str, ...]:
    """Return the names of the networks that interfaces of *groups* are in or may speak for."""
    interfaces = [interface for group in groups for interface in group.interfaces]
    names = (name for each in interfaces for name in (each.network, *each.allowed_networks))
    return tuple(dict.fromkeys(names))


def home_of(group: VmGroup, default: VimId) -> VimId:
    """Return the connector that *group* goes to."""
    return VimId(group.locator.vim_id) or default


def project_in(named: str, tenant: ResourceHandle | None, vim: VimId) -> tuple[str, str]:
    """
    Return the name of the project of a VM in *vim*, and its id where that is the *tenant*'s.

    *named* is what its locator says. In a VIM that the tenant does not live in its project is known
    by its name alone.
    """
    if named or tenant is None:
        return named, ""
    project = tenant.project and (tenant.name or tenant.project)
    known = tenant.project != project and lives_in(tenant, vim)
    return project, tenant.project if known else ""


def home_of_network(intent: Deployment, network: str, default: VimId) -> VimId:
    """
    Return the connector in which the ephemeral *network* is made: that of its first group.

    A group that goes elsewhere takes the network of that name there.
    """
    for group in intent.groups:
        if any(interface.network == network for interface in group.interfaces):
            return home_of(group, default)
    return default


def lives_in(handle: ResourceHandle, vim: VimId) -> bool:
    """Tell whether what *handle* names is in *vim*; empty is whichever there was once."""
    return not handle.vim or not vim or handle.vim == vim


def network_key(key: Key, network: str) -> Key:
    """Return the key of an ephemeral network of the deployment *key*."""
    return Key(Kind.NETWORK, key.tenant, joined(key.name, network))


def owned_by(key: Key, id_: RecordId, intent: Deployment) -> tuple[tuple[Key, RecordId], ...]:
    """Return the ephemeral networks and subnets of a deployment, networks first."""
    found: list[tuple[Key, RecordId]] = []
    for network in intent.networks:
        at = network_key(key, network.name)
        network_id = RecordId(derived(id_, "network", network.name))
        found.append((at, network_id))
        found.extend(subnets_of(at, network_id, network))
    return tuple(found)


def subnets_of(at: Key, id_: RecordId, network: Network) -> list[tuple[Key, RecordId]]:
    """Return the keys and incarnations of the subnets of the network record *at*, *id_*."""
    return [
        (
            Key(Kind.SUBNET, at.tenant, f"{at.name}/{joined(subnet.name)}"),
            RecordId(derived(id_, "subnet", subnet.name)),
        )
        for subnet in network.subnets
    ]


def needed_by(record: DeploymentRecord) -> tuple[tuple[Key, RecordId | None], ...]:
    """
    Return the neighbours that must be ready before the first VM: what it stands in and is made of.

    In an update what its new or changed VMs need: nobody else waits for what is theirs.
    What a group elsewhere than in the default VIM names is there or not: resources of their own
    are made in the default VIM only. A network that the deployment does not bring along may be its
    tenant's or a shared one, or only the VIM knows it: both keys are asked for, and what has no
    record does not hold us up.
    """
    assert record.intent is not None
    key = record.key
    needed: dict[Key, RecordId | None] = {Key(Kind.TENANT, None, key.tenant or ""): None}
    needed.update(record.owned)
    own = {network.name for network in record.intent.networks}
    for group in _beginning(record):
        if home_of(group, record.vim) != record.vim:
            continue
        for network in networks_of([group]):
            if network not in own:
                needed.setdefault(Key(Kind.NETWORK, key.tenant, joined(network)), None)
                needed.setdefault(Key(Kind.NETWORK, None, joined(network)), None)
        for volume in group.volumes:
            if not volume.is_ephemeral:
                needed.setdefault(Key(Kind.VOLUME, key.tenant, volume.name), None)
            elif volume.image:
                needed.setdefault(Key(Kind.IMAGE, None, volume.image), None)
        if group.image:
            needed.setdefault(Key(Kind.IMAGE, None, group.image), None)
        if group.flavor:
            needed.setdefault(Key(Kind.FLAVOR, None, group.flavor), None)
    return tuple(needed.items())


def _beginning(record: DeploymentRecord) -> list[VmGroup]:
    """Return the groups of which the VIM is to make or to change a VM."""
    assert record.intent is not None
    if record.update is None:
        return list(record.intent.groups)
    names = {
        vm.group
        for vm in record.vms.values()
        if vm.state is VmState.UNDEF or vm.change is not None or vm.migration is not None
    }
    return [group for group in record.intent.groups if group.name in names]


def network_candidates(record: DeploymentRecord, network: str) -> tuple[Key, ...]:
    """Return where the network of that name may be ours, nearest first."""
    tenant = record.key.tenant
    return (
        network_key(record.key, network),
        Key(Kind.NETWORK, tenant, joined(network)),
        Key(Kind.NETWORK, None, joined(network)),
    )


def server_spec(record: DeploymentRecord, vm: VmRecord) -> ServerSpec:
    """Return what the VIM is asked for *vm*, but for its day-0 files: these are read first."""
    group = group_of(record, vm)
    wanted = {interface.nicid: interface for interface in group.interfaces}
    return ServerSpec(
        name=vm.name,
        project=vm.project_id or vm.project,
        image=group.image,
        flavor=group.flavor,
        ports=tuple(_port_spec(record, vm, each, wanted[each.nicid]) for each in vm.interfaces),
        volumes=volume_specs(vm),
    )


def _port_spec(
    record: DeploymentRecord, vm: VmRecord, interface: InterfaceRecord, wanted: Interface
) -> PortSpec:
    network = _network_ref(record, vm, interface.network)
    return PortSpec(
        key=PortKey(vm.id, interface.nicid),
        project=vm.project_id or vm.project,
        network=network.name,
        network_id=network.id,
        addresses=tuple(
            Address(subnet=each.subnet, ip_address=each.ip_address) for each in interface.addresses
        ),
        mac_address=interface.mac_address,
        admin_state_up=interface.admin_state_up,
        port_security_enabled=wanted.port_security_enabled,
        security_groups=wanted.security_groups,
        allowed_networks=tuple(_network_ref(record, vm, name) for name in wanted.allowed_networks),
        allowed_addresses=wanted.allowed_addresses,
    )


def _network_ref(record: DeploymentRecord, vm: VmRecord, name: str) -> NetworkRef:
    ours = record.networks.get(name)
    return NetworkRef(name=name, id=ours.resource_id if ours and lives_in(ours, vm.vim) else None)


def ports_of(vms: Iterable[VmRecord]) -> Iterator[InterfaceRecord]:
    """Yield the interfaces of *vms* that may have a port in the VIM."""
    for vm in vms:
        if vm.state is not VmState.UNDEF:
            yield from vm.ports


def uses(port: InterfaceRecord, made: Resource) -> bool:
    """Tell whether *port* is, or may be, in the network or has an address of the subnet *made*."""
    if isinstance(made, Network):
        return port.network == made.name
    if not isinstance(made, Subnet) or port.network != made.network:
        return False
    held = [each.ip_address for each in port.addresses if each.ip_address is not None]
    return not held or any(ip_address(each) in _range(made) for each in held)


def _range(subnet: Subnet) -> IPv4Network | IPv6Network:
    prefix = int(ip_address(subnet.netmask)).bit_count()
    return ip_network(f"{subnet.address}/{prefix}", strict=False)


def group_of(record: DeploymentRecord, vm: VmRecord) -> VmGroup:
    """Return the group as it is wanted; a record with an intent has one for each of its VMs."""
    assert record.intent is not None
    return next(group for group in record.intent.groups if group.name == vm.group)
