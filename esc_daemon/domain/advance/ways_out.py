"""What to do instead of an action that is refused for the state it met: one short sentence each."""

from collections.abc import Mapping
from typing import Final

from esc_daemon.domain.record import ActionType, DeploymentRecord, VmRecord
from esc_daemon.domain.states import MONITORED_VM_STATES, SWITCHED_VM_STATES, VmState

LATER: Final = "ask again when that has ended"
RECOVER: Final = "ask for recoveryVmAction"
_START: Final = "START it first"
_NOT_MADE: Final = "it was not made: recover what failed before it, or deploy anew"
_NO_SERVER: Final = f"it has no server: {RECOVER}"
_UNWATCHED: Final = "nobody watches it"

_MOVING: Final = SWITCHED_VM_STATES | {VmState.DEPLOYING, VmState.UNDEPLOYING}
_OFF: Final[Mapping[ActionType, str]] = {
    ActionType.STOP: "it is off already",
    ActionType.REBOOT: _START,
    ActionType.ENABLE_MONITOR: "START it, which sets its monitors too",
    ActionType.DISABLE_MONITOR: _UNWATCHED,
}
"""Of a VM that is switched off."""
_NOT_ENABLED: Final[Mapping[VmState, str]] = {
    **dict.fromkeys(MONITORED_VM_STATES, "its monitors are set already"),
    VmState.MONITOR_UNSET: "it has no KPI that is enabled: enable one by an edit",
    VmState.ERROR: RECOVER,
}


def of_vm(vm: VmRecord, action: ActionType) -> str:
    """Return in which state *vm* is, in which *action* is refused, and what to ask for."""
    return f"it is in {vm.state}; {_of_vm(vm, action)}"


def _of_vm(vm: VmRecord, action: ActionType) -> str:
    if vm.state is VmState.UNDEF:
        return _NOT_MADE
    if vm.state in _MOVING:
        return LATER
    if vm.server is None:
        return _NO_SERVER
    if vm.state is VmState.SHUTOFF:
        return _OFF[action]
    match action:
        case ActionType.START:
            return "it runs: REBOOT starts it anew"
        case ActionType.ENABLE_MONITOR:
            return _NOT_ENABLED[vm.state]
        case _:
            return _UNWATCHED


def of_recovery(vm: VmRecord) -> str:
    """Return in which state *vm* is, in which no recovery is taken, and what to ask for."""
    ways = {VmState.SHUTOFF: _START, VmState.UNDEF: _NOT_MADE}
    return f"it is in {vm.state}; {ways.get(vm.state, LATER)}"


def of_service(record: DeploymentRecord, action: ActionType) -> str:
    """Return what to ask for where *action* has nothing to do to any VM of *record*."""
    if not any(vm.server for vm in record.vms.values()):
        return f"none has a server: {RECOVER} of each"
    match action:
        case ActionType.STOP:
            return "they are off already"
        case ActionType.REBOOT:
            return _START
        case ActionType.START:
            return "REBOOT starts them anew"
        case ActionType.ENABLE_MONITOR | ActionType.DISABLE_MONITOR:
            return "nothing is to be done"
