"""A VIM connector: when it is checked, what its status is, what is told of it."""

from dataclasses import replace
from datetime import timedelta

import hypothesis.strategies as st
import pytest
from hypothesis import given

from esc_daemon.domain.advance import advance
from esc_daemon.domain.advance.connector import presumed_well
from esc_daemon.domain.commands import CheckVim
from esc_daemon.domain.connectors import connector_key
from esc_daemon.domain.ids import DEFAULT_VIM, Key, Kind, VimId
from esc_daemon.domain.intent import DefaultVimConnector, FileServer, VimConnector, VimUser
from esc_daemon.domain.plan import plan
from esc_daemon.domain.policy import DEFAULT_POLICY
from esc_daemon.domain.record import ConnectorRecord, ResourceRecord
from esc_daemon.domain.specs import VimStatus
from esc_daemon.domain.triggers import (
    IntentChanged,
    Restarted,
    Trigger,
    VimChecked,
    VimDoubted,
    Woken,
)
from tests.domain.pure_world import START
from tests.domain.stories import ONE, TWO

LAB = VimId("lab")
KEY = connector_key(LAB)
CONNECTOR = VimConnector(name=LAB, type="SIMULATOR")
WELL = VimStatus.CONNECTION_SUCCESSFUL
DOWN = VimStatus.CONNECTION_FAILED


def told(record, trigger: Trigger, at: float = 0.0):
    """Return the record after *trigger*, so many seconds after the start, and the events' types."""
    step = advance(KEY, record, trigger, START + timedelta(seconds=at))
    return step.record, [f"{event.type} {event.status}" for event in step.events]


def wanted(record, intent: VimConnector | None, at: float = 0.0):
    return told(record, IntentChanged(id=ONE, intent=intent), at)


def checked(record: ConnectorRecord, status: VimStatus, at: float = 0.0):
    return told(record, VimChecked(connector=record.intent, status=status), at)


def due(record: ConnectorRecord, at: float) -> bool:
    """Tell whether a check is wanted; if not, the moment of the next one is named."""
    now = START + timedelta(seconds=at)
    todo = plan(record, now)
    assert todo == plan(record, now)
    if todo.commands:
        assert todo.commands == {CheckVim(vim=LAB, connector=record.intent)}
        return True
    assert todo.wake_at is not None
    assert todo.wake_at > now
    return False


@pytest.fixture
def new() -> ConnectorRecord:
    record, events = wanted(None, CONNECTOR)
    assert events == ["CREATE_VIM_CONNECTOR SUCCESS"]
    return record


@pytest.fixture
def well(new: ConnectorRecord) -> ConnectorRecord:
    return checked(new, WELL)[0]


def test_a_new_connector_is_checked_at_once(new) -> None:
    assert new.status is None
    assert due(new, 0)


def test_what_the_first_check_finds_is_told(new) -> None:
    record, events = checked(new, WELL)

    assert events == ["VIM_OPERATIONAL_STATE SUCCESS"]
    assert (record.status, record.message) == (WELL, "Successfully connected to VIM")


@given(st.lists(st.sampled_from(VimStatus), max_size=12))
def test_a_status_is_told_when_it_is_another_one_than_before(statuses: list[VimStatus]) -> None:
    record, _ = wanted(None, CONNECTOR)
    before = None
    for at, status in enumerate(statuses):
        record, events = checked(record, status, at)
        good = "SUCCESS" if status is WELL else "FAILURE"
        expected = [] if status is before else [f"VIM_OPERATIONAL_STATE {good}"]
        assert events == expected
        before = status


def test_the_event_names_the_connector_and_what_went_wrong(well) -> None:
    found = VimChecked(connector=CONNECTOR, status=DOWN, detail="no answer within 30 s")

    step = advance(KEY, well, found, START)
    (event,) = step.events

    assert event.vim_connector_id == LAB
    assert (event.status_code, event.message) == (500, "Unable to establish VIM connection")
    assert event.details == "no answer within 30 s"
    assert isinstance(step.record, ConnectorRecord)
    assert step.record.message == "Unable to establish VIM connection: no answer within 30 s"


