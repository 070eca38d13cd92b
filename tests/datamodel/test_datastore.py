import pytest
from lxml import etree

from esc_daemon.datamodel.datastore import MAX_ERRORS, Datastore, StaleEdit
from esc_daemon.datamodel.entries import Entry, EntryPath
from esc_daemon.datamodel.faults import SchemaError
from esc_daemon.datamodel.schema import Schema
from esc_daemon.datamodel.selection import EVERYTHING, Selection, selection_of
from esc_daemon.domain.ids import Key, Kind, TenantName
from esc_daemon.domain.intent import Deployment, Network, Tenant
from esc_daemon.netconf.edit import DefaultOperation
from esc_daemon.netconf.errors import RpcError, RpcErrors
from esc_daemon.netconf.hints import Hint
from tests.datamodel.documents import (
    GROUP,
    NC,
    VAULT,
    config,
    datamodel,
    deployment,
    network,
    service,
    tenant,
)

TENANT = EntryPath(Kind.TENANT, None, "t")
SERVICE = EntryPath(Kind.DEPLOYMENT, "t", "d")
SMALL_GROUP = "<vm_group><name>g</name><bootup_time>1</bootup_time></vm_group>"
DELETE = 'nc:operation="delete"'


def commit(datastore: Datastore, body: str) -> None:
    datastore.commit(datastore.edit(config(body)))


def text(datastore: Datastore, selection: Selection | None = EVERYTHING) -> str:
    return b"".join(datastore.get_config(selection)).decode()


def names(datastore: Datastore) -> list[str]:
    return [entry.path.name for entry in datastore.entries()]


def test_a_deployment_brings_its_tenant_into_being(datastore: Datastore) -> None:
    pending = datastore.edit(config(service()))

    assert [change.path for change in pending.changes] == [TENANT, SERVICE]
    (tenant_key, tenant_intent), (key, intent) = pending.intents
    assert (tenant_key, tenant_intent) == (
        Key(Kind.TENANT, None, "t"),
        Tenant(name=TenantName("t")),
    )
    assert key == Key(Kind.DEPLOYMENT, TenantName("t"), "d")
    assert isinstance(intent, Deployment)


def test_nothing_is_changed_before_the_commit(datastore: Datastore) -> None:
    datastore.edit(config(service()))

    assert datastore.get_config() == []


def test_what_was_committed_is_read_back(datastore: Datastore) -> None:
    commit(datastore, service())

    assert text(datastore) == datamodel(service())


def test_the_same_edit_twice_changes_nothing(datastore: Datastore) -> None:
    commit(datastore, service())

    pending = datastore.edit(config(service()))

    assert (pending.changes, pending.intents) == ((), ())
    assert datastore.commit(pending) == ()


def test_the_deployment_alone_changes_when_only_it_is_edited(datastore: Datastore) -> None:
    commit(datastore, service())

    pending = datastore.edit(config(service(GROUP.replace(">60<", ">61<"))))

    (change,) = pending.changes
    assert change.path == SERVICE
    assert change.old is datastore.entry(SERVICE)
    (written,) = datastore.commit(pending)
    assert written.revision == 2
    assert b"<bootup_time>61</bootup_time>" in written.xml


def test_a_deleted_deployment_leaves_its_tenant(datastore: Datastore) -> None:
    commit(datastore, service())

    pending = datastore.edit(config(service("", attributes=DELETE)))
    datastore.commit(pending)

    assert pending.intents == ((SERVICE.key(), None),)
    assert names(datastore) == ["t"]


def test_a_deleted_tenant_takes_all_that_stands_in_it(datastore: Datastore) -> None:
    commit(datastore, service())
    commit(datastore, tenant(network(name="m")))
    commit(datastore, service(owner="u"))

    pending = datastore.edit(config(tenant(attributes=DELETE)))
    datastore.commit(pending)

    assert {(key.kind, key.name) for key, intent in pending.intents if intent is None} == {
        (Kind.TENANT, "t"),
        (Kind.NETWORK, "m"),
        (Kind.DEPLOYMENT, "d"),
    }
    assert names(datastore) == ["u", "d"]


def test_replaced_tenants_leave_only_those_that_are_named(datastore: Datastore) -> None:
    commit(datastore, service())
    commit(datastore, service(owner="u"))
    replaced = tenant(name="u").replace("<tenants>", '<tenants nc:operation="replace">')

    commit(datastore, replaced)

    assert names(datastore) == ["u"]


