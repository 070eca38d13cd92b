"""The volumes of a VIM of dicts."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from esc_daemon.domain.commands import EnsureServer, RemoveServer, UpdateServer
from esc_daemon.domain.ids import ServerKey, VolumeKey
from esc_daemon.domain.specs import ServerSpec, Volume, VolumeSpec


def root_of(spec: ServerSpec) -> VolumeKey | None:
    """Return the volume that the guest boots from; None: from its image."""
    return next((each.key for each in spec.volumes if each.boot_index == 0), None)


@dataclass
class FakeVolumes:
    """
    What was made for VMs, by key, and what each server has; what is out-of-band is always there.

    A volume that a server has is never deleted, and no other server gets it: whoever tries has
    made a mistake.
    """

    made: dict[VolumeKey, str] = field(default_factory=dict)
    had: dict[ServerKey, dict[VolumeKey, Volume]] = field(default_factory=dict)
    number: int = 0

    def of(self, server: ServerKey) -> tuple[Volume, ...]:
        return tuple(self.had.get(server, {}).values())

    def _ensured(self, want: VolumeSpec) -> Volume:
        if want.size_gib is None:
            return Volume(key=want.key, volume_id=want.volume_id or f"oob-{want.name}", name="")
        if want.key not in self.made:
            self.number += 1
            self.made[want.key] = f"volume-{self.number}"
        return Volume(key=want.key, volume_id=self.made[want.key], name=want.name)

    def attach(self, server: ServerKey, wanted: Iterable[VolumeSpec]) -> None:
        for want in wanted:
            volume = self._ensured(want)
            for other, theirs in self.had.items():
                taken = volume.volume_id in {each.volume_id for each in theirs.values()}
                assert other == server or not taken, "another server has it"
            self.had.setdefault(server, {})[want.key] = volume

    def delete(self, keys: Iterable[VolumeKey]) -> None:
        for key in keys:
            assert not any(key in theirs for theirs in self.had.values()), "a server has it"
            self.made.pop(key, None)

    def before(self, command: EnsureServer) -> None:
        """Do what comes before the server is asked for."""
        self.delete(command.deleted)
        for want in command.spec.volumes:
            self._ensured(want)

    def update(self, command: UpdateServer, *, there: bool) -> None:
        for key, volume_id in command.detached:
            volume = self.had.get(command.key, {}).get(key)
            if volume is not None and volume_id in {None, volume.volume_id}:
                del self.had[command.key][key]
        self.delete(command.deleted)
        if there:
            self.attach(command.key, command.spec.volumes)

    def remove(self, command: RemoveServer) -> None:
        self.had.pop(command.key, None)
        self.delete(command.volumes)
