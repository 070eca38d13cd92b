"""VMs that move while they are recovered: what is under way in their old VIM, and for how long."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from esc_daemon.domain.ids import ServerKey, VimId
from esc_daemon.domain.intent import Deployment, RecoveryAction, RecoveryPolicy
from esc_daemon.domain.record import RecoveryPhase, VmRecord
from esc_daemon.domain.requests import RecoveryVmAction
from esc_daemon.domain.specs import VimStatus
from esc_daemon.domain.states import ServiceState, VmState
from esc_daemon.domain.triggers import ServerDrifted
from esc_daemon.engine.edit import Change
from esc_daemon.engine.engine import Engine
from esc_daemon.vim.simulator.faults import Fault, Rule, Verb
from tests.engine.connector_bench import (
    LAB,
    MOON,
    TENANT_CHANGE,
    Type,
    an_engine,
    configuring,
    connected,
    deploying,
    edit,
    refused,
    told,
)
from tests.engine.engine_bench import DEPLOYMENT, deployment_of
from tests.engine.engine_world import CALL_TIMEOUT, ShakyStore

pytestmark = pytest.mark.looptime(start=0, end=200_000)

LONG = 6 * 3600
REBOOT = "VM_RECOVERY_REBOOT FAILURE"
REMOVED = "VM_RECOVERY_UNDEPLOYED"
UNDER_WAY = {
    Verb.SET_POWER: (RecoveryAction.REBOOT_ONLY, [REBOOT]),
    Verb.REMOVE_SERVER: (RecoveryAction.REDEPLOY_ONLY, [f"{REMOVED} FAILURE"]),
    Verb.ENSURE_SERVER: (
        RecoveryAction.REDEPLOY_ONLY,
        [f"{REMOVED} SUCCESS", "VM_RECOVERY_DEPLOYED FAILURE"],
    ),
}
"""What a recovery asks of its VIM, by which policy, and what is told when that is broken off."""
ENDED = ["VM_RECOVERY_COMPLETE FAILURE", "SERVICE_UPDATING_STATE SUCCESS"]
MOVED = ["VM_UPDATED SUCCESS", "SERVICE_UPDATED SUCCESS"]


@pytest.fixture
def type_():
    return Type()


@pytest.fixture
async def store():
    return ShakyStore()


def healing(action: RecoveryAction, vim: str = "", **more: Any) -> Change:
    """Return the deployment, whose VM is recovered without end, in *vim*."""
    change = deploying(vim)
    assert isinstance(change.intent, Deployment)
    [group] = change.intent.groups
    policy = RecoveryPolicy(action=action, max_retries=-1)
    group = replace(group, recovery=policy, **more)
    return replace(change, intent=replace(change.intent, groups=(group,)))


def the_vm(engine: Engine) -> VmRecord:
    [vm] = deployment_of(engine).vms.values()
    return vm


async def of_the_vm(store: ShakyStore) -> list[str]:
    return [each for each in await told(store) if not each.startswith("VIM_")]


async def servers(type_: Type, vim: VimId) -> list[ServerKey]:
    return [server.key async for server in type_.last(vim).servers()]


def meets(type_: Type, fault: Fault, verb: Verb) -> None:
    type_.last(LAB).cloud.faults.replace((Rule(fault=fault, verb=verb),))


def dies(type_: Type) -> None:
    type_.last(LAB).status = VimStatus.CONNECTION_FAILED
    type_.last(LAB).cloud.faults.replace((Rule(fault=Fault.UNREACHABLE),))


async def recovered(engine: Engine, type_: Type, verb: Verb) -> None:
    """Let the VM be recovered, and *verb* hang in its VIM."""
    action, _ = UNDER_WAY[verb]
    await engine.apply(edit(TENANT_CHANGE, healing(action), configuring(MOON)))
    await asyncio.sleep(5)
    assert deployment_of(engine).state is ServiceState.ACTIVE
    meets(type_, Fault.HANG, verb)
    await engine.operate(RecoveryVmAction(vm_name=the_vm(engine).name))
    await asyncio.sleep(5)


async def test_a_recovery_that_never_ends_is_ended_by_a_move_alone(type_, store):
    async with connected(type_, store) as engine:
        # given: its VIM, which can be used, makes no server any more
        redeploys = RecoveryAction.REDEPLOY_ONLY
        await engine.apply(edit(TENANT_CHANGE, healing(redeploys), configuring(MOON)))
        await asyncio.sleep(5)
        meets(type_, Fault.REFUSE, Verb.ENSURE_SERVER)
        await engine.operate(RecoveryVmAction(vm_name=the_vm(engine).name))
        await asyncio.sleep(2 * 3600)
        # then: any other update is refused
        assert the_vm(engine).recovery is not None
        refusal = await refused(engine, healing(redeploys, flavor="large"))
        assert refusal.tag == "in-use"
        # and when
        await engine.apply(edit(healing(redeploys, MOON)))
        await asyncio.sleep(120)
        # then
        assert (the_vm(engine).vim, the_vm(engine).state) == (MOON, VmState.MONITOR_UNSET)
        assert (await of_the_vm(store))[-4:] == [*ENDED, *MOVED]


@pytest.mark.parametrize("verb", UNDER_WAY)
async def test_a_call_that_hangs_is_neither_doubled_nor_lost(type_, store, verb):
    async with connected(type_, store) as engine:
        # given
        await recovered(engine, type_, verb)
        before = the_vm(engine)
        # when
        await engine.apply(edit(healing(UNDER_WAY[verb][0], MOON)))
        await asyncio.sleep(1)
        # then: its VIM is asked for nothing more before it has answered
        events = ["VM_RECOVERY_INIT SUCCESS", *UNDER_WAY[verb][1], *ENDED]
        assert (await of_the_vm(store))[-len(events) :] == events
        assert the_vm(engine).state is VmState.UNDEPLOYING
        assert await servers(type_, MOON) == []
        # and
        type_.last(LAB).cloud.faults.replace(())
        await asyncio.sleep(CALL_TIMEOUT + 180)
        assert (await of_the_vm(store))[-2:] == MOVED
        assert await servers(type_, LAB) == []
        assert await servers(type_, MOON) == [ServerKey(before.id, before.generation + 1)]


@pytest.mark.parametrize("verb", UNDER_WAY)
async def test_it_moves_out_of_a_vim_that_died_and_leaves_a_leftover(type_, store, verb):
    async with connected(type_, store) as engine:
        # given
        await recovered(engine, type_, verb)
        generation = the_vm(engine).generation
        dies(type_)
        # when
        await engine.apply(edit(healing(UNDER_WAY[verb][0], MOON)))
        await asyncio.sleep(1500)
        # then
        assert await servers(type_, MOON) == [ServerKey(the_vm(engine).id, generation + 1)]
        assert (await of_the_vm(store))[-4:] == [*ENDED, *MOVED]
        [left] = deployment_of(engine).leftovers
        assert (left.vm.vim, left.vm.generation) == (LAB, generation)
        # and when
        type_.last(LAB).status = VimStatus.CONNECTION_SUCCESSFUL
        type_.last(LAB).cloud.faults.replace(())
        await asyncio.sleep(30)
        # then
        assert await servers(type_, LAB) == []
        assert not deployment_of(engine).leftovers


@pytest.mark.parametrize("verb", UNDER_WAY)
async def test_a_restart_in_the_middle_of_it_goes_on(type_, store, verb):
    # given
    async with connected(type_, store) as engine:
        await recovered(engine, type_, verb)
        await engine.apply(edit(healing(UNDER_WAY[verb][0], MOON)))
        await asyncio.sleep(1)
        clouds = {vim: type_.last(vim).cloud for vim in (LAB, MOON)}
    # when
    type_.clouds = clouds
    clouds[LAB].faults.replace(())
    async with an_engine({"SIMULATOR": type_}, store) as engine:
        await engine.restore()
        await asyncio.sleep(300)
        # then
        assert (await of_the_vm(store))[-2:] == MOVED
        assert await servers(type_, LAB) == []
        assert [key.vm for key in await servers(type_, MOON)] == [the_vm(engine).id]


async def test_what_is_held_while_its_vim_is_dead_is_held_for_as_long_and_moves(type_, store):
    async with connected(type_, store) as engine:
        # given
        await engine.apply(edit(TENANT_CHANGE, deploying(), configuring(MOON)))
        await asyncio.sleep(5)
        dies(type_)
        await asyncio.sleep(120)
        gone = ServerDrifted(key=ServerKey(the_vm(engine).id, 1), status=None)
        engine.tell(DEPLOYMENT, gone)
        await asyncio.sleep(LONG)
        assert the_vm(engine).recovery.phase is RecoveryPhase.HELD
        # when
        await engine.apply(edit(deploying(MOON)))
        await asyncio.sleep(1500)
        # then
        assert the_vm(engine).vim == MOON
        assert (await of_the_vm(store))[-3:] == [ENDED[-1], *MOVED]
