"""The verdict on commits on trial: each ends in one of two ways, and is told as what it was."""

from dataclasses import replace
from random import Random

import pytest
from operating import Life
from shapes import any_shape
from standing import complaints
from trying import End, Trial
from verdict import History

from esc_daemon.domain.events import Event, EventType
from esc_daemon.domain.ids import DeploymentId, DeploymentName

E = EventType
BEFORE, AFTER = any_shape("d", Random(1)), any_shape("d", Random(2))
TRIAL = Trial(
    after=AFTER, config="", end=End.CONFIRM, persist="p", seconds=8, pause=0.0, asked=True
)
DEPLOYED = (E.SERVICE_ALIVE,)
UPDATED = (E.SERVICE_UPDATING_STATE, E.SERVICE_UPDATED)
OVER = (E.SERVICE_UNDEPLOYED,)


def told(*types: EventType, id_: str = "1") -> list[Event]:
    name, depid = DeploymentName("d"), DeploymentId(id_)
    return [Event(type=each, message="", deployment=name, deployment_id=depid) for each in types]


@pytest.mark.parametrize(
    ("trial", "ends"),
    [
        (TRIAL, {BEFORE}),
        (replace(TRIAL, taken=True), {BEFORE}),
        (replace(TRIAL, taken=True, confirming=True), {BEFORE, AFTER}),
        (replace(TRIAL, taken=True, confirming=True, confirmed=True), {AFTER}),
    ],
    ids=["cut off", "never confirmed", "perhaps confirmed", "confirmed"],
)
def test_a_commit_on_trial_has_one_of_two_ends(trial: Trial, ends: set[object]) -> None:
    assert {*trial.may_be(BEFORE)} == ends


@pytest.mark.parametrize(
    ("updates", "found"), [(0, False), (1, False), (2, False), (3, True)], ids=str
)
def test_a_trial_of_an_update_that_nobody_answered_may_have_been_with_its_way_back(
    updates: int, *, found: bool
) -> None:
    life = Life(id="1", perhaps_updates=2)
    story = told(*DEPLOYED, *UPDATED * updates)

    assert bool([*History(story).wrong("d", [life], there=True)]) is found


@pytest.mark.parametrize(("updates", "found"), [(1, True), (2, False), (3, True)], ids=str)
def test_a_trial_of_an_update_that_was_taken_back_was_two_updates(
    updates: int, *, found: bool
) -> None:
    life = Life(id="1", updates=2)
    story = told(*DEPLOYED, *UPDATED * updates)

    assert bool([*History(story).wrong("d", [life], there=True)]) is found


@pytest.mark.parametrize(("lives", "found"), [(1, False), (2, False), (3, True)], ids=str)
def test_a_trial_of_a_deployment_that_nobody_answered_may_have_been_a_life(
    lives: int, *, found: bool
) -> None:
    story = [event for id_ in range(lives) for event in told(*DEPLOYED, *OVER, id_=str(id_))]

    assert bool([*History(story).wrong("d", [Life()], there=False, doubtful=1)]) is found


def test_a_trial_that_goes_on_after_its_end_is_found() -> None:
    story = [*told(*DEPLOYED, *OVER), *told(*DEPLOYED, id_="2")]

    [fault] = History(story).wrong("d", [Life(), Life()], there=False)

    assert fault == "d: expected 0 lives that go on, found 1"


@pytest.mark.parametrize(
    ("event", "found"), [("commit.not_taken_back", False), ("task.died", True)]
)
def test_a_way_back_that_has_to_wait_is_no_complaint(event: str, *, found: bool) -> None:
    line = f'{{"event": "{event}", "level": "error"}}'

    assert bool([*complaints([line])]) is found
