"""Failures: in which order they are told, what is not asked for any more, and in which words."""

from collections.abc import Callable
from datetime import timedelta
from typing import Final

import pytest

from esc_daemon.domain.commands import EnsureResource, RemoveResource
from esc_daemon.domain.events import EventStatus
from esc_daemon.domain.ids import Key, Kind, ServerKey, joined
from esc_daemon.domain.intent import Deployment, Resource
from esc_daemon.domain.leftovers import departed
from esc_daemon.domain.policy import DEFAULT_POLICY
from esc_daemon.domain.record import ResourceRecord
from esc_daemon.domain.states import ResourceState, ServiceState, VmState
from esc_daemon.domain.step import Step
from esc_daemon.domain.triggers import CallFailed, ServerGone
from tests.domain.pure_world import Luck, Slot, World
from tests.domain.stories import (
    ACME,
    BOOT_SECONDS,
    SHOP,
    TENANT,
    UNHEALED,
    a_deployment,
    a_flavor,
    a_group,
    a_network,
    a_subnet,
    a_tenant,
    after,
    an_image,
    net_key,
)

IN: Final = net_key(joined("shop", "in"))
OUT: Final = net_key(joined("shop", "out"))
IN_A: Final = Key(Kind.SUBNET, TENANT, f"{IN.name}/a")
OUT_B: Final = Key(Kind.SUBNET, TENANT, f"{OUT.name}/b")
TWO_NETWORKS: Final = a_deployment(
    a_group("web", "in", "out"), networks=(a_network("in", "a"), a_network("out", "b"))
)


def call(key: Key) -> Slot:
    return key, "resource"


def answered(world: World, slot: Slot, luck: Luck) -> None:
    assert world.perform(slot, luck)
    world.deliver(slot)


def refused_for_good(world: World, slot: Slot) -> None:
    """Let the VIM refuse the removal of *slot* until it is given up."""
    for _ in range(DEFAULT_POLICY.removal_tries):
        if slot not in world.flights:
            world.sleep((world.wakes[slot[0]] - world.now).total_seconds())
        answered(world, slot, Luck.REFUSED)


def deploying(*, tenant: bool = False) -> World:
    world = World()
    world.apply({ACME: a_tenant(), SHOP: TWO_NETWORKS} if tenant else {SHOP: TWO_NETWORKS})
    neighbours_told(world)
    return world


def running(deployment: Deployment = TWO_NETWORKS) -> World:
    world = World()
    world.apply({SHOP: deployment})
    world.rest()
    world.log.clear()
    return world


def neighbours_told(world: World) -> None:
    """Let everybody know what the records beside theirs have come to."""
    while waits := [s for s in world.flights if s[1] == "await" and world.perform(s, Luck.DONE)]:
        for slot in waits:
            if slot in world.flights:
                world.deliver(slot)


def asked(world: World, kind: type[EnsureResource | RemoveResource]) -> set[Key]:
    return {at for (at, _), flight in world.flights.items() if isinstance(flight.command, kind)}


def the_state(world: World, key: Key) -> ResourceState:
    record = world.records[key]
    assert isinstance(record, ResourceRecord)
    return record.state


def ends_with_nothing(world: World) -> bool:
    return not (world.records or world.vim.servers or world.vim.ports or world.vim.resources)


# ---- deploy: tenant, networks, subnets, VMs


def test_networks_are_asked_for_together_and_subnets_after_the_last_of_them() -> None:
    world = deploying()
    assert asked(world, EnsureResource) == {IN, OUT}

    answered(world, call(IN), Luck.DONE)
    neighbours_told(world)
    assert asked(world, EnsureResource) == {OUT}

    answered(world, call(OUT), Luck.DONE)
    neighbours_told(world)
    assert asked(world, EnsureResource) == {IN_A, OUT_B}


def test_a_refused_network_waits_for_its_sibling_and_stops_every_subnet() -> None:
    world = deploying()
    answered(world, call(IN), Luck.REFUSED)
    neighbours_told(world)
    assert world.types() == ["CREATE_NETWORK FAILURE"]
    assert asked(world, EnsureResource) == {OUT}

    answered(world, call(OUT), Luck.DONE)
    world.rest()

    assert world.types() == [
        "CREATE_NETWORK FAILURE",
        "CREATE_NETWORK",
        *["CREATE_SUBNET FAILURE"] * 2,
        "SERVICE_ALIVE FAILURE",
    ]
    assert list(world.vim.resources.values()) == [OUT]
    cause = "network shop/in in VIM sim: call refused"
    assert world.log[-1].message == f"Service group deployment failed: {cause}"
    assert f"subnet shop/out/b in VIM sim: not asked for: {cause}" in {
        event.message.removeprefix("Subnet creation failed: ") for event in world.log
    }


