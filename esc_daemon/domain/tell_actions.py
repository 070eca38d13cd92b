"""What is told of actions on services and VMs (ESC-WORKFLOWS sections 4 to 6; ruling 2)."""

from collections.abc import Mapping
from typing import Final

from esc_daemon.domain.causes import vm_and
from esc_daemon.domain.events import Event, EventType
from esc_daemon.domain.record import DeploymentRecord, VmRecord, VmTask
from esc_daemon.domain.tell import of_service, of_vm, status_of

_SWITCHED: Final[Mapping[VmTask, tuple[EventType, str, str]]] = {
    VmTask.STOP: (
        EventType.VM_STOPPED,
        "VM successfully stopped",
        "Service group suspension failed",
    ),
    VmTask.START: (EventType.VM_STARTED, "VM successfully started", "VM start failed"),
    VmTask.REBOOT: (EventType.VM_REBOOTED, "VM successfully rebooted", "VM reboot failed"),
}
"""The event, its text, and the text of its failure: ESC's own for all three (sic)."""

_ALIVE: Final[Mapping[VmTask, str]] = {
    VmTask.START: "VM_Alive event received after started",
    VmTask.REBOOT: "VM_Alive event received after rebooted",
    VmTask.SET_MONITOR: "VM_Alive event received",
}


def vm_switched(record: DeploymentRecord, vm: VmRecord, cause: str | None = None) -> Event:
    """Return VM_STOPPED, VM_STARTED or VM_REBOOTED; FAILURE where there is a *cause*."""
    kind, well, badly = _SWITCHED[vm.task]
    text = well if cause is None else f"{badly}: VM {vm_and(vm, cause)}"
    return of_vm(record, vm, kind, text, error=cause)


def vm_alive_again(record: DeploymentRecord, vm: VmRecord) -> Event:
    """Return VM_ALIVE after a start, a reboot, or a setting of monitors that was asked for."""
    text = f"{_ALIVE[vm.task]}, VM ID: [{vm.name}]"
    return of_vm(record, vm, EventType.VM_ALIVE, text, interfaces=True)


def vm_monitor_set(record: DeploymentRecord, vm: VmRecord) -> Event:
    """Return VM_MONITOR_SET."""
    return of_vm(record, vm, EventType.VM_MONITOR_SET, "Set Monitoring VM successfully.")


def vm_monitor_unset(record: DeploymentRecord, vm: VmRecord) -> Event:
    """Return VM_MONITOR_UNSET."""
    return of_vm(record, vm, EventType.VM_MONITOR_UNSET, "Unset Monitoring VM successfully.")


def service_stopped(record: DeploymentRecord, error: str | None = None) -> Event:
    """Return SERVICE_STOPPED; FAILURE where there is an *error*."""
    return _ended(record, EventType.SERVICE_STOPPED, "suspension", error)


def service_started(record: DeploymentRecord, error: str | None = None) -> Event:
    """Return SERVICE_STARTED; FAILURE where there is an *error*."""
    return _ended(record, EventType.SERVICE_STARTED, "start", error)


def service_rebooted(record: DeploymentRecord, error: str | None = None) -> Event:
    """Return SERVICE_REBOOTED; FAILURE where there is an *error*."""
    return _ended(record, EventType.SERVICE_REBOOTED, "reboot", error)


def service_monitor_set(record: DeploymentRecord, error: str | None) -> Event:
    """Return SERVICE_ALIVE, which ends ENABLE_MONITOR of a service; FAILURE with an *error*."""
    text = "Service group set monitor successfully"
    if error is not None:
        text = f"Service group set monitor failed: {error}"
    return of_service(record, EventType.SERVICE_ALIVE, text, status=status_of(error))


def service_monitor_unset(record: DeploymentRecord) -> Event:
    """Return SERVICE_MONITOR_UNSET; its text is ESC's own (sic)."""
    text = "Service group suspension completed successfully"
    return of_service(record, EventType.SERVICE_MONITOR_UNSET, text)


def _ended(record: DeploymentRecord, kind: EventType, what: str, error: str | None) -> Event:
    text = f"Service group {what} completed successfully"
    if error is not None:
        text = f"Service group {what} failed: {error}"
    return of_service(record, kind, text, status=status_of(error))
