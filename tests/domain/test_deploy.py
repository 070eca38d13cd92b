"""Deploy, row by row (ESC-WORKFLOWS section 1)."""

from dataclasses import replace
from datetime import timedelta

import pytest

from esc_daemon.domain.commands import AwaitServer, EnsureServer, Watch, call_slot
from esc_daemon.domain.errors import Refused
from esc_daemon.domain.events import EventStatus, EventType
from esc_daemon.domain.ids import Key, Kind, ServerKey
from esc_daemon.domain.intent import Locator, VmGroup
from esc_daemon.domain.plan import plan
from esc_daemon.domain.policy import DEFAULT_POLICY
from esc_daemon.domain.record import VmRecord
from esc_daemon.domain.states import OperationState, ServiceState, VmState
from esc_daemon.domain.triggers import (
    CallFailed,
    KpiCrossed,
    ServerGone,
    Woken,
)
from tests.domain.fake_vim import seen
from tests.domain.pure_world import VIM, Luck, World
from tests.domain.stories import (
    ACME,
    BOOT_SECONDS,
    LIFE,
    SHOP,
    TENANT,
    UNHEALED,
    a_deployment,
    a_flavor,
    a_group,
    a_network,
    a_tenant,
    an_image,
    net_key,
)


def the_vm(world: World, index: int = 0) -> VmRecord:
    return list(world.deployment(SHOP).vms.values())[index]


def server_slot(world: World, index: int = 0) -> tuple[Key, str]:
    return SHOP, call_slot(VIM, the_vm(world, index).id)


def up_to_the_first_call(*groups: VmGroup) -> World:
    """Return a world in which the neighbours are ready and the servers are asked for."""
    world = World()
    world.apply({SHOP: a_deployment(*groups)})
    assert world.perform((SHOP, "await"), Luck.DONE)
    world.deliver((SHOP, "await"))
    return world


def test_a_monitored_deployment_tells_deployed_alive_and_service_alive() -> None:
    world = World()
    world.apply({ACME: a_tenant(), SHOP: a_deployment(a_group("web", vms=2))})
    world.rest()
    record = world.deployment(SHOP)
    assert world.types()[0] == "CREATE_TENANT"
    assert sorted(world.types()[1:-1]) == [*["VM_ALIVE"] * 2, *["VM_DEPLOYED"] * 2]
    assert world.types()[-1] == "SERVICE_ALIVE"
    assert record.state is ServiceState.ACTIVE
    assert {vm.state for vm in record.vms.values()} == {VmState.ALIVE}
    assert record.operation is not None
    assert record.operation.state is OperationState.COMPLETED


def test_the_texts_are_those_of_esc() -> None:
    world = World()
    world.apply({SHOP: a_deployment()})
    world.rest()
    name = the_vm(world).name
    assert [event.message for event in world.log] == [
        f"VIM Driver: VM successfully created, VM Name: [{name}]",
        f"VM_Alive event received, VM ID: [{name}]",
        "Service group deployment completed successfully!",
    ]
    assert {event.status_code for event in world.log} == {200}
    assert {(event.tenant, event.deployment) for event in world.log} == {(TENANT, "shop")}


def test_deployed_carries_group_vim_id_and_interfaces() -> None:
    world = World()
    world.apply({SHOP: a_deployment(a_group("web", "net", watched=False))})
    world.rest()
    deployed = world.log[0]
    assert deployed.vm_group == "web"
    assert deployed.source is not None
    assert deployed.source.vmid == "server-1"
    assert deployed.source.interfaces[0].ip_address == "192.0.2.1"
    assert deployed.source.interfaces[0].port_id is not None
    assert (deployed.source.hostid, deployed.source.hostname) == ("host-1", "compute-1")


def test_an_unmonitored_vm_rests_unset_and_tells_no_vm_alive() -> None:
    world = World()
    world.apply({SHOP: a_deployment(a_group(watched=False))})
    world.rest()
    assert world.types() == ["VM_DEPLOYED", "SERVICE_ALIVE"]
    assert the_vm(world).state is VmState.MONITOR_UNSET
    assert world.deployment(SHOP).state is ServiceState.ACTIVE
    assert not world.watches()


def test_a_deployment_without_vms_is_alive_at_once() -> None:
    world = World()
    world.apply({SHOP: a_deployment(a_group(vms=0))})
    world.rest()
    assert world.types() == ["SERVICE_ALIVE"]


