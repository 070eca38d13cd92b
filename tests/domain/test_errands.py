"""Scripts that nothing waits for: when their stage comes, how often they run, what forgets them."""

from dataclasses import replace
from typing import Final

import pytest

from esc_daemon.domain.hooks import OF_DEPLOYMENT, wrong_with
from esc_daemon.domain.ids import Key, OperationId, VmId
from esc_daemon.domain.intent import (
    Deployment,
    Hook,
    RecoveryAction,
    RecoveryPolicy,
    VmGroup,
)
from esc_daemon.domain.record import ActionType
from esc_daemon.domain.stages import Stage
from esc_daemon.domain.states import ServiceState
from esc_daemon.domain.triggers import RecoveryAsked, ResourceFailed, ScriptsRan, ServiceActed
from tests.domain.pure_world import Luck, World
from tests.domain.stories import SHOP, UNHEALED, a_deployment, a_group, net_key
from tests.domain.updates import change, cross

SCRIPT: Final = "/opt/tell.sh"
OP: Final = OperationId("33333333-3333-3333-3333-333333333333")
LOST: Final = a_group(recovery=UNHEALED)


def hook(stage: Stage, **properties: str) -> Hook:
    given = {"script_filename": SCRIPT, **properties}
    return Hook(condition=stage, action="TELL", type="SCRIPT", properties=tuple(given.items()))


def with_hooks(*hooks: Hook, groups: tuple[VmGroup, ...] = ()) -> Deployment:
    return replace(a_deployment(*groups), hooks=hooks)


def failed(*hooks: Hook, rest: bool = True) -> World:
    """Return a world whose deployment has failed."""
    world = World()
    world.vim.full = True
    world.apply({SHOP: with_hooks(*hooks)})
    until_it_has(world, ServiceState.ERROR)
    if rest:
        world.rest()
    return world


def until_it_has(world: World, state: ServiceState) -> None:
    for _ in range(100):
        if world.deployment(SHOP).state is state:
            return
        assert world._deed(strays=True)
    raise AssertionError(world.deployment(SHOP).state)


def runs(world: World) -> list[tuple[Key, str]]:
    return [slot for slot in world.flights if slot[1].startswith("scripts")]


def stages(world: World) -> list[Stage]:
    return [errand.stage for errand in world.ran]


def test_a_deployment_that_fails_runs_its_scripts_once_for_the_whole() -> None:
    world = failed(hook(Stage.DEPLOY_ERR, deployment="", tenant="", vm_name="", how="well"))

    assert world.types()[-1] == "SERVICE_ALIVE FAILURE"
    (errand,) = world.ran
    assert (errand.stage, errand.vm) == (Stage.DEPLOY_ERR, None)
    (script,) = errand.scripts
    assert (script.path, script.seconds, script.stage) == (SCRIPT, 300, "LCS::DEPLOY_ERR")
    assert script.words == ("deployment", "shop", "tenant", "acme", "vm_name", "", "how", "well")
    assert world.deployment(SHOP).errands == ()


def test_a_deployment_that_fails_before_its_first_vm_runs_them_too() -> None:
    world = World()
    world.apply({SHOP: with_hooks(hook(Stage.DEPLOY_ERR))})
    runner = world.deployment(SHOP).id
    world.flights.clear()
    world.tell(SHOP, ResourceFailed(waiter=runner, key=net_key(), error="no such network"))
    world.rest()
    assert world.types() == ["SERVICE_ALIVE FAILURE"]
    assert stages(world) == [Stage.DEPLOY_ERR]


def test_a_deployment_that_lives_runs_the_scripts_of_that_alone() -> None:
    world = World()
    world.apply({SHOP: a_deployment(a_group("web", "net", vms=2), hooked=True)})
    world.rest()
    assert world.deployment(SHOP).state is ServiceState.ACTIVE
    vms = set(world.deployment(SHOP).vms)
    assert stages(world).count(Stage.POST_DEPLOY_ALIVE) == 1
    alive = [errand for errand in world.ran if errand.stage is Stage.POST_VM_ALIVE]
    assert ({errand.vm for errand in alive}, len(alive)) == (vms, 2)
    assert set(stages(world)) == {Stage.POST_DEPLOY_ALIVE, Stage.POST_VM_ALIVE}


