"""What an edit changes: nothing of an intent escapes the comparison, and each kind has its rule."""

from dataclasses import fields, replace
from typing import Any

import pytest

from esc_daemon.domain.changes import TABLE, ChangeKind, How, compared, replaced
from esc_daemon.domain.errors import Node
from esc_daemon.domain.ids import VmGroupName
from esc_daemon.domain.intent import (
    AddressPool,
    DayZero,
    Deployment,
    FixedAddress,
    GroupVolume,
    Hook,
    Interface,
    Locator,
    Network,
    RecoveryPolicy,
    Scaling,
    Startup,
    Subnet,
    VmGroup,
)
from tests.domain.stories import LIFE, LIFE_RULE, a_deployment, a_group, a_network

POOL = AddressPool(network="net", addresses=("192.0.2.9",))
GROUP: dict[str, Any] = {
    "image": "other",
    "flavor": "big",
    "locator": Locator(vim_id="far"),
    "bootup_time": 7,
    "recovery_wait_time": 7,
    "reboot_time": 7,
    "interfaces": (Interface(nicid=7, network="net"),),
    "kpis": (LIFE, replace(LIFE, event_name="CPU")),
    "monitoring_enabled": False,
    "rules": (LIFE_RULE, replace(LIFE_RULE, event_name="CPU")),
    "scaling": Scaling(min_active=2, max_active=2),
    "recovery": RecoveryPolicy(max_retries=7),
    "day_zero": (DayZero(dst="a.txt", data="a"),),
    "software_version": "2",
    "hooks": (Hook(condition="LCS::PRE_DEPLOY", action="say"),),
    "volumes": (GroupVolume(name="data"),),
}
SCALING: dict[str, Any] = {
    "min_active": 0,
    "max_active": 7,
    "elastic": False,
    "address_pools": (POOL,),
    "mac_pools": (replace(POOL, addresses=("02:00:00:00:00:01",)),),
}
PORT: dict[str, Any] = {
    "network": "other",
    "type": "direct",
    "model": "e1000",
    "ip_address": "192.0.2.7",
    "mac_address": "02:00:00:00:00:07",
    "subnet": "s",
    "addresses": (FixedAddress(subnet="s"),),
}
OPTIONS: dict[str, Any] = {
    "admin_state_up": False,
    "port_security_enabled": False,
    "security_groups": ("web",),
    "allowed_networks": ("net",),
    "allowed_addresses": ("192.0.2.8",),
}
SUBNET: dict[str, Any] = {
    "address": "198.51.100.0",
    "netmask": "255.255.0.0",
    "gateway": "192.0.2.1",
    "no_gateway": True,
    "dhcp": False,
    "ip_version": "ipv6",
}
NETWORK: dict[str, Any] = {
    "shared": False,
    "admin_state": False,
    "vlan_id": 7,
    "provider_network_type": "vlan",
    "provider_physical_network": "phys",
    "provider_segmentation_id": 7,
}
WEB = VmGroupName("web")
NIC = Interface(nicid=0, network="net")


IN_PLACE = {"shared", "admin_state", "gateway", "no_gateway", "dhcp"}


def kinds(old: Deployment, new: Deployment) -> list[ChangeKind]:
    return [change.kind for change in compared(old, new)]


@pytest.mark.parametrize("field", [f.name for f in fields(VmGroup) if f.name != "name"])
def test_no_field_of_a_group_escapes(field: str) -> None:
    old = a_group("web", "net")
    (change,) = compared(a_deployment(old), a_deployment(replace(old, **{field: GROUP[field]})))[:1]
    assert change.group == "web"
    assert change.path[0] == Node("vm_group", "web")


def test_other_hooks_of_a_deployment_are_a_change_of_none_of_its_groups() -> None:
    (change,) = compared(a_deployment(), a_deployment(hooked=True))[1:]
    assert (change.kind, change.path, change.group) == (ChangeKind.HOOKS, (Node("policies"),), None)


