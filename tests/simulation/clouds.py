"""The clouds of the simulation, each behind a way of its own, and what is in them."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from random import Random
from typing import Any, TypeVar

from esc_daemon.domain.ids import Key, Kind, ServerKey, VimId, VmId, VolumeKey
from esc_daemon.engine.volumes import key_of_tenant
from esc_daemon.vim.base import VimError
from esc_daemon.vim.simulator.cloud import Cloud
from esc_daemon.vim.simulator.driver import SimulatorDriver
from esc_daemon.vim.simulator.faults import Rule
from esc_daemon.vim.simulator.rows import (
    Mortal,
    NetworkRow,
    PortRow,
    ProjectRow,
    Row,
    ServerRow,
    SubnetRow,
    VolumeRow,
)
from esc_daemon.vim.simulator.settings import CloudSettings
from tests.simulation.network import LossyVim, LossyVimAtHand, Weather

NEAR, FAR = VimId("sim"), VimId("far")
"""The first connector, and one that comes and goes."""
OURS = ServerRow | PortRow | VolumeRow | SubnetRow | NetworkRow | ProjectRow

RowT = TypeVar("RowT", bound=Row)


def _vanishing(driver: SimulatorDriver, row: Mortal) -> Callable[[float], None]:
    return lambda _: driver.cloud.vanish(row.id)


class Clouds:
    """One cloud for each connector that there may be; they know nothing of each other."""

    def __init__(self, settings: CloudSettings, random: Random, now: Callable[[], float]) -> None:
        self.vims: dict[VimId, LossyVim] = {}
        self.lost: set[ServerKey] = set()
        """Servers that went though nobody removed them."""
        self.vanished: set[str | VolumeKey] = set()
        """Volumes that went so: the ids, and the keys, or the names of those not made by us."""
        self.vanished_ports: set[str] = set()
        """The ids of ports that nobody removed, alone or with their networks."""
        self.switched: set[ServerKey] = set()
        """Servers that somebody switched off or on by hand."""
        self._rules: Sequence[Rule] = ()
        self._loads: Sequence[Rule] = ()
        for number, vim in enumerate((NEAR, FAR)):
            cloud = Cloud(replace(settings, seed=settings.seed * 2 + number))
            self._note_losses(cloud)
            kind = LossyVimAtHand if random.random() < 0.5 else LossyVim
            self.vims[vim] = kind(SimulatorDriver(cloud, vim=vim, now=now), random)

    def _note_losses(self, cloud: Cloud) -> None:
        drop = cloud.servers.drop

        def noted(row: ServerRow) -> None:
            if row.gone_at is None:
                self.lost.add(row.key)
            drop(row)

        cloud.servers.drop = noted  # type: ignore[method-assign]
        take = cloud._vanishing._take

        def noted_port(row: Row) -> None:
            if isinstance(row, PortRow):
                self.vanished_ports.add(row.id)
            take(row)

        cloud._vanishing._take = noted_port  # type: ignore[method-assign]
        let_go, remove = cloud.volumes.drop, cloud.volumes.remove
        asked: list[VolumeKey] = []

        def noted_volume(row: VolumeRow) -> None:
            if row.key not in asked:
                self.vanished |= {row.id, row.name if row.key is None else row.key}
            let_go(row)

        def noted_removal(key: VolumeKey) -> None:
            asked.append(key)
            try:
                remove(key)
            finally:
                asked.clear()

        cloud.volumes.drop = noted_volume  # type: ignore[method-assign]
        cloud.volumes.remove = noted_removal  # type: ignore[method-assign]

    def play(self, rules: Sequence[Rule]) -> None:
        """Put *rules* in force in all of them, and no others; their loads stay."""
        self._rules = rules
        for vim in self.vims.values():
            vim.cloud.cloud.faults.replace((*rules, *self._loads))

    def load(self, loads: Sequence[Rule]) -> None:
        """Let the servers of all of them have these *loads*, and no others."""
        self._loads = loads
        self.play(self._rules)

    def weather(self, weather: Weather) -> None:
        """Let *weather* come over all of them."""
        for vim in self.vims.values():
            vim.weather = weather

    def rows(self, kind: Any) -> Iterator[tuple[VimId, Any]]:
        """Yield what of *kind* there is, with its place."""
        for name, vim in self.vims.items():
            for row in vim.cloud.cloud.rows():
                if isinstance(row, kind):
                    yield name, row

    def servers(self) -> Iterator[tuple[VimId, ServerRow]]:
        """Yield the servers, with their places."""
        return self.rows(ServerRow)

    def silence(self, random: Random) -> None:
        """Let a guest stop answering, perhaps before anybody saw it alive, or answer again."""
        if there := [(vim, row) for vim, row in self.rows(ServerRow) if row.gone_at is None]:
            vim, row = random.choice(there)
            cloud = self.vims[vim].cloud.cloud
            (cloud.wake if row.silent else cloud.silence)(row.key)

    def mischief(self, random: Random) -> None:
        """Somebody switches a server off or on, or takes something away, behind our back."""
        roll = random.random()
        kind = ServerRow if roll < 0.6 else OURS
        there = [
            (vim, row) for vim, row in self.rows(kind) if getattr(row, "gone_at", 0) in (None, 0)
        ]
        if not there:
            return
        vim, row = random.choice(there)
        driver = self.vims[vim].cloud

        def act(now: float) -> None:
            if roll >= 0.4:
                driver.cloud.vanish(row.id)
                return
            self.switched.add(row.key)
            if row.on:
                driver.cloud.power_off(row.key, now)
            else:
                driver.cloud.power_on(row.key, now)

        with suppress(VimError):  # it is being built, or has vanished just now
            driver.by_hand(act)

    def doubled(self) -> list[ServerKey | VolumeKey]:
        """Return the servers and the volumes that were made twice."""
        return [key for vim in self.vims.values() for key in vim.doubled]

    def hurried(self) -> list[str]:
        """Return the calls that were made again and again without a pause."""
        return [each for vim in self.vims.values() for each in vim.hurried]

    def overtaken(self) -> list[str]:
        """Return the switches that were asked for while another one was still on its way."""
        return [each for vim in self.vims.values() for each in vim.overtaken]

    def made(self) -> dict[VmId, float]:
        """Return when (loop time) each VM got its first server, wherever that was."""
        made: dict[VmId, float] = {}
        for vim in self.vims.values():
            made |= {vm: min(at, made.get(vm, at)) for vm, at in vim.made.items()}
        return made

    def last_removal(self, vim: VimId, about: ServerKey | Key) -> float:
        """Return when (loop time) *vim* was asked last to remove it, and -1 for never."""
        verb = f"remove_{about.kind}" if isinstance(about, Key) else "remove_server"
        return self.vims[vim].asked_last(verb, _in_a_cloud(about))

    def tidy(self, purged: Collection[tuple[VimId, ServerKey | Key]]) -> None:
        """Let the operator take away by hand what nobody knows of, with its ports and volumes."""
        vms = {(vim, about.vm) for vim, about in purged if isinstance(about, ServerKey)}
        gone = in_the_clouds(purged)
        for vim, row in list(self.rows(OURS)):
            driver = self.vims[vim].cloud
            of_a_vm = (isinstance(row, PortRow) and (vim, row.key.vm) in vms) or (
                isinstance(row, VolumeRow) and row.key and (vim, row.key.owner) in vms
            )
            there = driver.cloud.row(row.id) is not None  # not gone with another
            if there and (of_a_vm or (vim, row.key) in gone):
                driver.by_hand(_vanishing(driver, row))

    def host_goes(self, random: Random) -> None:
        """Take a host down with the guests on it, or bring one back."""
        cloud = self.vims[random.choice([NEAR, FAR])].cloud.cloud
        host, is_up = random.choice(list(cloud.servers.hosts_up().items()))
        (cloud.host_down if is_up else cloud.host_up)(host)

    def all_hosts_up(self) -> None:
        """Bring every host back."""
        for vim in self.vims.values():
            for host, is_up in vim.cloud.cloud.servers.hosts_up().items():
                if not is_up:
                    vim.cloud.cloud.host_up(host)

    def remains(self) -> list[Any]:
        """Return what of ours is left, and quota that is still used."""
        rows = [row for _, row in self.rows(OURS) if row.key is not None]
        usages = (vim.cloud.cloud.projects.usage for vim in self.vims.values())
        used = [
            (name, use)
            for usage in usages
            for name, use in usage.items()
            if use.servers or use.ports or use.cores or use.volumes or use.gigabytes
        ]
        return [*rows, *used]


def in_the_clouds(
    purged: Collection[tuple[VimId, ServerKey | Key]],
) -> set[tuple[VimId, ServerKey | Key | VolumeKey]]:
    """Return by which keys the clouds have what is *purged*."""
    return {(vim, _in_a_cloud(about)) for vim, about in purged}


def _in_a_cloud(about: ServerKey | Key) -> ServerKey | Key | VolumeKey:
    if isinstance(about, Key) and about.kind is Kind.VOLUME:
        return key_of_tenant(about)
    return about
