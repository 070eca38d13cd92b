"""Connectors in a running engine: what follows them, what they stop, and who waits for whom."""

import asyncio
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from esc_daemon.domain.errors import Node, Refused
from esc_daemon.domain.ids import DEFAULT_VIM, NO_VIM, Key, TenantName
from esc_daemon.domain.intent import (
    DefaultVimConnector,
    Tenant,
    VimUser,
)
from esc_daemon.domain.record import Record
from esc_daemon.domain.specs import VimStatus
from esc_daemon.domain.states import ResourceState, ServiceState
from esc_daemon.domain.step import Step
from esc_daemon.engine.connectors import ConnectorGuard
from esc_daemon.engine.edit import Change
from esc_daemon.engine.vims import Vims
from esc_daemon.vim.base import VimUnreachable
from tests.connectors import records_of
from tests.engine.connector_bench import (
    LAB,
    LAB_KEY,
    MOON,
    MOON_KEY,
    ONE_LAB,
    TENANT_CHANGE,
    Type,
    an_engine,
    configuring,
    connected,
    deploying,
    edit,
    refused,
    status,
    told,
)
from tests.engine.engine_bench import BEGAN, DEPLOYMENT, TENANT, deployment_of, resource_of
from tests.engine.engine_world import CALL_TIMEOUT, ShakyStore

pytestmark = pytest.mark.looptime(start=0, end=7200)


@pytest.fixture
def type_():
    return Type()


@pytest.fixture
async def store():
    return ShakyStore()


# ------------------------------------------------------------------ the first start


async def test_the_first_start_configures_its_connector_and_tells_nothing(type_, store):
    async with connected(type_, store) as engine:
        assert status(engine, LAB) is VimStatus.CONNECTION_SUCCESSFUL
        assert type_.last(LAB).checks == 1
        assert engine.broadcast.last == 0


async def test_a_first_check_that_fails_is_told(type_, store):
    type_.found[LAB] = VimStatus.CONNECTION_FAILED
    async with connected(type_, store) as engine:
        assert await told(store) == ["VIM_OPERATIONAL_STATE FAILURE"]
        assert status(engine, LAB) is VimStatus.CONNECTION_FAILED


async def test_a_connector_that_was_deleted_does_not_come_back(type_, store):
    async with connected(type_, store) as engine:
        gone = (Change(key=LAB_KEY, intent=None), Change(key=DEFAULT_VIM, intent=None))
        await engine.apply(edit(*gone))

    async with connected(type_, store) as engine:
        assert engine.record(LAB_KEY) is None


async def test_a_database_of_before_there_were_connectors_gets_one_before_it_acts(type_, store):
    # given a tenant on its way whose row names no VIM
    async with connected(type_, store) as engine:
        type_.last(LAB).gate.clear()
        await engine.apply(edit(TENANT_CHANGE))
        await asyncio.sleep(0.1)
        waiting = resource_of(engine)
    old = ShakyStore()
    row = replace(waiting, vim=NO_VIM, revision=1)
    await old.store.commit([Step(key=TENANT, before=None, record=row)], time=BEGAN)

    # when the daemon starts
    async with connected(type_, old) as engine:
        await asyncio.sleep(200)

        # then it goes on in the first connector
        assert resource_of(engine).state is ResourceState.ACTIVE
        assert status(engine, LAB) is VimStatus.CONNECTION_SUCCESSFUL


# ------------------------------------------------------------------ rulings 13 and 14


@pytest.mark.parametrize("order", [1, -1])
async def test_connector_and_deployment_may_come_in_one_edit(type_, store, order):
    async with connected(type_, store) as engine:
        changes = (configuring(MOON), TENANT_CHANGE, deploying(MOON))

        await engine.apply(edit(*changes[::order]))
        await asyncio.sleep(5)

        assert deployment_of(engine).state is ServiceState.ACTIVE
        (vm,) = deployment_of(engine).vms.values()
        assert vm.vim == MOON


async def test_a_new_default_counts_for_what_comes_with_it(type_, store):
    async with connected(type_, store) as engine:
        default = Change(key=DEFAULT_VIM, intent=DefaultVimConnector(vim_id=MOON))

        await engine.apply(edit(TENANT_CHANGE, default, configuring(MOON)))

        assert resource_of(engine).vim == MOON


