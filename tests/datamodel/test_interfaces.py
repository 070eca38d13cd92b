"""Interfaces and static pools: how they are read, and how the ports that came of them are shown."""

from dataclasses import replace

import pytest
from lxml import etree

from esc_daemon.datamodel import opdata
from esc_daemon.datamodel.datastore import Datastore
from esc_daemon.datamodel.escevent import esc_event
from esc_daemon.datamodel.pools import MAX_ADDRESSES
from esc_daemon.datamodel.schema import Schema
from esc_daemon.domain.events import Event, EventType, VmRef
from esc_daemon.domain.intent import AddressPool, Deployment, FixedAddress, Interface
from esc_daemon.domain.record import InterfaceRecord
from esc_daemon.domain.specs import Address
from esc_daemon.netconf.errors import RpcError
from tests.datamodel.documents import ESC, GROUP, config, service
from tests.datamodel.test_opdata import RECORD, VM, in_tenant

FIRST = Address(
    ip_address="192.0.2.5", subnet_id="four", netmask="255.255.255.0", gateway="192.0.2.1"
)
SECOND = Address(ip_address="2001:db8::5", subnet_id="six", netmask="ffff:ffff:ffff:ffff::")
DUAL = InterfaceRecord(
    nicid=0,
    network="n",
    mac_address="fa:16:3e:00:00:01",
    port_security_enabled=False,
    security_groups=("web", "ssh"),
    allowed_addresses=("10.0.0.0/8", "203.0.113.7"),
).with_addresses((FIRST, SECOND))

DEPLOYMENT_PATH = (
    "/esc:esc_datamodel/esc:tenants/esc:tenant[esc:name='t']"
    "/esc:deployments/esc:deployment[esc:name='d']: "
)


OUTSIDE = (
    "vm_group g: 2 in its address pool of n, 10.0.0.4 the first, are outside 192.0.2.0/24,"
    " where the pool's gateway is"
)


def with_interface(body: str) -> str:
    """Return a group whose one interface has *body*."""
    return GROUP.replace("<network>n</network>", f"<network>n</network>{body}")


def with_pools(body: str, group: str = GROUP) -> str:
    return group.replace("</max_active>", f"</max_active>{body}")


def bound(datastore: Datastore, body: str) -> Deployment:
    intent = datastore.edit(config(service(body))).intents[-1][1]
    assert isinstance(intent, Deployment)
    return intent


def warnings(datastore: Datastore, body: str) -> tuple[str, ...]:
    """Return the warnings, each without the path of the deployment, which it begins with."""
    found = datastore.edit(config(service(body))).warnings
    assert all(warning.startswith(DEPLOYMENT_PATH) for warning in found)
    return tuple(warning.removeprefix(DEPLOYMENT_PATH) for warning in found)


def shown(text: str) -> etree._Element:
    return etree.fromstring(f'<x xmlns="{ESC}">{text}</x>')


def values(element: etree._Element, path: str) -> list[str | None]:
    below = "/".join("{*}" + step for step in path.split("/"))
    return [each.text for each in element.iterfind(f".//{below}")]


