"""Some seeds of the simulation, each a run of its own; `make simulate` does many more."""

import logging
import os
import subprocess
import sys
from copy import copy
from dataclasses import replace
from datetime import timedelta
from random import Random

import pytest
import structlog

from esc_daemon.domain import kpi, plan
from esc_daemon.domain.advance import (
    deploy,
    life,
    operate,
    resource,
    settling,
    undeploy,
)
from esc_daemon.domain.step import Step
from esc_daemon.engine import connectors
from esc_daemon.engine.boxes import Boxes
from esc_daemon.engine.performer import Performer
from esc_daemon.monitor.monitor import Monitor
from esc_daemon.northbound.configuration import Configuration
from tests.simulation import world
from tests.simulation.living import lively
from tests.simulation.loop import Deadlock, SimulationLoop
from tests.simulation.network import LossyVim
from tests.simulation.papers import as_sent
from tests.simulation.requests import any_edit
from tests.simulation.world import Broken, World

SEEDS_A_TEST = 20


@pytest.fixture(autouse=True)
def _quiet():
    """Say nothing: the lines of thousands of lives cost more than the lives."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.configure(**before)


def run_all(seeds):
    for seed in seeds:
        World(seed).run()


@pytest.mark.parametrize("first", range(0, 120, SEEDS_A_TEST))
@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_whatever_dies_or_gets_lost_every_edit_reaches_its_goal_and_nothing_is_left(first):
    run_all(range(first, first + SEEDS_A_TEST))


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_seed_replays_exactly():
    first, second = World(8), World(8)

    first.run()
    second.run()

    assert first.events
    assert first.events == second.events
    assert first.loop.steps == second.loop.steps


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_simulation_notices_when_a_create_is_not_waited_for(monkeypatch):
    """The invariants can fail: without the settling time a late create doubles a server."""
    monkeypatch.setattr(world, "POLICY", replace(world.POLICY, settle=timedelta(0)))

    with pytest.raises(Broken):
        run_all(range(300))


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_simulation_notices_when_a_group_does_not_wait_for_its_turn(monkeypatch):
    monkeypatch.setattr(deploy, "turns", lambda record: {})

    with pytest.raises(Broken, match="out of order"):
        run_all(range(300))


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_simulation_notices_when_a_connector_in_use_goes(monkeypatch):
    monkeypatch.setattr(connectors, "check_connectors", lambda *_: None)

    with pytest.raises(Broken):
        run_all(range(300))


async def nothing(*_):
    return None


def nobody(*_):
    return None


def at_any_time(goer, removal, now):
    return plan._when(goer.attempt, removal, now)


def forgotten(record):
    """Let the next incarnation go untold."""
    return Step(key=record.key, before=record, record=replace(record, successor=None))


async def confirmed_until_the_next_start(configuration, user):
    """Forget in the store that it was confirmed."""
    await configuration._editing.take(configuration.candidate.pending, user)
    configuration._trial = None
    Configuration._wake_at(configuration, None)


def at_the_first(observe):
    """Let one sample be enough."""
    return lambda counter, kpi, value, **more: observe(
        counter, replace(kpi, occurrences_true=1, occurrences_false=1), value, **more
    )


def with_alarms(observe, *, every):
    """Let every poll be told, or only changes, whatever was asked for."""
    return lambda counter, kpi, value, **more: observe(
        counter,
        replace(kpi, collector=replace(kpi.collector, continuous_alarm=every)),
        value,
        **more,
    )


def unguarded(monitor, probe):
    return monitor._select(probe.target, probe.kpi)


def written_anyhow(advance):
    def advanced(*given):
        step = advance(*given)
        return step if step.moved else replace(step, record=copy(step.record))

    return advanced


def untold(record, vm, event, now):
    """Tell of no switch."""
    return settling.settled(record, settling.with_vm(record, vm), (), now)


def as_before(record, *_):
    return Step(key=record.key, before=record, record=record)


@pytest.mark.parametrize(
    ("owner", "name", "broken", "text", "first"),
    [
        (LossyVim, "remove_ports", nothing, "left behind in", 0),
        (Boxes, "unused", nobody, "mailboxes of records that are no more", 0),
        (plan, "_when_sure", at_any_time, "asked without a pause", 18),
        (undeploy, "_without_successor", forgotten, "its end was not told", 5),
        (LossyVim, "remove_subnet", nothing, "left behind in", 22),
        (LossyVim, "remove_tenant", nothing, "left behind in", 0),
        (undeploy, "leftovers_due", as_before, "was not tried again", 55),
        (resource, "_leftover_told", as_before, "was forgotten and is there again", 2),
        (kpi, "observe", at_the_first(kpi.observe), "told before it was so often enough", 3),
        (kpi, "observe", with_alarms(kpi.observe, every=False), "was not told", 3),
        (kpi, "observe", with_alarms(kpi.observe, every=True), "told again", 0),
        (Performer, "_crossed", nobody, "after it had been told alive", 2),
        (Monitor, "_choice", unguarded, "hardly ever asked", 2),
        (life, "kpi_crossed", written_anyhow(life.kpi_crossed), "was written unchanged", 0),
        (Configuration, "_take_back", nothing, "was on trial and is not taken back", 6),
        (Configuration, "take_back", nothing, "after a start .* is none of", 9),
        (Configuration, "_confirm", confirmed_until_the_next_start, "is none of", 9),
        (Configuration, "_check_not_on_trial", nobody, "is none of|by others", 187),
        (Configuration, "_wake_at", nobody, "on trial for ever|is not taken back", 34),
        (operate, "_told", untold, "began . times and ended", 0),
        (settling, "first_error", nobody, "it is active with VMs", 2),
    ],
)
@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_simulation_notices_what_is_left_undone(monkeypatch, owner, name, broken, text, first):
    """*first* is a seed that shows it, so that not all before it are run."""
    monkeypatch.setattr(owner, name, broken)

    with pytest.raises(Broken, match=text):
        run_all(range(first, first + 300))


def test_a_seed_replays_in_another_process_whatever_its_hashes_are():
    """Sets of strings iterate in another order there: nothing may depend on that."""

    def told(hash_seed: str) -> str:
        command = [sys.executable, "-m", "tests.simulation.campaign", "--digest"]
        seeds = ["--start", "40", "--seeds", "10"]
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        done = subprocess.run(
            [*command, *seeds], env=environment, capture_output=True, text=True, check=True
        )
        return done.stdout.splitlines()[0]

    assert told("1") == told("2")


def test_what_a_seed_draws_is_what_the_domain_reads_of_its_xml():
    random = Random("papers")

    for edit in (lively(any_edit((), random), random) for _ in range(40)):
        assert as_sent(edit) == edit


def test_a_wait_that_nobody_will_end_is_noticed():
    loop = SimulationLoop(0)

    with pytest.raises(Deadlock):
        loop.run_until_complete(loop.create_future())
    loop.close()
