"""
The envelopes: rpc coming in, rpc-reply and notification going out (RFC 6241 section 4, RFC 5277).

Replies are made of bytes, not of trees: a big one is never in memory twice. The operations that
an rpc may hold come from *operations* and are offered here too.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final, TypeAlias
from xml.sax.saxutils import escape, quoteattr

from lxml import etree

from esc_daemon.netconf.defaults import WithDefaults as WithDefaults
from esc_daemon.netconf.errors import RpcError, RpcErrors
from esc_daemon.netconf.operations import RUNNING_ONLY as RUNNING_ONLY
from esc_daemon.netconf.operations import WITH_CANDIDATE as WITH_CANDIDATE
from esc_daemon.netconf.operations import CancelCommit as CancelCommit
from esc_daemon.netconf.operations import CloseSession as CloseSession
from esc_daemon.netconf.operations import Commit as Commit
from esc_daemon.netconf.operations import CopyConfig as CopyConfig
from esc_daemon.netconf.operations import CreateSubscription as CreateSubscription
from esc_daemon.netconf.operations import Datastore as Datastore
from esc_daemon.netconf.operations import DiscardChanges as DiscardChanges
from esc_daemon.netconf.operations import EditConfig as EditConfig
from esc_daemon.netconf.operations import ErrorOption as ErrorOption
from esc_daemon.netconf.operations import Get as Get
from esc_daemon.netconf.operations import GetConfig as GetConfig
from esc_daemon.netconf.operations import GetSchema as GetSchema
from esc_daemon.netconf.operations import KillSession as KillSession
from esc_daemon.netconf.operations import Lock as Lock
from esc_daemon.netconf.operations import Request as Request
from esc_daemon.netconf.operations import TestOption as TestOption
from esc_daemon.netconf.operations import Unlock as Unlock
from esc_daemon.netconf.operations import Validate as Validate
from esc_daemon.netconf.requests import DEFAULT_STREAM as DEFAULT_STREAM
from esc_daemon.netconf.requests import parse_filter as parse_filter
from esc_daemon.netconf.requests import parse_request as parse_request
from esc_daemon.netconf.xml import (
    BASE_NS,
    NOTIF_MGMT_NS,
    NOTIFICATION_NS,
    name_of,
    serialise,
    split_name,
)

_DECLARATION: Final = b'<?xml version="1.0" encoding="UTF-8"?>\n'
_END_OF_REPLY: Final = b"</rpc-reply>"

REPLAY_COMPLETE: Final = f'<replayComplete xmlns="{NOTIF_MGMT_NS}"/>'.encode()
"""RFC 5277 section 3.3.2: payload of the notification after the last replayed one."""
NOTIFICATION_COMPLETE: Final = f'<notificationComplete xmlns="{NOTIF_MGMT_NS}"/>'.encode()
"""RFC 5277 section 3.3.2: payload of a subscription's last notification."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """What a reply gives back of its rpc (RFC 6241 section 4.2): every attribute, as it was."""

    attributes: tuple[tuple[str, str], ...] = ()
    """(name in the form of lxml, value)"""
    prefixes: tuple[tuple[str, str], ...] = ()
    """(prefix, namespace) for the qualified ones among them."""

    @property
    def message_id(self) -> str | None:
        """The client's own mark, any text."""
        return dict(self.attributes).get("message-id")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rpc(Envelope):
    """One request; *operation* is the child element of rpc."""

    operation: etree._Element


@dataclass(frozen=True, slots=True)
class Ok:
    """Done, and nothing to tell."""


@dataclass(frozen=True, slots=True)
class Data:
    """
    The answer to get and get-config.

    *content* is a data element whose children are sent, or those children in serialised pieces
    cut anywhere.
    """

    content: etree._Element | Iterable[bytes]


@dataclass(frozen=True, slots=True)
class Output:
    """The answer of an rpc with output of its own: the elements below rpc-reply."""

    elements: Sequence[etree._Element]


@dataclass(frozen=True, slots=True)
class Failure:
    """The answer of an rpc that failed."""

    errors: Sequence[RpcError]

    @classmethod
    def of(cls, error: RpcError | RpcErrors) -> "Failure":
        """Return the answer that tells *error*."""
        return cls(error.errors if isinstance(error, RpcErrors) else (error,))


