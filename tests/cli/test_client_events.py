"""Events are read from hostile text and printed as lines."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from esc_nc_cli.events import TABLE_HEAD, Event, as_row, line, printable, read_event
from esc_nc_cli.watch import OutOfTime, events, since
from tests.cli.client_world import a_notification

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def test_a_line_holds_time_type_status_subject_part_of_it_and_message() -> None:
    # given
    event = read_event(
        a_notification("VM_ALIVE", tenant="t", depname="d", vm_group="g", message="up \n again")
    )
    # then
    assert event is not None
    assert line(event, UTC) == "10:20:30 VM_ALIVE SUCCESS t/d g up again"


def test_details_stand_in_brackets_behind_the_message() -> None:
    # given: a move that left a server behind, as the daemon tells it
    left = "VM [v] of vm_group g is left in VIM old: it is locked"
    notification = a_notification("VM_UPDATED", message="VIM Locator Updated Successfully")
    event = read_event(notification.replace("</type>", f"</type><details>{left}</details>"))
    # then
    assert event is not None
    text = f"VIM Locator Updated Successfully ({left})"
    assert line(event, UTC) == f"10:20:30 VM_UPDATED SUCCESS - - {text}"
    assert as_row(event, UTC).endswith(f" {text}")


def test_missing_fields_are_dashes_and_a_bad_time_is_shown_as_none() -> None:
    event = Event(time="soon", type="CREATE_FLAVOR", status="FAILURE", message="")
    assert line(event, UTC) == "--:--:-- CREATE_FLAVOR FAILURE - -"


@pytest.mark.parametrize(
    ("leaves", "in_line", "in_row"),
    [
        ({"image": "i"}, "i -", "i"),
        ({"flavor": "f"}, "f -", "f"),
        ({"vim_connector_id": "lab"}, "lab -", "lab"),
        ({"tenant": "t", "volume": "v"}, "t v", "v"),
        ({"tenant": "t", "network": "tn"}, "t n", "n"),
        ({"tenant": "t", "network": "tn", "subnet": "tns"}, "t n/s", "n/s"),
        ({"tenant": "t", "depname": "d", "network": "tdn"}, "t/d n", "n"),
        ({"tenant": "t", "depname": "d", "network": "tdn", "subnet": "tdns"}, "t/d n/s", "n/s"),
        ({"tenant": "t", "network": "other"}, "t other", "other"),
    ],
)
def test_what_an_event_is_about_is_named(leaves: dict[str, str], in_line: str, in_row: str) -> None:
    # given: networks are told by ESC's internal ids
    event = read_event(a_notification("CREATE", **leaves))
    # then
    assert event is not None
    assert line(event, UTC) == f"10:20:30 CREATE SUCCESS {in_line} as asked"
    at = TABLE_HEAD.index("RESOURCE")
    assert as_row(event, UTC)[at:].split() == [in_row, "as", "asked"]


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("VM successfully deleted", "VM successfully deleted [d_g_0_x]"),
        ("VM successfully created, VM Name: [d_g_0_x]",) * 2,
        ("VM ID: [mine]",) * 2,
    ],
)
def test_a_vm_that_the_message_does_not_name_is_named_behind_it(message: str, told: str) -> None:
    names = "<vmname>mine</vmname><generated_vmname>d_g_0_x</generated_vmname>"
    event = read_event(a_notification("VM_UNDEPLOYED", message=message, vm_source=names))
    assert event is not None
    assert line(event, UTC) == f"10:20:30 VM_UNDEPLOYED SUCCESS - - {told}"


@pytest.mark.parametrize(
    "notification",
    [
        '<notification xmlns="urn:ietf:params:xml:ns:netconf:notification:1.0"/>',
        "not xml",
        "<!DOCTYPE x><x/>",
    ],
)
def test_what_is_no_esc_event_is_passed_over(notification: str) -> None:
    assert read_event(notification) is None


@given(st.text(max_size=80))
@settings(max_examples=100, deadline=None)
def test_a_line_is_one_line_and_commands_no_terminal(text: str) -> None:
    event = Event(time="", type="T", status="SUCCESS", message=text, tenant=text, group=text)
    shown = line(event, UTC)
    assert "\x1b" not in shown
    assert shown.isprintable()
    assert len(shown.splitlines()) == 1
    assert printable(printable(text)) == printable(text)


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("90s", "2026-11-22T11:58:30Z"),
        ("2h", "2026-11-22T10:00:00Z"),
        ("1d", "2026-11-21T12:00:00Z"),
        ("2026-11-22T12:00:00+02:00", "2026-11-22T10:00:00Z"),
        ("2026-11-22T10:00:00Z", "2026-11-22T10:00:00Z"),
    ],
)
def test_a_replay_starts_at_a_time_or_an_age(text: str, start: str) -> None:
    assert since(text, NOW) == start


@pytest.mark.parametrize("text", ["", "yesterday", "5 m", "2026-11-22T12:00:01Z", "999999999d"])
def test_a_replay_from_nowhere_or_the_future_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no time$|in the future|too long ago"):
        since(text, NOW)


def test_a_replay_time_without_zone_is_local() -> None:
    assert since("2020-01-01T00:00:00", NOW).startswith(("2019-12-31T", "2020-01-01T"))


class Clock:
    """Time moves only when somebody waits."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_events_end_with_the_deadline() -> None:
    # given
    clock = Clock()

    def silence(seconds: float) -> None:
        clock.now += seconds

    # then
    with pytest.raises(OutOfTime):
        list(events(silence, clock=clock, deadline=2.5))
    assert clock.now == 2.5


def test_what_has_come_already_is_still_yielded_when_it_is_over() -> None:
    # given
    came = iter([a_notification("A"), "noise", a_notification("B"), None, a_notification("C")])
    # when
    seen = list(events(lambda _: next(came), clock=Clock(), deadline=1, over=lambda: True))
    # then
    assert [event.type for event in seen] == ["A", "B"]


def test_a_server_that_never_falls_silent_does_not_hold_the_end_back() -> None:
    # given
    clock = Clock()

    def busy(_: float) -> str:
        clock.now += 0.3
        return a_notification("A")

    # when
    seen: Iterator[Event] = events(busy, clock=clock, deadline=None, over=lambda: True)
    # then
    assert len(list(seen)) == 4


def test_the_vm_that_scaling_made_stands_behind_the_one_that_asked_for_it() -> None:
    # given
    names = {
        each: f"<vmname>{name}</vmname><generated_vmname>{name}</generated_vmname>"
        for each, name in (("vm_source", "d_web_0_x"), ("vm_target", "d_web_1_y"))
    }
    scaled = read_event(a_notification("VM_SCALE_OUT_COMPLETE", **names))
    # and a recovery, whose target is its source
    same = dict.fromkeys(names, names["vm_source"])
    healed = read_event(a_notification("VM_RECOVERY_COMPLETE", **same))
    # and what names the new one itself
    deployed = read_event(a_notification("VM_SCALE_OUT_DEPLOYED", message="[d_web_1_y]", **names))
    # then
    assert deployed is not None
    assert deployed.text == "[d_web_1_y]"
    assert scaled is not None
    assert scaled.text == "as asked [d_web_0_x -> d_web_1_y]"
    assert healed is not None
    assert healed.text == "as asked [d_web_0_x]"


def test_an_update_of_a_vm_says_what_it_was_of() -> None:
    updated = read_event(a_notification("VM_UPDATED", vm_update_type="FLAVOR_UPDATED"))
    assert updated is not None
    assert updated.text == "as asked (FLAVOR_UPDATED)"
