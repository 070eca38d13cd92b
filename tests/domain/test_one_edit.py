"""What one edit brings or takes away goes kind by kind, also where nothing names the other."""

from typing import Final

import pytest

from esc_daemon.domain.changed import replace
from esc_daemon.domain.commands import EnsureResource, RemoveResource
from esc_daemon.domain.ids import Key, Kind, TenantName, joined
from esc_daemon.domain.intent import Tenant
from esc_daemon.domain.neighbours import ready_already
from esc_daemon.domain.policy import DEFAULT_POLICY
from esc_daemon.domain.record import DeploymentRecord, ResourceRecord
from esc_daemon.domain.states import ResourceState, ServiceState
from esc_daemon.domain.step import Step
from tests.domain.pure_world import Edit, Luck, World
from tests.domain.stories import (
    ACME,
    SHOP,
    TENANT,
    a_deployment,
    a_group,
    a_network,
    a_tenant,
    dep_key,
    net_key,
)
from tests.order_of_kinds import out_of_turn

A: Final = net_key("a")
B: Final = net_key("b")
SHARED: Final = net_key("shared", None)
A_S: Final = Key(Kind.SUBNET, TENANT, "a/s")
B_S: Final = Key(Kind.SUBNET, TENANT, "b/s")
PLAIN: Final = a_deployment(a_group("web", "elsewhere"))
"""A deployment that names none of the networks above."""
ALL: Final[Edit] = {A: a_network("a", "s"), B: a_network("b", "s"), SHOP: PLAIN}


def begun(edit: Edit, *, tenant: bool = True) -> World:
    world = World()
    if tenant:
        world.apply({ACME: a_tenant()})
        world.rest()
        world.log.clear()
    world.apply(edit)
    neighbours_told(world)
    return world


def neighbours_told(world: World) -> None:
    while waits := [s for s in world.flights if s[1] == "await" and world.perform(s, Luck.DONE)]:
        for slot in waits:
            if slot in world.flights:
                world.deliver(slot)


def asked(world: World, kind: type[EnsureResource | RemoveResource] = EnsureResource) -> set[Key]:
    return {at for (at, _), flight in world.flights.items() if isinstance(flight.command, kind)}


def answered(world: World, key: Key, luck: Luck = Luck.DONE) -> None:
    assert world.perform((key, "resource"), luck)
    world.deliver((key, "resource"))
    neighbours_told(world)


def the_servers_gone(world: World) -> None:
    for slot in [slot for slot in world.flights if slot[1].startswith("server")]:
        assert world.perform(slot, Luck.DONE)
        world.deliver(slot)
    neighbours_told(world)


def servers_asked(world: World) -> bool:
    return any(slot.startswith("server") for _, slot in world.flights)


def state(world: World, key: Key) -> ServiceState | ResourceState:
    record = world.records[key]
    assert isinstance(record, DeploymentRecord | ResourceRecord)
    return record.state


# ---- what comes


def test_a_deployment_begins_after_networks_and_subnets_that_it_does_not_name() -> None:
    world = begun(ALL)
    assert asked(world) == {A, B}

    answered(world, A)
    assert asked(world) == {B}
    answered(world, B)
    assert asked(world) == {A_S, B_S}
    assert not servers_asked(world)

    answered(world, A_S)
    answered(world, B_S)
    assert servers_asked(world)
    world.rest()
    assert state(world, SHOP) is ServiceState.ACTIVE


def test_a_refused_network_waits_for_its_sibling_and_stops_all_of_a_later_kind() -> None:
    world = begun(ALL)
    answered(world, B, Luck.REFUSED)
    assert world.types() == ["CREATE_NETWORK FAILURE"]
    assert asked(world) == {A}

    answered(world, A)
    world.rest()

    assert sorted(world.types()[2:4]) == ["CREATE_SUBNET FAILURE"] * 2
    assert world.types()[4:] == ["SERVICE_ALIVE FAILURE"]
    cause = "network b in VIM sim: call refused"
    assert world.log[-1].message == f"Service group deployment failed: {cause}"
    assert f"subnet a/s in VIM sim: not asked for: {cause}" in world.log[2].message
    assert set(world.vim.resources.values()) == {ACME, A}
    assert note(world.records[SHOP]) is None
    assert not world.vim.servers
    assert not world.vim.ports


def test_a_refused_subnet_stops_a_deployment_that_does_not_name_its_network() -> None:
    world = begun(ALL)
    answered(world, A)
    answered(world, B)
    answered(world, A_S, Luck.REFUSED)
    answered(world, B_S)

    assert world.types()[-1] == "SERVICE_ALIVE FAILURE"
    assert "subnet a/s in VIM sim: call refused" in world.log[-1].message
    assert not servers_asked(world)