async def test_what_fails_is_made_no_use_of_until_it_works_again(type_, store):
    async with connected(type_, store) as engine:
        await engine.apply(edit(TENANT_CHANGE, deploying()))
        await asyncio.sleep(5)
        type_.last(LAB).status = VimStatus.AUTHENTICATION_FAILED
        await asyncio.sleep(60)

        other = Change(key=TENANT._replace(name="u"), intent=Tenant(name=TenantName("u")))
        refusal = await refused(engine, other)

        assert refusal.key == other.key
        assert "VIM authentication failed" in refusal.text
        await engine.apply(edit(Change(key=DEPLOYMENT, intent=None)))  # always taken
        type_.last(LAB).status = VimStatus.CONNECTION_SUCCESSFUL
        await asyncio.sleep(10)
        await engine.apply(edit(other))
        assert [e for e in await told(store) if e.startswith("VIM_OP")] == [
            "VIM_OPERATIONAL_STATE FAILURE",
            "VIM_OPERATIONAL_STATE SUCCESS",
        ]


async def test_a_login_that_is_mended_is_believed_at_once(type_, store):
    type_.found[LAB] = VimStatus.AUTHENTICATION_FAILED
    async with connected(type_, store) as engine:
        await refused(engine, TENANT_CHANGE)
        type_.found[LAB] = VimStatus.CONNECTION_SUCCESSFUL

        await engine.apply(edit(TENANT_CHANGE, configuring(LAB, users=(VimUser(name="u"),))))
        await asyncio.sleep(1)

        assert resource_of(engine).state is ResourceState.ACTIVE


async def test_an_unknown_connector_is_told_by_the_deployment_that_names_it(type_, store):
    async with connected(type_, store) as engine:
        refusal = await refused(engine, TENANT_CHANGE, deploying("mars"))

        assert refusal.key == DEPLOYMENT
        assert "mars (there are: lab)" in refusal.text
        engine_saw = [record.key for record in engine.records()]
        assert TENANT not in engine_saw


async def test_a_test_only_edit_is_judged_alike(type_, store):
    async with connected(type_, store) as engine:
        engine.check(edit(configuring(MOON), deploying(MOON)))
        with pytest.raises(Refused):
            engine.check(edit(deploying(MOON)))


# ------------------------------------------------------------------ types and properties


async def test_a_type_that_there_is_not_is_refused_with_those_that_there_are(type_, store):
    async with connected(type_, store) as engine:
        refusal = await refused(engine, configuring(MOON, type="AWS"))

        assert (refusal.tag, refusal.key) == ("invalid-value", MOON_KEY)
        assert [node.name for node in refusal.below] == ["type"]
        assert refusal.text == "there is no type AWS of VIM connectors (there are: SIMULATOR)"


async def test_a_property_that_is_wrong_is_refused_at_its_place(type_, store):
    async with connected(type_, store) as engine:
        refusal = await refused(engine, configuring(MOON, properties=(("colour", "blue"),)))

        assert refusal.below == (Node("properties"), Node("property", "colour"), Node("value"))


async def test_a_stored_connector_that_its_type_takes_no_more_does_not_stop_the_start(store):
    async with connected(Type(), store) as engine:
        await engine.apply(edit(TENANT_CHANGE))
        await asyncio.sleep(1)

    with capture_logs() as logs:
        async with an_engine({"OTHER": Type()}, store) as engine:
            await engine.restore(lambda: ONE_LAB)
            await asyncio.sleep(1)
            assert status(engine, LAB) is VimStatus.CONNECTION_FAILED
            await engine.apply(edit(Change(key=TENANT, intent=None)))
            await asyncio.sleep(1)
            assert "there is no type SIMULATOR" in resource_of(engine).attempt.error

    assert "vim.connector_unusable" in [line["event"] for line in logs]


async def test_a_connector_without_the_user_that_it_needs_is_asked_nothing(store):
    type_ = Type(needs_users=True)
    async with connected(type_, store) as engine:
        assert status(engine, LAB) is VimStatus.NO_CREDENTIALS
        assert LAB not in type_.made

        await engine.apply(edit(configuring(LAB, users=(VimUser(name="u"),))))
        await asyncio.sleep(1)

        assert status(engine, LAB) is VimStatus.CONNECTION_SUCCESSFUL


async def test_a_type_that_breaks_costs_its_own_connector_only(type_, store):
    async with connected(type_, store) as engine:
        type_.found = None  # making a driver breaks

        with capture_logs() as logs:
            await engine.apply(edit(configuring(MOON), TENANT_CHANGE))
            await asyncio.sleep(1)

        assert "vim.connector_broke" in [line["event"] for line in logs]
        assert status(engine, MOON) is VimStatus.CONNECTION_FAILED
        assert resource_of(engine).state is ResourceState.ACTIVE


# ------------------------------------------------------------------ drivers follow


