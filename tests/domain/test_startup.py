"""The order in which groups start (policies/startup)."""

from dataclasses import replace

import pytest

from esc_daemon.domain.ids import VmGroupName
from esc_daemon.domain.intent import Kpi, VmGroup
from esc_daemon.domain.record import VmRecord
from esc_daemon.domain.startup import Turn, turns
from esc_daemon.domain.states import ServiceState, VmState
from tests.domain.pure_world import World
from tests.domain.stories import LIFE, SHOP, a_deployment, a_group, after

READY: Kpi = replace(LIFE, event_name="READY")
DB, WEB, LB = VmGroupName("db"), VmGroupName("web"), VmGroupName("lb")


def with_ready(group: VmGroup) -> VmGroup:
    """Return *group* with a second KPI, which says nothing about life."""
    return replace(group, kpis=(LIFE, READY))


def vms_of(world: World, group: VmGroupName) -> list[VmRecord]:
    return [vm for vm in world.deployment(SHOP).vms.values() if vm.group == group]


def states_of(world: World, group: VmGroupName) -> set[VmState]:
    return {vm.state for vm in vms_of(world, group)}


def made_of(world: World, group: VmGroupName) -> int:
    """Return how many servers of *group* the VIM has."""
    ids = {vm.id for vm in vms_of(world, group)}
    return sum(server.key.vm in ids for server in world.vim.servers.values())


def until(world: World, group: VmGroupName, state: VmState) -> None:
    """Let all go well until every VM of *group* is in *state*; none speaks before they are up."""
    mute = world.silent_vms
    if state is VmState.INERT:
        world.silent_vms = {vm.id for vm in vms_of(world, group)}
    while states_of(world, group) != {state}:
        assert world._deed(strays=True)
    world.silent_vms = mute


def told_of(world: World) -> list[str]:
    """Return the groups of VM_DEPLOYED and VM_ALIVE in the order in which they were told."""
    return [f"{event.vm_group} {event.type[3:]}" for event in world.log if event.vm_group]


def test_a_group_is_made_once_every_vm_of_the_other_lives() -> None:
    world = World()
    world.apply(
        {SHOP: a_deployment(a_group("web"), a_group("db", vms=2), startup=(after("web", "db"),))}
    )
    until(world, DB, VmState.INERT)

    assert made_of(world, WEB) == 0
    world.cross(*world.watches()[0])
    assert states_of(world, WEB) == {VmState.UNDEF}
    assert world.deployment(SHOP).state is ServiceState.DEPLOYING

    world.cross(*world.watches()[1])
    assert states_of(world, WEB) == {VmState.DEPLOYING}
    world.rest()
    assert told_of(world) == [
        *["db DEPLOYED"] * 2,
        *["db ALIVE"] * 2,
        "web DEPLOYED",
        "web ALIVE",
    ]
    assert world.types()[-1] == "SERVICE_ALIVE"
    assert world.deployment(SHOP).state is ServiceState.ACTIVE


def test_groups_in_a_chain_start_one_after_the_other() -> None:
    world = World()
    chain = (after("lb", "web"), after("web", "db"))
    world.apply({SHOP: a_deployment(a_group("lb"), a_group("web"), a_group("db"), startup=chain)})
    world.rest()

    assert [each.split()[0] for each in told_of(world)] == ["db", "db", "web", "web", "lb", "lb"]


def test_a_group_that_waits_for_two_starts_after_both() -> None:
    world = World()
    world.apply(
        {
            SHOP: a_deployment(
                a_group("lb"), a_group("web"), a_group("db"), startup=(after("lb", "web", "db"),)
            )
        }
    )
    until(world, DB, VmState.INERT)
    world.silent_vms = {vms_of(world, DB)[0].id}
    until(world, WEB, VmState.ALIVE)

    assert states_of(world, LB) == {VmState.UNDEF}
    world.silent_vms = set()
    world.rest()
    assert [each.split()[0] for each in told_of(world)][-2:] == ["lb", "lb"]


