"""Scripts of stages: what becomes of them when their VM is gone."""

from dataclasses import replace

from esc_daemon.domain.intent import Hook
from esc_daemon.domain.stages import Stage
from esc_daemon.domain.states import VmState
from tests.domain.elastic import elastic, overload, settle, underload
from tests.domain.pure_world import World
from tests.domain.stories import SHOP, a_deployment, a_group


def long(stage: Stage) -> Hook:
    given = (("script_filename", "/opt/x.sh"), ("wait_max_timeout", "3600"))
    return Hook(condition=stage, action="RUN", type="SCRIPT", properties=given)


def test_what_waits_to_run_does_not_grow_with_vms_that_come_and_go() -> None:
    world = World(hanging=True)
    group = replace(elastic(least=1, most=2), hooks=(long(Stage.POST_VM_ALIVE),))
    world.apply({SHOP: a_deployment(group)})
    settle(world)
    for _ in range(20):
        overload(world)
        settle(world)
        underload(world)
        settle(world)

    record = world.deployment(SHOP)
    assert {errand.vm for errand in record.owed} <= set(record.vms)


def test_what_waits_to_run_for_a_vm_is_written_with_that_vm_alone() -> None:
    world = World(hanging=True)
    group = replace(a_group(vms=3), hooks=(long(Stage.POST_VM_ALIVE),))
    world.apply({SHOP: a_deployment(group)})
    settle(world)

    record = world.deployment(SHOP)
    assert record.errands == ()
    assert [len(vm.errands) for vm in record.vms.values()] == [1, 1, 1]


def test_what_waits_to_run_for_a_vm_is_forgotten_once_that_is_to_go() -> None:
    world = World(hanging=True)
    world.apply({SHOP: a_deployment(replace(a_group(), hooks=(long(Stage.POST_VM_ALIVE),)))})
    settle(world)
    world.apply({SHOP: None})

    record = world.deployment(SHOP)
    assert {vm.state for vm in record.vms.values()} == {VmState.UNDEPLOYING}
    assert record.owed == ()
