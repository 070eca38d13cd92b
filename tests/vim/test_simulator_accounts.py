"""Whatever is made and removed: quotas and addresses are exactly accounted for."""

from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from esc_daemon.domain.ids import Key, Kind, ServerKey, TenantName, VmId
from esc_daemon.domain.intent import Network, Subnet
from esc_daemon.domain.specs import Address
from esc_daemon.vim.base import VimError, VimRefused
from esc_daemon.vim.simulator.addresses import Pool, parse_range
from esc_daemon.vim.simulator.cloud import Cloud
from esc_daemon.vim.simulator.projects import Usage
from esc_daemon.vim.simulator.rows import NetworkRow, PortRow, ProjectRow, Row, ServerRow, SubnetRow
from esc_daemon.vim.simulator.settings import CloudSettings, Quota
from tests.vim.vim_contract import a_port, a_server

NETWORK = Key(Kind.NETWORK, TenantName("acme"), "net")
SUBNET = Key(Kind.SUBNET, TenantName("acme"), "net/sub")
SIX = Key(Kind.SUBNET, TenantName("acme"), "net/six")
QUOTA = Quota(servers=3, cores=3, ports=5)
SETTINGS = CloudSettings(delete_seconds=2, quota=QUOTA)

vms = st.sampled_from([VmId(name) for name in "abcde"])
generations = st.integers(1, 2)
nicids = st.integers(0, 1)
addresses = st.none() | st.sampled_from(["192.0.2.1", "192.0.2.3", "192.0.2.6"])


class Journal:
    """Keeps copies in memory, as the state file does on disk."""

    is_long = False  # and so it is never written anew

    def __init__(self) -> None:
        self.rows: dict[str, Any] = {}

    def rewrite(self, rows: Iterable[Row]) -> None:
        self.rows = {row.id: row for row in rows}

    def write(self, changes) -> None:
        for change in changes:
            if hasattr(change, "name") or hasattr(change, "key") or hasattr(change, "reserved"):
                self.rows[change.id] = change
            else:
                del self.rows[change.id]


