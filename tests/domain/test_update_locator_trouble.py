"""Moves from one VIM to another that meet with trouble, in either VIM or by what comes between."""

from dataclasses import replace

import pytest

from esc_daemon.domain.commands import EnsureServer, call_slot
from esc_daemon.domain.errors import Refused
from esc_daemon.domain.ids import ServerKey
from esc_daemon.domain.intent import (
    RecoveryAction,
    RecoveryPolicy,
    RecoveryType,
)
from esc_daemon.domain.record import ActionType
from esc_daemon.domain.states import ServiceState, VmState
from esc_daemon.domain.triggers import KpiCrossed, RecoveryAsked, ServerDrifted, VmActed
from tests.domain.lost import doubled
from tests.domain.moving import (
    FAR,
    MOON,
    ONE,
    OP,
    last,
    meet,
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
from tests.domain.stories import SHOP, a_deployment, a_group
from tests.domain.updates import BEGUN, CHANGED, DONE, change, cross, the_vms

# ------------------------------------------------------------------ the new VIM cannot have it


def test_what_the_new_vim_lacks_changes_nothing_where_it_is() -> None:
    # given
    world = world_of(pair())
    world.others[FAR].lacks = {"linux"}
    before = servers(world)
    # when
    moved(world, on(FAR, pair()))
    # then
    assert world.types() == [BEGUN, f"{CHANGED} FAILURE", f"{DONE} FAILURE"]
    assert servers(world) == before
    text = "in VIM far: there is no image linux"
    assert text in last(world).message
    assert text in last(world, DONE).message
    assert last(world).source.vim_id == VIM
    assert [(vm.state, vm.vim) for vm in the_vms(world)] == [(VmState.ALIVE, VIM)] * 2
    assert len(world.watches()) == 2
    assert world.deployment(SHOP).state is ServiceState.ERROR


def test_a_new_vim_that_is_silent_is_given_up_and_nothing_has_changed() -> None:
    world = world_of(ONE)
    world.dead = {FAR}
    moved(world, on(FAR))
    assert world.types() == [BEGUN, f"{CHANGED} FAILURE", f"{DONE} FAILURE"]
    assert "gave up after 20 min" in last(world).message
    assert servers(world) == {VIM: [ServerKey(the_vm(world).id, 1)]}


def test_a_move_that_failed_is_tried_again_by_the_next_update() -> None:
    world = world_of(ONE)
    world.others[FAR].lacks = {"linux"}
    moved(world, on(FAR))
    world.others[FAR].lacks = set()
    world.log.clear()
    moved(world, on(FAR, replace(ONE, bootup_time=77)))
    assert world.types() == [BEGUN, CHANGED, DONE]
    assert servers(world) == {FAR: [ServerKey(the_vm(world).id, 2)]}
    assert world.deployment(SHOP).state is ServiceState.ACTIVE


@pytest.mark.parametrize("stopped", [False, True])
def test_an_edit_back_takes_a_move_that_failed_back(*, stopped: bool) -> None:
    world = world_of(ONE)
    world.others[FAR].lacks = {"linux"}
    moved(world, on(FAR))
    if stopped:
        stop = VmActed(id=OP, vm=the_vm(world).id, action=ActionType.STOP, force=True)
        world.tell(SHOP, stop)
        world.rest()
    world.log.clear()
    moved(world, ONE)
    assert world.types() == [BEGUN, CHANGED, DONE]
    assert the_vm(world).migration is None
    assert world.deployment(SHOP).state is ServiceState.ACTIVE


def test_a_service_stays_in_error_while_a_stopped_vm_still_has_to_move() -> None:
    # given a move that failed, and its VM stopped since, which no update moves
    world = world_of(pair())
    world.others[FAR].lacks = {"linux"}
    moved(world, on(FAR, pair()))
    stop = VmActed(id=OP, vm=the_vms(world)[0].id, action=ActionType.STOP, force=True)
    world.tell(SHOP, stop)
    world.rest()
    world.others[FAR].lacks = set()
    # when another update moves the others
    world.log.clear()
    moved(world, on(FAR, replace(pair(), bootup_time=77)))
    # then
    assert world.types()[-1] == DONE
    assert [vm.vim for vm in the_vms(world)] == [VIM, FAR]
    assert world.deployment(SHOP).state is ServiceState.ERROR
    assert the_vms(world)[0].name in (world.deployment(SHOP).error or "")


def test_what_cannot_be_made_there_is_made_again_where_it_was() -> None:
    # given
    world = world_of(ONE)
    vm = the_vm(world)
    moved(world, on(FAR), rest=False)
    # when
    meet(world, "EnsureServer", Luck.REFUSED)
    world.rest()
    # then
    assert world.types() == [BEGUN, f"{CHANGED} FAILURE", f"{DONE} FAILURE"]
    assert servers(world) == {VIM: [ServerKey(vm.id, 3)]}
    after = the_vm(world)
    assert (after.vim, after.state) == (VIM, VmState.ALIVE)
    assert after.interfaces[0].ip_address == vm.interfaces[0].ip_address
    assert "in VIM far: call refused; it is in VIM sim again" in last(world).message
    assert last(world).source.vim_id == VIM
    assert "in VIM far: call refused" in last(world, DONE).message
    assert world.deployment(SHOP).state is ServiceState.ERROR
    assert not world.others[FAR].ports


def test_a_server_that_the_new_vim_cannot_build_is_removed_there_before_it_is_made_again() -> None:
    world = world_of(ONE)
    vm = the_vm(world)
    moved(world, on(FAR), rest=False)
    until(world, lambda it: bool(it.others[FAR].servers))
    world.bad_vms.add(vm.id)
    until(world, lambda it: under_way(it, "EnsureServer", VIM))
    world.bad_vms.clear()
    assert not servers(world)
    world.rest()
    assert servers(world) == {VIM: [ServerKey(vm.id, 3)]}
    assert "No valid host was found; it is in VIM sim again" in last(world).message


def test_a_create_that_may_still_turn_up_is_waited_for_before_it_goes_back() -> None:
    # given
    world = world_of(ONE)
    moved(world, on(FAR), rest=False)
    meet(world, "EnsureServer", Luck.LATE)
    world.dead = {FAR}
    # when: the VIM is away until it is given up, and what is on its way arrives
    until(world, lambda it: under_way(it, "RemoveServer") or it.types()[-1] == f"{DONE} FAILURE")
    world.dead = set()
    world.rest()
    # then
    assert not doubled(world)
    assert servers(world) == {VIM: [ServerKey(the_vm(world).id, 3)]}


def test_what_stays_in_the_new_vim_is_a_leftover_and_it_goes_back_all_the_same() -> None:
    # given
    world = world_of(ONE)
    vm = the_vm(world)
    moved(world, on(FAR), rest=False)
    until(world, lambda it: bool(it.others[FAR].servers))
    world.bad_vms.add(vm.id)
    until(world, lambda it: under_way(it, "RemoveServer"))
    # when
    world.bad_vms.clear()
    world.dead = {FAR}
    until(world, lambda it: f"{DONE} FAILURE" in it.types())
    # then
    assert servers(world) == {VIM: [ServerKey(vm.id, 3)], FAR: [ServerKey(vm.id, 2)]}
    [left] = world.deployment(SHOP).leftovers
    assert (left.vm.vim, left.vm.generation) == (FAR, 2)
    assert the_vm(world).state is VmState.ALIVE
    # and: it is not sent there again before that has gone
    with pytest.raises(Refused, match=r"in VIM far as a leftover; .*leftoverAction RETRY"):
        world.apply({SHOP: a_deployment(on(FAR, project="other"))})
    world.dead = set()
    world.rest()
    assert servers(world) == {VIM: [ServerKey(vm.id, 3)]}
    assert world.vim.ports


def test_what_cannot_be_made_again_is_a_vm_in_error() -> None:
    world = world_of(ONE)
    moved(world, on(FAR), rest=False)
    meet(world, "EnsureServer", Luck.REFUSED)
    meet(world, "EnsureServer", Luck.REFUSED, VIM)
    world.rest()
    vm = the_vm(world)
    assert (vm.state, vm.vim) == (VmState.ERROR, VIM)
    assert not servers(world)
    assert "could not be made again where it was: call refused" in last(world).message
    assert world.types() == [BEGUN, f"{CHANGED} FAILURE", f"{DONE} FAILURE"]
    # and: the next update moves it
    world.log.clear()
    moved(world, on(FAR, replace(ONE, bootup_time=77)))
    assert world.types() == [BEGUN, CHANGED, DONE]
    assert the_vm(world).state is VmState.ALIVE
    assert world.deployment(SHOP).state is ServiceState.ACTIVE


def test_a_vm_that_does_not_live_in_time_fails_and_is_healed_where_it_is_now() -> None:
    # given
    world = world_of(ONE)
    vm = the_vm(world)
    world.silent_vms.add(vm.id)
    moved(world, on(FAR), rest=False)
    # when
    until(world, lambda it: f"{CHANGED} FAILURE" in it.types())
    world.silent_vms.clear()
    world.rest()
    # then
    assert "did not answer within its bootup_time" in last(world).message
    assert last(world).source.vim_id == FAR
    assert world.types()[:3] == [BEGUN, f"{CHANGED} FAILURE", "VM_RECOVERY_INIT"]
    assert world.types()[-1] == f"{DONE} FAILURE"
    assert the_vm(world).state is VmState.ALIVE
    assert the_vm(world).vim == FAR


# ------------------------------------------------------------------ the old VIM is dead


def test_a_dead_vim_keeps_a_leftover_and_the_move_goes_on() -> None:
    # given
    world = world_of(ONE)
    vm = the_vm(world)
    world.dead = {VIM}
    # when
    moved(world, on(FAR))
    # then
    assert world.types() == [BEGUN, CHANGED, DONE]
    assert servers(world) == {VIM: [ServerKey(vm.id, 1)], FAR: [ServerKey(vm.id, 2)]}
    [left] = world.deployment(SHOP).leftovers
    assert (left.vm.vim, left.vm.generation, left.vm.migration) == (VIM, 1, None)
    assert f"VM [{vm.name}] of vm_group web is left in VIM sim" in (last(world).details or "")
    assert the_vm(world).interfaces[0].ip_address == vm.interfaces[0].ip_address
    # and when
    world.dead = set()
    world.rest()
    # then
    assert servers(world) == {FAR: [ServerKey(vm.id, 2)]}
    assert not world.deployment(SHOP).leftovers
    assert not world.vim.ports
    assert world.others[FAR].ports


def test_after_a_failed_recovery_the_service_is_active_again() -> None:
    # given: scenario 2
    group = a_group("web", "net", recovery=RecoveryPolicy(action=RecoveryAction.REBOOT_ONLY))
    world = world_of(group)
    vm = the_vm(world)
    world.dead = {VIM}
    world.silent_vms.add(vm.id)
    cross(world, holds=False)
    world.rest()
    assert world.types()[-1] == "VM_RECOVERY_COMPLETE FAILURE"
    assert world.deployment(SHOP).state is ServiceState.ERROR
    world.log.clear()
    world.silent_vms.clear()
    # when
    moved(world, on(FAR, group))
    # then
    assert world.types() == [BEGUN, CHANGED, DONE]
    assert world.deployment(SHOP).state is ServiceState.ACTIVE
    assert the_vm(world).state is VmState.ALIVE
    assert the_vm(world).error is None


def test_a_vm_without_a_server_moves_as_well() -> None:
    # given
    group = replace(
        ONE, recovery=RecoveryPolicy(action=RecoveryAction.REDEPLOY_ONLY, max_retries=1)
    )
    world = world_of(group)
    world.tell(SHOP, RecoveryAsked(id=OP, vm=the_vm(world).id))
    meet(world, "EnsureServer", Luck.REFUSED, VIM)
    world.rest()
    assert (the_vm(world).server, the_vm(world).state) == (None, VmState.ERROR)
    world.log.clear()
    # when
    moved(world, on(FAR, group))
    # then
    assert world.types() == [BEGUN, CHANGED, DONE]
    assert servers(world) == {FAR: [ServerKey(the_vm(world).id, 3)]}


def test_one_that_the_operator_is_asked_about_moves_and_nobody_is_asked_any_more() -> None:
    # given
    group = replace(ONE, recovery=RecoveryPolicy(type=RecoveryType.MANUAL))
    world = world_of(group)
    cross(world, holds=False)
    assert the_vm(world).recovery
    world.log.clear()
    # when
    moved(world, on(FAR, group))
    # then
    assert world.types() == [BEGUN, CHANGED, DONE]
    assert the_vm(world).recovery is None


def test_where_the_old_server_stays_and_the_new_one_cannot_be_made_the_vm_is_in_error() -> None:
    world = world_of(ONE)
    vm = the_vm(world)
    world.dead = {VIM}
    moved(world, on(FAR), rest=False)
    meet(world, "EnsureServer", Luck.REFUSED)
    world.rest()
    assert world.types() == [BEGUN, f"{CHANGED} FAILURE", f"{DONE} FAILURE"]
    after = the_vm(world)
    assert (after.state, after.vim, after.server) == (VmState.ERROR, FAR, None)
    assert "is left in VIM sim" in last(world).message
    assert servers(world) == {VIM: [ServerKey(vm.id, 1)]}
    # and: it is made there by a recovery
    world.tell(SHOP, RecoveryAsked(id=OP, vm=vm.id))
    world.rest()
    assert the_vm(world).state is VmState.ALIVE
    assert not doubled(world)


def test_within_one_vim_a_server_that_stays_ends_the_move() -> None:
    world = world_of(on("", project="blue"))
    vm = the_vm(world)
    moved(world, on("", project="green"), rest=False)
    until(world, lambda it: under_way(it, "RemoveServer", VIM))
    world.dead = {VIM}
    world.rest()
    assert world.types() == [BEGUN, f"{CHANGED} FAILURE", f"{DONE} FAILURE"]
    assert (the_vm(world).state, the_vm(world).generation) == (VmState.ERROR, vm.generation)
    assert not world.deployment(SHOP).leftovers


# ------------------------------------------------------------------ what comes in between

STEPS = ("ProveServer", "RemoveServer", "EnsureServer")


def at_step(step: str, world: World) -> World:
    moved(world, on(FAR), rest=False)
    vim = VIM if step == "RemoveServer" else FAR
    until(world, lambda it: under_way(it, step, vim))
    return world


@pytest.mark.parametrize("luck", list(Luck))
@pytest.mark.parametrize("step", STEPS)
def test_an_undeploy_takes_it_away_wherever_it_is(step: str, luck: Luck) -> None:
    world = at_step(step, world_of(ONE))
    slot = SHOP, call_slot(VIM if step == "RemoveServer" else FAR, the_vm(world).id)
    if luck in {Luck.LATE, Luck.LOST}:
        world.perform(slot, luck)
    world.apply({SHOP: None})
    world.rest()
    assert SHOP not in world.records
    assert not servers(world)
    assert not any(vim.ports for vim in world.vims)
    assert world.types()[-2:] == ["VM_UNDEPLOYED", "SERVICE_UNDEPLOYED"]
    assert not doubled(world)


@pytest.mark.parametrize("luck", list(Luck))
@pytest.mark.parametrize("step", STEPS)
def test_a_restart_goes_on_where_it_was(step: str, luck: Luck) -> None:
    # given
    world = at_step(step, world_of(ONE))
    slot = SHOP, call_slot(VIM if step == "RemoveServer" else FAR, the_vm(world).id)
    # when
    world.restart({slot: luck})
    world.rest()
    # then
    assert world.types() == [BEGUN, CHANGED, DONE]
    assert servers(world) == {FAR: [ServerKey(the_vm(world).id, 2)]}
    assert not doubled(world)


def test_a_proof_for_another_vim_is_none() -> None:
    # given: an answer that comes twice, the second time in the next update
    world = world_of(ONE)
    moved(world, on(FAR), rest=False)
    until(world, lambda it: under_way(it, "ProveServer"))
    slot = SHOP, call_slot(FAR, the_vm(world).id)
    world.perform(slot, Luck.DONE)
    world.deliver(slot, twice=True)
    stray = world.strays.pop()
    until(world, lambda it: under_way(it, "EnsureServer"))
    meet(world, "EnsureServer", Luck.REFUSED)
    world.rest()
    moved(world, on(MOON), rest=False)
    until(world, lambda it: under_way(it, "ProveServer", MOON))
    # when
    world.tell(*stray)
    # then
    assert under_way(world, "ProveServer", MOON)


def test_life_and_drift_of_the_old_server_mean_nothing_while_it_is_proven() -> None:
    world = world_of(ONE)
    vm = the_vm(world)
    moved(world, on(FAR), rest=False)
    until(world, lambda it: under_way(it, "ProveServer"))
    before = world.deployment(SHOP)
    key = ServerKey(vm.id, 1)
    world.tell(SHOP, ServerDrifted(key=key, status=None))
    world.tell(SHOP, KpiCrossed(server=key, event_name="VM_ALIVE", holds=False))
    world.tell(SHOP, KpiCrossed(server=key, event_name="VM_ALIVE", holds=True))
    assert world.deployment(SHOP) is before


def test_a_vm_that_came_back_while_neighbours_were_awaited_moves_as_well() -> None:
    # given: the operator is asked about it
    group = replace(ONE, recovery=RecoveryPolicy(type=RecoveryType.MANUAL))
    world = world_of(group)
    cross(world, holds=False)
    moved(world, on(FAR, group), rest=False)
    assert the_vm(world).recovery
    # when
    cross(world, holds=True)
    assert the_vm(world).state is VmState.ALIVE
    world.rest()
    # then
    assert world.types()[-2:] == [CHANGED, DONE]
    assert servers(world) == {FAR: [ServerKey(the_vm(world).id, 2)]}


def test_a_recovery_that_began_while_neighbours_were_awaited_holds_all_moves_up() -> None:
    # given: as before, and it is lost again, which nobody is asked about any more
    group = replace(ONE, recovery=RecoveryPolicy(type=RecoveryType.MANUAL))
    auto = replace(group, recovery=RecoveryPolicy())
    world = world_of(group)
    cross(world, holds=False)
    change(world, a_deployment(auto), rest=False)
    moved(world, on(FAR, auto), rest=False)
    # when
    cross(world, holds=True)
    cross(world, holds=False)
    assert the_vm(world).recovery
    until(world, lambda it: not under_way(it, "ProveServer"))
    world.rest()
    # then
    assert "it is being recovered" in last(world, DONE).message
    assert "VIM Locator update failed" in last(world).message
    assert world.told(CHANGED)[1:] == [last(world)]
    assert servers(world).keys() == {VIM}


def test_the_new_server_gets_the_day_zero_files_of_its_place() -> None:
    world = world_of(pair())
    moved(world, on(FAR, pair()), rest=False)
    second = the_vms(world)[1]
    slot = SHOP, call_slot(FAR, second.id)
    until(
        world,
        lambda it: slot in it.flights and isinstance(it.flights[slot].command, EnsureServer),
    )
    command = world.flights[slot].command
    assert isinstance(command, EnsureServer)
    assert command.index == 1
