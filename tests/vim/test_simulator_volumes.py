"""What is on the volumes of the simulated cloud, what befalls them, and what its operator sees."""

import asyncio
from dataclasses import replace

import pytest

from esc_daemon.domain.ids import ServerKey, VimId
from esc_daemon.domain.specs import Power
from esc_daemon.vim.base import VimRefused, VimUnknown
from esc_daemon.vim.simulator.cloud import Cloud
from esc_daemon.vim.simulator.control import Control
from esc_daemon.vim.simulator.driver import SimulatorDriver
from esc_daemon.vim.simulator.faults import Fault, Rule, Verb
from esc_daemon.vim.simulator.page import page
from esc_daemon.vim.simulator.settings import CloudSettings
from esc_daemon.vim.simulator.state import StateFile
from tests.vim.vim_contract import a_port, a_server, a_vm
from tests.vim.vim_contract_volumes import a_volume, built, found, had, known

pytestmark = pytest.mark.looptime

CALM = CloudSettings(build_seconds=0, boot_seconds=0, delete_seconds=0)


def a_driver(*rules: Rule, settings: CloudSettings = CALM, **more) -> SimulatorDriver:
    return SimulatorDriver(Cloud(settings, rules=rules, **more), vim=VimId("sim"))


def boots(driver: SimulatorDriver, key: ServerKey) -> list[str]:
    lines = driver.cloud.console(key, driver.now())
    return [line for line in lines if line.startswith("booting")]


async def test_what_is_on_the_root_volume_is_what_boots_also_after_a_redeploy():
    driver = a_driver()
    vm = a_vm()
    root = a_volume(vm, "root", boot_index=0, image="golden")
    volumes = await built(driver, vm, a_volume(vm), root)
    assert boots(driver, ServerKey(vm, 1)) == ["booting from image golden"]
    await driver.set_power(ServerKey(vm, 1), Power.HARD_REBOOT)
    assert boots(driver, ServerKey(vm, 1)) == ["booting from image golden"] * 2
    await driver.remove_server(ServerKey(vm, 1))
    await driver.ensure_server(ServerKey(vm, 2), a_server(volumes=volumes), ())
    assert boots(driver, ServerKey(vm, 2)) == ["booting from image golden"]


async def test_what_is_on_the_volume_that_takes_the_place_of_the_root_is_what_boots():
    # given: one that was made out of a snapshot, say, by the cloud's operator
    driver = a_driver()
    vm = a_vm()
    key = ServerKey(vm, 1)
    await built(driver, vm, a_volume(vm, "root", boot_index=0, image="golden"))
    (restored,) = await known(driver, found(vm, "restored", boot_index=0))
    content = driver.cloud.volumes.rows[restored.volume_id or ""].content
    # when
    await driver.exchange_root(key, restored)
    await driver.exchange_root(key, restored)
    # then: once
    assert content.startswith("volume restored")
    assert boots(driver, key) == ["booting from image golden", f"booting from {content}"]
    # and at each boot from now on
    await driver.set_power(key, Power.HARD_REBOOT)
    assert boots(driver, key)[2:] == [f"booting from {content}"]


async def test_a_server_that_is_off_boots_from_its_new_root_when_it_is_started():
    driver = a_driver()
    vm = a_vm()
    key = ServerKey(vm, 1)
    await built(driver, vm, a_volume(vm, "root", boot_index=0, image="golden"))
    (restored,) = await known(driver, a_volume(vm, "restored", boot_index=0, image="silver"))
    await driver.set_power(key, Power.OFF)
    await driver.exchange_root(key, restored)
    assert boots(driver, key) == ["booting from image golden"]
    await driver.set_power(key, Power.ON)
    assert boots(driver, key)[1:] == ["booting from image silver"]


async def test_without_its_root_volume_a_guest_is_silent():
    driver = a_driver()
    vm = a_vm()
    spec = a_port(vm)
    port = await driver.ensure_port(spec)
    volumes = await known(driver, a_volume(vm, "root", boot_index=0))
    key = ServerKey(vm, 1)
    await driver.ensure_server(key, a_server(spec, volumes=volumes), (port,))
    address = port.ip_address or ""
    assert await driver.answers(key, address) is not None
    driver.cloud.vanish(volumes[0].volume_id or "")
    await driver.set_power(key, Power.HARD_REBOOT)
    assert await driver.answers(key, address) is None


