"""What opdata says of a VM's reboots, monitoring and recoveries (seed 002; ruling 9)."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from lxml import etree

from esc_daemon.datamodel.life import life
from esc_daemon.domain.history import VmHistory
from esc_daemon.domain.ids import VimId, VmGroupName, VmId
from esc_daemon.domain.policy import Attempt
from esc_daemon.domain.record import Recovery, RecoveryPhase, VmRecord
from esc_daemon.domain.specs import ResourceHandle
from esc_daemon.domain.states import VmState

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
VM = VmRecord(
    id=VmId("46e607a8-b797-4056-96f3-42a90a63b555"),
    name="d_g_0",
    group=VmGroupName("g"),
    index=0,
    generation=1,
    state=VmState.ALIVE,
    vim=VimId("v"),
    project="p",
    server=ResourceHandle(vim=VimId("v"), resource_id="id-1"),
    history=VmHistory(up_since=NOON),
)
RECOVERY = Recovery(phase=RecoveryPhase.WAITING, cause="it was silent", began=NOON)


def said(vm: VmRecord) -> dict[str, str]:
    found = etree.fromstring(life(vm))
    return {
        f"{leaf.getparent().tag!s}/{leaf.tag!s}": leaf.text
        for leaf in found.iter()
        if not len(leaf)
    }


@pytest.mark.parametrize(
    ("state", "recovery", "monitor", "up"),
    [
        (VmState.MONITOR_UNSET, None, "unset", True),
        (VmState.MONITOR_DISABLED, None, "disabled", True),
        (VmState.INERT, None, "waiting", False),
        (VmState.ALIVE, None, "alive", True),
        (VmState.SHUTOFF, None, "disabled", False),
        (VmState.MONITOR_DISABLED, RECOVERY, "silent", False),
        (VmState.ALIVE, replace(RECOVERY, phase=RecoveryPhase.HELD), "silent", False),
        (VmState.ERROR, replace(RECOVERY, drifted=True), "disabled", False),
    ],
)
def test_how_a_vm_is_watched_and_since_when_it_is_up(
    state: VmState, recovery: Recovery | None, monitor: str, *, up: bool
) -> None:
    found = said(replace(VM, state=state, recovery=recovery))

    assert found["life/monitor_state"] == monitor
    assert ("life/up_since" in found) is up


def test_a_reboot_a_recovery_and_an_update_are_remembered() -> None:
    history = VmHistory(
        up_since=NOON,
        rebooted=NOON,
        reboot_cause="it was asked for",
        recovered=NOON,
        recovery_outcome="recovered",
        drifted=NOON,
        drift="its server was shut off in the VIM",
        updated=NOON,
        update_type="IMAGE_UPDATED",
        update_outcome="updated",
    )

    assert said(replace(VM, history=history)) == {
        "life/monitor_state": "alive",
        "life/up_since": NOON.isoformat(),
        "last_reboot/time": NOON.isoformat(),
        "last_reboot/cause": "it was asked for",
        "last_recovery/ended": NOON.isoformat(),
        "last_recovery/outcome": "recovered",
        "last_update/time": NOON.isoformat(),
        "last_update/type": "IMAGE_UPDATED",
        "last_update/outcome": "updated",
        "last_drift/time": NOON.isoformat(),
        "last_drift/what": "its server was shut off in the VIM",
    }


def test_a_recovery_under_way_says_how_far_it_is_also_while_there_is_no_server() -> None:
    recovery = replace(RECOVERY, phase=RecoveryPhase.DEPLOYING, rounds=2)
    found = said(replace(VM, state=VmState.DEPLOYING, server=None, recovery=recovery))

    assert found["recovery/phase"] == "deploying"
    assert found["recovery/retries"] == "2"
    assert found["recovery/cause"] == "it was silent"


def test_of_a_vm_that_the_vim_has_not_told_of_there_is_nothing_to_say() -> None:
    assert life(replace(VM, state=VmState.UNDEF, server=None)) == ""


@pytest.mark.parametrize("server", [None, VM.server])
def test_what_is_tried_again_says_why_also_before_the_vim_has_told_of_the_vm(
    server: ResourceHandle | None,
) -> None:
    tried = Attempt(tries=3, first=NOON, next=NOON, give_up=NOON, error="v: no answer")
    vm = replace(VM, state=VmState.DEPLOYING, server=server, attempt=tried)

    found = said(vm)

    assert found["life/last_error"] == "v: no answer"
    assert (found["life/tries"], found["life/next_try"]) == ("3", NOON.isoformat())
    # and of one that has not failed yet nothing
    assert "last_error" not in life(replace(vm, attempt=replace(tried, error=None)))


@pytest.mark.parametrize("server", [None, VM.server])
def test_a_vm_in_error_says_why_also_where_the_vim_never_made_it(
    server: ResourceHandle | None,
) -> None:
    broken = replace(VM, state=VmState.ERROR, server=server, error="VM [a] in VIM v: no host")

    assert said(broken)["life/error"] == "VM [a] in VIM v: no host"
    # and what it failed of once is nothing of a VM that is on its way again
    assert "no host" not in life(replace(broken, state=VmState.DEPLOYING))