def test_a_refused_subnet_waits_for_its_sibling_and_stops_every_vm() -> None:
    world = deploying()
    for network in (IN, OUT):
        answered(world, call(network), Luck.DONE)
    neighbours_told(world)
    answered(world, call(IN_A), Luck.REFUSED)
    neighbours_told(world)
    assert world.types()[-1] == "CREATE_SUBNET FAILURE"

    world.rest()

    assert world.types()[-2:] == ["CREATE_SUBNET", "SERVICE_ALIVE FAILURE"]
    assert not world.vim.servers


def test_a_refused_tenant_stops_all_that_the_edit_asks_for_in_it() -> None:
    world = deploying(tenant=True)
    assert asked(world, EnsureResource) == {ACME}

    answered(world, call(ACME), Luck.REFUSED)
    world.rest()

    assert world.types() == [
        "CREATE_TENANT FAILURE",
        *["CREATE_NETWORK FAILURE"] * 2,
        *["CREATE_SUBNET FAILURE"] * 2,
        "SERVICE_ALIVE FAILURE",
    ]
    assert not world.vim.made
    cause = "tenant acme in VIM sim: call refused"
    assert all(event.message.endswith(cause) for event in world.log)
    assert not [event for event in world.log if event.message.count("not asked for") > 1]


def test_a_failed_vm_waits_for_the_others_to_live_or_to_fail() -> None:
    world = World()
    world.apply({SHOP: a_deployment(a_group("web", vms=3))})
    bad, *_ = world.deployment(SHOP).vms
    world.bad_vms = {bad}
    world.rest()

    assert sorted(world.types()[:-1]) == sorted(
        ["VM_DEPLOYED FAILURE", *["VM_DEPLOYED"] * 2, *["VM_ALIVE"] * 2]
    )
    assert world.types()[-1] == "SERVICE_ALIVE FAILURE"
    states = [vm.state for vm in world.deployment(SHOP).vms.values()]
    assert states == [VmState.ERROR, VmState.ALIVE, VmState.ALIVE]


def test_once_a_vm_has_failed_no_group_begins_whatever_it_waits_for() -> None:
    world = World()
    groups = a_group("bad"), a_group("db"), a_group("web")
    world.apply({SHOP: a_deployment(*groups, startup=(after("web", "db"),))})
    world.bad_vms = {vm.id for vm in world.deployment(SHOP).vms.values() if vm.group == "bad"}
    world.rest()

    assert {server.spec.name.split("_")[1] for server in world.vim.servers.values()} == {
        "bad",
        "db",
    }
    assert world.types().count("VM_ALIVE") == 1
    assert world.types()[-1] == "SERVICE_ALIVE FAILURE"
    assert "never started: vm_group web (waits for VM_ALIVE of db)" in world.log[-1].message


# ---- undeploy: VMs, subnets, networks


def test_subnets_leave_together_after_the_vms_and_networks_after_the_last_subnet() -> None:
    world = running()
    world.apply({SHOP: None})
    neighbours_told(world)
    assert not asked(world, RemoveResource)

    (server,) = [slot for slot in world.flights if slot[1].startswith("server")]
    answered(world, server, Luck.DONE)
    neighbours_told(world)
    assert asked(world, RemoveResource) == {IN_A, OUT_B}

    answered(world, call(OUT_B), Luck.DONE)
    neighbours_told(world)
    assert asked(world, RemoveResource) == {IN_A}

    answered(world, call(IN_A), Luck.DONE)
    neighbours_told(world)
    assert asked(world, RemoveResource) == {IN, OUT}


def test_a_vm_that_stays_keeps_its_subnets_and_networks_from_being_asked_to_go() -> None:
    world = running()
    world.stuck = True
    world.apply({SHOP: None})
    world.rest()

    assert world.types() == [
        "VM_UNDEPLOYED FAILURE",
        *["DELETE_SUBNET FAILURE"] * 2,
        *["DELETE_NETWORK FAILURE"] * 2,
        "SERVICE_UNDEPLOYED FAILURE",
    ]
    left = [world.records[key] for key in (IN, OUT, IN_A, OUT_B)]
    for record in left:
        assert isinstance(record, ResourceRecord)
        assert record.state is ResourceState.LEFTOVER
        assert record.attempt is not None
        assert record.attempt.tries == 0
        assert "not asked for: VM [shop_web_0" in (record.error or "")
    world.stuck = False
    world.rest()
    assert ends_with_nothing(world)
    assert world.types()[-1] == "SERVICE_UNDEPLOYED FAILURE"


