"""
One NETCONF session without its transport: bytes in, requests out, replies to bytes.

The owner of the transport writes what *hello*, *reply* and *notify* return, gives *receive* what
it reads, and closes the transport after a fatal *ProtocolError* or an answered close-session.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from lxml import etree

from esc_daemon.netconf.capabilities import (
    BASE_1_0,
    BASE_1_1,
    PROTOCOL_CAPABILITIES,
    HelloError,
    hello,
    parse_hello,
)
from esc_daemon.netconf.errors import RpcError
from esc_daemon.netconf.framing import DEFAULT_MAX_MESSAGE, Framer, FramingError, MessageTooBig
from esc_daemon.netconf.messages import (
    Envelope,
    Failure,
    Reply,
    Rpc,
    envelope_of,
    notification,
    parse_rpc,
    render,
)
from esc_daemon.netconf.xml import MalformedMessage, parse

_START_TAG: Final = re.compile(rb"\s*(?:<\?[^<>]*>\s*)?(?P<tag><[^<>?!/][^<>]*)>")
"""Of a message; no comment before it, and no ">" in an attribute."""


class SessionState(StrEnum):
    """Where a session stands; it only ever moves down this list."""

    AWAITING_HELLO = "awaiting hello"
    OPEN = "open"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtocolError:
    """
    Something came that is no request.

    *reply* is framed and ready to be written, empty when RFC 6241 wants silence. After a *fatal*
    one the transport has to be closed, the reply written first; *unfinished* tells that the peer
    may be in the middle of its message. *reason* is for the log.
    """

    reply: bytes
    fatal: bool
    reason: str
    unfinished: bool = False


class Session:
    """The server's side of one session. Not to be shared between threads."""

    def __init__(
        self,
        session_id: int,
        capabilities: Iterable[str] = PROTOCOL_CAPABILITIES,
        max_message: int = DEFAULT_MAX_MESSAGE,
    ) -> None:
        self.session_id: Final = session_id
        self.capabilities: Final = tuple(capabilities)
        self.client_capabilities: frozenset[str] = frozenset()
        """Empty until the client's hello came."""
        self._framer = Framer(max_message)
        self._state = SessionState.AWAITING_HELLO

    @property
    def state(self) -> SessionState:
        """Where the session stands."""
        return self._state

    @property
    def chunked(self) -> bool:
        """Tell whether base:1.1 was agreed on."""
        return self._framer.chunked

    def close(self) -> None:
        """Read nothing more; what was read already may still be answered."""
        self._state = SessionState.CLOSED

    def hello(self) -> bytes:
        """Return the server's hello, to be sent first and without waiting for the client's."""
        return Framer().encode(hello(self.session_id, self.capabilities))

    def receive(self, data: bytes) -> Sequence[Rpc | ProtocolError]:
        """Return what *data* completes, in order; nothing follows a fatal error."""
        self._framer.feed(data)
        found: list[Rpc | ProtocolError] = []
        while self._state is not SessionState.CLOSED:
            try:
                message = self._framer.next_message()
            except FramingError as error:
                found.append(self._broken(error))
                break
            if message is None:
                break
            if self._state is SessionState.OPEN:
                found.append(self._request(message))
            else:
                found.extend(self._greeting(message))
        return found

    def reply(self, rpc: Envelope, body: Reply) -> Iterator[bytes]:
        """Yield the framed answer to *rpc* in pieces of moderate size."""
        return self._framer.encode_chunks(render(rpc, body))

    def notify(self, event_time: str, payload: bytes | etree._Element) -> bytes:
        """Return a framed notification; *payload* is one serialised element, or the element."""
        return self._framer.encode(notification(event_time, payload))

    def _greeting(self, message: bytes) -> Sequence[ProtocolError]:
        try:
            theirs = parse_hello(parse(message))
        except (MalformedMessage, HelloError) as error:
            # RFC 6241 section 8.1: closed without an answer
            return (self._fatal(str(error)),)
        if not theirs.intersection(self.capabilities, {BASE_1_0, BASE_1_1}):
            return (self._fatal("the two sides have no base capability in common"),)
        self.client_capabilities = theirs
        self._state = SessionState.OPEN
        if BASE_1_1 in theirs and BASE_1_1 in self.capabilities:
            self._framer.upgrade()
        return ()

    def _request(self, message: bytes) -> Rpc | ProtocolError:
        try:
            root = parse(message)
        except MalformedMessage as error:
            if not self.chunked:
                # RFC 6241 appendix A: a client of base:1.0 must not see malformed-message,
                # and section 3: who cannot be answered is hung up on
                return self._fatal(str(error))
            return self._refused(Envelope(), RpcError.malformed_message(str(error)))
        try:
            return parse_rpc(root)
        except RpcError as error:
            return self._refused(envelope_of(root), error)

    def _broken(self, error: FramingError) -> ProtocolError:
        if isinstance(error, MessageTooBig) and self._state is SessionState.OPEN:
            self.close()
            envelope = _envelope_in(self._framer.beginning)
            reply = self._answer(envelope, RpcError.too_big(str(error)))
            return ProtocolError(reply=reply, fatal=True, reason=str(error), unfinished=True)
        return self._fatal(str(error))

    def _fatal(self, reason: str) -> ProtocolError:
        self.close()
        return ProtocolError(reply=b"", fatal=True, reason=reason)

    def _refused(self, envelope: Envelope, error: RpcError) -> ProtocolError:
        return ProtocolError(reply=self._answer(envelope, error), fatal=False, reason=error.message)

    def _answer(self, envelope: Envelope, error: RpcError) -> bytes:
        return b"".join(self.reply(envelope, Failure.of(error)))


def _envelope_in(beginning: bytes) -> Envelope:
    """Return what a reply to the message that begins so has to repeat, as far as it is there."""
    start = _START_TAG.match(beginning)
    if start is None:
        return Envelope()
    try:
        return envelope_of(parse(start["tag"] + b"/>"))
    except MalformedMessage:
        return Envelope()
