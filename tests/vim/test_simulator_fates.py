"""What befalls things that stand in the simulated cloud: by rule, and by its operator's hand."""

import asyncio

import pytest

from esc_daemon.domain.ids import Kind, ServerKey, TenantName, VimId
from esc_daemon.domain.intent import Network, Tenant
from esc_daemon.domain.specs import Power, Server, ServerStatus
from esc_daemon.vim.base import VimRefused, VimUnknown
from esc_daemon.vim.simulator.cloud import Cloud
from esc_daemon.vim.simulator.control import Control
from esc_daemon.vim.simulator.driver import SimulatorDriver
from esc_daemon.vim.simulator.faults import MAX_RULES, Fault, FaultFileError, Rule, Verb, load_rules
from esc_daemon.vim.simulator.settings import CloudSettings, Quota
from esc_daemon.vim.simulator.state import StateFile
from tests.vim.vim_contract import a_key, a_port, a_server, a_subnet, a_vm, deploy, listed

pytestmark = pytest.mark.looptime

CALM = CloudSettings(build_seconds=0, boot_seconds=0, delete_seconds=0)


def a_driver(*rules: Rule, settings: CloudSettings = CALM, **more) -> SimulatorDriver:
    return SimulatorDriver(Cloud(settings, rules=rules, **more), vim=VimId("sim"))


async def answers(driver: SimulatorDriver, server: Server) -> bool:
    return await driver.answers(server.key, server.ports[0].ip_address or "") is not None


async def status(driver: SimulatorDriver, server: Server) -> ServerStatus | None:
    found = await driver.find_server(server.key)
    return None if found is None else found.status


async def test_a_slow_build_takes_longer_and_comes_up():
    driver = a_driver(
        Rule(fault=Fault.SLOW, seconds=30, count=1), settings=CloudSettings(build_seconds=10)
    )
    slow, quick = await deploy(driver, a_vm()), await deploy(driver, a_vm())
    await asyncio.sleep(39)
    assert await status(driver, slow) is ServerStatus.BUILD
    assert await status(driver, quick) is ServerStatus.ACTIVE
    await asyncio.sleep(1)
    assert await status(driver, slow) is ServerStatus.ACTIVE


async def test_a_build_may_be_slow_and_then_fail():
    driver = a_driver(Rule(fault=Fault.SLOW, seconds=30), Rule(fault=Fault.ERROR))
    server = await deploy(driver, a_vm())
    assert server.status is ServerStatus.BUILD
    await asyncio.sleep(30)
    assert await status(driver, server) is ServerStatus.ERROR


async def test_a_guest_falls_silent_after_it_was_alive_and_answers_again():
    driver = a_driver(Rule(fault=Fault.SILENT, seconds=60, lasts=20))
    server = await deploy(driver, a_vm())
    heard = []
    for _ in range(4):
        await asyncio.sleep(25)
        heard.append(await answers(driver, server))
    assert heard == [True, True, False, True]


async def test_a_guest_that_fell_silent_answers_after_its_next_boot():
    driver = a_driver(Rule(fault=Fault.SILENT, seconds=60, count=1))
    server = await deploy(driver, a_vm())
    await asyncio.sleep(1000)
    assert not await answers(driver, server)
    await driver.set_power(server.key, Power.HARD_REBOOT)
    assert await answers(driver, server)


async def test_a_server_goes_off_by_itself_and_can_be_switched_on():
    driver = a_driver(Rule(fault=Fault.POWER_OFF, seconds=60, count=1))
    server = await deploy(driver, a_vm())
    await asyncio.sleep(59)
    assert await status(driver, server) is ServerStatus.ACTIVE
    await asyncio.sleep(1)
    assert await status(driver, server) is ServerStatus.SHUTOFF
    assert not await answers(driver, server)
    await driver.set_power(server.key, Power.ON)
    await asyncio.sleep(1000)
    assert await answers(driver, server)


async def test_a_server_vanishes_and_its_ports_stay_for_the_next_one():
    driver = a_driver(Rule(fault=Fault.VANISH, verb=Verb.ENSURE_SERVER, seconds=60, count=1))
    vm = a_vm()
    first = await deploy(driver, vm)
    await asyncio.sleep(60)
    assert await driver.find_server(first.key) is None
    assert await listed(driver) == []
    second = await deploy(driver, vm, 2)
    assert second.ports[0].port_id == first.ports[0].port_id
    await asyncio.sleep(1000)
    assert await answers(driver, second)