def test_a_subnet_that_stays_keeps_every_network_and_names_itself() -> None:
    world = running()
    world.apply({SHOP: None})
    while IN_A not in asked(world, RemoveResource):
        assert world._deed(strays=False)
    refused_for_good(world, call(IN_A))
    for _ in range(20):
        neighbours_told(world)
        if OUT_B in asked(world, RemoveResource):
            answered(world, call(OUT_B), Luck.DONE)

    assert "DELETE_SUBNET" in world.types()
    assert world.types()[-3:] == [
        *["DELETE_NETWORK FAILURE"] * 2,
        "SERVICE_UNDEPLOYED FAILURE",
    ]
    assert SHOP not in world.records
    beginning = "Service group undeployment failed: subnet shop/in/a is left in VIM sim: gave up"
    assert world.log[-1].message.startswith(beginning)
    assert world.log[-1].message.endswith("more); 3 leftovers, shown by esc_nc_cli leftovers")


def test_the_same_name_deployed_again_adopts_what_was_not_asked_to_go() -> None:
    world = running()
    world.stuck = True
    world.apply({SHOP: None})
    world.apply({SHOP: TWO_NETWORKS})
    world.rest()

    assert world.deployment(SHOP).state is ServiceState.ACTIVE
    world.stuck = False
    world.apply({SHOP: None})
    world.rest()
    assert ends_with_nothing(world)


# ---- after a failure


def no_network(world: World) -> None:
    answered(world, call(IN), Luck.REFUSED)


def no_subnet(world: World) -> None:
    for network in (IN, OUT):
        answered(world, call(network), Luck.DONE)
    neighbours_told(world)
    answered(world, call(IN_A), Luck.REFUSED)


def no_server(world: World) -> None:
    world.bad_vms = set(world.deployment(SHOP).vms)


def no_life(world: World) -> None:
    world.silent_vms = set(world.deployment(SHOP).vms)


@pytest.mark.parametrize("cause", [no_network, no_subnet, no_server, no_life])
@pytest.mark.parametrize("stuck", [False, True])
def test_a_failed_deployment_is_undeployed_and_deployed_anew(
    cause: Callable[[World], None], *, stuck: bool
) -> None:
    world = deploying()
    cause(world)
    world.rest()
    assert world.deployment(SHOP).state is ServiceState.ERROR
    assert world.types().count("SERVICE_ALIVE FAILURE") == 1

    world.stuck = stuck
    world.apply({SHOP: None})
    world.rest()
    assert world.types()[-1].startswith("SERVICE_UNDEPLOYED")
    assert stuck or ends_with_nothing(world)

    world.bad_vms, world.silent_vms = set(), set()
    world.apply({SHOP: TWO_NETWORKS})
    world.rest()
    assert world.deployment(SHOP).state is ServiceState.ACTIVE
    world.stuck = False
    world.apply({SHOP: None})
    world.rest()
    assert ends_with_nothing(world)


@pytest.mark.parametrize(
    ("key", "wanted"),
    [
        (ACME, a_tenant()),
        (net_key(tenant=None), a_network()),
        (Key(Kind.IMAGE, None, "linux"), an_image()),
        (Key(Kind.FLAVOR, None, "small"), a_flavor()),
    ],
)
def test_what_could_not_be_made_stays_until_it_is_deleted_and_can_be_made_anew(
    key: Key, wanted: Resource
) -> None:
    world = World()
    world.apply({key: wanted})
    neighbours_told(world)
    answered(world, call(key), Luck.REFUSED)
    assert world.log[-1].message.endswith(
        f" creation failed: {key.kind} {key.name} in VIM sim: call refused"
    )
    broken = world.records[key]

    world.apply({key: wanted})
    world.rest()
    assert world.records[key] is broken

    world.apply({key: None})
    world.rest()
    assert not world.records
    world.apply({key: wanted})
    world.rest()
    assert the_state(world, key) is ResourceState.ACTIVE


# ---- what is gone behind our back


