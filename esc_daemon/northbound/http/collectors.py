"""
The figures of the other rooms: counted there as plain numbers, read when the page is asked for.

Label values come from our own tables, or are ids of connectors, which an operator configured; of
these no more than `LABELLED` are told apart.
"""

from collections import Counter as Counts
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from platform import python_version
from time import monotonic
from typing import Final, NamedTuple, Protocol, TypeVar

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from esc_daemon.datamodel.opdata import shown
from esc_daemon.domain.guard import Why
from esc_daemon.domain.leftovers import leftovers_of
from esc_daemon.domain.record import (
    DeploymentRecord,
    Record,
    RecoveryPhase,
    ResourceRecord,
    VmRecord,
)
from esc_daemon.domain.specs import VimStatus
from esc_daemon.domain.states import ResourceState, ServiceState, VmState
from esc_daemon.engine.figures import EngineFigures
from esc_daemon.histogram import Histogram

LABELLED: Final = 64
"""Connectors that are told apart; the calls of others are counted together, as ``other``."""
LabelsT = TypeVar("LabelsT", bound=tuple[str, ...])
_COUNT_SECONDS: Final = 1.0
"""Whoever asks on and on, and needs no login, makes the loop walk all records no more often."""
_OTHER: Final = "other"
_LEFT: Final = ("vm", "network", "subnet", "image", "flavor", "volume", "tenant")
"""Kinds of leftovers that are shown when there is none, too."""
_UNCHECKED: Final = "UNCHECKED"
"""The status of a connector before its first check."""


def statuses(counts: Mapping[VimStatus | None, int]) -> Iterator[tuple[str, int]]:
    """Yield each status that a connector may have, and how many of *counts* have it, 0 too."""
    for status in VimStatus:
        yield status, counts.get(status, 0)
    yield _UNCHECKED, counts.get(None, 0)


class VimMetrics(Collector):
    """How the VIM connectors are; *counts* is asked at each look at the page."""

    def __init__(
        self, registry: CollectorRegistry, counts: Callable[[], Mapping[VimStatus | None, int]]
    ) -> None:
        self._counts = counts
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """Yield the number of connectors of each status, 0 too."""
        family = GaugeMetricFamily(
            "esc_vim_connectors", "VIM connectors by what the last check found", labels=["status"]
        )
        for status, number in statuses(self._counts()):
            family.add_metric([status], number)
        yield family


class Deployed(NamedTuple):
    """What stands, by states."""

    deployments: Counts[str]
    vms: Counts[str]
    leftovers: Counts[str]
    """By kind, as opdata names it."""
    in_error: Counts[str]
    """Resources by kind; deployments and VMs are told by their states."""
    to_recover: int
    """VMs that wait for recoveryVmAction."""


def deployed(records: Iterable[Record]) -> Deployed:
    """Return what *records* hold, in one pass: no step of a record pays for it."""
    deployments: Counts[str] = Counts()
    vms: Counts[str] = Counts()
    leftovers: Counts[str] = Counts()
    in_error: Counts[str] = Counts()
    to_recover = 0
    for record in records:
        if isinstance(record, DeploymentRecord):
            if shown(record):
                deployments[record.state] += 1
            vms.update(vm.state for vm in record.vms.values())
            to_recover += sum(map(_is_to_recover, record.vms.values()))
        elif isinstance(record, ResourceRecord) and record.state is ResourceState.ERROR:
            in_error[record.key.kind] += 1
        leftovers.update(each.kind for each in leftovers_of(record))
    return Deployed(deployments, vms, leftovers, in_error, to_recover)


def _is_to_recover(vm: VmRecord) -> bool:
    return vm.recovery is not None and vm.recovery.phase is RecoveryPhase.NEEDED


class Engine(Protocol):
    """What of an engine is shown."""

    def records(self) -> Iterable[Record]: ...
    def vim_calls(self) -> Iterable[tuple[str, str, str, int]]:
        """Return connector, kind of call, result and number, of configured connectors only."""

    def vim_durations(self) -> Iterable[tuple[str, str, str, Histogram]]:
        """Return connector, verb, result and seconds, of configured connectors only."""

    def figures(self) -> EngineFigures: ...


class DeployedOf:
    """What stands of an engine's records, counted at most once in *_COUNT_SECONDS*."""

    def __init__(self, engine: Engine, now: Callable[[], float] = monotonic) -> None:
        self._engine = engine
        self._now = now
        self._counted: Deployed | None = None
        self._until = 0.0

    def __call__(self) -> Deployed:
        """Return it as it is now, or was less than a second ago."""
        now = self._now()
        if self._counted is None or now >= self._until:
            self._counted = deployed(self._engine.records())
            self._until = now + _COUNT_SECONDS
        return self._counted


