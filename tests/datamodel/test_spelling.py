"""RFC 7950 section 9.1: what is stored and sent is in the canonical form, as libyang has it."""

from random import Random

import oopt_gnpy_libyang as libyang
import pytest
from hypothesis import given, note
from lxml import etree

from esc_daemon.datamodel.datastore import Datastore
from esc_daemon.datamodel.schema import Schema
from esc_daemon.netconf.xml import serialise
from tests.datamodel.documents import config, network, service
from tests.generation.configurations import document, name_of, specs_of
from tests.generation.effort import luck, tries
from tests.generation.specs import leaves, roots
from tests.generation.values import any_value, other_spelling


def stored(datastore: Datastore, body: str) -> str:
    datastore.commit(datastore.edit(config(body)))
    return b"".join(datastore.get_config()).decode()


def interface(nicid: str, mac_address: str) -> str:
    return (
        f"<interface><nicid>{nicid}</nicid><network>n</network>"
        f"<mac_address>{mac_address}</mac_address></interface>"
    )


def group(interfaces: str) -> str:
    return (
        "<vm_group><name>g</name><bootup_time>60</bootup_time>"
        f"<interfaces>{interfaces}</interfaces></vm_group>"
    )


@pytest.mark.parametrize(
    ("written", "kept"), [("007", "7"), (" +7\n", "7"), ("-0", "0"), ("0" * 5000, "0")]
)
def test_a_number_is_kept_as_its_digits(datastore: Datastore, written: str, kept: str) -> None:
    assert f"<vlanid>{kept}</vlanid>" in stored(datastore, network(f"<vlanid>{written}</vlanid>"))


def test_an_entry_is_found_by_its_key_however_that_is_written(datastore: Datastore) -> None:
    stored(datastore, service(group(interface("1", "aa:00:00:00:00:01"))))

    kept = stored(datastore, service(group(interface("01", "AA:00:00:00:00:01"))))

    assert kept.count("<interface>") == 1
    assert "<nicid>1</nicid>" in kept
    assert "<mac_address>aa:00:00:00:00:01</mac_address>" in kept


def test_the_place_to_insert_at_may_be_written_otherwise(datastore: Datastore) -> None:
    pool = "<network>n</network>{}"
    scaling = "<scaling><static_ip_address_pool>" + pool + "</static_ip_address_pool></scaling>"
    first = "<ip_address>2001:db8::a</ip_address>"
    before = (
        '<ip_address xmlns:y="urn:ietf:params:xml:ns:yang:1" y:insert="before"'
        ' y:value="2001:DB8:0::A">2001:db8::1</ip_address>'
    )
    body = "<vm_group><name>g</name><bootup_time>60</bootup_time>{}</vm_group>"
    stored(datastore, service(body.format(scaling.format(first))))

    kept = stored(datastore, service(body.format(scaling.format(before))))

    assert "<ip_address>2001:db8::1</ip_address><ip_address>2001:db8::a</ip_address>" in kept


@pytest.mark.whole_model
@tries(30)
@given(luck())
def test_every_value_is_made_canonical_as_libyang_does_it(schema: Schema, rng: Random) -> None:
    # given a valid document in which numbers and addresses are written in other ways
    made = document(rng, values=any_value, at=rng.choice(leaves()))
    top = roots()[name_of(made)]
    typed = [(leaf, spec) for leaf, spec in specs_of(made, top) if spec.type is not None]
    for leaf, spec in typed:
        leaf.text = other_spelling(rng, spec.type, leaf.text or "")
    note(etree.tostring(made, pretty_print=True).decode())
    # when libyang reads it
    tree = schema._context.parse_data(
        serialise(made).decode(),
        libyang.DataFormat.XML,
        libyang.ParseOptions.Strict | libyang.ParseOptions.ParseOnly,
        libyang.ValidationOptions.NoState,
    )
    printed = tree.print(libyang.DataFormat.XML, libyang.PrintFlags.WithSiblings)
    # then it prints each value as we keep it
    parser = etree.XMLParser(remove_blank_text=False)
    theirs = [
        (spec.path, leaf.text or "")
        for leaf, spec in specs_of(etree.fromstring(printed, parser), top)
        if spec.type is not None
    ]
    ours = [(spec.path, schema.node(spec.path).canonical(leaf.text or "")) for leaf, spec in typed]
    assert sorted(ours) == sorted(theirs)