async def test_a_server_that_vanishes_while_it_is_deleted_is_gone_once():
    driver = a_driver(
        Rule(fault=Fault.VANISH, verb=Verb.ENSURE_SERVER, seconds=5),
        settings=CloudSettings(delete_seconds=10),
    )
    server = await deploy(driver, a_vm())
    await asyncio.sleep(4)
    await driver.remove_server(server.key)
    assert await driver.find_server(server.key) is None
    assert driver.cloud.usage("acme").servers == 0


async def test_a_port_that_vanishes_leaves_its_server_and_its_address_behind():
    driver = a_driver(Rule(fault=Fault.VANISH, verb=Verb.ENSURE_PORT, match="public", seconds=60))
    vm = a_vm()
    server = await deploy(driver, vm)
    await asyncio.sleep(60)
    found = await driver.find_server(server.key)
    assert found is not None
    assert found.ports == ()
    assert not await answers(driver, server)
    address = server.ports[0].ip_address
    assert (await driver.ensure_port(a_port(a_vm(), ip_address=address))).ip_address == address


async def test_a_network_vanishes_with_its_subnets_and_ports():
    driver = a_driver(Rule(fault=Fault.VANISH, verb=Verb.ENSURE_NETWORK, match="net", seconds=60))
    network, subnet = await a_subnet(driver)
    port = await driver.ensure_port(a_port(a_vm(), network="net", network_id=network))
    await asyncio.sleep(60)
    with pytest.raises(VimRefused, match="there is no network"):
        await driver.ensure_port(a_port(port.key.vm, network="net", network_id=network))
    assert driver.cloud.row(subnet) is None
    assert driver.cloud.usage("acme").ports == 0
    await driver.remove_network(a_key(Kind.NETWORK, "net"))
    again, _ = await a_subnet(driver)
    assert again != network


async def test_a_subnet_vanishes_with_the_ports_that_have_its_addresses():
    driver = a_driver(Rule(fault=Fault.VANISH, verb=Verb.ENSURE_SUBNET, seconds=60, count=1))
    network, subnet = await a_subnet(driver)
    port = await driver.ensure_port(a_port(a_vm(), network="net", network_id=network))
    await asyncio.sleep(60)
    await driver.check()
    assert driver.cloud.row(subnet) is None
    assert driver.cloud.row(port.port_id) is None
    assert driver.cloud.row(network) is not None
    assert (await a_subnet(driver))[0] == network


async def test_a_project_vanishes_with_all_in_it():
    driver = a_driver(Rule(fault=Fault.VANISH, verb=Verb.ENSURE_TENANT, seconds=60, count=1))
    key = a_key(Kind.TENANT, "acme")
    tenant = Tenant(name=TenantName("acme"))
    project = (await driver.ensure_tenant(key, tenant)).resource_id
    await a_subnet(driver)
    server = await deploy(driver, a_vm())
    await asyncio.sleep(60)
    assert await driver.find_server(server.key) is None
    assert [row for row in driver.cloud.rows() if getattr(row, "project", "") == project] == []
    with pytest.raises(VimRefused, match="there is no project"):
        await driver.ensure_network(a_key(Kind.NETWORK, "n"), Network(name="n"), project=project)
    await driver.remove_tenant(key)
    assert (await driver.ensure_tenant(key, tenant)).resource_id != project


async def test_what_was_there_already_is_not_doomed_by_asking_for_it_again():
    driver = a_driver()
    vm = a_vm()
    server = await deploy(driver, vm)
    driver.cloud.faults.add(Rule(fault=Fault.VANISH, seconds=1))
    await deploy(driver, vm)
    await asyncio.sleep(1000)
    assert await driver.find_server(server.key) is not None


async def test_what_was_to_vanish_vanishes_after_a_restart(tmp_path):
    rule = Rule(fault=Fault.VANISH, verb=Verb.ENSURE_SERVER, seconds=60)
    with StateFile(tmp_path / "state") as state:
        server = await deploy(a_driver(rule, journal=state), a_vm())
    await asyncio.sleep(30)
    with StateFile(tmp_path / "state") as state:
        offset = SimulatorDriver(Cloud()).now() - asyncio.get_running_loop().time()
        driver = a_driver(rows=state.rows, journal=state)
        driver.cloud.offset = offset
        assert await driver.find_server(server.key) is not None
        await asyncio.sleep(61)
        assert await driver.find_server(server.key) is None
    with StateFile(tmp_path / "state") as state:
        assert server.server_id not in {row.id for row in state.rows}


