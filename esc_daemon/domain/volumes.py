"""The volumes of VMs: which there are to be, and which there are."""

from collections.abc import Iterable

from esc_daemon.domain.changed import replace
from esc_daemon.domain.ids import VolumeKey
from esc_daemon.domain.intent import GroupVolume, VmGroup
from esc_daemon.domain.record import VmChange, VmRecord
from esc_daemon.domain.specs import Volume, VolumeSpec
from esc_daemon.domain.volume_record import VolumeRecord


def volumes_of(group: VmGroup) -> tuple[VolumeRecord, ...]:
    """Return the volumes of a VM of *group* that is yet to be made, in the order of their volid."""
    return tuple(VolumeRecord(want=each) for each in in_order(group.volumes))


def in_order(volumes: Iterable[GroupVolume]) -> list[GroupVolume]:
    """Return *volumes* as they are attached: by volid, then as they were written."""
    return sorted(volumes, key=lambda each: (each.volid is None, each.volid or 0))


def key_of(vm: VmRecord, volume: VolumeRecord) -> VolumeKey:
    """Return the key that *volume* of *vm* has in the VIM."""
    return VolumeKey(vm.id, volume.want.name, volume.number)


def volume_specs(vm: VmRecord) -> tuple[VolumeSpec, ...]:
    """Return what the VIM is asked for *vm*."""
    return tuple(_spec(vm, each) for each in vm.volumes)


def _spec(vm: VmRecord, volume: VolumeRecord) -> VolumeSpec:
    want = volume.want
    return VolumeSpec(
        key=key_of(vm, volume),
        project=vm.project_id or vm.project,
        name=f"{vm.name}_{want.name}" if want.is_ephemeral else want.name,
        volume_id=volume.volume_id,
        size_gib=want.size_gib,
        type=want.type,
        image=want.image,
        bus=want.bus,
        boot_index=want.boot_index,
        device_type=want.device_type,
    )


def with_volumes(
    volumes: tuple[VolumeRecord, ...], seen: tuple[Volume, ...]
) -> tuple[VolumeRecord, ...]:
    """Return *volumes* with what the VIM has told of those that a server has."""
    ids = {(each.key.name, each.key.number): each.volume_id for each in seen}
    return tuple(
        each
        if (id_ := ids.get((each.want.name, each.number), each.volume_id)) == each.volume_id
        else replace(each, volume_id=id_)
        for each in volumes
    )


def rearranged(
    vm: VmRecord, group: VmGroup
) -> tuple[tuple[VolumeRecord, ...], tuple[VolumeRecord, ...]]:
    """
    Return the volumes of *vm* as *group* wants them now, and all that it is to lose.

    What it was to lose, and has not yet, is kept where it is wanted again as it was.
    """
    change = vm.change or VmChange()
    there = [*vm.volumes, *(_in_doubt(each) if change.asked else each for each in change.detached)]
    wanted: list[VolumeRecord] = []
    for want in in_order(group.volumes):
        namesakes = [each for each in there if each.want.name == want.name]
        same = next((each for each in namesakes if each.want == want), None)
        number = max((each.number + 1 for each in namesakes), default=0)
        wanted.append(same or VolumeRecord(want=want, number=number))
    return tuple(wanted), tuple(each for each in there if each not in wanted)


def _in_doubt(volume: VolumeRecord) -> VolumeRecord:
    """What was made for a VM and may be deleted comes back with another id under its key."""
    return replace(volume, volume_id=None) if volume.want.is_ephemeral else volume


def detached_from(vm: VmRecord) -> tuple[tuple[VolumeKey, str | None], ...]:
    """Return the volumes that the server of *vm* is to lose, with the ids that are known."""
    lost = vm.change.detached if vm.change else ()
    return tuple((key_of(vm, each), each.volume_id) for each in lost)


def deleted_with(vm: VmRecord) -> tuple[VolumeKey, ...]:
    """Return those of the volumes that *vm* is to lose which were made for it."""
    lost = vm.change.detached if vm.change else ()
    return tuple(key_of(vm, each) for each in lost if each.want.is_ephemeral)


def made_for(vm: VmRecord) -> tuple[VolumeKey, ...]:
    """Return the keys of all volumes that go with *vm*, those that it has lost before included."""
    if not vm.volumes and vm.change is None:
        return ()  # as most have it
    present = (key_of(vm, each) for each in vm.volumes if each.want.is_ephemeral)
    return (*present, *deleted_with(vm))
