"""
Which VMs a deployment that stands is to have: who leaves, who comes.

A group has from min_active to max_active VMs, broken ones counted. What is above leaves, those with
the highest index first; what is below is made (`placing.another_vm`).
"""

from esc_daemon.domain.changed import replace
from esc_daemon.domain.ids import VmGroupName, VmId
from esc_daemon.domain.intent import Deployment
from esc_daemon.domain.placing import another_vm
from esc_daemon.domain.record import DeploymentRecord, VmRecord


def leaving(record: DeploymentRecord, intent: Deployment) -> frozenset[VmId]:
    """Return the VMs that *intent* has no room for."""
    room = {group.name: group.scaling.max_active for group in intent.groups}
    by_group: dict[VmGroupName, list[VmRecord]] = {}
    for vm in record.vms.values():
        by_group.setdefault(vm.group, []).append(vm)
    return frozenset(
        vm.id
        for name, vms in by_group.items()
        for vm in sorted(vms, key=lambda each: each.index)[room.get(name, 0) :]
    )


def grown(record: DeploymentRecord) -> DeploymentRecord:
    """
    Return *record* with the VMs that its groups lack, none of them begun.

    Raises:
        Refused: There would be too many, or a static pool is too small.

    """
    assert record.intent is not None
    for group in record.intent.groups:
        there = sum(vm.group == group.name for vm in record.vms.values())
        need = f"min_active {group.scaling.min_active}"
        for _ in range(there, group.scaling.min_active):
            record, fresh = another_vm(record, group, need)
            record = replace(record, vms={**record.vms, fresh.id: fresh})
    return record