async def test_a_rule_stands_from_its_beginning_to_its_end():
    driver = a_driver(Rule(fault=Fault.REFUSE, verb=Verb.ENSURE_PORT, begin=10, end=20))
    made = []
    await driver.check()
    for _ in range(4):
        await asyncio.sleep(7)
        try:
            made.append(await driver.ensure_port(a_port(a_vm())) is not None)
        except VimRefused:
            made.append(False)
    assert made == [True, False, True, True]


async def test_a_quota_of_a_project_is_its_own():
    settings = CloudSettings(quotas={"acme": Quota(servers=1)})
    driver = a_driver(settings=settings)
    await deploy(driver, a_vm())
    with pytest.raises(VimRefused, match="quota exceeded in project acme: servers used 1"):
        await deploy(driver, a_vm())
    assert await driver.ensure_server(ServerKey(a_vm(), 1), a_server(project="other"), ())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fault = 'slow'", "field seconds: .*more than 0"),
        ("fault = 'slow'\nseconds = 1\nverb = 'boot'", "field verb: .*build"),
        ("fault = 'power_off'\nverb = 'build'", "field verb: .*boot"),
        ("fault = 'vanish'\nverb = 'remove_server'", "field verb: .*ensure_server"),
        ("fault = 'refuse'\nseconds = 1", "field seconds: .*no meaning"),
        ("fault = 'vanish'\nlasts = 1", "field lasts: .*silent"),
        ("fault = 'silent'\nlasts = 0", "field lasts: "),
        ("fault = 'hang'\nbegin = 5\nend = 5", "field end: .*later"),
        ("fault = 'hang'\nend = inf", "field end: "),
        ("fault = 'latency'\nseconds = nan", "field seconds: "),
        ("fault = 'refuse'\ntakes_effect = true", "field takes_effect: .*hang"),
        (f"fault = 'hang'\nmatch = '{'x' * 256}'", "field match: "),
    ],
)
def test_a_field_without_a_meaning_is_refused_by_name(tmp_path, text, message):
    path = tmp_path / "faults.toml"
    path.write_text(f"[[rule]]\n{text}\n")
    with pytest.raises(FaultFileError, match=f"faults.toml: rule 1: {message}"):
        load_rules(path)


def test_rules_are_bounded(tmp_path):
    path = tmp_path / "faults.toml"
    path.write_text("[[rule]]\nfault = 'hang'\n" * (MAX_RULES + 1))
    with pytest.raises(FaultFileError, match=f"limit is {MAX_RULES}"):
        load_rules(path)


async def act(driver: SimulatorDriver, kind: str, id_: str, action: str) -> None:
    Control(driver.cloud).act(kind, id_, action)


async def test_the_operator_silences_a_guest_and_lets_it_answer():
    driver = a_driver()
    server = await deploy(driver, a_vm())
    await act(driver, "servers", server.server_id, "silence")
    assert not await answers(driver, server)
    await act(driver, "servers", server.server_id, "answer")
    assert await answers(driver, server)


async def test_the_operator_switches_a_server_off_and_on():
    driver = a_driver()
    server = await deploy(driver, a_vm())
    await act(driver, "servers", server.server_id, "power-off")
    assert await status(driver, server) is ServerStatus.SHUTOFF
    await act(driver, "servers", server.server_id, "power-on")
    assert await answers(driver, server)


async def test_what_the_operator_lets_vanish_is_gone_durably(tmp_path):
    with StateFile(tmp_path / "state") as state:
        driver = a_driver(journal=state)
        server = await deploy(driver, a_vm())
        await act(driver, "servers", server.server_id, "vanish")
        await act(driver, "ports", server.ports[0].port_id, "vanish")
    with StateFile(tmp_path / "state") as state:
        assert {row.id for row in state.rows}.isdisjoint(
            {server.server_id, server.ports[0].port_id}
        )


async def test_a_server_in_build_is_not_switched_and_the_caller_is_told():
    driver = a_driver(settings=CloudSettings(build_seconds=10))
    server = await deploy(driver, a_vm())
    with pytest.raises(VimUnknown, match="BUILD"):
        driver.by_hand(lambda now: driver.cloud.power_off(server.key, now))