def test_a_replaced_datamodel_loses_what_is_not_named(datastore: Datastore) -> None:
    commit(datastore, network() + service())

    datastore.commit(datastore.edit(config(network()), DefaultOperation.REPLACE))

    assert names(datastore) == ["n"]


def test_an_empty_config_that_replaces_empties_everything(datastore: Datastore) -> None:
    commit(datastore, network() + service())

    empty = etree.fromstring(f'<config xmlns="{NC}"/>')
    datastore.commit(datastore.edit(empty, DefaultOperation.REPLACE))

    assert datastore.get_config() == []


@pytest.mark.parametrize(
    ("body", "tag", "path"),
    [
        (
            service("", name="x", attributes=DELETE),
            "data-missing",
            (
                "/esc:esc_datamodel/esc:tenants/esc:tenant[esc:name='t']/esc:deployments"
                "/esc:deployment[esc:name='x']"
            ),
        ),
        (
            tenant(attributes='nc:operation="create"'),
            "data-exists",
            "/esc:esc_datamodel/esc:tenants/esc:tenant[esc:name='t']",
        ),
        ("<nothing/>", "unknown-element", "/esc:esc_datamodel"),
        ("<networks><net/></networks>", "unknown-element", "/esc:esc_datamodel/esc:networks"),
        (
            "<networks><network/></networks>",
            "missing-element",
            "/esc:esc_datamodel/esc:networks/esc:network",
        ),
        ("<networks>text</networks>", "bad-element", "/esc:esc_datamodel/esc:networks"),
        (
            '<networks nc:operation="burn"/>',
            "bad-attribute",
            "/esc:esc_datamodel/esc:networks",
        ),
        (
            '<images nc:operation="delete"/>',
            "data-missing",
            "/esc:esc_datamodel/esc:images",
        ),
        (
            tenant("<opdata/>"),
            "unknown-element",
            "/esc:esc_datamodel/esc:tenants/esc:tenant[esc:name='t']",
        ),
    ],
)
def test_a_refused_edit_says_where_and_changes_nothing(
    datastore: Datastore, body: str, tag: str, path: str
) -> None:
    commit(datastore, service())
    before = text(datastore)

    with pytest.raises(RpcError) as refused:
        datastore.edit(config(network(name="other") + body))

    assert (refused.value.tag, refused.value.path) == (tag, path)
    assert refused.value.namespaces.keys() == {"esc"}
    assert text(datastore) == before


def test_an_unknown_root_is_refused(datastore: Datastore) -> None:
    with pytest.raises(RpcError) as refused:
        datastore.edit(etree.fromstring(f'<config xmlns="{NC}"><top xmlns="urn:x"/></config>'))

    assert refused.value.tag == "unknown-namespace"
    assert refused.value.info == (("bad-element", "top"), ("bad-namespace", "urn:x"))


def test_what_the_yang_refuses_is_told_with_all_its_faults(datastore: Datastore) -> None:
    bad = GROUP.replace(">60<", ">x<").replace("<max_active>2<", "<max_active>0<")

    with pytest.raises(RpcErrors) as refused:
        datastore.edit(config(service(bad)))

    assert [error.tag for error in refused.value.errors] == ["invalid-value", "operation-failed"]


def test_the_errors_of_an_edit_are_bounded(datastore: Datastore) -> None:
    entries = "".join(f"<network><name>n{i}</name><vlanid>x</vlanid></network>" for i in range(80))

    with pytest.raises(RpcErrors) as refused:
        datastore.edit(config(f"<networks>{entries}</networks>"))

    assert len(refused.value.errors) == MAX_ERRORS


def test_an_edit_that_was_overtaken_cannot_be_committed(datastore: Datastore) -> None:
    commit(datastore, service())
    late = datastore.edit(config(service(GROUP.replace(">60<", ">61<"))))
    commit(datastore, service(GROUP.replace(">60<", ">62<")))

    with pytest.raises(StaleEdit):
        datastore.commit(late)

    assert "<bootup_time>62<" in text(datastore)


def test_edits_of_different_entries_do_not_overtake_each_other(datastore: Datastore) -> None:
    first = datastore.edit(config(network(name="a")))
    second = datastore.edit(config(network(name="b")))

    datastore.commit(second)
    datastore.commit(first)

    assert names(datastore) == ["b", "a"]


