"""What the operator does about leftovers: purge them, or have them tried again (ruling 8)."""

from collections.abc import Callable
from datetime import timedelta
from typing import Final

import pytest

from esc_daemon.domain.commands import RemoveResource, RemoveServer, call_slot
from esc_daemon.domain.connectors import homes
from esc_daemon.domain.ids import Key, Kind, RecordId, ServerKey, joined
from esc_daemon.domain.intent import Deployment
from esc_daemon.domain.leftovers import (
    LeftoverAction,
    LeftoverActionType,
    LeftoverRef,
    none_fits,
    trigger_of,
)
from esc_daemon.domain.plan import plan
from esc_daemon.domain.states import ResourceState, ServiceState
from esc_daemon.domain.triggers import LeftoversPurged, LeftoversRetried
from tests.domain.pure_world import VIM, Luck, Slot, World
from tests.domain.stories import (
    ACME,
    SHOP,
    TENANT,
    a_deployment,
    a_group,
    a_network,
    a_tenant,
    net_key,
)

POOL: Final = ("192.0.2.10", "192.0.2.11")
IN: Final = net_key(joined("shop", "in"))
PURGE: Final = LeftoverActionType.PURGE
RETRY: Final = LeftoverActionType.RETRY


def shop(vms: int = 2) -> Deployment:
    group = a_group("web", "in", vms=vms, watched=False)
    return a_deployment(group, networks=(a_network("in", "a"),))


def pooled(vms: int = 2) -> Deployment:
    return a_deployment(a_group("web", "net", vms=vms, watched=False, pool=POOL))


def stuck(intent: Deployment | None = None) -> World:
    """The VIM has refused every removal."""
    world = World(stuck=True)
    world.apply({ACME: a_tenant(), SHOP: intent or shop()})
    world.rest()
    world.apply({SHOP: None})
    world.rest()
    world.log.clear()
    return world


def left(world: World, **words: str) -> list[LeftoverRef]:
    action = LeftoverAction(type=PURGE, **words)
    return [each for record in world.records.values() for each in action.chosen(record)]


def act(world: World, type_: LeftoverActionType, **words: str) -> list[LeftoverRef]:
    """Do as the engine does."""
    action = LeftoverAction(type=type_, **words)
    done = []
    for key, record in list(world.records.items()):
        if chosen := list(action.chosen(record)):
            world.tell(key, trigger_of(action, chosen))
            done += chosen
    return done


# ---- which


def test_each_word_of_opdata_chooses() -> None:
    world = stuck()
    (first, second), (network,) = left(world, kind="vm"), left(world, kind="network")

    assert left(world, vim="sim") == left(world, tenant=TENANT, deployment="shop") != []
    assert left(world, name=first.name) == left(world, id=first.id) == [first]
    assert left(world, name="in") == left(world, kind="network", tenant=TENANT) == [network]
    assert second.name != first.name
    for nothing in ({"vim": "moon"}, {"id": "i"}, {"kind": "vm", "name": "in"}, {"tenant": "x"}):
        assert not left(world, **nothing)


def test_what_is_being_removed_is_no_leftover() -> None:
    world = World()
    world.apply({SHOP: shop()})
    world.rest()
    assert not left(world, deployment="shop")

    world.apply({SHOP: None})

    assert world.deployment(SHOP).state is ServiceState.UNDEPLOYING
    assert not left(world, deployment="shop")


def test_a_refusal_names_some_of_what_there_is() -> None:
    assert none_fits([]).endswith("(there are: none)")
    world = stuck(a_deployment(a_group("web", "net", vms=7, watched=False)))

    told = none_fits(world.records.values())

    assert told.count("vm shop_web_") == 5
    assert "of acme/shop in VIM sim" in told
    assert told.endswith("and 2 more)")


# ---- purge


def test_a_purged_record_ends_and_nothing_more_is_asked() -> None:
    world = stuck()
    servers = dict(world.vim.servers)
    asked = world.asked

    act(world, PURGE, vim="sim")
    world.rest()

    assert set(world.records) == {ACME}
    assert world.asked == asked
    assert world.vim.servers == servers  # only we forget it
    assert not world.log


def test_one_of_two_is_purged() -> None:
    world = stuck()
    first, second = left(world, kind="vm")

    act(world, PURGE, id=first.id)

    assert left(world, kind="vm") == [second]
    assert world.deployment(SHOP).state is ServiceState.UNDEF


def test_a_purge_frees_addresses() -> None:
    world = stuck(pooled())
    act(world, PURGE, deployment="shop")

    world.apply({SHOP: pooled()})
    world.stuck = False
    world.rest()

    assert world.deployment(SHOP).state is ServiceState.ACTIVE


def test_a_purge_leaves_the_next_deployment_under_the_name_alone() -> None:
    world = stuck(pooled(vms=1))
    world.apply({SHOP: pooled(vms=1)})
    world.rest()
    before = world.deployment(SHOP)

    act(world, PURGE, deployment="shop")

    record = world.deployment(SHOP)
    assert not record.leftovers
    assert record.state is ServiceState.ACTIVE
    assert record.vms == before.vms