def test_the_service_is_inert_while_its_vms_are_up_and_not_yet_alive() -> None:
    world = up_to_the_first_call(a_group("web", vms=2))
    for index in range(2):
        world.perform(server_slot(world, index), Luck.DONE)
        world.deliver(server_slot(world, index))
    assert world.deployment(SHOP).state is ServiceState.DEPLOYING
    for server in world.vim.servers.values():
        world.build(server)
    for index in range(2):
        assert world.perform(server_slot(world, index), Luck.DONE)
        world.deliver(server_slot(world, index))
    assert world.deployment(SHOP).state is ServiceState.INERT
    world.cross(*world.watches()[0])
    assert world.deployment(SHOP).state is ServiceState.INERT
    world.cross(*world.watches()[1])
    assert world.deployment(SHOP).state is ServiceState.ACTIVE


def test_an_inert_vm_is_watched_until_its_boot_deadline() -> None:
    world = World()
    world.apply({SHOP: a_deployment(a_group("web", "net"))})
    world.silent_vms = {the_vm(world).id}
    while not world.watches():
        assert world._deed(strays=True)
    todo = plan(world.deployment(SHOP), world.now)
    watch = next(command for command in todo.commands if isinstance(command, Watch))
    assert watch.kpis == (LIFE,)
    assert watch.rules == world.deployment(SHOP).intent.groups[0].rules
    assert watch.addresses == ((0, "192.0.2.1"),)
    assert watch.server_id == "server-1"
    assert todo.wake_at == world.now + timedelta(seconds=BOOT_SECONDS)


def test_a_vm_that_never_answers_ends_in_an_honest_failure() -> None:
    world = World()
    world.apply({SHOP: a_deployment(a_group("web", vms=3, recovery=UNHEALED))})
    world.silent_vms = {the_vm(world).id, the_vm(world, 1).id}
    world.rest()
    record = world.deployment(SHOP)
    assert sorted(world.types()) == [
        "SERVICE_ALIVE FAILURE",
        "VM_ALIVE",
        *["VM_DEPLOYED"] * 3,
        *["VM_RECOVERY_COMPLETE FAILURE"] * 2,
        *["VM_RECOVERY_INIT"] * 2,
    ]
    assert world.types()[-1] == "SERVICE_ALIVE FAILURE"
    assert record.state is ServiceState.ERROR
    assert [vm.state for vm in record.vms.values()].count(VmState.ERROR) == 2
    assert "did not answer within its bootup_time of 300 s (and 1 more VM)" in world.log[-1].message
    assert world.log[-1].status_code == 500
    assert record.operation is not None
    assert record.operation.state is OperationState.FAILED_TEMP


def test_a_vm_that_answers_after_its_deadline_is_too_late() -> None:
    world = World()
    world.apply({SHOP: a_deployment(a_group(recovery=UNHEALED))})
    world.silent_vms = {the_vm(world).id}
    world.rest()
    before = world.records[SHOP]
    world.tell(SHOP, KpiCrossed(server=the_server(world), event_name="VM_ALIVE", holds=True))
    assert world.records[SHOP] is before


def the_server(world: World) -> ServerKey:
    return ServerKey(the_vm(world).id, 1)


@pytest.mark.parametrize(
    ("event_name", "holds", "generation"),
    [("VM_ALIVE", False, 1), ("CPU_LOAD", True, 1), ("VM_ALIVE", True, 2)],
)
def test_only_the_kpi_of_life_of_this_server_makes_a_vm_alive(
    event_name: str, generation: int, *, holds: bool
) -> None:
    world = World()
    world.apply({SHOP: a_deployment()})
    world.silent_vms = {the_vm(world).id}
    while not world.watches():
        assert world._deed(strays=True)
    server = ServerKey(the_vm(world).id, generation)
    world.tell(SHOP, KpiCrossed(server=server, event_name=event_name, holds=holds))
    assert the_vm(world).state is VmState.INERT


def test_life_that_is_told_at_every_poll_is_told_once_as_an_event() -> None:
    # given: continuous_alarm
    world = World()
    world.apply({SHOP: a_deployment()})
    world.rest()
    told, record = world.types(), world.records[SHOP]
    # when
    for _ in range(3):
        world.tell(SHOP, KpiCrossed(server=the_server(world), event_name="VM_ALIVE", holds=True))
    # then
    assert told.count("VM_ALIVE") == 1
    assert (world.types(), world.records[SHOP]) == (told, record)


def test_waking_before_the_deadline_changes_nothing() -> None:
    world = World()
    world.apply({SHOP: a_deployment()})
    before = world.records[SHOP]
    world.tell(SHOP, Woken())
    assert world.records[SHOP] is before


def test_a_refusal_by_the_vim_is_final_at_once() -> None:
    world = up_to_the_first_call()
    world.perform(server_slot(world), Luck.REFUSED)
    world.deliver(server_slot(world))
    assert world.types() == ["VM_DEPLOYED FAILURE", "SERVICE_ALIVE FAILURE"]
    failed = world.log[0]
    assert failed.vm_group is None  # NSO takes it so
    assert failed.source is not None
    assert failed.source.vmid is None
    assert the_vm(world).state is VmState.ERROR
    assert not world.flights


