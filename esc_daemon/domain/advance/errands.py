"""
Scripts that nothing waits for: they run beside what goes on, once their stage has come.

A stage has come when what it is named for is told. What is to run stands in the record until its
end is heard of: after a restart it runs again. It is forgotten with its VM, or by an undeploy.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

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
from esc_daemon.domain.specs import HookScript
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
    """Return *step* with the scripts of the stages that came with it, and of no VM that left."""
    step = _of_those_there(step)
    if not any(event.type in _TELLING for event in step.events):
        return step
    record = step.record
    if not isinstance(record, DeploymentRecord) or record.intent is None:
        return step
    errands = list(record.errands)
    for event in step.events:
        for stage, vm in _come(step.before, record, event):
            scripts = scripts_at(record, vm, stage)
            if scripts and not any(_is_of(each, stage, vm) for each in errands):
                errands.append(_errand(stage, vm, scripts, now))
    if len(errands) == len(record.errands):
        return step
    return replace(step, record=replace(record, errands=tuple(errands)))


def _of_those_there(step: Step) -> Step:
    record = step.record
    if not isinstance(record, DeploymentRecord) or not record.errands:
        return step
    left = tuple(each for each in record.errands if each.vm is None or each.vm in record.vms)
    if len(left) == len(record.errands):
        return step
    return replace(step, record=replace(record, errands=left))


def _errand(
    stage: Stage, vm: VmRecord | None, scripts: tuple[HookScript, ...], now: datetime
) -> Errand:
    if vm is None:
        return Errand(stage=stage, scripts=scripts, came=now)
    return Errand(stage=stage, scripts=scripts, came=now, vm=vm.id, name=vm.name)


def _is_of(errand: Errand, stage: Stage, vm: VmRecord | None) -> bool:
    """Tell whether it is of this stage of this VM: what has yet to run runs once."""
    return (errand.stage, errand.vm) == (stage, None if vm is None else vm.id)


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
    if answer.runner != record.id or answer.errand not in record.errands:
        return Step(key=record.key, before=record, record=record)
    left = tuple(each for each in record.errands if each != answer.errand)
    return Step(key=record.key, before=record, record=replace(record, errands=left))
