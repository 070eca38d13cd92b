"""The events of all cases: every type is told in one, and each life goes as a life may."""

from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest
from lxml import etree

from esc_daemon.domain.events import Event, EventStatus, EventType
from tests.conformance.case_files import cases, steps
from tests.domain.legal import illegal
from tests.told import event_of

NEVER_A_FAILURE = frozenset(
    {
        EventType.CREATE_DEFAULT_VIM_CONNECTOR,
        EventType.CREATE_VIM_CONNECTOR,
        EventType.CREATE_VIM_USER,
        EventType.DELETE_DEFAULT_VIM_CONNECTOR,
        EventType.DELETE_VIM_CONNECTOR,
        EventType.DELETE_VIM_USER,
        EventType.SERVICE_MONITOR_UNSET,
        EventType.SERVICE_UPDATING_STATE,
        EventType.UPDATE_VIM_CONNECTOR,
        EventType.UPDATE_VIM_USER,
        EventType.VM_ALIVE,
        EventType.VM_MANUAL_RECOVERY_NEEDED,
        EventType.VM_MANUAL_RECOVERY_NO_NEED,
        EventType.VM_MONITOR_SET,
        EventType.VM_MONITOR_UNSET,
        EventType.VM_RECOVERY_CANCELLED,
        EventType.VM_RECOVERY_INIT,
        EventType.VM_SCALE_IN_INIT,
        EventType.VM_SCALE_OUT_INIT,
        EventType.VM_SOFTWARE_VERSION_UPDATED,
    }
)
"""They begin something, or tell what has come about: docs/events.md has no text of a FAILURE."""


def told(folder: Path) -> Iterator[tuple[str, Event]]:
    """Yield what is told in a case, in order, each with the id of its deployment."""
    for step in steps(folder):
        for what in ("so-far", "notifications"):
            if what in step.files:
                yield from map(event_of, etree.parse(step.files[what]).getroot())


@pytest.mark.parametrize("folder", cases(), ids=lambda folder: folder.name)
def test_events_alternate_as_they_may(folder: Path) -> None:
    lives: dict[str, list[Event]] = {}
    for deployment, event in told(folder):
        if deployment:
            lives.setdefault(deployment, []).append(event)

    assert [fault for story in lives.values() for fault in illegal(story)] == []


def test_every_event_is_told_in_a_case_as_a_success_and_as_a_failure_if_it_can_be_one() -> None:
    found = {(event.type, event.status) for folder in cases() for _, event in told(folder)}

    every = {*product(EventType, EventStatus)}
    assert every - found == {(each, EventStatus.FAILURE) for each in NEVER_A_FAILURE}
