"""Answers that come late, twice or to nobody, and restarts of a deploy."""

from dataclasses import replace

import pytest

from esc_daemon.domain.advance import advance
from esc_daemon.domain.commands import AwaitServer, RemoveServer, call_slot
from esc_daemon.domain.ids import OperationId, ServerKey, VmGroupName
from esc_daemon.domain.plan import plan
from esc_daemon.domain.record import ActionType
from esc_daemon.domain.specs import ServerStatus
from esc_daemon.domain.states import ResourceState, ServiceState, VmState
from esc_daemon.domain.triggers import (
    CallFailed,
    IntentChanged,
    KpiCrossed,
    NeighboursGone,
    ResourceFailed,
    ResourceGone,
    ResourcesReady,
    ServerGone,
    ServerSeen,
    ServiceActed,
    Woken,
)
from tests.domain.fake_vim import seen
from tests.domain.pure_world import VIM, Luck, World
from tests.domain.stories import (
    ACME,
    SHOP,
    a_deployment,
    a_group,
    a_network,
    a_tenant,
    net_key,
)
from tests.domain.test_deploy import server_slot, the_server, the_vm, up_to_the_first_call
from tests.domain.test_resources import CALL, IMAGE, asked, resource

OP = OperationId("33333333-3333-3333-3333-333333333333")


def test_an_answer_to_nobody_is_ignored() -> None:
    world = World()
    key = ServerKey(the_vm(up_to_the_first_call()).id, 1)
    world.tell(SHOP, ServerGone(key=key))
    world.tell(SHOP, Woken())
    world.apply({SHOP: None})
    assert not world.records
    assert not world.log


def test_answers_that_no_longer_concern_a_deployment_are_ignored() -> None:
    world = World()
    world.apply({SHOP: a_deployment(a_group(VmGroupName("web"), watched=False))})
    world.rest()
    record = world.deployment(SHOP)
    (server,) = world.vim.servers.values()
    of_another = ServerKey(server.key.vm, 2)
    for late in (
        seen(server),
        ServerGone(key=server.key),
        ServerGone(key=of_another),
        CallFailed(subject=server.key, removal=False, error="late"),
        CallFailed(subject=of_another, removal=True, error="late"),
        CallFailed(subject=record.id, removal=False, error="not ours"),
        ResourcesReady(waiter=record.id),
        ResourceGone(id=record.id),
        KpiCrossed(server=server.key, event_name="VM_ALIVE", holds=True),
    ):
        world.tell(SHOP, late)
    again = seen(server).server
    world.tell(SHOP, ServerSeen(server=replace(again, key=of_another, status=ServerStatus.ERROR)))
    assert world.records[SHOP] is record


@pytest.mark.parametrize("luck", [Luck.DONE, Luck.LATE, Luck.NEVER])
def test_after_a_restart_a_server_is_looked_for_before_it_is_made(luck: Luck) -> None:
    world = up_to_the_first_call(a_group(vms=2))
    world.restart(dict.fromkeys(world.flights, luck))
    commands = plan(world.deployment(SHOP), world.now).commands
    assert {type(command) for command in commands} == {AwaitServer}
    world.rest()
    assert world.vim.made == 2
    assert world.types()[-1] == "SERVICE_ALIVE"


def test_a_restart_rewrites_only_the_vms_that_were_being_made() -> None:
    world = up_to_the_first_call(a_group(vms=2))
    world.perform(server_slot(world), Luck.DONE)
    world.deliver(server_slot(world))
    first, second = world.deployment(SHOP).vms.values()
    world.restart()
    assert the_vm(world) is first
    assert the_vm(world, 1) is not second


def test_a_neighbour_that_fails_too_late_changes_nothing() -> None:
    world = up_to_the_first_call()
    before = world.deployment(SHOP)
    world.tell(SHOP, ResourceFailed(waiter=before.id, key=ACME, error="late"))
    assert world.records[SHOP] is before


def test_two_steps_of_a_record_make_one() -> None:
    world = up_to_the_first_call()
    before = world.deployment(SHOP)
    failure = CallFailed(subject=the_server(world), removal=False, error="no", final=True)
    one = advance(SHOP, before, failure, world.now)
    two = advance(SHOP, one.record, IntentChanged(id=before.id, intent=None), world.now)
    both = one.then(two)
    assert (both.before, both.record) == (before, two.record)
    assert both.events == one.events + two.events
    assert both.moved