def test_an_interface_is_bound_with_all_that_its_port_has(datastore: Datastore) -> None:
    body = (
        "<subnet>four</subnet><ip_address>192.0.2.5</ip_address>"
        "<mac_address>FA:16:3E:00:00:0A</mac_address>"
        "<port_security_enabled>true</port_security_enabled>"
        "<security_groups><security_group>web</security_group>"
        "<security_group>ssh</security_group></security_groups>"
        "<addresses><address><address_id>1</address_id><subnet>six</subnet></address>"
        "<address><address_id>0</address_id><ip_address>2001:DB8:0::5</ip_address></address>"
        "</addresses><allowed_address_pairs><network><name>n</name></network>"
        "<network><name>m</name></network>"
        "<address><ip_address>203.0.113.7</ip_address></address>"
        "<address><ip_address>10.1.2.3</ip_address><netmask>255.0.0.0</netmask></address>"
        "<address><ip_address>2001:db8::</ip_address><netmask>ffff:ffff::</netmask></address>"
        "</allowed_address_pairs>"
    )

    (interface,) = bound(datastore, with_interface(body)).groups[0].interfaces

    assert interface == Interface(
        nicid=0,
        network="n",
        subnet="four",
        ip_address="192.0.2.5",
        mac_address="fa:16:3e:00:00:0a",
        port_security_enabled=True,
        security_groups=("web", "ssh"),
        addresses=(
            FixedAddress(address_id=1, subnet="six"),
            FixedAddress(address_id=0, ip_address="2001:db8::5"),
        ),
        allowed_networks=("n", "m"),
        allowed_addresses=("203.0.113.7", "10.0.0.0/8", "2001:db8::/32"),
    )
    assert [each.address_id for each in interface.wanted] == [0, 0, 1]


@pytest.mark.parametrize("netmask", ["255.0.255.0", "ffff::"])
def test_an_allowed_address_with_a_mask_that_is_none_is_refused(
    datastore: Datastore, netmask: str
) -> None:
    body = (
        "<allowed_address_pairs><address><ip_address>10.0.0.0</ip_address>"
        f"<netmask>{netmask}</netmask></address></allowed_address_pairs>"
    )

    with pytest.raises(RpcError) as refused:
        bound(datastore, with_interface(body))

    assert refused.value.tag == "invalid-value"
    assert refused.value.path is not None
    assert refused.value.path.endswith(
        "/esc:interface[esc:nicid='0']/esc:allowed_address_pairs"
        "/esc:address[esc:ip_address='10.0.0.0']/esc:netmask"
    )


def test_a_pool_may_have_both_versions_and_is_cut_off_in_each(datastore: Datastore) -> None:
    pool = (
        "<static_ip_address_pool><network>n</network><ip_address>192.0.2.250</ip_address>"
        "<ip_address>192.0.2.251</ip_address><ip_address_range><start>10.0.0.0</start>"
        "<end>10.255.255.255</end></ip_address_range><ip_address_range>"
        "<start>2001:DB8::1</start><end>2001:db8::2</end></ip_address_range>"
        "</static_ip_address_pool>"
    )

    (found,) = bound(datastore, with_pools(pool)).groups[0].scaling.address_pools

    fourth = [each for each in found.addresses if "." in each]
    assert fourth[:3] == ["192.0.2.250", "192.0.2.251", "10.0.0.0"]
    assert len(fourth) == MAX_ADDRESSES
    assert found.addresses[-2:] == ("2001:db8::1", "2001:db8::2")


def test_an_address_that_stands_twice_in_a_pool_is_in_it_once(datastore: Datastore) -> None:
    pool = (
        "<static_ip_address_pool><network>n</network><ip_address>10.0.0.2</ip_address>"
        "<ip_address_range><start>10.0.0.1</start><end>10.0.0.3</end></ip_address_range>"
        "</static_ip_address_pool>"
    )

    (found,) = bound(datastore, with_pools(pool)).groups[0].scaling.address_pools

    assert found == AddressPool(network="n", addresses=("10.0.0.2", "10.0.0.1", "10.0.0.3"))


def test_pools_that_overlap_are_taken_with_a_warning_that_names_both(datastore: Datastore) -> None:
    pools = (
        "<static_ip_address_pool><network>n</network><ip_address_range><start>10.0.0.1</start>"
        "<end>10.0.0.9</end></ip_address_range></static_ip_address_pool>"
        "<static_mac_address_pool><network>n</network><mac_address>02:00:00:00:00:01</mac_address>"
        "</static_mac_address_pool>"
    )
    first = with_pools(pools)
    second = first.replace("<name>g</name>", "<name>h</name>").replace("10.0.0.1<", "10.0.0.8<")

    assert not warnings(datastore, first)
    assert warnings(datastore, first + second) == (
        "vm_group h: its address pool of n shares 2 with that of vm_group g, which draws first",
        "vm_group h: its MAC pool of n shares 1 with that of vm_group g, which draws first",
    )


