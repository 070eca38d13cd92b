"""
What an edit changes of a deployment that stands, and how each kind of change is taken.

`compared` looks, `TABLE` says; docs/update.md is drawn from the table.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from esc_daemon.domain.changed import replace
from esc_daemon.domain.errors import Node
from esc_daemon.domain.ids import Kind, VmGroupName
from esc_daemon.domain.intent import AddressPool, Deployment, Interface, Network, VmGroup
from esc_daemon.domain.pools import version_of
from esc_daemon.domain.resource_changes import Way, changed


class How(StrEnum):
    """When a change takes effect."""

    AT_ONCE = "by this update"
    REDEPLOY = "at the VM's next redeploy, and in VMs made from now on"
    LATER = "in what happens from now on"
    REFUSED = "refused"


LOCATOR_UPDATED: Final = "LOCATOR_UPDATED"
"""The vm_update_type of a VM that has moved, or was to (seed 003)."""


class ChangeKind(StrEnum):
    """What may change."""

    GROUP_ADDED = "a vm_group added"
    GROUP_REMOVED = "a vm_group removed"
    IMAGE = "image"
    FLAVOR = "flavor"
    LOCATOR = "locator"
    TIMES = "bootup_time, recovery_wait_time, reboot_time"
    KPIS = "KPIs, monitoring switched on or off"
    RULES = "rules of KPIs"
    RECOVERY = "recovery_policy"
    SOFTWARE_VERSION = "software_version"
    HOOKS = "policies on life cycle stages"
    DAY_ZERO = "day-0 files and their variables"
    SCALING = "min_active, max_active, elastic"
    POOLS = "static pools of addresses and MAC addresses"
    INTERFACE_ADDED = "an interface added"
    INTERFACE_REMOVED = "an interface removed"
    INTERFACE_REPLACED = "network, type, model or addresses of an interface"
    INTERFACE_OPTIONS = "port security, security groups, allowed addresses, admin state"
    VOLUME_ADDED = "a volume added"
    VOLUME_REMOVED = "a volume removed"
    VOLUME = "size, type, image or anything else of a volume"
    ROOT_EXCHANGED = "the volume that guests boot from, for another one"
    ROOT_VOLUME = "the volume that guests boot from added, or removed, without another one"
    NETWORK_ADDED = "an ephemeral network added"
    NETWORK_REMOVED = "an ephemeral network removed"
    NETWORK = "shared or admin_state of an ephemeral network"
    NETWORK_FIXED = "VLAN or provider attributes of an ephemeral network"
    SUBNET_ADDED = "a subnet of an ephemeral network added"
    SUBNET_REMOVED = "a subnet of an ephemeral network removed"
    SUBNET = "gateway or dhcp of a subnet of an ephemeral network"
    SUBNET_FIXED = "address, netmask or ipversion of a subnet of an ephemeral network"
    STARTUP = "order of start (policies/startup)"


@dataclass(kw_only=True, slots=True, frozen=True)
class Rule:
    """
    How a kind of change is taken.

    *does* says what comes of it or, where it is refused, what to do instead. *update_type* is the
    vm_update_type of the VM_UPDATED that it brings each VM of its group; empty: it brings none.
    """

    how: How
    does: str
    update_type: str = ""


@dataclass(kw_only=True, slots=True, frozen=True)
class Change:
    """One change; *path* leads from the deployment to its node."""

    kind: ChangeKind
    path: tuple[Node, ...]
    group: VmGroupName | None = None

    @property
    def rule(self) -> Rule:
        """How it is taken."""
        return TABLE[self.kind]


_K = ChangeKind

TABLE: Final[Mapping[ChangeKind, Rule]] = {
    _K.GROUP_ADDED: Rule(how=How.AT_ONCE, does="its VMs are made, in the order of start"),
    _K.GROUP_REMOVED: Rule(how=How.AT_ONCE, does="its VMs are removed"),
    _K.IMAGE: Rule(how=How.REDEPLOY, does="no server is touched", update_type="IMAGE_UPDATED"),
    _K.FLAVOR: Rule(
        how=How.AT_ONCE,
        does="its servers are resized, and guests boot; VM_UPDATED FAILURE where the VIM cannot",
        update_type="FLAVOR_UPDATED",
    ),
    _K.LOCATOR: Rule(
        how=How.AT_ONCE,
        does="its VMs move to the other VIM, if both can: each server is removed where it is, and"
        " made there under its name and with its addresses",
        update_type=LOCATOR_UPDATED,
    ),
    _K.TIMES: Rule(
        how=How.LATER, does="the next wait is as long as it says", update_type="TIMES_UPDATED"
    ),
    _K.KPIS: Rule(
        how=How.AT_ONCE, does="the monitors are armed anew", update_type="MONITORING_UPDATED"
    ),
    _K.RULES: Rule(
        how=How.AT_ONCE, does="the monitors are armed anew", update_type="MONITORING_UPDATED"
    ),
    _K.RECOVERY: Rule(
        how=How.LATER,
        does="the next recovery goes by it; one that waits for the operator goes on waiting",
        update_type="RECOVERY_POLICY_UPDATED",
    ),
    _K.DAY_ZERO: Rule(how=How.REDEPLOY, does="no guest is touched", update_type="DAY0_UPDATED"),
    _K.SOFTWARE_VERSION: Rule(
        how=How.AT_ONCE,
        does="the scripts of VM_SOFTWARE_VERSION_UPDATED run for each of its VMs, and guests get"
        " their bootup_time anew; VM_UPDATED FAILURE where one of them fails",
        update_type="SOFTWARE_VERSION_UPDATED",
    ),
    _K.HOOKS: Rule(
        how=How.LATER, does="a stage that runs (docs/stages.md) runs, from now on, what they say"
    ),
    _K.SCALING: Rule(
        how=How.AT_ONCE,
        does="a group with fewer VMs than min_active gets more; of one with more than max_active"
        " those with the highest index leave",
    ),
    _K.POOLS: Rule(
        how=How.LATER, does="VMs draw from it; refused while a VM has an address that it loses"
    ),
    _K.INTERFACE_ADDED: Rule(
        how=How.AT_ONCE,
        does="its servers get a port more; no day-0 file is written anew",
        update_type="INTERFACE_UPDATED",
    ),
    _K.INTERFACE_REMOVED: Rule(
        how=How.AT_ONCE, does="its ports are removed", update_type="INTERFACE_UPDATED"
    ),
    _K.INTERFACE_REPLACED: Rule(
        how=How.AT_ONCE,
        does="its ports are removed, and other ones plugged in",
        update_type="INTERFACE_UPDATED",
    ),
    _K.INTERFACE_OPTIONS: Rule(
        how=How.AT_ONCE,
        does="its ports change in place",
        update_type="INTERFACE_UPDATED",
    ),
    _K.VOLUME_ADDED: Rule(
        how=How.AT_ONCE,
        does="each of its servers gets one more; with a size it is made first; the scripts of"
        " VM_VOLUME_ATTACHED run",
        update_type="VOLUME_UPDATED",
    ),
    _K.VOLUME_REMOVED: Rule(
        how=How.AT_ONCE,
        does="the scripts of VM_PRE_VOLUME_DETACH run, and its servers lose it; what was made for a"
        " VM is deleted, what is out-of-band stays",
        update_type="VOLUME_UPDATED",
    ),
    _K.VOLUME: Rule(
        how=How.REFUSED,
        does="remove it and add one of another name; what is on a volume that was made for its VM"
        " is lost",
    ),
    _K.ROOT_EXCHANGED: Rule(
        how=How.AT_ONCE,
        does="its servers keep their ids, ports and other volumes, and guests boot from the other"
        " one; scripts run, and the old one is deleted or stays, as for volumes added and removed;"
        " VM_UPDATED FAILURE where the VIM cannot",
        update_type="VOLUME_UPDATED",
    ),
    _K.ROOT_VOLUME: Rule(
        how=How.REFUSED,
        does="a server boots from a volume or from its image as long as it is there; remove the"
        " one and add the other in one edit, or add a vm_group that boots as wanted and remove"
        " this one",
    ),
    _K.NETWORK_ADDED: Rule(
        how=How.AT_ONCE,
        does="it is made before all else; refused while a VM is in another network of that name",
    ),
    _K.NETWORK_REMOVED: Rule(
        how=How.AT_ONCE,
        does="it is removed when no VM is in it any more; refused while an interface names it",
    ),
    _K.NETWORK: Rule(how=How.AT_ONCE, does="it changes in place before all else"),
    _K.NETWORK_FIXED: Rule(
        how=How.REFUSED, does="add a network of another name and move the interfaces there"
    ),
    _K.SUBNET_ADDED: Rule(how=How.AT_ONCE, does="it is made; VMs that are there get no address"),
    _K.SUBNET_REMOVED: Rule(
        how=How.AT_ONCE,
        does="it is removed; refused while an interface names it or a VM has an address of it",
    ),
    _K.SUBNET: Rule(
        how=How.AT_ONCE, does="it changes in place before all else; ports keep their addresses"
    ),
    _K.SUBNET_FIXED: Rule(how=How.REFUSED, does="add a subnet of another name and remove this one"),
    _K.STARTUP: Rule(how=How.LATER, does="VMs that are made from now on follow it"),
}
"""Each kind of change."""

PORTS: Final = frozenset(
    {_K.INTERFACE_ADDED, _K.INTERFACE_REMOVED, _K.INTERFACE_REPLACED, _K.INTERFACE_OPTIONS}
)
"""What is done to the ports of a VM."""

_OF_GROUP: Final[Mapping[str, tuple[ChangeKind, str]]] = {
    "image": (_K.IMAGE, "image"),
    "flavor": (_K.FLAVOR, "flavor"),
    "locator": (_K.LOCATOR, "locator"),
    "bootup_time": (_K.TIMES, "bootup_time"),
    "recovery_wait_time": (_K.TIMES, "recovery_wait_time"),
    "reboot_time": (_K.TIMES, "reboot_time"),
    "kpis": (_K.KPIS, "kpi_data"),
    "monitoring_enabled": (_K.KPIS, "kpi_data"),
    "rules": (_K.RULES, "rules"),
    "recovery": (_K.RECOVERY, "recovery_policy"),
    "day_zero": (_K.DAY_ZERO, "config_data"),
    "software_version": (_K.SOFTWARE_VERSION, "software_version"),
    "hooks": (_K.HOOKS, "policies"),
}
"""Fields of a group that are compared as a whole: the kind of the change, the node."""

_OF_SCALING: Final = ("min_active", "max_active", "elastic")
_OF_PORT: Final[Mapping[str, Any]] = {
    "port_security_enabled": None,
    "security_groups": (),
    "allowed_networks": (),
    "allowed_addresses": (),
    "admin_state_up": True,
}
"""What changes of a port in place, as it is where nothing is said."""
_OF_THE_FIRST: Final[Mapping[str, Any]] = {
    "ip_address": None,
    "mac_address": None,
    "subnet": None,
    "addresses": (),
}
"""What `Interface.wanted` has, and the MAC address, which is the first VM's."""