def test_a_server_in_error_fails_with_the_words_of_the_vim() -> None:
    world = World()
    world.apply({SHOP: a_deployment(a_group("web"), a_group("db", watched=False))})
    world.bad_vms = {the_vm(world).id}
    world.rest()
    assert sorted(world.types()) == ["SERVICE_ALIVE FAILURE", "VM_DEPLOYED", "VM_DEPLOYED FAILURE"]
    assert world.types()[-1] == "SERVICE_ALIVE FAILURE"
    assert "No valid host was found" in world.log[-1].message


def test_a_create_that_nobody_answered_is_looked_for_and_adopted() -> None:
    world = up_to_the_first_call()
    world.perform(server_slot(world), Luck.LOST)
    world.deliver(server_slot(world))
    todo = plan(world.deployment(SHOP), world.now + timedelta(seconds=1))
    assert {type(command) for command in todo.commands} == {AwaitServer}
    world.rest()
    assert len(world.vim.servers) == 1
    assert world.vim.made == 1
    assert world.types()[-1] == "SERVICE_ALIVE"


def test_a_create_that_comes_to_nothing_is_tried_again_when_nothing_can_turn_up() -> None:
    world = up_to_the_first_call()
    world.perform(server_slot(world), Luck.NEVER)
    world.deliver(server_slot(world))
    settled = world.now + DEFAULT_POLICY.settle
    while not world.vim.servers:
        assert world._deed(strays=True)
    assert world.now >= settled
    world.rest()
    assert world.types()[-1] == "SERVICE_ALIVE"


def test_a_vim_that_was_never_reached_is_asked_again_after_a_pause() -> None:
    world = up_to_the_first_call()
    world.perform(server_slot(world), Luck.UNREACHED)
    world.deliver(server_slot(world))
    assert not world.flights
    first = DEFAULT_POLICY.first_pause
    assert first / 2 <= world.wakes[SHOP] - world.now <= first
    world.sleep(1)
    assert isinstance(world.flights[server_slot(world)].command, EnsureServer)


@pytest.mark.parametrize("luck", [Luck.UNREACHED, Luck.NEVER])
def test_after_twenty_minutes_a_silent_vim_is_given_up(luck: Luck) -> None:
    world = up_to_the_first_call()
    begun = world.now
    tries = 0
    while the_vm(world).state is VmState.DEPLOYING:
        if server_slot(world) in world.flights:
            world.perform(server_slot(world), luck)
            world.deliver(server_slot(world))
            tries += 1
        else:
            world.sleep((world.wakes[SHOP] - world.now).total_seconds())
    assert timedelta(minutes=20) <= world.now - begun < timedelta(minutes=22)
    assert 20 < tries < 50
    assert world.types() == ["VM_DEPLOYED FAILURE", "SERVICE_ALIVE FAILURE"]


def test_a_server_that_never_leaves_build_is_given_up() -> None:
    world = up_to_the_first_call()
    world.perform(server_slot(world), Luck.DONE)
    world.deliver(server_slot(world))
    (server,) = world.vim.servers.values()
    before = world.records[SHOP]
    world.tell(SHOP, seen(server))
    assert world.records[SHOP] is before
    world.sleep(1201)
    world.tell(SHOP, seen(server))
    assert "still building it" in world.log[0].message


def test_a_server_that_vanishes_while_it_is_built_is_made_again() -> None:
    world = up_to_the_first_call()
    world.perform(server_slot(world), Luck.DONE)
    world.deliver(server_slot(world))
    world.vim.servers.clear()
    world.rest()
    assert world.vim.made == 2
    assert world.types()[-1] == "SERVICE_ALIVE"


def test_a_server_that_vanishes_again_and_again_is_given_up() -> None:
    world = up_to_the_first_call()
    world.perform(server_slot(world), Luck.DONE)
    world.deliver(server_slot(world))
    world.sleep(1201)
    world.tell(SHOP, ServerGone(key=the_server(world), looked=True))
    assert "vanished while it was built" in world.log[0].message


def test_a_create_that_a_kill_cut_off_is_told_as_looked_for() -> None:
    # given
    world = up_to_the_first_call()
    # when
    world.restart()
    world.perform(server_slot(world), Luck.DONE)
    world.deliver(server_slot(world))
    # then
    attempt = the_vm(world).attempt
    assert attempt is not None
    assert attempt.error == (
        "a create was not answered, and no server was there when the VIM was looked at"
    )


