"""Scaling that fails, is interrupted, or meets a restart."""

import pytest

from esc_daemon.domain.events import EventType
from esc_daemon.domain.plan import plan
from esc_daemon.domain.specs import ServerStatus
from esc_daemon.domain.states import ServiceState
from tests.domain.elastic import OUT_FAILED, elastic, overload, settle, the_vms, underload, up
from tests.domain.pure_world import World
from tests.domain.stories import SHOP


def test_a_failed_vm_that_the_vim_will_not_remove_is_told_of_once() -> None:
    # given
    world = up(elastic())
    overload(world)
    world.bad_vms = {the_vms(world)[1].id}
    world.stuck = True
    # when
    world.rest()
    # then
    assert world.types() == OUT_FAILED
    assert "No valid host was found" in world.log[-1].message
    assert "is left in VIM sim" in world.log[-1].message
    assert world.deployment(SHOP).state is ServiceState.ACTIVE


@pytest.mark.parametrize("way", ["out", "in", "fails"])
@pytest.mark.parametrize("deeds", range(9))
def test_an_undeploy_at_any_moment_of_a_scaling_leaves_nothing(way: str, deeds: int) -> None:
    # given
    world = _under_way(way, deeds)
    # when
    world.apply({SHOP: None})
    world.rest()
    # then
    assert SHOP not in world.records
    assert not world.vim.servers
    assert not world.vim.ports
    assert [event.type for event in world.log][-1] is EventType.SERVICE_UNDEPLOYED
    init = [event.type for event in world.log].index(EventType.SERVICE_UNDEPLOYED)
    assert not [each for each in world.types()[init:] if each.startswith("VM_SCALE")]


@pytest.mark.parametrize("way", ["out", "in", "fails"])
@pytest.mark.parametrize("deeds", range(9))
def test_a_restart_at_any_moment_of_a_scaling_brings_it_to_its_end(way: str, deeds: int) -> None:
    # given
    world = _under_way(way, deeds)
    # when
    world.restart()
    world.rest()
    # then
    vms = 3 if way == "out" else 1 if way == "in" else 2
    complete = [
        each for each in world.types() if each.startswith("VM_SCALE") and "COMPLETE" in each
    ]
    assert len(complete) == 1
    assert len(world.vim.servers) == len(the_vms(world)) == vms
    assert all(server.status is ServerStatus.ACTIVE for server in world.vim.servers.values())
    assert world.deployment(SHOP).state is ServiceState.ACTIVE
    assert not [c for c in plan(world.records[SHOP], world.now).commands if "watch" not in c.slot]


def _under_way(way: str, deeds: int) -> World:
    world = up(elastic("net", least=1, most=3))
    overload(world)
    settle(world)
    world.log.clear()
    if way == "in":
        underload(world)
    else:
        overload(world)
    if way == "fails":
        world.silent_vms = {the_vms(world)[-1].id}
    for _ in range(deeds):
        world._deed(strays=False)
    return world
