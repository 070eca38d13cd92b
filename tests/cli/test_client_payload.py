"""Files become requests; what is none is refused with its place."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from esc_nc_cli.compose import delete_deployment
from esc_nc_cli.payload import DefaultOperation, PayloadRefused, read_edit, read_input, read_rpc
from esc_nc_cli.xmltree import BASE, ESC, local_name, qname
from tests.cli.client_world import DEPLOY

TARGET = "<target><running/></target>"
RUNNING = f"{qname(BASE, 'target')}/{qname(BASE, 'running')}"
EXAMPLES = Path(__file__).parents[2] / "examples"
EDITS = [path for path in sorted(EXAMPLES.rglob("*.xml")) if path.parent.name != "11-actions"]


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
    payload = read_edit(f"<?xml version='1.0'?>\n<!-- a comment -->{wrapped(how)}".encode())
    # then
    assert payload.warnings == ()
    assert [local_name(element) for element in payload.operation] == ["target", "config"]
    assert payload.operation.find(RUNNING) is not None
    assert next(payload.operation.iter(qname(ESC, "deployment"))) is not None


def test_access_rules_may_stand_alone_and_keep_the_prefixes_of_their_paths() -> None:
    rules = (
        '<nacm xmlns="urn:ietf:params:xml:ns:yang:ietf-netconf-acm" xmlns:e="urn:e"><rule-list>'
        "<name>l</name><rule><name>r</name><path>/e:x</path></rule></rule-list></nacm>"
    )
    payload = read_edit(rules.encode())

    assert payload.warnings == ()
    path = next(payload.operation.iter("{*}path"))
    assert (path.text, path.nsmap["e"]) == ("/e:x", "urn:e")
    with pytest.raises(PayloadRefused, match="edit-config sends it"):
        read_rpc(rules.encode())


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
        read_edit(document)


@pytest.mark.parametrize(
    ("document", "hint"),
    [
        ("<foo/>", "<foo> is no configuration; expected esc_datamodel, .*, edit-config or rpc$"),
        (f'<rpc xmlns="{BASE}"><get/></rpc>', "the rpc holds get, no edit-config"),
        (f'<rpc xmlns="{BASE}"/>', "the rpc holds nothing"),
        (
            f'<rpc xmlns="{BASE}"><get/><get/></rpc>',
            "holds get, get; it has to hold one operation",
        ),
        (f'<get xmlns="{BASE}"/>', "<get> is no edit-config; the command rpc sends it"),
        (f'<vmAction xmlns="{ESC}"/>', "<vmAction> is an rpc .*; the command rpc sends it"),
        (f'\n<kpi_data xmlns="{ESC}"/>', "line 2: <kpi_data> is a part .*: put it into a vm_group"),
        ("<policies/>", "<policies> is a part .*, or into a deployment itself"),
        ("<deployments/>", "<deployments> is a part .* esc_datamodel/tenants/tenant$"),
        (f'<hello xmlns="{BASE}"/>', "<hello> of .* is no configuration"),
    ],
)
def test_what_is_no_edit_is_refused_with_a_hint(document: str, hint: str) -> None:
    with pytest.raises(PayloadRefused, match=hint):
        read_edit(document.encode())


@pytest.mark.parametrize("own", ["", "<default-operation>merge</default-operation>"])
def test_the_default_operation_stands_after_the_target(own: str) -> None:
    # given
    document = wrapped("rpc").replace(TARGET, TARGET + own)
    # when
    edit = read_edit(document.encode(), default_operation=DefaultOperation.REPLACE).operation
    # then
    assert [local_name(element) for element in edit] == ["target", "default-operation", "config"]
    assert edit.findtext(qname(BASE, "default-operation")) == "replace"


def test_comments_and_blanks_in_values_do_no_harm() -> None:
    # given
    document = DEPLOY.replace("<name>d</name>", "<name>d</name><data>  a\n b <!-- c --></data>")
    # when
    edit = read_edit(document.encode()).operation
    # then
    assert next(edit.iter(qname(ESC, "data"))).text == "  a\n b "


@given(st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=20))
@settings(max_examples=50, deadline=None)
def test_any_name_can_be_undeployed_without_breaking_the_xml(name: str) -> None:
    edit = delete_deployment(name, name).operation
    assert [element.text for element in edit.iter(qname(ESC, "name"))] == [name, name]


@given(st.binary(max_size=60))
@settings(max_examples=100, deadline=None)
def test_no_document_gets_through_or_crashes_by_chance(document: bytes) -> None:
    with pytest.raises(PayloadRefused):
        read_edit(document)


@pytest.mark.parametrize("path", EDITS, ids=lambda path: path.name)
def test_every_example_of_an_edit_is_taken_as_it_is(path: Path) -> None:
    assert read_edit(path.read_bytes()).warnings == ()


@pytest.mark.parametrize("root", ["esc_datamodel", "esc_system_config"])
def test_both_roots_of_the_data_model_may_stand_alone(root: str) -> None:
    # when
    payload = read_edit(f'<{root} xmlns="{ESC}"/>'.encode())
    # then
    assert payload.warnings == ()
    assert payload.operation.find(f"{qname(BASE, 'config')}/{qname(ESC, root)}") is not None


@pytest.mark.parametrize(
    "document",
    [
        f'<rpc xmlns="{BASE}" message-id="7"><lock><target><running/></target></lock></rpc>',
        f'<lock xmlns="{BASE}"><target><running/></target></lock>',
    ],
)
def test_a_request_is_the_same_with_and_without_its_rpc(document: str) -> None:
    # when
    payload = read_rpc(document.encode())
    # then
    assert payload.warnings == ()
    assert payload.operation.tag == qname(BASE, "lock")
    assert payload.operation.find(RUNNING) is not None


def test_a_request_may_be_of_any_namespace() -> None:
    document = b'<create-subscription xmlns="urn:ietf:params:xml:ns:netconf:notification:1.0"/>'
    assert local_name(read_rpc(document).operation) == "create-subscription"


@pytest.mark.parametrize(
    ("document", "hint"),
    [
        (DEPLOY, "<esc_datamodel> is configuration; edit-config sends it"),
        ("<policies/>", "<policies> is configuration; edit-config sends it"),
        (f'<config xmlns="{BASE}"/>', "<config> is configuration; edit-config sends it"),
        (f'<hello xmlns="{BASE}"/>', "<hello> is no operation"),
        (f'<rpc xmlns="{BASE}"/>', "the rpc holds nothing"),
        (f'<rpc xmlns="{BASE}"><rpc><get/></rpc></rpc>', "<rpc> is no operation"),
        ("<get-schema/>", "<get-schema> has no namespace"),
        ("<get", "not well-formed: line 1"),
    ],
)
def test_what_is_no_request_is_refused_with_a_hint(document: str, hint: str) -> None:
    with pytest.raises(PayloadRefused, match=hint):
        read_rpc(document.encode())


@pytest.mark.parametrize(
    ("document", "warnings"),
    [
        (f'<properties xmlns="{ESC}"><property/></properties>', 0),
        ("<properties><property/></properties>", 1),
    ],
)
def test_input_of_an_action_is_one_element_of_the_data_model(document: str, warnings: int) -> None:
    # when
    element, told = read_input(document.encode())
    # then
    assert [child.tag for child in element.iter()] == [
        qname(ESC, "properties"),
        qname(ESC, "property"),
    ]
    assert len(told) == warnings


@pytest.mark.parametrize(
    "document", [DEPLOY, f'<vmAction xmlns="{ESC}"/>', f'<rpc xmlns="{BASE}"/>']
)
def test_a_request_is_no_input_of_an_action(document: str) -> None:
    with pytest.raises(PayloadRefused, match="is no input of an action"):
        read_input(document.encode())
