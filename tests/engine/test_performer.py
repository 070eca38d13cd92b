"""From commands to calls: what is kept, what is dropped, what is let finish."""

import asyncio
from dataclasses import replace

import pytest
import structlog

from esc_daemon.domain.commands import (
    Await,
    AwaitServer,
    CheckVim,
    EnsureResource,
    EnsureServer,
    Permit,
    RemoveResource,
    RemoveServer,
    Until,
    Watch,
)
from esc_daemon.domain.connectors import Connectors, connector_key
from esc_daemon.domain.ids import ServerKey, VimId, VmId
from esc_daemon.domain.intent import Rule, RuleAction, RuleWhen, Tenant
from esc_daemon.domain.policy import GuardPolicy
from esc_daemon.domain.specs import Server, ServerSpec, ServerStatus
from esc_daemon.domain.states import ResourceState
from esc_daemon.domain.triggers import (
    CallFailed,
    KpiCrossed,
    RecoveryPermitted,
    ResourceGone,
    ResourceMade,
    ResourcesReady,
    ServerGone,
    VimDoubted,
)
from esc_daemon.engine.boxes import Boxes
from esc_daemon.engine.guard import Guard
from esc_daemon.engine.neighbours import Neighbours
from esc_daemon.engine.performer import Performer
from esc_daemon.engine.uploads import Uploads
from esc_daemon.vim.base import VimRefused, VimUnanswered, VimUnknown, VimUnreachable
from tests.connectors import connector, vims_of
from tests.dayzero.shelf import Shelf
from tests.engine.engine_bench import (
    BEGAN,
    DEPLOYMENT,
    NETWORK,
    SERVER,
    TENANT,
    VIM,
    T,
    a_resource,
    record_id,
)
from tests.engine.engine_world import CALL_TIMEOUT, WatchedVim, WatchfulMonitor
from tests.told_hooks import ToldHooks

pytestmark = pytest.mark.looptime(start=0, end=3600)

ID = record_id(1)
MAKE = EnsureResource(vim=VIM, key=TENANT, id=ID, want=Tenant(name=T))
REMOVE = RemoveResource(vim=VIM, key=TENANT, id=ID, made=Tenant(name=T))
LOOK = AwaitServer(vim=VIM, key=SERVER, name="a-vm")
MAKE_SERVER = EnsureServer(
    vim=VIM, key=SERVER, spec=ServerSpec(name="s", project="p", image=None, flavor=None)
)
REMOVE_SERVER = RemoveServer(vim=VIM, key=SERVER)
WAIT = Await(until=Until.READY, waiter=ID, neighbours=((NETWORK, None),))
WATCH = Watch(vim=VIM, server=SERVER, server_id="s", addresses=(), kpis=(), name="a-vm")


class Bench:
    def __init__(self) -> None:
        self.vim = WatchedVim()
        self.vims = vims_of({VIM: self.vim}, call_timeout=CALL_TIMEOUT)
        self.vims.follow(Connectors(intents={VIM: connector(VIM)}))
        self.told = []
        self.hooks = ToldHooks(good=0, bad=1)
        self.records = {}
        self.neighbours = Neighbours(self.records.get, lambda _: (), lambda *_: (), self._tell)
        self.guard = Guard(GuardPolicy(), Boxes(), lambda: BEGAN, self._permit, asyncio.create_task)
        self.performer = Performer(
            vims=self.vims,
            monitor=self._monitor,
            neighbours=self.neighbours,
            guard=self.guard,
            day_zero=Shelf(),
            hooks=self.hooks,
            uploads=Uploads(),
            tell=self._tell,
        )

    def _monitor(self, crossed):
        self.monitor = WatchfulMonitor(crossed)
        return self.monitor

    def _tell(self, key, trigger) -> None:
        self.told.append((key, trigger))

    def _permit(self, key, trigger) -> None:
        self.performer.permitted(key, trigger.server.vm)
        self._tell(key, trigger)

    def ensure(self, *commands, key=TENANT) -> None:
        self.performer.ensure(key, commands)


@pytest.fixture
async def bench():
    bench = Bench()
    yield bench
    bench.vim.gate.set()
    await bench.performer.close()
    await bench.vim.close()


async def settled() -> None:
    """Let everything that is ready run."""
    await asyncio.sleep(0.01)


