"""
Static pools while a deployment is placed: in one network no address is given out twice.

What is fixed on an interface, in whichever group, is not drawn (ruling 10), nor is what a leftover
holds (ruling 8) or a VM has. Groups whose pools overlap draw from what the groups before them left.
What a VM gave back is drawn last (ruling 20).
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from esc_daemon.domain.changed import replace
from esc_daemon.domain.errors import Node, Refused
from esc_daemon.domain.intent import AddressPool, Deployment, FixedAddress, Interface, VmGroup
from esc_daemon.domain.record import Leftover, VmRecord
from esc_daemon.domain.specs import Address

_IPV4: Final = 4
_IPV6: Final = 6


def version_of(address: str) -> int:
    """Return 4 or 6."""
    return _IPV6 if ":" in address else _IPV4


class _Given:
    """What was given out, network by network: addresses, or MAC addresses."""

    def __init__(self, fixed: Iterable[tuple[str, str | None]], held: Iterable[str | None]) -> None:
        self._held = frozenset(held)
        self._given: dict[str, set[str]] = {}
        for network, address in fixed:
            if address is not None:
                self._given.setdefault(network, set()).add(address)

    def free(self, network: str, addresses: Iterable[str]) -> Iterator[str]:
        """Yield those of *addresses* that nobody has; what is yielded is given out."""
        given = self._given.setdefault(network, set())
        for address in addresses:
            if address not in given and address not in self._held:
                given.add(address)
                yield address


class Pools:
    """
    What the groups of one deployment draw from.

    *vms* are those that it has already, *freed* is as in `DeploymentRecord`.
    """

    def __init__(
        self,
        intent: Deployment,
        leftovers: tuple[Leftover, ...],
        vms: Iterable[VmRecord] = (),
        freed: tuple[tuple[str, str], ...] = (),
    ) -> None:
        used = [interface for group in intent.groups for interface in group.interfaces]
        held = [interface for left in leftovers for interface in left.vm.interfaces]
        had = [interface for vm in vms for interface in vm.ports]
        self._addresses = _Given(
            (
                *((each.network, fixed.ip_address) for each in used for fixed in each.wanted),
                *((each.network, has.ip_address) for each in had for has in each.addresses),
            ),
            (address.ip_address for each in held for address in each.addresses),
        )
        self._macs = _Given(
            (
                *((each.network, each.mac_address) for each in used),
                *((each.network, each.mac_address) for each in had),
            ),
            (each.mac_address for each in held),
        )
        self._freed = freed
        self._versions = {
            (network.name, subnet.name): int(subnet.ip_version.removeprefix("ipv"))
            for network in intent.networks
            for subnet in network.subnets
        }

    def of(self, group: VmGroup, need: str) -> "GroupPools":
        """Return what the VMs of *group* draw from, one after the other; *need* says for what."""
        in_order = replace(
            group.scaling,
            address_pools=tuple(map(self._in_order, group.scaling.address_pools)),
            mac_pools=tuple(map(self._in_order, group.scaling.mac_pools)),
        )
        ordered = replace(group, scaling=in_order) if self._freed else group
        return GroupPools(ordered, need, self._addresses, self._macs, self._versions)

    def _in_order(self, pool: AddressPool) -> AddressPool:
        """Return *pool* with what was freed at its end, the longest free one first."""
        last = {address: n for n, (at, address) in enumerate(self._freed) if at == pool.network}
        addresses = sorted(pool.addresses, key=lambda each: last.get(each, -1))
        return replace(pool, addresses=tuple(addresses))


class GroupPools:
    """The pools of one group."""

    def __init__(
        self,
        group: VmGroup,
        need: str,
        addresses: _Given,
        macs: _Given,
        versions: Mapping[tuple[str, str], int],
    ) -> None:
        self._group = group
        self._need = need
        self._versions = versions
        self._pools = {pool.network: pool for pool in group.scaling.address_pools}
        self._offered = {
            network: tuple(dict.fromkeys(map(version_of, pool.addresses)))
            for network, pool in self._pools.items()
        }
        self._free = {
            (network, version): addresses.free(
                network, [each for each in pool.addresses if version_of(each) == version]
            )
            for network, pool in self._pools.items()
            for version in self._offered[network]
        }
        self._free_macs = {
            pool.network: macs.free(pool.network, pool.addresses)
            for pool in group.scaling.mac_pools
        }

    def addresses(self, interface: Interface, index: int) -> tuple[Address, ...]:
        """
        Return the addresses that *interface* asks for in the VM number *index*.

        A fixed one is the first VM's. The others, and addresses of which only the subnet is
        named, come from the pool of the network; a version that it has not is left to the VIM.
        An interface that names no subnet and lists nothing gets one of each IP version that the
        pool has.

        Raises:
            Refused: The pool is exhausted.

        """
        network = interface.network
        offered = self._offered.get(network, ())
        versions = [self._version(network, each) for each in interface.wanted]
        unclaimed = [version for version in offered if version not in versions]
        found: list[Address] = []
        for each, known in zip(interface.wanted, versions, strict=True):
            if each.ip_address is not None and index == 0:
                found.append(self._address(network, each.ip_address, each.subnet))
                continue
            version = unclaimed.pop(0) if known is None and unclaimed else known
            if version in offered:
                found.append(self._draw(network, version, each.subnet))
            elif each.subnet is not None:
                found.append(Address(subnet=each.subnet))
        if interface.subnet is None and not interface.addresses:
            found.extend(self._draw(network, version) for version in unclaimed)
        return tuple(found)

    def mac(self, interface: Interface, index: int) -> str | None:
        """
        Return the MAC address of *interface* in the VM number *index*; None leaves it to the VIM.

        Raises:
            Refused: The pool is exhausted.

        """
        if interface.mac_address is not None and index == 0:
            return interface.mac_address
        free = self._free_macs.get(interface.network)
        return None if free is None else self._next(free, interface.network, "MAC")

    def _version(self, network: str, wanted: FixedAddress) -> int | None:
        """Tell the IP version where it is known: a subnet may be known to the VIM alone."""
        if wanted.ip_address is not None:
            return version_of(wanted.ip_address)
        return self._versions.get((network, wanted.subnet or ""))

    def _draw(self, network: str, version: int, subnet: str | None = None) -> Address:
        address = self._next(self._free[network, version], network, f"IPv{version}")
        return self._address(network, address, subnet)

    def _address(self, network: str, address: str, subnet: str | None) -> Address:
        """The pool's mask and gateway stand until the VIM tells better ones."""
        pool = self._pools.get(network) or AddressPool(network=network, addresses=())
        version = version_of(address)
        return Address(
            subnet=subnet,
            ip_address=address,
            netmask=_of_version(version, pool.netmask),
            gateway=_of_version(version, pool.gateway),
        )

    def _next(self, free: Iterator[str], network: str, what: str) -> str:
        try:
            return next(free)
        except StopIteration:
            text = (
                f"the static pool of network {network} in vm_group {self._group.name} has fewer "
                f"free {what} addresses than {self._need} needs"
            )
            below = Node("vm_group", self._group.name), Node("scaling")
            raise Refused("resource-denied", text, below=below) from None


def _of_version(version: int, text: str | None) -> str | None:
    return text if text is not None and version_of(text) == version else None
