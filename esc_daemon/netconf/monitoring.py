"""What a server says of itself: netconf-state of RFC 6022, and the streams of RFC 5277."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from lxml import etree

from esc_daemon.netconf.library import YangModule
from esc_daemon.netconf.xml import MONITORING_NS, NOTIF_MGMT_NS, inner, leaf, qualified, serialise


@dataclass(slots=True, kw_only=True)
class Counters:
    """RFC 6022 section 2.1, common-counters: of one session, or of all there ever were."""

    in_rpcs: int = 0
    """Correct ones."""
    in_bad_rpcs: int = 0
    """Messages where an rpc was expected that were none."""
    out_rpc_errors: int = 0
    """Replies that hold an rpc-error."""
    out_notifications: int = 0

    def add(self, other: "Counters") -> None:
        """Count what *other* counted, too."""
        self.in_rpcs += other.in_rpcs
        self.in_bad_rpcs += other.in_bad_rpcs
        self.out_rpc_errors += other.out_rpc_errors
        self.out_notifications += other.out_notifications


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionState:
    """One session over SSH (RFC 6022 section 2.1.4)."""

    session_id: int
    username: str
    source_host: str
    login_time: datetime
    counters: Counters


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """The server since its start (RFC 6022 section 2.1.5); *counters* are of all sessions."""

    start_time: datetime
    in_bad_hellos: int
    in_sessions: int
    dropped_sessions: int
    counters: Counters


@dataclass(frozen=True, slots=True, kw_only=True)
class Locked:
    """The global lock of a datastore (RFC 6022 section 2.1.2)."""

    session_id: int
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamState:
    """
    One stream (RFC 5277 section 3.2.5), which can be replayed.

    Its log is kept since *log_created*; what is older than *log_aged* may have been forgotten.
    """

    name: str
    description: str
    log_created: datetime
    log_aged: datetime | None


def netconf_state(
    *,
    capabilities: Iterable[str],
    datastores: Mapping[str, Locked | None],
    modules: Iterable[YangModule],
    sessions: Iterable[SessionState],
    statistics: Statistics,
) -> bytes:
    """Return the container *netconf-state*, serialised; *datastores* are by name."""
    root = etree.Element(qualified(MONITORING_NS, "netconf-state"), nsmap={None: MONITORING_NS})
    listed = inner(root, "capabilities")
    for capability in capabilities:
        leaf(listed, "capability", capability)
    there = inner(root, "datastores")
    for name, locked in datastores.items():
        _datastore(there, name, locked)
    schemas = inner(root, "schemas")
    for module in modules:
        _schemas(schemas, module)
    open_now = inner(root, "sessions")
    for session in sessions:
        _session(open_now, session)
    _statistics(inner(root, "statistics"), statistics)
    return serialise(root)


def _datastore(parent: etree._Element, name: str, locked: Locked | None) -> None:
    entry = inner(parent, "datastore")
    leaf(entry, "name", name)
    if locked is not None:
        lock = inner(inner(entry, "locks"), "global-lock")
        leaf(lock, "locked-by-session", str(locked.session_id))
        leaf(lock, "locked-time", locked.since.isoformat())


def _schemas(parent: etree._Element, module: YangModule) -> None:
    """Add the module and its submodules, each to be had by get-schema."""
    for name, revision in ((module.name, module.revision), *module.submodules):
        schema = inner(parent, "schema")
        leaf(schema, "identifier", name)
        leaf(schema, "version", revision)
        leaf(schema, "format", "yang")
        leaf(schema, "namespace", module.namespace)
        leaf(schema, "location", "NETCONF")


def _session(parent: etree._Element, session: SessionState) -> None:
    entry = inner(parent, "session")
    leaf(entry, "session-id", str(session.session_id))
    leaf(entry, "transport", "netconf-ssh")
    leaf(entry, "username", session.username)
    if session.source_host:
        leaf(entry, "source-host", session.source_host)
    leaf(entry, "login-time", session.login_time.isoformat())
    _counters(entry, session.counters)


def _statistics(parent: etree._Element, statistics: Statistics) -> None:
    leaf(parent, "netconf-start-time", statistics.start_time.isoformat())
    leaf(parent, "in-bad-hellos", str(statistics.in_bad_hellos))
    leaf(parent, "in-sessions", str(statistics.in_sessions))
    leaf(parent, "dropped-sessions", str(statistics.dropped_sessions))
    _counters(parent, statistics.counters)


def _counters(parent: etree._Element, counters: Counters) -> None:
    for name, value in _figures(counters):
        leaf(parent, name, str(value))


def _figures(counters: Counters) -> Iterator[tuple[str, int]]:
    yield "in-rpcs", counters.in_rpcs
    yield "in-bad-rpcs", counters.in_bad_rpcs
    yield "out-rpc-errors", counters.out_rpc_errors
    yield "out-notifications", counters.out_notifications


def streams(listed: Sequence[StreamState]) -> bytes:
    """Return the container *netconf* with the list of streams, serialised."""
    root = etree.Element(qualified(NOTIF_MGMT_NS, "netconf"), nsmap={None: NOTIF_MGMT_NS})
    parent = inner(root, "streams")
    for stream in listed:
        entry = inner(parent, "stream")
        leaf(entry, "name", stream.name)
        leaf(entry, "description", stream.description)
        leaf(entry, "replaySupport", "true")
        leaf(entry, "replayLogCreationTime", stream.log_created.isoformat())
        if stream.log_aged is not None:
            leaf(entry, "replayLogAgedTime", stream.log_aged.isoformat())
    return serialise(root)


def schema_text(text: str) -> etree._Element:
    """Return the output of get-schema: the element *data* of RFC 6022 section 3.1."""
    data = etree.Element(qualified(MONITORING_NS, "data"), nsmap={None: MONITORING_NS})
    data.text = text
    return data
