"""Healing: its ladder, its events, its limits (ESC-WORKFLOWS sections 8 and 9; seed 003)."""

from dataclasses import replace
from datetime import timedelta

import pytest

from esc_daemon.domain.errors import Refused
from esc_daemon.domain.events import EventType
from esc_daemon.domain.ids import Key, OperationId, ServerKey
from esc_daemon.domain.intent import RecoveryAction, RecoveryPolicy, RecoveryType
from esc_daemon.domain.record import ActionType, VmRecord, VmTask
from esc_daemon.domain.specs import ServerStatus
from esc_daemon.domain.states import ServiceState, VmState
from esc_daemon.domain.triggers import KpiCrossed, RecoveryAsked, ServiceActed
from tests.domain.pure_world import START, Luck, World
from tests.domain.stories import BOOT_SECONDS, SHOP, a_deployment, a_group, after

OP = OperationId("33333333-3333-3333-3333-333333333333")
WAIT = 60
INIT, REBOOT, CANCELLED = "VM_RECOVERY_INIT", "VM_RECOVERY_REBOOT", "VM_RECOVERY_CANCELLED"
GONE, MADE, DONE = "VM_RECOVERY_UNDEPLOYED", "VM_RECOVERY_DEPLOYED", "VM_RECOVERY_COMPLETE"


def policy(action: str = "REBOOT_THEN_REDEPLOY", retries: int = 3, kind: str = "AUTO"):
    return RecoveryPolicy(
        type=RecoveryType(kind), action=RecoveryAction(action), max_retries=retries
    )


def alive(recovery: RecoveryPolicy, *, wait: int = 0, vms: int = 1) -> World:
    """Return a world whose service is active."""
    world = World()
    world.apply({SHOP: a_deployment(a_group("web", "net", vms=vms, recovery=recovery, wait=wait))})
    world.rest()
    world.log.clear()
    return world


def the_vm(world: World, index: int = 0) -> VmRecord:
    return list(world.deployment(SHOP).vms.values())[index]


def cross(world: World, *, holds: bool, index: int = 0) -> None:
    vm = the_vm(world, index)
    key = ServerKey(vm.id, vm.generation)
    world.tell(SHOP, KpiCrossed(server=key, event_name="VM_ALIVE", holds=holds))


def fall_silent(world: World, index: int = 0) -> None:
    world.silent_vms.add(the_vm(world, index).id)
    cross(world, holds=False, index=index)


def test_a_vm_that_lives_again_after_a_reboot_is_the_same_vm() -> None:
    # given
    world = alive(policy())
    # when
    cross(world, holds=False)
    world.rest()
    # then
    assert world.types() == [INIT, REBOOT, DONE]
    done = world.log[-1]
    assert done.source
    assert done.target
    assert done.source.vmid == done.target.vmid
    assert done.message == f"Recovery: Successfully recovered VM [{the_vm(world).name}]."
    assert the_vm(world).state is VmState.ALIVE
    assert world.deployment(SHOP).state is ServiceState.ACTIVE


def test_a_redeployed_vm_keeps_its_name_its_ports_and_its_addresses() -> None:
    # given
    world = alive(policy("REDEPLOY_ONLY"))
    before = the_vm(world)
    # when
    cross(world, holds=False)
    world.rest()
    # then
    now = the_vm(world)
    assert world.types() == [INIT, GONE, MADE, DONE]
    assert (now.name, now.interfaces) == (before.name, before.interfaces)
    assert (before.generation, now.generation) == (1, 2)
    for event in world.log[2:]:
        assert event.source
        assert event.target
        assert before.server
        assert now.server
        assert event.source.vmid == before.server.resource_id
        assert event.target.vmid == now.server.resource_id
        assert event.target.interfaces
    assert len(world.vim.servers) == 1


