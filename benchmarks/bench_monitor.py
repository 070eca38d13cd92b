"""
Measure the monitor: `bench_monitor.py`, or shorter `bench_monitor.py --seconds 15`.

Watches addresses of 127.0.0.0/8, all of which this machine answers itself, by ICMP, and prints
rows in Markdown for docs/benchmarks.md: the share of a core that the process takes, its time in the
kernel included. Needs CAP_NET_RAW, or a group in net.ipv4.ping_group_range.
"""

import argparse
import asyncio
import logging
import os
import resource
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address

import structlog
import uvloop

from esc_daemon.domain.commands import Watch
from esc_daemon.domain.ids import ServerKey, VimId, VmId
from esc_daemon.domain.intent import Collector, Condition, Kpi
from esc_daemon.monitor.base import AnyCollector, Question, Sample, Turn, select
from esc_daemon.monitor.catalogue import Catalogue, Measure
from esc_daemon.monitor.collectors.icmp import Icmp
from esc_daemon.monitor.measured import Measured
from esc_daemon.monitor.monitor import FIRST_POLL, Monitor

VIM = VimId("lab")
FIRST = IPv4Address("127.1.0.1")
TARGET_PERCENT = 50.0


@dataclass
class Counted:
    """Hands everything on and counts what comes back."""

    icmp: Icmp
    answered: int = 0
    silent: int = 0
    slowest: float = 0.0

    def start(self, turns: Sequence[Turn]) -> None:
        self.icmp.start([Counting(turn, self) for turn in turns])


@dataclass(slots=True)
class Counting:
    turn: Turn
    counts: Counted
    question: Question = field(init=False)

    def __post_init__(self) -> None:
        self.question = self.turn.question

    def answer(self, outcome: Sample | Exception) -> None:
        if isinstance(outcome, Sample) and outcome.value is not None:
            self.counts.answered += 1
            self.counts.slowest = max(self.counts.slowest, outcome.took or 0.0)
        else:
            self.counts.silent += 1
        self.turn.answer(outcome)


@dataclass
class OneByOne:
    """The same pings as any other collector takes its samples: a task and a time-out for each."""

    counted: Counted
    at_a_time: int = 4_096

    async def sample(self, question: Question) -> Sample:
        answered: asyncio.Future[Sample | Exception] = asyncio.get_running_loop().create_future()
        self.counted.start([Awaited(question, answered)])
        outcome = await answered
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


@dataclass(slots=True)
class Awaited:
    question: Question
    answered: "asyncio.Future[Sample | Exception]"

    def answer(self, outcome: Sample | Exception) -> None:
        if not self.answered.done():
            self.answered.set_result(outcome)


def watches(count: int, interval: int) -> Iterator[Watch]:
    kpi = Kpi(
        event_name="VM_ALIVE",
        threshold="1",
        condition=Condition.GT,
        occurrences_true=3,
        occurrences_false=3,
        collector=Collector(type="ICMPPing", poll_seconds=interval),
    )
    for n in range(count):
        yield Watch(
            vim=VIM,
            server=ServerKey(VmId(f"vm-{n:06}"), 0),
            server_id=f"server-{n}",
            addresses=((0, str(FIRST + n)),),
            kpis=(kpi,),
        )


def used() -> float:
    """Return the processor time of this process, in the kernel too."""
    now = resource.getrusage(resource.RUSAGE_SELF)
    return now.ru_utime + now.ru_stime


async def measure(options: argparse.Namespace, *, one_by_one: bool) -> bool:
    icmp = Icmp()
    counted = Counted(icmp)
    collector: AnyCollector = OneByOne(counted) if one_by_one else counted
    measured = Measured(Catalogue(), {Measure.ICMP_PING: collector}, lambda _: True, loopback=True)
    lost: list[str] = []
    monitor = Monitor(
        select(measured),
        lambda server, _name, holds, _value, _blind: None if holds else lost.append(server.vm),
    )
    before = used()
    for watch in watches(options.targets, options.interval):
        monitor.arm(watch)
    armed = used() - before
    await asyncio.sleep(FIRST_POLL + 1.5 * options.interval + 1)  # until the polls are spread
    counted.answered, counted.silent, counted.slowest = 0, 0, 0.0
    loop = asyncio.get_running_loop()
    before, began = used(), loop.time()
    await asyncio.sleep(options.seconds)
    took, lasted = used() - before, loop.time() - began
    answered, silent, slowest = counted.answered, counted.silent, counted.slowest
    await monitor.close()
    icmp.close()
    share = 100 * took / lasted
    how = ", a task for each ping" if one_by_one else ""
    print(
        f"| {options.targets:,} VMs by ICMP every {options.interval} s{how}: share of a core "
        f"| {share:.1f} % ({answered / lasted:,.0f} pings/s, "
        f"{1e6 * took / (answered + silent):.0f} us each; {silent} unanswered, "
        f"slowest {1000 * slowest:.0f} ms, armed in {armed:.2f} s) "
        f"| {'' if one_by_one else f'<= {TARGET_PERCENT:.0f} %'} |"
    )
    if lost:
        print(f"{len(lost)} VMs were told to be lost although all answer", file=sys.stderr)
    return not lost and (one_by_one or share <= TARGET_PERCENT)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--targets", type=int, default=30_000)
    parser.add_argument("--interval", type=int, default=15, help="seconds between two polls")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long to measure")
    parser.add_argument("--compare", action="store_true", help="also with a task for each ping")
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    print("| what | figure | target |\n| --- | --- | --- |")
    well = uvloop.run(measure(options, one_by_one=False))
    if options.compare:
        well = uvloop.run(measure(options, one_by_one=True)) and well
    print(f"\nload {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    sys.exit(not well)


if __name__ == "__main__":
    main()
