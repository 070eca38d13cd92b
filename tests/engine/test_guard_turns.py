"""How the guard gives permits to a crowd: the others have their turns in between."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from esc_daemon.domain.commands import Permit
from esc_daemon.domain.guard import turns
from esc_daemon.domain.ids import ServerKey, VmId
from esc_daemon.domain.policy import GuardPolicy
from esc_daemon.domain.triggers import RecoveryPermitted, Trigger
from esc_daemon.engine.boxes import Boxes
from esc_daemon.engine.guard import LOOK_SECONDS, Guard
from tests.engine.engine_bench import DEPLOYMENT, VIM

pytestmark = pytest.mark.looptime(start=0, end=36_000)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CROWD = 120
AT_ONCE = 50


def permit(number: int) -> Permit:
    return Permit(vim=VIM, host="", server=ServerKey(VmId(f"vm-{number}"), 0), since=NOW)


def permitted(trigger: Trigger) -> VmId:
    assert isinstance(trigger, RecoveryPermitted)
    return trigger.server.vm


def clock() -> datetime:
    return NOW + timedelta(seconds=asyncio.get_running_loop().time())


def a_guard(tell: Callable[[VmId], None], boxes: Boxes | None = None, *, on: bool) -> Guard:
    return Guard(
        GuardPolicy(on=on, per_host=0, per_vim=0),
        boxes or Boxes(),
        clock,
        lambda _, trigger: tell(permitted(trigger)),
        asyncio.create_task,
    )


async def test_a_crowd_that_may_be_healed_leaves_the_others_their_turns():
    # given: somebody else who wants every turn
    happened: list[str] = []

    def turn() -> None:
        happened.append("turn")
        if happened.count("turn") < CROWD:
            asyncio.get_running_loop().call_soon(turn)

    guard = a_guard(happened.append, on=False)
    for number in range(CROWD):
        guard.ask(DEPLOYMENT, permit(number))
    # when
    asyncio.get_running_loop().call_soon(turn)
    await asyncio.sleep(1)
    # then
    runs = [len(run.split()) for run in " ".join(happened).split("turn") if run.strip()]
    assert runs == [AT_ONCE, AT_ONCE, CROWD - 2 * AT_ONCE]


async def test_who_wants_no_permit_any_more_gets_none_however_late_its_turn_comes():
    # given
    told: list[VmId] = []

    def tell(vm: VmId) -> None:
        told.append(vm)
        guard.forget(VmId(f"vm-{CROWD - 1}"))

    guard = a_guard(tell, on=False)
    for number in range(CROWD):
        guard.ask(DEPLOYMENT, permit(number))
    # when
    await asyncio.sleep(1)
    # then
    assert told == [VmId(f"vm-{number}") for number in range(CROWD - 1)]


async def test_a_kpi_that_is_polled_in_thousands_of_years_keeps_nobody_from_his_turn():
    # given: one that may be noticed lost so late that no clock has such a time
    told: list[VmId] = []
    guard = a_guard(told.append, on=True)
    for number in range(CROWD):
        endless = replace(permit(number), window=60.0 * 4294967295)
        guard.ask(DEPLOYMENT, endless if not number else permit(number))
    # when
    await asyncio.sleep(GuardPolicy().longest.total_seconds() + 60)
    # then
    assert len(told) == CROWD


async def test_a_look_that_broke_is_made_again(monkeypatch: pytest.MonkeyPatch):
    # given
    told: list[VmId] = []
    guard = a_guard(told.append, on=False)
    breaks = iter([True, False])

    def looks(*args: Any) -> Any:
        if next(breaks):
            raise ValueError("a fault of ours")
        return turns(*args)

    monkeypatch.setattr("esc_daemon.engine.guard.turns", looks)
    # when
    guard.ask(DEPLOYMENT, permit(1))
    await asyncio.sleep(LOOK_SECONDS + 1)
    # then
    assert told == [VmId("vm-1")]


async def test_a_guard_that_is_off_counts_nobody():
    # given
    class NobodyLooks(Boxes):
        def records(self):
            raise AssertionError("all records were walked")

    told: list[VmId] = []
    guard = a_guard(told.append, NobodyLooks(), on=False)
    # when
    for number in range(CROWD):
        guard.ask(DEPLOYMENT, permit(number))
    await asyncio.sleep(1)
    # then
    assert len(told) == CROWD


@pytest.mark.parametrize(("hours", "waits"), [(0, False), (-1, True), (1, True)])
async def test_who_was_lost_before_the_start_has_its_chance_however_the_clock_was_set(
    hours: int,
    waits: bool,  # noqa: FBT001  a parameter of the test
):
    told: list[VmId] = []
    guard = a_guard(told.append, on=True)
    lost = replace(permit(1), since=NOW + timedelta(hours=hours), chance=30.0)
    guard.ask(DEPLOYMENT, lost)
    await asyncio.sleep(29)
    assert bool(told) is not waits
    await asyncio.sleep(2)
    assert told == [VmId("vm-1")]
