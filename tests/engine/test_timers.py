"""The moments that plans name."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import cast

from hypothesis import given
from hypothesis import strategies as st

from esc_daemon.domain.ids import Key, Kind
from esc_daemon.engine.timers import Timers
from tests.engine.engine_bench import DEPLOYMENT, NETWORK, TENANT, at


@dataclass(eq=False)
class Handle:
    when: float
    callback: Callable[[], None]
    cancelled: bool = False

    def cancel(self) -> None:
        self.cancelled = True


@dataclass
class ManualLoop:
    """Stands in for the loop: `call_later`, and time that the test moves."""

    time: float = 0.0
    handles: list[Handle] = field(default_factory=list)

    def call_later(self, delay: float, callback) -> Handle:
        handle = Handle(self.time + delay, callback)
        self.handles.append(handle)
        return handle

    def now(self) -> datetime:
        return at(self.time)

    def run_until(self, time: float) -> None:
        while due := [h for h in self.handles if not h.cancelled and h.when <= time]:
            first = min(due, key=lambda handle: handle.when)
            self.handles.remove(first)
            self.time = max(self.time, first.when)
            first.callback()
        self.time = time


class Bench:
    def __init__(self) -> None:
        self.loop = ManualLoop()
        self.woken: list[tuple[Key, int]] = []
        loop = cast("asyncio.AbstractEventLoop", self.loop)
        self.timers = Timers(loop, self.loop.now, self._wake)

    def _wake(self, key: Key) -> None:
        self.woken.append((key, round(self.loop.time)))


def test_each_record_is_woken_at_its_moment():
    bench = Bench()
    bench.timers.wake(TENANT, at(20))
    bench.timers.wake(NETWORK, at(10))

    bench.loop.run_until(60)

    assert bench.woken == [(NETWORK, 10), (TENANT, 20)]


def test_a_moment_that_was_moved_counts_at_its_new_place_alone():
    bench = Bench()
    bench.timers.wake(TENANT, at(10))
    bench.timers.wake(NETWORK, at(40))

    bench.timers.wake(TENANT, at(30))
    bench.timers.wake(NETWORK, at(5))
    bench.loop.run_until(60)

    assert bench.woken == [(NETWORK, 5), (TENANT, 30)]


def test_a_moment_that_was_taken_back_wakes_nobody():
    bench = Bench()
    bench.timers.wake(TENANT, at(10))

    bench.timers.wake(TENANT, None)
    bench.loop.run_until(60)

    assert bench.woken == []


def test_a_moment_that_is_past_wakes_at_once():
    bench = Bench()
    bench.loop.run_until(100)

    bench.timers.wake(TENANT, at(10))
    bench.loop.run_until(101)

    assert bench.woken == [(TENANT, 100)]


def test_a_record_of_the_root_and_one_of_a_tenant_may_have_the_same_moment():
    """Their keys have no order: None is a tenant's name in one of them."""
    bench = Bench()
    root = Key(Kind.NETWORK, None, "n")

    bench.timers.wake(root, at(10))
    bench.timers.wake(NETWORK, at(10))
    bench.loop.run_until(60)

    assert {key for key, _ in bench.woken} == {root, NETWORK}


def test_after_the_close_nobody_is_woken():
    bench = Bench()
    bench.timers.wake(TENANT, at(10))

    bench.timers.close()
    bench.loop.run_until(60)

    assert bench.woken == []


KEYS = [TENANT, NETWORK, DEPLOYMENT, Key(Kind.NETWORK, None, "n")]
MOVES = st.lists(
    st.tuples(st.sampled_from(KEYS), st.none() | st.integers(0, 30), st.integers(0, 3)),
    max_size=20,
)


@given(MOVES)
def test_whatever_is_moved_every_record_is_woken_once_at_its_last_moment(moves):
    bench = Bench()
    expected: list[tuple[Key, int]] = []
    wanted: dict[Key, tuple[int, int]] = {}  # the moment, and when it was set
    now = 0
    for key, moment, pause in [*moves, (TENANT, None, 40)]:
        bench.timers.wake(key, None if moment is None else at(moment))
        if moment is None:
            wanted.pop(key, None)
        elif key not in wanted or wanted[key][0] != moment:
            wanted[key] = moment, now
        now += pause
        bench.loop.run_until(now)
        due = [key for key, (moment, _) in wanted.items() if pause and moment <= now]
        expected += [(key, max(wanted.pop(key))) for key in due]

    assert Counter(bench.woken) == Counter(expected)
