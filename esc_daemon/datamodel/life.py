"""What became of a VM, as opdata shows it beside its state (seed 002; ruling 9)."""

from datetime import datetime
from enum import StrEnum
from typing import Final

from esc_daemon.datamodel.markup import inner, leaf
from esc_daemon.domain.interruption import watched
from esc_daemon.domain.policy import Attempt
from esc_daemon.domain.record import RecoveryPhase, VmRecord
from esc_daemon.domain.states import VmState

_UP: Final = frozenset({VmState.ALIVE, VmState.MONITOR_UNSET, VmState.MONITOR_DISABLED})


class MonitorState(StrEnum):
    """Whether a VM is watched, and what was found last."""

    UNSET = "unset"
    DISABLED = "disabled"
    WAITING = "waiting"
    ALIVE = "alive"
    SILENT = "silent"


def monitor_state(vm: VmRecord) -> MonitorState:
    """Return how *vm* is watched."""
    if vm.state is VmState.MONITOR_UNSET:
        return MonitorState.UNSET
    if not watched(vm):
        return MonitorState.DISABLED
    if vm.state is VmState.INERT:
        return MonitorState.WAITING
    lives = vm.state is VmState.ALIVE and vm.recovery is None
    return MonitorState.ALIVE if lives else MonitorState.SILENT


def life(vm: VmRecord) -> str:
    """
    Return ``life``.

    Before the VIM has told of the VM for the first time: why it failed, or what its tries do.
    """
    error = leaf("error", vm.error if vm.state is VmState.ERROR else None)
    if vm.server is None and vm.recovery is None:
        return inner("life", error, tried_again(vm.attempt))
    history, recovery = vm.history, vm.recovery
    up = vm.state in _UP and recovery is None
    return inner(
        "life",
        error,
        tried_again(vm.attempt),
        leaf("monitor_state", monitor_state(vm)),
        leaf("up_since", _moment(history.up_since) if up else None),
        inner(
            "last_reboot",
            leaf("time", _moment(history.rebooted)),
            leaf("cause", history.reboot_cause),
        ),
        inner(
            "last_recovery",
            leaf("ended", _moment(history.recovered)),
            leaf("outcome", history.recovery_outcome),
        ),
        inner(
            "last_update",
            leaf("time", _moment(history.updated)),
            leaf("type", history.update_type),
            leaf("outcome", history.update_outcome),
        ),
        inner(
            "last_drift",
            leaf("time", _moment(history.drifted)),
            leaf("what", history.drift),
        ),
        inner(
            "recovery",
            leaf("phase", RecoveryPhase.HELD if recovery.queued else recovery.phase),
            leaf("began", _moment(recovery.queued or recovery.began)),
            leaf("cause", recovery.cause),
            leaf("retries", recovery.rounds),
        )
        if recovery
        else "",
    )


def tried_again(attempt: Attempt | None) -> str:
    """Return why the last try failed, how many there were and when the next one is."""
    if attempt is None or attempt.error is None:
        return ""
    return (
        leaf("last_error", attempt.error)
        + leaf("tries", attempt.tries)
        + leaf("next_try", _moment(attempt.next))
    )


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
