"""What must hold of opdata and of the VIM once nothing is under way any more."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final

import msgspec
from lxml import etree
from shapes import ESC, FAR, NEAR, Shape

from esc_daemon.vim.simulator.rows import (
    ImageRow,
    NetworkRow,
    PortRow,
    ProjectRow,
    Row,
    ServerRow,
    SubnetRow,
    VolumeRow,
)
from tests.domain.legal import At, Life

VM_ERROR = "VM_ERROR_STATE"
ACTIVE, STOPPED, ERROR = "SERVICE_ACTIVE_STATE", "SERVICE_STOPPED_STATE", "SERVICE_ERROR_STATE"
ALIVE = "VM_ALIVE_STATE"
OPERATORS = "needed"
"""A recovery that waits for the operator."""
FIRST_WORDS = "password of the user admin"
Place = tuple[str, str]
"""A VIM, and an id that it gave."""
WEATHER = ("info", "warning")
BAD_NEWS = ("drift.unknown_servers", "volume.was_gone")
"""
Servers in the VIM that no record knows: leaked, whatever became of them later. Or a volume was made
anew, and what was on it is lost: no weather takes volumes away.
"""
LATER = "commit.not_taken_back"
"""While something else goes on; it is tried again."""
REST = frozenset(
    {
        ALIVE,
        "VM_MONITOR_UNSET_STATE",
        "VM_MONITOR_DISABLED_STATE",
        "VM_SHUTOFF_STATE",
        "VM_ERROR_STATE",
        "VM_UNDEF_STATE",
    }
)
"""Where a VM stays; the last one only in a service that is in error."""


@dataclass(kw_only=True, slots=True, frozen=True)
class Server:
    """A server of *vm* (by the id that its name ends with) in *vim*; its *guest* may be silent."""

    vim: str
    id: str
    name: str
    vm: str
    guest: str


@dataclass(kw_only=True, slots=True, frozen=True)
class Plug:
    """A port of *vm*, by the id that its name ends with; *server*: where it is, or empty."""

    vim: str
    vm: str
    nicid: int
    network: str
    server: str


@dataclass(kw_only=True, slots=True, frozen=True)
class Disk:
    """
    A volume; *server*: which has it, or empty.

    *ours*: it was made for its *owner*, a VM or a tenant, and not merely named.
    """

    vim: str
    id: str
    name: str
    owner: str
    ours: bool
    server: str


@dataclass(kw_only=True, slots=True, frozen=True)
class Clouded:
    """What stands in the VIMs."""

    servers: Sequence[Server]
    ports: Sequence[Plug]
    volumes: Sequence[Disk]


@dataclass(kw_only=True, slots=True, frozen=True)
class Seen:
    """
    A deployment as opdata shows it, by the names of VMs: states, phases of recoveries, and servers.

    These are VIMs and ids there, of those VMs that have any; with the ids of their *volumes*.
    """

    state: str
    vms: Mapping[str, str]
    recovering: Mapping[str, str]
    sizes: Mapping[str, int]
    places: Mapping[str, Place]
    volumes: Mapping[str, set[str]]

    @property
    def waiting(self) -> list[str]:
        """The VMs whose recovery waits for the operator."""
        return [vm for vm, phase in self.recovering.items() if phase == OPERATORS]


def seen(opdata: etree._Element) -> dict[str, Seen]:
    """Return the deployments of opdata by their names."""
    return {
        found.findtext(f"{ESC}deployment_name", ""): _seen(found)
        for found in opdata.findall(f".//{ESC}deployments[{ESC}deployment_name]")
    }


def _seen(deployment: etree._Element) -> Seen:
    machines = {
        machine.findtext(f"{ESC}vm_name", ""): machine
        for machine in deployment.findall(f".//{ESC}vm_state_machine")
    }
    phase = f"{ESC}life/{ESC}recovery/{ESC}phase"
    return Seen(
        state=deployment.findtext(f"{ESC}state_machine/{ESC}state", ""),
        vms={name: machine.findtext(f"{ESC}state", "") for name, machine in machines.items()},
        recovering={
            name: found
            for name, machine in machines.items()
            if (found := machine.findtext(phase, ""))
        },
        sizes={
            group.findtext(f"{ESC}name", ""): len(group.findall(f"{ESC}vm_instance"))
            for group in deployment.findall(f"{ESC}vm_group")
        },
        places={
            server.findtext(f"{ESC}name", ""): _place(server)
            for server in deployment.findall(f".//{ESC}vm_instance")
        },
        volumes={
            server.findtext(f"{ESC}name", ""): {
                volume.findtext(f"{ESC}volume_id", "")
                for volume in server.findall(f"{ESC}volumes/{ESC}volume")
            }
            for server in deployment.findall(f".//{ESC}vm_instance")
        },
    )


def _place(server: etree._Element) -> Place:
    return server.findtext(f"{ESC}vim_id", ""), server.findtext(f"{ESC}vm_id", "")


def id_of(vm: str) -> str:
    """Return the id that the name of a VM ends with."""
    return vm.rpartition("_")[2]


def group_of(vm: str) -> str:
    """Return the vm_group of the VM of this name."""
    return vm.split("_")[1]


def as_asked(
    name: str, shape: Shape | None, found: Seen | None, told: Life, *, may_fail: bool
) -> Iterator[str]:
    """Yield what is not as was acknowledged, does not rest, or is not as the events *told*."""
    if shape is None:
        if found is not None:
            yield f"{name}: expected it to be gone, found {found.state}"
        return
    if found is None:
        yield f"{name}: expected it to be there, found nothing"
        return
    states = (ACTIVE, STOPPED, ERROR) if may_fail else (ACTIVE, STOPPED)
    if found.state not in states:
        yield f"{name}: expected one of {', '.join(states)}, found {found.state}"
        return
    yield from (f"{name}: {fault}" for fault in _unrest(found))
    yield from (f"{name}: expected an end of what began, found {it}" for it in told.unended())
    vms = {vm for vm, at in told.vms.items() if at is not At.GONE}
    if missing := sorted(vms - found.vms.keys()):
        yield f"{name}: expected the VMs that were told of, not found {missing}"
    if found.state != ERROR:
        yield from (f"{name}: {fault}" for fault in _incomplete(shape, found, vms))


def _unrest(found: Seen) -> Iterator[str]:
    for vm, state in found.vms.items():
        phase = found.recovering.get(vm, OPERATORS)
        if phase != OPERATORS:
            yield f"expected {vm} to be at rest, found its recovery {phase} ({state})"
        elif state not in REST:
            yield f"expected {vm} to be at rest, found {state}"


def _incomplete(shape: Shape, found: Seen, told: AbstractSet[str]) -> Iterator[str]:
    """Yield what a service that is well does not have, or was not told to have."""
    if untold := sorted(found.vms.keys() - told):
        yield f"expected to be told of all its VMs, never told of {untold}"
    groups = {group.name: group for group in shape.groups}
    if found.sizes.keys() != groups.keys():
        yield f"expected the groups {sorted(groups)}, found {sorted(found.sizes)}"
        return
    for name, group in groups.items():
        if not group.least <= found.sizes[name] <= group.most:
            yield f"expected {group.least} to {group.most} {name}, found {found.sizes[name]}"
    for vm, (vim, _) in found.places.items():
        home = groups[group_of(vm)].home
        if vim != home and found.state != STOPPED:  # a move that failed waits for the next update
            yield f"expected {vm} in {home}, where its locator says, found it in {vim}"


def same_servers(
    opdata: etree._Element, servers: Iterable[Server], *, may_vanish: bool
) -> Iterator[str]:
    """
    The VIMs' *servers* are those of opdata, in the same VIM, one for each VM but for leftovers.

    What *may_vanish* is noticed where the VM is watched. That of a VM in error may have gone in any
    weather: a removal that a move broke off takes effect all the same.
    """
    there = {(server.vim, server.id): server for server in servers}
    left = {_place(each): each.findtext(f"{ESC}name", "") for each in _leftovers(opdata)}
    lives = Counter(server.vm for place, server in there.items() if place not in left)
    for vm, count in lives.items():
        if count > 1:
            yield f"VM {vm}: expected one server, found {count}"
    alive = _alive(opdata)
    shown = list(seen(opdata).values())
    known = left | {place: vm for each in shown for vm, place in each.places.items()}
    failed = {vm for each in shown for vm, state in each.vms.items() if state == VM_ERROR}
    for place in there.keys() - known.keys():
        yield f"server {there[place].name} {place}: found in the VIM, not in opdata"
    for place in known.keys() - there.keys():
        gone = may_vanish or known[place] in failed
        if not gone or known[place] in alive:
            yield f"server {known[place]} {place}: found in opdata, not in the VIM"


def _leftovers(opdata: etree._Element) -> list[etree._Element]:
    """Return the leftovers that are VMs whose servers are known."""
    return opdata.findall(f".//{ESC}leftover[{ESC}vm_id]")


def _alive(opdata: etree._Element) -> dict[str, Place]:
    """Return the VMs that are shown alive, and nobody thinks otherwise, with their servers."""
    return {
        vm: each.places.get(vm, ("", ""))
        for each in seen(opdata).values()
        for vm, state in each.vms.items()
        if state == ALIVE and vm not in each.recovering
    }


def unnoticed(opdata: etree._Element, servers: Iterable[Server]) -> Iterator[str]:
    """Yield the VMs that are shown alive while their guests do not answer."""
    guests = {(server.vim, server.id): server.guest for server in servers}
    for vm, place in sorted(_alive(opdata).items()):
        guest = guests.get(place, "answers")  # which has no server is found elsewhere
        if guest != "answers":
            yield f"{vm}: expected it to be alive as it is shown, found its guest {guest}"


def strangers(opdata: etree._Element, clouds: Clouded) -> Iterator[str]:
    """Yield ports and volumes of VMs that opdata does not show, there or as leftovers there."""
    homes: dict[str, set[str]] = {}
    """Where each VM is; a VM without a server may have ports in any VIM."""
    for each in seen(opdata).values():
        for vm in each.vms:
            homes[id_of(vm)] = {each.places[vm][0]} if vm in each.places else {NEAR, FAR}
    for left in opdata.findall(f".//{ESC}leftover"):
        if left.findtext(f"{ESC}kind") == "vm":
            vm = id_of(left.findtext(f"{ESC}name", ""))
            homes.setdefault(vm, set()).add(left.findtext(f"{ESC}vim_id", ""))
    for port in clouds.ports:
        if port.vim not in homes.get(port.vm, ()):
            yield f"{port}: found in the VIM, its VM is not there in opdata"
    of_tenants = {*_tenant_volumes(opdata)}
    for volume in clouds.volumes:
        about = volume.owner, volume.name
        is_known = (*about, volume.id) in of_tenants or (*about, "") in of_tenants
        if volume.ours and not is_known and volume.vim not in homes.get(volume.owner, ()):
            yield f"{volume}: found in the VIM, what it was made for is not there in opdata"


def _tenant_volumes(opdata: etree._Element) -> Iterator[tuple[str, str, str]]:
    """
    Yield owner, name and id of the volumes of tenants, leftovers too.

    The id of one whose making failed is not known: it may be there, by a call without an answer.
    """
    for tenant in opdata.findall(f".//{ESC}tenant[{ESC}volumes]"):
        for each in tenant.findall(f"{ESC}volumes/{ESC}volume"):
            name, id_ = each.findtext(f"{ESC}name", ""), each.findtext(f"{ESC}volume_id", "")
            yield f"tenant/{tenant.findtext(f'{ESC}name')}", name, id_
    for left in opdata.findall(f".//{ESC}leftover"):
        if left.findtext(f"{ESC}kind") == "volume":
            name, id_ = left.findtext(f"{ESC}name", ""), left.findtext(f"{ESC}resource_id", "")
            yield f"tenant/{left.findtext(f'{ESC}tenant')}", name, id_


def same_ports(shape: Shape, found: Seen, ports: Iterable[Plug]) -> Iterator[str]:
    """
    Yield the VMs of a service that is well with other ports than their group asks for.

    A VM that was stopped may have no server any more, if that vanished.
    """
    if found.state != ACTIVE:
        return
    by_vm: dict[str, list[Plug]] = {}
    for port in ports:
        by_vm.setdefault(port.vm, []).append(port)
    groups = {group.name: group for group in shape.groups}
    for name, state in found.vms.items():
        mine = sorted(by_vm.get(id_of(name), []), key=lambda port: port.nicid)
        wanted = [*enumerate(groups[group_of(name)].networks)]
        if [(port.nicid, port.network) for port in mine] != wanted:
            yield f"{name}: expected the ports {wanted}, found {mine}"
        elif state == ALIVE and name not in found.recovering:
            unplugged = [port for port in mine if not port.server]
            if unplugged or len({port.server for port in mine}) > 1:
                yield f"{name}: expected its ports in one server, found {mine}"


def complaints(log: Iterable[str]) -> Iterator[str]:
    """Yield the lines of the daemon's log that no weather explains."""
    for line in log:
        try:
            told = msgspec.json.decode(line)
        except msgspec.DecodeError:
            if not line.startswith(FIRST_WORDS):
                yield f"the log: expected lines of JSON, found {line.strip()}"
            continue
        event = told.get("event")
        if event in BAD_NEWS or (told.get("level") not in WEATHER and event != LATER):
            yield f"the log: expected no complaint, found {line.strip()}"


_OURS: Final = (
    ServerRow,
    PortRow,
    VolumeRow,
    ImageRow,
    SubnetRow,
    NetworkRow,
    ProjectRow,
)


def nothing_left(rows: Iterable[Row]) -> Iterator[str]:
    """The VIM holds nothing of ours: servers, ports, volumes, images, networks, projects."""
    for row in rows:
        if (
            isinstance(row, _OURS)
            and row.key is not None  # without a key: what the open catalogue invented
        ):
            yield f"the VIM: expected nothing, found {row}"
