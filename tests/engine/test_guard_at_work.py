"""The guard in a whole engine: bursts are held, single losses are healed, turns are limited."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from esc_daemon.domain.connectors import connector_key
from esc_daemon.domain.events import EventType
from esc_daemon.domain.guard import Why
from esc_daemon.domain.ids import DeploymentName, Key, Kind, RecordId, ServerKey, VmGroupName
from esc_daemon.domain.intent import (
    Collector,
    Condition,
    Deployment,
    Interface,
    Kpi,
    RecoveryAction,
    RecoveryPolicy,
    Rule,
    RuleAction,
    RuleWhen,
    Scaling,
    Tenant,
    VmGroup,
)
from esc_daemon.domain.policy import GuardPolicy, Policy
from esc_daemon.domain.record import ConnectorRecord, RecoveryPhase
from esc_daemon.domain.specs import VimStatus
from esc_daemon.domain.states import ServiceState, VmState
from esc_daemon.engine.edit import Change, Edit
from esc_daemon.engine.engine import Engine
from tests.connectors import connector
from tests.engine.engine_bench import BEGAN, DEPLOYMENT, TENANT, VIM, T, deployment_of
from tests.engine.engine_world import ShakyStore, WatchedVim, an_engine

pytestmark = pytest.mark.looptime(start=0, end=36_000)

POLL = 15
LIFE = Kpi(
    event_name="VM_ALIVE",
    threshold="1",
    condition=Condition.GT,
    collector=Collector(type="ICMPPing", poll_seconds=POLL),
)
RULE = Rule(
    event_name="VM_ALIVE",
    actions=(
        RuleAction(when=RuleWhen.TRUE, name="servicebooted.sh"),
        RuleAction(when=RuleWhen.FALSE, name="recover autohealing"),
    ),
)
MANY = 8
HEALED = (EventType.VM_RECOVERY_INIT, EventType.VM_RECOVERY_COMPLETE)


def deployment(vms: int, poll: int = POLL, key: Key = DEPLOYMENT, retries: int = 3) -> Edit:
    group = VmGroup(
        name=VmGroupName("g"),
        image="i",
        flavor="f",
        interfaces=(Interface(nicid=0, network="n"),),
        bootup_time=120,
        kpis=(replace(LIFE, collector=replace(LIFE.collector, poll_seconds=poll)),),
        rules=(RULE,),
        scaling=Scaling(min_active=vms, max_active=vms),
        recovery=RecoveryPolicy(action=RecoveryAction.REBOOT_ONLY, max_retries=retries),
    )
    intent = Deployment(name=DeploymentName(key.name), groups=(group,))
    return Edit(changes=(Change(key=TENANT, intent=Tenant(name=T)), Change(key=key, intent=intent)))


class Lab:
    """An engine with *vms* VMs that are alive."""

    def __init__(self, engine: Engine, vim: WatchedVim) -> None:
        self.engine = engine
        self.vim = vim
        self.listener = engine.broadcast.listen()

    async def filled(self, vms: int, poll: int = POLL, retries: int = 3) -> "Lab":
        await self.engine.apply(deployment(vms, poll, retries=retries))
        await asyncio.sleep(3 * POLL)
        assert deployment_of(self.engine).state is ServiceState.ACTIVE
        await self.told()
        return self

    @property
    def vms(self):
        return list(deployment_of(self.engine).vms.values())

    def silence(self, *indices: int) -> None:
        for index in indices:
            vm = self.vms[index]
            self.vim.cloud.silence(ServerKey(vm.id, vm.generation))

    def wake(self, *indices: int) -> None:
        for index in indices:
            vm = self.vms[index]
            self.vim.cloud.wake(ServerKey(vm.id, vm.generation))

    async def told(self) -> list[EventType]:
        return [logged.event.type for logged in await self.listener.batch()]

    async def nothing_told(self) -> bool:
        try:
            async with asyncio.timeout(0.1):
                await self.listener.batch()
        except TimeoutError:
            return True
        return False

    def held(self) -> int:
        return sum(
            vm.recovery is not None and vm.recovery.phase is RecoveryPhase.HELD for vm in self.vms
        )


def policy(**guard) -> Policy:
    return Policy(guard=replace(GuardPolicy(), **guard))


async def test_a_single_loss_among_few_is_healed_at_once():
    async with an_engine(vim := WatchedVim(), ShakyStore()) as engine:
        # given
        lab = await Lab(engine, vim).filled(3)
        # when
        lab.silence(0)
        await asyncio.sleep(POLL + 0.1)
        # then
        assert (await lab.told())[0] == EventType.VM_RECOVERY_INIT


async def test_a_single_loss_among_many_is_healed_after_its_window():
    async with an_engine(vim := WatchedVim(), ShakyStore()) as engine:
        # given
        lab = await Lab(engine, vim).filled(MANY)
        # when
        lab.silence(3)
        await asyncio.sleep(POLL)
        # then
        assert lab.held() == 1
        assert await lab.nothing_told()
        await asyncio.sleep(4 * POLL)
        assert tuple((await lab.told())[::2]) == HEALED


async def test_of_a_burst_none_is_touched_and_life_ends_it_without_a_trace():
    async with an_engine(vim := WatchedVim(), ShakyStore()) as engine:
        # given
        lab = await Lab(engine, vim).filled(MANY)
        # when
        lab.silence(*range(MANY))
        await asyncio.sleep(10 * POLL)
        # then
        assert lab.held() == engine.guard.figures().held == MANY
        assert engine.guard.figures().holds == {"share": 1}
        assert await lab.nothing_told()
        assert all(vm.state is VmState.ALIVE for vm in lab.vms)
        # and when
        lab.wake(*range(MANY))
        await asyncio.sleep(3 * POLL)
        # then
        assert lab.held() == engine.guard.figures().waiting == 0
        assert engine.guard.holds() == {}
        assert await lab.nothing_told()
        assert "set_power" not in {verb for _, verb, *_ in engine.vim_durations()}


async def test_who_was_counted_alive_just_before_the_burst_is_lost_all_the_same():
    """The window of a poll a second is over before the VMs are counted again."""
    async with an_engine(vim := WatchedVim(), ShakyStore()) as engine:
        # given
        lab = await Lab(engine, vim).filled(2 * MANY, poll=1)
        # when
        lab.silence(*range(MANY + 2))
        await asyncio.sleep(POLL)
        # then
        assert lab.held() == MANY + 2
        assert await lab.nothing_told()


async def test_a_burst_is_healed_once_the_time_of_the_guard_is_over():
    short = policy(longest=timedelta(seconds=120))
    async with an_engine(vim := WatchedVim(), ShakyStore(), short) as engine:
        # given
        lab = await Lab(engine, vim).filled(MANY)
        # when
        lab.silence(*range(MANY))
        await asyncio.sleep(110)
        assert await lab.nothing_told()
        await asyncio.sleep(4 * POLL)
        # then
        told = await lab.told()
        assert [told.count(kind) for kind in HEALED] == [MANY, MANY]
        assert engine.guard.figures().under_way == 0


async def test_a_burst_is_healed_once_it_is_released():
    async with an_engine(vim := WatchedVim(), ShakyStore()) as engine:
        # given
        lab = await Lab(engine, vim).filled(MANY)
        lab.silence(*range(MANY))
        await asyncio.sleep(60)
        # when
        assert engine.guard.release(None) == MANY
        await asyncio.sleep(60)
        # then
        told = await lab.told()
        assert [told.count(kind) for kind in HEALED] == [MANY, MANY]


async def test_recoveries_are_limited_and_every_one_has_its_turn():
    limited = policy(on=False, per_host=1, per_vim=3)
    async with an_engine(vim := WatchedVim(), ShakyStore(), limited) as engine:
        # given
        lab = await Lab(engine, vim).filled(MANY)
        # when
        lab.silence(*range(MANY))
        most = 0
        for _ in range(300):
            await asyncio.sleep(0.5)
            figures = engine.guard.figures()
            most = max(most, figures.under_way)
            under_way = [vm.hostname for vm in lab.vms if vm.state is VmState.REBOOTING]
            assert all(under_way.count(host) <= 1 for host in under_way)
        # then
        assert most == 3
        told = await lab.told()
        assert [told.count(kind) for kind in HEALED] == [MANY, MANY]
        figures = engine.guard.figures()
        assert (figures.under_way, figures.waiting) == (0, 0)


async def test_a_recovery_without_an_end_leaves_the_others_their_turns():
    # given: two that no reboot helps, and room for two
    limited = policy(on=False, per_vim=2)
    async with an_engine(vim := WatchedVim(), ShakyStore(), limited) as engine:
        lab = await Lab(engine, vim).filled(MANY, retries=-1)
        most = 0

        async def goes_on(seconds: int) -> None:
            nonlocal most
            for _ in range(2 * seconds):
                lab.silence(0, 1)
                await asyncio.sleep(0.5)
                most = max(most, engine.guard.figures().under_way)

        await goes_on(600)
        await lab.told()
        # when
        lab.silence(*range(2, MANY))
        await goes_on(MANY * 300)
        # then
        assert [vm.recovery is None for vm in lab.vms] == [False, False, *[True] * (MANY - 2)]
        assert (await lab.told()).count(EventType.VM_RECOVERY_COMPLETE) == MANY - 2
        assert most == 2
        # and they go on themselves
        rounds = [vm.recovery.rounds for vm in lab.vms[:2]]
        await goes_on(600)
        assert all(vm.recovery.rounds > before for vm, before in zip(lab.vms, rounds, strict=False))


async def test_who_comes_back_before_its_turn_is_dropped():
    limited = policy(on=False, per_vim=1)
    async with an_engine(vim := WatchedVim(), ShakyStore(), limited) as engine:
        # given
        lab = await Lab(engine, vim).filled(MANY)
        vim.gate.clear()
        # when
        lab.silence(0, 1)
        await asyncio.sleep(POLL + 0.2)
        assert (await lab.told()).count(EventType.VM_RECOVERY_INIT) == 1
        (waiting,) = [n for n, vm in enumerate(lab.vms) if vm.state is VmState.ALIVE][:1]
        lab.wake(0, 1)
        await asyncio.sleep(POLL)
        # then
        assert engine.guard.figures().waiting == 0
        assert lab.vms[waiting].recovery is None
        vim.gate.set()


def goes_away(engine: Engine) -> ConnectorRecord:
    """Let the VIM be unusable from now on, and return what its connector is then."""
    key = connector_key(VIM)
    id_ = RecordId("00000000-0000-4000-8000-00000000c0de")
    away = ConnectorRecord(
        key=key, id=id_, intent=connector(VIM), status=VimStatus.CONNECTION_FAILED
    )
    engine._boxes.put(key, away)
    return away


async def test_what_a_deployment_waits_for_is_logged_once_when_it_is_held_and_since_when():
    async with an_engine(vim := WatchedVim(), ShakyStore()) as engine:
        # given: one that never boots, in a VIM that dies
        lab = Lab(engine, vim)
        await engine.apply(deployment(1))
        await asyncio.sleep(0.5)
        lab.silence(0)
        goes_away(engine)
        # when
        with capture_logs() as lines:
            await asyncio.sleep(3600)
        # then
        assert deployment_of(engine).state is ServiceState.INERT
        [vm] = lab.vms
        assert vm.recovery is not None
        [line] = [each for each in lines if each["event"] == "recovery.held"]
        assert (line["vm"], line["deployment"], line["vim"]) == (vm.name, DEPLOYMENT.name, VIM)
        assert (line["why"], line["awaited_by"]) == ("vim", "it is being deployed")
        assert line["since"] == vm.recovery.began.isoformat()


async def test_of_a_vm_that_nothing_waits_for_the_hold_alone_is_logged():
    async with an_engine(vim := WatchedVim(), ShakyStore()) as engine:
        # given
        lab = await Lab(engine, vim).filled(2)
        goes_away(engine)
        # when
        with capture_logs() as lines:
            lab.silence(0)
            await asyncio.sleep(600)
        # then
        names = [each["event"] for each in lines]
        assert (names.count("guard.holds"), names.count("recovery.held")) == (1, 0)


async def test_nothing_is_healed_while_the_vim_cannot_be_used():
    async with an_engine(vim := WatchedVim(), ShakyStore()) as engine:
        # given
        lab = await Lab(engine, vim).filled(2)
        away = goes_away(engine)
        # when
        lab.silence(0)
        await asyncio.sleep(600)
        # then
        assert {scope.why for scope in engine.guard.holds()} == {Why.VIM}
        assert await lab.nothing_told()
        # and when it is there again
        engine._boxes.put(away.key, replace(away, status=VimStatus.CONNECTION_SUCCESSFUL))
        await asyncio.sleep(2 * POLL)
        # then
        assert (await lab.told())[0] == EventType.VM_RECOVERY_INIT


@pytest.mark.parametrize("sight", ["gone", "there", "broken"])
async def test_nothing_is_healed_while_no_check_address_answers(sight: str):
    seen = {"gone": False, "there": True, "broken": True}
    looks = []

    async def reachable() -> bool:
        looks.append(sight)
        await asyncio.sleep(1)
        if sight == "broken":
            raise OSError("no socket")
        return seen[sight]

    async with an_engine(vim := WatchedVim(), ShakyStore(), reachable=reachable) as engine:
        # given: nobody looks as long as nobody is lost
        lab = await Lab(engine, vim).filled(2)
        assert looks == []
        # when
        lab.silence(0)
        await asyncio.sleep(POLL + 1.2)
        # then: what cannot be measured says nothing
        assert looks
        if sight != "gone":
            assert (await lab.told())[0] == EventType.VM_RECOVERY_INIT
            return
        await asyncio.sleep(200)
        assert await lab.nothing_told()
        assert {scope.why for scope in engine.guard.holds()} == {Why.ADDRESSES}
        # and when it answers again
        seen["gone"] = True
        await asyncio.sleep(2 * POLL)
        assert (await lab.told())[0] == EventType.VM_RECOVERY_INIT


async def test_a_restart_holds_what_was_held():
    store, vim = ShakyStore(), WatchedVim()
    async with an_engine(vim, store, close=False) as engine:
        lab = await Lab(engine, vim).filled(MANY)
        lab.silence(*range(MANY))
        await asyncio.sleep(100)
    # when
    async with an_engine(vim, store) as engine:
        lab = Lab(engine, vim)
        await engine.restore()
        await asyncio.sleep(100)
        # then
        assert lab.held() == engine.guard.figures().held == MANY
        assert await lab.nothing_told()
        assert engine.guard.figures().holds == {"share": 1}


@pytest.mark.parametrize("back", [True, False])
async def test_who_came_back_while_nobody_ran_is_not_recovered(back):
    # given: one among few is held, since the manager sees nothing
    async def dark() -> bool:
        return False

    store, vim = ShakyStore(), WatchedVim()
    async with an_engine(vim, store, reachable=dark, close=False) as engine:
        lab = await Lab(engine, vim).filled(1)
        lab.silence(0)
        await asyncio.sleep(100)
        assert lab.held() == 1
        if back:
            lab.wake(0)
    # when
    async with an_engine(vim, store, began=BEGAN + timedelta(hours=1)) as engine:
        lab = Lab(engine, vim)
        await engine.restore()
        await asyncio.sleep(0.1)
        assert lab.held() == 1
        await asyncio.sleep(100)
        # then
        assert lab.held() == 0
        assert (lab.vms[0].history.rebooted is None) is back


async def test_a_restart_keeps_to_the_limits():
    # given: one VM is rebooted, and one of another deployment waits for its turn
    limited, other = policy(on=False, per_vim=1), Key(Kind.DEPLOYMENT, T, "e")
    store, vim = ShakyStore(), WatchedVim()
    async with an_engine(vim, store, limited, close=False) as engine:
        await Lab(engine, vim).filled(1)
        await engine.apply(deployment(1, key=other))
        await asyncio.sleep(3 * POLL)
        vim.gate.clear()
        for key in (DEPLOYMENT, other):
            (vm,) = deployment_of(engine, key).vms.values()
            vim.cloud.silence(ServerKey(vm.id, vm.generation))
        await asyncio.sleep(POLL + 5)
        assert (engine.guard.figures().under_way, engine.guard.figures().waiting) == (1, 1)
    # when
    async with an_engine(vim, store, limited) as engine:
        await engine.restore()
        for _ in range(5):
            await asyncio.sleep(0.1)
            # then
            assert (engine.guard.figures().under_way, engine.guard.figures().waiting) == (1, 1)
        vim.gate.set()
