"""What every driver of the VIM port does about the addresses of a port and what it may send."""

from dataclasses import replace

import pytest

from esc_daemon.domain.ids import Kind, ServerKey
from esc_daemon.domain.intent import Network, Subnet
from esc_daemon.domain.specs import Address, NetworkRef, Port
from esc_daemon.vim.base import VimDriver, VimRefused
from tests.vim.vim_contract import Conditions, Start, a_key, a_port, a_server, a_vm

FOUR = Subnet(name="four", network="net", address="192.0.2.0", netmask="255.255.255.248")
SIX = Subnet(
    name="six",
    network="net",
    address="2001:db8::",
    netmask="ffff:ffff:ffff:ffff::",
    ip_version="ipv6",
)
MORE = replace(FOUR, name="more", address="198.51.100.0")


async def a_network(driver: VimDriver, *subnets: Subnet) -> dict[str, str]:
    """Make the network net with *subnets*; return the ids by name."""
    network = await driver.ensure_network(
        a_key(Kind.NETWORK, "net"), Network(name="net"), project="acme"
    )
    ids = {"net": network.resource_id}
    for subnet in subnets:
        made = await driver.ensure_subnet(
            a_key(Kind.SUBNET, f"net/{subnet.name}"),
            subnet,
            network_id=network.resource_id,
            project="acme",
        )
        ids[subnet.name] = made.resource_id
    return ids


def held(port: Port) -> list[tuple[str | None, str | None]]:
    return [(each.subnet_id, each.ip_address) for each in port.addresses]


