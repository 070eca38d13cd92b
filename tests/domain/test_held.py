"""Before a recovery begins: it is held, without a trace, until the guard lets it go (ruling 18)."""

import pytest

from esc_daemon.domain.ids import OperationId, ServerKey, VmId
from esc_daemon.domain.intent import RecoveryPolicy, RecoveryType
from esc_daemon.domain.record import ActionType, RecoveryPhase, VmRecord
from esc_daemon.domain.states import ServiceState, VmState
from esc_daemon.domain.triggers import (
    KpiCrossed,
    RecoveryAsked,
    RecoveryPermitted,
    ServiceActed,
    VmActed,
)
from tests.domain.elastic import cross as kpi_of
from tests.domain.elastic import elastic, the_vms
from tests.domain.pure_world import Luck, World
from tests.domain.stories import BOOT_SECONDS, SHOP, a_deployment, a_group, after

OP = OperationId("33333333-3333-3333-3333-333333333333")
INIT, REBOOT, DONE = "VM_RECOVERY_INIT", "VM_RECOVERY_REBOOT", "VM_RECOVERY_COMPLETE"
AUTO = RecoveryPolicy()


def alive(*, vms: int = 1, recovery: RecoveryPolicy = AUTO) -> World:
    world = World(guarded=True)
    world.apply({SHOP: a_deployment(a_group("web", "net", vms=vms, recovery=recovery))})
    while world.deployment(SHOP).state is not ServiceState.ACTIVE:
        world._deed(strays=False)
    world.log.clear()
    return world


def the_vm(world: World) -> VmRecord:
    return next(iter(world.deployment(SHOP).vms.values()))


def cross(world: World, *, holds: bool) -> None:
    vm = the_vm(world)
    key = ServerKey(vm.id, vm.generation)
    world.tell(SHOP, KpiCrossed(server=key, event_name="VM_ALIVE", holds=holds))


def let_go(world: World) -> None:
    (slot,) = [slot for slot in world.flights if slot[1].startswith("permit")]
    assert world.perform(slot, Luck.DONE)
    world.deliver(slot)


def test_nothing_is_told_or_done_before_the_guard_lets_it_go() -> None:
    # given
    world = alive()
    asked = world.asked
    # when
    cross(world, holds=False)
    held = the_vm(world)
    world.sleep(3600)
    # then
    assert world.types() == []
    assert (held.state, held.recovery.phase) == (VmState.ALIVE, RecoveryPhase.HELD)
    assert world.deployment(SHOP).state is ServiceState.ACTIVE
    assert [permit.server.vm for permit in world.permits()] == [held.id]
    assert world.asked == asked + 1
    # and the recovery begins when it may
    let_go(world)
    assert world.types() == [INIT]
    assert the_vm(world).history.recoveries == (world.now,)
    world.rest()
    assert world.types() == [INIT, REBOOT, DONE]


def test_life_that_returns_to_a_vm_that_is_held_leaves_no_trace() -> None:
    # given
    world = alive()
    before = the_vm(world)
    cross(world, holds=False)
    # when
    cross(world, holds=True)
    # then
    assert world.types() == []
    assert the_vm(world) == before
    assert world.permits() == []


def test_a_permit_is_held_until_the_recovery_ends() -> None:
    # given
    world = alive()
    cross(world, holds=False)
    let_go(world)
    # when
    held = []
    while not world.log or world.types()[-1] != DONE:
        held.append([permit.begun for permit in world.permits()])
        world._deed(strays=False)
    # then
    assert held
    assert all(each == [True] for each in held)
    assert world.permits() == []


def test_a_permit_that_comes_late_begins_nothing() -> None:
    # given
    world = alive()
    vm = the_vm(world)
    permitted = RecoveryPermitted(server=ServerKey(vm.id, vm.generation))
    for late in (permitted, RecoveryPermitted(server=ServerKey(VmId("other"), 1))):
        # when
        world.tell(SHOP, late)
        # then
        assert the_vm(world) is vm
    assert world.types() == []


