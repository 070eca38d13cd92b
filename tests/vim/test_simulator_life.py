"""A simulated server's life: hosts, boots, guests, consoles, the same again under a seed."""

import asyncio

import pytest

from esc_daemon.domain.ids import Kind, ServerKey, VimId, VmId
from esc_daemon.domain.intent import Network, Subnet
from esc_daemon.domain.specs import Power, ServerFile
from esc_daemon.vim.base import VimRefused
from esc_daemon.vim.simulator.cloud import Cloud
from esc_daemon.vim.simulator.driver import SimulatorDriver
from esc_daemon.vim.simulator.servers import MAX_FILES
from esc_daemon.vim.simulator.settings import CloudSettings, Quota
from tests.vim.vim_contract import a_key, a_port, a_server, a_vm, deploy

pytestmark = pytest.mark.looptime

SLOW = CloudSettings(build_seconds=10, boot_seconds=20, delete_seconds=5)


def a_driver(settings: CloudSettings = SLOW) -> SimulatorDriver:
    return SimulatorDriver(Cloud(settings), vim=VimId("sim"))


async def test_a_guest_answers_when_it_has_booted_and_not_before():
    driver = a_driver()
    server = await deploy(driver, a_vm())
    address = server.ports[0].ip_address or ""
    await asyncio.sleep(29)
    assert await driver.answers(server.key, address) is None
    await asyncio.sleep(1)
    assert await driver.answers(server.key, address) == SLOW.rtt_ms


async def test_a_guest_answers_only_at_its_own_addresses():
    driver = a_driver()
    server, other = await deploy(driver, a_vm()), await deploy(driver, a_vm())
    await asyncio.sleep(30)
    assert await driver.answers(server.key, other.ports[0].ip_address or "") is None
    assert await driver.answers(ServerKey(server.key.vm, 2), "10.0.0.1") is None


async def test_a_guest_is_silent_while_it_reboots_or_is_off_or_being_deleted():
    driver = a_driver()
    server = await deploy(driver, a_vm())
    address = server.ports[0].ip_address or ""
    await asyncio.sleep(30)
    await driver.set_power(server.key, Power.HARD_REBOOT)
    assert await driver.answers(server.key, address) is None
    await asyncio.sleep(20)
    assert await driver.answers(server.key, address) is not None
    await driver.set_power(server.key, Power.OFF)
    assert await driver.answers(server.key, address) is None
    await driver.set_power(server.key, Power.ON)
    await asyncio.sleep(20)
    assert await driver.answers(server.key, address) is not None
    removal = asyncio.create_task(driver.remove_server(server.key))
    await asyncio.sleep(1)
    assert await driver.answers(server.key, address) is None
    await removal


async def test_a_guest_can_be_silenced_and_woken():
    driver = a_driver()
    server = await deploy(driver, a_vm())
    address = server.ports[0].ip_address or ""
    await asyncio.sleep(30)
    driver.cloud.silence(server.key)
    assert await driver.answers(server.key, address) is None
    driver.cloud.wake(server.key)
    assert await driver.answers(server.key, address) is not None
    with pytest.raises(VimRefused):
        driver.cloud.silence(ServerKey(VmId("nobody"), 1))


async def test_servers_are_spread_over_hosts_that_are_up():
    driver = a_driver()
    servers = [await deploy(driver, a_vm()) for _ in range(8)]
    names = {server.hostname for server in servers}
    assert len(names) == 4
    assert all(len(server.host_id) == 56 for server in servers)
    for name in sorted(names)[:3]:
        driver.cloud.host_down(name)
    assert (await deploy(driver, a_vm())).hostname == sorted(names)[3]


async def test_a_host_takes_its_guests_down_and_brings_them_back():
    driver = a_driver(CloudSettings(hosts=1))
    server = await deploy(driver, a_vm())
    address = server.ports[0].ip_address or ""
    await asyncio.sleep(30)
    driver.cloud.host_down("sim-host-1")
    assert await driver.answers(server.key, address) is None
    with pytest.raises(VimRefused, match="no host is up"):
        await deploy(driver, a_vm())
    driver.cloud.host_up("sim-host-1")
    assert await driver.answers(server.key, address) is not None
    with pytest.raises(VimRefused, match="sim-host-1"):
        driver.cloud.host_down("elsewhere")


async def test_a_guest_finds_its_files_for_as_long_as_its_server_is_there():
    driver = a_driver()
    key = ServerKey(a_vm(), 1)
    files = (ServerFile(dst="/config.txt", text="hostname csr"),)

    await driver.ensure_server(key, a_server(files=files), ())

    assert driver.cloud.files(key) == files
    await driver.remove_server(key)
    assert driver.cloud.files(key) == ()