async def test_a_volume_that_vanishes_leaves_its_server_and_its_quota():
    vanishing = Rule(fault=Fault.VANISH, verb=Verb.ENSURE_VOLUME, seconds=60, count=1)
    driver = a_driver(vanishing)
    vm = a_vm()
    (volume,) = await built(driver, vm, a_volume(vm))
    assert driver.cloud.usage("acme").gigabytes == 2
    await asyncio.sleep(60)
    assert await had(driver, vm) == {}
    assert driver.cloud.usage("acme").gigabytes == driver.cloud.usage("acme").volumes == 0
    # and the next one is another one
    (again,) = await known(driver, a_volume(vm))
    assert again.volume_id != volume.volume_id


async def test_a_lost_answer_makes_no_second_volume():
    driver = a_driver(Rule(fault=Fault.UNKNOWN_AFTER, verb=Verb.ENSURE_VOLUME, count=1))
    want = a_volume(a_vm())
    with pytest.raises(VimUnknown, match="ensure_volume"):
        await driver.ensure_volume(want)
    await driver.ensure_volume(want)
    assert driver.cloud.usage("acme").volumes == 1


async def test_what_grew_unheard_of_is_there_when_it_is_asked_for_again():
    driver = a_driver(Rule(fault=Fault.UNKNOWN_AFTER, verb=Verb.ENSURE_VOLUME, skip=1, count=1))
    vm = a_vm()
    before = await driver.ensure_volume(a_volume(vm))
    with pytest.raises(VimUnknown):
        await driver.ensure_volume(a_volume(vm, size_gib=7))
    after = await driver.ensure_volume(a_volume(vm, size_gib=7))
    assert after == replace(before, size_gib=7)
    assert driver.cloud.usage("acme").gigabytes == 7


async def test_a_rule_meets_the_volumes_of_one_name():
    driver = a_driver(Rule(fault=Fault.REFUSE, verb=Verb.ENSURE_VOLUME, match="*_data"))
    vm = a_vm()
    with pytest.raises(VimRefused, match=f"ensure_volume of {vm}"):
        await driver.ensure_volume(a_volume(vm))
    assert await driver.ensure_volume(a_volume(vm, "logs"))


async def test_the_open_catalogue_has_a_volume_of_any_name_that_counts_for_nobody():
    driver = a_driver()
    first = await driver.ensure_volume(found(a_vm(), "licences"))
    second = await driver.ensure_volume(found(a_vm(), "licences"))
    assert first.volume_id == second.volume_id
    assert driver.cloud.usage("acme").volumes == 0


async def test_volumes_and_who_has_them_are_remembered(tmp_path):
    with StateFile(tmp_path / "state") as state:
        driver = a_driver(rows=state.rows, journal=state)
        vm = a_vm()
        volumes = await built(driver, vm, a_volume(vm, "root", boot_index=0), found(vm, "shared"))
        await driver.ensure_volume(a_volume(vm))
        free = await driver.ensure_volume(a_volume(vm, size_gib=3))
    with StateFile(tmp_path / "state") as state:
        again = a_driver(rows=state.rows, journal=state)
        assert again.cloud.rows() == driver.cloud.rows()
        assert again.cloud.projects.usage == driver.cloud.projects.usage
        assert await had(again, vm) == {each.key: each.volume_id for each in volumes}
        assert await again.ensure_volume(a_volume(vm, size_gib=3)) == free
        with pytest.raises(VimRefused, match="attached"):
            await again.ensure_server(ServerKey(vm, 2), a_server(volumes=volumes), ())


async def test_the_operator_sees_volumes_and_lets_one_vanish():
    driver = a_driver()
    vm = a_vm()
    (volume, _) = await built(driver, vm, replace(a_volume(vm), name="<disk>"), found(vm, "oob"))
    control = Control(driver.cloud)
    seen = {each.name: each for each in control.look().volumes}
    server = await driver.find_server(ServerKey(vm, 1))
    assert server
    assert {each.server for each in seen.values()} == {server.server_id}
    assert [(seen[name].ours, seen[name].vm) for name in ("<disk>", "oob")] == [
        (True, vm),
        (False, ""),
    ]
    shown = page(control.look(), ()).decode()
    assert "&lt;disk&gt;" in shown
    assert f"blank {volume.volume_id}" in shown
    control.act("volumes", volume.volume_id or "", "vanish")
    assert [each.name for each in control.look().volumes] == ["oob"]
