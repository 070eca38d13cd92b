"""
Scripts that nothing waits for: they run beside what goes on, once their stage has come.

A stage has come when what it is named for is told. What is to run stands in the record until its
end is heard of: after a restart it runs again. An undeploy forgets it.
"""

from datetime import datetime
from typing import Final

from esc_daemon.domain.changed import replace
from esc_daemon.domain.events import Event, EventStatus, EventType
from esc_daemon.domain.hooks import scripts_at
from esc_daemon.domain.record import DeploymentRecord, OperationType
from esc_daemon.domain.stages import Errand, Stage
from esc_daemon.domain.step import Step
from esc_daemon.domain.triggers import ScriptsRan

_TELLING: Final = frozenset({EventType.SERVICE_ALIVE})
"""Events that a stage may come with."""


def followed(step: Step, now: datetime) -> Step:
    """Return *step* with the scripts of the stages that came with it."""
    if not any(event.type in _TELLING for event in step.events):
        return step
    record = step.record
    if not isinstance(record, DeploymentRecord) or record.intent is None:
        return step
    errands = list(record.errands)
    for event in step.events:
        for errand in _come(record, event, now):
            if errand.scripts and not any(_same(errand, each) for each in errands):
                errands.append(errand)
    if len(errands) == len(record.errands):
        return step
    return replace(step, record=replace(record, errands=tuple(errands)))


def _same(one: Errand, other: Errand) -> bool:
    """Tell whether both are of one stage of one VM: what has yet to run runs once."""
    return (one.stage, one.vm) == (other.stage, other.vm)


def _come(record: DeploymentRecord, event: Event, now: datetime) -> list[Errand]:
    """Return what *event* has run."""
    failed = event.status is EventStatus.FAILURE
    if event.type is EventType.SERVICE_ALIVE and failed and _deploys(record):
        return [_for_all(record, Stage.DEPLOY_ERR, now)]
    return []


def _deploys(record: DeploymentRecord) -> bool:
    """Tell whether SERVICE_ALIVE is the end of a deployment, for ENABLE_MONITOR tells it too."""
    operation = record.operation
    return operation is not None and operation.type is OperationType.INSTANTIATE


def _for_all(record: DeploymentRecord, stage: Stage, now: datetime) -> Errand:
    return Errand(stage=stage, scripts=scripts_at(record, None, stage), came=now)


def ended(record: DeploymentRecord, answer: ScriptsRan) -> Step:
    """The scripts of an errand have ended: it is done, whatever they ended with."""
    if answer.runner != record.id or answer.errand not in record.errands:
        return Step(key=record.key, before=record, record=record)
    left = tuple(each for each in record.errands if each != answer.errand)
    return Step(key=record.key, before=record, record=replace(record, errands=left))
