"""Collectors that get all that is due at once, and answer when they can, or never, or twice."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import pytest
from structlog.testing import capture_logs

from esc_daemon.domain.ids import VmId
from esc_daemon.domain.intent import Kpi
from esc_daemon.monitor.base import (
    Choice,
    CollectorError,
    Sample,
    Select,
    Target,
    Turn,
    question_of,
)
from esc_daemon.monitor.catalogue import EVENTS_AFTER_SUCCESS
from esc_daemon.monitor.monitor import OVERDUE_SECONDS
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

UP = Sample(value=100.0)


@dataclass
class Handed:
    """A batch collector that does with each turn what the test wants."""

    does: Callable[[Turn], None] = lambda turn: turn.answer(UP)
    batches: list[tuple[float, list[Turn]]] = field(default_factory=list)

    def start(self, turns: Sequence[Turn]) -> None:
        self.batches.append((asyncio.get_running_loop().time(), list(turns)))
        for turn in turns:
            self.does(turn)

    def times(self, vm: str = "vm-1") -> list[float]:
        return [
            time
            for time, turns in self.batches
            for turn in turns
            if turn.question.target.server.vm == vm
        ]


async def test_all_that_is_due_in_a_slot_comes_in_one_batch(bench: Bench) -> None:
    # given
    handed = Handed()
    monitor = bench.monitor(handed)
    # when
    for n in range(1_000):
        monitor.arm(a_watch(f"vm-{n}"))
    await asyncio.sleep(0.999)
    # then
    assert sum(len(turns) for _, turns in handed.batches) == 1_000
    assert len(handed.batches) <= 1 / TICK
    assert len(bench.crossings) == 1_000
    assert len(asyncio.all_tasks()) == 1


async def test_an_answer_may_come_later_and_only_the_first_is_heard(bench: Bench) -> None:
    # given
    loop = asyncio.get_running_loop()

    def twice(turn: Turn) -> None:
        loop.call_later(1, turn.answer, UP)
        loop.call_later(1.5, turn.answer, Sample(value=None))

    monitor = bench.monitor(Handed(twice))
    # when
    monitor.arm(a_watch())
    await asyncio.sleep(60)
    # then
    assert bench.outcomes() == [True]


async def test_a_turn_that_is_forgotten_is_silence_by_its_next_turn(bench: Bench) -> None:
    # given
    forgets = Handed(lambda _: None)
    monitor = bench.monitor(forgets)
    # when
    with capture_logs() as lines:
        monitor.arm(a_watch("vm-1", polled_every(15)))
        await asyncio.sleep(120)
    # then: no turn is lost to the one before
    assert bench.outcomes() == [False]
    assert {b - a for a, b in pairwise(forgets.times()[1:])} == {15.0}
    assert [(line["event"], line.get("trouble")) for line in told_of(lines)] == [
        ("monitor.no_sample", "TimeoutError"),
        ("monitor.crossed", None),
    ]


async def test_a_late_answer_never_counts_for_the_turn_after(bench: Bench) -> None:
    # given: each answer comes when the next poll, which nobody answers, is under way
    loop = asyncio.get_running_loop()
    kept: list[Turn] = []

    def late(turn: Turn) -> None:
        if kept:
            loop.call_later(0.1, kept[-1].answer, UP)
        kept.append(turn)

    monitor = bench.monitor(Handed(late))
    # when
    monitor.arm(a_watch("vm-1", polled_every(15)))
    await asyncio.sleep(120)
    # then
    assert bench.outcomes() == [False]


async def test_a_poll_that_is_under_way_is_not_started_again(bench: Bench) -> None:
    # given: it says that it may take less than an interval, and takes a little more
    loop = asyncio.get_running_loop()

    def late(turn: Turn) -> None:
        loop.call_later(3 + OVERDUE_SECONDS / 4, turn.answer, UP)

    slow = Handed(late)
    monitor = bench.monitor(slow)
    # when
    monitor.arm(a_watch())
    await asyncio.sleep(60)
    # then
    assert bench.outcomes() == [True]
    assert all(b - a >= 3 + OVERDUE_SECONDS / 4 for a, b in pairwise(slow.times()))


async def test_a_batch_that_breaks_costs_its_own_kpis(bench: Bench) -> None:
    # given
    def breaks(_: Turn) -> None:
        raise CollectorError("no socket")

    answers = Scripted()
    broken = Handed(breaks)
    monitor = bench.monitor_of(by_metric(lambda metric: broken if metric == "bad" else answers))
    bad = replace(PING, event_name="BAD", collector=replace(PING.collector, type="bad"))
    # when
    with capture_logs() as lines:
        monitor.arm(a_watch("vm-1", bad, PING))
        monitor.arm(a_watch("vm-2", bad, PING))
        await asyncio.sleep(60)
    # then
    told = sorted((server.vm, name, holds) for _, server, name, holds, _ in bench.crossings)
    assert told == [
        ("vm-1", "BAD", False),
        ("vm-1", "VM_ALIVE", True),
        ("vm-2", "BAD", False),
        ("vm-2", "VM_ALIVE", True),
    ]
    troubles = [line for line in lines if line["event"] == "monitor.no_sample"]
    assert {(line["trouble"], line["detail"]) for line in troubles} == {
        ("CollectorError", "no socket")
    }


async def test_an_answer_for_a_vm_that_is_no_longer_watched_is_not_heard(bench: Bench) -> None:
    # given
    kept = Handed(lambda _: None)
    monitor = bench.monitor(kept)
    monitor.arm(a_watch())
    await asyncio.sleep(1)
    # when
    monitor.disarm(VmId("vm-1"))
    for _, turns in kept.batches:
        for turn in turns:
            turn.answer(UP)
    # then
    assert kept.batches
    assert bench.crossings == []


async def test_what_one_probe_tells_may_disarm_another_that_is_due(bench: Bench) -> None:
    # given: nobody measures anything, and whoever is told of it gives all VMs up
    monitor = bench.monitor(None)

    def gives_up(*_: object) -> None:
        for n in range(100):
            monitor.disarm(VmId(f"vm-{n}"))

    monitor._on_crossing = gives_up
    # when
    for n in range(100):
        monitor.arm(a_watch(f"vm-{n}"))
    await asyncio.sleep(10)
    # then
    assert len(monitor) == 0
    assert monitor._wheel._slots == {}


async def test_nothing_is_told_before_the_first_success_where_the_metric_says_so(
    bench: Bench,
) -> None:
    # given: silent for a while, then up, then lost
    quiet = replace(
        PING, collector=replace(PING.collector, properties=((EVENTS_AFTER_SUCCESS, "True"),))
    )
    monitor = bench.monitor(Scripted(alive=lambda now: 30 <= now < 60))
    # when
    monitor.arm(a_watch("vm-1", quiet))
    monitor.arm(a_watch("vm-2"))
    await asyncio.sleep(90)
    # then
    assert bench.outcomes("vm-1") == [True, False]
    assert bench.outcomes("vm-2") == [False, True, False]


async def test_a_choice_that_breaks_costs_its_own_kpi(bench: Bench) -> None:
    # given
    answers = Scripted()

    def choice(target: Target, kpi: Kpi) -> Choice:
        if target.server.vm == "vm-1":
            raise ZeroDivisionError
        return Choice(collector=answers, question=question_of(target, kpi, None))

    monitor = bench.monitor_of(choice)
    # when
    monitor.arm(a_watch("vm-1"))
    monitor.arm(a_watch("vm-2"))
    await asyncio.sleep(30)
    # then
    assert (bench.outcomes("vm-1"), bench.outcomes("vm-2")) == ([False], [True])
    assert len(answers.times("vm-2")) >= 9


async def test_who_measures_is_chosen_anew_at_each_poll(bench: Bench) -> None:
    # given: a metric that is added while the VM is watched
    there: list[Scripted] = []

    def choose() -> Select:
        def choice(target: Target, kpi: object) -> Choice | None:
            if not there:
                raise CollectorError("there is no metric x")
            return Choice(collector=there[0], question=question_of(target, PING, None))

        return choice

    monitor = bench.monitor_of(choose())
    monitor.arm(a_watch())
    await asyncio.sleep(10)
    # when
    there.append(Scripted())
    await asyncio.sleep(10)
    # then
    assert bench.outcomes() == [False, True]


async def test_a_collector_that_takes_few_at_a_time_is_given_few(bench: Bench) -> None:
    # given
    narrow = Scripted(takes=0.01, at_a_time=3)
    monitor = bench.monitor(narrow)
    # when
    for n in range(100):
        monitor.arm(a_watch(f"vm-{n}"))
    await asyncio.sleep(30)
    # then
    assert narrow.most_under_way == 3
    assert len({vm for vm, _ in narrow.polls}) == 100
