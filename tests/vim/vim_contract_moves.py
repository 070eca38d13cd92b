"""What every driver that takes VMs from other VIMs does: it tells whether it could have one."""

from typing import Any

import pytest

from esc_daemon.domain.ids import ServerKey
from esc_daemon.vim.base import TakesServers, VimDriver, VimRefused
from tests.vim.vim_contract import (
    Conditions,
    Start,
    a_port,
    a_server,
    a_subnet,
    a_vm,
    deploy,
    listed,
)


def taking(driver: VimDriver) -> TakesServers:
    assert isinstance(driver, TakesServers)
    return driver


class MoveContract:
    """Inherit it beside a fixture `start` that starts a driver under given conditions."""

    async def test_to_ask_for_a_server_makes_nothing(self, start: Start):
        driver = await start(Conditions(max_ports=1, max_servers=1))
        network, _ = await a_subnet(driver)
        want = a_port(a_vm(), network_id=network, ip_address="192.0.2.3")
        for _ in range(2):
            await taking(driver).check_server(a_server(want))
        assert await listed(driver) == []
        port = await driver.ensure_port(want)
        assert port.ip_address == "192.0.2.3"

    @pytest.mark.parametrize("changes", [{"image": "img"}, {"flavor": "small"}, {"project": "p"}])
    async def test_what_it_lacks_it_says(self, start: Start, changes: dict[str, str]):
        driver = await start(Conditions(open_catalogue=False))
        bare = a_server(image=None, flavor=None, project="")
        await taking(driver).check_server(bare)
        [named] = changes.values()
        with pytest.raises(VimRefused, match=named):
            await taking(driver).check_server(
                a_server(**({"image": None, "flavor": None, "project": ""} | changes))
            )

    async def test_an_address_or_a_mac_that_another_vm_has_is_not_to_be_had(self, start: Start):
        driver = await start(Conditions())
        network, _ = await a_subnet(driver)
        there = a_port(
            a_vm(), network_id=network, ip_address="192.0.2.3", mac_address="02:00:00:00:00:01"
        )
        await driver.ensure_port(there)
        taken: list[dict[str, Any]] = [
            {"ip_address": "192.0.2.3"},
            {"mac_address": "02:00:00:00:00:01"},
        ]
        for changes in taken:
            want = a_port(a_vm(), network_id=network, **changes)
            with pytest.raises(VimRefused, match="in use"):
                await taking(driver).check_server(a_server(want))

    async def test_what_the_vim_has_of_the_vm_is_not_in_its_way(self, start: Start):
        driver = await start(Conditions(max_servers=1, max_ports=1))
        vm = a_vm()
        port = (await deploy(driver, vm)).ports[0]
        want = a_port(vm, ip_address=port.ip_address, mac_address=port.mac_address)
        await taking(driver).check_server(a_server(want))

    @pytest.mark.parametrize("limit", ["max_servers", "max_ports", "max_cores"])
    async def test_a_quota_that_is_used_up_is_told(self, start: Start, limit: str):
        limits: dict[str, Any] = {limit: 1}
        driver = await start(Conditions(**limits))
        await deploy(driver, a_vm())
        with pytest.raises(VimRefused, match="quota exceeded"):
            await taking(driver).check_server(a_server(a_port(a_vm())))

    async def test_ports_that_are_made_after_a_removal_was_asked_for_stay(self, start: Start):
        driver = await start(Conditions())
        vm = a_vm()
        old = (await deploy(driver, vm)).ports[0]
        await driver.remove_server(ServerKey(vm, 1))
        await driver.remove_ports(vm)
        new = (await deploy(driver, vm, 2)).ports[0]
        assert new.port_id != old.port_id
        server = await driver.find_server(ServerKey(vm, 2))
        assert server is not None
        assert server.ports == (new,)
