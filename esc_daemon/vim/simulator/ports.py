"""Ports: their addresses, and which server they are plugged into."""

from esc_daemon.domain.ids import VmId
from esc_daemon.domain.specs import Port, PortSpec
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
            if self._twin(row.key.vm, row.network_id, row.ip_address) is None:
                network = self._networks.rows[row.network_id]
                self._networks.pool(network, row.subnet_id).claim(row.ip_address)
            self._add(row)

    def _twin(self, vm: VmId, network_id: str, address: str | None) -> PortRow | None:
        """
        Return another port of the VM with that address.

        ESC takes one address on two interfaces of a VM (seed 003), as hosts without IPAM do.
        """
        if address is None:
            return None
        wanted = str(parse_address(address))
        ports = self._by_vm.get(vm, {}).values()
        return next(
            (row for row in ports if row.network_id == network_id and row.ip_address == wanted),
            None,
        )

    def _add(self, row: PortRow) -> Port:
        self._projects.usage[row.project].ports += 1
        self._networks.port_counts[row.network_id] += 1
        self._by_vm.setdefault(row.key.vm, {})[row.key.nicid] = row
        self._macs[row.network_id, row.mac_address] = row.id
        subnet = self._networks.subnet(row.subnet_id)
        view = Port(
            key=row.key,
            port_id=row.id,
            network_id=row.network_id,
            subnet_id=row.subnet_id,
            ip_address=row.ip_address,
            mac_address=row.mac_address,
            netmask=self._networks.netmask(subnet.id) if subnet else None,
            gateway=(subnet.gateway or None) if subnet else None,
        )
        self._views[row.id] = view
        return view

    def ensure(self, want: PortSpec) -> Port:
        """Return the port with the key, made if need be; VimRefused when something runs out."""
        old = self._by_vm.get(want.key.vm, {}).get(want.key.nicid)
        if old is not None:
            if self._fits(old, want):
                return self._views[old.id]
            if old.id in self.bound:
                raise VimRefused(
                    f"port {old.id} of {want.key.vm} has address {old.ip_address} and is plugged "
                    f"into server {self.bound[old.id]}: remove that first"
                )
            self._drop(old)
        project = self._projects.resolve(want.project)
        self._projects.allow(project, ports=1)
        network = self._networks.find(want, project)
        mac = self._mac(network, want.mac_address)
        twin = self._twin(want.key.vm, network.id, want.ip_address)
        if twin is not None:
            subnet_id, address = twin.subnet_id, twin.ip_address
        else:
            subnet_id, address = self._networks.take(network, want.ip_address)
        row = PortRow(
            id=self._ledger.new_id(),
            key=want.key,
            project=project,
            network_id=network.id,
            subnet_id=subnet_id,
            ip_address=address,
            mac_address=mac,
        )
        self._ledger.put(row)
        return self._add(row)

    def _fits(self, row: PortRow, want: PortSpec) -> bool:
        """Whether the port is what is wanted now: an update may move an interface."""
        if want.network_id is not None:
            same = row.network_id == want.network_id
        else:
            same = self._networks.rows[row.network_id].name == want.network
        if want.ip_address is not None:
            same = same and str(parse_address(want.ip_address)) == row.ip_address
        if want.mac_address is not None:
            same = same and want.mac_address.lower() == row.mac_address
        return same

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

    def remove(self, vm: VmId) -> None:
        """Remove every port of the VM, plugged in or not."""
        for row in list(self._by_vm.get(vm, {}).values()):
            self._drop(row)

    def _drop(self, row: PortRow) -> None:
        ports = self._by_vm[row.key.vm]
        del ports[row.key.nicid]
        if not ports:
            del self._by_vm[row.key.vm]
        self.bound.pop(row.id, None)
        del self._views[row.id], self._macs[row.network_id, row.mac_address]
        if self._twin(row.key.vm, row.network_id, row.ip_address) is None:
            network = self._networks.rows[row.network_id]
            self._networks.pool(network, row.subnet_id).give_back(row.ip_address)
        self._networks.port_counts[row.network_id] -= 1
        self._projects.usage[row.project].ports -= 1
        self._ledger.drop(row)

    def view(self, port_id: str) -> Port | None:
        """Return the port with this id."""
        return self._views.get(port_id)
