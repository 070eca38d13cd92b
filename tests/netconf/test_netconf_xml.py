"""What the parser lets in."""

import pytest

from esc_daemon.netconf.xml import (
    MAX_ATTRIBUTES,
    MAX_DEPTH,
    MAX_ELEMENTS,
    MAX_NAMESPACES,
    MalformedMessage,
    name_of,
    parse,
    qualified,
    serialise,
    split_name,
)

LAUGHS = b"""<!DOCTYPE a [<!ENTITY b "hahahahaha">%s]><a>&z;</a>""" % b"".join(
    b'<!ENTITY %c "%s">' % (name, b"&%c;" % (name - 1) * 10) for name in range(ord("c"), ord("{"))
)


def nested(depth: int) -> bytes:
    return b"<a>" * depth + b"</a>" * depth


def with_namespaces(count: int) -> bytes:
    return b"<a><b " + b" ".join(b"xmlns:x%d='1'" % n for n in range(count)) + b"/></a>"


def with_attributes(count: int) -> bytes:
    return b"<a><b " + b" ".join(b"x%d='1'" % n for n in range(count)) + b"/></a>"


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (b"", "not well-formed"),
        (b"<a>", "not well-formed"),
        (b"<a/><b/>", "not well-formed"),
        (b"<nc:a/>", "not well-formed"),
        (b"<nc:a><b xmlns='relative'/></nc:a>", "Namespace prefix nc"),  # a warning comes after it
        (b"<a>\xff</a>", "not well-formed"),
        (b"<a>&undeclared;</a>", "not well-formed"),
        ('<?xml version="1.0" encoding="utf-16"?><a/>'.encode("utf-16"), "not well-formed"),
        (b"<!DOCTYPE a><a/>", "DOCTYPE"),
        (b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>', "DOCTYPE"),
        (b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>', "DOCTYPE"),
        (b"<a>" + b"<b/>" * MAX_ELEMENTS + b"</a>", "elements"),
        (b"<a>" + b"<b></b>" * MAX_ELEMENTS + b"</a>", "elements"),
        (nested(MAX_DEPTH + 1), "deeper"),
        (nested(100_000), "not well-formed"),
        (with_attributes(MAX_ATTRIBUTES + 1), "attributes"),
        (with_namespaces(MAX_NAMESPACES + 1), "namespaces"),
        (b"<a xmlns:n='x'>" * (MAX_NAMESPACES + 1) + b"</a>" * (MAX_NAMESPACES + 1), "namespaces"),
    ],
)
def test_what_no_message_needs_is_refused(document, reason):
    with pytest.raises(MalformedMessage, match=reason):
        parse(document)


def test_a_billion_laughs_are_not_laughed():
    with pytest.raises(MalformedMessage):
        parse(LAUGHS)


@pytest.mark.parametrize(
    "document",
    [
        b"<a>" + b"<b/>" * (MAX_ELEMENTS - 1) + b"</a>",
        b"<a>" + b"<b></b>" * (MAX_ELEMENTS - 1) + b"</a>",
        nested(MAX_DEPTH),
        with_attributes(MAX_ATTRIBUTES),
        with_namespaces(MAX_NAMESPACES),
        b"<a>" + b"<b xmlns:n='x'/>" * 1000 + b"</a>",
    ],
)
def test_the_limits_themselves_are_allowed(document):
    assert parse(document).tag == "a"


def test_white_space_before_the_declaration_is_forgiven():
    assert parse(b'\n \t\r\n<?xml version="1.0" encoding="UTF-8"?><a/>').tag == "a"


def test_a_wrong_encoding_in_the_declaration_does_not_matter():
    assert parse('<?xml version="1.0" encoding="latin-1"?><a>\u00e9</a>'.encode()).text == "\u00e9"


def test_comments_and_instructions_leave_no_gap_in_a_text():
    assert parse(b"<a>x<!-- c -->y<?pi?>z</a>").text == "xyz"


def test_a_doctype_inside_a_text_is_only_text():
    assert parse(b"<a><![CDATA[<!DOCTYPE html>]]></a>").text == "<!DOCTYPE html>"


def test_names_are_taken_apart_and_put_together():
    assert split_name("{urn:x}a") == ("urn:x", "a")
    assert split_name("a") == ("", "a")
    assert qualified("urn:x", "a") == "{urn:x}a"
    assert qualified("", "a") == "a"
    assert name_of(parse(b"<a xmlns='urn:x'/>")) == ("urn:x", "a")


def test_an_element_is_written_without_what_follows_it():
    assert serialise(parse("<a><b>\u00e9</b>tail</a>".encode())[0]) == "<b>\u00e9</b>".encode()
