"""What `monitor.crossed` lets an operator conclude of a VM."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from esc_daemon.domain.intent import Kpi
from esc_daemon.monitor.base import CollectorError, Question, Sample
from tests.monitor.monitor_bench import PING, Bench, a_watch

pytestmark = pytest.mark.looptime(start=0)

UP, SILENT, BLIND = "up", "silent", "blind"


class Scripted:
    """Yields *outcomes* one after the other, then the last of them again and again."""

    at_a_time = 1

    def __init__(self, outcomes: Iterable[str]) -> None:
        self._outcomes = list(outcomes)

    async def sample(self, _: Question) -> Sample:
        outcome = self._outcomes.pop(0) if len(self._outcomes) > 1 else self._outcomes[0]
        if outcome is BLIND:
            raise CollectorError("no privilege")
        if outcome is SILENT:
            return Sample(value=None, detail="no answer")
        return Sample(value=100.0)


async def told(bench: Bench, outcomes: Sequence[str], kpi: Kpi = PING) -> list[tuple[object, ...]]:
    """Return what the log says of a KPI with these samples: holds, blind and the detail."""
    monitor = bench.monitor(Scripted(outcomes))
    with capture_logs() as lines:
        monitor.arm(a_watch("vm-1", kpi))
        await asyncio.sleep(3 * (len(outcomes) + 5))
    return [
        (line["holds"], line["blind"], line["detail"])
        for line in lines
        if line["event"] == "monitor.crossed"
    ]


async def test_the_log_tells_that_a_vm_nobody_could_look_at_counts_as_lost(bench: Bench) -> None:
    lines = await told(bench, [UP, BLIND, SILENT])

    assert bench.blind == [False, True, False]  # who is told last recovers it
    assert lines == [(True, False, ""), (False, True, "no privilege"), (False, False, "no answer")]


async def test_it_is_told_when_the_silence_alone_reaches_the_occurrences(bench: Bench) -> None:
    lines = await told(bench, [UP, BLIND, SILENT], replace(PING, occurrences_false=3))

    assert lines[1:] == [(False, True, "no answer"), (False, False, "no answer")]
    assert bench.blind == [False, True, False]


async def test_what_is_known_to_be_lost_is_told_once_whatever_comes_between(bench: Bench) -> None:
    # each poll is a crossing, and blindness and silence take turns
    always = replace(PING, collector=replace(PING.collector, continuous_alarm=True))

    lines = await told(bench, [UP, *(BLIND, SILENT) * 10], always)

    assert lines == [(True, False, ""), (False, True, "no privilege"), (False, False, "no answer")]
