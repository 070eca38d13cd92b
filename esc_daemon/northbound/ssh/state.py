"""What the NETCONF server shows of itself in a get, beside the data model."""

from collections.abc import Sequence
from datetime import datetime

from esc_daemon.netconf.library import YangLibrary
from esc_daemon.netconf.monitoring import (
    Locked,
    SessionState,
    Statistics,
    StreamState,
    netconf_state,
    streams,
)
from esc_daemon.netconf.xml import MONITORING_NS, NOTIF_MGMT_NS
from esc_daemon.northbound.ssh.locks import RunningLock
from esc_daemon.northbound.ssh.services import StateTree, StreamInfo
from esc_daemon.northbound.ssh.sessions import Sessions


def server_state(
    *,
    sessions: Sessions,
    lock: RunningLock,
    capabilities: Sequence[str],
    library: YangLibrary,
    started: datetime,
) -> StateTree:
    """Return netconf-state (RFC 6022); *started* is when the daemon began to serve."""

    def render() -> bytes:
        locked = None
        if lock.holder is not None and lock.since is not None:
            locked = Locked(session_id=lock.holder, since=lock.since)
        return netconf_state(
            capabilities=capabilities,
            locked=locked,
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


def stream_list(listed: Sequence[StreamInfo], log_created: datetime) -> StateTree:
    """Return the list of streams (RFC 5277 section 3.2.5), logged since *log_created*."""
    rendered = streams(
        [
            StreamState(name=each.name, description=each.description, log_created=log_created)
            for each in listed
        ]
    )
    return StateTree((NOTIF_MGMT_NS, "netconf"), lambda: rendered)