def test_entries_keep_the_order_of_their_creation(datastore: Datastore) -> None:
    commit(datastore, network(name="z") + network(name="a"))
    commit(datastore, network("<vlanid>7</vlanid>", name="z"))

    assert names(datastore) == ["z", "a"]


def test_prefixes_and_white_space_of_the_sender_are_not_kept(datastore: Datastore) -> None:
    sent = etree.fromstring(
        f'<config xmlns="{NC}" xmlns:e="http://www.cisco.com/esc/esc"><e:esc_datamodel>\n'
        "  <e:networks>\n <e:network>\n <e:name>n</e:name>\n</e:network></e:networks>"
        "</e:esc_datamodel></config>"
    )

    datastore.commit(datastore.edit(sent))

    entry = datastore.entry(EntryPath(Kind.NETWORK, None, "n"))
    assert entry is not None
    assert entry.xml == b"<network><name>n</name></network>"


def test_names_that_xml_escapes_are_found_again(datastore: Datastore) -> None:
    commit(datastore, service(owner="a&amp;b", name="&lt;d&gt;"))

    commit(datastore, service(GROUP.replace(">60<", ">61<"), owner="a&amp;b", name="&lt;d&gt;"))

    assert names(datastore) == ["a&b", "<d>"]
    assert "<bootup_time>61<" in text(datastore)


def test_stored_entries_are_taken_up_again(datastore: Datastore, schema: Schema) -> None:
    commit(datastore, network() + service())
    commit(datastore, tenant(network(name="m")))

    again = Datastore(schema, VAULT)
    again.load(datastore.entries())

    assert text(again) == text(datastore)
    assert list(again.entries()) == list(datastore.entries())


def test_a_keyed_get_has_the_entry_and_its_parents_only(datastore: Datastore) -> None:
    commit(datastore, network() + service() + service(name="other"))
    commit(datastore, service(owner="u"))

    found = text(
        datastore,
        Selection(top=Kind.TENANT, name="t", inside=Kind.DEPLOYMENT, inside_name="d"),
    )

    assert found == datamodel(service())


@pytest.mark.parametrize(
    ("steps", "selection"),
    [
        ((), EVERYTHING),
        ((Hint(None, "esc_datamodel"),), Selection(root="esc_datamodel")),
        ((Hint(None, "esc_system_config"),), Selection(root="esc_system_config")),
        ((Hint("urn:x", "esc_datamodel"),), None),
        ((Hint(None, "esc_datamodel"), Hint(None, "opdata")), None),
        (
            (Hint(None, "esc_datamodel"), Hint(None, "images"), Hint(None, "image")),
            Selection(top=Kind.IMAGE),
        ),
        (
            (
                Hint(None, "esc_datamodel"),
                Hint(None, "networks"),
                Hint(None, "network", (("name", "n"),)),
            ),
            Selection(top=Kind.NETWORK, name="n"),
        ),
        ((Hint(None, "esc_datamodel"), Hint(None, "networks"), Hint(None, "zz")), None),
        (
            (
                Hint(None, "esc_datamodel"),
                Hint(None, "tenants"),
                Hint(None, "tenant", (("name", "t"),)),
                Hint(None, "deployments"),
                Hint(None, "deployment", (("name", "d"),)),
                Hint(None, "vm_group"),
            ),
            Selection(top=Kind.TENANT, name="t", inside=Kind.DEPLOYMENT, inside_name="d"),
        ),
        (
            (
                Hint(None, "esc_datamodel"),
                Hint(None, "tenants"),
                Hint(None, "tenant"),
                Hint(None, "deployments"),
                Hint(None, "zz"),
            ),
            None,
        ),
        (
            (
                Hint(None, "esc_datamodel"),
                Hint(None, "tenants"),
                Hint(None, "tenant", (("name", "t"),)),
                Hint(None, "vim_mapping"),
            ),
            Selection(top=Kind.TENANT, name="t"),
        ),
    ],
)
def test_the_way_to_a_filters_results_selects_entries(
    steps: tuple[Hint, ...], selection: Selection | None
) -> None:
    assert selection_of(steps) == selection


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        (None, []),
        (Selection(top=Kind.NETWORK), ["n"]),
        (Selection(top=Kind.NETWORK, name="x"), []),
        (Selection(top=Kind.TENANT), ["t", "m", "d", "u"]),
        (Selection(top=Kind.TENANT, name="t"), ["t", "m", "d"]),
        # a tenant with none of these too: a filter may choose its own leaves beside them
        (Selection(top=Kind.TENANT, inside=Kind.NETWORK), ["t", "m", "u"]),
        (Selection(top=Kind.TENANT, inside=Kind.NETWORK, inside_name="x"), ["t", "u"]),
        (Selection(top=Kind.TENANT, name="u", inside=Kind.NETWORK), ["u"]),
        (Selection(top=Kind.IMAGE), []),
    ],
)
def test_a_selection_is_returned_whole(
    datastore: Datastore, selection: Selection | None, expected: list[str]
) -> None:
    commit(datastore, network() + tenant(network(name="m") + deployment(SMALL_GROUP)))
    commit(datastore, tenant(name="u"))

    pieces = datastore.get_config(selection)

    found: list[str] = []
    if pieces:
        tree = etree.fromstring(b"".join(pieces))
        entries = ("network", "tenant", "deployment")
        found = [
            child.findtext("{*}name") or ""
            for child in tree.iter("{*}*")
            if etree.QName(child).localname in entries
        ]
    assert found == expected


