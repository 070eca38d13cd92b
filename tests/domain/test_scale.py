"""Scaling by KPI: its events, its limits, its failures (ESC-WORKFLOWS section 10; ruling 20)."""

from dataclasses import replace
from datetime import timedelta

import pytest

from esc_daemon.domain.errors import Refused
from esc_daemon.domain.ids import ServerKey
from esc_daemon.domain.intent import (
    Collector,
    Condition,
    Kpi,
    RecoveryPolicy,
    RecoveryType,
)
from esc_daemon.domain.record import ActionType, OperationType
from esc_daemon.domain.states import OperationState, ServiceState, VmState
from esc_daemon.domain.triggers import KpiCrossed, RecoveryAsked, ServiceActed, VmActed
from tests.domain.elastic import (
    IN,
    OP,
    OUT,
    OUT_FAILED,
    cross,
    elastic,
    overload,
    settle,
    the_vms,
    underload,
    up,
)
from tests.domain.pure_world import Luck, World
from tests.domain.stories import SHOP, a_deployment, a_group, after


def test_an_overloaded_group_gets_one_vm_more() -> None:
    # given
    world = up(elastic("net"))
    # when
    overload(world)
    world.rest()
    # then
    old, new = the_vms(world)
    assert world.types() == OUT
    assert world.deployment(SHOP).state is ServiceState.ACTIVE
    assert {vm.state for vm in the_vms(world)} == {VmState.ALIVE}
    assert len(world.vim.servers) == len(world.watches()) == 2
    assert old.server
    assert new.server
    init, deployed, alive, complete = world.log
    for event in (init, deployed, complete):
        assert event.source
        assert event.source.vmid == old.server.resource_id
    assert init.target is None
    assert alive.source
    assert alive.source.vmid == new.server.resource_id
    for event in (deployed, complete):
        assert event.target
        assert event.target.vmid == new.server.resource_id
        assert event.target.interfaces
    assert [init.message, complete.message] == [
        "VM scale out triggered",
        "VM scaled out successfully",
    ]


def test_the_underloaded_vm_itself_leaves() -> None:
    # given
    world = up(elastic("net", least=2, most=3))
    overload(world)
    settle(world)
    world.log.clear()
    idle = the_vms(world)[1]
    # when
    underload(world, idle)
    world.rest()
    # then
    assert world.types() == IN
    assert [event.message for event in world.log] == [
        "VM scale in triggered",
        "VM scaled in successfully",
    ]
    assert {event.source.vmname for event in world.log if event.source} == {idle.name}
    assert idle.id not in world.deployment(SHOP).vms
    assert len(world.vim.servers) == len(world.watches()) == 2
    assert idle.id not in world.vim.ports
    assert world.deployment(SHOP).state is ServiceState.ACTIVE


def test_a_group_is_never_larger_or_smaller_than_it_may_be() -> None:
    world = up(elastic(least=2, most=2))
    before = world.records[SHOP]
    overload(world)
    underload(world)
    assert world.records[SHOP] is before
    assert not world.log


def test_a_vm_that_does_not_work_is_none_of_those_that_must_stay() -> None:
    # given: two VMs of at least one, and one of them is stopped
    world = up(elastic(least=1, most=2))
    overload(world)
    settle(world)
    world.tell(SHOP, VmActed(id=OP, vm=the_vms(world)[1].id, action=ActionType.STOP, force=True))
    settle(world)
    before = world.records[SHOP]
    # when
    underload(world)
    # then
    assert world.records[SHOP] is before


def test_a_group_that_is_not_elastic_is_not_scaled_by_kpis() -> None:
    world = up(elastic(by_kpi=False))
    before = world.records[SHOP]
    overload(world)
    assert world.records[SHOP] is before


def test_one_scaling_of_a_group_at_a_time_and_then_a_rest() -> None:
    # given
    world = up(elastic(most=4))
    pause = world.policy.scaling_pause
    # when: the load stays high, and is told at each poll
    overload(world)
    overload(world)
    world.rest()
    overload(world)
    world.sleep(pause.total_seconds() - 1)
    overload(world)
    before = len(the_vms(world))
    world.sleep(1)
    overload(world)
    # then
    assert before == 2
    assert len(the_vms(world)) == 3


def test_the_rest_outlives_a_restart_and_no_clock_that_is_set_back_makes_it_longer() -> None:
    # given
    world = up(elastic())
    overload(world)
    world.rest()
    # when
    world.restart()
    overload(world)
    rested = len(the_vms(world))
    world.now -= timedelta(days=1)
    overload(world)
    # then
    assert rested == 2
    assert len(the_vms(world)) == 3


