"""Actions on services whose VMs are not all in the same state come to their end as well."""

import pytest

from esc_daemon.domain.errors import Refused
from esc_daemon.domain.ids import OperationId, ServerKey
from esc_daemon.domain.intent import RecoveryPolicy, RecoveryType
from esc_daemon.domain.record import ActionType, OperationType, VmRecord
from esc_daemon.domain.states import OperationState, ServiceState, VmState
from esc_daemon.domain.triggers import (
    KpiCrossed,
    RecoveryAsked,
    ServerDrifted,
    ServiceActed,
    VmActed,
)
from tests.domain.pure_world import Luck, World
from tests.domain.stories import HEALED, SHOP, UNHEALED, a_deployment, a_group

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


def answered(world: World, luck: Luck) -> None:
    """Let the one call about a server be answered."""
    (slot,) = [slot for slot in world.flights if slot[1].startswith("server")]
    world.perform(slot, luck)
    world.deliver(slot)


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
    answered(world, Luck.REFUSED)
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


def test_a_vm_that_does_no_work_is_stopped_without_force() -> None:
    # given
    world = deployed(MANUAL)
    life_of_first(world, holds=False)
    # when
    world.tell(SHOP, VmActed(id=OP, vm=the_vms(world)[0].id, action=ActionType.STOP))
    world.rest()
    # then
    assert states(world) == [VmState.SHUTOFF, VmState.ALIVE]


@pytest.mark.parametrize("alone", [True, False], ids=["alone", "with-its-service"])
def test_a_vm_that_waits_for_the_operator_is_watched_no_more_once_he_disables_its_monitors(
    alone: bool,  # noqa: FBT001  a case
) -> None:
    # given
    world = deployed(MANUAL)
    life_of_first(world, holds=False)
    # when
    if alone:
        act_on_first(world, ActionType.DISABLE_MONITOR)
    else:
        act(world, ActionType.DISABLE_MONITOR)
    life_of_first(world, holds=True)
    # then
    first = the_vms(world)[0]
    assert (first.state, first.recovery) == (VmState.MONITOR_DISABLED, None)
    assert len(world.watches()) == (1 if alone else 0)
    assert world.types().count("VM_MONITOR_UNSET") == (1 if alone else 2)


def test_a_broken_service_is_well_again_when_its_last_vm_that_boots_is_watched_no_more() -> None:
    # given: a start that failed is tried again, for one VM
    world = deployed()
    act_on_first(world, ActionType.REBOOT)
    answered(world, Luck.REFUSED)
    act_on_first(world, ActionType.START)
    answered(world, Luck.DONE)
    broken = world.deployment(SHOP).state
    # when
    act_on_first(world, ActionType.DISABLE_MONITOR)
    # then
    assert broken is ServiceState.ERROR
    assert world.deployment(SHOP).state is ServiceState.ACTIVE


def test_monitors_that_are_set_though_the_service_is_broken_are_an_operation_that_failed() -> None:
    # given
    world = deployed()
    act_on_first(world, ActionType.DISABLE_MONITOR)
    second = the_vms(world)[1]
    world.tell(SHOP, VmActed(id=OP, vm=second.id, action=ActionType.REBOOT, force=True))
    answered(world, Luck.REFUSED)
    # when
    act(world, ActionType.ENABLE_MONITOR)
    world.rest()
    # then
    told, operation = world.log[-1], world.deployment(SHOP).operation
    assert (told.type, told.status) == ("SERVICE_ALIVE", "FAILURE")
    assert operation is not None
    assert operation.state is OperationState.FAILED_TEMP


@pytest.mark.parametrize("luck", [Luck.DONE, Luck.REFUSED])
def test_what_becomes_of_another_vm_is_not_the_end_of_the_action_that_is_under_way(
    luck: Luck,
) -> None:
    # given: each of two VMs is stopped by itself
    world = deployed()
    act_on_first(world, ActionType.STOP)
    (first,) = [slot for slot in world.flights if slot[1].startswith("server")]
    later = OperationId("44444444-4444-4444-4444-444444444444")
    second = the_vms(world)[1]
    world.tell(SHOP, VmActed(id=later, vm=second.id, action=ActionType.STOP, force=True))
    # when
    world.perform(first, luck)
    world.deliver(first)
    between = world.deployment(SHOP).operation
    answered(world, Luck.DONE)
    # then
    end = world.deployment(SHOP).operation
    assert between is not None
    assert (between.id, between.state) == (later, OperationState.PROCESSING)
    assert end is not None
    assert (end.id, end.state) == (later, OperationState.COMPLETED)


def test_an_action_on_a_vm_is_over_when_the_vim_has_lost_its_server_meanwhile() -> None:
    # given: it was rebooted, and boots
    world = deployed()
    act_on_first(world, ActionType.REBOOT)
    answered(world, Luck.DONE)
    answered(world, Luck.DONE)
    first = the_vms(world)[0]
    # when
    key = ServerKey(first.id, first.generation)
    world.guarded = True
    world.tell(SHOP, ServerDrifted(key=key, status=None))
    # then
    operation = world.deployment(SHOP).operation
    assert operation is not None
    assert (operation.id, operation.state) == (OP, OperationState.FAILED_TEMP)


def test_a_service_whose_vms_were_stopped_each_by_itself_is_started() -> None:
    # given: the stop of the service failed for one VM, which was then stopped alone
    world = deployed()
    act(world, ActionType.STOP)
    first, second = [slot for slot in world.flights if slot[1].startswith("server")]
    world.perform(second, Luck.DONE)
    world.deliver(second)
    world.perform(first, Luck.REFUSED)
    world.deliver(first)
    (broken,) = [vm for vm in the_vms(world) if vm.state is VmState.ERROR]
    world.tell(SHOP, VmActed(id=OP, vm=broken.id, action=ActionType.STOP))
    world.rest()
    off = states(world), world.deployment(SHOP).state
    # when
    act(world, ActionType.START)
    world.rest()
    # then
    assert off == ([VmState.SHUTOFF, VmState.SHUTOFF], ServiceState.ACTIVE)
    assert world.types()[-1] == "SERVICE_STARTED"
    assert states(world) == [VmState.ALIVE, VmState.ALIVE]


def test_a_service_none_of_whose_vms_is_stopped_is_not_started() -> None:
    with pytest.raises(Refused, match="none of its VMs is stopped"):
        act(deployed(), ActionType.START)


def test_a_recovery_does_not_turn_on_the_monitors_that_the_operator_disabled() -> None:
    # given
    world = deployed()
    act_on_first(world, ActionType.DISABLE_MONITOR)
    # when, then
    with pytest.raises(Refused, match="ask for ENABLE_MONITOR first"):
        world.tell(SHOP, RecoveryAsked(id=OP, vm=the_vms(world)[0].id))
    assert states(world) == [VmState.MONITOR_DISABLED, VmState.ALIVE]


def test_a_recovery_that_can_do_nothing_is_refused_and_breaks_nothing() -> None:
    # given
    world = deployed(UNHEALED)
    # when, then
    with pytest.raises(Refused, match=r"max_retries 0.* leaves nothing to be done"):
        world.tell(SHOP, RecoveryAsked(id=OP, vm=the_vms(world)[0].id))
    assert states(world) == [VmState.ALIVE, VmState.ALIVE]
