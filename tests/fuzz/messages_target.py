"""Bytes of a client to requests: an answer or the door, and never more kept than the limit."""

from datetime import UTC, datetime

from esc_daemon.netconf.capabilities import BASE_1_0, BASE_1_1
from esc_daemon.netconf.errors import RpcError
from esc_daemon.netconf.messages import (
    WITH_CANDIDATE,
    CreateSubscription,
    Failure,
    Rpc,
    parse_request,
)
from esc_daemon.netconf.session import ProtocolError, Session, SessionState
from esc_daemon.netconf.subscription import Subscription
from esc_daemon.netconf.xml import BASE_NS, MONITORING_NS, NOTIFICATION_NS, WITH_DEFAULTS_NS, parse
from tests.fuzz.choices import cut

LIMIT = 8192
NOW = datetime(2026, 1, 1, tzinfo=UTC)
EVENT = parse(b"<escEvent xmlns='http://www.cisco.com/esc/esc'><status>SUCCESS</status></escEvent>")


def _rpc(body: str) -> bytes:
    return f'<rpc xmlns="{BASE_NS}" message-id="1">{body}</rpc>'.encode()


def _subscription(inside: str) -> str:
    return f'<create-subscription xmlns="{NOTIFICATION_NS}">{inside}</create-subscription>'


WITH_DEFAULTS = f'<with-defaults xmlns="{WITH_DEFAULTS_NS}">report-all</with-defaults>'
OPTIONS = (
    "<default-operation>none</default-operation><test-option>test-only</test-option>"
    "<error-option>rollback-on-error</error-option>"
)
OPERATIONS = tuple(
    _rpc(body)
    for body in (
        '<get><filter type="subtree"><a xmlns="urn:a"><b>1</b></a></filter></get>',
        '<get><filter type="xpath" select="/a/b[c=\'1\']"/></get>',
        f"<get-config><source><running/></source>{WITH_DEFAULTS}</get-config>",
        f"<edit-config><target><candidate/></target>{OPTIONS}<config/></edit-config>",
        "<copy-config><target><running/></target><source><config/></source></copy-config>",
        "<commit><confirmed/><confirm-timeout>5</confirm-timeout><persist>x</persist></commit>",
        "<cancel-commit><persist-id>x</persist-id></cancel-commit>",
        "<lock><target><running/></target></lock>",
        "<kill-session><session-id>4</session-id></kill-session>",
        f'<get-schema xmlns="{MONITORING_NS}"><identifier>esc</identifier></get-schema>',
        _subscription("<startTime>2025-01-01T00:00:00Z</startTime>"),
        _subscription('<filter type="xpath" select="escEvent[status=\'SUCCESS\']"/>'),
    )
)
SEEDS = (
    *(
        bytes((mode, cuts)) + b"\x09" * cuts + document
        for document in OPERATIONS
        for mode, cuts in ((0, 0), (1, 3), (4, 1))
    ),
    b"\x02\x00\n#5\n<rpc>\n#6\n</rpc>\n##\n",
    b"\x06\x00<hello xmlns='x'/>]]>]]><rpc/>]]>]]>",
    b'\x00\x00<!DOCTYPE r [<!ENTITY a "b">]><rpc>&a;</rpc>',
)


def run(data: bytes) -> None:
    if len(data) < 2:
        return
    mode, number = data[0], min(data[1], 16)
    places, stream = data[2 : 2 + number], data[2 + number :]
    session = Session(1, max_message=LIMIT)
    if not mode & 4:
        base = BASE_1_0 if mode & 1 else BASE_1_1
        greeting = f'<hello xmlns="{BASE_NS}"><capabilities><capability>{base}</capability>'
        assert not session.receive(f"{greeting}</capabilities></hello>]]>]]>".encode())
    if not mode & 2:  # one whole message, else the stream as it is
        frame = b"\n#%d\n%b\n##\n" if session.chunked else b"%.0s%b]]>]]>"
        stream = frame % ((len(stream), stream) if session.chunked else (b"", stream))
    for piece in cut(stream, places):
        fatal = [_take(session, found) for found in session.receive(piece)]
        assert fatal.count(True) == (session.state is SessionState.CLOSED)
        assert True not in fatal[:-1]
        if session.state is SessionState.CLOSED:
            return
        assert len(session._framer._input) + len(session._framer._message) <= LIMIT + len(piece)


def _take(session: Session, found: Rpc | ProtocolError) -> bool:
    """Answer what was found; tell whether it ends the session."""
    if isinstance(found, ProtocolError):
        if found.reply:
            _well_formed(session, found.reply)
        return found.fatal
    try:
        request = parse_request(found.operation, now=NOW, datastores=WITH_CANDIDATE)
        if isinstance(request, CreateSubscription):
            subscription = Subscription(request)
            subscription.check()
            tuple(subscription.event(NOW, EVENT, b""))
    except RpcError as error:
        _well_formed(session, b"".join(session.reply(found, Failure.of(error))))
    return False


def _well_formed(session: Session, framed: bytes) -> None:
    """Raise unless what is sent is one message of XML."""
    reader = Session(1)._framer
    if session.chunked:
        reader.upgrade()
    (message,) = reader.receive(framed)
    parse(message)
