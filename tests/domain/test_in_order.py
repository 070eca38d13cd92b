"""The order of start in a service that stands: it is started, rebooted, or goes on late."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from esc_daemon.domain.advance.operate import waits_for_turn
from esc_daemon.domain.commands import call_slot
from esc_daemon.domain.ids import OperationId, ServerKey
from esc_daemon.domain.intent import Startup
from esc_daemon.domain.record import ActionType, VmRecord
from esc_daemon.domain.states import OperationState, ServiceState, VmState
from esc_daemon.domain.triggers import KpiCrossed, RecoveryAsked, ServerGone, ServiceActed, VmActed
from tests.domain.pure_world import VIM, Luck, World
from tests.domain.stories import LIFE, SHOP, UNHEALED, a_deployment, a_group, after

OP = OperationId("33333333-3333-3333-3333-333333333333")
CHAIN = (after("lb", "web"), after("web", "db"))
READY = replace(LIFE, event_name="READY")


def deployed(startup: Sequence[Startup] = CHAIN) -> World:
    """Return a world with two VMs of db, which web waits for, as lb does for web."""
    world = World()
    db = replace(a_group("db", vms=2, recovery=UNHEALED), kpis=(LIFE, READY))
    groups = (a_group("lb", watched=False), a_group("web"), db)
    world.apply({SHOP: a_deployment(*groups, startup=tuple(startup))})
    world.rest()
    assert world.types()[-1] == "SERVICE_ALIVE"
    world.log.clear()
    return world


def vms_of(world: World, group: str) -> list[VmRecord]:
    return [vm for vm in world.deployment(SHOP).vms.values() if vm.group == group]


def act(world: World, action: ActionType) -> None:
    world.tell(SHOP, ServiceActed(id=OP, action=action))


def stopped(startup: Sequence[Startup] = CHAIN) -> World:
    world = deployed(startup)
    act(world, ActionType.STOP)
    world.rest()
    world.log.clear()
    return world


def told_of(world: World) -> list[str]:
    """Return the groups of what was told of VMs that went well, in this order."""
    return [
        f"{event.vm_group} {event.type[3:]}"
        for event in world.log
        if event.vm_group and event.status == "SUCCESS"
    ]


def cross(world: World, vm: VmRecord, event_name: str = "VM_ALIVE") -> None:
    key = ServerKey(vm.id, vm.generation)
    world.tell(SHOP, KpiCrossed(server=key, event_name=event_name, holds=True))


def call(world: World, vm: VmRecord, luck: Luck = Luck.DONE) -> None:
    slot = (SHOP, call_slot(VIM, vm.id))
    world.perform(slot, luck)
    world.deliver(slot)


def check_in_order(world: World, word: str) -> None:
    """Look whether both VMs of db were up and alive before web, and that before lb."""
    told = told_of(world)
    assert sorted(told[:4]) == ["db ALIVE", "db ALIVE", f"db {word}", f"db {word}"]
    assert told[4:] == [f"web {word}", "web ALIVE", f"lb {word}"]


def test_a_service_is_stopped_at_once_and_started_group_by_group() -> None:
    world = deployed()
    act(world, ActionType.STOP)
    assert len([slot for slot in world.flights if slot[1].startswith("server")]) == 4
    world.rest()
    world.log.clear()

    act(world, ActionType.START)
    world.rest()

    check_in_order(world, "STARTED")
    assert world.types()[-1] == "SERVICE_STARTED"
    assert world.deployment(SHOP).state is ServiceState.ACTIVE


def test_a_reboot_switches_all_off_and_on_group_by_group() -> None:
    world = deployed()
    act(world, ActionType.REBOOT)
    (web,) = vms_of(world, "web")
    call(world, web)
    # off, and not on again before its turn
    assert waits_for_turn(vms_of(world, "web")[0])
    assert (SHOP, call_slot(VIM, web.id)) not in world.flights

    world.rest()

    check_in_order(world, "REBOOTED")
    assert world.types()[-1] == "SERVICE_REBOOTED"
    assert world.deployment(SHOP).state is ServiceState.ACTIVE


@pytest.mark.parametrize("action", [ActionType.START, ActionType.REBOOT])
def test_a_vm_that_stays_silent_keeps_only_its_dependents_off(action: ActionType) -> None:
    # given
    world = deployed((after("web", "db"),)) if action is ActionType.REBOOT else None
    world = world or stopped((after("web", "db"),))
    world.silent_vms = {vms_of(world, "db")[0].id}
    # when
    act(world, action)
    world.rest()
    # then
    word = "STARTED" if action is ActionType.START else "REBOOTED"
    (web,), (lb,) = vms_of(world, "web"), vms_of(world, "lb")
    assert lb.state is VmState.MONITOR_UNSET
    assert web.state is VmState.ERROR
    assert not next(s for s in world.vim.servers.values() if s.key.vm == web.id).is_on
    assert world.types()[-2:] == [f"VM_{word} FAILURE", f"SERVICE_{word} FAILURE"]
    waits = "its vm_group waits for VM_ALIVE of db"
    assert waits in world.log[-2].message
    assert "did not answer within its bootup_time" in world.log[-1].message
    assert "never started: vm_group web (waits for VM_ALIVE of db)" in world.log[-1].message
    # and all of it can be asked for again
    world.silent_vms = set()
    world.log.clear()
    act(world, ActionType.START)
    world.rest()
    assert told_of(world) == ["db STARTED", "db ALIVE", "web STARTED", "web ALIVE"]
    assert world.types()[-1] == "SERVICE_STARTED"
    assert world.deployment(SHOP).error is None


def test_a_refused_switch_ends_the_whole_chain_behind_it() -> None:
    world = stopped()
    act(world, ActionType.START)
    for vm in vms_of(world, "db"):
        call(world, vm, Luck.REFUSED)

    assert world.types() == [*["VM_STARTED FAILURE"] * 4, "SERVICE_STARTED FAILURE"]
    assert world.deployment(SHOP).state is ServiceState.ERROR
    assert not world.flights


def test_what_is_waited_for_besides_life_has_to_come_true_again() -> None:
    world = stopped((after("web", "db", event="READY"),))
    act(world, ActionType.START)
    for vm in vms_of(world, "db"):
        call(world, vm)
        cross(world, vm)
    assert {vm.state for vm in vms_of(world, "web")} == {VmState.STARTING}

    for vm in vms_of(world, "db"):
        cross(world, vm, "READY")
    world.rest()

    assert told_of(world)[-2:] == ["web STARTED", "web ALIVE"]
    assert {vm.deadline for vm in vms_of(world, "db")} == {None}


def test_what_never_comes_true_again_fails_the_start() -> None:
    world = stopped((after("web", "db", event="READY"),))
    act(world, ActionType.START)
    for vm in vms_of(world, "db"):
        call(world, vm)
        cross(world, vm)
    world.sleep(300)
    world.rest()

    assert {vm.state for vm in vms_of(world, "db")} == {VmState.ERROR}
    assert world.types()[-1] == "SERVICE_STARTED FAILURE"
    assert "READY did not come true" in world.log[-1].message


def test_a_vm_that_was_stopped_by_itself_is_not_waited_for() -> None:
    world = deployed()
    world.tell(
        SHOP, VmActed(id=OP, vm=vms_of(world, "db")[0].id, action=ActionType.STOP, force=True)
    )
    world.rest()
    world.log.clear()

    act(world, ActionType.REBOOT)
    world.rest()

    assert told_of(world)[-1] == "lb REBOOTED"
    assert vms_of(world, "db")[0].state is VmState.SHUTOFF


def test_one_vm_is_rebooted_without_a_look_at_others() -> None:
    world = deployed()
    world.tell(SHOP, VmActed(id=OP, vm=vms_of(world, "web")[0].id, action=ActionType.REBOOT))
    world.rest()
    assert told_of(world) == ["web REBOOTED", "web ALIVE"]


def test_the_order_outlives_a_restart() -> None:
    world = stopped()
    act(world, ActionType.START)
    world.restart()
    world.rest()
    check_in_order(world, "STARTED")


def test_an_undeploy_takes_the_place_of_a_turn_that_has_not_come() -> None:
    world = stopped()
    act(world, ActionType.START)
    world.apply({SHOP: None})
    world.rest()
    assert world.types()[-1] == "SERVICE_UNDEPLOYED"
    assert not world.vim.servers


def test_an_answer_that_comes_late_does_not_concern_who_waits_for_his_turn() -> None:
    world = stopped()
    act(world, ActionType.START)
    before = world.records[SHOP]
    (web,) = vms_of(world, "web")
    world.tell(SHOP, ServerGone(key=ServerKey(web.id, web.generation), looked=True))
    assert world.records[SHOP] is before


# ---- a deployment that goes on


def half_deployed() -> World:
    """Return a world in which db never answered, and the others were never made."""
    world = World()
    groups = (a_group("lb"), a_group("web"), a_group("db", recovery=UNHEALED))
    world.apply({SHOP: a_deployment(*groups, startup=CHAIN)})
    world.silent_vms = {vms_of(world, "db")[0].id}
    world.rest()
    assert world.types()[-1] == "SERVICE_ALIVE FAILURE"
    world.silent_vms.clear()
    world.log.clear()
    return world


def test_groups_that_waited_are_made_when_the_vm_that_had_failed_is_back() -> None:
    world = half_deployed()
    assert world.deployment(SHOP).operation.state is OperationState.FAILED_TEMP

    world.tell(SHOP, VmActed(id=OP, vm=vms_of(world, "db")[0].id, action=ActionType.REBOOT))
    world.rest()

    shop = world.deployment(SHOP)
    assert told_of(world) == [
        "db REBOOTED",
        "db ALIVE",
        *["web DEPLOYED", "web ALIVE", "lb DEPLOYED", "lb ALIVE"],
    ]
    assert world.types()[-1] == "SERVICE_ALIVE"
    assert (shop.state, shop.error) == (ServiceState.ACTIVE, None)
    assert shop.operation.state is OperationState.COMPLETED


def test_a_deployment_that_goes_on_may_fail_again() -> None:
    world = half_deployed()
    world.bad_vms = {vms_of(world, "web")[0].id}
    world.tell(SHOP, VmActed(id=OP, vm=vms_of(world, "db")[0].id, action=ActionType.REBOOT))
    world.rest()

    shop = world.deployment(SHOP)
    assert world.types()[-1] == "SERVICE_ALIVE FAILURE"
    assert shop.state is ServiceState.ERROR
    assert shop.operation.state is OperationState.FAILED_TEMP
    # and on again, once that is back too
    world.bad_vms.clear()
    world.tell(SHOP, RecoveryAsked(id=OP, vm=vms_of(world, "web")[0].id))
    world.rest()
    assert world.types()[-1] == "SERVICE_ALIVE"


def test_what_others_wait_for_besides_life_has_its_time_again() -> None:
    world = World()
    db = replace(a_group("db", recovery=UNHEALED), kpis=(LIFE, READY))
    world.apply(
        {SHOP: a_deployment(a_group("web"), db, startup=(after("web", "db", event="READY"),))}
    )
    (vm,) = vms_of(world, "db")
    world.silent_vms = {vm.id}
    world.rest()
    world.tell(SHOP, VmActed(id=OP, vm=vm.id, action=ActionType.REBOOT))
    call(world, vm)
    call(world, vm)
    cross(world, vm)
    assert world.deployment(SHOP).state in {ServiceState.DEPLOYING, ServiceState.INERT}

    world.sleep(301)

    assert world.types()[-1] == "SERVICE_ALIVE FAILURE"
    assert "READY did not come true" in world.log[-1].message
