"""Waiting for the end of an action, by the events that it ends in."""

from collections.abc import Callable

import pytest
from click.testing import Result

from esc_nc_cli.events import Event, read_event
from esc_nc_cli.outcome import Outcome
from tests.cli.client_world import HANG_UP, REFUSAL, FakeServer, a_notification, an_opdata

Esc = Callable[..., Result]
VM = "d_g_0_x"


def an_event(kind: str, *, status: str = "SUCCESS", vm: str | None = VM) -> Event:
    event = read_event(told(kind, status=status, vm=vm))
    assert event is not None
    return event


def told(kind: str, *, status: str = "SUCCESS", vm: str | None = VM, dep: str = "d") -> str:
    source = {} if vm is None else {"vm_source": f"<vmid>1</vmid><vmname>{vm}</vmname>"}
    return a_notification(kind, tenant="t", depname=dep, status=status, **source)


@pytest.mark.parametrize(
    ("action", "event", "decided"),
    [
        ("STOP", an_event("SERVICE_STOPPED", vm=None), True),
        ("STOP", an_event("SERVICE_STOPPED", vm=None, status="FAILURE"), False),
        ("STOP", an_event("VM_STOPPED", status="FAILURE"), None),
        ("START", an_event("SERVICE_STARTED", vm=None), True),
        ("START", an_event("SERVICE_ALIVE", vm=None), True),
        ("REBOOT", an_event("SERVICE_REBOOTED", vm=None), True),
        ("REBOOT", an_event("SERVICE_UNDEPLOYED", vm=None), False),
        ("ENABLE_MONITOR", an_event("SERVICE_ALIVE", vm=None), True),
        ("DISABLE_MONITOR", an_event("SERVICE_MONITOR_UNSET", vm=None), True),
    ],
)
def test_what_a_service_tells_decides_its_action(
    action: str, event: Event, *, decided: bool | None
) -> None:
    outcome = Outcome(action, "d", "t")
    assert outcome.concerns(event)
    outcome.observe(event)
    assert (outcome.done, bool(outcome.failures)) == (decided is True, decided is False)


@pytest.mark.parametrize(
    ("action", "event", "decided"),
    [
        ("STOP", an_event("VM_STOPPED"), True),
        ("STOP", an_event("VM_STOPPED", status="FAILURE"), False),
        ("START", an_event("VM_STARTED"), None),
        ("START", an_event("VM_STARTED", status="FAILURE"), False),
        ("START", an_event("VM_ALIVE"), True),
        # a guest that stays silent is recovered
        ("START", an_event("VM_RECOVERY_INIT"), None),
        ("START", an_event("VM_RECOVERY_COMPLETE"), True),
        ("START", an_event("VM_RECOVERY_COMPLETE", status="FAILURE"), False),
        ("START", an_event("VM_MANUAL_RECOVERY_NEEDED"), False),
        ("START", an_event("VM_UNDEPLOYED"), False),
        ("REBOOT", an_event("VM_REBOOTED", status="FAILURE"), False),
        ("REBOOT", an_event("VM_ALIVE"), True),
        ("ENABLE_MONITOR", an_event("VM_ALIVE"), None),
        ("ENABLE_MONITOR", an_event("VM_MONITOR_SET"), True),
        ("DISABLE_MONITOR", an_event("VM_MONITOR_UNSET"), True),
        ("DO", an_event("VM_RECOVERY_REBOOT", status="FAILURE"), None),
        ("DO", an_event("VM_RECOVERY_COMPLETE"), True),
        ("DO", an_event("VM_RECOVERY_CANCELLED"), True),
    ],
)
def test_what_a_vm_tells_decides_its_action(
    action: str, event: Event, *, decided: bool | None
) -> None:
    outcome = Outcome(action, VM)
    assert outcome.concerns(event)
    outcome.observe(event)
    assert (outcome.done, bool(outcome.failures)) == (decided is True, decided is False)


