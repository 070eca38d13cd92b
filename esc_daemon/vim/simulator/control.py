"""
What the operator of a simulated cloud can see and do while it runs: behind its page.

ControlError      it cannot be done; the text says why
 + UnknownThing   there is no such thing
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeVar

from msgspec import Struct

from esc_daemon.domain.ids import ServerKey
from esc_daemon.vim.base import VimError
from esc_daemon.vim.simulator.cloud import Cloud
from esc_daemon.vim.simulator.driver import SimulatorDriver
from esc_daemon.vim.simulator.faults import FaultError, Faults, Rule, Standing, load_rules
from esc_daemon.vim.simulator.rows import (
    NetworkRow,
    PortRow,
    ProjectRow,
    Row,
    ServerRow,
    SubnetRow,
    VolumeRow,
)

ResultT = TypeVar("ResultT")
RowT = TypeVar("RowT", bound=Row)


class ControlError(Exception):
    """The text says what cannot be done and why."""


class UnknownThing(ControlError):
    """There is nothing with that id, or it knows no such action."""


class ServerView(Struct, kw_only=True, frozen=True):
    """A server as its operator sees it; *guest*: answers, silent, or down."""

    id: str
    name: str
    vm: str
    generation: int
    project: str
    status: str
    fault: str
    host: str
    addresses: tuple[str, ...]
    guest: str


class PortView(Struct, kw_only=True, frozen=True):
    """A port; *server* is the id of the server that it is plugged into, or empty."""

    id: str
    vm: str
    nicid: int
    network: str
    addresses: tuple[str, ...]
    mac_address: str
    server: str


class VolumeView(Struct, kw_only=True, frozen=True):
    """
    A volume; *server* is the id of the server that has it, or empty.

    *ours*: somebody made it for a *vm*, and it was not merely named. *content* says what is on it.
    """

    id: str
    name: str
    project: str
    vm: str
    ours: bool
    size_gib: int
    content: str
    server: str


class SubnetView(Struct, kw_only=True, frozen=True):
    """A subnet of a network."""

    id: str
    name: str
    cidr: str


class NetworkView(Struct, kw_only=True, frozen=True):
    """A network and its subnets; *ours*: somebody made it, and nobody merely named it."""

    id: str
    name: str
    project: str
    ours: bool
    ports: int
    subnets: tuple[SubnetView, ...]


class ProjectView(Struct, kw_only=True, frozen=True):
    """A project and what stands in it."""

    id: str
    name: str
    ours: bool
    servers: int
    ports: int
    networks: int
    volumes: int


class HostView(Struct, kw_only=True, frozen=True):
    """A host."""

    name: str
    up: bool


class CloudView(Struct, kw_only=True, frozen=True):
    """All that stands in the cloud at one moment."""

    servers: tuple[ServerView, ...]
    ports: tuple[PortView, ...]
    volumes: tuple[VolumeView, ...]
    networks: tuple[NetworkView, ...]
    projects: tuple[ProjectView, ...]
    hosts: tuple[HostView, ...]


class Control:
    """
    The operator's hand on *cloud*; its rules came from *faults_file*, if from any.

    What it changes in the cloud is as durable as anything there; rules are not: the next start
    reads the file again.
    """

    def __init__(self, cloud: Cloud, *, faults_file: Path | None = None) -> None:
        self._cloud = cloud
        self._driver = SimulatorDriver(cloud)
        self.faults_file: Final = faults_file

    @property
    def _faults(self) -> Faults:
        return self._cloud.faults

    def rules(self) -> Sequence[Standing]:
        """Return the rules in force, in the order in which they are tried."""
        return self._faults.standing()

    def add_rule(self, rule: Rule) -> int:
        """Put *rule* in force after the others; return its number."""
        try:
            return self._faults.add(rule)
        except ValueError as error:
            raise ControlError(str(error)) from error

    def drop_rule(self, number: int) -> None:
        """Take a rule out of force and forget how often it struck."""
        if not self._faults.drop(number):
            raise UnknownThing(f"there is no rule {number}")

    def drop_rules(self) -> None:
        """Take all rules out of force."""
        for standing in self._faults.standing():
            self._faults.drop(standing.number)

    def reload(self) -> int:
        """Put the rules of the file in force, and no others; return how many they are."""
        if self.faults_file is None:
            raise ControlError("this simulator was started without a faults file")
        try:
            rules = load_rules(self.faults_file)
        except FaultError as error:
            raise ControlError(str(error)) from error
        self._faults.replace(rules)
        return len(rules)

    def act(self, kind: str, id_: str, action: str) -> None:
        """
        Do *action* with the thing of that *kind* and id.

        Raises:
            UnknownThing: There is none, or it knows no such action.
            ControlError: It cannot be done, or not be made durable.

        """
        doing = _ACTIONS.get((kind, action))
        if doing is None:
            known = ", ".join(each for its_kind, each in _ACTIONS if its_kind == kind)
            raise UnknownThing(f"{kind} know {known}" if known else f"there are no {kind}")
        try:
            self._driver.by_hand(lambda now: doing(self._cloud, id_, now))
        except VimError as error:
            raise ControlError(str(error)) from error

    def look(self) -> CloudView:
        """Return what stands in the cloud now."""
        now = self._driver.by_hand(lambda now: now)
        rows = self._cloud.rows()
        return CloudView(
            servers=tuple(self._server(row, now) for row in _of(rows, ServerRow)),
            ports=tuple(self._port(row) for row in _of(rows, PortRow)),
            volumes=tuple(self._volume(row) for row in _of(rows, VolumeRow)),
            networks=tuple(self._network(row) for row in _of(rows, NetworkRow)),
            projects=tuple(self._project(row) for row in _of(rows, ProjectRow)),
            hosts=tuple(
                HostView(name=name, up=up) for name, up in self._cloud.servers.hosts_up().items()
            ),
        )

    def _server(self, row: ServerRow, now: float) -> ServerView:
        seen = self._cloud.servers.view(row, now)
        addresses = tuple(each.ip_address or "" for port in seen.ports for each in port.addresses)
        return ServerView(
            id=row.id,
            name=row.name,
            vm=row.key.vm,
            generation=row.key.generation,
            project=self._cloud.projects.name_of(row.project),
            status=seen.status,
            fault=seen.fault,
            host=seen.hostname,
            addresses=addresses,
            guest=self._cloud.servers.guest_state(row, now),
        )

    def _port(self, row: PortRow) -> PortView:
        return PortView(
            id=row.id,
            vm=row.key.vm,
            nicid=row.key.nicid,
            network=self._cloud.networks.rows[row.network_id].name,
            addresses=tuple(address for _, address in row.addresses),
            mac_address=row.mac_address,
            server=self._cloud.ports.bound.get(row.id, ""),
        )

    def _volume(self, row: VolumeRow) -> VolumeView:
        return VolumeView(
            id=row.id,
            name=row.name,
            project=self._cloud.projects.name_of(row.project),
            vm=row.key.owner if row.key else "",
            ours=row.key is not None,
            size_gib=row.size_gib,
            content=row.content,
            server=self._cloud.volumes.bound.get(row.id, ""),
        )

    def _network(self, row: NetworkRow) -> NetworkView:
        return NetworkView(
            id=row.id,
            name=row.name,
            project=self._cloud.projects.name_of(row.project) if row.project else "",
            ours=row.key is not None,
            ports=self._cloud.networks.port_counts[row.id],
            subnets=tuple(
                SubnetView(id=subnet.id, name=subnet.name, cidr=subnet.cidr)
                for subnet in self._cloud.networks.subnets_of(row.id)
            ),
        )

    def _project(self, row: ProjectRow) -> ProjectView:
        usage = self._cloud.usage(row.id)
        return ProjectView(
            id=row.id,
            name=row.name,
            ours=row.key is not None,
            servers=usage.servers,
            ports=usage.ports,
            networks=usage.networks,
            volumes=usage.volumes,
        )


def _of(rows: Sequence[Row], kind: type[RowT]) -> list[RowT]:
    return [row for row in rows if isinstance(row, kind)]


_Action = Callable[[Cloud, str, float], None]


def _vanish(kind: type[Row]) -> _Action:
    def vanish(cloud: Cloud, id_: str, now: float) -> None:
        del now
        if not isinstance(cloud.row(id_), kind):
            raise UnknownThing(f"there is nothing of that kind with the id {id_}")
        cloud.vanish(id_)

    return vanish


def _to_server(do: Callable[[Cloud, ServerKey, float], None]) -> _Action:
    def act(cloud: Cloud, id_: str, now: float) -> None:
        row = cloud.row(id_)
        if not isinstance(row, ServerRow):
            raise UnknownThing(f"there is no server with the id {id_}")
        do(cloud, row.key, now)

    return act


def _to_project(do: Callable[[Cloud, ServerKey], None]) -> _Action:
    def act(cloud: Cloud, id_: str, now: float) -> None:
        del now
        if not isinstance(cloud.row(id_), ProjectRow):
            raise UnknownThing(f"there is no project with the id {id_}")
        for row in _of(cloud.rows(), ServerRow):
            if row.project == id_:
                do(cloud, row.key)

    return act


def _to_host(do: Callable[[Cloud, str], None]) -> _Action:
    def act(cloud: Cloud, name: str, now: float) -> None:
        del now
        if name not in cloud.servers.hosts_up():
            raise UnknownThing(f"there is no host {name}")
        do(cloud, name)

    return act


_ACTIONS: Final[dict[tuple[str, str], _Action]] = {
    ("servers", "silence"): _to_server(lambda cloud, key, _: cloud.silence(key)),
    ("servers", "answer"): _to_server(lambda cloud, key, _: cloud.wake(key)),
    ("servers", "power-off"): _to_server(lambda cloud, key, now: cloud.power_off(key, now)),
    ("servers", "power-on"): _to_server(lambda cloud, key, now: cloud.power_on(key, now)),
    ("servers", "vanish"): _vanish(ServerRow),
    ("ports", "vanish"): _vanish(PortRow),
    ("volumes", "vanish"): _vanish(VolumeRow),
    ("subnets", "vanish"): _vanish(SubnetRow),
    ("networks", "vanish"): _vanish(NetworkRow),
    ("projects", "silence"): _to_project(Cloud.silence),
    ("projects", "answer"): _to_project(Cloud.wake),
    ("projects", "vanish"): _vanish(ProjectRow),
    ("hosts", "down"): _to_host(Cloud.host_down),
    ("hosts", "up"): _to_host(Cloud.host_up),
}
"""What the operator can do with what: one row an action, by hand and over HTTP."""