class EngineMetrics(Collector):
    """What is deployed, what the engine does, and what was asked of the VIMs."""

    def __init__(self, registry: CollectorRegistry, engine: Engine) -> None:
        self._engine = engine
        self.deployed: Final = DeployedOf(engine)
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """Yield everything, counted now."""
        there = self.deployed()
        yield _by_state("esc_deployments", "Deployments by state", ServiceState, there.deployments)
        yield _by_state("esc_vms", "VMs of deployments by state", VmState, there.vms)
        yield _leftovers(there.leftovers)
        text = "VMs that the operator is to recover: they wait for recoveryVmAction"
        yield _gauge("esc_recoveries_needed", text, there.to_recover)
        yield from self._calls()
        figures = self._engine.figures()
        yield from _engine(figures)
        yield from _broadcast(figures)
        yield from _monitor(figures)
        yield from _healing(figures)
        yield from _images(figures)

    def _calls(self) -> Iterator[Metric]:
        labels = _Labels()
        calls: Counts[tuple[str, str, str]] = Counts()
        for vim, call, result, number in self._engine.vim_calls():
            calls[labels.of(vim), call, result] += number
        yield _counter(
            "esc_vim_calls",
            "Calls to a VIM by result: ok, failed (tried again), refused",
            ("vim", "call", "result"),
            calls,
        )
        family = HistogramMetricFamily(
            "esc_vim_call_seconds",
            "Time from asking a VIM for one verb to its answer, without the wait for a turn",
            labels=["vim", "verb", "result"],
        )
        seconds: dict[tuple[str, str, str], Histogram] = {}
        for vim, verb, result, histogram in self._engine.vim_durations():
            key = labels.of(vim), verb, result
            seconds[key] = seconds[key].with_all_of(histogram) if key in seconds else histogram
        for key, histogram in seconds.items():
            family.add_metric(key, list(histogram.buckets()), histogram.total)
        yield family


class _Labels:
    def __init__(self) -> None:
        self._known: dict[str, None] = {}

    def of(self, vim: str) -> str:
        """Return what stands for the connector *vim*."""
        if vim not in self._known:
            if len(self._known) >= LABELLED:
                return _OTHER
            self._known[vim] = None
        return vim


def _engine(figures: EngineFigures) -> Iterator[Metric]:
    yield _gauge("esc_engine_records", "Records, each with a mailbox", figures.records)
    text = "What happened and is not yet told to its record"
    yield _gauge("esc_engine_triggers_waiting", text, figures.triggers_waiting)
    text = "The same, of the record that has most of it"
    yield _gauge("esc_engine_deepest_mailbox", text, figures.deepest_mailbox)
    text = "Work that waits for the answer of a VIM, or for a script of a stage"
    yield _gauge("esc_engine_calls_in_flight", text, figures.calls_in_flight)
    yield _gauge("esc_engine_timers", "Records that wait for a moment", figures.timers)
    yield _count("esc_engine_steps", "Steps of records that were stored", figures.steps)
    yield _count("esc_engine_steps_not_stored", "Steps put off by the store", figures.not_stored)
    text = "What happened and broke the engine: each is an error in the log, and a bug"
    yield _count("esc_engine_triggers_broken", text, figures.broken)


def _broadcast(figures: EngineFigures) -> Iterator[Metric]:
    text = "Number of the newest event in the event log"
    yield _gauge("esc_event_log_newest", text, figures.last_event)
    yield _gauge("esc_broadcast_listeners", "Readers of live events", figures.listeners)
    yield _gauge("esc_broadcast_lag", "Events that wait for the slowest reader", figures.lag)
    text = "Readers that were too slow"
    yield _count("esc_broadcast_dropped", text, figures.listeners_dropped)


def _monitor(figures: EngineFigures) -> Iterator[Metric]:
    yield _gauge("esc_monitor_watches", "Servers under watch", figures.watches)
    text = "Turns of probes that came before the last one had ended"
    yield _count("esc_monitor_turns_missed", text, figures.turns_missed)
    yield _count("esc_monitor_crossings", "KPIs that crossed a threshold", figures.crossings)
    yield _counter(
        "esc_monitor_samples",
        "Samples of KPIs by collector and result: ok, silent, trouble (not measured)",
        ("collector", "result"),
        figures.samples,
    )


def _healing(figures: EngineFigures) -> Iterator[Metric]:
    text = "Recoveries of VMs: under way, waiting for their turn, held by the guard"
    family = GaugeMetricFamily("esc_recoveries", text, labels=["stage"])
    for stage, number in figures.healing.recoveries.items():
        family.add_metric([stage], number)
    yield family
    text = "Why the guard holds healing, and how often: share, addresses, vim"
    family = GaugeMetricFamily("esc_guard_holds", text, labels=["reason"])
    for why in Why:
        family.add_metric([why.value], figures.healing.holds.get(why.value, 0))
    yield family
    text = "Servers that the last looks found to have drifted: gone, off, started, unknown"
    family = GaugeMetricFamily("esc_drifted_servers", text, labels=["drift"])
    for drift, number in figures.drifted.items():
        family.add_metric([drift], number)
    yield family


