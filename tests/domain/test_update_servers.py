"""Updates of VMs that are there: their interfaces and their flavor."""

from dataclasses import replace

import pytest

from esc_daemon.domain.errors import Node, Refused
from esc_daemon.domain.ids import Key, Kind, OperationId, VmGroupName
from esc_daemon.domain.intent import (
    AddressPool,
    Interface,
    RecoveryAction,
    RecoveryPolicy,
    Scaling,
    VmGroup,
)
from esc_daemon.domain.record import ActionType
from esc_daemon.domain.states import ResourceState, ServiceState, VmState
from esc_daemon.domain.triggers import VmActed
from tests.domain.lost import doubled, in_vim_but_unknown
from tests.domain.pure_world import Luck, World
from tests.domain.stories import SHOP, a_deployment, a_flavor, a_group, a_network, an_image
from tests.domain.updates import (
    BEGUN,
    CHANGED,
    DONE,
    LIVES,
    POOL,
    addresses,
    change,
    cross,
    of,
    standing,
    the_vms,
)

OP = OperationId("33333333-3333-3333-3333-333333333333")
ONE, TWO = a_group("web", "net"), a_group("web", "net", "more")
OWN = (a_network("more", "a"),)


def with_nics(*interfaces: Interface, group: VmGroup = ONE) -> VmGroup:
    return replace(group, interfaces=interfaces)


def nics(world: World) -> list[dict[int, str]]:
    """Return the network of each interface that the servers have, by its number."""
    return [
        {port.key.nicid: port.network for port in server.spec.ports}
        for server in world.vim.servers.values()
    ]


def refuse(world: World) -> None:
    """Let everything go well until the VIM refuses the next call about a server."""
    while not (slots := [slot for slot in world.flights if slot[1].startswith("server")]):
        world._deed(strays=False)
    world.perform(slots[0], Luck.REFUSED)
    world.deliver(slots[0])
    world.rest()


def test_an_interface_is_added_to_each_server_that_is_there() -> None:
    # given
    world = standing(replace(ONE, scaling=Scaling(min_active=2, max_active=2)))
    servers = set(world.vim.servers)
    # when
    two = replace(TWO, scaling=Scaling(min_active=2, max_active=2))
    change(world, a_deployment(two))
    # then
    assert world.types() == [BEGUN, CHANGED, CHANGED, DONE]
    assert [each.vm_update_type for each in world.log[1:3]] == ["INTERFACE_UPDATED"] * 2
    assert nics(world) == [{0: "net", 1: "more"}] * 2
    assert set(world.vim.servers) == servers
    for vm in the_vms(world):
        assert vm.interfaces[1].port_id
        assert (vm.change, vm.attempt, vm.state) == (None, None, VmState.ALIVE)
    source = world.log[1].source
    assert source
    assert [each.nicid for each in source.interfaces] == [0, 1]


def test_an_interface_that_is_removed_takes_its_port_along() -> None:
    world = standing(TWO)
    change(world, a_deployment(ONE))
    assert world.types() == [BEGUN, CHANGED, DONE]
    assert nics(world) == [{0: "net"}]
    assert list(world.vim.ports.values()) == [{0}]


def test_an_interface_moves_to_another_network_with_another_port() -> None:
    # given
    world = standing(ONE)
    (before,) = the_vms(world)[0].interfaces
    # when
    change(world, a_deployment(with_nics(Interface(nicid=0, network="other"))))
    # then
    (after,) = the_vms(world)[0].interfaces
    assert nics(world) == [{0: "other"}]
    assert (before.port_id, after.port_id) != (after.port_id, after.port_id)
    assert after.network_id == "net-other"


def test_what_a_port_may_send_changes_without_another_port() -> None:
    world = standing(ONE)
    (before,) = the_vms(world)[0].interfaces
    secured = Interface(nicid=0, network="net", security_groups=("web",), admin_state_up=False)
    change(world, a_deployment(with_nics(secured)))
    (after,) = the_vms(world)[0].interfaces
    assert before.port_id == after.port_id
    assert not after.admin_state_up
    (server,) = world.vim.servers.values()
    assert server.spec.ports[0].security_groups == ("web",)


def test_an_interface_comes_with_its_network_and_leaves_before_it() -> None:
    world = standing(ONE)
    own = (a_network("more", "a"),)
    change(world, a_deployment(TWO, networks=own))
    assert world.types() == [BEGUN, "CREATE_NETWORK", "CREATE_SUBNET", CHANGED, DONE]
    world.log.clear()
    change(world, a_deployment(ONE))
    assert world.types() == [BEGUN, CHANGED, "DELETE_SUBNET", "DELETE_NETWORK", DONE]


