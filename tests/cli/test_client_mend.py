"""What printed guides get wrong is mended, and told; nothing else is touched."""

from collections.abc import Callable

import pytest
from lxml import etree

from esc_nc_cli.mend import ACTIONS
from esc_nc_cli.payload import Payload, PayloadRefused, read_edit, read_rpc
from esc_nc_cli.xmltree import BASE, ESC, qname
from tests.cli.client_world import DEPLOY

RUNNING = f"{qname(BASE, 'target')}/{qname(BASE, 'running')}"
EDIT = f'<edit-config xmlns="{BASE}"><target><running/></target><config>{{}}</config></edit-config>'
STOP = "<vmAction><actionType>STOP</actionType><vmName>v</vmName></vmAction>"


def mended(document: str) -> Payload:
    """Return what is sent for *document*, mended in one way."""
    payload = read_edit(document.encode())
    assert len(payload.warnings) == 1, payload.warnings
    return payload


def plain(element: etree._Element) -> str:
    """Return *element* with the names of its tags, for comparing."""
    inside = "".join(plain(below) for below in element) or (element.text or "")
    return f"<{element.tag!s}>{inside}</>"


def test_source_in_place_of_target() -> None:
    # given
    document = EDIT.format(DEPLOY).replace("target>", "source>")
    # when
    payload = mended(document)
    # then
    assert payload.operation.find(RUNNING) is not None
    assert "<source> stands where <target> is meant" in payload.warnings[0]


def test_a_file_of_blanks_and_nothing_to_mend_is_refused_at_once() -> None:
    # what matches nothing at its end must not be tried in every way (found by fuzzing)
    for document in (b" " * 100_000, b"\0" * 9 + b"\n" * 1000 + b"<nr", b"<?a?>" * 20_000):
        with pytest.raises(PayloadRefused, match="not well-formed"):
            read_edit(document)


def test_a_source_beside_a_target_is_the_servers_business() -> None:
    document = EDIT.format(DEPLOY).replace("<target>", "<source><running/></source><target>")
    assert read_edit(document.encode()).warnings == ()


@pytest.mark.parametrize("document", [DEPLOY, EDIT.format(DEPLOY)])
def test_the_prefix_nc_without_its_declaration(document: str) -> None:
    # given
    document = document.replace("<deployment>", '<deployment nc:operation="delete">')
    # when
    payload = mended(f"\ufeff<?xml version='1.0'?><!-- <x> -->\n{document}")
    # then
    doomed = next(payload.operation.iter(qname(ESC, "deployment")))
    assert doomed.get(qname(BASE, "operation")) == "delete"
    assert "prefix nc" in payload.warnings[0]


def test_the_attribute_operation_without_a_prefix() -> None:
    # given
    document = DEPLOY.replace("<deployment>", '<deployment operation="delete">')
    # when
    payload = mended(document)
    # then
    (doomed,) = payload.operation.iter(qname(ESC, "deployment"))
    assert dict(doomed.attrib) == {qname(BASE, "operation"): "delete"}
    assert "sent as nc:operation" in payload.warnings[0]


@pytest.mark.parametrize("attribute", ['operation="explode"', 'speed="delete"'])
def test_other_attributes_are_the_servers_business(attribute: str) -> None:
    document = DEPLOY.replace("<deployment>", f"<deployment {attribute}>")
    assert read_edit(document.encode()).warnings == ()


@pytest.mark.parametrize("envelope", ["{}", EDIT])
def test_esc_datamodel_without_its_namespace(envelope: str) -> None:
    # given: alone it is in no namespace, in an edit-config in that of NETCONF
    document = envelope.format(DEPLOY.replace(f' xmlns="{ESC}"', ""))
    # when
    payload = mended(document)
    # then
    assert plain(payload.operation) == plain(read_edit(DEPLOY.encode()).operation)
    assert payload.warnings[0] == (
        f'<esc_datamodel> is not in its namespace; sent with xmlns="{ESC}"'
    )


