"""Checks of VIM connectors: when, what they find, who is told why."""

import asyncio

import pytest
from structlog.testing import capture_logs

from esc_daemon.domain.errors import Refused
from esc_daemon.domain.events import Stream
from esc_daemon.domain.ids import TenantName
from esc_daemon.domain.intent import (
    Tenant,
)
from esc_daemon.domain.specs import VimStatus
from esc_daemon.engine.edit import Change
from esc_daemon.vim.base import VimUnanswered, VimUnknown, VimUnreachable
from tests.engine.connector_bench import (
    LAB,
    TENANT_CHANGE,
    Type,
    connected,
    edit,
    refused,
    status,
)
from tests.engine.engine_bench import TENANT
from tests.engine.engine_world import CALL_TIMEOUT, ShakyStore

pytestmark = pytest.mark.looptime(start=0, end=7200)

ANOTHER = Change(key=TENANT._replace(name="u"), intent=Tenant(name=TenantName("u")))


@pytest.fixture
def type_():
    return Type()


@pytest.fixture
async def store():
    return ShakyStore()


async def test_a_call_that_did_not_arrive_has_the_connector_checked_at_once(type_, store):
    async with connected(type_, store) as engine:
        vim = type_.last(LAB)
        vim.breaks, vim.status = VimUnreachable("connection refused"), VimStatus.CONNECTION_FAILED
        await asyncio.sleep(10)

        await engine.apply(edit(TENANT_CHANGE))
        await asyncio.sleep(0.5)

        assert status(engine, LAB) is VimStatus.CONNECTION_FAILED


async def test_calls_that_do_not_arrive_ask_for_no_more_than_a_check_a_second(type_, store):
    async with connected(type_, store) as engine:
        vim = type_.last(LAB)
        vim.breaks = VimUnreachable("connection refused")
        before = vim.checks
        tenants = [
            Change(key=TENANT._replace(name=f"t{n}"), intent=Tenant(name=TenantName(f"t{n}")))
            for n in range(50)
        ]

        await engine.apply(edit(*tenants))
        await asyncio.sleep(5)

        assert 2 <= vim.checks - before <= 6


@pytest.mark.parametrize(
    ("error", "checks"),
    [(VimUnanswered("the connection was lost"), 1), (VimUnknown("it is being deleted"), 0)],
    ids=["lost", "answered"],
)
async def test_a_call_that_lost_its_connection_has_the_connector_checked(
    type_, store, error, checks
):
    async with connected(type_, store) as engine:
        # given: a check that is ten seconds old
        await asyncio.sleep(10)
        vim = type_.last(LAB)
        vim.breaks = error
        before = vim.checks
        # when
        await engine.apply(edit(TENANT_CHANGE))
        await asyncio.sleep(0.1)
        # then
        assert vim.checks - before == checks


async def test_a_call_that_hangs_has_the_connector_checked_at_its_time_out(type_, store):
    async with connected(type_, store) as engine:
        # given
        vim = type_.last(LAB)
        vim.gate.clear()
        vim.status = VimStatus.CONNECTION_FAILED
        # when
        await engine.apply(edit(TENANT_CHANGE))
        await asyncio.sleep(CALL_TIMEOUT - 1)
        assert status(engine, LAB) is VimStatus.CONNECTION_SUCCESSFUL
        await asyncio.sleep(1.1)
        # then
        assert status(engine, LAB) is VimStatus.CONNECTION_FAILED


async def test_a_call_that_a_vim_answers_which_was_away_has_it_checked_at_once(type_, store):
    async with connected(type_, store) as engine:
        # given: a call that began before the VIM was found to be away
        vim = type_.last(LAB)
        await asyncio.sleep(50)
        vim.gate.clear()
        vim.status = VimStatus.CONNECTION_FAILED
        await engine.apply(edit(TENANT_CHANGE))
        await asyncio.sleep(10)
        await refused(engine, ANOTHER)
        await asyncio.sleep(3)
        assert status(engine, LAB) is VimStatus.CONNECTION_FAILED
        # when
        vim.status = VimStatus.CONNECTION_SUCCESSFUL
        vim.gate.set()
        await asyncio.sleep(0.1)
        # then
        assert status(engine, LAB) is VimStatus.CONNECTION_SUCCESSFUL
        await engine.apply(edit(ANOTHER))


async def test_an_edit_that_is_refused_for_a_vim_that_is_back_is_taken_the_next_time(type_, store):
    async with connected(type_, store) as engine:
        # given
        vim = type_.last(LAB)
        vim.status = VimStatus.CONNECTION_FAILED
        await asyncio.sleep(63)
        vim.status = VimStatus.CONNECTION_SUCCESSFUL
        # when
        await refused(engine, TENANT_CHANGE)
        await asyncio.sleep(0.1)
        # then
        await engine.apply(edit(TENANT_CHANGE))


@pytest.mark.parametrize("found", [VimStatus.CONNECTION_FAILED, None], ids=["fails", "hangs"])
async def test_refused_edits_ask_for_one_check_at_a_time_and_a_second(type_, store, found):
    async with connected(type_, store) as engine:
        # given
        vim = type_.last(LAB)
        vim.status = VimStatus.CONNECTION_FAILED
        await asyncio.sleep(63)
        vim.status = found
        before = vim.checks
        # when
        for _ in range(50):
            await refused(engine, TENANT_CHANGE)
            await asyncio.sleep(0.1)
        # then
        checks = vim.checks - before
        assert 4 <= checks <= 6 if found else checks == 1


async def test_a_check_without_an_answer_is_a_failure_that_holds_nobody_up(type_, store):
    type_.found[LAB] = None
    async with connected(type_, store) as engine:
        assert engine.at_rest
        await asyncio.sleep(CALL_TIMEOUT)

        (event,) = await store.store.events(after=0, limit=9, stream=Stream.ESC_EVENT)
        assert event.event.details == "no answer within 30 s"
        assert status(engine, LAB) is VimStatus.CONNECTION_FAILED
        await asyncio.sleep(10)  # the next one is under way
        began = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - began < 1


async def test_why_a_connector_is_down_is_logged_once_for_each_cause_and_named_in_a_refusal(
    type_, store
):
    async with connected(type_, store) as engine:
        vim = type_.last(LAB)
        vim.status, vim.why = VimStatus.CONNECTION_FAILED, "192.0.2.1: connection refused"
        with capture_logs() as logs:
            await asyncio.sleep(300)
            with pytest.raises(Refused) as refused:
                await engine.apply(edit(TENANT_CHANGE))
            vim.why = "192.0.2.1: time-out"
            await asyncio.sleep(300)

    told_ = "Unable to establish VIM connection: 192.0.2.1: connection refused"
    assert told_ in refused.value.text
    lines = [line for line in logs if line["event"] == "vim.check_failed"]
    assert [(line["log_level"], line["vim"], line["error"]) for line in lines] == [
        ("warning", LAB, told_),
        ("warning", LAB, "Unable to establish VIM connection: 192.0.2.1: time-out"),
    ]


async def test_a_driver_that_breaks_in_a_check_is_a_failure_too(type_, store):
    async with connected(type_, store) as engine:
        type_.last(LAB).check = None

        with capture_logs() as logs:
            await asyncio.sleep(60)

        assert status(engine, LAB) is VimStatus.CONNECTION_FAILED
        assert "vim.check_broke" in [line["event"] for line in logs]
