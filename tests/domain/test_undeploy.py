"""Undeploy from anywhere, leftovers, and the same name again (ESC-WORKFLOWS section 2)."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from esc_daemon.domain.commands import RemoveServer, call_slot
from esc_daemon.domain.errors import Refused
from esc_daemon.domain.ids import Key, ServerKey
from esc_daemon.domain.intent import Deployment
from esc_daemon.domain.plan import plan
from esc_daemon.domain.policy import DEFAULT_POLICY, Policy
from esc_daemon.domain.record import VmRecord
from esc_daemon.domain.states import OperationState, ServiceState, VmState
from esc_daemon.domain.triggers import CallFailed, NeighboursGone, ResourcesReady, ServerGone
from tests.domain.fake_vim import seen
from tests.domain.lost import in_vim_but_unknown
from tests.domain.pure_world import VIM, Luck, World
from tests.domain.stories import (
    ACME,
    SHOP,
    TWO,
    a_deployment,
    a_group,
    a_network,
    a_tenant,
)

POOL = ("192.0.2.10", "192.0.2.11")


def running(*, policy: Policy = DEFAULT_POLICY, intent: Deployment | None = None) -> World:
    world = World(policy=policy)
    world.apply({SHOP: intent or a_deployment(a_group(watched=False))})
    world.rest()
    world.log.clear()
    return world


def the_vm(world: World) -> VmRecord:
    return next(iter(world.deployment(SHOP).vms.values()))


def slot(world: World) -> tuple[Key, str]:
    return SHOP, call_slot(VIM, the_vm(world).id)


def until(world: World, state: VmState) -> None:
    while the_vm(world).state is not state:
        if not world._deed(strays=True):
            return


def fresh(world: World) -> None:
    """The VM waits for the deployment's neighbours."""


def asked(world: World) -> None:
    until(world, VmState.DEPLOYING)


def lost(world: World) -> None:
    asked(world)
    world.perform(slot(world), Luck.LATE)
    world.deliver(slot(world))


def building(world: World) -> None:
    asked(world)
    world.perform(slot(world), Luck.DONE)
    world.deliver(slot(world))


def refused(world: World) -> None:
    asked(world)
    world.perform(slot(world), Luck.REFUSED)
    world.deliver(slot(world))


def inert(world: World) -> None:
    world.silent_vms.add(the_vm(world).id)
    until(world, VmState.INERT)


def alive(world: World) -> None:
    world.rest()


def failed(world: World) -> None:
    world.bad_vms.add(the_vm(world).id)
    world.rest()


def silent(world: World) -> None:
    world.silent_vms.add(the_vm(world).id)
    world.rest()


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize(
    "moment", [fresh, asked, lost, building, refused, inert, alive, failed, silent]
)
def test_undeploy_from_any_moment_leaves_nothing(
    moment: Callable[[World], None], *, restarted: bool
) -> None:
    world = World()
    world.apply({SHOP: a_deployment(a_group("web", "own"), networks=(a_network("own", "a"),))})
    moment(world)
    world.apply({SHOP: None})
    if restarted:
        world.restart(dict.fromkeys(world.flights, Luck.LATE))
    world.rest()
    assert not world.records
    assert not world.vim.servers
    assert not world.vim.ports
    assert not world.vim.resources
    assert world.types().count("SERVICE_UNDEPLOYED") == 1
    assert world.types()[-1] == "SERVICE_UNDEPLOYED"
    assert world.types().count("VM_UNDEPLOYED") == (0 if moment is fresh else 1)


def test_the_events_come_in_esc_s_order_with_its_texts() -> None:
    shop = a_deployment(a_group("web", "own"), networks=(a_network("own", "a"),))
    world = running(intent=shop)
    record = world.deployment(SHOP)
    world.apply({SHOP: None})
    assert world.deployment(SHOP).state is ServiceState.UNDEPLOYING
    world.rest()
    assert [(event.type, event.message) for event in world.log] == [
        ("VM_UNDEPLOYED", "VIM Driver: VM successfully deleted"),
        ("DELETE_SUBNET", "VIM Driver: Subnet successfully deleted"),
        ("DELETE_NETWORK", "VIM Driver: Network successfully deleted"),
        ("SERVICE_UNDEPLOYED", "Service group undeployment completed successfully"),
    ]
    assert {event.deployment for event in world.log} == {"shop"}
    assert {event.deployment_id for event in world.log} == {record.id}
    assert world.log[1].subnet == "acmeshopowna"
    assert world.log[1].network == world.log[2].network == "acmeshopown"


