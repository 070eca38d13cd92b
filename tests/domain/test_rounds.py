"""Each further round of a recovery waits for a turn of its own: there may be no last one."""

from datetime import timedelta

import pytest

from esc_daemon.datamodel.life import life
from esc_daemon.domain.commands import Permit
from esc_daemon.domain.ids import ServerKey
from esc_daemon.domain.intent import RecoveryAction, RecoveryPolicy
from esc_daemon.domain.plan import begun_permits
from esc_daemon.domain.record import RecoveryPhase, VmRecord
from esc_daemon.domain.states import VmState
from esc_daemon.domain.triggers import KpiCrossed
from tests.domain.pure_world import Luck, World
from tests.domain.stories import BOOT_SECONDS, SHOP, a_deployment, a_group

INIT, REBOOT, DONE = "VM_RECOVERY_INIT", "VM_RECOVERY_REBOOT", "VM_RECOVERY_COMPLETE"
GONE, MADE = "VM_RECOVERY_UNDEPLOYED", "VM_RECOVERY_DEPLOYED"
ENDLESS = -1


def silent(action: str, retries: int = ENDLESS) -> World:
    """Return a world whose VM was alive, and whose first round of recovery has begun."""
    world = World(guarded=True)
    recovery = RecoveryPolicy(action=RecoveryAction(action), max_retries=retries)
    world.apply({SHOP: a_deployment(a_group("web", "net", recovery=recovery))})
    while the_vm(world).state is not VmState.ALIVE:
        world._deed(strays=False)
    world.log.clear()
    cross(world, holds=False)
    let_go(world)
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


def called(world: World, luck: Luck = Luck.DONE) -> str:
    (slot,) = [slot for slot in world.flights if slot[1].startswith("server")]
    command = type(world.flights[slot].command).__name__
    world.perform(slot, luck)
    world.deliver(slot)
    return command


def calls(world: World) -> list[str]:
    return [
        type(each.command).__name__ for slot, each in world.flights.items() if "server" in slot[1]
    ]


def the_permit(world: World) -> Permit:
    (permit,) = world.permits()
    return permit


def redeployed(world: World) -> World:
    """Let the first round of a redeploy come to nothing: nobody answers."""
    assert made_anew(world)
    world.sleep(BOOT_SECONDS)
    return world


def made_anew(world: World) -> bool:
    """Let its server be removed and made; tell whether that is what was to be done."""
    done = [called(world), called(world)]
    for server in world.servers():
        world.build(server)
    return [*done, called(world)] == ["RemoveServer", "EnsureServer", "AwaitServer"]


def test_another_round_begins_with_a_turn_of_its_own() -> None:
    # given
    world = silent("REDEPLOY_ONLY")
    began = world.now
    assert (the_permit(world).begun, the_permit(world).since) == (True, began)
    # when: its guest did not come up, and nobody has a turn for it for a day
    redeployed(world)
    failed = world.now
    world.sleep(24 * 3600)
    # then: it asks as one that was lost when its round had failed, and never lived
    asked = the_permit(world)
    assert (asked.begun, asked.since, asked.lived) == (False, failed, False)
    assert failed == began + timedelta(seconds=BOOT_SECONDS)
    assert begun_permits(world.deployment(SHOP)) == []
    assert calls(world) == []
    assert world.types() == [INIT, GONE, MADE]
    # and when it has come
    let_go(world)
    assert (the_permit(world).begun, the_permit(world).lived) == (True, False)
    world.sleep(60)  # the pause between two rounds
    assert made_anew(world)
    assert world.types() == [INIT, *[GONE, MADE] * 2]


def test_the_first_redeploy_after_a_reboot_is_of_the_same_turn() -> None:
    world = silent("REBOOT_THEN_REDEPLOY")
    assert called(world) == "SwitchServer"
    world.sleep(BOOT_SECONDS)
    assert the_permit(world).begun
    assert calls(world) == ["RemoveServer"]


@pytest.mark.parametrize("action", ["REDEPLOY_ONLY", "REBOOT_ONLY"])
def test_a_guest_that_comes_up_while_its_next_round_waits_is_recovered(action: str) -> None:
    # given
    world = silent(action)
    if action == "REBOOT_ONLY":
        called(world)
        world.sleep(BOOT_SECONDS)
    else:
        redeployed(world)
    # when
    world.sleep(3600)
    cross(world, holds=True)
    # then
    assert world.types()[-1] == DONE
    assert the_vm(world).state is VmState.ALIVE
    assert world.permits() == []


def test_a_server_that_could_not_be_made_waits_for_its_turn_too() -> None:
    # given
    world = silent("REDEPLOY_ONLY")
    called(world)
    # when
    assert called(world, Luck.REFUSED) == "EnsureServer"
    world.sleep(3600)
    # then
    assert not the_permit(world).begun
    assert calls(world) == []
    assert the_vm(world).state is VmState.UNDEPLOYING
    # and then goes on, whatever time has gone by
    let_go(world)
    world.sleep(60)
    assert made_anew(world)
    assert world.types() == [INIT, GONE, f"{MADE} FAILURE", GONE, MADE]


def test_the_pause_between_two_rounds_begins_with_the_turn() -> None:
    # given
    world = silent("REDEPLOY_ONLY")
    called(world)
    called(world, Luck.REFUSED)
    world.sleep(3600)
    # when
    let_go(world)
    # then
    assert calls(world) == []
    assert the_vm(world).attempt.next > world.now
    assert the_vm(world).attempt.give_up > the_vm(world).attempt.next


def test_a_restart_asks_for_the_turn_of_the_next_round_again() -> None:
    world = redeployed(silent("REDEPLOY_ONLY"))
    since = the_permit(world).since
    world.restart()
    assert (the_permit(world).begun, the_permit(world).since) == (False, since)
    let_go(world)
    world.restart()
    assert the_permit(world).begun


def test_rounds_that_are_over_ask_for_nothing() -> None:
    world = redeployed(silent("REDEPLOY_ONLY", retries=1))
    assert world.permits() == []
    assert world.types() == [INIT, GONE, MADE, f"{DONE} FAILURE"]


@pytest.mark.parametrize("made", [True, False])
def test_an_undeploy_does_not_wait_for_the_turn(*, made: bool) -> None:
    # given
    world = silent("REDEPLOY_ONLY")
    if made:
        redeployed(world)
    else:
        called(world)
        called(world, Luck.REFUSED)
    assert the_vm(world).recovery.queued
    # when
    world.apply({SHOP: None})
    # then
    assert world.permits() == []
    world.rest()
    assert not world.vim.servers
    assert world.types()[-1] == "SERVICE_UNDEPLOYED"


def test_the_operator_sees_that_it_waits_for_its_turn() -> None:
    world = redeployed(silent("REDEPLOY_ONLY"))
    assert the_vm(world).recovery.phase is RecoveryPhase.BOOTING
    assert "<phase>held</phase>" in life(the_vm(world))
    assert f"<began>{the_permit(world).since.isoformat()}</began>" in life(the_vm(world))
    let_go(world)
    assert "<phase>undeploying</phase>" in life(the_vm(world))
