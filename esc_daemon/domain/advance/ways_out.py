"""What to do instead of an action that is refused for the state it met: one short sentence each."""

from collections.abc import Mapping
from typing import Final

from esc_daemon.domain.record import ActionType, DeploymentRecord, RecoveryPhase, VmRecord
from esc_daemon.domain.startup import has_stopped_half_way, is_up
from esc_daemon.domain.states import MONITORED_VM_STATES, SWITCHED_VM_STATES, VmState

LATER: Final = "ask again when that has ended"
RECOVER: Final = "ask for recoveryVmAction"
_START: Final = "START it first"
_ANEW: Final = "undeploy the deployment, then deploy anew"
_NO_SERVER: Final = f"no server of it is known: {RECOVER}"
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


_BRINGS_UP: Final[Mapping[VmState, str]] = {
    VmState.ERROR: f"{RECOVER} of that one",
    VmState.SHUTOFF: "START that one",
    VmState.MONITOR_DISABLED: "ENABLE_MONITOR of that one",
}
"""What brings a VM up that others wait for."""


def of_vm(record: DeploymentRecord, vm: VmRecord, action: ActionType) -> str:
    """Return in which state *vm* is, in which *action* is refused, and what to ask for."""
    return f"it is in {vm.state}; {_of_vm(record, vm, action)}"


def _of_vm(record: DeploymentRecord, vm: VmRecord, action: ActionType) -> str:
    if vm.state is VmState.UNDEF:
        return _not_made(record)
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


def _not_made(record: DeploymentRecord) -> str:
    """Return how a VM of *record* comes that was never made: no action on itself makes it."""
    begun = (vm for vm in record.vms.values() if vm.state is not VmState.UNDEF)
    first = next((vm for vm in begun if not is_up(vm)), None)
    if first is None or not has_stopped_half_way(record):
        return f"it was not made: {_ANEW}"
    waits = first.recovery is not None and first.recovery.phase is RecoveryPhase.NEEDED
    way = _BRINGS_UP.get(VmState.ERROR if waits else first.state, LATER)
    return f"it is made when VM [{first.name}] is up: {way}"


def of_recovery(record: DeploymentRecord, vm: VmRecord) -> str:
    """Return in which state *vm* is, in which no recovery is taken, and what to ask for."""
    way = LATER
    if vm.state is VmState.SHUTOFF:
        way = _START
    elif vm.state is VmState.UNDEF:
        way = _not_made(record)
    return f"it is in {vm.state}; {way}"


def of_reboot(vm: VmRecord) -> str:
    """
    Return why *vm*, of which no server is known, cannot be recovered by reboots, and what can.

    A create that was broken off, or given up, may have taken effect all the same.
    """
    lacks = "has no server"
    if vm.unsure_until is not None:
        lacks = "may have a server that is not known, since its making was not answered"
    return (
        f"VM [{vm.name}] {lacks}, and action_on_recovery is REBOOT_ONLY; "
        f"let it be REDEPLOY_ONLY by an edit, then {RECOVER}: what there is of it is removed first"
    )


def of_service(record: DeploymentRecord, action: ActionType) -> str:
    """Return what to ask for where *action* has nothing to do to any VM of *record*."""
    if all(vm.state is VmState.UNDEF for vm in record.vms.values()):
        return f"none was made: {_ANEW}"
    if not any(vm.server for vm in record.vms.values()):
        each = f"each that is in {VmState.ERROR}, by its vm_name in opdata's state_machine"
        return f"no server of any is known: {RECOVER} of {each}"
    match action:
        case ActionType.STOP:
            return "they are off already"
        case ActionType.REBOOT:
            return _START
        case ActionType.START:
            return "REBOOT starts them anew"
        case ActionType.ENABLE_MONITOR | ActionType.DISABLE_MONITOR:
            return "nothing is to be done"