def test_a_vm_that_lives_again_after_an_action_or_an_update_is_not_new() -> None:
    world = World()
    world.apply({SHOP: a_deployment(hooked=True)})
    world.rest()
    world.ran.clear()
    for action in (ActionType.STOP, ActionType.START, ActionType.REBOOT):
        world.tell(SHOP, ServiceActed(id=OP, action=action))
        world.rest()
    change(world, a_deployment(replace(a_group(), flavor="big"), hooked=True))
    assert world.types().count("VM_ALIVE") >= 4
    assert world.ran == []


def test_a_vm_that_an_update_makes_is_new() -> None:
    world = World()
    world.apply({SHOP: a_deployment(hooked=True)})
    world.rest()
    world.ran.clear()
    change(world, a_deployment(a_group(vms=2), hooked=True))
    assert stages(world) == [Stage.POST_VM_ALIVE]


@pytest.mark.parametrize("at_first", [True, False])
def test_a_vm_that_was_recovered_runs_the_scripts_of_its_life_once(*, at_first: bool) -> None:
    world = World()
    world.apply({SHOP: a_deployment(hooked=True)})
    silent = set(world.deployment(SHOP).vms)
    if at_first:
        world.silent_vms = set(silent)
        while "VM_RECOVERY_REBOOT" not in world.types():
            assert world._deed(strays=True)
        world.silent_vms.clear()
    else:
        world.rest()
        world.ran.clear()
        cross(world, holds=False)
    world.rest()
    assert "VM_RECOVERY_COMPLETE" in world.types()
    assert stages(world).count(Stage.POST_VM_ALIVE) == 1


def test_a_vm_without_monitors_never_comes_to_live() -> None:
    world = World()
    world.apply({SHOP: a_deployment(a_group(watched=False), hooked=True)})
    world.rest()
    assert stages(world) == [Stage.POST_DEPLOY_ALIVE]


def test_a_script_whose_end_nobody_heard_of_runs_again_after_a_restart() -> None:
    world = failed(hook(Stage.DEPLOY_ERR), rest=False)
    (slot,) = runs(world)
    world.perform(slot, Luck.LOST)  # it ran, and the daemon died before it knew
    world.restart()
    world.rest()
    assert stages(world) == [Stage.DEPLOY_ERR, Stage.DEPLOY_ERR]
    # and not once more, for its end is known
    world.restart()
    world.rest()
    assert len(world.ran) == 2


def test_an_undeploy_waits_for_no_script() -> None:
    world = World(hanging=True)
    world.vim.full = True
    world.apply({SHOP: with_hooks(hook(Stage.DEPLOY_ERR))})
    world.rest()
    assert len(runs(world)) == 1
    world.apply({SHOP: None})
    world.rest()
    assert world.types()[-1] == "SERVICE_UNDEPLOYED"
    assert SHOP not in world.records
    # when it ends at last, nobody is there to be told
    world.hanging = False
    world.rest()
    assert (len(world.ran), world.records.get(SHOP)) == (1, None)


def test_an_undeploy_forgets_what_has_yet_to_run() -> None:
    world = failed(hook(Stage.DEPLOY_ERR), rest=False)
    world.stuck = True
    world.apply({SHOP: None})
    world.restart()
    world.rest()
    assert world.ran == []


def test_an_end_of_the_incarnation_before_ends_nothing_of_the_next_one() -> None:
    world = failed(hook(Stage.DEPLOY_ERR), rest=False)
    (old,) = world.deployment(SHOP).errands
    runner = world.deployment(SHOP).id
    world.apply({SHOP: None})
    world.rest()
    world.apply({SHOP: with_hooks(hook(Stage.DEPLOY_ERR))})
    until_it_has(world, ServiceState.ERROR)
    world.tell(SHOP, ScriptsRan(runner=runner, errand=old))
    assert len(world.deployment(SHOP).errands) == 1


