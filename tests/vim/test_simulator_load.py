"""What a simulated cloud measures of its servers, and how its operator chooses that."""

import asyncio

import pytest

from esc_daemon.domain.ids import ServerKey, VimId
from esc_daemon.domain.specs import Power, VimMetric
from esc_daemon.vim.base import ServerMetrics
from esc_daemon.vim.simulator.cloud import Cloud
from esc_daemon.vim.simulator.driver import SimulatorDriver
from esc_daemon.vim.simulator.faults import Fault, FaultError, Rule, rule_of
from esc_daemon.vim.simulator.servers import ORDINARY
from esc_daemon.vim.simulator.settings import CloudSettings
from tests.vim.test_simulator_program import Lab
from tests.vim.vim_contract import a_server, a_vm, deploy

CALM = CloudSettings(build_seconds=0, boot_seconds=0, delete_seconds=0)
virtual = pytest.mark.looptime


def a_driver(*rules: Rule) -> SimulatorDriver:
    return SimulatorDriver(Cloud(CALM, rules=rules), vim=VimId("sim"))


def a_load(value: float, **fields) -> Rule:
    return Rule(fault=Fault.LOAD, value=value, **fields)


@virtual
@pytest.mark.parametrize("metric", list(VimMetric))
async def test_a_server_has_an_ordinary_load_unless_a_rule_says_another(metric: VimMetric):
    driver = a_driver()
    server = await deploy(driver, a_vm())
    assert isinstance(driver, ServerMetrics)
    assert await driver.measured(server.key, metric) == ORDINARY[metric]
    driver.cloud.faults.add(a_load(7, metric=metric))
    assert await driver.measured(server.key, metric) == 7


@virtual
async def test_a_load_is_of_the_servers_that_it_names_and_of_one_metric():
    driver = a_driver(a_load(95, match="web"), a_load(99))
    web, other = await deploy(driver, a_vm()), ServerKey(a_vm(), 1)
    await driver.ensure_server(other, a_server(name="db"), ())
    assert await driver.measured(web.key, VimMetric.CPU) == 95
    assert await driver.measured(other, VimMetric.CPU) == 99
    assert await driver.measured(other, VimMetric.MEMORY) == ORDINARY[VimMetric.MEMORY]


@virtual
async def test_a_load_has_its_time():
    driver = a_driver(a_load(95, begin=10, end=30))
    server = await deploy(driver, a_vm())
    found = []
    for _ in range(4):
        found.append(await driver.measured(server.key, VimMetric.CPU))
        await asyncio.sleep(10)
    assert found == [50, 95, 95, 50]


@virtual
async def test_a_server_that_does_not_run_has_no_load_and_a_silent_guest_has():
    driver = a_driver()
    server = await deploy(driver, a_vm())
    driver.cloud.silence(server.key)
    silent = await driver.measured(server.key, VimMetric.CPU)
    await driver.set_power(server.key, Power.OFF)
    assert silent is not None
    assert await driver.measured(server.key, VimMetric.CPU) is None
    assert await driver.measured(ServerKey(a_vm(), 1), VimMetric.CPU) is None


async def test_a_simulator_of_its_own_measures_as_the_embedded_one_does():
    async with Lab(CALM, a_load(88, metric=VimMetric.MEMORY)) as lab:
        server = await deploy(lab.driver, a_vm())
        client = lab.client()
        assert isinstance(client, ServerMetrics)
        assert await client.measured(server.key, VimMetric.MEMORY) == 88
        assert await client.measured(ServerKey(a_vm(), 1), VimMetric.MEMORY) is None


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"fault": "load"}, "`value` of a fault load is needed"),
        ({"fault": "load", "value": 1, "count": 2}, "`count` has no meaning"),
        ({"fault": "load", "value": 1, "probability": 0.5}, "`probability` has no meaning"),
        ({"fault": "load", "value": 1, "seconds": 5}, "`seconds` has no meaning"),
        ({"fault": "load", "value": 1, "verb": "boot"}, "can only be measure"),
        ({"fault": "load", "value": -1}, "value"),
        ({"fault": "load", "value": 1, "metric": "disk"}, "must be one of cpu, memory, network"),
        ({"fault": "refuse", "value": 1}, "`value` belongs to a fault load"),
        ({"fault": "refuse", "metric": "cpu"}, "`metric` belongs to a fault load"),
        ({"fault": "refuse", "verb": "measure"}, "cannot befall a measure"),
    ],
)
def test_a_load_that_makes_no_sense_is_refused(fields: dict[str, object], wrong: str):
    with pytest.raises(FaultError, match=wrong):
        rule_of(fields)
