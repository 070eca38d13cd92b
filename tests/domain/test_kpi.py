"""Thresholds, occurrences, and the KPI that speaks for life."""

import math
import struct
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from esc_daemon.domain.ids import VmGroupName
from esc_daemon.domain.intent import (
    Collector,
    Condition,
    Kpi,
    Rule,
    RuleAction,
    RuleWhen,
    VmGroup,
)
from esc_daemon.domain.kpi import (
    _WHOLE,
    FRESH,
    Crossing,
    actions,
    compare,
    decides_life,
    monitored,
    observe,
    text,
    unreadable,
)

UP, DOWN = 100.0, None


def a_kpi(
    condition: Condition = Condition.GT, threshold: str = "1", metric_type: str = "UINT32"
) -> Kpi:
    return Kpi(
        event_name="VM_ALIVE",
        threshold=threshold,
        condition=condition,
        metric_type=metric_type,
        collector=Collector(type="ICMPPing", poll_seconds=3),
    )


def needing(true: int, false: int, *, continuous: bool = False) -> Kpi:
    return replace(
        a_kpi(),
        occurrences_true=true,
        occurrences_false=false,
        collector=Collector(type="ICMPPing", continuous_alarm=continuous),
    )


def told(kpi: Kpi, samples: list[float | None]) -> list[bool | None]:
    """What each sample in turn crossed, None where it crossed nothing."""
    counter, outcomes = FRESH, []
    for value in samples:
        counter, crossing = observe(counter, kpi, value)
        outcomes.append(None if crossing is None else crossing.holds)
    return outcomes


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        (Condition.GT, [False, False, True]),
        (Condition.GE, [False, True, True]),
        (Condition.EQ, [False, True, False]),
        (Condition.LE, [True, True, False]),
        (Condition.LT, [True, False, False]),
    ],
)
@pytest.mark.parametrize("metric_type", ["INT8", "UINT32", "FLOAT", "DOUBLE", "double", "STRING"])
def test_each_condition_holds_on_its_side(
    condition: Condition, holds: list[bool], metric_type: str
) -> None:
    kpi = a_kpi(condition, "5", metric_type)
    assert [compare(kpi, value) for value in (4.0, 5.0, 6.0)] == holds
    assert [compare(kpi, value) for value in ("4", "5", "6")] == holds


@pytest.mark.parametrize("threshold", ["1", "50"])
def test_an_answered_ping_holds_with_both_thresholds_in_use(threshold: str) -> None:
    assert compare(a_kpi(Condition.GT, threshold), 100.0)
    assert not compare(a_kpi(Condition.GT, threshold), 0.0)


def test_integer_types_cut_fractions_off_and_the_others_do_not() -> None:
    assert compare(a_kpi(Condition.EQ, "5", "INT16"), 5.9)
    assert not compare(a_kpi(Condition.EQ, "5", "DOUBLE"), 5.9)
    assert compare(a_kpi(Condition.GT, "0.5", "FLOAT"), 0.6)


def test_strings_compare_as_text_and_numbers_as_numbers() -> None:
    assert compare(a_kpi(Condition.LT, "9", "STRING"), "10")
    assert compare(a_kpi(Condition.GT, "9", "UINT8"), "10")
    assert compare(a_kpi(Condition.EQ, "up", "STRING"), "up")


@pytest.mark.parametrize("condition", Condition)
@pytest.mark.parametrize(
    ("threshold", "value"), [("many", 1.0), ("1", "many"), ("nan", 1.0), ("1", float("nan"))]
)
def test_what_is_no_number_meets_no_condition(
    condition: Condition, threshold: str, value: float | str
) -> None:
    assert not compare(a_kpi(condition, threshold), value)