def test_a_redeploy_never_takes_the_ports_out_of_the_vim() -> None:
    # given
    world = alive(policy("REDEPLOY_ONLY"))
    before = world.vim.ports[the_vm(world).id]
    cross(world, holds=False)
    # when: the old server is removed, and the next one is not made yet
    (slot,) = [slot for slot in world.flights if slot[1].startswith("server")]
    world.perform(slot, Luck.DONE)
    world.deliver(slot)
    # then
    assert not world.vim.servers
    assert world.vim.ports[the_vm(world).id] == before


def test_a_reboot_that_does_not_help_is_followed_by_redeploys() -> None:
    world = alive(policy(retries=2))
    fall_silent(world)
    world.rest()
    assert world.types() == [INIT, REBOOT, *[GONE, MADE] * 2, f"{DONE} FAILURE"]
    assert the_vm(world).state is VmState.ERROR
    assert world.deployment(SHOP).state is ServiceState.ERROR
    assert world.log[-1].message.endswith(f"for VM: [{the_vm(world).name}]")
    assert "it did not answer" in str(world.log[-1].details)


def test_reboot_only_never_redeploys() -> None:
    world = alive(policy("REBOOT_ONLY", retries=2))
    fall_silent(world)
    world.rest()
    assert world.types() == [INIT, REBOOT, REBOOT, f"{DONE} FAILURE"]
    assert the_vm(world).generation == 1


def test_retries_without_end_go_on_until_it_lives() -> None:
    world = alive(policy("REBOOT_ONLY", retries=-1))
    fall_silent(world)
    for _ in range(200):
        world._deed(strays=False)
    assert world.types().count(REBOOT) > 10
    world.silent_vms.clear()
    world.rest()
    assert world.types()[-1] == DONE


def test_the_time_stamps_are_those_of_seed_003() -> None:
    # given: recovery_wait_time 60, REBOOT_ONLY, max_retries 1, and a VIM that will not reboot
    world = alive(policy("REBOOT_ONLY", retries=1), wait=WAIT)
    began = world.now
    told = {}

    def note() -> None:
        for kind in world.types():
            told.setdefault(kind, (world.now - began).total_seconds())

    # when
    fall_silent(world)
    note()
    world.sleep(WAIT)
    (slot,) = [slot for slot in world.flights if slot[1].startswith("server")]
    world.perform(slot, Luck.UNREACHED)
    world.deliver(slot)
    note()
    world.sleep(BOOT_SECONDS - 1)
    note()
    world.sleep(1)
    note()
    # then: INIT at once, then the wait, and the whole boot though the reboot failed
    assert told == {INIT: 0, f"{REBOOT} FAILURE": WAIT, f"{DONE} FAILURE": WAIT + BOOT_SECONDS}
    assert world.log[1].message == f"VM [{the_vm(world).name}] failed to be rebooted."


def test_a_vm_that_comes_back_by_itself_is_left_alone() -> None:
    # given
    world = alive(policy(), wait=WAIT)
    cross(world, holds=False)
    assert the_vm(world).state is VmState.MONITOR_DISABLED
    # when
    cross(world, holds=True)
    world.rest()
    # then
    assert world.types() == [INIT, CANCELLED]
    assert the_vm(world).state is VmState.ALIVE


def test_a_vm_that_does_not_boot_in_time_is_healed_while_its_service_waits() -> None:
    # given
    world = World()
    world.apply({SHOP: a_deployment(a_group("web", recovery=policy()))})
    while world.deployment(SHOP).state is not ServiceState.INERT:
        world.silent_vms = set(world.deployment(SHOP).vms)
        world._deed(strays=False)
    # when: it boots well after the reboot
    world.sleep(BOOT_SECONDS)
    world.silent_vms.clear()
    state = world.deployment(SHOP).state
    world.rest()
    # then
    assert state is ServiceState.INERT
    assert world.types() == ["VM_DEPLOYED", INIT, REBOOT, DONE, "VM_ALIVE", "SERVICE_ALIVE"]


def test_a_deployment_whose_vm_cannot_be_healed_fails() -> None:
    world = World()
    world.apply({SHOP: a_deployment(a_group("web", recovery=policy(retries=1)))})
    world.silent_vms = {the_vm(world).id}
    world.rest()
    assert world.types() == [
        *["VM_DEPLOYED", INIT, REBOOT, GONE, MADE],
        f"{DONE} FAILURE",
        "SERVICE_ALIVE FAILURE",
    ]


