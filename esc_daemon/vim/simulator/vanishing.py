"""How something is gone from a simulated cloud without anybody having removed it."""

from collections.abc import Iterable, Sequence
from heapq import heappop, heappush

from esc_daemon.vim.base import VimRefused
from esc_daemon.vim.simulator.fates import Fates
from esc_daemon.vim.simulator.faults import Verb
from esc_daemon.vim.simulator.ledger import MOMENT, Ledger
from esc_daemon.vim.simulator.networks import Networks
from esc_daemon.vim.simulator.ports import Ports
from esc_daemon.vim.simulator.projects import Projects
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
from esc_daemon.vim.simulator.servers import Servers
from esc_daemon.vim.simulator.volumes import Volumes


class Vanishing:
    """What will vanish, and what goes with it: never is a port without its network left."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        fates: Fates,
        projects: Projects,
        networks: Networks,
        ports: Ports,
        volumes: Volumes,
        servers: Servers,
    ) -> None:
        self._ledger = ledger
        self._fates = fates
        self._projects = projects
        self._networks = networks
        self._ports = ports
        self._volumes = volumes
        self._servers = servers
        self._waiting: list[tuple[float, str]] = []

    def restore(self, row: Row) -> None:
        """Take over a row that was to vanish."""
        if isinstance(row, Mortal) and row.vanishes_at is not None:
            heappush(self._waiting, (row.vanishes_at, row.id))

    def draw(self, fresh: Iterable[Row], now: float) -> None:
        """Let the rules say when each of *fresh*, made at *now*, will vanish."""
        for row in fresh:
            if isinstance(row, Mortal) and row.id in self._ledger.rows:
                verb, names = self._made_by(row)
                row.vanishes_at = self._fates.vanishes_at(verb, names, now)
                if row.vanishes_at is not None:
                    self._ledger.put(row)
                    heappush(self._waiting, (row.vanishes_at, row.id))

    def _made_by(self, row: Mortal) -> tuple[Verb, Sequence[str]]:
        match row:
            case ServerRow():
                return Verb.ENSURE_SERVER, (row.name, row.key.vm)
            case PortRow():
                network = self._networks.rows[row.network_id].name
                names = (network, row.key.vm, self._servers.name_of(row.key.vm))
                return Verb.ENSURE_PORT, names
            case VolumeRow():
                return Verb.ENSURE_VOLUME, (row.name, row.key.owner if row.key else "")
            case SubnetRow():
                return Verb.ENSURE_SUBNET, (row.name,)
            case NetworkRow():
                return Verb.ENSURE_NETWORK, (row.name,)
            case ProjectRow():
                return Verb.ENSURE_TENANT, (row.name,)

    def settle(self, now: float) -> None:
        """Let go of what has vanished up to *now*."""
        while self._waiting and self._waiting[0][0] <= now + MOMENT:
            row = self._ledger.rows.get(heappop(self._waiting)[1])
            if row is not None:
                self._take(row)

    def at_once(self, row_id: str) -> None:
        """Let it vanish now; VimRefused where there is nothing with this id."""
        row = self._ledger.rows.get(row_id)
        if not isinstance(row, Mortal):
            raise VimRefused(f"there is nothing with the id {row_id} that could vanish")
        self._take(row)

    def _take(self, row: Row) -> None:
        match row:
            case ServerRow():
                self._servers.drop(row)
            case PortRow():
                self._ports.drop(row)
            case VolumeRow():
                self._volumes.drop(row)
            case SubnetRow():
                self._take_all(self._ports_of_subnet(row))
                self._networks.drop_subnet(row)
            case NetworkRow():
                self._take_all(
                    each
                    for each in self._ledger.rows.values()
                    if isinstance(each, PortRow) and each.network_id == row.id
                )
                self._networks.drop(row)
            case ProjectRow():
                for kind in (ServerRow, PortRow, VolumeRow, SubnetRow, NetworkRow):
                    self._take_all(
                        each
                        for each in self._ledger.rows.values()
                        if isinstance(each, kind) and each.project == row.id
                    )
                self._projects.drop(row)
            case _:
                pass

    def _take_all(self, rows: Iterable[Row]) -> None:
        for row in list(rows):
            if row.id in self._ledger.rows:  # else it went with another one
                self._take(row)

    def _ports_of_subnet(self, subnet: SubnetRow) -> Iterable[Row]:
        for row in self._ledger.rows.values():
            if isinstance(row, PortRow) and any(held == subnet.id for held, _ in row.addresses):
                yield row
