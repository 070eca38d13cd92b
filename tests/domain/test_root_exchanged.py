"""The volume that guests boot from, exchanged on the same server (seed 002, ruling 25)."""

from dataclasses import replace

import pytest

from esc_daemon.domain.errors import Node, Refused
from esc_daemon.domain.ids import OperationId
from esc_daemon.domain.intent import GroupVolume, RecoveryAction, RecoveryPolicy
from esc_daemon.domain.record import ActionType, VmRecord
from esc_daemon.domain.states import ServiceState, VmState
from esc_daemon.domain.triggers import RecoveryAsked, VmActed
from tests.domain.fake_volumes import root_of
from tests.domain.pure_world import Luck, World
from tests.domain.stories import BOOT_SECONDS, SHOP, a_deployment, a_group
from tests.domain.updates import BEGUN, CHANGED, DONE, LIVES, change, standing, the_vms

OLD = GroupVolume(name="root", volid=0, size_gib=8, image="linux", boot_index=0)
RESTORED = GroupVolume(name="restored", volid=0, boot_index=0)
DATA = GroupVolume(name="data", volid=1, size_gib=2)
OP = OperationId("33333333-3333-3333-3333-333333333333")


def of(*volumes: GroupVolume):
    recovery = RecoveryPolicy(action=RecoveryAction.REDEPLOY_ONLY)
    return replace(a_group("web", "net", recovery=recovery), volumes=volumes)


def the_vm(world: World) -> VmRecord:
    (vm,) = the_vms(world)
    return vm


def had(world: World) -> set[str]:
    """Return the ids of the volumes that the server has."""
    (server,) = world.vim.servers.values()
    return {each.volume_id for each in world.vim.stored.of(server.key)}


def boots_from(world: World) -> str | None:
    (server,) = world.vim.servers.values()
    root = root_of(server.spec)
    return root.name if root else None


def boots(world: World) -> int:
    (server,) = world.vim.servers.values()
    return server.boots


def test_a_server_keeps_all_but_what_it_boots_from_and_its_guest_has_yet_to_live() -> None:
    # given
    world = standing(of(OLD, DATA))
    before, before_boots, data = the_vm(world), boots(world), the_vm(world).volumes[1]
    # when
    change(world, a_deployment(of(RESTORED, DATA)), rest=False)
    while world.types() != [BEGUN, CHANGED]:
        world._deed(strays=False)
    # then
    vm = the_vm(world)
    assert (vm.server, vm.interfaces, vm.generation) == (before.server, before.interfaces, 1)
    assert (vm.state, vm.deadline is None) == (VmState.INERT, False)
    assert vm.volumes[1] == data
    assert (boots_from(world), boots(world)) == ("restored", before_boots + 1)
    assert had(world) == {"oob-restored", data.volume_id}
    # and the update ends with its life
    world.rest()
    assert world.types() == [BEGUN, CHANGED, LIVES, DONE]
    assert world.log[1].vm_update_type == "VOLUME_UPDATED"
    assert the_vm(world).state is VmState.ALIVE


def test_what_was_made_for_the_vm_goes_and_what_is_out_of_band_stays() -> None:
    # given
    world = standing(of(OLD))
    # when
    change(world, a_deployment(of(RESTORED)))
    # then
    assert not world.vim.volumes.made
    # and back to one of its own
    change(world, a_deployment(of(OLD)))
    assert len(world.vim.volumes.made) == 1
    assert boots_from(world) == "root"
    assert had(world) == set(world.vim.volumes.made.values())


@pytest.mark.parametrize("volumes", [(OLD, RESTORED), (), (DATA,)])
def test_one_without_the_other_is_refused_with_the_path(volumes: tuple[GroupVolume, ...]) -> None:
    world = standing(of(RESTORED))
    wanted = tuple(replace(each, boot_index=None) if each is OLD else each for each in volumes)
    if RESTORED in volumes:
        world = standing(of(OLD))
    with pytest.raises(Refused) as caught:
        world.apply({SHOP: a_deployment(of(*wanted))})
    assert caught.value.tag == "operation-not-supported"
    assert caught.value.below[:2] == (Node("vm_group", "web"), Node("volumes"))