Reply: TypeAlias = Ok | Data | Output | Failure


def envelope_of(root: etree._Element) -> Envelope:
    """Return what a reply to *root* has to repeat; *root* need not be a right rpc."""
    attributes = tuple((str(name), str(value)) for name, value in root.attrib.items())
    used = {split_name(name)[0] for name, _ in attributes}
    return Envelope(
        attributes=attributes,
        prefixes=tuple(
            (prefix, uri) for prefix, uri in root.nsmap.items() if prefix and uri in used
        ),
    )


def parse_rpc(root: etree._Element) -> Rpc:
    """
    Return the request in *root*.

    Raises:
        RpcError: unknown-element or unknown-namespace when it is no rpc, missing-attribute without
            a message-id (RFC 6241 section 4.1), missing-element or bad-element unless it holds one
            operation.

    """
    if name_of(root) != (BASE_NS, "rpc"):
        message = "an rpc of RFC 6241 is expected"
        raise RpcError.unexpected("", name_of(root), BASE_NS, message)
    envelope = envelope_of(root)
    if envelope.message_id is None:
        raise RpcError.missing_attribute("", "rpc", "message-id")
    if len(root) == 0:
        raise RpcError.missing_element("", "rpc", "the rpc holds no operation")
    if len(root) > 1:
        raise RpcError.bad_element("", name_of(root[1])[1], "the rpc holds a second operation")
    return Rpc(attributes=envelope.attributes, prefixes=envelope.prefixes, operation=root[0])


def render(envelope: Envelope, reply: Reply) -> Iterator[bytes]:
    """Yield the rpc-reply in pieces, not framed."""
    match reply:
        case Ok():
            return reply_ok(envelope)
        case Data(content):
            return reply_data(envelope, content)
        case Output(elements):
            return reply_output(envelope, elements)
        case Failure(errors):
            return reply_errors(envelope, errors)


def reply_ok(envelope: Envelope) -> Iterator[bytes]:
    """Yield the rpc-reply that says ok."""
    yield _start(envelope) + b"<ok/>" + _END_OF_REPLY


def reply_data(envelope: Envelope, content: etree._Element | Iterable[bytes]) -> Iterator[bytes]:
    """Yield the rpc-reply with the children of data; see *Data* for *content*."""
    parts = map(serialise, content) if etree.iselement(content) else iter(content)
    first = next((part for part in parts if part), None)
    if first is None:
        yield _start(envelope) + b"<data/>" + _END_OF_REPLY
        return
    yield _start(envelope) + b"<data>"
    yield from chain((first,), parts)
    yield b"</data>" + _END_OF_REPLY


def reply_output(envelope: Envelope, elements: Iterable[etree._Element]) -> Iterator[bytes]:
    """Yield the rpc-reply with *elements* right below it."""
    yield _start(envelope)
    yield from map(serialise, elements)
    yield _END_OF_REPLY


def reply_errors(envelope: Envelope, errors: Iterable[RpcError]) -> Iterator[bytes]:
    """Yield the rpc-reply that tells *errors*."""
    yield _start(envelope)
    yield from (serialise(error.to_element()) for error in errors)
    yield _END_OF_REPLY


def notification(event_time: str, payload: bytes | etree._Element) -> bytes:
    """Return a notification (RFC 5277 section 4), not framed; *event_time* as it is to be sent."""
    body = payload if isinstance(payload, bytes) else serialise(payload)
    start = f'<notification xmlns="{NOTIFICATION_NS}"><eventTime>{escape(event_time)}</eventTime>'
    return b"".join((_DECLARATION, start.encode(), body, b"</notification>"))


def _start(envelope: Envelope) -> bytes:
    of_namespace = {uri: prefix for prefix, uri in envelope.prefixes}
    # the xml prefix needs no declaration
    of_namespace["http://www.w3.org/XML/1998/namespace"] = "xml"
    text = [f'<rpc-reply xmlns="{BASE_NS}"']
    text += [f"xmlns:{prefix}={quoteattr(uri)}" for prefix, uri in envelope.prefixes]
    for tag, value in envelope.attributes:
        namespace, name = split_name(tag)
        qualified_name = f"{of_namespace[namespace]}:{name}" if namespace else name
        text.append(f"{qualified_name}={quoteattr(value)}")
    return _DECLARATION + (" ".join(text) + ">").encode()
