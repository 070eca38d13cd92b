"""
The documents of ESC's guides, kept beside the repository: ../shared, or where ESC_SHARED says.

They are not ours to publish. Where they are missing, the tests that read them have at most a
document of our own of each kind, so that they run everywhere, and else are skipped.
"""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from lxml import etree

from esc_daemon.netconf.xml import BASE_NS, NOTIFICATION_NS, MalformedMessage, parse

REPOSITORY = Path(__file__).parents[2]
OWN = Path(__file__).parent / "own"
SHARED = Path(os.environ.get("ESC_SHARED", REPOSITORY.parent / "shared"))
FOLDERS = (OWN, SHARED / "payloads")
ESC = "http://www.cisco.com/esc/esc"
_NOTIFICATION = re.compile(r"<notification .*?</notification>", re.DOTALL)


def each(kind: str, wanted: Callable[[str], bool] = lambda _: True) -> pytest.MarkDecorator:
    """Return the mark that calls a test with each *wanted* document of payloads/*kind*."""
    paths = [path for folder in FOLDERS for path in sorted((folder / kind).glob("*.xml"))]
    chosen = [path for path in paths if wanted(path.read_text(encoding="utf-8"))]
    missing = pytest.mark.skip(reason=f"no payloads of {kind} beside the repository (ESC_SHARED)")
    cases = [pytest.param(path, id=path.stem) for path in chosen]
    return pytest.mark.parametrize(
        "path", cases or [pytest.param(SHARED, id="missing", marks=missing)]
    )


def payload(name: str) -> etree._Element:
    """Return one document, such as ``config/doc-create-tenant`` or ``config/own-deploy``."""
    for path in (folder / f"{name}.xml" for folder in FOLDERS):
        if path.is_file():
            return parse(path.read_bytes())
    pytest.skip("the payloads of the guides are not beside the repository (ESC_SHARED)")


def config(document: etree._Element) -> etree._Element:
    """Return the config of an edit-config."""
    found = document.find(f".//{{{BASE_NS}}}config")
    assert found is not None
    return found


def printed_notifications() -> list[etree._Element]:
    """Return the notifications that the seeds print, those that a page break has not torn."""
    folder = SHARED / "spec" / "seeds"
    if not folder.is_dir():
        pytest.skip("the seeds are not beside the repository (ESC_SHARED)")
    return list(_untorn(path.read_text(encoding="utf-8") for path in folder.glob("*.txt")))


def _untorn(pages: Iterator[str]) -> Iterator[etree._Element]:
    for page in pages:
        for found in _NOTIFICATION.findall(page.replace("```", "")):
            try:
                notification = parse(found.encode())
            except MalformedMessage:
                continue  # cut by the end of a page
            if notification.find(f"./{{{ESC}}}escEvent/{{{ESC}}}event/{{{ESC}}}type") is not None:
                yield notification  # else the page ended before it did


def event_of(notification: etree._Element) -> etree._Element:
    """Return the escEvent inside *notification*."""
    assert notification.tag == f"{{{NOTIFICATION_NS}}}notification"
    return notification[-1]
