"""Tenants, networks, subnets, images and flavors: made, removed, left behind, made again."""

from dataclasses import replace
from datetime import timedelta

import pytest

from esc_daemon.domain.commands import Await, Until
from esc_daemon.domain.errors import Refused
from esc_daemon.domain.ids import Key, Kind, VimId
from esc_daemon.domain.intent import Resource
from esc_daemon.domain.neighbours import Held, answer, look
from esc_daemon.domain.plan import holds_vim, released
from esc_daemon.domain.policy import DEFAULT_POLICY
from esc_daemon.domain.record import AnyResourceRecord, ResourceRecord
from esc_daemon.domain.specs import ResourceHandle
from esc_daemon.domain.states import ResourceState
from esc_daemon.domain.triggers import (
    CallFailed,
    NeighboursGone,
    ResourceFailed,
    ResourceGone,
    ResourceMade,
    ResourcesReady,
    Woken,
)
from tests.domain.pure_world import Luck, World
from tests.domain.stories import (
    ACME,
    ONE,
    SHOP,
    TENANT,
    a_deployment,
    a_flavor,
    a_group,
    a_network,
    a_tenant,
    an_image,
    net_key,
)

IMAGE = Key(Kind.IMAGE, None, "linux")
FLAVOR = Key(Kind.FLAVOR, None, "small")
SUBNET = Key(Kind.SUBNET, TENANT, "net/a")
EAST = VimId("east")
CALL = (IMAGE, "resource")


def resource(world: World, key: Key) -> AnyResourceRecord:
    record = world.records[key]
    assert isinstance(record, ResourceRecord)
    return record


def asked(key: Key = IMAGE, intent: Resource | None = None) -> World:
    """Return a world in which the VIM is being asked for the resource."""
    world = World()
    world.apply({key: intent or an_image()})
    while (key, "resource") not in world.flights:
        assert world._deed(strays=True)
    return world


def made() -> World:
    world = asked()
    world.rest()
    world.log.clear()
    return world


def left_behind() -> World:
    world = made()
    world.stuck = True
    world.apply({IMAGE: None})
    world.rest()
    return world


@pytest.mark.parametrize(
    ("key", "intent", "created", "deleted"),
    [
        (ACME, a_tenant(), "Tenant successfully created", "Tenant successfully deleted"),
        (
            net_key(tenant=None),
            a_network(),
            "Network creation completed successfully",
            "VIM Driver: Network successfully deleted",
        ),
        (
            IMAGE,
            an_image(),
            "Image creation completed successfully.",
            "Image deletion completed successfully.",
        ),
        (
            FLAVOR,
            a_flavor(),
            "Flavor creation completed successfully.",
            "Flavor deletion completed successfully.",
        ),
    ],
)
def test_a_resource_is_made_and_removed(
    key: Key, intent: Resource, created: str, deleted: str
) -> None:
    world = World()
    world.apply({key: intent})
    world.rest()
    assert resource(world, key).state is ResourceState.ACTIVE
    assert holds_vim(resource(world, key))
    world.apply({key: None})
    world.rest()
    assert [event.message for event in world.log] == [created, deleted]
    assert not world.records
    assert not world.vim.resources


def test_events_name_their_resource() -> None:
    world = World()
    world.apply({ACME: a_tenant(), net_key(): a_network("net", "a"), IMAGE: an_image()})
    world.apply({FLAVOR: a_flavor(), net_key(tenant=None): a_network()})
    world.rest()
    named = {(e.type, e.tenant, e.network, e.subnet, e.image, e.flavor) for e in world.log}
    assert named == {
        ("CREATE_TENANT", "acme", None, None, None, None),
        ("CREATE_NETWORK", "acme", "acmenet", None, None, None),
        ("CREATE_SUBNET", "acme", "acmenet", "acmeneta", None, None),
        ("CREATE_NETWORK", "SystemAdminTenantId", "SystemAdminTenantIdnet", None, None, None),
        ("CREATE_IMAGE", None, None, None, "linux", None),
        ("CREATE_FLAVOR", None, None, None, None, "small"),
    }
    assert {event.deployment for event in world.log} == {None}


def test_an_ephemeral_network_names_its_deployment_slashes_and_all() -> None:
    world = World()
    key = SHOP._replace(name="a/b")
    world.apply({key: a_deployment(name="a/b", networks=(a_network("own"),))})
    world.rest()
    assert world.told("CREATE_NETWORK")[0].deployment == "a/b"