async def test_a_call_answers_with_one_trigger_and_is_over(bench):
    bench.ensure(MAKE)
    assert bench.performer.in_flight == 1

    await settled()

    ((key, trigger),) = bench.told
    assert key == TENANT
    assert isinstance(trigger, ResourceMade)
    assert trigger.id == ID
    assert bench.performer.in_flight == 0


async def test_a_command_that_still_stands_is_not_started_again(bench):
    bench.vim.gate.clear()
    bench.ensure(MAKE)
    await settled()

    bench.ensure(MAKE)
    bench.vim.gate.set()
    await settled()

    assert bench.vim.asked["ensure_tenant"] == 1
    assert len(bench.told) == 1


async def test_a_call_that_may_have_taken_effect_is_let_finish_before_its_slot_is_used(bench):
    bench.vim.gate.clear()
    bench.ensure(MAKE)
    await settled()

    bench.ensure(REMOVE)
    await settled()
    assert bench.vim.asked["remove_tenant"] == 0
    bench.vim.gate.set()
    await settled()

    assert [type(trigger) for _, trigger in bench.told] == [ResourceMade]
    assert not bench.vim.cut_off
    bench.ensure(REMOVE)
    await settled()
    assert bench.told[1:] == [(TENANT, ResourceGone(id=ID))]


async def test_a_call_that_no_longer_stands_is_not_cut_off(bench):
    bench.vim.gate.clear()
    bench.ensure(MAKE)
    await settled()

    bench.ensure()
    bench.vim.gate.set()
    await settled()

    assert not bench.vim.cut_off
    assert len(bench.told) == 1


async def test_who_only_looks_is_dropped_at_once_and_answers_nothing(bench):
    bench.vim.gate.clear()
    bench.ensure(LOOK, key=DEPLOYMENT)
    await settled()

    bench.ensure(REMOVE_SERVER, key=DEPLOYMENT)
    await settled()

    assert bench.vim.cut_off["find_server"] == 1
    assert bench.told == [(DEPLOYMENT, ServerGone(key=SERVER))]


async def test_who_waits_for_neighbours_is_dropped_without_an_answer(bench):
    bench.records[NETWORK] = a_resource(NETWORK, ResourceState.CREATING)
    bench.ensure(WAIT, key=DEPLOYMENT)

    bench.ensure(key=DEPLOYMENT)
    bench.records[NETWORK] = a_resource(NETWORK, ResourceState.ACTIVE)
    bench.neighbours.changed(NETWORK)

    assert bench.told == []


async def test_a_wait_that_was_answered_may_be_asked_anew(bench):
    bench.records[NETWORK] = a_resource(NETWORK, ResourceState.ACTIVE)
    bench.ensure(WAIT, key=DEPLOYMENT)
    bench.performer.answered(DEPLOYMENT)

    bench.ensure(WAIT, key=DEPLOYMENT)

    assert [type(trigger) for _, trigger in bench.told] == [ResourcesReady] * 2


async def test_a_watch_is_armed_once_and_disarmed_when_it_no_longer_stands(bench):
    bench.ensure(WATCH, key=DEPLOYMENT)
    bench.ensure(WATCH, key=DEPLOYMENT)
    assert bench.monitor.armed == [WATCH]

    bench.ensure(key=DEPLOYMENT)

    assert len(bench.monitor) == 0
    assert bench.monitor.disarmed[-1] == SERVER.vm


async def test_a_crossing_is_told_to_the_record_whose_server_it_is(bench):
    bench.ensure(WATCH, key=DEPLOYMENT)

    bench.monitor.on_crossing(SERVER, "VM_ALIVE", True, "1")

    crossed = KpiCrossed(server=SERVER, event_name="VM_ALIVE", holds=True, value="1")
    assert bench.told == [(DEPLOYMENT, crossed)]


async def test_a_crossing_of_a_server_that_nobody_watches_is_told_to_nobody(bench):
    bench.ensure(WATCH, key=DEPLOYMENT)
    bench.ensure(key=DEPLOYMENT)

    bench.monitor.on_crossing(SERVER, "VM_ALIVE", True, "1")

    assert bench.told == []


