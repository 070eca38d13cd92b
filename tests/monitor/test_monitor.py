"""The wheel: who is polled when, what is told, and what trouble costs."""

import asyncio
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest
from structlog.testing import capture_logs

from esc_daemon.domain.ids import ServerKey, VmId
from esc_daemon.monitor.base import CollectorError, Question, Sample
from esc_daemon.monitor.wheel import TICK
from tests.monitor.monitor_bench import (
    PING,
    Bench,
    Scripted,
    a_watch,
    by_metric,
    polled_every,
    told_of,
)

pytestmark = pytest.mark.looptime(start=0)


async def test_a_guest_that_answers_after_30_s_crosses_true_once(bench: Bench) -> None:
    # given
    monitor = bench.monitor(Scripted(alive=lambda now: now >= 30))
    # when
    monitor.arm(a_watch())
    await asyncio.sleep(120)
    # then: the silence while it booted was told once, too
    assert bench.outcomes() == [False, True]
    time, server, event_name, _, value = bench.crossings[-1]
    assert 30 <= time <= 33 + TICK
    assert (server, event_name, value) == (ServerKey(VmId("vm-1"), 0), "VM_ALIVE", "100")


async def test_a_vm_that_never_answers_crosses_false_after_its_occurrences(bench: Bench) -> None:
    # given
    silent = Scripted(alive=lambda _: False)
    monitor = bench.monitor(silent)
    # when
    monitor.arm(a_watch("vm-1", replace(PING, occurrences_false=3)))
    await asyncio.sleep(60)
    # then
    assert bench.outcomes() == [False]
    assert bench.crossings[0][0] == silent.times()[2]


async def test_a_flapping_vm_is_told_at_every_change_that_lasts(bench: Bench) -> None:
    # given: 9 s up, 9 s down, and one answer that is lost on the way
    monitor = bench.monitor(Scripted(alive=lambda now: now % 18 < 9 and not 36 <= now < 39))
    # when
    monitor.arm(a_watch("vm-1", replace(PING, occurrences_false=2)))
    await asyncio.sleep(54)
    # then
    assert bench.outcomes() == [True, False, True, False, True, False]


async def test_a_continuous_alarm_is_told_at_every_poll(bench: Bench) -> None:
    # given
    kpi = replace(PING, collector=replace(PING.collector, continuous_alarm=True))
    collector = Scripted()
    monitor = bench.monitor(collector)
    # when
    with capture_logs() as lines:
        monitor.arm(a_watch("vm-1", kpi))
        await asyncio.sleep(30)
    # then: and the log has a line at each change alone
    assert [crossing[0] for crossing in bench.crossings] == collector.times()
    assert len(collector.times()) >= 9
    assert [line["event"] for line in lines] == ["monitor.crossed"]


