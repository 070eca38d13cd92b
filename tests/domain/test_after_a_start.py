"""A wait for life that ended while nobody ran: nobody looked, so it says nothing of the VM."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import pytest

from esc_daemon.domain.commands import Permit, Watch
from esc_daemon.domain.ids import OperationId, ServerKey
from esc_daemon.domain.intent import RecoveryAction, RecoveryPolicy, VmGroup
from esc_daemon.domain.kpi import seconds_to_tell
from esc_daemon.domain.plan import plan
from esc_daemon.domain.record import ActionType, RecoveryPhase, VmRecord
from esc_daemon.domain.states import VmState
from esc_daemon.domain.triggers import KpiCrossed, ServiceActed
from tests.domain.elastic import elastic, overload
from tests.domain.fake_vim import FakeVim
from tests.domain.moving import FAR, on
from tests.domain.pure_world import World
from tests.domain.stories import BOOT_SECONDS, LIFE, SHOP, a_deployment, a_group, after

OP: Final = OperationId("33333333-3333-3333-3333-333333333333")
AN_HOUR: Final = 3600.0
FAIR: Final = 2 * LIFE.collector.poll_seconds
"""One poll tells of life, and one more is given."""
REDEPLOYED: Final = RecoveryPolicy(action=RecoveryAction.REDEPLOY_ONLY)


@dataclass
class Quiet(World):
    """A world all of whose guests may be silent."""

    quiet: bool = False

    def speaks(self, watch: Watch) -> bool:
        return not self.quiet and super().speaks(watch)


def up(group: VmGroup) -> Quiet:
    """Return a world whose service is active, and whose guests fall silent now."""
    world = Quiet(others={FAR: FakeVim()})
    world.apply({SHOP: a_deployment(group)})
    world.rest()
    world.quiet = True
    return world


def the_vm(world: World) -> VmRecord:
    """Return the VM that is waited for, else any."""
    vms = list(world.deployment(SHOP).vms.values())
    return next((vm for vm in vms if vm.deadline is not None), vms[-1])


def is_waiting(world: World) -> bool:
    return the_vm(world).deadline is not None


def waiting(world: Quiet, met: Callable[[World], bool] = is_waiting) -> Quiet:
    """Let all go well, but no guest speak, until somebody is waited for."""
    while not met(world):
        assert world._deed(strays=False)
    world.log.clear()
    return world


def tell_of(world: World, event_name: str, *, holds: bool) -> None:
    vm = the_vm(world)
    key = ServerKey(vm.id, vm.generation)
    world.tell(SHOP, KpiCrossed(server=key, event_name=event_name, holds=holds))


def deployed(group: VmGroup | None = None) -> Quiet:
    world = Quiet(quiet=True)
    world.apply({SHOP: a_deployment(group or a_group())})
    return waiting(world)


def lost(group: VmGroup) -> Quiet:
    world = up(group)
    tell_of(world, "VM_ALIVE", holds=False)
    return world


def acted(*actions: ActionType) -> Quiet:
    world = up(a_group())
    for action in actions:
        world.quiet = False
        world.rest()
        world.quiet = True
        world.tell(SHOP, ServiceActed(id=OP, action=action))
    return waiting(world)


def updated(before: VmGroup, then: VmGroup) -> Quiet:
    world = up(before)
    world.apply({SHOP: a_deployment(then)})
    return waiting(world)


def scaled() -> Quiet:
    world = up(elastic())
    overload(world)
    return waiting(world)


def awaited() -> Quiet:
    """Return a world where a VM lives, and another group waits for one more KPI of it."""
    db = replace(a_group("db"), kpis=(LIFE, replace(LIFE, event_name="READY")))
    world = Quiet(quiet=True)
    order = (after("web", "db", event="READY"),)
    world.apply({SHOP: a_deployment(db, a_group("web"), startup=order)})
    waiting(world)
    tell_of(world, "VM_ALIVE", holds=True)
    assert the_vm(world).state is VmState.ALIVE
    world.log.clear()
    return world


def reboots(world: World) -> bool:
    recovery = the_vm(world).recovery
    return recovery is not None and recovery.phase is RecoveryPhase.BOOTING


WAITS: Final[dict[str, Callable[[], Quiet]]] = {
    "deployed": deployed,
    "lost, and perhaps back by itself": lambda: waiting(lost(a_group(wait=60))),
    "rebooted in a recovery": lambda: waiting(lost(a_group()), reboots),
    "made anew in a recovery": lambda: waiting(lost(a_group(recovery=REDEPLOYED))),
    "started": lambda: acted(ActionType.STOP, ActionType.START),
    "rebooted": lambda: acted(ActionType.REBOOT),
    "watched again": lambda: acted(ActionType.DISABLE_MONITOR, ActionType.ENABLE_MONITOR),
    "moved": lambda: updated(a_group("web", "net"), on(FAR, a_group("web", "net"))),
    "resized": lambda: updated(a_group(), replace(a_group(), flavor="large")),
    "watched since an update": lambda: updated(a_group(watched=False), a_group()),
    "added by scaling": scaled,
    "alive, and awaited": awaited,
}
"""Each is a world in which a VM is waited for, and whose guests are silent."""
every_wait = pytest.mark.parametrize("begin", WAITS.values(), ids=WAITS)


def down(world: World, seconds: float = AN_HOUR) -> None:
    """Let the process die, begin anew after so long, and see at once what is overdue."""
    world.set_clock(seconds)
    world.restart()
    world.sleep(0)


def left(world: World) -> float:
    deadline = the_vm(world).deadline
    assert deadline is not None
    return (deadline - world.now).total_seconds()


@every_wait
def test_who_lives_is_not_blamed_for_a_wait_that_ended_while_nobody_ran(
    begin: Callable[[], Quiet],
) -> None:
    # given
    world = begin()
    before = the_vm(world)
    # when
    down(world)
    told = world.types()
    world.quiet = False
    tell_of(world, "READY", holds=True)
    world.rest()
    # then
    now = world.deployment(SHOP).vms[before.id]
    assert told == []
    assert (now.state, now.server) == (VmState.ALIVE, before.server)
    assert not [each for each in world.types() if "FAILURE" in each or "RECOVERY_RE" in each]


@every_wait
def test_who_stays_silent_has_had_the_time_that_its_kpi_needs(begin: Callable[[], Quiet]) -> None:
    # given
    world = begin()
    down(world)
    before = the_vm(world)
    # when
    world.sleep(FAIR - 1)
    meanwhile = the_vm(world)
    world.sleep(1)
    # then
    assert meanwhile is before
    assert world.deployment(SHOP).vms[before.id].deadline != before.deadline


@every_wait
def test_a_wait_that_has_time_enough_is_left_as_it_is(begin: Callable[[], Quiet]) -> None:
    # given
    world = begin()
    before = world.deployment(SHOP)
    # when: at once
    down(world, 0)
    # then
    assert world.deployment(SHOP) is before


def test_what_is_left_of_a_wait_is_made_up_where_it_is_too_short() -> None:
    # given
    world = deployed()
    # when: 2 s are left
    down(world, BOOT_SECONDS - 3)
    # then
    assert left(world) == FAIR


def test_nobody_is_waited_for_longer_than_from_the_beginning() -> None:
    # given
    short = FAIR - 2
    world = deployed(replace(a_group(), bootup_time=short))
    # when
    down(world)
    # then
    assert left(world) == short


@pytest.mark.parametrize(("poll", "boot", "chance"), [(15, 300, 30), (3600, 300, 300)])
def test_who_is_held_across_a_start_is_looked_at_for_no_longer_than_a_boot_may_take(
    poll: int, boot: int, chance: int
) -> None:
    # given
    kpi = replace(LIFE, collector=replace(LIFE.collector, poll_seconds=poll))
    world = lost(replace(a_group(), kpis=(kpi,), bootup_time=boot))
    # when
    down(world)
    # then
    commands = plan(world.deployment(SHOP), world.now).commands
    assert [each.chance for each in commands if isinstance(each, Permit)] == [chance]


def test_a_start_in_the_grace_begins_it_anew_and_one_after_it_does_not() -> None:
    # given
    world = deployed()
    down(world)
    # when: nobody can have told of life yet
    for _ in range(5):
        down(world, FAIR - 2)
    kept = the_vm(world)
    # then
    assert kept.state is VmState.INERT
    # when
    world.sleep(FAIR)
    # then
    assert "VM_RECOVERY_INIT" in world.types()


@pytest.mark.parametrize(("poll", "occurrences", "seconds"), [(15, 1, 30), (1, 5, 6), (0, 0, 2)])
def test_a_kpi_has_one_poll_more_than_it_takes(poll: int, occurrences: int, seconds: int) -> None:
    collector = replace(LIFE.collector, poll_seconds=poll)
    kpi = replace(LIFE, occurrences_true=occurrences, collector=collector)
    group = replace(a_group(), kpis=(kpi, replace(kpi, event_name="OTHER", occurrences_true=9)))
    assert seconds_to_tell(group, {"VM_ALIVE"}) == seconds
    assert seconds_to_tell(group, {"NONE"}) == 0
