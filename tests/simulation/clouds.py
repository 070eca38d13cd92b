"""The clouds of the simulation, each behind a way of its own, and what is in them."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from random import Random
from typing import Any, TypeVar

from esc_daemon.domain.ids import ServerKey, VimId, VmId
from esc_daemon.vim.simulator.cloud import Cloud
from esc_daemon.vim.simulator.driver import SimulatorDriver
from esc_daemon.vim.simulator.rows import (
    NetworkRow,
    PortRow,
    ProjectRow,
    Row,
    ServerRow,
    SubnetRow,
)
from esc_daemon.vim.simulator.settings import CloudSettings
from tests.simulation.network import LossyVim, Weather

NEAR, FAR = VimId("sim"), VimId("far")
"""The first connector, and one that comes and goes."""
OURS = ServerRow | PortRow | SubnetRow | NetworkRow | ProjectRow

RowT = TypeVar("RowT", bound=Row)


class Clouds:
    """One cloud for each connector that there may be; they know nothing of each other."""

    def __init__(self, settings: CloudSettings, random: Random, now: Callable[[], float]) -> None:
        self.vims: dict[VimId, LossyVim] = {}
        for number, vim in enumerate((NEAR, FAR)):
            cloud = Cloud(replace(settings, seed=settings.seed * 2 + number))
            self.vims[vim] = LossyVim(SimulatorDriver(cloud, vim=vim, now=now), random)

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

    def silence(self, random: Random) -> None:
        """Let a guest stop answering, perhaps before anybody saw it alive."""
        if there := [(vim, row) for vim, row in self.rows(ServerRow) if row.gone_at is None]:
            vim, row = random.choice(there)
            self.vims[vim].cloud.cloud.silence(row.key)

    def doubled(self) -> list[ServerKey]:
        """Return the servers that were made twice."""
        return [key for vim in self.vims.values() for key in vim.doubled]

    def made(self) -> dict[VmId, float]:
        """Return when (loop time) each VM got its server."""
        return {vm: at for vim in self.vims.values() for vm, at in vim.made.items()}

    def remains(self) -> list[Any]:
        """Return what of ours is left, and quota that is still used."""
        rows = [row for _, row in self.rows(OURS) if row.key is not None]
        usages = (vim.cloud.cloud.projects.usage for vim in self.vims.values())
        used = [
            (name, use)
            for usage in usages
            for name, use in usage.items()
            if use.servers or use.ports or use.cores
        ]
        return [*rows, *used]