def test_a_restart_asks_for_the_permit_again() -> None:
    # given
    world = alive()
    cross(world, holds=False)
    since = the_vm(world).recovery.began
    # when
    world.restart()
    # then
    (permit,) = world.permits()
    assert (permit.begun, permit.since) == (False, since)
    let_go(world)
    world.restart()
    assert [permit.begun for permit in world.permits()] == [True]


def test_an_action_takes_the_place_of_a_recovery_that_is_held() -> None:
    for acted in (
        ServiceActed(id=OP, action=ActionType.STOP),
        ServiceActed(id=OP, action=ActionType.DISABLE_MONITOR),
        VmActed(id=OP, vm=VmId(""), action=ActionType.REBOOT),
    ):
        # given
        world = alive()
        cross(world, holds=False)
        if isinstance(acted, VmActed):
            acted = VmActed(id=OP, vm=the_vm(world).id, action=acted.action)
        # when
        world.tell(SHOP, acted)
        world.rest()
        # then
        assert the_vm(world).recovery is None
        assert world.permits() == []
        assert INIT not in world.types()


@pytest.mark.parametrize("crossed", ["OVERLOADED", "UNDERLOADED"])
def test_a_vm_whose_recovery_is_held_does_not_scale_its_group(crossed: str) -> None:
    # given
    world = World(guarded=True)
    world.apply({SHOP: a_deployment(elastic(least=3, most=4, recovery=AUTO))})
    world.rest()
    world.apply({SHOP: a_deployment(elastic(least=1, most=4, recovery=AUTO))})
    world.rest()
    cross(world, holds=False)
    world.log.clear()
    # when
    kpi_of(world, crossed)
    # then
    held = the_vm(world)
    assert (held.state, held.recovery.phase) == (VmState.ALIVE, RecoveryPhase.HELD)
    assert len(the_vms(world)) == 3
    assert world.types() == []


def test_an_undeploy_drops_a_recovery_that_is_held() -> None:
    world = alive()
    cross(world, holds=False)
    world.apply({SHOP: None})
    assert world.permits() == []
    world.rest()
    assert SHOP not in world.records
    assert INIT not in world.types()


def test_the_operator_need_not_wait_for_the_guard() -> None:
    # given
    world = alive()
    cross(world, holds=False)
    # when
    world.tell(SHOP, RecoveryAsked(id=OP, vm=the_vm(world).id))
    # then
    assert world.types() == [INIT]
    assert [permit.begun for permit in world.permits()] == [True]


def test_what_the_operator_is_to_do_is_not_held() -> None:
    world = alive(recovery=RecoveryPolicy(type=RecoveryType.MANUAL))
    cross(world, holds=False)
    assert world.types() == ["VM_MANUAL_RECOVERY_NEEDED"]
    assert world.permits() == []


def booting() -> World:
    world = World(guarded=True)
    lb, web = a_group("lb"), a_group("web")
    world.apply({SHOP: a_deployment(lb, web, startup=(after("web", "lb", event="READY"),))})
    while the_vm(world).state is not VmState.INERT:
        world.silent_vms = set(world.deployment(SHOP).vms)
        world._deed(strays=False)
    world.log.clear()
    world.sleep(BOOT_SECONDS)
    return world


def test_a_vm_that_did_not_boot_in_time_is_held_too() -> None:
    # given
    world = booting()
    # then: and the deployment waits
    assert world.types() == []
    assert world.deployment(SHOP).state is ServiceState.DEPLOYING
    (permit,) = world.permits()
    assert not permit.lived
    # when
    let_go(world)
    # then
    assert world.types() == [INIT]


def test_a_vm_that_boots_late_while_it_is_held_is_alive_and_the_rest_has_its_time() -> None:
    # given: another group waits for its KPI READY, which never comes
    world = booting()
    # when
    cross(world, holds=True)
    # then
    assert world.types() == ["VM_ALIVE"]
    assert the_vm(world).state is VmState.ALIVE
    world.rest()
    assert world.types()[-1] == "SERVICE_ALIVE FAILURE"
    assert the_vm(world).recovery is None
