"""What the VMs of a deployment draw from static pools, and what they leave to the VIM."""

from dataclasses import replace
from ipaddress import ip_address
from typing import Final

import hypothesis.strategies as st
import pytest
from hypothesis import given

from esc_daemon.domain.errors import Refused
from esc_daemon.domain.ids import VmGroupName
from esc_daemon.domain.intent import (
    AddressPool,
    Deployment,
    FixedAddress,
    Interface,
    Network,
    Scaling,
    Subnet,
    VmGroup,
)
from esc_daemon.domain.placing import vms_of
from esc_daemon.domain.policy import Attempt
from esc_daemon.domain.record import InterfaceRecord, Leftover
from esc_daemon.domain.specs import Address
from tests.domain.pure_world import START, VIM
from tests.domain.stories import ONE, SHOP, TWO, a_deployment

FOUR: Final = ("192.0.2.10", "192.0.2.11", "192.0.2.12")
SIX: Final = ("2001:db8::a", "2001:db8::b", "2001:db8::c")
MACS: Final = ("02:00:00:00:00:0a", "02:00:00:00:00:0b", "02:00:00:00:00:0c")


def pool(*addresses: str, network: str = "net", **changes: str) -> AddressPool:
    return AddressPool(network=network, addresses=addresses, **changes)


def group(
    *interfaces: Interface,
    name: str = "web",
    vms: int = 1,
    pools: tuple[AddressPool, ...] = (),
    macs: tuple[AddressPool, ...] = (),
) -> VmGroup:
    return VmGroup(
        name=VmGroupName(name),
        interfaces=interfaces or (Interface(nicid=0, network="net"),),
        scaling=Scaling(min_active=vms, max_active=vms, address_pools=pools, mac_pools=macs),
    )


def interfaces(deployment: Deployment) -> list[InterfaceRecord]:
    return [each for vm in vms_of(SHOP, ONE, deployment, VIM).values() for each in vm.interfaces]


def texts(deployment: Deployment) -> list[tuple[str | None, ...]]:
    """Return the addresses of each interface of each VM."""
    return [tuple(a.ip_address for a in each.addresses) for each in interfaces(deployment)]


def listed(*wanted: FixedAddress, **changes: str) -> Interface:
    return Interface(nicid=0, network="net", addresses=wanted, **changes)  # type: ignore[arg-type]


def test_a_pool_of_both_versions_gives_one_of_each() -> None:
    both = group(vms=2, pools=(pool(*FOUR, *SIX),))
    assert texts(a_deployment(both)) == [(FOUR[0], SIX[0]), (FOUR[1], SIX[1])]


def test_mac_addresses_are_drawn_in_step() -> None:
    web = group(vms=3, pools=(pool(*FOUR),), macs=(pool(*MACS),))
    pairs = [(each.ip_address, each.mac_address) for each in interfaces(a_deployment(web))]
    assert pairs == list(zip(FOUR, MACS, strict=True))


def test_too_few_mac_addresses_are_refused_as_such() -> None:
    with pytest.raises(Refused, match="fewer free MAC addresses than min_active 4"):
        vms_of(SHOP, ONE, a_deployment(group(vms=4, macs=(pool(*MACS),))), VIM)


def test_too_few_addresses_of_one_version_are_refused() -> None:
    web = group(vms=2, pools=(pool(*FOUR, SIX[0]),))
    with pytest.raises(Refused, match=r"network net in vm_group web .* free IPv6 addresses"):
        vms_of(SHOP, ONE, a_deployment(web), VIM)


def test_mask_and_gateway_of_the_pool_go_with_the_addresses_of_their_version() -> None:
    both = pool(FOUR[0], SIX[0], netmask="255.255.255.0", gateway="192.0.2.1")
    (drawn,) = interfaces(a_deployment(group(pools=(both,))))
    assert drawn.addresses == (
        Address(ip_address=FOUR[0], netmask="255.255.255.0", gateway="192.0.2.1"),
        Address(ip_address=SIX[0]),
    )


def test_a_fixed_address_has_the_mask_and_gateway_of_the_pool_as_well() -> None:
    web = group(
        Interface(nicid=0, network="net", ip_address=FOUR[0]),
        pools=(pool(FOUR[0], netmask="255.255.255.0"),),
    )
    (only,) = interfaces(a_deployment(web))
    assert (only.ip_address, only.netmask) == (FOUR[0], "255.255.255.0")


