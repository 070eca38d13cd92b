"""What comes and goes leaves nothing behind; what breaks silences nobody."""

import asyncio
import gc
from datetime import datetime, timedelta

import pytest
from structlog.testing import capture_logs

from esc_daemon.domain.ids import Key, Kind, TenantName
from esc_daemon.domain.intent import Tenant
from esc_daemon.domain.plan import plan
from esc_daemon.domain.states import ResourceState
from esc_daemon.engine.edit import Change, Edit
from esc_daemon.engine.mailbox import Mailbox
from esc_daemon.engine.timers import Timers
from tests.engine.engine_bench import BEGAN, T, at
from tests.engine.engine_world import ShakyStore, WatchedVim, an_engine

pytestmark = pytest.mark.looptime(start=0)


@pytest.fixture
async def vim():
    return WatchedVim()


@pytest.fixture
async def engine(vim):
    async with an_engine(vim, ShakyStore()) as engine:
        yield engine
        vim.gate.set()


def mailboxes() -> int:
    gc.collect()
    return sum(isinstance(each, Mailbox) for each in gc.get_objects())


async def test_a_record_that_has_ended_leaves_no_mailbox(engine):
    before = mailboxes()
    for number in range(20):
        name = TenantName(f"t{number}")
        key = Key(Kind.TENANT, None, name)
        await engine.apply(Edit(changes=(Change(key=key, intent=Tenant(name=name)),)))
        await asyncio.sleep(1)
        await engine.apply(Edit(changes=(Change(key=key, intent=None),)))
        await asyncio.sleep(1)
        assert engine.record(key) is None

    assert mailboxes() == before
    assert not engine._boxes.index.tenants
    assert not engine._boxes.index.vms


async def test_a_trigger_that_breaks_is_logged_and_the_others_are_taken(engine, vim):
    key = Key(Kind.TENANT, None, T)
    vim.gate.clear()
    await engine.apply(Edit(changes=(Change(key=key, intent=Tenant(name=T)),)))
    await asyncio.sleep(1)

    with capture_logs() as logs:
        engine.tell(key, object())
        await asyncio.sleep(1)
        vim.gate.set()
        await asyncio.sleep(1)

    assert [line["event"] for line in logs if line["log_level"] != "debug"] == ["trigger.broke"]
    assert engine.record(key).state is ResourceState.ACTIVE


async def test_a_record_whose_plan_breaks_once_is_planned_again(engine, monkeypatch):
    key = Key(Kind.TENANT, None, T)
    times = []

    def breaks(record, now):
        times.append(now)
        if len(times) == 1:
            raise ZeroDivisionError
        return plan(record, now)

    monkeypatch.setattr("esc_daemon.engine.engine.plan", breaks)
    with capture_logs() as logs:
        await engine.apply(Edit(changes=(Change(key=key, intent=Tenant(name=T)),)))
        await asyncio.sleep(70)

    assert [line["event"] for line in logs if line["log_level"] == "error"] == ["plan.broke"]
    assert engine.broken == 1
    assert engine.record(key).state is ResourceState.ACTIVE


def test_moments_that_are_moved_again_and_again_do_not_pile_up():
    loop = asyncio.new_event_loop()
    woken: list[Key] = []
    now: list[datetime] = [BEGAN]
    timers = Timers(loop, lambda: now[0], woken.append)
    key, other = Key(Kind.TENANT, None, "t"), Key(Kind.TENANT, None, "u")
    before = _tuples_of(other)

    timers.wake(other, at(5))
    for number in range(5_000):
        timers.wake(key, at(3_600 + number))

    assert _tuples_of(key) < 200
    assert _tuples_of(other) > before
    now[0] = BEGAN + timedelta(seconds=10_000)
    timers._fire()
    assert woken == [other, key]
    timers.close()
    loop.close()


def _tuples_of(key: Key) -> int:
    """Return how many entries (moment, number, key) refer to *key*."""
    return sum(
        type(each) is tuple and len(each) == 3 and each[2] is key for each in gc.get_referrers(key)
    )
