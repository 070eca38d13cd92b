"""Updates while a VM waits for its recovery, or for the operator, or is not watched."""

from dataclasses import replace

import pytest

from esc_daemon.domain.commands import Watch
from esc_daemon.domain.ids import OperationId, ServerKey
from esc_daemon.domain.intent import RecoveryPolicy, RecoveryType, VmGroup
from esc_daemon.domain.record import ActionType, RecoveryPhase, VmChange, VmRecord
from esc_daemon.domain.specs import ServerStatus
from esc_daemon.domain.states import VmState
from esc_daemon.domain.triggers import KpiCrossed, ServerDrifted, VmActed
from tests.domain.pure_world import World
from tests.domain.stories import LIFE, LIFE_RULE, SHOP, a_deployment, a_group
from tests.domain.updates import BEGUN, CHANGED, DONE, LIVES, change, cross, of, standing, the_vms

OP = OperationId("33333333-3333-3333-3333-333333333333")
ONE, TWO = a_group("web", "net"), a_group("web", "net", "more")
RENAMED = replace(
    ONE,
    kpis=(replace(LIFE, event_name="LIVES"),),
    rules=(replace(LIFE_RULE, event_name="LIVES"),),
)


def held(group: VmGroup = ONE) -> World:
    """Return a world in which the guard holds the recovery of the VM of *group*."""
    world = standing(group)
    world.guarded = True
    cross(world, holds=False)
    return world


def lets_go(world: World) -> None:
    world.guarded = False
    world._permit()
    world.rest()


def hears(world: World, event_name: str, *, holds: bool) -> None:
    (vm,) = the_vms(world)
    key = ServerKey(vm.id, vm.generation)
    world.tell(SHOP, KpiCrossed(server=key, event_name=event_name, holds=holds))


def test_a_recovery_that_is_held_does_not_begin_in_the_middle_of_an_update() -> None:
    # given
    world = held()
    # when
    change(world, a_deployment(TWO), rest=False)
    lets_go(world)
    # then
    assert world.types() == [BEGUN, CHANGED, DONE]
    (vm,) = the_vms(world)
    assert (vm.state, vm.change, vm.recovery) == (VmState.ALIVE, None, None)
    # and whether the VM is lost is found out again
    cross(world, holds=False)
    world.rest()
    assert world.types()[3:] == ["VM_RECOVERY_INIT", "VM_RECOVERY_REBOOT", "VM_RECOVERY_COMPLETE"]


def test_a_vm_that_is_held_is_judged_by_the_kpis_that_an_update_brings() -> None:
    # given
    world = held()
    # when
    change(world, a_deployment(RENAMED), rest=False)
    # then
    (vm,) = the_vms(world)
    assert (vm.state, vm.recovery) == (VmState.ALIVE, None)
    hears(world, "LIVES", holds=False)
    hears(world, "LIVES", holds=True)
    assert the_vms(world)[0].recovery is None


def test_an_update_of_other_data_leaves_a_held_recovery_alone() -> None:
    world = held()
    change(world, a_deployment(replace(ONE, image="newer")), rest=False)
    (vm,) = the_vms(world)
    assert vm.recovery
    assert vm.recovery.phase is RecoveryPhase.HELD


def test_who_waits_for_the_operator_lives_again_by_the_kpi_that_an_update_brings() -> None:
    # given
    manual = RecoveryPolicy(type=RecoveryType.MANUAL)
    world = standing(replace(ONE, recovery=manual))
    cross(world, holds=False)
    assert world.types() == ["VM_MANUAL_RECOVERY_NEEDED"]
    # when
    change(world, a_deployment(replace(RENAMED, recovery=manual)))
    hears(world, "LIVES", holds=True)
    # then
    assert world.types()[-1] == "VM_MANUAL_RECOVERY_NO_NEED"
    assert the_vms(world)[0].state is VmState.ALIVE


