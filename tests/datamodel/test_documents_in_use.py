"""Documents that people send to ESC: those of our examples, and of the guides where at hand."""

from pathlib import Path

import pytest
from documents import ESC, GROUP, NC, service
from documents import config as config_of
from lxml import etree

from esc_daemon.datamodel.datastore import Datastore
from esc_daemon.datamodel.schema import Schema
from esc_daemon.domain.intent import Deployment, Flavor, RecoveryAction, Subnet, Tenant
from esc_daemon.netconf.xml import parse

REPOSITORY = Path(__file__).parents[2]
EXAMPLES = sorted((REPOSITORY / "examples").rglob("*.xml"))


def payload(name: str) -> etree._Element:
    """Return a document that is kept beside the repository and not in it."""
    for parent in REPOSITORY.parents:
        path = parent / "shared" / "payloads" / name
        if path.is_file():
            return parse(path.read_bytes())
    pytest.skip("the guides' payloads are not at hand: ../shared is missing")


def config(name: str) -> etree._Element:
    found = payload(f"config/{name}.xml").find(f".//{{{NC}}}config")
    assert found is not None
    return found


def as_config(path: Path) -> etree._Element:
    wrapper = etree.Element(f"{{{NC}}}config")
    document = parse(path.read_bytes())
    wrapper.append(next(document.iter(f"{{{ESC}}}esc_datamodel")))
    return wrapper


def test_every_example_is_accepted(datastore: Datastore) -> None:
    # what takes something away comes after what makes it
    for path in sorted(EXAMPLES, key=lambda path: b'operation="delete"' in path.read_bytes()):
        pending = datastore.edit(as_config(path))

        assert pending.changes, path
        datastore.commit(pending)


def test_the_csp_deployment_means_what_it_says(datastore: Datastore) -> None:
    pending = datastore.edit(as_config(REPOSITORY / "examples" / "csp-deployment.xml"))

    flavor, tenant, deployment = (intent for _, intent in pending.intents)
    assert isinstance(flavor, Flavor)
    assert isinstance(tenant, Tenant)
    assert isinstance(deployment, Deployment)
    (group,) = deployment.groups
    assert (flavor.vcpus, flavor.memory_mb, flavor.root_disk_mb) == (2, 4096, 10240)
    assert tenant.mapped is False
    assert (group.locator.vim_id, group.locator.vim_project) == ("CSP-1", "CSP-1")
    assert [each.admin_state_up for each in group.interfaces] == [True, False]
    assert (group.recovery.action, group.recovery.max_retries) == (RecoveryAction.REBOOT_ONLY, 1)
    assert group.scaling.address_pools[0].addresses == ("192.168.23.61",)
    assert len(pending.warnings) == 2


def test_a_changed_locator_is_a_change_of_the_deployment_alone(datastore: Datastore) -> None:
    path = REPOSITORY / "examples" / "csp-deployment.xml"
    datastore.commit(datastore.edit(as_config(path)))
    moved = as_config(path)
    for leaf in moved.iter(f"{{{ESC}}}vim_id", f"{{{ESC}}}vim_project"):
        leaf.text = "CSP-2"

    (((_, deployment),)) = datastore.edit(moved).intents

    assert isinstance(deployment, Deployment)
    assert deployment.groups[0].locator.vim_id == "CSP-2"


@pytest.mark.parametrize(
    "name", ["doc-deploy-service-2.3-mended", "doc-create-tenant", "doc-create-network"]
)
def test_a_request_of_the_guides_is_accepted(datastore: Datastore, name: str) -> None:
    datastore.commit(datastore.edit(config(name)))

    assert datastore.get_config()


def test_a_subnet_is_added_to_and_taken_from_its_network(datastore: Datastore) -> None:
    datastore.commit(datastore.edit(config("doc-create-network")))
    ((_, network),) = (added := datastore.edit(config("doc-create-subnet"))).intents
    datastore.commit(added)
    ((_, without),) = (taken := datastore.edit(config("doc-delete-subnet"))).intents
    datastore.commit(taken)
    datastore.commit(datastore.edit(config("doc-delete-network")))

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
    assert getattr(without, "subnets", None) == ()
    assert datastore.get_config() == []


def test_an_undeploy_of_the_guides_takes_the_deployment_away(datastore: Datastore) -> None:
    datastore.commit(datastore.edit(config("doc-deploy-service-2.3-mended")))

    datastore.commit(datastore.edit(config("doc-undeploy-deployment-2x")))

    assert [entry.path.name for entry in datastore.entries()] == ["vnf-tenant"]


@pytest.mark.parametrize(
    "name",
    [
        "doc-kpi-vm-alive",
        "doc-rules-esc-vm-alive-notification",
        "doc-policies-conditions-actions",
    ],
)
def test_a_fragment_of_the_guides_fits_into_a_group(datastore: Datastore, name: str) -> None:
    fragment = payload(f"config/{name}.xml")
    request = config_of(service(GROUP))
    group = request.find(f".//{{{ESC}}}vm_group")
    assert group is not None
    for node in fragment.iter():
        node.tag = f"{{{ESC}}}{etree.QName(node).localname}"
    for old in group.findall(str(fragment.tag)):
        group.remove(old)
    group.append(fragment)

    assert datastore.edit(request).changes


def test_notifications_and_actions_of_the_guides_are_within_the_yang(schema: Schema) -> None:
    for parent in REPOSITORY.parents:
        folder = parent / "shared" / "payloads"
        if folder.is_dir():
            break
    else:
        pytest.skip("the guides' payloads are not at hand: ../shared is missing")
    events = [parse(path.read_bytes()) for path in sorted(folder.glob("notification/*.xml"))]
    actions = [
        parse(path.read_bytes())[0]
        for path in sorted(folder.glob("rpc/*Action*.xml"))
        if "-1.1" not in path.name
    ]

    assert events
    for event in events:
        assert schema.validate_event(event[-1]) == []
    for action in actions:
        assert schema.validate_input(action) == []
