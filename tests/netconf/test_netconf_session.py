"""One session from hello to its end."""

import pytest

from esc_daemon.netconf.capabilities import (
    BASE_1_0,
    BASE_1_1,
    PROTOCOL_CAPABILITIES,
    HelloError,
    hello,
    module_capability,
    parse_hello,
)
from esc_daemon.netconf.framing import Framer
from esc_daemon.netconf.messages import Data, Ok, Rpc
from esc_daemon.netconf.session import ProtocolError, Session, SessionState
from esc_daemon.netconf.xml import BASE_NS, NOTIFICATION_NS, parse

END = b"]]>]]>"
GET = f'<rpc xmlns="{BASE_NS}" message-id="1"><get/></rpc>'.encode()


def client_hello(*capabilities: str, extra: str = "") -> bytes:
    listed = "".join(f"<capability> {c}\n</capability>" for c in capabilities)
    return (
        f'<hello xmlns="{BASE_NS}"><capabilities>{listed}</capabilities>{extra}</hello>'.encode()
        + END
    )


def chunk(message: bytes) -> bytes:
    return b"\n#%d\n%b\n##\n" % (len(message), message)


def opened(*capabilities: str, max_message: int = 10_000) -> Session:
    session = Session(7, max_message=max_message)
    assert session.receive(client_hello(*capabilities)) == []
    return session


def only(received) -> Rpc | ProtocolError:
    (found,) = received
    return found


def error_tag(problem: ProtocolError, *, chunked: bool) -> str | None:
    framer = Framer()
    if chunked:
        framer.upgrade()
    (message,) = framer.receive(problem.reply)
    return parse(message).findtext(f"{{{BASE_NS}}}rpc-error/{{{BASE_NS}}}error-tag")


def test_the_servers_hello_has_its_capabilities_and_the_session_id():
    module = module_capability("http://www.cisco.com/esc/esc", "esc", "2026-01-01")
    session = Session(7, (*PROTOCOL_CAPABILITIES, module))

    said = session.hello()

    assert said.endswith(END)
    root = parse(said.removesuffix(END))
    told = [element.text for element in root.iter(f"{{{BASE_NS}}}capability")]
    assert told[:2] == [BASE_1_0, BASE_1_1]
    assert told[-1] == "http://www.cisco.com/esc/esc?module=esc&revision=2026-01-01"
    assert root.findtext(f"{{{BASE_NS}}}session-id") == "7"


def test_a_module_without_a_revision_says_none():
    assert module_capability("urn:m", "m") == "urn:m?module=m"


@pytest.mark.parametrize(
    ("theirs", "ours", "chunked"),
    [
        ((BASE_1_0,), PROTOCOL_CAPABILITIES, False),
        ((BASE_1_1,), PROTOCOL_CAPABILITIES, True),
        ((BASE_1_0, BASE_1_1), PROTOCOL_CAPABILITIES, True),
        ((BASE_1_0, BASE_1_1), (BASE_1_0,), False),
    ],
)
def test_chunks_are_used_when_both_sides_know_them(theirs, ours, chunked):
    session = Session(7, ours)
    assert session.state is SessionState.AWAITING_HELLO

    assert session.receive(client_hello(*theirs)) == []

    assert session.state is SessionState.OPEN
    assert session.chunked is chunked
    assert session.client_capabilities == frozenset(theirs)


def test_hello_and_first_request_may_come_in_one_read():
    session = Session(7)

    found = session.receive(client_hello(BASE_1_1) + chunk(GET) + chunk(GET))

    assert [type(each) for each in found] == [Rpc, Rpc]


def test_a_request_may_come_byte_by_byte():
    session = Session(7)
    stream = client_hello(BASE_1_1) + chunk(GET)

    found = [each for byte in stream for each in session.receive(bytes([byte]))]

    assert isinstance(only(found), Rpc)


@pytest.mark.parametrize(
    "greeting",
    [
        client_hello(BASE_1_0, extra="<session-id>1</session-id>"),
        client_hello("urn:something:else"),
        client_hello(),
        b"<hello/>" + END,
        b"<hello" + END,
        GET + END,
        b"x" * 10_100,
    ],
)
def test_a_bad_hello_ends_the_session_without_a_word(greeting):
    session = Session(7, max_message=10_000)

    problem = only(session.receive(greeting + GET + END))

    assert isinstance(problem, ProtocolError)
    assert problem.fatal
    assert problem.reply == b""
    assert problem.reason
    assert session.state is SessionState.CLOSED
    assert session.receive(client_hello(BASE_1_0)) == []


