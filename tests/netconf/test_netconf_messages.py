"""Envelopes in, replies out."""

import pytest
from lxml import etree

from esc_daemon.netconf.errors import ErrorTag, RpcError, RpcErrors
from esc_daemon.netconf.messages import (
    NOTIFICATION_COMPLETE,
    REPLAY_COMPLETE,
    Data,
    Envelope,
    Failure,
    Ok,
    Output,
    Rpc,
    notification,
    parse_rpc,
    render,
)
from esc_daemon.netconf.xml import BASE_NS, NOTIF_MGMT_NS, NOTIFICATION_NS, parse

HEAD = f'<?xml version="1.0" encoding="UTF-8"?>\n<rpc-reply xmlns="{BASE_NS}" message-id="1">'


def rpc(attributes: str = 'message-id="1"', body: str = "<get/>") -> Rpc:
    return parse_rpc(parse(f'<rpc xmlns="{BASE_NS}" {attributes}>{body}</rpc>'.encode()))


def answer(reply: Ok | Data | Output | Failure, request: Envelope | None = None) -> str:
    return b"".join(render(request or rpc(), reply)).decode()


def test_a_request_is_its_operation_and_its_attributes():
    request = rpc('message-id="a b" xmlns:x="urn:x" x:user="fred"')

    assert request.message_id == "a b"
    assert request.attributes == (("message-id", "a b"), ("{urn:x}user", "fred"))
    assert request.operation.tag == f"{{{BASE_NS}}}get"


@pytest.mark.parametrize(
    ("document", "tag", "element"),
    [
        (f'<hello xmlns="{BASE_NS}"/>', ErrorTag.UNKNOWN_ELEMENT, "hello"),
        ("<rpc message-id='1'><get/></rpc>", ErrorTag.UNKNOWN_NAMESPACE, "rpc"),
        (f'<rpc xmlns="{BASE_NS}"><get/></rpc>', ErrorTag.MISSING_ATTRIBUTE, "rpc"),
        (f'<rpc xmlns="{BASE_NS}" message-id="1"/>', ErrorTag.MISSING_ELEMENT, "rpc"),
        (
            f'<rpc xmlns="{BASE_NS}" message-id="1"><get/><lock/></rpc>',
            ErrorTag.BAD_ELEMENT,
            "lock",
        ),
    ],
)
def test_what_is_no_request_is_told_apart(document, tag, element):
    with pytest.raises(RpcError) as caught:
        parse_rpc(parse(document.encode()))

    assert caught.value.tag is tag
    assert ("bad-element", element) in caught.value.info


def test_ok_has_no_prefix():
    assert answer(Ok()) == HEAD + "<ok/></rpc-reply>"


def test_a_reply_repeats_every_attribute_of_its_request():
    request = rpc(
        'message-id=\'&lt;"&#10;&amp;\' xmlns:x="urn:x" x:user="fred" xml:lang="de" n="2"'
    )

    reply = parse(answer(Ok(), request).encode())

    assert dict(reply.attrib) == {
        "message-id": '<"\n&',
        "{urn:x}user": "fred",
        "{http://www.w3.org/XML/1998/namespace}lang": "de",
        "n": "2",
    }


@pytest.mark.parametrize("content", [[], [b"", b""], etree.Element("data")])
def test_no_data_is_an_empty_element(content):
    assert answer(Data(content)) == HEAD + "<data/></rpc-reply>"


@pytest.mark.parametrize(
    "content",
    [
        [b"", b'<a xmlns="urn:a">', b"<b/></a>", b'<c xmlns="urn:a"/>'],
        parse(b'<data><a xmlns="urn:a"><b/></a> <c xmlns="urn:a"/> </data>'),
    ],
)
def test_data_comes_as_a_tree_or_in_pieces(content):
    assert answer(Data(content)) == (
        HEAD + '<data><a xmlns="urn:a"><b/></a><c xmlns="urn:a"/></data></rpc-reply>'
    )


def test_the_pieces_of_a_big_reply_are_asked_for_one_by_one():
    asked: list[int] = []

    def pieces():
        for number in range(3):
            asked.append(number)
            yield b"<a/>"

    reply = render(rpc(), Data(pieces()))

    next(reply)
    assert asked == [0]
    assert len(list(reply)) == 4
    assert asked == [0, 1, 2]


def test_an_operation_may_have_output_of_its_own():
    assert answer(Output([parse(b'<id xmlns="urn:a">1</id>')])) == (
        HEAD + '<id xmlns="urn:a">1</id></rpc-reply>'
    )


def test_errors_stand_side_by_side():
    errors = RpcErrors([RpcError.data_missing("/a"), RpcError.operation_failed("busy")])

    reply = parse(answer(Failure.of(errors)).encode())

    assert [error.findtext(f"{{{BASE_NS}}}error-tag") for error in reply] == [
        "data-missing",
        "operation-failed",
    ]
    assert Failure.of(errors.errors[0]).errors == errors.errors[:1]


def test_a_request_that_could_not_be_read_is_answered_without_an_id():
    reply = parse(answer(Failure.of(RpcError.malformed_message("no")), Envelope()).encode())

    assert reply.get("message-id") is None


@pytest.mark.parametrize(
    "payload", [b'<e xmlns="urn:e"/>', parse(b'<o><e xmlns="urn:e"/>tail</o>')[0]]
)
def test_a_notification_holds_its_time_and_its_event(payload):
    assert notification("2015-05-05T19:38:27.71+00:00", payload).decode() == (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<notification xmlns="{NOTIFICATION_NS}">'
        '<eventTime>2015-05-05T19:38:27.71+00:00</eventTime><e xmlns="urn:e"/></notification>'
    )


def test_the_marks_of_replay_and_end_are_of_rfc_5277():
    assert parse(REPLAY_COMPLETE).tag == f"{{{NOTIF_MGMT_NS}}}replayComplete"
    assert parse(NOTIFICATION_COMPLETE).tag == f"{{{NOTIF_MGMT_NS}}}notificationComplete"
