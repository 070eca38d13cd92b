"""Some examples of what `machine.Model` may do; `make model` tries many more."""

import logging
import os

import pytest
import structlog
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from esc_daemon.datamodel.candidate import Candidate
from esc_daemon.domain import interruption
from esc_daemon.domain.advance import settling
from esc_daemon.domain.errors import Refused
from esc_daemon.domain.interruption import TAKEN, Activity
from esc_daemon.domain.record import ActionType
from esc_daemon.engine.engine import Engine
from esc_daemon.store.store import SqlStore
from esc_daemon.vim.simulator.driver import SimulatorDriver
from esc_daemon.vim.simulator.faults import Fault, Rule, Verb
from tests.generation.effort import tries
from tests.model import nonsense, sheets
from tests.model.machine import Model
from tests.model.sheets import Group
from tests.model.two_programs import Programs

PROGRAMS = int(os.environ.get("ESC_TEST_PROGRAMS", "0"))
"""Examples with real processes."""
WIDER = sheets.tag("vm_group", sheets.tag("name", "web"), sheets.scaling(2, 3))
OTHER = sheets.tag("vm_group", sheets.tag("name", "web"), sheets.scaling(3, 3))

pytestmark = [
    pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(autouse=True)
def _quiet():
    """Say nothing: the lines of many lives cost more than the lives."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.configure(**before)


class OfPrograms(Model):
    around = Programs


def test_whatever_is_asked_and_goes_wrong_a_client_sees_what_it_was_promised():
    run_state_machine_as_test(Model, settings=settings(tries(12), stateful_step_count=25))


@pytest.mark.skipif(not PROGRAMS, reason="ESC_TEST_PROGRAMS says how many examples; make model")
def test_it_holds_of_programs_too():
    # what fails is told as it is: to make it shorter takes a minute for each attempt
    at_once = settings(tries(1), max_examples=PROGRAMS, phases=[Phase.generate])
    some = settings(at_once, stateful_step_count=15)

    run_state_machine_as_test(OfPrograms, settings=some)


@pytest.fixture
def model():
    """Return one whose daemon has a service of two VMs, which are alive."""
    model = Model()
    body = Group(name="web", low=2, high=2).xml()
    model.the_daemon_starts(seed=0, build=0.0, boot=0.0, servers=None, body=body, then=45.0)
    yield model
    model.over = True
    model.world.close()


def test_every_nonsense_is_refused_and_changes_nothing(model):
    for request in nonsense.REQUESTS:
        model.ask_for_nonsense(request=request)
    for make in nonsense.ABOUT_A_DEPLOYMENT:
        model.ask_for_nonsense_about_what_is_there(which=0, make=make)


def stops_and_resizes(model):
    model.act_on_a_service(which=0, type_=ActionType.STOP, then=45.0)
    model.resize_a_group(which=0, size=WIDER, then=0.0)


def dies(model):
    model.what_is_told_alternates_and_is_told_again_alike()
    model.the_daemon_is_killed()
    model.running_is_what_was_acknowledged()
    model.what_is_told_alternates_and_is_told_again_alike()


def undeploys(model):
    model.undeploy(which=0, op="delete", whole=False)
    model.everything_is_undeployed()


def is_refused_by_a_vim(model):
    refusing = Rule(fault=Fault.REFUSE, verb=Verb.SET_POWER, count=1)
    model.the_vim_plays_up(rules=(refusing,))
    model.act_on_a_service(which=0, type_=ActionType.STOP, then=45.0)
    model.all_comes_to_rest()


def acts_in_vain(model):
    model.act_on_a_service(which=0, type_=ActionType.STOP, then=0.0)
    model.act_on_a_service(which=0, type_=ActionType.STOP, then=0.0)


def commits_what_has_moved(model):
    model.the_daemon_is_killed()
    model.draft_a_part(which=0, part=WIDER)
    model.resize_a_group(which=0, size=OTHER, then=45.0)
    model.commit(then=0.0)


def commits_what_came_and_went_meanwhile(model):
    place, body = ("acme", "new"), Group(name="web", low=1, high=1).xml()
    model.draft_a_deployment(at=place, body=body, op="")
    model.deploy(at=place, body=Group(name="web", low=2, high=2).xml(), op="", then=0.0)
    model.undeploy(which=0, op="delete", whole=False)
    model.commit(then=45.0)


STORIES = (
    stops_and_resizes,
    dies,
    undeploys,
    is_refused_by_a_vim,
    acts_in_vain,
    commits_what_has_moved,
    commits_what_came_and_went_meanwhile,
)


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
def test_a_story_holds(story, model):
    story(model)


def taken_while_stopped():
    every = frozenset(interruption.Request)
    return {**TAKEN, Activity.STOPPED: every}


async def not_removed(*_):
    return None


def nothing(*_):
    return None


async def done_and_refused(engine, action, operate=Engine.operate):
    await operate(engine, action)
    raise Refused("in-use", "not now")


async def without_the_last(store, *, operate=SqlStore.events, **words):
    return (await operate(store, **words))[:-1]


def following_all(candidate, committed, follow=Candidate.follow):
    """Forget what running was when the candidate began."""
    follow(candidate, committed)
    for path in candidate._bases:
        candidate._bases[path] = candidate._running.entry(path)


BROKEN = [
    (stops_and_resizes, interruption, "TAKEN", taken_while_stopped(), "was updated"),
    (undeploys, SimulatorDriver, "remove_ports", not_removed, "nobody knows of it"),
    (undeploys, SimulatorDriver, "remove_tenant", not_removed, "project"),
    (is_refused_by_a_vim, settling, "first_error", nothing, "with VMs in"),
    (acts_in_vain, Engine, "operate", done_and_refused, "records"),
    (dies, SqlStore, "events", without_the_last, "told again"),
    (commits_what_has_moved, Candidate, "follow", following_all, "had moved"),
]


@pytest.mark.parametrize(("story", "owner", "name", "broken", "text"), BROKEN)
def test_the_model_notices_what_is_broken(monkeypatch, model, story, owner, name, broken, text):
    """The invariants can fail: each of these takes a promise out of the daemon."""
    monkeypatch.setattr(owner, name, broken)

    with pytest.raises(AssertionError, match=text):
        story(model)
