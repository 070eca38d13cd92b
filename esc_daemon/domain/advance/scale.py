"""
Scaling: a group gets one VM more or one less because a KPI asks for it (ESC-WORKFLOWS section 10).

    out   DEPLOYING -> INERT -> ALIVE          it is one of the group
            |            not alive in time: recovered first (`heal`), then
            ERROR -> UNDEPLOYING -> gone       it failed, and the group is as it was
    in    ALIVE -> UNDEPLOYING -> gone         the VM that asked for it has left
                          or a leftover        it failed, the VM is none of the group all the same

Who makes, heals and removes VMs does not know why: how a scaling ends follows from where its VM is
after any step (`followed`). The service stays as it is.
"""

from collections.abc import Collection
from datetime import datetime
from typing import Final

from esc_daemon.domain import tell_scaling
from esc_daemon.domain.actions import Effect
from esc_daemon.domain.advance.deploy import wanted
from esc_daemon.domain.advance.operate import active_in, moved
from esc_daemon.domain.advance.settling import (
    closed,
    entered,
    operation,
    settled,
    unmoved,
    with_vm,
)
from esc_daemon.domain.changed import replace
from esc_daemon.domain.errors import Refused
from esc_daemon.domain.history import NEVER_SCALED
from esc_daemon.domain.ids import OperationId, VmGroupName, derived
from esc_daemon.domain.intent import VmGroup
from esc_daemon.domain.interruption import Request, takes
from esc_daemon.domain.placing import another_vm, group_of
from esc_daemon.domain.policy import Policy
from esc_daemon.domain.policy import begin as begin_attempt
from esc_daemon.domain.record import (
    DeploymentRecord,
    OperationType,
    Scale,
    ScaleDirection,
    VmRecord,
)
from esc_daemon.domain.states import OperationMove, OperationState, VmMove, VmState
from esc_daemon.domain.step import Step

_CAME: Final = frozenset({VmState.ALIVE, VmState.MONITOR_UNSET})
_OPEN: Final = frozenset({OperationState.STARTING, OperationState.PROCESSING})


def asked(
    record: DeploymentRecord,
    vm: VmRecord,
    effects: Collection[Effect | None],
    now: datetime,
    p: Policy,
) -> Step:
    """
    Take up that a KPI of *vm* asks for *effects*, one of which may be a scaling of its group.

    Nothing comes of it while the group may not be scaled or is as large, or as small, as it may be.
    """
    if vm.state is not VmState.ALIVE or vm.scale is not None or vm.recovery is not None:
        return unmoved(record)
    group = group_of(record, vm)
    if Effect.SCALE_OUT in effects and _may(record, group, Request.SCALE_OUT, now, p):
        size = sum(each.group == group.name for each in record.vms.values())
        return (
            _out(record, vm, group, now, p) if size < group.scaling.max_active else unmoved(record)
        )
    if Effect.SCALE_IN in effects and _may(record, group, Request.SCALE_IN, now, p):
        spare = active_in(record, group.name) > group.scaling.min_active
        return _in(record, vm, now, p) if spare else unmoved(record)
    return unmoved(record)


def _may(
    record: DeploymentRecord, group: VmGroup, request: Request, now: datetime, p: Policy
) -> bool:
    """One scaling of a group at a time, and then a rest; a clock set back makes it no longer."""
    rests_until = record.scaled.get(group.name, NEVER_SCALED).rests_until
    rests = rests_until is not None and now < rests_until <= now + p.scaling_pause
    scales = any(vm.scale is not None and vm.group == group.name for vm in record.vms.values())
    return group.scaling.elastic and not rests and not scales and takes(record, request)


def _out(
    record: DeploymentRecord, source: VmRecord, group: VmGroup, now: datetime, p: Policy
) -> Step:
    going = _scaling(record, source, now)
    told = tell_scaling.out_init(going, source)
    try:
        grown, fresh = another_vm(going, group)
    except Refused as refused:
        why = refused.text
        events = (
            told,
            tell_scaling.out_not_deployed(going, source, why),
            tell_scaling.out_failed(going, source, why),
        )
        over = _over(going, group.name, OperationMove.BROKE, now, p)
        return Step(key=record.key, before=record, record=over, events=events)
    coming = replace(fresh, scale=Scale(direction=ScaleDirection.OUT, source=source.id))
    made = wanted(coming, record.tenant, VmMove.RESOURCES_READY, begin_attempt(now, p))
    return Step(key=record.key, before=record, record=with_vm(grown, made), events=(told,))


