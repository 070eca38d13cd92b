"""What a new VM gets and what is left of one: addresses, numbers, leftovers (rulings 8 and 20)."""

from dataclasses import replace

import pytest

from esc_daemon.domain.errors import Refused
from esc_daemon.domain.ids import VmId
from esc_daemon.domain.intent import (
    FixedAddress,
)
from esc_daemon.domain.placing import MAX_VMS, another_vm
from esc_daemon.domain.states import ServiceState
from tests.domain.elastic import (
    IN,
    OUT_FAILED,
    addresses,
    elastic,
    overload,
    settle,
    the_vms,
    underload,
    up,
)
from tests.domain.stories import SHOP


def test_a_static_pool_that_is_used_up_fails_the_scaling_and_is_not_asked_at_each_poll() -> None:
    # given
    world = up(elastic("net", pool=("192.0.2.10",)))
    # when
    for _ in range(5):
        overload(world)
        world.sleep(3)
    # then
    assert world.types() == OUT_FAILED
    assert world.log[-1].message == (
        "VM scaled out failed: the static pool of network net in vm_group web has fewer free IPv4"
        " addresses than one VM more needs"
    )
    assert len(world.vim.servers) == 1


def test_an_address_that_a_vm_gave_back_is_given_out_last() -> None:
    # given
    pool = tuple(f"192.0.2.{host}" for host in range(10, 13))
    world = up(elastic("net", least=1, most=3, pool=pool))
    overload(world)
    settle(world)
    underload(world)
    settle(world)
    assert addresses(world) == [pool[1]]
    # when
    overload(world)
    settle(world)
    overload(world)
    settle(world)
    # then
    assert addresses(world) == [pool[1], pool[2], pool[0]]
    # and of two that are free the one that has been so for longer comes first
    first, second, _ = the_vms(world)
    for vm in (second, first):
        underload(world, vm)
        settle(world)
    overload(world)
    world.rest()
    assert addresses(world) == [pool[0], pool[2]]


def test_the_same_address_may_be_in_two_networks() -> None:
    # given: two networks with pools of the same range
    pool = ("192.0.2.10", "192.0.2.11")
    group = elastic("a", "b", pool=pool)
    pools = tuple(replace(group.scaling.address_pools[0], network=each) for each in "ab")
    world = up(replace(group, scaling=replace(group.scaling, address_pools=pools)))
    # when
    overload(world)
    world.rest()
    # then
    assert [each.ip_address for each in the_vms(world)[1].interfaces] == [pool[1], pool[1]]


def test_no_number_and_no_name_comes_again_but_what_is_dealt_out_by_number_does() -> None:
    # given: a fixed address is the first VM's
    group = elastic("net", least=1, most=2)
    fixed = replace(
        group.interfaces[0], addresses=(FixedAddress(ip_address="192.0.2.99", subnet="s"),)
    )
    world = up(replace(group, interfaces=(fixed,)))
    names = {the_vms(world)[0].name}
    overload(world)
    settle(world)
    names.add(the_vms(world)[1].name)
    # when: the first VM leaves and another one comes
    underload(world)
    settle(world)
    overload(world)
    world.rest()
    # then
    last = the_vms(world)[-1]
    names.add(last.name)
    assert len(names) == 3
    assert (last.index, last.seat) == (2, 0)
    assert last.interfaces[0].ip_address == "192.0.2.99"


def test_a_deployment_has_at_most_so_many_vms() -> None:
    world = up(elastic(most=MAX_VMS + 1))
    record = world.deployment(SHOP)
    (vm,) = the_vms(world)
    full = replace(record, vms={VmId(str(n)): replace(vm, index=n) for n in range(MAX_VMS)})
    assert record.intent is not None
    with pytest.raises(Refused, match="has 500 VMs, which is the limit"):
        another_vm(full, record.intent.groups[0])


def test_a_vm_that_the_vim_will_not_remove_is_a_leftover_and_none_of_the_group() -> None:
    # given
    world = up(elastic("net", least=1, most=2, pool=("192.0.2.10", "192.0.2.11")))
    overload(world)
    settle(world)
    world.log.clear()
    world.stuck = True
    # when
    underload(world)
    world.rest()
    # then
    record = world.deployment(SHOP)
    assert world.types() == [IN[0], f"{IN[1]} FAILURE"]
    assert "is left in VIM sim" in world.log[-1].message
    assert (record.state, record.error, len(record.vms)) == (ServiceState.ACTIVE, None, 1)
    (leftover,) = record.leftovers
    assert leftover.vm.scale is None
    # and its address is taken until it has gone
    world.sleep(60)
    overload(world)
    assert world.types()[2:] == OUT_FAILED
    world.stuck = False
    settle(world)
    assert not world.deployment(SHOP).leftovers
    overload(world)
    world.rest()
    assert addresses(world) == ["192.0.2.11", "192.0.2.10"]
