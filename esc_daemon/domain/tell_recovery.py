"""
What is told of a recovery (ESC-WORKFLOWS sections 8 and 9).

vm_source is the VM as it was when the recovery began. NSO's package takes equal vmids of vm_source
and vm_target for a reboot, and different ones for a redeploy, so vm_target is filled on success.
The texts are ESC's, so what caused a failure stands in event/details.
"""

from esc_daemon.domain.changed import replace
from esc_daemon.domain.events import Event, EventType, VmRef
from esc_daemon.domain.record import DeploymentRecord, VmRecord
from esc_daemon.domain.tell import of_vm, vm_ref


def recovery_init(record: DeploymentRecord, vm: VmRecord) -> Event:
    """Return VM_RECOVERY_INIT."""
    text = f"Recovery event for VM Generated ID [{vm.name}] triggered."
    return _of_recovery(record, vm, EventType.VM_RECOVERY_INIT, text)


def recovery_cancelled(record: DeploymentRecord, vm: VmRecord) -> Event:
    """Return VM_RECOVERY_CANCELLED: life came back before anything was done."""
    text = f"Recovery: VM [{vm.name}] is alive again, its recovery is cancelled."
    return _of_recovery(record, vm, EventType.VM_RECOVERY_CANCELLED, text)


def recovery_reboot(record: DeploymentRecord, vm: VmRecord, cause: str | None = None) -> Event:
    """Return VM_RECOVERY_REBOOT; FAILURE where there is a *cause*."""
    text = f"VM [{vm.name}] is rebooted."
    if cause is not None:
        text = f"VM [{vm.name}] failed to be rebooted."
    return _of_recovery(record, vm, EventType.VM_RECOVERY_REBOOT, text, error=cause)


def recovery_undeployed(record: DeploymentRecord, vm: VmRecord, cause: str | None = None) -> Event:
    """Return VM_RECOVERY_UNDEPLOYED; FAILURE where there is a *cause*."""
    text = f"VM [{vm.name}] has been undeployed."
    if cause is not None:
        text = f"VM [{vm.name}] failed to be undeployed."
    return _of_recovery(record, vm, EventType.VM_RECOVERY_UNDEPLOYED, text, error=cause)


def recovery_deployed(record: DeploymentRecord, vm: VmRecord, cause: str | None = None) -> Event:
    """Return VM_RECOVERY_DEPLOYED with the new server as vm_target; FAILURE for a *cause*."""
    if cause is not None:
        text = f"VM [{vm.name}] failed to be deployed."
        return _of_recovery(record, vm, EventType.VM_RECOVERY_DEPLOYED, text, error=cause)
    text = f"VM [{vm.name}] has been deployed as part of recovery."
    target = vm_ref(vm, interfaces=True)
    return _of_recovery(record, vm, EventType.VM_RECOVERY_DEPLOYED, text, target=target)


def recovery_complete(record: DeploymentRecord, vm: VmRecord, cause: str | None = None) -> Event:
    """Return VM_RECOVERY_COMPLETE; a FAILURE, for a *cause*, has only names in its vm_target."""
    if cause is None:
        text = f"Recovery: Successfully recovered VM [{vm.name}]."
        target = vm_ref(vm, interfaces=True)
        return _of_recovery(record, vm, EventType.VM_RECOVERY_COMPLETE, text, target=target)
    text = f"Recovery: Recovery completed with errors for VM: [{vm.name}]"
    target = VmRef(vmid=None, vmname=vm.name, generated_vmname=vm.name)
    return _of_recovery(
        record, vm, EventType.VM_RECOVERY_COMPLETE, text, error=cause, target=target
    )


def manual_recovery_needed(record: DeploymentRecord, vm: VmRecord, barred: str = "") -> Event:
    """Return VM_MANUAL_RECOVERY_NEEDED; *barred* says why it would be refused, and what helps."""
    assert vm.recovery is not None
    text = f"Manual recovery of VM [{vm.name}] is needed: {vm.recovery.cause}"
    if barred:
        text = f"{text}; {barred}"
    return _of_recovery(record, vm, EventType.VM_MANUAL_RECOVERY_NEEDED, text)


def manual_recovery_no_need(record: DeploymentRecord, vm: VmRecord) -> Event:
    """Return VM_MANUAL_RECOVERY_NO_NEED: it came back by itself."""
    text = f"Manual recovery of VM [{vm.name}] is no longer needed: it is alive again."
    return _of_recovery(record, vm, EventType.VM_MANUAL_RECOVERY_NO_NEED, text)


def _of_recovery(
    record: DeploymentRecord,
    vm: VmRecord,
    kind: EventType,
    text: str,
    *,
    error: str | None = None,
    target: VmRef | None = None,
) -> Event:
    assert vm.recovery is not None
    was = vm.recovery
    source = vm_ref(replace(vm, server=was.server, host_id=was.host_id, hostname=was.hostname))
    event = of_vm(record, vm, kind, text, error=error, source=source, target=target)
    return event if error is None else replace(event, details=error)