class PortContract:
    """Inherit it beside a fixture `start` that starts a driver under given conditions."""

    async def test_a_port_has_an_address_of_each_ip_version_the_fourth_first(self, start: Start):
        driver = await start(Conditions())
        ids = await a_network(driver, SIX, FOUR, MORE)
        port = await driver.ensure_port(a_port(a_vm(), network_id=ids["net"]))
        assert port.addresses == (
            Address(
                ip_address="192.0.2.2",
                subnet_id=ids["four"],
                netmask="255.255.255.248",
                gateway="192.0.2.1",
            ),
            Address(
                ip_address="2001:db8::2",
                subnet_id=ids["six"],
                netmask="ffff:ffff:ffff:ffff::",
                gateway="2001:db8::1",
            ),
        )
        assert port.ip_address == "192.0.2.2"

    async def test_what_is_asked_for_is_all_that_a_port_gets(self, start: Start):
        driver = await start(Conditions())
        ids = await a_network(driver, FOUR, SIX)
        wanted = (Address(ip_address="2001:DB8::9"), Address(subnet="four"))
        port = await driver.ensure_port(a_port(a_vm(), network_id=ids["net"], addresses=wanted))
        assert held(port) == [(ids["six"], "2001:db8::9"), (ids["four"], "192.0.2.2")]
        one = await driver.ensure_port(
            a_port(a_vm(), network_id=ids["net"], ip_address="192.0.2.5")
        )
        assert held(one) == [(ids["four"], "192.0.2.5")]

    @pytest.mark.parametrize("by_id", [True, False])
    async def test_a_subnet_is_chosen_by_name_or_id(self, start: Start, *, by_id: bool):
        driver = await start(Conditions())
        ids = await a_network(driver, FOUR, MORE)
        wanted = (Address(subnet=ids["more"] if by_id else "more"),)
        port = await driver.ensure_port(a_port(a_vm(), network_id=ids["net"], addresses=wanted))
        assert held(port) == [(ids["more"], "198.51.100.2")]

    async def test_an_address_outside_its_subnet_is_refused_by_port_address_and_subnet(
        self, start: Start
    ):
        driver = await start(Conditions())
        ids = await a_network(driver, FOUR, MORE)
        vm = a_vm()
        wanted = (Address(subnet="four", ip_address="198.51.100.3"),)
        with pytest.raises(VimRefused) as refused:
            await driver.ensure_port(a_port(vm, 3, network_id=ids["net"], addresses=wanted))
        for part in (f"port 3 of VM {vm}", "198.51.100.3", "subnet four (192.0.2.0/29)"):
            assert part in str(refused.value)

    async def test_a_subnet_that_the_network_has_not_is_refused(self, start: Start):
        driver = await start(Conditions())
        ids = await a_network(driver, FOUR)
        wanted = (Address(subnet="elsewhere"),)
        with pytest.raises(VimRefused, match="network net has no subnet elsewhere"):
            await driver.ensure_port(a_port(a_vm(), network_id=ids["net"], addresses=wanted))

    async def test_a_port_that_cannot_have_all_addresses_keeps_none(self, start: Start):
        driver = await start(Conditions())
        ids = await a_network(driver, FOUR, SIX)
        taken = "2001:db8::9"
        await driver.ensure_port(a_port(a_vm(), network_id=ids["net"], ip_address=taken))
        wanted = (Address(ip_address="192.0.2.5"), Address(ip_address=taken))
        with pytest.raises(VimRefused, match="in use"):
            await driver.ensure_port(a_port(a_vm(), network_id=ids["net"], addresses=wanted))
        port = await driver.ensure_port(
            a_port(a_vm(), network_id=ids["net"], ip_address="192.0.2.5")
        )
        assert port.ip_address == "192.0.2.5"

    async def test_all_addresses_of_a_port_are_free_when_it_is_gone(self, start: Start):
        driver = await start(Conditions())
        ids = await a_network(driver, FOUR, SIX)
        vm = a_vm()
        port = await driver.ensure_port(a_port(vm, network_id=ids["net"]))
        await driver.remove_ports(vm)
        again = await driver.ensure_port(a_port(a_vm(), network_id=ids["net"]))
        assert again.addresses == port.addresses

    async def test_a_port_that_asks_for_what_it_has_is_the_same(self, start: Start):
        driver = await start(Conditions())
        ids = await a_network(driver, FOUR, SIX)
        vm = a_vm()
        port = await driver.ensure_port(a_port(vm, network_id=ids["net"]))
        asked = tuple(Address(ip_address=each.ip_address) for each in port.addresses)
        spec = a_port(vm, network_id=ids["net"], addresses=asked)
        assert await driver.ensure_port(spec) == port
        fewer = await driver.ensure_port(replace(spec, addresses=asked[:1]))
        assert held(fewer) == held(port)[:1]

    async def test_a_port_says_what_it_may_send(self, start: Start):
        driver = await start(Conditions())
        ids = await a_network(driver, FOUR, SIX)
        spec = a_port(
            a_vm(),
            security_groups=("web", "ssh"),
            allowed_networks=(NetworkRef(name="net", id=ids["net"]),),
            allowed_addresses=("203.0.113.7", "10.0.0.0/8"),
        )
        port = await driver.ensure_port(spec)
        assert port.port_security_enabled
        assert port.security_groups == ("web", "ssh")
        assert port.allowed_addresses == (
            "192.0.2.0/29",
            "2001:db8::/64",
            "203.0.113.7",
            "10.0.0.0/8",
        )

    async def test_what_a_port_may_send_changes_under_its_server(self, start: Start):
        driver = await start(Conditions())
        spec = a_port(a_vm(), security_groups=("web",))
        port = await driver.ensure_port(spec)
        key = ServerKey(spec.key.vm, 1)
        await driver.ensure_server(key, a_server(spec), (port,))
        changed = await driver.ensure_port(
            replace(spec, security_groups=(), port_security_enabled=False)
        )
        assert (changed.port_id, changed.addresses) == (port.port_id, port.addresses)
        assert (changed.security_groups, changed.port_security_enabled) == ((), False)
        server = await driver.find_server(key)
        assert server is not None
        assert server.ports == (changed,)

    @pytest.mark.parametrize(
        "changes",
        [
            {"security_groups": ("web",)},
            {"allowed_addresses": ("203.0.113.7",)},
            {"allowed_networks": (NetworkRef(name="public"),)},
        ],
    )
    async def test_a_port_without_security_has_neither_groups_nor_pairs(
        self, start: Start, changes
    ):
        driver = await start(Conditions())
        with pytest.raises(VimRefused, match="need port security"):
            await driver.ensure_port(a_port(a_vm(), port_security_enabled=False, **changes))

    async def test_a_closed_catalogue_knows_the_default_security_group_alone(self, start: Start):
        driver = await start(Conditions(open_catalogue=False))
        ids = await a_network_of_nobody(driver)
        spec = a_port(a_vm(), network_id=ids["net"], project="")
        port = await driver.ensure_port(replace(spec, security_groups=("default",)))
        assert port.security_groups == ("default",)
        with pytest.raises(VimRefused, match="no security group web"):
            await driver.ensure_port(replace(spec, security_groups=("web",)))

    async def test_a_network_of_another_project_is_seen_when_it_is_shared(self, start: Start):
        driver = await start(Conditions())
        shared, own = [
            await driver.ensure_network(
                a_key(Kind.NETWORK, name), Network(name=name, shared=shared), project="acme"
            )
            for name, shared in (("shared", True), ("own", False))
        ]
        theirs = await driver.ensure_port(a_port(a_vm(), network="own", project="other"))
        assert theirs.network_id != own.resource_id
        assert (await driver.ensure_port(a_port(a_vm(), network="own"))).network_id == (
            own.resource_id
        )
        port = await driver.ensure_port(a_port(a_vm(), network="shared", project="other"))
        assert port.network_id == shared.resource_id


async def a_network_of_nobody(driver: VimDriver) -> dict[str, str]:
    network = await driver.ensure_network(
        a_key(Kind.NETWORK, "net"), Network(name="net"), project=""
    )
    return {"net": network.resource_id}