def compared(old: Deployment, new: Deployment) -> tuple[Change, ...]:
    """Return what differs; nothing where only the order of lists does."""
    return (
        *_networks(old.networks, new.networks),
        *_groups(old.groups, new.groups),
        *_startup(old, new),
        *_hooks(old, new),
    )


def replaced(old: Interface, new: Interface, seat: int = 0) -> bool:
    """
    Tell whether *new* asks for another port than *old* in the VM in the place *seat*.

    The addresses that they fix are the first VM's: to the others only their versions matter.
    """
    return _port_asked(old, seat) != _port_asked(new, seat)


def _port_asked(interface: Interface, seat: int) -> tuple[object, ...]:
    if seat == 0:
        return (replace(interface, **_OF_PORT),)
    without = replace(interface, **_OF_PORT, **_OF_THE_FIRST)
    if interface.subnet is None and not interface.addresses:
        return (without,)  # one address of each version: what is fixed or not
    asked = (
        (each.subnet, None if each.ip_address is None else version_of(each.ip_address))
        for each in interface.wanted
    )
    return (without, *asked)


def _networks(old: Sequence[Network], new: Sequence[Network]) -> Iterator[Change]:
    before, after = {each.name: each for each in old}, {each.name: each for each in new}
    for name in dict.fromkeys((*before, *after)):
        path = Node("networks"), Node("network", name)
        if name not in after:
            yield Change(kind=_K.NETWORK_REMOVED, path=path)
        elif name not in before:
            yield Change(kind=_K.NETWORK_ADDED, path=path)
        elif before[name] != after[name]:
            for each in changed(Kind.NETWORK, before[name], after[name]):
                fixed = each.rule.way is Way.REFUSED
                kind = _K.NETWORK_FIXED if fixed else _K.NETWORK
                yield Change(kind=kind, path=(*path, Node(each.leaf)))
            yield from _subnets(before[name], after[name], path)


