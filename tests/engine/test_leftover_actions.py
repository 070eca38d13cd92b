"""What the operator does about leftovers, in a running engine."""

import asyncio
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from esc_daemon.domain.connectors import connector_key
from esc_daemon.domain.errors import Refused
from esc_daemon.domain.ids import DEFAULT_VIM, Key, Kind, TenantName
from esc_daemon.domain.intent import Tenant
from esc_daemon.domain.leftovers import LeftoverAction, LeftoverActionType
from esc_daemon.domain.policy import Policy
from esc_daemon.domain.states import ResourceState
from esc_daemon.engine.edit import Change, Edit
from esc_daemon.store.base import StoreFull
from esc_daemon.vim.base import VimRefused
from tests.engine.engine_bench import TENANT, VIM, T
from tests.engine.engine_world import ShakyStore, WatchedVim, an_engine

pytestmark = pytest.mark.looptime(start=0, end=7200)

OTHER = Key(Kind.TENANT, None, "other")
BOTH = (
    Change(key=TENANT, intent=Tenant(name=T)),
    Change(key=OTHER, intent=Tenant(name=TenantName("other"))),
)
GONE = Edit(changes=tuple(Change(key=each.key, intent=None) for each in BOTH))
PURGE_ALL = LeftoverAction(type=LeftoverActionType.PURGE, vim=VIM)
PURGE_OTHER = LeftoverAction(type=LeftoverActionType.PURGE, name="other")
RETRY_ALL = LeftoverAction(type=LeftoverActionType.RETRY, vim=VIM)


@pytest.fixture
async def vim():
    return WatchedVim()


@pytest.fixture
async def store():
    return ShakyStore()


@pytest.fixture
async def engine(vim, store):
    policy = Policy(removal_tries=1, settle=timedelta(seconds=10))
    async with an_engine(vim, store, policy) as engine:
        yield engine
        vim.gate.set()
        store.held.set()


async def left_behind(engine, vim):
    """Given two tenants that the VIM would not remove."""
    await engine.apply(Edit(changes=BOTH))
    await asyncio.sleep(1)
    vim.breaks = VimRefused("it is locked")
    await engine.apply(GONE)
    await asyncio.sleep(1)
    assert {each.state for each in tenants(engine)} == {ResourceState.LEFTOVER}


def tenants(engine):
    return [each for each in engine.records() if each.key.kind is Kind.TENANT]


async def stored(store):
    return {each.key async for each in store.load() if each.key.kind is Kind.TENANT}


async def test_all_that_an_action_means_goes_in_one_transaction(engine, store, vim):
    await left_behind(engine, vim)
    asked = vim.asked.copy()

    done = await engine.act(PURGE_ALL)

    assert sorted(each.name for each in done) == sorted([TENANT.name, "other"])
    assert not tenants(engine)
    assert not await stored(store)
    await asyncio.sleep(3600)
    assert vim.asked["remove_tenant"] == asked["remove_tenant"]


async def test_what_no_leftover_fits_is_refused_with_what_there_is(engine, store, vim):
    await left_behind(engine, vim)
    await engine.act(PURGE_OTHER)

    with pytest.raises(Refused, match=f"there are: tenant {TENANT.name} in VIM {VIM}") as caught:
        await engine.act(PURGE_OTHER)

    assert caught.value.tag == "data-missing"
    assert await stored(store) == {TENANT}


async def test_a_purge_that_cannot_be_stored_changes_nothing(engine, store, vim):
    await left_behind(engine, vim)
    store.failing = 1

    with pytest.raises(StoreFull):
        await engine.act(PURGE_ALL)

    assert len(tenants(engine)) == 2
    assert await engine.act(PURGE_ALL)


async def test_a_purge_goes_on_when_its_caller_is_cancelled(engine, store, vim):
    await left_behind(engine, vim)
    store.held.clear()
    purge = asyncio.create_task(engine.act(PURGE_ALL))
    await asyncio.sleep(1)

    purge.cancel()
    store.held.set()
    await asyncio.sleep(1)

    assert purge.cancelled()
    assert not tenants(engine)


async def test_a_try_under_way_ends_in_nothing_when_its_leftover_is_purged(engine, vim):
    await left_behind(engine, vim)
    # and a try that hangs in the VIM
    vim.gate.clear()
    await engine.act(RETRY_ALL)
    await asyncio.sleep(1)
    asked = vim.asked["remove_tenant"]
    last = engine.broadcast.last

    await engine.act(PURGE_ALL)
    # when the name is wanted anew before its answer comes
    vim.breaks = None
    await engine.apply(Edit(changes=BOTH[:1]))
    await asyncio.sleep(1)
    made = vim.asked["ensure_tenant"]
    with capture_logs() as lines:
        vim.gate.set()
        await asyncio.sleep(10)

    # then the new one was made after it, and the old one is forgotten
    assert vim.asked["remove_tenant"] == asked
    assert vim.asked["ensure_tenant"] == made + 1
    assert [each.state for each in tenants(engine)] == [ResourceState.ACTIVE]
    assert engine.broadcast.last == last + 1
    assert not [line for line in lines if line["event"] == "leftover.gone"]


async def test_a_retry_asks_at_once_and_what_is_gone_is_logged(engine, vim):
    await left_behind(engine, vim)
    vim.breaks = None

    with capture_logs() as lines:
        await engine.act(RETRY_ALL)
        await asyncio.sleep(1)

    assert not tenants(engine)
    gone = [line for line in lines if line["event"] == "leftover.gone"]
    assert {(line["kind"], line["name"], line["vim"]) for line in gone} == {
        ("tenant", TENANT.name, VIM),
        ("tenant", "other", VIM),
    }


async def test_a_connector_that_a_leftover_holds_is_free_after_the_purge(engine, vim):
    await left_behind(engine, vim)
    keys = (connector_key(VIM), DEFAULT_VIM)
    delete = Edit(changes=tuple(Change(key=key, intent=None) for key in keys))
    with pytest.raises(Refused, match="is in use"):
        engine.check(delete)

    await engine.act(PURGE_OTHER)
    with pytest.raises(Refused, match="is in use"):
        engine.check(delete)
    await engine.act(PURGE_ALL)

    engine.check(delete)