def test_a_look_that_is_refused_does_not_end_the_doubt() -> None:
    world = up_to_the_first_call()
    world.perform(server_slot(world), Luck.LATE)
    world.deliver(server_slot(world))
    world.sleep(1)
    world.tell(SHOP, CallFailed(subject=the_server(world), removal=False, error="no", final=True))
    assert the_vm(world).state is VmState.ERROR
    world.apply({SHOP: None})
    world.rest()
    assert not world.records
    assert not world.vim.servers


def test_a_failed_neighbour_fails_the_deployment_before_its_first_vm() -> None:
    world = World()
    image = Key(Kind.IMAGE, None, "linux")
    world.apply({image: an_image(), SHOP: a_deployment()})
    while (image, "resource") not in world.flights:
        assert world._deed(strays=True)
    world.perform((image, "resource"), Luck.REFUSED)
    world.deliver((image, "resource"))
    world.rest()
    assert world.types() == ["CREATE_IMAGE FAILURE", "SERVICE_ALIVE FAILURE"]
    assert "image linux" in world.log[-1].message
    assert {vm.state for vm in world.deployment(SHOP).vms.values()} == {VmState.UNDEF}
    assert not world.vim.servers
    world.apply({SHOP: None})
    assert world.types()[-1] == "SERVICE_UNDEPLOYED"
    assert SHOP not in world.records


def test_a_deployment_waits_for_tenant_networks_image_and_flavor() -> None:
    world = World()
    world.apply(
        {
            ACME: a_tenant(),
            net_key(): a_network("net", "a"),
            Key(Kind.IMAGE, None, "linux"): an_image(),
            Key(Kind.FLAVOR, None, "small"): a_flavor(),
            SHOP: a_deployment(a_group("web", "own", "net"), networks=(a_network("own", "b"),)),
        }
    )
    world.rest()
    kinds = world.types()
    assert sorted(kinds[: kinds.index("VM_DEPLOYED")]) == [
        "CREATE_FLAVOR",
        "CREATE_IMAGE",
        "CREATE_NETWORK",
        "CREATE_NETWORK",
        "CREATE_SUBNET",
        "CREATE_SUBNET",
        "CREATE_TENANT",
    ]
    ports = next(iter(world.vim.servers.values())).spec.ports
    assert all(port.network_id for port in ports)
    assert ports[0].network_id != ports[1].network_id
    assert {port.project for port in ports} == {"acme"}


def test_a_network_called_like_the_tenant_is_not_taken_for_it() -> None:
    world = World()
    namesake = net_key("acme", None)
    world.apply({namesake: a_network("acme"), SHOP: a_deployment(a_group("web", "acme"))})
    world.rest()
    record = world.deployment(SHOP)
    assert record.tenant is not None
    assert not record.tenant.resource_id
    assert record.networks["acme"].resource_id == world.vim.resource(namesake)


def test_a_group_that_names_its_project_keeps_it() -> None:
    world = World()
    group = replace(
        a_group("web"), locator=Locator(vim_id="east", vim_project="mine"), image=None, flavor=None
    )
    world.apply({ACME: a_tenant(), SHOP: a_deployment(group)})
    world.rest()
    assert (the_vm(world).vim, the_vm(world).project) == ("east", "mine")
    alive = world.told("SERVICE_ALIVE")[0]
    assert alive.tenant_id == world.vim.resource(ACME)


def test_a_tenant_without_an_id_in_the_vim_is_told_by_its_name() -> None:
    world = World()
    world.apply({ACME: a_tenant(managed=False), SHOP: a_deployment(a_group(watched=False))})
    world.rest()
    assert world.told("SERVICE_ALIVE")[0].tenant_id == "acme"
    assert the_vm(world).project == "acme"


def test_the_same_deployment_again_changes_nothing() -> None:
    world = World()
    world.apply({SHOP: a_deployment()})
    before = world.records[SHOP]
    world.apply({SHOP: a_deployment()})
    assert world.records[SHOP] is before


def test_a_change_of_what_is_still_being_deployed_is_refused_and_changes_nothing() -> None:
    world = World()
    world.apply({SHOP: a_deployment()})
    before = dict(world.records)
    with pytest.raises(Refused, match="it is being deployed") as refused:
        world.apply({net_key(): a_network(), SHOP: a_deployment(a_group("db"))})
    assert refused.value.tag == "in-use"
    assert world.records == before


def test_failures_stand_with_code_500_and_a_text() -> None:
    world = up_to_the_first_call()
    world.perform(server_slot(world), Luck.REFUSED)
    world.deliver(server_slot(world))
    for event in world.log:
        assert (event.status, event.status_code) == (EventStatus.FAILURE, 500)
        assert event.message
    assert [e.type for e in world.log] == [EventType.VM_DEPLOYED, EventType.SERVICE_ALIVE]
