"""
The NETCONF listener: SSH on one port, inside the daemon's event loop.

Errors of this file: OSError when the address cannot be bound.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

import asyncssh
import structlog

from esc_daemon.access.login import Login
from esc_daemon.northbound.http.metrics import Limit, NetconfMetrics
from esc_daemon.northbound.ssh import rpcs
from esc_daemon.northbound.ssh.auth import NetconfSshServer
from esc_daemon.northbound.ssh.dispatch import Services
from esc_daemon.northbound.ssh.notifications import FramedNotifications
from esc_daemon.northbound.ssh.transport import BYTES_A_TURN
from esc_daemon.northbound.ssh.turns import Turns

_log = structlog.get_logger("esc_daemon.northbound.ssh")
_BACKLOG: Final = 512
_KEEPALIVE_SECONDS: Final = 30
_KEEPALIVES_UNANSWERED: Final = 3
_STRANGERS: Final = 100
"""Connections beyond the sessions: those that log in just now."""
_CIPHERS: Final = (
    "aes128-gcm@openssh.com",
    "aes256-gcm@openssh.com",
    "aes256-ctr",
    "aes192-ctr",
    "aes128-ctr",
)
"""
The fastest first. chacha20-poly1305 is left out: OpenSSH would choose it before all others, and
the library composes it of many calls for each packet, AES-GCM of one.
"""
_NO_KEY_EXCHANGE: Final = (
    "*-sha1",
    "rsa2048-sha256",
    "diffie-hellman-group17-sha512",
    "diffie-hellman-group18-sha512",
)
"""
Of those that the library offers. SHA-1 is broken (RFC 9142); the others cost the loop ten times as
much as the rest, which a stranger would choose, and no client that we know lacks all of the rest.
"""


class _Connections:
    """
    The connections there are; when one is too many, the stranger who came first makes room.

    Who logs in takes a moment, who is silent stays until its time is over: so a thousand silent
    connections keep nobody out.
    """

    def __init__(self, most: int, metrics: NetconfMetrics) -> None:
        self._most = most
        self._metrics = metrics
        self._crowded = False
        self.turns: Final = Turns(BYTES_A_TURN)
        self._strangers: dict[NetconfSshServer, None] = {}
        """Who has not logged in, in the order in which they came."""
        self.open: set[NetconfSshServer] = set()

    def made(self, connection: NetconfSshServer) -> None:
        self.open.add(connection)
        self._strangers[connection] = None
        if len(self.open) > self._most:
            if not self._crowded:  # once: a line for each would let strangers fill the log
                _log.warning("listener.crowded", connections=self._most, peer=connection.peer)
            self._crowded = True
            self._metrics.limits_reached[Limit.CONNECTIONS].inc()
            oldest = next(iter(self._strangers))
            del self._strangers[oldest]
            self.open.discard(oldest)
            oldest.abort()

    def logged_in(self, connection: NetconfSshServer) -> None:
        self._strangers.pop(connection, None)

    def lost(self, connection: NetconfSshServer) -> None:
        self._strangers.pop(connection, None)
        self.open.discard(connection)
        self._crowded = self._crowded and len(self.open) > self._most // 2


@asynccontextmanager
async def netconf_listener(
    host: str,
    port: int,
    *,
    services: Services,
    login: Login,
    host_keys: Sequence[asyncssh.SSHKey],
) -> AsyncIterator[int]:
    """
    Serve NETCONF on *host* while the context lasts; yields the real port (*port* 0: any free).

    At the end nobody new comes in, each session finishes the RPC under way and sends what it
    has, and what is left after *stop_seconds* is cut off.
    """
    assert rpcs.HANDLERS, "importing the RPCs fills the table"
    # The library tells each packet's story on request; what matters we log ourselves.
    asyncssh.set_log_level(logging.WARNING)
    connections = _Connections(services.limits.sessions + _STRANGERS, services.metrics)
    acceptor = await asyncssh.listen(
        host,
        port,
        server_factory=partial(
            NetconfSshServer,
            login=login,
            services=services,
            framed=FramedNotifications(),
            connections=connections,
        ),
        server_host_keys=list(host_keys),
        encoding=None,
        compression_algs=None,
        kex_algs=f"-{','.join(_NO_KEY_EXCHANGE)}",
        encryption_algs=list(_CIPHERS),
        # The same password a second time: a client that tries both would be counted twice.
        kbdint_auth=False,
        login_timeout=services.limits.pre_auth_seconds,
        keepalive_interval=_KEEPALIVE_SECONDS,
        keepalive_count_max=_KEEPALIVES_UNANSWERED,
        # A terminal is granted, and bytes pass as they are: OpenSSH hangs up when the one that -tt
        # asks for is refused, and scrapli calls it so.
        allow_pty=True,
        line_editor=False,
        agent_forwarding=False,
        x11_forwarding=False,
        gss_host=None,
        backlog=_BACKLOG,
        config=None,
    )
    try:
        yield acceptor.get_port()
    finally:
        acceptor.close()
        await _stop(services, connections)
        await acceptor.wait_closed()


async def _stop(services: Services, connections: _Connections) -> None:
    try:
        async with asyncio.timeout(services.limits.stop_seconds):
            await asyncio.gather(*(session.stop() for session in services.sessions.open.values()))
            await asyncio.gather(*(connection.stop() for connection in connections.open))
    except TimeoutError:
        left = set(connections.open)
        _log.warning("listener.cut_off", connections=len(left))
        for connection in left:
            connection.abort()
        await asyncio.gather(*(connection.stop() for connection in left))
