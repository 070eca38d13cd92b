"""What every driver of the VIM port does about tenants, networks, subnets and ports."""

from typing import Any

import pytest

from esc_daemon.domain.ids import Key, Kind, ServerKey
from esc_daemon.domain.intent import Network, Subnet, Tenant
from esc_daemon.vim.base import VimRefused
from tests.vim.vim_contract import (
    TENANT,
    Conditions,
    Start,
    a_key,
    a_port,
    a_server,
    a_subnet,
    a_vm,
    deploy,
)


class NetworkContract:
    """Inherit it beside a fixture `start` that starts a driver under given conditions."""

    async def test_ports_keep_their_addresses_over_a_redeploy(self, start: Start):
        driver = await start(Conditions(delete=3))
        vm = a_vm()
        old = await deploy(driver, vm, generation=1)
        await driver.remove_server(ServerKey(vm, 1))
        new = await deploy(driver, vm, generation=2)
        assert new.server_id != old.server_id
        assert new.ports == old.ports

    async def test_a_port_ensured_twice_is_one_and_ports_go_together(self, start: Start):
        driver = await start(Conditions(max_ports=2))
        vm = a_vm()
        first = await driver.ensure_port(a_port(vm))
        assert await driver.ensure_port(a_port(vm)) == first
        await driver.ensure_port(a_port(vm, 1))
        await driver.remove_ports(vm)
        await driver.remove_ports(vm)
        assert (await driver.ensure_port(a_port(vm))).port_id != first.port_id

    async def test_any_port_has_an_address_and_a_mac(self, start: Start):
        driver = await start(Conditions())
        ports = [await driver.ensure_port(a_port(a_vm())) for _ in range(20)]
        assert all(port.ip_address for port in ports)
        assert len({port.ip_address for port in ports}) == len(ports)
        assert len({port.mac_address for port in ports}) == len(ports)

    async def test_a_subnet_hands_out_all_its_addresses_but_the_gateways(self, start: Start):
        driver = await start(Conditions())
        network, subnet = await a_subnet(driver, gateway="192.0.2.3")
        ports = [await driver.ensure_port(a_port(a_vm(), network_id=network)) for _ in range(5)]
        assert sorted(port.ip_address or "" for port in ports) == [
            f"192.0.2.{last}" for last in (1, 2, 4, 5, 6)
        ]
        (first,) = ports[0].addresses
        assert (first.subnet_id, first.gateway, first.netmask) == (
            subnet,
            "192.0.2.3",
            "255.255.255.248",
        )
        with pytest.raises(VimRefused, match="no address is left"):
            await driver.ensure_port(a_port(a_vm(), network_id=network))
        await driver.remove_ports(ports[1].key.vm)
        again = await driver.ensure_port(a_port(a_vm(), network_id=network))
        assert again.ip_address == ports[1].ip_address

    async def test_a_subnet_of_ipv6_hands_out_addresses(self, start: Start):
        driver = await start(Conditions())
        network, _ = await a_subnet(
            driver, address="2001:db8::", netmask="64", ip_version="ipv6", no_gateway=True
        )
        port = await driver.ensure_port(a_port(a_vm(), network_id=network))
        (address,) = port.addresses
        assert address.ip_address == "2001:db8::1"
        assert (address.gateway, address.netmask) == (None, "ffff:ffff:ffff:ffff::")

    async def test_a_fixed_address_is_given_once(self, start: Start):
        driver = await start(Conditions())
        network, _ = await a_subnet(driver)
        vm = a_vm()
        wanted: dict[str, Any] = {"network_id": network, "ip_address": "192.0.2.5"}
        port = await driver.ensure_port(a_port(vm, **wanted))
        assert port.ip_address == "192.0.2.5"
        with pytest.raises(VimRefused, match=r"192\.0\.2\.5"):
            await driver.ensure_port(a_port(a_vm(), **wanted))
        await driver.remove_ports(vm)
        assert (await driver.ensure_port(a_port(a_vm(), **wanted))).ip_address == "192.0.2.5"

    @pytest.mark.parametrize("address", ["192.0.2.0", "192.0.2.1", "192.0.2.7", "192.0.2.8", "x"])
    async def test_an_address_that_is_not_for_ports_is_refused(self, start: Start, address: str):
        driver = await start(Conditions())
        network, _ = await a_subnet(driver)
        with pytest.raises(VimRefused, match=address):
            await driver.ensure_port(a_port(a_vm(), network_id=network, ip_address=address))

    async def test_a_fixed_mac_is_given_once_in_a_network(self, start: Start):
        driver = await start(Conditions())
        mac = "FA:16:3E:00:00:2A"
        port = await driver.ensure_port(a_port(a_vm(), mac_address=mac))
        assert port.mac_address == mac.lower()
        with pytest.raises(VimRefused, match=mac.lower()):
            await driver.ensure_port(a_port(a_vm(), mac_address=mac))
        assert await driver.ensure_port(a_port(a_vm(), mac_address=mac, network="other"))

    async def test_a_port_that_is_wanted_otherwise_is_made_anew(self, start: Start):
        driver = await start(Conditions())
        vm = a_vm()
        old = await driver.ensure_port(a_port(vm))
        new = await driver.ensure_port(a_port(vm, ip_address="10.9.9.9"))
        assert new.ip_address == "10.9.9.9"
        assert new.port_id != old.port_id
        moved = await driver.ensure_port(a_port(vm, network="other"))
        assert moved.network_id != new.network_id

    async def test_a_port_in_a_server_does_not_change_under_it(self, start: Start):
        driver = await start(Conditions())
        vm = a_vm()
        server = await deploy(driver, vm)
        with pytest.raises(VimRefused, match=server.server_id):
            await driver.ensure_port(a_port(vm, ip_address="10.9.9.9"))

    async def test_a_network_is_one_and_is_kept_while_it_has_ports(self, start: Start):
        driver = await start(Conditions())
        key = a_key(Kind.NETWORK, "net")
        want = Network(name="net")
        network = await driver.ensure_network(key, want, project="")
        assert await driver.ensure_network(key, want, project="") == network
        vm = a_vm()
        await driver.ensure_port(a_port(vm, network_id=network.resource_id, network="net"))
        with pytest.raises(VimRefused, match=r"net .* still has 1 port: remove it first"):
            await driver.remove_network(key)
        await driver.remove_ports(vm)
        await driver.remove_network(key)
        await driver.remove_network(key)
        with pytest.raises(VimRefused, match=network.resource_id):
            await driver.ensure_port(a_port(vm, network_id=network.resource_id))

    async def test_a_subnet_is_kept_while_it_has_addresses_in_use(self, start: Start):
        driver = await start(Conditions())
        network, subnet = await a_subnet(driver)
        assert await a_subnet(driver) == (network, subnet)
        vm, key = a_vm(), a_key(Kind.SUBNET, "net/sub")
        await driver.ensure_port(a_port(vm, network_id=network))
        with pytest.raises(VimRefused, match=r"sub .* still has 1 address in use: remove its"):
            await driver.remove_subnet(key)
        await driver.remove_ports(vm)
        await driver.remove_subnet(key)
        await driver.remove_subnet(key)
        assert (await a_subnet(driver))[1] != subnet

    async def test_a_network_takes_its_subnets_along(self, start: Start):
        driver = await start(Conditions())
        first, _ = await a_subnet(driver)
        await driver.remove_network(a_key(Kind.NETWORK, "net"))
        second, subnet = await a_subnet(driver)
        assert first != second
        port = await driver.ensure_port(a_port(a_vm(), network_id=second))
        assert port.addresses[0].subnet_id == subnet

    @pytest.mark.parametrize(
        "changes",
        [
            {"netmask": "255.0.255.0"},
            {"netmask": "33"},
            {"address": "nowhere"},
            {"gateway": "198.51.100.1"},
            {"ip_version": "ipv6"},
        ],
    )
    async def test_a_subnet_that_makes_no_sense_is_refused(self, start: Start, changes):
        driver = await start(Conditions())
        with pytest.raises(VimRefused):
            await a_subnet(driver, **changes)

    async def test_a_subnet_needs_its_network_and_room_in_it(self, start: Start):
        driver = await start(Conditions())
        network, _ = await a_subnet(driver)
        key = a_key(Kind.SUBNET, "net/two")
        want = Subnet(name="two", network="net", address="192.0.2.4", netmask="30")
        with pytest.raises(VimRefused, match="overlaps sub"):
            await driver.ensure_subnet(key, want, network_id=network, project="")
        with pytest.raises(VimRefused, match="no network nowhere"):
            await driver.ensure_subnet(key, want, network_id="nowhere", project="")

    async def test_a_tenant_has_a_project_until_it_is_empty(self, start: Start):
        driver = await start(Conditions())
        key = Key(Kind.TENANT, None, "acme")
        want = Tenant(name=TENANT)
        tenant = await driver.ensure_tenant(key, want)
        assert tenant.project == tenant.resource_id
        assert await driver.ensure_tenant(key, want) == tenant
        vm = a_vm()
        port = await driver.ensure_port(a_port(vm, project=tenant.project))
        spec = a_server(project=tenant.project)
        server = await driver.ensure_server(ServerKey(vm, 1), spec, (port,))
        assert server.project == tenant.project
        with pytest.raises(VimRefused, match="acme still holds 1 server, 1 port, 0 volumes"):
            await driver.remove_tenant(key)
        await driver.remove_server(ServerKey(vm, 1))
        await driver.remove_ports(vm)
        await driver.remove_tenant(key)
        await driver.remove_tenant(key)
        with pytest.raises(VimRefused, match=tenant.project):
            await driver.ensure_port(a_port(vm, project=tenant.project))

    async def test_a_tenant_that_is_not_mapped_has_no_project(self, start: Start):
        driver = await start(Conditions())
        key = Key(Kind.TENANT, None, "acme")
        tenant = await driver.ensure_tenant(key, Tenant(name=TENANT, mapped=False))
        assert tenant.project == ""
        await driver.remove_tenant(key)

    async def test_the_project_of_a_tenant_that_is_not_managed_is_only_found(self, start: Start):
        driver = await start(Conditions())
        key = Key(Kind.TENANT, None, "acme")
        found = await driver.ensure_tenant(key, Tenant(name=TENANT, managed=False))
        await driver.ensure_port(a_port(a_vm(), project=found.project))
        await driver.remove_tenant(key)
        assert await driver.ensure_tenant(key, Tenant(name=TENANT, managed=False)) == found
