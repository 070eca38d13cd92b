"""A VIM of dicts, for the world without I/O."""

from dataclasses import dataclass, field

from esc_daemon.domain.ids import Key, ServerKey, VmId
from esc_daemon.domain.specs import Address, Port, Power, Server, ServerSpec, ServerStatus
from esc_daemon.domain.triggers import ServerSeen


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
    ports: set[VmId] = field(default_factory=set)
    resources: dict[str, Key] = field(default_factory=dict)
    made: int = 0

    def found(self, key: ServerKey) -> FakeServer | None:
        return next((s for s in self.servers.values() if s.key == key), None)

    def resource(self, key: Key) -> str | None:
        return next((id_ for id_, at in self.resources.items() if at == key), None)

    def create_server(self, key: ServerKey, spec: ServerSpec) -> FakeServer:
        self.made += 1
        server = FakeServer(id=f"server-{self.made}", key=key, spec=spec)
        self.servers[server.id] = server
        self.ports.add(key.vm)
        return server

    def create_resource(self, key: Key) -> str:
        self.made += 1
        id_ = f"resource-{self.made}"
        self.resources[id_] = key
        return id_


def seen(server: FakeServer) -> ServerSeen:
    ports = tuple(
        Port(
            key=port.key,
            port_id=f"port-{port.key.vm}-{port.key.nicid}",
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
