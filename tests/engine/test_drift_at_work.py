"""Looks at a VIM in a whole engine: what was done there behind our back is found and treated."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import count

import pytest
from structlog.testing import capture_logs

from esc_daemon.domain.events import EventType
from esc_daemon.domain.ids import ServerKey, VmId
from esc_daemon.domain.policy import GuardPolicy, Policy
from esc_daemon.domain.specs import Power, Server, ServerSpec, ServerStatus, VimStatus
from esc_daemon.domain.states import VmState
from esc_daemon.engine.drift import SPARE
from esc_daemon.vim.base import VimUnknown, VimUnreachable
from tests.connectors import records_of
from tests.engine.engine_bench import DEPLOYMENT, VIM
from tests.engine.engine_world import ShakyStore, WatchedVim, an_engine
from tests.engine.test_guard_at_work import Lab, deployment

pytestmark = pytest.mark.looptime(start=0, end=36_000)

LOOK = 5
"""Sooner than any KPI notices."""
POLICY = Policy(drift_pause=timedelta(seconds=LOOK), guard=GuardPolicy(on=False))
STRANGER = ServerKey(VmId("00000000-0000-4000-8000-00000000beef"), 1)


class LookedAt(WatchedVim):
    """The VIM, whose list may be stale, break, hang or lie."""

    def __init__(self) -> None:
        super().__init__()
        self.listed: Iterable[Server] | None = None
        self.cut_at: int | None = None
        self.lists = 0

    async def servers(self) -> AsyncIterator[Server]:
        self.lists += 1
        if self.listed is not None:
            for server in self.listed:
                yield server
            return
        number = 0
        async for server in super().servers():
            if self.cut_at == number:
                raise VimUnreachable("the VIM does not answer")
            number += 1
            yield server


async def a_lab(engine, vim, vms: int = 3, **group) -> Lab:
    lab = Lab(engine, vim)
    for record in records_of(VIM):
        engine._boxes.put(record.key, record)
    await engine.apply(deployment(vms))
    await asyncio.sleep(60)
    await lab.told()
    engine._drifts.start(engine._task)
    return lab


def key_of(lab: Lab, index: int = 0) -> ServerKey:
    vm = lab.vms[index]
    return ServerKey(vm.id, vm.generation)


def vanish(lab: Lab, index: int = 0) -> None:
    row = lab.vim.cloud.servers.row(key_of(lab, index))
    lab.vim.by_hand(lambda _: lab.vim.cloud.vanish(row.id))


def shut_off(lab: Lab, index: int = 0) -> None:
    key = key_of(lab, index)
    lab.vim.by_hand(lambda now: lab.vim.cloud.servers.set_power(key, Power.OFF, now))


async def test_a_server_that_was_deleted_is_found_before_its_kpi_notices():
    async with an_engine(vim := LookedAt(), ShakyStore(), POLICY) as engine:
        # given: REBOOT_ONLY, which cannot help
        lab = await a_lab(engine, vim)
        # when
        vanish(lab)
        with capture_logs() as lines:
            await asyncio.sleep(LOOK + 1)
        # then
        told = await lab.told()
        assert told == [EventType.VM_RECOVERY_INIT, EventType.VM_RECOVERY_COMPLETE]
        found = [line for line in lines if line["event"] == "drift.found"]
        assert [(line["drift"], line["deployment"]) for line in found] == [("gone", "d")]


async def test_a_server_that_was_shut_off_is_rebooted():
    async with an_engine(vim := LookedAt(), ShakyStore(), POLICY) as engine:
        # given
        lab = await a_lab(engine, vim)
        # when
        shut_off(lab)
        await asyncio.sleep(LOOK + 1)
        assert engine.figures().drifted == {"gone": 0, "off": 1, "started": 0, "unknown": 0}
        await asyncio.sleep(60)
        # then
        told = await lab.told()
        assert told[0] == EventType.VM_RECOVERY_INIT
        assert told[-1] == EventType.VM_RECOVERY_COMPLETE
        assert lab.vms[0].state is VmState.ALIVE
        assert sum(engine.figures().drifted.values()) == 0


async def test_a_stale_list_is_not_believed():
    async with an_engine(vim := LookedAt(), ShakyStore(), POLICY) as engine:
        # given
        lab = await a_lab(engine, vim)
        # when
        vim.listed = []
        await asyncio.sleep(10 * LOOK)
        # then: each was asked for, and is there
        assert vim.asked["find_server"] >= 3
        assert await lab.nothing_told()


@pytest.mark.parametrize("trouble", ["cut", "silent", "breaks", "nobody knows", "unreachable"])
async def test_a_vim_that_does_not_answer_has_said_nothing(trouble: str):
    async with an_engine(vim := LookedAt(), ShakyStore(), POLICY) as engine:
        # given
        lab = await a_lab(engine, vim)
        vanish(lab)
        # when
        if trouble == "cut":
            vim.cut_at = 1
        elif trouble == "silent":
            vim.gate.clear()
        elif trouble == "breaks":
            vim.listed = [None]
        elif trouble == "nobody knows":
            vim.breaks = VimUnknown("a proxy's error page")
        else:
            (away,) = (each for each in engine.connectors())
            engine._boxes.put(away.key, replace(away, status=VimStatus.CONNECTION_FAILED))
        await asyncio.sleep(2 * LOOK)
        # then
        assert await lab.nothing_told()
        assert vim.lists >= 1 or trouble == "unreachable"


async def test_most_of_a_vim_gone_at_once_is_not_believed():
    careful = replace(POLICY, guard=GuardPolicy())
    async with an_engine(vim := LookedAt(), ShakyStore(), careful) as engine:
        # given
        lab = await a_lab(engine, vim, 8)
        # when
        with capture_logs() as lines:
            for index in range(8):
                vanish(lab, index)
            await asyncio.sleep(2 * LOOK)
        # then
        assert await lab.nothing_told()
        refused = [line for line in lines if line["event"] == "drift.not_believed"]
        assert {(line["suspects"], line["of"]) for line in refused} == {(8, 8)}


async def test_servers_that_no_record_knows_are_counted_and_left_alone():
    async with an_engine(vim := LookedAt(), ShakyStore(), POLICY) as engine:
        # given
        lab = await a_lab(engine, vim)
        spec = ServerSpec(name="stranger", project="", image="i", flavor="f")
        await vim.ensure_server(STRANGER, spec, ())
        # when
        with capture_logs() as lines:
            await asyncio.sleep(5 * LOOK)
        # then
        assert engine.figures().drifted["unknown"] == 1
        named = [line for line in lines if line["event"] == "drift.unknown_servers"]
        assert [(line["servers"], line["first"]) for line in named] == [(1, f"{STRANGER.vm} 1")]
        assert (await vim.find_server(STRANGER)).status is ServerStatus.ACTIVE
        assert await lab.nothing_told()
        # and when it is gone
        await vim.remove_server(STRANGER)
        await asyncio.sleep(2 * LOOK)
        assert engine.figures().drifted["unknown"] == 0


def a_server(vm: str, generation: int = 1) -> Server:
    status = ServerStatus.ACTIVE
    key = ServerKey(VmId(vm), generation)
    return Server(key=key, server_id="s", name="n", project="p", status=status)


@pytest.mark.parametrize("step", [0, 1], ids=["the same again", "ever another one"])
async def test_a_list_that_does_not_end_is_not_read_on(step: int):
    def endless() -> Iterator[Server]:
        for number in count():
            yield a_server(f"vm-{number * step}")

    async with an_engine(vim := LookedAt(), ShakyStore(), POLICY) as engine:
        # given
        lab = await a_lab(engine, vim)
        vanish(lab)
        # when
        vim.listed = endless()
        with capture_logs() as lines:
            await asyncio.sleep(LOOK + 1)
        # then: nothing was said; the next look is a new one
        said = [line["error"] for line in lines if line["event"] == "drift.not_looked"]
        assert said == [f"the VIM's list of servers does not end: more than {SPARE + 6}"]
        assert await lab.nothing_told()
        vim.listed = None
        await asyncio.sleep(LOOK)
        assert await lab.told()


@pytest.mark.parametrize("strange", [a_server("v" * 65), a_server("v", 2**64), a_server("v", -1)])
async def test_a_list_of_what_cannot_be_servers_is_not_believed(strange: Server):
    async with an_engine(vim := LookedAt(), ShakyStore(), POLICY) as engine:
        # given
        lab = await a_lab(engine, vim)
        vanish(lab)
        # when
        vim.listed = [strange]
        with capture_logs() as lines:
            await asyncio.sleep(LOOK + 1)
        # then
        (said,) = [line["error"] for line in lines if line["event"] == "drift.not_looked"]
        assert said == "the VIM's list of servers names what cannot be a server of ours"
        assert await lab.nothing_told()


async def test_nobody_looks_where_the_policy_says_never():
    never = replace(POLICY, drift_pause=timedelta(0))
    async with an_engine(vim := LookedAt(), ShakyStore(), never) as engine:
        await a_lab(engine, vim)
        await asyncio.sleep(600)
        assert vim.lists == 0
        assert engine.record(DEPLOYMENT) is not None
