from ipaddress import ip_address

import pytest

from esc_daemon.datamodel.bind import SHAPES
from esc_daemon.datamodel.coverage import entry_node
from esc_daemon.datamodel.datastore import Datastore, PendingEdit
from esc_daemon.datamodel.pools import MAX_ADDRESSES
from esc_daemon.datamodel.schema import Schema
from esc_daemon.datamodel.shape import Leaf, Many, One, Shape
from esc_daemon.datamodel.tree import Node
from esc_daemon.domain.ids import Kind, TenantName, VmGroupName
from esc_daemon.domain.intent import (
    AddressPool,
    Collector,
    Condition,
    DayZero,
    Dependency,
    Deployment,
    Flavor,
    Image,
    Intent,
    Interface,
    Kpi,
    Locator,
    Network,
    RecoveryAction,
    RecoveryPolicy,
    RecoveryType,
    Rule,
    RuleAction,
    RuleWhen,
    Scaling,
    Startup,
    Subnet,
    Tenant,
    VmGroup,
)
from esc_daemon.netconf.errors import RpcError
from tests.datamodel.documents import GROUP, config, network, service, tenant

IN_GROUP = (
    "/esc:esc_datamodel/esc:tenants/esc:tenant[esc:name='t']/esc:deployments"
    "/esc:deployment[esc:name='d']/esc:vm_group[esc:name='g']"
)


def last(pending: PendingEdit) -> Intent:
    intent = pending.intents[-1][1]
    assert intent is not None
    return intent


def group(datastore: Datastore, body: str, *, before: str = "") -> VmGroup:
    """Return the one group of a deployment; *before* stands in front of it."""
    intent = last(datastore.edit(config(service(before + body))))
    assert isinstance(intent, Deployment)
    return intent.groups[0]


def scaled(content: str) -> str:
    return GROUP.replace("</max_active>", f"</max_active>{content}")


def refusal(datastore: Datastore, body: str) -> RpcError:
    with pytest.raises(RpcError) as refused:
        datastore.edit(config(body))
    return refused.value


def test_a_group_is_bound_leaf_by_leaf(datastore: Datastore) -> None:
    body = (
        "<vm_group><name>g</name><locator><vim_id>v</vim_id><vim_project>p</vim_project></locator>"
        "<image>i</image><flavor>f</flavor><bootup_time>600</bootup_time>"
        "<reboot_time>30</reboot_time><recovery_wait_time>016</recovery_wait_time>"
        "<interfaces><interface><nicid>0</nicid><type>direct</type><model>e1000</model>"
        "<network>n</network><ip_address>10.0.0.4</ip_address>"
        "<mac_address>fa:16:3e:00:00:01</mac_address><admin_state_up>false</admin_state_up>"
        "</interface></interfaces>"
        "<kpi_data><enabled>false</enabled><kpi><event_name>E</event_name>"
        "<metric_value>5</metric_value><metric_cond>LE</metric_cond>"
        "<metric_type>FLOAT</metric_type><metric_occurrences_true>2</metric_occurrences_true>"
        "<metric_occurrences_false>3</metric_occurrences_false><metric_collector>"
        "<type>CPU</type><nicid>0</nicid><poll_frequency>2</poll_frequency>"
        "<polling_unit>minutes</polling_unit><continuous_alarm>true</continuous_alarm>"
        "<properties><property><name>a</name><value>b</value></property></properties>"
        "</metric_collector></kpi></kpi_data>"
        "<rules><user_rules><rule><event_name>E</event_name><action>true  X y</action></rule>"
        "</user_rules><admin_rules><rule><event_name>E</event_name><action>ALWAYS log</action>"
        "<action>FALSE recover autohealing</action></rule></admin_rules></rules>"
        "<config_data><configuration><dst>x</dst><data>text</data><variable><name>V</name>"
        "<val>1</val><val>2</val></variable></configuration></config_data>"
        "<scaling><min_active>0</min_active><max_active>3</max_active><elastic>false</elastic>"
        "</scaling><recovery_policy><recovery_type>MANUAL</recovery_type>"
        "<action_on_recovery>REDEPLOY_ONLY</action_on_recovery><max_retries>-1</max_retries>"
        "</recovery_policy></vm_group>"
    )

    assert group(datastore, body) == VmGroup(
        name=VmGroupName("g"),
        locator=Locator(vim_id="v", vim_project="p"),
        image="i",
        flavor="f",
        bootup_time=600,
        reboot_time=30,
        recovery_wait_time=16,
        interfaces=(
            Interface(
                nicid=0,
                network="n",
                type="direct",
                model="e1000",
                ip_address="10.0.0.4",
                mac_address="fa:16:3e:00:00:01",
                admin_state_up=False,
            ),
        ),
        kpis=(
            Kpi(
                event_name="E",
                threshold="5",
                condition=Condition.LE,
                metric_type="FLOAT",
                occurrences_true=2,
                occurrences_false=3,
                collector=Collector(
                    type="CPU",
                    nicid=0,
                    poll_seconds=120,
                    continuous_alarm=True,
                    properties=(("a", "b"),),
                ),
            ),
        ),
        monitoring_enabled=False,
        rules=(
            Rule(
                event_name="E",
                actions=(
                    RuleAction(when=RuleWhen.ALWAYS, name="log"),
                    RuleAction(when=RuleWhen.FALSE, name="recover autohealing"),
                ),
            ),
            Rule(event_name="E", actions=(RuleAction(when=RuleWhen.TRUE, name="X y"),)),
        ),
        scaling=Scaling(min_active=0, max_active=3, elastic=False),
        recovery=RecoveryPolicy(
            type=RecoveryType.MANUAL, action=RecoveryAction.REDEPLOY_ONLY, max_retries=-1
        ),
        day_zero=(DayZero(dst="x", data="text", variables=(("V", ("1", "2")),)),),
    )


