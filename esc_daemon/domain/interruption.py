"""
What may be asked for while what is under way: the table that the daemon runs (docs/workflows.md).

Seed 002: only an undeploy interrupts a start or a reboot, and a stopped service is started or
undeployed. An undeploy interrupts whatever is under way, but another one.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from esc_daemon.domain.errors import Refused
from esc_daemon.domain.migration import MigrationPhase
from esc_daemon.domain.record import ActionType, DeploymentRecord, RecoveryPhase, VmRecord
from esc_daemon.domain.states import MONITORED_VM_STATES, SWITCHED_VM_STATES, ServiceState


class Activity(StrEnum):
    """What a deployment is in."""

    NOTHING = "it is active"
    BROKEN = "it is in error"
    STOPPED = "it is stopped"
    DEPLOYING = "it is being deployed"
    STOPPING = "it is being stopped"
    STARTING = "it is being started"
    REBOOTING = "it is being rebooted"
    SETTING_MONITOR = "its monitors are being set"
    SCALING = "a VM of it is being added or removed by scaling"
    UPDATING = "it is being updated"
    RECOVERING = "a VM of it is being recovered"
    VM_ACTION = "a VM of it is being started, stopped or rebooted"
    UNDEPLOYING = "it is being undeployed"


class Request(StrEnum):
    """What may be asked of a deployment, by an operator or by a KPI."""

    UPDATE = "update"
    STOP = "stop"
    START = "start"
    REBOOT = "reboot"
    MONITOR_ON = "enable monitor"
    MONITOR_OFF = "disable monitor"
    VM_ACTION = "action on one VM"
    RECOVER = "manual recovery"
    HEAL = "healing"
    SCALE_OUT = "scaling out"
    SCALE_IN = "scaling in"
    UNDEPLOY = "undeploy"


_BEFORE: Final = frozenset({RecoveryPhase.HELD, RecoveryPhase.NEEDED})
_R = Request
_A = Activity
_ALONE: Final = frozenset({_R.UNDEPLOY})
_OF_ONE_VM: Final = _ALONE | {_R.VM_ACTION, _R.RECOVER, _R.HEAL, _R.SCALE_OUT, _R.SCALE_IN}
"""What happens to one VM is no other VM's business."""

TAKEN: Final[Mapping[Activity, frozenset[Request]]] = {
    _A.NOTHING: frozenset(Request),  # a start, of VMs that were stopped each by itself
    _A.BROKEN: frozenset(Request),
    _A.STOPPED: _ALONE | {_R.START, _R.MONITOR_OFF},
    _A.DEPLOYING: _ALONE | {_R.HEAL},
    _A.STOPPING: _ALONE,
    _A.STARTING: _ALONE,
    _A.REBOOTING: _ALONE,
    _A.SETTING_MONITOR: _ALONE | {_R.HEAL},
    _A.SCALING: _OF_ONE_VM,
    # its new VMs, and those whose monitors are on again
    _A.UPDATING: _ALONE | {_R.HEAL},
    _A.RECOVERING: _OF_ONE_VM,
    _A.VM_ACTION: _OF_ONE_VM,
    _A.UNDEPLOYING: frozenset(),
}
"""What is taken; all else is refused."""

_BY_ITSELF: Final = frozenset({_R.HEAL, _R.SCALE_OUT, _R.SCALE_IN})
"""What no operator asks for."""

REQUEST_OF: Final[Mapping[ActionType, Request]] = {
    ActionType.STOP: Request.STOP,
    ActionType.START: Request.START,
    ActionType.REBOOT: Request.REBOOT,
    ActionType.ENABLE_MONITOR: Request.MONITOR_ON,
    ActionType.DISABLE_MONITOR: Request.MONITOR_OFF,
}

_ABOUT_TO_MOVE: Final = frozenset({MigrationPhase.PROVING, MigrationPhase.PROVEN})
_LOOKING: Final = frozenset({RecoveryPhase.WAITING, RecoveryPhase.NEEDED})

