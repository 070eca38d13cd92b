"""The engine's promises: all or nothing, never lost, never cut in two."""

import asyncio
from dataclasses import replace

import pytest

from esc_daemon.domain.errors import Refused
from esc_daemon.domain.events import EventType
from esc_daemon.domain.ids import DeploymentName, Key, Kind, TenantName, VmGroupName
from esc_daemon.domain.intent import Deployment, Interface, Locator, Scaling, Tenant, VmGroup
from esc_daemon.domain.states import ResourceState, ServiceState
from esc_daemon.domain.triggers import Woken
from esc_daemon.engine.edit import Change, Edit
from esc_daemon.store.base import EntryChange, EntryPath, StoreFull
from esc_daemon.vim.base import VimUnknown
from tests.engine.engine_bench import DEPLOYMENT, TENANT, T, deployment_of, numbers_of
from tests.engine.engine_world import ShakyStore, WatchedVim, an_engine

pytestmark = pytest.mark.looptime(start=0, end=3600)

SERVICE = Deployment(
    name=DeploymentName("d"),
    groups=(
        VmGroup(
            name=VmGroupName("g"),
            image="i",
            flavor="f",
            interfaces=(Interface(nicid=0, network="n"),),
            scaling=Scaling(min_active=1, max_active=1),
        ),
    ),
)
ENTRY = EntryChange(path=EntryPath("tenant", "", "t"), xml="<tenant/>")
TENANT_CHANGE = Change(key=TENANT, intent=Tenant(name=T))
DEPLOY = Edit(changes=(TENANT_CHANGE, Change(key=DEPLOYMENT, intent=SERVICE)), entries=(ENTRY,))


@pytest.fixture
async def vim():
    return WatchedVim()


@pytest.fixture
async def store():
    return ShakyStore()


@pytest.fixture
async def engine(vim, store):
    async with an_engine(vim, store) as engine:
        yield engine
        vim.gate.set()
        store.held.set()


async def rested(engine) -> None:
    for _ in range(100):
        await asyncio.sleep(1)
        if engine.at_rest:
            return
    raise AssertionError("never at rest")


async def test_an_edit_is_readable_and_stored_when_it_returns(engine, store, vim):
    vim.gate.clear()

    await engine.apply(DEPLOY)

    assert engine.record(TENANT).state is ResourceState.CREATING
    assert engine.record(DEPLOYMENT).state is ServiceState.DEPLOYING
    assert [entry.path for entry in await store.store.entries()] == [ENTRY.path]
    assert {record.key async for record in store.load()} == {TENANT, DEPLOYMENT}


async def test_a_service_comes_alive_and_tells_of_it_in_order(engine):
    listener = engine.broadcast.listen()

    await engine.apply(DEPLOY)
    await rested(engine)

    assert engine.record(DEPLOYMENT).state is ServiceState.ACTIVE
    events = await listener.batch()
    assert [logged.event.type for logged in events] == [
        EventType.CREATE_TENANT,
        EventType.VM_DEPLOYED,
        EventType.SERVICE_ALIVE,
    ]
    assert numbers_of(events) == [1, 2, 3]


async def test_a_refused_edit_changes_nothing_of_the_others_either(engine, store):
    await engine.apply(DEPLOY)
    await rested(engine)
    before = {record.key: record for record in engine.records()}
    elsewhere = Locator(vim_id="another")
    bigger = replace(SERVICE, groups=(replace(SERVICE.groups[0], locator=elsewhere),))
    other = Key(Kind.TENANT, None, "another")
    committed: list[str] = []

    with pytest.raises(Refused):
        await engine.apply(
            Edit(
                changes=(
                    Change(key=other, intent=Tenant(name=TenantName("another"))),
                    Change(key=DEPLOYMENT, intent=bigger),
                ),
                entries=(EntryChange(path=EntryPath("tenant", "", "another"), xml="<x/>"),),
                on_committed=lambda: committed.append("yes"),
            )
        )

    assert {record.key: record for record in engine.records()} == before
    assert [entry.path for entry in await store.store.entries()] == [ENTRY.path]
    assert not committed


async def test_an_edit_that_cannot_be_stored_changes_nothing(engine, store, vim):
    store.failing = 1

    with pytest.raises(StoreFull):
        await engine.apply(DEPLOY)
    await rested(engine)

    assert list(engine.records()) == []
    assert not vim.asked
    await engine.apply(DEPLOY)
    await rested(engine)
    assert engine.record(DEPLOYMENT).state is ServiceState.ACTIVE


async def test_a_step_that_cannot_be_stored_is_kept_and_tried_again(engine, store, vim):
    vim.gate.clear()
    await engine.apply(Edit(changes=(TENANT_CHANGE,)))
    await asyncio.sleep(0.1)
    store.failing = 3

    vim.gate.set()
    await asyncio.sleep(2)
    assert engine.record(TENANT).state is ResourceState.CREATING
    await asyncio.sleep(2)

    assert engine.record(TENANT).state is ResourceState.ACTIVE
    assert vim.asked["ensure_tenant"] == 1, "the answer was kept, not asked for again"


