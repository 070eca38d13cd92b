import asyncio
from pathlib import Path

import asyncssh
import pytest
from asyncssh.constants import MSG_IGNORE
from asyncssh.crypto import GCMCipher
from asyncssh.encryption import GCMEncryption
from asyncssh.packet import Boolean, String
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from esc_daemon.northbound.ssh.channel import NetconfChannel
from esc_daemon.northbound.ssh.transport import TRIED, LeanConnection, ReadyCipher
from tests.northbound.netconf_server import Server
from tests.northbound.raw_client import Client, connected

KEY = bytes(range(16))
CHANNEL_REQUEST = 98
"""RFC 4254 section 9."""


def a_cipher(counter: int) -> GCMCipher:
    return GCMCipher("aes128-gcm", KEY, b"\1\2\3\4" + counter.to_bytes(8, "big"))


@given(
    counter=st.sampled_from([0, 255, 2**32 - 1, 2**64 - 2]),
    packets=st.lists(st.tuples(st.binary(max_size=64), st.booleans()), max_size=8),
)
def test_packets_are_sealed_and_opened_as_the_library_does(
    counter: int, packets: list[tuple[bytes, bool]]
):
    theirs, opened = a_cipher(counter), ReadyCipher(a_cipher(counter))
    ours = ReadyCipher(a_cipher(counter))
    for packet, rests in packets:
        header = len(packet).to_bytes(4, "big")
        sealed = ours.encrypt_and_sign(header, packet)
        assert sealed == theirs.encrypt_and_sign(header, packet)
        assert opened.verify_and_decrypt(header, sealed[0][4:], sealed[1]) == packet
        if rests:
            ours.rest()
            opened.rest()


def test_a_packet_that_was_changed_is_not_opened():
    data, mac = a_cipher(0).encrypt_and_sign(b"size", b"text")
    opened = ReadyCipher(a_cipher(0))
    assert opened.verify_and_decrypt(b"sizf", data[4:], mac) is None


async def test_a_key_exchange_in_the_middle_of_a_session_breaks_nothing(server: Server):
    # given: new keys after each 2 KiB that the client sends
    async with connected(server.port, rekey_bytes=2048) as client:
        # when
        for _ in range(40):
            await client.rpc("<get/>")
        # then: it is a lean connection that answered
        session = server.session()
        connection = session._channel.get_connection()
        assert isinstance(connection, LeanConnection)
        assert isinstance(connection._send_encryption, GCMEncryption)
        assert isinstance(connection._send_encryption._cipher, ReadyCipher)


@pytest.mark.parametrize("cipher", ["aes256-gcm@openssh.com", "aes128-ctr"])
async def test_each_kind_of_cipher_answers(server: Server, cipher: str):
    async with connected(server.port, encryption_algs=[cipher]) as client:
        await client.rpc("<get/>")


async def test_a_library_that_was_not_tried_is_left_as_it_is_and_named_once(
    server: Server, monkeypatch: pytest.MonkeyPatch
):
    # given
    monkeypatch.setattr(asyncssh, "__version__", "2.24.9")
    with capture_logs() as lines:
        for _ in range(2):
            # when
            async with connected(server.port, rekey_bytes=2048) as client:
                for _ in range(5):
                    await client.rpc("<get/>")
                # then
                session = server.session()
                assert type(session._channel.get_connection()) is asyncssh.SSHServerConnection
    named = [line["version"] for line in lines if line["event"] == "ssh.library_untried"]
    assert named == ["2.24.9"]


def test_the_library_that_was_tried_is_the_one_that_is_installed_from_the_lock():
    lock = Path(__file__).parents[2] / "requirements.lock"
    assert f"asyncssh=={TRIED}" in lock.read_text().split()


