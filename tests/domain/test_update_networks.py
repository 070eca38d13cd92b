"""Updates that bring ephemeral networks and subnets, and take them away."""

import pytest

from esc_daemon.domain.commands import Await
from esc_daemon.domain.errors import Node, Refused
from esc_daemon.domain.ids import Kind
from esc_daemon.domain.intent import Deployment
from esc_daemon.domain.record import DeploymentRecord, UpdatePhase
from esc_daemon.domain.states import ResourceState, ServiceState
from esc_daemon.domain.triggers import IntentChanged
from tests.domain.lost import doubled, in_vim_but_unknown
from tests.domain.pure_world import VIM, Luck, World
from tests.domain.stories import SHOP, a_deployment, a_group, a_network
from tests.domain.updates import BEGUN, DONE, GONE, LIVES, MADE, change, cross, standing

NET, SUB = ("CREATE_NETWORK", "DELETE_NETWORK"), ("CREATE_SUBNET", "DELETE_SUBNET")
WEB = a_group("web", "own")
OWN = a_network("own", "a")


def there(world: World) -> set[str]:
    """Return the names of the networks and subnets that the VIM has."""
    kinds = {Kind.NETWORK, Kind.SUBNET}
    return {key.name for key in world.vim.resources.values() if key.kind in kinds}


def test_a_network_that_is_added_is_made_before_the_vms_that_are_in_it() -> None:
    world = standing(a_group("web"))
    new = a_deployment(a_group("web"), a_group("db", "own"), networks=(OWN,))
    change(world, new)
    assert world.types() == [BEGUN, NET[0], SUB[0], MADE, LIVES, DONE]
    assert there(world) == {"shop/own", "shop/own/a"}
    (server,) = [each for each in world.vim.servers.values() if each.spec.ports]
    assert server.spec.ports[0].network_id == world.deployment(SHOP).networks["own"].resource_id


def test_a_network_leaves_after_the_vms_that_were_in_it() -> None:
    world = standing(a_group("web"), a_group("db", "own"), networks=(OWN,))
    change(world, a_deployment(a_group("web")))
    assert world.types() == [BEGUN, GONE, SUB[1], NET[1], DONE]
    assert not there(world)
    assert not world.deployment(SHOP).owned
    assert not world.deployment(SHOP).leaving


def test_one_network_takes_the_place_of_another() -> None:
    world = standing(a_group("web", "own"), networks=(OWN,))
    other = a_network("other", "a")
    change(world, a_deployment(a_group("db", "other"), networks=(other,)))
    told = world.types()
    assert sorted(told) == sorted([BEGUN, GONE, MADE, LIVES, *NET, *SUB, DONE])
    assert told.index(SUB[0]) < told.index(MADE)
    assert told.index(GONE) < told.index(SUB[1])
    assert told[-1] == DONE
    assert there(world) == {"shop/other", "shop/other/a"}


def test_a_network_in_which_nobody_is_comes_and_goes_alone() -> None:
    world = standing(a_group("web"))
    change(world, a_deployment(a_group("web"), networks=(OWN,)))
    change(world, a_deployment(a_group("web")))
    assert world.types() == [BEGUN, NET[0], SUB[0], DONE, BEGUN, SUB[1], NET[1], DONE]


def test_a_new_vm_that_is_healed_while_networks_leave_is_waited_for() -> None:
    # given: networks leave, and the new VM is lost
    world = standing(a_group("web"), networks=(OWN,))
    change(world, a_deployment(a_group("web"), a_group("db")), rest=False)
    while (update := world.deployment(SHOP).update) and update.phase is not UpdatePhase.CLEARING:
        world._deed(strays=False)
    silent = {vm.id for vm in world.deployment(SHOP).vms.values() if vm.group == "db"}
    world.silent_vms = silent
    cross(world, holds=False, group="db")
    # when
    while world.deployment(SHOP).leaving:
        world._deed(strays=False)
    # then: they have left, and are not asked about any more
    assert world.deployment(SHOP).update
    assert not [each for each in world.flights.values() if isinstance(each.command, Await)]
    world.silent_vms = set()
    world.rest()
    assert world.types()[-1] == DONE


def test_a_network_of_the_vim_may_have_the_name_of_one_that_left() -> None:
    world = standing(WEB, networks=(OWN,))
    change(world, a_deployment(a_group("web", "net")))
    change(world, a_deployment(WEB))
    assert world.types()[-1] == DONE
    (server,) = world.vim.servers.values()
    assert (server.spec.ports[0].network, server.spec.ports[0].network_id) == ("own", None)


def test_subnets_of_a_network_come_and_go() -> None:
    world = standing(a_group("web"), networks=(OWN,))
    change(world, a_deployment(a_group("web"), networks=(a_network("own", "b"),)))
    assert sorted(world.types()) == sorted([BEGUN, *SUB, DONE])
    assert there(world) == {"shop/own", "shop/own/b"}


@pytest.mark.parametrize(
    ("new", "text", "path"),
    [
        (
            a_deployment(WEB),
            "network own cannot be removed: interface 0 of vm_group web names it",
            [Node("vm_group", "web"), Node("interfaces"), Node("interface", "0", "nicid")],
        ),
        (
            a_deployment(WEB, networks=(a_network("own"),)),
            "subnet a cannot be removed: VM .* has an address of it",
            [Node("networks"), Node("network", "own"), Node("subnet", "a")],
        ),
        (
            a_deployment(WEB, networks=(OWN, a_network("net"))),
            "is in another network net",
            [Node("networks"), Node("network", "net")],
        ),
    ],
)
def test_what_vms_are_in_is_not_taken_away_or_replaced(
    new: Deployment, text: str, path: list[Node]
) -> None:
    old = a_group("web", "own", "net")
    world = standing(old, networks=(OWN,))
    before = dict(world.records)
    groups = (old,) if new.networks else new.groups
    with pytest.raises(Refused, match=text) as refused:
        change(world, Deployment(name="shop", groups=groups, networks=new.networks))
    assert refused.value.tag == "in-use"
    assert list(refused.value.below) == path
    assert world.records == before


