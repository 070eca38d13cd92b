"""When healing is held, for how long, and whose turn comes next (ruling 18)."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import hypothesis.strategies as st
from hypothesis import given

from esc_daemon.domain.guard import (
    Hold,
    Holds,
    Loss,
    Scope,
    Sight,
    Why,
    alive_by_scope,
    held_of,
    judged,
    released,
    still_alive,
    told,
    turns,
    window,
)
from esc_daemon.domain.ids import ServerKey, VimId, VmId
from esc_daemon.domain.policy import GuardPolicy
from esc_daemon.domain.triggers import KpiCrossed
from tests.domain.pure_world import World
from tests.domain.stories import SHOP, a_deployment, a_group

START = datetime(2026, 1, 1, tzinfo=UTC)
WINDOW = timedelta(seconds=20)
GUARD = GuardPolicy()
ALL = Scope(Why.SHARE)
A, B = VimId("a"), VimId("b")
VIM_A, HOST_1 = Scope(Why.SHARE, A), Scope(Why.SHARE, A, "1")


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def losses(
    number: int, vim: VimId = A, host: str = "1", seconds: float = 0, **more: Any
) -> list[Loss]:
    """Return so many losses of that moment, each a little later lost than the one before."""
    when = at(seconds)
    return [
        Loss(
            **{
                "vm": VmId(f"{vim}{host}{n:05}"),
                "vim": vim,
                "host": host,
                "since": when + n * timedelta(microseconds=1),
                "at": when,
                "window": WINDOW,
                **more,
            }
        )
        for n in range(number)
    ]


def alive(number: int, vim: VimId = A, host: str = "1") -> dict[Scope, int]:
    return dict.fromkeys((ALL, Scope(Why.SHARE, vim), Scope(Why.SHARE, vim, host)), number)


def judge(lost: list[Loss], sight: Sight, holds: Holds | None = None, seconds: float = 0) -> Holds:
    return judged(holds or {}, lost, sight, at(seconds), GUARD)


def is_held(loss: Loss, holds: Holds) -> bool:
    return held_of([loss], holds) == 1


def test_more_than_the_share_holds_and_no_more_than_it_does_not() -> None:
    assert HOST_1 in judge(losses(6), Sight(alive=alive(5)))
    assert judge(losses(5), Sight(alive=alive(5))) == {}
    assert judge(losses(4), Sight(alive={})) == {}


def test_a_host_a_vim_and_all_are_each_looked_at() -> None:
    # given: all of host 1, a tenth of VIM a
    found = judge(losses(10), Sight(alive={VIM_A: 90, ALL: 990}))
    assert set(found) == {HOST_1}
    # all of VIM a on many hosts, a tenth of all
    many = [loss for n in range(10) for loss in losses(2, host=str(n))]
    assert set(judge(many, Sight(alive={ALL: 180}))) == {VIM_A}
    # more than a half of all on many hosts of many VIMs
    everywhere = [loss for n in range(10) for loss in losses(1, VimId(str(n)))]
    assert set(judge(everywhere, Sight(alive={ALL: 9}))) == {ALL}


def test_losses_that_are_not_within_one_window_are_none_of_many() -> None:
    old = losses(5)
    new = losses(4, host="2", seconds=21)
    assert judge([*old, *new], Sight(alive={}), seconds=21) == {}
    assert judge([*old, *losses(5, host="2", seconds=19)], Sight(alive={}), seconds=19) != {}


def test_a_vm_that_never_was_alive_is_no_loss_and_is_held_with_the_others() -> None:
    never = losses(9, host="2", lived=False)
    assert judge(never, Sight(alive={})) == {}
    holds = judge([*never, *losses(5)], Sight(alive={}))
    assert all(is_held(loss, holds) for loss in never)


def test_vms_without_kpis_are_no_part_of_the_share_of_those_with() -> None:
    lost = losses(6)
    unwatched = Scope(Why.SHARE, watched=False)
    holds = judge(lost, Sight(alive={**alive(4), unwatched: 1000}))
    assert is_held(lost[0], holds)
    (other,) = losses(1, watched=False)
    assert not is_held(other, holds)


def test_who_was_lost_since_the_vms_were_counted_is_not_among_those_that_live() -> None:
    counted = alive(10)
    before, since = losses(2, seconds=0), losses(3, seconds=5)

    found = still_alive(counted, at(3), [*before, *since, *losses(4, seconds=5, lived=False)])

    assert found == alive(7)
    assert still_alive({}, at(3), since) == dict.fromkeys(alive(0), 0)


def test_who_was_lost_before_the_start_is_looked_at_before_its_turn() -> None:
    # given: one alone, and one of many
    chance = timedelta(seconds=30)
    (carried,), more = losses(1, chance=chance), losses(5, host="2")
    off = replace(GUARD, on=False)
    for policy, lost in ((GUARD, [carried]), (off, [carried]), (GUARD, [carried, *more])):
        # when
        given, again = turns(lost, {}, (), {}, at(29), policy)
        # then
        assert carried.vm not in given
        assert again == at(30)
        assert carried.vm in turns(lost, {}, (), {}, at(30), policy)[0]


def test_a_hold_ends_a_window_after_life_has_returned() -> None:
    # given
    lost = losses(10)
    holds = judge(lost, Sight(alive={}))
    # when: most are back, the others may be on their way
    few = lost[:3]
    holds = judge(few, Sight(alive=alive(7)), holds, 60)
    assert is_held(few[0], holds)
    # and again lost, and back
    holds = judge(lost, Sight(alive={}), holds, 70)
    holds = judge(few, Sight(alive=alive(7)), holds, 81)
    assert is_held(few[0], judge(few, Sight(alive=alive(7)), holds, 100))
    # then
    assert judge(few, Sight(alive=alive(7)), holds, 101) == {}


def test_a_hold_ends_at_once_when_nobody_is_lost_any_more() -> None:
    holds = judge(losses(10), Sight(alive={}))
    assert judge([], Sight(alive=alive(10)), judge([], Sight(alive={}), holds, 1), 1) == {}


def test_a_hold_ends_with_its_time_and_does_not_begin_again() -> None:
    lost = losses(10)
    holds = judge(lost, Sight(alive={}))
    holds = judge(lost, Sight(alive={}), holds, 1799)
    assert is_held(lost[0], holds)
    for seconds in (1800, 1801, 9000):
        holds = judge(lost, Sight(alive={}), holds, seconds)
        assert not is_held(lost[0], holds)
        assert told(holds) == {}


def test_the_time_of_a_hold_is_its_own_however_long_a_vm_was_lost_before() -> None:
    # given: the manager was away for a day
    lost = losses(10, at=at(86_400))
    holds = judge(lost, Sight(alive={}), seconds=86_400)
    assert is_held(lost[0], judge(lost, Sight(alive={}), holds, 86_400 + 1799))


def test_what_is_released_is_held_no_more() -> None:
    lost = losses(10)
    holds = judge(lost, Sight(alive={}))
    assert is_held(lost[0], released(holds, B))
    holds = judge(lost, Sight(alive={}), released(holds, None), 5)
    assert not is_held(lost[0], holds)


def test_a_vim_that_cannot_be_used_holds_its_vms_whatever_time_goes_by() -> None:
    here, there = losses(1), losses(1, B)
    sight = Sight(alive={}, unusable=lambda vim: vim == A)
    holds: Holds = {}
    for seconds in (0, 5, 9000):
        holds = judge([*here, *there], sight, holds, seconds)
        assert is_held(here[0], holds)
        assert not is_held(there[0], holds)
    # and a moment longer, in which life may return
    holds = judge(here, Sight(alive={}), holds, 9005)
    assert is_held(here[0], judge(here, Sight(alive={}), holds, 9024))
    assert judge(here, Sight(alive={}), holds, 9025) == {}


def test_without_our_own_sight_everything_is_held() -> None:
    lost = [*losses(1), *losses(1, B, lived=False), *losses(1, B, "2", watched=False)]
    holds = judge(lost, Sight(alive={}, blind=True))
    assert all(is_held(loss, holds) for loss in lost)


def test_the_widest_hold_is_told() -> None:
    holds = judge(losses(10), Sight(alive={}))
    assert set(holds) == {ALL, VIM_A, HOST_1}
    assert set(told(holds)) == {ALL}
    assert told(holds)[ALL] == Hold(since=START, lost=10, number=10)


def test_without_the_guard_nothing_is_held() -> None:
    off = GuardPolicy(on=False, per_host=0, per_vim=0)
    lost = losses(1000)
    holds = judged({}, lost, Sight(alive={}, blind=True, unusable=lambda _: True), START, off)
    given_, again = turns(lost, holds, (), {}, START, off)
    assert (len(given_), again) == (1000, None)


def test_a_vm_among_few_has_its_turn_at_once_and_one_among_many_after_its_window() -> None:
    (loss,) = losses(1)
    assert turns([loss], {}, (), alive(3), START, GUARD) == ([loss.vm], None)
    assert turns([loss], {}, (), alive(4), START, GUARD) == ([], at(20))
    assert turns([loss], {}, (), alive(4), at(20), GUARD) == ([loss.vm], None)
    (booting,) = losses(1, lived=False)
    assert turns([booting], {}, (), alive(4), START, GUARD) == ([booting.vm], None)


def test_who_is_not_seen_yet_is_one_of_many_and_has_no_turn() -> None:
    lost = losses(6)

    def turn(seconds: float) -> tuple[list[VmId], datetime | None]:
        return turns(lost, {}, [], {}, at(seconds), GUARD, lambda loss: loss is lost[0])

    assert turn(0) == ([], at(20))
    assert turn(20) == ([lost[0].vm], None)


def test_turns_are_limited_for_a_host_and_for_a_vim_and_come_in_order() -> None:
    # given
    limited = GuardPolicy(on=False, per_host=2, per_vim=3)
    lost = [*losses(3, seconds=1), *losses(3, host="2", seconds=2), *losses(1, B, seconds=3)]
    # when
    first, _ = turns(reversed(lost), {}, (), {}, at(9), limited)
    # then: two of host 1, one of host 2, and that of the other VIM
    assert first == [lost[0].vm, lost[1].vm, lost[3].vm, lost[6].vm]
    # when one has ended
    left = [loss for loss in lost if loss.vm not in first]
    then, _ = turns(left, {}, [(A, "1"), (A, "2"), (B, "1")], {}, at(9), limited)
    # then
    assert then == [left[0].vm]


def test_a_host_that_nobody_knows_has_no_limit_of_its_own() -> None:
    limited = GuardPolicy(on=False, per_host=1, per_vim=3)
    assert len(turns(losses(5, host=""), {}, (), {}, START, limited)[0]) == 3


@given(
    lost=st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("12"), st.integers(0, 9))),
    per_host=st.integers(1, 4),
    per_vim=st.integers(1, 6),
)
def test_no_turn_goes_beyond_a_limit_and_none_that_is_free_is_wasted(
    lost: list[tuple[str, str, int]], per_host: int, per_vim: int
) -> None:
    # given
    limited = GuardPolicy(on=False, per_host=per_host, per_vim=per_vim)
    all_lost = [
        losses(1, VimId(vim), host, s, vm=VmId(str(n)))[0] for n, (vim, host, s) in enumerate(lost)
    ]
    # when
    given_, _ = turns(all_lost, {}, (), {}, at(60), limited)

    # then
    def under_way(vim: str, host: str | None = None) -> int:
        return sum(
            loss.vm in given_ and loss.vim == vim and host in {None, loss.host} for loss in all_lost
        )

    for vim in "ab":
        assert under_way(vim) <= per_vim
        assert all(under_way(vim, host) <= per_host for host in "12")
    for loss in all_lost:
        if loss.vm not in given_:
            full = under_way(loss.vim) == per_vim, under_way(loss.vim, loss.host) == per_host
            assert any(full)


def test_the_window_is_a_poll_and_its_time_out() -> None:
    assert window(a_group(), "VM_ALIVE") == 6
    assert window(a_group(watched=False), "") == 5


def test_the_vms_that_are_alive_are_counted_by_host_vim_and_kind() -> None:
    # given
    world = World(guarded=True)
    world.apply({SHOP: a_deployment(a_group(vms=3), a_group("db", vms=2, watched=False))})
    while not all(
        vm.state in {"VM_ALIVE_STATE", "VM_MONITOR_UNSET_STATE"}
        for vm in world.deployment(SHOP).vms.values()
    ):
        world._deed(strays=False)
    vm = next(iter(world.deployment(SHOP).vms.values()))
    # when
    key = ServerKey(vm.id, vm.generation)
    world.tell(SHOP, KpiCrossed(server=key, event_name="VM_ALIVE", holds=False))
    found = alive_by_scope(world.records.values())
    # then: one is lost
    assert found == {
        **dict.fromkeys((ALL, Scope(Why.SHARE, vm.vim), Scope(Why.SHARE, vm.vim, "compute-1")), 2),
        **dict.fromkeys(
            (
                Scope(Why.SHARE, watched=False),
                Scope(Why.SHARE, vm.vim, watched=False),
                Scope(Why.SHARE, vm.vim, "compute-1", watched=False),
            ),
            2,
        ),
    }
