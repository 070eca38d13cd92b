"""
Migration: a VM moves to another VIM because the locator of its group changed (seed 003).

    PROVING    the other VIM is asked whether it could have the server, which runs on meanwhile
   REMOVING    the server goes with its ports, or is a leftover where the VIM does not let it go
     MAKING    its next generation is made in the other VIM, with the same name and addresses
    BOOTING    it has yet to live

Nothing is removed before every VM that moves is proven. What cannot be made in the other VIM is
removed there and made again where it was, unless it is still there as a leftover: at no moment is a
server asked for in one VIM while another VIM may still get one.
"""

from collections.abc import Container, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

from esc_daemon.domain import causes, tell_update
from esc_daemon.domain.advance import tries, updating
from esc_daemon.domain.advance.operate import moved, off_and
from esc_daemon.domain.advance.settling import settled, unmoved, with_vm
from esc_daemon.domain.changed import replace
from esc_daemon.domain.changes import LOCATOR_UPDATED, PORTS, Change, ChangeKind
from esc_daemon.domain.errors import Node, Refused
from esc_daemon.domain.events import Event
from esc_daemon.domain.history import VmHistory
from esc_daemon.domain.ids import VimId
from esc_daemon.domain.intent import Deployment, VmGroup
from esc_daemon.domain.interruption import recovering
from esc_daemon.domain.kpi import monitored
from esc_daemon.domain.leftovers import RETRY
from esc_daemon.domain.migration import Migration, MigrationPhase, Place
from esc_daemon.domain.placing import given_back, group_of, home_of, networks_of, project_in
from esc_daemon.domain.policy import Attempt, Policy, left
from esc_daemon.domain.policy import begin as begin_attempt
from esc_daemon.domain.record import (
    DeploymentRecord,
    InterfaceRecord,
    Leftover,
    RecoveryPhase,
    VmRecord,
    VmTask,
)
from esc_daemon.domain.states import VmMove, VmState
from esc_daemon.domain.step import Step
from esc_daemon.domain.triggers import CallFailed

_NOT_WHILE_WANTED: Final = PORTS | {
    ChangeKind.FLAVOR,
    ChangeKind.VOLUME_ADDED,
    ChangeKind.VOLUME_REMOVED,
    ChangeKind.ROOT_EXCHANGED,
}
"""What is done to the servers themselves."""


def is_under_way(vm: VmRecord) -> bool:
    """Tell whether *vm* is on its way, and something may have changed in a VIM for it."""
    return vm.migration is not None and vm.migration.has_begun


def check(
    record: DeploymentRecord, new: Deployment, it: Change, kinds: Container[ChangeKind]
) -> None:
    """
    Look whether the VMs of a group whose locator changes may move; *kinds* changes with it.

    Raises:
        Refused: They may not.

    """
    assert it.group is not None
    [old, now] = [
        next(group for group in each.groups if group.name == it.group)
        for each in (record.intent, new)
        if each is not None
    ]
    vim = home_of(now, record.vim)
    if (home_of(old, record.vim), old.locator.vim_project) == (vim, now.locator.vim_project):
        return
    text = f"vm_group {it.group} cannot move to VIM {vim}"
    beside = [each for each in ChangeKind if each in kinds and each is not ChangeKind.LOCATOR]
    if beside:
        why = f"this edit changes more of it ({beside[0]}); ask for one after the other"
        raise Refused("operation-not-supported", f"{text}: {why}", below=it.path)
    if why := _tied(now, record.intent, new):
        raise Refused("operation-not-supported", f"{text}: {why}", below=it.path)
    for vm in record.vms.values():
        moves = vm.group == it.group and relocated(record, vm, now).migration is not None
        if moves and (why := _obstacle(record, vm, vim)):
            raise Refused("in-use", f"{text}: {why}", below=it.path)


def check_wanted(
    record: DeploymentRecord,
    new: Deployment,
    changes: Sequence[Change],
    staying: Iterable[VmRecord],
) -> None:
    """
    Look whether *changes* may come beside moves of VMs that failed: this update tries them again.

    *staying* are the VMs that the update does not remove.

    Raises:
        Refused: They may not (in-use): servers are not changed and made anew in one, and what lives
            in one VIM would be lost with them.

    """
    for vm in staying:
        group = next(each for each in new.groups if each.name == vm.group)
        if vm.migration is None or relocated(record, vm, group).migration is None:
            continue
        vim = home_of(group, record.vim)
        back = (
            f"the move of VM [{vm.name}] to VIM {vim} failed and is still wanted: "
            "edit the locator back first"
        )
        for each in changes:
            if each.group == vm.group and each.kind in _NOT_WHILE_WANTED:
                text = f"vm_group {vm.group} cannot take this change now ({each.kind}): {back}"
                raise Refused("in-use", text, below=each.path)
        if why := _tied(group, record.intent, new):
            text = f"vm_group {vm.group} cannot move to VIM {vim}: {why}; {back}"
            below = (Node("vm_group", vm.group), Node("locator"))
            raise Refused("in-use", text, below=below)


