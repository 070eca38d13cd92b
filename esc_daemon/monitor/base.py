"""
The collector ports: who measures one KPI of one server.

A collector is one of two kinds. `Collector` measures one question at a time and may take its
time: the monitor gives it a task and a time-out. `BatchCollector` gets all that is due at once and
answers each when it can: for measures that are asked by the thousand a second.

MonitorError
 + CollectorError   nothing could be measured (no address, no privilege): not the guest's silence
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, runtime_checkable

from esc_daemon.domain.ids import ServerKey, VimId, vm_ids
from esc_daemon.domain.intent import Kpi
from esc_daemon.domain.secrets import is_secret
from esc_daemon.monitor.catalogue import EVENTS_AFTER_SUCCESS, Measure, Metric
from esc_daemon.monitor.wheel import TICK

SAMPLE_SECONDS: Final = 5.0
"""How long a sample may take unless the property `TIMEOUT` says otherwise; less than a poll."""

TIMEOUT: Final = "timeout_sec"
"""The property that says how many seconds a sample may take."""

_COMMUNITY: Final = "community"
"""What SNMP calls a password."""


class MonitorError(Exception):
    """Base of what this room raises."""


class CollectorError(MonitorError):
    """Nothing could be measured; the text says what is wrong and what to do."""


@dataclass(kw_only=True, slots=True, frozen=True)
class Target:
    """
    The server that is measured; *addresses* by nicid, the one it is known by first.

    *name* is the VM's, *about* what else lines of the log about it are found by.
    """

    server: ServerKey
    vim: VimId
    server_id: str
    addresses: Mapping[int, tuple[str, ...]]
    name: str = ""
    about: Mapping[str, str | None] = field(default_factory=dict, repr=False)

    @property
    def log_ids(self) -> Mapping[str, str | None]:
        """What a line of the log about it says of which VM it is about."""
        return {**self.about, **vm_ids(self.name, self.server.vm)}


@dataclass(kw_only=True, slots=True, frozen=True)
class Question:
    """
    What is to be measured: a KPI of a server, by a metric.

    *measure* None: the catalogue does not know the metric. *properties* are the metric's with the
    KPI's own in place of those of the same name; an empty one is filled in by
    `esc_daemon.monitor.filling`. The values of those that *hidden* names are shown to nobody.
    *seconds* is how long the sample may take; *loopback*: whether the manager's own may be asked.
    """

    target: Target
    kpi: Kpi
    measure: Measure | None
    properties: Mapping[str, str] = field(repr=False)
    hidden: frozenset[str] = frozenset()
    seconds: float
    loopback: bool = False

    @property
    def after_success(self) -> bool:
        """Whether the KPI tells nothing before it first holds."""
        return self.properties.get(EVENTS_AFTER_SUCCESS, "").strip().lower() == "true"


@dataclass(kw_only=True, slots=True, frozen=True)
class Sample:
    """
    One measurement; *value* None: the guest gave no answer, or not a good one.

    *detail* is for the operator, *took* are the seconds until the answer where that means anything.
    """

    value: float | str | None
    detail: str = ""
    took: float | None = None


class Turn(Protocol):
    """One question whose turn has come, to be answered once; a second answer is not heard."""

    @property
    def question(self) -> Question:
        """What is asked."""
        ...

    def answer(self, outcome: Sample | Exception) -> None:
        """Say what came of it: a sample, or why there is none; never raises."""
        ...


@runtime_checkable
class Collector(Protocol):
    """Measures one question at a time; *at_a_time* of them may be under way together."""

    at_a_time: int

    async def sample(self, question: Question) -> Sample:
        """
        Measure once. The guest's silence is a sample without a value, no error.

        The monitor puts a time-out around it and drops it by cancelling.

        Raises:
            CollectorError: It could not be asked at all.
        """
        ...


@runtime_checkable
class BatchCollector(Protocol):
    """Measures many questions together, without a task for each."""

    def start(self, turns: Sequence[Turn]) -> None:
        """
        Begin to measure; each turn is answered within its question's seconds.

        It must not block. A turn that is not answered in time is silence to the monitor, and a
        turn that `start` raises over gets that error.
        """
        ...


AnyCollector = Collector | BatchCollector


@dataclass(kw_only=True, slots=True, frozen=True)
class Choice:
    """Who is to measure, and what exactly."""

    collector: AnyCollector
    question: Question


class Offer(Protocol):
    """One way of measuring, or several, for some VIMs and some metrics."""

    def choice(self, target: Target, kpi: Kpi) -> Choice | None:
        """Return who measures *kpi* of *target* from here, or None where nobody does."""
        ...


Select = Callable[[Target, Kpi], Choice | None]


def select(*offers: Offer) -> Select:
    """Return the choice among *offers*: the first that can measure the KPI of the target."""

    def chosen(target: Target, kpi: Kpi) -> Choice | None:
        for offer in offers:
            choice = offer.choice(target, kpi)
            if choice is not None:
                return choice
        return None

    return chosen


def question_of(
    target: Target, kpi: Kpi, metric: Metric | None, *, loopback: bool = False
) -> Question:
    """
    Return what *kpi* asks of *target*, by *metric*.

    A sample has less time than an interval: one that nobody answers is over before the next turn.

    Raises:
        CollectorError: The property `TIMEOUT` is no number of seconds.

    """
    given = () if metric is None else metric.properties
    properties = {each.name: each.value for each in given}
    properties.update(kpi.collector.properties)
    hidden = {each.name for each in given if each.hidden}
    hidden |= {name for name in properties if is_secret(name) or _COMMUNITY in name.lower()}
    return Question(
        target=target,
        kpi=kpi,
        measure=None if metric is None else metric.measure,
        properties=properties,
        hidden=frozenset(hidden),
        seconds=min(_seconds(properties.get(TIMEOUT, "")), interval_of(kpi) - TICK),
        loopback=loopback,
    )


def interval_of(kpi: Kpi) -> float:
    """Return the seconds between two polls."""
    return float(max(1, kpi.collector.poll_seconds))


def _seconds(given: str) -> float:
    if not given.strip():
        return SAMPLE_SECONDS
    try:
        seconds = float(given)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < math.inf:
        raise CollectorError(f"property {TIMEOUT} should be a number of seconds, such as 3")
    return seconds
