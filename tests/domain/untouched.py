"""What a step must not touch: it would be written for nothing (law 8)."""

from esc_daemon.domain.advance.operate import waits_for_turn
from esc_daemon.domain.ids import ServerKey, VmId
from esc_daemon.domain.record import DeploymentRecord
from esc_daemon.domain.states import VmState
from esc_daemon.domain.step import Step
from esc_daemon.domain.triggers import (
    CallFailed,
    KpiCrossed,
    RecoveryPermitted,
    ScriptsRan,
    ServerDrifted,
    ServerGone,
    ServerProven,
    ServerSeen,
    ServerUpdated,
    Trigger,
)


def check_untouched(step: Step, trigger: Trigger) -> None:
    """Law 8: a VM that the trigger does not touch stays the same object, so is not written."""
    before, after = step.before, step.record
    if not step.moved:
        assert not step.events
    if not isinstance(before, DeploymentRecord) or not isinstance(after, DeploymentRecord):
        return
    _check_errands(before, after, trigger)
    about = _vm_of(trigger)
    if before.update != after.update:
        about = None  # the phases of an update are about all its VMs
    for id_, vm in after.vms.items():
        old = before.vms.get(id_)
        if old is None or id_ == about:
            continue
        made = old.state is VmState.UNDEF and vm.state is VmState.DEPLOYING
        turn_came = made or waits_for_turn(old)
        if vm == old or (about and not turn_came):
            assert vm is old, "an untouched VM is written again"


def _check_errands(before: DeploymentRecord, after: DeploymentRecord, trigger: Trigger) -> None:
    """What has yet to run is forgotten when it has run, or with what it is of; it runs once."""
    there = {each for each in before.owed if each.vm is None or stays_in(after, each.vm)}
    kept = there <= set(after.owed)
    assert kept or isinstance(trigger, ScriptsRan) or after.intent is None or before.id != after.id
    assert all(each.vm is None or stays_in(after, each.vm) for each in after.owed)
    came = [(errand.stage, errand.vm) for errand in after.owed]
    assert len(came) == len(set(came))


def stays_in(record: DeploymentRecord, vm: VmId) -> bool:
    """Tell whether *vm* is there, and not on its way out."""
    it = record.vms.get(vm)
    leaves = it is not None and it.state is VmState.UNDEPLOYING and it.recovery is None
    return it is not None and not leaves


def _vm_of(trigger: Trigger) -> VmId | None:
    match trigger:
        case ServerSeen(server=server) | ServerUpdated(server=server):
            return server.key.vm
        case ServerProven(key=key):
            return key.vm
        case ServerGone(key=key) | KpiCrossed(server=key) | CallFailed(subject=ServerKey() as key):
            return key.vm
        case RecoveryPermitted(server=key) | ServerDrifted(key=key):
            return key.vm
        case _:
            return None