def test_a_purge_during_the_next_undeploy_purges_the_old_ones_alone() -> None:
    world = stuck(pooled(vms=1))
    world.apply({SHOP: pooled(vms=1)})
    world.rest()
    world.apply({SHOP: None})
    assert world.deployment(SHOP).state is ServiceState.UNDEPLOYING

    act(world, PURGE, deployment="shop")

    assert len(world.deployment(SHOP).vms) == 1
    world.stuck = False
    world.rest()
    assert SHOP not in world.records
    assert len(world.vim.servers) == 1  # the one that was purged


def test_a_purge_twice_changes_nothing_more() -> None:
    world = stuck()
    first, second = left(world, kind="vm")
    purge = LeftoversPurged(subjects=frozenset({first.subject}))
    world.tell(SHOP, purge)
    before = world.records[SHOP]

    world.tell(SHOP, purge)

    assert world.records[SHOP] is before
    world.tell(SHOP, LeftoversPurged(subjects=frozenset({second.subject})))
    world.tell(SHOP, purge)
    assert SHOP not in world.records


def flying(world: World, kind: type) -> Slot:
    """Return a call of *kind* that is under way, after the long pause."""
    world.sleep(timedelta(hours=1).total_seconds())
    return next(slot for slot, each in world.flights.items() if isinstance(each.command, kind))


@pytest.mark.parametrize("luck", [Luck.DONE, Luck.REFUSED, Luck.NEVER])
@pytest.mark.parametrize("again", [False, True])
def test_the_late_answer_about_a_purged_vm_changes_nothing(luck: Luck, *, again: bool) -> None:
    # given a try that is under way when its leftover is purged
    world = stuck(pooled(vms=1))
    slot = flying(world, RemoveServer)
    act(world, PURGE, deployment="shop")
    if again:
        world.apply({SHOP: pooled(vms=1)})
    before = world.records.get(SHOP)

    world.perform(slot, luck)
    world.deliver(slot)

    assert world.records.get(SHOP) is before
    assert not world.log


@pytest.mark.parametrize("luck", [Luck.DONE, Luck.REFUSED, Luck.NEVER])
def test_the_late_answer_about_a_purged_network_changes_nothing(luck: Luck) -> None:
    world = stuck()
    slot = flying(world, RemoveResource)
    key = slot[0]
    act(world, PURGE, vim="sim")
    world.apply({SHOP: shop()})
    before = world.records.get(key)

    world.perform(slot, luck)
    world.deliver(slot)

    assert world.records.get(key) is before


def the_network(world: World) -> RecordId:
    return world.records[IN].id


@pytest.mark.parametrize("trigger", [LeftoversPurged, LeftoversRetried])
@pytest.mark.parametrize(
    "state", [ResourceState.CREATING, ResourceState.ACTIVE, ResourceState.DELETING]
)
def test_only_a_leftover_is_touched(
    trigger: Callable[..., LeftoversPurged | LeftoversRetried], state: ResourceState
) -> None:
    world = World()
    world.apply({SHOP: shop()})
    if state is not ResourceState.CREATING:
        world.rest()
    if state is ResourceState.DELETING:
        world.apply({SHOP: None})
    before = dict(world.records)
    vms = [ServerKey(vm.id, vm.generation) for vm in world.deployment(SHOP).vms.values()]

    world.tell(IN, trigger(subjects=frozenset({the_network(world)})))
    world.tell(SHOP, trigger(subjects=frozenset({*vms, world.deployment(SHOP).id})))

    assert world.records == before


def test_another_incarnation_is_not_touched() -> None:
    world = stuck()
    before = dict(world.records)

    world.tell(IN, LeftoversPurged(subjects=frozenset({world.deployment(SHOP).id})))

    assert world.records == before


def test_a_purge_lets_go_of_the_connector() -> None:
    world = stuck()
    world.apply({ACME: None})
    world.rest()
    assert any(list(homes(record)) for record in world.records.values())

    act(world, PURGE, vim="sim")

    assert not world.records


# ---- retry


def test_a_retry_is_due_at_once_and_removes_what_now_goes() -> None:
    world = stuck()
    world.stuck = False
    key = Key(Kind.DEPLOYMENT, TENANT, "shop")
    assert not plan(world.deployment(key), world.now).commands

    done = act(world, RETRY, deployment="shop")

    assert sum(each.kind == "vm" for each in done) == len(world.deployment(key).leftovers)
    commands = plan(world.deployment(key), world.now).commands
    assert {type(command) for command in commands} == {RemoveServer}
    assert isinstance(next(iter(plan(world.records[IN], world.now).commands)), RemoveResource)
    world.rest()
    assert set(world.records) == {ACME}
    assert not world.vim.servers
    assert not world.log


def test_a_retry_that_fails_counts_and_waits_again() -> None:
    world = stuck()
    before = world.deployment(SHOP).leftovers[0].attempt
    act(world, RETRY, kind="vm", deployment="shop")

    slot = SHOP, call_slot(VIM, world.deployment(SHOP).leftovers[0].vm.id)
    world.perform(slot, Luck.REFUSED)
    world.deliver(slot)

    attempt = world.deployment(SHOP).leftovers[0].attempt
    assert attempt.tries == before.tries + 1
    assert attempt.next > world.now


def test_a_retry_of_what_is_being_tried_changes_nothing() -> None:
    world = stuck()
    act(world, RETRY, deployment="shop")
    before = dict(world.records)

    act(world, RETRY, deployment="shop")

    assert all(world.records[key] is record for key, record in before.items())
