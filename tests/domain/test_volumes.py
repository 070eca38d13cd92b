"""Volumes of VMs: made, found, kept and deleted with them, and changed by updates."""

from dataclasses import replace

import pytest

from esc_daemon.domain.commands import RemoveServer
from esc_daemon.domain.errors import Node, Refused
from esc_daemon.domain.ids import Key, Kind
from esc_daemon.domain.intent import GroupVolume, Scaling, TenantVolume, VmGroup
from esc_daemon.domain.record import VmRecord
from tests.domain.lost import in_vim_but_unknown
from tests.domain.pure_world import Luck, World
from tests.domain.stories import (
    ACME,
    SHOP,
    TENANT,
    a_deployment,
    a_group,
    a_tenant,
    an_image,
)
from tests.domain.updates import BEGUN, CHANGED, DONE, change, cross, standing, the_vms

DATA = GroupVolume(name="data", volid=1, size_gib=2)
LOGS = GroupVolume(name="logs", volid=2, size_gib=1)
SHARED = GroupVolume(name="licences")
ROOT = GroupVolume(name="root", volid=0, size_gib=8, image="linux", boot_index=0)


def of(*volumes: GroupVolume, vms: int = 1) -> VmGroup:
    return replace(
        a_group("web", "net"), volumes=volumes, scaling=Scaling(min_active=vms, max_active=vms)
    )


def the_vm(world: World) -> VmRecord:
    (vm,) = the_vms(world)
    return vm


def ids(world: World) -> dict[str, str | None]:
    """Return the ids of the VM's volumes as its record has them, in order."""
    return {each.want.name: each.volume_id for each in the_vm(world).volumes}


def attached(world: World) -> list[set[str]]:
    """Return the ids of the volumes that each server has."""
    vim = world.vim
    return [
        {each.volume_id for each in vim.stored.of(server.key)} for server in vim.servers.values()
    ]


def refuse(world: World) -> None:
    """Let everything go well until the VIM refuses the next call about a server."""
    while not (slots := [slot for slot in world.flights if slot[1].startswith("server")]):
        world._deed(strays=False)
    world.perform(slots[0], Luck.REFUSED)
    world.deliver(slots[0])
    world.rest()


def test_each_vm_gets_volumes_of_its_own_and_they_go_with_it() -> None:
    # given
    world = standing(of(DATA, ROOT, vms=2))
    # then
    assert len(world.vim.volumes.made) == 4
    names = [[each.want.name for each in vm.volumes] for vm in the_vms(world)]
    assert names == [["root", "data"]] * 2
    first, second = attached(world)
    assert len(first) == len(second) == 2
    assert not first & second
    # when
    world.apply({SHOP: None})
    world.rest()
    # then
    assert not world.vim.volumes.made


def test_what_is_out_of_band_is_found_and_never_deleted() -> None:
    world = standing(of(SHARED))
    assert ids(world) == {"licences": "oob-licences"}
    assert attached(world) == [{"oob-licences"}]
    world.apply({SHOP: None})
    (removal,) = (flight.command for flight in world.flights.values())
    assert isinstance(removal, RemoveServer)
    assert removal.volumes == ()


def test_a_redeployed_vm_gets_its_volumes_back() -> None:
    # given
    world = standing(of(DATA, SHARED))
    before, old = ids(world), the_vm(world)
    world.silent_vms.add(old.id)
    # when: it falls silent, and its reboot does not help
    cross(world, holds=False)
    while the_vm(world).generation == 1:
        world._deed(strays=False)
    world.silent_vms.clear()
    world.rest()
    # then
    assert the_vm(world).server != old.server
    assert ids(world) == before
    assert attached(world) == [set(before.values())]


def test_a_volume_is_attached_to_servers_that_are_there() -> None:
    # given
    world = standing(of(vms=2))
    servers = set(world.vim.servers)
    # when
    change(world, a_deployment(of(DATA, vms=2)))
    # then
    assert world.types() == [BEGUN, CHANGED, CHANGED, DONE]
    assert [each.vm_update_type for each in world.log[1:3]] == ["VOLUME_UPDATED"] * 2
    assert set(world.vim.servers) == servers
    assert [len(each) for each in attached(world)] == [1, 1]
    assert len(world.vim.volumes.made) == 2
    for vm in the_vms(world):
        assert (vm.change, vm.volumes[0].volume_id is None) == (None, False)


def test_a_detached_volume_is_deleted_unless_it_is_out_of_band() -> None:
    world = standing(of(DATA, SHARED))
    change(world, a_deployment(of()))
    assert world.types() == [BEGUN, CHANGED, DONE]
    assert attached(world) == [set()]
    assert not world.vim.volumes.made
    assert the_vm(world).volumes == ()


def test_volumes_are_swapped_on_the_same_server() -> None:
    world = standing(of(DATA))
    server, kept = the_vm(world).server, ids(world)
    change(world, a_deployment(of(LOGS, SHARED)))
    assert the_vm(world).server == server
    assert list(ids(world)) == ["logs", "licences"]
    assert attached(world) == [set(ids(world).values())]
    assert kept["data"] not in world.vim.volumes.made.values()


