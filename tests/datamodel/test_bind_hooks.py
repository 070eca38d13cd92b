"""Hooks of vm_groups and deployments: bound, refused if they could never run, named if idle."""

from esc_daemon.datamodel.datastore import Datastore
from esc_daemon.domain.intent import Deployment, Hook
from tests.datamodel.documents import GROUP, config, service
from tests.datamodel.test_bind import last, refusal


def a_policy(name: str, stage: str, *properties: tuple[str, str]) -> str:
    pairs = "".join(
        f"<property><name>{name}</name><value>{value}</value></property>"
        for name, value in properties
    )
    return (
        f"<policy><name>{name}</name><conditions>"
        f"<condition><name>LCS::DEPLOY_UPDATE::{stage}</name></condition></conditions><actions>"
        f"<action><name>up</name><type>SCRIPT</type><properties>{pairs}</properties></action>"
        "</actions></policy>"
    )


def with_policies(*policies: str) -> str:
    within = f"<software_version>1.0</software_version><policies>{''.join(policies)}</policies>"
    return service(GROUP.replace("</vm_group>", f"{within}</vm_group>"))


def with_a_hook(*properties: tuple[str, str], stage: str = "VM_SOFTWARE_VERSION_UPDATED") -> str:
    return with_policies(a_policy("p", stage, *properties))


def test_the_hooks_of_a_group_are_bound(datastore: Datastore) -> None:
    given = ("script_filename", "/opt/up.sh"), ("vm_name", "")
    bound = last(datastore.edit(config(with_a_hook(*given))))

    assert isinstance(bound, Deployment)
    (group,) = bound.groups
    assert group.software_version == "1.0"
    assert group.hooks == (
        Hook(
            condition="LCS::DEPLOY_UPDATE::VM_SOFTWARE_VERSION_UPDATED",
            action="up",
            type="SCRIPT",
            properties=given,
        ),
    )


def test_whether_a_script_is_there_is_not_looked_at_before_its_stage(datastore: Datastore) -> None:
    pending = datastore.edit(config(with_a_hook(("script_filename", "/nowhere/up.sh"))))

    assert pending.warnings == ()


def test_a_hook_whose_script_could_never_run_is_refused_with_its_place(
    datastore: Datastore,
) -> None:
    error = refusal(datastore, with_a_hook(("script_filename", "up.sh")))

    assert "script_filename should be the absolute path of a script" in error.message
    assert error.path is not None
    assert error.path.endswith(
        "/esc:policy[esc:name='p']/esc:actions/esc:action[esc:name='up']/esc:properties"
    )


def test_of_actions_with_one_name_that_at_fault_is_pointed_out(datastore: Datastore) -> None:
    stage = "VM_SOFTWARE_VERSION_UPDATED"
    good = a_policy("first", stage, ("script_filename", "/opt/up.sh"))
    wrong = a_policy("second", stage, ("script_filename", "up.sh"))

    error = refusal(datastore, with_policies(good, wrong))

    assert error.path is not None
    assert error.path.endswith(
        "/esc:policy[esc:name='second']/esc:actions/esc:action[esc:name='up']/esc:properties"
    )


def test_a_hook_of_another_stage_is_taken_with_a_warning(datastore: Datastore) -> None:
    pending = datastore.edit(config(with_a_hook(stage="POST_VM_ALIVE")))

    (warning,) = [each for each in pending.warnings if "policies with actions" in each]
    assert "up at LCS::DEPLOY_UPDATE::POST_VM_ALIVE" in warning


def of_a_deployment(stage: str, path: str = "/opt/tell.sh") -> str:
    policy = (
        "<policies><policy><name>p</name><conditions>"
        f"<condition><name>{stage}</name></condition></conditions><actions>"
        "<action><name>tell</name><type>SCRIPT</type><properties><property>"
        f"<name>script_filename</name><value>{path}</value></property></properties></action>"
        "</actions></policy></policies>"
    )
    return service(policy + GROUP)


def test_the_hooks_of_a_deployment_are_bound(datastore: Datastore) -> None:
    pending = datastore.edit(config(of_a_deployment("LCS::DEPLOY_ERR")))

    bound = last(pending)
    assert isinstance(bound, Deployment)
    (hook,) = bound.hooks
    assert (hook.condition, hook.action) == ("LCS::DEPLOY_ERR", "tell")
    assert not [each for each in pending.warnings if "policies" in each]


def test_a_hook_of_a_deployment_that_could_never_run_is_refused_with_its_place(
    datastore: Datastore,
) -> None:
    error = refusal(datastore, of_a_deployment("LCS::DEPLOY_ERR", path="tell.sh"))

    assert "tell of LCS::DEPLOY_ERR: its property script_filename" in error.message
    assert error.path is not None
    assert "esc:deployment[esc:name='d']/esc:policies/esc:policy[esc:name='p']" in error.path


def test_a_stage_of_a_vm_group_in_a_policy_of_its_deployment_is_taken_with_a_warning(
    datastore: Datastore,
) -> None:
    stage = "LCS::DEPLOY_UPDATE::VM_SOFTWARE_VERSION_UPDATED"
    pending = datastore.edit(config(of_a_deployment(stage)))

    (warning,) = [each for each in pending.warnings if "policies with actions" in each]
    assert warning.endswith(f": policies with actions that have no effect: tell at {stage}")
