"""Hooks of an update: which scripts run for which VM, and what becomes of the update."""

from dataclasses import replace

import pytest

from esc_daemon.domain.errors import Refused
from esc_daemon.domain.hooks import (
    OF_GROUP,
    has_scripts,
    scripts_at,
    unheeded,
    wrong_with,
)
from esc_daemon.domain.intent import Hook, VmGroup
from esc_daemon.domain.stages import Stage
from esc_daemon.domain.states import ServiceState, VmState
from tests.domain.pure_world import World
from tests.domain.stories import SHOP, a_deployment, a_group
from tests.domain.updates import change, standing, the_vms

VERSION = "LCS::DEPLOY_UPDATE::VM_SOFTWARE_VERSION_UPDATED"
UP = "/opt/up.sh"


def hook(condition: str = VERSION, kind: str = "SCRIPT", **properties: str) -> Hook:
    given = {"script_filename": UP, **properties}
    return Hook(condition=condition, action="UPGRADE", type=kind, properties=tuple(given.items()))


def at(version: str, *hooks: Hook, vms: int = 1, watched: bool = True) -> VmGroup:
    group = a_group("web", "net", vms=vms, watched=watched)
    return replace(group, software_version=version, hooks=hooks)


def upgraded(*hooks: Hook, vms: int = 1, watched: bool = True) -> World:
    world = standing(at("1", *hooks, vms=vms, watched=watched))
    return change(world, a_deployment(at("2", *hooks, vms=vms, watched=watched)))


def test_a_new_version_runs_the_script_of_each_vm_and_its_guest_boots() -> None:
    world = upgraded(hook(tenant="", vm_name="", software_version="", mode="fast"), vms=2)

    assert (world.types()[0], world.types()[-1]) == ("SERVICE_UPDATING_STATE", "SERVICE_UPDATED")
    for vm in the_vms(world):
        own = [event.type for event in world.log if event.source and event.source.vmname == vm.name]
        assert own == ["VM_SOFTWARE_VERSION_UPDATED", "VM_UPDATED", "VM_ALIVE"]
    assert {event.vm_update_type for event in world.log if event.type == "VM_UPDATED"} == {
        "SOFTWARE_VERSION_UPDATED"
    }
    names = {vm.name for vm in the_vms(world)}
    assert [script.words[:2] for script in world.vim.ran] == [("tenant", "acme")] * 2
    assert {script.words[3] for script in world.vim.ran} == names
    assert {script.words[4:] for script in world.vim.ran} == {
        ("software_version", "2", "mode", "fast")
    }
    assert {server.boots for server in world.vim.servers.values()} == {0}


def test_a_version_without_a_script_is_only_remembered() -> None:
    world = upgraded()
    assert world.types() == ["SERVICE_UPDATING_STATE", "VM_UPDATED", "SERVICE_UPDATED"]
    assert world.deployment(SHOP).intent.groups[0].software_version == "2"


def test_a_script_that_fails_fails_the_update_and_is_run_again_by_the_next_one() -> None:
    world = standing(at("1", hook()))
    world.vim.bad_scripts = {UP}
    change(world, a_deployment(at("2", hook())))

    assert world.types() == [
        "SERVICE_UPDATING_STATE",
        "VM_UPDATED FAILURE",
        "SERVICE_UPDATED FAILURE",
    ]
    assert world.deployment(SHOP).state is ServiceState.ERROR
    assert the_vms(world)[0].state is VmState.ALIVE
    # when the next update comes by
    world.log.clear()
    world.vim.bad_scripts.clear()
    change(world, a_deployment(at("2", hook(mode="again"))))
    assert len(world.vim.ran) == 1
    assert world.types()[-1] == "SERVICE_UPDATED"
    assert world.deployment(SHOP).state is ServiceState.ACTIVE