@pytest.mark.parametrize(
    ("gateway", "netmask", "told"),
    [
        ("192.0.2.1", "255.255.255.0", (OUTSIDE,)),
        ("10.0.0.1", "255.255.255.0", ()),
        ("fd00::1", "ffff:ffff:ffff:ffff::", ()),
        ("192.0.2.1", "ffff::", ()),
        ("192.0.2.1", "", ()),
    ],
)
def test_an_address_of_a_pool_that_does_not_reach_its_gateway_is_warned_of(
    datastore: Datastore, gateway: str, netmask: str, told: tuple[str, ...]
) -> None:
    mask = f"<netmask>{netmask}</netmask>" if netmask else ""
    pool = (
        f"<static_ip_address_pool><network>n</network><gateway>{gateway}</gateway>{mask}"
        "<ip_address>10.0.0.4</ip_address><ip_address>10.0.0.5</ip_address>"
        "<ip_address>fd00::4</ip_address></static_ip_address_pool>"
    )

    assert warnings(datastore, with_pools(pool)) == told


def test_an_address_that_another_group_has_fixed_is_warned_of(datastore: Datastore) -> None:
    pool = (
        "<static_ip_address_pool><network>n</network><ip_address>10.0.0.4</ip_address>"
        "</static_ip_address_pool>"
    )
    fixed = with_interface("<ip_address>10.0.0.4</ip_address>")
    drawing = with_pools(pool).replace("<name>g</name>", "<name>h</name>")

    (warning,) = warnings(datastore, fixed + drawing)

    assert warning == "vm_group h: 10.0.0.4 is a fixed address and in the pool of n"


def test_opdata_shows_every_address_and_what_a_port_may_send(schema: Schema) -> None:
    vm = replace(VM, interfaces=(DUAL,))
    text = opdata.deployment(replace(RECORD, vms={VM.id: vm}))

    port = shown(text)
    assert values(port, "interface/ip_address") == ["192.0.2.5"]
    assert values(port, "addresses/address/address_id") == ["0", "1"]
    assert values(port, "addresses/address/ip_address") == ["192.0.2.5", "2001:db8::5"]
    assert values(port, "addresses/address/subnet") == ["four", "six"]
    assert values(port, "addresses/address/gateway") == ["192.0.2.1"]
    assert values(port, "interface/port_security_enabled") == ["false"]
    assert values(port, "interface/security_groups") == ["web", "ssh"]
    assert values(port, "allowed_address_pairs/address") == ["10.0.0.0/8", "203.0.113.7"]
    assert schema.validate_state(in_tenant(text)) == []


def test_an_event_tells_every_address_and_not_what_a_port_may_send(schema: Schema) -> None:
    source = VmRef(vmid=None, vmname="v", generated_vmname="v", interfaces=(DUAL,))
    event = etree.fromstring(
        esc_event(Event(type=EventType.VM_DEPLOYED, message="made", source=source))
    )

    assert values(event, "addresses/address/ip_address") == ["192.0.2.5", "2001:db8::5"]
    assert not values(event, "interface/security_groups")
    assert schema.validate_event(event) == []


@pytest.mark.parametrize("security", [None, True])
def test_a_port_with_one_address_and_nothing_unusual_shows_no_options(
    schema: Schema,
    security: bool | None,  # noqa: FBT001
) -> None:
    """True is the default of the YANG; None: the VIM has told nothing yet."""
    ports = tuple(replace(port, port_security_enabled=security) for port in VM.interfaces)
    text = opdata.deployment(replace(RECORD, vms={VM.id: replace(VM, interfaces=ports)}))

    assert ports
    assert "<addresses>" not in text
    assert "port_security_enabled" not in text
    assert schema.validate_state(in_tenant(text)) == []