class Accounts(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.journal = Journal()
        self.cloud = Cloud(SETTINGS, journal=self.journal)

    def network_id(self) -> str:
        return self.cloud.networks.ensure(NETWORK, Network(name="net"), "acme").id

    @rule()
    def ensure_subnet(self):
        want = Subnet(name="sub", network="net", address="192.0.2.0", netmask="29")
        with suppress(VimRefused):
            self.cloud.networks.ensure_subnet(SUBNET, want, self.network_id(), "acme")

    @rule()
    def ensure_subnet_of_ipv6(self):
        want = Subnet(name="six", network="net", address="fd00::", netmask="126", ip_version="ipv6")
        with suppress(VimRefused):
            self.cloud.networks.ensure_subnet(SIX, want, self.network_id(), "acme")

    @rule()
    def remove_network(self):
        with suppress(VimRefused):
            self.cloud.networks.remove(NETWORK)

    @rule()
    def remove_subnet(self):
        with suppress(VimRefused):
            self.cloud.networks.remove_subnet(SUBNET)

    @rule(vm=vms, nicid=nicids, address=addresses)
    def ensure_port(self, vm, nicid, address):
        spec = a_port(vm, nicid, network_id=self.network_id(), ip_address=address)
        with suppress(VimRefused):
            port = self.cloud.ports.ensure(spec)
            assert address in (None, port.ip_address)

    @rule(vm=vms, nicid=nicids, address=addresses, six=st.sampled_from(["fd00::2", "fd00::3"]))
    def ensure_port_with_two_addresses(self, vm, nicid, address, six):
        wanted = (Address(ip_address=address, subnet="sub"), Address(ip_address=six))
        spec = a_port(vm, nicid, network_id=self.network_id(), addresses=wanted)
        with suppress(VimRefused):
            port = self.cloud.ports.ensure(spec)
            assert [each.ip_address for each in port.addresses][1:] == [six]

    @rule(vm=vms)
    def remove_ports(self, vm):
        self.cloud.ports.remove(vm)

    @rule(vm=vms, generation=generations, nicid=nicids)
    def ensure_server(self, vm, generation, nicid):
        with suppress(VimError):
            port = self.cloud.ports.ensure(a_port(vm, nicid, network_id=self.network_id()))
            key = ServerKey(vm, generation)
            server = self.cloud.servers.ensure(key, a_server(), (port,), self.now)
            assert server.key == key

    @rule(vm=vms, generation=generations)
    def remove_server(self, vm, generation):
        self.cloud.servers.remove(ServerKey(vm, generation), self.now)

    @rule(
        data=st.data(),
        kind=st.sampled_from([ProjectRow, NetworkRow, SubnetRow, PortRow, ServerRow]),
    )
    def vanish(self, data, kind):
        if there := sorted(row.id for row in self.held(kind)):
            self.cloud.vanish(data.draw(st.sampled_from(there)))

    @rule(seconds=st.integers(1, 3))
    def wait(self, seconds):
        self.now += seconds
        self.cloud.settle(self.now)

    @rule()
    def restart(self):
        self.cloud.commit(self.now)
        self.cloud = Cloud(SETTINGS, rows=list(self.journal.rows.values()), journal=self.journal)

    def held(self, kind):
        return [row for row in self.cloud.rows() if isinstance(row, kind)]

    @invariant()
    def usage_is_what_stands_there(self):
        servers, ports = self.held(ServerRow), self.held(PortRow)
        networks = [row for row in self.held(NetworkRow) if row.key is not None]
        assert self.cloud.usage("acme") == Usage(
            servers=len(servers),
            cores=sum(row.cores for row in servers),
            ports=len(ports),
            networks=len(networks),
        )
        assert len(servers) <= 3
        assert len(ports) <= 5

    @invariant()
    def addresses_are_in_use_by_one_vm_each(self):
        ports = self.held(PortRow)
        holders = {
            (row.network_id, address, row.key.vm): subnet_id
            for row in ports
            for subnet_id, address in row.addresses
        }
        assert len({(network, address) for network, address, _ in holders}) == len(holders)
        by_pool = Counter((network, subnet) for (network, _, _), subnet in holders.items())
        for row in self.held(NetworkRow):
            assert len(self.cloud.networks.pool(row, None)) == by_pool[row.id, None]
        networks = self.cloud.networks.rows
        for row in self.held(SubnetRow):
            pool = self.cloud.networks.pool(networks[row.network_id], row.id)
            assert len(pool) == by_pool[row.network_id, row.id]

    @invariant()
    def a_port_is_in_no_more_than_one_server(self):
        plugged = Counter(port for row in self.held(ServerRow) for port in row.ports)
        alive = {row.id for row in self.held(PortRow)}
        assert all(plugged[port] <= 1 for port in alive)

    @invariant()
    def hosts_carry_what_stands_on_them(self):
        counted = Counter(row.host for row in self.held(ServerRow))
        assert self.cloud.servers._loads == [counted[host] for host in range(SETTINGS.hosts)]


Accounts.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestAccounts = Accounts.TestCase


def test_a_pool_gives_each_address_once_and_all_of_them():
    pool = Pool(parse_range("192.0.2.0", "28"), "192.0.2.1")
    taken = []
    while not pool.is_empty:
        taken.append(pool.take())
    assert taken == [f"192.0.2.{last}" for last in range(2, 15)]


def test_a_pool_of_two_has_two():
    pool = Pool(parse_range("192.0.2.0", "31"))
    assert [pool.take(), pool.take()] == ["192.0.2.0", "192.0.2.1"]
    assert pool.is_empty


def test_an_address_that_came_back_and_was_claimed_is_not_given_again():
    pool = Pool(parse_range("192.0.2.0", "29"))
    first = pool.take()
    for _ in range(3):
        pool.give_back(first)
        pool.claim(first)
    assert pool.take() != first


def test_a_default_network_of_ipv6_is_possible():
    cloud = Cloud(CloudSettings(default_range="fd00::/16", default_prefix=64))
    port = cloud.ports.ensure(a_port(VmId("a")))
    assert (port.ip_address or "").startswith("fd00:")
