"""Ports: their addresses, and which server they are plugged into."""

from collections.abc import Container, Iterable

from esc_daemon.domain.ids import PortKey, VmId
from esc_daemon.domain.specs import Address, NetworkRef, Port, PortSpec
from esc_daemon.vim.base import VimRefused
from esc_daemon.vim.simulator.addresses import parse_address
from esc_daemon.vim.simulator.ledger import Ledger
from esc_daemon.vim.simulator.networks import Networks
from esc_daemon.vim.simulator.projects import Projects
from esc_daemon.vim.simulator.rows import NetworkRow, PortRow, Row


class Ports:
    """The ports of one cloud, by VM and interface number."""

    def __init__(self, ledger: Ledger, projects: Projects, networks: Networks) -> None:
        self._ledger = ledger
        self._projects = projects
        self._networks = networks
        self._by_vm: dict[VmId, dict[int, PortRow]] = {}
        self._views: dict[str, Port] = {}
        self._macs: dict[tuple[str, str], str] = {}
        self.bound: dict[str, str] = {}
        """The server's id by the port's."""

    def restore(self, row: Row) -> None:
        """Take over a row if it is one of these."""
        if isinstance(row, PortRow):
            network = self._networks.rows[row.network_id]
            for subnet_id, address in row.addresses:
                if self._twin(row.key.vm, row.network_id, address) is None:
                    self._networks.pool(network, subnet_id).claim(address)
            self._add(row)

    def _twin(
        self, vm: VmId, network_id: str, address: str | None
    ) -> tuple[str | None, str] | None:
        """
        Return that address, after its subnet's id, where another port of the VM has it.

        ESC takes one address on two interfaces of a VM (seed 003), as hosts without IPAM do.
        """
        ports = self._by_vm.get(vm)
        if address is None or ports is None:
            return None
        wanted = str(parse_address(address))
        return next(
            (
                held
                for row in ports.values()
                if row.network_id == network_id
                for held in row.addresses
                if held[1] == wanted
            ),
            None,
        )

    def _add(self, row: PortRow) -> Port:
        self._projects.usage[row.project].ports += 1
        self._networks.port_counts[row.network_id] += 1
        self._by_vm.setdefault(row.key.vm, {})[row.key.nicid] = row
        self._macs[row.network_id, row.mac_address] = row.id
        return self._show(row)

    def _show(self, row: PortRow) -> Port:
        view = Port(
            key=row.key,
            port_id=row.id,
            network_id=row.network_id,
            addresses=tuple(self._address(*held) for held in row.addresses),
            mac_address=row.mac_address,
            port_security_enabled=row.port_security_enabled,
            security_groups=row.security_groups,
            allowed_addresses=row.allowed_addresses,
        )
        self._views[row.id] = view
        return view

    def _address(self, subnet_id: str | None, address: str) -> Address:
        subnet = self._networks.subnet(subnet_id)
        if subnet is None:
            return Address(ip_address=address)
        return Address(
            ip_address=address,
            subnet_id=subnet.id,
            netmask=self._networks.netmask(subnet.id),
            gateway=subnet.gateway or None,
        )

    def ensure(self, want: PortSpec) -> Port:
        """
        Return the port with the key, made if need be; what it may send is changed in place.

        Raises:
            VimRefused: Something runs out, is not there or is not to be had; the text names the
                port.

        """
        try:
            return self._ensure(want)
        except VimRefused as error:
            raise VimRefused(f"port {want.key.nicid} of VM {want.key.vm}: {error}") from None

    def _ensure(self, want: PortSpec) -> Port:
        project = self._projects.resolve(want.project)
        old = self._by_vm.get(want.key.vm, {}).get(want.key.nicid)
        if old is not None:
            if self._fits(old, want):
                return self._changed(old, want, project)
            if old.id in self.bound:
                raise VimRefused(
                    f"{old.id} has address {old.ip_address} and is plugged into server "
                    f"{self.bound[old.id]}: remove that first"
                )
            self.drop(old)
        self._projects.allow(project, ports=1)
        network = self._networks.find(NetworkRef(name=want.network, id=want.network_id), project)
        allowed = self._allowed(want, project)
        mac = self._mac(network, want.mac_address)
        (subnet_id, address), *more = self._taken(want, network)
        row = PortRow(
            id=self._ledger.new_id(),
            key=want.key,
            project=project,
            network_id=network.id,
            subnet_id=subnet_id,
            ip_address=address,
            mac_address=mac,
            more_addresses=tuple(more),
            port_security_enabled=want.port_security_enabled is not False,
            security_groups=want.security_groups,
            allowed_addresses=allowed,
        )
        self._ledger.put(row)
        return self._add(row)

    def _fits(self, row: PortRow, want: PortSpec) -> bool:
        """Whether the port is where it is wanted now: an update may move an interface."""
        if want.network_id is not None:
            same = row.network_id == want.network_id
        else:
            same = self._networks.rows[row.network_id].name == want.network
        if want.addresses:
            same = same and len(want.addresses) == len(row.addresses)
            same = same and all(self._has(row, each) for each in want.addresses)
        if want.mac_address is not None:
            same = same and want.mac_address.lower() == row.mac_address
        return same

    def _has(self, row: PortRow, want: Address) -> bool:
        wanted = None if want.ip_address is None else str(parse_address(want.ip_address))
        for subnet_id, address in row.addresses:
            subnet = self._networks.subnet(subnet_id)
            inside = subnet is None or want.subnet in (None, subnet.id, subnet.name)
            if inside and wanted in (None, address):
                return True
        return False

    def _changed(self, row: PortRow, want: PortSpec, project: str) -> Port:
        """Let the port send what is wanted now."""
        secured = want.port_security_enabled is not False
        now = (secured, want.security_groups, self._allowed(want, project))
        if now == (row.port_security_enabled, row.security_groups, row.allowed_addresses):
            return self._views[row.id]
        row.port_security_enabled, row.security_groups, row.allowed_addresses = now
        self._ledger.put(row)
        return self._show(row)

    def _allowed(self, want: PortSpec, project: str) -> tuple[str, ...]:
        """Return the allowed address pairs; as in Neutron only a secured port has any."""
        if want.port_security_enabled is False and (
            want.security_groups or want.allowed_networks or want.allowed_addresses
        ):
            raise VimRefused("security groups and address pairs need port security")
        self._projects.check_security_groups(project, want.security_groups)
        networks = [self._networks.find(each, project) for each in want.allowed_networks]
        ranges = [cidr for network in networks for cidr in self._networks.cidrs(network)]
        return tuple(dict.fromkeys([*ranges, *want.allowed_addresses]))

    def _taken(self, want: PortSpec, network: NetworkRow) -> list[tuple[str | None, str]]:
        """Return all addresses that are wanted, or none is taken."""
        taken: list[tuple[str | None, str]] = []
        try:
            if not want.addresses:
                for each_version in self._networks.take_each(network):
                    taken.append(each_version)  # noqa: PERF402 - what was taken counts on an error
            for each in want.addresses:
                twin = self._twin(want.key.vm, network.id, each.ip_address)
                taken.append(twin or self._networks.take(network, each))
        except VimRefused:
            self._give_back(want.key.vm, network.id, taken)
            raise
        return taken

    def _give_back(
        self, vm: VmId, network_id: str, addresses: Iterable[tuple[str | None, str]]
    ) -> None:
        for subnet_id, address in addresses:
            if self._twin(vm, network_id, address) is None:
                network = self._networks.rows[network_id]
                self._networks.pool(network, subnet_id).give_back(address)

    def _mac(self, network: NetworkRow, wanted: str | None) -> str:
        if wanted is not None:
            mac = wanted.lower()
            if (network.id, mac) in self._macs:
                raise VimRefused(f"MAC address {mac} is in use in network {network.name}")
            return mac
        while True:
            number = self._ledger.serial() & 0xFFFFFF
            mac = f"fa:16:3e:{number >> 16:02x}:{number >> 8 & 255:02x}:{number & 255:02x}"
            if (network.id, mac) not in self._macs:
                return mac

    def find(self, key: PortKey) -> str | None:
        """Return the id of the port with this key."""
        row = self._by_vm.get(key.vm, {}).get(key.nicid)
        return None if row is None else row.id

    def remove_one(self, key: PortKey) -> None:
        """Remove the port with this key, plugged in or not."""
        self.drop(self._by_vm[key.vm][key.nicid])

    def of(self, vm: VmId) -> frozenset[str]:
        """Return the ids of the VM's ports."""
        return frozenset(row.id for row in self._by_vm.get(vm, {}).values())

    def remove(self, vm: VmId, only: Container[str] | None = None) -> None:
        """Remove the VM's ports, plugged in or not, or those of them with the ids *only*."""
        for row in list(self._by_vm.get(vm, {}).values()):
            if only is None or row.id in only:
                self.drop(row)

    def check(self, want: PortSpec) -> None:
        """Look whether the port could be had; VimRefused as `ensure`. Those of its VM go first."""
        project = self._projects.resolve(want.project)
        network = self._networks.find(NetworkRef(name=want.network, id=want.network_id), project)
        self._allowed(want, project)
        if want.key.vm in self._by_vm:
            return
        if want.mac_address is not None:
            self._mac(network, want.mac_address)
        self._give_back(want.key.vm, network.id, self._taken(want, network))

    def drop(self, row: PortRow) -> None:
        """Let go of a port, plugged in or not."""
        ports = self._by_vm[row.key.vm]
        del ports[row.key.nicid]
        if not ports:
            del self._by_vm[row.key.vm]
        self.bound.pop(row.id, None)
        del self._views[row.id], self._macs[row.network_id, row.mac_address]
        self._give_back(row.key.vm, row.network_id, row.addresses)
        self._networks.port_counts[row.network_id] -= 1
        self._projects.usage[row.project].ports -= 1
        self._ledger.drop(row)

    def view(self, port_id: str) -> Port | None:
        """Return the port with this id."""
        return self._views.get(port_id)
