"""Healing among many, by several KPIs, and again and again: what it costs, where it ends."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from esc_daemon.domain.commands import Watch
from esc_daemon.domain.ids import ServerKey, VmId
from esc_daemon.domain.intent import (
    RecoveryAction,
    RecoveryPolicy,
    RecoveryType,
    Rule,
    RuleAction,
    RuleWhen,
    VmGroup,
)
from esc_daemon.domain.plan import plan
from esc_daemon.domain.record import ActionType, RecoveryPhase, VmRecord
from esc_daemon.domain.states import OperationState, ServiceState, VmState
from esc_daemon.domain.triggers import KpiCrossed, RecoveryAsked, VmActed
from tests.domain.elastic import OP, OUT, elastic, overload, settle, the_vms, up
from tests.domain.pure_world import Luck, Slot, World
from tests.domain.stories import BOOT_SECONDS, LIFE, SHOP, a_deployment, a_group, after

INIT, REBOOT, DONE = "VM_RECOVERY_INIT", "VM_RECOVERY_REBOOT", "VM_RECOVERY_COMPLETE"


def the_vm(world: World) -> VmRecord:
    return the_vms(world)[0]


def cross(world: World, *, holds: bool, event_name: str = "VM_ALIVE") -> None:
    vm = the_vm(world)
    key = ServerKey(vm.id, vm.generation)
    world.tell(SHOP, KpiCrossed(server=key, event_name=event_name, holds=holds))


def fall_silent(world: World) -> None:
    world.silent_vms.add(the_vm(world).id)
    cross(world, holds=False)


def calls(world: World) -> list[Slot]:
    return [slot for slot in world.flights if slot[1].startswith("server")]


def call(world: World, luck: Luck = Luck.DONE) -> str:
    """Let the call about the VM's server end; return what it was."""
    (slot,) = calls(world)
    name = type(world.flights[slot].command).__name__
    assert world.perform(slot, luck)
    world.deliver(slot)
    return name


def the_watch(world: World) -> Watch:
    ((_, watch),) = world.watches()
    return watch


class CountedVms(dict[VmId, VmRecord]):
    """VMs that count how often anybody goes through all of them."""

    walks = 0

    def __iter__(self) -> Iterator[VmId]:
        self.walks += 1
        return super().__iter__()

    def values(self):
        self.walks += 1
        return super().values()


def test_a_plan_goes_through_the_vms_as_often_for_many_as_for_few() -> None:
    walks = []
    for vms in (2, 40):
        # given
        world = up(a_group("web", "net", vms=vms))
        counted = CountedVms({vm.id: vm for vm in the_vms(world)})
        # when
        plan(replace(world.deployment(SHOP), vms=counted), world.now)
        # then
        walks.append(counted.walks)
    assert walks[0] == walks[1] > 0


def with_http(group: VmGroup) -> VmGroup:
    """Return *group* with a second KPI that recovers."""
    recovers = (RuleAction(when=RuleWhen.FALSE, name="recover autohealing"),)
    return replace(
        group,
        kpis=(*group.kpis, replace(LIFE, event_name="HTTP")),
        rules=(*group.rules, Rule(event_name="HTTP", actions=recovers)),
    )


def test_what_a_second_kpi_lost_while_the_vm_booted_is_told_again_once_it_lives() -> None:
    # given: a VM that boots after a recovery, whose other service does not
    world = up(with_http(a_group("web", "net")))
    cross(world, holds=False)
    call(world)
    booting = the_watch(world)
    cross(world, holds=False, event_name="HTTP")
    assert world.types() == [INIT, REBOOT]
    # when
    cross(world, holds=True)
    # then: another watch, so another first result of each KPI
    assert the_vm(world).state is VmState.ALIVE
    assert the_watch(world) != booting
    cross(world, holds=False, event_name="HTTP")
    assert world.types() == [INIT, REBOOT, DONE, INIT]


def test_what_a_second_kpi_lost_while_a_recovery_was_held_is_told_again() -> None:
    # given
    world = up(with_http(a_group("web", "net")))
    world.guarded = True
    cross(world, holds=False)
    assert the_vm(world).recovery.phase is RecoveryPhase.HELD
    held = the_watch(world)
    # when
    cross(world, holds=True)
    # then
    assert the_vm(world).recovery is None
    assert the_watch(world) != held


def test_a_single_kpi_that_recovers_is_watched_on_when_its_vm_lives() -> None:
    for group in (a_group("web", "net"), elastic("net", recovery=a_group().recovery)):
        # given
        world = up(group)
        cross(world, holds=False)
        call(world)
        booting = the_watch(world)
        # when
        cross(world, holds=True)
        # then
        assert the_vm(world).state is VmState.ALIVE
        assert the_watch(world) is booting


def endless(action: RecoveryAction) -> World:
    """Return a world whose VM is silent and recovered for ever."""
    recovery = RecoveryPolicy(action=action, max_retries=-1)
    world = up(a_group("web", "net", recovery=recovery))
    fall_silent(world)
    return world


def refused_redeploy(world: World) -> None:
    assert call(world) == "RemoveServer"
    assert call(world, Luck.REFUSED) == "EnsureServer"


def useless_reboot(world: World) -> None:
    assert call(world) == "SwitchServer"
    world.sleep(BOOT_SECONDS)


