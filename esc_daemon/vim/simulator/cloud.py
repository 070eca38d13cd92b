"""
A simulated cloud: its state and its rules, without any I/O and without a clock.

*now* is in seconds since 1970 wherever it is asked for. Nothing happens by itself: what a
moment has brought about is worked out when somebody looks.
"""

from collections.abc import Iterable, Sequence

from esc_daemon.domain.ids import ServerKey, VmId
from esc_daemon.domain.specs import ServerFile
from esc_daemon.vim.simulator.catalogue import Catalogue
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
)
from esc_daemon.vim.simulator.servers import Servers
from esc_daemon.vim.simulator.settings import CloudSettings

# A row may name only rows of a kind to the left of its own.
_ORDER = (ProjectRow, ImageRow, FlavorRow, NetworkRow, SubnetRow, PortRow, ServerRow)


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
        self.servers = Servers(
            ledger=self._ledger,
            settings=settings,
            projects=self.projects,
            catalogue=self.catalogue,
            ports=self.ports,
            build_fault=self._build_fault,
            silence=self._silence,
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
        self.servers.restore(row)

    def rows(self) -> list[Row]:
        """Return all that there is to remember."""
        return list(self._ledger.rows.values())

    def commit(self) -> None:
        """Make what happened durable; OSError when that fails."""
        self._ledger.commit()

    def judge(self, verb: Verb, names: tuple[str, ...], vm: VmId | None = None) -> Verdict:
        """Return what befalls a call about *names*, and about the server of *vm*."""
        if vm is not None:
            names = (*names, vm, self.servers.name_of(vm))
        verdict = self.faults.judge(verb, names)
        self._ledger.put(self._ledger.counters)
        return verdict

    def _build_fault(self, name: str, vm: VmId) -> str:
        if not self.faults:
            return ""
        rule = self.judge(Verb.BUILD, (name,), vm).rule
        return "" if rule is None else rule.text or "No valid host was found."

    def _silence(self, name: str, vm: VmId) -> bool:
        return bool(self.faults) and self.judge(Verb.BOOT, (name,), vm).rule is not None

    def usage(self, project: str = "") -> Usage:
        """Return what stands in the project with this id or name (empty: the administrator's)."""
        return self.projects.usage[self.projects.resolve(project)]

    def silence(self, key: ServerKey) -> None:
        """Make the guest stop answering until its next boot; VimRefused without a server."""
        self.servers.set_silent(key, True)

    def wake(self, key: ServerKey) -> None:
        """Make a silent guest answer again; VimRefused without a server."""
        self.servers.set_silent(key, False)

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
