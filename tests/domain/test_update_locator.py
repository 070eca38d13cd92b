"""A change of the locator: VMs move from one VIM to another (seed 003)."""

from dataclasses import replace

import pytest

from esc_daemon.domain.commands import call_slot
from esc_daemon.domain.errors import Node, Refused
from esc_daemon.domain.ids import ServerKey
from esc_daemon.domain.intent import (
    GroupVolume,
    VmGroup,
)
from esc_daemon.domain.record import ActionType
from esc_daemon.domain.states import ServiceState, VmState
from esc_daemon.domain.triggers import VmActed
from tests.domain.fake_vim import FakeVim
from tests.domain.moving import (
    FAR,
    MOON,
    MOVED,
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
from tests.domain.stories import SHOP, a_deployment, a_group, a_network, after
from tests.domain.updates import BEGUN, CHANGED, DONE, POOL, the_vms

# ------------------------------------------------------------------ it moves


def test_a_vm_moves_with_all_that_names_it() -> None:
    # given
    world = world_of(ONE)
    before = the_vm(world)
    # when
    moved(world, on(FAR))
    # then
    after = the_vm(world)
    assert world.types() == [BEGUN, CHANGED, DONE]
    assert servers(world) == {FAR: [ServerKey(before.id, 2)]}
    assert (after.vim, after.state, after.migration, after.attempt) == (
        FAR,
        VmState.ALIVE,
        None,
        None,
    )
    assert (after.id, after.name, after.index, after.place) == (
        before.id,
        before.name,
        before.index,
        before.place,
    )
    [was], [now] = before.interfaces, after.interfaces
    assert (now.ip_address, now.mac_address, now.netmask) == (
        was.ip_address,
        was.mac_address,
        was.netmask,
    )
    assert not world.vim.ports
    assert world.deployment(SHOP).state is ServiceState.ACTIVE


def test_it_is_told_as_seed_003_prints_it() -> None:
    world = world_of(ONE)
    moved(world, on(FAR, project="project-2"))
    told = last(world)
    assert (told.message, told.vm_update_type, told.status_code) == (MOVED, "LOCATOR_UPDATED", 200)
    assert told.tenant_id is None
    assert told.details is None
    assert told.source
    assert (told.source.vim_id, told.source.vim_project) == (FAR, "project-2")
    assert told.source.interfaces[0].ip_address == POOL[0]
    history = the_vm(world).history
    assert (history.update_type, history.update_outcome) == ("LOCATOR_UPDATED", "updated")


def test_its_monitors_are_off_from_the_beginning_until_it_boots_anew() -> None:
    world = world_of(ONE)
    moved(world, on(FAR), rest=False)
    assert not world.watches()
    until(world, lambda it: the_vm(it).state is VmState.INERT)
    [(_, watch)] = world.watches()
    assert watch.vim == FAR


def test_nothing_is_removed_before_all_vms_are_proven() -> None:
    # given
    world = world_of(pair())
    moved(world, on(FAR, pair()), rest=False)
    first, second = the_vms(world)
    # when
    for vm in (first, second):
        slot = SHOP, call_slot(FAR, vm.id)
        while slot not in world.flights:
            assert world._deed(strays=False)
        assert servers(world) == {VIM: sorted([ServerKey(first.id, 1), ServerKey(second.id, 1)])}
        world.perform(slot, Luck.DONE)
        world.deliver(slot)
    # then
    assert [vm.state for vm in the_vms(world)] == [VmState.UNDEPLOYING] * 2
    world.rest()
    assert world.types() == [BEGUN, CHANGED, CHANGED, DONE]
    assert servers(world) == {FAR: sorted([ServerKey(first.id, 2), ServerKey(second.id, 2)])}


def test_a_project_alone_changes_within_one_vim() -> None:
    world = world_of(on("", project="blue"))
    moved(world, on("", project="green"))
    assert world.types() == [BEGUN, CHANGED, DONE]
    [server] = world.vim.servers.values()
    assert server.spec.project == "green"
    assert {port.project for port in server.spec.ports} == {"green"}


def test_it_may_come_back() -> None:
    world = world_of(ONE)
    moved(world, on(FAR))
    moved(world, ONE)
    assert servers(world) == {VIM: [ServerKey(the_vm(world).id, 3)]}
    assert world.types() == [BEGUN, CHANGED, DONE] * 2


def test_a_locator_that_names_where_it_is_moves_nothing() -> None:
    world = world_of(ONE)
    moved(world, on(VIM))
    assert servers(world) == {VIM: [ServerKey(the_vm(world).id, 1)]}
    assert [event.message for event in world.told(CHANGED)] == [MOVED]


def test_a_vm_that_nobody_watches_has_moved_when_it_is_made() -> None:
    world = world_of(a_group("web", "net", watched=False))
    moved(world, on(FAR, a_group("web", "net", watched=False)))
    assert world.types() == [BEGUN, CHANGED, DONE]
    assert the_vm(world).state is VmState.MONITOR_UNSET


def test_one_whose_monitors_the_operator_disabled_stays_unwatched() -> None:
    world = world_of(ONE)
    world.tell(SHOP, VmActed(id=OP, vm=the_vm(world).id, action=ActionType.DISABLE_MONITOR))
    world.rest()
    world.log.clear()
    moved(world, on(FAR))
    assert world.types() == [BEGUN, CHANGED, DONE]
    assert the_vm(world).state is VmState.MONITOR_DISABLED
    assert not world.watches()


def test_other_groups_change_beside_it() -> None:
    world = world_of(ONE, a_group("db"))
    moved(world, on(FAR), pair(a_group("db")))
    assert world.types()[-1] == DONE
    assert sorted(world.types()[1:-1]) == sorted(["VM_DEPLOYED", "VM_ALIVE", CHANGED])
    assert {vm.vim for vm in the_vms(world, "db")} == {VIM}


def test_a_vm_that_was_never_made_is_made_at_its_new_place() -> None:
    # given: db waits for web, which could not be made
    world = World(others={FAR: FakeVim()})
    order = (after("db", "web"),)
    world.apply({SHOP: a_deployment(ONE, a_group("db"), startup=order)})
    until(world, lambda it: under_way(it, "EnsureServer", VIM))
    meet(world, "EnsureServer", Luck.REFUSED, VIM)
    world.rest()
    [db] = the_vms(world, "db")
    assert db.state is VmState.UNDEF
    # when
    world.apply({SHOP: a_deployment(on(FAR, a_group("db")))})
    world.rest()
    # then
    assert servers(world) == {FAR: [ServerKey(db.id, 1)]}
    assert world.deployment(SHOP).state is ServiceState.ACTIVE


# ------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("group", "after", "tag", "text"),
    [
        (
            ONE,
            on(FAR, replace(ONE, flavor="big")),
            "operation-not-supported",
            r"changes more of it \(flavor\)",
        ),
        (ONE, on(FAR, pair()), "operation-not-supported", r"changes more of it \(min_active"),
        (
            replace(ONE, volumes=(GroupVolume(name="a", size_gib=1),)),
            on(FAR, replace(ONE, volumes=(GroupVolume(name="a", size_gib=1),))),
            "operation-not-supported",
            "it has volumes",
        ),
    ],
)
def test_what_cannot_move_is_refused_with_the_path(
    group: VmGroup, after: VmGroup, tag: str, text: str
) -> None:
    world = world_of(group)
    before = dict(world.records)
    with pytest.raises(Refused, match=text) as refused:
        world.apply({SHOP: a_deployment(after)})
    assert refused.value.tag == tag
    assert refused.value.below == (Node("vm_group", "web"), Node("locator"))
    assert world.records == before


