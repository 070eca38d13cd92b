"""From an intent to VMs, names and addresses; one entry to several records; ids."""

from dataclasses import replace
from typing import Final
from uuid import uuid5

import hypothesis.strategies as st
import pytest
from hypothesis import given

from esc_daemon.domain.decompose import decompose
from esc_daemon.domain.errors import Refused
from esc_daemon.domain.ids import Key, Kind, RecordId, VmGroupName, derived, joined, parts_of
from esc_daemon.domain.intent import AddressPool, Deployment, Interface, Scaling, VmGroup
from esc_daemon.domain.placing import MAX_VMS, network_key, owned_by, vms_of
from tests.domain.pure_world import VIM, World
from tests.domain.stories import (
    ONE,
    SHOP,
    TWO,
    a_deployment,
    a_group,
    a_network,
    a_subnet,
    net_key,
)

POOL: Final = ("192.0.2.10", "192.0.2.11", "192.0.2.12")


def addresses(deployment: Deployment) -> list[str | None]:
    return [
        i.ip_address for vm in vms_of(SHOP, ONE, deployment, VIM).values() for i in vm.interfaces
    ]


def macs(deployment: Deployment) -> list[str | None]:
    return [
        i.mac_address for vm in vms_of(SHOP, ONE, deployment, VIM).values() for i in vm.interfaces
    ]


def test_a_vm_is_named_after_deployment_group_index_and_its_id() -> None:
    vms = list(vms_of(SHOP, ONE, a_deployment(a_group("web", vms=2)), VIM).values())
    assert [vm.name for vm in vms] == [f"shop_web_{i}_{vm.id}" for i, vm in enumerate(vms)]
    assert [vm.id for vm in vms] == [derived(ONE, "vm", "web", i) for i in range(2)]


def test_another_incarnation_has_other_vms() -> None:
    shop = a_deployment(a_group(vms=2))
    assert not set(vms_of(SHOP, ONE, shop, VIM)) & set(vms_of(SHOP, TWO, shop, VIM))


def test_a_static_pool_is_drawn_from_in_order() -> None:
    assert addresses(a_deployment(a_group("web", "net", vms=3, pool=POOL))) == list(POOL)


def test_two_interfaces_share_the_pool_of_their_network() -> None:
    group = a_group("web", "net", "net", vms=1, pool=POOL)
    assert addresses(a_deployment(group)) == [*POOL[:2]]


def test_a_pool_that_is_too_small_is_refused_with_its_network_and_group() -> None:
    with pytest.raises(Refused, match=r"network net in vm_group web .* min_active 4") as refused:
        vms_of(SHOP, ONE, a_deployment(a_group("web", "net", vms=4, pool=POOL)), VIM)
    assert refused.value.tag == "resource-denied"


def test_equal_fixed_addresses_on_two_nicids_are_accepted() -> None:
    fixed = tuple(Interface(nicid=i, network="net", ip_address=POOL[0]) for i in range(2))
    group = replace(a_group("web", "net", pool=POOL), interfaces=fixed)
    assert addresses(a_deployment(group)) == [POOL[0], POOL[0]]


def test_a_fixed_address_goes_to_the_first_vm_and_leaves_the_pool() -> None:
    fixed = (Interface(nicid=0, network="net", ip_address=POOL[1]),)
    group = replace(a_group("web", "net", vms=3, pool=POOL), interfaces=fixed)
    assert addresses(a_deployment(group)) == [POOL[1], POOL[0], POOL[2]]


def test_a_fixed_address_without_a_pool_leaves_the_other_vms_to_the_vim() -> None:
    fixed = (Interface(nicid=0, network="net", ip_address=POOL[1]),)
    group = replace(a_group("web", "net", vms=2), interfaces=fixed)
    assert addresses(a_deployment(group)) == [POOL[1], None]


def test_a_mac_pool_never_gives_a_fixed_mac_a_second_time() -> None:
    ours = tuple(f"02:00:00:00:00:0{i}" for i in range(3))
    group = VmGroup(
        name=VmGroupName("web"),
        interfaces=(Interface(nicid=0, network="net", mac_address=ours[0]),),
        scaling=Scaling(
            min_active=3, max_active=3, mac_pools=(AddressPool(network="net", addresses=ours),)
        ),
    )
    assert macs(a_deployment(group)) == list(ours)