@pytest.mark.parametrize("own", [False, True])
def test_a_group_that_waits_for_a_healed_vm_has_its_turn(*, own: bool) -> None:
    # given: db waits for a KPI of web, of its life or another one
    event = "READY" if own else "VM_ALIVE"
    web = a_group("web", recovery=policy())
    if own:
        web = replace(web, kpis=(*web.kpis, replace(web.kpis[0], event_name=event)))
    world = World()
    world.apply(
        {SHOP: a_deployment(web, a_group("db"), startup=(after("db", "web", event=event),))}
    )
    while world.deployment(SHOP).vms and not world.watches():
        world._deed(strays=False)
    # when
    world.sleep(BOOT_SECONDS)
    world.rest()
    # then
    assert world.types().count(REBOOT) == 1
    assert world.types()[-1] == "SERVICE_ALIVE"
    assert world.deployment(SHOP).state is ServiceState.ACTIVE


def test_who_cannot_measure_recovers_nobody() -> None:
    # given
    world = alive(policy())
    vm = the_vm(world)
    key = ServerKey(vm.id, vm.generation)
    # when
    world.tell(SHOP, KpiCrossed(server=key, event_name="VM_ALIVE", holds=False, blind=True))
    world.rest()
    # then
    assert world.types() == []
    assert the_vm(world) is vm
    # and silence that follows is no blindness
    cross(world, holds=False)
    assert world.types()[0] == INIT


def test_several_vms_are_healed_side_by_side() -> None:
    world = alive(policy("REDEPLOY_ONLY"), vms=3)
    for index in range(3):
        cross(world, holds=False, index=index)
    world.rest()
    for kind in (INIT, GONE, MADE, DONE):
        assert world.types().count(kind) == 3
    assert len(world.vim.servers) == 3


def test_manual_recovery_is_asked_for_and_done_on_request() -> None:
    # given
    world = alive(policy("REDEPLOY_ONLY", kind="MANUAL"))
    cross(world, holds=False)
    needed = world.types()
    # when
    world.tell(SHOP, RecoveryAsked(id=OP, vm=the_vm(world).id))
    world.rest()
    # then
    assert needed == ["VM_MANUAL_RECOVERY_NEEDED"]
    assert world.types()[1:] == [INIT, GONE, MADE, DONE]


def test_manual_recovery_is_not_needed_for_a_vm_that_comes_back() -> None:
    world = alive(policy(kind="MANUAL"))
    cross(world, holds=False)
    cross(world, holds=True)
    world.rest()
    assert world.types() == ["VM_MANUAL_RECOVERY_NEEDED", "VM_MANUAL_RECOVERY_NO_NEED"]
    assert the_vm(world).state is VmState.ALIVE


def test_a_deployment_does_not_wait_for_the_operator() -> None:
    # given
    world = World()
    world.apply({SHOP: a_deployment(a_group("web", recovery=policy(kind="MANUAL")))})
    world.silent_vms = {the_vm(world).id}
    world.rest()
    # then
    assert world.types() == ["VM_DEPLOYED", "VM_MANUAL_RECOVERY_NEEDED", "SERVICE_ALIVE FAILURE"]
    # and a recovery that is asked for later repairs it
    world.silent_vms.clear()
    world.tell(SHOP, RecoveryAsked(id=OP, vm=the_vm(world).id))
    world.rest()
    assert world.types()[3:] == [INIT, REBOOT, DONE, "VM_ALIVE"]
    assert world.deployment(SHOP).state is ServiceState.ACTIVE


def test_a_vm_that_flaps_is_left_to_the_operator() -> None:
    # given
    world = alive(policy())
    # when
    for _ in range(world.policy.recoveries_an_hour):
        cross(world, holds=False)
        world.rest()
    world.log.clear()
    cross(world, holds=False)
    # then
    assert world.types() == ["VM_MANUAL_RECOVERY_NEEDED"]
    assert "recovered 6 times in an hour" in world.log[-1].message


