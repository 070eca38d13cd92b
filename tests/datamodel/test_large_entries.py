"""An entry is looked at in one go, while nobody else is served: it may not be any size."""

import pytest
from lxml import etree

from esc_daemon.datamodel.datastore import Datastore
from esc_daemon.datamodel.schema import Schema
from esc_daemon.netconf.edit import DefaultOperation
from esc_daemon.netconf.errors import RpcError
from tests.datamodel.documents import VAULT, config, datamodel, service, tenant

MOST = 1000


@pytest.fixture
def datastore(schema: Schema) -> Datastore:
    return Datastore(schema, VAULT, entry_elements=MOST)


def groups(number: int, first: int = 0) -> str:
    """*number* vm_groups of three elements each."""
    names = range(first, first + number)
    return "".join(
        f"<vm_group><name>g{name}</name><bootup_time>1</bootup_time></vm_group>" for name in names
    )


def of_groups(number: int, first: int = 0, name: str = "d") -> str:
    deployment = f"<deployment><name>{name}</name>{groups(number, first)}</deployment>"
    return tenant(f"<deployments>{deployment}</deployments>")


def rules(number: int) -> etree._Element:
    entries = "".join(f"<group><name>g{name}</name></group>" for name in range(number))
    nacm = f"<groups>{entries}</groups>"
    text = f'<nacm xmlns="urn:ietf:params:xml:ns:yang:ietf-netconf-acm">{nacm}</nacm>'
    return etree.fromstring(
        f'<config xmlns="urn:ietf:params:xml:ns:netconf:base:1.0">{text}</config>'
    )


def refused(datastore: Datastore, element: etree._Element) -> RpcError:
    with pytest.raises(RpcError) as refusal:
        datastore.edit(element)
    return refusal.value


def test_an_entry_with_more_elements_than_may_be_is_too_big(datastore: Datastore) -> None:
    # given as many vm_groups as there is room for, beside the deployment and its name
    room = (MOST - 2) // 3
    assert datastore.edit(config(of_groups(room))).changes

    # when there is one more
    error = refused(datastore, config(of_groups(room + 1)))

    # then that is told, and where, and by which setting
    assert error.tag == "too-big"
    assert error.path.endswith("esc:deployment[esc:name='d']")
    assert error.message == "1001 elements: an entry may have 1000 (limits.entry_elements)"


def test_an_entry_does_not_grow_beyond_it_edit_by_edit(datastore: Datastore) -> None:
    datastore.commit(datastore.edit(config(of_groups(200))))

    assert refused(datastore, config(of_groups(200, first=200))).tag == "too-big"
    assert datastore.edit(config(of_groups(100, first=200))).changes


def test_what_is_too_big_is_refused_before_it_is_looked_at(datastore: Datastore) -> None:
    nonsense = "<nonsense/>" * MOST
    body = tenant(f"<deployments><deployment><name>d</name>{nonsense}</deployment></deployments>")

    assert refused(datastore, config(body)).tag == "too-big"


def test_many_entries_together_may_have_more(datastore: Datastore) -> None:
    body = "".join(
        f"<deployment><name>d{number}</name>{groups(200)}</deployment>" for number in range(5)
    )

    edit = datastore.edit(config(tenant(f"<deployments>{body}</deployments>")))

    assert len(edit.intents) == 6


def test_a_larger_one_of_before_can_still_be_deleted(schema: Schema, datastore: Datastore) -> None:
    # given one that was taken while the setting was another
    before = Datastore(schema, VAULT, entry_elements=2 * MOST)
    datastore.load(before.commit(before.edit(config(of_groups(500)))))
    assert refused(datastore, config(of_groups(1))).tag == "too-big"

    # when it is to go
    gone = datastore.edit(config(tenant()), DefaultOperation.REPLACE)

    # then it goes
    assert [change.new for change in gone.changes if change.path.name == "d"] == [None]


def test_the_rules_of_access_are_an_entry_as_well(datastore: Datastore) -> None:
    error = refused(datastore, rules(MOST))

    assert (error.tag, error.path) == ("too-big", "/nacm:nacm")
    assert error.to_element().find("{*}error-path") is not None


def test_of_a_long_document_the_first_fault_is_told(schema: Schema) -> None:
    # given a deployment whose rules name two KPIs that are not there, and a long text
    wrong = "".join(
        f"<rule><event_name>{name}</event_name><action>ALWAYS log</action></rule>" for name in "XY"
    )

    def faults(length: int) -> list[str]:
        files = "".join(
            f"<configuration><dst>f{number}</dst><data>{'x' * 4000}</data></configuration>"
            for number in range(length // 4000)
        )
        group = (
            "<vm_group><name>g</name><bootup_time>1</bootup_time>"
            f"<rules><admin_rules>{wrong}</admin_rules></rules>"
            f"<config_data>{files}</config_data></vm_group>"
        )
        return [error.message for error in schema.validate(datamodel(service(group)).encode())]

    # when it is short and when it is long
    short, long = faults(10), faults(2**18)

    # then of the long one the first that was found is told, in the same words
    assert len(short) == 2
    assert len(long) == 1
    assert long[0] in short
