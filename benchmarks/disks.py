"""What must hold of the volumes of the chaos campaign: whose they are, and that they are kept."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from operating import Life
from shapes import SIZES, Shape
from standing import ACTIVE, ALIVE, Disk, Seen, group_of, id_of


def same_volumes(shape: Shape, found: Seen, disks: Iterable[Disk]) -> Iterator[str]:
    """
    Yield the VMs of a service that is well with other volumes than their group asks for.

    A VM that lives has them in its server, and those that opdata shows.
    """
    if found.state != ACTIVE:
        return
    groups = {group.name: group for group in shape.groups}
    there = [*disks]
    for name, state in found.vms.items():
        wanted = groups[group_of(name)].volumes
        of_its_own = sorted(f"{name}_{each}" for each in wanted if each in SIZES)
        made = sorted(disk.name for disk in there if disk.owner == id_of(name))
        if made != of_its_own:
            yield f"{name}: expected the volumes {of_its_own} of its own, found {made}"
        if state != ALIVE or name in found.recovering or name not in found.places:
            continue
        vim, server = found.places[name]
        has = [disk for disk in there if (disk.vim, disk.server) == (vim, server)]
        names = sorted(f"{name}_{each}" if each in SIZES else each for each in wanted)
        if sorted(disk.name for disk in has) != names:
            yield f"{name}: expected {names} in its server, found {has}"
        shown = found.volumes.get(name, set())
        if {disk.id for disk in has} != shown:
            yield f"{name}: expected the volumes {sorted(shown)} as opdata shows, found {has}"


def made_anew(
    vms: Mapping[str, Life], tenants: Mapping[str, int], disks: Iterable[Disk]
) -> Iterator[str]:
    """
    Yield the volumes among all *disks* ever seen that took the place of one with its content.

    *vms* says of which life each VM is: updates of it may take a volume away, and another one may
    come. *tenants* names volumes of tenants, with the number of lives that they came and went with.
    """
    made = Counter(disk.name for disk in disks if disk.ours)
    for name, count in made.items():
        vm, _, volume = name.rpartition("_")
        if name in tenants:
            most = tenants[name]
        else:  # one that a scaling could not make is not told of
            most = 1 + (vms[vm].lost[group_of(vm), volume] if vm in vms else 0)
        if count > most:
            yield f"volume {name}: expected it to be made {most} times at most, found {count}"
