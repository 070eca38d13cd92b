"""
One wheel for all probes.

A probe is one KPI of one server. Probes stand on a `Wheel`, so that an armed probe costs memory
and nothing else until its turn. Every collector has a lane of its own with a bounded number of
workers: a collector that hangs fills its own lane, never another's. What a batch collector has to
do is handed to it at once, without a task for each. Time is the loop's; nothing here is random, so
a run under a virtual clock repeats exactly.
"""

import asyncio
import math
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final
from zlib import crc32

import structlog

from esc_daemon.domain import kpi as kpis
from esc_daemon.domain.commands import Watch
from esc_daemon.domain.errors import excerpt
from esc_daemon.domain.ids import ServerKey, VmId
from esc_daemon.domain.intent import Kpi
from esc_daemon.monitor.base import (
    AnyCollector,
    BatchCollector,
    Choice,
    Collector,
    CollectorError,
    Question,
    Sample,
    Select,
    Target,
    interval_of,
)
from esc_daemon.monitor.patience import patience
from esc_daemon.monitor.troubles import Troubles
from esc_daemon.monitor.wheel import TICK, Spoke, Wheel

FIRST_POLL: Final = 1.0
"""The first poll of a probe comes within this many seconds, or within its poll interval."""

WORKERS: Final = 512
"""Samples that one collector takes at a time, or fewer; the others wait for their turn."""

OVERDUE_SECONDS: Final = 1.0
"""How much later than it said a batch collector may answer before it counts as silence."""

_LONGEST_DETAIL: Final = 200
_SILENCE: Final = TimeoutError.__name__
"""The trouble of a guest that did not answer in time: all others are the collector's."""
_NOBODY: Final = "none"
"""Among the figures, where there is no collector for a metric."""

_NOTHING: Final[Mapping[str, str | None]] = MappingProxyType({})

OnCrossing = Callable[[ServerKey, str, bool, str, bool], None]
"""
Told of a crossing: the server, the KPI's event name, whether it holds, the value as text, and
whether it does not hold only because nothing could be measured.
"""

log = structlog.get_logger()


@dataclass(slots=True, eq=False)
class _Probe(Spoke):
    """One KPI of one server; *turn* from its turn to its outcome."""

    target: Target = field(kw_only=True)
    kpi: Kpi = field(kw_only=True)
    interval: float = field(kw_only=True)
    counter: kpis.Counter = kpis.FRESH
    polls: int = 0
    turn: "_Turn | None" = None
    armed: bool = True
    held: bool = False
    trouble: str | None = None
    logged: kpis.Crossing | None = None