def test_undeploying_twice_is_no_error() -> None:
    world = running()
    world.apply({SHOP: None})
    before = world.records[SHOP]
    world.apply({SHOP: None})
    assert world.records[SHOP] is before


def test_an_undeploy_is_an_operation_on_its_way() -> None:
    world = running()
    world.apply({SHOP: None})
    operation = world.deployment(SHOP).operation
    assert operation is not None
    assert operation.state is OperationState.PROCESSING


def test_a_server_that_was_removed_by_somebody_else_is_no_error() -> None:
    world = running()
    world.vim.servers.clear()
    world.apply({SHOP: None})
    world.rest()
    assert world.types() == ["VM_UNDEPLOYED", "SERVICE_UNDEPLOYED"]


def test_a_late_look_does_not_end_a_removal() -> None:
    world = World()
    world.apply({SHOP: a_deployment()})
    building(world)
    world.vim.servers.clear()
    world.perform(slot(world), Luck.DONE)  # the look finds nothing, its answer is on the way
    world.apply({SHOP: None})
    world.tell(*world.strays.pop())
    assert the_vm(world).state is VmState.UNDEPLOYING
    world.rest()
    assert not world.vim.ports


def test_a_create_that_was_under_way_is_waited_for_before_its_removal() -> None:
    world = World()
    world.apply({SHOP: a_deployment()})
    asked(world)
    world.apply({SHOP: None})
    todo = plan(world.deployment(SHOP), world.now)
    assert not todo.commands
    assert todo.wake_at == world.now + DEFAULT_POLICY.settle
    world.perform(slot(world), Luck.DONE)  # it answers after all
    world.deliver(slot(world))
    assert isinstance(world.flights[slot(world)].command, RemoveServer)


@pytest.mark.parametrize("luck", [Luck.REFUSED, Luck.UNREACHED, Luck.NEVER, Luck.LOST, Luck.LATE])
def test_a_create_that_fails_under_a_removal_is_not_forgotten(luck: Luck) -> None:
    world = World()
    world.apply({SHOP: a_deployment()})
    asked(world)
    world.apply({SHOP: None})
    world.perform(slot(world), luck)
    world.deliver(slot(world))
    world.rest()
    assert not world.records
    assert not in_vim_but_unknown(world)


def test_a_server_that_is_seen_again_under_a_removal_is_written_once() -> None:
    world = World()
    world.apply({SHOP: a_deployment()})
    building(world)
    world.apply({SHOP: None})
    before = world.records[SHOP]
    world.tell(SHOP, seen(next(iter(world.vim.servers.values()))))
    assert world.records[SHOP] is before


def test_an_early_gone_is_not_believed_while_a_create_may_turn_up() -> None:
    world = World()
    world.apply({SHOP: a_deployment()})
    asked(world)
    world.apply({SHOP: None})
    before = world.records[SHOP]
    world.tell(SHOP, ServerGone(key=ServerKey(the_vm(world).id, 1)))
    assert world.records[SHOP] is before


def test_a_removal_that_fails_is_tried_again() -> None:
    world = running()
    world.apply({SHOP: None})
    world.perform(slot(world), Luck.NEVER)
    world.deliver(slot(world))
    assert the_vm(world).attempt is not None
    assert not world.flights
    world.rest()
    assert world.types() == ["VM_UNDEPLOYED", "SERVICE_UNDEPLOYED"]


def test_a_removal_that_the_vim_refuses_ends_in_a_leftover() -> None:
    world = running()
    (server,) = world.vim.servers
    world.stuck = True
    world.apply({SHOP: None})
    world.rest()
    assert world.types() == ["VM_UNDEPLOYED FAILURE", "SERVICE_UNDEPLOYED FAILURE"]
    record = world.deployment(SHOP)
    assert record.state is ServiceState.UNDEF
    assert record.intent is None
    assert not record.vms
    (left,) = record.leftovers
    assert left.vm.server is not None
    assert left.vm.server.resource_id == server
    assert left.deployment == record.id
    assert "is left in VIM sim: gave up after" in world.log[-1].message


def test_a_vim_that_never_answers_a_removal_is_given_up_after_twenty_minutes() -> None:
    world = running()
    begun = world.now
    world.apply({SHOP: None})
    while world.deployment(SHOP).vms:
        if world.flights:
            world.perform(slot(world), Luck.NEVER)
            world.deliver(slot(world))
        else:
            world.sleep((world.wakes[SHOP] - world.now).total_seconds())
    assert timedelta(minutes=20) <= world.now - begun < timedelta(minutes=22)
    assert len(world.deployment(SHOP).leftovers) == 1