@pytest.mark.parametrize("inside", ["own", "net"])
def test_a_group_in_a_network_of_its_deployment_does_not_move(inside: str) -> None:
    own = (a_network("own", "a"),)
    group = a_group("web", inside)
    if inside == "net":  # it may only speak for it
        group = replace(
            group, interfaces=(replace(group.interfaces[0], allowed_networks=("own",)),)
        )
    world = world_of(group, networks=own)
    with pytest.raises(Refused, match="its network own is one of the deployment"):
        world.apply({SHOP: a_deployment(on(FAR, group), networks=own)})


def test_a_vm_that_is_stopped_does_not_move() -> None:
    world = world_of(pair())
    stop = VmActed(id=OP, vm=the_vm(world).id, action=ActionType.STOP, force=True)
    world.tell(SHOP, stop)
    world.rest()
    with pytest.raises(Refused, match="is stopped; start it first") as refused:
        world.apply({SHOP: a_deployment(on(FAR, pair()))})
    assert refused.value.tag == "in-use"


def test_a_second_update_waits_for_the_end_of_a_move() -> None:
    world = world_of(ONE)
    moved(world, on(FAR), rest=False)
    with pytest.raises(Refused, match="it is being updated"):
        world.apply({SHOP: a_deployment(on(MOON))})


def test_two_edits_at_one_moment_that_move_nothing_write_an_unwatched_vm_once() -> None:
    # given
    world = world_of(ONE)
    world.tell(SHOP, VmActed(id=OP, vm=the_vm(world).id, action=ActionType.DISABLE_MONITOR))
    moved(world, on(VIM))
    before = the_vm(world)
    # when
    moved(world, ONE)
    # then
    assert the_vm(world) is before
