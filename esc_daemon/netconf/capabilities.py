"""
What the two sides tell each other in their hellos (RFC 6241 section 8.1).

Errors of this file:

* HelloError: no session can come of this hello; RFC 6241 wants it closed, not answered
"""

from collections.abc import Iterable
from typing import Final
from urllib.parse import urlencode

from lxml import etree

from esc_daemon.netconf.xml import BASE_NS, name_of, qualified, serialise

BASE_1_0: Final = "urn:ietf:params:netconf:base:1.0"
BASE_1_1: Final = "urn:ietf:params:netconf:base:1.1"
WRITABLE_RUNNING: Final = "urn:ietf:params:netconf:capability:writable-running:1.0"
ROLLBACK_ON_ERROR: Final = "urn:ietf:params:netconf:capability:rollback-on-error:1.0"
VALIDATE: Final = "urn:ietf:params:netconf:capability:validate:1.1"
XPATH: Final = "urn:ietf:params:netconf:capability:xpath:1.0"
NOTIFICATION: Final = "urn:ietf:params:netconf:capability:notification:1.0"
INTERLEAVE: Final = "urn:ietf:params:netconf:capability:interleave:1.0"

PROTOCOL_CAPABILITIES: Final = (
    BASE_1_0,
    BASE_1_1,
    WRITABLE_RUNNING,
    ROLLBACK_ON_ERROR,
    VALIDATE,
    XPATH,
    NOTIFICATION,
    INTERLEAVE,
)
"""What this room serves in full: no :candidate or :with-defaults yet."""

_DECLARATION: Final = b'<?xml version="1.0" encoding="UTF-8"?>\n'


class HelloError(Exception):
    """The client's first message is no hello that a session can be built on."""


def module_capability(namespace: str, module: str, revision: str | None = None) -> str:
    """Return the capability of a YANG 1.0 module (RFC 6020 section 5.6.4)."""
    query = {"module": module} | ({"revision": revision} if revision else {})
    return f"{namespace}?{urlencode(query)}"


def hello(session_id: int, capabilities: Iterable[str]) -> bytes:
    """Return the server's hello, not framed; *session_id* is above 0."""
    root = etree.Element(qualified(BASE_NS, "hello"), nsmap={None: BASE_NS})
    listed = etree.SubElement(root, qualified(BASE_NS, "capabilities"))
    for capability in capabilities:
        etree.SubElement(listed, qualified(BASE_NS, "capability")).text = capability
    etree.SubElement(root, qualified(BASE_NS, "session-id")).text = str(session_id)
    return _DECLARATION + serialise(root)


def parse_hello(root: etree._Element) -> frozenset[str]:
    """
    Return the client's capabilities.

    Raises:
        HelloError: Not a hello, a session-id (which only a server may send), or neither base
            capability.

    """
    if name_of(root) != (BASE_NS, "hello"):
        raise HelloError("the first message has to be a hello of RFC 6241")
    if root.find(qualified(BASE_NS, "session-id")) is not None:
        raise HelloError("a client's hello has no session-id")
    found = root.iterfind(
        f"{qualified(BASE_NS, 'capabilities')}/{qualified(BASE_NS, 'capability')}"
    )
    capabilities = frozenset((element.text or "").strip() for element in found)
    if not capabilities & {BASE_1_0, BASE_1_1}:
        raise HelloError("the client speaks neither base:1.0 nor base:1.1")
    return capabilities
