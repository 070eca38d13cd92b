"""Networks, subnets and where their addresses come from."""

from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network, ip_network

from esc_daemon.domain.ids import Key
from esc_daemon.domain.intent import Network, Subnet
from esc_daemon.domain.specs import Address, NetworkRef
from esc_daemon.vim.base import VimRefused
from esc_daemon.vim.simulator.addresses import Pool, parse_address, parse_range
from esc_daemon.vim.simulator.ledger import Ledger
from esc_daemon.vim.simulator.projects import Projects
from esc_daemon.vim.simulator.rows import NetworkRow, PortRow, Row, SubnetRow
from esc_daemon.vim.simulator.settings import CloudSettings


class Networks:
    """The networks of one cloud. Names may repeat: a key or an id is what tells them apart."""

    def __init__(self, ledger: Ledger, settings: CloudSettings, projects: Projects) -> None:
        self._ledger = ledger
        self._settings = settings
        self._projects = projects
        self._by_key: dict[Key, NetworkRow] = {}
        self._subnet_by_key: dict[Key, SubnetRow] = {}
        self._by_name: dict[str, list[NetworkRow]] = {}
        self.rows: dict[str, NetworkRow] = {}
        self._subnets: dict[str, dict[str, SubnetRow]] = {}
        self._pools: dict[str, Pool] = {}
        self.port_counts: dict[str, int] = {}

    def restore(self, row: Row) -> None:
        """Take over a row if it is one of these."""
        if isinstance(row, NetworkRow):
            self._add(row)
        elif isinstance(row, SubnetRow):
            self._add_subnet(row)

    def _add(self, row: NetworkRow) -> None:
        self.rows[row.id] = row
        self._by_name.setdefault(row.name, []).append(row)
        self._subnets[row.id] = {}
        self.port_counts[row.id] = 0
        if row.key is not None:
            self._by_key[row.key] = row
            self._projects.usage[row.project].networks += 1

    def _add_subnet(self, row: SubnetRow) -> None:
        self._subnet_by_key[row.key] = row
        self._subnets[row.network_id][row.id] = row
        self._pools[row.id] = Pool(ip_network(row.cidr), row.gateway)

    def at(self, key: Key) -> NetworkRow | SubnetRow | None:
        """Return the network or the subnet with *key*."""
        return self._by_key.get(key) or self._subnet_by_key.get(key)

    def ensure(self, key: Key, want: Network, project: str) -> NetworkRow:
        """Return the network with *key* as it is wanted, made if need be."""
        row = self._by_key.get(key)
        if row is None:
            owner = self._projects.resolve(project)
            row = NetworkRow(
                id=self._ledger.new_id(),
                key=key,
                name=want.name,
                project=owner,
                shared=want.shared,
            )
            self._add(row)
            self._ledger.put(row)
        elif row.shared != want.shared:
            self._check_sharing(row)
            row.shared = want.shared
            self._ledger.put(row)
        return row

    def _check_sharing(self, row: NetworkRow) -> None:
        """Who is in a network that is shared would be left in one that he may not use."""
        others = (
            each
            for each in self._ledger.rows.values()
            if isinstance(each, PortRow)
            and (each.network_id, each.project) != (row.id, row.project)
        )
        if row.shared and any(each.network_id == row.id for each in others):
            raise VimRefused(
                f"network {row.name} ({row.id}) has ports of other projects: it stays shared"
            )

    def remove(self, key: Key) -> None:
        """Remove the network and its subnets; VimRefused while it has ports."""
        row = self._by_key.get(key)
        if row is None:
            return
        if count := self.port_counts[row.id]:
            has = "1 port: remove it" if count == 1 else f"{count} ports: remove them"
            raise VimRefused(f"network {row.name} ({row.id}) still has {has} first")
        self.drop(row)

    def drop(self, row: NetworkRow) -> None:
        """Let go of a network without ports, and of its subnets."""
        for subnet in list(self._subnets[row.id].values()):
            self.drop_subnet(subnet)
        del self.rows[row.id], self._subnets[row.id], self.port_counts[row.id]
        self._pools.pop(row.id, None)
        namesakes = self._by_name[row.name]
        namesakes.remove(row)
        if not namesakes:
            del self._by_name[row.name]
        if row.key is not None:
            del self._by_key[row.key]
            self._projects.usage[row.project].networks -= 1
        self._ledger.drop(row)

    def ensure_subnet(self, key: Key, want: Subnet, network_id: str, project: str) -> SubnetRow:
        """Return the subnet with *key* as it is wanted; VimRefused for bad addresses."""
        row = self._subnet_by_key.get(key)
        if row is not None:
            self._change_subnet(row, want)
            return row
        network = self.rows.get(network_id)
        if network is None:
            raise VimRefused(f"subnet {want.name}: there is no network {network_id}")
        cidr = parse_range(want.address, want.netmask)
        self._check_range(network, want, cidr)
        row = SubnetRow(
            id=self._ledger.new_id(),
            key=key,
            name=want.name,
            project=self._projects.resolve(project),
            network_id=network_id,
            cidr=str(cidr),
            gateway=_gateway(want, str(cidr)),
        )
        self._add_subnet(row)
        self._ledger.put(row)
        return row

    def _change_subnet(self, row: SubnetRow, want: Subnet) -> None:
        if str(parse_range(want.address, want.netmask)) != row.cidr:
            raise VimRefused(f"subnet {row.name} is {row.cidr}: remove it first")
        gateway = _gateway(want, row.cidr)
        if gateway != row.gateway:
            self._pools[row.id].move_gateway(gateway)
            row.gateway = gateway
            self._ledger.put(row)

    def _check_range(
        self, network: NetworkRow, want: Subnet, cidr: IPv4Network | IPv6Network
    ) -> None:
        if cidr.version != (6 if want.ip_version.lower() == "ipv6" else 4):
            raise VimRefused(f"subnet {want.name}: {cidr} is not {want.ip_version}")
        for other in self._subnets[network.id].values():
            if _overlap(cidr, self._pools[other.id].network):
                raise VimRefused(f"subnet {want.name}: {cidr} overlaps {other.name} ({other.cidr})")
        # Ports may be older than the first subnet.
        own = self._pools.get(network.id)
        if own is not None and (address := own.in_use(cidr)):
            raise VimRefused(f"subnet {want.name}: a port of the network has address {address}")

    def remove_subnet(self, key: Key) -> None:
        """Remove the subnet; VimRefused while ports have addresses of it."""
        row = self._subnet_by_key.get(key)
        if row is None:
            return
        if count := len(self._pools[row.id]):
            one = "1 address in use: remove its port"
            has = one if count == 1 else f"{count} addresses in use: remove their ports"
            raise VimRefused(f"subnet {row.name} ({row.id}) still has {has} first")
        self.drop_subnet(row)

    def drop_subnet(self, row: SubnetRow) -> None:
        """Let go of a subnet of which no port has an address."""
        del self._subnet_by_key[row.key], self._subnets[row.network_id][row.id]
        del self._pools[row.id]
        self._ledger.drop(row)

    def find(self, want: NetworkRef, project: str) -> NetworkRow:
        """
        Return the network that *want* names, by id or by name as seen from *project*.

        Its own ones come first, then those that are shared; others are not seen.
        """
        if want.id is not None:
            row = self.rows.get(want.id)
            if row is None:
                raise VimRefused(f"there is no network {want.id} ({want.name})")
            return row
        namesakes = self._by_name.get(want.name, [])
        own = (row for row in namesakes if row.project == project)
        shared = (row for row in namesakes if row.shared)
        if (row := next(own, None) or next(shared, None)) is not None:
            return row
        if not self._settings.open_catalogue:
            raise VimRefused(f"there is no network {want.name}")
        row = NetworkRow(id=self._ledger.new_id(), key=None, name=want.name, project="")
        self._add(row)
        self._ledger.put(row)
        return row

    def subnet(self, subnet_id: str | None) -> SubnetRow | None:
        """Return the subnet with this id."""
        row = self._ledger.rows.get(subnet_id) if subnet_id is not None else None
        return row if isinstance(row, SubnetRow) else None

    def subnets_of(self, network_id: str) -> list[SubnetRow]:
        """Return the subnets of the network."""
        return list(self._subnets[network_id].values())

    def netmask(self, subnet_id: str) -> str:
        """Return the netmask of the subnet."""
        return str(self._pools[subnet_id].network.netmask)

    def cidrs(self, network: NetworkRow) -> tuple[str, ...]:
        """Return the ranges that addresses of the network are in."""
        subnets = self._subnets[network.id].values()
        if not subnets:
            return (str(self.pool(network, None).network),)
        return tuple(subnet.cidr for subnet in subnets)

    def pool(self, network: NetworkRow, subnet_id: str | None) -> Pool:
        """Return where the addresses of *subnet_id* come from (None: the network's own range)."""
        if subnet_id is not None:
            return self._pools[subnet_id]
        pool = self._pools.get(network.id)
        if pool is None:
            pool = Pool(ip_network(self._default_range(network)), anything_goes=True)
            self._pools[network.id] = pool
        return pool

    def _default_range(self, network: NetworkRow) -> str:
        if not network.default_range:
            whole = ip_network(self._settings.default_range)
            length = self._settings.default_prefix
            size = 1 << (whole.max_prefixlen - length)
            # Taken in turn; when all are used up they overlap, as networks of a cloud may.
            turn = self._ledger.serial() % max(1, whole.num_addresses // size)
            start = type(whole.network_address)(int(whole.network_address) + turn * size)
            network.default_range = f"{start}/{length}"
            self._ledger.put(network)
        return network.default_range

    def take(self, network: NetworkRow, want: Address) -> tuple[str | None, str]:
        """
        Return the subnet's id (None: it has none) and an address, as asked or the next free.

        Raises:
            VimRefused: The network has no such subnet, the address is not in it or not to be
                had, or no address is left.

        """
        subnets = list(self._subnets[network.id].values())
        invented = not subnets and network.key is None
        if want.subnet is not None and not invented:  # an invented network has any subnet
            subnets = [row for row in subnets if want.subnet in (row.id, row.name)]
            if not subnets:
                raise VimRefused(f"network {network.name} has no subnet {want.subnet}")
        if not subnets:
            pool = self.pool(network, None)
            return None, pool.take() if want.ip_address is None else pool.claim(want.ip_address)
        if want.ip_address is not None:
            return self._claim(network, subnets, want.ip_address)
        return self._next(network, subnets)

    def take_each(self, network: NetworkRow) -> Iterator[tuple[str | None, str]]:
        """Iterate as `take` over an address of each IP version that the network has."""
        if not self._subnets[network.id]:
            yield self.take(network, Address())
        for version in (4, 6):
            subnets = [
                subnet
                for subnet in self._subnets[network.id].values()
                if self._pools[subnet.id].network.version == version
            ]
            if subnets:
                yield self._next(network, subnets)

    def _claim(
        self, network: NetworkRow, subnets: list[SubnetRow], address: str
    ) -> tuple[str, str]:
        wanted = parse_address(address)
        for subnet in subnets:
            if wanted in self._pools[subnet.id].network:
                return subnet.id, self._pools[subnet.id].claim(address)
        where = ", ".join(f"{subnet.name} ({subnet.cidr})" for subnet in subnets)
        raise VimRefused(f"address {address} is not in subnet {where} of network {network.name}")

    def _next(self, network: NetworkRow, subnets: list[SubnetRow]) -> tuple[str, str]:
        for subnet in subnets:
            if not self._pools[subnet.id].is_empty:
                return subnet.id, self._pools[subnet.id].take()
        where = ", ".join(subnet.name for subnet in subnets)
        raise VimRefused(f"no address is left in subnet {where} of network {network.name}")


def _overlap(one: IPv4Network | IPv6Network, other: IPv4Network | IPv6Network) -> bool:
    return one.network_address in other or other.network_address in one


def _gateway(want: Subnet, cidr: str) -> str:
    network = ip_network(cidr)
    if want.no_gateway:
        return ""
    if want.gateway is None:
        return str(network.network_address + 1) if network.num_addresses > 2 else ""
    gateway = parse_address(want.gateway)
    if gateway not in network:
        raise VimRefused(f"subnet {want.name}: gateway {gateway} is not in {network}")
    return str(gateway)
