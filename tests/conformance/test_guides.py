"""What the cases expect, held against notifications that ESC's own guides print (2.1 and later)."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from case_files import CASES
from lxml import etree
from test_conformance import OK

ESC = "{http://www.cisco.com/esc/esc}"
FIXED = ("status", "status_message", "event/type")
SINCE_THEN = {
    "status_code",  # ESC 2.2 and later
    "tenant_id",
    "vm_source/vmname",
    "vm_source/generated_vmname",
    "vm_source/vim_id",  # ESC 3.0 and later
    "vm_source/vim_project",
    "vm_source/vim_project_id",
    "vm_source/hostname",
}


def payloads(name: str) -> Path:
    beside = Path(__file__).resolve().parents[3] / "shared"
    folder = Path(os.environ.get("ESC_SHARED", beside)) / "payloads" / name
    if folder.is_dir():
        return folder
    pytest.skip("the guides' payloads are not beside the repository (ESC_SHARED)")


def leaves(event: etree._Element, above: str = "") -> Iterator[tuple[str, str]]:
    """Yield path and text of each leaf that says something (ruling 3)."""
    for child in event.iterchildren(etree.Element):
        path = above + etree.QName(child).localname
        if len(child):
            yield from leaves(child, f"{path}/")
        elif text := " ".join((child.text or "").split()):
            yield path, text


def expected(case: str, kind: str) -> dict[str, str]:
    """Return the first event of this type that *case* expects."""
    for event in etree.parse(CASES / case).getroot():
        if event.findtext(f"{ESC}event/{ESC}type") == kind:
            return dict(leaves(event))
    raise AssertionError(f"{case} tells no {kind}")


@pytest.mark.parametrize(
    ("sample", "case", "kind"),
    [
        (
            "CREATE_TENANT-success.xml",
            "create-and-delete-tenant/01-notifications.xml",
            "CREATE_TENANT",
        ),
        (
            "DELETE_SUBNET-success.xml",
            "network-of-the-administrator/02-notifications.xml",
            "DELETE_SUBNET",
        ),
        ("SERVICE_ALIVE-success-2.1.xml", "deploy-one-vm/01-notifications.xml", "SERVICE_ALIVE"),
        ("VM_UNDEPLOYED-success-2.1.xml", "deploy-one-vm/02-notifications.xml", "VM_UNDEPLOYED"),
    ],
)
def test_an_event_says_what_the_guide_prints(sample: str, case: str, kind: str) -> None:
    printed = etree.parse(payloads("notification") / sample).getroot().find(f"{ESC}escEvent")
    assert printed is not None
    theirs, ours = dict(leaves(printed)), expected(case, kind)

    # "OpenStack Driver" became "VIM Driver" with the second kind of VIM
    theirs["status_message"] = theirs["status_message"].replace("OpenStack", "VIM")

    assert {path: ours[path] for path in FIXED} == {path: theirs[path] for path in FIXED}
    assert not theirs.keys() - ours.keys()
    assert not ours.keys() - theirs.keys() - SINCE_THEN
    in_both = [path for path in theirs if path in ours]
    assert in_both == [path for path in ours if path in theirs], "the order differs"


def test_what_is_accepted_is_answered_as_the_guide_prints_it() -> None:
    printed = etree.parse(
        payloads("reply") / "doc-ok.xml", etree.XMLParser(remove_blank_text=True)
    ).getroot()
    ours = etree.fromstring(OK, etree.XMLParser(remove_blank_text=True))

    assert etree.tostring(ours, method="c14n") == etree.tostring(printed, method="c14n")