def test_other_vms_and_other_services_are_not_waited_for() -> None:
    other = read_event(told("SERVICE_STOPPED", vm=None, dep="e"))
    assert other is not None
    assert not Outcome("STOP", "d", "t").concerns(other)
    assert not Outcome("STOP", VM).concerns(an_event("VM_STOPPED", vm="d_g_1_y"))
    # by either of its names
    source = f"<vmname>mine</vmname><generated_vmname>{VM}</generated_vmname>"
    named = read_event(a_notification("VM_STOPPED", vm_source=source))
    assert named is not None
    assert Outcome("STOP", "mine").concerns(named)
    assert Outcome("STOP", VM).concerns(named)


def test_a_service_action_ends_with_its_event(esc: Esc, server: FakeServer) -> None:
    server.after_edit = [
        told("SERVICE_STOPPED", vm=None, dep="other"),
        told("VM_STOPPED"),
        told("SERVICE_STOPPED", vm=None),
    ]
    result = esc("svc-action", "stop", "t", "d", "--wait")
    assert result.exit_code == 0, result.output
    shown = [line.split(" ", 1)[1] for line in result.stdout.splitlines()[-2:]]
    assert shown == [
        "VM_STOPPED SUCCESS t/d - as asked [d_g_0_x]",
        "SERVICE_STOPPED SUCCESS t/d - as asked",
    ]
    assert server.operations()[:2] == ["create-subscription", "serviceAction"]


def test_a_vm_that_nobody_watches_is_looked_at(esc: Esc, server: FakeServer) -> None:
    state = an_opdata("SERVICE_ACTIVE_STATE").replace("VM_ALIVE_STATE", "VM_MONITOR_UNSET_STATE")
    server.answers = {"get": [state]}
    server.after_edit = [told("VM_REBOOTED")]
    result = esc("vm-action", "reboot", VM, "--wait", "--timeout", "20")
    assert result.exit_code == 0, result.output
    asked = server.last("get")
    assert "".join(asked.itertext()).split() == ["td"]


def test_a_vm_that_broke_after_it_was_switched_on_fails(esc: Esc, server: FakeServer) -> None:
    state = an_opdata("SERVICE_ERROR_STATE").replace("VM_ALIVE_STATE", "VM_ERROR_STATE")
    server.answers = {"get": [state]}
    server.after_edit = [told("VM_STARTED")]
    result = esc("vm-action", "start", VM, "--wait", "--timeout", "20")
    assert result.exit_code == 1
    assert f"START of VM {VM}: it is in VM_ERROR_STATE" in result.stderr


def test_a_recovery_that_failed_ends_with_1_its_text_and_its_cause(
    esc: Esc, server: FakeServer
) -> None:
    failure = told("VM_RECOVERY_COMPLETE", status="FAILURE")
    server.after_edit = [failure.replace("</type>", "</type><details>no host is up</details>")]
    result = esc("recovery-vm-action", "do", VM, "--wait")
    assert result.exit_code == 1
    expected = f"DO of VM {VM}: VM_RECOVERY_COMPLETE FAILURE: as asked [d_g_0_x] (no host is up)"
    assert expected in result.stderr


def test_a_refused_action_is_not_waited_for(esc: Esc, server: FakeServer) -> None:
    server.answers = {"vmAction": [REFUSAL]}
    result = esc("vm-action", "start", VM, "--wait", "--timeout", "20")
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("after", [[], [HANG_UP]])
def test_an_end_that_is_not_heard_of_is_no_success(
    esc: Esc, server: FakeServer, after: list[str]
) -> None:
    server.after_edit = after
    result = esc("svc-action", "start", "t", "d", "--wait", "--timeout", "0.5")
    assert result.exit_code == 4
    assert "undecided: START of deployment t/d" in result.stderr


def test_what_a_server_says_of_a_failure_begins_no_line_and_moves_no_cursor(
    esc: Esc, server: FakeServer
) -> None:
    # given
    hostile = f"no\u009b2Jroom&#13;for [{VM}]&#10;esc_nc_cli: at all"
    failure = told("VM_RECOVERY_COMPLETE", status="FAILURE")
    server.after_edit = [failure.replace("as asked", hostile)]
    # when
    result = esc("recovery-vm-action", "do", VM, "--wait")
    # then
    said = f"no 2Jroom for [{VM}] esc_nc_cli: at all"
    expected = f"esc_nc_cli: DO of VM {VM}: VM_RECOVERY_COMPLETE FAILURE: {said}"
    assert result.stderr.splitlines() == [expected]