@pytest.mark.parametrize("threshold", ["many", "", "nan", "inf", "1_000", "0x10", "١٢", "1e999"])
@pytest.mark.parametrize("metric_type", ["INT8", "UINT32", "FLOAT", "DOUBLE"])
def test_a_threshold_that_should_be_a_number_and_is_none_is_unreadable(
    threshold: str, metric_type: str
) -> None:
    assert "is no number" in unreadable(a_kpi(threshold=threshold, metric_type=metric_type))
    assert unreadable(a_kpi(threshold=threshold, metric_type="STRING")) == ""


@pytest.mark.parametrize("bits", [8, 16, 32])
def test_a_threshold_has_to_be_within_the_range_of_its_type(bits: int) -> None:
    for metric_type, lowest in ((f"INT{bits}", -(2 ** (bits - 1))), (f"UINT{bits}", 0)):
        highest = lowest + 2**bits - 1
        for inside in (lowest, highest):
            assert unreadable(a_kpi(threshold=str(inside), metric_type=metric_type)) == ""
        for outside in (lowest - 1, highest + 1):
            wrong = unreadable(a_kpi(threshold=str(outside), metric_type=metric_type))
            assert f"{metric_type}, {lowest} to {highest}" in wrong


@given(
    st.sampled_from(["INT8", "UINT8", "INT16", "UINT16", "INT32", "UINT32"]),
    st.integers(-(10**400), 10**400) | st.floats(allow_nan=False),
    st.data(),
)
def test_a_sample_beyond_its_type_never_wraps(
    metric_type: str, value: float, data: st.DataObject
) -> None:
    # given: any threshold of the type
    lowest, highest = _WHOLE[metric_type]
    threshold = data.draw(st.integers(lowest, highest))
    # when
    held = {c for c in Condition if compare(a_kpi(c, str(threshold), metric_type), value)}
    # then: it is where its nearest neighbour within the type is
    nearest = math.trunc(min(max(value, lowest), highest))
    assert (Condition.GT in held) == (nearest > threshold)
    assert (Condition.LT in held) == (nearest < threshold)
    assert (Condition.EQ in held) == (nearest == threshold)


@given(st.floats(width=32, allow_nan=False))
def test_a_single_precision_sample_equals_its_own_text(value: float) -> None:
    assume(math.isfinite(value))
    shown = str(printed(value))
    assert compare(a_kpi(Condition.EQ, shown, "FLOAT"), value)


def printed(value: float) -> float:
    """The shortest decimal that a device would print for a value of single precision."""
    for digits in range(1, 10):
        shortest = float(f"{value:.{digits}g}")
        with suppress(OverflowError):
            if struct.pack("<f", shortest) == struct.pack("<f", value):
                return shortest
    return value


def test_single_precision_is_no_reason_for_a_miss_and_double_tells_the_difference() -> None:
    sampled = struct.unpack("<f", struct.pack("<f", 0.1))[0]
    assert compare(a_kpi(Condition.EQ, "0.1", "FLOAT"), sampled)
    assert not compare(a_kpi(Condition.EQ, "0.1", "DOUBLE"), sampled)
    assert compare(a_kpi(Condition.GT, "1", "FLOAT"), 1e300)
    assert compare(a_kpi(Condition.LT, "1", "FLOAT"), -1e300)


@pytest.mark.parametrize("words", ["1_000", "١٢", "0x10", "12 %", "1e5e5", "", "-"])
def test_words_that_only_look_like_a_number_meet_no_condition(words: str) -> None:
    assert not [c for c in Condition if compare(a_kpi(c, "0", "DOUBLE"), words)]


@given(
    st.sampled_from(["INT8", "UINT32", "FLOAT", "DOUBLE", "STRING", "?"]),
    st.sampled_from(Condition),
    st.text(max_size=8) | st.floats().map(str) | st.integers().map(str),
    st.floats() | st.text(max_size=8) | st.integers(-(10**400), 10**400),
)
def test_no_threshold_and_no_sample_is_an_error(
    metric_type: str, condition: Condition, threshold: str, value: float | str
) -> None:
    assert compare(a_kpi(condition, threshold, metric_type), value) in (True, False)