def _subnets(old: Network, new: Network, path: tuple[Node, ...]) -> Iterator[Change]:
    before, after = ({each.name: each for each in net.subnets} for net in (old, new))
    for name in dict.fromkeys((*before, *after)):
        at = *path, Node("subnet", name)
        if name not in after:
            yield Change(kind=_K.SUBNET_REMOVED, path=at)
        elif name not in before:
            yield Change(kind=_K.SUBNET_ADDED, path=at)
        else:
            for each in changed(Kind.SUBNET, before[name], after[name]):
                fixed = each.rule.way is Way.REFUSED
                kind = _K.SUBNET_FIXED if fixed else _K.SUBNET
                yield Change(kind=kind, path=(*at, Node(each.leaf)))


def _groups(old: Sequence[VmGroup], new: Sequence[VmGroup]) -> Iterator[Change]:
    before, after = {each.name: each for each in old}, {each.name: each for each in new}
    for name in dict.fromkeys((*before, *after)):
        path = (Node("vm_group", name),)
        if name not in after:
            yield Change(kind=_K.GROUP_REMOVED, path=path, group=name)
        elif name not in before:
            yield Change(kind=_K.GROUP_ADDED, path=path, group=name)
        elif before[name] != after[name]:
            yield from _group(before[name], after[name])


