"""Hooks around the volumes of an update: what runs before they go and after they came."""

from dataclasses import replace
from datetime import timedelta
from typing import Final

import pytest

from esc_daemon.domain.commands import UpdateServer
from esc_daemon.domain.intent import GroupVolume, Hook, VmGroup
from esc_daemon.domain.stages import Stage
from esc_daemon.domain.states import VmState
from esc_daemon.domain.triggers import CallFailed
from tests.domain.pure_world import Luck, Slot, World
from tests.domain.stories import SHOP, a_deployment, a_group
from tests.domain.updates import change, standing, the_vms

BEFORE, AFTER = "/opt/before.sh", "/opt/after.sh"
A, B, C = (GroupVolume(name=name, size_gib=1) for name in "abc")
HOOKS: Final = tuple(
    Hook(
        condition=stage,
        action="VOLUMES",
        type="SCRIPT",
        properties=(("script_filename", path), ("volumes", "")),
    )
    for stage, path in ((Stage.PRE_VOLUME_DETACH, BEFORE), (Stage.VOLUME_ATTACHED, AFTER))
)


def with_volumes(*volumes: GroupVolume, hooks: tuple[Hook, ...] = HOOKS, vms: int = 1) -> VmGroup:
    return replace(a_group("web", "net", vms=vms), volumes=volumes, hooks=hooks)


def ran(world: World) -> list[tuple[str, str]]:
    return [(script.path, script.words[1]) for script in world.vim.ran]


def had(world: World) -> set[str]:
    return {key.name for volumes in world.vim.stored.had.values() for key in volumes}


def to(world: World, *volumes: GroupVolume) -> World:
    world.log.clear()
    world.vim.ran.clear()
    return change(world, a_deployment(with_volumes(*volumes)))


def under_way(world: World) -> Slot:
    """Return the slot of the update's call, once that is under way."""
    world.perform((SHOP, "await"), Luck.DONE)
    world.deliver((SHOP, "await"))
    (slot,) = [at for at, it in world.flights.items() if isinstance(it.command, UpdateServer)]
    return slot


def test_a_swap_runs_both_for_each_vm_with_the_names_of_what_goes_and_comes() -> None:
    world = standing(with_volumes(A, B, vms=2))
    assert world.vim.ran == []  # what a VM is made with is attached by no update
    change(world, a_deployment(with_volumes(C, vms=2)))

    assert sorted(ran(world)) == [(AFTER, "c"), (AFTER, "c"), (BEFORE, "a,b"), (BEFORE, "a,b")]
    assert world.types()[-1] == "SERVICE_UPDATED"
    assert {vm.state for vm in the_vms(world)} == {VmState.ALIVE}
    assert {server.boots for server in world.vim.servers.values()} == {0}


def test_each_runs_only_for_what_it_is_for() -> None:
    world = standing(with_volumes(A))
    assert ran(to(world, A, B)) == [(AFTER, "b")]
    assert ran(to(world, B)) == [(BEFORE, "a")]
    # and a change of something else runs neither
    world.vim.ran.clear()
    change(world, a_deployment(replace(with_volumes(B), flavor="big")))
    assert ran(world) == []


def test_a_script_that_fails_before_volumes_go_keeps_them_until_the_next_update() -> None:
    world = standing(with_volumes(A))
    world.vim.bad_scripts = {BEFORE}
    to(world, B)

    assert world.types()[-2:] == ["VM_UPDATED FAILURE", "SERVICE_UPDATED FAILURE"]
    assert had(world) == {"a"}
    assert the_vms(world)[0].state is VmState.ALIVE
    # when the next update comes by, whatever it changes
    world.vim.bad_scripts.clear()
    change(world, a_deployment(replace(with_volumes(B), bootup_time=77)))
    assert ran(world) == [(BEFORE, "a"), (AFTER, "b")]
    assert had(world) == {"b"}
    assert world.types()[-1] == "SERVICE_UPDATED"


def test_volumes_stay_where_the_script_after_them_fails_and_it_runs_again() -> None:
    world = standing(with_volumes(A))
    world.vim.bad_scripts = {AFTER}
    to(world, A, B)
    assert world.types()[-1] == "SERVICE_UPDATED FAILURE"
    assert had(world) == {"a", "b"}

    world.vim.bad_scripts.clear()
    assert ran(to(world, A, B, C)) == [(AFTER, "b,c")]


def test_what_is_taken_back_is_attached_no_more() -> None:
    world = standing(with_volumes(A))
    world.vim.bad_scripts = {AFTER}
    to(world, A, B)
    world.vim.bad_scripts.clear()
    assert ran(to(world, A)) == [(BEFORE, "b")]
    assert the_vms(world)[0].change is None


def test_scripts_whose_end_nobody_heard_of_run_again_after_a_restart() -> None:
    world = standing(with_volumes(A))
    change(world, a_deployment(with_volumes(B)), rest=False)
    world.restart({under_way(world): Luck.LOST})
    world.rest()
    assert ran(world) == [(BEFORE, "a"), (AFTER, "b")] * 2
    assert world.types()[-1] == "SERVICE_UPDATED"


def test_a_group_without_scripts_changes_its_volumes_as_ever() -> None:
    world = standing(with_volumes(A, hooks=()))
    change(world, a_deployment(with_volumes(B, hooks=())))
    assert world.vim.ran == []
    assert world.types()[-1] == "SERVICE_UPDATED"


def test_an_undeploy_while_a_script_runs_takes_all_away() -> None:
    world = standing(with_volumes(A))
    change(world, a_deployment(with_volumes(B)), rest=False)
    under_way(world)
    world.apply({SHOP: None})
    world.rest()
    assert world.types()[-1] == "SERVICE_UNDEPLOYED"
    assert not world.vim.volumes.made


@pytest.mark.parametrize("of_scripts", [True, False])
def test_the_time_of_scripts_is_none_of_that_after_which_the_vim_is_given_up(
    of_scripts: bool,  # noqa: FBT001  a parameter of the test
) -> None:
    world = standing(with_volumes(A))
    change(world, a_deployment(with_volumes(B)), rest=False)
    slot = under_way(world)
    world.now += 2 * world.policy.give_up_after
    waited = 2 * world.policy.give_up_after if of_scripts else timedelta(0)
    flight = world.flights[slot]
    assert isinstance(flight.command, UpdateServer)
    flight.answer = CallFailed(
        subject=flight.command.key, removal=False, error="late", waited=waited
    )
    world.deliver(slot)

    assert ("VM_UPDATED FAILURE" in world.types()) is not of_scripts
    world.rest()
    assert (had(world) == {"b"}) is of_scripts