_OF_STATE: Final[Mapping[ServiceState, Activity]] = {
    ServiceState.UNDEF: Activity.UNDEPLOYING,
    ServiceState.DEPLOYING: Activity.DEPLOYING,
    ServiceState.INERT: Activity.DEPLOYING,
    ServiceState.STOPPING: Activity.STOPPING,
    ServiceState.STOPPED: Activity.STOPPED,
    ServiceState.STARTING: Activity.STARTING,
    ServiceState.REBOOTING: Activity.REBOOTING,
    ServiceState.UNDEPLOYING: Activity.UNDEPLOYING,
}


def activity(record: DeploymentRecord) -> Activity:
    """Return what *record* is in."""
    if record.state in _OF_STATE:
        return _OF_STATE[record.state]
    if record.update is not None:
        return Activity.UPDATING
    if record.action is not None:
        return Activity.SETTING_MONITOR
    found = {_of_vm(vm) for vm in record.vms.values()}
    for first in (Activity.SCALING, Activity.RECOVERING, Activity.VM_ACTION):
        if first in found:
            return first
    return Activity.BROKEN if record.state is ServiceState.ERROR else Activity.NOTHING


def _of_vm(vm: VmRecord) -> Activity:
    if vm.scale is not None:
        return Activity.SCALING
    if recovering(vm):
        return Activity.RECOVERING
    return Activity.VM_ACTION if vm.state in SWITCHED_VM_STATES else Activity.NOTHING


def recovering(vm: VmRecord) -> bool:
    """Tell whether a recovery of *vm* is under way; one that is yet to begin is not."""
    return vm.recovery is not None and vm.recovery.phase not in _BEFORE


def is_about_to_move(vm: VmRecord) -> bool:
    """Tell whether *vm* will move if its new VIM can have it, and nothing else may begin."""
    return vm.migration is not None and vm.migration.phase in _ABOUT_TO_MOVE


def watched(vm: VmRecord) -> bool:
    """
    Tell whether the KPIs of *vm* are watched.

    Also while its recovery waits: somebody looks whether it comes back by itself. Not of one that
    is about to move.
    """
    if vm.server is None or is_about_to_move(vm):
        return False
    recovery = vm.recovery
    waits = recovery is not None and recovery.phase in _LOOKING
    if recovery is not None and recovery.drifted and not recovery.event_name:
        waits = False  # there are no monitors: the VIM said that it is lost
    return waits or vm.state in MONITORED_VM_STATES


def takes(record: DeploymentRecord, request: Request) -> bool:
    """Tell whether *request* may be taken now."""
    return request in TAKEN[activity(record)]


def check(record: DeploymentRecord, request: Request, of_it: str | None = None) -> None:
    """
    Look whether *request* may be taken now; *of_it* is how it is called, where one VM is meant.

    Raises:
        Refused: It may not (in-use); the text says what is under way and what is taken.

    """
    now = activity(record)
    if request in TAKEN[now]:
        return
    of_a_vm = of_it is not None
    who = now.replace("it is", "its service is") if of_a_vm else now
    taken = "taken of the service" if of_a_vm else "taken"
    possible = ", ".join(sorted(TAKEN[now] - _BY_ITSELF))
    raise Refused(
        "in-use",
        f"{of_it or request} of deployment {record.key.name} cannot be taken: {who}; "
        f"{_way_out(now, request, of_a_vm=of_a_vm)}"
        f"{f' ({taken} are: {possible})' if possible else ''}",
    )


def _way_out(now: Activity, request: Request, *, of_a_vm: bool) -> str:
    """Return what to do instead; most of what is under way passes by itself."""
    match now:
        case Activity.STOPPED:  # where the start of a VM is refused, "it" would be the VM
            return "ask for serviceAction START first" if of_a_vm else "start it first"
        case Activity.UNDEPLOYING:
            return "deploy it anew"
        case Activity.RECOVERING if request is Request.UPDATE:  # a dead VIM may keep it for ever
            return "ask again when that has ended, or move it to another VIM"
        case _:
            return "ask again when that has ended"
