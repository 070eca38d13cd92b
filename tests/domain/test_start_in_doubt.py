"""What a start may overtake."""

from dataclasses import replace

from esc_daemon.domain.commands import UpdateServer
from esc_daemon.domain.ids import OperationId
from esc_daemon.domain.record import ActionType
from esc_daemon.domain.states import VmState
from esc_daemon.domain.triggers import VmActed
from tests.domain.pure_world import Luck, World
from tests.domain.stories import SHOP, a_deployment, a_group
from tests.domain.updates import change, standing, the_vms

OP = OperationId("33333333-3333-3333-3333-333333333333")


def with_a_reboot_in_doubt() -> World:
    world = standing(a_group())
    world.tell(SHOP, VmActed(id=OP, action=ActionType.REBOOT, vm=the_vms(world)[0].id))
    for _ in range(300):
        if the_vms(world)[0].state is VmState.ERROR:
            break
        for slot, flight in list(world.flights.items()):
            if type(flight.command).__name__ == "SwitchServer":
                world.perform(slot, Luck.NEVER)
                world.deliver(slot)
        world.sleep(30)
    assert the_vms(world)[0].state is VmState.ERROR
    assert the_vms(world)[0].late_switch is not None
    world.sleep(10 * 3600)
    return world


def updates(world: World) -> list[UpdateServer]:
    return [f.command for f in world.flights.values() if isinstance(f.command, UpdateServer)]


def test_a_change_that_may_still_take_effect_is_not_overtaken_after_a_start() -> None:
    world = with_a_reboot_in_doubt()
    change(world, a_deployment(replace(a_group(), flavor="large")), rest=False)
    for _ in range(20):
        if updates(world):
            break
        world.perform((SHOP, "await"), Luck.DONE)
        world.deliver((SHOP, "await"))
    assert updates(world)

    world.restart()

    assert the_vms(world)[0].unsure_until is not None
    assert not updates(world)
