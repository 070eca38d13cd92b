"""Scripts as the performer runs them: beside all else of their record, or as a step of a call."""

import asyncio
from datetime import timedelta

import pytest
import structlog

from esc_daemon.domain.commands import RunScripts, UpdateServer
from esc_daemon.domain.ids import VmId
from esc_daemon.domain.specs import HookScript
from esc_daemon.domain.stages import Errand, Stage
from esc_daemon.domain.triggers import CallFailed, ScriptsRan, ServerGone, ServerUpdated
from esc_daemon.vim.base import VimUnknown
from tests.engine.engine_bench import BEGAN, DEPLOYMENT, SERVER, VIM
from tests.engine.test_performer import ID, MAKE_SERVER, REMOVE_SERVER, Bench, settled

pytestmark = pytest.mark.looptime(start=0, end=3600)


@pytest.fixture
async def bench():
    bench = Bench()
    yield bench
    await bench.performer.close()
    await bench.vim.close()


def scripts(*paths: str, vm: VmId | None = None) -> RunScripts:
    words = [HookScript(stage="LCS::DEPLOY_ERR", action="TELL", path=p, seconds=9) for p in paths]
    errand = Errand(stage=Stage.DEPLOY_ERR, scripts=tuple(words), came=BEGAN, vm=vm, name="a-vm")
    return RunScripts(runner=ID, errand=errand)


async def test_scripts_run_one_after_the_other_up_to_the_first_that_fails(bench):
    asked = scripts("good", "bad", "good")
    with structlog.testing.capture_logs() as logs:
        bench.ensure(asked, key=DEPLOYMENT)
        await asyncio.sleep(5)

    assert bench.told == [(DEPLOYMENT, ScriptsRan(runner=ID, errand=asked.errand))]
    assert [each.path for each in bench.hooks.ran] == ["good", "bad"]
    (line,) = [each for each in logs if each["event"] == "stage.script_failed"]
    assert line["log_level"] == "warning"
    assert "script TELL of LCS::DEPLOY_ERR: exit status 1" in line["error"]
    assert (line["deployment"], line["stage"]) == (DEPLOYMENT.name, "LCS::DEPLOY_ERR")


async def test_scripts_that_break_their_runner_are_told_to_have_ended(bench):
    async def breaks(_, begins=None):
        raise OSError

    bench.hooks.run = breaks
    asked = scripts("good")
    bench.ensure(asked, key=DEPLOYMENT)
    await settled()

    assert bench.told == [(DEPLOYMENT, ScriptsRan(runner=ID, errand=asked.errand))]


async def test_scripts_that_hang_hold_nothing_else_of_their_record_up(bench):
    bench.hooks.seconds = 8.0
    bench.ensure(scripts("good", vm=SERVER.vm), REMOVE_SERVER, key=DEPLOYMENT)
    await settled()

    ((_, trigger),) = bench.told
    assert isinstance(trigger, ServerGone)


async def test_scripts_that_nobody_wants_any_more_go_on_to_their_end(bench):
    bench.ensure(scripts("good"), key=DEPLOYMENT)
    await settled()
    bench.ensure(key=DEPLOYMENT)
    await asyncio.sleep(2)

    assert [each.path for each in bench.hooks.ran] == ["good"]
    assert bench.performer.in_flight == 0


async def test_scripts_whose_turn_has_not_come_are_forgotten_with_who_wanted_them(bench):
    bench.hooks.turns.clear()
    bench.ensure(scripts("good"), key=DEPLOYMENT)
    await settled()
    bench.ensure(key=DEPLOYMENT)
    bench.hooks.turns.set()
    await asyncio.sleep(2)

    assert bench.hooks.ran == []
    assert bench.performer.in_flight == 0


async def test_so_it_is_with_the_second_of_them_whose_first_has_run(bench):
    bench.ensure(scripts("good", "good"), key=DEPLOYMENT)
    await asyncio.sleep(0.5)
    bench.hooks.turns.clear()  # of the second
    await asyncio.sleep(1)
    bench.ensure(key=DEPLOYMENT)
    bench.hooks.turns.set()
    await asyncio.sleep(2)

    assert len(bench.hooks.ran) == 1


def an_update(path: str = "good") -> UpdateServer:
    script = HookScript(stage="stage", action="UP", path=path, seconds=900)
    return UpdateServer(vim=VIM, key=SERVER, spec=MAKE_SERVER.spec, before_detach=(script,))


async def made(bench) -> None:
    bench.ensure(MAKE_SERVER, key=DEPLOYMENT)
    await settled()
    bench.told.clear()


async def test_the_time_of_a_script_is_told_beside_the_failure_that_follows_it(bench):
    await made(bench)
    bench.hooks.seconds = 600.0
    bench.vim.breaks = VimUnknown("no answer")
    bench.ensure(an_update(), key=DEPLOYMENT)
    await asyncio.sleep(700)

    ((_, trigger),) = bench.told
    assert isinstance(trigger, CallFailed)
    assert trigger.waited == timedelta(seconds=600)


async def test_a_script_that_fails_before_the_vim_is_asked_leaves_nothing_unknown_there(bench):
    await made(bench)
    bench.ensure(an_update("bad"), key=DEPLOYMENT)
    await asyncio.sleep(2)

    ((_, trigger),) = bench.told
    assert isinstance(trigger, CallFailed)
    assert (trigger.final, trigger.reached) == (True, False)
    assert "exit status 1" in trigger.error


@pytest.mark.parametrize("at_once", [True, False])
async def test_a_vm_that_is_to_go_waits_for_no_script_of_its_update(bench, at_once):
    await made(bench)
    bench.hooks.seconds = 600.0
    bench.ensure(an_update(), key=DEPLOYMENT)
    await settled()
    if not at_once:  # the removal waits until nothing can turn up any more
        bench.ensure(key=DEPLOYMENT)
        assert bench.performer.in_flight == 0
    bench.ensure(REMOVE_SERVER, key=DEPLOYMENT)
    await asyncio.sleep(20)

    assert [type(trigger) for _, trigger in bench.told] == [ServerGone]
    assert bench.hooks.ran == []


async def test_an_update_that_asks_the_vim_is_not_cut_off_by_a_removal(bench):
    await made(bench)
    bench.vim.gate.clear()
    bench.ensure(an_update(), key=DEPLOYMENT)
    await asyncio.sleep(2)  # the script has ended
    bench.ensure(REMOVE_SERVER, key=DEPLOYMENT)
    await settled()
    assert bench.told == []

    bench.vim.gate.set()
    await settled()
    assert [type(trigger) for _, trigger in bench.told] == [ServerUpdated]


async def test_another_update_of_the_vm_waits_for_the_script_of_the_first(bench):
    await made(bench)
    bench.ensure(an_update(), key=DEPLOYMENT)
    await settled()
    bench.ensure(an_update("bad"), key=DEPLOYMENT)
    await asyncio.sleep(2)

    assert [each.path for each in bench.hooks.ran] == ["good"]


async def test_a_stop_waits_for_no_script_that_runs_again_anyway(bench):
    bench.hooks.seconds = 2.0  # less than a stop waits for calls
    bench.ensure(scripts("good"), key=DEPLOYMENT)
    await settled()
    await bench.performer.close()

    assert bench.hooks.ran == []
    assert bench.told == []