def test_the_subnets_that_a_deployment_brings_come_after_all_networks_of_its_edit() -> None:
    own = a_deployment(a_group("web", "own"), networks=(a_network("own", "s"),))
    world = begun({A: a_network("a"), SHOP: own})
    its_network = net_key(joined("shop", "own"))
    assert asked(world) == {A, its_network}

    answered(world, its_network)
    assert asked(world) == {A}
    answered(world, A, Luck.REFUSED)
    world.rest()

    assert world.types() == [
        "CREATE_NETWORK",
        "CREATE_NETWORK FAILURE",
        "CREATE_SUBNET FAILURE",
        "SERVICE_ALIVE FAILURE",
    ]


def test_a_network_of_the_root_waits_for_a_tenant_and_does_not_fail_with_it() -> None:
    world = begun({ACME: a_tenant(), SHARED: a_network("shared"), SHOP: PLAIN}, tenant=False)
    assert asked(world) == {ACME}

    answered(world, ACME, Luck.REFUSED)
    assert asked(world) == {SHARED}
    world.rest()

    assert world.types() == ["CREATE_TENANT FAILURE", "CREATE_NETWORK", "SERVICE_ALIVE FAILURE"]
    assert state(world, SHARED) is ResourceState.ACTIVE
    assert not world.vim.servers


def test_a_network_of_the_root_stops_everybody_and_that_of_another_tenant_nobody_else() -> None:
    other = TenantName("other")
    stall = Key(Kind.DEPLOYMENT, other, "stall")
    shared_s = Key(Kind.SUBNET, None, "shared/s")
    edit: Edit = {
        ACME: a_tenant(),
        Key(Kind.TENANT, None, other): Tenant(name=other),
        SHARED: a_network("shared", "s"),
        A: a_network("a", "s"),
        SHOP: PLAIN,
        stall: a_deployment(name="stall"),
    }
    for refused, failed in (
        (ACME, {SHOP}),
        (A, {SHOP}),
        (A_S, {SHOP}),
        (SHARED, {SHOP, stall}),
        (shared_s, {SHOP, stall}),
    ):
        world = begun(edit, tenant=False)
        while open_calls := asked(world):
            key = min(open_calls, key=str)
            answered(world, key, Luck.REFUSED if key == refused else Luck.DONE)
        world.rest()

        broken = {key for key in (SHOP, stall) if state(world, key) is ServiceState.ERROR}
        assert broken == failed, refused
        shared_failed = {
            key for key in (SHARED, shared_s) if state(world, key) is not ResourceState.ACTIVE
        }
        assert bool(shared_failed) == (refused in {SHARED, shared_s}), refused


def test_what_failed_by_an_edit_before_holds_up_nothing() -> None:
    world = begun({A: a_network("a")})
    answered(world, A, Luck.REFUSED)

    world.apply({A: a_network("a"), B: a_network("b"), SHOP: PLAIN})
    world.rest()

    assert state(world, A) is ResourceState.ERROR
    assert state(world, SHOP) is ServiceState.ACTIVE


@pytest.mark.parametrize("luck", [Luck.DONE, Luck.REFUSED])
def test_what_is_deleted_meanwhile_is_waited_for_no_more(luck: Luck) -> None:
    world = begun({A: a_network("a"), B: a_network("b"), SHOP: PLAIN})
    answered(world, A, luck)
    world.apply({B: None, A: None})
    neighbours_told(world)
    assert servers_asked(world)
    world.rest()

    assert state(world, SHOP) is ServiceState.ACTIVE
    assert {at for at in world.records if at.kind is Kind.NETWORK} == set()


def test_what_comes_again_while_it_still_goes_is_waited_for() -> None:
    world = begun({A: a_network("a")})
    world.rest()
    world.apply({A: None})
    neighbours_told(world)

    world.apply({A: a_network("a"), SHOP: PLAIN})
    neighbours_told(world)
    assert asked(world, RemoveResource) == {A}
    assert not servers_asked(world)

    answered(world, A)
    assert asked(world) == {A}
    assert not servers_asked(world)
    answered(world, A)
    assert servers_asked(world)


def test_what_is_asked_for_over_a_leftover_is_waited_for() -> None:
    # given a network that the VIM would not remove
    world = begun({A: a_network("a")})
    world.rest()
    world.apply({A: None})
    neighbours_told(world)
    refused_until_given_up(world, A)
    assert state(world, A) is ResourceState.LEFTOVER

    # when one edit asks for it again, and for a deployment that does not use it
    world.apply({A: a_network("a"), SHOP: PLAIN})
    neighbours_told(world)

    # then the deployment comes after it
    assert asked(world) == {A}
    assert not servers_asked(world)
    answered(world, A)
    assert servers_asked(world)


def refused_until_given_up(world: World, key: Key) -> None:
    for _ in range(DEFAULT_POLICY.removal_tries):
        if key in world.wakes:
            world.sleep((world.wakes[key] - world.now).total_seconds())
        answered(world, key, Luck.REFUSED)