def test_two_sides_without_a_common_base_part():
    problem = only(Session(7, (BASE_1_1,)).receive(client_hello(BASE_1_0)))

    assert isinstance(problem, ProtocolError)
    assert problem.fatal


def test_a_malformed_message_is_answered_to_a_client_that_knows_the_word():
    session = opened(BASE_1_1)

    problem, request = session.receive(chunk(b"<rpc") + chunk(GET))

    assert isinstance(problem, ProtocolError)
    assert not problem.fatal
    assert error_tag(problem, chunked=True) == "malformed-message"
    assert isinstance(request, Rpc)


def test_a_malformed_message_ends_a_session_of_base_1_0():
    session = opened(BASE_1_0)

    problem = only(session.receive(b"<rpc" + END + GET + END))

    assert isinstance(problem, ProtocolError)
    assert (problem.fatal, problem.reply) == (True, b"")


def test_a_request_without_an_id_is_refused_and_its_other_attributes_come_back():
    session = opened(BASE_1_0)
    document = f'<rpc xmlns="{BASE_NS}" xmlns:x="urn:x" x:mark="m"><get/></rpc>'.encode()

    problem = only(session.receive(document + END))

    assert isinstance(problem, ProtocolError)
    assert not problem.fatal
    assert error_tag(problem, chunked=False) == "missing-attribute"
    assert parse(problem.reply.removesuffix(END)).get("{urn:x}mark") == "m"


def test_a_broken_frame_ends_the_session_after_what_came_before_it():
    session = opened(BASE_1_1)

    request, problem = session.receive(chunk(GET) + b"<rpc/>")

    assert isinstance(request, Rpc)
    assert isinstance(problem, ProtocolError)
    assert (problem.fatal, problem.reply) == (True, b"")
    assert session.state is SessionState.CLOSED


def test_a_message_beyond_the_limit_is_told_before_the_end():
    session = opened(BASE_1_1, max_message=500)

    problem = only(session.receive(b"\n#501\n"))

    assert isinstance(problem, ProtocolError)
    assert problem.fatal
    assert error_tag(problem, chunked=True) == "too-big"


@pytest.mark.parametrize(
    ("sent", "known"),
    [
        (f'<?xml version="1.0"?>\n<rpc xmlns="{BASE_NS}" message-id="7"><get>', "7"),
        (f'<nc:rpc xmlns:nc="{BASE_NS}" message-id="7">', "7"),
        (f'<rpc xmlns="{BASE_NS}" message-id="7"', ""),
        ('<a:rpc message-id="7">', ""),
    ],
    ids=["whole", "prefix", "half", "malformed"],
)
@pytest.mark.parametrize("base", [BASE_1_0, BASE_1_1])
def test_a_message_beyond_the_limit_is_answered_under_its_id(base: str, sent: str, known: str):
    session = opened(base, max_message=500)
    size = b"\n#501\n" if base == BASE_1_1 else b""
    rest = b"" if base == BASE_1_1 else b"<" * 500

    problem = only(session.receive(size + sent.encode() + rest))

    assert isinstance(problem, ProtocolError)
    assert problem.unfinished
    assert (b'message-id="7"' in problem.reply) is bool(known)


@pytest.mark.parametrize(("base", "chunked"), [(BASE_1_0, False), (BASE_1_1, True)])
def test_replies_and_notifications_are_framed_as_agreed(base, chunked):
    session = opened(base)
    request = Rpc(attributes=(("message-id", "1"),), operation=parse(b"<get/>"))
    client = Framer()
    if chunked:
        client.upgrade()

    stream = b"".join(
        (
            *session.reply(request, Ok()),
            *session.reply(request, Data([b"<a/>"] * 100_000)),
            session.notify("2026-01-01T00:00:00Z", b"<e/>"),
        )
    )

    assert [parse(message).tag for message in client.receive(stream)] == [
        f"{{{BASE_NS}}}rpc-reply",
        f"{{{BASE_NS}}}rpc-reply",
        f"{{{NOTIFICATION_NS}}}notification",
    ]


def test_nothing_is_read_after_the_close():
    session = opened(BASE_1_0)

    session.close()

    assert session.receive(GET + END) == []
    assert b"<ok/>" in b"".join(
        session.reply(Rpc(attributes=(), operation=parse(b"<close-session/>")), Ok())
    )


def test_a_hello_is_read_back_as_it_was_written():
    root = parse(hello(1, ["a&b", BASE_1_0]))
    with pytest.raises(HelloError):
        parse_hello(root)  # a server's, with its session-id

    root.remove(root[1])
    assert parse_hello(root) == {"a&b", BASE_1_0}