async def test_a_change_gives_a_new_driver_and_the_old_one_ends_with_its_last_call(type_, store):
    async with connected(type_, store) as engine:
        old = type_.last(LAB)
        old.gate.clear()
        await engine.apply(edit(TENANT_CHANGE))
        await asyncio.sleep(0.1)

        await engine.apply(edit(configuring(LAB, properties=(("a", "b"),))))
        await asyncio.sleep(0.1)
        new = type_.last(LAB)
        assert new is not old
        assert not old.closed
        old.gate.set()
        await asyncio.sleep(0.1)

        assert old.closed
        assert not new.closed
        assert resource_of(engine).state is ResourceState.ACTIVE


async def test_a_driver_ends_with_its_connector(type_, store):
    async with connected(type_, store) as engine:
        await engine.apply(edit(configuring(MOON)))
        await asyncio.sleep(0.1)

        await engine.apply(edit(Change(key=MOON_KEY, intent=None)))
        await asyncio.sleep(0.1)

        assert type_.last(MOON).closed
        assert engine.connectors() == [engine.record(LAB_KEY)]


async def test_what_is_in_use_stays_with_the_path_of_its_connector(type_, store):
    async with connected(type_, store) as engine:
        await engine.apply(edit(TENANT_CHANGE))

        gone = (Change(key=LAB_KEY, intent=None), Change(key=DEFAULT_VIM, intent=None))
        refusal = await refused(engine, *gone)

        assert (refusal.tag, refusal.key) == ("in-use", LAB_KEY)
        assert not type_.last(LAB).closed


async def test_what_goes_at_once_may_go_together_with_its_connector(type_, store):
    async with connected(type_, store) as engine:
        await engine.apply(edit(configuring(MOON)))
        type_.last(LAB).breaks = VimUnreachable("no")
        await engine.apply(edit(TENANT_CHANGE, deploying(MOON)))  # waits for its tenant
        await asyncio.sleep(0.1)

        gone = (Change(key=DEPLOYMENT, intent=None), Change(key=MOON_KEY, intent=None))
        await engine.apply(edit(*gone))

        assert engine.record(MOON_KEY) is None


class Counted:
    """No records, and how often they were looked through."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self):
        self.times += 1
        return ()


A_DEFAULT = Change(key=DEFAULT_VIM, intent=DefaultVimConnector(vim_id=MOON))
USERS = (VimUser(name="u", credentials=(("os_password", "new"),)),)


@pytest.mark.parametrize(
    ("changes", "times"),
    [
        ((configuring(LAB, users=USERS),), 0),
        ((configuring(MOON),), 0),
        ((Change(key=DEFAULT_VIM, intent=None),), 0),
        ((configuring(LAB, type="OTHER"),), 1),
        ((configuring(MOON), A_DEFAULT), 1),
        ((Change(key=LAB_KEY, intent=None), Change(key=DEFAULT_VIM, intent=None)), 1),
        ((Change(key=LAB_KEY, intent=None), configuring(MOON), A_DEFAULT), 1),
    ],
    ids=["login", "one-more", "still-the-only-one", "type", "default", "delete", "replace"],
)
async def test_records_are_looked_through_only_for_what_might_cut_them_off(type_, changes, times):
    # given: one connector, which is the default
    vims = Vims({"SIMULATOR": type_, "OTHER": type_}, call_timeout=CALL_TIMEOUT)
    records = Counted()
    guard = ConnectorGuard(vims, dict[Key, Record]().get, records, lambda *_: None)
    guard.take(records_of(LAB))
    # when
    guard.check(edit(*changes), {})
    # then
    assert records.times == times
    await vims.close()


# ------------------------------------------------------------------ who waits for whom


async def test_a_connector_does_not_go_while_a_deployment_is_placed_in_it(type_, store):
    async with connected(type_, store) as engine:
        await engine.apply(edit(configuring(MOON), TENANT_CHANGE))
        await asyncio.sleep(1)
        store.held.clear()

        placing = asyncio.create_task(engine.apply(edit(deploying(MOON))))
        await asyncio.sleep(0.1)
        going = asyncio.create_task(refused(engine, Change(key=MOON_KEY, intent=None)))
        await asyncio.sleep(0.1)
        store.held.set()

        await placing
        assert (await going).tag == "in-use"


async def test_a_deployment_is_not_placed_in_a_connector_that_goes(type_, store):
    async with connected(type_, store) as engine:
        await engine.apply(edit(configuring(MOON), TENANT_CHANGE))
        await asyncio.sleep(1)
        store.held.clear()

        going = asyncio.create_task(engine.apply(edit(Change(key=MOON_KEY, intent=None))))
        await asyncio.sleep(0.1)
        placing = asyncio.create_task(refused(engine, deploying(MOON)))
        await asyncio.sleep(0.1)
        store.held.set()

        await going
        assert "there is no VIM connector moon" in (await placing).text
