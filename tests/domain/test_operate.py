"""Actions on services and VMs: what they do, what is told, what is refused (seed 002)."""

from dataclasses import replace

import pytest

from esc_daemon.domain.commands import SwitchServer
from esc_daemon.domain.errors import Refused
from esc_daemon.domain.ids import OperationId, ServerKey
from esc_daemon.domain.intent import RecoveryAction, RecoveryPolicy, RecoveryType
from esc_daemon.domain.record import ActionType, VmRecord
from esc_daemon.domain.specs import Power, ServerStatus
from esc_daemon.domain.states import OperationState, ServiceState, VmState
from esc_daemon.domain.triggers import KpiCrossed, ServiceActed, VmActed
from tests.domain.pure_world import Luck, World
from tests.domain.stories import ACME, SHOP, UNHEALED, a_deployment, a_group, a_tenant, after

OP = OperationId("33333333-3333-3333-3333-333333333333")


def deployed(*, vms: int = 1, watched: bool = True) -> World:
    world = World()
    world.apply({SHOP: a_deployment(a_group("web", vms=vms, watched=watched))})
    world.rest()
    world.log.clear()
    return world


def the_vms(world: World) -> list[VmRecord]:
    return list(world.deployment(SHOP).vms.values())


def act(world: World, action: ActionType) -> None:
    world.tell(SHOP, ServiceActed(id=OP, action=action))


def act_on_vm(world: World, action: ActionType, *, force: bool = False, vm: int = 0) -> None:
    world.tell(SHOP, VmActed(id=OP, vm=the_vms(world)[vm].id, action=action, force=force))


def test_a_service_stops_with_all_its_vms_unmonitored_and_off() -> None:
    # given
    world = deployed(vms=2)
    # when
    act(world, ActionType.STOP)
    under_way = world.deployment(SHOP).state
    world.rest()
    # then
    assert under_way is ServiceState.STOPPING
    assert world.types() == ["VM_STOPPED", "VM_STOPPED", "SERVICE_STOPPED"]
    assert world.deployment(SHOP).state is ServiceState.STOPPED
    assert {vm.state for vm in the_vms(world)} == {VmState.SHUTOFF}
    assert {server.status for server in world.vim.servers.values()} == {ServerStatus.SHUTOFF}
    assert not world.watches()
    assert world.log[-1].message == "Service group suspension completed successfully"


def test_a_stopped_service_starts_and_its_monitors_are_armed_again() -> None:
    # given
    world = deployed()
    act(world, ActionType.STOP)
    world.rest()
    world.log.clear()
    # when
    act(world, ActionType.START)
    world.rest()
    # then
    assert world.types() == ["VM_STARTED", "VM_ALIVE", "SERVICE_STARTED"]
    assert "received after started" in world.log[1].message
    assert world.deployment(SHOP).state is ServiceState.ACTIVE
    assert len(world.watches()) == 1


def test_a_reboot_is_a_stop_and_a_start() -> None:
    # given
    world = deployed()
    (server,) = world.vim.servers.values()
    # when
    act(world, ActionType.REBOOT)
    switches = []
    while slots := [slot for slot in world.flights if slot[1].startswith("server")]:
        command = world.flights[slots[0]].command
        assert isinstance(command, SwitchServer)
        switches.append(command.power)
        world.perform(slots[0], Luck.DONE)
        world.deliver(slots[0])
    world.rest()
    # then
    assert switches == [Power.OFF, Power.ON]
    assert world.types() == ["VM_REBOOTED", "VM_ALIVE", "SERVICE_REBOOTED"]
    assert "received after rebooted" in world.log[1].message
    assert (server.boots, world.deployment(SHOP).state) == (1, ServiceState.ACTIVE)


@pytest.mark.parametrize("action", [ActionType.STOP, ActionType.REBOOT])
def test_a_vm_that_will_not_be_switched_fails_the_service(action: ActionType) -> None:
    # given
    world = deployed()
    act(world, action)
    # when
    (slot,) = [slot for slot in world.flights if slot[1].startswith("server")]
    world.perform(slot, Luck.REFUSED)
    world.deliver(slot)
    # then
    word = "STOPPED" if action is ActionType.STOP else "REBOOTED"
    assert world.types() == [f"VM_{word} FAILURE", f"SERVICE_{word} FAILURE"]
    assert world.deployment(SHOP).state is ServiceState.ERROR
    # and it can be asked for again
    world.log.clear()
    act(world, action)
    world.rest()
    assert world.types()[-1] == f"SERVICE_{word}"


