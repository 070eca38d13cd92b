"""What every driver of the VIM port does to a server that is there: its ports, its flavor."""

import asyncio

import pytest

from esc_daemon.domain.ids import Kind, ServerKey, VmId
from esc_daemon.domain.intent import Flavor
from esc_daemon.domain.specs import Port, Power, ServerStatus
from esc_daemon.vim.base import Capability, VimDriver, VimNotSupported, VimRefused, VimUnknown
from tests.vim.vim_contract import (
    Conditions,
    Start,
    a_key,
    a_port,
    a_server,
    a_subnet,
    a_vm,
    deploy,
)


async def plugged(driver: VimDriver, vm: VmId) -> dict[int, str]:
    """Return the ids of the ports that the server has, by their nicid."""
    server = await driver.find_server(ServerKey(vm, 1))
    assert server is not None
    return {port.key.nicid: port.port_id for port in server.ports}


async def attached(driver: VimDriver, vm: VmId, nicid: int, **changes) -> Port:
    port = await driver.ensure_port(a_port(vm, nicid, **changes))
    await driver.attach_port(ServerKey(vm, 1), port)
    return port


class ChangeContract:
    """Inherit it beside a fixture `start` that starts a driver under given conditions."""

    async def test_a_port_is_plugged_into_a_server_that_is_there_once(self, start: Start):
        driver = await start(Conditions())
        vm = a_vm()
        first = (await deploy(driver, vm)).ports[0]
        port = await attached(driver, vm, 1)
        await driver.attach_port(ServerKey(vm, 1), port)
        assert await plugged(driver, vm) == {0: first.port_id, 1: port.port_id}

    async def test_a_port_that_is_unplugged_is_gone_with_its_address(self, start: Start):
        driver = await start(Conditions())
        network, _ = await a_subnet(driver)
        vm = a_vm()
        await deploy(driver, vm)
        port = await attached(driver, vm, 1, network_id=network)
        for _ in range(2):
            await driver.detach_port(ServerKey(vm, 1), port.key, port.port_id)
        assert list(await plugged(driver, vm)) == [0]
        again = await driver.ensure_port(a_port(a_vm(), network_id=network))
        assert again.ip_address == port.ip_address

    async def test_what_has_taken_the_place_of_a_port_stays(self, start: Start):
        driver = await start(Conditions())
        vm = a_vm()
        await deploy(driver, vm)
        old = await attached(driver, vm, 1)
        await driver.detach_port(ServerKey(vm, 1), old.key, old.port_id)
        new = await attached(driver, vm, 1, network="other")
        await driver.detach_port(ServerKey(vm, 1), old.key, old.port_id)
        assert (await plugged(driver, vm))[1] == new.port_id
        await driver.detach_port(ServerKey(vm, 1), old.key, None)
        assert list(await plugged(driver, vm)) == [0]

    async def test_a_port_is_removed_where_there_is_no_server(self, start: Start):
        driver = await start(Conditions(max_ports=1))
        vm = a_vm()
        port = await driver.ensure_port(a_port(vm))
        await driver.detach_port(ServerKey(vm, 1), port.key, None)
        assert await driver.ensure_port(a_port(a_vm()))

    async def test_a_port_needs_a_server_that_is_built_and_to_be_free(self, start: Start):
        driver = await start(Conditions(build=10))
        vm = a_vm()
        port = await driver.ensure_port(a_port(vm, 1))
        with pytest.raises(VimRefused, match=vm):
            await driver.attach_port(ServerKey(vm, 1), port)
        await deploy(driver, vm)
        with pytest.raises(VimUnknown, match="BUILD"):
            await driver.attach_port(ServerKey(vm, 1), port)
        await asyncio.sleep(10)
        await driver.ensure_server(ServerKey(vm, 2), a_server(), (port,))
        with pytest.raises(VimRefused, match="plugged into"):
            await driver.attach_port(ServerKey(vm, 1), port)

    async def test_a_port_that_is_not_there_is_not_plugged_in(self, start: Start):
        driver = await start(Conditions())
        vm = a_vm()
        port = await driver.ensure_port(a_port(vm))
        await driver.ensure_server(ServerKey(vm, 1), a_server(), ())
        await driver.remove_ports(vm)
        with pytest.raises(VimRefused, match=port.port_id):
            await driver.attach_port(ServerKey(vm, 1), port)

    async def test_a_server_gets_another_flavor_or_the_vim_says_that_it_cannot(self, start: Start):
        driver = await start(Conditions(max_cores=4))
        await driver.ensure_flavor(
            a_key(Kind.FLAVOR, "big"), Flavor(name="big", vcpus=3, memory_mb=1024)
        )
        vm = a_vm()
        server = await deploy(driver, vm)
        key = ServerKey(vm, 1)
        if Capability.RESIZE not in driver.capabilities:
            with pytest.raises(VimNotSupported):
                await driver.resize_server(key, "big")
            return
        for _ in range(2):
            await driver.resize_server(key, "big")
        found = await driver.find_server(key)
        assert found is not None
        assert (found.server_id, found.ports) == (server.server_id, server.ports)
        # and it counts
        with pytest.raises(VimRefused, match="cores"):
            await driver.ensure_server(ServerKey(a_vm(), 1), a_server(flavor="big"), ())
        await driver.resize_server(key, "small")
        assert await driver.ensure_server(ServerKey(a_vm(), 1), a_server(flavor="big"), ())

    async def test_a_flavor_that_a_quota_has_no_room_for_is_refused(self, start: Start):
        driver = await start(Conditions(max_cores=2))
        if Capability.RESIZE not in driver.capabilities:
            return
        await driver.ensure_flavor(
            a_key(Kind.FLAVOR, "big"), Flavor(name="big", vcpus=3, memory_mb=1024)
        )
        vm = a_vm()
        with pytest.raises(VimRefused, match=vm):
            await driver.resize_server(ServerKey(vm, 1), "big")
        await deploy(driver, vm)
        with pytest.raises(VimRefused, match="quota exceeded in project acme: cores"):
            await driver.resize_server(ServerKey(vm, 1), "big")

    async def test_a_server_that_is_off_stays_off_with_its_new_flavor(self, start: Start):
        driver = await start(Conditions())
        if Capability.RESIZE not in driver.capabilities:
            return
        vm = a_vm()
        await deploy(driver, vm)
        key = ServerKey(vm, 1)
        await driver.set_power(key, Power.OFF)
        await driver.resize_server(key, "other")
        found = await driver.find_server(key)
        assert found is not None
        assert found.status is ServerStatus.SHUTOFF
