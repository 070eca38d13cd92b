"""Documents that use all of the configuration: they are taken, kept, and told of honestly."""

from collections.abc import Iterator
from pathlib import Path

from lxml import etree

from esc_daemon.datamodel.datastore import Datastore
from esc_daemon.datamodel.entries import PLACES
from esc_daemon.datamodel.idle import ACCEPTED_NO_EFFECT, Waits
from esc_daemon.datamodel.schema import Schema
from esc_daemon.domain.ids import VmGroupName
from esc_daemon.domain.intent import Dependency, Deployment, Startup
from esc_daemon.netconf.xml import BASE_NS, name_of, parse
from esc_daemon.vault import is_sealed

DOCUMENTS = [Path(__file__).with_name(name) for name in ("every_node.xml", "every_system_node.xml")]
UNSPOKEN = {Waits.CLIENT, Waits.DESCRIPTION}
SECRET = "s3cret"


def whole() -> etree._Element:
    config = etree.Element(f"{{{BASE_NS}}}config")
    config.extend(parse(document.read_bytes()) for document in DOCUMENTS)
    return config


def paths(element: etree._Element, parent: str = "") -> Iterator[str]:
    for child in element:
        path = f"{parent}/{name_of(child)[1]}".lstrip("/")
        yield path
        yield from paths(child, path)


def test_the_document_uses_every_node_of_the_yang(schema: Schema) -> None:
    known = {f"{root.name}/{leaf}" for root in schema.roots() for leaf in root.leaves()}

    assert known - set(paths(whole())) == set()


def test_every_node_is_accepted_and_returned_as_it_was_sent(datastore: Datastore) -> None:
    datastore.commit(datastore.edit(whole()))

    kept = etree.fromstring(b"".join((b"<config>", *datastore.get_config(), b"</config>")))
    assert values(kept) == values(whole())


def values(config: etree._Element) -> list[tuple[str, str]]:
    """
    Return what a config says, each word with its place and in no order of containers.

    A secret, which is returned sealed, is told as one.
    """
    tree = config.getroottree()
    leaves = (element for element in config.iter() if not len(element))
    return sorted((tree.getelementpath(leaf), said(leaf.text or "")) for leaf in leaves)


def said(text: str) -> str:
    return SECRET if is_sealed(text) else text


def test_whatever_has_no_effect_is_warned_of(datastore: Datastore) -> None:
    warnings = "\n".join(datastore.edit(whole()).warnings)

    for leaves in ACCEPTED_NO_EFFECT.values():
        for leaf, why in leaves.items():
            assert (leaf in warnings) is (why not in UNSPOKEN), leaf
            assert (why in warnings) is (why not in UNSPOKEN), why


def test_what_will_never_have_an_effect_is_not_said_to_wait(datastore: Datastore) -> None:
    warnings = datastore.edit(whole()).warnings

    in_vain = {Waits.ESC_1, Waits.SHARED_ADDRESS}
    for why in {
        why for leaves in ACCEPTED_NO_EFFECT.values() for why in leaves.values()
    } - UNSPOKEN:
        (text,) = {each.partition("; ")[2] for each in warnings if why in each}
        assert text == (why if why in in_vain else f"waits for {why}")


def test_the_order_of_start_reaches_the_intent(datastore: Datastore) -> None:
    intents = [intent for _, intent in datastore.edit(whole()).intents]

    deployment = next(intent for intent in intents if isinstance(intent, Deployment))
    back, front = VmGroupName("back"), VmGroupName("front")
    on = Dependency(group=back, event_name="VM_ALIVE")
    assert deployment.startup == (Startup(group=front, depends_on=(on,)),)


def test_an_entry_of_each_kind_is_in_the_document(datastore: Datastore) -> None:
    kinds = {change.path.kind for change in datastore.edit(whole()).changes}

    assert kinds == set(PLACES)
