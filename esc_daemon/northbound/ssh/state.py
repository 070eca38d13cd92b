"""What the NETCONF server shows of itself in a get, beside the data model."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Final, Protocol, TypeAlias

from esc_daemon.netconf.library import YangLibrary
from esc_daemon.netconf.monitoring import (
    SessionState,
    Statistics,
    StreamState,
    netconf_state,
    streams,
)
from esc_daemon.netconf.xml import MONITORING_NS, NOTIF_MGMT_NS
from esc_daemon.northbound.ssh.locks import Locks
from esc_daemon.northbound.ssh.services import StateTree, StreamInfo
from esc_daemon.northbound.ssh.sessions import Sessions

_FIRST: Final = 1
"""The number of the first event of a log."""


class Oldest(Protocol):
    """The oldest event that the log still has."""

    @property
    def seq(self) -> int: ...
    @property
    def time(self) -> datetime: ...


EventLog: TypeAlias = Callable[[], Awaitable[Oldest | None]]


def server_state(
    *,
    sessions: Sessions,
    locks: Locks,
    capabilities: Sequence[str],
    library: YangLibrary,
    started: datetime,
) -> StateTree:
    """Return netconf-state (RFC 6022); *started* is when the daemon began to serve."""

    async def render() -> bytes:
        return netconf_state(
            capabilities=capabilities,
            datastores={name.value: locked for name, locked in locks.held.items()},
            modules=library.modules,
            sessions=[
                SessionState(
                    session_id=session_id,
                    username=session.user,
                    source_host=session.peer,
                    login_time=session.login_time,
                    counters=session.counters,
                )
                for session_id, session in sessions.open.items()
            ],
            statistics=Statistics(
                start_time=started,
                in_bad_hellos=sessions.bad_hellos,
                in_sessions=sessions.begun,
                dropped_sessions=sessions.dropped,
                counters=sessions.totals(),
            ),
        )

    return StateTree((MONITORING_NS, "netconf-state"), render)


def stream_list(listed: Sequence[StreamInfo], log: EventLog, started: datetime) -> StateTree:
    """
    Return the list of streams (RFC 5277 section 3.2.5).

    Their log is kept since its oldest event, or since *started* when that was earlier.
    """

    async def render() -> bytes:
        oldest = await log()
        created = started if oldest is None else min(started, oldest.time)
        aged = oldest.time if oldest is not None and oldest.seq > _FIRST else None
        return streams(
            [
                StreamState(
                    name=each.name,
                    description=each.description,
                    log_created=created,
                    log_aged=aged,
                )
                for each in listed
            ]
        )

    return StateTree((NOTIF_MGMT_NS, "netconf"), render)