@pytest.mark.parametrize(
    ("action", "one_round"),
    [
        (RecoveryAction.REDEPLOY_ONLY, refused_redeploy),
        (RecoveryAction.REBOOT_ONLY, useless_reboot),
    ],
)
def test_between_the_rounds_of_a_recovery_there_is_a_pause_that_doubles(
    action: RecoveryAction, one_round: Callable[[World], None]
) -> None:
    # given
    world = endless(action)
    for rounds in range(1, 9):
        # when
        one_round(world)
        pause = the_vm(world).attempt.next - world.now
        # then: nothing is asked of the VIM before it is over
        whole = min(world.policy.first_pause * 2**rounds, world.policy.longest_pause)
        assert whole / 2 <= pause <= whole
        assert not calls(world)
        world.sleep(pause.total_seconds())


def test_a_recovery_that_pauses_is_interrupted_by_an_undeploy() -> None:
    # given
    world = endless(RecoveryAction.REDEPLOY_ONLY)
    refused_redeploy(world)
    assert the_vm(world).attempt.next > world.now
    # when
    world.apply({SHOP: None})
    # then: at once, and nothing is left
    assert call(world) == "RemoveServer"
    world.rest()
    assert SHOP not in world.records
    assert not world.vim.servers


def recover(world: World) -> None:
    world.tell(SHOP, RecoveryAsked(id=OP, vm=the_vm(world).id))
    world.rest()


def test_a_vm_that_came_back_by_itself_each_time_does_not_flap() -> None:
    # given
    world = up(a_group("web", "net", wait=60))
    for _ in range(world.policy.recoveries_an_hour + 1):
        # when
        cross(world, holds=False)
        world.sleep(5)
        cross(world, holds=True)
        # then
        assert world.types()[-2:] == [INIT, "VM_RECOVERY_CANCELLED"]
    assert the_vm(world).history.recoveries == ()


def test_a_vm_that_was_recovered_on_request_does_not_flap() -> None:
    # given
    world = up(a_group("web", "net"))
    for _ in range(world.policy.recoveries_an_hour):
        recover(world)
    world.log.clear()
    # when
    cross(world, holds=False)
    # then
    assert world.types() == [INIT]


def test_a_vm_remembers_the_recoveries_of_one_hour() -> None:
    # given
    world = up(a_group("web", "net", wait=60))
    world.policy = replace(world.policy, recoveries_an_hour=0)
    for _ in range(20):
        # when
        fall_silent(world)
        world.sleep(60)
        began = world.now
        world.silent_vms.clear()
        world.rest()
        world.sleep(7200)
        recover(world)
        # then
        assert the_vm(world).history.recoveries == (began,)


def lost_while_it_comes(recovery: RecoveryPolicy, losses: int) -> World:
    """Return a world where a VM that scaling adds lives, and is lost *losses* times at READY."""
    ready = replace(LIFE, event_name="READY")
    web = elastic("net", recovery=recovery)
    web = replace(web, kpis=(*web.kpis, ready))
    world = World()
    waits = (after("db", "web", event="READY"),)
    world.apply({SHOP: a_deployment(web, a_group("db", "net"), startup=waits)})
    world.rest()
    world.log.clear()
    overload(world, next(vm for vm in the_vms(world) if vm.group == "web"))
    while not (coming := next(vm for vm in the_vms(world) if vm.scale)).deadline:
        for server in world.vim.servers.values():
            world.build(server)
        call(world)
    for _ in range(losses):
        tell_life(world, coming, holds=True)
        tell_life(world, coming, holds=False)
        for _ in calls(world):
            call(world)  # the reboot, where there is one
    return world


def tell_life(world: World, vm: VmRecord, *, holds: bool) -> None:
    key = ServerKey(vm.id, vm.generation)
    world.tell(SHOP, KpiCrossed(server=key, event_name="VM_ALIVE", holds=holds))


@pytest.mark.parametrize(
    ("recovery", "losses"),
    [(RecoveryPolicy(type=RecoveryType.MANUAL), 1), (RecoveryPolicy(), 7)],
)
def test_a_scaled_vm_that_would_need_the_operator_has_failed_to_come(
    recovery: RecoveryPolicy, losses: int
) -> None:
    # given
    world = lost_while_it_comes(recovery, losses)
    # when
    settle(world)
    # then: nobody is asked, and the group is as it was
    told = world.types()
    assert told[-1] == "VM_SCALE_OUT_COMPLETE FAILURE"
    assert "VM_MANUAL_RECOVERY_NEEDED" not in told
    assert told.count(INIT) == losses - 1
    assert len([vm for vm in the_vms(world) if vm.group == "web"]) == 1
    assert world.deployment(SHOP).operation.state is OperationState.FAILED_TEMP
    # and it may be scaled again
    world.log.clear()
    overload(world, the_vm(world))
    world.rest()
    assert world.types() == OUT


def test_a_service_whose_failed_vm_is_back_says_what_was_never_made() -> None:
    # given: b waits for a, which nobody recovers in time, and not all that lives is watched
    world = World()
    manual = RecoveryPolicy(type=RecoveryType.MANUAL)
    groups = (a_group("a", "net", recovery=manual), a_group("b", "net"), a_group("c", "net"))
    world.apply({SHOP: a_deployment(*groups, startup=(after("b", "a"),))})
    back, unmade, other = the_vms(world)
    world.silent_vms.add(back.id)
    world.rest()
    assert back.name in world.deployment(SHOP).error
    world.tell(SHOP, VmActed(id=OP, vm=other.id, action=ActionType.DISABLE_MONITOR))
    # when
    world.silent_vms.clear()
    recover(world)
    # then
    shop = world.deployment(SHOP)
    assert shop.state is ServiceState.ERROR
    assert f"{unmade.name}" in shop.error
    assert "never made" in shop.error
    assert back.name not in shop.error
