"""Volumes of tenants that grow where they are, and what cannot be made of them."""

from dataclasses import replace

import pytest

from esc_daemon.domain.errors import Node, Refused
from esc_daemon.domain.ids import Key, Kind
from esc_daemon.domain.intent import GroupVolume, TenantVolume
from esc_daemon.domain.leftovers import leftovers_of
from esc_daemon.domain.record import AnyResourceRecord, ResourceRecord
from esc_daemon.domain.resource_changes import check_way_back
from esc_daemon.domain.states import ResourceState
from tests.domain.pure_world import Luck, World
from tests.domain.stories import ACME, SHOP, TENANT, a_deployment, a_group, a_tenant

DISK = Key(Kind.VOLUME, TENANT, "disk")
SLOT = (DISK, "resource")
NINE = TenantVolume(name="disk", size_gib=9)
FIVE, TWELVE, TWENTY = (replace(NINE, size_gib=size) for size in (5, 12, 20))
GREW = "Volume update completed successfully."


def made(volume: TenantVolume = NINE) -> World:
    world = World()
    world.apply({ACME: a_tenant(), DISK: volume})
    world.rest()
    world.log.clear()
    return world


def disk(world: World) -> AnyResourceRecord:
    record = world.records[DISK]
    assert isinstance(record, ResourceRecord)
    return record


def changed(world: World, volume: TenantVolume) -> None:
    world.apply({DISK: volume})
    world.rest()


def failed(world: World, volume: TenantVolume, luck: Luck = Luck.REFUSED) -> None:
    """Ask for *volume* in vain."""
    world.apply({DISK: volume})
    world.perform(SLOT, luck)
    world.deliver(SLOT)
    world.rest()


def size(world: World) -> int:
    """Return how large the volume is in the VIM as far as its record knows."""
    handle = disk(world).handle
    assert handle is not None
    return handle.size_gib


def test_a_volume_grows_where_it_is() -> None:
    world = made()
    before = world.vim.resource(DISK)
    changed(world, TWENTY)
    assert [(each.type, each.message) for each in world.log] == [("CREATE_VOLUME", GREW)]
    assert world.vim.resource(DISK) == before
    assert world.vim.wants[DISK] == TWENTY
    assert size(world) == 20


@pytest.mark.parametrize(
    ("other", "leaf", "about"),
    [
        (FIVE, "size", "size of volume disk cannot be made smaller: no VIM can: create a volume"),
        (replace(TWENTY, type="lvm"), "type", "type of volume disk cannot be changed: create a"),
        (replace(NINE, image="linux"), "image", "image of volume disk cannot be changed"),
    ],
)
def test_what_would_cost_what_is_on_it_is_refused(
    other: TenantVolume, leaf: str, about: str
) -> None:
    world = made()
    before = dict(world.records)
    with pytest.raises(Refused, match=about) as refused:
        world.apply({DISK: other})
    assert (refused.value.tag, refused.value.below) == (
        "operation-not-supported",
        (Node(leaf),),
    )
    assert world.records == before


def test_one_that_the_vim_lets_not_grow_is_as_large_as_it_was_and_in_error() -> None:
    world = made()
    failed(world, TWENTY)
    assert [each.message for each in world.log] == [
        "Volume update failed: volume disk in VIM sim: call refused"
    ]
    assert (disk(world).state, size(world)) == (ResourceState.ERROR, 9)


@pytest.mark.parametrize("then", [NINE, TWELVE, replace(NINE, size_gib=30)])
def test_after_that_it_may_be_as_large_as_it_is_or_larger(then: TenantVolume) -> None:
    world = made()
    failed(world, TWENTY)
    changed(world, then)
    assert world.log[-1].message == GREW
    assert (disk(world).state, size(world)) == (ResourceState.ACTIVE, then.size_gib)


def test_after_that_it_may_not_be_smaller_than_it_is() -> None:
    world = made()
    failed(world, TWENTY)
    with pytest.raises(Refused, match="cannot be made smaller"):
        world.apply({DISK: FIVE})


