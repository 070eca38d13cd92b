"""Which VIM a thing lives in, and what an edit may do to connectors in which something lives."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from esc_daemon.domain.commands import Await, EnsureResource, EnsureServer
from esc_daemon.domain.connectors import (
    Connectors,
    check_connectors,
    check_creations,
    connector_key,
    homes,
)
from esc_daemon.domain.decompose import decompose
from esc_daemon.domain.errors import Refused
from esc_daemon.domain.ids import DEFAULT_VIM, NO_VIM, Key, Kind, VimId
from esc_daemon.domain.intent import (
    DefaultVimConnector,
    Deployment,
    Locator,
    VimConnector,
    VimUser,
    VmGroup,
)
from esc_daemon.domain.placing import network_key
from esc_daemon.domain.plan import plan
from esc_daemon.domain.record import DeploymentRecord, Record, ResourceRecord
from esc_daemon.domain.step import Step
from tests.domain.pure_world import VIM, Luck, World
from tests.domain.stories import (
    ACME,
    SHOP,
    TWO,
    a_deployment,
    a_flavor,
    a_group,
    a_network,
    a_tenant,
    net_key,
)

MOON = VimId("moon")
FLAVOR = Key(Kind.FLAVOR, None, "small")


def there(*names: str, named: str | None = None, **fields: Any) -> Connectors:
    intents = {VimId(name): VimConnector(name=name, type="T", **fields) for name in names}
    return Connectors(intents=intents, named=VimId(named) if named else None)


def on(vim: str, group: VmGroup, project: str = "") -> VmGroup:
    return replace(group, locator=Locator(vim_id=vim, vim_project=project))


def home(world: World, key: Key) -> VimId:
    record = world.records[key]
    assert isinstance(record, ResourceRecord)
    return record.vim


def commands(world: World, kind: type) -> list:
    now = world.now
    return [c for r in world.records.values() for c in plan(r, now).commands if type(c) is kind]


# ------------------------------------------------------------------ the default


@pytest.mark.parametrize(
    ("connectors", "default"),
    [
        (there(), None),
        (there("a"), "a"),
        (there("a", "b"), None),
        (there("a", "b", named="b"), "b"),
        (there("a", named="gone"), None),
    ],
)
def test_the_default_is_what_is_named_or_the_only_one(connectors, default) -> None:
    assert connectors.default == default


def test_connectors_follow_the_entries_of_their_kinds_alone() -> None:
    begun = there("a")
    lab = VimConnector(name="lab", type="T")

    assert begun.after(connector_key(VimId("lab")), lab).intents[VimId("lab")] == lab
    assert begun.after(connector_key(VimId("a")), None) == there()
    named = begun.after(DEFAULT_VIM, DefaultVimConnector(vim_id="a"))
    assert named.named == "a"
    assert named.after(DEFAULT_VIM, None) == begun
    assert begun.after(ACME, a_tenant()) is begun


# ------------------------------------------------------------------ where things live


def test_a_group_goes_where_its_locator_says_or_to_the_default() -> None:
    world = World()
    world.apply({SHOP: a_deployment(on(MOON, a_group("far")), a_group("near"))})

    vms = {vm.group: vm.vim for vm in world.deployment(SHOP).vms.values()}

    assert vms == {"far": MOON, "near": VIM}
    assert world.deployment(SHOP).vim == VIM


def test_a_resource_is_made_and_removed_in_the_default_of_its_acceptance() -> None:
    world = World()
    world.apply({FLAVOR: a_flavor()})
    world.rest()

    world.apply({FLAVOR: None})
    slot = next(iter(world.flights))  # what it waits for first
    world.perform(slot, Luck.DONE)
    world.deliver(slot)

    (flight,) = world.flights.values()
    assert getattr(flight.command, "vim", None) == VIM


def test_what_a_network_gets_later_lives_where_the_network_lives() -> None:
    world = World()
    world.apply({net_key(): a_network("net", "a")})

    told = decompose(net_key(), a_network("net", "b"), world.records[net_key()], TWO, MOON)

    assert {key.name: t.vim for key, t in told if t.intent}["net/b"] == VIM


def test_the_next_incarnation_lives_in_the_default_of_its_own_acceptance() -> None:
    world = World()
    world.apply({SHOP: a_deployment(a_group(watched=False))})
    world.rest()
    world.apply({SHOP: None})
    step = decompose(SHOP, a_deployment(), world.records[SHOP], TWO, MOON)[0]
    world.tell(*step)
    assert {home.vim for home in homes(world.records[SHOP])} == {VIM, MOON}

    world.rest()

    assert {vm.vim for vm in world.deployment(SHOP).vms.values()} == {MOON}


def test_an_ephemeral_network_is_made_where_its_first_group_goes() -> None:
    world = World()
    own = a_network("own", "a")
    world.apply({SHOP: a_deployment(on(MOON, a_group("far", "own")), networks=(own,))})
    key = network_key(SHOP, "own")

    assert home(world, key) == MOON
    assert home(world, key._replace(kind=Kind.SUBNET, name=f"{key.name}/a")) == MOON


def test_a_network_without_a_group_is_made_in_the_default() -> None:
    world = World()
    world.apply({SHOP: a_deployment(on(MOON, a_group("far")), networks=(a_network("own"),))})

    assert home(world, network_key(SHOP, "own")) == VIM


def test_the_id_of_a_network_counts_only_in_its_own_vim() -> None:
    world = World()
    groups = (a_group("near", "own"), on(MOON, a_group("far", "own")))
    world.apply({SHOP: a_deployment(*groups, networks=(a_network("own"),))})
    while not (making := commands(world, EnsureServer)):
        world._deed(strays=True)

    ids = {call.vim: call.spec.ports[0].network_id for call in making}

    assert ids[VIM] is not None
    assert ids[MOON] is None


def test_a_project_is_asked_for_by_its_id_at_home_and_by_its_name_elsewhere() -> None:
    world = World()
    world.apply({ACME: a_tenant()})
    world.rest()
    tenant = world.records[ACME]
    assert isinstance(tenant, ResourceRecord)
    handle = replace(tenant.handle, project="an-id", name="acme")
    world.records[ACME] = replace(tenant, handle=handle)
    groups = (a_group("near"), on(MOON, a_group("far")), on(MOON, a_group("set"), "other"))
    world.apply({SHOP: a_deployment(*groups)})
    world.perform((SHOP, "await"), Luck.DONE)
    world.deliver((SHOP, "await"))

    vms = {vm.group: vm for vm in world.deployment(SHOP).vms.values()}
    specs = [call.spec for call in commands(world, EnsureServer)]
    asked = {spec.name.split("_")[1]: spec.project for spec in specs}

    assert {group: (vm.project, vm.project_id) for group, vm in vms.items()} == {
        "near": ("acme", "an-id"),
        "far": ("acme", ""),
        "set": ("other", ""),
    }
    assert asked == {"near": "an-id", "far": "acme", "set": "other"}


def test_a_group_elsewhere_waits_for_its_tenant_only() -> None:
    world = World()
    world.apply({SHOP: a_deployment(on(MOON, a_group("far", "net")))})

    (wait,) = commands(world, Await)

    assert [key for key, _ in wait.neighbours] == [ACME]


def test_an_ephemeral_network_that_is_left_in_one_vim_is_not_forgotten_for_another() -> None:
    world = World(stuck=True)
    network = a_network("own")
    world.apply({SHOP: a_deployment(on(MOON, a_group("g", "own")), networks=(network,))})
    world.rest()
    world.apply({SHOP: None})

    with pytest.raises(Refused, match="still being removed from VIM moon") as refused:
        world.apply({SHOP: a_deployment(a_group("g", "own"), networks=(network,))})

    assert refused.value.tag == "in-use"
    world.apply({SHOP: a_deployment(on(MOON, a_group("g", "own")), networks=(network,))})


def test_the_parent_of_what_is_made_elsewhere_is_told_with_its_home() -> None:
    world = World()
    far = a_deployment(on(MOON, a_group("g", "own")), networks=(a_network("own"),))
    world.apply({ACME: a_tenant(), SHOP: far})
    while not any(call.key.kind is Kind.NETWORK for call in commands(world, EnsureResource)):
        world._deed(strays=True)

    (call,) = commands(world, EnsureResource)

    assert (call.vim, call.parent.vim) == (MOON, VIM)


def test_what_lives_in_no_vim_has_no_home() -> None:
    world = World()
    world.apply({ACME: a_tenant(mapped=False)})

    assert not list(homes(world.records[ACME]))


# ------------------------------------------------------------------ ruling 13


def creation(deployment: Deployment) -> list[Step]:
    world = World()
    world.apply({SHOP: deployment})
    return [Step(key=SHOP, before=None, record=world.records[SHOP])]


def refusal(steps: Iterable[Step], after: Connectors, problem: str = "") -> Refused:
    with pytest.raises(Refused) as refused:
        check_creations(steps, after, lambda _: problem)
    assert refused.value.tag == "operation-failed"
    assert refused.value.key == SHOP
    return refused.value


def test_an_unknown_connector_is_refused_with_those_that_there_are() -> None:
    steps = creation(a_deployment(on("mars", a_group("web"))))

    text = refusal(steps, there("sim", "moon")).text

    assert text == "vm_group web: there is no VIM connector mars (there are: moon, sim)"


def test_nothing_is_made_where_the_last_check_failed_and_the_cause_is_named() -> None:
    text = refusal(creation(a_deployment()), there(VIM), "VIM down: connection refused").text
    assert text == (
        "vm_group web: nothing can be made in VIM connector sim now: VIM down: connection refused"
    )


def test_a_connector_without_a_known_problem_is_believed() -> None:
    check_creations(creation(a_deployment()), there(VIM), lambda _: "")


def test_without_a_default_what_names_no_vim_is_refused_with_what_to_do() -> None:
    (step,) = creation(a_deployment())
    assert isinstance(step.record, DeploymentRecord)
    nowhere = replace(step.record, vim=NO_VIM, vms={})

    text = refusal([replace(step, record=nowhere)], there("a", "b")).text

    assert "set default_vim_connector (to: a, b)" in text


def test_what_is_there_already_and_what_goes_creates_nothing() -> None:
    world = World()
    world.apply({SHOP: a_deployment(), ACME: a_tenant()})
    world.rest()
    before = dict(world.records)
    world.apply({SHOP: None, ACME: None})
    steps = [Step(key=key, before=before[key], record=world.records[key]) for key in before]

    check_creations(steps, there(), lambda _: "down")


def test_the_next_incarnation_is_a_creation() -> None:
    world = World()
    world.apply({SHOP: a_deployment()})
    world.rest()
    world.apply({SHOP: None})
    before = world.records[SHOP]
    world.apply({SHOP: a_deployment()})

    steps = [Step(key=SHOP, before=before, record=world.records[SHOP])]

    refusal(steps, there(VIM), "down")


# ------------------------------------------------------------------ connectors in use


def living() -> list[Record]:
    """Return a tenant and a deployment that live in `VIM`."""
    world = World()
    world.apply({ACME: a_tenant(), SHOP: a_deployment()})
    world.rest()
    return list(world.records.values())


def judged(before: Connectors, after: Connectors, records: list[Record]) -> Refused:
    with pytest.raises(Refused) as refused:
        check_connectors(before, after, lambda: records, lambda _: True)
    return refused.value


def accepted(before: Connectors, after: Connectors, records: list[Record]) -> None:
    check_connectors(before, after, lambda: records, lambda _: True)


def test_a_connector_in_which_something_lives_stays() -> None:
    error = judged(there(VIM, "moon"), there("moon"), living())

    assert (error.tag, error.key) == ("in-use", connector_key(VIM))
    assert error.text == (
        "VIM connector sim is in use: deployment shop of tenant acme (with 1 more) lives there; "
        "delete it when that is gone"
    )


def test_a_connector_in_which_nothing_lives_goes() -> None:
    accepted(there(VIM, "moon"), there(VIM), living())


def test_a_leftover_keeps_its_connector() -> None:
    world = World(stuck=True)
    world.apply({SHOP: a_deployment()})
    world.rest()
    world.apply({SHOP: None})
    world.rest()
    [left] = world.deployment(SHOP).leftovers

    records = list(world.records.values())
    assert judged(there(VIM), there(), records).text == (
        f"VIM connector sim is in use: vm {left.vm.name} of acme/shop in VIM sim is left over; "
        "delete it when that is gone: ask for leftoverAction RETRY (esc_nc_cli leftover retry), or "
        "PURGE to forget it"
    )
    # and what lives there is named first
    assert "tenant acme lives there" in judged(there(VIM), there(), [*records, *living()[:1]]).text


def test_so_does_a_resource_that_is_left_over() -> None:
    world = World(stuck=True)
    world.apply({ACME: a_tenant()})
    world.rest()
    world.apply({ACME: None})
    world.rest()

    refused = judged(there(VIM), there(), list(world.records.values()))
    assert "is in use: tenant acme in VIM sim is left over; delete it when" in refused.text
    # and one that is wanted again lives there, whatever becomes of what was left
    world.apply({ACME: a_tenant()})
    refused = judged(there(VIM), there(), list(world.records.values()))
    assert "is in use: tenant acme lives there; delete it when" in refused.text


def test_what_names_no_vim_lives_in_the_default() -> None:
    """Rows of before there were connectors."""
    (tenant,) = (record for record in living() if record.key.kind is Kind.TENANT)
    assert isinstance(tenant, ResourceRecord)
    old: list[Record] = [replace(tenant, vim=NO_VIM)]

    judged(there(VIM, "moon", named=VIM), there("moon"), old)
    accepted(there(VIM, "moon", named=VIM), there(VIM, named=VIM), old)


def test_another_type_is_another_vim() -> None:
    other = Connectors(intents={VIM: VimConnector(name=VIM, type="OTHER")})

    assert "change its type" in judged(there(VIM), other, living()).text
    accepted(there(VIM), other, [])


def test_the_last_user_stays_where_one_is_needed() -> None:
    with_user = there(VIM, users=(VimUser(name="u"),))

    assert "its last user" in judged(with_user, there(VIM), living()).text
    check_connectors(with_user, there(VIM), living, lambda _: False)


def test_the_default_that_is_named_is_not_deleted() -> None:
    error = judged(there("a", "b", named="a"), there("b", named="a"), [])

    assert (error.tag, error.key) == ("in-use", connector_key(VimId("a")))
    accepted(there("a", "b", named="a"), there("b", named="b"), [])
    accepted(there("a", named="a"), there(), [])


def test_the_default_names_a_connector_that_there_is() -> None:
    error = judged(there("a"), there("a", named="b"), [])

    assert (error.tag, error.key) == ("data-missing", DEFAULT_VIM)
    assert error.text == "there is no VIM connector b (there are: a)"


def test_the_default_stays_while_resources_live_in_it() -> None:
    error = judged(there(VIM, "moon", named=VIM), there(VIM, "moon", named="moon"), living())

    assert (error.tag, error.key) == ("in-use", DEFAULT_VIM)
    assert error.text.startswith("tenant acme lives in VIM sim: ")


def test_deployments_do_not_hold_the_default() -> None:
    shop = [record for record in living() if record.key == SHOP]

    accepted(there(VIM, "moon", named=VIM), there(VIM, "moon", named="moon"), shop)


def test_a_second_connector_leaves_no_default_and_everything_where_it_is() -> None:
    accepted(there(VIM), there(VIM, "moon"), living())
    accepted(there(VIM, "moon"), there(VIM, "moon", named=VIM), living())
    judged(there(VIM, "moon"), there(VIM, "moon", named="moon"), living())
