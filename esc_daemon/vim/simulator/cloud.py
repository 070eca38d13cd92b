"""
A simulated cloud: its state and its rules, without any I/O and without a clock.

*now* is in seconds since 1970 wherever it is asked for. Nothing happens by itself: what a
moment has brought about is worked out when somebody looks.
"""

from collections.abc import Iterable, Sequence

from esc_daemon.domain.ids import Key, ServerKey, VmId
from esc_daemon.domain.specs import Power, ServerFile
from esc_daemon.vim.simulator.catalogue import Catalogue
from esc_daemon.vim.simulator.fates import Fates
from esc_daemon.vim.simulator.faults import Faults, Rule, Verb, Verdict
from esc_daemon.vim.simulator.ledger import Journal, Ledger
from esc_daemon.vim.simulator.networks import Networks
from esc_daemon.vim.simulator.ports import Ports
from esc_daemon.vim.simulator.projects import Projects, Usage
from esc_daemon.vim.simulator.rows import (
    FlavorRow,
    ImageRow,
    NetworkRow,
    PortRow,
    ProjectRow,
    Row,
    ServerRow,
    SubnetRow,
    VolumeRow,
)
from esc_daemon.vim.simulator.servers import Servers
from esc_daemon.vim.simulator.settings import CloudSettings
from esc_daemon.vim.simulator.vanishing import Vanishing
from esc_daemon.vim.simulator.volumes import Volumes

# A row may name only rows of a kind to the left of its own.
_ORDER = (ProjectRow, ImageRow, FlavorRow, NetworkRow, SubnetRow, PortRow, VolumeRow, ServerRow)


class Cloud:
    """
    One cloud; several connectors may share it, and then see the same.

    *rows* are those of an earlier life, *journal* is where changes go.
    """

    def __init__(
        self,
        settings: CloudSettings | None = None,
        *,
        rules: Sequence[Rule] = (),
        rows: Iterable[Row] = (),
        journal: Journal | None = None,
    ) -> None:
        self.settings = settings = settings or CloudSettings()
        self.offset: float | None = None
        """From the time of the loop to that of the cloud, the same for all its connectors."""
        self.faults = Faults(rules, seed=settings.seed)
        self._ledger = Ledger(settings.seed, journal)
        self.projects = Projects(self._ledger, settings)
        self.catalogue = Catalogue(self._ledger, settings)
        self.networks = Networks(self._ledger, settings, self.projects)
        self.ports = Ports(self._ledger, self.projects, self.networks)
        self.volumes = Volumes(self._ledger, settings, self.projects, self.catalogue)
        fates = Fates(self.faults, self._ledger)
        self.servers = Servers(
            ledger=self._ledger,
            settings=settings,
            projects=self.projects,
            catalogue=self.catalogue,
            ports=self.ports,
            volumes=self.volumes,
            fates=fates,
        )
        self._vanishing = Vanishing(
            ledger=self._ledger,
            fates=fates,
            projects=self.projects,
            networks=self.networks,
            ports=self.ports,
            volumes=self.volumes,
            servers=self.servers,
        )
        self._restore(list(rows))

    def _restore(self, rows: list[Row]) -> None:
        self._ledger.restore(rows)
        self.faults.counts.update(self._ledger.counters.faults)
        self._ledger.counters.faults = self.faults.counts
        for kind in _ORDER:
            for row in rows:
                if isinstance(row, kind):
                    self._restore_row(row)

    def _restore_row(self, row: Row) -> None:
        self.projects.restore(row)
        self.catalogue.restore(row)
        self.networks.restore(row)
        self.ports.restore(row)
        self.volumes.restore(row)
        self.servers.restore(row)
        self._vanishing.restore(row)

    def rows(self) -> list[Row]:
        """Return all that there is to remember."""
        return list(self._ledger.rows.values())

    def row(self, row_id: str) -> Row | None:
        """Return what has this id."""
        return self._ledger.rows.get(row_id)

    def row_of(self, key: Key) -> Row | None:
        """Return the project, network, subnet, image or flavor that was made of *key*."""
        return self.projects.at(key) or self.networks.at(key) or self.catalogue.at(key)

    def settle(self, now: float) -> None:
        """Let come true what time has brought since the last call: the first thing of any call."""
        self.servers.settle(now)
        self._vanishing.settle(now)

    def commit(self, now: float) -> None:
        """Make what happened durable, the fate of what is new too; OSError when that fails."""
        fresh = self._ledger.fresh
        if fresh:
            if self.faults:
                self._vanishing.draw(fresh, now)
            fresh.clear()
        self._ledger.commit()

    def judge(
        self, verb: Verb, names: tuple[str, ...], now: float, vm: VmId | None = None
    ) -> Verdict:
        """Return what befalls a call about *names*, and about the server of *vm*."""
        if vm is not None:
            names = (*names, vm, self.servers.name_of(vm))
        verdict = self.faults.judge(verb, names, now)
        self._ledger.put(self._ledger.counters)
        return verdict

    def usage(self, project: str = "") -> Usage:
        """Return what stands in the project with this id or name (empty: the administrator's)."""
        return self.projects.usage[self.projects.resolve(project)]

    def silence(self, key: ServerKey) -> None:
        """Make the guest stop answering until its next boot; VimRefused without a server."""
        self.servers.set_silent(key, True)

    def wake(self, key: ServerKey) -> None:
        """Make a silent guest answer again; VimRefused without a server."""
        self.servers.set_silent(key, False)

    def power_off(self, key: ServerKey, now: float) -> None:
        """Switch a server off, as its guest may by itself; VimRefused without a server."""
        self.servers.set_power(key, Power.OFF, now)

    def power_on(self, key: ServerKey, now: float) -> None:
        """Switch a server on; VimRefused without a server."""
        self.servers.set_power(key, Power.ON, now)

    def vanish(self, row_id: str) -> None:
        """
        Let a server, port, volume, subnet, network or project vanish, with what needs it.

        A server's ports and volumes stay. VimRefused where there is nothing with this id.
        """
        self._vanishing.at_once(row_id)

    def host_down(self, hostname: str) -> None:
        """Take a host away with all the guests on it; VimRefused if unknown."""
        self.servers.set_host(hostname, False)

    def host_up(self, hostname: str) -> None:
        """Bring a host back; its guests answer again. VimRefused if unknown."""
        self.servers.set_host(hostname, True)

    def console(self, key: ServerKey, now: float) -> tuple[str, ...]:
        """Return the console of a server up to *now*; empty without a server."""
        return tuple(self.servers.console(key, now))

    def files(self, key: ServerKey) -> tuple[ServerFile, ...]:
        """Return the day-0 files as the guest of a server finds them; empty without a server."""
        return self.servers.files(key)