def test_one_that_was_kept_without_its_size_is_as_large_as_was_asked_for() -> None:
    # given: a record of an earlier version
    world = made()
    handle = disk(world).handle
    assert handle is not None
    old = replace(disk(world), handle=replace(handle, size_gib=0))
    world.records[DISK] = old
    # then
    with pytest.raises(Refused, match="cannot be made smaller"):
        world.apply({DISK: FIVE})
    changed(world, TWENTY)
    assert size(world) == 20


def test_a_growing_volume_takes_no_other_change() -> None:
    world = made()
    world.apply({DISK: TWELVE})
    for other in (NINE, TWENTY):
        with pytest.raises(Refused, match="ask again when that has ended") as refused:
            world.apply({DISK: other})
        assert refused.value.tag == "in-use"


@pytest.mark.parametrize("luck", [Luck.NEVER, Luck.LOST, Luck.LATE])
def test_a_growth_that_nobody_answered_is_asked_for_again_after_a_restart(luck: Luck) -> None:
    world = made()
    world.apply({DISK: TWENTY})
    world.restart({SLOT: luck})
    world.rest()
    assert world.types() == ["CREATE_VOLUME"]
    assert (world.vim.wants[DISK], size(world)) == (TWENTY, 20)


def test_a_volume_that_is_yet_to_be_made_may_become_any_size() -> None:
    # given: it waits for its tenant
    world = World()
    world.apply({ACME: a_tenant(), DISK: NINE})
    # when
    changed(world, FIVE)
    # then
    assert world.types() == ["CREATE_TENANT", "CREATE_VOLUME"]
    assert world.vim.wants[DISK] == FIVE


@pytest.mark.parametrize("other", [FIVE, TWENTY])
def test_a_volume_that_could_not_be_made_is_asked_for_again_by_another_size(
    other: TenantVolume,
) -> None:
    world = World()
    world.apply({ACME: a_tenant(), DISK: NINE})
    while SLOT not in world.flights:
        assert world._deed(strays=False)
    world.perform(SLOT, Luck.REFUSED)
    world.deliver(SLOT)
    world.rest()
    assert world.types()[-1] == "CREATE_VOLUME FAILURE"

    changed(world, other)
    assert world.types()[-1] == "CREATE_VOLUME"
    assert world.log[-1].message != GREW
    assert size(world) == other.size_gib


def test_a_vm_that_names_a_growing_volume_waits_for_it() -> None:
    world = made()
    world.apply({DISK: TWENTY})
    group = replace(a_group("web"), volumes=(GroupVolume(name="disk"),))
    world.apply({SHOP: a_deployment(group)})
    world.rest()
    assert world.types()[:2] == ["CREATE_VOLUME", "VM_DEPLOYED"]


def left_behind() -> World:
    world = made()
    world.stuck = True
    world.apply({DISK: None})
    world.rest()
    world.log.clear()
    return world


def test_a_leftover_grows_into_what_is_wanted_under_its_name() -> None:
    world = left_behind()
    there = world.vim.resource(DISK)
    changed(world, TWENTY)
    assert world.vim.resource(DISK) == there
    assert not list(leftovers_of(world.records[DISK]))
    assert size(world) == 20


@pytest.mark.parametrize("other", [FIVE, replace(NINE, type="lvm")])
def test_what_a_leftover_cannot_become_waits_for_its_end(other: TenantVolume) -> None:
    world = left_behind()
    there = world.vim.resource(DISK)
    changed(world, other)
    assert [each.name for each in leftovers_of(world.records[DISK])] == ["disk"]
    assert world.vim.wants[DISK] == NINE
    # when the VIM lets it go
    world.stuck = False
    world.rest()
    # then
    assert world.vim.resource(DISK) not in {None, there}
    assert world.vim.wants[DISK] == other
    assert world.types() == ["CREATE_VOLUME"]


def test_a_growth_has_no_way_back() -> None:
    with pytest.raises(Refused, match=r"size of volume disk .* without confirmation") as refused:
        check_way_back(DISK, NINE, TWENTY)
    assert (refused.value.key, refused.value.below) == (DISK, (Node("size"),))
    check_way_back(DISK, TWENTY, NINE)  # after a growth that failed
    check_way_back(DISK, NINE, replace(NINE, type="lvm"))  # which is refused by itself
