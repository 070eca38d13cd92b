"""
What becomes of the recovery of a VM that an update moves away from its VIM (ruling 13).

In a VIM that is dead a recovery lasts as long as its tries, with max_retries -1 for ever. An edit
that moves the VM to another VIM does not wait for that: the recovery ends, in vain, before the
update begins, and the VM moves as one whose recovery had failed. What the VIM was asked for goes on
until it has answered: a server, and a reboot, may still turn up until then.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

from esc_daemon.domain import members, tell_recovery
from esc_daemon.domain.advance import healed, held
from esc_daemon.domain.advance.migrate import relocated
from esc_daemon.domain.advance.settling import unmoved, with_vm
from esc_daemon.domain.changed import replace
from esc_daemon.domain.errors import Refused
from esc_daemon.domain.events import Event
from esc_daemon.domain.ids import VimId, VmId
from esc_daemon.domain.intent import Deployment
from esc_daemon.domain.interruption import Activity, activity, recovering
from esc_daemon.domain.policy import Policy
from esc_daemon.domain.record import DeploymentRecord, RecoveryPhase, VmRecord
from esc_daemon.domain.states import VmState
from esc_daemon.domain.step import Step
from esc_daemon.domain.triggers import CallFailed

_OPEN: Final = frozenset({Activity.NOTHING, Activity.BROKEN, Activity.RECOVERING})
"""Where nothing but a recovery is in the way of an update."""

_STEPS: Final[Mapping[RecoveryPhase, Callable[[DeploymentRecord, VmRecord, str], Event]]] = {
    RecoveryPhase.REBOOTING: tell_recovery.recovery_reboot,
    RecoveryPhase.UNDEPLOYING: tell_recovery.recovery_undeployed,
    RecoveryPhase.DEPLOYING: tell_recovery.recovery_deployed,
}
"""What is told of the step that is under way: it has failed."""


def ended(record: DeploymentRecord, new: Deployment, now: datetime, policy: Policy) -> healed.Move:
    """
    Return *record* after the recoveries of the VMs that *new* moves away have ended.

    Raises:
        Refused: Another VM is being recovered, and does not move, or leaves (in-use).

    """
    going = _going(record, new) if activity(record) in _OPEN else {}
    told: tuple[Event, ...] = ()
    for vm in [record.vms[id_] for id_ in going]:
        record, more = _ended(record, vm, going[vm.id], now, policy)
        told = (*told, *more)
    if going:
        _check_others(record, new)
    return record, told


def _check_others(record: DeploymentRecord, new: Deployment) -> None:
    stays = next((vm for vm in record.vms.values() if recovering(vm)), None)
    if stays is None:
        return
    what, way = "does not move", f"move vm_group {stays.group} to another VIM as well"
    if stays.id in members.leaving(record, new):
        what, way = "leaves by this edit", f"move vm_group {stays.group} to another VIM instead"
    raise Refused(
        "in-use",
        f"update of deployment {record.key.name} cannot be taken: VM [{stays.name}] is being "
        f"recovered and {what}; {way}, or ask again at its VM_RECOVERY_COMPLETE",
    )


def _going(record: DeploymentRecord, new: Deployment) -> dict[VmId, VimId]:
    """Return the VMs that are to live in another VIM, by a locator that changes, while lost."""
    assert record.intent is not None
    locators = {each.name: each.locator for each in record.intent.groups}
    groups = {
        each.name: each
        for each in new.groups
        if locators.get(each.name, each.locator) != each.locator
    }
    found: dict[VmId, VimId] = {}
    for vm in record.vms.values():
        lost = recovering(vm) or (held.is_held(vm) and vm.state is VmState.INERT)
        if lost and vm.group in groups:
            migration = relocated(record, vm, groups[vm.group]).migration
            if migration is not None and migration.vim != vm.vim:
                found[vm.id] = migration.vim
    return found


def _ended(
    record: DeploymentRecord, vm: VmRecord, to: VimId, now: datetime, policy: Policy
) -> healed.Move:
    """Nothing was told of a recovery that is held, so nothing is of its end."""
    assert vm.recovery is not None
    cause = f"its recovery was broken off, since it is to move to VIM {to}"
    if held.is_held(vm):
        return with_vm(record, healed.in_error(vm, cause)), ()
    step = _STEPS.get(vm.recovery.phase)
    told = () if step is None else (step(record, vm, cause),)
    after, more = healed.ended_badly(record, _in_doubt(vm, now, policy), cause, now)
    return after, (*told, *more)


def _in_doubt(vm: VmRecord, now: datetime, policy: Policy) -> VmRecord:
    """Return *vm*, remembering that what is under way may still take effect."""
    settled = now + policy.settle
    if vm.state is VmState.REBOOTING:
        return replace(vm, late_switch=settled)
    if vm.state is VmState.DEPLOYING and vm.server is None:
        return replace(vm, unsure_until=settled)
    return vm


def answered(
    record: DeploymentRecord, vm: VmRecord, failure: CallFailed, now: datetime, policy: Policy
) -> Step:
    """What was under way when it was broken off has failed, or may take effect later still."""
    if not failure.in_doubt or vm.state is not VmState.ERROR:
        return unmoved(record)
    settled = now + policy.settle
    if failure.switch is not None and failure.switch == vm.switches and vm.late_switch is not None:
        known = replace(vm, late_switch=settled)
    elif failure.switch is None and vm.unsure_until is not None:
        known = replace(vm, unsure_until=settled)
    else:
        return unmoved(record)
    return Step(key=record.key, before=record, record=with_vm(record, known))