def test_a_vm_flaps_without_a_limit_where_there_is_none() -> None:
    world = alive(policy())
    world.policy = replace(world.policy, recoveries_an_hour=0)
    for _ in range(20):
        cross(world, holds=False)
        world.rest()
    assert world.types().count(DONE) == 20


def test_a_new_server_that_is_refused_is_asked_for_again() -> None:
    # given
    world = alive(policy("REDEPLOY_ONLY", retries=2))
    cross(world, holds=False)
    # when
    for luck in (Luck.DONE, Luck.REFUSED):
        (slot,) = [slot for slot in world.flights if slot[1].startswith("server")]
        world.perform(slot, luck)
        world.deliver(slot)
    world.rest()
    # then
    assert world.types() == [INIT, GONE, f"{MADE} FAILURE", GONE, MADE, DONE]
    assert the_vm(world).generation == 3


def test_a_server_that_cannot_be_removed_is_not_doubled() -> None:
    world = alive(policy("REDEPLOY_ONLY"))
    world.stuck = True
    cross(world, holds=False)
    world.rest()
    assert world.types() == [INIT, f"{GONE} FAILURE", f"{DONE} FAILURE"]
    assert len(world.vim.servers) == 1
    assert the_vm(world).generation == 1


@pytest.mark.parametrize("deeds", range(12))
def test_an_undeploy_at_any_moment_of_a_recovery_leaves_nothing(deeds: int) -> None:
    # given
    world = alive(policy(retries=2), wait=WAIT)
    fall_silent(world)
    for _ in range(deeds):
        world._deed(strays=False)
    # when
    world.apply({SHOP: None})
    world.rest()
    # then
    assert SHOP not in world.records
    assert not world.vim.servers
    assert not world.vim.ports
    assert [e.type for e in world.log][-1] is EventType.SERVICE_UNDEPLOYED


@pytest.mark.parametrize("deeds", range(12))
def test_a_restart_at_any_moment_of_a_recovery_brings_it_to_its_end(deeds: int) -> None:
    # given
    world = alive(policy(retries=1), wait=WAIT)
    fall_silent(world)
    for _ in range(deeds):
        world._deed(strays=False)
    # when
    world.restart()
    world.rest()
    # then
    assert world.types().count(INIT) == 1
    assert world.types()[-1] == f"{DONE} FAILURE"
    assert len(world.vim.servers) == 1


def test_what_is_being_recovered_cannot_be_stopped_or_recovered() -> None:
    world = alive(policy(), wait=WAIT)
    cross(world, holds=False)
    with pytest.raises(Refused, match="a VM of it is being recovered"):
        world.tell(SHOP, ServiceActed(id=OP, action=ActionType.STOP))
    with pytest.raises(Refused, match="is being recovered"):
        world.tell(SHOP, RecoveryAsked(id=OP, vm=the_vm(world).id))


def test_what_happened_to_a_vm_is_remembered() -> None:
    world = alive(policy())
    began = world.now
    cross(world, holds=False)
    world.rest()
    history = the_vm(world).history
    assert history.rebooted == history.recoveries[0] == began
    assert history.reboot_cause == "VM_ALIVE no longer holds"
    assert history.recovery_outcome == "recovered"
    assert history.up_since is not None
    assert history.up_since - START < timedelta(hours=1)


def calls(world: World) -> list[tuple[Key, str]]:
    return [slot for slot in world.flights if slot[1].startswith("server")]


def test_a_reboot_that_fails_is_no_recovery_of_a_vm_that_nobody_watches() -> None:
    # given
    world = World()
    recovery = policy("REBOOT_ONLY", retries=1)
    world.apply({SHOP: a_deployment(a_group("web", watched=False, recovery=recovery))})
    world.rest()
    world.log.clear()
    # when
    world.tell(SHOP, RecoveryAsked(id=OP, vm=the_vm(world).id))
    (slot,) = calls(world)
    world.perform(slot, Luck.REFUSED)
    world.deliver(slot)
    # then
    assert world.types() == [INIT, f"{REBOOT} FAILURE", f"{DONE} FAILURE"]
    assert the_vm(world).state is VmState.ERROR


