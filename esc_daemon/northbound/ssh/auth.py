"""One SSH connection: who logs in, and which channels he gets."""

import asyncio
from typing import Final, Literal, Protocol

import asyncssh
import structlog

from esc_daemon.access.errors import AccessError
from esc_daemon.access.login import Login
from esc_daemon.northbound.http.metrics import Limit
from esc_daemon.northbound.ssh.channel import NetconfChannel
from esc_daemon.northbound.ssh.dispatch import Services
from esc_daemon.northbound.ssh.notifications import FramedNotifications
from esc_daemon.northbound.ssh.transport import TooMuchBeforeLogin, is_unreadable, make_lean
from esc_daemon.northbound.ssh.turns import Turns

_log = structlog.get_logger("esc_daemon.northbound.ssh")
_LONGEST_NAME: Final = 64
_TIMER_SECONDS: Final = 0.01
"""By which a timer may be early: the loop's clock counts milliseconds."""
_MOST_CHANNELS: Final = 64
"""Of one connection; one more is refused."""


class Connections(Protocol):
    """Who keeps the connections."""

    @property
    def turns(self) -> Turns:
        """What those who send much wait for, in bytes."""

    def made(self, connection: "NetconfSshServer") -> None:
        """Count a connection; one of them is cut off when there are too many."""

    def logged_in(self, connection: "NetconfSshServer") -> None:
        """Keep a connection from now on."""

    def lost(self, connection: "NetconfSshServer") -> None:
        """Forget a connection; no error if it was not counted."""


class NetconfSshServer(asyncssh.SSHServer):
    """Made by asyncssh for each connection; asyncssh calls the methods without docstring."""

    def __init__(
        self,
        *,
        login: Login,
        services: Services,
        framed: FramedNotifications,
        connections: Connections,
    ) -> None:
        self._login = login
        self._services = services
        self._framed = framed
        self._connections = connections
        self._connection: asyncssh.SSHServerConnection | None = None
        self._peer = ""
        self._passwords = 0
        self._channels = 0
        self._timer: asyncio.TimerHandle | None = None
        self._login_until: float | None = None

    @property
    def peer(self) -> str:
        """The client's host."""
        return self._peer

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn
        make_lean(conn, self._connections.turns)
        self._peer = str(conn.get_extra_info("peername", ("unknown",))[0])
        now = asyncio.get_running_loop().time()
        self._login_until = now + self._services.limits.pre_auth_seconds
        self._connections.made(self)

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None and not isinstance(exc, asyncssh.Error | OSError):
            self._tell_broken(exc)
        self._connection = None
        if isinstance(exc, TooMuchBeforeLogin):
            self._services.metrics.limits_reached[Limit.PRE_AUTH_BYTES].inc()
        self._count_late_login(exc)
        self._connections.lost(self)
        if self._timer is not None:
            self._timer.cancel()

    def _tell_broken(self, error: Exception) -> None:
        """Log what the library would keep for itself."""
        if is_unreadable(error):
            # No error: strangers could send it until those of ours are nowhere to be seen.
            _log.warning("connection.unreadable", peer=self._peer, error=str(error))
        else:
            _log.error("connection.failed", peer=self._peer, exc_info=error)

    def _count_late_login(self, exc: Exception | None) -> None:
        """Count an end by the library's timer, which has no sign but its text and the time."""
        now = asyncio.get_running_loop().time() + _TIMER_SECONDS
        late = self._login_until is not None and now >= self._login_until
        if late and isinstance(exc, asyncssh.ConnectionLost):
            self._services.metrics.limits_reached[Limit.PRE_AUTH_SECONDS].inc()

    def begin_auth(self, username: str) -> bool:
        del username
        return True  # nobody comes in without

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        try:
            known = self._login.by_key(username, key.export_public_key("openssh").decode("ascii"))
        except AccessError as error:
            _log.error("login.impossible", error=str(error))
            return False
        # The library asks before the client has proved that it holds the private half, so a
        # refusal says little and a yes is counted when the login is complete.
        return known

    def password_auth_supported(self) -> bool:
        return True

    async def validate_password(self, username: str, password: str) -> bool:
        # Counted before it is looked at: a client may send the next one without waiting.
        self._passwords += 1
        if self._passwords > self._services.limits.passwords_per_connection:
            raise asyncssh.PermissionDenied("too many passwords")
        try:
            verdict = await self._login.by_password(username, password, self._peer)
        except asyncio.CancelledError:
            self._tell_refused(username, "did not wait for the answer")
            raise
        except AccessError as error:
            _log.error("login.impossible", error=str(error))
            return False
        if not verdict:
            self._tell_refused(username, verdict.value)
            if self._passwords >= self._services.limits.passwords_per_connection:
                raise asyncssh.PermissionDenied("too many wrong passwords")
        return bool(verdict)

    def auth_completed(self) -> None:
        self._login_until = None
        self._connections.logged_in(self)
        self._services.metrics.logins.labels("ok").inc()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._services.limits.hello_seconds, self._close_if_idle)

    def session_requested(self) -> NetconfChannel | Literal[False]:
        assert self._connection is not None
        if self._channels >= _MOST_CHANNELS:
            return False
        self._channels += 1
        return NetconfChannel(
            user=str(self._connection.get_extra_info("username")),
            peer=self._peer,
            services=self._services,
            framed=self._framed,
            closed=self._channel_closed,
        )

    async def stop(self) -> None:
        """Close the connection, a busy one when its last channel closes; return when closed."""
        connection = self._connection
        if connection is None:
            return
        if not self._channels:
            connection.close()
        await connection.wait_closed()

    def abort(self) -> None:
        """Cut the connection off."""
        if self._connection is not None:
            self._connection.abort()

    def _channel_closed(self) -> None:
        self._channels -= 1
        # RFC 6241 section 7.8: the transport goes with the session.
        self._close_if_idle()

    def _close_if_idle(self) -> None:
        if not self._channels and self._connection is not None:
            self._connection.close()

    def _tell_refused(self, username: str, why: str) -> None:
        self._services.metrics.logins.labels("refused").inc()
        name = username[:_LONGEST_NAME]
        _log.warning("login.refused", user=name, peer=self._peer, why=why)