def test_a_vm_that_nobody_watches_does_not_wait_for_life() -> None:
    world = upgraded(hook(), watched=False)
    assert world.types()[-2:] == ["VM_UPDATED", "SERVICE_UPDATED"]


def test_a_script_whose_end_nobody_heard_of_runs_again_after_a_restart() -> None:
    world = standing(at("1", hook()))
    change(world, a_deployment(at("2", hook())), rest=False)
    world.restart()
    world.rest()
    assert world.types()[-1] == "SERVICE_UPDATED"
    assert len(world.vim.ran) == 1


def test_new_hooks_run_from_the_next_change_of_the_version_on() -> None:
    world = standing(at("1"))
    change(world, a_deployment(at("1", hook())))
    assert not world.vim.ran
    change(world, a_deployment(at("2", hook())))
    assert len(world.vim.ran) == 1


@pytest.mark.parametrize(
    ("spelling", "stage"),
    [
        (VERSION, Stage.SOFTWARE_VERSION_UPDATED),
        (
            "LCS::DEPLOY_UPDATE::POST_VM_SOFTWARE_VERSION_UPDATED",
            Stage.SOFTWARE_VERSION_UPDATED,
        ),
        ("LCS::DEPLOY_UPDATE::VM_PRE_VOLUME_DETACH", Stage.PRE_VOLUME_DETACH),
        ("LCS::DEPLOY_UPDATE::VM_VOLUME_ATTACHED", Stage.VOLUME_ATTACHED),
    ],
)
def test_a_stage_is_known_by_each_of_its_spellings(spelling: str, stage: Stage) -> None:
    group = at("1", hook(spelling))
    world = standing(group)
    (vm,) = the_vms(world)
    assert has_scripts(group, stage)
    (script,) = scripts_at(world.deployment(SHOP), vm, stage)
    assert (script.path, script.seconds, script.words) == (UP, 300, ())
    assert not [
        each
        for other in set(Stage) - {stage}
        for each in scripts_at(world.deployment(SHOP), vm, other)
    ]


def test_secrets_of_a_script_are_known_to_who_tells_of_it() -> None:
    world = standing(at("1", hook(wait_max_timeout="7", admin_password="s3cret", user="me")))
    (vm,) = the_vms(world)
    (script,) = scripts_at(world.deployment(SHOP), vm, Stage.SOFTWARE_VERSION_UPDATED)
    assert script.secrets == ("s3cret",)
    assert script.seconds == 7
    assert "s3cret" not in repr(script)


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        (hook(script_filename=""), "absolute path"),
        (hook(script_filename="up.sh"), "absolute path"),
        (hook(wait_max_timeout="0"), "1 to 3600"),
        (hook(wait_max_timeout="3601"), "1 to 3600"),
        (hook(wait_max_timeout="soon"), "1 to 3600"),
        (hook(wait_max_timeout="\u0663"), "1 to 3600"),
        (hook(wait_max_timeout="3600"), ""),
        (hook("LCS::VM::POST_VM_ALIVE", script_filename=""), ""),
        (hook(kind="PRE_DEFINED", script_filename=""), ""),
    ],
)
def test_a_script_that_could_never_run_is_wrong(given: Hook, wrong: str) -> None:
    found = wrong_with(given, OF_GROUP)
    assert wrong in found
    assert bool(found) is bool(wrong)


def test_what_has_no_effect_is_named() -> None:
    group = at("1", hook(), hook(kind="PRE_DEFINED"), hook("LCS::VM::POST_VM_ALIVE"))
    assert list(unheeded(group.hooks, OF_GROUP)) == [
        f"UPGRADE at {VERSION}",
        "UPGRADE at LCS::VM::POST_VM_ALIVE",
    ]


def test_a_version_is_not_changed_while_something_else_is_under_way() -> None:
    world = standing(at("1", hook()))
    change(world, a_deployment(at("2", hook())), rest=False)
    with pytest.raises(Refused, match="it is being updated"):
        change(world, a_deployment(at("3", hook())))