def test_an_unmonitored_group_is_waited_for_until_it_is_deployed() -> None:
    world = World()
    world.apply(
        {
            SHOP: a_deployment(
                a_group("web", watched=False),
                a_group("db", vms=2, watched=False),
                startup=(after("web", "db"),),
            )
        }
    )
    world.rest()

    assert told_of(world) == ["db DEPLOYED", "db DEPLOYED", "web DEPLOYED"]
    assert world.types()[-1] == "SERVICE_ALIVE"


def test_a_group_without_vms_is_not_waited_for() -> None:
    world = World()
    world.apply(
        {SHOP: a_deployment(a_group("web"), a_group("db", vms=0), startup=(after("web", "db"),))}
    )
    world.rest()

    assert world.types() == ["VM_DEPLOYED", "VM_ALIVE", "SERVICE_ALIVE"]


def ready_first() -> World:
    """Return a world in which web waits for READY of db, and db's server is up."""
    world = World()
    order = (after("web", "db", event="READY"),)
    world.apply({SHOP: a_deployment(a_group("web"), with_ready(a_group("db")), startup=order)})
    until(world, DB, VmState.INERT)
    return world


def test_another_kpi_than_that_of_life_can_be_waited_for() -> None:
    world = ready_first()
    key, watch = world.watches()[0]

    world.cross(key, replace(watch, kpis=(LIFE,)))
    assert (states_of(world, DB), states_of(world, WEB)) == ({VmState.ALIVE}, {VmState.UNDEF})
    assert world.deployment(SHOP).state is ServiceState.DEPLOYING
    assert world.wakes[SHOP] == vms_of(world, DB)[0].deadline

    world.cross(key, replace(watch, kpis=(READY,)))
    assert states_of(world, WEB) == {VmState.DEPLOYING}
    world.rest()
    assert told_of(world) == ["db DEPLOYED", "db ALIVE", "web DEPLOYED", "web ALIVE"]


def test_what_came_true_before_life_counts() -> None:
    world = ready_first()
    key, watch = world.watches()[0]

    world.cross(key, replace(watch, kpis=(READY,)))

    assert (states_of(world, DB), states_of(world, WEB)) == ({VmState.INERT}, {VmState.DEPLOYING})


def test_what_came_true_is_not_taken_back_and_not_written_twice() -> None:
    world = ready_first()
    key, watch = world.watches()[0]
    world.cross(key, replace(watch, kpis=(READY,)))
    before = world.records[SHOP]

    world.cross(key, replace(watch, kpis=(READY,)), holds=False)
    world.cross(key, replace(watch, kpis=(READY,)))

    assert world.records[SHOP] is before


def test_what_came_true_outlives_a_restart() -> None:
    world = ready_first()
    key, watch = world.watches()[0]
    world.cross(key, replace(watch, kpis=(LIFE,)))

    world.restart()
    world.rest()

    assert world.types()[-1] == "SERVICE_ALIVE"
    assert world.deployment(SHOP).state is ServiceState.ACTIVE


def test_a_vm_that_lives_and_never_brings_what_is_waited_for_fails() -> None:
    world = ready_first()
    key, watch = world.watches()[0]
    world.cross(key, replace(watch, kpis=(LIFE,)))

    deadline = vms_of(world, DB)[0].deadline
    assert deadline is not None
    world.sleep((deadline - world.now).total_seconds())

    assert states_of(world, DB) == {VmState.ERROR}
    assert world.types()[-1] == "SERVICE_ALIVE FAILURE"
    assert "answered, but READY did not come true within its bootup_time" in world.log[-1].message


