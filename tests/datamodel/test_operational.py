from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pytest
from lxml import etree

from esc_daemon.datamodel.names import NAMESPACE
from esc_daemon.datamodel.opdata import Stats
from esc_daemon.datamodel.operational import EVERYTHING, Operational, Part, part_of
from esc_daemon.datamodel.schema import Schema
from esc_daemon.domain.ids import (
    DEFAULT_VIM,
    DeploymentId,
    Key,
    Kind,
    RecordId,
    TenantName,
    VimId,
    VmGroupName,
)
from esc_daemon.domain.intent import (
    DefaultVimConnector,
    Deployment,
    Flavor,
    Image,
    Network,
    Subnet,
    Tenant,
    VimConnector,
    VimUser,
    VmGroup,
)
from esc_daemon.domain.placing import owned_by, vms_of
from esc_daemon.domain.policy import DEFAULT_POLICY, begin
from esc_daemon.domain.record import (
    ConnectorRecord,
    DeploymentRecord,
    Leftover,
    Record,
    ResourceRecord,
)
from esc_daemon.domain.specs import VimStatus
from esc_daemon.domain.states import ResourceState, ServiceState
from esc_daemon.netconf.hints import Hint

ID = RecordId("06c94f58-b753-425b-b97c-f7adb9140ead")
NETWORK = Network(
    name="n",
    subnets=(Subnet(name="s", network="n", address="10.0.0.0", netmask="255.0.0.0"),),
)
STATS = Stats(hostname="h", os_name="Linux", os_release="6", arch="x", uptime=1, cpu_num=2)


class Kept:
    """Records in a dictionary, in the order of arrival; remembers what was asked for."""

    def __init__(self, records: Iterable[Any]) -> None:
        self._kept: dict[Key, Any] = {record.key: record for record in records}
        self.asked: list[Key] = []
        self.scans = 0

    def record(self, key: Key) -> Record | None:
        self.asked.append(key)
        return self._kept.get(key)

    def records(self) -> Iterable[Record]:
        self.scans += 1
        return list(self._kept.values())

    def records_under(self, tenant: TenantName | None) -> Iterable[Record]:
        found = [record for key, record in self._kept.items() if key.tenant == tenant]
        self.asked += [record.key for record in found]
        return found


def tenant(name: str) -> Record:
    made = Tenant(name=TenantName(name))
    key = Key(Kind.TENANT, None, name)
    return ResourceRecord(key=key, id=ID, intent=made, made=made, state=ResourceState.ACTIVE)


def deployment(owner: str, name: str = "d") -> list[Record]:
    """Return a deployment of one VM with an ephemeral network, and its network and subnet."""
    key = Key(Kind.DEPLOYMENT, TenantName(owner), name)
    intent = Deployment(name=name, networks=(NETWORK,), groups=(VmGroup(name=VmGroupName("g")),))
    owned = owned_by(key, ID, intent)
    (network_key, network_id), (subnet_key, subnet_id) = owned
    record = DeploymentRecord(
        key=key,
        id=DeploymentId(ID),
        intent=intent,
        state=ServiceState.DEPLOYING,
        vms=vms_of(key, DeploymentId(ID), intent, VimId("sim")),
        owned=owned,
    )
    network = ResourceRecord(
        key=network_key,
        id=network_id,
        intent=NETWORK,
        made=NETWORK,
        state=ResourceState.ACTIVE,
        owner=(key, ID),
    )
    subnet = ResourceRecord(
        key=subnet_key,
        id=subnet_id,
        intent=NETWORK.subnets[0],
        made=NETWORK.subnets[0],
        state=ResourceState.ACTIVE,
        owner=(key, ID),
    )
    return [record, network, subnet]


def root_things() -> list[Record]:
    image = Image(name="i")
    flavor = Flavor(name="f", vcpus=1, memory_mb=1)
    network = replace(NETWORK, subnets=())
    return [
        ResourceRecord(
            key=Key(Kind.IMAGE, None, "i"),
            id=ID,
            intent=image,
            made=image,
            state=ResourceState.ACTIVE,
        ),
        ResourceRecord(
            key=Key(Kind.FLAVOR, None, "f"),
            id=ID,
            intent=flavor,
            made=flavor,
            state=ResourceState.ACTIVE,
        ),
        ResourceRecord(
            key=Key(Kind.NETWORK, None, "n"),
            id=ID,
            intent=network,
            made=network,
            state=ResourceState.ACTIVE,
        ),
    ]


