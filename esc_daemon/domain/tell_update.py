"""What is told of an update (ESC-WORKFLOWS section 3; rulings 1 and 10b)."""

from esc_daemon.domain.causes import vm_and
from esc_daemon.domain.changed import replace
from esc_daemon.domain.changes import LOCATOR_UPDATED
from esc_daemon.domain.events import Event, EventType
from esc_daemon.domain.ids import VimId
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
    if update_type == LOCATOR_UPDATED and cause is None:
        return vm_moved(record, vm)  # no VM had to move for it
    text = f"VM has been updated successfully. vm: VM ID: [{vm.name}]"
    if cause is not None:
        text = f"VM update failed. vm: VM ID: {vm_and(vm, cause)}"
    event = of_vm(record, vm, EventType.VM_UPDATED, text, error=cause, interfaces=True)
    return replace(event, vm_update_type=update_type or None)


def vm_moved(record: DeploymentRecord, vm: VmRecord, left: str = "") -> Event:
    """Return VM_UPDATED of a VM that has moved; *left* says what stayed in the VIM it left."""
    event = of_vm(
        record, vm, EventType.VM_UPDATED, "VIM Locator Updated Successfully", interfaces=True
    )
    return replace(event, vm_update_type=LOCATOR_UPDATED, tenant_id=None, details=left or None)


def vm_not_moved(record: DeploymentRecord, vm: VmRecord, vim: VimId, cause: str) -> Event:
    """Return VM_UPDATED FAILURE of a VM that did not come to *vim*, by its place as it is now."""
    text = f"VIM Locator update failed. vm: VM ID: {vm_and(replace(vm, vim=vim), cause)}"
    event = of_vm(record, vm, EventType.VM_UPDATED, text, error=cause, interfaces=True)
    return replace(event, vm_update_type=LOCATOR_UPDATED, tenant_id=None)


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
