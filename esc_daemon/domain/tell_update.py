"""What is told of an update (ESC-WORKFLOWS section 3; rulings 1 and 10b)."""

from esc_daemon.domain.causes import vm_and
from esc_daemon.domain.changed import replace
from esc_daemon.domain.events import Event, EventType
from esc_daemon.domain.placing import group_of
from esc_daemon.domain.record import DeploymentRecord, VmRecord
from esc_daemon.domain.tell import of_service, of_vm, status_of


def service_updating(record: DeploymentRecord) -> Event:
    """Return SERVICE_UPDATING_STATE, which is told once, at the beginning."""
    text = "Service group update in progress"
    return of_service(record, EventType.SERVICE_UPDATING_STATE, text)


def vm_updated(
    record: DeploymentRecord, vm: VmRecord, update_type: str, cause: str | None = None
) -> Event:
    """Return VM_UPDATED; FAILURE where there is a *cause*. *update_type* empty: of several."""
    text = f"VM has been updated successfully. vm: VM ID: [{vm.name}]"
    if cause is not None:
        text = f"VM update failed. vm: VM ID: {vm_and(vm, cause)}"
    event = of_vm(record, vm, EventType.VM_UPDATED, text, error=cause, interfaces=True)
    return replace(event, vm_update_type=update_type or None)


def vm_software_updated(record: DeploymentRecord, vm: VmRecord) -> Event:
    """Return VM_SOFTWARE_VERSION_UPDATED: the hooks of the new software_version have run."""
    version = group_of(record, vm).software_version
    what = f"software version [{version}]" if version else "no software version"
    text = f"VM software has been updated successfully. vm: VM ID: [{vm.name}], {what}"
    return of_vm(record, vm, EventType.VM_SOFTWARE_VERSION_UPDATED, text)


def service_updated(record: DeploymentRecord, error: str | None = None) -> Event:
    """Return SERVICE_UPDATED; FAILURE where there is an *error*."""
    text = "Service group update completed successfully"
    if error is not None:
        text = f"Service group update failed: {error}"
    return of_service(record, EventType.SERVICE_UPDATED, text, status=status_of(error))