def test_the_order_outlives_a_restart() -> None:
    world = begun(ALL)
    answered(world, A)
    world.restart()
    neighbours_told(world)
    assert not servers_asked(world)

    for _ in range(20):
        if B in asked(world):
            break
        world.sleep(30)
    answered(world, B, Luck.REFUSED)
    world.rest()

    assert state(world, SHOP) is ServiceState.ERROR
    assert not world.vim.servers


def test_an_edit_again_lets_no_deployment_go_on_before_what_its_first_edit_brings() -> None:
    # given: all that it names is there, and networks of the same edit are on their way
    world = begun(ALL)
    waiting = world.records[SHOP]

    assert ready_already(waiting, world.records.get) is None
    assert ready_already(replace(waiting, edit=None), world.records.get) is not None


def test_only_an_edit_with_a_network_beside_something_else_leaves_a_note() -> None:
    network, service = a_network("a", "s"), PLAIN
    world = World()
    edits: tuple[tuple[Edit, set[Key]], ...] = (
        ({SHOP: service}, set()),
        ({ACME: a_tenant(), SHOP: service}, set()),
        ({SHOP: service, dep_key("stall"): a_deployment(name="stall")}, set()),
        ({A: network}, set()),
        ({A: network, SHOP: service}, {A, A_S, SHOP}),
    )
    for edit, noted in edits:
        world = begun(edit)
        assert {at for at, each in world.records.items() if note(each)} == noted

    # and it is gone once that is done: the last had one
    world.rest()
    assert note(world.records[SHOP]) is None


def note(record: object) -> object:
    return getattr(record, "edit", None)


# ---- what goes


def test_vms_go_before_subnets_and_these_before_networks() -> None:
    world = begun(ALL)
    world.rest()
    world.apply(dict.fromkeys(ALL))
    neighbours_told(world)
    assert not asked(world, RemoveResource)

    the_servers_gone(world)
    assert asked(world, RemoveResource) == {A_S, B_S}
    answered(world, A_S)
    assert asked(world, RemoveResource) == {B_S}
    answered(world, B_S)
    assert asked(world, RemoveResource) == {A, B}
    world.rest()
    assert set(world.records) == {ACME}


def test_a_network_of_the_root_goes_after_the_vms_of_every_tenant() -> None:
    world = begun({SHARED: a_network("shared"), SHOP: PLAIN})
    world.rest()
    world.apply({SHARED: None, SHOP: None})
    neighbours_told(world)
    assert not asked(world, RemoveResource)

    the_servers_gone(world)
    assert asked(world, RemoveResource) == {SHARED}


def test_what_would_not_go_keeps_nothing_that_does_not_need_it() -> None:
    world = begun(ALL)
    world.rest()
    world.apply(dict.fromkeys(ALL))
    neighbours_told(world)
    the_servers_gone(world)
    answered(world, B_S)
    refused_until_given_up(world, A_S)

    assert state(world, A_S) is ResourceState.LEFTOVER
    assert asked(world, RemoveResource) == {B}
    assert state(world, A) is ResourceState.LEFTOVER


def test_a_deployment_that_left_something_behind_is_no_part_of_an_edit_any_more() -> None:
    world = begun(ALL)
    world.rest()
    world.apply(dict.fromkeys(ALL))
    neighbours_told(world)
    while state(world, SHOP) is ServiceState.UNDEPLOYING:
        for slot in [slot for slot in world.flights if slot[1].startswith("server")]:
            assert world.perform(slot, Luck.REFUSED)
            world.deliver(slot)
        neighbours_told(world)
        if SHOP in world.wakes:
            world.sleep((world.wakes[SHOP] - world.now).total_seconds())

    assert world.deployment(SHOP).leftovers
    assert note(world.records[SHOP]) is None


def test_deployed_again_while_all_goes_it_ends_and_begins_anew() -> None:
    world = begun(ALL)
    world.rest()
    world.apply(dict.fromkeys(ALL))
    neighbours_told(world)
    world.apply(ALL)
    world.log.clear()
    world.rest()

    assert state(world, SHOP) is ServiceState.ACTIVE
    assert world.types()[0] == "VM_UNDEPLOYED"
    assert world.types()[-1] == "SERVICE_ALIVE"
    assert not [event for event in world.types() if event.endswith("FAILURE")]


def test_an_edit_that_takes_a_network_away_and_deploys_waits_for_no_removal() -> None:
    world = begun({A: a_network("a")})
    world.rest()
    world.apply({A: None, SHOP: PLAIN})
    neighbours_told(world)

    assert servers_asked(world)


def test_a_step_out_of_turn_is_seen() -> None:
    """What every step of these worlds and of the simulation is held against."""
    world = begun(ALL)
    waiting = world.records[A_S]
    creating = world.records[B]
    answered(world, A)
    answered(world, B)
    went_on = Step(key=A_S, before=waiting, record=world.records[A_S])
    assert not list(out_of_turn(went_on, world.records))

    (fault,) = out_of_turn(went_on, world.records | {B: creating})
    assert f"went on before {B}" in fault