def test_an_address_that_an_interface_leaves_is_given_out_last() -> None:
    # given
    pool = (AddressPool(network="net", addresses=POOL),)
    group = replace(ONE, scaling=Scaling(min_active=1, max_active=9, address_pools=pool))
    world = standing(group)
    # when
    away = with_nics(Interface(nicid=1, network="net"), group=group)
    change(world, a_deployment(away))
    # then
    assert [each.ip_address for each in the_vms(world)[0].interfaces] == [POOL[1]]
    assert world.deployment(SHOP).freed == (("net", POOL[0]),)


def test_an_address_that_is_fixed_is_the_first_vms_and_moves_no_other_port() -> None:
    # given
    group = of(3)
    world = standing(group)
    before = [vm.interfaces[0] for vm in the_vms(world)]
    # when
    (nic,) = group.interfaces
    change(world, a_deployment(with_nics(replace(nic, ip_address=POOL[5]), group=group)))
    # then
    after = [vm.interfaces[0] for vm in the_vms(world)]
    assert after[0].ip_address == POOL[5]
    assert after[1:] == before[1:]


def test_an_address_that_another_vm_has_is_not_fixed_for_the_first_one() -> None:
    group = of(2)
    world = standing(group)
    before = dict(world.records)
    (nic,) = group.interfaces
    with pytest.raises(Refused, match=f"{POOL[1]} of network net cannot be given") as refused:
        change(world, a_deployment(with_nics(replace(nic, ip_address=POOL[1]), group=group)))
    assert refused.value.tag == "in-use"
    assert refused.value.below[-1] == Node("interface", "0", "nicid")
    assert world.records == before
    # and what the first one has may be fixed for it
    change(world, a_deployment(with_nics(replace(nic, ip_address=POOL[0]), group=group)))
    assert addresses(world) == list(POOL[:2])


def test_a_pool_leaves_with_the_interfaces_that_drew_from_it() -> None:
    world = standing(of(2))
    pool = (AddressPool(network="other", addresses=POOL),)
    moved = with_nics(Interface(nicid=0, network="other"), group=of(2))
    change(world, a_deployment(replace(moved, scaling=replace(moved.scaling, address_pools=pool))))
    assert world.types() == [BEGUN, CHANGED, CHANGED, DONE]
    assert addresses(world) == list(POOL[:2])
    assert not world.deployment(SHOP).freed


def test_a_subnet_leaves_with_the_interface_that_was_in_it() -> None:
    world = standing(TWO, networks=(a_network("more", "a"),))
    change(world, a_deployment(ONE, networks=(a_network("more"),)))
    assert world.types() == [BEGUN, CHANGED, "DELETE_SUBNET", DONE]


def test_a_vm_that_is_switched_off_is_changed_and_stays_off() -> None:
    world = standing(ONE)
    stop = VmActed(id=OP, vm=the_vms(world)[0].id, action=ActionType.STOP, force=True)
    world.tell(SHOP, stop)
    world.rest()
    world.log.clear()
    change(world, a_deployment(replace(TWO, flavor="big")))
    assert world.types() == [BEGUN, CHANGED, DONE]
    assert the_vms(world)[0].state is VmState.SHUTOFF
    assert nics(world) == [{0: "net", 1: "more"}]


def test_a_resized_vm_boots_and_is_told_to_be_alive_again_and_no_other() -> None:
    # given
    world = standing(ONE, a_group("db"))
    # when
    change(world, a_deployment(replace(ONE, flavor="big"), a_group("db")))
    # then
    assert world.types() == [BEGUN, CHANGED, LIVES, DONE]
    assert [each.vm_group for each in world.log[1:3]] == ["web", "web"]
    assert world.log[1].vm_update_type == "FLAVOR_UPDATED"
    flavors = {s.spec.name.split("_")[1]: s.spec.flavor for s in world.vim.servers.values()}
    assert flavors == {"web": "big", "db": "small"}


def test_a_vim_that_does_not_resize_says_so_and_the_vm_goes_on() -> None:
    # given
    world = standing(ONE)
    world.vim.no_resize = True
    # when
    change(world, a_deployment(replace(ONE, flavor="big")))
    # then
    assert world.types() == [BEGUN, f"{CHANGED} FAILURE", f"{DONE} FAILURE"]
    assert "this VIM does not resize servers" in world.log[1].message
    assert the_vms(world)[0].state is VmState.ALIVE
    assert world.deployment(SHOP).state is ServiceState.ERROR
    # and an edit back is no change that it could not take
    world.vim.no_resize = False
    change(world, a_deployment(ONE))
    assert world.types()[3:] == [BEGUN, CHANGED, LIVES, DONE]
    assert world.deployment(SHOP).state is ServiceState.ACTIVE


def test_a_flavor_that_comes_by_the_same_edit_is_there_first() -> None:
    world = standing(ONE)
    big = Key(Kind.FLAVOR, None, "big")
    world.apply({big: a_flavor("big"), SHOP: a_deployment(replace(ONE, flavor="big"))})
    world.rest()
    assert world.types() == [BEGUN, "CREATE_FLAVOR", CHANGED, LIVES, DONE]


