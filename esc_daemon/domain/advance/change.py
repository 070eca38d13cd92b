"""
What an update changes of a VM that is there: its interfaces, its volumes and its flavor.

The record says at once what is to be; `VmRecord.change` says what is still to be done in the VIM
for it. What fails stays there: the next update tries it again, and a redeploy does without.
"""

from collections.abc import Container
from datetime import datetime, timedelta
from typing import Final

from esc_daemon.domain import causes, tell_update
from esc_daemon.domain.advance import tries, updating
from esc_daemon.domain.advance.deploy import with_ports
from esc_daemon.domain.advance.settling import settled, unmoved, with_vm
from esc_daemon.domain.changed import replace
from esc_daemon.domain.changes import PORTS, ChangeKind, replaced
from esc_daemon.domain.history import VmHistory
from esc_daemon.domain.hooks import has_scripts
from esc_daemon.domain.intent import VmGroup
from esc_daemon.domain.kpi import monitored
from esc_daemon.domain.machine import next_state
from esc_daemon.domain.placing import given_back, group_of, interface_of
from esc_daemon.domain.policy import Attempt, Policy
from esc_daemon.domain.pools import GroupPools
from esc_daemon.domain.record import (
    DeploymentRecord,
    InterfaceRecord,
    VmChange,
    VmRecord,
    VmTask,
)
from esc_daemon.domain.specs import Server
from esc_daemon.domain.stages import Stage
from esc_daemon.domain.states import VM_LIFECYCLE, VmMove, VmState
from esc_daemon.domain.step import Step
from esc_daemon.domain.triggers import CallFailed
from esc_daemon.domain.volumes import rearranged, with_volumes

OF_SERVERS = PORTS | {
    ChangeKind.FLAVOR,
    ChangeKind.VOLUME_ADDED,
    ChangeKind.ROOT_EXCHANGED,
    ChangeKind.LOCATOR,
}
"""What is done in the VIM to a VM that is there, with resources that may be new."""
_VOLUMES: Final = frozenset(
    {ChangeKind.VOLUME_ADDED, ChangeKind.VOLUME_REMOVED, ChangeKind.ROOT_EXCHANGED}
)


def reshaped(
    vm: VmRecord, old: VmGroup, new: VmGroup, kinds: Container[ChangeKind], pools: GroupPools
) -> VmRecord:
    """
    Return *vm* as the *new* group wants it; *kinds* are the changes of its group.

    Raises:
        Refused: A static pool is too small.

    """
    moved = any(kind in kinds for kind in PORTS)
    resized = ChangeKind.FLAVOR in kinds
    upgraded = ChangeKind.SOFTWARE_VERSION in kinds and has_scripts(
        new, Stage.SOFTWARE_VERSION_UPDATED
    )
    stored = any(kind in kinds for kind in _VOLUMES)
    if not (moved or resized or upgraded or stored):
        return vm
    before = vm.change or VmChange()
    interfaces, removed = _rewired(vm, old, new, pools) if moved else (vm.interfaces, ())
    volumes, detached = rearranged(vm, new) if stored else (vm.volumes, before.detached)
    if vm.state is VmState.UNDEF:  # nothing was ever asked of the VIM for it
        return replace(vm, interfaces=interfaces, volumes=volumes)
    change = VmChange(
        removed=(*before.removed, *removed),
        rooted=before.rooted or ChangeKind.ROOT_EXCHANGED in kinds,
        resized=before.resized or resized,
        upgraded=before.upgraded or upgraded,
        detached=detached,
        attached=_attached(before, old, new) if stored else before.attached,
        asked=vm.change is not None and before.asked,
    )
    return replace(vm, interfaces=interfaces, volumes=volumes, change=change)


def _attached(before: VmChange, old: VmGroup, new: VmGroup) -> tuple[str, ...]:
    """Return the volumes that the stage after their attachment is to come for."""
    if not has_scripts(new, Stage.VOLUME_ATTACHED):
        return ()
    had = {each.name for each in old.volumes}
    if not before.asked:  # what was to go has stayed, if it had ever come
        stayed = [each.want for each in before.detached if each.volume_id is not None]
        had |= {each.name for each in stayed if each in new.volumes}
    names = (each.name for each in new.volumes)
    return tuple(each for each in names if each not in had or each in before.attached)


