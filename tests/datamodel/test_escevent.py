from dataclasses import fields

from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from esc_daemon.datamodel.escevent import esc_event
from esc_daemon.datamodel.schema import Schema
from esc_daemon.domain.events import Event, EventStatus, EventType, VmRef
from esc_daemon.domain.ids import DeploymentId, DeploymentName, TenantName, VimId, VmGroupName
from esc_daemon.domain.record import InterfaceRecord
from tests.datamodel.documents import ESC

NAME = "dep_group_0_46e607a8-b797-4056-96f3-42a90a63b555"
NOT_SENT = {"stream", "audience", "operation", "vim"}


def full() -> Event:
    vm = VmRef(
        vmid="6b0e7179-fd5e-487e-9570-e7ba98cce0ec",
        vmname=NAME,
        generated_vmname=NAME,
        vim_id="CSP-1",
        vim_project="CSP-1",
        vim_project_id="7d61b5de73874f88a458d486759a9b83",
        hostid="h",
        hostname="host",
        interfaces=(
            InterfaceRecord(
                nicid=0,
                network="Eth0-2",
                type="access",
                port_id="p",
                subnet_id="s",
                ip_address="192.168.23.62",
                netmask="255.255.255.0",
                mac_address="fa:16:3e:00:00:01",
                gateway="192.168.23.1",
            ),
        ),
    )
    return Event(
        type=EventType.VM_DEPLOYED,
        message="made",
        tenant=TenantName("demo"),
        tenant_id="demo",
        deployment=DeploymentName("dep"),
        deployment_id=DeploymentId("06c94f58-b753-425b-b97c-f7adb9140ead"),
        vm_group=VmGroupName("group"),
        vm_update_type="LOCATOR_UPDATED",
        network="net",
        subnet="sub",
        image="img",
        flavor="fla",
        volume="vol",
        vim_connector_id=VimId("CSP-2"),
        source=vm,
        target=VmRef(vmid=None, vmname=NAME, generated_vmname=NAME),
        details="more",
    )


def names(element: etree._Element) -> list[str]:
    return [etree.QName(child).localname for child in element]


def test_fields_stand_in_the_order_that_clients_know(schema: Schema) -> None:
    event = etree.fromstring(esc_event(full()))

    assert event.tag == f"{{{ESC}}}escEvent"
    assert names(event) == [
        *("status", "status_code", "status_message", "vm_update_type"),
        *("network", "subnet", "image", "flavor", "volume"),
        *(
            "vim_connector_id",
            "depname",
            "tenant",
            "tenant_id",
            "depid",
            "vm_group",
            "vm_source",
            "vm_target",
        ),
        "event",
    ]
    assert names(event.find("{*}vm_source")) == [
        *("vmid", "vmname", "generated_vmname", "vim_id", "vim_project", "vim_project_id"),
        *("hostid", "hostname", "interfaces"),
    ]
    assert schema.validate_event(event) == []


def test_every_field_of_an_event_is_sent() -> None:
    sent = esc_event(full()).decode()

    for field in fields(Event):
        if field.name in NOT_SENT:
            continue
        value = getattr(full(), field.name)
        assert value is not None, f"{field.name} is missing in this test"
        told = value.vmname if isinstance(value, VmRef) else str(value)
        assert f">{told}<" in sent, field.name


def test_what_is_empty_is_left_out_and_the_code_is_there(schema: Schema) -> None:
    event = Event(type=EventType.SERVICE_ALIVE, message="", status=EventStatus.SUCCESS)

    sent = esc_event(event)

    assert sent.decode() == (
        f'<escEvent xmlns="{ESC}"><status>SUCCESS</status><status_code>200</status_code>'
        "<status_message></status_message><event><type>SERVICE_ALIVE</type></event></escEvent>"
    )
    assert schema.validate_event(etree.fromstring(sent)) == []