async def test_an_edit_goes_on_when_its_caller_is_cancelled(engine, store):
    store.held.clear()
    caller = asyncio.create_task(engine.apply(DEPLOY))
    await asyncio.sleep(0.1)

    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    store.held.set()
    await rested(engine)

    assert engine.record(DEPLOYMENT).state is ServiceState.ACTIVE


async def test_what_an_edit_changed_is_readable_before_its_events_are_told(engine):
    local = Tenant(name=T, mapped=False)  # nothing is to be done for it: it is told at once
    seen: list[tuple[ResourceState, int]] = []

    await engine.apply(
        Edit(
            changes=(Change(key=TENANT, intent=local),),
            on_committed=lambda: seen.append((engine.record(TENANT).state, engine.broadcast.last)),
        )
    )

    assert seen == [(ResourceState.ACTIVE, 0)]
    assert engine.broadcast.last == 1


async def test_two_edits_of_the_same_records_follow_each_other(engine):
    undeploy = Edit(changes=(Change(key=DEPLOYMENT, intent=None), Change(key=TENANT, intent=None)))

    await asyncio.gather(engine.apply(DEPLOY), engine.apply(undeploy))
    await rested(engine)
    await rested(engine)

    assert list(engine.records()) == []


async def test_a_trigger_for_a_record_that_is_gone_is_dropped(engine):
    engine.tell(TENANT, Woken())
    await asyncio.sleep(1)

    assert engine.at_rest
    assert list(engine.records()) == []


async def test_records_stand_under_their_tenant_until_they_end(engine):
    await engine.apply(DEPLOY)
    await rested(engine)
    assert [record.key for record in engine.records_under(T)] == [DEPLOYMENT]
    assert [record.key for record in engine.records_under(None)] == [TENANT]

    await engine.apply(Edit(changes=(Change(key=DEPLOYMENT, intent=None),)))
    await rested(engine)

    assert list(engine.records_under(T)) == []


async def test_a_close_keeps_what_was_under_way_for_the_next_start(vim):
    store = ShakyStore()
    images: list[bytes] = []
    store.store = type(store.store).from_image(on_synced=images.append)
    async with an_engine(vim, store) as engine:
        vim.gate.clear()
        await engine.apply(DEPLOY)
        await asyncio.sleep(0.1)
    assert vim.cut_off["ensure_tenant"] == 1
    vim.gate.set()

    again = ShakyStore()
    again.store = type(store.store).from_image(images[-1])
    async with an_engine(vim, again) as engine:
        await engine.restore()
        await rested(engine)
        await asyncio.sleep(60)
        assert deployment_of(engine).state is ServiceState.ACTIVE


async def test_after_a_close_nothing_is_taken_any_more(vim, store):
    async with an_engine(vim, store) as engine:
        await engine.apply(Edit(changes=(TENANT_CHANGE,)))
        await rested(engine)
    record = engine.record(TENANT)

    engine.tell(TENANT, Woken())
    await asyncio.sleep(1)

    assert engine.record(TENANT) is record


class SilentVim(WatchedVim):
    """Each create ends without an answer when the test lets it."""

    def __init__(self) -> None:
        super().__init__()
        self.ends: list[asyncio.Event] = []

    async def ensure_server(self, key, want, ports):
        self.asked["ensure_server"] += 1
        end = asyncio.Event()
        self.ends.append(end)
        await end.wait()
        raise VimUnknown("nobody answered")


async def test_a_create_whose_answer_still_waits_to_be_read_is_not_sent_again(store):
    # given two creates under way, and the first one's end being stored
    vim = SilentVim()
    group = replace(SERVICE.groups[0], scaling=Scaling(min_active=2, max_active=2))
    two = replace(SERVICE, groups=(group,))
    async with an_engine(vim, store) as engine:
        await engine.apply(Edit(changes=(TENANT_CHANGE, Change(key=DEPLOYMENT, intent=two))))
        await asyncio.sleep(1)
        store.held.clear()
        vim.ends[0].set()
        await asyncio.sleep(0.1)

        # when the second ends meanwhile
        vim.ends[1].set()
        await asyncio.sleep(0.1)
        store.held.set()
        await asyncio.sleep(5)

        # then the VIM is looked at, but nothing is sent that could double a server
        assert vim.asked["ensure_server"] == 2
        assert vim.asked["find_server"] >= 2


async def test_a_deployment_whose_neighbours_are_there_begins_by_the_step_that_makes_it(
    engine, vim
):
    # given
    await engine.apply(Edit(changes=(TENANT_CHANGE,), entries=(ENTRY,)))
    await rested(engine)
    steps = engine.steps
    vim.gate.clear()
    # when
    await engine.apply(Edit(changes=(Change(key=DEPLOYMENT, intent=SERVICE),)))
    # then it waits for the VIM alone
    assert engine.steps == steps + 1
    assert engine.record(DEPLOYMENT).tenant.name == T
    vim.gate.set()
    await rested(engine)
    assert engine.record(DEPLOYMENT).state is ServiceState.ACTIVE


async def test_a_deployment_whose_neighbours_come_with_it_waits_for_them(engine, vim):
    vim.gate.clear()
    await engine.apply(DEPLOY)
    assert engine.record(DEPLOYMENT).tenant is None