@pytest.mark.parametrize("words", [("svc-action", "REBOOT", "t", "d"), ("vm-action", "REBOOT", VM)])
def test_who_could_not_switch_a_vm_is_told_how_it_is_recovered(
    esc: Esc, server: FakeServer, words: tuple[str, ...]
) -> None:
    # given: as of a VM that is gone from its VIM
    server.after_edit = [
        told("VM_REBOOTED", status="FAILURE"),
        told("VM_REBOOTED", status="FAILURE", vm="d_g_1_x"),
        told("SERVICE_REBOOTED", status="FAILURE", vm=None),
    ]
    # when
    result = esc(*words, "--wait")
    # then
    assert result.exit_code == 1, result.output
    last = result.stderr.splitlines()[-1]
    assert last == f"esc_nc_cli: to recover it: esc_nc_cli recovery-vm-action DO {VM}"


def test_a_service_that_fails_for_another_reason_is_not_to_be_recovered() -> None:
    outcome = Outcome("REBOOT", "d", "t")

    outcome.observe(an_event("SERVICE_REBOOTED", vm=None, status="FAILURE"))

    assert len(outcome.failures) == 1


def test_of_a_service_that_failed_without_a_vm_event_those_in_error_are_looked_up(
    esc: Esc, server: FakeServer
) -> None:
    # given: as of guests that stayed silent, and of what was never made
    state = an_opdata("SERVICE_ERROR_STATE").replace("VM_ALIVE_STATE", "VM_ERROR_STATE")
    machine = "<vm_state_machine><vm_name>other</vm_name><state>VM_{}_STATE</state>"
    others = "".join(f"{machine.format(each)}</vm_state_machine>" for each in ("ERROR", "ALIVE"))
    state = state.replace("</vm_state_machines>", f"{others}</vm_state_machines>")
    server.answers = {"get": [state]}
    server.after_edit = [told("SERVICE_STARTED", status="FAILURE", vm=None)]
    # when
    result = esc("svc-action", "START", "t", "d", "--wait")
    # then
    assert result.exit_code == 1, result.output
    advice = f"to recover it: esc_nc_cli recovery-vm-action DO {VM} (and 1 more in VM_ERROR_STATE)"
    assert result.stderr.splitlines() == [
        "esc_nc_cli: START of deployment t/d: SERVICE_STARTED FAILURE: as asked",
        f"esc_nc_cli: {advice}",
    ]


@pytest.mark.parametrize("answer", [HANG_UP, REFUSAL])
def test_a_failure_is_told_also_where_no_vm_can_be_looked_up(
    esc: Esc, server: FakeServer, answer: str
) -> None:
    server.answers = {"get": [answer]}
    server.after_edit = [told("SERVICE_STARTED", status="FAILURE", vm=None)]
    result = esc("svc-action", "START", "t", "d", "--wait")
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)


@pytest.mark.parametrize(
    ("action", "event", "advised"),
    [
        ("START", "VM_RECOVERY_COMPLETE", True),
        ("START", "VM_MANUAL_RECOVERY_NEEDED", True),
        ("START", "VM_UNDEPLOYED", False),
        ("DO", "VM_RECOVERY_COMPLETE", False),
    ],
)
def test_who_acted_on_a_vm_that_is_to_be_recovered_is_told_how(
    action: str, event: str, *, advised: bool
) -> None:
    outcome = Outcome(action, VM)
    outcome.observe(an_event(event, status="FAILURE"))
    advice = [f"to recover it: esc_nc_cli recovery-vm-action DO {VM}"] if advised else []
    assert outcome.failures[1:] == advice


def test_of_a_service_that_was_undeployed_nothing_is_to_be_recovered() -> None:
    outcome = Outcome("START", "d", "t")
    outcome.observe(an_event("SERVICE_UNDEPLOYED", vm=None))
    assert (len(outcome.failures), outcome.unexplained) == (1, False)