def test_groups_scale_side_by_side() -> None:
    world = up(elastic(name="web"), elastic(name="db"))
    for vm in the_vms(world):
        overload(world, vm)
    operation = world.deployment(SHOP).operation
    world.rest()
    assert sorted(world.types()) == sorted(OUT * 2)
    assert operation is not None
    assert (operation.type, operation.state) == (OperationType.SCALE, OperationState.PROCESSING)
    ended = world.deployment(SHOP).operation
    assert ended is not None
    assert (ended.id, ended.state) == (operation.id, OperationState.COMPLETED)


def test_a_new_vm_that_is_not_alive_in_time_is_recovered_first() -> None:
    # given
    world = up(elastic(recovery=RecoveryPolicy()))
    overload(world)
    world.silent_vms = {the_vms(world)[1].id}
    # when: it stays silent until it is rebooted
    while "VM_RECOVERY_REBOOT" not in world.types():
        world._deed(strays=False)
    world.silent_vms.clear()
    world.rest()
    # then
    assert world.types() == [
        *OUT[:2],
        "VM_RECOVERY_INIT",
        "VM_RECOVERY_REBOOT",
        "VM_RECOVERY_COMPLETE",
        *OUT[2:],
    ]
    assert world.deployment(SHOP).state is ServiceState.ACTIVE


@pytest.mark.parametrize("kind", list(RecoveryType))
def test_a_new_vm_that_cannot_be_brought_to_life_leaves_the_group_as_it_was(
    kind: RecoveryType,
) -> None:
    # given
    world = up(elastic(recovery=RecoveryPolicy(type=kind, max_retries=0)))
    overload(world)
    world.silent_vms = {the_vms(world)[1].id}
    # when
    world.rest()
    # then: nobody waits for an operator
    recovery = ["VM_RECOVERY_INIT", "VM_RECOVERY_REBOOT", "VM_RECOVERY_COMPLETE FAILURE"]
    healed = recovery if kind is RecoveryType.AUTO else []
    assert world.types() == [*OUT[:2], *healed, "VM_SCALE_OUT_COMPLETE FAILURE"]
    assert "VM scaled out failed: VM [shop_web_1_" in world.log[-1].message
    assert "it did not answer within its" in world.log[-1].message
    assert world.deployment(SHOP).state is ServiceState.ACTIVE
    assert len(the_vms(world)) == len(world.vim.servers) == len(world.vim.ports) == 1


def test_a_vm_that_the_vim_refuses_leaves_the_group_as_it_was() -> None:
    # given
    world = up(elastic("net"))
    overload(world)
    # when
    (slot,) = [slot for slot in world.flights if slot[1].startswith("server")]
    world.perform(slot, Luck.REFUSED)
    world.deliver(slot)
    assert world.deployment(SHOP).state is ServiceState.ACTIVE
    world.rest()
    # then
    assert world.types() == OUT_FAILED
    assert all("call refused" in event.message for event in world.log[1:])
    record = world.deployment(SHOP)
    assert (record.state, len(record.vms)) == (ServiceState.ACTIVE, 1)
    assert record.operation is not None
    assert record.operation.state is OperationState.FAILED_TEMP
    # and after its rest it is tried again, as another VM
    world.sleep(60)
    overload(world)
    world.rest()
    assert the_vms(world)[1].index == 2


def test_a_vm_is_complete_when_all_that_others_would_wait_for_came_true_in_it() -> None:
    # given
    world = World()
    startup = (after("db", "web", event="READY"),)
    ready = Kpi(
        event_name="READY", threshold="1", condition=Condition.GT, collector=Collector(type="x")
    )
    web = elastic(name="web")
    web = replace(web, kpis=(*web.kpis, ready))
    world.apply({SHOP: a_deployment(web, elastic(name="db"), startup=startup)})
    world.rest()
    world.log.clear()
    # when: a VM of each group, and that of web is alive
    for vm in the_vms(world):
        overload(world, vm)
    web_vm, db_vm = the_vms(world)[2:]
    world.silent_vms = {web_vm.id}
    while the_vms(world)[2].state is not VmState.INERT:
        world._deed(strays=False)
    cross(world, "VM_ALIVE", web_vm)
    lives = the_vms(world)[2]
    # then: nobody waits for it, and it is one of its group when it is ready
    assert the_vms(world)[3].state is not VmState.UNDEF
    assert (lives.state, lives.scale is None) == (VmState.ALIVE, False)
    cross(world, "READY", web_vm)
    world.rest()
    assert world.types().count("VM_SCALE_OUT_COMPLETE") == 2
    assert not [vm for vm in the_vms(world) if vm.deadline or vm.scale]
    assert db_vm.group == "db"