def test_a_group_without_a_locator_has_its_deployments(datastore: Datastore) -> None:
    locator = "<locator><vim_id>v</vim_id></locator>"

    assert group(datastore, GROUP, before=locator).locator == Locator(vim_id="v")
    assert group(datastore, GROUP).locator == Locator()


def test_an_update_of_one_leaf_binds_the_whole_entry(datastore: Datastore) -> None:
    datastore.commit(datastore.edit(config(service())))
    part = "<vm_group><name>g</name><bootup_time>61</bootup_time></vm_group>"

    changed = group(datastore, part)

    assert (changed.bootup_time, changed.image, len(changed.kpis)) == (61, "i", 1)


def test_a_network_brings_its_subnets(datastore: Datastore) -> None:
    body = (
        "<shared>false</shared><admin_state>false</admin_state><vlanid>7</vlanid>"
        "<provider_network_type>vlan</provider_network_type>"
        "<provider_physical_network>phys</provider_physical_network>"
        "<provider_segmentation_id>9</provider_segmentation_id>"
        "<subnet><name>s</name><ipversion>ipv6</ipversion><dhcp>false</dhcp>"
        "<address>fd00::</address><netmask>ffff:ffff:ffff:ffff::</netmask>"
        "<gateway>fd00::1</gateway></subnet>"
        "<subnet><name>r</name><address>10.0.0.0</address><netmask>255.0.0.0</netmask>"
        "<no_gateway>true</no_gateway></subnet>"
    )

    assert last(datastore.edit(config(network(body)))) == Network(
        name="n",
        shared=False,
        admin_state=False,
        vlan_id=7,
        provider_network_type="vlan",
        provider_physical_network="phys",
        provider_segmentation_id=9,
        subnets=(
            Subnet(
                name="s",
                network="n",
                ip_version="ipv6",
                dhcp=False,
                address="fd00::",
                netmask="ffff:ffff:ffff:ffff::",
                gateway="fd00::1",
            ),
            Subnet(name="r", network="n", address="10.0.0.0", netmask="255.0.0.0", no_gateway=True),
        ),
    )