def test_a_vm_is_named_as_in_the_guide_for_csp() -> None:
    event = Event(
        type=EventType.SERVICE_UNDEPLOYED,
        message=f"Recovery: Recovery completed with errors for VM: [{NAME}]",
        status=EventStatus.FAILURE,
        status_code=500,
        tenant=TenantName("demo"),
        source=VmRef(
            vmid="6b0e7179-fd5e-487e-9570-e7ba98cce0ec",
            vmname=NAME,
            generated_vmname=NAME,
            vim_id="CSP-1",
            vim_project="CSP-1",
        ),
        target=VmRef(vmid=None, vmname=NAME, generated_vmname=NAME),
    )

    sent = esc_event(event).decode()

    assert (
        "<vm_source><vmid>6b0e7179-fd5e-487e-9570-e7ba98cce0ec</vmid>"
        f"<vmname>{NAME}</vmname><generated_vmname>{NAME}</generated_vmname>"
        "<vim_id>CSP-1</vim_id><vim_project>CSP-1</vim_project></vm_source>"
        f"<vm_target><vmname>{NAME}</vmname><generated_vmname>{NAME}</generated_vmname></vm_target>"
    ) in sent


def test_details_are_cut_to_what_the_yang_allows(schema: Schema) -> None:
    event = Event(type=EventType.VM_ALIVE, message="m", details="x" * 5000)

    assert schema.validate_event(etree.fromstring(esc_event(event))) == []


@settings(max_examples=100, deadline=None)
@given(
    type_=st.sampled_from(EventType),
    status=st.sampled_from(EventStatus),
    message=st.text(max_size=60),
    tenant=st.none() | st.text(max_size=10),
    hostname=st.text(max_size=10),
)
def test_any_event_is_what_the_yang_says(
    schema: Schema,
    type_: EventType,
    status: EventStatus,
    message: str,
    tenant: str | None,
    hostname: str,
) -> None:
    event = Event(
        type=type_,
        status=status,
        message=message,
        tenant=None if tenant is None else TenantName(tenant),
        source=VmRef(vmid=None, vmname=NAME, generated_vmname=NAME, hostname=hostname),
    )

    read = etree.fromstring(esc_event(event))

    assert schema.validate_event(read) == []
    if message.isprintable():
        assert (read.findtext("{*}status_message") or "") == message


def test_all_that_an_event_may_say_is_within_the_yang(schema: Schema) -> None:
    interface = "".join(
        f"<{name}>{value}</{name}>"
        for name, value in (
            *(("nicid", "0"), ("type", "access"), ("model", "virtio"), ("port_id", "p")),
            *(("admin_state_up", "true"), ("network", "Eth0-2"), ("subnet", "")),
            *(("ip_address", "192.0.2.1"), ("mac_address", "fa:16:3e:00:00:01")),
            *(("netmask", "255.255.255.0"), ("gateway", "192.0.2.254")),
        )
    )
    vm = "".join(
        f"<{name}>x</{name}>"
        for name in (
            *("vmid", "vmname", "generated_vmname", "vim_id", "vim_project", "vim_project_id"),
            *("hostid", "hostname"),
        )
    )
    vm += f"<interfaces><interface>{interface}</interface></interfaces>"
    head = "".join(
        f"<{name}>x</{name}>"
        for name in (
            *("vm_update_type", "network", "subnet", "image", "flavor", "volume"),
            *("vim_connector_id", "host", "svcname", "svcversion", "depname", "tenant"),
            *("tenant_id", "svcid", "depid", "vm_group"),
        )
    )
    event = etree.fromstring(
        f'<escEvent xmlns="{ESC}"><status>SUCCESS</status><status_code>200</status_code>'
        f"<status_message>m</status_message>{head}<vm_source>{vm}</vm_source>"
        f"<vm_target>{vm}</vm_target><event><type>VM_UPDATED</type><name>VM_ALIVE</name>"
        "<threshold>1</threshold><value>0</value><details>d</details></event></escEvent>"
    )

    assert schema.validate_event(event) == []