@pytest.mark.parametrize("how", ["not built", "silent"])
def test_when_what_is_waited_for_fails_the_waiting_vms_are_never_made(how: str) -> None:
    world = World()
    chain = (after("lb", "web"), after("web", "db"))
    world.apply(
        {SHOP: a_deployment(a_group("lb"), a_group("web"), a_group("db", vms=2), startup=chain)}
    )
    bad = {vms_of(world, DB)[1].id}
    world.bad_vms, world.silent_vms = (bad, set()) if how == "not built" else (set(), bad)
    world.rest()

    record = world.deployment(SHOP)
    assert (made_of(world, WEB), made_of(world, LB)) == (0, 0)
    assert states_of(world, WEB) == states_of(world, LB) == {VmState.UNDEF}
    assert record.state is ServiceState.ERROR
    assert world.types()[-1] == "SERVICE_ALIVE FAILURE"
    assert world.types().count("SERVICE_ALIVE FAILURE") == 1
    cause = "No valid host was found" if how == "not built" else "did not answer within"
    barred = "never started: vm_group lb (waits for VM_ALIVE of web); vm_group web (waits for"
    assert cause in world.log[-1].message
    assert barred in world.log[-1].message
    assert record.error is not None
    assert barred in record.error

    world.apply({SHOP: None})
    world.rest()
    assert not world.records
    assert not world.vim.servers
    assert world.types()[-1] == "SERVICE_UNDEPLOYED"


def test_a_failure_names_no_more_groups_than_can_be_read() -> None:
    names = [f"g{number}" for number in range(9)]
    world = World()
    order = tuple(after(name, "db") for name in names)
    groups = (*(a_group(name) for name in names), a_group("db"))
    world.apply({SHOP: a_deployment(*groups, startup=order)})
    world.bad_vms = {vms_of(world, DB)[0].id}
    world.rest()

    assert world.log[-1].message.count("waits for") == 5
    assert world.log[-1].message.endswith("(and 4 more groups)")


def test_a_failure_waits_for_what_is_still_on_its_way() -> None:
    world = World()
    world.apply(
        {
            SHOP: a_deployment(
                a_group("web"), a_group("db"), a_group("lb"), startup=(after("web", "db"),)
            )
        }
    )
    world.bad_vms = {vms_of(world, DB)[0].id}
    world.silent_vms = {vms_of(world, LB)[0].id}
    until(world, DB, VmState.ERROR)
    until(world, LB, VmState.INERT)

    assert world.deployment(SHOP).state is ServiceState.INERT
    world.silent_vms = set()
    world.rest()
    assert world.deployment(SHOP).state is ServiceState.ERROR
    assert states_of(world, LB) == {VmState.ALIVE}


def test_an_undeploy_may_come_while_a_group_waits() -> None:
    world = World()
    world.apply({SHOP: a_deployment(a_group("web"), a_group("db"), startup=(after("web", "db"),))})
    until(world, DB, VmState.INERT)

    world.apply({SHOP: None})
    world.rest()

    assert world.types() == ["VM_DEPLOYED", "VM_UNDEPLOYED", "SERVICE_UNDEPLOYED"]
    assert not world.records
    assert not world.vim.servers


def test_turns_are_come_later_and_never() -> None:
    world = World()
    order = (after("web", "db"), after("lb", "web"))
    world.apply({SHOP: a_deployment(a_group("lb"), a_group("web"), a_group("db"), startup=order)})

    assert turns(world.deployment(SHOP)) == {DB: Turn.COME, WEB: Turn.LATER, LB: Turn.LATER}

    world.bad_vms = {vms_of(world, DB)[0].id}
    world.rest()
    assert turns(world.deployment(SHOP)) == {DB: Turn.COME, WEB: Turn.NEVER, LB: Turn.NEVER}


class Asked(tuple[str, ...]):
    """What came true in a VM, and how often anybody has looked."""

    __slots__ = ()
    times = 0

    def __contains__(self, event_name: object) -> bool:
        Asked.times += 1
        return super().__contains__(event_name)


def test_what_many_groups_wait_for_is_looked_at_once() -> None:
    # given ten groups, each of which waits for the same two
    world = World()
    late = [f"late{number}" for number in range(10)]
    order = tuple(after(name, "db", "web") for name in late)
    groups = [a_group(name) for name in ("db", "web", *late)]
    world.apply({SHOP: a_deployment(*groups, startup=order)})
    record = world.deployment(SHOP)
    vms = {key: replace(vm, came_true=Asked()) for key, vm in record.vms.items()}
    Asked.times = 0

    found = turns(replace(record, vms=vms))

    assert Asked.times == 2
    assert {found[VmGroupName(name)] for name in late} == {Turn.LATER}