def _tied(group: VmGroup, *deployments: Deployment | None) -> str:
    """Return what ties *group* to the VIM where it is; its *deployments* may have networks."""
    if group.volumes:
        return "it has volumes, which live in one VIM; remove them first"
    own = {network.name for each in deployments if each for network in each.networks}
    inside = [name for name in networks_of([group]) if name in own]
    return (
        f"its network {inside[0]} is one of the deployment, which lives in one VIM"
        if inside
        else ""
    )


def _obstacle(record: DeploymentRecord, vm: VmRecord, vim: VimId) -> str:
    if vm.state is VmState.SHUTOFF:
        return f"VM [{vm.name}] is stopped; start it first"
    return _in_its_way(record, vm, vim)


def _in_its_way(record: DeploymentRecord, vm: VmRecord, vim: VimId) -> str:
    """Its ports there are those of *vm*, whichever of its servers has them."""
    if any(each.vm.id == vm.id and each.vm.vim == vim for each in record.leftovers):
        text = f"an earlier server of VM [{vm.name}] is still in VIM {vim} as a leftover"
        return f"{text}; have it removed there first: {RETRY}"
    return ""


def relocated(record: DeploymentRecord, vm: VmRecord, group: VmGroup) -> VmRecord:
    """Return *vm* that is to live where *group* says now; that may be where it is."""
    vim, project = home_of(group, record.vim), group.locator.vim_project
    if vm.state is VmState.UNDEF:  # nothing was ever asked of the VIM for it
        return replace(vm, vim=vim, project=project)
    if (vim, project_in(project, record.tenant, vim)[0]) == (vm.vim, vm.project):
        return vm if vm.migration is None else replace(vm, migration=None)
    return replace(vm, migration=Migration(vim=vim, project=project))


def begun(
    record: DeploymentRecord, attempt: Attempt, now: datetime
) -> tuple[DeploymentRecord, tuple[Event, ...]]:
    """
    Return *record* with VIMs asked about all VMs that are to move, and what is told.

    One that is off stays until an update finds it on. One that cannot begin holds all others up.
    """
    asking = [vm for vm in record.vms.values() if vm.migration and vm.state is not VmState.SHUTOFF]
    for vm in asking:
        assert vm.migration is not None
        if not _is_free(vm):
            why = "it is being recovered"  # it came back by itself since, and was lost again
            record, told = _failed(record, vm, vm.migration.vim, why, now)
            return record, (told,)
        tied = _tied(group_of(record, vm), record.intent)
        if why := tied or _in_its_way(record, vm, vm.migration.vim):
            record, told = _not_moved(record, vm, why, now)
            return record, (told,)
    proving = {vm.id: _asking(vm, attempt) for vm in asking}
    return replace(record, vms={**record.vms, **proving}) if proving else record, ()


def _is_free(vm: VmRecord) -> bool:
    return vm.state in updating.RESTING and not recovering(vm)


def _asking(vm: VmRecord, attempt: Attempt) -> VmRecord:
    held = vm.recovery is not None and vm.recovery.phase is RecoveryPhase.HELD
    return replace(
        updating.paused(vm),
        migration=_at(vm, MigrationPhase.PROVING),
        recovery=None if held else vm.recovery,
        attempt=attempt,
    )


def proven(vm: VmRecord) -> VmRecord:
    """Return *vm*, whose new VIM could have it, as it waits for the others."""
    return replace(vm, migration=_at(vm, MigrationPhase.PROVEN), attempt=None)


def proof_failed(
    record: DeploymentRecord, vm: VmRecord, failure: CallFailed, now: datetime, policy: Policy
) -> Step:
    """A refusal is final, anything else is asked again: a look changes nothing."""
    assert vm.migration is not None
    vim, final = vm.migration.vim, failure.final
    tried, cause = tries.once_more(vm, vim, failure.error, now, policy, final=final)
    if cause is None:
        return Step(key=record.key, before=record, record=with_vm(record, tried))
    after, told = _not_moved(record, tried, cause, now)
    return settled(record, after, (told,), now)


def _not_moved(
    record: DeploymentRecord, vm: VmRecord, cause: str, now: datetime
) -> tuple[DeploymentRecord, Event]:
    """Nothing has changed: *vm* goes on where it is, and so do those that were to move with it."""
    assert vm.migration is not None
    stays = replace(vm, migration=_at(vm, MigrationPhase.WANTED), attempt=None)
    return _failed(record, stays, vm.migration.vim, cause, now)


