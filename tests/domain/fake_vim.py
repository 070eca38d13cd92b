"""A VIM of dicts, for the world without I/O."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from esc_daemon.domain.commands import ProveServer, RemoveServer, SwitchServer, UpdateServer
from esc_daemon.domain.ids import Key, PortKey, ServerKey, VmId
from esc_daemon.domain.intent import Resource
from esc_daemon.domain.specs import (
    Address,
    HookScript,
    Port,
    PortSpec,
    Power,
    Server,
    ServerSpec,
    ServerStatus,
)
from esc_daemon.domain.triggers import (
    CallFailed,
    ServerGone,
    ServerProven,
    ServerSeen,
    ServerSwitched,
    ServerUpdated,
)
from tests.domain.fake_volumes import FakeVolumes, root_of


@dataclass
class FakeServer:
    """A server as the VIM has it."""

    id: str
    key: ServerKey
    spec: ServerSpec
    status: ServerStatus = ServerStatus.BUILD
    fault: str = ""
    boots: int = 0

    def switch(self, power: Power) -> None:
        if power is not Power.OFF and (power is Power.HARD_REBOOT or not self.is_on):
            self.boots += 1
        self.status = ServerStatus.SHUTOFF if power is Power.OFF else ServerStatus.ACTIVE

    @property
    def is_on(self) -> bool:
        return self.status is ServerStatus.ACTIVE


@dataclass
class FakeVim:
    """A VIM of dicts: no promise but that what was asked is there."""

    servers: dict[str, FakeServer] = field(default_factory=dict)
    ports: dict[VmId, set[int]] = field(default_factory=dict)
    """The interfaces that have ports, whatever these are plugged into."""
    port_ids: dict[PortKey, str] = field(default_factory=dict)
    lacks: set[str | None] = field(default_factory=set)
    """Images that it has not."""
    full: bool = False
    """It makes no server, though it says that it could."""
    no_resize: bool = False
    no_exchange: bool = False
    """It lets no server boot from another volume."""
    bad_scripts: set[str] = field(default_factory=set)
    ran: list[HookScript] = field(default_factory=list)
    resources: dict[str, Key] = field(default_factory=dict)
    wants: dict[Key, Resource] = field(default_factory=dict)
    """What each resource was last asked to be like, as it came or since."""
    volumes: FakeVolumes = field(default_factory=FakeVolumes)
    made: int = 0

    @property
    def stored(self) -> FakeVolumes:
        """The volumes; a server that was taken away has none."""
        keys = {server.key for server in self.servers.values()}
        self.volumes.had = {key: had for key, had in self.volumes.had.items() if key in keys}
        return self.volumes

    def found(self, key: ServerKey) -> FakeServer | None:
        return next((s for s in self.servers.values() if s.key == key), None)

    def resource(self, key: Key) -> str | None:
        return next((id_ for id_, at in self.resources.items() if at == key), None)

    def create_server(self, key: ServerKey, spec: ServerSpec) -> FakeServer:
        self.made += 1
        server = FakeServer(id=f"server-{self.made}", key=key, spec=spec)
        self.servers[server.id] = server
        self.have_ports(key.vm, spec)
        self.stored.attach(key, spec.volumes)
        return server

    def have_ports(self, vm: VmId, spec: ServerSpec) -> None:
        self.ports.setdefault(vm, set()).update(port.key.nicid for port in spec.ports)
        self.port_ids |= {port.key: port_id(port) for port in spec.ports}

    def remove_ports(self, removed: Iterable[tuple[PortKey, str | None]]) -> None:
        """Remove those of *removed*; an id is of one port, which another may have replaced."""
        for port, id_ in removed:
            there = self.port_id(port)
            if there is None or id_ not in {None, there}:
                continue
            self.ports[port.vm].discard(port.nicid)
            for server in self.servers.values():
                kept = tuple(each for each in server.spec.ports if each.key != port)
                server.spec = replace(server.spec, ports=kept)

    def port_id(self, port: PortKey) -> str | None:
        if port.nicid not in self.ports.get(port.vm, ()):
            return None
        return self.port_ids[port]

    def update_server(
        self,
        key: ServerKey,
        spec: ServerSpec,
        removed: Iterable[tuple[PortKey, str | None]],
        *,
        resized: bool,
    ) -> FakeServer | None:
        """Do to the server what is wanted; its ports are there even where it is not."""
        self.remove_ports(removed)
        self.have_ports(key.vm, spec)
        server = self.found(key)
        if server is not None:
            flavor = spec.flavor if resized else server.spec.flavor
            anew = flavor != server.spec.flavor or root_of(spec) != root_of(server.spec)
            server.boots += anew and server.is_on
            server.spec = replace(spec, flavor=flavor, image=server.spec.image)
        return server

    def switch(self, command: SwitchServer) -> ServerGone | ServerSwitched:
        server = self.found(command.key)
        if server is None:
            return ServerGone(key=command.key, looked=True)
        server.switch(command.power)
        return ServerSwitched(
            server=self.seen(server).server, power=command.power, number=command.number
        )

    def prove(self, command: ProveServer) -> CallFailed | ServerProven:
        if command.spec.image in self.lacks:
            error = f"there is no image {command.spec.image}"
            return CallFailed(
                subject=command.key, removal=False, error=error, final=True, proof=True
            )
        return ServerProven(key=command.key, vim=command.vim)

    def update(self, command: UpdateServer) -> CallFailed | ServerGone | ServerUpdated:
        key = command.key
        failed = CallFailed(subject=key, removal=False, error="it failed", final=True)
        if not self.run(command.before_detach):
            return replace(failed, reached=False)
        if command.rooted and self.no_exchange:
            text = "this VIM cannot let a server boot from another volume"
            return CallFailed(subject=key, removal=False, error=text, final=True)
        if command.resized and self.no_resize:
            self.remove_ports(command.removed)
            text = "this VIM does not resize servers"
            return CallFailed(subject=key, removal=False, error=text, final=True)
        there = self.found(key) is not None
        self.stored.update(command, there=there)
        updated = self.update_server(key, command.spec, command.removed, resized=command.resized)
        if updated is None:
            return ServerGone(key=key, looked=True)
        if not self.run((*command.after_attach, *command.scripts)):
            return failed
        return ServerUpdated(server=self.seen(updated).server)

    def run(self, scripts: Iterable[HookScript]) -> bool:
        """Run *scripts* up to the first that fails; tell whether none did."""
        for script in scripts:
            if script.path in self.bad_scripts:
                return False
            self.ran.append(script)
        return True

    def remove(self, command: RemoveServer) -> ServerGone:
        self.servers = {i: s for i, s in self.servers.items() if s.key != command.key}
        self.stored.remove(command)
        if command.ports:
            self.ports.pop(command.key.vm, None)
        return ServerGone(key=command.key, ports=command.ports)

    def seen(self, server: FakeServer) -> ServerSeen:
        told = seen(server).server
        return ServerSeen(server=replace(told, volumes=self.stored.of(server.key)))

    def create_resource(self, key: Key, want: Resource) -> str:
        self.made += 1
        self.wants[key] = want
        id_ = f"resource-{self.made}"
        self.resources[id_] = key
        return id_


def port_id(port: PortSpec) -> str:
    """A port in another network is another one."""
    return f"port-{port.key.vm}-{port.key.nicid}-{port.network}"


def seen(server: FakeServer) -> ServerSeen:
    ports = tuple(
        Port(
            key=port.key,
            port_id=port_id(port),
            network_id=port.network_id or f"net-{port.network}",
            addresses=port.addresses or (Address(ip_address=f"192.0.2.{port.key.nicid + 1}"),),
            mac_address=port.mac_address or "02:00:00:00:00:01",
        )
        for port in server.spec.ports
    )
    return ServerSeen(
        server=Server(
            key=server.key,
            server_id=server.id,
            name=server.spec.name,
            project=server.spec.project,
            status=server.status,
            host_id="host-1",
            hostname="compute-1",
            fault=server.fault,
            ports=ports,
        )
    )