def test_a_server_that_was_made_in_a_recovery_and_is_broken_is_not_rebooted() -> None:
    # given: a VM that never had a server to reboot, and a VIM that builds none well
    world = World()
    world.apply({SHOP: a_deployment(a_group("web", recovery=policy(retries=2)))})
    world.perform((SHOP, "await"), Luck.DONE)
    world.deliver((SHOP, "await"))
    (slot,) = calls(world)
    world.perform(slot, Luck.REFUSED)
    world.deliver(slot)
    world.log.clear()
    world.bad_vms = {the_vm(world).id}
    # when
    world.tell(SHOP, RecoveryAsked(id=OP, vm=the_vm(world).id))
    world.rest()
    # then
    assert world.types() == [INIT, *[GONE, f"{MADE} FAILURE"] * 2, f"{DONE} FAILURE"]


def test_a_reboot_that_may_still_come_is_not_overtaken_by_a_stop() -> None:
    # given: it was asked for, nobody answered, and the guest came up all the same
    world = alive(policy("REBOOT_ONLY", retries=1))
    cross(world, holds=False)
    (slot,) = calls(world)
    world.perform(slot, Luck.LATE)
    world.deliver(slot)
    cross(world, holds=True)
    assert world.types() == [INIT, f"{REBOOT} FAILURE", DONE]
    # when
    world.tell(SHOP, ServiceActed(id=OP, action=ActionType.STOP))
    # then
    assert not calls(world)
    world.rest()
    (server,) = world.vim.servers.values()
    assert server.status is ServerStatus.SHUTOFF


def test_a_group_that_waits_begins_when_what_it_waits_for_is_recovered() -> None:
    # given
    world = World()
    groups = (a_group("web"), a_group("db", recovery=policy()))
    world.apply({SHOP: a_deployment(*groups, startup=(after("web", "db"),))})
    db = next(vm for vm in world.deployment(SHOP).vms.values() if vm.group == "db")
    world.silent_vms = {db.id}
    while the_vm_of(world, db).task is not VmTask.RECOVER:
        world._deed(strays=False)
    # when
    world.silent_vms.clear()
    world.rest()
    # then
    recovered = [INIT, REBOOT, DONE, "VM_ALIVE"]
    assert world.types() == [
        *["VM_DEPLOYED", *recovered, "VM_DEPLOYED", "VM_ALIVE", "SERVICE_ALIVE"],
    ]
    assert world.deployment(SHOP).state is ServiceState.ACTIVE


def the_vm_of(world: World, vm: VmRecord) -> VmRecord:
    return world.deployment(SHOP).vms[vm.id]


def test_life_that_is_lost_while_nothing_may_heal_it_is_looked_for_again_afterwards() -> None:
    # given: one of two VMs is up after a start, the other one not yet
    world = alive(policy(), vms=2)
    world.tell(SHOP, ServiceActed(id=OP, action=ActionType.STOP))
    world.rest()
    world.tell(SHOP, ServiceActed(id=OP, action=ActionType.START))
    for slot in calls(world):
        world.perform(slot, Luck.DONE)
        world.deliver(slot)
    cross(world, holds=True)
    world.log.clear()
    # when
    cross(world, holds=False)
    (before,) = [w for _, w in world.watches() if w.server.vm == the_vm(world).id]
    # then: nobody interrupts a start, and its end has the KPIs watched anew
    assert not world.types()
    cross(world, holds=True, index=1)
    (afterwards,) = [w for _, w in world.watches() if w.server.vm == the_vm(world).id]
    assert (before.heals, afterwards.heals) == (False, True)
    cross(world, holds=False)
    assert world.types() == ["VM_ALIVE", "SERVICE_STARTED", INIT]
