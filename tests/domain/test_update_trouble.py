"""Updates that are refused, that fail, and that something comes in between of."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from esc_daemon.domain.errors import Node, Refused
from esc_daemon.domain.ids import OperationId, VmGroupName
from esc_daemon.domain.intent import Deployment, RecoveryPolicy, RecoveryType, VmGroup
from esc_daemon.domain.record import ActionType
from esc_daemon.domain.states import OperationState, ServiceState, VmState
from esc_daemon.domain.triggers import RecoveryAsked, ServiceActed, VmActed
from tests.domain.lost import doubled, in_vim_but_unknown
from tests.domain.pure_world import Luck, World
from tests.domain.stories import (
    LIFE,
    LIFE_RULE,
    SHOP,
    a_deployment,
    a_group,
    a_network,
    after,
    net_key,
)
from tests.domain.updates import (
    BEGUN,
    CHANGED,
    DONE,
    GONE,
    LIVES,
    MADE,
    change,
    cross,
    of,
    standing,
    the_vms,
)

OP = OperationId("33333333-3333-3333-3333-333333333333")

# ---- what is refused


@pytest.mark.parametrize(
    ("new", "path"),
    [
        (
            a_deployment(networks=(replace(a_network("own", "a"), vlan_id=7),)),
            [Node("networks"), Node("network", "own"), Node("vlanid")],
        ),
    ],
)
def test_what_a_live_service_cannot_take_is_refused_with_its_path(
    new: Deployment, path: list[Node]
) -> None:
    world = standing(a_group("web"), networks=(a_network("own", "a"),))
    before = dict(world.records)
    networks = new.networks or (a_network("own", "a"),)
    with pytest.raises(Refused, match="cannot take a change of this kind") as refused:
        change(world, replace(new, networks=networks))
    assert refused.value.tag == "operation-not-supported"
    assert list(refused.value.below) == path
    assert world.records == before


def stopped(world: World) -> None:
    world.tell(SHOP, ServiceActed(id=OP, action=ActionType.STOP))
    world.rest()


def being_stopped(world: World) -> None:
    world.tell(SHOP, ServiceActed(id=OP, action=ActionType.STOP))


def being_updated(world: World) -> None:
    change(world, a_deployment(a_group("web"), a_group("db")), rest=False)


def recovering(world: World) -> None:
    cross(world, holds=False)


def booting(world: World) -> None:
    world.tell(SHOP, VmActed(id=OP, vm=the_vms(world)[0].id, action=ActionType.DISABLE_MONITOR))
    world.tell(SHOP, VmActed(id=OP, vm=the_vms(world)[0].id, action=ActionType.ENABLE_MONITOR))


def going(world: World) -> None:
    world.apply({SHOP: None})
    world.apply({SHOP: a_deployment(a_group("new"))})


@pytest.mark.parametrize(
    ("before", "text"),
    [
        (stopped, "it is stopped"),
        (being_stopped, "it is being stopped"),
        (being_updated, "it is being updated"),
        (recovering, "a VM of it is being recovered"),
        (booting, "boots; ask again"),
        (going, "it is being undeployed"),
    ],
)
def test_an_update_waits_for_the_client_to_ask_again(
    before: Callable[[World], None], text: str
) -> None:
    world = standing(a_group("web", wait=60))
    before(world)
    records = dict(world.records)
    with pytest.raises(Refused, match=text) as refused:
        change(world, a_deployment(replace(a_group("web", wait=60), image="newer")))
    assert refused.value.tag == "in-use"
    assert world.records == records


def test_nothing_but_an_undeploy_interrupts_an_update() -> None:
    world = standing(a_group("web"))
    being_updated(world)
    for action in (
        ServiceActed(id=OP, action=ActionType.STOP),
        VmActed(id=OP, vm=the_vms(world)[0].id, action=ActionType.REBOOT),
        RecoveryAsked(id=OP, vm=the_vms(world)[0].id),
    ):
        with pytest.raises(Refused, match=r"it(s service)? is being updated"):
            world.tell(SHOP, action)
    world.apply({SHOP: None})
    world.rest()
    assert SHOP not in world.records


# ---- failures


def bad(world: World, group: str = "db") -> None:
    world.bad_vms = {vm.id for vm in the_vms(world, group)}


def test_a_new_vm_that_cannot_be_made_fails_the_update_and_the_others_are_watched_again() -> None:
    # given
    world = standing(a_group("web"))
    # when
    change(world, a_deployment(a_group("web"), a_group("db", vms=2)), rest=False)
    world.bad_vms = {the_vms(world, "db")[0].id}
    world.rest()
    # then
    assert sorted(world.types()[1:-1]) == [LIVES, MADE, f"{MADE} FAILURE"]
    assert world.types()[-1] == f"{DONE} FAILURE"
    record = world.deployment(SHOP)
    assert record.state is ServiceState.ERROR
    assert record.operation is not None
    assert record.operation.state is OperationState.FAILED_TEMP
    assert "No valid host was found" in str(record.error)
    assert the_vms(world)[0].state is VmState.ALIVE
    assert len(world.watches()) == 2


def refuse_the_network(world: World) -> None:
    slot = net_key(), "resource"
    while slot not in world.flights:
        world._deed(strays=False)
    world.perform(slot, Luck.REFUSED)
    world.deliver(slot)


def a_failed_update() -> World:
    world = standing(a_group("web"))
    change(world, a_deployment(a_group("web"), a_group("db")), rest=False)
    bad(world)
    world.rest()
    world.log.clear()
    return world


def test_a_broken_group_can_be_removed_again_and_the_service_is_well() -> None:
    world = a_failed_update()
    change(world, a_deployment(a_group("web")))
    assert world.types() == [BEGUN, GONE, DONE]
    record = world.deployment(SHOP)
    assert (record.state, record.error) == (ServiceState.ACTIVE, None)


def test_a_broken_vm_stays_broken_over_an_update_of_other_things() -> None:
    # given
    world = a_failed_update()
    # when
    changed = replace(a_group("web"), image="newer")
    change(world, a_deployment(changed, a_group("db")))
    # then: the update did what it was asked, and the service is as broken as before
    assert world.types() == [BEGUN, CHANGED, DONE]
    record = world.deployment(SHOP)
    assert record.state is ServiceState.ERROR
    assert "vm_group db" in str(record.error)


def test_a_broken_vm_does_not_hold_up_groups_that_do_not_wait_for_it() -> None:
    world = a_failed_update()
    groups = a_group("web"), a_group("db"), a_group("lb")
    change(world, a_deployment(*groups, startup=(after("lb", "web"),)))
    assert world.types() == [BEGUN, MADE, LIVES, DONE]


def test_a_vm_that_would_not_leave_is_a_leftover_and_fails_the_update() -> None:
    # given
    world = standing(a_group("web"), a_group("db"))
    world.stuck = True
    # when
    change(world, a_deployment(a_group("web"), a_group("lb")))
    # then: what comes after it does not begin
    assert world.types() == [BEGUN, f"{GONE} FAILURE", f"{DONE} FAILURE"]
    assert the_vms(world)[0].state is VmState.ALIVE
    assert the_vms(world, "lb")[0].state is VmState.UNDEF
    assert len(world.deployment(SHOP).leftovers) == 1
    # and a later update goes on
    world.stuck = False
    change(world, a_deployment(a_group("web"), replace(a_group("lb"), image="newer")))
    assert the_vms(world, "lb")[0].state is VmState.ALIVE
    assert world.deployment(SHOP).state is ServiceState.ACTIVE


def test_what_a_new_group_needs_and_cannot_have_fails_the_update() -> None:
    # given
    world = standing(a_group("web"))
    world.apply({net_key(): a_network()})
    # when
    change(world, a_deployment(a_group("web"), a_group("db", "net")), rest=False)
    refuse_the_network(world)
    world.rest()
    # then
    assert world.types() == [BEGUN, "CREATE_NETWORK FAILURE", f"{DONE} FAILURE"]
    assert the_vms(world)[0].state is VmState.ALIVE
    # and the group can be given up
    change(world, a_deployment(a_group("web")))
    assert world.types()[3:] == [BEGUN, DONE]
    assert world.deployment(SHOP).state is ServiceState.ACTIVE


def test_a_new_vm_that_does_not_boot_is_healed_before_the_update_ends() -> None:
    # given
    world = standing(a_group("web"))
    change(world, a_deployment(a_group("web"), a_group("db")), rest=False)
    world.silent_vms = {the_vms(world, "db")[0].id}
    # when
    while "VM_RECOVERY_REBOOT" not in world.types():
        world._deed(strays=False)
    world.silent_vms.clear()
    world.rest()
    # then
    recovered = ["VM_RECOVERY_INIT", "VM_RECOVERY_REBOOT", "VM_RECOVERY_COMPLETE"]
    assert world.types() == [BEGUN, MADE, *recovered, LIVES, DONE]


def test_an_update_does_not_wait_for_the_operator() -> None:
    world = standing(a_group("web"))
    manual = RecoveryPolicy(type=RecoveryType.MANUAL)
    change(world, a_deployment(a_group("web"), a_group("db", recovery=manual)), rest=False)
    world.silent_vms = {the_vms(world, "db")[0].id}
    world.rest()
    assert world.types() == [BEGUN, MADE, "VM_MANUAL_RECOVERY_NEEDED", f"{DONE} FAILURE"]


def test_a_deployment_that_failed_before_its_first_vm_is_mended_by_an_update() -> None:
    # given
    world = World()
    world.apply({net_key(): a_network(), SHOP: a_deployment(a_group("web", "net"))})
    refuse_the_network(world)
    world.rest()
    world.log.clear()
    # when
    moved = VmGroup(name=VmGroupName("db"), kpis=(LIFE,), rules=(LIFE_RULE,), bootup_time=9)
    change(world, a_deployment(moved))
    # then
    assert world.types() == [BEGUN, MADE, LIVES, DONE]
    assert world.deployment(SHOP).state is ServiceState.ACTIVE


# ---- at any moment

OLD = (of(2), a_group("db"))
NEW = a_deployment(of(3), a_group("lb"), startup=(after("lb", "web"),))


def in_the_middle(deeds: int) -> World:
    world = standing(*OLD)
    change(world, NEW, rest=False)
    for _ in range(deeds):
        world._deed(strays=False)
    return world


@pytest.mark.parametrize("luck", [Luck.DONE, Luck.LOST, Luck.LATE, Luck.NEVER])
@pytest.mark.parametrize("deeds", range(12))
def test_a_restart_at_any_moment_of_an_update_brings_it_to_its_end(deeds: int, luck: Luck) -> None:
    # given
    world = in_the_middle(deeds)
    # when
    world.restart({slot: luck for slot in world.flights if "server" in slot[1]})
    world.rest()
    # then
    assert sorted(world.types()) == sorted([BEGUN, GONE, MADE, MADE, LIVES, LIVES, DONE])
    assert world.types()[-1] == DONE
    assert len(world.vim.servers) == len(world.vim.ports) == 4
    assert world.deployment(SHOP).state is ServiceState.ACTIVE
    assert not doubled(world)
    assert not in_vim_but_unknown(world)


@pytest.mark.parametrize("luck", [Luck.DONE, Luck.LATE])
@pytest.mark.parametrize("deeds", range(12))
def test_an_undeploy_at_any_moment_of_an_update_leaves_nothing(deeds: int, luck: Luck) -> None:
    # given
    world = in_the_middle(deeds)
    # when
    for slot in [slot for slot in world.flights if "server" in slot[1]]:
        world.perform(slot, luck)
    world.apply({SHOP: None})
    world.rest()
    # then
    assert SHOP not in world.records
    assert not world.vim.servers
    assert not world.vim.ports
    assert world.types()[-1] == "SERVICE_UNDEPLOYED"
