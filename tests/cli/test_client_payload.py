"""Files become edit-configs, slips are mended, the rest is refused with its place."""

from pathlib import Path

import pytest
from client_world import DEPLOY
from hypothesis import given, settings
from hypothesis import strategies as st

from esc_nc_cli.payload import DefaultOperation, PayloadRefused, delete_deployment, read
from esc_nc_cli.xmltree import BASE, ESC, local_name, qname

TARGET = "<target><running/></target>"
RUNNING = f"{qname(BASE, 'target')}/{qname(BASE, 'running')}"
EXAMPLES = Path(__file__).parents[2] / "examples"
PAYLOADS = Path(__file__).parents[3] / "shared" / "payloads" / "config"


def wrapped(how: str) -> str:
    config = f"<config>{DEPLOY}</config>"
    edit = f"<edit-config>{TARGET}{config}</edit-config>"
    documents = {
        "esc_datamodel": DEPLOY,
        "config": config.replace("<config>", f'<config xmlns="{BASE}">'),
        "edit-config": edit.replace("<edit-config>", f'<edit-config xmlns="{BASE}">'),
        "rpc": f'<rpc xmlns="{BASE}" message-id="1">{edit}</rpc>',
    }
    return documents[how]


@pytest.mark.parametrize("how", ["esc_datamodel", "config", "edit-config", "rpc"])
def test_every_wrapping_gives_the_same_edit(how: str) -> None:
    # when
    payload = read(f"<?xml version='1.0'?>\n<!-- a comment -->{wrapped(how)}".encode())
    # then
    assert payload.warnings == ()
    assert [local_name(element) for element in payload.edit_config] == ["target", "config"]
    assert payload.edit_config.find(RUNNING) is not None
    assert next(payload.edit_config.iter(qname(ESC, "deployment"))) is not None


def test_source_in_place_of_target_is_mended_with_a_warning() -> None:
    # given
    document = wrapped("rpc").replace("target>", "source>")
    # when
    payload = read(document.encode())
    # then
    assert payload.edit_config.find(RUNNING) is not None
    assert len(payload.warnings) == 1
    assert "<source>" in payload.warnings[0]


@pytest.mark.parametrize("how", ["esc_datamodel", "rpc"])
def test_an_undeclared_nc_prefix_is_mended_with_a_warning(how: str) -> None:
    # given
    document = wrapped(how).replace("<deployment>", '<deployment nc:operation="delete">')
    # when
    payload = read(f"\ufeff<?xml version='1.0'?><!-- <x> -->\n{document}".encode())
    # then
    doomed = next(payload.edit_config.iter(qname(ESC, "deployment")))
    assert doomed.get(qname(BASE, "operation")) == "delete"
    assert len(payload.warnings) == 1
    assert "nc" in payload.warnings[0]


@pytest.mark.parametrize(
    ("document", "place"),
    [
        (b"<a>\n  <b></a>", "line 2, column 10"),
        (b'<a nc:operation="delete">\n  <b></a>', "line 2, column 10"),
        (b'<a nc:x="1" xc:y="2"/>', "prefix xc"),
        (b"", "line 1, column 1"),
        (b"hello", "line 1, column 1"),
        (b"<!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>", "DOCTYPE"),
    ],
)
def test_what_is_not_well_formed_is_refused_with_its_place(document: bytes, place: str) -> None:
    with pytest.raises(PayloadRefused, match=place):
        read(document)


@pytest.mark.parametrize(
    ("document", "hint"),
    [
        ("<esc_datamodel/>", f'write <esc_datamodel xmlns="{ESC}">'),
        ("<rpc/>", f'write <rpc xmlns="{BASE}">'),
        (
            "<foo/>",
            "<foo> is no configuration; expected esc_datamodel, config, edit-config or rpc$",
        ),
        (f'<rpc xmlns="{BASE}"><get/></rpc>', "the rpc holds get, no edit-config"),
        (f'<rpc xmlns="{BASE}"/>', "the rpc holds nothing"),
        (f'<vmAction xmlns="{ESC}"/>', "<vmAction> of .* is no configuration"),
        (f'<hello xmlns="{BASE}"/>', "<hello> of .* is no configuration"),
    ],
)
def test_what_is_no_edit_is_refused_with_a_hint(document: str, hint: str) -> None:
    with pytest.raises(PayloadRefused, match=hint):
        read(document.encode())


@pytest.mark.parametrize("own", ["", "<default-operation>merge</default-operation>"])
def test_the_default_operation_stands_after_the_target(own: str) -> None:
    # given
    document = wrapped("rpc").replace(TARGET, TARGET + own)
    # when
    edit = read(document.encode(), default_operation=DefaultOperation.REPLACE).edit_config
    # then
    assert [local_name(element) for element in edit] == ["target", "default-operation", "config"]
    assert edit.findtext(qname(BASE, "default-operation")) == "replace"


def test_comments_and_blanks_in_values_do_no_harm() -> None:
    # given
    document = DEPLOY.replace("<name>d</name>", "<name>d</name><data>  a\n b <!-- c --></data>")
    # when
    edit = read(document.encode()).edit_config
    # then
    assert next(edit.iter(qname(ESC, "data"))).text == "  a\n b "


@given(st.text(st.characters(exclude_categories=("C",)), min_size=1, max_size=20))
@settings(max_examples=50, deadline=None)
def test_any_name_can_be_undeployed_without_breaking_the_xml(name: str) -> None:
    edit = delete_deployment(name, name).edit_config
    assert [element.text for element in edit.iter(qname(ESC, "name"))] == [name, name]


@given(st.binary(max_size=60))
@settings(max_examples=100, deadline=None)
def test_no_document_gets_through_or_crashes_by_chance(document: bytes) -> None:
    with pytest.raises(PayloadRefused):
        read(document)


@pytest.mark.parametrize("path", sorted(EXAMPLES.rglob("*.xml")), ids=lambda path: path.name)
def test_every_example_is_taken_as_it_is(path: Path) -> None:
    assert read(path.read_bytes()).warnings == ()


def test_the_printed_payloads_are_taken_or_mended() -> None:
    if not PAYLOADS.is_dir():
        pytest.skip("the collected payloads are not beside this tree")
    fragments = {"doc-kpi-vm-alive.xml", "doc-policies-conditions-actions.xml"}
    fragments.add("doc-rules-esc-vm-alive-notification.xml")
    for path in PAYLOADS.glob("*.xml"):
        if path.name in fragments:
            with pytest.raises(PayloadRefused):
                read(path.read_bytes())
        else:
            assert local_name(read(path.read_bytes()).edit_config) == "edit-config"
