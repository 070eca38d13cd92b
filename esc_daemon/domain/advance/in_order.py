"""
The order of start where a service stands already (policies/startup, seed 002).

A service that is started or rebooted has its servers switched on group by group. One that failed to
be deployed goes on when the VM that the others waited for is back.
"""

from datetime import datetime, timedelta

from esc_daemon.domain.advance import operate
from esc_daemon.domain.advance.settling import entered, operation
from esc_daemon.domain.changed import replace
from esc_daemon.domain.ids import VmGroupName
from esc_daemon.domain.interruption import Activity, activity
from esc_daemon.domain.machine import next_state
from esc_daemon.domain.placing import group_of
from esc_daemon.domain.policy import Policy
from esc_daemon.domain.policy import begin as begin_attempt
from esc_daemon.domain.record import DeploymentRecord, OperationType, VmRecord
from esc_daemon.domain.specs import Power
from esc_daemon.domain.startup import (
    UP,
    Turn,
    booted,
    has_stopped_half_way,
    is_up,
    turns_to_switch,
    waits_for,
)
from esc_daemon.domain.states import (
    SERVICE_LIFECYCLE,
    OperationMove,
    ServiceMove,
    VmState,
)
from esc_daemon.domain.step import Step


def followed(step: Step, now: datetime, policy: Policy) -> Step:
    """Return *step* with what the order of start makes of it."""
    if step.before is step.record:
        return step
    return _resumed(_switched_on(step, now, policy), now)


def _switched_on(step: Step, now: datetime, policy: Policy) -> Step:
    """Switch on the servers whose turn has come; a VM whose turn never comes has failed."""
    record = step.record
    if not isinstance(record, DeploymentRecord) or record.action is None:
        return step
    waiting = [vm for vm in record.vms.values() if operate.waits_for_turn(vm)]
    if not waiting:
        return step
    turn = turns_to_switch(record)
    come = {
        vm.id: operate.switched_to(vm, Power.ON, begin_attempt(now, policy))
        for vm in waiting
        if turn.get(vm.group, Turn.COME) is Turn.COME
    }
    if come:
        step = replace(step, record=replace(record, vms={**record.vms, **come}))
    for vm in waiting:
        if turn.get(vm.group) is Turn.NEVER:
            assert isinstance(step.record, DeploymentRecord)
            cause = _never(step.record, vm.group)
            step = step.then(operate.not_switched(step.record, vm, cause, now))
    return step


def _never(record: DeploymentRecord, group: VmGroupName) -> str:
    assert record.intent is not None
    startup = next(each for each in record.intent.startup if each.group == group)
    return f"it was not switched on: its vm_group {waits_for(startup)}"


def _resumed(step: Step, now: datetime) -> Step:
    """
    Go on with a deployment that had failed when the last of its VMs that were broken is up.

    Its neighbours are looked at anew: what was never made may be of an update that lacked them.
    """
    before, record = step.before, step.record
    if not (isinstance(before, DeploymentRecord) and isinstance(record, DeploymentRecord)):
        return step
    if activity(record) is not Activity.BROKEN or not _has_come_up(before, record):
        return step
    begun = [vm for vm in record.vms.values() if vm.state is not VmState.UNDEF]
    if not has_stopped_half_way(record) or not all(is_up(vm) for vm in begun):
        return step
    going = replace(
        record,
        state=next_state(SERVICE_LIFECYCLE, record.state, ServiceMove.RESUMED),
        tenant=None,
        operation=entered(
            operation(record.id, OperationType.INSTANTIATE, now), OperationMove.GRANTED, now
        ),
        error=None,
    )
    waited = {vm.id: late for vm in begun if (late := _yet_to_boot(going, vm, now)) is not vm}
    return replace(step, record=replace(going, vms={**going.vms, **waited}) if waited else going)


def _has_come_up(before: DeploymentRecord, record: DeploymentRecord) -> bool:
    if before.update is not None:  # its monitors are on again, whatever it has left undone
        return False
    was_up = {vm.id for vm in before.vms.values() if vm.state in UP}
    return any(vm.state in UP and vm.id not in was_up for vm in record.vms.values())


def _yet_to_boot(record: DeploymentRecord, vm: VmRecord, now: datetime) -> VmRecord:
    """What others wait for besides its life has to come true in time, as in any deployment."""
    if vm.state is not VmState.ALIVE or booted(record, vm):
        return vm
    return replace(vm, deadline=now + timedelta(seconds=group_of(record, vm).bootup_time))