def test_an_end_that_comes_twice_ends_no_later_run_of_that_stage() -> None:
    world = failed(hook(Stage.DEPLOY_ERR))
    record, (first,) = world.deployment(SHOP), world.ran
    later = replace(record, errands=(replace(first, came=world.now.replace(year=2027)),))
    world.records[SHOP] = later
    world.tell(SHOP, ScriptsRan(runner=record.id, errand=first))
    assert world.deployment(SHOP) is later


def test_what_has_yet_to_run_is_as_its_policy_was_when_its_stage_came() -> None:
    world = failed(hook(Stage.DEPLOY_ERR, how="then"), rest=False)
    change(world, with_hooks(hook(Stage.DEPLOY_ERR, how="now")))
    assert [errand.scripts[0].words for errand in world.ran] == [("how", "then")]


def test_a_failure_to_set_monitors_is_none_of_the_deployment() -> None:
    world = World()
    world.apply({SHOP: with_hooks(hook(Stage.DEPLOY_ERR), groups=(LOST, a_group("db")))})
    world.bad_vms = {vm.id for vm in world.deployment(SHOP).vms.values() if vm.group == LOST.name}
    world.rest()
    assert stages(world) == [Stage.DEPLOY_ERR]
    for action in (ActionType.DISABLE_MONITOR, ActionType.ENABLE_MONITOR):
        world.tell(SHOP, ServiceActed(id=OP, action=action))
        world.rest()
    assert world.types()[-1] == "SERVICE_ALIVE FAILURE"
    assert stages(world) == [Stage.DEPLOY_ERR]


def healed(policy: RecoveryPolicy, *hooks: Hook, of_group: tuple[Hook, ...] = ()) -> World:
    """Return a world whose only VM is lost for good after it had lived."""
    group = replace(a_group(recovery=policy), hooks=of_group)
    world = World()
    world.apply({SHOP: with_hooks(*hooks, groups=(group,))})
    world.rest()
    (vm,) = world.deployment(SHOP).vms.values()
    world.silent_vms = {vm.id}
    cross(world, holds=False)
    world.rest()
    return world


REBOOTED: Final = RecoveryPolicy(action=RecoveryAction.REBOOT_ONLY, max_retries=1)
REDEPLOYED: Final = RecoveryPolicy(action=RecoveryAction.REDEPLOY_ONLY, max_retries=2)
RECOVERY: Final = (Stage.RECOVERY_ERR, Stage.RECOVERY_REDEPLOY_ERR)


@pytest.mark.parametrize(
    ("policy", "come"),
    [
        (UNHEALED, [Stage.RECOVERY_ERR]),
        (REBOOTED, [Stage.RECOVERY_ERR]),
        (REDEPLOYED, [Stage.RECOVERY_ERR, Stage.RECOVERY_REDEPLOY_ERR]),
    ],
)
def test_a_recovery_that_fails_runs_its_scripts_once_and_those_of_a_redeploy_if_it_had_one(
    policy: RecoveryPolicy, come: list[Stage]
) -> None:
    world = healed(policy, *(hook(stage, vm_name="", vm_id="") for stage in RECOVERY))

    assert world.types().count("VM_RECOVERY_COMPLETE FAILURE") == 1
    assert stages(world) == come
    (vm,) = world.deployment(SHOP).vms.values()
    assert {(errand.vm, errand.name) for errand in world.ran} == {(vm.id, vm.name)}
    assert vm.server is not None
    given = ("vm_name", vm.name, "vm_id", vm.server.resource_id)
    assert {errand.scripts[0].words for errand in world.ran} == {given}


