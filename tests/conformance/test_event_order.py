"""The events of all cases: every type is told in one, and each life goes as a life may."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from lxml import etree

from esc_daemon.domain.events import Event, EventType
from tests.conformance.case_files import cases, steps
from tests.domain.legal import illegal
from tests.told import event_of


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


def test_every_event_type_is_told_in_a_case() -> None:
    found = {event.type for folder in cases() for _, event in told(folder)}

    assert set(EventType) - found == set()