class Monitor:
    """
    Keeps servers under watch and tells when one of their KPIs crosses.

    To be made inside a running loop. *collectors* chooses at each poll who measures what,
    *on_crossing* is called in the loop and must not block. Counters start at zero whenever a
    server is armed.
    """

    def __init__(
        self, collectors: Select, on_crossing: OnCrossing, *, workers: int = WORKERS
    ) -> None:
        self._select = collectors
        self._on_crossing = on_crossing
        self._workers = workers
        self._loop = asyncio.get_running_loop()
        self._watches: dict[VmId, tuple[Watch, tuple[_Probe, ...]]] = {}
        self._lanes: dict[int, _Workers | _Batch] = {}
        self._wheel: Wheel[_Probe] = Wheel(self._take_turns)
        # A dict keeps the order of arrival, which a set does not: a run must repeat exactly.
        self._tasks: dict[asyncio.Task[None], None] = {}
        self._troubles = Troubles()
        self._closed = False
        self.samples: Counter[tuple[str, str]] = Counter()
        """
        Samples since the start, by collector and result: ok; silent (no good answer, or none in
        time); trouble (nothing could be measured).
        """
        self.missed = 0
        """Turns that came while the probe's last sample was still under way."""
        self.crossings = 0

    def __len__(self) -> int:
        """Return the number of servers under watch."""
        return len(self._watches)

    def arm(
        self, watch: Watch, about: Mapping[str, str | None] = _NOTHING, *, company: str = ""
    ) -> None:
        """
        Watch the server's KPIs from now on, in place of whatever was watched of its VM.

        The same watch again changes nothing; any other one starts with fresh counters. The
        first poll comes within a second, so that a VM that is up is soon known to be alive, and
        for all who are armed at once in one *company* at the same moment: what it tells of them is
        one step of their deployment. *about* is what lines of the log about it are found by.
        """
        vm = watch.server.vm
        standing = self._watches.get(vm)
        if self._closed or (standing and standing[0] == watch and standing[0].kpis == watch.kpis):
            return
        self.disarm(vm)
        target = _target(watch, about)
        probes = tuple(self._probe(target, one, company) for one in watch.kpis)
        self._watches[vm] = (watch, probes)
        for probe in probes:
            self._wheel.place(probe)
        self._wheel.wind()

    def disarm(self, vm: VmId) -> None:
        """Watch the VM no longer; no error if nobody does. A sample under way is forgotten."""
        _, probes = self._watches.pop(vm, (None, ()))
        for probe in probes:
            probe.armed = False
            probe.turn = None
            self._wheel.take(probe)

    async def close(self) -> None:
        """Watch nothing any more and let go of the samples that are under way."""
        self._closed = True
        for vm in tuple(self._watches):
            self.disarm(vm)
        self._wheel.stop()
        self._troubles.close()
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _probe(self, target: Target, kpi: Kpi, company: str) -> _Probe:
        if kpis.unreadable(kpi):
            log.warning(
                "monitor.threshold_unreadable",
                **target.log_ids,
                kpi=kpi.event_name,
                threshold=kpi.threshold,
                metric_type=kpi.metric_type,
            )
        interval = interval_of(kpi)
        soon = min(interval, FIRST_POLL) - TICK
        share = _part_of(company) if company else _share(target.server, kpi)
        due = self._loop.time() + soon * share
        return _Probe(due, target=target, kpi=kpi, interval=interval)

    def _take_turns(self, due: list[_Probe], now: float) -> None:
        """Hand every probe that is due to its collector and give it its next turn."""
        lanes: dict[int, _Workers | _Batch] = {}
        for probe in due:
            self._reschedule(probe, now)
        for probe in due:
            # What is told of one probe may disarm the next.
            if not probe.armed:
                continue
            if not _free(probe, now):
                self.missed += 1
                continue
            choice = self._choice(probe)
            if choice is None:
                continue
            lane = lanes[id(choice.collector)] = self._lane(choice.collector)
            ends = now + choice.question.seconds if isinstance(lane, _Batch) else math.inf
            turn = probe.turn = _Turn(probe, choice.question, ends, self._hear, lane.name)
            lane.ready.append(turn)
        for lane in lanes.values():
            if isinstance(lane, _Batch):
                _start(lane)
            else:
                self._hire(lane)

    def _choice(self, probe: _Probe) -> Choice | None:
        """Return who measures; where nobody can, the KPI goes FALSE and says why."""
        try:
            choice = self._select(probe.target, probe.kpi)
        except Exception as error:  # noqa: BLE001  # it must not end the turns of the others
            self.samples[_NOBODY, "trouble"] += 1
            self._observe(probe, None, type(error).__name__, str(error))
            return None
        if choice is None:
            self.samples[_NOBODY, "trouble"] += 1
            text = f"no collector measures {probe.kpi.collector.type} on VIM {probe.target.vim}"
            self._observe(probe, None, CollectorError.__name__, text)
        return choice

    def _lane(self, collector: AnyCollector) -> "_Workers | _Batch":
        lane = self._lanes.get(id(collector))
        if lane is None:
            name = type(collector).__name__
            if isinstance(collector, BatchCollector):
                lane = _Batch(collector, name)
            else:
                lane = _Workers(collector, name, min(self._workers, collector.at_a_time))
            self._lanes[id(collector)] = lane
        return lane

    def _reschedule(self, probe: _Probe, now: float) -> None:
        """
        Set the next turn one interval after this one was due.

        Turns that were missed (a busy or a suspended process) are not made up. The second turn
        comes after half to one and a half intervals: VMs that were armed together spread over
        the whole interval, while each of their first polls comes soon.
        """
        probe.polls += 1
        probe.due += probe.interval
        if probe.polls == 1:
            probe.due += (_share(probe.target.server, probe.kpi) - 0.5) * probe.interval
        if probe.due <= now:
            probe.due += (math.floor((now - probe.due) / probe.interval) + 1) * probe.interval
        self._wheel.place(probe)

    def _hire(self, lane: "_Workers") -> None:
        for _ in range(min(lane.most - lane.busy, len(lane.ready))):
            lane.busy += 1
            task = self._loop.create_task(self._work(lane))
            self._tasks[task] = None
            task.add_done_callback(self._tasks.pop)

    async def _work(self, lane: "_Workers") -> None:
        try:
            while lane.ready:
                turn = lane.ready.popleft()
                if turn.wanted:
                    turn.answer(await _measured(lane.collector, turn.question))
                if lane.ready:
                    await asyncio.sleep(0)  # a collector that never waits must not hold the loop
        finally:
            lane.busy -= 1

    def _hear(self, turn: "_Turn", outcome: "Sample | Exception") -> None:
        probe = turn.probe
        self.samples[turn.collector, _result(outcome)] += 1
        if isinstance(outcome, Sample):
            self._observe(probe, outcome.value, None, outcome.detail, turn)
        else:
            self._observe(probe, None, type(outcome).__name__, str(outcome), turn)

    def _observe(
        self,
        probe: _Probe,
        value: float | str | None,
        trouble: str | None,
        detail: str,
        turn: "_Turn | None" = None,
    ) -> None:
        detail = excerpt(detail, _LONGEST_DETAIL)
        if trouble != probe.trouble:
            self._note(probe, trouble, detail, turn.collector if turn else _NOBODY)
        blind = trouble is not None and trouble != _SILENCE
        probe.counter, crossing = kpis.observe(probe.counter, probe.kpi, value, blind=blind)
        if crossing is None:
            return
        self.crossings += 1
        if _says_more(crossing, probe.logged):
            probe.logged = crossing
            log.info(
                "monitor.crossed",
                **_about(probe),
                holds=crossing.holds,
                value=crossing.value,
                blind=crossing.blind,
                detail=detail,
            )
        probe.held = probe.held or crossing.holds
        if probe.held or turn is None or not turn.question.after_success:
            self._tell(probe.target, crossing)

    def _note(self, probe: _Probe, trouble: str | None, detail: str, collector: str) -> None:
        """Log that a collector begins or ceases to fail."""
        probe.trouble = trouble
        if trouble is None:
            self._troubles.ends(collector, _about(probe))
        else:
            self._troubles.begins(collector, trouble, detail, _about(probe))

    def _tell(self, target: Target, crossing: kpis.Crossing) -> None:
        try:
            self._on_crossing(
                target.server,
                crossing.event_name,
                crossing.holds,
                crossing.value,
                crossing.blind,
            )
        except Exception:
            # The listener's fault must not end the worker, which serves other servers too.
            log.exception("monitor.crossing_lost", **target.log_ids, kpi=crossing.event_name)


