"""
What samples mean: thresholds, occurrences, and which KPI speaks for a VM's life.

A KPI holds a sample against its threshold; so many equal outcomes in a row make a crossing, and
the rules say what follows from it. ICMPPing yields 100 for a guest that answers, so that both
``GT 1`` and ``GT 50`` of the payloads in use hold on an answer.

A sample is read as the metric type says: a whole number that is beyond the type's range counts as
the end of that range (it never wraps), FLOAT is rounded to single precision, STRING is text. A
threshold beyond the range is one that no sample could be held against: it is refused.
"""

import math
import re
import struct
from collections.abc import Container, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, TypeVar, assert_never

from esc_daemon.domain.actions import Effect, events_with
from esc_daemon.domain.changed import quick
from esc_daemon.domain.intent import Condition, Kpi, Rule, RuleAction, RuleWhen, VmGroup

LIFE_EVENT: Final = "VM_ALIVE"
"""The event name that speaks for life where no rule says which one does."""

_Comparable = TypeVar("_Comparable", float, str)
_TEXT: Final = "STRING"
_SINGLE: Final = "FLOAT"
_WHOLE: Final = {
    "INT8": (-(2**7), 2**7 - 1),
    "INT16": (-(2**15), 2**15 - 1),
    "INT32": (-(2**31), 2**31 - 1),
    "UINT8": (0, 2**8 - 1),
    "UINT16": (0, 2**16 - 1),
    "UINT32": (0, 2**32 - 1),
}
"""The whole numbers that each integer type has."""
_NUMBER: Final = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?", re.ASCII)


@quick
@dataclass(kw_only=True, slots=True, frozen=True)
class Crossing:
    """
    A KPI became true or false; *value* is the sample as text, empty when there was none.

    *blind*: it is false because nothing could be measured, which says nothing of the guest.
    """

    event_name: str
    holds: bool
    value: str
    blind: bool = False


@quick
@dataclass(kw_only=True, slots=True, frozen=True)
class Counter:
    """
    How often the latest outcome of a KPI was seen in a row, and which one was last told.

    *count* stops at the number of occurrences that is asked for: a counter is a small value
    that no longer changes while nothing changes. *measured* are those of them that were no
    blindness, *blind*: what was last told was.
    """

    outcome: bool | None = None
    count: int = 0
    measured: int = 0
    told: bool | None = None
    blind: bool = False


FRESH: Final = Counter()


def compare(kpi: Kpi, value: float | str) -> bool:
    """
    Tell whether *value* meets the KPI's condition.

    Integer types compare whole numbers (a fraction is cut off), STRING compares by code point.
    What is no number where a number is due never meets a condition; see `unreadable`.
    """
    metric_type = kpi.metric_type.upper()
    if metric_type == _TEXT:
        return _holds(kpi.condition, text(value), kpi.threshold)
    sample, threshold = number_in(value), _threshold(metric_type, kpi.threshold)
    return (
        sample is not None
        and threshold is not None
        and _holds(kpi.condition, _read_as(metric_type, sample), threshold)
    )


@lru_cache(maxsize=1024)
def _threshold(metric_type: str, written: str) -> float | None:
    """Return a threshold as its type holds it; there are few, and each poll asks for one."""
    number = number_in(written)
    return None if number is None else _read_as(metric_type, number)


def unreadable(kpi: Kpi) -> str:
    """Return what is wrong with the threshold for the metric type; empty where nothing is."""
    return _unreadable(kpi.metric_type, kpi.threshold)


@lru_cache(maxsize=1024)
def _unreadable(written_type: str, threshold: str) -> str:
    metric_type = written_type.upper()
    if metric_type == _TEXT:
        return ""
    number = number_in(threshold)
    if number is None or math.isinf(number):
        return f"metric_value is no number, as metric_type {written_type} asks for"
    lowest, highest = _WHOLE.get(metric_type, (number, number))
    if not lowest <= math.trunc(number) <= highest and metric_type in _WHOLE:
        return f"metric_value is not one of metric_type {written_type}, {lowest} to {highest}"
    return ""