def leaving(vm: VmRecord, attempt: Attempt) -> VmRecord:
    """Return *vm*, which is proven, with its server on the way out of its VIM."""
    if vm.migration is None or vm.migration.phase is not MigrationPhase.PROVEN:
        return vm
    watched_by_us = vm.state is not VmState.MONITOR_DISABLED or vm.task is VmTask.UPDATE
    waits = vm.recovery is not None  # for the operator: it was watched until then
    going = replace(
        vm.migration,
        phase=MigrationPhase.REMOVING,
        source=Place(vim=vm.vim, project=vm.project, project_id=vm.project_id),
        unwatched=not (watched_by_us or waits),
    )
    return replace(
        vm,
        state=off_and(vm, VmMove.REDEPLOY_WANTED),
        task=vm.task if going.unwatched else VmTask.UPDATE,
        migration=going,
        recovery=None,
        attempt=attempt,
        deadline=None,
        error=None,
    )


def removed(record: DeploymentRecord, vm: VmRecord, now: datetime, policy: Policy) -> Step:
    """The server is gone from the VIM that it was to leave: make it in the other one."""
    if vm.unsure_until is not None and now < vm.unsure_until:
        return unmoved(record)
    after = given_back(record, vm.change.removed) if vm.change else record
    made = _made_next(record, vm, begin_attempt(now, policy))
    return Step(key=record.key, before=record, record=with_vm(after, made))


def not_removed(
    record: DeploymentRecord,
    vm: VmRecord,
    cause: str,
    attempt: Attempt,
    now: datetime,
    policy: Policy,
) -> Step:
    """
    The VIM did not let the server go: it is a leftover, and the move goes on.

    Within one VIM it does not: the ports of the new server would be those of the old one.
    """
    migration = vm.migration
    assert migration is not None
    assert migration.source is not None
    if migration.vim == migration.source.vim:
        broken = _broken(vm, causes.of_vm(vm, cause), _wanted(migration))
        after, told = _failed(record, broken, migration.vim, cause, now)
        return settled(record, after, (told,), now)
    later = left(attempt, now, policy, subject=vm.id)
    bare = replace(vm, migration=None)
    leftover = Leftover(vm=bare, deployment=record.id, attempt=later)
    if migration.failure is None:
        vm = replace(vm, migration=replace(migration, left=causes.vm_left(vm, cause)))
    made = _made_next(record, vm, begin_attempt(now, policy))
    after = replace(with_vm(record, made), leftovers=(*record.leftovers, leftover))
    return Step(key=record.key, before=record, record=after)


def _made_next(record: DeploymentRecord, vm: VmRecord, attempt: Attempt) -> VmRecord:
    """Return *vm* as it is made in the VIM that it goes to: the other one, or back."""
    return replace(
        moved_to(record, vm),
        state=moved(vm, VmMove.RESOURCES_READY),
        migration=_at(vm, MigrationPhase.MAKING),
        change=None,
        attempt=attempt,
        unsure_until=None,
        late_switch=None,
    )


def moved_to(record: DeploymentRecord, vm: VmRecord) -> VmRecord:
    """Return *vm* as it would be where it goes to: a VIM that knows none of the ids of this one."""
    migration = vm.migration
    assert migration is not None
    if migration.failure is not None and migration.source is not None:
        place = migration.source
    else:
        project, project_id = project_in(migration.project, record.tenant, migration.vim)
        place = Place(vim=migration.vim, project=project, project_id=project_id)
    return replace(
        vm,
        vim=place.vim,
        project=place.project,
        project_id=place.project_id,
        generation=vm.generation + 1,
        interfaces=tuple(map(_unknown, vm.interfaces)),
        server=None,
        host_id="",
        hostname="",
    )


def _unknown(interface: InterfaceRecord) -> InterfaceRecord:
    """Return *interface* with its addresses, and without what only its VIM knows."""
    addresses = tuple(replace(each, subnet_id=None) for each in interface.addresses)
    bare = replace(interface, network_id=None, port_id=None, port_security_enabled=None)
    return bare.with_addresses(addresses)


def made(
    record: DeploymentRecord, vm: VmRecord, now: datetime
) -> tuple[DeploymentRecord, tuple[Event, ...]]:
    """Return *record* after the VIM that *vm* went to has its new server, and what is told."""
    group = group_of(record, vm)
    assert vm.migration is not None
    unwatched = vm.migration.unwatched
    fresh = replace(vm, attempt=None, error=None, migration=_at(vm, MigrationPhase.BOOTING))
    if monitored(group) and not unwatched:
        boots = replace(
            fresh,
            state=moved(vm, VmMove.CREATED_MONITORED),
            deadline=now + timedelta(seconds=group.bootup_time),
        )
        return with_vm(record, boots), ()
    if monitored(group):
        state = moved(vm, VmMove.CREATED_MONITORED, VmMove.MONITOR_OFF)
    else:
        state = moved(vm, VmMove.CREATED_UNMONITORED)
    history = replace(fresh.history, up_since=now)
    return _arrived(record, replace(fresh, state=state, history=history), now)


