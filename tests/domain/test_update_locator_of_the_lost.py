"""Moves of VMs whose recovery waits, is held or is under way (ruling 13)."""

from dataclasses import replace

import pytest

from esc_daemon.domain.commands import call_slot
from esc_daemon.domain.errors import Refused
from esc_daemon.domain.ids import ServerKey, VimId
from esc_daemon.domain.intent import RecoveryAction, RecoveryPolicy, VmGroup
from esc_daemon.domain.record import (
    ActionType,
    OperationType,
    RecoveryPhase,
    VmRecord,
)
from esc_daemon.domain.specs import ServerStatus
from esc_daemon.domain.states import ServiceState, VmState
from esc_daemon.domain.triggers import RecoveryAsked, Restarted, VmActed
from tests.domain.fake_vim import FakeVim
from tests.domain.legal import illegal
from tests.domain.lost import doubled, in_vim_but_unknown
from tests.domain.moving import (
    FAR,
    ONE,
    OP,
    last,
    moved,
    on,
    pair,
    servers,
    the_vm,
    under_way,
    until,
    world_of,
)
from tests.domain.pure_world import VIM, Luck, World
from tests.domain.stories import SHOP, a_deployment
from tests.domain.updates import BEGUN, CHANGED, DONE, change, cross, the_vms

INIT, ENDED = "VM_RECOVERY_INIT", "VM_RECOVERY_COMPLETE FAILURE"
REBOOT, REMOVED, MADE = "VM_RECOVERY_REBOOT", "VM_RECOVERY_UNDEPLOYED", "VM_RECOVERY_DEPLOYED"
REBOOTS = RecoveryPolicy(action=RecoveryAction.REBOOT_ONLY, max_retries=-1)
REDEPLOYS = RecoveryPolicy(action=RecoveryAction.REDEPLOY_ONLY, max_retries=-1)
WAITS = replace(ONE, recovery_wait_time=3600)
BROKEN_OFF = "its recovery was broken off, since it is to move to VIM far"


def lost(group: VmGroup) -> World:
    """Return a world whose VM of *group* has fallen silent; its story is told from the start."""
    world = World(others={FAR: FakeVim()})
    world.apply({SHOP: a_deployment(group)})
    world.rest()
    world.silent_vms.update(vm.id for vm in the_vms(world))
    cross(world, holds=False)
    return world


def told(world: World) -> list[str]:
    """Return what was told since the service was up."""
    return world.types()[world.types().index("SERVICE_ALIVE") + 1 :]


def waiting() -> World:
    return lost(WAITS)


def rebooting() -> World:
    world = lost(replace(ONE, recovery=REBOOTS))
    assert under_way(world, "SwitchServer", VIM)
    return world


def booting() -> World:
    world = rebooting()
    answers(world)
    assert the_vm(world).state is VmState.INERT
    return world


def removing() -> World:
    world = lost(replace(ONE, recovery=REDEPLOYS))
    assert under_way(world, "RemoveServer", VIM)
    return world


def making() -> World:
    world = removing()
    answers(world)
    assert under_way(world, "EnsureServer", VIM)
    return world


def building() -> World:
    """Return a world in which the old VIM still builds the next generation."""
    world = making()
    answers(world)
    assert under_way(world, "AwaitServer", VIM)
    return world


def answers(world: World, luck: Luck = Luck.DONE, vim: VimId = VIM) -> None:
    """Let the call about the VM in *vim* be answered, the one that it leaves unless given."""
    slot = SHOP, call_slot(vim, the_vm(world).id)
    assert world.perform(slot, luck)
    world.deliver(slot)


def neighbours_answer(world: World) -> None:
    world.perform((SHOP, "await"), Luck.DONE)
    world.deliver((SHOP, "await"))