@dataclass(slots=True, eq=False)
class _Turn:
    """One poll of a probe; only the first answer to a poll that is still wanted is heard."""

    probe: _Probe
    question: Question
    ends: float
    told: "Callable[[_Turn, Sample | Exception], None]"
    collector: str

    @property
    def wanted(self) -> bool:
        return self.probe.turn is self

    def answer(self, outcome: Sample | Exception) -> None:
        """See Turn."""
        if self.probe.turn is self:
            self.probe.turn = None
            self.told(self, outcome)


@dataclass(slots=True)
class _Workers:
    """A collector with at most *most* tasks; bounded: a probe stands here at most once."""

    collector: Collector
    name: str
    most: int
    ready: deque[_Turn] = field(default_factory=deque)
    busy: int = 0


@dataclass(slots=True)
class _Batch:
    """A collector that gets all that is due at once."""

    collector: BatchCollector
    name: str
    ready: deque[_Turn] = field(default_factory=deque)


def _target(watch: Watch, about: Mapping[str, str | None]) -> Target:
    addresses: dict[int, tuple[str, ...]] = {}
    for nicid, address in watch.addresses:
        addresses[nicid] = (*addresses.get(nicid, ()), address)
    return Target(
        server=watch.server,
        vim=watch.vim,
        server_id=watch.server_id,
        addresses=addresses,
        name=watch.name,
        about=about,
    )


def _free(probe: _Probe, now: float) -> bool:
    """Tell whether the poll before is over; one that a batch collector forgot is silence."""
    turn = probe.turn
    if turn is None:
        return True
    if now < turn.ends + OVERDUE_SECONDS:
        return False
    turn.answer(_silence(turn.question))
    return True


def _start(lane: _Batch) -> None:
    turns = tuple(lane.ready)
    lane.ready.clear()
    try:
        lane.collector.start(turns)
    except Exception as error:  # noqa: BLE001  # a collector's fault costs only its own KPIs
        for turn in turns:
            turn.answer(error)


async def _measured(collector: Collector, question: Question) -> Sample | Exception:
    try:
        async with patience(question.seconds):
            return await collector.sample(question)
    except TimeoutError:
        return _silence(question)
    except Exception as error:  # noqa: BLE001  # a collector's fault costs only its own KPI
        return error


def _silence(question: Question) -> TimeoutError:
    return TimeoutError(f"no sample within {question.seconds:g} s")


def _result(outcome: Sample | Exception) -> str:
    """Return how a sample is counted: a guest that is silent is not a collector in trouble."""
    if isinstance(outcome, Sample):
        return "silent" if outcome.value is None else "ok"
    return "silent" if isinstance(outcome, TimeoutError) else "trouble"


def _says_more(crossing: kpis.Crossing, before: kpis.Crossing | None) -> bool:
    """Tell whether an operator concludes something else from *crossing* than from that *before*."""
    if before is None or crossing.holds is not before.holds:
        return True
    return before.blind and not crossing.blind  # nobody knew of the guest, and now it is silent


def _about(probe: _Probe) -> dict[str, str | None]:
    kpi = probe.kpi
    return {**probe.target.log_ids, "kpi": kpi.event_name, "metric": kpi.collector.type}


def _share(server: ServerKey, kpi: Kpi) -> float:
    """Return the probe's place in an interval, 0 to 1: the same in every process."""
    return _part_of(f"{server.vm} {server.generation} {kpi.event_name}")


def _part_of(name: str) -> float:
    return crc32(name.encode()) / 2**32
