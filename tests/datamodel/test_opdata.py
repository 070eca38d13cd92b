from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from esc_daemon.datamodel import opdata
from esc_daemon.datamodel.schema import Schema
from esc_daemon.domain.ids import Key, Kind, RecordId, TenantName, VimId, VmGroupName, VmId, joined
from esc_daemon.domain.intent import (
    Deployment,
    Flavor,
    Image,
    Network,
    Subnet,
    Tenant,
    TenantVolume,
    VmGroup,
)
from esc_daemon.domain.policy import DEFAULT_POLICY, begin, failed
from esc_daemon.domain.record import (
    DeploymentRecord,
    InterfaceRecord,
    Leftover,
    ResourceRecord,
    VmRecord,
)
from esc_daemon.domain.specs import ResourceHandle
from esc_daemon.domain.states import ResourceState, ServiceState, VmState
from tests.datamodel.documents import datamodel

T = TenantName("t")
ID = RecordId("06c94f58-b753-425b-b97c-f7adb9140ead")
HANDLE = ResourceHandle(vim=VimId("v"), resource_id="id-1", project="p")
VM = VmRecord(
    id=VmId("46e607a8-b797-4056-96f3-42a90a63b555"),
    name="d_g_0_46e607a8-b797-4056-96f3-42a90a63b555",
    group=VmGroupName("g"),
    index=0,
    generation=1,
    state=VmState.ALIVE,
    vim=VimId("v"),
    project="p",
    server=HANDLE,
    host_id="h1",
    hostname="host",
    interfaces=(
        InterfaceRecord(
            nicid=0,
            network="n",
            network_id="net-1",
            subnet_id="sub-1",
            port_id="port-1",
            ip_address="10.0.0.4",
            mac_address="fa:16:3e:00:00:01",
            netmask="255.0.0.0",
            gateway="10.0.0.1",
        ),
        InterfaceRecord(nicid=1, network="m", admin_state_up=False),
    ),
)
INTENT = Deployment(
    name="d", groups=(VmGroup(name=VmGroupName("g")), VmGroup(name=VmGroupName("empty")))
)
RECORD = DeploymentRecord(
    key=Key(Kind.DEPLOYMENT, T, "d"),
    id=ID,
    intent=INTENT,
    state=ServiceState.ACTIVE,
    vms={VM.id: VM},
)
NETWORK = ResourceRecord(
    key=Key(Kind.NETWORK, T, joined("d", "a/b")),
    id=ID,
    intent=None,
    made=Network(name="a/b", provider_network_type="vlan"),
    state=ResourceState.ACTIVE,
    handle=HANDLE,
)
SUBNET = ResourceRecord(
    key=Key(Kind.SUBNET, T, joined("d", "a/b", "s")),
    id=ID,
    intent=None,
    made=Subnet(name="s", network="a/b", address="10.0.0.0", netmask="255.255.240.0"),
    state=ResourceState.CREATING,
)
TENANT = ResourceRecord(
    key=Key(Kind.TENANT, None, "t"),
    id=ID,
    intent=None,
    made=Tenant(name=T),
    state=ResourceState.ACTIVE,
    handle=HANDLE,
)
IMAGE = ResourceRecord(
    key=Key(Kind.IMAGE, None, "i"),
    id=ID,
    intent=None,
    made=Image(name="i"),
    state=ResourceState.ACTIVE,
    handle=HANDLE,
)
FLAVOR = ResourceRecord(
    key=Key(Kind.FLAVOR, None, "f"),
    id=ID,
    intent=None,
    made=Flavor(name="f", vcpus=1, memory_mb=1),
    state=ResourceState.ERROR,
)
VOLUME = ResourceRecord(
    key=Key(Kind.VOLUME, T, "v"),
    id=ID,
    intent=None,
    made=TenantVolume(name="v", size_gib=1),
    state=ResourceState.ACTIVE,
    handle=HANDLE,
)


def document(*content: str) -> bytes:
    return datamodel(f"<opdata>{''.join(content)}</opdata>").encode()


def in_tenant(*content: str) -> bytes:
    return document("<tenants>", opdata.tenant(TENANT, "t", *content), "</tenants>")


def text(element: str, path: str) -> str | None:
    return etree.fromstring(element).findtext(path)