@given(st.integers(-(2**31), 2**32), st.integers(-(2**31), 2**32))
def test_exactly_one_of_less_equal_and_greater_holds(value: int, threshold: int) -> None:
    held = {c for c in Condition if compare(a_kpi(c, str(threshold), "INT32"), float(value))}
    assert held in (
        {Condition.LT, Condition.LE},
        {Condition.EQ, Condition.LE, Condition.GE},
        {Condition.GT, Condition.GE},
    )


@pytest.mark.parametrize(
    ("value", "words"), [(None, ""), (100.0, "100"), (0.5, "0.5"), ("up", "up"), (1e400, "inf")]
)
def test_a_sample_is_told_as_text(value: float | str | None, words: str) -> None:
    assert text(value) == words


def test_a_crossing_waits_for_its_occurrences() -> None:
    assert told(needing(3, 2), [UP, UP, UP, UP]) == [None, None, True, None]
    assert told(needing(3, 2), [DOWN, DOWN, DOWN]) == [None, False, None]


def test_one_other_outcome_starts_the_count_again() -> None:
    assert told(needing(2, 2), [UP, DOWN, UP, DOWN, UP, UP]) == [None] * 5 + [True]


def test_a_change_that_does_not_last_is_not_told_again() -> None:
    assert told(needing(1, 3), [UP, DOWN, DOWN, UP, UP]) == [True, None, None, None, None]


def test_a_continuous_alarm_is_told_at_every_qualifying_poll() -> None:
    kpi = needing(2, 1, continuous=True)
    assert told(kpi, [UP, UP, UP, DOWN, UP, UP]) == [None, True, True, False, None, True]


def test_no_occurrences_or_fewer_count_as_one() -> None:
    assert told(needing(0, -5), [UP, DOWN]) == [True, False]


@pytest.mark.parametrize("condition", Condition)
def test_no_sample_is_the_outcome_false_whatever_the_condition(condition: Condition) -> None:
    _, crossing = observe(FRESH, a_kpi(condition, "0"), None)
    assert crossing == Crossing(event_name="VM_ALIVE", holds=False, value="")


def test_a_counter_that_has_nothing_new_to_say_is_the_same_object() -> None:
    counter, _ = observe(FRESH, a_kpi(), UP)
    assert observe(counter, a_kpi(), UP)[0] is counter


@given(
    outcomes=st.lists(st.booleans(), max_size=40),
    true=st.integers(1, 4),
    false=st.integers(1, 4),
    continuous=st.booleans(),
)
def test_crossings_are_those_of_a_recount_from_the_beginning(
    *, outcomes: list[bool], true: int, false: int, continuous: bool
) -> None:
    # given: the definition, without a counter
    expected: list[bool | None] = []
    for n, outcome in enumerate(outcomes, 1):
        needed = true if outcome else false
        lasting = n >= needed and all(o is outcome for o in outcomes[n - needed : n])
        last = next((o for o in reversed(expected) if o is not None), None)
        expected.append(outcome if lasting and (continuous or last is not outcome) else None)
    # when
    kpi = needing(true, false, continuous=continuous)
    crossed = told(kpi, [UP if outcome else DOWN for outcome in outcomes])
    # then
    assert crossed == expected


def crossings(kpi: Kpi, story: str) -> list[tuple[int, str]]:
    """Tell which samples of *story* crossed (u up, d down, b nothing measured), and to what."""
    counter, found = FRESH, []
    for n, what in enumerate(story):
        value = {"u": UP, "d": DOWN, "b": None}[what]
        counter, crossing = observe(counter, kpi, value, blind=what == "b")
        if crossing is not None:
            found.append((n, "u" if crossing.holds else "b" if crossing.blind else "d"))
    return found