def test_a_switch_that_may_still_come_is_not_overtaken_by_the_other_one() -> None:
    # given: the switch off arrives late, and the second try is answered
    world = deployed()
    act(world, ActionType.STOP)
    (slot,) = [slot for slot in world.flights if slot[1].startswith("server")]
    world.perform(slot, Luck.LATE)
    world.deliver(slot)
    world.sleep(2)
    world.perform(slot, Luck.DONE)
    world.deliver(slot)
    assert world.deployment(SHOP).state is ServiceState.STOPPED
    # when
    act(world, ActionType.START)
    # then: it waits until the late one must have come
    assert slot not in world.flights
    world.rest()
    assert world.deployment(SHOP).state is ServiceState.ACTIVE
    assert {server.status for server in world.vim.servers.values()} == {ServerStatus.ACTIVE}


def test_a_switch_that_was_refused_is_not_waited_for_when_it_is_asked_for_again() -> None:
    # given
    world = deployed()
    act(world, ActionType.STOP)
    (slot,) = [slot for slot in world.flights if slot[1].startswith("server")]
    world.perform(slot, Luck.REFUSED)
    world.deliver(slot)
    # when
    act(world, ActionType.STOP)
    # then
    assert slot in world.flights


def test_a_stopped_service_is_not_healed() -> None:
    world = deployed()
    act(world, ActionType.STOP)
    world.rest()
    before = world.records[SHOP]
    (vm,) = the_vms(world)
    key = ServerKey(vm.id, vm.generation)
    world.tell(SHOP, KpiCrossed(server=key, event_name="VM_ALIVE", holds=False))
    assert world.records[SHOP] is before


@pytest.mark.parametrize("action", [ActionType.REBOOT, ActionType.ENABLE_MONITOR])
def test_a_stopped_service_is_only_started(action: ActionType) -> None:
    world = deployed()
    act(world, ActionType.STOP)
    world.rest()
    with pytest.raises(Refused, match="it is stopped") as refused:
        act(world, action)
    assert refused.value.tag == "in-use"


@pytest.mark.parametrize(
    ("before", "action", "told"),
    [
        (ActionType.STOP, ActionType.STOP, "SERVICE_STOPPED_STATE, and none of its VMs runs"),
        (None, ActionType.START, "SERVICE_ACTIVE_STATE, and none of its VMs is stopped"),
    ],
)
def test_what_has_come_true_already_is_refused_with_the_state(
    before: ActionType | None, action: ActionType, told: str
) -> None:
    # given
    world = deployed()
    if before is not None:
        act(world, before)
        world.rest()
    # when
    with pytest.raises(Refused, match=told) as of_service:
        act(world, action)
    with pytest.raises(Refused, match=r": it is in VM_[A-Z]+_STATE; it ") as of_vm:
        world.tell(SHOP, VmActed(id=OP, action=action, vm=the_vms(world)[0].id))
    # then
    assert {of_service.value.tag, of_vm.value.tag} == {"operation-failed"}


@pytest.mark.parametrize("doing", [ActionType.STOP, ActionType.REBOOT])
@pytest.mark.parametrize("action", list(ActionType))
def test_nothing_interrupts_a_stop_or_a_reboot_but_an_undeploy(
    doing: ActionType, action: ActionType
) -> None:
    # given
    world = deployed()
    act(world, doing)
    # when, then
    with pytest.raises(Refused):
        act(world, action)
    with pytest.raises(Refused):
        act_on_vm(world, action, force=True)
    world.apply({SHOP: None})
    world.rest()
    assert SHOP not in world.records
    assert not world.vim.servers
    assert not world.vim.ports
    assert world.types() == ["VM_UNDEPLOYED", "SERVICE_UNDEPLOYED"]


def test_monitoring_is_switched_off_and_on_again() -> None:
    # given
    world = deployed()
    # when
    act(world, ActionType.DISABLE_MONITOR)
    off = the_vms(world)[0].state, len(world.watches())
    act(world, ActionType.ENABLE_MONITOR)
    world.rest()
    # then
    assert off == (VmState.MONITOR_DISABLED, 0)
    assert world.types() == [
        "VM_MONITOR_UNSET",
        "SERVICE_MONITOR_UNSET",
        "VM_ALIVE",
        "SERVICE_ALIVE",
    ]
    assert world.log[-1].message == "Service group set monitor successfully"


def test_monitoring_that_is_on_cannot_be_switched_on() -> None:
    with pytest.raises(Refused, match="none of its VMs has monitoring disabled"):
        act(deployed(), ActionType.ENABLE_MONITOR)
    with pytest.raises(Refused, match="it is in VM_ALIVE_STATE"):
        act_on_vm(deployed(), ActionType.ENABLE_MONITOR)


