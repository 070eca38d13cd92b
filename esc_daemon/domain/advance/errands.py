"""
Scripts that nothing waits for: they run beside what goes on, once their stage has come.

A stage has come when what it is named for is told. What is to run stands in the record of its VM
or of the deployment until its end is heard of: after a restart it runs again. It is forgotten where
its VM or the deployment is to go.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from esc_daemon.domain.advance.settling import unmoved, with_vm
from esc_daemon.domain.changed import replace
from esc_daemon.domain.events import Event, EventStatus, EventType
from esc_daemon.domain.hooks import scripts_at
from esc_daemon.domain.record import (
    DeploymentRecord,
    OperationType,
    Record,
    Recovery,
    RecoveryPhase,
    VmRecord,
)
from esc_daemon.domain.stages import Errand, Stage
from esc_daemon.domain.states import VmState
from esc_daemon.domain.step import Step
from esc_daemon.domain.triggers import ScriptsRan

_TELLING: Final = frozenset(
    {EventType.SERVICE_ALIVE, EventType.VM_ALIVE, EventType.VM_RECOVERY_COMPLETE}
)
"""Events that a stage may come with."""
_REDEPLOYS: Final = frozenset({RecoveryPhase.UNDEPLOYING, RecoveryPhase.DEPLOYING})


def followed(step: Step, now: datetime) -> Step:
    """Return *step* with the scripts of the stages that came with it."""
    if not any(event.type in _TELLING for event in step.events):
        return step
    record = step.record
    if not isinstance(record, DeploymentRecord) or record.intent is None:
        return step
    for event in step.events:
        for stage, vm in _come(step.before, record, event):
            record = _owing(record, stage, vm and record.vms[vm.id], now)
    return step if record is step.record else replace(step, record=record)


def _owing(
    record: DeploymentRecord, stage: Stage, vm: VmRecord | None, now: datetime
) -> DeploymentRecord:
    """Return *record* with the scripts of *stage*; what has yet to run of it runs once."""
    owner = vm or record
    scripts = scripts_at(record, vm, stage)
    if not scripts or any(each.stage is stage for each in owner.errands):
        return record
    errand = Errand(stage=stage, scripts=scripts, came=now)
    if vm is None:
        return replace(record, errands=(*record.errands, errand))
    errand = replace(errand, vm=vm.id, name=vm.name)
    return with_vm(record, replace(vm, errands=(*vm.errands, errand)))


def _come(
    before: Record | None, record: DeploymentRecord, event: Event
) -> Iterator[tuple[Stage, VmRecord | None]]:
    """Yield the stages that come with *event*, each with its VM."""
    failed = event.status is EventStatus.FAILURE
    if event.type is EventType.SERVICE_ALIVE:
        if _deploys(record):
            yield (Stage.DEPLOY_ERR if failed else Stage.POST_DEPLOY_ALIVE), None
        return
    vm = _named_in(event, record)
    if vm is None:
        return
    was = before.vms.get(vm.id) if isinstance(before, DeploymentRecord) else None
    if event.type is EventType.VM_ALIVE:
        if was is None or was.history.up_since is None:
            yield Stage.POST_VM_ALIVE, vm
    elif not failed:
        if vm.state is VmState.ALIVE:  # nobody knows it of one without monitors
            yield Stage.POST_VM_ALIVE, vm
    else:
        yield Stage.RECOVERY_ERR, vm
        if was is not None and _redeployed(was.recovery):
            yield Stage.RECOVERY_REDEPLOY_ERR, vm


def _deploys(record: DeploymentRecord) -> bool:
    """Tell whether SERVICE_ALIVE is the end of a deployment, for ENABLE_MONITOR tells it too."""
    operation = record.operation
    return operation is not None and operation.type is OperationType.INSTANTIATE


def _named_in(event: Event, record: DeploymentRecord) -> VmRecord | None:
    name = event.source.vmname if event.source else None
    return next((vm for vm in record.vms.values() if vm.name == name), None)


def _redeployed(recovery: Recovery | None) -> bool:
    """Tell whether *recovery*, which is over now, had begun to redeploy its VM."""
    return recovery is not None and (recovery.redeployed or recovery.phase in _REDEPLOYS)


def ended(record: DeploymentRecord, answer: ScriptsRan) -> Step:
    """The scripts of an errand have ended: it is done, whatever they ended with."""
    errand = answer.errand
    if answer.runner != record.id or errand not in record.owed:
        return unmoved(record)
    vm = record.vms.get(errand.vm) if errand.vm is not None else None
    if vm is not None and errand in vm.errands:
        after = with_vm(record, replace(vm, errands=_without(vm.errands, errand)))
    else:  # also one of a VM that was stored before VMs had errands of their own
        after = replace(record, errands=_without(record.errands, errand))
    return Step(key=record.key, before=record, record=after)


def _without(errands: tuple[Errand, ...], done: Errand) -> tuple[Errand, ...]:
    return tuple(each for each in errands if each != done)
