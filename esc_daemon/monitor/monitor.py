"""
One wheel for all probes.

A probe is one KPI of one server. Probes stand on a wheel of slots of `TICK` seconds with one
timer for the whole wheel, so that an armed probe costs memory and nothing else until its turn.
Every collector has a lane of its own with a bounded number of workers: a collector that hangs
fills its own lane, never another's. Time is the loop's; nothing here is random, so a run under
a virtual clock repeats exactly.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from math import ceil, floor
from types import MappingProxyType
from typing import Final
from zlib import crc32

import structlog

from esc_daemon.domain import kpi as kpis
from esc_daemon.domain.commands import Watch
from esc_daemon.domain.ids import ServerKey, VmId
from esc_daemon.domain.intent import Kpi
from esc_daemon.monitor.base import Collector, CollectorError, Sample, Select, Target

TICK: Final = 1 / 16
"""Seconds a slot: a power of two, so that the sums of slots are exact."""

FIRST_POLL: Final = 1.0
"""The first poll of a probe comes within this many seconds, or within its poll interval."""

SAMPLE_LIMIT: Final = 5.0
"""The longest time in seconds that one sample may take."""

WORKERS: Final = 512
"""Samples that one collector takes at a time; the others wait for their turn."""

_NOTHING: Final[Mapping[str, str | None]] = MappingProxyType({})

OnCrossing = Callable[[ServerKey, str, bool, str], None]
"""Told of a crossing: the server, the KPI's event name, whether it holds, the value as text."""

log = structlog.get_logger()


@dataclass(slots=True)
class _Lane:
    """One collector's probes whose turn has come; bounded: a probe stands here at most once."""

    collector: Collector
    ready: "deque[_Probe]" = field(default_factory=deque)
    workers: int = 0


@dataclass(slots=True, eq=False)
class _Probe:
    """One KPI of one server; *busy* from its turn to its result, *due* in loop time."""

    target: Target
    kpi: Kpi
    lane: _Lane
    due: float
    interval: float
    counter: kpis.Counter = kpis.FRESH
    slot: int = 0
    polls: int = 0
    busy: bool = False
    armed: bool = True
    trouble: str | None = None
    about: Mapping[str, str | None] = field(default_factory=dict)


class _Nobody:
    """Stands in where no collector serves a metric, so that the KPI goes FALSE and says why."""

    async def sample(self, target: Target, kpi: Kpi) -> Sample:
        raise CollectorError(f"no collector measures {kpi.collector.type} on VIM {target.vim}")