def _group(old: VmGroup, new: VmGroup) -> Iterator[Change]:
    at = Node("vm_group", new.name)
    for field, (kind, node) in _OF_GROUP.items():
        if getattr(old, field) != getattr(new, field):
            yield Change(kind=kind, path=(at, Node(node)), group=new.name)
    scaling = at, Node("scaling")
    for field in _OF_SCALING:
        if getattr(old.scaling, field) != getattr(new.scaling, field):
            yield Change(kind=_K.SCALING, path=(*scaling, Node(field)), group=new.name)
    for node, was, now in (
        ("static_ip_address_pool", old.scaling.address_pools, new.scaling.address_pools),
        ("static_mac_address_pool", old.scaling.mac_pools, new.scaling.mac_pools),
    ):
        if _by_network(was) != _by_network(now):
            yield Change(kind=_K.POOLS, path=(*scaling, Node(node)), group=new.name)
    yield from _interfaces(old, new)
    yield from _volumes(old, new)


def _by_network(pools: Sequence[AddressPool]) -> Mapping[str, AddressPool]:
    return {pool.network: pool for pool in pools}


def _interfaces(old: VmGroup, new: VmGroup) -> Iterator[Change]:
    before, after = ({each.nicid: each for each in group.interfaces} for group in (old, new))
    for nicid in sorted(before.keys() | after.keys()):
        path = (
            Node("vm_group", new.name),
            Node("interfaces"),
            Node("interface", str(nicid), "nicid"),
        )
        if nicid not in after:
            kind = _K.INTERFACE_REMOVED
        elif nicid not in before:
            kind = _K.INTERFACE_ADDED
        elif before[nicid] == after[nicid]:
            continue
        elif replaced(before[nicid], after[nicid]):
            kind = _K.INTERFACE_REPLACED
        else:
            kind = _K.INTERFACE_OPTIONS
        yield Change(kind=kind, path=path, group=new.name)


def _volumes(old: VmGroup, new: VmGroup) -> Iterator[Change]:
    before, after = ({each.name: each for each in group.volumes} for group in (old, new))
    exchanged = all(any(each.is_root for each in group.volumes) for group in (old, new))
    for name in dict.fromkeys((*before, *after)):
        was, now = before.get(name), after.get(name)
        if was == now:
            continue
        if was is not None and now is not None:
            kind = _K.VOLUME
        elif any(each is not None and each.is_root for each in (was, now)):
            kind = _K.ROOT_EXCHANGED if exchanged else _K.ROOT_VOLUME
        else:
            kind = _K.VOLUME_ADDED if was is None else _K.VOLUME_REMOVED
        path = Node("vm_group", new.name), Node("volumes"), Node("volume", name)
        yield Change(kind=kind, path=path, group=new.name)


def _startup(old: Deployment, new: Deployment) -> Iterator[Change]:
    before, after = ({each.group: each for each in deployment.startup} for deployment in (old, new))
    if before != after:
        yield Change(kind=_K.STARTUP, path=(Node("policies"),))


def _hooks(old: Deployment, new: Deployment) -> Iterator[Change]:
    if old.hooks != new.hooks:
        yield Change(kind=_K.HOOKS, path=(Node("policies"),))
