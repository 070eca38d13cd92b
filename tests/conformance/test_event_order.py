"""The events of all cases: every type is told in one, and each life goes as a life may."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from case_files import cases, steps
from lxml import etree

from esc_daemon.domain.events import Event, EventStatus, EventType, VmRef
from esc_daemon.domain.ids import VmGroupName
from tests.domain.legal import illegal

ESC = "{http://www.cisco.com/esc/esc}"


def told(folder: Path) -> Iterator[tuple[str, Event]]:
    """Yield what is told in a case, in order, each with the id of its deployment."""
    for step in steps(folder):
        for what in ("so-far", "notifications"):
            if what in step.files:
                yield from map(event_of, etree.parse(step.files[what]).getroot())


def event_of(element: etree._Element) -> tuple[str, Event]:
    def text(path: str) -> str:
        return element.findtext("/".join(ESC + part for part in path.split("/"))) or ""

    def vm(which: str) -> VmRef | None:
        name = text(f"{which}/vmname")
        return VmRef(vmid=None, vmname=name, generated_vmname=name) if name else None

    return text("depid"), Event(
        type=EventType(text("event/type")),
        message=text("status_message"),
        status=EventStatus(text("status")),
        vm_group=VmGroupName(text("vm_group")),
        source=vm("vm_source"),
        target=vm("vm_target"),
    )


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
