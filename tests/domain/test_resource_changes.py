"""Resources that are changed where they stand, or deleted and created anew."""

from dataclasses import fields, replace

import pytest

from esc_daemon.domain.advance.resource import advance_resource
from esc_daemon.domain.errors import Node, Refused
from esc_daemon.domain.ids import Key, Kind
from esc_daemon.domain.intent import Flavor, Image, Network, Resource, Subnet, Tenant, TenantVolume
from esc_daemon.domain.leftovers import departed, leftovers_of
from esc_daemon.domain.policy import DEFAULT_POLICY
from esc_daemon.domain.record import AnyResourceRecord, ResourceRecord
from esc_daemon.domain.resource_changes import TABLE, Way, changed
from esc_daemon.domain.states import ResourceState, ServiceState
from esc_daemon.domain.triggers import LeftoversPurged, ResourceGone
from tests.domain.pure_world import Luck, World
from tests.domain.stories import (
    ACME,
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
from tests.domain.updates import standing

IMAGE = Key(Kind.IMAGE, None, "linux")
FLAVOR = Key(Kind.FLAVOR, None, "small")
NET = net_key(tenant=None)
SUBNET = Key(Kind.SUBNET, None, "net/a")
OWN_NET = Key(Kind.NETWORK, TENANT, "shop/own")
OTHER_SRC = replace(an_image(), src="http://192.0.2.9/other.qcow2")
LABELLED = replace(an_image(), properties=(("os", "linux"), ("arch", "x86_64")))
BIGGER = replace(a_flavor(), vcpus=4)
UNSHARED = replace(a_network("net", "a"), shared=False)


def made(key: Key, intent: Resource) -> World:
    world = World()
    world.apply({key: intent})
    world.rest()
    world.log.clear()
    return world


def resource(world: World, key: Key) -> AnyResourceRecord:
    record = world.records[key]
    assert isinstance(record, ResourceRecord)
    return record


def state(world: World, key: Key) -> ResourceState:
    return resource(world, key).state


@pytest.mark.parametrize(
    ("kind", "resource"),
    [
        (Kind.TENANT, Tenant),
        (Kind.NETWORK, Network),
        (Kind.SUBNET, Subnet),
        (Kind.IMAGE, Image),
        (Kind.FLAVOR, Flavor),
        (Kind.VOLUME, TenantVolume),
    ],
)
def test_no_field_of_a_resource_escapes_the_table(kind: Kind, resource: type) -> None:
    known = [field for rule in TABLE if rule.kind is kind for field in rule.leaves]
    apart = {"name", "network", "subnets"}
    assert sorted(set(known)) == sorted({f.name for f in fields(resource)} - apart)


@pytest.mark.parametrize(
    ("key", "old", "new"), [(IMAGE, an_image(), OTHER_SRC), (FLAVOR, a_flavor(), BIGGER)]
)
def test_what_cannot_become_another_is_deleted_and_created_anew(
    key: Key, old: Resource, new: Resource
) -> None:
    world = made(key, old)
    before = world.vim.resource(key)
    world.apply({key: new})
    world.rest()
    assert world.types() == [f"DELETE_{key.kind.upper()}", f"CREATE_{key.kind.upper()}"]
    assert world.vim.resource(key) not in {None, before}
    assert world.vim.wants[key] == new


@pytest.mark.parametrize(
    ("key", "old", "new", "text"),
    [
        (IMAGE, an_image(), LABELLED, "Image update completed successfully."),
        (NET, a_network("net", "a"), UNSHARED, "Network update completed successfully"),
        (
            FLAVOR,
            a_flavor(),
            replace(a_flavor(), properties=(("hw:cpu_policy", "dedicated"),)),
            "Flavor update completed successfully.",
        ),
    ],
)
def test_what_the_vim_can_change_stays_where_it_is(
    key: Key, old: Resource, new: Resource, text: str
) -> None:
    world = made(key, old)
    before = world.vim.resource(key)
    world.apply({key: new})
    world.rest()
    assert [(event.type, event.message) for event in world.log] == [
        (f"CREATE_{key.kind.upper()}", text)
    ]
    assert world.vim.resource(key) == before
    assert world.vim.wants[key] == new


def test_a_subnet_changes_through_its_network() -> None:
    world = made(NET, a_network("net", "a"))
    (subnet,) = a_network("net", "a").subnets
    world.apply({NET: Network(name="net", subnets=(replace(subnet, dhcp=False),))})
    world.rest()
    assert [event.message for event in world.log] == ["Subnet update completed successfully"]
    assert world.vim.wants[SUBNET] == replace(subnet, dhcp=False)


def test_another_order_of_properties_asks_nothing_of_the_vim() -> None:
    world = made(IMAGE, LABELLED)
    asked = world.asked
    world.apply({IMAGE: replace(LABELLED, properties=LABELLED.properties[::-1])})
    world.rest()
    assert world.asked == asked
    assert not world.log


@pytest.mark.parametrize(
    ("key", "old", "new", "below"),
    [
        (ACME, a_tenant(), a_tenant(mapped=False), (Node("vim_mapping"),)),
        (NET, a_network(), replace(a_network(), vlan_id=7), (Node("vlanid"),)),
        (
            NET,
            a_network("net", "a"),
            Network(
                name="net",
                subnets=(replace(a_network("net", "a").subnets[0], address="10.9.0.0"),),
            ),
            (Node("subnet", "a"), Node("address")),
        ),
    ],
)
def test_what_cannot_be_changed_is_refused_with_its_leaf(
    key: Key, old: Resource, new: Resource, below: tuple[Node, ...]
) -> None:
    world = made(key, old)
    before = dict(world.records)
    with pytest.raises(Refused, match="cannot be changed: ") as refused:
        world.apply({key: new})
    assert refused.value.tag == "operation-not-supported"
    assert refused.value.below == below
    assert world.records == before


def test_a_change_that_the_vim_refuses_leaves_the_network_in_error_until_another() -> None:
    world = made(NET, a_network("net", "a"))
    world.apply({NET: UNSHARED})
    world.perform((NET, "resource"), Luck.REFUSED)
    world.deliver((NET, "resource"))
    assert world.log[0].message == "Network update failed: network net in VIM sim: call refused"
    assert state(world, NET) is ResourceState.ERROR
    assert state(world, SUBNET) is ResourceState.ACTIVE
    world.apply({NET: a_network("net", "a")})
    world.rest()
    assert state(world, NET) is ResourceState.ACTIVE
    assert world.types() == ["CREATE_NETWORK FAILURE", "CREATE_NETWORK"]


def test_a_change_during_a_change_is_asked_for_again() -> None:
    world = made(NET, a_network())
    world.apply({NET: replace(a_network(), shared=False)})
    before = dict(world.records)
    with pytest.raises(Refused, match="ask again when that has ended") as refused:
        world.apply({NET: replace(a_network(), admin_state=False)})
    assert refused.value.tag == "in-use"
    assert world.records == before


def test_a_change_that_nobody_answered_is_made_again_after_a_restart() -> None:
    world = made(NET, a_network())
    world.apply({NET: replace(a_network(), shared=False)})
    world.restart({(NET, "resource"): Luck.NEVER})
    world.rest()
    assert world.vim.wants[NET] == replace(a_network(), shared=False)
    assert world.types() == ["CREATE_NETWORK"]


def test_what_is_deleted_during_a_change_goes() -> None:
    world = made(NET, a_network())
    world.apply({NET: replace(a_network(), shared=False)})
    world.perform((NET, "resource"), Luck.LATE)
    world.apply({NET: None})
    world.rest()
    assert not world.records
    assert not world.vim.resources


def test_a_wrong_source_is_corrected_while_or_after_it_is_tried() -> None:
    for refused in (False, True):
        world = World()
        world.apply({IMAGE: an_image()})
        while (IMAGE, "resource") not in world.flights:
            assert world._deed(strays=True)
        if refused:
            world.perform((IMAGE, "resource"), Luck.REFUSED)
            world.deliver((IMAGE, "resource"))
        world.apply({IMAGE: OTHER_SRC})
        world.rest()
        assert state(world, IMAGE) is ResourceState.ACTIVE
        assert world.vim.wants[IMAGE] == OTHER_SRC
        assert world.types()[-2:] == ["DELETE_IMAGE", "CREATE_IMAGE"]


@pytest.mark.parametrize(
    ("key", "old", "new"), [(IMAGE, an_image(), OTHER_SRC), (FLAVOR, a_flavor(), BIGGER)]
)
def test_a_refused_replacement_leaves_a_leftover_which_the_new_one_waits_for(
    key: Key, old: Resource, new: Resource
) -> None:
    # given: a VIM that removes nothing
    world = made(key, old)
    before = world.vim.resource(key)
    world.stuck = True
    # when
    world.apply({key: new})
    world.rest()
    # then: what is in the VIM is listed, and says why
    (left,) = leftovers_of(world.records[key])
    assert (left.kind, left.name, left.id) == (key.kind, key.name, before)
    assert world.types() == [f"DELETE_{key.kind.upper()} FAILURE"]
    assert "is left in VIM sim" in (resource(world, key).error or "")
    assert world.vim.wants[key] == old
    # when the VIM lets it go
    world.stuck = False
    world.rest()
    # then
    assert not list(leftovers_of(world.records[key]))
    assert world.types()[1:] == [f"CREATE_{key.kind.upper()}"]
    assert world.vim.wants[key] == new
    assert world.vim.resource(key) not in {None, before}


def stuck_replacement() -> World:
    world = made(IMAGE, an_image())
    world.stuck = True
    world.apply({IMAGE: OTHER_SRC})
    world.rest()
    world.log.clear()
    return world


def test_an_edit_back_adopts_what_would_not_go() -> None:
    world = stuck_replacement()
    there = world.vim.resource(IMAGE)
    world.apply({IMAGE: an_image()})
    world.rest()
    assert state(world, IMAGE) is ResourceState.ACTIVE
    assert world.vim.resource(IMAGE) == there
    assert world.types() == ["CREATE_IMAGE"]


def test_what_is_wanted_no_more_does_not_follow_what_would_not_go() -> None:
    world = stuck_replacement()
    world.apply({IMAGE: None})
    assert resource(world, IMAGE).successor is None
    world.stuck = False
    world.rest()
    assert not world.records
    assert not world.vim.resources
    assert not world.log


def test_another_content_under_the_name_of_a_leftover_waits_for_it() -> None:
    world = stuck_replacement()
    world.apply({IMAGE: None})
    world.apply({IMAGE: OTHER_SRC})
    assert [each.name for each in leftovers_of(world.records[IMAGE])] == ["linux"]
    world.stuck = False
    world.rest()
    assert world.vim.wants[IMAGE] == OTHER_SRC
    assert world.types() == ["CREATE_IMAGE"]


def test_a_leftover_that_is_purged_lets_the_next_one_begin() -> None:
    world = stuck_replacement()
    world.tell(IMAGE, LeftoversPurged(subjects=frozenset({resource(world, IMAGE).id})))
    assert state(world, IMAGE) is ResourceState.CREATING
    assert resource(world, IMAGE).intent == OTHER_SRC


def test_the_end_of_a_leftover_is_known_though_the_next_one_follows_at_once() -> None:
    world = stuck_replacement()
    left = resource(world, IMAGE)
    step = advance_resource(IMAGE, left, ResourceGone(id=left.id), world.now, DEFAULT_POLICY)
    assert step.record is not None
    assert [each.name for each in departed(step)] == ["linux"]


def test_a_deployment_does_not_wait_for_what_waits_for_a_leftover() -> None:
    world = stuck_replacement()
    world.apply({ACME: a_tenant(), SHOP: a_deployment(a_group("web"))})
    world.rest()
    assert world.deployment(SHOP).state is ServiceState.ERROR
    assert "image linux is left in VIM sim" in (world.deployment(SHOP).error or "")


def test_what_is_to_come_may_still_become_anything() -> None:
    world = made(FLAVOR, a_flavor())
    world.apply({FLAVOR: None})
    for vcpus in (2, 4):
        world.apply({FLAVOR: replace(a_flavor(), vcpus=vcpus)})
    world.rest()
    assert world.vim.wants[FLAVOR] == BIGGER
    assert world.types() == ["DELETE_FLAVOR", "CREATE_FLAVOR"]


def test_a_network_that_could_not_be_created_is_not_changed() -> None:
    world = World()
    world.apply({NET: a_network()})
    while (NET, "resource") not in world.flights:
        assert world._deed(strays=True)
    world.perform((NET, "resource"), Luck.REFUSED)
    world.deliver((NET, "resource"))
    with pytest.raises(Refused, match="could not be created: delete it"):
        world.apply({NET: replace(a_network(), shared=False)})


def test_an_ephemeral_network_changes_before_the_update_ends() -> None:
    world = standing(a_group("web", "own"), networks=(a_network("own", "a"),))
    world.log.clear()
    new = a_deployment(
        a_group("web", "own"), networks=(replace(a_network("own", "a"), admin_state=False),)
    )
    world.apply({SHOP: new})
    world.rest()
    told = world.types()
    assert told[0] == "SERVICE_UPDATING_STATE"
    assert told[1:] == ["CREATE_NETWORK", "SERVICE_UPDATED"]
    assert world.vim.wants[OWN_NET] == new.networks[0]
    assert world.deployment(SHOP).intent == new


def test_an_ephemeral_network_that_cannot_change_fails_the_update() -> None:
    world = standing(a_group("web", "own"), networks=(a_network("own", "a"),))
    world.log.clear()
    old = world.deployment(SHOP).intent
    assert old is not None
    new = replace(old, networks=(replace(a_network("own", "a"), shared=False),))
    world.apply({SHOP: new})
    world.perform((OWN_NET, "resource"), Luck.REFUSED)
    world.deliver((OWN_NET, "resource"))
    world.rest()
    assert world.types()[1:] == ["CREATE_NETWORK FAILURE", "SERVICE_UPDATED FAILURE"]
    # and back to what was
    world.apply({SHOP: old})
    world.rest()
    assert world.types()[-3:] == ["SERVICE_UPDATING_STATE", "CREATE_NETWORK", "SERVICE_UPDATED"]


def test_every_way_is_taken_by_some_rule() -> None:
    assert {rule.way for rule in TABLE} == set(Way) - {Way.NONE}
    assert not list(changed(Kind.IMAGE, an_image(), an_image()))
