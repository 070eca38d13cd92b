"""Who sends what this data model has not is told what to send instead."""

import pytest
from lxml import etree

from esc_daemon.datamodel.datastore import Datastore
from esc_daemon.datamodel.elsewhere import instead
from esc_daemon.datamodel.schema import Schema
from esc_daemon.netconf.errors import RpcError
from tests.datamodel.documents import ESC, NC, config, tenant

SERVICES = "<services><service_definition><name>s</name></service_definition></services>"
TENANT = "/esc:esc_datamodel/esc:tenants/esc:tenant[esc:name='t']"


def refusal(datastore: Datastore, edit: etree._Element) -> RpcError:
    with pytest.raises(RpcError) as refused:
        datastore.edit(edit)
    assert refused.value.tag == "unknown-element"
    return refused.value


@pytest.mark.parametrize(
    ("body", "path"),
    [(SERVICES, "/esc:esc_datamodel"), (tenant(SERVICES), TENANT)],
    ids=["registered", "deployed"],
)
def test_a_service_of_esc_1_is_answered_with_the_later_form(
    datastore: Datastore, body: str, path: str
) -> None:
    error = refusal(datastore, config(body))

    assert error.path == path
    assert error.info == (("bad-element", "services"),)
    assert "tenants/tenant/deployments/deployment" in error.message


def test_an_action_is_answered_with_its_place(datastore: Datastore) -> None:
    edit = etree.fromstring(f'<config xmlns="{NC}"><vmAction xmlns="{ESC}"/></config>')

    assert "an rpc of its own" in refusal(datastore, edit).message


def test_an_element_without_a_replacement_is_just_unknown(datastore: Datastore) -> None:
    error = refusal(datastore, config("<serwices/>"))

    assert error.message == "the element serwices is not known here"
    assert refusal(datastore, config(tenant("<serwices/>"))).path == TENANT


def test_every_action_is_known_to_be_no_configuration(schema: Schema) -> None:
    assert all("rpc" in (instead(name) or "") for name in schema.rpcs())