def test_a_redeploy_whose_server_the_vim_keeps_or_refuses_has_failed() -> None:
    for refuses in ("stuck", "full"):
        world = World()
        world.apply({SHOP: with_hooks(hook(RECOVERY[1]), groups=(a_group(recovery=REDEPLOYED),))})
        world.rest()
        setattr(world if refuses == "stuck" else world.vim, refuses, True)
        (vm,) = world.deployment(SHOP).vms.values()
        world.silent_vms = {vm.id}
        cross(world, holds=False)
        world.rest()
        assert "VM_RECOVERY_COMPLETE FAILURE" in world.types(), refuses
        assert stages(world) == [Stage.RECOVERY_REDEPLOY_ERR], refuses


def test_scripts_of_the_deployment_come_before_those_of_the_vm_group() -> None:
    own = hook(Stage.RECOVERY_ERR, script_filename="/opt/own.sh")
    world = healed(REBOOTED, hook(Stage.RECOVERY_ERR), of_group=(own,))
    assert [each.path for each in world.ran[0].scripts] == [SCRIPT, "/opt/own.sh"]


def test_a_recovery_that_ends_well_runs_none_of_them() -> None:
    world = World()
    world.apply({SHOP: with_hooks(hook(Stage.RECOVERY_ERR))})
    world.rest()
    cross(world, holds=False)
    world.rest()
    assert "VM_RECOVERY_COMPLETE" in world.types()
    assert world.ran == []


def test_a_stage_that_comes_again_before_its_scripts_ended_does_not_run_them_once_more() -> None:
    world = healed(REBOOTED)
    change(world, with_hooks(hook(Stage.RECOVERY_ERR), groups=(a_group(recovery=REBOOTED),)))
    (vm,) = world.deployment(SHOP).vms.values()
    world.hanging = True
    for _ in range(2):
        world.tell(SHOP, RecoveryAsked(id=OP, vm=vm.id))
        world.rest()
    assert world.types().count("VM_RECOVERY_COMPLETE FAILURE") == 3
    assert len(world.deployment(SHOP).owed) == len(runs(world)) == 1
    # when it ends at last the stage may come again
    world.hanging = False
    world.rest()
    world.tell(SHOP, RecoveryAsked(id=OP, vm=vm.id))
    world.rest()
    assert len(world.ran) == 2


def test_a_deployment_that_fails_with_a_recovery_runs_the_scripts_of_both() -> None:
    world = World()
    hooks = [hook(stage) for stage in (Stage.DEPLOY_ERR, Stage.RECOVERY_ERR)]
    world.apply({SHOP: with_hooks(*hooks, groups=(a_group(recovery=REBOOTED),))})
    world.silent_vms = set(world.deployment(SHOP).vms)
    world.rest()
    assert world.types()[-2:] == ["VM_RECOVERY_COMPLETE FAILURE", "SERVICE_ALIVE FAILURE"]
    assert sorted(stages(world)) == [Stage.DEPLOY_ERR, Stage.RECOVERY_ERR]


def test_a_script_that_was_accepted_before_its_stage_ran_may_be_wrong_and_is_passed_over() -> None:
    world = failed(hook(Stage.DEPLOY_ERR, wait_max_timeout="soon"), hook(Stage.DEPLOY_ERR))
    (errand,) = world.ran
    assert [script.seconds for script in errand.scripts] == [300]


def test_a_script_of_a_deployment_that_could_never_run_is_wrong() -> None:
    bad = hook(Stage.DEPLOY_ERR, script_filename="tell.sh")
    assert "absolute path" in wrong_with(bad, OF_DEPLOYMENT)
    assert (
        wrong_with(hook(Stage.SOFTWARE_VERSION_UPDATED, wait_max_timeout="x"), OF_DEPLOYMENT) == ""
    )


def test_what_was_stored_for_a_vm_beside_those_of_the_deployment_ends_once_too() -> None:
    world = failed(hook(Stage.DEPLOY_ERR))
    record, (first,) = world.deployment(SHOP), world.ran
    old = replace(first, vm=VmId("of-a-vm-that-left"), name="gone")
    world.records[SHOP] = replace(record, errands=(old,))
    world.tell(SHOP, ScriptsRan(runner=record.id, errand=old))
    assert world.deployment(SHOP).owed == ()