def test_a_whole_opdata_is_what_the_yang_says(schema: Schema) -> None:
    machine = opdata.Stats(
        hostname="h", os_name="Linux", os_release="6", arch="x86_64", uptime=1, cpu_num=2
    )
    network = opdata.network(NETWORK, [SUBNET])
    attempt = begin(datetime(2026, 1, 1, tzinfo=UTC), DEFAULT_POLICY)
    left = replace(RECORD, leftovers=(Leftover(vm=VM, deployment=ID, attempt=attempt),))
    whole = document(
        "<status>OPER_UP</status>",
        opdata.stats(machine),
        f"<images>{opdata.image(IMAGE)}</images>",
        f"<flavors>{opdata.flavor(FLAVOR)}</flavors>",
        f"<networks>{network}</networks>",
        "<tenants>",
        opdata.tenant(TENANT, "t", f"<networks>{network}</networks>")[: -len("</tenant>")],
        opdata.deployment(replace(RECORD, error="why"), [network]),
        "</tenant></tenants>",
        f"<leftovers>{opdata.leftovers(left)}</leftovers>",
    )

    assert schema.validate_state(whole) == []


def test_a_resource_that_is_broken_says_why(schema: Schema) -> None:
    why = "x in VIM sim: it is <gone>"
    broken: dict[str, Any] = {"state": ResourceState.ERROR, "error": why}
    subnet = replace(SUBNET, **broken)
    images = opdata.image(replace(IMAGE, **broken))
    flavors = opdata.flavor(replace(FLAVOR, **broken))
    networks = opdata.network(replace(NETWORK, **broken), [subnet])
    volumes = opdata.volume(replace(VOLUME, **broken))

    for shown in (images, flavors, networks, volumes):
        assert text(shown, "error") == why
    assert text(networks, "subnets/subnet/error") == why
    assert text(opdata.image(IMAGE), "error") is None
    tenant = replace(TENANT, state=ResourceState.ERROR, error=why)
    in_its_tenant = opdata.tenant(tenant, "t", f"<volumes>{volumes}</volumes>")
    assert text(in_its_tenant, "error") == why
    assert text(opdata.tenant(TENANT, "t"), "error") is None
    whole = document(
        f"<images>{images}</images><flavors>{flavors}</flavors><networks>{networks}</networks>",
        f"<tenants>{in_its_tenant}</tenants>",
    )
    assert schema.validate_state(whole) == []


def test_a_resource_that_is_tried_again_says_what_the_last_try_failed_of(schema: Schema) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    first = begin(now, DEFAULT_POLICY)
    tried = failed(first, "http://h/i: no connection", now, DEFAULT_POLICY, subject=ID)
    going = replace(IMAGE, state=ResourceState.CREATING, handle=None, attempt=tried)

    shown = opdata.image(going)

    assert text(shown, "status") == "BUILD"
    assert text(shown, "error") is None
    assert text(shown, "last_error") == "http://h/i: no connection"
    assert text(shown, "tries") == "1"
    assert text(shown, "next_try") == tried.next.isoformat()
    whole = document(f"<images>{shown}</images>", f"<networks>{opdata.network(NETWORK)}</networks>")
    assert schema.validate_state(whole) == []
    for other in (replace(going, attempt=first), replace(going, state=ResourceState.ACTIVE)):
        assert text(opdata.image(other), "last_error") is None


def test_a_deployment_is_keyed_by_its_name_and_known_by_its_depid(schema: Schema) -> None:
    shown = opdata.deployment(RECORD)

    assert text(shown, "deployment_name") == "d"
    assert text(shown, "deployment_id") == ID
    assert text(shown, "state_machine/state") == "SERVICE_ACTIVE_STATE"
    assert text(shown, "state_machine/vm_state_machines/vm_state_machine/vm_name") == VM.name
    assert text(shown, "vm_group/vm_instance/vm_id") == "id-1"
    assert text(shown, "vm_group/vm_instance/interfaces/interface/ip_address") == "10.0.0.4"
    assert "service_name" not in shown
    assert schema.validate_state(in_tenant(shown)) == []