def test_a_held_recovery_is_the_operators_once_the_policy_says_so() -> None:
    world = held()
    manual = RecoveryPolicy(type=RecoveryType.MANUAL)
    change(world, a_deployment(replace(ONE, recovery=manual)), rest=False)
    lets_go(world)
    assert world.types() == [BEGUN, CHANGED, DONE, "VM_MANUAL_RECOVERY_NEEDED"]


def test_what_drifted_before_an_update_is_found_again_after_it() -> None:
    # given: nobody watches it, and the VIM has shut it off
    world = standing(a_group("web", "net", watched=False))
    world.guarded = True
    (vm,) = the_vms(world)
    off = ServerDrifted(key=ServerKey(vm.id, 1), status=ServerStatus.SHUTOFF)
    world.tell(SHOP, off)
    # when
    change(world, a_deployment(a_group("web", "net", "more", watched=False)), rest=False)
    lets_go(world)
    # then
    assert world.types() == [BEGUN, CHANGED, DONE]
    world.tell(SHOP, off)
    assert world.types()[3:] == ["VM_MANUAL_RECOVERY_NEEDED"]


def test_what_drifts_while_an_update_begins_to_watch_it_is_found_after_that() -> None:
    # given
    world = standing(a_group("web", "net", watched=False))
    change(world, a_deployment(TWO), rest=False)
    # when
    (vm,) = the_vms(world)
    world.tell(SHOP, ServerDrifted(key=ServerKey(vm.id, 1), status=ServerStatus.SHUTOFF))
    world.rest()
    # then
    assert world.types() == [BEGUN, CHANGED, LIVES, DONE]


@pytest.mark.parametrize("changes", [{"flavor": "big"}, {"interfaces": TWO.interfaces}])
def test_a_vm_whose_monitors_the_operator_disabled_stays_unwatched(changes: dict) -> None:
    # given
    world = standing(ONE)
    disable = VmActed(id=OP, vm=the_vms(world)[0].id, action=ActionType.DISABLE_MONITOR)
    world.tell(SHOP, disable)
    world.rest()
    world.log.clear()
    # when
    change(world, a_deployment(replace(ONE, **changes)))
    # then
    assert world.types() == [BEGUN, CHANGED, DONE]
    assert the_vms(world)[0].state is VmState.MONITOR_DISABLED
    assert not world.watches()


def watch_of(world: World, vm: VmRecord) -> Watch:
    return next(watch for _, watch in world.watches() if watch.server.vm == vm.id)


def broken(world: World, vm: VmRecord) -> None:
    """Let *vm* be broken, with a change that it has yet to take."""
    late = replace(vm, state=VmState.ERROR, server=None, change=VmChange(resized=True))
    record = world.deployment(SHOP)
    world.records[SHOP] = replace(record, vms={**record.vms, vm.id: late})


def test_an_update_that_ends_as_it_begins_lets_the_monitors_tell_again_of_the_lost() -> None:
    # given: of two VMs one is lost and held
    world = standing(of(2))
    world.guarded = True
    cross(world, holds=False, index=0)
    broken(world, the_vms(world)[1])
    before = watch_of(world, the_vms(world)[0])
    # when: nobody has the time to switch its monitors off
    change(world, a_deployment(of(2, image="newer")), rest=False)
    # then
    assert world.types() == [BEGUN, CHANGED, DONE]
    assert the_vms(world)[0].recovery is None
    after = watch_of(world, the_vms(world)[0])
    assert after != before
    assert replace(after, armings=before.armings) == before


def test_a_monitor_that_is_off_for_a_moment_tells_all_anew() -> None:
    # given
    world = standing(ONE)
    [before] = world.watches()
    # when
    for action in (ActionType.DISABLE_MONITOR, ActionType.ENABLE_MONITOR):
        world.tell(SHOP, VmActed(id=OP, vm=the_vms(world)[0].id, action=action))
    # then
    assert the_vms(world)[0].state is VmState.INERT
    assert world.watches() != [before]