def test_a_vm_that_is_alive_and_never_ready_is_none_of_its_group() -> None:
    # given
    world = World()
    ready = Kpi(
        event_name="READY", threshold="1", condition=Condition.GT, collector=Collector(type="x")
    )
    web = elastic(name="web")
    web = replace(web, kpis=(*web.kpis, ready))
    startup = (after("db", "web", event="READY"),)
    world.apply({SHOP: a_deployment(web, a_group("db"), startup=startup)})
    world.rest()
    world.log.clear()
    # when
    overload(world)
    coming = the_vms(world)[2]
    world.silent_vms = {coming.id}
    while the_vms(world)[2].state is not VmState.INERT:
        world._deed(strays=False)
    cross(world, "VM_ALIVE", coming)
    world.rest()
    # then
    assert world.types() == [*OUT[:3], "VM_SCALE_OUT_COMPLETE FAILURE"]
    assert "READY did not come true" in world.log[-1].message
    assert world.deployment(SHOP).state is ServiceState.ACTIVE
    assert len(the_vms(world)) == 2


@pytest.mark.parametrize("action", [ActionType.STOP, ActionType.REBOOT])
def test_a_service_that_is_not_active_is_not_scaled(action: ActionType) -> None:
    # given
    world = up(elastic())
    world.tell(SHOP, ServiceActed(id=OP, action=action))
    before = world.records[SHOP]
    # when
    overload(world)
    underload(world)
    # then
    assert world.records[SHOP] is before


@pytest.mark.parametrize("action", list(ActionType))
def test_while_a_group_scales_the_service_is_left_alone(action: ActionType) -> None:
    world = up(elastic())
    overload(world)
    with pytest.raises(Refused, match="being added or removed by scaling"):
        world.tell(SHOP, ServiceActed(id=OP, action=action))


def test_a_vm_that_scales_is_left_alone() -> None:
    world = up(elastic(), elastic(name="db"))
    overload(world)
    coming = the_vms(world)[-1]
    for asks in (
        VmActed(id=OP, vm=coming.id, action=ActionType.REBOOT),
        RecoveryAsked(id=OP, vm=coming.id),
    ):
        with pytest.raises(Refused, match="it is being added by scaling") as refused:
            world.tell(SHOP, asks)
        assert refused.value.tag == "in-use"


def test_another_vm_is_healed_while_its_group_scales() -> None:
    # given
    world = up(elastic(recovery=RecoveryPolicy()))
    overload(world)
    # when
    vm = the_vms(world)[0]
    key = ServerKey(vm.id, vm.generation)
    world.tell(SHOP, KpiCrossed(server=key, event_name="VM_ALIVE", holds=False))
    world.rest()
    # then
    assert world.types().count("VM_RECOVERY_COMPLETE") == 1
    assert world.types().count("VM_SCALE_OUT_COMPLETE") == 1
    assert {each.state for each in the_vms(world)} == {VmState.ALIVE}


def broken(world: World) -> None:
    """Let a VM of the service fall silent for good."""
    vm = the_vms(world)[0]
    world.silent_vms.add(vm.id)
    key = ServerKey(vm.id, vm.generation)
    world.tell(SHOP, KpiCrossed(server=key, event_name="VM_ALIVE", holds=False))
    world.rest()
    assert world.deployment(SHOP).state is ServiceState.ERROR


def test_a_service_in_error_may_get_a_vm_and_stays_in_error() -> None:
    world = up(elastic(least=2, most=3))
    broken(world)
    world.log.clear()
    overload(world, the_vms(world)[1])
    world.rest()
    assert world.types() == OUT
    assert world.deployment(SHOP).state is ServiceState.ERROR


def test_only_what_holds_scales() -> None:
    world = up(elastic())
    before = world.records[SHOP]
    vm = the_vms(world)[0]
    key = ServerKey(vm.id, vm.generation)
    world.tell(SHOP, KpiCrossed(server=key, event_name="OVERLOADED", holds=False))
    assert world.records[SHOP] is before


def test_a_vm_that_is_not_alive_asks_for_nothing() -> None:
    world = World()
    world.apply({SHOP: a_deployment(elastic())})
    vm = the_vms(world)[0]
    for _ in range(3):
        overload(world, vm)
        world._deed(strays=False)
    assert len(the_vms(world)) == 1