@pytest.mark.parametrize(
    ("before", "after", "about"),
    [
        ((ROOT,), (), "boot from"),
        ((), (ROOT,), "boot from"),
        ((DATA,), (replace(DATA, size_gib=3),), "anything else of a volume"),
        ((DATA,), (replace(DATA, size_gib=None),), "anything else of a volume"),
    ],
)
def test_what_would_cost_what_is_on_a_volume_is_refused(
    before: tuple[GroupVolume, ...], after: tuple[GroupVolume, ...], about: str
) -> None:
    world = standing(of(*before))
    with pytest.raises(Refused, match=about) as caught:
        world.apply({SHOP: a_deployment(of(*after))})
    name = (*before, *after)[0].name
    group = Node("vm_group", "web")
    assert caught.value.below == (group, Node("volumes"), Node("volume", name))
    assert caught.value.tag == "operation-not-supported"


def test_another_volume_of_the_same_name_is_never_the_old_one() -> None:
    # given: the VIM would not take the old one away
    world = standing(of(DATA))
    old = ids(world)["data"]
    change(world, a_deployment(of()), rest=False)
    refuse(world)
    assert f"{DONE} FAILURE" in world.types()
    left = the_vm(world).change
    assert left
    assert [each.want.name for each in left.detached] == ["data"]
    # when
    change(world, a_deployment(of(replace(DATA, size_gib=9))))
    # then
    assert ids(world)["data"] not in {None, old}
    assert list(world.vim.volumes.made.values()) == [ids(world)["data"]]


def test_a_removal_that_failed_is_taken_back_with_what_is_on_the_volume() -> None:
    world = standing(of(DATA))
    before = ids(world)
    change(world, a_deployment(of()), rest=False)
    refuse(world)
    change(world, a_deployment(of(DATA)))
    assert ids(world) == before
    assert attached(world) == [set(before.values())]


@pytest.mark.parametrize("luck", [Luck.LOST, Luck.LATE, Luck.NEVER])
def test_a_lost_answer_neither_doubles_nor_leaks_a_volume(luck: Luck) -> None:
    world = standing(of(DATA))
    change(world, a_deployment(of(LOGS)), rest=False)
    while not (slots := [slot for slot in world.flights if slot[1].startswith("server")]):
        world._deed(strays=False)
    world.perform(slots[0], luck)
    world.deliver(slots[0])
    world.rest()
    assert world.types()[-1] == DONE
    assert list(world.vim.volumes.made.values()) == [ids(world)["logs"]]
    assert attached(world) == [set(ids(world).values())]


def test_a_vm_that_leaves_takes_its_volumes_along() -> None:
    world = standing(of(DATA, vms=2))
    change(world, a_deployment(of(DATA)))
    assert len(world.vim.volumes.made) == len(world.vim.servers) == 1
    assert not in_vim_but_unknown(world)


def test_a_leftover_keeps_its_volumes_until_it_leaves() -> None:
    # given
    world = standing(of(DATA))
    world.stuck = True
    world.apply({SHOP: None})
    world.rest()
    assert len(world.vim.volumes.made) == 1
    assert world.deployment(SHOP).leftovers
    # when
    world.stuck = False
    world.rest()
    # then
    assert not world.vim.volumes.made
    assert not world.records.get(SHOP)


def test_a_volume_that_an_update_removed_goes_with_its_vm_all_the_same() -> None:
    world = standing(of(DATA))
    change(world, a_deployment(of()), rest=False)
    refuse(world)
    assert len(world.vim.volumes.made) == 1
    world.apply({SHOP: None})
    world.rest()
    assert not world.vim.volumes.made


def test_what_one_edit_brings_comes_in_the_order_of_its_need() -> None:
    # given: a volume that is filled from an image, and a VM that gets it beside one of its own
    world, image = World(), Key(Kind.IMAGE, None, "linux")
    archive = Key(Kind.VOLUME, TENANT, "archive")
    shared = GroupVolume(name="archive")
    # when
    world.apply(
        {
            SHOP: a_deployment(of(ROOT, shared)),
            archive: TenantVolume(name="archive", size_gib=9, image="linux"),
            image: an_image(),
            ACME: a_tenant(),
        }
    )
    world.rest()
    # then
    told = world.types()
    assert set(told[:2]) == {"CREATE_TENANT", "CREATE_IMAGE"}
    assert told[2:4] == ["CREATE_VOLUME", "VM_DEPLOYED"]
    # and goes the other way round
    world.log.clear()
    world.apply({SHOP: None, archive: None, ACME: None})
    world.rest()
    assert world.types() == [
        "VM_UNDEPLOYED",
        "SERVICE_UNDEPLOYED",
        "DELETE_VOLUME",
        "DELETE_TENANT",
    ]


def test_a_vm_is_not_made_without_the_volume_of_its_tenant() -> None:
    world = World()
    archive = Key(Kind.VOLUME, TENANT, "archive")
    wanted = a_deployment(of(GroupVolume(name="archive")))
    world.apply({archive: TenantVolume(name="archive", size_gib=9), SHOP: wanted})
    slot = (archive, "resource")
    while slot not in world.flights:
        world._deed(strays=False)
    world.perform(slot, Luck.REFUSED)
    world.deliver(slot)
    world.rest()
    assert world.types() == ["CREATE_VOLUME FAILURE", "SERVICE_ALIVE FAILURE"]
    assert not world.vim.servers