@pytest.mark.parametrize(("mapped", "project"), [(True, "acme"), (False, "")])
def test_a_tenant_that_is_not_ours_to_make_is_there_at_once(project: str, *, mapped: bool) -> None:
    world = World()
    world.apply({ACME: a_tenant(managed=False, mapped=mapped)})
    record = resource(world, ACME)
    assert record.state is ResourceState.ACTIVE
    assert record.handle is not None
    assert (record.handle.resource_id, record.handle.project) == ("", project)
    world.apply({ACME: None})
    world.rest()
    assert world.types() == ["CREATE_TENANT", "DELETE_TENANT"]
    assert not world.vim.resources
    assert world.vim.made == 0


def test_a_subnet_is_made_in_its_network_and_a_network_in_its_tenant() -> None:
    world = World()
    world.apply({ACME: a_tenant(), net_key(): a_network("net", "a")})
    world.rest()
    assert world.types() == ["CREATE_TENANT", "CREATE_NETWORK", "CREATE_SUBNET"]
    for child, parent in ((SUBNET, net_key()), (net_key(), ACME)):
        handle = resource(world, child).parent
        assert handle is not None
        assert handle.resource_id == world.vim.resource(parent)


def test_a_network_leaves_after_its_subnets_and_before_its_tenant() -> None:
    world = World()
    world.apply({ACME: a_tenant(), net_key(): a_network("net", "a")})
    world.rest()
    world.log.clear()
    world.apply({ACME: None, net_key(): None})
    world.rest()
    assert world.types() == ["DELETE_SUBNET", "DELETE_NETWORK", "DELETE_TENANT"]


def test_a_refused_creation_is_an_error_that_can_be_removed() -> None:
    world = asked()
    before = world.records[IMAGE]
    assert before is world.records[IMAGE]
    world.perform(CALL, Luck.REFUSED)
    world.deliver(CALL)
    assert resource(world, IMAGE).state is ResourceState.ERROR
    assert world.types() == ["CREATE_IMAGE FAILURE"]
    assert world.log[0].message == "Image creation failed: image linux in VIM sim: call refused"
    assert not world.flights
    world.apply({IMAGE: None})
    world.rest()
    assert not world.records


def test_a_failed_network_fails_its_subnets() -> None:
    world = asked(net_key(tenant=None), a_network("net", "a"))
    world.perform((net_key(tenant=None), "resource"), Luck.REFUSED)
    world.deliver((net_key(tenant=None), "resource"))
    world.rest()
    assert world.types() == ["CREATE_NETWORK FAILURE", "CREATE_SUBNET FAILURE"]
    assert "not asked for: network net in VIM sim: call refused" in world.log[1].message


def test_a_failure_that_comes_late_changes_nothing() -> None:
    world = made()
    before = world.records[IMAGE]
    id_ = resource(world, IMAGE).id
    for late in (
        ResourceFailed(waiter=id_, key=ACME, error="late"),
        ResourcesReady(waiter=id_),
        NeighboursGone(waiter=id_),
        ResourceMade(id=id_, handle=ResourceHandle(vim=EAST, resource_id="other")),
        ResourceMade(id=ONE, handle=ResourceHandle(vim=EAST, resource_id="other")),
        ResourceGone(id=id_),
        ResourceGone(id=ONE),
        CallFailed(subject=id_, removal=False, error="late"),
        CallFailed(subject=ONE, removal=True, error="late"),
        Woken(),
    ):
        world.tell(IMAGE, late)
    assert world.records[IMAGE] is before


def test_answers_to_nobody_are_ignored() -> None:
    world = World()
    world.tell(IMAGE, ResourceGone(id=ONE))
    world.apply({IMAGE: None})
    assert not world.records


@pytest.mark.parametrize("luck", [Luck.LOST, Luck.LATE, Luck.NEVER])
def test_a_creation_that_nobody_answered_is_looked_for_when_it_can_be_found(luck: Luck) -> None:
    world = asked()
    world.perform(CALL, luck)
    world.deliver(CALL)
    assert not world.flights
    assert world.wakes[IMAGE] == world.now + DEFAULT_POLICY.settle
    world.rest()
    assert len(world.vim.resources) == 1
    assert world.types() == ["CREATE_IMAGE"]


def test_a_vim_that_stays_silent_is_given_up_after_twenty_minutes() -> None:
    world = asked()
    begun = world.now
    while resource(world, IMAGE).state is ResourceState.CREATING:
        if CALL in world.flights:
            world.perform(CALL, Luck.UNREACHED)
            world.deliver(CALL)
        else:
            world.sleep((world.wakes[IMAGE] - world.now).total_seconds())
    assert timedelta(minutes=20) <= world.now - begun < timedelta(minutes=22)
    assert world.types() == ["CREATE_IMAGE FAILURE"]
    way_out = (
        "; once that is mended delete the image and the deployments that failed for it, and create "
        "them anew"
    )
    assert (resource(world, IMAGE).error or "").endswith(way_out)


