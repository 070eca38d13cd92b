"""TCP and UDP pings against real listeners on loopback."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from esc_daemon.monitor.base import CollectorError
from esc_daemon.monitor.collectors.connections import TcpPing, UdpPing
from tests.monitor.questions import a_question


@contextmanager
def listening(host: str) -> Iterator[int]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as server:
        yield server.getsockname()[1]


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@contextmanager
def closed_port(kind: socket.SocketKind) -> Iterator[int]:
    """Keep a port that nobody else can take, and that answers nobody."""
    with socket.socket(socket.AF_INET, kind) as holder:
        holder.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_DGRAM:
            holder.connect(("127.0.0.1", 1))  # who hears one peer alone is not there for others
        yield holder.getsockname()[1]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_who_accepts_a_connection_is_alive(host: str) -> None:
    with listening(host) as port:
        sample = await TcpPing().sample(a_question("TCPPing", host, port=str(port)))
    assert sample.value == 100.0
    assert sample.took is not None


async def test_who_refuses_a_connection_is_not() -> None:
    with closed_port(socket.SOCK_STREAM) as port:
        sample = await TcpPing().sample(a_question("TCPPing", "127.0.0.1", port=str(port)))
    assert sample.value is None
    assert sample.detail == f"127.0.0.1 port {port}: Connection refused"


async def test_a_tcp_ping_needs_a_port() -> None:
    with pytest.raises(CollectorError, match="port should be 1 to 65535"):
        await TcpPing().sample(a_question("TCPPing", "127.0.0.1"))


async def test_who_answers_a_datagram_is_alive() -> None:
    # given: an echo server
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.setblocking(False)
        server.bind(("127.0.0.1", 0))
        question = a_question(
            "UDPPing", "127.0.0.1", port=str(server.getsockname()[1]), payload="are you there?"
        )
        loop = asyncio.get_running_loop()
        # when
        asked = loop.create_task(UdpPing().sample(question))
        payload, peer = await loop.sock_recvfrom(server, 100)
        server.sendto(b"", peer)
        # then
        assert payload == b"are you there?"
        assert (await asked).value == 100.0


async def test_a_datagram_from_elsewhere_is_no_answer() -> None:
    # given
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as liar,
    ):
        server.setblocking(False)
        server.bind(("127.0.0.1", 0))
        question = a_question("UDPPing", "127.0.0.1", port=str(server.getsockname()[1]))
        loop = asyncio.get_running_loop()
        asked = loop.create_task(UdpPing().sample(question))
        _, peer = await loop.sock_recvfrom(server, 100)
        # when
        liar.sendto(b"me", peer)
        done, _ = await asyncio.wait([asked], timeout=0.1)
        # then
        assert not done
        asked.cancel()
        await asyncio.wait([asked])


async def test_a_port_that_nobody_has_is_no_answer() -> None:
    with closed_port(socket.SOCK_DGRAM) as port:
        sample = await UdpPing().sample(a_question("UDPPing", "127.0.0.1", port=str(port)))
    assert sample.value is None
    assert "Connection refused" in sample.detail


@pytest.mark.parametrize("ping", [TcpPing(), UdpPing()], ids=["TCP", "UDP"])
async def test_a_sample_that_is_given_up_leaves_no_socket(ping: TcpPing | UdpPing) -> None:
    # given: a full backlog, where the connection hangs, and a port that keeps silent
    with (
        socket.socket() as server,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent,
        socket.socket() as first,
        socket.socket() as second,
    ):
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        port = server.getsockname()[1]
        silent.bind(("127.0.0.1", port))
        for each in (first, second):
            each.setblocking(False)
            each.connect_ex(("127.0.0.1", port))
        before = open_files()
        # when
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await ping.sample(a_question("TCPPing", "127.0.0.1", port=str(port)))
        # then
        assert open_files() == before
