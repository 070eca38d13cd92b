"""Actions on services whose VMs are not all in the same state come to their end as well."""

import pytest

from esc_daemon.domain.ids import OperationId, ServerKey
from esc_daemon.domain.intent import RecoveryPolicy, RecoveryType
from esc_daemon.domain.record import ActionType, OperationType, VmRecord
from esc_daemon.domain.states import OperationState, ServiceState, VmState
from esc_daemon.domain.triggers import KpiCrossed, ServiceActed, VmActed
from tests.domain.pure_world import Luck, World
from tests.domain.stories import HEALED, SHOP, a_deployment, a_group

OP = OperationId("33333333-3333-3333-3333-333333333333")
MANUAL = RecoveryPolicy(type=RecoveryType.MANUAL)


def deployed(recovery: RecoveryPolicy = HEALED) -> World:
    """Return a world whose service of two VMs is active."""
    world = World()
    world.apply({SHOP: a_deployment(a_group("web", vms=2, recovery=recovery))})
    world.rest()
    return world


def the_vms(world: World) -> list[VmRecord]:
    return list(world.deployment(SHOP).vms.values())


def states(world: World) -> list[VmState]:
    return [vm.state for vm in the_vms(world)]


def act(world: World, action: ActionType) -> None:
    world.log.clear()
    world.tell(SHOP, ServiceActed(id=OP, action=action))


def act_on_first(world: World, action: ActionType) -> None:
    world.tell(SHOP, VmActed(id=OP, vm=the_vms(world)[0].id, action=action, force=True))


def life_of_first(world: World, *, holds: bool) -> None:
    vm = the_vms(world)[0]
    server = ServerKey(vm.id, vm.generation)
    world.tell(SHOP, KpiCrossed(server=server, event_name="VM_ALIVE", holds=holds))


def test_a_vm_that_is_stopped_stays_so_when_its_service_is_rebooted() -> None:
    # given
    world = deployed()
    act_on_first(world, ActionType.STOP)
    world.rest()
    # when
    act(world, ActionType.REBOOT)
    world.rest()
    # then
    assert world.types() == ["VM_REBOOTED", "VM_ALIVE", "SERVICE_REBOOTED"]
    assert states(world) == [VmState.SHUTOFF, VmState.ALIVE]
    assert world.deployment(SHOP).state is ServiceState.ACTIVE


def test_an_unwatched_vm_stays_so_when_the_others_of_a_broken_service_are_started() -> None:
    # given
    world = deployed()
    act_on_first(world, ActionType.DISABLE_MONITOR)
    second = the_vms(world)[1]
    world.tell(SHOP, VmActed(id=OP, vm=second.id, action=ActionType.REBOOT, force=True))
    (slot,) = [slot for slot in world.flights if slot[1].startswith("server")]
    world.perform(slot, Luck.REFUSED)
    world.deliver(slot)
    # when
    act(world, ActionType.START)
    world.rest()
    # then
    assert world.types() == ["VM_STARTED", "VM_ALIVE", "SERVICE_STARTED"]
    assert states(world) == [VmState.MONITOR_DISABLED, VmState.ALIVE]
    assert world.deployment(SHOP).state is ServiceState.ACTIVE


def test_the_monitors_of_a_service_are_set_though_one_vm_waits_for_the_operator() -> None:
    # given
    world = deployed(MANUAL)
    act(world, ActionType.DISABLE_MONITOR)
    act(world, ActionType.ENABLE_MONITOR)
    # when
    life_of_first(world, holds=True)
    life_of_first(world, holds=False)
    world.rest()
    # then
    assert world.types()[-1] == "SERVICE_ALIVE"
    assert world.deployment(SHOP).action is None


@pytest.mark.parametrize("recovery", [HEALED, MANUAL], ids=["healed", "by-the-operator"])
def test_an_action_on_a_vm_that_gave_it_no_life_is_over_when_its_recovery_begins(
    recovery: RecoveryPolicy,
) -> None:
    # given
    world = deployed(recovery)
    act_on_first(world, ActionType.REBOOT)
    world.silent_vms = {the_vms(world)[0].id}
    # when
    world.rest()
    # then
    operation = world.deployment(SHOP).operation
    assert operation is not None
    assert operation.state is OperationState.FAILED_TEMP
    assert operation.type is (OperationType.OPERATE if recovery is MANUAL else OperationType.HEAL)