def test_monitors_are_not_switched_on_in_place_of_a_manual_recovery() -> None:
    # given
    world = World()
    manual = RecoveryPolicy(
        type=RecoveryType.MANUAL, action=RecoveryAction.REBOOT_THEN_REDEPLOY, max_retries=3
    )
    world.apply({SHOP: a_deployment(a_group("web", recovery=manual))})
    world.rest()
    (vm,) = the_vms(world)
    lost = KpiCrossed(server=ServerKey(vm.id, vm.generation), event_name="VM_ALIVE", holds=False)
    # when
    world.tell(SHOP, lost)
    # then
    assert the_vms(world)[0].state is VmState.MONITOR_DISABLED
    with pytest.raises(Refused, match="it waits for its manual recovery; ask for recoveryVmAct"):
        act_on_vm(world, ActionType.ENABLE_MONITOR)
    with pytest.raises(Refused, match="disabled; what waits for its manual recovery wants"):
        act(world, ActionType.ENABLE_MONITOR)


def test_one_vm_is_stopped_and_started_while_its_service_stays_active() -> None:
    # given
    world = deployed(vms=2)
    # when
    act_on_vm(world, ActionType.STOP, force=True)
    world.rest()
    state = world.deployment(SHOP).state
    act_on_vm(world, ActionType.START)
    world.rest()
    # then
    assert state is ServiceState.ACTIVE
    assert world.types() == ["VM_STOPPED", "VM_STARTED", "VM_ALIVE"]
    operation = world.deployment(SHOP).operation
    assert operation is not None
    assert (operation.id, operation.state) == (OP, OperationState.COMPLETED)


def test_fewer_vms_than_min_active_are_left_by_force_alone() -> None:
    world = deployed(vms=2)
    with pytest.raises(Refused, match="min_active is 2: ask with force true"):
        act_on_vm(world, ActionType.STOP)


def test_monitoring_of_one_vm_ends_in_its_own_event() -> None:
    world = deployed(vms=2)
    act_on_vm(world, ActionType.DISABLE_MONITOR)
    act_on_vm(world, ActionType.ENABLE_MONITOR)
    world.rest()
    assert world.types() == ["VM_MONITOR_UNSET", "VM_ALIVE", "VM_MONITOR_SET"]


def test_an_unmonitored_service_is_started_as_soon_as_it_is_on() -> None:
    world = deployed(watched=False)
    act(world, ActionType.STOP)
    world.rest()
    act(world, ActionType.START)
    world.rest()
    assert world.types()[2:] == ["VM_STARTED", "SERVICE_STARTED"]
    assert the_vms(world)[0].state is VmState.MONITOR_UNSET


def test_a_guest_that_stays_silent_after_a_start_fails_it() -> None:
    # given
    world = deployed()
    act(world, ActionType.STOP)
    world.rest()
    world.silent_vms = {the_vms(world)[0].id}
    # when
    act(world, ActionType.START)
    world.rest()
    # then: only an undeploy interrupts a start, so nothing heals it
    assert world.types()[2:] == ["VM_STARTED", "SERVICE_STARTED FAILURE"]
    assert world.deployment(SHOP).state is ServiceState.ERROR


def test_a_restart_in_the_middle_of_a_stop_changes_nothing_of_its_end() -> None:
    world = deployed(vms=2)
    act(world, ActionType.STOP)
    world.restart()
    world.rest()
    assert world.types() == ["VM_STOPPED", "VM_STOPPED", "SERVICE_STOPPED"]


def test_what_is_not_there_is_refused() -> None:
    world = deployed()
    with pytest.raises(Refused, match="there is no deployment none"):
        world.tell(SHOP._replace(name="none"), ServiceActed(id=OP, action=ActionType.STOP))


def test_unhealed_means_no_try_at_all() -> None:
    """What the tests of failures rest on."""
    assert replace(UNHEALED).max_retries == 0