WAYS = {
    waiting: [INIT, ENDED],
    rebooting: [INIT, f"{REBOOT} FAILURE", ENDED],
    booting: [INIT, REBOOT, ENDED],
    removing: [INIT, f"{REMOVED} FAILURE", ENDED],
    making: [INIT, REMOVED, f"{MADE} FAILURE", ENDED],
    building: [INIT, REMOVED, f"{MADE} FAILURE", ENDED],
}
"""Where a recovery is, and what is told of it once its VM is to move."""
CALLS = (rebooting, removing, making)


def goes(world: World, group: VmGroup | None = None) -> VmRecord:
    """Ask for the move of the VM, which answers where it comes to."""
    before = the_vm(world)
    world.silent_vms.clear()
    there = world.deployment(SHOP).intent
    assert there is not None
    moved(world, on(FAR, group or there.groups[0]), rest=False)
    return before


@pytest.mark.parametrize("dead", [False, True])
@pytest.mark.parametrize("way", WAYS)
def test_a_vm_that_is_recovered_moves_once_its_recovery_has_ended_in_vain(way, *, dead) -> None:
    # given
    world = way()
    world.dead = {VIM} if dead else set()
    # when
    before = goes(world)
    # then
    assert told(world) == [*WAYS[way], BEGUN]
    assert the_vm(world).recovery is None
    assert [each.details for each in world.log if each.status != "SUCCESS"] == [BROKEN_OFF] * (
        len(WAYS[way]) - len([each for each in WAYS[way] if "FAILURE" not in each])
    )
    # and
    world.rest()
    assert told(world) == [*WAYS[way], BEGUN, CHANGED, DONE]
    vm = the_vm(world)
    assert (vm.state, vm.vim, vm.error) == (VmState.ALIVE, FAR, None)
    assert vm.interfaces[0].ip_address == before.interfaces[0].ip_address
    assert servers(world)[FAR] == [ServerKey(vm.id, before.generation + 1)]
    assert world.deployment(SHOP).state is ServiceState.ACTIVE
    left = [each.vm.generation for each in world.deployment(SHOP).leftovers]
    assert left == [before.generation] * dead
    assert not doubled(world)
    assert not in_vim_but_unknown(world)
    assert not list(illegal(world.log))
    # and: once the old VIM is back nothing is left there
    world.dead = set()
    world.rest()
    assert servers(world).keys() == {FAR}
    assert not world.deployment(SHOP).leftovers
    assert not world.vim.ports


def test_a_recovery_without_end_in_a_dead_vim_is_ended_by_a_move_alone() -> None:
    # given
    world = rebooting()
    world.dead = {VIM}
    for _ in range(300):
        assert world._deed(strays=False)
    assert the_vm(world).recovery
    with pytest.raises(Refused, match="a VM of it is being recovered"):
        change(world, a_deployment(replace(ONE, recovery=RecoveryPolicy())))
    # when
    goes(world)
    world.rest()
    # then
    assert told(world)[-4:] == [ENDED, BEGUN, CHANGED, DONE]


@pytest.mark.parametrize("luck", list(Luck))
@pytest.mark.parametrize("way", CALLS)
def test_what_is_under_way_in_the_old_vim_is_answered_before_more_is_asked_there(way, luck) -> None:
    # given
    world = way()
    slot = SHOP, call_slot(VIM, the_vm(world).id)
    call = world.flights[slot].command
    # when
    goes(world)
    until(world, lambda it: not under_way(it, "ProveServer"))
    # then
    assert world.flights[slot].command == call
    answers(world, luck)
    world.rest()
    assert world.types()[-2:] == [CHANGED, DONE]
    assert servers(world).keys() == {FAR}
    assert not doubled(world)
    assert not world.vim.ports


@pytest.mark.parametrize("luck", list(Luck))
@pytest.mark.parametrize("way", CALLS)
@pytest.mark.parametrize("later", [0.0, 100.0])
def test_its_answer_is_none_about_the_vim_that_is_asked_for_the_move(way, luck, later) -> None:
    # given: it comes while the new VIM is asked
    world = way()
    goes(world)
    neighbours_answer(world)
    assert under_way(world, "ProveServer")
    world.sleep(later)
    # when
    answers(world, luck)
    # then
    assert under_way(world, "ProveServer")
    assert the_vm(world).attempt is not None
    assert the_vm(world).attempt.tries == 0
    world.rest()
    assert world.types()[-2:] == [CHANGED, DONE]
    assert servers(world).keys() == {FAR}
    assert not doubled(world)


