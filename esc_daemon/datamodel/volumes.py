"""Volumes of VM groups and tenants: how they are read, which go together, what opdata says."""

from collections.abc import Callable
from typing import Final

from lxml import etree

from esc_daemon.datamodel.markup import inner, leaf
from esc_daemon.datamodel.objection import Objection
from esc_daemon.datamodel.shape import ABSENT, Leaf, Made, Shape, steps, text_at
from esc_daemon.domain.ids import Kind
from esc_daemon.domain.intent import GroupVolume, TenantVolume, VmGroup
from esc_daemon.domain.record import VmRecord
from esc_daemon.domain.volume_record import VolumeRecord

_MIB_A_GIB: Final = 1024
_MIB: Final = {
    unit: _MIB_A_GIB**power for power, unit in enumerate(("MiB", "GiB", "TiB", "PiB", "EiB"))
}


def _size(volume: etree._Element) -> object:
    """Return the size in whole GiB, as VIMs have it; a part of one counts as one."""
    size = text_at(volume, "size")
    if size is None:
        return ABSENT
    mib = int(size) * _MIB[text_at(volume, "sizeunit") or "GiB"]
    return -(-mib // _MIB_A_GIB)


GROUP_VOLUME: Final = Shape(
    GroupVolume,
    {
        "name": Leaf("name"),
        "volid": Leaf("volid", int),
        "size_gib": Made(("size", "sizeunit"), _size),
        "bus": Leaf("bus"),
        "type": Leaf("type"),
        "image": Leaf("image"),
        "boot_index": Leaf("boot_index", int),
        "device_type": Leaf("device_type"),
    },
)


TENANT_VOLUME: Final = Shape(
    TenantVolume,
    {
        "name": Leaf("name"),
        "size_gib": Made(("size", "sizeunit"), _size),
        "type": Leaf("type"),
        "image": Leaf("image"),
    },
)


def check_tenant_volume(kind: Kind, element: etree._Element) -> None:
    """
    Refuse a volume of a tenant that nobody could make.

    Raises:
        Objection: It has no size.

    """
    if kind is Kind.VOLUME and text_at(element, "size") is None:
        raise Objection(
            element, "a volume of a tenant has a size: one that is there already needs no entry"
        )


def check_volumes(group: VmGroup, element: etree._Element) -> None:
    """
    Refuse volumes that no server can have together.

    Raises:
        Objection: Two with one volid, or with one place in the order of boot devices; or an image
            for what is there already.

    """
    volumes = element.findall(steps("volumes/volume"))
    for volume, at in zip(group.volumes, volumes, strict=True):
        image = at.find(steps("image"))
        if image is not None and not volume.is_ephemeral:
            raise Objection(
                image,
                f"volume {volume.name} has no size, so it is there already and nothing is filled "
                "from an image: give it a size, or take the image away",
            )
    _check_alone(group, volumes, "volid", lambda each: each.volid)
    _check_alone(group, volumes, "boot_index", _place)


def _place(volume: GroupVolume) -> int | None:
    """-1 is never booted from, and any number of volumes may say so."""
    return None if volume.boot_index == -1 else volume.boot_index


def _check_alone(
    group: VmGroup,
    elements: list[etree._Element],
    leaf: str,
    value_of: Callable[[GroupVolume], int | None],
) -> None:
    first: dict[int, str] = {}
    for volume, at in zip(group.volumes, elements, strict=True):
        value = value_of(volume)
        if value is None:
            continue
        if value in first:
            found = at.find(steps(leaf))
            assert found is not None
            raise Objection(found, f"volume {first[value]} has {leaf} {value} already")
        first[value] = volume.name


def volumes(vm: VmRecord) -> str:
    """Return the ``volumes`` of a VM; nothing where it has none."""
    if not vm.volumes:
        return ""
    return inner("volumes", *(_volume(each) for each in vm.volumes))


def _volume(volume: VolumeRecord) -> str:
    want = volume.want
    return inner(
        "volume",
        leaf("name", want.name),
        leaf("volid", want.volid),
        leaf("volume_id", volume.volume_id),
        leaf("size", want.size_gib),
        leaf("sizeunit", "GiB") if want.is_ephemeral else "",
        leaf("bus", want.bus),
        leaf("type", want.type),
        leaf("boot_index", want.boot_index),
    )
