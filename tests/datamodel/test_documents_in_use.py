"""Documents that people send to ESC: those of our examples (for the guides' see acceptance)."""

from pathlib import Path

from lxml import etree

from esc_daemon.datamodel.datastore import Datastore
from esc_daemon.datamodel.schema import Schema
from esc_daemon.domain.intent import Deployment, Flavor, RecoveryAction, Tenant, VimConnector
from esc_daemon.netconf.xml import parse
from tests.datamodel.documents import ESC, NC

REPOSITORY = Path(__file__).parents[2]
EXAMPLES = sorted((REPOSITORY / "examples").rglob("*.xml"))
ACTIONS = [path for path in EXAMPLES if path.parent.name == "11-actions"]


def as_config(path: Path) -> etree._Element:
    wrapper = etree.Element(f"{{{NC}}}config")
    document = parse(path.read_bytes())
    wrapper.extend(list(document.iter(f"{{{ESC}}}esc_datamodel", f"{{{ESC}}}esc_system_config")))
    return wrapper


def test_every_example_is_accepted(datastore: Datastore) -> None:
    edits = set(EXAMPLES).difference(ACTIONS)
    # what takes something away comes after what makes it
    for path in sorted(edits, key=lambda path: (b'operation="delete"' in path.read_bytes(), path)):
        pending = datastore.edit(as_config(path))

        assert pending.changes, path
        datastore.commit(pending)


def test_every_action_of_the_examples_is_one_of_the_model(schema: Schema) -> None:
    assert len(ACTIONS) > 1
    for path in ACTIONS:
        assert schema.validate_input(parse(path.read_bytes())) == [], path


def test_the_csp_deployment_means_what_it_says(datastore: Datastore) -> None:
    pending = datastore.edit(as_config(REPOSITORY / "examples" / "04-csp" / "deployment.xml"))

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


def test_the_connectors_of_the_csp_example_are_those_that_its_deployment_names(
    datastore: Datastore,
) -> None:
    pending = datastore.edit(as_config(REPOSITORY / "examples" / "04-csp" / "connectors.xml"))

    assert [intent for _, intent in pending.intents] == [
        VimConnector(name="CSP-1", type="SIMULATOR"),
        VimConnector(name="CSP-2", type="SIMULATOR"),
    ]


def test_a_changed_locator_is_a_change_of_the_deployment_alone(datastore: Datastore) -> None:
    path = REPOSITORY / "examples" / "04-csp" / "deployment.xml"
    datastore.commit(datastore.edit(as_config(path)))
    moved = as_config(path)
    for leaf in moved.iter(f"{{{ESC}}}vim_id", f"{{{ESC}}}vim_project"):
        leaf.text = "CSP-2"

    (((_, deployment),)) = datastore.edit(moved).intents

    assert isinstance(deployment, Deployment)
    assert deployment.groups[0].locator.vim_id == "CSP-2"