def _rewired(
    vm: VmRecord, old: VmGroup, new: VmGroup, pools: GroupPools
) -> tuple[tuple[InterfaceRecord, ...], tuple[InterfaceRecord, ...]]:
    """Return the interfaces that are to be, and those whose ports go."""
    there = {each.nicid: each for each in vm.interfaces}
    asked = {each.nicid: each for each in old.interfaces}
    wanted: list[InterfaceRecord] = []
    for want in new.interfaces:
        kept = there.get(want.nicid)
        if kept is None or replaced(asked[want.nicid], want, vm.seat):
            wanted.append(interface_of(want, vm.seat, pools))
        else:
            wanted.append(replace(there.pop(want.nicid), admin_state_up=want.admin_state_up))
    return tuple(wanted), tuple(there.values())


def begun(vm: VmRecord, attempt: Attempt) -> VmRecord:
    """Return *vm* with its change, if it has one and a server, under way."""
    if vm.change is None or vm.server is None or vm.state not in updating.RESTING:
        return vm
    return replace(vm, attempt=attempt)


def server_updated(record: DeploymentRecord, vm: VmRecord, server: Server, now: datetime) -> Step:
    """All is done; a guest with another disk, size or software boots, and has yet to live."""
    if not updating.is_changing(vm):
        return unmoved(record)
    assert vm.change is not None
    done = replace(
        vm,
        interfaces=with_ports(vm.interfaces, server.ports),
        volumes=with_volumes(vm.volumes, server.volumes),
        host_id=server.host_id,
        hostname=server.hostname,
        change=None,
        attempt=None,
        unsure_until=None,
        history=noted(record, vm, now),
    )
    restarts = vm.change.rooted or vm.change.resized or vm.change.upgraded
    if restarts and _is_paused(vm):
        done = _booting(record, done, now)
    after = given_back(with_vm(record, done), vm.change.removed)
    told = [tell_update.vm_updated(after, done, _update_type(record, vm))]
    if vm.change.upgraded:
        told.insert(0, tell_update.vm_software_updated(after, done))
    return settled(record, after, tuple(told), now)


def _is_paused(vm: VmRecord) -> bool:
    """Tell whether the update has taken *vm* out of sight, and not its operator."""
    paused = vm.state is VmState.MONITOR_DISABLED and vm.task is VmTask.UPDATE
    return paused and vm.recovery is None


def _booting(record: DeploymentRecord, vm: VmRecord, now: datetime) -> VmRecord:
    group = group_of(record, vm)
    if not monitored(group):
        return vm
    state = next_state(VM_LIFECYCLE, vm.state, VmMove.MONITOR_ON)
    return replace(vm, state=state, deadline=now + timedelta(seconds=group.bootup_time))


def noted(
    record: DeploymentRecord, vm: VmRecord, now: datetime, cause: str | None = None
) -> VmHistory:
    """Return the history of *vm* with the update that it is told of now; *cause*: it failed."""
    return replace(
        vm.history,
        updated=now,
        update_type=_update_type(record, vm),
        update_outcome="updated" if cause is None else f"failed: {cause}",
    )


def _update_type(record: DeploymentRecord, vm: VmRecord) -> str:
    return record.update.types.get(vm.group, "") if record.update else ""


def failed_once(
    record: DeploymentRecord, vm: VmRecord, failure: CallFailed, now: datetime, policy: Policy
) -> Step:
    """A refusal is final; anything else is asked again when nothing can turn up any more."""
    assert vm.change is not None
    if failure.reached or not failure.final or vm.unsure_until is not None:
        vm = replace(vm, change=replace(vm.change, asked=True))
    if failure.in_doubt:
        vm = replace(vm, unsure_until=now + policy.settle)
    assert vm.attempt is not None
    budget = replace(vm.attempt, give_up=vm.attempt.give_up + failure.waited)
    vm = replace(vm, attempt=budget)
    tried, cause = tries.once_more(vm, vm.vim, failure.error, now, policy, final=failure.final)
    if cause is not None:
        return _not_changed(record, tried, cause, now)
    return Step(key=record.key, before=record, record=with_vm(record, tried))


def server_lost(record: DeploymentRecord, vm: VmRecord, now: datetime) -> Step:
    """There is no server to be changed."""
    return _not_changed(record, vm, "the VIM has no such server", now)


def _not_changed(record: DeploymentRecord, vm: VmRecord, cause: str, now: datetime) -> Step:
    """
    The VM goes on as it is; what was to be done is remembered.

    A guest that may have got another disk boots, and has yet to live, whatever failed after that.
    """
    vm = replace(vm, attempt=None, history=noted(record, vm, now, cause))
    if vm.change is not None and vm.change.rooted and vm.change.asked and _is_paused(vm):
        vm = _booting(record, vm, now)
    after = with_vm(record, vm)
    if record.update is None or vm.id not in record.update.broken:
        after = updating.failed(after, causes.of_vm(vm, cause))
    told = tell_update.vm_updated(after, vm, _update_type(record, vm), cause)
    return settled(record, after, (told,), now)