async def test_watches_are_armed_where_a_timer_does_not_tell_when_it_rings(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given
    monkeypatch.delattr(asyncio.TimerHandle, "when")  # as uvloop's where it rings at once
    collector = Scripted()
    monitor = bench.monitor(collector)
    # when
    for n in range(20):
        monitor.arm(a_watch(f"vm-{n}"))
    await asyncio.sleep(0.999)
    # then
    assert len(collector.polls) == 20


@pytest.mark.parametrize("seconds", [1, 2, 15, 3600])
async def test_the_first_poll_comes_within_a_second(bench: Bench, seconds: int) -> None:
    # given
    collector = Scripted()
    monitor = bench.monitor(collector)
    # when
    for n in range(100):
        monitor.arm(a_watch(f"vm-{n}", polled_every(seconds)))
    await asyncio.sleep(0.999)
    # then
    assert len({vm for vm, _ in collector.polls}) == 100


async def test_vms_of_one_company_are_polled_together_at_first_and_then_spread(
    bench: Bench,
) -> None:
    # given
    collector = Scripted()
    monitor = bench.monitor(collector)
    # when
    for company in ("a", "b", "c"):
        for n in range(20):
            monitor.arm(a_watch(f"{company}-{n}", polled_every(1)), company=company)
    await asyncio.sleep(2.5)
    # then
    for company in ("a", "b", "c"):
        times = [collector.times(f"{company}-{n}")[:2] for n in range(20)]
        assert len({first for first, _ in times}) == 1
        assert len({second for _, second in times}) > 5


async def test_10000_probes_are_each_polled_once_an_interval_and_spread(bench: Bench) -> None:
    # given
    collector = Scripted()
    monitor = bench.monitor(collector)
    for n in range(10_000):
        monitor.arm(a_watch(f"vm-{n}", polled_every(60)))
    await asyncio.sleep(92)  # every probe has had its second turn
    collector.polls.clear()
    # when
    await asyncio.sleep(60)
    # then
    assert set(Counter(vm for vm, _ in collector.polls).values()) == {1}
    assert len(collector.polls) == 10_000
    busiest = Counter(int(time) for _, time in collector.polls).most_common(1)[0][1]
    assert busiest < 2 * 10_000 / 60


async def test_probes_of_one_vm_keep_a_steady_interval(bench: Bench) -> None:
    # given
    collector = Scripted()
    monitor = bench.monitor(collector)
    # when
    monitor.arm(a_watch("vm-1", polled_every(15)))
    await asyncio.sleep(300)
    # then
    times = collector.times()
    gaps = [after - before for before, after in pairwise(times)]
    assert 7.5 - TICK <= gaps[0] <= 22.5 + TICK
    assert set(gaps[1:]) == {15.0}


async def test_a_collector_that_hangs_delays_no_other(bench: Bench) -> None:
    # given: more hanging probes than one collector has workers
    hangs, answers = Scripted(takes=10_000), Scripted()
    monitor = bench.monitor_of(by_metric(lambda metric: hangs if metric == "slow" else answers), 8)
    slow = replace(
        PING, event_name="SLOW", collector=replace(PING.collector, type="slow", poll_seconds=30)
    )
    # when
    for n in range(50):
        monitor.arm(a_watch(f"vm-{n}", slow, PING))
    await asyncio.sleep(60)
    # then
    for n in range(50):
        times = answers.times(f"vm-{n}")
        assert len(times) >= 19
        assert {b - a for a, b in pairwise(times[1:])} == {3.0}
    assert hangs.most_under_way == 8
    told = {(name, holds) for _, _, name, holds, _ in bench.crossings}
    assert told == {("VM_ALIVE", True), ("SLOW", False)}


async def test_a_sample_that_hangs_counts_as_silence_after_5_s(bench: Bench) -> None:
    # given
    monitor = bench.monitor(Scripted(takes=10_000))
    # when
    monitor.arm(a_watch("vm-1", polled_every(60)))
    await asyncio.sleep(60)
    # then
    assert bench.outcomes() == [False]
    assert 5 <= bench.crossings[0][0] <= 6 + TICK


async def test_a_hanging_probe_is_over_before_its_next_turn(bench: Bench) -> None:
    # given
    hangs = Scripted(takes=10_000)
    monitor = bench.monitor(hangs)
    # when
    monitor.arm(a_watch("vm-1", polled_every(2)))
    await asyncio.sleep(20)
    # then: no turn is lost to the one before
    assert len(hangs.times()) >= 9
    assert hangs.most_under_way == 1


async def test_a_probe_that_waits_for_a_worker_is_not_started_twice(bench: Bench) -> None:
    # given: one worker, and ten probes that take nine times their interval together
    collector = Scripted(takes=0.9)
    monitor = bench.monitor(collector, workers=1)
    # when
    for n in range(10):
        monitor.arm(a_watch(f"vm-{n}", polled_every(1)))
    await asyncio.sleep(60)
    # then: each gets its share, and no queue grows
    [lane] = monitor._lanes.values()
    assert len(lane.ready) <= 10
    assert collector.most_under_way == 1
    assert {len(collector.times(f"vm-{n}")) for n in range(10)} <= {6, 7}


async def test_a_vm_armed_while_all_others_wait_long_is_still_polled_at_once(bench: Bench) -> None:
    # given
    collector = Scripted()
    monitor = bench.monitor(collector)
    monitor.arm(a_watch("vm-1", polled_every(86_400)))
    await asyncio.sleep(100)
    # when
    monitor.arm(a_watch("vm-2"))
    await asyncio.sleep(1)
    # then
    assert len(collector.times("vm-2")) == 1


class Broken:
    """A collector with two faults, one after the other, and then none."""

    def __init__(self) -> None:
        self.polls = 0
        self.at_a_time = 1

    async def sample(self, question: Question) -> Sample:
        self.polls += 1
        if self.polls <= 3:
            raise CollectorError(f"no address, poll {self.polls}")
        if self.polls <= 5:
            raise ZeroDivisionError
        return Sample(value=100.0)


async def test_a_collector_that_raises_costs_its_own_kpi_and_one_line_a_change(
    bench: Bench,
) -> None:
    # given
    broken, answers = Broken(), Scripted()
    monitor = bench.monitor_of(by_metric(lambda metric: broken if metric == "bad" else answers))
    bad = replace(PING, event_name="BAD", collector=replace(PING.collector, type="bad"))
    # when
    with capture_logs() as lines:
        monitor.arm(a_watch("vm-1", bad, PING))
        await asyncio.sleep(30)
    # then
    told = [(name, holds) for _, _, name, holds, _ in bench.crossings]
    assert sorted(told) == [("BAD", False), ("BAD", True), ("VM_ALIVE", True)]
    of_bad = [line for line in told_of(lines) if line["kpi"] == "BAD"]
    assert [(line["event"], line.get("trouble"), line.get("holds")) for line in of_bad] == [
        ("monitor.no_sample", "CollectorError", None),
        ("monitor.crossed", None, False),
        ("monitor.no_sample", "ZeroDivisionError", None),
        ("monitor.sampled_again", None, None),
        ("monitor.crossed", None, True),
    ]


async def test_a_metric_that_nobody_measures_goes_false_and_says_why(bench: Bench) -> None:
    # given
    monitor = bench.monitor(None)
    # when
    with capture_logs() as lines:
        monitor.arm(a_watch())
        await asyncio.sleep(30)
    # then
    assert bench.outcomes() == [False]
    assert [(line["event"], "ICMPPing" in line["detail"]) for line in told_of(lines)] == [
        ("monitor.no_sample", True),
        ("monitor.crossed", True),
    ]


async def test_a_threshold_that_is_no_number_is_logged(bench: Bench) -> None:
    # given
    monitor = bench.monitor(Scripted())
    # when
    with capture_logs() as lines:
        monitor.arm(a_watch("vm-1", replace(PING, threshold="many")))
        await asyncio.sleep(30)
    # then
    events = [line["event"] for line in lines]
    assert events == ["monitor.threshold_unreadable", "monitor.crossed"]
    assert bench.outcomes() == [False]


async def test_arming_the_same_watch_again_changes_nothing(bench: Bench) -> None:
    # given
    collector = Scripted()
    monitor = bench.monitor(collector)
    # when
    for _ in range(60):
        monitor.arm(a_watch())
        await asyncio.sleep(0.5)
    # then
    assert bench.outcomes() == [True]
    assert 9 <= len(collector.polls) <= 11
    assert len(monitor) == 1


@pytest.mark.parametrize(
    "other",
    [a_watch(generation=1), a_watch("vm-1", replace(PING, threshold="50"))],
    ids=["another generation", "other KPIs"],
)
async def test_another_watch_of_the_vm_starts_at_zero(bench: Bench, other) -> None:
    # given
    collector = Scripted()
    monitor = bench.monitor(collector)
    monitor.arm(a_watch())
    await asyncio.sleep(10)
    # when
    monitor.arm(other)
    await asyncio.sleep(30)
    # then: it is told again, and only the new one is polled
    assert bench.outcomes() == [True, True]
    assert bench.crossings[-1][1] == other.server
    assert len(collector.polls) <= 5 + 12
    assert len(monitor) == 1


async def test_a_vm_that_is_no_longer_watched_is_neither_polled_nor_told(bench: Bench) -> None:
    # given: a sample is under way
    collector = Scripted(takes=2)
    monitor = bench.monitor(collector)
    monitor.arm(a_watch())
    await asyncio.sleep(1.5)
    assert collector.under_way == 1
    # when
    monitor.disarm(VmId("vm-1"))
    monitor.disarm(VmId("vm-1"))
    await asyncio.sleep(60)
    # then
    assert bench.crossings == []
    assert len(collector.polls) == 1
    assert len(monitor) == 0


async def test_a_vm_that_waits_for_a_worker_can_be_disarmed(bench: Bench) -> None:
    # given: one worker, busy with the other VM
    collector = Scripted(takes=2)
    monitor = bench.monitor(collector, workers=1)
    monitor.arm(a_watch("vm-1"))
    monitor.arm(a_watch("vm-2"))
    await asyncio.sleep(1)
    first = collector.polls[0][0]
    second = {"vm-1": "vm-2", "vm-2": "vm-1"}[first]
    # when
    monitor.disarm(VmId(second))
    await asyncio.sleep(20)
    # then
    assert {vm for vm, _ in collector.polls} == {first}


async def test_arming_and_disarming_without_end_leaves_nothing_behind(bench: Bench) -> None:
    # given
    monitor = bench.monitor(Scripted())
    # when
    for n in range(1_000):
        monitor.arm(a_watch(f"vm-{n}", polled_every(86_400)))
        await asyncio.sleep(1)
        monitor.disarm(VmId(f"vm-{n}"))
    # then
    assert len(monitor._wheel._order) <= 66
    assert monitor._wheel._slots == {}


async def test_a_closed_monitor_holds_no_task_and_arms_nothing(bench: Bench) -> None:
    # given
    collector = Scripted(takes=2)
    monitor = bench.monitor(collector)
    monitor.arm(a_watch())
    await asyncio.sleep(1)
    # when
    await monitor.close()
    await monitor.close()
    monitor.arm(a_watch("vm-2"))
    await asyncio.sleep(30)
    # then
    assert collector.under_way == 0
    assert len(collector.polls) == 1
    assert len(asyncio.all_tasks()) == 1
    assert len(monitor) == 0


async def test_turns_that_a_busy_loop_missed_are_not_made_up(bench: Bench) -> None:
    # given
    collector = Scripted()
    monitor = bench.monitor(collector)
    monitor.arm(a_watch())
    await asyncio.sleep(10)
    [probe] = monitor._watches[VmId("vm-1")][1]
    monitor._wheel.take(probe)
    # when: the loop stood still over many intervals
    late = asyncio.get_running_loop().time() + 100
    monitor._reschedule(probe, late)
    # then
    assert late < probe.due <= late + 3


async def test_a_listener_that_fails_does_not_stop_the_polls(bench: Bench) -> None:
    # given
    collector = Scripted()
    monitor = bench.monitor(collector)

    def fails(*_: object) -> None:
        raise RuntimeError("the engine is gone")

    monitor._on_crossing = fails
    # when
    with capture_logs() as lines:
        monitor.arm(a_watch("vm-1"))
        await asyncio.sleep(30)
    # then
    assert [line["event"] for line in lines] == ["monitor.crossed", "monitor.crossing_lost"]
    assert len(collector.polls) >= 9


async def test_a_run_repeats_exactly() -> None:
    # given
    runs = []
    # when
    for _ in range(2):
        bench, collector = Bench(), Scripted(alive=lambda now: now % 7 < 4, takes=0.1)
        start = asyncio.get_running_loop().time()
        monitor = bench.monitor(collector, workers=3)
        for n in range(20):
            monitor.arm(a_watch(f"vm-{n}", polled_every(1 + n % 5)))
        await asyncio.sleep(64)
        runs.append([(vm, round((time - start) * 16)) for vm, time in collector.polls])
        await monitor.close()
    # then
    assert runs[0]
    assert runs[0] == runs[1]


async def test_what_cannot_be_measured_is_told_as_blindness(bench: Bench) -> None:
    # given: a guest that is up, then no privilege, then a guest that is silent, then a hanging call
    class Moody(Scripted):
        async def sample(self, question: Question) -> Sample:
            now = asyncio.get_running_loop().time()
            if 10 <= now < 20:
                raise CollectorError("no privilege")
            if now >= 40:
                await asyncio.Event().wait()
            return Sample(value=100.0 if now < 10 or now >= 30 else None)

    monitor = bench.monitor(Moody())
    # when
    monitor.arm(a_watch())
    await asyncio.sleep(60)
    # then: silence is told although the KPI was false already; a time-out is silence too
    assert bench.outcomes() == [True, False, False, True, False]
    assert bench.blind == [False, True, False, False, False]


async def test_a_kpi_that_nobody_measures_is_blind(bench: Bench) -> None:
    monitor = bench.monitor(None)
    monitor.arm(a_watch())
    await asyncio.sleep(5)
    assert bench.blind == [True]
