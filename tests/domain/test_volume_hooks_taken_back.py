"""A script of the volumes runs for none that never went, or never came."""

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