@pytest.mark.parametrize(
    ("event_name", "action", "lines"),
    [
        ("LOAD", "log", [True, False]),
        ("LOAD", "LOG", [True, False]),
        ("LOAD", "other", []),
        ("VM_ALIVE", "log", []),
    ],
)
async def test_a_crossing_is_a_line_of_the_log_where_its_rule_says_so(
    bench, event_name, action, lines
):
    rule = Rule(
        event_name="LOAD",
        actions=(
            RuleAction(when=RuleWhen.ALWAYS, name=action),
            RuleAction(when=RuleWhen.ALWAYS, name=action),
        ),
    )
    bench.ensure(replace(WATCH, rules=(rule,)), key=DEPLOYMENT)

    with structlog.testing.capture_logs() as logs:
        bench.monitor.on_crossing(SERVER, event_name, True, "9" * 1000)
        bench.monitor.on_crossing(SERVER, event_name, False, "1")

    assert [log["holds"] for log in logs if log["event"] == "rule.log"] == lines
    if logs:
        assert (logs[0]["tenant"], logs[0]["deployment"]) == (DEPLOYMENT.tenant, DEPLOYMENT.name)
        assert (logs[0]["vm"], logs[0]["vm_id"], logs[0]["kpi"]) == ("a-vm", SERVER.vm, "LOAD")
        assert len(logs[0]["value"]) == 100


