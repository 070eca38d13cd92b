"""A volume of a VM, as it is."""

from dataclasses import dataclass

from esc_daemon.domain.changed import quick
from esc_daemon.domain.intent import GroupVolume


@quick
@dataclass(kw_only=True, slots=True, frozen=True)
class VolumeRecord:
    """
    A volume that a VM has, or is to have.

    *want* is what was asked for when the VM got it, *number* is that of its `VolumeKey`.
    *volume_id* is None until the VIM has told it.
    """

    want: GroupVolume
    number: int = 0
    volume_id: str | None = None