def test_a_connector_that_works_is_left_alone_for_the_pause(well) -> None:
    pause = DEFAULT_POLICY.check_pause.total_seconds()

    assert not due(well, pause - 1)
    assert due(well, pause)


def test_one_that_does_not_work_is_looked_at_more_often(well) -> None:
    down, _ = checked(well, DOWN, at=60)
    again = 60 + DEFAULT_POLICY.recheck_pause.total_seconds()

    assert not due(down, again - 1)
    assert due(down, again)


def test_a_pause_that_is_set_shorter_holds_for_both(new) -> None:
    policy = replace(DEFAULT_POLICY, check_pause=timedelta(seconds=2))
    found = VimChecked(connector=CONNECTOR, status=DOWN)

    down = advance(KEY, new, found, START, policy).record

    assert isinstance(down, ConnectorRecord)
    assert due(down, 2)


def test_a_change_is_checked_at_once_and_believed_until_then(well) -> None:
    moved = replace(CONNECTOR, properties=(("address", "192.0.2.1:99"),))

    record, events = wanted(well, moved, at=5)

    assert events == ["UPDATE_VIM_CONNECTOR SUCCESS"]
    assert record.status is None
    assert due(record, 5)
    assert checked(record, WELL, at=6)[1] == [], "it was told to work"
    assert checked(record, DOWN, at=6)[1] == ["VIM_OPERATIONAL_STATE FAILURE"]


def test_the_answer_to_what_has_changed_since_counts_for_nothing(well) -> None:
    moved, _ = wanted(well, replace(CONNECTOR, properties=(("a", "b"),)), at=5)

    record, events = told(moved, VimChecked(connector=CONNECTOR, status=DOWN), at=6)

    assert record is moved
    assert events == []


def test_the_same_again_changes_nothing(well) -> None:
    assert wanted(well, replace(CONNECTOR)) == (well, [])


def test_a_call_that_did_not_arrive_brings_the_next_check_forward(well) -> None:
    doubted, events = told(well, VimDoubted(), at=20)

    assert events == []
    assert due(doubted, 20)
    again, _ = told(doubted, VimDoubted(), at=20.5)
    assert again is doubted, "a check is due already"


def test_doubts_ask_for_one_check_a_second(well) -> None:
    doubted, _ = told(well, VimDoubted(), at=0.2)

    assert not due(doubted, 0.9)
    assert due(doubted, 1)


def test_one_that_may_be_back_is_checked_at_once_but_once_a_second(well) -> None:
    # given
    down, _ = checked(well, DOWN, at=60)
    # when
    early, _ = told(down, VimDoubted(back=True), at=60.2)
    late, _ = told(down, VimDoubted(back=True), at=64)
    # then
    assert not due(early, 60.9)
    assert due(early, 61)
    assert due(late, 64)
    assert told(late, VimDoubted(back=True), at=64.5)[0] is late, "a check is due already"


def test_what_agrees_with_the_last_check_is_no_doubt(well) -> None:
    down, _ = checked(well, DOWN, at=60)

    assert told(down, VimDoubted(), at=62)[0] is down
    assert told(well, VimDoubted(back=True), at=2)[0] is well


def test_after_a_restart_it_is_checked_and_only_news_are_told(well) -> None:
    record, events = told(well, Restarted(), at=7)

    assert events == []
    assert due(record, 7)
    assert checked(record, WELL, at=8)[1] == []


def test_being_woken_moves_nothing(well) -> None:
    assert told(well, Woken(), at=60)[0] is well


def test_one_that_is_presumed_to_work_tells_only_otherwise(new) -> None:
    presumed = presumed_well(new)

    assert due(presumed, 0)
    assert checked(presumed, WELL)[1] == []
    assert checked(presumed, DOWN)[1] == ["VIM_OPERATIONAL_STATE FAILURE"]