def _in(record: DeploymentRecord, vm: VmRecord, now: datetime, p: Policy) -> Step:
    scale = Scale(direction=ScaleDirection.IN, source=vm.id)
    after = with_vm(_scaling(record, vm, now), _leaving(vm, scale, now, p))
    told = tell_scaling.in_init(after, vm)
    return Step(key=record.key, before=record, record=after, events=(told,))


def _leaving(vm: VmRecord, scale: Scale, now: datetime, p: Policy) -> VmRecord:
    return replace(
        vm,
        state=moved(vm, VmMove.REMOVAL_WANTED),
        scale=scale,
        migration=None,
        errands=(),
        attempt=begin_attempt(now, p),
        deadline=None,
    )


def _scaling(record: DeploymentRecord, source: VmRecord, now: datetime) -> DeploymentRecord:
    """A scaling is an operation of its own unless another one is under way."""
    if record.operation is not None and record.operation.state in _OPEN:
        return record
    id_ = OperationId(derived(record.id, "scale", source.id, now.isoformat()))
    begun = operation(record.id, OperationType.SCALE, now, id_)
    return replace(record, operation=entered(begun, OperationMove.GRANTED, now))


def _over(
    record: DeploymentRecord, group: VmGroupName, move: OperationMove, now: datetime, p: Policy
) -> DeploymentRecord:
    """Let *group* rest; the operation ends with the last of the scalings that it stands for."""
    history = record.scaled.get(group, NEVER_SCALED)
    rests = replace(history, rests_until=now + p.scaling_pause)
    after = replace(record, scaled={**record.scaled, group: rests})
    if any(vm.scale is not None for vm in record.vms.values()):
        return after
    return closed(after, OperationType.SCALE, move, now)


def followed(step: Step, now: datetime, p: Policy) -> Step:
    """Return *step* and what follows from it for VMs that are to come: they came, or never will."""
    record = step.record
    if not isinstance(record, DeploymentRecord) or record.intent is None:
        return step
    for vm in [vm for vm in record.vms.values() if _has_ended(vm)]:
        assert isinstance(step.record, DeploymentRecord)
        end = _came if vm.state in _CAME else _given_up
        step = step.then(end(step.record, vm, now, p))
    return step


def _has_ended(vm: VmRecord) -> bool:
    """Tell whether *vm* was to come, and has booted as a VM of a deploy has, or failed to."""
    if vm.scale is None or vm.scale.direction is ScaleDirection.IN or vm.recovery is not None:
        return False
    return vm.state is VmState.ERROR or (vm.state in _CAME and vm.deadline is None)


def _came(record: DeploymentRecord, vm: VmRecord, now: datetime, p: Policy) -> Step:
    one_more = replace(vm, scale=None)
    after = _over(with_vm(record, one_more), vm.group, OperationMove.SUCCEEDED, now, p)
    told = tell_scaling.out_complete(after, tell_scaling.source_of(record, vm), one_more)
    return settled(record, after, (told,), now)


def _given_up(record: DeploymentRecord, vm: VmRecord, now: datetime, p: Policy) -> Step:
    """
    Remove a VM that failed to come; that it failed is told when it has gone.

    Left there it would be one of those that the group may have, with its address and its quota.
    """
    assert vm.scale is not None
    scale = replace(vm.scale, failure=vm.error or "the VM failed")
    leaving = _leaving(vm, scale, now, p)
    return Step(key=record.key, before=record, record=with_vm(record, leaving))


def ended(
    before: DeploymentRecord,
    record: DeploymentRecord,
    vm: VmRecord,
    stays: str | None,
    now: datetime,
    p: Policy,
) -> Step:
    """
    End the scaling of *vm*, which was to leave or failed to come: *record* is without it.

    *stays*: the VIM would not remove it, so *record* has it as a leftover; None: it is gone.
    """
    assert vm.scale is not None
    failure = vm.scale.failure
    well = failure is None and stays is None
    move = OperationMove.SUCCEEDED if well else OperationMove.BROKE
    after = _over(record, vm.group, move, now, p)
    if vm.scale.direction is ScaleDirection.IN:
        told = tell_scaling.in_complete(after, vm, stays)
    else:
        why = "; ".join(each for each in (failure, stays) if each is not None)
        told = tell_scaling.out_failed(after, tell_scaling.source_of(record, vm), why)
    return settled(before, after, (told,), now)
