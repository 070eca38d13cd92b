"""What ESC's guides print is taken, from the first byte to the validated entry."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from lxml import etree

from esc_daemon.datamodel.datastore import Datastore
from esc_daemon.datamodel.operational import part_of
from esc_daemon.datamodel.schema import Schema
from esc_daemon.datamodel.selection import selection_of
from esc_daemon.domain.intent import Subnet
from esc_daemon.netconf.errors import RpcError
from esc_daemon.netconf.filters import key_hints
from esc_daemon.netconf.messages import Get, GetConfig, Request, parse_rpc
from esc_daemon.netconf.requests import parse_request
from esc_daemon.netconf.xml import BASE_NS, name_of, parse
from tests.acceptance.guides import ESC, config, each, event_of, payload, printed_notifications

NOW = datetime(2026, 1, 1, tzinfo=UTC)
OPENING = {
    "doc-delete-network": "doc-create-network",
    "doc-create-subnet": "doc-create-network",
    "doc-delete-subnet": "doc-create-subnet",
    "doc-delete-tenant": "doc-create-tenant",
    "doc-undeploy-deployment-2x": "doc-deploy-service-2.3-mended",
}
"""What has to be there before."""
OF_ESC_1 = {"service_name", "service_version", "service_id"}


def is_esc_1(text: str) -> bool:
    return "<service_definition" in text


def is_request(text: str) -> bool:
    return "<edit-config" in text


def request(document: etree._Element) -> Request | None:
    return parse_request(parse_rpc(document).operation, now=NOW)


def prepare(datastore: Datastore, name: str) -> None:
    """Send what the document *name* builds upon."""
    if name in OPENING:
        before = OPENING[name]
        prepare(datastore, before)
        datastore.commit(datastore.edit(config(payload(f"config/{before}"))))


@each("config", lambda text: is_request(text) and not is_esc_1(text))
def test_a_request_of_esc_2_or_later_is_accepted(datastore: Datastore, path: Path) -> None:
    prepare(datastore, path.stem)

    pending = datastore.edit(config(parse(path.read_bytes())))

    assert pending.changes
    datastore.commit(pending)


@each("config", is_esc_1)
def test_a_service_of_esc_1_is_refused_with_what_to_send_instead(
    datastore: Datastore, path: Path
) -> None:
    with pytest.raises(RpcError) as refused:
        datastore.edit(config(parse(path.read_bytes())))

    assert refused.value.tag == "unknown-element"
    assert ("bad-element", "services") in refused.value.info
    assert "deployments/deployment" in refused.value.message


@each("config", lambda text: not is_request(text))
def test_a_fragment_is_accepted_inside_a_deployment(datastore: Datastore, path: Path) -> None:
    fragment = parse(path.read_bytes())
    for node in fragment.iter():
        node.tag = f"{{{ESC}}}{name_of(node)[1]}"
    service = config(payload("config/own-deploy"))
    group = service.find(f".//{{{ESC}}}vm_group")
    assert group is not None
    for old in group.findall(str(fragment.tag)):
        group.remove(old)
    group.append(fragment)

    assert datastore.edit(service).changes


def test_policies_are_taken_by_a_deployment_too(datastore: Datastore) -> None:
    policies = payload("config/doc-policies-conditions-actions")
    for node in policies.iter():
        node.tag = f"{{{ESC}}}{name_of(node)[1]}"
    service = config(payload("config/doc-deploy-service-2.3-mended"))
    deployment = service.find(f".//{{{ESC}}}deployment")
    assert deployment is not None
    deployment.append(policies)

    warnings = datastore.edit(service).warnings
    assert any("Action1-1 at Condition1" in each for each in warnings)


@each("config", is_request)
def test_an_envelope_with_source_for_target_is_refused(path: Path) -> None:
    document = parse(path.read_bytes())
    if document.find(f".//{{{BASE_NS}}}source") is None:
        assert request(document) is not None
        return

    with pytest.raises(RpcError) as refused:
        request(document)

    assert refused.value.tag == "missing-element"
    assert ("bad-element", "target") in refused.value.info


def test_a_subnet_of_the_guides_is_added_and_taken_away(datastore: Datastore) -> None:
    prepare(datastore, "doc-delete-subnet")
    added = config(payload("config/doc-create-subnet"))
    ((_, network),) = datastore.edit(config(payload("config/doc-delete-subnet"))).intents

    assert getattr(network, "subnets", None) == ()
    assert datastore.edit(added).changes == ()
    (entry,) = datastore.entries()
    assert b"<subnet><name>mgmt-net-subnet</name>" in entry.xml


def test_a_subnet_of_the_guides_means_what_it_says(datastore: Datastore) -> None:
    prepare(datastore, "doc-create-subnet")

    ((_, network),) = datastore.edit(config(payload("config/doc-create-subnet"))).intents

    assert getattr(network, "subnets", None) == (
        Subnet(
            name="mgmt-net-subnet",
            network="mgmt-net",
            address="10.20.0.0",
            netmask="255.255.255.0",
            gateway="10.20.0.1",
            dhcp=False,
        ),
    )


def test_an_undeploy_of_the_guides_leaves_the_tenant(datastore: Datastore) -> None:
    prepare(datastore, "doc-undeploy-deployment-2x")

    datastore.commit(datastore.edit(config(payload("config/doc-undeploy-deployment-2x"))))

    assert [entry.path.name for entry in datastore.entries()] == ["vnf-tenant"]


@each("rpc", lambda text: f'xmlns="{ESC}"' in text)
def test_an_action_of_any_version_is_valid(schema: Schema, path: Path) -> None:
    operation = parse_rpc(parse(path.read_bytes())).operation

    assert schema.validate_input(operation) == []


@each("rpc", lambda text: f'xmlns="{ESC}"' not in text)
def test_a_request_of_the_protocol_is_understood(path: Path) -> None:
    found = request(parse(path.read_bytes()))

    assert found is not None
    if isinstance(found, Get | GetConfig):
        assert found.filter is not None
        hints = key_hints(found.filter, default_namespace=ESC) or ()
        assert selection_of(hints) is not None or part_of(hints) is not None


@each("rpc", lambda text: f'xmlns="{ESC}"' in text)
def test_an_action_inside_an_edit_config_is_told_where_it_belongs(
    datastore: Datastore, path: Path
) -> None:
    misplaced = etree.Element(f"{{{BASE_NS}}}config")
    misplaced.append(parse_rpc(parse(path.read_bytes())).operation)

    with pytest.raises(RpcError, match="an rpc of its own"):
        datastore.edit(misplaced)


@each("reply", lambda text: "<opdata>" in text)
def test_a_reply_is_within_the_operational_data(schema: Schema, path: Path) -> None:
    found = parse(path.read_bytes()).find(f".//{{{ESC}}}esc_datamodel")
    assert found is not None
    for leaf in [leaf for leaf in found.iter() if name_of(leaf)[1] in OF_ESC_1]:
        parent = leaf.getparent()
        assert parent is not None
        parent.remove(leaf)  # gone since 2.1, as is the key made of them (ruling 10b)

    assert schema.validate_state(etree.tostring(found)) == []


@each("notification")
def test_a_notification_of_any_version_is_an_event(schema: Schema, path: Path) -> None:
    event = event_of(parse(path.read_bytes()))

    assert schema.validate_event(event) == []


def test_the_notifications_that_the_seeds_print_are_events(schema: Schema) -> None:
    found = printed_notifications()

    assert len(found) == 6
    for notification in found:
        assert schema.validate_event(event_of(notification)) == []