def test_a_leftover_is_tried_again_with_long_pauses_until_it_goes() -> None:
    world = running()
    world.stuck = True
    world.apply({SHOP: None})
    world.rest()
    world.log.clear()
    for _ in range(3):
        pause = world.wakes[SHOP] - world.now
        longest = DEFAULT_POLICY.leftover_pause
        assert longest / 2 <= pause <= longest
        world.sleep(pause.total_seconds())
        (leaving,) = list(world.flights)
        world.perform(leaving, Luck.DONE)
        world.deliver(leaving)
    assert world.deployment(SHOP).leftovers[0].attempt.tries == DEFAULT_POLICY.removal_tries + 3
    world.stuck = False
    world.rest()
    assert not world.records
    assert not world.vim.servers
    assert not world.log


def test_undeploying_what_rests_for_its_leftovers_changes_nothing() -> None:
    world = running()
    world.stuck = True
    world.apply({SHOP: None})
    world.rest()
    before = world.records[SHOP]
    world.apply({SHOP: None})
    assert world.records[SHOP] is before


def with_leftovers(*, vms: int = 1) -> World:
    world = running(intent=a_deployment(a_group("web", "net", vms=vms, watched=False, pool=POOL)))
    world.stuck = True
    world.apply({SHOP: None})
    world.rest()
    return world


def test_the_same_name_is_deployed_over_leftovers_without_their_addresses() -> None:
    world = with_leftovers()
    old = world.deployment(SHOP)
    world.records[SHOP] = replace(old, revision=7, epoch=3)
    world.apply({SHOP: a_deployment(a_group("web", "net", watched=False, pool=POOL))})
    record = world.deployment(SHOP)
    assert record.id != old.id
    assert record.leftovers == old.leftovers
    assert the_vm(world).interfaces[0].ip_address == POOL[1]
    assert (record.revision, record.epoch) == (7, 3)
    world.stuck = False
    world.rest()
    assert world.deployment(SHOP).state is ServiceState.ACTIVE
    assert not world.deployment(SHOP).leftovers
    assert len(world.vim.servers) == 1


def test_a_pool_that_leftovers_have_emptied_is_refused() -> None:
    world = with_leftovers(vms=2)
    before = dict(world.records)
    with pytest.raises(Refused, match="fewer free IPv4 addresses"):
        world.apply({SHOP: a_deployment(a_group("web", "net", watched=False, pool=POOL))})
    assert world.records == before


def test_an_undeploy_counts_what_it_has_left_and_not_what_was_left_before() -> None:
    # given
    world = with_leftovers(vms=2)
    assert world.log[-1].message.endswith("; 2 leftovers, shown by esc_nc_cli leftovers")
    world.apply({SHOP: a_deployment(a_group(watched=False))})
    world.rest()
    # when
    world.apply({SHOP: None})
    world.rest()
    # then
    assert len(world.deployment(SHOP).leftovers) == 3
    assert world.log[-1].message.endswith("; 1 leftover, shown by esc_nc_cli leftovers")


def test_a_successor_that_leftovers_have_emptied_the_pool_of_fails_honestly() -> None:
    shop = a_deployment(a_group("web", "net", vms=2, watched=False, pool=POOL))
    world = running(intent=shop)
    world.stuck = True
    world.apply({SHOP: None})
    world.apply({SHOP: shop})
    world.rest()
    assert world.types()[-2:] == ["SERVICE_UNDEPLOYED FAILURE", "SERVICE_ALIVE FAILURE"]
    record = world.deployment(SHOP)
    assert (record.state, record.intent, dict(record.vms)) == (ServiceState.ERROR, shop, {})
    world.stuck = False
    world.apply({SHOP: None})
    world.rest()
    assert not world.records
    assert not world.vim.servers


def test_a_leftover_that_stays_is_none_of_another_server_s_business() -> None:
    world = with_leftovers()
    before = world.records[SHOP]
    other = ServerKey(world.deployment(SHOP).leftovers[0].vm.id, 2)
    world.tell(SHOP, ServerGone(key=other))
    world.tell(SHOP, ServerGone(key=other._replace(generation=1), looked=True))
    world.tell(SHOP, CallFailed(subject=other, removal=True, error="no"))
    assert world.records[SHOP] is before


def test_one_leftover_goes_while_the_other_stays() -> None:
    world = with_leftovers(vms=2)
    first, second = world.deployment(SHOP).leftovers
    world.tell(SHOP, CallFailed(subject=ServerKey(first.vm.id, 1), removal=True, error="still not"))
    changed, same = world.deployment(SHOP).leftovers
    assert changed.attempt.error == "still not"
    assert same is second
    world.tell(SHOP, ServerGone(key=ServerKey(first.vm.id, 1)))
    assert world.deployment(SHOP).leftovers == (second,)


