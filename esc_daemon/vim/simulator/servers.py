"""Servers: where they run, how they boot, what their guests say."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from enum import StrEnum
from hashlib import sha224
from heapq import heappop, heappush
from typing import Final

from esc_daemon.domain.ids import PortKey, ServerKey, VmId, VolumeKey
from esc_daemon.domain.specs import (
    Port,
    Power,
    Server,
    ServerFile,
    ServerSpec,
    ServerStatus,
    VimMetric,
    VolumeSpec,
)
from esc_daemon.vim.base import VimRefused, VimUnknown
from esc_daemon.vim.simulator.catalogue import Catalogue
from esc_daemon.vim.simulator.fates import Fates
from esc_daemon.vim.simulator.ledger import MOMENT, Ledger
from esc_daemon.vim.simulator.ports import Ports
from esc_daemon.vim.simulator.projects import Projects
from esc_daemon.vim.simulator.rows import Row, ServerRow
from esc_daemon.vim.simulator.settings import CloudSettings
from esc_daemon.vim.simulator.volumes import Volumes, view

_CONSOLE_LINES: Final = 200
DELETING: Final = "deleting"
MAX_FILES: Final = 2 << 20
"""Bytes of all files of a server together: they stand in the state file and on the wire."""


ORDINARY: Final[Mapping[VimMetric, float]] = {
    VimMetric.CPU: 50.0,
    VimMetric.MEMORY: 50.0,
    VimMetric.NETWORK: 1e6,
}
"""The load of a server of which no rule says another one: neither high nor low."""


class GuestState(StrEnum):
    """How a guest is: *down* is not booted, off, or on a host that is down."""

    ANSWERS = "answers"
    SILENT = "silent"
    DOWN = "down"


class Servers:
    """The servers of one cloud and the hosts they run on."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        settings: CloudSettings,
        projects: Projects,
        catalogue: Catalogue,
        ports: Ports,
        volumes: Volumes,
        fates: Fates,
    ) -> None:
        self._ledger = ledger
        self._settings = settings
        self._projects = projects
        self._catalogue = catalogue
        self._ports = ports
        self._volumes = volumes
        self._fates = fates
        self._by_key: dict[ServerKey, ServerRow] = {}
        self._rows: dict[str, ServerRow] = {}
        self._latest: dict[VmId, ServerRow] = {}
        self._dying: list[tuple[float, str]] = []
        self._listed: tuple[float, list[tuple[int, Server]]] | None = None
        self._loads = [0] * settings.hosts
        self.hosts = tuple(
            (sha224(f"{settings.seed} {number}".encode()).hexdigest(), f"sim-host-{number}")
            for number in range(1, settings.hosts + 1)
        )
        """Id (56 hexadecimal digits, as Nova's) and name of each host."""

    def restore(self, row: Row) -> None:
        """Take over a row if it is one of these."""
        if isinstance(row, ServerRow):
            # The state file may come from a cloud with more hosts.
            row.host %= len(self.hosts)
            self._add(row)
            if row.gone_at is not None:
                heappush(self._dying, (row.gone_at, row.id))

    def _add(self, row: ServerRow) -> None:
        self._rows[row.id] = row
        self._by_key[row.key] = row
        self._latest[row.key.vm] = row
        self._loads[row.host] += 1
        for port_id in row.ports:
            self._ports.bound[port_id] = row.id
        self._volumes.bound |= {each: row.id for each in row.volumes if each in self._volumes.rows}
        usage = self._projects.usage[row.project]
        usage.servers += 1
        usage.cores += row.cores

    def settle(self, now: float) -> None:
        """Let go of the servers whose deletion has come to its end."""
        while self._dying and self._dying[0][0] <= now + MOMENT:
            row = self._rows.get(heappop(self._dying)[1])
            if row is not None:  # else it vanished meanwhile
                self.drop(row)

    def drop(self, row: ServerRow) -> None:
        """Let go of a server at once; its ports stay."""
        del self._rows[row.id], self._by_key[row.key]
        if self._latest.get(row.key.vm) is row:
            del self._latest[row.key.vm]
        self._loads[row.host] -= 1
        for port_id in row.ports:
            if self._ports.bound.get(port_id) == row.id:
                del self._ports.bound[port_id]
        for volume_id in row.volumes:
            if self._volumes.bound.get(volume_id) == row.id:
                del self._volumes.bound[volume_id]
        usage = self._projects.usage[row.project]
        usage.servers -= 1
        usage.cores -= row.cores
        self._ledger.drop(row)

    def name_of(self, vm: VmId) -> str:
        """Return the name of the VM's latest server; empty where it has none."""
        row = self._latest.get(vm)
        return "" if row is None else row.name

    def ensure(
        self, key: ServerKey, want: ServerSpec, ports: tuple[Port, ...], now: float
    ) -> Server:
        """
        Return the server with *key*, made if need be.

        Raises:
            VimRefused: Quota, something missing from the catalogue, a port that is not there or
                is plugged in elsewhere, too many bytes of files, no host.
            VimUnknown: The server is being deleted; ask again when it is gone.

        """
        row = self._by_key.get(key)
        if row is not None:
            if row.gone_at is not None:
                raise VimUnknown(f"server {row.name} ({row.id}) is being deleted: look again")
            return self.view(row, now)
        self._check_ports(key, ports)
        _check_files(want)
        volumes = {self._volumes.check_free(each): each for each in want.volumes}
        self._catalogue.check_image(want.image)
        cores = self._catalogue.cores(want.flavor)
        project = self._projects.resolve(want.project)
        self._projects.allow(project, servers=1, cores=cores)
        host = self._place(want.name)
        fate = self._fates.of_build(want.name, key.vm, now)
        built_at = now + self._settings.build_seconds + fate.longer
        row = ServerRow(
            id=self._ledger.new_id(),
            serial=self._ledger.serial(),
            key=key,
            name=want.name,
            project=project,
            cores=cores,
            flavor=want.flavor,
            host=host,
            built_at=built_at,
            boots_at=built_at,
            ports=[port.port_id for port in ports],
            fault=fate.error,
            console=[(now, f"building {want.name} on {self.hosts[host][1]}")],
            files=want.files,
            volumes={volume_id: each.key for volume_id, each in volumes.items()},
            root=next((id_ for id_, each in volumes.items() if each.boot_index == 0), ""),
        )
        row.console.extend((built_at, f"day-0 file {file.dst}") for file in want.files)
        if not row.fault:
            self._boot(row, built_at)
        self._add(row)
        self._ledger.put(row)
        return self.view(row, now)

    def check(self, want: ServerSpec, vm: VmId | None) -> None:
        """Look whether the server of *vm* could be made; VimRefused as `ensure`."""
        for port in want.ports:
            self._ports.check(port)
        self._catalogue.check_image(want.image)
        cores = self._catalogue.cores(want.flavor)
        if vm not in self._latest:
            project = self._projects.resolve(want.project)
            self._projects.allow(project, servers=1, cores=cores, ports=len(want.ports))
        self._place(want.name)

    def _check_ports(self, key: ServerKey, ports: tuple[Port, ...]) -> None:
        for port in ports:
            if self._ports.view(port.port_id) is None or port.key.vm != key.vm:
                raise VimRefused(f"port {port.port_id} of VM {key.vm} does not exist")
            if port.port_id in self._ports.bound:
                raise VimRefused(
                    f"port {port.port_id} of VM {key.vm} is plugged into server "
                    f"{self._ports.bound[port.port_id]}: remove that first"
                )

    def _place(self, name: str) -> int:
        down = self._ledger.counters.hosts_down
        up = [number for number in range(len(self._loads)) if number not in down]
        if not up:
            raise VimRefused(f"no host is up for server {name}")
        return min(up, key=self._loads.__getitem__)

    def _boot(self, row: ServerRow, at: float) -> None:
        row.boots_at = at + self._settings.boot_seconds
        fate = self._fates.of_boot(row.name, row.key.vm, row.boots_at)
        root = self._volumes.rows.get(row.root)
        if row.root and root is None:  # it has vanished
            fate = replace(fate, silent=True)
        row.silent, row.off_at = fate.silent, fate.off_at
        row.quiet_from, row.quiet_until = fate.quiet_from, fate.quiet_until
        _say(row, at, f"booting from {root.content}" if root else "booting")
        if not row.silent:
            _say(row, row.boots_at, f"{row.name} login:")

    def status(self, row: ServerRow, now: float) -> ServerStatus:
        """Return the status in Nova's words."""
        if now + MOMENT < row.built_at:
            return ServerStatus.BUILD
        if row.fault:
            return ServerStatus.ERROR
        is_on = row.on and (row.off_at is None or now + MOMENT < row.off_at)
        return ServerStatus.ACTIVE if is_on else ServerStatus.SHUTOFF

    def view(self, row: ServerRow, now: float) -> Server:
        """Return the server as the VIM shows it at *now*."""
        status = self.status(row, now)
        host_id, hostname = self.hosts[row.host]
        fault = row.fault if status is ServerStatus.ERROR else ""
        views = [self._ports.view(port_id) for port_id in row.ports]
        return Server(
            key=row.key,
            server_id=row.id,
            name=row.name,
            project=row.project,
            status=status,
            host_id=host_id,
            hostname=hostname,
            fault=fault if row.gone_at is None else DELETING,
            ports=tuple([port for port in views if port is not None]),
            volumes=tuple(
                view(volume, key)
                for volume_id, key in row.volumes.items()
                if (volume := self._volumes.rows.get(volume_id)) is not None
            ),
        )

    def find(self, key: ServerKey, now: float) -> Server | None:
        """Return the server as it is at *now*, also while it is being deleted."""
        row = self._by_key.get(key)
        return None if row is None else self.view(row, now)

    def remove(self, key: ServerKey, now: float) -> float | None:
        """Begin to delete; return the moment at which it will be gone (None: it is not there)."""
        row = self._by_key.get(key)
        if row is None:
            return None
        if row.gone_at is None:
            row.gone_at = now + self._settings.delete_seconds
            _say(row, now, "deleting")
            heappush(self._dying, (row.gone_at, row.id))
            self._ledger.put(row)
            self.settle(now)
        return row.gone_at

    def attach(self, key: ServerKey, port: Port, now: float) -> None:
        """Plug the port in; VimRefused and VimUnknown as VimDriver says."""
        row = self._built(key, now)
        if self._ports.bound.get(port.port_id) != row.id:
            self._check_ports(key, (port,))
            self._ports.bound[port.port_id] = row.id
            row.ports = [*row.ports, port.port_id]
            self._ledger.put(row)

    def detach(self, key: ServerKey, port: PortKey, port_id: str | None) -> None:
        """Unplug and remove the port, *port_id* alone where that is given."""
        there = self._ports.find(port)
        if there is None or port_id not in {None, there}:
            return
        row = self._by_key.get(key)
        if row is not None and there in row.ports:
            row.ports = [each for each in row.ports if each != there]
            self._ledger.put(row)
        self._ports.remove_one(port)

    def attach_volume(self, key: ServerKey, volume: VolumeSpec, now: float) -> None:
        """Attach the volume; VimRefused and VimUnknown as VimDriver says."""
        row = self._built(key, now)
        if volume.volume_id and self._volumes.bound.get(volume.volume_id) == row.id:
            return
        volume_id = self._volumes.check_free(volume)
        self._volumes.bound[volume_id] = row.id
        row.volumes = {**row.volumes, volume_id: volume.key}
        self._ledger.put(row)

    def detach_volume(self, key: ServerKey, volume: VolumeKey, volume_id: str | None) -> None:
        """Detach the volume, *volume_id* alone where that is given; VimRefused for the root."""
        row = self._by_key.get(key)
        if row is None:
            return
        gone = [
            each
            for each, held in row.volumes.items()
            if held == volume and volume_id in {None, each}
        ]
        for each in gone:
            if each == row.root:
                raise VimRefused(f"server {row.name} ({row.id}) boots from volume {each}")
            if self._volumes.bound.get(each) == row.id:
                del self._volumes.bound[each]
            row.volumes = {id_: held for id_, held in row.volumes.items() if id_ != each}
            self._ledger.put(row)

    def exchange_root(self, key: ServerKey, volume: VolumeSpec, now: float) -> None:
        """Boot it from *volume* in the place of its root; VimRefused, VimUnknown as VimDriver."""
        row = self._built(key, now)
        if not row.root:
            raise VimRefused(f"server {row.name} ({row.id}) boots from no volume")
        if row.root != volume.volume_id:
            new, old = self._volumes.check_free(volume), row.root
            if self._volumes.bound.get(old) == row.id:
                del self._volumes.bound[old]
            self._volumes.bound[new] = row.id
            rest = {id_: held for id_, held in row.volumes.items() if id_ != old}
            row.volumes, row.root = {new: volume.key, **rest}, new
            if self.status(row, now) is ServerStatus.ACTIVE:
                self._boot(row, now)
            self._ledger.put(row)

    def resize(self, key: ServerKey, flavor: str | None, now: float) -> None:
        """Give the server another flavor and boot it; VimRefused, VimUnknown as VimDriver says."""
        row = self._built(key, now)
        if row.flavor == flavor:
            return
        more = self._catalogue.cores(flavor) - row.cores
        self._projects.allow(row.project, cores=max(0, more))
        self._projects.usage[row.project].cores += more
        row.cores += more
        row.flavor = flavor
        _say(row, now, f"resized to {flavor}")
        if self.status(row, now) is ServerStatus.ACTIVE:
            self._boot(row, now)
        self._ledger.put(row)

    def _built(self, key: ServerKey, now: float) -> ServerRow:
        """Return the server's row; VimRefused where there is none that could be changed."""
        row = self.row(key)
        status = self.status(row, now)
        if status is ServerStatus.BUILD:
            raise VimUnknown(f"server {row.name} ({row.id}) is in BUILD: look again")
        if status is ServerStatus.ERROR:
            raise VimRefused(f"server {row.name} ({row.id}) is in ERROR: {row.fault}")
        return row

    def set_power(self, key: ServerKey, power: Power, now: float) -> None:
        """Switch; VimRefused where there is no server, VimUnknown while it is being built."""
        row = self._built(key, now)
        row.on = self.status(row, now) is ServerStatus.ACTIVE  # it may have gone off by itself
        if power is Power.OFF and row.on:
            row.on, row.off_at = False, None
            _say(row, now, "power off")
        elif power is Power.HARD_REBOOT or (power is Power.ON and not row.on):
            row.on = True
            self._boot(row, now)
        self._ledger.put(row)

    def row(self, key: ServerKey) -> ServerRow:
        """Return the living server's row; VimRefused where there is none."""
        row = self._by_key.get(key)
        if row is None or row.gone_at is not None:
            raise VimRefused(f"VM {key.vm} has no server of generation {key.generation}")
        return row

    def guest(self, key: ServerKey, address: str, now: float) -> bool:
        """Return whether the guest answers at *address*."""
        row = self._by_key.get(key)
        if row is None or self.guest_state(row, now) is not GuestState.ANSWERS:
            return False
        views = (self._ports.view(port_id) for port_id in row.ports)
        held = (each for port in views if port is not None for each in port.addresses)
        return any(each.ip_address == address for each in held)

    def guest_state(self, row: ServerRow, now: float) -> GuestState:
        """Return how the guest is at *now*."""
        if row.gone_at is not None or now + MOMENT < row.boots_at:
            return GuestState.DOWN
        if self.status(row, now) is not ServerStatus.ACTIVE:
            return GuestState.DOWN
        if row.host in self._ledger.counters.hosts_down:
            return GuestState.DOWN
        silent = row.silent or _is_quiet(row, now)
        return GuestState.SILENT if silent else GuestState.ANSWERS

    def load(self, key: ServerKey, metric: VimMetric, now: float) -> float | None:
        """Return what the server has of *metric*, None where it does not run."""
        row = self._by_key.get(key)
        if row is None or self.guest_state(row, now) is GuestState.DOWN:
            return None
        given = self._fates.load(metric, row.name, row.key.vm, now)
        return ORDINARY[metric] if given is None else given

    def set_silent(self, key: ServerKey, silent: bool) -> None:  # noqa: FBT001 - the state itself
        """Make the guest fall silent until its next boot, or speak again."""
        row = self.row(key)
        row.silent = silent
        row.quiet_from = row.quiet_until = None
        self._ledger.put(row)

    def set_host(self, hostname: str, up: bool) -> None:  # noqa: FBT001 - the state itself
        """Take a host down with all its guests, or bring it back; VimRefused if unknown."""
        names = [name for _, name in self.hosts]
        if hostname not in names:
            raise VimRefused(f"there is no host {hostname}; there are {', '.join(names)}")
        down = set(self._ledger.counters.hosts_down) - {names.index(hostname)}
        self._ledger.counters.hosts_down = sorted(down if up else down | {names.index(hostname)})
        self._ledger.put(self._ledger.counters)

    def hosts_up(self) -> dict[str, bool]:
        """Return whether each host is up, by its name."""
        down = self._ledger.counters.hosts_down
        return {name: number not in down for number, (_, name) in enumerate(self.hosts)}

    def console(self, key: ServerKey, now: float) -> Iterator[str]:
        """Iterate over the lines of the server's console up to *now*."""
        row = self._by_key.get(key)
        for at, line in row.console if row is not None else ():
            if at <= now + MOMENT:
                yield line

    def files(self, key: ServerKey) -> tuple[ServerFile, ...]:
        """Return what the guest finds at its first boot; empty without a server."""
        row = self._by_key.get(key)
        return () if row is None else row.files

    def page(self, after: int, size: int, now: float) -> tuple[list[Server], int]:
        """
        Return up to *size* servers of the list, and the number to give as *after* for the next.

        Begins with 0 and ends with an empty list. The list may be stale; what stands in it
        throughout is in one of its pages whatever comes and goes between them.
        """
        if self._settings.stale_seconds <= 0:
            rows = [row for row in self._rows.values() if row.serial > after][:size]
            return [self.view(row, now) for row in rows], rows[-1].serial if rows else after
        if self._listed is None or now - self._listed[0] > self._settings.stale_seconds:
            self._listed = (
                now,
                [(row.serial, self.view(row, now)) for row in self._rows.values()],
            )
        found = [entry for entry in self._listed[1] if entry[0] > after][:size]
        return [server for _, server in found], found[-1][0] if found else after


def _is_quiet(row: ServerRow, now: float) -> bool:
    if row.quiet_from is None or now + MOMENT < row.quiet_from:
        return False
    return row.quiet_until is None or now + MOMENT < row.quiet_until


def _check_files(want: ServerSpec) -> None:
    size = sum(len(file.text.encode()) for file in want.files)
    if size > MAX_FILES:
        raise VimRefused(f"server {want.name}: {size} bytes of files, the limit is {MAX_FILES}")


def _say(row: ServerRow, at: float, line: str) -> None:
    """Add a line; what was still to come is taken back."""
    kept = [entry for entry in row.console if entry[0] <= at]
    row.console = [*kept, (at, line)][-_CONSOLE_LINES:]