def test_groups_whose_pools_overlap_draw_from_what_is_left() -> None:
    web = group(name="web", vms=2, pools=(pool(*FOUR),), macs=(pool(*MACS),))
    db = group(name="db", pools=(pool(*FOUR),), macs=(pool(*MACS),))
    shop = a_deployment(web, db)
    assert [each for (each,) in texts(shop)] == list(FOUR)
    assert [each.mac_address for each in interfaces(shop)] == list(MACS)


def test_groups_in_networks_of_their_own_may_have_one_address() -> None:
    web = group(name="web", pools=(pool(FOUR[0]),))
    other = Interface(nicid=0, network="other")
    db = group(other, name="db", pools=(pool(FOUR[0], network="other"),))
    assert texts(a_deployment(web, db)) == [(FOUR[0],), (FOUR[0],)]


def test_what_is_fixed_in_a_later_group_is_not_drawn() -> None:
    web = group(name="web", pools=(pool(*FOUR),))
    db = group(Interface(nicid=0, network="net", ip_address=FOUR[0]), name="db")
    assert texts(a_deployment(web, db)) == [(FOUR[1],), (FOUR[0],)]


def test_listed_addresses_are_asked_for_in_the_order_of_their_ids() -> None:
    six = FixedAddress(address_id=1, subnet="six")
    four = FixedAddress(address_id=0, subnet="four", ip_address=FOUR[0])
    (only,) = interfaces(a_deployment(group(listed(six, four))))
    assert only.addresses == (Address(subnet="four", ip_address=FOUR[0]), Address(subnet="six"))


def test_the_address_of_the_interface_comes_before_the_list_and_once() -> None:
    again = FixedAddress(address_id=4, subnet="four", ip_address=FOUR[0])
    other = FixedAddress(address_id=5, ip_address=SIX[0])
    assert texts(a_deployment(group(listed(again, other, ip_address=FOUR[0])))) == [
        (FOUR[0], SIX[0])
    ]
    assert texts(a_deployment(group(listed(other, ip_address=FOUR[0])))) == [(FOUR[0], SIX[0])]


def test_listed_addresses_are_those_of_the_first_vm() -> None:
    four = FixedAddress(address_id=0, subnet="four", ip_address=FOUR[0])
    six = FixedAddress(address_id=1, ip_address=SIX[0])
    first, second = interfaces(a_deployment(group(listed(four, six), vms=2)))
    assert [each.ip_address for each in first.addresses] == [FOUR[0], SIX[0]]
    assert second.addresses == (Address(subnet="four"),)


def test_the_others_draw_what_the_first_vm_has_fixed_and_what_is_beside_it() -> None:
    one = Interface(nicid=0, network="net", ip_address=FOUR[0])
    web = group(one, vms=2, pools=(pool(*FOUR, *SIX),))
    assert texts(a_deployment(web)) == [(FOUR[0], SIX[0]), (FOUR[1], SIX[1])]


@pytest.mark.parametrize("known", [True, False])
def test_a_chosen_subnet_draws_from_the_pool(*, known: bool) -> None:
    subnets = tuple(
        Subnet(name=name, network="net", address="x", netmask="x", ip_version=version)
        for name, version in (("four", "ipv4"), ("six", "ipv6"))
    )
    networks = (Network(name="net", subnets=subnets),) if known else ()
    six, four = FixedAddress(address_id=1, subnet="six"), FixedAddress(address_id=2, subnet="four")
    web = group(listed(six, four), pools=(pool(*SIX, *FOUR),))
    (only,) = interfaces(a_deployment(web, networks=networks))
    assert only.addresses == (
        Address(subnet="six", ip_address=SIX[0]),
        Address(subnet="four", ip_address=FOUR[0]),
    )


def test_a_subnet_of_a_version_that_the_pool_has_not_is_left_to_the_vim() -> None:
    six = Subnet(name="six", network="net", address="x", netmask="x", ip_version="ipv6")
    web = group(listed(FixedAddress(subnet="six")), pools=(pool(*FOUR),))
    (only,) = interfaces(a_deployment(web, networks=(Network(name="net", subnets=(six,)),)))
    assert only.addresses == (Address(subnet="six"),)


DUAL: Final = Network(
    name="net",
    subnets=tuple(
        Subnet(name=name, network="net", address="x", netmask="x", ip_version=version)
        for name, version in (("four", "ipv4"), ("six", "ipv6"))
    ),
)


@pytest.mark.parametrize(
    "interface",
    [Interface(nicid=0, network="net", subnet="six"), listed(FixedAddress(subnet="six"))],
)
def test_an_interface_that_names_a_subnet_draws_nothing_of_the_other_version(
    interface: Interface,
) -> None:
    web = group(interface, vms=3, pools=(pool(FOUR[0], *SIX),))
    assert texts(a_deployment(web, networks=(DUAL,))) == [(each,) for each in SIX]


