"""
The one door through which XML of a peer comes in, and the names of the protocol's namespaces.

Errors of this room:

* MalformedMessage: not well-formed, or more than a message needs (DOCTYPE, elements, depth, ...)
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from lxml import etree

BASE_NS: Final = "urn:ietf:params:xml:ns:netconf:base:1.0"
"""RFC 6241: rpc, rpc-reply, hello and the *operation* attribute."""
NOTIFICATION_NS: Final = "urn:ietf:params:xml:ns:netconf:notification:1.0"
"""RFC 5277: create-subscription and the notification element."""
NOTIF_MGMT_NS: Final = "urn:ietf:params:xml:ns:netmod:notification"
"""RFC 5277 section 3.2.5: the streams, replayComplete, notificationComplete."""
WITH_DEFAULTS_NS: Final = "urn:ietf:params:xml:ns:yang:ietf-netconf-with-defaults"
"""RFC 6243: the *with-defaults* parameter."""
DEFAULT_TAG_NS: Final = "urn:ietf:params:xml:ns:netconf:default:1.0"
"""RFC 6243 section 6: the attribute *default*."""
MONITORING_NS: Final = "urn:ietf:params:xml:ns:yang:ietf-netconf-monitoring"
"""RFC 6022."""
YANG_LIBRARY_NS: Final = "urn:ietf:params:xml:ns:yang:ietf-yang-library"
"""RFC 8525."""
NACM_NS: Final = "urn:ietf:params:xml:ns:yang:ietf-netconf-acm"
"""RFC 8341: the rules of access control."""
YANG_NS: Final = "urn:ietf:params:xml:ns:yang:1"
"""RFC 7950: the attributes *insert*, *key* and *value*."""

MAX_ELEMENTS: Final = 500_000
"""In one message: a tree takes some 130 bytes for each, however short its text is."""
MAX_DEPTH: Final = 128
MAX_ATTRIBUTES: Final = 64
"""On one element. Declarations of namespaces are counted apart."""
MAX_NAMESPACES: Final = 100
"""Declarations of namespaces in force at one element: asking for them costs each one a look."""

_TOO_DEEP: Final = etree.XPath("boolean(" + "/*" * (MAX_DEPTH + 1) + ")")
_TOO_MANY_ATTRIBUTES: Final = etree.XPath(f"boolean(//*/@*[{MAX_ATTRIBUTES + 1}])")
# Everything that XML 1.0 section 2.2 does not call a Char.
_NO_CHARACTER: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class MalformedMessage(Exception):
    """RFC 6241 appendix A, malformed-message: the text says why, without the message's content."""


def parse(data: bytes) -> etree._Element:
    """
    Return the root of the UTF-8 document *data*; comments and processing instructions are gone.

    White space before the XML declaration is forgiven: scrapli sends it.

    Raises:
        MalformedMessage: Not well-formed, a DOCTYPE, or beyond the limits above.

    """
    # What is searched for in the tree is counted in the text first, which costs less than a tree.
    if data.count(b"<") - data.count(b"</") > MAX_ELEMENTS:
        raise MalformedMessage(
            f"more than {MAX_ELEMENTS} elements, or '<' in CDATA; send them in several messages"
        )
    # A parser of its own for each message: parsers keep state and an error log.
    parser = etree.XMLParser(
        encoding="utf-8",  # RFC 6241 section 3: nothing else, whatever the declaration says
        resolve_entities=False,
        load_dtd=False,
        no_network=True,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        root = etree.fromstring(data.lstrip(b" \t\r\n"), parser)
    except etree.XMLSyntaxError as error:
        raise MalformedMessage(f"not well-formed: {error.msg}") from error
    for flaw in parser.error_log:
        # The library lets a prefix without a declaration pass where a mere warning comes after it.
        if flaw.level >= etree.ErrorLevels.ERROR:
            raise MalformedMessage(f"not well-formed: {flaw.message}")
    if b"<!" in data and root.getroottree().docinfo.internalDTD is not None:
        raise MalformedMessage("a DOCTYPE is not allowed")
    if data.count(b"<") > MAX_DEPTH and _TOO_DEEP(root):
        raise MalformedMessage(f"deeper than {MAX_DEPTH} elements")
    if data.count(b"=") > MAX_ATTRIBUTES and _TOO_MANY_ATTRIBUTES(root):
        raise MalformedMessage(f"more than {MAX_ATTRIBUTES} attributes on one element")
    if data.count(b"xmlns") > MAX_NAMESPACES and _namespaces_in_force(root) > MAX_NAMESPACES:
        raise MalformedMessage(f"more than {MAX_NAMESPACES} namespaces declared around one element")
    return root


def _namespaces_in_force(root: etree._Element) -> int:
    """Return the largest number of declarations that stand at and above one element."""
    now = most = 0
    for event, _ in etree.iterwalk(root, events=("start-ns", "end-ns")):
        now += 1 if event == "start-ns" else -1
        most = max(most, now)
    return most


def qualified(namespace: str, name: str) -> str:
    """Return the name in the form that lxml uses."""
    return f"{{{namespace}}}{name}" if namespace else name


@lru_cache(maxsize=2048)  # the data model's few hundred names, and some of a peer's own
def split_name(tag: str) -> tuple[str, str]:
    """Return (namespace, local name) of a tag of lxml; the namespace may be empty."""
    if tag.startswith("{"):
        namespace, _, name = tag[1:].partition("}")
        return namespace, name
    return "", tag


def tag_of(element: etree._Element) -> str:
    """Return the tag as text, which it is in all that *parse* returns."""
    return str(element.tag)


def name_of(element: etree._Element) -> tuple[str, str]:
    """Return (namespace, local name) of *element*."""
    return split_name(tag_of(element))


def printable(text: str) -> str:
    """Return *text* with each character that XML cannot carry replaced by U+FFFD."""
    return _NO_CHARACTER.sub("\ufffd", text)


def serialise(element: etree._Element) -> bytes:
    """Return *element* as UTF-8 without an XML declaration and without its tail."""
    return etree.tostring(element, encoding="UTF-8", xml_declaration=False, with_tail=False)


def leaf(
    parent: etree._Element, name: str, text: str, prefixes: Mapping[str, str] | None = None
) -> None:
    """Add a leaf in the namespace of *parent*; *prefixes* are those that its value uses."""
    tag = qualified(name_of(parent)[0], name)
    etree.SubElement(parent, tag, nsmap=dict(prefixes or {})).text = printable(text)


def inner(parent: etree._Element, name: str) -> etree._Element:
    """Add an element in the namespace of *parent*; return it."""
    child: etree._Element = etree.SubElement(parent, qualified(name_of(parent)[0], name))
    return child