def test_an_ephemeral_network_belongs_to_its_deployment(datastore: Datastore) -> None:
    intent = last(datastore.edit(config(service(network() + GROUP))))

    assert isinstance(intent, Deployment)
    assert intent.networks == (Network(name="n"),)


def test_tenants_images_and_flavors_are_bound(datastore: Datastore) -> None:
    owner = "<managed_resource>false</managed_resource><vim_mapping>false</vim_mapping>"
    image = (
        "<images><image><name>i</name><src>http://h/i</src><disk_format>qcow2</disk_format>"
        "<container_format>bare</container_format><properties><property><name>a</name>"
        "<value>b</value></property></properties></image></images>"
    )
    flavor = (
        "<flavors><flavor><name>f</name><vcpus>2</vcpus><memory_mb>4</memory_mb>"
        "<root_disk_mb>5</root_disk_mb><ephemeral_disk_mb>6</ephemeral_disk_mb>"
        "<swap_disk_mb>7</swap_disk_mb></flavor></flavors>"
    )

    pending = datastore.edit(config(image + flavor + tenant(owner)))

    assert [intent for _, intent in pending.intents] == [
        Image(
            name="i",
            src="http://h/i",
            disk_format="qcow2",
            container_format="bare",
            properties=(("a", "b"),),
        ),
        Flavor(
            name="f",
            vcpus=2,
            memory_mb=4,
            root_disk_mb=5,
            ephemeral_disk_mb=6,
            swap_disk_mb=7,
        ),
        Tenant(name=TenantName("t"), managed=False, mapped=False),
    ]


def test_a_pool_is_its_addresses_and_ranges_in_order(datastore: Datastore) -> None:
    pool = (
        "<static_ip_address_pool><network>n</network><gateway>10.0.0.1</gateway>"
        "<netmask>255.0.0.0</netmask><ip_address>10.0.0.9</ip_address>"
        "<ip_address_range><start>10.0.0.254</start><end>10.0.1.1</end></ip_address_range>"
        "<ip_address>10.0.0.255</ip_address></static_ip_address_pool>"
        "<static_mac_address_pool><network>n</network><mac_address_range>"
        "<start>00:00:00:00:00:ff</start><end>00:00:00:00:01:00</end></mac_address_range>"
        "</static_mac_address_pool>"
    )

    scaling = group(datastore, scaled(pool)).scaling

    assert scaling.address_pools == (
        AddressPool(
            network="n",
            addresses=("10.0.0.9", "10.0.0.254", "10.0.0.255", "10.0.1.0", "10.0.1.1"),
            gateway="10.0.0.1",
            netmask="255.0.0.0",
        ),
    )
    assert scaling.mac_pools == (
        AddressPool(network="n", addresses=("00:00:00:00:00:ff", "00:00:00:00:01:00")),
    )


@pytest.mark.parametrize("end", ["255.255.255.255", "0.0.4.0"])
def test_a_vast_range_is_cut_off(datastore: Datastore, end: str) -> None:
    span = f"<ip_address_range><start>0.0.0.1</start><end>{end}</end></ip_address_range>"
    pool = f"<static_ip_address_pool><network>n</network>{span}</static_ip_address_pool>"

    (found,) = group(datastore, scaled(pool)).scaling.address_pools

    assert len(found.addresses) == MAX_ADDRESSES
    assert found.addresses[-1] == str(ip_address(MAX_ADDRESSES))


@pytest.mark.parametrize("end", ["10.0.0.1", "fd00::1"])
def test_a_range_that_holds_nothing_is_refused(datastore: Datastore, end: str) -> None:
    span = f"<ip_address_range><start>10.0.0.2</start><end>{end}</end></ip_address_range>"
    pool = f"<static_ip_address_pool><network>n</network>{span}</static_ip_address_pool>"

    error = refusal(datastore, service(scaled(pool)))

    assert error.tag == "invalid-value"
    assert error.path == (
        f"{IN_GROUP}/esc:scaling/esc:static_ip_address_pool[esc:network='n']"
        f"/esc:ip_address_range[esc:start='10.0.0.2'][esc:end='{end}']"
    )


