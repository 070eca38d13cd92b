"""
What must hold of a daemon that was killed again and again: judged from what clients saw.

Each function returns its violations as sentences; none means that all is well.
"""

from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from client import Notification
from lxml import etree

from esc_daemon.vim.simulator.rows import NetworkRow, PortRow, ProjectRow, Row, ServerRow, SubnetRow

ESC = "{http://www.cisco.com/esc/esc}"
ONCE = ("SERVICE_ALIVE", "SERVICE_UNDEPLOYED")
ORDERS = (
    ("VM_DEPLOYED", "VM_ALIVE"),
    ("VM_ALIVE", "SERVICE_ALIVE"),
    ("VM_DEPLOYED", "VM_UNDEPLOYED"),
    ("VM_UNDEPLOYED", "SERVICE_UNDEPLOYED"),
    ("SERVICE_ALIVE", "SERVICE_UNDEPLOYED"),
)
"""No event of the second type may come before one of the first, of the same incarnation."""


@dataclass(kw_only=True, slots=True, frozen=True)
class Told:
    """An escEvent, as far as it is judged."""

    type: str
    status: str
    name: str
    depid: str
    vm: str


@dataclass(kw_only=True, slots=True, frozen=True)
class Goal:
    """What was acknowledged of one deployment: it is to have *vms* (0: it is to be gone)."""

    name: str
    vms: int
    incarnations: int


def told_of(notification: Notification) -> Told | None:
    """Return the event in *notification*; None for replayComplete and the like."""
    root = etree.fromstring(notification.payload)
    if root.tag != f"{ESC}escEvent":
        return None
    return Told(
        type=root.findtext(f"{ESC}event/{ESC}type", ""),
        status=root.findtext(f"{ESC}status", ""),
        name=root.findtext(f"{ESC}depname", ""),
        depid=root.findtext(f"{ESC}depid", ""),
        vm=root.findtext(f"{ESC}vm_source/{ESC}generated_vmname", ""),
    )


def same_history(heard: Sequence[Notification], replayed: Sequence[Notification]) -> Iterator[str]:
    """What was put together from many sessions is the whole log, in its order, each once."""
    for each, count in Counter(replayed).items():
        if count > 1:
            yield f"the log tells {count} times at {each.time}: {each.payload.decode()}"
    for missed in sorted(set(replayed) - set(heard), key=lambda each: each.time):
        yield f"never heard, though logged at {missed.time}: {missed.payload.decode()}"
    for lost in sorted(set(heard) - set(replayed), key=lambda each: each.time):
        yield f"heard, but lost from the log at {lost.time}: {lost.payload.decode()}"
    if set(heard) == set(replayed) and list(heard) != list(replayed):
        yield "events were heard in another order than they stand in the log"
    times = [each.moment for each in replayed]
    for before, after in pairwise(times):
        if after < before:
            yield f"the log goes back in time from {before} to {after}"


def legal_lives(
    history: Iterable[Told],
    goals: Iterable[Goal],
    *,
    may_fail: bool = False,
    of_the_vim: Container[str] = (),
) -> Iterator[str]:
    """
    Every incarnation had a legal life, and there were as many as were asked for.

    *may_fail*: whatever the VIM refuses may. *of_the_vim* are events that tell of the VIM alone.
    """
    history = list(history)
    ends = [told for told in history if told.type in ONCE]
    lives: dict[str, dict[str, list[Told]]] = defaultdict(lambda: defaultdict(list))
    for told in history:
        if told.depid:
            lives[told.name][told.depid].append(told)
        if told.status != "SUCCESS" and not may_fail and told.type not in of_the_vim:
            yield f"{told.type} of {told.name or 'a resource'} failed without a fault in the VIM"
    for goal in goals:
        mine = lives.pop(goal.name, {})
        if len(mine) != goal.incarnations:
            yield f"{goal.name}: {len(mine)} lives were told, {goal.incarnations} were asked for"
        # the networks of the next life may be made while this one is still being undeployed,
        # so it is not the first event that tells which life is the last
        last = next((told.depid for told in reversed(ends) if told.name == goal.name), "")
        for depid, life in mine.items():
            lasts = goal.vms > 0 and depid == last
            for fault in _faults_of(life, alive=goal.vms if lasts else 0):
                story = " ".join(f"{told.type}({told.vm})" for told in life)
                yield f"{goal.name} {depid}: {fault}: {story}"
    for name in lives:
        yield f"events of {name}, which nobody asked for"