@pytest.mark.parametrize("action", [ActionType.STOP, ActionType.START, ActionType.REBOOT])
def test_an_action_on_a_service_that_was_half_deployed_comes_to_its_end(action: ActionType) -> None:
    # given: web was never made, for one of the two VMs that it waits for was refused
    world = World()
    groups = (a_group("web"), a_group("db", vms=2, recovery=UNHEALED))
    world.apply({SHOP: a_deployment(*groups, startup=(after("web", "db"),))})
    dbs = [vm for vm in the_vms(world) if vm.group == "db"]
    world.silent_vms = {dbs[0].id}
    world.rest()
    world.silent_vms.clear()
    world.log.clear()
    # when
    act(world, action)
    world.rest()
    # then
    failed = next(event for event in world.log if event.type == f"SERVICE_{_PAST[action]}")
    assert failed.status == "FAILURE"
    assert "it was never made" in failed.message
    if action is ActionType.STOP:
        assert world.log[-1] is failed
        assert world.deployment(SHOP).state is ServiceState.ERROR
    else:  # what web waits for is there now: the deployment goes on
        assert world.types()[-3:] == ["VM_DEPLOYED", "VM_ALIVE", "SERVICE_ALIVE"]
        assert world.deployment(SHOP).state is ServiceState.ACTIVE


_PAST = {
    ActionType.STOP: "STOPPED",
    ActionType.START: "STARTED",
    ActionType.REBOOT: "REBOOTED",
}


@pytest.mark.parametrize(
    "action", [ActionType.STOP, ActionType.START, ActionType.REBOOT, ActionType.ENABLE_MONITOR]
)
def test_an_action_on_a_service_says_of_what_has_no_server_what_brings_one(
    action: ActionType,
) -> None:
    # given: a VM that the VIM refused
    world = deployed()
    world.vim.full = True
    world.apply({SHOP: a_deployment(a_group("web", vms=2))})
    world.rest()
    made, refused = sorted(the_vms(world), key=lambda vm: vm.server is None)
    assert (made.state, refused.state) == (VmState.ALIVE, VmState.ERROR)
    # and another one that the action has something to do to
    if action is ActionType.START:
        world.tell(SHOP, VmActed(id=OP, vm=made.id, action=ActionType.STOP, force=True))
    if action is ActionType.ENABLE_MONITOR:
        world.tell(SHOP, VmActed(id=OP, vm=made.id, action=ActionType.DISABLE_MONITOR))
    world.rest()
    # when
    act(world, action)
    world.rest()
    # then
    end = world.log[-1]
    assert (end.type.startswith("SERVICE_"), end.status) == (True, "FAILURE")
    assert end.message.endswith(
        f"failed: VM [{refused.name}] of vm_group web in VIM {refused.vim}: no server of it is "
        "known (no host is up): recoveryVmAction of it makes one"
    )


def test_what_could_not_be_switched_is_told_before_what_had_no_server_already() -> None:
    # given
    world = deployed()
    world.vim.full = True
    world.apply({SHOP: a_deployment(a_group("web", vms=2))})
    world.rest()
    act(world, ActionType.STOP)
    # when
    (slot,) = [slot for slot in world.flights if slot[1].startswith("server")]
    world.perform(slot, Luck.REFUSED)
    world.deliver(slot)
    # then
    assert world.log[-1].message.endswith("call refused (and 1 more VM)")


def test_a_service_that_nobody_watches_is_unwatched_at_once() -> None:
    # given: a service without KPIs
    world = World()
    world.apply({ACME: a_tenant(), SHOP: a_deployment(a_group(watched=False))})
    world.rest()
    world.log.clear()
    # when
    act(world, ActionType.DISABLE_MONITOR)
    # then: as asked, though there was nothing to do
    assert world.types() == ["SERVICE_MONITOR_UNSET"]
    assert the_vms(world)[0].state is VmState.MONITOR_UNSET
    with pytest.raises(Refused, match="it is in VM_MONITOR_UNSET_STATE"):
        act_on_vm(world, ActionType.DISABLE_MONITOR)
    with pytest.raises(Refused, match="none of its VMs has monitoring disabled"):
        act(world, ActionType.ENABLE_MONITOR)


def test_a_monitor_that_is_switched_on_again_does_not_make_the_vm_younger() -> None:
    world = deployed()
    began = the_vms(world)[0].history.up_since
    act(world, ActionType.DISABLE_MONITOR)
    world.sleep(60)
    act(world, ActionType.ENABLE_MONITOR)
    world.rest()
    assert the_vms(world)[0].history.up_since == began


def test_a_reboot_of_a_service_leaves_off_what_was_stopped_by_itself() -> None:
    # given
    world = deployed(vms=2)
    act_on_vm(world, ActionType.STOP, force=True)
    world.rest()
    world.log.clear()
    # when
    act(world, ActionType.REBOOT)
    world.rest()
    # then
    assert world.types() == ["VM_REBOOTED", "VM_ALIVE", "SERVICE_REBOOTED"]
    assert [vm.state for vm in the_vms(world)] == [VmState.SHUTOFF, VmState.ALIVE]