async def test_a_server_has_files_up_to_a_limit():
    driver = a_driver()
    files = tuple(ServerFile(dst=name, text="é" * (MAX_FILES // 4)) for name in "ab")
    await driver.ensure_server(ServerKey(a_vm(), 1), a_server(files=files), ())

    more = (*files, ServerFile(dst="c", text="x"))
    with pytest.raises(VimRefused, match=f"{MAX_FILES + 1} bytes of files"):
        await driver.ensure_server(ServerKey(a_vm(), 1), a_server(files=more), ())


async def test_the_console_tells_the_story_up_to_now_and_no_secret():
    driver = a_driver()
    key = ServerKey(a_vm(), 1)
    files = (ServerFile(dst="/config.txt", text="password"),)
    await driver.ensure_server(key, a_server(files=files), ())
    assert driver.cloud.console(key, driver.now()) == ("building web on sim-host-1",)
    await asyncio.sleep(10)
    assert driver.cloud.console(key, driver.now())[1:] == ("day-0 file /config.txt", "booting")
    await driver.set_power(key, Power.OFF)
    await asyncio.sleep(100)
    assert driver.cloud.console(key, driver.now())[-1] == "power off"
    await driver.set_power(key, Power.ON)
    await asyncio.sleep(20)
    assert driver.cloud.console(key, driver.now())[-2:] == ("booting", "web login:")
    assert driver.cloud.console(ServerKey(VmId("nobody"), 1), driver.now()) == ()


async def test_the_same_calls_under_the_same_seed_give_the_same_cloud():
    async def a_story(seed: int) -> list[object]:
        driver = a_driver(CloudSettings(seed=seed))
        port = await driver.ensure_port(a_port(VmId("one")))
        server = await driver.ensure_server(ServerKey(VmId("one"), 1), a_server(), (port,))
        return [port, server]

    assert await a_story(1) == await a_story(1)
    assert await a_story(1) != await a_story(2)


async def test_connectors_that_share_a_cloud_see_the_same():
    cloud = Cloud(SLOW)
    one, other = (SimulatorDriver(cloud, vim=VimId(name)) for name in ("one", "other"))
    server = await deploy(one, a_vm())
    assert await other.find_server(server.key) == server
    await asyncio.sleep(30)
    assert await other.answers(server.key, server.ports[0].ip_address or "") is not None
    with pytest.raises(VimRefused, match=r"^other: "):
        await other.set_power(ServerKey(VmId("nobody"), 1), Power.ON)


async def test_a_project_may_have_a_quota_of_its_own():
    settings = CloudSettings(quota=Quota(ports=0), quotas={"acme": Quota(ports=1)})
    driver = a_driver(settings)
    await driver.ensure_port(a_port(a_vm()))
    with pytest.raises(VimRefused, match="project other: ports used 0, asked 1, allowed 0"):
        await driver.ensure_port(a_port(a_vm(), project="other"))
    assert driver.cloud.usage("acme").ports == 1


async def test_networks_without_a_subnet_have_ranges_of_their_own():
    driver = a_driver()
    ports = [
        await driver.ensure_port(a_port(VmId("vm"), nicid, network=f"net{nicid}"))
        for nicid in range(3)
    ]
    assert len({(port.ip_address or "").rsplit(".", 2)[0] for port in ports}) == 3


async def test_an_address_from_outside_is_claimed_once_where_there_is_no_subnet():
    driver = a_driver()
    wanted = "2001:db8::5"
    assert (await driver.ensure_port(a_port(a_vm(), ip_address=wanted))).ip_address == wanted
    with pytest.raises(VimRefused, match="in use"):
        await driver.ensure_port(a_port(a_vm(), ip_address="2001:DB8::5"))


async def test_the_clock_can_be_given():
    moment = 1_000.0
    driver = SimulatorDriver(Cloud(SLOW), now=lambda: moment)
    server = await driver.ensure_server(ServerKey(a_vm(), 1), a_server(), ())
    moment += 10
    assert driver.cloud.console(server.key, moment)[-1] == "booting"


async def test_a_subnet_does_not_come_over_addresses_that_are_in_use():
    driver = a_driver()
    network = await driver.ensure_network(a_key(Kind.NETWORK, "n"), Network(name="n"), project="")
    vm, key = a_vm(), a_key(Kind.SUBNET, "n/s")
    want = Subnet(name="s", network="n", address="192.0.2.0", netmask="24")
    await driver.ensure_port(a_port(vm, network_id=network.resource_id, ip_address="192.0.2.9"))
    with pytest.raises(VimRefused, match=r"192\.0\.2\.9"):
        await driver.ensure_subnet(key, want, network_id=network.resource_id, project="")
    await driver.remove_ports(vm)
    assert await driver.ensure_subnet(key, want, network_id=network.resource_id, project="")


def test_one_address_may_stand_on_two_ports_of_a_vm_and_is_free_after_both():
    cloud = Cloud()
    vm, other = VmId("one"), VmId("two")
    first = cloud.ports.ensure(_port(vm, 0, "10.9.0.7"))

    second = cloud.ports.ensure(_port(vm, 1, "10.9.0.7"))
    reborn = Cloud(rows=cloud.rows())

    assert (first.ip_address, second.ip_address) == ("10.9.0.7", "10.9.0.7")
    for each in (cloud, reborn):
        with pytest.raises(VimRefused, match="in use"):
            each.ports.ensure(_port(other, 0, "10.9.0.7"))
        each.ports.remove(vm)
        assert each.ports.ensure(_port(other, 0, "10.9.0.7")).ip_address == "10.9.0.7"


def _port(vm, nicid, address):
    return a_port(vm, nicid, ip_address=address, project="", network="lan")
