"""A NETCONF server in a thread that says what a test gave it to say."""

import asyncio
import threading
from pathlib import Path
from typing import Self

import asyncssh
from lxml import etree

from esc_nc_cli.xmltree import BASE, local_name, parse, qname

END = b"]]>]]>"  # RFC 6242 section 4.3: base:1.0 framing
HELLO = f"""<hello xmlns="{BASE}"><capabilities>
<capability>urn:ietf:params:netconf:base:1.0</capability>
<capability>urn:ietf:params:netconf:capability:writable-running:1.0</capability>
</capabilities><session-id>7</session-id></hello>"""
OK = "<ok/>"
HANG = "hang"
HANG_UP = "hang up"
_RSA_HOST_KEY = asyncssh.generate_private_key("ssh-rsa", key_size=2048)  # slow to make: one for all


class FakeServer:
    """
    Answers each operation with the next of its bodies; the last one stays.

    What stands in *after_edit* is sent to every subscriber after an edit-config or an action, what
    stands in *after_subscription* to a new one. The answer HANG is silence; HANG_UP, as
    an answer or a notification, closes the connection.
    """

    def __init__(self, folder: Path) -> None:
        self.answers: dict[str, list[str]] = {}
        self.after_edit: list[str] = []
        self.after_subscription: list[str] = []
        self.received: list[etree._Element] = []
        self.port = 0
        self.host_key = asyncssh.generate_private_key("ssh-ed25519")
        self.rsa_host_key = _RSA_HOST_KEY
        self.key = folder / "client-key"
        client_key = asyncssh.generate_private_key("ssh-ed25519")
        client_key.write_private_key(self.key)
        self._authorized = asyncssh.import_authorized_keys(client_key.export_public_key().decode())
        self._subscribers: list[asyncssh.SSHServerProcess[bytes]] = []
        self._connections: list[asyncssh.SSHServerConnection] = []
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(30)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(30)

    def operations(self) -> list[str]:
        return [local_name(operation) for operation in self.received]

    def last(self, name: str) -> etree._Element:
        return [operation for operation in self.received if local_name(operation) == name][-1]

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        fake = self

        class Door(asyncssh.SSHServer):
            def password_auth_supported(self) -> bool:
                return True

            def validate_password(self, username: str, password: str) -> bool:
                return (username, password) == ("admin", "s3cret-word")

            def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
                fake._connections.append(conn)

        server = await asyncssh.create_server(
            Door,
            "127.0.0.1",
            0,
            server_host_keys=[self.host_key, self.rsa_host_key],
            authorized_client_keys=self._authorized,
            process_factory=self._converse,
            encoding=None,
        )
        self.port = server.get_port()
        self._ready.set()
        await self._stop.wait()
        server.close()
        for connection in self._connections:
            connection.abort()
            await connection.wait_closed()
        await server.wait_closed()

    async def _converse(self, process: asyncssh.SSHServerProcess[bytes]) -> None:
        assert process.subsystem == "netconf"
        process.stdout.write(HELLO.encode() + END)
        await process.stdin.readuntil(END)
        try:
            while True:
                message = await process.stdin.readuntil(END)
                self._answer(process, parse(message.removesuffix(END)))
        except (asyncio.IncompleteReadError, asyncssh.ConnectionLost):
            process.close()

    def _answer(self, process: asyncssh.SSHServerProcess[bytes], rpc: etree._Element) -> None:
        operation = rpc[0]
        name = local_name(operation)
        self.received.append(operation)
        bodies = self.answers.get(name, [OK])
        body = bodies.pop(0) if len(bodies) > 1 else bodies[0]
        if body == HANG:
            return
        if body == HANG_UP:
            process.channel.get_connection().abort()
            return
        reply = f'<rpc-reply xmlns="{BASE}" message-id="{rpc.get("message-id")}">{body}</rpc-reply>'
        process.stdout.write(reply.encode() + END)
        if name == "create-subscription":
            self._subscribers.append(process)
            self._tell([process], self.after_subscription)
        if name in {"edit-config", "serviceAction", "vmAction", "recoveryVmAction"}:
            self._tell(self._subscribers, self.after_edit)

    def _tell(
        self, subscribers: list[asyncssh.SSHServerProcess[bytes]], notifications: list[str]
    ) -> None:
        for subscriber in subscribers:
            for notification in notifications:
                if notification == HANG_UP:
                    subscriber.channel.get_connection().abort()
                else:
                    subscriber.stdout.write(notification.encode() + END)


def a_notification(event: str, **leaves: str) -> str:
    status = leaves.pop("status", "SUCCESS")
    message = leaves.pop("message", "as asked")
    rest = "".join(f"<{name}>{text}</{name}>" for name, text in leaves.items())
    return (
        '<notification xmlns="urn:ietf:params:xml:ns:netconf:notification:1.0">'
        "<eventTime>2026-11-22T10:20:30.5Z</eventTime>"
        f'<escEvent xmlns="http://www.cisco.com/esc/esc"><status>{status}</status>'
        f"<status_message>{message}</status_message>{rest}"
        f"<event><type>{event}</type></event></escEvent></notification>"
    )


def a_configuration(*deployments: str, tenant: str = "t", leaf: str = "") -> str:
    entries = "".join(f"<deployment><name>{name}</name>{leaf}</deployment>" for name in deployments)
    return (
        '<data><esc_datamodel xmlns="http://www.cisco.com/esc/esc"><tenants><tenant>'
        f"<name>{tenant}</name><deployments>{entries}</deployments>"
        "</tenant></tenants></esc_datamodel></data>"
    )


def an_opdata(state: str, *, tenant: str = "t", deployment: str = "d") -> str:
    return (
        '<data><esc_datamodel xmlns="http://www.cisco.com/esc/esc"><opdata><tenants><tenant>'
        f"<name>{tenant}</name><tenant_id>{tenant}</tenant_id><deployments><deployment_name>{deployment}</deployment_name>"
        "<vm_group><name>g</name><vm_instance><vm_id>1</vm_id><name>d_g_0_x</name><interfaces>"
        "<interface><nicid>0</nicid><ip_address>192.0.2.5</ip_address></interface>"
        "</interfaces></vm_instance></vm_group>"
        f"<state_machine><state>{state}</state><vm_state_machines><vm_state_machine>"
        "<vm_name>d_g_0_x</vm_name><state>VM_ALIVE_STATE</state></vm_state_machine>"
        "</vm_state_machines></state_machine></deployments></tenant></tenants></opdata>"
        "</esc_datamodel></data>"
    )


EMPTY = "<data/>"
REFUSAL = (
    "<rpc-error><error-type>application</error-type><error-tag>data-missing</error-tag>"
    "<error-severity>error</error-severity><error-path>/esc:esc_datamodel</error-path>"
    "<error-message>no such deployment</error-message></rpc-error>"
)
DEPLOY = (
    '<esc_datamodel xmlns="http://www.cisco.com/esc/esc"><tenants><tenant><name>t</name>'
    "<deployments><deployment><name>d</name></deployment></deployments>"
    "</tenant></tenants></esc_datamodel>"
)
OPERATION = qname(BASE, "operation")
