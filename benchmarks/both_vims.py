"""The two simulated VIMs of the chaos campaign, which live on: what goes wrong and stands there."""

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from payloads import BASE, NAMESPACE
from processes import simulator
from shapes import FAR, NEAR
from standing import Clouded, Disk, Place, Plug, Server, nothing_left
from weather import FAULTS, Weather

from esc_daemon.vim.simulator.rows import ImageRow
from esc_daemon.vim.simulator.state import StateFile, read_rows

HABITS = (
    *("--build-seconds", "0.3", "--boot-seconds", "0.5", "--latency-seconds", "0.02"),
    "--image-content",
)

LOOK_SECONDS = 1.0


class Clouds:
    """A simulator for each VIM connector, with weather of its own and a state file in *folder*."""

    def __init__(self, folder: Path, kind: str, seed: int) -> None:
        self._kind = kind
        self._seed = seed
        faults = folder / "faults.toml"
        faults.write_text(FAULTS[kind])
        self._programs = {
            vim: simulator(
                folder,
                *(*HABITS, "--http-port", "0", "--faults-file", str(faults), "--seed", str(number)),
                name=vim,
            )
            for number, vim in enumerate((NEAR, FAR))
        }
        self._weather: dict[str, Weather] = {}
        self.disks: dict[Place, Disk] = {}
        """All volumes that ever were seen."""
        self._files = {vim: folder / f"{vim}.state" for vim in self._programs}

    async def start(self) -> None:
        for vim, program in self._programs.items():
            await program.start()
            self._weather[vim] = Weather(self._kind, f"{self._seed} {vim}", program.ports["http"])

    def port(self, vim: str) -> int:
        """Return where a connector reaches *vim*."""
        return self._programs[vim].ports["simulator"]

    async def blow(self, calm: asyncio.Event) -> None:
        """Let there be weather over both until there is *calm*."""
        weather = (weather.run(calm) for weather in self._weather.values())
        await asyncio.gather(*weather, self._watch(calm))

    async def _watch(self, calm: asyncio.Event) -> None:
        while not calm.is_set():
            await self.look()
            await asyncio.sleep(LOOK_SECONDS)

    async def clear(self) -> None:
        """Let no fault be played any more; every guest answers."""
        for weather in self._weather.values():
            await weather.clear()

    async def look(self) -> Clouded:
        """Return what stands in both."""
        there = {vim: await weather.cloud() for vim, weather in self._weather.items()}
        volumes = [_disk(vim, it) for vim, cloud in there.items() for it in cloud["volumes"]]
        self.disks |= {(each.vim, each.id): each for each in volumes}
        return Clouded(
            servers=[_server(vim, it) for vim, cloud in there.items() for it in cloud["servers"]],
            ports=[_port(vim, it) for vim, cloud in there.items() for it in cloud["ports"]],
            volumes=volumes,
        )

    def images(self) -> list[ImageRow]:
        """Return the images of the first one, where those of the configuration are."""
        path = self._files[NEAR]
        rows, _ = read_rows(path.read_bytes(), path)
        return [row for row in rows if isinstance(row, ImageRow)]

    @property
    def done(self) -> Counter[str]:
        """What was done by hand in both, and how often."""
        return sum((weather.done for weather in self._weather.values()), Counter[str]())

    async def stop(self) -> None:
        for vim, program in self._programs.items():
            await self._weather[vim].close()
            await program.stop()

    def remains(self) -> Iterator[str]:
        """Yield what is left in their state files, once they have stopped."""
        for vim, path in self._files.items():
            with StateFile(path) as state:
                yield from (f"{vim}: {fault}" for fault in nothing_left(state.rows))

    def kill(self) -> None:
        for program in self._programs.values():
            program.kill()


def _server(vim: str, it: Mapping[str, Any]) -> Server:
    return Server(vim=vim, id=it["id"], name=it["name"], vm=it["vm"], guest=it["guest"])


def _port(vim: str, it: Mapping[str, Any]) -> Plug:
    return Plug(vim=vim, vm=it["vm"], nicid=it["nicid"], network=it["network"], server=it["server"])


def _disk(vim: str, it: Mapping[str, Any]) -> Disk:
    return Disk(
        vim=vim,
        id=it["id"],
        name=it["name"],
        owner=it["vm"],
        ours=it["ours"],
        server=it["server"],
    )


def connector(port: int) -> str:
    """Return the connector of the second VIM, whose simulator serves at *port*."""
    return _connectors(
        f"<id>{FAR}</id><type>SIMULATOR</type><properties><property><name>address</name>"
        f"<value>127.0.0.1:{port}</value></property></properties>"
    )


def without_connector() -> str:
    """Return its removal, which is refused while anything lives there."""
    return _connectors(f"<id>{FAR}</id>", ' nc:operation="delete"')


def _connectors(entry: str, operation: str = "") -> str:
    return (
        f'<esc_system_config xmlns="{NAMESPACE}" xmlns:nc="{BASE}"><vim_connectors><vim_connector'
        f"{operation}>{entry}</vim_connector></vim_connectors></esc_system_config>"
    )