@pytest.mark.parametrize("luck", list(Luck))
@pytest.mark.parametrize("way", CALLS)
@pytest.mark.parametrize("later", [0.0, 50.0])
def test_what_a_restart_cut_off_may_turn_up_and_is_waited_for(way, luck, later) -> None:
    # given
    world = way()
    slot = SHOP, call_slot(VIM, the_vm(world).id)
    goes(world)
    world.sleep(later)
    # when
    world.restart({slot: luck})
    world.rest()
    # then
    assert world.types()[-2:] == [CHANGED, DONE]
    assert servers(world).keys() == {FAR}
    assert not doubled(world)


@pytest.mark.parametrize("way", WAYS)
def test_what_cannot_move_then_is_in_error_where_it_is_until_it_is_recovered_by_hand(way) -> None:
    # given
    world = way()
    world.others[FAR].lacks = {"linux"}
    # when
    goes(world)
    world.rest()
    # then
    assert told(world) == [*WAYS[way], BEGUN, f"{CHANGED} FAILURE", f"{DONE} FAILURE"]
    vm = the_vm(world)
    assert (vm.state, vm.vim) == (VmState.ERROR, VIM)
    assert "there is no image linux" in last(world).message
    assert world.deployment(SHOP).state is ServiceState.ERROR
    # and when
    world.tell(SHOP, RecoveryAsked(id=OP, vm=vm.id))
    world.rest()
    # then
    assert the_vm(world).state is VmState.ALIVE
    assert servers(world).keys() == {VIM}
    assert not doubled(world)
    assert not list(illegal(world.log))


def test_one_whose_making_was_broken_off_and_came_true_later_is_made_anew_by_hand() -> None:
    # given: it could not move, and is not to be made anew any more
    world = making()
    world.others[FAR].lacks = {"linux"}
    goes(world)
    answers(world, Luck.LATE)
    world.rest()
    assert world.vim.servers
    moved(world, on(FAR, replace(ONE, recovery=REBOOTS)))
    asked = RecoveryAsked(id=OP, vm=the_vm(world).id)
    # when
    with pytest.raises(Refused, match=r"may have a server that is not known.* REDEPLOY_ONLY"):
        world.tell(SHOP, asked)
    # and what is said is done
    moved(world, on(FAR, replace(ONE, recovery=REDEPLOYS)))
    world.tell(SHOP, asked)
    world.rest()
    # then
    assert the_vm(world).state is VmState.ALIVE
    assert servers(world)[VIM] == [ServerKey(the_vm(world).id, the_vm(world).generation)]
    assert not doubled(world)


@pytest.mark.parametrize("restarted", [False, True])
def test_a_reboot_that_was_broken_off_overtakes_no_stop(*, restarted: bool) -> None:
    # given: the move failed at once, and nobody knows of the reboot
    world = rebooting()
    world.others[FAR].lacks = {"linux"}
    goes(world)
    neighbours_answer(world)
    answers(world, vim=FAR)
    assert world.types()[-1] == f"{DONE} FAILURE"
    slot = SHOP, call_slot(VIM, the_vm(world).id)
    world.sleep(300)
    if restarted:
        world.restart({slot: Luck.LATE})
    else:
        answers(world, Luck.LATE)
    # when
    stop = VmActed(id=OP, vm=the_vm(world).id, action=ActionType.STOP, force=True)
    world.tell(SHOP, stop)
    world.rest()
    # then
    [server] = world.vim.servers.values()
    assert the_vm(world).state is VmState.SHUTOFF
    assert server.status is ServerStatus.SHUTOFF


