"""Who measures what, by the VIM's connector and the metric."""

from contextlib import AsyncExitStack

import pytest

from esc_daemon.app.measuring import collectors, measuring, pings
from esc_daemon.domain.connectors import Connectors
from esc_daemon.domain.ids import ServerKey, VimId, VmId
from esc_daemon.domain.intent import Collector, Condition, Kpi
from esc_daemon.monitor.base import CollectorError, Target
from esc_daemon.monitor.catalogue import (
    CORE,
    SCRIPT_FILENAME,
    VIM_METRICS,
    Measure,
    Metric,
    Property,
)
from esc_daemon.monitor.collectors.script import Scripts
from esc_daemon.monitor.collectors.simulated import SimulatedGuestsAtHand
from esc_daemon.settings import Settings
from esc_daemon.vim.simulator.cloud import Cloud
from esc_daemon.vim.simulator.driver import SimulatorDriver
from tests.connectors import connector, vims_of

LAB, SIMULATED = VimId("lab"), VimId("simulated")
OWN = (
    Metric(
        name="FTD_LOAD",
        measure=Measure.CUSTOM_SCRIPT_THRESHOLD,
        properties=(
            Property(name=SCRIPT_FILENAME, value="/opt/load.sh"),
            Property(name="mode", value="fast", hidden=True),
        ),
    ),
)


@pytest.fixture
def settings(tmp_path):
    return Settings(data_dir=tmp_path)


@pytest.fixture
async def select(settings):
    cloud = Cloud()
    vims = vims_of(
        {vim: SimulatorDriver(cloud, vim=vim) for vim in (LAB, SIMULATED)}, call_timeout=5
    )
    lab = connector(LAB, properties=(("guests", "real"),))
    vims.follow(Connectors(intents={LAB: lab, SIMULATED: connector(SIMULATED)}))
    async with AsyncExitStack() as stack:
        yield measuring(vims, stack, settings, OWN, pings(stack))
    await vims.close()


async def test_a_metric_of_ones_own_is_measured_with_its_properties(select):
    choice = select(a_target(LAB), a_kpi("ftd_load"))
    assert isinstance(choice.collector, Scripts)
    assert choice.question.measure is Measure.CUSTOM_SCRIPT_THRESHOLD
    assert choice.question.properties == {SCRIPT_FILENAME: "/opt/load.sh", "mode": "fast"}
    assert choice.question.hidden == {"mode"}


def a_target(vim: VimId) -> Target:
    return Target(
        server=ServerKey(VmId("vm-1"), 0), vim=vim, server_id="s", addresses={0: ("10.0.0.5",)}
    )


def a_kpi(metric: str) -> Kpi:
    return Kpi(
        event_name="VM_ALIVE",
        threshold="1",
        condition=Condition.GT,
        collector=Collector(type=metric),
    )


@pytest.mark.parametrize("metric", ["ICMPPing", "whatever.sh"])
async def test_a_simulator_answers_for_its_guests(select, metric):
    choice = select(a_target(SIMULATED), a_kpi(metric))
    assert isinstance(choice.collector, SimulatedGuestsAtHand)


async def test_real_guests_are_measured_and_no_simulator_is_asked(select):
    with pytest.raises(CollectorError, match=r"there is no metric whatever\.sh"):
        select(a_target(LAB), a_kpi("whatever.sh"))


async def test_a_connector_that_is_gone_measures_nothing(select):
    assert select(a_target(VimId("gone")), a_kpi("ICMPPing")) is None


@pytest.mark.parametrize("metric", CORE, ids=lambda metric: metric.name)
async def test_every_metric_that_is_there_from_the_start_is_measured(select, metric):
    choice = select(a_target(LAB), a_kpi(metric.name))
    assert choice.question.measure is metric.measure


async def test_every_measure_has_a_collector(settings):
    async with AsyncExitStack() as stack:
        taken = set(collectors(stack, settings, pings(stack)))
    assert taken | VIM_METRICS.keys() == set(Measure)