def lives(
    record: DeploymentRecord, vm: VmRecord, now: datetime
) -> tuple[DeploymentRecord, tuple[Event, ...]]:
    """Return *record* after *vm*, which has moved, has answered, and what is told."""
    history = replace(vm.history, up_since=now)
    alive = replace(vm, state=moved(vm, VmMove.ANSWERED), history=history)
    return _arrived(record, alive, now)


def silent(
    record: DeploymentRecord, vm: VmRecord, cause: str, now: datetime
) -> tuple[DeploymentRecord, tuple[Event, ...]]:
    """Return *record* after *vm*, which is there, did not answer in its time, and what is told."""
    migration = vm.migration
    assert migration is not None
    if migration.failure is None:
        after, told = _failed(record, replace(vm, migration=None), migration.vim, cause, now)
    else:
        why = f"{_back(migration)}, but {cause}"
        there = replace(vm, migration=_wanted(migration))
        after, told = _failed(record, there, migration.vim, why, now)
    return after, (told,)


def _back(migration: Migration) -> str:
    """Return why a VM did not stay where it was to live, and that it is back."""
    assert migration.source is not None
    return f"{migration.failure}; it is in VIM {migration.source.vim} again"


def _arrived(
    record: DeploymentRecord, vm: VmRecord, now: datetime
) -> tuple[DeploymentRecord, tuple[Event, ...]]:
    """It lives, or nobody watches whether it does: its way ends here."""
    migration = vm.migration
    assert migration is not None
    if migration.failure is not None:
        stays = replace(vm, migration=_wanted(migration))
        after, told = _failed(record, stays, migration.vim, _back(migration), now)
        return after, (told,)
    there = replace(vm, migration=None, history=_history(vm, now))
    after = with_vm(record, there)
    return after, (tell_update.vm_moved(after, there, migration.left),)


def not_made(
    record: DeploymentRecord, vm: VmRecord, cause: str, now: datetime, policy: Policy
) -> Step:
    """
    The server cannot be had where it was to go: remove what there may be of it, and go back.

    Where the old server was left behind, or where there is no other place to go back to, *vm* is
    broken where it is now.
    """
    migration = vm.migration
    assert migration is not None
    if migration.failure is None and not migration.left:
        back = replace(
            vm,
            state=moved(vm, VmMove.FAILED, VmMove.REDEPLOY_WANTED),
            migration=replace(migration, phase=MigrationPhase.REMOVING, failure=cause),
            attempt=begin_attempt(now, policy),
        )
        after = updating.failed(with_vm(record, back), causes.of_vm(vm, cause))
        return Step(key=record.key, before=record, record=after)
    if migration.failure is not None:
        why = f"{migration.failure}; and it could not be made again where it was: {cause}"
        kept: Migration | None = _wanted(migration)
    else:
        why, kept = f"{cause}; {migration.left}", None
    broken = _broken(vm, causes.of_vm(replace(vm, vim=migration.vim), why), kept)
    after, told = _failed(record, broken, migration.vim, why, now)
    return settled(record, after, (told,), now)


def _broken(vm: VmRecord, error: str, migration: Migration | None) -> VmRecord:
    state = moved(vm, VmMove.FAILED)
    return replace(vm, state=state, migration=migration, attempt=None, deadline=None, error=error)


def _failed(
    record: DeploymentRecord, vm: VmRecord, vim: VimId, cause: str, now: datetime
) -> tuple[DeploymentRecord, Event]:
    """Return *record* after *vm* did not come to *vim*, and what is told."""
    noted = replace(vm, history=_history(vm, now, cause))
    there = replace(vm, vim=vim)
    after = updating.failed(with_vm(record, noted), causes.of_vm(there, cause))
    return after, tell_update.vm_not_moved(after, noted, vim, cause)


def _history(vm: VmRecord, now: datetime, cause: str | None = None) -> VmHistory:
    return replace(
        vm.history,
        updated=now,
        update_type=LOCATOR_UPDATED,
        update_outcome="updated" if cause is None else f"failed: {cause}",
    )


def _wanted(migration: Migration) -> Migration:
    return Migration(vim=migration.vim, project=migration.project)


def _at(vm: VmRecord, phase: MigrationPhase) -> Migration:
    assert vm.migration is not None
    if phase is MigrationPhase.WANTED:
        return _wanted(vm.migration)
    return replace(vm.migration, phase=phase)