@pytest.mark.parametrize("luck", list(Luck))
def test_a_creation_that_a_removal_meets_leaves_nothing(luck: Luck) -> None:
    world = asked()
    world.apply({IMAGE: None})
    world.perform(CALL, luck)
    world.deliver(CALL)
    world.rest()
    assert not world.records
    assert not world.vim.resources
    assert world.types() == ["DELETE_IMAGE"]


@pytest.mark.parametrize("luck", list(Luck))
def test_a_restart_under_a_removal_leaves_nothing(luck: Luck) -> None:
    world = asked()
    world.apply({IMAGE: None})
    world.sleep(59)
    world.restart({CALL: luck})
    world.rest()
    assert not world.records
    assert not world.vim.resources


def test_a_gone_that_comes_too_early_is_not_believed() -> None:
    world = asked()
    world.apply({IMAGE: None})
    world.perform((IMAGE, "await"), Luck.DONE)
    world.deliver((IMAGE, "await"))
    before = resource(world, IMAGE)
    world.tell(IMAGE, ResourceGone(id=before.id))
    assert world.records[IMAGE] is before


def test_a_removal_that_is_refused_ends_in_a_leftover_that_is_tried_again() -> None:
    world = left_behind()
    record = resource(world, IMAGE)
    assert world.types() == ["DELETE_IMAGE FAILURE"]
    assert record.state is ResourceState.LEFTOVER
    assert not holds_vim(record)
    assert DEFAULT_POLICY.leftover_pause / 2 <= world.wakes[IMAGE] - world.now
    world.sleep(DEFAULT_POLICY.leftover_pause.total_seconds())
    world.perform(CALL, Luck.DONE)
    world.deliver(CALL)
    world.apply({IMAGE: None})
    assert resource(world, IMAGE).state is ResourceState.LEFTOVER
    world.stuck = False
    world.rest()
    assert not world.records
    assert world.types() == ["DELETE_IMAGE FAILURE"]


def test_what_was_left_behind_is_adopted_by_the_next_one() -> None:
    world = left_behind()
    world.records[IMAGE] = replace(resource(world, IMAGE), revision=9, epoch=2)
    world.apply({IMAGE: an_image()})
    record = resource(world, IMAGE)
    assert record.state is ResourceState.CREATING
    assert (record.revision, record.epoch) == (9, 2)
    world.rest()
    assert resource(world, IMAGE).state is ResourceState.ACTIVE
    assert world.vim.made == 1


def test_a_successor_adopts_what_would_not_go() -> None:
    world = made()
    world.stuck = True
    world.apply({IMAGE: None})
    world.apply({IMAGE: an_image()})
    world.rest()
    assert world.types() == ["DELETE_IMAGE FAILURE", "CREATE_IMAGE"]
    assert world.vim.made == 1


def test_a_tenant_that_is_leaving_the_vim_cannot_come_back_outside_of_it() -> None:
    world = World()
    world.apply({ACME: a_tenant()})
    world.rest()
    world.apply({ACME: None})
    with pytest.raises(Refused, match="still being removed from the VIM") as refused:
        world.apply({ACME: a_tenant(mapped=False)})
    assert refused.value.tag == "in-use"


def test_the_same_name_again_waits_and_can_be_withdrawn() -> None:
    world = made()
    world.apply({IMAGE: None})
    world.apply({IMAGE: an_image()})
    waiting = resource(world, IMAGE)
    assert waiting.successor is not None
    world.apply({IMAGE: an_image()})
    assert world.records[IMAGE] is waiting
    world.apply({IMAGE: None})
    assert resource(world, IMAGE).successor is None
    before = world.records[IMAGE]
    world.apply({IMAGE: None})
    assert world.records[IMAGE] is before
    world.rest()
    assert not world.records


def test_a_network_changes_nothing_but_its_list_of_subnets() -> None:
    world = World()
    world.apply({net_key(): a_network("net", "a")})
    with pytest.raises(Refused):
        world.apply({net_key(): replace(a_network("net", "a"), vlan_id=7)})
    world.apply({net_key(): a_network("net", "b")})
    world.rest()
    assert {key.name for key in world.records} == {"net", "net/b"}


def test_a_waiting_network_keeps_its_id_when_its_list_changes() -> None:
    world = World()
    world.apply({net_key(): a_network("net", "a")})
    world.rest()
    world.apply({net_key(): None})
    world.apply({net_key(): a_network("net", "a")})
    waiting = resource(world, net_key()).successor
    assert waiting is not None
    world.apply({net_key(): a_network("net", "a", "b")})
    world.rest()
    assert resource(world, net_key()).id == waiting.id
    assert resource(world, net_key()).intent == a_network("net", "a", "b")
    world.log.clear()
    world.apply({net_key(): None})
    world.rest()
    assert world.types() == ["DELETE_SUBNET", "DELETE_SUBNET", "DELETE_NETWORK"]