def test_an_answer_to_the_incarnation_before_does_not_start_the_next_one() -> None:
    world = World()
    world.apply({SHOP: a_deployment()})
    stale = ResourcesReady(waiter=world.deployment(SHOP).id)
    world.apply({SHOP: None})
    world.apply({SHOP: a_deployment(networks=(a_network("own"),))})
    before = world.deployment(SHOP)
    world.tell(SHOP, stale)
    assert world.records[SHOP] is before


def test_an_answer_to_the_incarnation_before_does_not_end_the_next_one() -> None:
    world = World()
    world.apply({SHOP: a_deployment()})
    old = world.deployment(SHOP).id
    world.apply({SHOP: None})
    world.apply({SHOP: a_deployment(networks=(a_network("own"),))})
    world.rest()
    world.apply({SHOP: None})
    while world.deployment(SHOP).vms:
        assert world._deed(strays=True)
    before = world.deployment(SHOP)
    world.tell(SHOP, NeighboursGone(waiter=old))
    assert world.records[SHOP] is before


def test_a_create_from_before_a_restart_is_still_expected_under_a_removal() -> None:
    world = up_to_the_first_call()
    world.apply({SHOP: None})
    world.sleep(59)
    world.restart({(SHOP, call_slot(VIM, vm)): Luck.LATE for vm in world.deployment(SHOP).vms})
    world.rest()
    assert not world.records
    assert not world.vim.servers


def test_a_create_that_was_given_up_is_still_expected_when_the_clock_was_set_meanwhile() -> None:
    world = up_to_the_first_call()
    world.sleep(world.policy.give_up_after.total_seconds())
    world.perform(server_slot(world), Luck.LATE)
    world.deliver(server_slot(world))
    assert the_vm(world).state is VmState.ERROR
    world.set_clock(3600)
    world.restart()
    world.apply({SHOP: None})
    world.rest()
    assert not world.records
    assert not world.vim.servers


def test_a_look_that_failed_does_not_hold_back_the_removal_of_a_known_server() -> None:
    world = up_to_the_first_call()
    world.perform(server_slot(world), Luck.DONE)
    world.deliver(server_slot(world))
    world.perform(server_slot(world), Luck.NEVER)  # the look fails, its answer is on the way
    world.apply({SHOP: None})
    before = world.records[SHOP]
    world.tell(*world.strays.pop())
    assert world.records[SHOP] is before
    assert isinstance(world.flights[server_slot(world)].command, RemoveServer)


def test_a_creation_that_was_given_up_is_still_expected_when_the_clock_was_set_meanwhile() -> None:
    world = asked()
    world.sleep(world.policy.give_up_after.total_seconds())
    world.perform(CALL, Luck.LATE)
    world.deliver(CALL)
    assert resource(world, IMAGE).state is ResourceState.ERROR
    world.set_clock(3600)
    world.restart()
    world.apply({IMAGE: None})
    world.rest()
    assert not world.records
    assert not world.vim.resources


def test_a_failure_from_before_does_not_touch_a_resource_that_waits() -> None:
    world = World()
    world.apply({ACME: a_tenant(), net_key(): a_network()})
    before = world.records[net_key()]
    world.tell(net_key(), CallFailed(subject=before.id, removal=False, error="late"))
    assert world.records[net_key()] is before


@pytest.mark.parametrize("luck", [Luck.DONE, Luck.REFUSED])
def test_an_answer_that_comes_twice_ends_no_later_switch_of_the_same_direction(luck: Luck) -> None:
    # given: a stop whose answer comes a second time, long after
    world = World()
    world.apply({SHOP: a_deployment(a_group("web"))})
    world.rest()
    (vm,) = world.deployment(SHOP).vms.values()
    slot = (SHOP, call_slot(VIM, vm.id))
    world.tell(SHOP, ServiceActed(id=OP, action=ActionType.STOP))
    world.perform(slot, luck)
    late = world.flights[slot].answer
    assert late is not None
    world.deliver(slot)
    if luck is Luck.DONE:
        world.tell(SHOP, ServiceActed(id=OP, action=ActionType.START))
        world.rest()
    world.tell(SHOP, ServiceActed(id=OP, action=ActionType.STOP))
    under_way = world.records[SHOP]
    # when
    world.tell(SHOP, late)
    # then
    assert world.records[SHOP] is under_way
    world.rest()
    assert world.deployment(SHOP).state is ServiceState.STOPPED
    assert {each.is_on for each in world.vim.servers.values()} == {False}
