"""The wait for life ends with the bootup_time, whatever becomes of the KPI that speaks for it."""

import asyncio
from datetime import timedelta

import pytest

from esc_daemon.domain.events import EventStatus, EventType
from esc_daemon.domain.ids import DeploymentName, ServerKey, VmGroupName
from esc_daemon.domain.intent import (
    Collector,
    Condition,
    Deployment,
    Interface,
    Kpi,
    RecoveryAction,
    RecoveryPolicy,
    Tenant,
    VmGroup,
)
from esc_daemon.domain.states import ServiceState
from esc_daemon.engine.edit import Change, Edit
from esc_daemon.monitor.base import Choice, CollectorError, Question, Sample, Select, question_of
from esc_daemon.monitor.catalogue import Catalogue
from esc_daemon.monitor.measured import Measured
from tests.engine.engine_bench import BEGAN, DEPLOYMENT, TENANT, T, deployment_of
from tests.engine.engine_world import ShakyStore, WatchedVim, an_engine

pytestmark = pytest.mark.looptime(start=0, end=3600)

BOOTUP_TIME = 120
LIFE = Kpi(
    event_name="VM_ALIVE",
    threshold="1",
    condition=Condition.GT,
    collector=Collector(type="ICMPPing", poll_seconds=3, continuous_alarm=True),
)
SERVICE = Deployment(
    name=DeploymentName("d"),
    groups=(
        VmGroup(
            name=VmGroupName("g"),
            image="i",
            flavor="f",
            interfaces=(Interface(nicid=0, network="n"),),
            bootup_time=BOOTUP_TIME,
            kpis=(LIFE,),
            recovery=RecoveryPolicy(action=RecoveryAction.REDEPLOY_ONLY, max_retries=0),
        ),
    ),
)
DEPLOY = Edit(
    changes=(
        Change(key=TENANT, intent=Tenant(name=T)),
        Change(key=DEPLOYMENT, intent=SERVICE),
    )
)


class Hangs:
    at_a_time = 1

    async def sample(self, question: Question) -> Sample:
        await asyncio.Event().wait()
        raise AssertionError


class Breaks:
    at_a_time = 1

    async def sample(self, question: Question) -> Sample:
        raise CollectorError("no privilege")


def by(collector: Hangs | Breaks) -> Select:
    return lambda target, kpi: Choice(collector=collector, question=question_of(target, kpi, None))


WITHOUT_LIFE = {
    "hangs": by(Hangs()),
    "breaks": by(Breaks()),
    "nobody": lambda *_: None,
    "no collector": Measured(Catalogue(), {}, lambda _: True).choice,
    "no metric": Measured(Catalogue([]), {}, lambda _: True).choice,
}


@pytest.mark.parametrize("measuring", WITHOUT_LIFE.values(), ids=WITHOUT_LIFE)
async def test_a_kpi_of_life_that_nothing_comes_of_is_waited_for_no_longer(measuring: Select):
    # given
    async with an_engine(WatchedVim(), ShakyStore(), collectors=measuring) as engine:
        listener = engine.broadcast.listen()
        # when
        await engine.apply(DEPLOY)
        await asyncio.sleep(BOOTUP_TIME - 1)
        before = deployment_of(engine).state
        await asyncio.sleep(30)
        # then
        assert before is ServiceState.INERT
        assert deployment_of(engine).state is ServiceState.ERROR
        last = [logged.event for logged in await listener.batch()][-1]
        assert (last.type, last.status) == (EventType.SERVICE_ALIVE, EventStatus.FAILURE)
        assert f"bootup_time of {BOOTUP_TIME} s" in last.message


async def test_life_at_every_poll_is_told_once():
    # given: continuous_alarm, of a guest of the simulator
    async with an_engine(WatchedVim(), ShakyStore()) as engine:
        listener = engine.broadcast.listen()
        # when
        await engine.apply(DEPLOY)
        await asyncio.sleep(2 * BOOTUP_TIME)
        # then
        assert deployment_of(engine).state is ServiceState.ACTIVE
        told = [logged.event.type for logged in await listener.batch()]
        assert told.count(EventType.VM_ALIVE) == told.count(EventType.SERVICE_ALIVE) == 1


async def test_a_guest_that_came_up_while_nobody_ran_is_asked_before_its_time_is_over():
    # given: it is silent when the daemon dies
    vim, store = WatchedVim(), ShakyStore()
    async with an_engine(vim, store, close=False) as engine:
        await engine.apply(DEPLOY)
        await asyncio.sleep(0.1)
        (vm,) = deployment_of(engine).vms.values()
        server = ServerKey(vm.id, vm.generation)
        vim.cloud.silence(server)
        await asyncio.sleep(4)
        assert deployment_of(engine).state is ServiceState.INERT
    # when: the bootup_time is long over
    vim.cloud.wake(server)
    later = BEGAN + timedelta(seconds=2 * BOOTUP_TIME)
    async with an_engine(vim, store, began=later) as engine:
        await engine.restore()
        await asyncio.sleep(BOOTUP_TIME)
        # then
        assert deployment_of(engine).state is ServiceState.ACTIVE
        (vm,) = deployment_of(engine).vms.values()
        assert vm.history.recovered is None
