"""Who uses what stands alone, and that nobody loses it by an edit."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from esc_daemon.domain.advance import advance
from esc_daemon.domain.decompose import decompose_edit
from esc_daemon.domain.errors import Node, Refused
from esc_daemon.domain.ids import Key, Kind, RecordId, VimId
from esc_daemon.domain.intent import (
    DayZero,
    FileServer,
    Intent,
    Interface,
    Locator,
    Network,
    RemoteFile,
)
from esc_daemon.domain.policy import DEFAULT_POLICY
from esc_daemon.domain.uses import check_uses, named_by
from tests.domain.fake_vim import FakeVim
from tests.domain.pure_world import VIM, Luck, World
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
    dep_key,
    net_key,
)

IMAGE = Key(Kind.IMAGE, None, "linux")
FLAVOR = Key(Kind.FLAVOR, None, "small")
SHARED = net_key(tenant=None)
FILES = Key(Kind.FILE_SERVER, None, "files")
FAR = VimId("far")
GROUP = a_group("web", "net", watched=False)


def judge(world: World, edit: Mapping[Key, Intent | None]) -> None:
    """Hold the steps of *edit* against who uses what; nothing is taken."""
    told = decompose_edit(list(edit.items()), world.records.get, _any_id, VIM)
    steps = {
        at: advance(at, world.records.get(at), trigger, world.now, DEFAULT_POLICY)
        for at, trigger in told
    }
    check_uses(steps, _users(world), world.records.get)


def _any_id() -> RecordId:
    return RecordId("22222222-2222-2222-2222-222222222222")


def _users(world: World) -> Callable[[Key], list[Key]]:
    return lambda key: [at for at, it in world.records.items() if key in named_by(it)]


def lived_in() -> World:
    world = World()
    world.apply({ACME: a_tenant(), IMAGE: an_image(), FLAVOR: a_flavor(), SHARED: a_network()})
    world.apply({SHOP: a_deployment(GROUP)})
    world.rest()
    return world


@pytest.mark.parametrize("locator", [Locator(), Locator(vim_id=FAR)], ids=["here", "far"])
def test_a_file_server_does_not_go_while_a_guest_is_configured_from_it(locator: Locator) -> None:
    # given
    world = World()
    remote = DayZero(dst="a.sh", remote=RemoteFile(server="files", path="a.sh"))
    group = replace(GROUP, day_zero=(remote,), locator=locator)
    server = FileServer(name="files", base_url="https://files.example")
    world.apply({FILES: server})
    world.apply({ACME: a_tenant(), SHOP: a_deployment(group)})
    # when, then
    with pytest.raises(Refused, match="file_server files is in use by vm_group web") as refused:
        judge(world, {FILES: None})
    assert refused.value.tag == "in-use"
    judge(world, {FILES: replace(server, base_url="https://elsewhere.example")})
    judge(world, {FILES: None, SHOP: None})


@pytest.mark.parametrize("key", [IMAGE, FLAVOR, SHARED], ids=str)
def test_what_a_deployment_uses_does_not_go(key: Key) -> None:
    world = lived_in()
    with pytest.raises(Refused, match="vm_group web of deployment shop of tenant acme") as refused:
        judge(world, {key: None})
    assert (refused.value.tag, refused.value.key) == ("in-use", key)
    judge(world, {key: None, SHOP: None})
    world.apply({SHOP: None})
    judge(world, {key: None})


def test_an_edit_that_lets_the_group_use_another_is_taken() -> None:
    world = lived_in()
    other = a_deployment(replace(GROUP, image="other", flavor="big"))
    judge(world, {IMAGE: None, FLAVOR: None, SHOP: other})


def test_a_group_that_is_to_move_uses_it_for_as_long_as_a_vm_of_it_is_there() -> None:
    # given
    world = lived_in()
    world.others[FAR] = FakeVim(lacks={"linux"})
    moves = a_deployment(replace(GROUP, locator=Locator(vim_id=FAR)))
    # when: it cannot be had there
    world.apply({SHOP: moves})
    world.rest()
    # then
    with pytest.raises(Refused, match="vm_group web of deployment shop"):
        judge(world, {IMAGE: None})
    # and when: it can
    world.others[FAR].lacks = set()
    world.apply({SHOP: replace(moves, groups=(replace(moves.groups[0], bootup_time=7),))})
    world.rest()
    # then
    judge(world, {IMAGE: None})


def test_an_edit_does_not_deploy_with_what_it_takes_away() -> None:
    world = lived_in()
    world.apply({SHOP: None})
    world.rest()
    with pytest.raises(Refused, match="deployment stall"):
        judge(world, {IMAGE: None, dep_key("stall"): a_deployment(GROUP, name="stall")})


def test_the_next_deployment_of_a_name_uses_it_before_it_begins() -> None:
    world = lived_in()
    world.apply({SHOP: None})
    world.apply({SHOP: a_deployment(GROUP)})
    with pytest.raises(Refused):
        judge(world, {IMAGE: None})


def test_what_could_not_be_made_is_used_by_nobody() -> None:
    world = World()
    world.apply({ACME: a_tenant(), IMAGE: an_image()})
    while (IMAGE, "resource") not in world.flights:
        assert world._deed(strays=True)
    world.apply({SHOP: a_deployment(GROUP)})
    with pytest.raises(Refused):
        judge(world, {IMAGE: None})
    world.perform((IMAGE, "resource"), Luck.REFUSED)
    world.deliver((IMAGE, "resource"))
    judge(world, {IMAGE: None})


def test_a_group_elsewhere_uses_what_the_other_vim_has() -> None:
    world = lived_in()
    world.apply({SHOP: None})
    world.rest()
    far = replace(GROUP, locator=Locator(vim_id="far"))
    world.apply({SHOP: a_deployment(far)})
    judge(world, {IMAGE: None, FLAVOR: None, SHARED: None})


def test_the_network_that_a_deployment_was_made_in_is_the_one_in_use() -> None:
    world = lived_in()
    own = net_key(tenant=TENANT)
    world.apply({own: a_network()})
    world.rest()
    # the tenant's came later: the VM is in the shared one
    judge(world, {own: None})
    with pytest.raises(Refused, match="network net is in use"):
        judge(world, {SHARED: None})


def test_a_subnet_is_in_use_by_whose_vm_has_an_address_of_it() -> None:
    near, far = a_network("net", "a", "b").subnets
    far = replace(far, address="10.0.0.0")
    world = World()
    world.apply({ACME: a_tenant(), SHARED: Network(name="net", subnets=(near, far))})
    fixed = Interface(nicid=0, network="net", ip_address="10.0.0.5")
    world.apply({SHOP: a_deployment(replace(GROUP, interfaces=(fixed,)))})
    world.rest()
    judge(world, {SHARED: Network(name="net", subnets=(far,))})
    with pytest.raises(Refused, match="subnet net/b is in use") as refused:
        judge(world, {SHARED: Network(name="net", subnets=(near,))})
    assert refused.value.below == (Node("subnet", "b"),)


def test_of_many_users_some_are_named() -> None:
    world = lived_in()
    for number in range(5):
        name = f"more{number}"
        world.apply({dep_key(name): a_deployment(GROUP, name=name)})
    with pytest.raises(Refused, match=r"deployment more1 of tenant acme and 3 more: undeploy"):
        judge(world, {IMAGE: None})


def test_what_a_vm_may_have_to_go_back_to_is_used_while_it_is_made_elsewhere() -> None:
    # given
    world = lived_in()
    world.others[FAR] = FakeVim()
    world.apply({SHOP: a_deployment(replace(GROUP, locator=Locator(vim_id=FAR)))})
    # when
    while not any(vm.vim == FAR for vm in world.deployment(SHOP).vms.values()):
        assert world._deed(strays=False)
    # then
    for key in (IMAGE, FLAVOR, SHARED):
        with pytest.raises(Refused, match="vm_group web of deployment shop"):
            judge(world, {key: None})
    # and when
    world.rest()
    # then
    judge(world, {IMAGE: None})
