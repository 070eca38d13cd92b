"""A removal that nobody answered may take effect late: what adopts its object waits for that."""

import pytest

from esc_daemon.domain.policy import DEFAULT_POLICY
from esc_daemon.domain.states import ResourceState
from tests.domain.pure_world import Luck, World
from tests.domain.stories import an_image
from tests.domain.test_resources import CALL, IMAGE, left_behind, made, resource


def removing() -> World:
    """Return a world in which the VIM is asked to remove the image that is wanted again."""
    world = made()
    world.apply({IMAGE: None})
    while CALL not in world.flights:
        assert world._deed(strays=True)
    world.apply({IMAGE: an_image()})
    return world


def stands(world: World) -> bool:
    """Tell whether the image is there, by the record and in the VIM."""
    there = resource(world, IMAGE).state is ResourceState.ACTIVE
    return there and IMAGE in world.vim.resources.values()


def stands_after_all(world: World) -> bool:
    """Tell the same once nothing can take effect any more."""
    world.rest()
    world.sleep(DEFAULT_POLICY.settle.total_seconds())
    world.rest()
    return stands(world)


@pytest.mark.parametrize("luck", [Luck.LOST, Luck.LATE, Luck.NEVER])
def test_who_adopts_what_would_not_go_waits_for_the_try_before(luck: Luck) -> None:
    world = removing()
    world.perform(CALL, luck)
    world.deliver(CALL)
    world.stuck = True  # and every later try is refused at once
    assert stands_after_all(world)


def test_who_adopts_what_would_not_go_waits_for_a_try_before_the_restart() -> None:
    world = removing()
    world.restart({CALL: Luck.LATE})
    world.stuck = True
    assert stands_after_all(world)


@pytest.mark.parametrize("restarts", [False, True])
def test_who_adopts_a_leftover_waits_for_the_try_that_is_under_way(*, restarts: bool) -> None:
    world = left_behind()
    world.stuck = False
    world.sleep(DEFAULT_POLICY.leftover_pause.total_seconds())
    assert CALL in world.flights
    world.apply({IMAGE: an_image()})
    if restarts:
        world.restart({CALL: Luck.LATE})
    else:
        world.perform(CALL, Luck.LATE)
        world.deliver(CALL)
    assert stands_after_all(world)


def test_who_adopts_a_leftover_waits_for_a_try_whose_answer_was_lost_after_that() -> None:
    world = left_behind()
    world.stuck = False
    world.sleep(DEFAULT_POLICY.leftover_pause.total_seconds())
    world.apply({IMAGE: an_image()})
    world.sleep(DEFAULT_POLICY.settle.total_seconds() / 2)
    world.perform(CALL, Luck.LATE)
    world.deliver(CALL)
    assert stands_after_all(world)


def test_who_adopts_a_leftover_that_was_refused_long_ago_waits_for_nothing() -> None:
    world = left_behind()
    world.sleep(DEFAULT_POLICY.settle.total_seconds())
    world.stuck = False
    before = world.now
    world.apply({IMAGE: an_image()})
    world.rest()
    assert stands(world)
    assert world.now == before