def test_a_server_that_vanishes_before_it_lives_fails_by_its_bootup_time() -> None:
    world = World()
    world.apply({SHOP: a_deployment(a_group(recovery=UNHEALED))})
    while world.deployment(SHOP).state is not ServiceState.INERT:
        world.silent_vms = set(world.deployment(SHOP).vms)
        assert world._deed(strays=False)
    world.vim.servers.clear()
    (vm,) = world.deployment(SHOP).vms.values()

    world.sleep(BOOT_SECONDS)

    assert world.types()[-1] == "SERVICE_ALIVE FAILURE"
    expected = f"VM [{vm.name}] of vm_group web in VIM sim: it did not answer within its"
    assert expected in world.log[-1].message
    world.apply({SHOP: None})
    world.rest()
    assert ends_with_nothing(world)


def test_a_network_that_vanishes_under_a_vm_is_the_cause_that_is_told() -> None:
    world = World()
    world.apply({SHOP: TWO_NETWORKS})
    while not (servers := [slot for slot in world.flights if slot[1].startswith("server")]):
        assert world._deed(strays=False)
    (vm,) = world.deployment(SHOP).vms.values()
    subject = next(iter(servers))
    world.flights[subject].answer = CallFailed(
        subject=ServerKey(vm.id, vm.generation),
        removal=False,
        error="sim: port 0: there is no network in",
        final=True,
    )
    world.deliver(subject)

    cause = f"[{vm.name}] of vm_group web in VIM sim: port 0: there is no network in"
    assert [event.message for event in world.log[-2:]] == [
        f"VIM Driver: VM creation failed, VM Name: {cause}",
        f"Service group deployment failed: VM {cause}",
    ]
    assert world.deployment(SHOP).error == f"VM {cause}"


def test_what_somebody_else_removed_is_no_leftover() -> None:
    world = running()
    world.vim.servers.clear()
    world.vim.ports.clear()
    world.vim.resources.clear()

    world.apply({SHOP: None})
    world.rest()

    assert ends_with_nothing(world)
    assert not [event for event in world.log if event.status is EventStatus.FAILURE]


def test_a_leftover_that_somebody_else_removed_is_gone_at_the_next_try() -> None:
    world = running(a_deployment())
    world.stuck = True
    world.apply({SHOP: None})
    world.rest()
    (left,) = world.deployment(SHOP).leftovers

    before = world.deployment(SHOP)
    world.tell(SHOP, ServerGone(key=ServerKey(left.vm.id, left.vm.generation)))

    assert not world.records
    step = Step(key=SHOP, before=before, record=None)
    assert [str(each) for each in departed(step)] == [f"vm {left.vm.name} of acme/shop in VIM sim"]


def test_what_leaves_the_list_of_leftovers_is_named() -> None:
    world = running()
    world.stuck = True
    world.apply({SHOP: None})
    world.rest()
    network, shop = world.records[IN], world.deployment(SHOP)

    assert list(departed(Step(key=SHOP, before=shop, record=shop))) == []
    assert list(departed(Step(key=IN, before=network, record=network))) == []
    assert [str(each) for each in departed(Step(key=IN, before=network, record=None))] == [
        "network in of acme/shop in VIM sim"
    ]


# ---- patience


def test_what_failed_together_comes_back_apart() -> None:
    world = World()
    subnets = [f"s{number}" for number in range(30)]
    world.apply({net_key(): a_network("net", *subnets)})
    neighbours_told(world)
    answered(world, call(net_key()), Luck.DONE)
    neighbours_told(world)
    keys = [Key(Kind.SUBNET, TENANT, f"net/{name}") for name in subnets]
    for key in keys:
        answered(world, call(key), Luck.UNREACHED)

    pauses = [world.wakes[key] - world.now for key in keys]

    assert len(set(pauses)) == len(keys)
    first = DEFAULT_POLICY.first_pause
    assert all(first / 2 <= pause <= first for pause in pauses)
    assert max(pauses) - min(pauses) > first / 4


def test_what_is_given_up_tells_how_long_and_how_often_it_was_tried() -> None:
    world = World()
    key = Key(Kind.SUBNET, TENANT, "net/a")
    world.apply({key: a_subnet("a")})
    neighbours_told(world)
    begun, tries = world.now, 0
    while the_state(world, key) is ResourceState.CREATING:
        if call(key) in world.flights:
            answered(world, call(key), Luck.UNREACHED)
            tries += 1
        else:
            world.sleep((world.wakes[key] - world.now).total_seconds())

    assert world.now - begun < DEFAULT_POLICY.give_up_after + timedelta(minutes=1)
    text = world.log[-1].message
    assert text.startswith("Subnet creation failed: subnet net/a in VIM sim: gave up after 20 min")
    assert text.endswith(f" and {tries} tries: call unreached")
    record = world.records[key]
    assert isinstance(record, ResourceRecord)
    assert record.error == text.removeprefix("Subnet creation failed: ")
