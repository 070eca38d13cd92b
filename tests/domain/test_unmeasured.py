"""A VM of which nobody can measure whether it lives: its time runs out, nothing is done to it."""

from dataclasses import replace

import pytest

from esc_daemon.domain.ids import OperationId, ServerKey
from esc_daemon.domain.intent import RecoveryAction, RecoveryPolicy
from esc_daemon.domain.record import ActionType, RecoveryPhase, VmRecord
from esc_daemon.domain.states import ServiceState, VmState
from esc_daemon.domain.triggers import KpiCrossed, RecoveryAsked, VmActed
from tests.domain.pure_world import Luck, World
from tests.domain.stories import BOOT_SECONDS, SHOP, a_deployment, a_group
from tests.domain.updates import standing

OP = OperationId("33333333-3333-3333-3333-333333333333")
ANOTHER = OperationId("44444444-4444-4444-4444-444444444444")
NEEDED = "VM_MANUAL_RECOVERY_NEEDED"
INIT, REBOOT, DONE = "VM_RECOVERY_INIT", "VM_RECOVERY_REBOOT", "VM_RECOVERY_COMPLETE"
SECONDS = f"VM_ALIVE (ICMPPing) could not be measured within its bootup_time of {BOOT_SECONDS} s"


def group():
    return a_group("web", "net", recovery=RecoveryPolicy())


def the_vm(world: World) -> VmRecord:
    return next(iter(world.deployment(SHOP).vms.values()))


def cross(world: World, *, holds: bool = False, blind: bool = False) -> None:
    vm = the_vm(world)
    key = ServerKey(vm.id, vm.generation)
    world.tell(SHOP, KpiCrossed(server=key, event_name="VM_ALIVE", holds=holds, blind=blind))


def booting() -> World:
    """Return a world whose VM was alive, and is rebooted by its operator."""
    world = standing(group())
    world.silent_vms.add(the_vm(world).id)
    world.tell(SHOP, VmActed(vm=the_vm(world).id, action=ActionType.REBOOT, id=OP, force=True))
    while the_vm(world).state is not VmState.INERT:
        world._deed(strays=False)
    world.log.clear()
    return world


def test_a_vm_that_was_alive_is_left_alone_and_the_operator_is_asked() -> None:
    # given
    world = booting()
    server = the_vm(world).server
    # when
    cross(world, blind=True)
    world.sleep(BOOT_SECONDS)
    # then
    assert world.types()[:1] == [NEEDED]
    assert INIT not in world.types()
    assert (the_vm(world).server, the_vm(world).generation) == (server, 1)
    assert the_vm(world).recovery.phase is RecoveryPhase.NEEDED
    assert SECONDS in the_vm(world).recovery.cause


def test_silence_after_blindness_is_silence() -> None:
    world = booting()
    cross(world, blind=True)
    cross(world)
    world.sleep(BOOT_SECONDS)
    assert world.types()[0] == INIT


def test_a_guest_that_is_seen_after_all_is_alive_as_any_other() -> None:
    world = booting()
    cross(world, blind=True)
    cross(world, holds=True)
    assert the_vm(world).state is VmState.ALIVE
    assert not the_vm(world).history.unmeasured


def test_a_deployment_ends_in_error_and_its_vm_stays() -> None:
    # given
    world = World()
    world.apply({SHOP: a_deployment(group())})
    while not world.deployment(SHOP).vms or the_vm(world).state is not VmState.INERT:
        world._deed(strays=False)
    # when
    cross(world, blind=True)
    world.silent_vms.add(the_vm(world).id)
    world.sleep(BOOT_SECONDS)
    # then
    assert world.types() == ["VM_DEPLOYED", NEEDED, "SERVICE_ALIVE FAILURE"]
    assert world.deployment(SHOP).state is ServiceState.ERROR
    assert SECONDS in the_vm(world).error
    assert len(world.vim.servers) == 1


@pytest.mark.parametrize("retries", [-1, 3])
def test_a_recovery_under_way_removes_no_server_for_it(retries: int) -> None:
    # given: it is rebooted, since it fell silent
    world = standing(replace(group(), recovery=RecoveryPolicy(max_retries=retries)))
    world.silent_vms.add(the_vm(world).id)
    cross(world)
    while the_vm(world).state is not VmState.INERT:
        world._deed(strays=False)
    # when
    cross(world, blind=True)
    world.sleep(BOOT_SECONDS)
    # then
    assert world.types() == [INIT, REBOOT, f"{DONE} FAILURE"]
    assert (the_vm(world).state, the_vm(world).generation) == (VmState.ERROR, 1)
    assert SECONDS in the_vm(world).error


def test_what_the_operator_asks_for_is_done() -> None:
    # given
    world = booting()
    cross(world, blind=True)
    world.sleep(BOOT_SECONDS)
    # when
    world.tell(SHOP, RecoveryAsked(vm=the_vm(world).id, id=ANOTHER))
    world.silent_vms.clear()
    world.rest()
    # then
    assert world.types()[-1] == DONE
    assert the_vm(world).state is VmState.ALIVE


def test_a_later_wait_begins_with_nothing_known() -> None:
    # given
    world = booting()
    cross(world, blind=True)
    world.sleep(BOOT_SECONDS)
    assert not the_vm(world).history.unmeasured
    # when: it is recovered by its operator, and silent
    world.tell(SHOP, RecoveryAsked(vm=the_vm(world).id, id=ANOTHER))
    while the_vm(world).state is not VmState.INERT:
        world._deed(strays=False)
    world.sleep(BOOT_SECONDS)
    # then
    assert the_vm(world).recovery.phase is RecoveryPhase.UNDEPLOYING


@pytest.mark.parametrize("rounds", [0, 1])
def test_a_turn_that_comes_late_begins_nothing_for_it(rounds: int) -> None:
    # given: it waits for its turn, or for that of another round
    world = World(guarded=True)
    recovery = RecoveryPolicy(action=RecoveryAction.REBOOT_ONLY, max_retries=-1)
    world.apply({SHOP: a_deployment(replace(group(), recovery=recovery))})
    while not world.deployment(SHOP).vms or the_vm(world).state is not VmState.INERT:
        world._deed(strays=False)
    world.silent_vms.add(the_vm(world).id)
    world.sleep(BOOT_SECONDS)
    for _ in range(rounds):
        let_go(world)
        while the_vm(world).state is not VmState.INERT:
            world._deed(strays=False)
        world.sleep(BOOT_SECONDS)
    generation, told = the_vm(world).generation, len(world.log)
    # when: after a restart nobody can measure any more
    world.restart()
    cross(world, blind=True)
    let_go(world)
    # then
    assert the_vm(world).generation == generation
    assert the_vm(world).power is None
    assert world.types()[told] == (f"{DONE} FAILURE" if rounds else NEEDED)


def let_go(world: World) -> None:
    (slot,) = [slot for slot in world.flights if slot[1].startswith("permit")]
    world.perform(slot, Luck.DONE)
    world.deliver(slot)