def connector(name: str, status: VimStatus | None = None) -> ConnectorRecord:
    user = VimUser(name="u", credentials=(("os_password", "$esc1$x"),))
    intent = VimConnector(name=name, type="OPENSTACK", users=(user,))
    key = Key(Kind.VIM_CONNECTOR, None, name)
    return ConnectorRecord(key=key, id=ID, intent=intent, status=status)


class Chosen(NamedTuple):
    """The record of the choice of a default connector, as far as opdata reads it."""

    key: Key
    intent: DefaultVimConnector


def chosen(name: str) -> Chosen:
    return Chosen(DEFAULT_VIM, DefaultVimConnector(vim_id=name))


def read(records: Kept, part: Part | None = EVERYTHING) -> etree._Element | None:
    pieces = b"".join(Operational(records, lambda: STATS).pieces(part))
    if not pieces:
        return None
    return etree.fromstring(b'<esc_datamodel xmlns="%b">%b</esc_datamodel>' % (URI, pieces))


URI = NAMESPACE.encode()


def names(tree: etree._Element | None, path: str) -> list[str]:
    assert tree is not None
    found = tree.xpath(f"//e:opdata/{path}", namespaces={"e": NAMESPACE})
    assert isinstance(found, list)
    return [leaf.text or "" for leaf in found if isinstance(leaf, etree._Element)]


def test_the_whole_is_what_the_yang_says(schema: Schema) -> None:
    records = Kept([*root_things(), tenant("t"), *deployment("t"), tenant("u")])

    tree = read(records)

    assert tree is not None
    assert schema.validate_state(etree.tostring(tree)) == []
    assert names(tree, "e:status") == ["OPER_UP"]
    assert names(tree, "e:images/e:image/e:name") == ["i"]
    assert names(tree, "e:flavors/e:flavor/e:name") == ["f"]
    assert names(tree, "e:networks/e:network/e:name") == ["n"]
    assert names(tree, "e:tenants/e:tenant/e:name") == ["t", "u"]
    assert names(tree, "e:tenants/e:tenant/e:deployments/e:deployment_name") == ["d"]


def test_an_ephemeral_network_stands_with_its_deployment_and_not_with_the_tenant() -> None:
    tree = read(Kept([tenant("t"), *deployment("t")]))

    in_tenant = "e:tenants/e:tenant"
    assert names(tree, f"{in_tenant}/e:networks/e:network/e:name") == []
    networks = f"{in_tenant}/e:deployments/e:networks/e:network"
    assert names(tree, f"{networks}/e:name") == ["n"]
    assert names(tree, f"{networks}/e:subnets/e:subnet/e:cidr") == ["10.0.0.0/8"]


def test_a_keyed_get_looks_at_nothing_else() -> None:
    records = Kept(
        [tenant("t"), *deployment("t"), *deployment("t", "other"), tenant("u"), *deployment("u")]
    )

    tree = read(records, Part(tenant="t", deployment="d"))

    assert names(tree, "e:tenants/e:tenant/e:deployments/e:deployment_name") == ["d"]
    assert names(tree, "e:status") == ["OPER_UP"]  # a filter may match it
    assert {(key.tenant, key.name.partition("/")[0]) for key in records.asked} == {
        (None, "t"),
        ("t", "d"),
    }


def test_what_lies_beside_the_tenants_is_read_without_them() -> None:
    records = Kept([*root_things(), tenant("t"), *deployment("t")])

    tree = read(records, Part(tenants=False))

    assert names(tree, "e:status") == ["OPER_UP"]
    assert names(tree, "e:networks/e:network/e:name") == ["n"]
    assert names(tree, "e:tenants") == []


@pytest.mark.parametrize("part", [Part(tenant="x"), Part(tenant="x", deployment="d")])
def test_an_unknown_tenant_shows_nothing(part: Part) -> None:
    assert names(read(Kept([tenant("t")]), part), "e:tenants") == []