def test_an_envelope_without_its_namespace() -> None:
    # given: as copied from a page that shows its inside only
    document = f"<rpc>{EDIT.format(DEPLOY)}</rpc>".replace(f' xmlns="{BASE}"', "")
    # when
    payload = mended(document)
    # then
    assert plain(payload.operation) == plain(read_edit(DEPLOY.encode()).operation)
    assert payload.warnings[0].startswith("<rpc> is not in its namespace")


def test_no_namespace_inside_a_filter_means_any_and_stays() -> None:
    # given: RFC 6241 section 6.2.1
    document = f'<get xmlns="{BASE}"><filter><esc_datamodel xmlns=""/></filter></get>'
    # when
    payload = read_rpc(document.encode())
    # then
    assert payload.warnings == ()
    assert payload.operation.find(f"{qname(BASE, 'filter')}/esc_datamodel") is not None


def test_elements_of_a_stranger_stay_as_they_are() -> None:
    # given
    document = '<x:do xmlns:x="urn:x"><config/></x:do>'
    # when
    payload = read_rpc(document.encode())
    # then
    assert payload.warnings == ()
    assert payload.operation.find("config") is not None


@pytest.mark.parametrize("action", sorted(ACTIONS))
@pytest.mark.parametrize("reader", [read_edit, read_rpc])
def test_an_action_inside_an_edit_config(action: str, reader: Callable[[bytes], Payload]) -> None:
    # given
    inside = f'<{action} xmlns="{ESC}"><actionType>DO</actionType></{action}>'
    # when
    payload = reader(EDIT.format(inside).encode())
    # then
    assert payload.operation.tag == qname(ESC, action)
    assert payload.warnings == (
        f"<{action}> is an rpc and no configuration; sent as an rpc of its own",
    )


def test_an_action_inside_an_edit_config_that_left_its_namespace_out() -> None:
    # when
    payload = read_edit(EDIT.format(STOP).encode())
    # then
    assert payload.operation.findtext(qname(ESC, "vmName")) == "v"
    assert len(payload.warnings) == 2


def test_an_action_beside_configuration_is_not_guessed_at() -> None:
    with pytest.raises(PayloadRefused, match="line 1: <vmAction> is an rpc of its own; send it ap"):
        read_edit(EDIT.format(DEPLOY + STOP).encode())


@pytest.mark.parametrize(
    ("part", "root"), [("tenants", "esc_datamodel"), ("vim_connectors", "esc_system_config")]
)
@pytest.mark.parametrize("namespace", ["", f' xmlns="{ESC}"'])
def test_a_part_that_has_one_place_only_is_put_there(part: str, root: str, namespace: str) -> None:
    # when
    payload = mended(f"<{part}{namespace}><entry/></{part}>")
    # then
    path = "/".join((qname(BASE, "config"), *(qname(ESC, step) for step in (root, part, "entry"))))
    assert payload.operation.find(path) is not None
    assert payload.warnings == (f"<{part}> stands alone; sent inside {root}",)


def test_blank_lines_before_the_declaration() -> None:
    # given
    document = f'\n\n<?xml version="1.0" encoding="UTF-8"?>{DEPLOY}'
    # when
    payload = mended(document)
    # then
    assert plain(payload.operation) == plain(read_edit(DEPLOY.encode()).operation)
    assert "blank lines" in payload.warnings[0]


def test_places_in_a_mended_file_are_those_of_the_users_file() -> None:
    document = b"\n\n  <?xml version='1.0'?>\n<a nc:operation='delete'>\n  <b></a>"
    with pytest.raises(PayloadRefused, match="line 5, column 10"):
        read_edit(document)


def test_a_late_declaration_of_another_encoding_is_not_dropped() -> None:
    with pytest.raises(PayloadRefused, match="not well-formed: line 2"):
        read_edit(b"\n<?xml version='1.0' encoding='latin-1'?><a/>")