@pytest.mark.parametrize(
    ("story", "expected"),
    [
        ("ubbb", [(0, "u"), (2, "b")]),
        ("ubbdd", [(0, "u"), (2, "b"), (4, "d")]),
        ("udbbdb", [(0, "u"), (2, "b"), (4, "d")]),
        ("uddbbb", [(0, "u"), (2, "d")]),
        ("ubbubbd", [(0, "u"), (2, "b"), (3, "u"), (5, "b")]),
        ("ubudubdu", [(0, "u"), (6, "b"), (7, "u")]),
    ],
)
def test_false_is_blindness_until_silence_alone_is_long_enough(
    story: str, expected: list[tuple[int, str]]
) -> None:
    assert crossings(needing(1, 2), story) == expected


def test_a_continuous_alarm_says_at_each_poll_whether_it_was_blind() -> None:
    found = crossings(needing(1, 2, continuous=True), "ddbdbbu")
    assert found == [(1, "d"), (2, "b"), (3, "d"), (4, "b"), (5, "b"), (6, "u")]


@given(story=st.text("udb", max_size=30), false=st.integers(1, 4), continuous=st.booleans())
def test_silence_is_told_only_after_so_many_measures_since_the_last_life(
    *, story: str, false: int, continuous: bool
) -> None:
    for n, what in crossings(needing(1, false, continuous=continuous), story):
        if what == "d":
            assert story[: n + 1].rpartition("u")[2].count("d") >= false


LOG = RuleAction(when=RuleWhen.ALWAYS, name="log")
BOOTED = RuleAction(when=RuleWhen.TRUE, name="servicebooted.sh")
RECOVER = RuleAction(when=RuleWhen.FALSE, name="recover autohealing")


def rules(event_name: str, *follows: RuleAction) -> tuple[Rule, ...]:
    return (Rule(event_name=event_name, actions=follows),)


def a_group(*event_names: str, rules: tuple[Rule, ...] = (), bootup_time: int = 60) -> VmGroup:
    return VmGroup(
        name=VmGroupName("g1"),
        bootup_time=bootup_time,
        kpis=tuple(replace(a_kpi(), event_name=name) for name in event_names),
        rules=rules,
    )


def test_a_crossing_calls_for_always_and_its_own_side() -> None:
    both = rules("VM_ALIVE", LOG, BOOTED, RECOVER) + rules("LOAD", LOG)
    assert actions(both, "VM_ALIVE", holds=True) == (LOG, BOOTED)
    assert actions(both, "VM_ALIVE", holds=False) == (LOG, RECOVER)
    assert actions(both, "VM_DEAD", holds=True) == ()


@pytest.mark.parametrize(
    "name", ["servicebooted.sh", "SERVICEBOOTED.SH", "esc_vm_alive_notification"]
)
def test_the_kpi_whose_true_rule_says_booted_decides_life(name: str) -> None:
    booted = RuleAction(when=RuleWhen.TRUE, name=name)
    group = a_group("VM_ALIVE", "VM_ALIVE_TCP", rules=rules("VM_ALIVE_TCP", LOG, booted))
    assert decides_life(group) == "VM_ALIVE_TCP"


def test_a_false_rule_that_says_booted_decides_nothing() -> None:
    wrong = replace(BOOTED, when=RuleWhen.FALSE)
    assert decides_life(a_group("X", rules=rules("X", wrong))) is None


def test_a_rule_without_its_kpi_decides_nothing() -> None:
    assert decides_life(a_group("X", rules=rules("Y", BOOTED))) is None


def test_without_such_a_rule_the_kpi_named_vm_alive_decides() -> None:
    assert decides_life(a_group("LOAD", "VM_ALIVE")) == "VM_ALIVE"
    assert decides_life(a_group("LOAD", "VM_ALIVE", rules=rules("VM_ALIVE", LOG))) == "VM_ALIVE"
    assert decides_life(a_group("LOAD")) is None


def test_a_group_is_monitored_when_somebody_asks_and_waits() -> None:
    assert monitored(a_group("VM_ALIVE"))
    assert not monitored(a_group())
    assert not monitored(a_group("VM_ALIVE", bootup_time=-1))
    assert not monitored(replace(a_group("VM_ALIVE"), monitoring_enabled=False))