class Monitor:
    """
    Keeps servers under watch and tells when one of their KPIs crosses.

    To be made inside a running loop. *collectors* chooses who measures what, *on_crossing* is
    called in the loop and must not block. Counters start at zero whenever a server is armed.
    """

    def __init__(
        self, collectors: Select, on_crossing: OnCrossing, *, workers: int = WORKERS
    ) -> None:
        self._select = collectors
        self._on_crossing = on_crossing
        self._workers = workers
        self._loop = asyncio.get_running_loop()
        self._watches: dict[VmId, tuple[Watch, tuple[_Probe, ...]]] = {}
        self._lanes: dict[int, _Lane] = {}
        self._nobody = _Nobody()
        self._slots: dict[int, dict[_Probe, None]] = {}
        self._order: list[int] = []
        self._timer: asyncio.TimerHandle | None = None
        # A dict keeps the order of arrival, which a set does not: a run must repeat exactly.
        self._tasks: dict[asyncio.Task[None], None] = {}
        self._closed = False

    def __len__(self) -> int:
        """Return the number of servers under watch."""
        return len(self._watches)

    def arm(self, watch: Watch, about: Mapping[str, str | None] = _NOTHING) -> None:
        """
        Watch the server's KPIs from now on, in place of whatever was watched of its VM.

        The same watch again changes nothing; any other one starts with fresh counters. The
        first poll comes within a second, so that a VM that is up is soon known to be alive.
        *about* is what lines of the log about it are found by.
        """
        vm = watch.server.vm
        standing = self._watches.get(vm)
        if self._closed or (standing and standing[0] == watch and standing[0].kpis == watch.kpis):
            return
        self.disarm(vm)
        target = Target(
            server=watch.server,
            vim=watch.vim,
            server_id=watch.server_id,
            addresses=dict(watch.addresses),
        )
        probes = tuple(self._probe(target, one, about) for one in watch.kpis)
        self._watches[vm] = (watch, probes)
        for probe in probes:
            self._place(probe)
        self._wind()

    def disarm(self, vm: VmId) -> None:
        """Watch the VM no longer; no error if nobody does. A sample under way is forgotten."""
        _, probes = self._watches.pop(vm, (None, ()))
        for probe in probes:
            probe.armed = False
            self._unplace(probe)

    async def close(self) -> None:
        """Watch nothing any more and let go of the samples that are under way."""
        self._closed = True
        for vm in tuple(self._watches):
            self.disarm(vm)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _probe(self, target: Target, kpi: Kpi, about: Mapping[str, str | None]) -> _Probe:
        if kpis.unreadable(kpi):
            log.warning(
                "monitor.threshold_unreadable",
                **about,
                vm=target.server.vm,
                kpi=kpi.event_name,
                threshold=kpi.threshold,
                metric_type=kpi.metric_type,
            )
        collector = self._select(target.vim, kpi.collector.type) or self._nobody
        lane = self._lanes.setdefault(id(collector), _Lane(collector))
        interval = float(max(1, kpi.collector.poll_seconds))
        soon = min(interval, FIRST_POLL) - TICK
        due = self._loop.time() + soon * _share(target.server, kpi)
        return _Probe(target=target, kpi=kpi, lane=lane, due=due, interval=interval, about=about)

    def _place(self, probe: _Probe) -> None:
        slot = probe.slot = ceil(probe.due / TICK)
        if slot not in self._slots:
            self._slots[slot] = {}
            heappush(self._order, slot)
        self._slots[slot][probe] = None

    def _unplace(self, probe: _Probe) -> None:
        slot = self._slots[probe.slot]
        del slot[probe]
        if slot:
            return
        del self._slots[probe.slot]
        # Slots that were emptied stay in the heap until they are most of it.
        if len(self._order) > 2 * len(self._slots) + 64:
            self._order = list(self._slots)
            heapify(self._order)

    def _wind(self) -> None:
        """Set the one timer to the earliest slot."""
        if not self._order:
            return
        when = self._order[0] * TICK
        if self._timer is not None:
            if self._timer.when() <= when:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(when, self._turn)

    def _turn(self) -> None:
        """Hand every probe that is due to its lane and give it its next turn."""
        self._timer = None
        now = self._loop.time()
        waiting: dict[int, _Lane] = {}
        # A timer may come early by the clock's resolution, never by half a tick.
        while self._order and self._order[0] * TICK <= now + TICK / 2:
            for probe in self._slots.pop(heappop(self._order), ()):
                self._reschedule(probe, now)
                if not probe.busy:
                    probe.busy = True
                    probe.lane.ready.append(probe)
                    waiting[id(probe.lane)] = probe.lane
        for lane in waiting.values():
            self._hire(lane)
        self._wind()

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
            room = probe.interval - min(probe.interval, FIRST_POLL)
            probe.due += (_share(probe.target.server, probe.kpi) - 0.5) * room
        if probe.due <= now:
            probe.due += (floor((now - probe.due) / probe.interval) + 1) * probe.interval
        self._place(probe)

    def _hire(self, lane: _Lane) -> None:
        for _ in range(min(self._workers - lane.workers, len(lane.ready))):
            lane.workers += 1
            task = self._loop.create_task(self._work(lane))
            self._tasks[task] = None
            task.add_done_callback(self._tasks.pop)

    async def _work(self, lane: _Lane) -> None:
        try:
            while lane.ready:
                await self._poll(lane.ready.popleft())
                if lane.ready:
                    await asyncio.sleep(0)  # a collector that never waits must not hold the loop
        finally:
            lane.workers -= 1

    async def _poll(self, probe: _Probe) -> None:
        try:
            if not probe.armed:
                return
            value, trouble, detail = await _measure(probe)
        finally:
            probe.busy = False
        if not probe.armed:
            return
        _note(probe, trouble, detail)
        probe.counter, crossing = kpis.observe(probe.counter, probe.kpi, value)
        if crossing is not None:
            self._tell(probe.target.server, crossing)

    def _tell(self, server: ServerKey, crossing: kpis.Crossing) -> None:
        try:
            self._on_crossing(server, crossing.event_name, crossing.holds, crossing.value)
        except Exception:
            # The listener's fault must not end the worker, which serves other servers too.
            log.exception("monitor.crossing_lost", vm=server.vm, kpi=crossing.event_name)


async def _measure(probe: _Probe) -> tuple[float | None, str | None, str]:
    """Return the value, the kind of trouble if there was any, and the trouble's text."""
    # A tick less than the interval: a probe that nobody answers is over before its next turn.
    limit = min(probe.interval - TICK, SAMPLE_LIMIT)
    try:
        async with asyncio.timeout(limit):
            sample = await probe.lane.collector.sample(probe.target, probe.kpi)
    except TimeoutError:
        return None, "TimeoutError", f"no sample within {limit:g} s"
    except Exception as error:  # noqa: BLE001  # a collector's fault costs only its own KPI
        return None, type(error).__name__, str(error)
    return sample.value, None, sample.detail


def _note(probe: _Probe, trouble: str | None, detail: str) -> None:
    """Log when a collector begins or ceases to fail, not at every poll."""
    if trouble == probe.trouble:
        return
    probe.trouble = trouble
    server = probe.target.server
    bound = log.bind(
        **probe.about,
        vm=server.vm,
        kpi=probe.kpi.event_name,
        metric=probe.kpi.collector.type,
    )
    if trouble is None:
        bound.info("monitor.sampled_again")
    else:
        bound.warning("monitor.no_sample", trouble=trouble, detail=detail[:200])


def _share(server: ServerKey, kpi: Kpi) -> float:
    """Return the probe's place in an interval, 0 to 1: the same in every process."""
    name = f"{server.vm} {server.generation} {kpi.event_name}"
    return crc32(name.encode()) / 2**32
