"""What may come beside a move that failed, which the next update tries again."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from esc_daemon.domain.advance import migrate
from esc_daemon.domain.errors import Node, Refused
from esc_daemon.domain.intent import Deployment, GroupVolume, Interface, RecoveryPolicy, VmGroup
from esc_daemon.domain.policy import begin
from esc_daemon.domain.record import ActionType
from esc_daemon.domain.states import ServiceState, VmState
from esc_daemon.domain.triggers import ServiceActed, VmActed
from tests.domain.elastic import IN, elastic, overload, settle, underload
from tests.domain.moving import FAR, ONE, OP, moved, on, servers, the_vm, world_of
from tests.domain.pure_world import VIM, World
from tests.domain.stories import SHOP, a_deployment, a_group, a_network
from tests.domain.updates import CHANGED, DONE, change, the_vms

VOLUME = GroupVolume(name="a", size_gib=1)
STORED = replace(ONE, volumes=(VOLUME,))


def failed_move(group: VmGroup = ONE) -> World:
    """Return a world whose VM is to move to a VIM that would not have it, and could by now."""
    world = world_of(group)
    world.others[FAR].lacks = {"linux"}
    moved(world, on(FAR, group))
    assert (the_vm(world).vim, the_vm(world).state) == (VIM, VmState.ALIVE)
    world.others[FAR].lacks = set()
    world.log.clear()
    return world


def refusal(world: World, new: Deployment) -> Refused:
    before = world.deployment(SHOP)
    with pytest.raises(Refused) as refused:
        change(world, new)
    assert world.deployment(SHOP) is before
    return refused.value


def test_a_volume_is_not_given_to_a_vm_that_may_move_at_any_time() -> None:
    # given
    world = failed_move()
    # when
    refused = refusal(world, a_deployment(on(FAR, STORED)))
    # then
    assert refused.tag == "in-use"
    assert refused.below == (Node("vm_group", "web"), Node("volumes"), Node("volume", "a"))
    assert f"the move of VM [{the_vm(world).name}] to VIM far failed" in refused.text
    assert "edit the locator back first" in refused.text
    # and when
    change(world, a_deployment(ONE))
    change(world, a_deployment(STORED))
    [made] = world.vim.volumes.made
    change(world, a_deployment(replace(STORED, bootup_time=99)))
    # then
    assert list(world.vim.volumes.made) == [made]
    assert servers(world).keys() == {VIM}


@pytest.mark.parametrize(
    "actions",
    [(ActionType.REBOOT,), (ActionType.STOP, ActionType.START)],
    ids=["rebooted", "stopped and started"],
)
def test_a_service_that_is_switched_meanwhile_is_in_error_still(
    actions: tuple[ActionType, ...],
) -> None:
    world = failed_move()
    # when
    for action in actions:
        world.tell(SHOP, ServiceActed(id=OP, action=action))
        world.rest()
    # then
    record = world.deployment(SHOP)
    text = "what an update wanted of it is still to be done; the next update tries it"
    assert (record.state, the_vm(world).state) == (ServiceState.ERROR, VmState.ALIVE)
    assert record.error == f"VM [{the_vm(world).name}] of vm_group web in VIM sim: {text}"
    assert world.types()[-1] in {"SERVICE_REBOOTED FAILURE", "SERVICE_STARTED FAILURE"}
    # and when
    change(world, a_deployment(ONE))
    # then
    assert world.deployment(SHOP).state is ServiceState.ACTIVE


def test_not_to_one_that_is_stopped_either() -> None:
    world = failed_move()
    stop = VmActed(id=OP, vm=the_vm(world).id, action=ActionType.STOP, force=True)
    world.tell(SHOP, stop)
    world.rest()
    refusal(world, a_deployment(on(FAR, STORED)))


@pytest.mark.parametrize(
    ("edit", "node"),
    [
        (lambda it: replace(it, flavor="big"), Node("flavor")),
        (
            lambda it: replace(it, interfaces=(*it.interfaces, Interface(nicid=7, network="net"))),
            Node("interfaces"),
        ),
        (lambda it: replace(it, interfaces=()), Node("interfaces")),
    ],
    ids=("flavor", "interface added", "interface removed"),
)
def test_what_is_done_to_servers_waits_for_the_edit_back(
    edit: Callable[[VmGroup], VmGroup], node: Node
) -> None:
    refused = refusal(failed_move(), a_deployment(on(FAR, edit(ONE))))
    assert refused.below[:2] == (Node("vm_group", "web"), node)


@pytest.mark.parametrize(
    "edit",
    [
        lambda it: replace(it, bootup_time=99),
        lambda it: replace(it, image="other"),
        lambda it: replace(it, kpis=()),
        lambda it: replace(it, recovery=RecoveryPolicy(max_retries=9)),
        lambda it: replace(it, software_version="2"),
    ],
    ids=("times", "image", "KPIs", "recovery policy", "software version"),
)
def test_what_touches_no_server_is_taken_and_the_move_tried_again(
    edit: Callable[[VmGroup], VmGroup],
) -> None:
    world = failed_move()
    moved(world, on(FAR, edit(ONE)))
    assert world.types()[-1] == DONE
    assert servers(world).keys() == {FAR}


def test_another_group_takes_any_change() -> None:
    world = world_of(ONE, a_group("db"))
    world.others[FAR].lacks = {"linux"}
    moved(world, on(FAR), a_group("db"))
    world.others[FAR].lacks = set()
    moved(world, on(FAR), replace(a_group("db"), volumes=(VOLUME,)))
    assert len(world.vim.volumes.made) == 1


def test_a_group_that_leaves_is_held_up_by_nothing() -> None:
    world = failed_move()
    change(world, a_deployment(a_group("db")))
    assert {vm.group for vm in world.deployment(SHOP).vms.values()} == {"db"}


INSIDE = a_deployment(on(FAR), networks=(a_network("net", "a"),))


@pytest.mark.parametrize("tied", [a_deployment(on(FAR, STORED)), INSIDE], ids=("volume", "network"))
def test_a_move_of_what_is_tied_to_its_vim_all_the_same_neither_begins_nor_is_tried_again(
    tied: Deployment,
) -> None:
    # given
    world = failed_move()
    held = replace(world.deployment(SHOP), intent=tied)
    # when
    after, told = migrate.begun(held, begin(world.now, world.policy), world.now)
    # then
    [vm] = after.vms.values()
    assert vm.migration == the_vm(world).migration
    assert [event.type for event in told] == [CHANGED]
    assert "in one VIM" in told[0].message
    # and
    world.records[SHOP] = held
    [group] = tied.groups
    refused = refusal(world, replace(tied, groups=(replace(group, bootup_time=99),)))
    assert refused.below == (Node("vm_group", "web"), Node("locator"))


def test_a_vm_that_leaves_its_group_is_to_move_no_more() -> None:
    # given: two VMs of at least one, whose move failed
    world = world_of(elastic(least=1, most=2))
    overload(world)
    settle(world)
    world.others[FAR].lacks = {"linux"}
    moved(world, on(FAR, elastic(least=1, most=2)))
    world.others[FAR].lacks = set()
    settle(world)
    world.log.clear()
    idle = the_vms(world)[1]
    assert idle.migration is not None
    # when
    underload(world, idle)
    world.rest()
    # then
    assert world.types() == IN
    assert len(servers(world)[VIM]) == 1
    assert servers(world).keys() == {VIM}
    assert idle.id not in world.deployment(SHOP).vms