@pytest.mark.parametrize("way", WAYS)
def test_an_undeploy_then_takes_all_of_it_away(way) -> None:
    world = way()
    goes(world)
    world.apply({SHOP: None})
    world.rest()
    assert SHOP not in world.records
    assert not servers(world)
    assert not any(vim.ports for vim in world.vims)
    assert not list(illegal(world.log))


def test_its_recovery_is_an_operation_that_failed_and_its_move_is_another_one() -> None:
    world = waiting()
    healing = world.deployment(SHOP).operation
    goes(world)
    now = world.deployment(SHOP).operation
    assert healing is not None
    assert now is not None
    assert (healing.type, now.type) == (OperationType.HEAL, OperationType.MODIFY_INFO)
    assert the_vm(world).history.recovery_outcome == f"failed: {BROKEN_OFF}"


def test_a_failure_that_comes_when_nothing_is_in_doubt_changes_nothing() -> None:
    # given: a VM in error, none of whose calls is under way
    world = waiting()
    world.others[FAR].lacks = {"linux"}
    goes(world)
    world.rest()
    before = world.deployment(SHOP)
    # when
    world.tell(SHOP, Restarted())
    # then
    assert world.deployment(SHOP) is before


# ------------------------------------------------------------------ what is held


def test_one_that_lived_and_is_held_moves_without_a_word_of_recovery() -> None:
    # given: the guard holds it for as long as its VIM is dead
    world = world_of(ONE)
    world.guarded, world.dead = True, {VIM}
    cross(world, holds=False)
    assert the_vm(world).recovery
    world.sleep(30 * 24 * 3600)
    assert the_vm(world).recovery
    # when
    moved(world, on(FAR))
    # then
    assert world.types() == [BEGUN, CHANGED, DONE]
    assert (the_vm(world).vim, the_vm(world).state) == (FAR, VmState.ALIVE)


def test_one_that_never_lived_since_it_was_started_and_is_held_moves_as_well() -> None:
    # given
    world = world_of(ONE)
    vm = the_vm(world)
    world.tell(SHOP, VmActed(id=OP, vm=vm.id, action=ActionType.REBOOT))
    world.silent_vms.add(vm.id)
    until(world, lambda it: the_vm(it).state is VmState.INERT)
    world.guarded, world.dead = True, {VIM}
    world.sleep(30 * 24 * 3600)
    recovery = the_vm(world).recovery
    assert recovery is not None
    assert (the_vm(world).state, recovery.phase) == (VmState.INERT, RecoveryPhase.HELD)
    world.log.clear()
    # when: an update of anything else is refused for as long
    with pytest.raises(Refused, match="boots; ask again when it is alive"):
        change(world, a_deployment(replace(ONE, flavor="large")))
    goes(world)
    world.rest()
    # then
    assert world.types() == [BEGUN, CHANGED, DONE]
    assert (the_vm(world).vim, the_vm(world).state) == (FAR, VmState.ALIVE)


@pytest.mark.parametrize("updating", [False, True])
def test_what_a_deployment_or_an_update_waits_for_is_held_until_the_guard_lets_it_go(
    *, updating: bool
) -> None:
    # given: its VM, or a new one of it, never lives, and the VIM cannot be used
    world = World(others={FAR: FakeVim()}, guarded=True)
    if updating:
        world.apply({SHOP: a_deployment(ONE)})
        world.rest()
    group = pair() if updating else ONE
    change(world, a_deployment(group), rest=False)
    world.silent_vms.update(vm.id for vm in the_vms(world))
    until(world, lambda it: bool(the_vms(it)[-1].recovery))
    world.dead = {VIM}
    world.sleep(30 * 24 * 3600)
    # then
    with pytest.raises(Refused, match=r"it is being (deployed|updated)"):
        change(world, a_deployment(on(FAR, group)))
    # and when: the hold is released, and the recovery that begins is in vain
    world.guarded = False
    world._permit()
    world.rest()
    assert ENDED in world.types()
    world.silent_vms.clear()
    moved(world, on(FAR, group))
    # then
    assert world.types()[-1] == DONE
    assert {vm.vim for vm in the_vms(world)} == {FAR}