@pytest.mark.parametrize(
    ("error", "final", "reached", "text"),
    [
        (VimRefused("quota"), True, True, "quota"),
        (VimUnknown("502"), False, True, "502"),
        (VimUnreachable("refused"), False, False, "refused"),
        (
            ZeroDivisionError("a bug"),
            False,
            True,
            "internal error in the VIM driver: ZeroDivisionError",
        ),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_whatever_a_driver_raises_becomes_a_failure(bench, error, final, reached, text):
    bench.vim.breaks = error

    bench.ensure(MAKE)
    await settled()

    failed = CallFailed(subject=ID, removal=False, error=text, final=final, reached=reached)
    assert bench.told[-1] == (TENANT, failed)


@pytest.mark.parametrize("error", [VimUnreachable("refused"), VimUnanswered("reset")])
async def test_a_call_without_an_answer_makes_its_connector_doubt(bench, error):
    bench.vim.breaks = error

    bench.ensure(MAKE)
    await settled()

    assert bench.told[0] == (connector_key(VIM), VimDoubted())


async def test_a_call_that_failed_is_a_line_of_the_log(bench):
    bench.vim.breaks = VimUnreachable("connection refused")

    with structlog.testing.capture_logs() as lines:
        bench.performer.ensure(TENANT, {MAKE})
        await settled()

    (line,) = (line for line in lines if line["event"] == "vim.call_failed")
    assert (line["call"], line["vim"]) == ("EnsureResource", VIM)
    assert (line["kind"], line["tenant"], line["name"]) == ("tenant", None, T)
    assert (line["error"], line["refused"]) == ("connection refused", False)


async def test_calls_are_counted_by_connector_kind_and_result(bench):
    bench.ensure(MAKE)
    await settled()
    bench.vim.breaks = VimRefused("no")
    bench.ensure(MAKE)
    await settled()

    assert sorted(bench.vims.outcomes()) == [
        (VIM, "EnsureResource", "ok", 1),
        (VIM, "EnsureResource", "refused", 1),
    ]


async def test_a_call_about_a_server_that_failed_names_the_vm(bench):
    bench.vim.breaks = VimRefused("no")

    with structlog.testing.capture_logs() as lines:
        bench.ensure(LOOK, key=DEPLOYMENT)
        await settled()

    (line,) = (line for line in lines if line["event"] == "vim.call_failed")
    assert (line["vm"], line["vm_id"], line["generation"]) == ("a-vm", *SERVER)


async def test_a_call_without_an_answer_fails_after_its_time_and_may_have_taken_effect(bench):
    bench.vim.gate.clear()

    bench.ensure(REMOVE)
    await asyncio.sleep(CALL_TIMEOUT + 1)

    failed = CallFailed(subject=ID, removal=True, error="no answer within 30 s", reached=True)
    assert bench.told == [(connector_key(VIM), VimDoubted()), (TENANT, failed)]


async def test_a_look_that_failed_leaves_nothing_unknown_in_the_vim(bench):
    bench.vim.breaks = VimRefused("no")

    bench.ensure(LOOK, key=DEPLOYMENT)
    await settled()

    failed = CallFailed(subject=SERVER, removal=False, error="no", final=False, reached=False)
    assert bench.told == [(DEPLOYMENT, failed)]


@pytest.mark.parametrize(("call", "reached"), [(MAKE_SERVER, True), (LOOK, False)])
@pytest.mark.parametrize("status", [ServerStatus.BUILD, ServerStatus.ACTIVE])
@pytest.mark.parametrize("other", [ServerKey(VmId("another"), 1), ServerKey(SERVER.vm, 2)])
async def test_an_answer_about_another_server_is_none(bench, call, reached, status, other):
    bench.vim.always = Server(key=other, server_id="x", name="x", project="p", status=status)

    bench.ensure(call, key=DEPLOYMENT)
    await settled()

    text = "server vm: the VIM answered about another server"
    failed = CallFailed(subject=SERVER, removal=False, error=text, reached=reached)
    assert bench.told == [(DEPLOYMENT, failed)]


async def test_of_a_long_text_of_a_vim_the_beginning_is_kept(bench):
    bench.vim.breaks = VimRefused("no" * 1_500_000)

    bench.ensure(MAKE)
    await settled()

    assert bench.told[-1][1].error == "no" * 499 + "n…"


async def test_of_a_long_fault_of_a_server_the_beginning_is_kept(bench):
    error, fault = ServerStatus.ERROR, "no" * 1_500_000
    bench.vim.always = Server(
        key=SERVER, server_id="x", name="x", project="p", status=error, fault=fault
    )

    bench.ensure(LOOK, key=DEPLOYMENT)
    await settled()

    assert bench.told[-1][1].server.fault == "no" * 499 + "n…"


async def test_of_a_long_text_of_a_check_the_beginning_is_kept(bench):
    bench.vim.breaks = VimRefused("no" * 1_500_000)

    bench.ensure(CheckVim(vim=VIM, connector=connector(VIM)), key=connector_key(VIM))
    await settled()

    assert bench.told[-1][1].detail == "no" * 499 + "n…"


async def test_a_connector_that_there_is_not_refuses(bench):
    elsewhere = AwaitServer(vim=VimId("nowhere"), key=SERVER)

    bench.ensure(elsewhere, key=DEPLOYMENT)
    await settled()

    ((_, trigger),) = bench.told
    assert trigger.error == "there is no VIM connector nowhere (there are: sim)"


async def test_a_close_lets_calls_answer_and_starts_nothing_more(bench):
    bench.vim.gate.clear()
    bench.ensure(MAKE)
    await settled()
    closing = asyncio.create_task(bench.performer.close())
    await settled()

    bench.ensure(MAKE)
    bench.vim.gate.set()
    await closing

    assert bench.vim.asked["ensure_tenant"] == 1
    assert [type(trigger) for _, trigger in bench.told] == [ResourceMade]


async def test_a_close_cuts_off_what_does_not_answer(bench):
    bench.vim.gate.clear()
    bench.ensure(MAKE)
    await settled()

    async with asyncio.timeout(10):
        await bench.performer.close()

    assert bench.vim.cut_off["ensure_tenant"] == 1


PERMIT = Permit(vim=VIM, host="h", server=SERVER, since=BEGAN)


async def test_a_permit_is_asked_for_once_and_anew_after_its_answer(bench) -> None:
    # given
    bench.ensure(PERMIT, key=DEPLOYMENT)
    bench.ensure(PERMIT, key=DEPLOYMENT)
    await asyncio.sleep(1)
    assert bench.told == [(DEPLOYMENT, RecoveryPermitted(server=SERVER))]
    # when: the record did not use it
    bench.ensure(PERMIT, key=DEPLOYMENT)
    await asyncio.sleep(1)
    # then
    assert len(bench.told) == 2


async def test_a_permit_ends_with_what_asked_for_it(bench) -> None:
    # given
    bench.ensure(replace(PERMIT, begun=True), key=DEPLOYMENT)
    assert bench.guard.figures().under_way == 1
    # when
    bench.ensure(key=DEPLOYMENT)
    # then
    assert bench.guard.figures().under_way == 0
    await asyncio.sleep(1)
    assert bench.told == []