def _faults_of(life: Sequence[Told], *, alive: int) -> Iterator[str]:
    """*alive* is how many VMs live on; 0: this life is over."""
    types = [told.type for told in life]
    lasts = alive > 0
    failed = any(told.type == "SERVICE_ALIVE" and told.status != "SUCCESS" for told in life)
    if lasts and not failed and types.count("VM_ALIVE") != alive:
        yield f"VM_ALIVE of {types.count('VM_ALIVE')} VMs, there are {alive}"
    for event in ONCE:
        if types.count(event) > 1:
            yield f"{event} {types.count(event)} times"
    wanted = "SERVICE_ALIVE" if lasts else "SERVICE_UNDEPLOYED"
    if wanted not in types:
        yield f"no {wanted}"
    if lasts and "SERVICE_UNDEPLOYED" in types:
        yield "SERVICE_UNDEPLOYED, though it is to stay"
    yield from _out_of_order(life)
    for (event, vm), count in Counter((told.type, told.vm) for told in life if told.vm).items():
        if count > 1:
            yield f"{event} of {vm} {count} times"


def _out_of_order(life: Sequence[Told]) -> Iterator[str]:
    for first, second in ORDERS:
        for at, told in enumerate(life):
            later = life[at + 1 :]
            if told.type == second and any(_same(first, told, each) for each in later):
                yield f"{first} after {second}"


def _same(event: str, told: Told, other: Told) -> bool:
    """Tell whether *other* is an *event* that had to come before *told*."""
    return other.type == event and (not told.vm or told.vm == other.vm)


def as_asked(
    opdata: etree._Element, goals: Iterable[Goal], *, may_fail: bool = False
) -> Iterator[str]:
    """Every acknowledged edit has reached its goal, or failed where it may; no more is there."""
    there = {found.findtext(f"{ESC}deployment_name", ""): found for found in deployments(opdata)}
    for goal in goals:
        found = there.pop(goal.name, None)
        if goal.vms == 0:
            if found is not None:
                yield f"{goal.name}: still there, {state_of(found)}"
        elif found is None:
            yield f"{goal.name}: not there, though it was acknowledged"
        elif may_fail and state_of(found) == "SERVICE_ERROR_STATE":
            continue
        elif state_of(found) != "SERVICE_ACTIVE_STATE":
            yield f"{goal.name}: {state_of(found)}"
        elif (vms := len(found.findall(f".//{ESC}vm_instance"))) != goal.vms:
            yield f"{goal.name}: {vms} VMs, {goal.vms} were asked for"
    for name in there:
        yield f"{name}: there, though nobody asked for it"


def deployments(opdata: etree._Element) -> list[etree._Element]:
    """Return the entries of opdata's lists ``deployments``."""
    return opdata.findall(f".//{ESC}deployments[{ESC}deployment_name]")


def state_of(deployment: etree._Element) -> str:
    """Return the state of the service."""
    return deployment.findtext(f"{ESC}state_machine/{ESC}state", "")


def same_servers(
    opdata: etree._Element, servers: Mapping[str, tuple[str, str]], *, may_vanish: bool = False
) -> Iterator[str]:
    """The VIM's *servers* (id: name, VM) are those of opdata, one for each VM."""
    for vm, count in Counter(vm for _, vm in servers.values()).items():
        if count > 1:
            yield f"VM {vm} has {count} servers"
    known = {found.text for found in opdata.findall(f".//{ESC}vm_instance/{ESC}vm_id")}
    known |= {found.text for found in opdata.findall(f".//{ESC}leftover/{ESC}vm_id")}
    for server_id in servers.keys() - known:
        yield f"server {servers[server_id][0]} ({server_id}) is in the VIM, but not in opdata"
    for server_id in known - servers.keys() if not may_vanish else ():
        yield f"server {server_id} is in opdata, but not in the VIM"


def nothing_left(rows: Iterable[Row]) -> Iterator[str]:
    """The VIM holds no server, port, subnet, network and project of ours."""
    for row in rows:
        ours = isinstance(row, ServerRow | PortRow | SubnetRow | NetworkRow | ProjectRow)
        if ours and row.key is not None:  # without a key: what the open catalogue invented
            yield f"left in the VIM: {row}"