def _images(figures: EngineFigures) -> Iterator[Metric]:
    text = "Images whose content is on its way to a VIM"
    yield _gauge("esc_image_uploads", text, figures.uploads)
    text = "Bytes of images that VIMs took"
    yield _count("esc_image_bytes", text, figures.image_bytes)


class StoreWriter(Protocol):
    """What of a store's writer is shown."""

    seconds: Histogram
    sizes: Histogram
    failed: int

    @property
    def waiting(self) -> int: ...


class StoreMetrics(Collector):
    """How the store writes, and how big it is."""

    def __init__(self, registry: CollectorRegistry, writer: StoreWriter, database: Path) -> None:
        self._writer = writer
        self._files = {"database": database, "log": database.with_name(f"{database.name}-wal")}
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """Yield everything, looked at now."""
        writer = self._writer
        text = "Time to write and sync one batch of commits"
        yield _histogram("esc_store_batch_seconds", text, writer.seconds)
        yield _histogram("esc_store_batch_commits", "Commits of one batch", writer.sizes)
        text = "Commits that the database did not take"
        yield _count("esc_store_commits_failed", text, writer.failed)
        yield _gauge("esc_store_commits_waiting", "Commits that wait for a batch", writer.waiting)
        family = GaugeMetricFamily("esc_store_bytes", "Size of the database", labels=["file"])
        for name, file in self._files.items():
            family.add_metric([name], _size(file))
        yield family


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:  # SQLite makes and removes its log as it likes
        return 0


@dataclass(kw_only=True, slots=True, frozen=True)
class Process:
    """What of the process itself is shown; asked at each look."""

    lag: Histogram
    ready: Callable[[], bool]
    lines: Mapping[str, int]
    lines_left_out: Callable[[], int]
    lines_lost: Callable[[], int]
    events: Mapping[tuple[str, str], int]


class ProcessMetrics(Collector):
    """How the loop does, what was logged and told, and which version this is."""

    def __init__(self, registry: CollectorRegistry, process: Process) -> None:
        self._process = process
        registry.register(self)
        ProcessCollector(registry=registry)

    def collect(self) -> Iterator[Metric]:
        """Yield everything, counted now."""
        process = self._process
        text = "How late the event loop comes to what is due"
        yield _histogram("esc_loop_lag_seconds", text, process.lag)
        yield _gauge("esc_ready", "1 when /readyz says so", int(process.ready()))
        lines = {(level,): number for level, number in process.lines.items()}
        yield _counter("esc_log_lines", "Lines of the log by level", ("level",), lines)
        text = "Lines left out, since there were too many of a kind"
        yield _count("esc_log_lines_left_out", text, process.lines_left_out())
        text = "Lines that could not be written"
        yield _count("esc_log_lines_lost", text, process.lines_lost())
        text = "Events that were told since the start"
        yield _counter("esc_events_told", text, ("type", "status"), process.events)
        build = GaugeMetricFamily(
            "esc_build_info", "Always 1; which version this is", labels=["version", "python"]
        )
        build.add_metric([version("esc-daemon"), python_version()], 1)
        yield build


class Denied(Protocol):
    """How often access was denied."""

    operations: int
    data_writes: int
    notifications: int


class Throttle(Protocol):
    """How often a login had to wait."""

    refused: int


class AccessMetrics(Collector):
    """What the rules of access denied, and the brake on guessing held off."""

    def __init__(self, registry: CollectorRegistry, denied: Denied, throttle: Throttle) -> None:
        self._denied = denied
        self._throttle = throttle
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """Yield both, as they are now."""
        denied = {
            ("operation",): self._denied.operations,
            ("write",): self._denied.data_writes,
            ("notification",): self._denied.notifications,
        }
        text = "What rules of access denied (RFC 8341 section 3.5)"
        yield _counter("esc_access_denied", text, ("what",), denied)
        text = "Logins not looked at, since there were too many wrong passwords"
        yield _count("esc_logins_held_off", text, self._throttle.refused)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _count(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(name, text, value=value)


def _counter(name: str, text: str, labels: LabelsT, numbers: Mapping[LabelsT, int]) -> Metric:
    family = CounterMetricFamily(name, text, labels=labels)
    for values, number in tuple(numbers.items()):
        family.add_metric(values, number)
    return family


def _histogram(name: str, text: str, histogram: Histogram) -> Metric:
    return HistogramMetricFamily(
        name, text, buckets=list(histogram.buckets()), sum_value=histogram.total
    )


def _leftovers(counts: Counts[str]) -> Metric:
    text = "What could not be removed and is left in a VIM, by kind"
    family = GaugeMetricFamily("esc_leftovers", text, labels=["kind"])
    for kind in dict.fromkeys((*_LEFT, *counts)):
        family.add_metric([kind], counts[kind])
    return family


def _by_state(name: str, text: str, states: Iterable[str], counts: Counts[str]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=["state"])
    for state in states:
        family.add_metric([state], counts[state])
    return family
