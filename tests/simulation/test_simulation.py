"""Some seeds of the simulation, each a run of its own; `make simulate` does many more."""

import logging
import os
import subprocess
import sys
from random import Random

import pytest
import structlog

from tests.simulation.breaks import BREAKS, noticed
from tests.simulation.living import lively
from tests.simulation.loop import Deadlock, SimulationLoop
from tests.simulation.papers import as_sent
from tests.simulation.requests import any_edit
from tests.simulation.scripts import Scripts
from tests.simulation.volumes import stored
from tests.simulation.world import World

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


@pytest.mark.parametrize("it", BREAKS, ids=lambda it: f"{it.name}-{it.text}")
@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_simulation_notices_what_is_left_undone(it):
    """It begins at a seed that shows it, so that not all before are run."""
    assert noticed(it, range(it.first, it.first + 300)) is not None


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
    scripts = Scripts(random)
    scripts.some = True

    for edit in (stored(lively(any_edit((), random), random), random) for _ in range(40)):
        drawn = scripts.hooked(edit)
        assert as_sent(drawn) == drawn


def test_a_wait_that_nobody_will_end_is_noticed():
    loop = SimulationLoop(0)

    with pytest.raises(Deadlock):
        loop.run_until_complete(loop.create_future())
    loop.close()