def test_an_unknown_deployment_shows_its_tenant_alone() -> None:
    tree = read(Kept([tenant("t")]), Part(tenant="t", deployment="x"))

    assert names(tree, "e:tenants/e:tenant/e:name") == ["t"]
    assert names(tree, "e:tenants/e:tenant/e:deployments") == []


def test_no_part_is_nothing() -> None:
    assert read(Kept([tenant("t")]), None) is None


def test_what_a_vim_would_not_remove_is_shown(schema: Schema) -> None:
    record, *_ = deployment("t")
    assert isinstance(record, DeploymentRecord)
    (vm,) = record.vms.values()
    attempt = begin(datetime(2026, 1, 1, tzinfo=UTC), DEFAULT_POLICY)
    rest = replace(
        record,
        intent=None,
        state=ServiceState.UNDEF,
        vms={},
        owned=(),
        leftovers=(Leftover(vm=vm, deployment=ID, attempt=attempt),),
    )

    tree = read(Kept([tenant("t"), rest]))

    assert tree is not None
    assert names(tree, "e:leftovers/e:leftover/e:name") == [vm.name]
    assert names(tree, "e:tenants/e:tenant/e:deployments") == []
    assert schema.validate_state(etree.tostring(tree)) == []


@pytest.mark.parametrize(
    ("path", "part"),
    [
        ((), EVERYTHING),
        ((Hint(None, "esc_datamodel"), Hint(None, "opdata")), EVERYTHING),
        ((Hint(None, "esc_datamodel"), Hint(None, "networks")), None),
        (
            (Hint(None, "esc_datamodel"), Hint(None, "opdata"), Hint(None, "stats")),
            Part(tenants=False),
        ),
        (
            (
                Hint(None, "esc_datamodel"),
                Hint(None, "opdata", (("leftovers", "x"),)),
                Hint(None, "tenants"),
            ),
            EVERYTHING,
        ),
        (
            (
                Hint(None, "esc_datamodel"),
                Hint(None, "opdata", (("status", "OPER_UP"),)),
                Hint(None, "leftovers"),
            ),
            Part(tenants=False, leftovers=True),
        ),
        (
            (
                Hint(None, "esc_datamodel"),
                Hint(None, "opdata"),
                Hint(None, "tenants"),
                Hint(None, "nothing"),
            ),
            None,
        ),
        ((Hint("urn:x", "esc_datamodel"),), None),
        (
            (
                Hint(NAMESPACE, "esc_datamodel"),
                Hint(NAMESPACE, "opdata"),
                Hint(NAMESPACE, "tenants"),
                Hint(NAMESPACE, "tenant", (("name", "t"),)),
                Hint(NAMESPACE, "deployments", (("deployment_name", "d"),)),
                Hint(NAMESPACE, "state_machine"),
            ),
            Part(tenant="t", deployment="d"),
        ),
        (
            (
                Hint(None, "esc_datamodel"),
                Hint(None, "opdata"),
                Hint(None, "tenants"),
                Hint(None, "tenant", (("name", "t"),)),
                Hint(None, "networks"),
            ),
            Part(tenant="t"),
        ),
    ],
)
def test_the_way_to_a_filters_results_names_the_part(
    path: tuple[Hint, ...], part: Part | None
) -> None:
    assert part_of(path) == part


def test_the_keys_of_operational_lists_are_known(schema: Schema) -> None:
    root = schema.data_root(NAMESPACE, "esc_datamodel")
    assert root is not None
    tenants = root.children["opdata"].children["tenants"].children["tenant"]

    assert tenants.children["deployments"].keys == ("deployment_name",)
    assert schema.data_root("urn:x", "esc_datamodel") is None


def test_what_is_left_of_a_tenant_that_is_gone_is_shown_too(schema: Schema) -> None:
    record, network, *_ = deployment("gone")
    assert isinstance(network, ResourceRecord)
    left = replace(network, state=ResourceState.LEFTOVER, intent=None, error="locked")

    tree = read(Kept([left]))

    assert tree is not None
    assert names(tree, "e:leftovers/e:leftover/e:kind") == ["network"]
    assert names(tree, "e:leftovers/e:leftover/e:tenant") == ["gone"]
    assert names(tree, "e:leftovers/e:leftover/e:deployment_name") == [record.key.name]
    assert names(tree, "e:leftovers/e:leftover/e:error") == ["locked"]
    assert schema.validate_state(etree.tostring(tree)) == []


