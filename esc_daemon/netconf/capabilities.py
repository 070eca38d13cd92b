"""
What the two sides tell each other in their hellos (RFC 6241 section 8.1).

Errors of this file:

* HelloError: no session can come of this hello; RFC 6241 wants it closed, not answered
"""

from collections.abc import Iterable
from typing import Final
from urllib.parse import urlencode

from lxml import etree

from esc_daemon.netconf.library import YangLibrary
from esc_daemon.netconf.xml import BASE_NS, YANG_LIBRARY_NS, name_of, qualified, serialise

BASE_1_0: Final = "urn:ietf:params:netconf:base:1.0"
BASE_1_1: Final = "urn:ietf:params:netconf:base:1.1"
WRITABLE_RUNNING: Final = "urn:ietf:params:netconf:capability:writable-running:1.0"
CANDIDATE: Final = "urn:ietf:params:netconf:capability:candidate:1.0"
CONFIRMED_COMMIT: Final = "urn:ietf:params:netconf:capability:confirmed-commit:1.1"
ROLLBACK_ON_ERROR: Final = "urn:ietf:params:netconf:capability:rollback-on-error:1.0"
VALIDATE: Final = "urn:ietf:params:netconf:capability:validate:1.1"
XPATH: Final = "urn:ietf:params:netconf:capability:xpath:1.0"
NOTIFICATION: Final = "urn:ietf:params:netconf:capability:notification:1.0"
INTERLEAVE: Final = "urn:ietf:params:netconf:capability:interleave:1.0"
WITH_DEFAULTS: Final = (
    "urn:ietf:params:netconf:capability:with-defaults:1.0"
    "?basic-mode=explicit&also-supported=trim,report-all,report-all-tagged"
)
YANG_LIBRARY: Final = "urn:ietf:params:netconf:capability:yang-library"
"""Its version follows."""

OF_CANDIDATE: Final = frozenset({CANDIDATE, CONFIRMED_COMMIT})
PROTOCOL_CAPABILITIES: Final = (
    BASE_1_0,
    BASE_1_1,
    WRITABLE_RUNNING,
    CANDIDATE,
    CONFIRMED_COMMIT,
    ROLLBACK_ON_ERROR,
    VALIDATE,
    XPATH,
    NOTIFICATION,
    INTERLEAVE,
    WITH_DEFAULTS,
)
"""What this room serves in full."""

_DECLARATION: Final = b'<?xml version="1.0" encoding="UTF-8"?>\n'


class HelloError(Exception):
    """The client's first message is no hello that a session can be built on."""


def module_capability(
    namespace: str, module: str, revision: str | None = None, features: Iterable[str] = ()
) -> str:
    """Return the capability of a YANG 1.0 module (RFC 6020 section 5.6.4)."""
    query = {"module": module, "revision": revision, "features": ",".join(features)}
    told = {name: value for name, value in query.items() if value}
    return f"{namespace}?{urlencode(told, safe=',')}"


def library_capabilities(library: YangLibrary, data_model: str) -> tuple[str, ...]:
    """
    Return the capabilities that tell of YANG modules (RFC 7950 section 5.6.4, RFC 8526 section 2).

    Modules of YANG 1.1 are told by the library alone; but *data_model*, which clients look for.
    """
    about = next(each for each in library.modules if each.namespace == YANG_LIBRARY_NS)
    old = {"revision": about.revision, "module-set-id": library.content_id}
    new = {"revision": about.revision, "content-id": library.content_id}
    return (
        f"{YANG_LIBRARY}:1.0?{urlencode(old)}",
        f"{YANG_LIBRARY}:1.1?{urlencode(new)}",
        *(
            module_capability(each.namespace, each.name, each.revision, each.features)
            for each in library.modules
            if each.name == data_model or not each.yang_1_1
        ),
    )


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
