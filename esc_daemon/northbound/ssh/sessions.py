"""The sessions that are open, and how many there may be."""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from esc_daemon.netconf.monitoring import Counters
from esc_daemon.northbound.http.metrics import Limit, NetconfMetrics
from esc_daemon.northbound.ssh.limits import Limits


class OpenSession(Protocol):
    """What others may ask of a session."""

    @property
    def user(self) -> str: ...
    @property
    def peer(self) -> str:
        """Where the client is: its host."""

    @property
    def login_time(self) -> datetime: ...
    @property
    def counters(self) -> Counters: ...
    def kill(self, by: int) -> None:
        """End it at once, for the session *by* (RFC 6241 section 7.9)."""

    async def stop(self) -> None:
        """End it because the daemon stops: after the RPC under way, output flushed."""


class Sessions:
    """Every open session by its session-id, which is never used twice while the daemon runs."""

    def __init__(self, *, limits: Limits, metrics: NetconfMetrics) -> None:
        self._limits = limits
        self._metrics = metrics
        self._last_id = 0
        self._open: dict[int, OpenSession] = {}
        self._of_user: Counter[str] = Counter()
        self._subscriptions = 0
        self._ended = Counters()
        self.bad_hellos = 0
        """Sessions that ended for what came in place of a hello."""
        self.dropped = 0
        """Sessions that ended neither by close-session nor by kill-session, nor with us."""

    @property
    def open(self) -> Mapping[int, OpenSession]:
        """The sessions by session-id."""
        return self._open

    @property
    def begun(self) -> int:
        """How many sessions there were and are."""
        return self._last_id

    def totals(self) -> Counters:
        """Return what all sessions counted, those that are open too."""
        total = Counters()
        for counters in (self._ended, *(session.counters for session in self._open.values())):
            total.add(counters)
        return total

    @property
    def subscriptions(self) -> int:
        """How many subscriptions there are."""
        return self._subscriptions

    def enter(self, session: OpenSession) -> int | None:
        """Return a new session-id for *session*, or None when a limit is reached."""
        if len(self._open) >= self._limits.sessions:
            self._metrics.limits_reached[Limit.SESSIONS].inc()
            return None
        if self._of_user[session.user] >= self._limits.sessions_per_user:
            self._metrics.limits_reached[Limit.SESSIONS_PER_USER].inc()
            return None
        self._last_id += 1
        self._open[self._last_id] = session
        self._of_user[session.user] += 1
        self._metrics.sessions.set(len(self._open))
        return self._last_id

    def leave(self, session_id: int) -> None:
        """Forget a session; twice is no error."""
        session = self._open.pop(session_id, None)
        if session is None:
            return
        self._ended.add(session.counters)
        self._of_user[session.user] -= 1
        if not self._of_user[session.user]:
            del self._of_user[session.user]
        self._metrics.sessions.set(len(self._open))

    def begin_subscription(self) -> bool:
        """Count one more subscription; False when there may be no more."""
        if self._subscriptions >= self._limits.subscriptions:
            self._metrics.limits_reached[Limit.SUBSCRIPTIONS].inc()
            return False
        self._subscriptions += 1
        self._metrics.subscriptions.set(self._subscriptions)
        return True

    def end_subscription(self) -> None:
        """Count one less."""
        self._subscriptions -= 1
        self._metrics.subscriptions.set(self._subscriptions)
