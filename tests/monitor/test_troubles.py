"""What the log and the figures tell of collectors in trouble: by cause, not by KPI."""

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from esc_daemon.domain.ids import VmId
from esc_daemon.monitor.base import CollectorError, Question, Sample
from esc_daemon.monitor.troubles import CAUSES, PERIOD
from tests.monitor.monitor_bench import Bench, Scripted, a_watch, polled_every

pytestmark = pytest.mark.looptime(start=0)

MANY = 100


class Unprivileged:
    """A collector that cannot measure anything until *well*; *cause* says why not."""

    at_a_time = 512

    def __init__(self, cause: str = "no privilege") -> None:
        self.cause = cause
        self.well = False

    async def sample(self, question: Question) -> Sample:
        if self.well:
            return Sample(value=100.0)
        raise CollectorError(self.cause.format(vm=question.target.server.vm))


def lines_of(lines: list[Any], event: str, level: str) -> list[Any]:
    return [line for line in lines if (line["event"], line["log_level"]) == (event, level)]


async def test_a_cause_has_a_line_at_once_and_then_one_with_the_number_of_kpis(
    bench: Bench,
) -> None:
    # given
    collector = Unprivileged()
    monitor = bench.monitor(collector)
    # when
    with capture_logs() as lines:
        for n in range(MANY):
            monitor.arm(a_watch(f"vm-{n}", polled_every(15)))
        await asyncio.sleep(3 * PERIOD)
    # then
    first, summary = lines_of(lines, "monitor.no_sample", "warning")
    assert first["vm_id"].startswith("vm-")
    assert (first["kpi"], first["metric"]) == ("VM_ALIVE", "ICMPPing")
    assert (first["collector"], first["kpis"]) == ("Unprivileged", 1)
    assert (summary["collector"], summary["kpis"]) == ("Unprivileged", MANY - 1)
    assert {line["detail"] for line in (first, summary)} == {"no privilege"}
    # and each KPI has its own at level debug
    assert len(lines_of(lines, "monitor.kpi_has_no_sample", "debug")) == MANY
    # when: the operator mends it
    with capture_logs() as lines:
        collector.well = True
        await asyncio.sleep(3 * PERIOD)
    # then
    again = lines_of(lines, "monitor.sampled_again", "info")
    assert [line["kpis"] for line in again] == [1, MANY - 1]
    assert len(lines_of(lines, "monitor.kpi_sampled_again", "debug")) == MANY


async def test_each_cause_has_its_own_line_and_the_lines_are_bounded(bench: Bench) -> None:
    # given: a cause for each KPI
    monitor = bench.monitor(Unprivileged("no address for {vm}"))
    # when
    with capture_logs() as lines:
        for n in range(MANY):
            monitor.arm(a_watch(f"vm-{n}", polled_every(15)))
        await asyncio.sleep(PERIOD / 2)
    # then
    told = lines_of(lines, "monitor.no_sample", "warning")
    assert len({line["detail"] for line in told}) == CAUSES + 1 == len(told)
    # when
    with capture_logs() as lines:
        await asyncio.sleep(3 * PERIOD)
    # then: how many the others were
    [others] = lines_of(lines, "monitor.no_sample", "warning")
    assert others["kpis"] == MANY - CAUSES - 1


async def test_a_cause_that_comes_again_later_is_told_again_at_once(bench: Bench) -> None:
    # given
    collector = Unprivileged()
    monitor = bench.monitor(collector)
    with capture_logs() as lines:
        for seconds in (PERIOD * 3, PERIOD * 3):
            collector.well = False
            monitor.arm(a_watch())
            # when
            await asyncio.sleep(seconds)
            monitor.disarm(VmId("vm-1"))
    # then
    told = lines_of(lines, "monitor.no_sample", "warning")
    assert [line["kpis"] for line in told] == [1, 1]


async def test_a_monitor_that_ends_tells_what_it_has_counted_and_leaves_no_timer(
    bench: Bench,
) -> None:
    # given
    monitor = bench.monitor(Unprivileged())
    with capture_logs() as lines:
        for n in range(5):
            monitor.arm(a_watch(f"vm-{n}", polled_every(15)))
        await asyncio.sleep(2)
        # when
        await monitor.close()
        await asyncio.sleep(3 * PERIOD)
    # then
    told = lines_of(lines, "monitor.no_sample", "warning")
    assert [line["kpis"] for line in told] == [1, 4]


async def test_silence_trouble_and_samples_are_counted_apart(bench: Bench) -> None:
    # given
    silent = Scripted(alive=lambda _: False)
    hangs = Scripted(takes=10_000)
    for collector in (silent, hangs, Unprivileged(), Scripted()):
        monitor = bench.monitor(collector)
        monitor.arm(a_watch())
    # when
    await asyncio.sleep(20)
    # then
    results = [{result for _, result in each.samples} for each in bench.made]
    assert results == [{"silent"}, {"silent"}, {"trouble"}, {"ok"}]