@pytest.mark.parametrize("netmask", ["255.0.255.0", "ffff:0:ffff::"])
def test_a_mask_of_a_pool_that_has_holes_is_refused(datastore: Datastore, netmask: str) -> None:
    inside = f"<network>n</network><netmask>{netmask}</netmask><ip_address>10.0.0.4</ip_address>"
    pool = f"<static_ip_address_pool>{inside}</static_ip_address_pool>"

    error = refusal(datastore, service(scaled(pool)))

    assert (error.tag, error.message) == ("invalid-value", "netmask has holes")
    assert error.path == (
        f"{IN_GROUP}/esc:scaling/esc:static_ip_address_pool[esc:network='n']/esc:netmask"
    )


def test_a_deployment_has_500_vms_at_most(datastore: Datastore) -> None:
    full = GROUP.replace("<max_active>2<", "<max_active>500<")
    other = "<vm_group><name>h</name><bootup_time>1</bootup_time></vm_group>"

    assert group(datastore, full).scaling.max_active == 500
    error = refusal(datastore, service(full + other))

    assert error.tag == "resource-denied"
    assert "501" in error.message
    assert "500" in error.message
    assert error.path == IN_GROUP.rpartition("/esc:vm_group")[0]


@pytest.mark.parametrize(
    ("old", "new", "below"),
    [
        (
            "TRUE servicebooted.sh",
            "SOMETIMES x",
            (
                "/esc:rules/esc:admin_rules/esc:rule[esc:event_name='VM_ALIVE']"
                "/esc:action[.='SOMETIMES x']"
            ),
        ),
        (
            "TRUE servicebooted.sh",
            "TRUE ",
            "/esc:rules/esc:admin_rules/esc:rule[esc:event_name='VM_ALIVE']/esc:action[.='TRUE ']",
        ),
        (
            "<metric_value>1<",
            "<metric_value>lots<",
            "/esc:kpi_data/esc:kpi[esc:event_name='VM_ALIVE']/esc:metric_value",
        ),
    ],
)
def test_what_could_never_work_is_refused_with_its_place(
    datastore: Datastore, old: str, new: str, below: str
) -> None:
    error = refusal(datastore, service(GROUP.replace(old, new)))

    assert (error.tag, error.path) == ("invalid-value", IN_GROUP + below)


@pytest.mark.parametrize(
    ("address", "netmask", "version", "leaf"),
    [
        ("10.0.0.0", "255.0.255.0", "ipv4", "netmask"),
        ("fd00::", "ffff::", "ipv4", "address"),
        ("10.0.0.0", "ffff::", "ipv4", "netmask"),
    ],
)
def test_a_subnet_that_is_none_is_refused(
    datastore: Datastore, address: str, netmask: str, version: str, leaf: str
) -> None:
    subnet = (
        f"<subnet><name>s</name><ipversion>{version}</ipversion><address>{address}</address>"
        f"<netmask>{netmask}</netmask></subnet>"
    )
    below = f"/esc:networks/esc:network[esc:name='n']/esc:subnet[esc:name='s']/esc:{leaf}"

    assert refusal(datastore, network(subnet)).path == f"/esc:esc_datamodel{below}"
    assert refusal(datastore, service(network(subnet) + GROUP)).path.endswith(below)


def test_an_address_used_twice_is_taken_with_a_warning(datastore: Datastore) -> None:
    body = scaled(
        "<static_ip_address_pool><network>n</network><ip_address>10.0.0.4</ip_address>"
        "</static_ip_address_pool>"
    ).replace(
        "<network>n</network></interface>",
        "<network>n</network><ip_address>10.0.0.4</ip_address></interface><interface>"
        "<nicid>1</nicid><network>n</network><ip_address>10.0.0.4</ip_address></interface>",
    )

    pending = datastore.edit(config(service(body)))

    assert len(pending.warnings) == 2
    assert all("10.0.0.4" in warning for warning in pending.warnings)


