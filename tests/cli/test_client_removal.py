"""delete-config takes away what a file configures, and nothing that it only passes through."""

from pathlib import Path

import pytest
from lxml import etree

from esc_nc_cli.payload import PayloadRefused
from esc_nc_cli.removal import Removal, RemovalOperation, removal_of
from esc_nc_cli.xmltree import BASE, ESC, qname
from tests.cli.client_world import DEPLOY

EXAMPLES = Path(__file__).parents[2] / "examples"


def removal(inside: str, root: str = "esc_datamodel") -> Removal:
    return removal_of(f'<{root} xmlns="{ESC}" xmlns:nc="{BASE}">{inside}</{root}>'.encode())


def in_tenant(inside: str) -> str:
    return f"<tenants><tenant><name>t</name>{inside}</tenant></tenants>"


def a_network(inside: str) -> str:
    return f"<networks><network><name>n</name>{inside}</network></networks>"


def test_a_deployment_goes_and_its_tenant_stays() -> None:
    # when
    found = removal_of(DEPLOY.encode())
    # then: nothing but the way to the entry is sent, and nothing is made on it
    assert (found.going, found.staying) == (("deployment t/d",), ("tenant t",))
    expected = (
        f'<edit-config xmlns="{BASE}"><target><running/></target>'
        "<default-operation>none</default-operation><config>"
        f'<esc_datamodel xmlns="{ESC}"><tenants><tenant><name>t</name><deployments>'
        f'<deployment xmlns:nc="{BASE}" nc:operation="delete"><name>d</name></deployment>'
        "</deployments>"
        "</tenant></tenants></esc_datamodel></config></edit-config>"
    )
    sent = etree.tostring(found.payload.operation, method="c14n", exclusive=True)
    assert sent == etree.tostring(etree.fromstring(expected), method="c14n", exclusive=True)


def test_an_example_is_taken_away_whole_but_for_its_tenant() -> None:
    # when
    found = removal_of((EXAMPLES / "03-resources" / "resources.xml").read_bytes())
    # then
    assert found.going == ("network lab/lab-net", "image lab-image", "flavor lab-flavor")
    assert found.staying == ("tenant lab",)


@pytest.mark.parametrize(
    ("inside", "going"),
    [
        (in_tenant(""), "tenant t"),
        (in_tenant("<managed_resource>false</managed_resource>"), "tenant t"),
        (in_tenant("<extensions><extension><name>x</name></extension></extensions>"), "tenant t"),
        (
            in_tenant("<volumes><volume><name>v</name><size>1</size></volume></volumes>"),
            "volume t/v",
        ),
        (a_network(""), "network n"),
        (a_network("<subnet><name>s</name></subnet>"), "subnet n/s"),
        (a_network("<shared>true</shared><subnet><name>s</name></subnet>"), "network n"),
        ("<images><image><name>i</name><src>u</src></image></images>", "image i"),
        ("<file_servers><file_server><id>f</id></file_server></file_servers>", "file_server f"),
    ],
)
def test_each_kind_of_entry_goes_by_its_key(inside: str, going: str) -> None:
    assert removal(inside).going == (going,)


def test_a_vim_connector_goes_with_its_users() -> None:
    # given
    users = "<users><user><id>u</id></user></users>"
    inside = f"<vim_connectors><vim_connector><id>c</id>{users}</vim_connector></vim_connectors>"
    # when
    found = removal(inside, "esc_system_config")
    # then
    assert found.going == ("vim_connector c",)
    assert b"<users>" not in etree.tostring(found.payload.operation)


@pytest.mark.parametrize("operation", RemovalOperation)
def test_the_choice_of_the_default_connector_goes_with_its_connector(
    operation: RemovalOperation,
) -> None:
    # given: the connector cannot go while the choice names it
    document = (
        f'<esc_system_config xmlns="{ESC}"><vim_connectors>'
        "<default_vim_connector>c</default_vim_connector>"
        "<vim_connector><id>c</id><type>T</type></vim_connector>"
        "</vim_connectors></esc_system_config>"
    )
    # when
    found = removal_of(document.encode(), operation)
    # then
    assert found.going == ("default_vim_connector c", "vim_connector c")
    (choice,) = found.payload.operation.iter(qname(ESC, "default_vim_connector"))
    assert (choice.text, choice.get(qname(BASE, "operation"))) == ("c", operation.value)


def test_the_choice_of_the_default_connector_may_go_alone() -> None:
    # given
    choice = "<default_vim_connector>c</default_vim_connector>"
    # when
    found = removal(f"<vim_connectors>{choice}</vim_connectors>", "esc_system_config")
    # then
    assert found.going == ("default_vim_connector c",)


def test_operations_of_the_file_do_not_count() -> None:
    # given
    inside = '<images><image nc:operation="create"><name>i</name></image></images>'
    # when
    found = removal(inside)
    # then
    (image,) = found.payload.operation.iter(qname(ESC, "image"))
    assert image.get(qname(BASE, "operation")) == "delete"


def test_what_may_be_missing_is_removed() -> None:
    # when
    found = removal_of(DEPLOY.encode(), RemovalOperation.REMOVE)
    # then
    (doomed,) = found.payload.operation.iter(qname(ESC, "deployment"))
    assert doomed.get(qname(BASE, "operation")) == "remove"


def test_mends_of_the_file_are_told() -> None:
    found = removal_of(DEPLOY.replace(f' xmlns="{ESC}"', "").encode())
    assert len(found.payload.warnings) == 1
    assert found.going == ("deployment t/d",)


@pytest.mark.parametrize(
    ("inside", "why"),
    [
        ("", "names nothing that could be deleted"),
        (in_tenant("<deployments/>"), "names nothing that could be deleted"),
        (in_tenant("<services><service_definition/></services>"), "<services> cannot be deleted"),
        ("<services><service_definition/></services>", "known here: file_servers, flavors, images"),
        (
            "<images><image><src>u</src></image></images>",
            "<image> cannot be .*: it has no name",
        ),
    ],
)
def test_what_is_not_plain_is_refused_before_anything_is_sent(inside: str, why: str) -> None:
    with pytest.raises(PayloadRefused, match=why):
        removal(inside)


def test_configuration_of_somebody_else_is_refused() -> None:
    document = f'<config xmlns="{BASE}"><aaa xmlns="urn:x"/></config>'
    with pytest.raises(PayloadRefused, match="<aaa> cannot be deleted: it is no con"):
        removal_of(document.encode())