def test_a_deployment_has_at_most_500_vms() -> None:
    assert len(vms_of(SHOP, ONE, a_deployment(a_group(vms=MAX_VMS)), VIM)) == 500
    with pytest.raises(Refused, match="501 VMs, the limit is 500"):
        vms_of(SHOP, ONE, a_deployment(a_group("web", vms=MAX_VMS), a_group("db", vms=1)), VIM)


def test_a_refused_deployment_leaves_no_network_behind() -> None:
    world = World()
    with pytest.raises(Refused):
        world.apply({SHOP: a_deployment(a_group(vms=501), networks=(a_network("own", "a"),))})
    assert not world.records
    assert not world.log


def test_a_deployment_brings_its_networks_and_their_subnets() -> None:
    shop = a_deployment(networks=(a_network("own", "a", "b"),))
    told = decompose(SHOP, shop, None, ONE, VIM)
    own = network_key(SHOP, "own")
    assert [key for key, _ in told] == [
        SHOP,
        own,
        own._replace(kind=Kind.SUBNET, name=f"{own.name}/a"),
        own._replace(kind=Kind.SUBNET, name=f"{own.name}/b"),
    ]
    assert {trigger.owner for _, trigger in told[1:]} == {(SHOP, ONE)}
    assert [(key, trigger.id) for key, trigger in told[1:]] == list(owned_by(SHOP, ONE, shop))


def test_its_networks_leave_with_it() -> None:
    world = World()
    shop = a_deployment(networks=(a_network("own", "a"),))
    world.apply({SHOP: shop})
    told = decompose(SHOP, None, world.records[SHOP], TWO, VIM)
    assert len(told) == 3
    assert all(trigger.intent is None for _, trigger in told)
    assert [(k, t.id) for k, t in told[1:]] == list(owned_by(SHOP, world.records[SHOP].id, shop))


def test_the_same_deployment_again_touches_nothing_else() -> None:
    world = World()
    shop = a_deployment(networks=(a_network("own", "a"),))
    world.apply({SHOP: shop})
    before = dict(world.records)
    assert len(decompose(SHOP, shop, world.records[SHOP], TWO, VIM)) == 1
    world.apply({SHOP: shop})
    assert all(world.records[key] is record for key, record in before.items())


def test_a_network_that_changes_its_list_makes_and_removes_subnets() -> None:
    world = World()
    world.apply({net_key(): a_network("net", "a", "b")})
    told = decompose(net_key(), a_network("net", "b", "c"), world.records[net_key()], TWO, VIM)
    names = {key.name: trigger.intent for key, trigger in told}
    assert names == {
        "net": a_network("net", "b", "c"),
        "net/a": None,
        "net/b": a_subnet("b"),
        "net/c": a_subnet("c"),
    }
    ids = {key.name: trigger.id for key, trigger in told}
    assert ids["net/c"] == derived(world.records[net_key()].id, "subnet", "c")


def test_a_network_that_does_not_exist_leaves_nothing_to_do() -> None:
    assert len(decompose(net_key(), None, None, ONE, VIM)) == 1


@given(st.lists(st.text(), min_size=1, max_size=4))
def test_a_joined_name_can_be_taken_apart_again(parts: list[str]) -> None:
    assert parts_of(joined(*parts)) == tuple(parts)


@given(st.lists(st.text(), min_size=1, max_size=3), st.lists(st.text(), min_size=1, max_size=3))
def test_two_different_paths_never_join_to_one_name(one: list[str], other: list[str]) -> None:
    assert (joined(*one) == joined(*other)) is (one == other)


def test_a_subnet_of_an_ephemeral_network_is_told_from_a_deployment_with_slashes() -> None:
    key = Key(Kind.DEPLOYMENT, SHOP.tenant, "a/b")
    shop = a_deployment(name="a/b", networks=(a_network("c", "d/e"),))
    at, _ = owned_by(key, RecordId(ONE), shop)[1]
    assert parts_of(at.name) == ("a/b", "c", "d/e")


@given(st.uuids(), st.text())
def test_an_id_is_the_name_based_uuid_of_rfc_9562(parent, step):
    assert derived(str(parent), "vm", step) == str(uuid5(parent, f"vm\x1f{step}"))