def defaults(shape: Shape[object], node: Node) -> list[tuple[str, object, object]]:
    """Return (leaf, the YANG's default, the domain's) of every bound leaf that has a default."""
    found: list[tuple[str, object, object]] = []
    for name, each in shape.fields.items():
        match each:
            case Leaf(path=path, convert=convert):
                default = at(node, path).default
                if default is not None:
                    found.append((path, convert(default), default_of(shape, name)))
            case One(path=path, shape=below):
                found += defaults(below, at(node, path))
            case Many(paths=paths, shape=below):
                for path in paths:
                    found += defaults(below, at(node, path))
            case _:
                pass
    return found


def at(node: Node, path: str) -> Node:
    for step in path.split("/"):
        node = node.children[step]
    return node


def default_of(shape: Shape[object], name: str) -> object:
    fields = getattr(shape.make, "__dataclass_fields__")  # noqa: B009  a class, for mypy a callable
    return fields[name].default


@pytest.mark.parametrize("kind", list(SHAPES))
def test_defaults_of_the_yang_are_those_of_the_domain(schema: Schema, kind: Kind) -> None:
    for leaf, yang, domain in defaults(SHAPES[kind], entry_node(schema, kind)):
        assert yang == domain, leaf


def ordered(*pairs: tuple[str, str]) -> str:
    """Return three groups, of which the first of each pair waits for the second."""
    startup = "".join(
        f"<startup><target_vm_group_ref>{target}</target_vm_group_ref><depends_on>"
        f"<vm_group_ref>{on}</vm_group_ref><kpi_event_ref>VM_ALIVE</kpi_event_ref></depends_on>"
        "</startup>"
        for target, on in pairs
    )
    groups = (GROUP.replace("<name>g</name>", f"<name>{name}</name>") for name in "abc")
    return service(f"<policies>{startup}</policies>{''.join(groups)}")


def test_groups_that_wait_for_each_other_in_a_circle_are_refused(datastore: Datastore) -> None:
    error = refusal(datastore, ordered(("a", "c"), ("b", "c"), ("c", "b")))

    assert "Circular group dependency" in error.message
    assert error.path is not None
    assert error.path.endswith("/esc:policies/esc:startup[esc:target_vm_group_ref='b']")


def test_groups_that_wait_in_a_row_are_bound(datastore: Datastore) -> None:
    pending = datastore.edit(config(ordered(("a", "b"), ("b", "c"))))

    intent = last(pending)
    assert isinstance(intent, Deployment)
    assert intent.startup == tuple(
        Startup(
            group=VmGroupName(waiting),
            depends_on=(Dependency(group=VmGroupName(on), event_name="VM_ALIVE"),),
        )
        for waiting, on in (("a", "b"), ("b", "c"))
    )
    assert not pending.warnings


def test_an_action_that_nothing_is_known_of_is_taken_with_a_warning(datastore: Datastore) -> None:
    # given: the rules of user and administrator, in their order
    rules = "".join(
        f"<{whose}_rules><rule><event_name>VM_ALIVE</event_name><action>ALWAYS log</action>"
        f"<action>TRUE {whose}  own.sh</action></rule></{whose}_rules>"
        for whose in ("user", "admin")
    )
    start, end = GROUP.index("<rules>"), GROUP.index("</rules>")
    body = f"{GROUP[:start]}<rules>{rules}{GROUP[end:]}"

    (warning,) = datastore.edit(config(service(body))).warnings

    assert warning.startswith("/esc:esc_datamodel/")
    assert warning.endswith(
        "rules with actions that have no effect: TRUE admin own.sh (rule VM_ALIVE);"
        " TRUE user own.sh (rule VM_ALIVE)"
    )


def test_kpis_none_of_which_speaks_for_life_are_taken_with_a_warning(datastore: Datastore) -> None:
    start, end = GROUP.index("<rules>"), GROUP.index("</rules>") + len("</rules>")
    body = f"{GROUP[:start]}{GROUP[end:]}".replace("VM_ALIVE", "VM_UP")

    (warning,) = datastore.edit(config(service(body))).warnings

    assert warning.endswith("no KPI says that its VMs are alive: none will ever be")