def refuse(world: World, name: str) -> None:
    """Let everything go well until the VIM refuses the next call about the network of that name."""
    for _ in range(50):
        for slot in world.flights:
            if slot[0].name == f"shop/{name}" and slot[1] == "resource":
                world.perform(slot, Luck.REFUSED)
                world.deliver(slot)
                return
        world._deed(strays=False)
    raise AssertionError(world.flights)


def test_a_network_that_cannot_be_made_fails_the_update_and_may_be_given_up() -> None:
    world = standing(a_group("web"))
    change(world, a_deployment(a_group("web"), a_group("db", "own"), networks=(OWN,)), rest=False)
    refuse(world, "own")
    world.rest()
    failed = [f"{each} FAILURE" for each in (NET[0], SUB[0], DONE)]
    assert world.types() == [BEGUN, *failed]
    assert world.deployment(SHOP).state is ServiceState.ERROR
    world.log.clear()
    change(world, a_deployment(a_group("web")))
    assert sorted(world.types()) == sorted([BEGUN, SUB[1], NET[1], DONE])
    assert world.deployment(SHOP).state is ServiceState.ACTIVE
    assert not there(world)


def test_a_network_that_would_not_go_is_a_leftover_and_can_be_had_again() -> None:
    # given
    world = standing(a_group("web"), networks=(OWN,))
    world.stuck = True
    # when
    change(world, a_deployment(a_group("web")))
    # then
    assert world.types() == [BEGUN, *(f"{each} FAILURE" for each in (SUB[1], NET[1], DONE))]
    assert not world.deployment(SHOP).leaving
    # and
    world.stuck = False
    change(world, a_deployment(a_group("web"), networks=(OWN,)))
    assert world.types()[-1] == DONE
    assert there(world) == {"shop/own", "shop/own/a"}
    world.apply({SHOP: None})
    world.rest()
    assert not there(world)


def test_a_network_that_nobody_is_in_leaves_although_the_update_fails_and_may_come_back() -> None:
    # given
    world = standing(a_group("web"), a_group("db", "own"), a_group("lb"), networks=(OWN,))
    change(world, a_deployment(a_group("web"), a_group("new"), networks=()), rest=False)
    world.bad_vms = {vm.id for vm in world.deployment(SHOP).vms.values() if vm.group == "new"}
    world.rest()
    # then
    assert world.types()[-1] == f"{DONE} FAILURE"
    assert not there(world)
    # and
    world.bad_vms.clear()
    change(
        world,
        a_deployment(a_group("web"), a_group("db", "own"), a_group("lb"), networks=(OWN,)),
    )
    assert world.deployment(SHOP).state is ServiceState.ACTIVE
    assert there(world) == {"shop/own", "shop/own/a"}


OLD = (a_group("web", "own"), a_group("db", "out"))
NETS = (OWN, a_network("out", "a"))
NEW = a_deployment(
    a_group("web", "own", vms=2), a_group("lb", "in"), networks=(OWN, a_network("in", "a"))
)


def in_the_middle(deeds: int) -> World:
    world = standing(*OLD, networks=NETS)
    change(world, NEW, rest=False)
    for _ in range(deeds):
        world._deed(strays=False)
    return world


@pytest.mark.parametrize("luck", [Luck.DONE, Luck.LOST, Luck.LATE, Luck.NEVER])
@pytest.mark.parametrize("deeds", range(0, 24, 2))
def test_a_restart_at_any_moment_brings_it_to_its_end(deeds: int, luck: Luck) -> None:
    world = in_the_middle(deeds)
    calls = [slot for slot in world.flights if "server" in slot[1] or "resource" in slot[1]]
    world.restart(dict.fromkeys(calls, luck))
    world.rest()
    assert world.types().count(DONE) == 1
    assert world.types()[-1] == DONE
    assert there(world) == {"shop/own", "shop/own/a", "shop/in", "shop/in/a"}
    assert not doubled(world)
    assert not in_vim_but_unknown(world)


@pytest.mark.parametrize("luck", [Luck.DONE, Luck.LATE])
@pytest.mark.parametrize("deeds", range(0, 24, 2))
def test_an_undeploy_at_any_moment_leaves_nothing(deeds: int, luck: Luck) -> None:
    world = in_the_middle(deeds)
    for slot in [slot for slot in world.flights if "await" not in slot[1]]:
        world.perform(slot, luck)
    world.apply({SHOP: None})
    world.rest()
    assert not [each for each in world.records.values() if isinstance(each, DeploymentRecord)]
    assert not world.vim.resources
    assert not world.vim.servers
    assert world.types()[-1] == "SERVICE_UNDEPLOYED"


def test_a_removal_that_was_not_asked_for_yet_is_taken_back() -> None:
    # given: VMs that will not go keep their network
    world = standing(a_group("web"), a_group("db", "own"), networks=(OWN,))
    change(world, a_deployment(a_group("web")), rest=False)
    key = next(key for key in world.records if key.name == "shop/own/a")
    waiting = world.records[key]
    # when: it is told so, as an edit would
    assert getattr(waiting, "state", None) is ResourceState.DELETING
    owner = (SHOP, world.deployment(SHOP).id)
    told = IntentChanged(id=waiting.id, intent=OWN.subnets[0], owner=owner, vim=VIM)
    world.tell(key, told)
    # then
    assert getattr(world.records[key], "state", None) is ResourceState.ACTIVE
    world.rest()
    assert key in world.records