def test_an_update_does_not_wait_for_what_only_other_vms_were_made_of() -> None:
    # given: an image that would not go, of a VM that is there
    image = Key(Kind.IMAGE, None, "linux")
    world = standing(ONE, replace(a_group("db"), image="other"))
    world.apply({image: an_image()})
    world.rest()
    world.stuck = True
    world.apply({image: None})
    world.rest()
    world.log.clear()
    # when
    world.stuck = False
    db = replace(a_group("db"), image="other", flavor="big")
    change(world, a_deployment(ONE, db, replace(a_group("lb"), image="other")))
    # then
    assert world.types()[-1] == DONE


def test_a_vm_that_was_broken_before_does_not_fail_the_update_of_its_interfaces() -> None:
    # given
    world = World()
    world.apply({SHOP: a_deployment(ONE, a_group("db", "net"))})
    world.bad_vms = {vm.id for vm in the_vms(world, "db")}
    world.rest()
    world.log.clear()
    # when
    change(world, a_deployment(ONE, a_group("db", "net", "more")), rest=False)
    refuse(world)
    # then: it is told of the VM, which has the interface when it is redeployed
    assert world.types() == [BEGUN, f"{CHANGED} FAILURE", DONE]
    assert world.deployment(SHOP).state is ServiceState.ERROR
    assert the_vms(world, "db")[0].change


def a_refused_port() -> World:
    world = standing(ONE)
    change(world, a_deployment(TWO), rest=False)
    refuse(world)
    assert world.types() == [BEGUN, f"{CHANGED} FAILURE", f"{DONE} FAILURE"]
    world.log.clear()
    return world


def test_what_failed_is_tried_again_by_the_next_update() -> None:
    world = a_refused_port()
    change(world, a_deployment(replace(TWO, image="newer")))
    assert world.types() == [BEGUN, CHANGED, DONE]
    assert nics(world) == [{0: "net", 1: "more"}]


def test_what_failed_is_taken_back_by_an_edit_back() -> None:
    world = a_refused_port()
    change(world, a_deployment(ONE))
    assert world.types() == [BEGUN, CHANGED, DONE]
    assert nics(world) == [{0: "net"}]
    assert list(world.vim.ports.values()) == [{0}]
    assert world.deployment(SHOP).state is ServiceState.ACTIVE


def test_what_failed_is_done_by_a_redeploy() -> None:
    # given: the port that was to go is still there
    recovery = RecoveryPolicy(action=RecoveryAction.REDEPLOY_ONLY)
    old = replace(TWO, recovery=recovery)
    world = standing(old)
    change(world, a_deployment(replace(ONE, recovery=recovery)), rest=False)
    refuse(world)
    assert list(world.vim.ports.values()) == [{0, 1}]
    # when
    cross(world, holds=False)
    world.rest()
    # then
    assert nics(world) == [{0: "net"}]
    assert list(world.vim.ports.values()) == [{0}]
    assert the_vms(world)[0].change is None
    assert world.deployment(SHOP).state is ServiceState.ACTIVE


def test_a_service_is_not_well_while_a_vm_is_not_what_its_group_wants() -> None:
    # given: web has not got its second port
    world = standing(ONE, a_group("db", "net"))
    change(world, a_deployment(TWO, a_group("db", "net")), rest=False)
    refuse(world)
    assert world.deployment(SHOP).state is ServiceState.ERROR
    # when: another VM is lost and comes back
    cross(world, holds=False, group="db")
    world.rest()
    # then
    assert world.types()[-1] == "VM_RECOVERY_COMPLETE"
    assert world.deployment(SHOP).state is ServiceState.ERROR
    change(world, a_deployment(ONE, a_group("db", "net")))
    assert world.deployment(SHOP).state is ServiceState.ACTIVE


def a_stuck_port() -> World:
    """Return a world whose VIM would not unplug a port of a network that was to go."""
    world = standing(TWO, networks=OWN)
    change(world, a_deployment(ONE), rest=False)
    world.stuck = True  # the VIM keeps a network that has ports
    refuse(world)
    world.stuck = False
    return world


def test_a_network_in_which_a_port_is_stuck_is_left_behind() -> None:
    world = a_stuck_port()
    left = ["DELETE_SUBNET FAILURE", "DELETE_NETWORK FAILURE"]
    assert world.types() == [BEGUN, f"{CHANGED} FAILURE", *left, f"{DONE} FAILURE"]
    assert "it is still in subnet shop/more/a" in world.log[2].message
    assert not world.deployment(SHOP).leaving
    networks = [each for key, each in world.records.items() if key != SHOP]
    assert {getattr(each, "state", None) for each in networks} == {ResourceState.LEFTOVER}