def test_a_failed_creation_under_a_removal_that_still_waits_is_remembered() -> None:
    world = asked()
    world.apply({IMAGE: None})
    record = resource(world, IMAGE)
    world.sleep(30)
    world.tell(IMAGE, CallFailed(subject=record.id, removal=False, error="time-out"))
    assert resource(world, IMAGE).unsure_until == world.now + DEFAULT_POLICY.settle
    before = world.records[IMAGE]
    world.tell(IMAGE, CallFailed(subject=record.id, removal=True, error="not yet asked"))
    assert world.records[IMAGE] is before


def test_a_restart_after_a_creation_was_asked_waits_until_it_can_be_found() -> None:
    world = asked()
    world.restart({CALL: Luck.LATE})
    assert not world.flights
    world.rest()
    assert world.vim.made == 1


# ---- what an Await is answered


def waited(world: World, until: Until, *neighbours: Key, key: Key = SHOP) -> object:
    wait = Await(until=until, waiter=ONE, neighbours=tuple((at, None) for at in neighbours))
    under = [record for record in world.records.values() if record.key.tenant]
    return answer(key, wait, world.records.get, lambda _: under)


def test_what_has_no_record_is_not_waited_for() -> None:
    assert waited(World(), Until.READY, ACME) == ResourcesReady(waiter=ONE)
    assert waited(World(), Until.GONE, ACME) == NeighboursGone(waiter=ONE)


def test_what_is_being_removed_will_not_become_ready() -> None:
    world = made()
    world.apply({IMAGE: None})
    text = "image linux in VIM sim: it is being removed"
    failed = ResourceFailed(waiter=ONE, key=IMAGE, error=text)
    assert waited(world, Until.READY, IMAGE) == failed
    world.apply({IMAGE: an_image()})
    assert waited(world, Until.READY, IMAGE) is None


def test_another_incarnation_is_waited_for_and_counts_as_gone() -> None:
    world = made()
    of_another = ((IMAGE, ONE),)
    for until, expected in ((Until.READY, None), (Until.GONE, NeighboursGone(waiter=ONE))):
        wait = Await(until=until, waiter=ONE, neighbours=of_another)
        assert answer(SHOP, wait, world.records.get, lambda _: ()) == expected


def test_a_leftover_counts_as_gone_and_says_why() -> None:
    world = left_behind()
    error = resource(world, IMAGE).error or ""
    assert error.startswith("image linux is left in VIM sim: gave up after ")
    gone = NeighboursGone(waiter=ONE, failures=((IMAGE, error),))
    assert waited(world, Until.GONE, IMAGE) == gone
    assert waited(made(), Until.GONE, IMAGE) is None


def test_a_deployment_waits_for_a_networks_subnets_and_a_subnet_does_not() -> None:
    world = World()
    world.apply({net_key(): a_network("net", "a")})
    while resource(world, net_key()).state is not ResourceState.ACTIVE:
        assert world._deed(strays=True)
    assert waited(world, Until.READY, net_key()) is None
    assert waited(world, Until.READY, net_key(), key=SUBNET) is not None
    wait = Await(until=Until.READY, waiter=ONE, neighbours=((ACME, None), (net_key(), None)))
    held = look(SHOP, wait, world.records.get, lambda _: (), lambda _: ())
    assert held == Held(by=(SUBNET, net_key()), place=1)
    world.rest()
    assert waited(world, Until.READY, net_key()) is not None


def test_a_deployment_releases_its_networks_with_its_last_vm() -> None:
    world = World()
    assert released(None)
    world.apply({SHOP: a_deployment(a_group(watched=False), networks=(a_network("own"),))})
    assert not holds_vim(world.records[SHOP])
    world.rest()
    assert not released(world.records[SHOP])
    assert holds_vim(world.records[SHOP])
    assert waited(world, Until.RELEASED, SHOP) is None
    assert waited(world, Until.CHILDLESS, ACME) is None
    world.apply({SHOP: None})
    assert not released(world.records[SHOP])
    while world.deployment(SHOP).vms:
        assert world._deed(strays=True)
    assert released(world.records[SHOP])
    assert waited(world, Until.RELEASED, SHOP) == NeighboursGone(waiter=ONE)


def test_a_deployment_that_failed_before_its_first_vm_does_not_hold_its_tenant() -> None:
    world = made()
    world.apply({IMAGE: None})
    world.apply({SHOP: a_deployment()})
    world.rest(strays=False)
    assert world.types()[-1] == "DELETE_IMAGE"
    assert not holds_vim(world.records[SHOP])