def test_an_edit_validates_what_it_changes_and_nothing_else(
    schema: Schema, datastore: Datastore, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bytes] = []
    validate = schema.validate

    def seen_and_validated(document: bytes) -> list[SchemaError]:
        seen.append(document)
        return validate(document)

    commit(datastore, network() + service() + service(owner="u"))
    monkeypatch.setattr(schema, "validate", seen_and_validated)

    commit(datastore, service(GROUP.replace(">60<", ">61<")))

    (document,) = seen
    assert document.count(b"<deployment>") == 1
    assert b"<bootup_time>61<" in document


def test_an_entry_does_not_show_its_secrets(datastore: Datastore) -> None:
    commit(datastore, service(GROUP.replace("<image>i<", "<image>s3cret<")))

    stored = datastore.entry(SERVICE)
    pending = datastore.edit(config(service(GROUP.replace("<image>i<", "<image>s3cret2<"))))

    assert isinstance(stored, Entry)
    assert "s3cret" not in repr(stored)
    assert "s3cret" not in repr(pending.changes)


def test_a_network_of_a_tenant_is_a_record_of_the_tenant(datastore: Datastore) -> None:
    pending = datastore.edit(config(tenant(network(name="a/b"))))

    key, intent = pending.intents[1]
    assert key == Key(Kind.NETWORK, TenantName("t"), "a%2Fb")
    assert intent == Network(name="a/b")


@pytest.mark.parametrize(
    ("name", "predicate"),
    [
        ("plain", "[esc:name='plain']"),
        ("it's", '[esc:name="it\'s"]'),
        ('it\'s "x"', "[esc:name=concat('it',\"'\",'s \"x\"')]"),
    ],
)
def test_an_instance_path_quotes_any_name(name: str, predicate: str) -> None:
    path = EntryPath(Kind.FLAVOR, None, name).instance_path()

    assert path == f"/esc:esc_datamodel/esc:flavors/esc:flavor{predicate}"


@pytest.mark.parametrize(
    ("one", "other", "collide"),
    [
        (service(name="x"), service(name="y"), False),
        (service(name="x"), service(name="x"), True),
        (service(name="x"), f"<tenants><tenant {DELETE}><name>t</name></tenant></tenants>", True),
        (tenant(network(name="m")), service(name="x"), False),
        (network(name="m"), service(name="x"), False),
        (service(name="x"), tenant("", name="new"), False),
        (tenant("", name="new"), tenant(network(), name="new"), True),
    ],
    ids=[
        "two-deployments-of-a-tenant",
        "the-same-deployment",
        "a-deployment-and-the-end-of-its-tenant",
        "a-network-and-a-deployment-of-a-tenant",
        "a-shared-network-and-a-deployment",
        "a-deployment-and-another-tenant",
        "two-edits-that-both-bring-a-tenant",
    ],
)
def test_edits_collide_when_one_changes_what_the_other_looked_at(
    datastore: Datastore,
    one: str,
    other: str,
    collide: bool,  # noqa: FBT001  what is expected
) -> None:
    commit(datastore, tenant(""))

    first, second = datastore.edit(config(one)), datastore.edit(config(other))

    assert first.collides(second) is second.collides(first) is collide
    if not collide:
        datastore.commit(first)
        datastore.commit(second)