def test_a_subnet_in_which_a_port_is_stuck_is_left_behind_and_its_network_is_not() -> None:
    world = standing(TWO, networks=OWN)
    change(world, a_deployment(ONE, networks=(a_network("more"),)), rest=False)
    refuse(world)
    failed = [f"{each} FAILURE" for each in (CHANGED, "DELETE_SUBNET", DONE)]
    assert world.types() == [BEGUN, *failed]


def test_what_a_stuck_port_kept_goes_by_itself_after_the_port() -> None:
    # given
    world = a_stuck_port()
    # when: another update has the port removed
    change(world, a_deployment(replace(ONE, image="newer")))
    # then: the next try of the leftovers finds nobody in them
    assert world.types()[-2:] == [CHANGED, DONE]
    assert list(world.vim.ports.values()) == [{0}]
    assert not world.vim.resources
    assert set(world.records) == {SHOP}


def test_a_network_in_which_a_port_is_stuck_is_had_again_by_the_edit_back() -> None:
    # given
    world = a_stuck_port()
    ids = set(world.vim.resources)
    # when
    world.log.clear()
    change(world, a_deployment(TWO, networks=OWN))
    # then
    assert world.types() == [BEGUN, "CREATE_NETWORK", "CREATE_SUBNET", CHANGED, DONE]
    assert nics(world) == [{0: "net", 1: "more"}]
    assert set(world.vim.resources) == ids
    world.apply({SHOP: None})
    world.rest()
    assert not world.vim.resources
    assert not world.vim.ports


def test_a_server_that_is_gone_fails_its_update_and_is_healed_after_it() -> None:
    redeploy = RecoveryPolicy(action=RecoveryAction.REDEPLOY_ONLY)
    world = standing(replace(ONE, recovery=redeploy))
    change(world, a_deployment(replace(TWO, recovery=redeploy)), rest=False)
    world.vim.servers.clear()
    world.rest()
    assert world.types() == [BEGUN, f"{CHANGED} FAILURE", f"{DONE} FAILURE"]
    assert "the VIM has no such server" in world.log[1].message
    cross(world, holds=False)
    world.rest()
    assert nics(world) == [{0: "net", 1: "more"}]


def test_a_vm_without_a_server_has_its_interfaces_when_it_is_made() -> None:
    world = standing(ONE)
    db = a_group("db", "net")
    change(world, a_deployment(ONE, db), rest=False)
    world.bad_vms = {vm.id for vm in the_vms(world, "db")}
    world.rest()
    world.bad_vms.clear()
    more = (*db.interfaces, Interface(nicid=1, network="more"))
    change(world, a_deployment(ONE, with_nics(*more, group=db)))
    assert len(the_vms(world, "db")[0].interfaces) == 2


OLD = with_nics(Interface(nicid=0, network="net"), Interface(nicid=1, network="out"))
NEW = replace(
    with_nics(
        Interface(nicid=0, network="other"),
        Interface(nicid=2, network="in"),
        group=replace(ONE, name=VmGroupName("web")),
    ),
    flavor="big",
)


def in_the_middle(deeds: int, luck: Luck) -> World:
    world = standing(OLD)
    change(world, a_deployment(NEW), rest=False)
    for _ in range(deeds):
        world._deed(strays=False)
    for slot in [slot for slot in world.flights if slot[1].startswith("server")]:
        if world.perform(slot, luck) and luck is not Luck.NEVER:
            world.deliver(slot)
    return world


LUCKS = [Luck.DONE, Luck.LOST, Luck.LATE, Luck.NEVER, Luck.UNREACHED]


@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.parametrize("luck", LUCKS)
@pytest.mark.parametrize("deeds", range(4))
def test_a_change_of_servers_comes_to_its_end_whatever_gets_lost(
    deeds: int, luck: Luck, *, restarts: bool
) -> None:
    world = in_the_middle(deeds, luck)
    if restarts:
        calls = [slot for slot in world.flights if slot[1].startswith("server")]
        world.restart(dict.fromkeys(calls, Luck.LATE))
    world.rest()
    assert world.types()[-1] == DONE
    assert nics(world) == [{0: "other", 2: "in"}]
    assert list(world.vim.ports.values()) == [{0, 2}]
    assert not doubled(world)


@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.parametrize("luck", LUCKS)
@pytest.mark.parametrize("deeds", range(4))
def test_an_undeploy_in_the_middle_of_a_change_of_servers_leaves_nothing(
    deeds: int, luck: Luck, *, restarts: bool
) -> None:
    world = in_the_middle(deeds, luck)
    world.apply({SHOP: None})
    if restarts:
        world.restart()
    world.rest()
    world.sleep(1000)
    assert SHOP not in world.records
    assert not world.vim.servers
    assert not world.vim.ports
    assert not in_vim_but_unknown(world)
