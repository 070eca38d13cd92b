"""Keys are exchanged anew in the middle of what is being sent, by either side; nothing is lost."""

import asyncio

import asyncssh
import pytest

from esc_daemon.northbound.ssh.channel import NetconfChannel
from tests.northbound.netconf_server import Server
from tests.northbound.raw_client import Client, connected

OFTEN = 64 * 1024
"""Bytes between two key exchanges; the usual is a gigabyte."""
NOTIFICATION = "urn:ietf:params:xml:ns:netconf:notification:1.0"
Connection = asyncssh.connection.SSHConnection


@pytest.fixture
def exchanges(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Count the key exchanges that each side begins or takes part in."""
    begun: list[str] = []
    original = Connection._send_kexinit

    def counted(connection: Connection) -> None:
        begun.append("client" if connection.is_client() else "server")
        original(connection)

    monkeypatch.setattr(Connection, "_send_kexinit", counted)
    return begun


def begin(connection: Connection) -> None:
    """Exchange keys now, unless that is being done."""
    if connection._kex_complete:
        connection._kexinit_sent = True
        connection._send_kexinit()


def server_side(server: Server, client: Client) -> Connection:
    session = server.services.sessions.open[client.session_id]
    assert isinstance(session, NetconfChannel)
    return session._channel.get_connection()


async def test_a_big_reply_survives_new_keys_in_its_middle(server: Server, exchanges: list[str]):
    server.management.blob = b"<big>" + b"0123456789" * 200_000 + b"</big>"
    async with connected(server.port) as client:
        server_side(server, client)._rekey_bytes = OFTEN
        client.ask("<get/>")
        assert server.management.blob in await client.message()
        assert exchanges.count("server") > 5
        await client.ok("<close-session/>")


@pytest.mark.parametrize("of_client", [True, False], ids=["of-client", "of-server"])
async def test_a_flood_of_notifications_survives_new_keys(
    server: Server,
    exchanges: list[str],
    of_client: bool,  # noqa: FBT001
):
    async with connected(server.port) as often, connected(server.port) as other:
        for client in (often, other):
            await client.ok(f'<create-subscription xmlns="{NOTIFICATION}"/>')
        one_side = often.connection if of_client else server_side(server, often)
        for number in range(400):
            server.management.tell(str(number), padding=3000)
            if number % 10 == 0:
                begin(one_side)
                await asyncio.sleep(0)
        for client in (often, other):
            assert [await client.event() for _ in range(400)] == [str(n) for n in range(400)]
        assert exchanges.count("server") > 5


async def test_both_sides_may_begin_while_requests_come(server: Server, exchanges: list[str]):
    async with connected(server.port) as client:
        connection = server_side(server, client)
        for _ in range(10):
            sent = [client.ask("<get/>") for _ in range(20)]
            begin(connection)
            begin(client.connection)
            assert [(await client.xml()).get("message-id") for _ in sent] == sent
        assert exchanges.count("server") > 5


async def test_sessions_may_end_in_the_middle_of_a_key_exchange(server: Server):
    async with connected(server.port) as other:
        for ending in ("close-session", "abort", "kill"):
            async with connected(server.port) as client:
                await client.ok("<lock><target><running/></target></lock>")
                begin(server_side(server, client))
                match ending:
                    case "close-session":
                        await client.ok("<close-session/>")
                    case "abort":
                        client.connection.abort()
                    case _:
                        number = f"<session-id>{client.session_id}</session-id>"
                        await other.ok(f"<kill-session>{number}</kill-session>")
                await server.until(lambda: len(server.services.sessions.open) == 1)
        await other.ok("<lock><target><running/></target></lock>")
