"""
What is told of scaling (ESC-WORKFLOWS section 10).

vm_source is the VM whose KPI asked for it, which on the way in is the one that leaves; vm_target is
the new VM. NSO's package counts one up at VM_SCALE_OUT_INIT and one down at VM_SCALE_OUT_DEPLOYED,
so that is told of a VM that could not be made too, as a FAILURE.
"""

from esc_daemon.domain.events import Event, EventType
from esc_daemon.domain.record import DeploymentRecord, VmRecord
from esc_daemon.domain.tell import of_vm, vm_ref


def source_of(record: DeploymentRecord, vm: VmRecord) -> VmRecord:
    """Return the VM that asked for the scaling of *vm*, as it is now."""
    assert vm.scale is not None
    return record.vms.get(vm.scale.source, vm)


def out_init(record: DeploymentRecord, source: VmRecord) -> Event:
    """Return VM_SCALE_OUT_INIT."""
    return of_vm(record, source, EventType.VM_SCALE_OUT_INIT, "VM scale out triggered")


def out_deployed(record: DeploymentRecord, source: VmRecord, vm: VmRecord) -> Event:
    """Return VM_SCALE_OUT_DEPLOYED: the VIM made *vm*."""
    text = f"VM [{vm.name}] has been deployed as part of scale out."
    target = vm_ref(vm, interfaces=True)
    return of_vm(record, source, EventType.VM_SCALE_OUT_DEPLOYED, text, target=target)


def out_not_deployed(record: DeploymentRecord, source: VmRecord, cause: str) -> Event:
    """Return VM_SCALE_OUT_DEPLOYED FAILURE; *cause* names the VM where there is one."""
    text = f"VM failed to be deployed as part of scale out: {cause}"
    return of_vm(record, source, EventType.VM_SCALE_OUT_DEPLOYED, text, error=cause)


def out_complete(record: DeploymentRecord, source: VmRecord, vm: VmRecord) -> Event:
    """Return VM_SCALE_OUT_COMPLETE: *vm* is one of the group."""
    text = "VM scaled out successfully"
    target = vm_ref(vm, interfaces=True)
    return of_vm(record, source, EventType.VM_SCALE_OUT_COMPLETE, text, target=target)


def out_failed(record: DeploymentRecord, source: VmRecord, cause: str) -> Event:
    """Return VM_SCALE_OUT_COMPLETE FAILURE: the group is as it was."""
    text = f"VM scaled out failed: {cause}"
    return of_vm(record, source, EventType.VM_SCALE_OUT_COMPLETE, text, error=cause)


def in_init(record: DeploymentRecord, vm: VmRecord) -> Event:
    """Return VM_SCALE_IN_INIT."""
    return of_vm(record, vm, EventType.VM_SCALE_IN_INIT, "VM scale in triggered")


def in_complete(record: DeploymentRecord, vm: VmRecord, cause: str | None = None) -> Event:
    """Return VM_SCALE_IN_COMPLETE; FAILURE for a *cause*, which says that *vm* is left behind."""
    text = "VM scaled in successfully"
    if cause is not None:
        text = f"VM scaled in failed: {cause}"
    return of_vm(record, vm, EventType.VM_SCALE_IN_COMPLETE, text, error=cause)