@pytest.mark.parametrize("field", [f.name for f in fields(Scaling)])
def test_no_field_of_scaling_escapes(field: str) -> None:
    old = a_group("web", "net")
    new = replace(old, scaling=replace(old.scaling, **{field: SCALING[field]}))
    pools = field.endswith("pools")
    kind = ChangeKind.POOLS if pools else ChangeKind.SCALING
    assert kinds(a_deployment(old), a_deployment(new)) == [kind]


@pytest.mark.parametrize("field", [f.name for f in fields(Interface) if f.name != "nicid"])
def test_no_field_of_an_interface_escapes(field: str) -> None:
    new = replace(NIC, **{field: (PORT | OPTIONS)[field]})
    old_group, new_group = (replace(a_group("web"), interfaces=(nic,)) for nic in (NIC, new))
    kind = ChangeKind.INTERFACE_REPLACED if field in PORT else ChangeKind.INTERFACE_OPTIONS
    (change,) = compared(a_deployment(old_group), a_deployment(new_group))
    assert change.kind is kind
    assert change.path[-1] == Node("interface", "0", "nicid")
    assert replaced(NIC, new) is (field in PORT)


@pytest.mark.parametrize("field", [f.name for f in fields(Network) if f.name != "name"])
def test_no_field_of_a_network_escapes(field: str) -> None:
    old = a_network("own", "a")
    news: dict[str, Any] = {"subnets": a_network("own", "a", "b").subnets} | NETWORK
    new = replace(old, **{field: news[field]})
    kind = ChangeKind.NETWORK if field in IN_PLACE else ChangeKind.NETWORK_FIXED
    kind = ChangeKind.SUBNET_ADDED if field == "subnets" else kind
    assert kinds(a_deployment(networks=(old,)), a_deployment(networks=(new,))) == [kind]


@pytest.mark.parametrize(
    "field", [f.name for f in fields(Subnet) if f.name not in {"name", "network"}]
)
def test_no_field_of_a_subnet_escapes(field: str) -> None:
    old = a_network("own", "a")
    new = replace(old, subnets=(replace(old.subnets[0], **{field: SUBNET[field]}),))
    found = kinds(a_deployment(networks=(old,)), a_deployment(networks=(new,)))
    assert found == [ChangeKind.SUBNET if field in IN_PLACE else ChangeKind.SUBNET_FIXED]


def test_what_is_added_and_removed_is_named_with_its_path() -> None:
    old = a_deployment(a_group("web"), networks=(a_network("a"),))
    new = a_deployment(a_group("db"), networks=(a_network("b"),))
    assert [(c.kind, c.path) for c in compared(old, new)] == [
        (ChangeKind.NETWORK_REMOVED, (Node("networks"), Node("network", "a"))),
        (ChangeKind.NETWORK_ADDED, (Node("networks"), Node("network", "b"))),
        (ChangeKind.GROUP_REMOVED, (Node("vm_group", "web"),)),
        (ChangeKind.GROUP_ADDED, (Node("vm_group", "db"),)),
    ]


def test_another_order_of_lists_is_no_change() -> None:
    a, b = a_group("web"), a_group("db")
    nets = a_network("x", "a", "b"), a_network("y")
    other = a_network("x", "b", "a")
    old, new = a_deployment(a, b, networks=nets), a_deployment(b, a, networks=(nets[1], other))
    assert old != new
    assert not compared(old, new)


def test_another_order_of_start_is_a_change() -> None:
    old = a_deployment(a_group("web"), a_group("db"))
    new = replace(old, startup=(Startup(group=WEB, depends_on=()),))
    assert kinds(old, new) == [ChangeKind.STARTUP]


def test_each_kind_has_a_rule_that_says_what_comes_of_it() -> None:
    assert set(TABLE) == set(ChangeKind)
    assert all(rule.does for rule in TABLE.values())
    assert not [r for r in TABLE.values() if r.how is How.REFUSED and r.update_type]
