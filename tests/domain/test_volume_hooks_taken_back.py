"""A script of the volumes runs for none that never went, or never came."""

from dataclasses import replace

import pytest

from esc_daemon.domain.intent import GroupVolume
from tests.domain.test_volume_hooks import AFTER, BEFORE, A, B, C, had, ran, to, with_volumes
from tests.domain.updates import standing


def test_what_a_failed_script_kept_is_not_told_to_have_come() -> None:
    # given: the script failed, so that no volume was taken
    world = standing(with_volumes(A))
    world.vim.bad_scripts = {BEFORE}
    to(world, B)
    assert had(world) == {"a"}
    # when the edit is taken back
    world.vim.bad_scripts = set()
    to(world, A)
    # then
    assert ran(world) == []


def test_what_may_have_gone_is_told_to_have_come_when_the_edit_is_taken_back() -> None:
    # given: the volumes were swapped, the script after that failed, and then the one before
    world = standing(with_volumes(A))
    world.vim.bad_scripts = {AFTER}
    to(world, B)
    world.vim.bad_scripts = {BEFORE}
    to(world, B, C)
    # when the edit is taken back
    world.vim.bad_scripts = set()
    to(world, A)
    # then
    assert ran(world) == [(BEFORE, "b,c"), (AFTER, "a")]


LARGER_A, LARGER_B = (replace(each, size_gib=2) for each in (A, B))


@pytest.mark.parametrize(("between", "last"), [((), (B,)), ((), (A, B)), ((LARGER_A,), (B,))])
def test_what_was_dropped_before_it_ever_came_is_told_once_it_does(
    between: tuple[GroupVolume, ...], last: tuple[GroupVolume, ...]
) -> None:
    # given: a volume was asked for, and then another one or none, but the old one stayed
    world = standing(with_volumes(A))
    world.vim.bad_scripts = {BEFORE}
    to(world, B)
    to(world, *between)
    # when it is asked for again
    world.vim.bad_scripts = set()
    to(world, *last)
    # then
    assert had(world) == {each.name for each in last}
    assert [names for path, names in ran(world) if path == AFTER] == ["b"]


def test_what_takes_the_place_of_its_namesake_is_told_to_have_come() -> None:
    # given: a volume was to go, and has stayed; another of its name was asked for, and dropped
    world = standing(with_volumes(B))
    world.vim.bad_scripts = {BEFORE}
    for volumes in ((), (LARGER_B,), ()):
        to(world, *volumes)
    # when that is asked for again
    world.vim.bad_scripts = set()
    to(world, LARGER_B)
    # then
    assert ran(world) == [(BEFORE, "b"), (AFTER, "b")]
