"""Updates that move no VM, or others, while a VM is being recovered (ruling 13)."""

from dataclasses import replace

import pytest

from esc_daemon.domain.errors import Refused
from esc_daemon.domain.ids import VmGroupName
from tests.domain.moving import FAR, moved, on, pair, servers, the_vm, world_of
from tests.domain.pure_world import VIM
from tests.domain.stories import SHOP, a_deployment
from tests.domain.test_update_locator_of_the_lost import (
    ENDED,
    INIT,
    WAITS,
    WAYS,
    goes,
    lost,
    told,
    waiting,
)
from tests.domain.updates import BEGUN, CHANGED, DONE, change, cross, the_vms


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "other",
    [
        lambda group: replace(group, bootup_time=77),
        lambda group: replace(group, flavor="large"),
        lambda group: on(VIM, group),
        lambda group: on("", group, project="green"),
    ],
)
def test_an_update_that_leaves_it_in_its_vim_waits_for_the_recovery(way, other) -> None:
    world = way()
    before = world.deployment(SHOP)
    with pytest.raises(Refused, match="a VM of it is being recovered") as refusal:
        change(world, a_deployment(other(before.intent.groups[0])))
    assert refusal.value.tag == "in-use"
    assert world.deployment(SHOP) is before


def test_the_recovery_of_a_vm_that_does_not_move_is_in_the_way_of_those_that_do() -> None:
    # given: both are lost
    scaling = replace(WAITS.scaling, address_pools=())
    web, db = WAITS, replace(WAITS, name=VmGroupName("db"), scaling=scaling)
    world = world_of(web, db)
    cross(world, holds=False)
    cross(world, holds=False, group="db")
    before = world.deployment(SHOP)
    # when
    with pytest.raises(Refused) as refusal:
        change(world, a_deployment(on(FAR, web), db))
    # then
    [stays] = the_vms(world, "db")
    assert refusal.value.tag == "in-use"
    assert f"VM [{stays.name}] is being recovered and does not move" in refusal.value.text
    assert "move vm_group db to another VIM as well" in refusal.value.text
    assert world.deployment(SHOP) is before
    # and: both may
    moved(world, on(FAR, web), on(FAR, db))
    assert world.types() == [INIT, INIT, ENDED, ENDED, BEGUN, CHANGED, CHANGED, DONE]
    assert servers(world).keys() == {FAR}


def test_one_that_is_recovered_and_would_leave_by_the_edit_may_move_instead() -> None:
    # given: both are lost
    scaling = replace(WAITS.scaling, address_pools=())
    web, db = WAITS, replace(WAITS, name=VmGroupName("db"), scaling=scaling)
    world = world_of(web, db)
    cross(world, holds=False)
    cross(world, holds=False, group="db")
    [leaves] = the_vms(world, "db")
    # when
    with pytest.raises(Refused) as refusal:
        change(world, a_deployment(on(FAR, web)))
    # then
    assert f"VM [{leaves.name}] is being recovered and leaves by this edit" in refusal.value.text
    assert "; move vm_group db to another VIM instead, or ask again" in refusal.value.text
    # and: what is said is taken, and it may leave then
    moved(world, on(FAR, web), on(FAR, db))
    moved(world, on(FAR, web))
    assert [vm.vim for vm in the_vms(world)] == [FAR]
    assert not the_vms(world, "db")


def test_those_of_its_group_that_are_well_move_with_it() -> None:
    world = lost(pair(WAITS))
    goes(world)
    world.rest()
    assert told(world) == [INIT, ENDED, BEGUN, CHANGED, CHANGED, DONE]
    assert [vm.vim for vm in the_vms(world)] == [FAR, FAR]


def test_what_the_move_is_refused_for_ends_no_recovery() -> None:
    world = waiting()
    before = world.deployment(SHOP)
    with pytest.raises(Refused, match="this edit changes more of it"):
        change(world, a_deployment(on(FAR, replace(WAITS, flavor="large"))))
    assert world.deployment(SHOP) is before
    assert told(world) == [INIT]


def test_a_move_that_is_still_wanted_ends_no_recovery_by_an_edit_of_something_else() -> None:
    # given: a move failed, and the VM is lost after that
    world = world_of(WAITS)
    world.others[FAR].lacks = {"linux"}
    moved(world, on(FAR, WAITS))
    world.others[FAR].lacks = set()
    cross(world, holds=False)
    assert the_vm(world).migration
    # then
    with pytest.raises(Refused, match="a VM of it is being recovered"):
        change(world, a_deployment(on(FAR, replace(WAITS, bootup_time=77))))