def test_an_interface_that_lists_an_address_draws_nothing_beside_it() -> None:
    fixed = listed(FixedAddress(ip_address=FOUR[0]))
    web = group(fixed, vms=2, pools=(pool(*FOUR, SIX[0]),))
    assert texts(a_deployment(web)) == [(FOUR[0],), (FOUR[1],)]


NUMBERS = st.integers(1, 24)
NETWORKS = st.sampled_from(["net", "other"])


def v4(number: int) -> str:
    return f"192.0.2.{number}"


def v6(number: int) -> str:
    return str(ip_address(0xFD00 << 112 | number))


def mac(number: int) -> str:
    return f"02:00:00:00:00:{number:02x}"


ADDRESSES = st.one_of(NUMBERS.map(v4), NUMBERS.map(v6))
AN_INTERFACE = st.builds(
    Interface,
    nicid=st.just(0),
    network=NETWORKS,
    ip_address=st.none() | ADDRESSES,
    mac_address=st.none() | NUMBERS.map(mac),
)


def some_pools(addresses: st.SearchStrategy[str]) -> st.SearchStrategy[tuple[AddressPool, ...]]:
    one = st.lists(addresses, unique=True, max_size=12).map(tuple)
    return st.dictionaries(NETWORKS, one).map(
        lambda found: tuple(AddressPool(network=n, addresses=a) for n, a in found.items())
    )


@st.composite
def deployments(draw: st.DrawFn) -> Deployment:
    groups = []
    for name in draw(st.lists(st.sampled_from("abc"), unique=True, min_size=1)):
        ports = draw(st.lists(AN_INTERFACE, max_size=3))
        numbered = tuple(replace(each, nicid=nicid) for nicid, each in enumerate(ports))
        groups.append(
            VmGroup(
                name=VmGroupName(name),
                interfaces=numbered,
                scaling=Scaling(
                    min_active=draw(st.integers(0, 4)),
                    address_pools=draw(some_pools(ADDRESSES)),
                    mac_pools=draw(some_pools(NUMBERS.map(mac))),
                ),
            )
        )
    return a_deployment(*groups)


@st.composite
def leftovers(draw: st.DrawFn) -> tuple[Leftover, ...]:
    held = draw(st.lists(st.tuples(NETWORKS, ADDRESSES, ADDRESSES, NUMBERS.map(mac)), max_size=3))
    found = []
    for network, first, second, mac_address in held:
        (vm,) = vms_of(SHOP, TWO, a_deployment(group()), VIM).values()
        port = InterfaceRecord(nicid=0, network=network, mac_address=mac_address)
        addresses = (Address(ip_address=first), Address(ip_address=second))
        attempt = Attempt(tries=1, first=START, next=START, give_up=START)
        found.append(
            Leftover(
                vm=replace(vm, interfaces=(port.with_addresses(addresses),)),
                deployment=TWO,
                attempt=attempt,
            )
        )
    return tuple(found)


@given(deployments(), leftovers())
def test_in_a_network_nothing_is_drawn_that_anybody_else_has(
    deployment: Deployment, left: tuple[Leftover, ...]
) -> None:
    try:
        vms = vms_of(SHOP, ONE, deployment, VIM, left)
    except Refused:
        return
    fixed = {
        (each.network, value)
        for group in deployment.groups
        for each in group.interfaces
        for value in (each.ip_address, each.mac_address)
    }
    held = {
        value
        for each in left
        for port in each.vm.interfaces
        for value in (port.mac_address, *(address.ip_address for address in port.addresses))
    }
    drawn = [
        (port.network, value)
        for vm in vms.values()
        for port in vm.interfaces
        for value in (port.mac_address, *(address.ip_address for address in port.addresses))
        if value is not None and (port.network, value) not in fixed
    ]
    assert len(set(drawn)) == len(drawn)
    assert not held & {value for _, value in drawn}


@given(deployments())
def test_whoever_has_a_pool_has_an_address_of_each_of_its_versions(deployment: Deployment) -> None:
    try:
        vms = vms_of(SHOP, ONE, deployment, VIM)
    except Refused:
        return
    offers = {
        (group.name, pool.network): {ip_address(each).version for each in pool.addresses}
        for group in deployment.groups
        for pool in group.scaling.address_pools
    }
    for vm in vms.values():
        for port in vm.interfaces:
            versions = [ip_address(a.ip_address or "").version for a in port.addresses]
            assert offers.get((vm.group, port.network), set()) <= set(versions)
            assert len(set(versions)) == len(versions)