def test_the_same_name_again_waits_for_the_last_removal() -> None:
    world = running(intent=a_deployment(a_group("web", "own"), networks=(a_network("own", "a"),)))
    old = world.deployment(SHOP)
    world.apply({SHOP: None})
    world.apply({SHOP: a_deployment(a_group("db", "own"), networks=(a_network("own", "a"),))})
    waiting = world.deployment(SHOP)
    assert waiting.id == old.id
    assert waiting.successor is not None
    world.rest()
    record = world.deployment(SHOP)
    assert record.id == waiting.successor.id
    assert record.state is ServiceState.ACTIVE
    assert len(world.vim.servers) == 1
    assert len(world.vim.resources) == 2
    ends = world.types().index("SERVICE_UNDEPLOYED")
    assert "VM_DEPLOYED" not in world.types()[:ends]
    assert world.types()[-1] == "SERVICE_ALIVE"


def test_a_tenant_and_its_deployment_may_go_and_come_at_once() -> None:
    shop = a_deployment(a_group("web", "own"), networks=(a_network("own", "a"),))
    world = World()
    world.apply({ACME: a_tenant(), SHOP: shop})
    world.rest()
    world.apply({ACME: None, SHOP: None})
    world.apply({ACME: a_tenant(), SHOP: shop})
    assert not world.types().count("DELETE_TENANT")
    world.rest()
    assert world.deployment(SHOP).state is ServiceState.ACTIVE
    assert world.types().count("DELETE_TENANT") == 1
    assert world.types().count("CREATE_TENANT") == 2
    assert len(world.vim.servers) == 1


def test_the_successor_asked_for_again_stays_the_same_incarnation() -> None:
    shop = a_deployment(a_group("web", "own"), networks=(a_network("own", "a"),))
    world = running(intent=shop)
    world.apply({SHOP: None})
    world.apply({SHOP: shop})
    before = dict(world.records)
    world.apply({SHOP: shop})
    assert world.records == before
    with pytest.raises(Refused):
        world.apply({SHOP: a_deployment()})
    world.rest()
    assert world.deployment(SHOP).state is ServiceState.ACTIVE


def test_a_successor_that_cannot_be_placed_is_refused_at_once() -> None:
    world = running()
    world.apply({SHOP: None})
    before = dict(world.records)
    with pytest.raises(Refused):
        world.apply({SHOP: a_deployment(a_group(vms=501))})
    assert world.records == before


def test_a_successor_that_is_unwanted_before_it_began_is_told_to_have_ended() -> None:
    world = running()
    old = world.deployment(SHOP).id
    world.apply({SHOP: None})
    world.apply({SHOP: a_deployment()})
    successor = world.deployment(SHOP).successor
    assert successor is not None
    world.apply({SHOP: None})
    world.rest()
    ends = world.told("SERVICE_UNDEPLOYED")
    assert [event.deployment_id for event in ends] == [successor.id, old]
    assert not world.records


def test_an_answer_to_the_incarnation_before_does_not_move_the_next_one() -> None:
    world = running()
    old = world.deployment(SHOP).id
    world.apply({SHOP: None})
    world.apply({SHOP: a_deployment()})
    world.rest()
    world.apply({SHOP: None})
    before = world.records[SHOP]
    world.tell(SHOP, NeighboursGone(waiter=old))
    world.tell(SHOP, ResourcesReady(waiter=TWO))
    world.tell(SHOP, NeighboursGone(waiter=world.deployment(SHOP).id))  # its VM is still there
    assert world.records[SHOP] is before


def test_a_network_that_stays_fails_the_undeploy_and_is_kept() -> None:
    world = running(intent=a_deployment(a_group("web"), networks=(a_network("own"),)))
    world.apply({SHOP: None})
    while world.vim.servers:
        assert world._deed(strays=True)
    world.stuck = True
    world.rest()
    assert world.types()[-2:] == ["DELETE_NETWORK FAILURE", "SERVICE_UNDEPLOYED FAILURE"]
    assert "network shop/own is left" in world.log[-1].message
    assert SHOP not in world.records
    assert len(world.records) == 1
    world.stuck = False
    world.rest()
    assert not world.records
    assert not world.vim.resources


def test_a_leftover_server_is_named_before_a_network_that_stays() -> None:
    world = running(intent=a_deployment(a_group("web"), networks=(a_network("own"),)))
    world.stuck = True
    world.apply({SHOP: None})
    world.rest()
    assert "VM [shop_web_0" in world.log[-1].message
    assert world.deployment(SHOP).state is ServiceState.UNDEF
    assert not world.deployment(SHOP).owned
