"""What the VIM measures of its servers."""

from dataclasses import replace

import pytest

from esc_daemon.domain.ids import ServerKey, VimId, VmId
from esc_daemon.domain.intent import Kpi
from esc_daemon.domain.specs import VimMetric
from esc_daemon.monitor.base import CollectorError, Sample, Target
from esc_daemon.monitor.catalogue import Catalogue
from esc_daemon.monitor.collectors.vim import VimMetrics
from tests.monitor.monitor_bench import PING, VIM

SERVER = ServerKey(VmId("vm-1"), 0)
TARGET = Target(server=SERVER, vim=VIM, server_id="s", addresses={})


class OneVim:
    """It knows its servers' memory."""

    async def measured(self, key: ServerKey, metric: VimMetric) -> float | None:
        return 40.0 if key == SERVER and metric is VimMetric.MEMORY else None


METRICS = VimMetrics({VIM: OneVim()}.get, Catalogue())


def a_kpi(metric: str) -> Kpi:
    return replace(PING, collector=replace(PING.collector, type=metric))


async def asked(metric: str, vim: VimId = VIM) -> Sample:
    choice = METRICS.choice(replace(TARGET, vim=vim), a_kpi(metric))
    assert choice is not None
    return await METRICS.sample(choice.question)


@pytest.mark.parametrize("metric", ["memory", "MEMORY", "vim_memory"])
async def test_the_vim_is_asked_and_no_address(metric: str) -> None:
    assert await asked(metric) == Sample(value=40.0)


async def test_a_server_that_does_not_run_is_no_sample() -> None:
    assert await asked("vim_cpu") == Sample(value=None, detail="the server does not run")


async def test_a_vim_that_measures_nothing_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(CollectorError, match=r"VIM other does not tell the cpu .* by SNMP or"):
        await asked("cpu", VimId("other"))


@pytest.mark.parametrize("metric", ["ICMPPing", "load"])
def test_other_metrics_are_for_others(metric: str) -> None:
    assert METRICS.choice(TARGET, a_kpi(metric)) is None