def test_where_the_vim_cannot_the_vm_goes_on_and_a_redeploy_boots_from_it() -> None:
    # given
    world = standing(of(OLD))
    world.vim.no_exchange = True
    # when
    change(world, a_deployment(of(RESTORED)))
    # then
    assert world.types() == [BEGUN, f"{CHANGED} FAILURE", LIVES, f"{DONE} FAILURE"]
    assert "cannot let a server boot from another volume" in world.log[1].message
    assert boots_from(world) == "root"
    assert len(world.vim.volumes.made) == 1
    # and what it had goes with the server that booted from it
    world.tell(SHOP, RecoveryAsked(vm=the_vm(world).id, id=OP))
    world.rest()
    assert boots_from(world) == "restored"
    assert not world.vim.volumes.made
    assert world.deployment(SHOP).state is ServiceState.ACTIVE


def test_what_the_vim_could_not_is_taken_back_by_an_edit_and_nothing_is_lost() -> None:
    # given
    world = standing(of(OLD))
    made, before = dict(world.vim.volumes.made), boots(world)
    world.vim.no_exchange = True
    change(world, a_deployment(of(RESTORED)))
    world.vim.no_exchange = False
    # when
    change(world, a_deployment(of(OLD)))
    # then
    assert world.vim.volumes.made == made
    assert (boots_from(world), boots(world)) == ("root", before)
    assert world.deployment(SHOP).state is ServiceState.ACTIVE
    assert the_vm(world).change is None


def test_a_guest_boots_once_also_where_the_answer_was_lost() -> None:
    # given
    world = standing(of(OLD))
    before = boots(world)
    world.apply({SHOP: a_deployment(of(RESTORED))})
    while not (slots := [slot for slot in world.flights if slot[1].startswith("server")]):
        world._deed(strays=False)
    # when
    world.perform(slots[0], Luck.LOST)
    world.deliver(slots[0])
    world.rest()
    # then
    assert world.types() == [BEGUN, CHANGED, LIVES, DONE]
    assert (boots_from(world), boots(world)) == ("restored", before + 1)
    assert not world.vim.volumes.made


def test_a_vm_that_is_stopped_stays_so_and_boots_from_it_when_it_is_started() -> None:
    # given: one of two, since a service keeps its min_active
    group = of(OLD)
    two = replace(group.scaling, min_active=1, max_active=2)
    world = standing(replace(group, scaling=two))
    world.tell(SHOP, VmActed(vm=the_vm(world).id, action=ActionType.STOP, id=OP, force=True))
    world.rest()
    world.log.clear()
    # when
    change(world, a_deployment(replace(of(RESTORED), scaling=two)))
    # then
    assert world.types() == [BEGUN, CHANGED, DONE]
    assert the_vm(world).state is VmState.SHUTOFF
    assert boots_from(world) == "restored"


def test_a_guest_that_does_not_boot_from_it_is_healed_as_any_other() -> None:
    # given
    world = standing(of(OLD))
    world.silent_vms.add(the_vm(world).id)
    # when
    change(world, a_deployment(of(RESTORED)), rest=False)
    while world.types() != [BEGUN, CHANGED]:
        world._deed(strays=False)
    world.sleep(BOOT_SECONDS)
    # then
    assert world.types()[2] == "VM_RECOVERY_INIT"
    world.silent_vms.clear()
    world.rest()
    assert boots_from(world) == "restored"
    assert world.types()[-1] == DONE


def test_a_guest_that_got_another_disk_has_its_time_to_boot_whatever_failed_after_that() -> None:
    # given: the exchange was done, the answer was lost, and then the VIM refuses
    world = standing(of(OLD))
    world.apply({SHOP: a_deployment(of(RESTORED))})
    for luck in (Luck.LOST, Luck.REFUSED):
        while not (slots := [slot for slot in world.flights if slot[1].startswith("server")]):
            world._deed(strays=False)
        # when
        world.perform(slots[0], luck)
        world.deliver(slots[0])
    # then
    assert world.types() == [BEGUN, f"{CHANGED} FAILURE"]
    assert boots_from(world) == "restored"
    assert (the_vm(world).state, the_vm(world).deadline is None) == (VmState.INERT, False)
    world.rest()
    assert world.types()[2:] == [LIVES, f"{DONE} FAILURE"]