def test_a_resource_that_stands_is_no_leftover() -> None:
    tree = read(Kept([tenant("t"), *deployment("t")]))

    assert tree is not None
    assert names(tree, "e:leftovers/e:leftover/e:name") == []


OPDATA = (Hint(None, "esc_datamodel"), Hint(None, "opdata"))


@pytest.mark.parametrize(
    ("path", "scans"),
    [
        ((), 1),
        (OPDATA, 1),
        ((*OPDATA, Hint(None, "leftovers")), 1),
        ((*OPDATA, Hint(None, "vim_connectors")), 0),
        ((*OPDATA, Hint(None, "tenants")), 0),
        ((*OPDATA, Hint(None, "tenants"), Hint(None, "tenant", (("name", "t"),))), 0),
    ],
)
def test_every_record_is_looked_at_only_where_leftovers_are_asked_for(
    path: tuple[Hint, ...], scans: int
) -> None:
    record, network, *_ = deployment("t")
    assert isinstance(network, ResourceRecord)
    left = replace(network, state=ResourceState.LEFTOVER, intent=None, error="locked")
    records = Kept([tenant("t"), record, left])

    tree = read(records, part_of(path))

    assert records.scans == scans
    assert len(names(tree, "e:leftovers/e:leftover")) == scans


VIM = "e:vim_connectors/e:vim_connector"


def test_a_connector_shows_how_its_vim_is_and_nothing_of_its_login(schema: Schema) -> None:
    checked = replace(
        connector("v", VimStatus.AUTHENTICATION_FAILED),
        message="VIM authentication failed",
        next_check=datetime(2026, 1, 1, tzinfo=UTC),
    )

    tree = read(Kept([checked, connector("w")]), Part(tenants=False))

    assert tree is not None
    assert schema.validate_state(etree.tostring(tree)) == []
    assert names(tree, f"{VIM}/e:id") == ["v", "w"]
    assert names(tree, f"{VIM}/e:type") == ["OPENSTACK", "OPENSTACK"]
    assert names(tree, f"{VIM}/e:status") == ["AUTHENTICATION_FAILED"]
    assert names(tree, f"{VIM}/e:status_message") == ["VIM authentication failed"]
    assert names(tree, f"{VIM}/e:next_check") == ["2026-01-01T00:00:00+00:00"]
    assert b"$esc1$" not in etree.tostring(tree)


@pytest.mark.parametrize("status", VimStatus)
def test_every_status_of_a_connector_is_in_the_yang(schema: Schema, status: VimStatus) -> None:
    tree = read(Kept([connector("v", status)]))

    assert tree is not None
    assert schema.validate_state(etree.tostring(tree)) == []


@pytest.mark.parametrize(
    ("records", "default"),
    [
        ([connector("v")], ["true"]),
        ([connector("v"), connector("w")], ["false", "false"]),
        ([connector("v"), connector("w"), chosen("w")], ["false", "true"]),
        ([connector("v"), chosen("gone")], ["false"]),
    ],
    ids=["alone", "none-chosen", "chosen", "chosen-is-gone"],
)
def test_the_default_connector_is_the_chosen_one_or_the_only_one(
    records: list[ConnectorRecord | Chosen], default: list[str]
) -> None:
    tree = read(Kept(records))

    assert names(tree, f"{VIM}/e:default") == default
    active = ["OPENSTACK"] if "true" in default else []
    assert names(tree, "e:system_config/e:active_vim") == active


def test_what_is_shown_is_of_one_moment_however_late_it_is_read():
    records = Kept([tenant("t"), *deployment("t"), *root_things()])
    operational = Operational(records, lambda: STATS)
    now = b"".join(operational.pieces())

    pieces = operational.pieces()
    records._kept.clear()

    assert b"".join(pieces) == now
    assert now.count(b"<deployments>") == 1