def test_it_goes_at_once_and_an_answer_after_that_is_dropped(well) -> None:
    record, events = wanted(well, None)

    assert (record, events) == (None, ["DELETE_VIM_CONNECTOR SUCCESS"])
    assert told(None, VimChecked(connector=CONNECTOR, status=DOWN)) == (None, [])
    assert wanted(None, None) == (None, [])


def user(name: str, password: str = "x") -> VimUser:
    return VimUser(name=name, credentials=(("os_password", password),))


@pytest.mark.parametrize(
    ("before", "after", "events"),
    [
        ((), (user("a"),), [("CREATE_VIM_USER", "a")]),
        ((user("a"),), (user("a", "y"),), [("UPDATE_VIM_USER", "a")]),
        ((user("a"),), (user("b"),), [("DELETE_VIM_USER", "a"), ("CREATE_VIM_USER", "b")]),
        ((user("a"), user("b")), (user("b"), user("a")), [("UPDATE_VIM_CONNECTOR", "")]),
        ((user("a"), user("b")), (user("b"),), [("DELETE_VIM_USER", "a")]),
        ((user("a"),), (user("b"), user("a")), [("CREATE_VIM_USER", "b")]),
    ],
)
def test_each_user_that_differs_is_told(before, after, events) -> None:
    record, _ = wanted(None, replace(CONNECTOR, users=before))

    step = advance(
        KEY, record, IntentChanged(id=TWO, intent=replace(CONNECTOR, users=after)), START
    )

    told_ = [(event.type.value, event.message.partition(": ")[2]) for event in step.events]
    assert told_ == events


def test_users_come_after_their_connector_and_go_before_it() -> None:
    both = replace(CONNECTOR, users=(user("a"), user("b")))

    record, came = wanted(None, both)
    _, went = wanted(record, None)

    assert [event.split()[0] for event in came] == [
        "CREATE_VIM_CONNECTOR",
        "CREATE_VIM_USER",
        "CREATE_VIM_USER",
    ]
    assert [event.split()[0] for event in went] == [
        "DELETE_VIM_USER",
        "DELETE_VIM_USER",
        "DELETE_VIM_CONNECTOR",
    ]


def test_no_text_of_a_connector_shows_a_credential() -> None:
    secret = replace(CONNECTOR, users=(user("a", "hunter2"),))
    record, _ = wanted(None, secret)

    assert "hunter2" not in repr(record)
    assert "hunter2" not in repr(plan(record, START))


def named(record, vim: str | None):
    intent = None if vim is None else DefaultVimConnector(vim_id=vim)
    step = advance(DEFAULT_VIM, record, IntentChanged(id=ONE, intent=intent), START)
    return step.record, [(event.type.value, event.vim_connector_id) for event in step.events]


def test_the_default_is_told_when_it_comes_changes_and_goes() -> None:
    first, events = named(None, "lab")
    assert events == [("CREATE_DEFAULT_VIM_CONNECTOR", "lab")]
    assert named(first, "lab") == (first, [])
    second, events = named(first, "csp")
    assert events == [("CREATE_DEFAULT_VIM_CONNECTOR", "csp")]
    assert named(second, None) == (None, [("DELETE_DEFAULT_VIM_CONNECTOR", "csp")])
    assert named(None, None) == (None, [])
    assert not plan(second, START).commands


def test_a_file_server_is_there_at_once_and_gone_at_once_and_nobody_is_told() -> None:
    key = Key(Kind.FILE_SERVER, None, "files")
    first = FileServer(name="files", base_url="http://192.0.2.1")
    steps = [advance(key, None, IntentChanged(id=ONE, intent=first), START)]
    assert steps[0].record.intent == first
    second = replace(first, base_url="http://192.0.2.2")
    for intent in (second, None):
        record = steps[-1].record
        steps.append(advance(key, record, IntentChanged(id=TWO, intent=intent), START))

    _, replaced, gone = (step.record for step in steps)
    assert isinstance(replaced, ResourceRecord)
    assert replaced.intent == replaced.made == second
    assert gone is None
    assert not any(step.events for step in steps)
    assert not plan(steps[1].record, START).commands
    assert advance(key, steps[1].record, Restarted(), START).record is steps[1].record