async def test_a_silent_client_is_asked_whether_it_is_there(server: Server):
    # given
    async with connected(server.port) as client:
        session = server.session()
        connection = session._channel.get_connection()
        await client.rpc("<get/>")
        timer = connection._keepalive_timer
        # when: its time comes after something was heard
        connection._keepalive_timer_callback()
        # then: it is not asked
        assert connection._keepalive_timer is not timer
        assert connection._keepalive_count == 0
        # when: nothing was heard since
        connection._keepalive_timer_callback()
        assert connection._keepalive_count == 1
        # then: its answer is as good as a request
        await server.until(lambda: not connection._keepalive_count)
        await client.rpc("<get/>")


async def test_variables_of_the_environment_are_not_kept(server: Server):
    """Nobody reads them here, and there is no end to them (RFC 4254 section 6.4)."""
    async with connected(server.port) as client:
        # when they come after the session has begun
        for number in range(10):
            name = String(f"NAME_{number}")
            request = String("env"), Boolean(False), name, String("x" * 1000)
            client.writer.channel.send_packet(CHANNEL_REQUEST, *request)
        await client.rpc("<get/>")
        # then
        (session,) = server.services.sessions.open.values()
        assert isinstance(session, NetconfChannel)
        assert session._channel is not None
        assert not session._channel.get_environment_bytes()


@pytest.mark.filterwarnings("ignore:Diffie-Hellman over finite fields")
@pytest.mark.parametrize(
    "exchange",
    [
        "curve25519-sha256",
        "curve25519-sha256@libssh.org",
        "ecdh-sha2-nistp256",
        "ecdh-sha2-nistp384",
        "ecdh-sha2-nistp521",
        "diffie-hellman-group-exchange-sha256",
        "diffie-hellman-group14-sha256",
        "diffie-hellman-group16-sha512",
    ],
)
async def test_each_key_exchange_that_some_client_has_alone_is_there(server: Server, exchange: str):
    async with connected(server.port, kex_algs=[exchange]) as client:
        await client.rpc("<get/>")


@pytest.mark.parametrize(
    "exchange",
    ["diffie-hellman-group14-sha1", "rsa2048-sha256", "diffie-hellman-group18-sha512"],
)
async def test_key_exchanges_that_are_weak_or_dear_are_not_offered(server: Server, exchange: str):
    with pytest.raises(asyncssh.KeyExchangeFailed):
        async with connected(server.port, kex_algs=[exchange]):
            pass


class Kept:
    """A transport that keeps what is written to it."""

    def __init__(self, below: asyncio.Transport) -> None:
        self._below = below
        self.written: list[bytes] = []

    def __getattr__(self, name: str) -> object:
        return getattr(self._below, name)

    def write(self, data: bytes) -> None:
        self.written.append(bytes(data))


def packets_at_once(client: Client, number: int) -> None:
    """Send tiny packets that mean nothing, all in one go."""
    connection = client.connection
    below = connection._transport
    connection._transport = kept = Kept(below)
    for _ in range(number):
        connection.send_packet(MSG_IGNORE, String(b""))
    connection._transport = below
    below.write(b"".join(kept.written))


async def test_others_are_answered_before_many_tiny_packets_are_taken(server: Server):
    async with connected(server.port, rekey_bytes=2**30) as flood:
        connection = server.session()._channel.get_connection()
        assert isinstance(connection, LeanConnection)
        async with connected(server.port) as client:
            packets_at_once(flood, 4000)
            # when
            await client.rpc("<get/>")
        # then: a turn takes some of it, and nothing more is read meanwhile
        assert len(connection._held) > 64 * 1024
        assert not connection._transport.is_reading()
        # and all of it is taken in the end
        await flood.rpc("<get/>")
        assert not connection._held
        assert connection._transport.is_reading()


async def test_a_peer_that_is_gone_leaves_nothing_that_waits(server: Server):
    async with connected(server.port, rekey_bytes=2**30) as flood:
        packets_at_once(flood, 4000)
        connection = server.session()._channel.get_connection()
        assert isinstance(connection, LeanConnection)
        await server.until(lambda: connection._held)
        # when
        connection.abort()
        # then
        await server.until(lambda: not connection._held)
