"""A guest that answers when the test wants, and monitors that write down what they tell."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from structlog.typing import EventDict

from esc_daemon.domain.commands import Watch
from esc_daemon.domain.ids import ServerKey, VimId, VmId
from esc_daemon.domain.intent import Collector, Condition, Kpi
from esc_daemon.monitor.base import (
    AnyCollector,
    Choice,
    Question,
    Sample,
    Select,
    Target,
    question_of,
)
from esc_daemon.monitor.monitor import Monitor

VIM = VimId("default_sim_vim")

PING = Kpi(
    event_name="VM_ALIVE",
    threshold="1",
    condition=Condition.GT,
    collector=Collector(type="ICMPPing", nicid=0, poll_seconds=3),
)


def polled_every(seconds: int, kpi: Kpi = PING) -> Kpi:
    return replace(kpi, collector=replace(kpi.collector, poll_seconds=seconds))


def a_watch(name: str = "vm-1", *kpis: Kpi, generation: int = 0) -> Watch:
    return Watch(
        vim=VIM,
        server=ServerKey(VmId(name), generation),
        server_id=f"server of {name}",
        addresses=((0, "10.0.0.1"),),
        kpis=kpis or (PING,),
    )


@dataclass
class Scripted:
    """A collector that answers by the clock: *alive* says whether the guest does at a time."""

    alive: Callable[[float], bool] = lambda _: True
    takes: float = 0.0
    at_a_time: int = 512
    polls: list[tuple[str, float]] = field(default_factory=list)
    under_way: int = 0
    most_under_way: int = 0

    async def sample(self, question: Question) -> Sample:
        now = asyncio.get_running_loop().time()
        self.polls.append((question.target.server.vm, now))
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            if self.takes:
                await asyncio.sleep(self.takes)
        finally:
            self.under_way -= 1
        return Sample(value=100.0 if self.alive(now) else None)

    def times(self, vm: str = "vm-1") -> list[float]:
        return [time for name, time in self.polls if name == vm]


def by_metric(chosen: Callable[[str], AnyCollector | None]) -> Select:
    """Let *chosen* choose by the collector's type; the catalogue knows none of them."""

    def choice(target: Target, kpi: Kpi) -> Choice | None:
        collector = chosen(kpi.collector.type)
        if collector is None:
            return None
        return Choice(collector=collector, question=question_of(target, kpi, None))

    return choice


def told_of(lines: Sequence[EventDict]) -> list[EventDict]:
    """Return those of *lines* that a log at level info has."""
    return [line for line in lines if line["log_level"] != "debug"]


@dataclass
class Bench:
    """Makes monitors over one loop and keeps their crossings with the time of each."""

    crossings: list[tuple[float, ServerKey, str, bool, str]] = field(default_factory=list)
    blind: list[bool] = field(default_factory=list)
    """Of each crossing, whether nothing could be measured."""
    made: list[Monitor] = field(default_factory=list)

    def monitor(self, collector: AnyCollector | None, workers: int = 512) -> Monitor:
        return self.monitor_of(by_metric(lambda _: collector), workers)

    def monitor_of(self, select: Select, workers: int = 512) -> Monitor:
        loop = asyncio.get_running_loop()

        def told(
            server: ServerKey,
            event_name: str,
            holds: bool,  # noqa: FBT001
            value: str,
            blind: bool,  # noqa: FBT001
        ) -> None:
            self.blind.append(blind)
            self.crossings.append((loop.time(), server, event_name, holds, value))

        self.made.append(Monitor(select, told, workers=workers))
        return self.made[-1]

    def outcomes(self, vm: str = "vm-1") -> list[bool]:
        return [holds for _, server, _, holds, _ in self.crossings if server.vm == vm]
