"""The verdict on a campaign of kills: it finds what is lost, doubled, leaked and out of order."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from random import Random

import pytest
from disks import made_anew, same_volumes
from lxml import etree
from operating import Life
from shapes import FAR, LICENCE, NEAR, any_shape
from standing import (
    Clouded,
    Disk,
    Plug,
    Server,
    as_asked,
    complaints,
    same_ports,
    same_servers,
    seen,
    strangers,
    unnoticed,
)
from verdict import History

from esc_daemon.domain.events import Event, EventStatus, EventType, VmRef
from esc_daemon.domain.ids import DeploymentId, DeploymentName, VmGroupName
from tests.domain.legal import At, Service
from tests.domain.legal import Life as Standing

E = EventType
DEPLOYED = [(E.VM_DEPLOYED, "d_web_0_a"), (E.VM_ALIVE, "d_web_0_a"), (E.SERVICE_ALIVE, "")]
UPDATED = [
    (E.SERVICE_UPDATING_STATE, ""),
    (E.VM_UPDATED, "d_web_0_a"),
    (E.SERVICE_UPDATED, ""),
    (E.VM_REBOOTED, "d_web_0_a"),
]
LIVED = [
    *DEPLOYED,
    (E.VM_STOPPED, "d_web_0_a"),
    (E.SERVICE_STOPPED, ""),
    (E.VM_STARTED, "d_web_0_a"),
    (E.VM_ALIVE, "d_web_0_a"),
    (E.SERVICE_STARTED, ""),
    (E.VM_SCALE_OUT_INIT, "d_web_0_a"),
    (E.VM_SCALE_OUT_DEPLOYED, "d_web_0_a>d_web_1_b"),
    (E.VM_ALIVE, "d_web_1_b"),
    (E.VM_SCALE_OUT_COMPLETE, "d_web_0_a>d_web_1_b"),
    (E.VM_RECOVERY_INIT, "d_web_1_b"),
    (E.VM_RECOVERY_REBOOT, "d_web_1_b"),
    (E.VM_RECOVERY_UNDEPLOYED, "d_web_1_b"),
    (E.VM_RECOVERY_DEPLOYED, "d_web_1_b"),
    (E.VM_RECOVERY_COMPLETE, "d_web_1_b"),
    (E.SERVICE_UPDATING_STATE, ""),
    (E.SERVICE_UPDATED, ""),
    (E.VM_SCALE_IN_INIT, "d_web_1_b"),
    (E.VM_SCALE_IN_COMPLETE, "d_web_1_b"),
    (E.VM_UNDEPLOYED, "d_web_0_a"),
    (E.SERVICE_UNDEPLOYED, ""),
]
ASKED = Life(updates=1, asked=Counter({("STOP", ""): 1, ("START", ""): 1}), last={"": "START"})
DEPLOY = len(DEPLOYED)
FREE = {E.VM_ALIVE, E.VM_SCALE_OUT_COMPLETE, E.VM_SCALE_IN_COMPLETE}
"""A guest answers when it likes; a new VM may be recovered; an undeploy may come in between."""


def all_but(*types: EventType) -> list[int]:
    """Return where in LIVED what stands that is of none of *types*, or of the deploy."""
    return [at for at, (type_, _) in enumerate(LIVED) if at < DEPLOY or type_ not in types]


def named(at: int) -> str:
    return f"{at}-{LIVED[at][0]}"


def told(*said: tuple[EventType, str], id_: str = "1") -> list[Event]:
    return [event(type_, vms, id_) for type_, vms in said]


def event(type_: EventType, vms: str, id_: str) -> Event:
    source, _, target = vms.partition(">")
    return Event(
        type=type_,
        message="",
        deployment=DeploymentName("d"),
        deployment_id=DeploymentId(id_),
        vm_group=VmGroupName("web"),
        source=vm(source),
        target=vm(target),
    )


def vm(name: str) -> VmRef | None:
    return VmRef(vmid=None, vmname=name, generated_vmname=name) if name else None


def wrong(story: Sequence[Event], life: Life = ASKED, *, there: bool = False) -> list[str]:
    life.id = "1"
    return [*History(story).wrong("d", [life], there=there)]


def test_a_life_that_went_as_it_may_is_found_well() -> None:
    assert wrong(told(*LIVED)) == []


@pytest.mark.parametrize("at", all_but(E.VM_ALIVE, E.VM_RECOVERY_REBOOT), ids=named)
def test_an_event_that_is_lost_is_found(at: int) -> None:
    assert wrong(told(*LIVED[:at], *LIVED[at + 1 :]))


@pytest.mark.parametrize("at", all_but(E.VM_RECOVERY_REBOOT), ids=named)
def test_an_event_that_is_doubled_is_found(at: int) -> None:
    assert wrong(told(*LIVED[: at + 1], *LIVED[at:]))


@pytest.mark.parametrize("at", [at for at in all_but(*FREE) if at + 1 in all_but(*FREE)], ids=named)
def test_events_that_change_places_are_found(at: int) -> None:
    first, second = LIVED[at], LIVED[at + 1]

    assert wrong(told(*LIVED[:at], second, first, *LIVED[at + 2 :]))


def test_what_goes_on_has_ended_what_it_began() -> None:
    [fault] = wrong(told(*DEPLOYED, UPDATED[0]), Life(updates=1), there=True)

    assert "expected an end of what began, found none: its update" in fault


def test_a_life_that_nobody_asked_for_is_found() -> None:
    ended = [*DEPLOYED, *LIVED[-2:]]
    story = [*told(*ended), *told(*ended, id_="2")]

    assert [*History(story).wrong("d", [Life()], there=False)] == ["d: expected 1 lives, found 2"]
    assert [*History(story).strangers({"e"})]


def test_one_that_is_taken_back_while_it_waits_may_be_over_before_the_one_that_stands() -> None:
    story = [*told(*LIVED[:-1]), event(E.SERVICE_UNDEPLOYED, "", "2"), *told(LIVED[-1])]
    first = replace(ASKED, id="1")

    assert [*History(story).wrong("d", [first, Life()], there=False)] == []
    assert [*History(story).wrong("d", [first, Life()], there=True)]
    assert [*History(story).wrong("d", [first, Life(id="3")], there=False)]


@pytest.mark.parametrize(
    ("life", "found"),
    [
        (Life(updates=1, asked=Counter({("REBOOT", "d_web_0_a"): 1})), False),
        (Life(updates=1, perhaps=Counter({("REBOOT", "d_web_0_a"): 1})), False),
        (Life(updates=1, asked=Counter({("REBOOT", "d_web_0_a"): 2})), True),
        (Life(updates=2, asked=Counter({("REBOOT", "d_web_0_a"): 1})), True),
        (Life(updates=0, asked=Counter({("REBOOT", "d_web_0_a"): 1})), True),
        (Life(updates=1, asked=Counter({("STOP", ""): 1, ("REBOOT", "d_web_0_a"): 1})), True),
    ],
)
def test_what_was_asked_for_ends_as_often_as_it_was(life: Life, *, found: bool) -> None:
    assert bool(wrong(told(*DEPLOYED, *UPDATED), life, there=True)) is found


def test_what_nobody_asked_for_does_not_end() -> None:
    assert wrong(told(*DEPLOYED, (E.VM_REBOOTED, "d_web_0_a")), Life(), there=True)


def test_a_failure_needs_a_vim_that_refused() -> None:
    failed = Event(type=E.VM_DEPLOYED, message="no", status=EventStatus.FAILURE)

    assert [*History([failed]).failures()]
    assert [*History([failed]).failures([E.VM_DEPLOYED])] == []
    moves = "its recovery was broken off, since it is to move to VIM far"
    assert [*History([replace(failed, details=moves)]).failures()] == []


@pytest.mark.parametrize("of", [" of 10.6.0.0/16", ""], ids=["in its range", "from elsewhere"])
def test_a_move_to_where_another_vm_has_the_address_may_fail(of: str) -> None:
    text = f"VM [d_web_0_a] of vm_group web in VIM far: address 10.6.0.5{of} is in use"
    failed = replace(event(E.SERVICE_UPDATED, "", "1"), status=EventStatus.FAILURE, message=text)
    later = replace(event(E.SERVICE_STOPPED, "", "1"), status=EventStatus.FAILURE, message="no")
    story = [*told(*DEPLOYED, UPDATED[0]), failed, later]

    assert [*History(story).failures()] == []
    assert [*History([*story, replace(later, deployment_id=DeploymentId("2"))]).failures()]
    assert [*History([later, *story]).failures()]
    assert History(story).found_no_room("d")
    assert not History(story).found_no_room("e")
    assert not History([*story, *told((E.SERVICE_UNDEPLOYED, ""))]).found_no_room("d")


@pytest.mark.parametrize(
    ("before", "of", "found"),
    [
        ((E.VM_MANUAL_RECOVERY_NEEDED,), "d_web_0_a", False),
        ((E.VM_MANUAL_RECOVERY_NEEDED,), "d_web_1_b", True),
        ((E.VM_MANUAL_RECOVERY_NEEDED, E.VM_MANUAL_RECOVERY_NO_NEED), "d_web_0_a", True),
        ((), "d_web_0_a", True),
    ],
    ids=["waits", "another", "waits no more", "never waited"],
)
def test_what_does_not_wait_for_people_fails_by_the_name_of_who_waits_for_them(
    before: tuple[EventType, ...], of: str, *, found: bool
) -> None:
    vm = "d_web_0_a"
    story = told((E.VM_DEPLOYED, vm), (E.VM_ALIVE, vm), *((each, vm) for each in before))
    failed = replace(
        event(E.SERVICE_ALIVE, "", "1"), status=EventStatus.FAILURE, message=f"VM [{of}]"
    )

    assert bool([*History([*story, failed]).failures()]) is found


# ---------------------------------------------------------------- opdata and the VIM


def opdata(state: str, *vms: tuple[str, str], servers: Sequence[str] = ("s0",)) -> etree._Element:
    instances = "".join(
        f"<vm_instance><vm_id>{server}</vm_id><name>{name}</name><vim_id>{NEAR}</vim_id>"
        "</vm_instance>"
        for server, (name, _) in zip(servers, vms, strict=False)
    )
    machines = "".join(
        f"<vm_state_machine><vm_name>{name}</vm_name><state>{state}</state></vm_state_machine>"
        for name, state in vms
    )
    return etree.fromstring(
        '<opdata xmlns="http://www.cisco.com/esc/esc"><deployments><deployment_name>d'
        f"</deployment_name><vm_group><name>web</name>{instances}</vm_group><state_machine>"
        f"<state>{state}</state><vm_state_machines>{machines}</vm_state_machines>"
        "</state_machine></deployments></opdata>"
    )


ONE = next(
    shape
    for seed in range(100)
    if (shape := any_shape("d", Random(seed))).groups[0].least == 1 and len(shape.groups) == 1
)
ONE = replace(ONE, groups=(replace(ONE.groups[0], vim="", volumes=()),))
TWO_PORTS = replace(ONE, groups=(replace(ONE.groups[0], networks=("inside", "data-net")),))
A, B = "d_web_0_a", "d_web_1_b"
ALIVE = opdata("SERVICE_ACTIVE_STATE", (A, "VM_ALIVE_STATE"))


def server(*, vim: str = NEAR, id_: str = "s0", vm: str = "a", guest: str = "answers") -> Server:
    return Server(vim=vim, id=id_, name=f"d_web_0_{vm}", vm=vm, guest=guest)


def standing(*vms: str) -> Standing:
    return Standing(service=Service.LIVES, vms=dict.fromkeys(vms, At.ALIVE))


def unmet(shown: etree._Element, vms: set[str], *, may_fail: bool = False) -> list[str]:
    return [*as_asked("d", ONE, seen(shown).get("d"), standing(*vms), may_fail=may_fail)]


def test_what_is_as_it_was_asked_for_is_found_well() -> None:
    assert unmet(ALIVE, {A}) == []
    assert [*same_servers(ALIVE, [server()], may_vanish=False)] == []


@pytest.mark.parametrize(
    ("shown", "vms"),
    [
        (opdata("SERVICE_ERROR_STATE", (A, "VM_ALIVE_STATE")), {A}),
        (opdata("SERVICE_STARTING_STATE", (A, "VM_ALIVE_STATE")), {A}),
        (opdata("SERVICE_ACTIVE_STATE", (A, "VM_STARTING_STATE")), {A}),
        (ALIVE, {A, B}),
        (ALIVE, set()),
        (opdata("SERVICE_ACTIVE_STATE"), set()),
        (etree.fromstring("<opdata/>"), set()),
    ],
)
def test_what_is_not_as_it_was_asked_for_is_found(shown: etree._Element, vms: set[str]) -> None:
    assert unmet(shown, vms)


@pytest.mark.parametrize(("phase", "rests"), [("needed", True), ("waiting", False)])
def test_only_a_recovery_that_waits_for_the_operator_rests(phase: str, *, rests: bool) -> None:
    recovery = f"<life><recovery><phase>{phase}</phase></recovery></life></vm_state_machine>"
    shown = etree.tostring(ALIVE).decode().replace("</vm_state_machine>", recovery)

    assert (unmet(etree.fromstring(shown), {A}) == []) is rests


@pytest.mark.parametrize(
    ("shown", "guest", "found"),
    [
        (ALIVE, "answers", False),
        (ALIVE, "silent", True),
        (ALIVE, "down", True),
        (opdata("SERVICE_STOPPED_STATE", (A, "VM_SHUTOFF_STATE")), "down", False),
    ],
)
def test_a_guest_that_fell_silent_unnoticed_is_found(
    shown: etree._Element, guest: str, *, found: bool
) -> None:
    assert bool([*unnoticed(shown, [server(guest=guest)])]) is found


NAME = "d_web_0_id"
WELL = opdata("SERVICE_ACTIVE_STATE", (NAME, "VM_ALIVE_STATE"))
PLUGS = [
    Plug(vim=NEAR, vm="id", nicid=nicid, network=network, server="s0")
    for nicid, network in enumerate(TWO_PORTS.groups[0].networks)
]


@pytest.mark.parametrize(
    ("ports", "found"),
    [
        (PLUGS, False),
        (PLUGS[:1], True),
        ([*PLUGS, replace(PLUGS[0], nicid=2)], True),
        ([*PLUGS, PLUGS[1]], True),
        ([PLUGS[0], replace(PLUGS[1], network="other")], True),
        ([PLUGS[0], replace(PLUGS[1], server="")], True),
        ([PLUGS[0], replace(PLUGS[1], server="s1")], True),
    ],
    ids=["well", "lost", "leaked", "doubled", "elsewhere", "unplugged", "torn"],
)
def test_ports_that_are_not_those_of_the_group_are_found(ports: list[Plug], *, found: bool) -> None:
    assert bool([*same_ports(TWO_PORTS, seen(WELL)["d"], ports)]) is found


def test_what_was_undeployed_is_gone() -> None:
    assert [*as_asked("d", None, seen(ALIVE)["d"], standing(), may_fail=True)]
    assert [*as_asked("d", None, None, standing(), may_fail=True)] == []


@pytest.mark.parametrize(
    "servers",
    [
        [server(), server(id_="s1")],
        [server(), server(id_="s1", vm="b")],
        [server(), server(vim=FAR)],
        [server(vim=FAR)],
        [],
    ],
    ids=["doubled", "leaked", "left behind by a move", "elsewhere", "lost"],
)
def test_servers_that_are_not_those_of_opdata_are_found(servers: list[Server]) -> None:
    assert [*same_servers(ALIVE, servers, may_vanish=True)]


LEFT = (
    f"<leftover><kind>vm</kind><name>{A}</name><vm_id>s0</vm_id><vim_id>{FAR}</vim_id></leftover>"
)
"""The server that the VM had before it moved."""


def test_a_listed_leftover_may_be_beside_the_server_of_a_vm_that_moved() -> None:
    shown = etree.fromstring(
        etree.tostring(ALIVE).replace(b"</opdata>", f"{LEFT}</opdata>".encode())
    )
    before = server(vim=FAR)

    assert [*same_servers(shown, [server(), before], may_vanish=True)] == []
    assert [*same_servers(ALIVE, [server(), before], may_vanish=True)]
    assert [*same_servers(shown, [server(), server(vim=FAR, id_="s1")], may_vanish=True)]


@pytest.mark.parametrize(
    ("vim", "left", "found"), [(NEAR, "", False), (FAR, "", True), (FAR, LEFT, False)]
)
def test_a_port_that_a_move_left_behind_is_found(vim: str, left: str, *, found: bool) -> None:
    shown = etree.fromstring(
        etree.tostring(ALIVE).replace(b"</opdata>", f"{left}</opdata>".encode())
    )
    port = Plug(vim=vim, vm="a", nicid=0, network="n", server="")

    def there(*ports: Plug) -> Clouded:
        return Clouded(servers=[], ports=ports, volumes=[])

    assert bool([*strangers(shown, there(port))]) is found
    assert [*strangers(shown, there(replace(port, vm="b")))]


VOLUMES = ("data", f"{LICENCE}d")
STORED = replace(ONE, groups=(replace(ONE.groups[0], volumes=VOLUMES),))
DATA = Disk(vim=NEAR, id="v0", name=f"{A}_data", owner="a", ours=True, server="s0")
KEYS = Disk(vim=NEAR, id="v1", name=f"{LICENCE}d", owner="tenant/t", ours=True, server="s0")
ATTACHED = b"<volumes><volume><volume_id>%s</volume_id></volume></volumes>"


@pytest.mark.parametrize(
    ("disks", "found"),
    [
        ([DATA, KEYS], False),
        ([DATA], True),
        ([KEYS], True),
        ([DATA, replace(DATA, id="v2"), KEYS], True),
        ([replace(DATA, server=""), KEYS], True),
        ([DATA, replace(KEYS, server="s1")], True),
        ([replace(DATA, id="v2"), KEYS], True),
        ([DATA, KEYS, replace(KEYS, id="v2", name="more")], True),
    ],
    ids=["well", "lost", "lost", "doubled", "detached", "elsewhere", "another one", "too many"],
)
def test_volumes_that_are_not_those_of_the_group_are_found(
    disks: list[Disk], *, found: bool
) -> None:
    ids = ATTACHED % b"v0" + ATTACHED % b"v1"
    both = ids.replace(b"</volumes><volumes>", b"")
    shown = etree.fromstring(
        etree.tostring(ALIVE).replace(b"</vm_instance>", both + b"</vm_instance>")
    )

    assert bool([*same_volumes(STORED, seen(shown)["d"], disks)]) is found


@pytest.mark.parametrize(
    ("disk", "id_", "found"),
    [
        (DATA, "v1", False),
        (replace(DATA, vim=FAR), "v1", True),
        (replace(DATA, owner="b"), "v1", True),
        (KEYS, "v1", False),
        (KEYS, "v2", True),
        (KEYS, "", False),
        (replace(KEYS, owner="tenant/u"), "v1", True),
        (replace(KEYS, ours=False), "v2", False),
    ],
    ids=[
        "well",
        "in another VIM",
        "of no VM",
        "a tenant's",
        "another one's",
        "one that failed",
        "of another tenant",
        "merely named",
    ],
)
@pytest.mark.parametrize("is_left", [False, True], ids=["shown", "a leftover"])
def test_a_volume_that_nobody_lists_is_found(
    disk: Disk, id_: str, *, is_left: bool, found: bool
) -> None:
    it = f"<name>{KEYS.name}</name>"
    shown = f"<tenant><name>t</name><volumes><volume>{it}<volume_id>{id_}</volume_id></volume>"
    shown += "</volumes></tenant>"
    if is_left:
        shown = f"<leftover><kind>volume</kind>{it}<resource_id>{id_}</resource_id>"
        shown += "<tenant>t</tenant></leftover>"
    there = etree.tostring(ALIVE).replace(b"</opdata>", f"{shown}</opdata>".encode())

    clouds = Clouded(servers=[], ports=[], volumes=[disk])
    assert bool([*strangers(etree.fromstring(there), clouds)]) is found


@pytest.mark.parametrize(
    ("disks", "lost", "found"),
    [
        ([DATA, KEYS], 0, False),
        ([DATA, replace(DATA, id="v2")], 0, True),
        ([DATA, replace(DATA, id="v2")], 1, False),
        ([KEYS, replace(KEYS, id="v2")], 1, True),
        ([replace(DATA, name="d_web_7_c_data")], 0, False),
    ],
    ids=["kept", "made anew", "by an update", "a tenant's made anew", "of a VM that failed"],
)
def test_a_volume_that_took_the_place_of_another_is_found(
    disks: list[Disk], lost: int, *, found: bool
) -> None:
    life = Life(lost=Counter({("web", "data"): lost}))

    assert bool([*made_anew({A: life}, {KEYS.name: 1}, disks)]) is found


def test_a_vm_that_is_not_where_its_locator_says_is_found() -> None:
    moved = replace(ONE, groups=(replace(ONE.groups[0], vim=FAR),))

    [fault] = as_asked("d", moved, seen(ALIVE)["d"], standing(A), may_fail=True)

    assert f"expected {A} in {FAR}" in fault
    stopped = opdata("SERVICE_STOPPED_STATE", (A, "VM_SHUTOFF_STATE"))  # after a move that failed
    assert [*as_asked("d", moved, seen(stopped)["d"], standing(A), may_fail=False)] == []


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("password of the user admin, shown this once: x", False),
        ('{"event": "vim.call_failed", "level": "warning"}', False),
        ('{"event": "task.died", "level": "error"}', True),
        ('{"event": "drift.unknown_servers", "level": "warning"}', True),
        ('{"event": "volume.was_gone", "level": "warning"}', True),
        ("Traceback (most recent call last):", True),
    ],
)
def test_what_the_daemon_complains_of_is_found(line: str, *, found: bool) -> None:
    assert bool([*complaints([line])]) is found