def test_a_vm_that_the_vim_has_not_told_of_stands_in_the_state_machine_only() -> None:
    young = replace(VM, server=None, state=VmState.DEPLOYING)

    shown = opdata.deployment(replace(RECORD, vms={VM.id: young}))

    assert "<vm_instance>" not in shown
    assert text(shown, "state_machine/vm_state_machines/vm_state_machine/state") == (
        "VM_DEPLOYING_STATE"
    )


def test_a_deployment_on_its_way_out_still_shows_its_groups() -> None:
    leaving = replace(RECORD, intent=None, state=ServiceState.UNDEPLOYING)

    assert text(opdata.deployment(leaving), "vm_group/name") == "g"


def test_a_record_that_only_leftovers_hold_is_not_shown() -> None:
    rest = replace(RECORD, intent=None, state=ServiceState.UNDEF, vms={})

    assert opdata.deployment(rest) == ""


def test_an_ephemeral_network_is_shown_by_its_own_name() -> None:
    assert text(opdata.network(NETWORK, [SUBNET]), "name") == "a/b"
    assert text(opdata.network(NETWORK, [SUBNET]), "subnets/subnet/cidr") == "10.0.0.0/20"
    assert text(opdata.network(NETWORK), "netid") == "id-1"


def test_a_tenant_without_a_project_is_known_by_its_name(schema: Schema) -> None:
    local = replace(TENANT, handle=replace(HANDLE, resource_id=""))

    assert text(opdata.tenant(local, "t"), "tenant_id") == "t"
    assert text(opdata.tenant(None, "t"), "tenant_id") is None
    assert schema.validate_state(in_tenant()) == []


@settings(max_examples=50, deadline=None)
@given(error=st.text(max_size=40), hostname=st.text(max_size=40))
def test_whatever_a_vim_says_stays_well_formed(schema: Schema, error: str, hostname: str) -> None:
    vm = replace(VM, hostname=hostname)

    shown = opdata.deployment(replace(RECORD, error=error, vms={VM.id: vm}))

    assert schema.validate_state(in_tenant(shown)) == []


def test_all_that_opdata_may_say_is_within_the_yang(schema: Schema) -> None:
    share, speed = "<{0}>12.5</{0}>", "<{0}>7</{0}>"
    load = "".join(share.format(f"load{span}") for span in ("one", "five", "fifteen"))
    cpu = "".join(share.format(f"cpu_{use}") for use in ("wio", "idle", "user", "system", "aidle"))
    cpu += "".join(speed.format(n) for n in ("sockets", "cores", "threads", "cpu_num", "cpu_speed"))
    memory = "".join(
        share.format(name)
        for name in (
            *("mem_total", "mem_free", "memory_cached", "mem_buffered", "mem_shared"),
            *("swap_total", "swap_free"),
        )
    )
    packets = "".join(
        speed.format(f"{what}_{way}{how}")
        for way in ("rx", "tx")
        for what, how in (("pkts", ""), ("pkts", "_err"), ("pkts", "_dropped"), ("bytes", ""))
    )
    group = (
        "<vm_group><name>g</name><vm_instance><vm_id>v</vm_id><interfaces><interface>"
        "<nicid>0</nicid><security_groups>web</security_groups><port_forwards><port_forward>"
        "<port_type>ssh</port_type><port_number>20122</port_number></port_forward></port_forwards>"
        "</interface></interfaces></vm_instance>"
        "<shared_ip><nicid>0</nicid><ip_address>10.0.0.1</ip_address></shared_ip></vm_group>"
    )
    whole = document(
        f"<stats><load>{load}</load><cpu>{cpu}</cpu><memory>{memory}</memory>"
        "<disk><disks><device>/dev/vda1</device><mount>/</mount><disk_total>9</disk_total>"
        "<disk_used>1</disk_used></disks></disk>"
        f"<netif><interfaces><device>eth0</device><status_flag>up</status_flag>{packets}"
        "</interfaces></netif></stats>",
        "<networks><network><name>n</name><provider_network_type>vlan</provider_network_type>"
        "<provider_physical_network>p</provider_physical_network>"
        "<provider_segmentation_id>7</provider_segmentation_id></network></networks>",
        "<tenants><tenant><name>t</name><deployments><deployment_name>d</deployment_name>"
        f"{group}</deployments></tenant></tenants>",
    )

    assert schema.validate_state(whole) == []