def text(value: float | str | None) -> str:
    """Return a sample as text: whole numbers without a point, no sample as the empty string."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    number = _finite_or_infinite(value)
    return str(int(number)) if math.isfinite(number) and number == int(number) else str(number)


def observe(
    counter: Counter, kpi: Kpi, value: float | str | None, *, blind: bool = False
) -> tuple[Counter, Crossing | None]:
    """
    Return the counter after one more sample, and the crossing if that makes one.

    No sample (None) is the outcome FALSE whatever the condition: who does not answer is not
    alive. *blind*: there is none because nothing could be measured. That counts as FALSE too, but
    the crossing says so, and once the occurrences are reached by silence alone it is told again.
    Without continuous_alarm only a change is a crossing, and a fresh counter's first
    result is a change either way; with it every poll is one once the occurrences are reached.
    """
    outcome = value is not None and compare(kpi, value)
    needed = max(1, kpi.occurrences_true if outcome else kpi.occurrences_false)
    before = counter if counter.outcome is outcome else FRESH
    count = min(needed, before.count + 1)
    measured = min(needed, before.measured + (not blind))
    blind = blind or measured < needed
    changed = counter.told is not outcome or (counter.blind and not blind)
    crossed = count == needed and (kpi.collector.continuous_alarm or changed)
    after = Counter(
        outcome=outcome,
        count=count,
        measured=measured,
        told=outcome if crossed else counter.told,
        blind=blind if crossed else counter.blind,
    )
    if after == counter:
        after = counter
    if not crossed:
        return after, None
    return after, Crossing(event_name=kpi.event_name, holds=outcome, value=text(value), blind=blind)


def actions(rules: Iterable[Rule], event_name: str, *, holds: bool) -> tuple[RuleAction, ...]:
    """Return what follows from a crossing, in the order of the rules: ALWAYS and its own side."""
    side = RuleWhen.TRUE if holds else RuleWhen.FALSE
    return tuple(
        action
        for rule in rules
        if rule.event_name == event_name
        for action in rule.actions
        if action.when in (RuleWhen.ALWAYS, side)
    )


def decides_life(group: VmGroup) -> str | None:
    """
    Return the event name of the KPI by which the group's VMs are alive, or None.

    It is the one whose rule has an action for life; its name is the user's choice.
    Where no rule does, a KPI that is called VM_ALIVE speaks for life.
    """
    alive = events_with(group.rules, Effect.ALIVE)
    for kpi in group.kpis:
        if kpi.event_name in alive:
            return kpi.event_name
    return next((LIFE_EVENT for kpi in group.kpis if kpi.event_name == LIFE_EVENT), None)


def monitored(group: VmGroup) -> bool:
    """Tell whether somebody watches the group's VMs; *bootup_time* -1 means "do not wait"."""
    return group.monitoring_enabled and bool(group.kpis) and group.bootup_time != -1


def seconds_to_tell(group: VmGroup, names: Container[str | None]) -> int:
    """
    Return within how many seconds the KPIs of *names* tell of a VM that lives, once it is watched.

    That is one poll more than it takes: the monitor spreads the polls, and an answer takes time.
    """
    return max(
        (
            (max(1, kpi.occurrences_true) + 1) * max(1, kpi.collector.poll_seconds)
            for kpi in group.kpis
            if kpi.event_name in names
        ),
        default=0,
    )


def number_in(value: float | str) -> float | None:
    """Return the number that *value* is or writes; digits of ASCII only, so no ``1_000``."""
    if isinstance(value, str) and not _NUMBER.fullmatch(value.strip()):
        return None
    number = float(value) if isinstance(value, str) else _finite_or_infinite(value)
    return None if math.isnan(number) else number


def _finite_or_infinite(value: float) -> float:
    try:
        return float(value)
    except OverflowError:  # an int of more than 308 digits
        return math.inf if value > 0 else -math.inf


def _read_as(metric_type: str, number: float) -> float:
    """Return *number* as the type holds it, the end of its range for what is beyond."""
    if (ends := _WHOLE.get(metric_type)) is not None:
        inside = min(max(number, ends[0]), ends[1])
        return math.trunc(inside)
    if metric_type != _SINGLE:
        return number
    try:
        rounded: float = struct.unpack("<f", struct.pack("<f", number))[0]
    except OverflowError:
        return math.copysign(math.inf, number)
    return rounded


def _holds(condition: Condition, sample: _Comparable, threshold: _Comparable) -> bool:
    match condition:
        case Condition.GT:
            return sample > threshold
        case Condition.LT:
            return sample < threshold
        case Condition.EQ:
            return sample == threshold
        case Condition.GE:
            return sample >= threshold
        case Condition.LE:
            return sample <= threshold
        case _:
            assert_never(condition)
