"""Projects, what they hold, and how much of it they may hold."""

from collections import defaultdict
from dataclasses import dataclass
from uuid import UUID

from esc_daemon.domain.ids import Key
from esc_daemon.domain.intent import Tenant
from esc_daemon.vim.base import VimRefused
from esc_daemon.vim.simulator.ledger import Ledger
from esc_daemon.vim.simulator.rows import ProjectRow, Row
from esc_daemon.vim.simulator.settings import CloudSettings

ADMIN = "admin"
DEFAULT_SECURITY_GROUP = "default"
"""Every project has it."""


@dataclass(kw_only=True, slots=True)
class Usage:
    """What stands in a project."""

    servers: int = 0
    cores: int = 0
    ports: int = 0
    networks: int = 0
    volumes: int = 0
    gigabytes: int = 0
    """Of these volumes together."""


def is_id(text: str) -> bool:
    """Tell whether *text* is written as ids are: a name that nobody knows may not be."""
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False


def _counted(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


class Projects:
    """The projects of one cloud; the empty name is the administrator's."""

    def __init__(self, ledger: Ledger, settings: CloudSettings) -> None:
        self._ledger = ledger
        self._settings = settings
        self._by_key: dict[Key, ProjectRow] = {}
        self._ids: dict[str, str] = {}
        self._names: dict[str, str] = {}
        self.usage: defaultdict[str, Usage] = defaultdict(Usage)
        admin = ledger.named_id("project " + ADMIN)
        self._name(admin, ADMIN)
        self._ids[""] = admin

    def _name(self, project: str, name: str) -> None:
        self._names[project] = name
        self._ids.setdefault(name, project)
        self._ids[project] = project

    def restore(self, row: Row) -> None:
        """Take over a row if it is one of these."""
        if isinstance(row, ProjectRow):
            if row.key is not None:
                self._by_key[row.key] = row
                self._ids[row.name] = row.id
            self._name(row.id, row.name)

    def name_of(self, project: str) -> str:
        """Return the name of the project with this id, and the id of one that is gone."""
        return self._names.get(project, project)

    def at(self, key: Key) -> ProjectRow | None:
        """Return the project that was made of *key*."""
        return self._by_key.get(key)

    def ensure(self, key: Key, want: Tenant) -> tuple[str, str]:
        """Return id and name of the tenant's project; both empty where it shall have none."""
        if not want.mapped:
            return "", ""
        row = self._by_key.get(key)
        if row is not None:
            return row.id, row.name
        if not want.managed:
            project = self.resolve(want.name)
            return project, self._names[project]
        row = ProjectRow(id=self._ledger.new_id(), key=key, name=want.name)
        self._by_key[key] = row
        # Ours comes before one of the open catalogue that somebody named earlier.
        self._ids[row.name] = row.id
        self._name(row.id, row.name)
        self._ledger.put(row)
        return row.id, row.name

    def remove(self, key: Key) -> None:
        """Remove what `ensure` made; VimRefused while something stands in it."""
        row = self._by_key.get(key)
        if row is None:
            return
        usage = self.usage[row.id]
        if usage != Usage():
            raise VimRefused(
                f"project {row.name} still holds {_counted(usage.servers, 'server')}, "
                f"{_counted(usage.ports, 'port')}, {_counted(usage.volumes, 'volume')} and "
                f"{_counted(usage.networks, 'network')}: remove them first"
            )
        self.drop(row)

    def drop(self, row: ProjectRow) -> None:
        """Let go of a project in which nothing stands."""
        if row.key is not None:
            del self._by_key[row.key]
        self.usage.pop(row.id, None)
        del self._names[row.id], self._ids[row.id]
        if self._ids.get(row.name) == row.id:
            del self._ids[row.name]
        self._ledger.drop(row)

    def resolve(self, project: str) -> str:
        """Return the id of the project that has the id or the name *project*."""
        known = self._ids.get(project)
        if known is not None:
            return known
        # An id that we do not know was once ours: it must not become a name.
        if not self._settings.open_catalogue or is_id(project):
            raise VimRefused(f"there is no project {project}")
        row = ProjectRow(id=self._ledger.named_id("project " + project), key=None, name=project)
        self._name(row.id, row.name)
        self._ledger.put(row)
        return row.id

    def check_security_groups(self, project: str, names: tuple[str, ...]) -> None:
        """Raise VimRefused where a name is unknown; the open catalogue answers to any."""
        unknown = [name for name in names if name != DEFAULT_SECURITY_GROUP]
        if unknown and not self._settings.open_catalogue:
            raise VimRefused(
                f"project {self._names.get(project, project)} has no security group {unknown[0]}"
            )

    def allow(
        self,
        project: str,
        *,
        servers: int = 0,
        cores: int = 0,
        ports: int = 0,
        volumes: int = 0,
        gigabytes: int = 0,
    ) -> None:
        """Raise VimRefused where the quota does not allow so much more."""
        name = self._names.get(project, project)
        quota = self._settings.quotas.get(name, self._settings.quota)
        usage = self.usage[project]
        for what, used, more, limit in (
            ("servers", usage.servers, servers, quota.servers),
            ("cores", usage.cores, cores, quota.cores),
            ("ports", usage.ports, ports, quota.ports),
            ("volumes", usage.volumes, volumes, quota.volumes),
            ("gigabytes", usage.gigabytes, gigabytes, quota.gigabytes),
        ):
            if limit is not None and more and used + more > limit:
                raise VimRefused(
                    f"quota exceeded in project {name}: {what} used {used}, asked {more}, "
                    f"allowed {limit}"
                )
