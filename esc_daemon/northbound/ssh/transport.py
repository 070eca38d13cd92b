"""
What lies below an SSH connection: packets that cost less, what is too much, what is still unread.

asyncssh offers no public way to what is here. This file is the only place that knows its inner
names, which is why setup.cfg takes one minor version of it, and why a connection is made lean with
that version alone that was tried (`TRIED`). What the library does for each packet and we leave
out, or do once:

* an ignore packet before each, against attacks on CBC (RFC 4251 section 9.3.1), which we do not
  offer;
* the text of a line for a log of packets that nobody reads;
* the key schedule of AES-GCM (4.8 us of 6.9 us for 300 bytes);
* a new timer of the keepalive.

What strangers may send is bounded here too, since the library bounds it by time alone.

What one tick of the loop sends on a connection is one write to the kernel: uvloop gathers it. What
one tick takes in, of all connections together, is bounded: the library goes on until nothing is
left of what it got, and a quarter of a megabyte of tiny packets takes it seconds.
"""

import functools
from collections.abc import Awaitable
from traceback import walk_tb
from typing import Any, Final

import asyncssh
import structlog
from asyncssh.crypto import GCMCipher
from asyncssh.encryption import GCMEncryption
from asyncssh.packet import PacketDecodeError, SSHPacket, SSHPacketLogger
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from esc_daemon.access.passwords import MAX_PASSWORD_BYTES
from esc_daemon.northbound.ssh.turns import Turns

TRIED: Final = "2.24.1"
"""The version of asyncssh whose inner names are those here: requirements.lock has it."""
BEFORE_LOGIN: Final = 64 * 1024
"""Bytes that a client may send until it is logged in; the offers of 100 keys take as many."""
BYTES_A_TURN: Final = 4096
"""Bytes that all who send much may have taken in one turn of the loop: some 100 tiny packets."""
_PIECE: Final = 2048
_LITTLE: Final = 1024
"""Bytes that are taken as they come: a request, but not many."""
_OURS: Final = "esc_daemon."
_MSG_IGNORE: Final = 2
"""RFC 4253 section 12."""
_MSG_USERAUTH_REQUEST: Final = 50
"""RFC 4252 section 6."""
_LONGEST_PASSWORD: Final = 1 + 4 + MAX_PASSWORD_BYTES
"""With what stands before it in the packet (RFC 4252 section 8)."""
_COUNTER: Final = 4
"""Where in the nonce the 64-bit counter of invocations begins (RFC 5647 section 7.1)."""
_TAG: Final = 16
"""Bytes of the tag (RFC 5647 section 6.3)."""


def is_unreadable(error: Exception) -> bool:
    """
    Tell whether *error*, which ended a connection, is about what the peer sent.

    The library raises whatever a broken packet, name or key makes it stumble over. An error of ours
    has passed through one of our methods, which it calls.
    """
    ours = (
        str(frame.f_globals.get("__name__")).startswith(_OURS)
        for frame, _ in walk_tb(error.__traceback__)
    )
    return isinstance(error, PacketDecodeError) or not any(ours)


class ReadyCipher(GCMCipher):
    """
    AES-GCM (RFC 5647) of one direction that keeps its key schedule while packets come and go.

    An idle one keeps none: 2.5 KiB each. So the first packet after *rest* makes one for itself.
    """

    def __init__(self, cipher: GCMCipher) -> None:
        """Go on where *cipher* stands."""
        self._key: bytes = cipher._key  # noqa: SLF001
        self._fixed: bytes = cipher._iv[:_COUNTER]  # noqa: SLF001
        self._invocations = int.from_bytes(cipher._iv[_COUNTER:], "big")  # noqa: SLF001
        self._awake = False
        self._ready: AESGCM | None = None

    def rest(self) -> None:
        """Give back what only pays while packets follow each other."""
        self._awake = False
        self._ready = None

    def encrypt_and_sign(self, header: bytes, data: bytes) -> tuple[bytes, bytes]:
        sealed = (self._ready or self._made()).encrypt(self._nonce(), data, header)
        return header + sealed[:-_TAG], sealed[-_TAG:]

    def verify_and_decrypt(self, header: bytes, data: bytes, mac: bytes) -> bytes | None:
        try:
            return (self._ready or self._made()).decrypt(self._nonce(), data + mac, header)
        except InvalidTag:
            return None

    def _made(self) -> AESGCM:
        made = AESGCM(self._key)
        if self._awake:
            self._ready = made
        self._awake = True
        return made

    def _nonce(self) -> bytes:
        invocation = self._invocations
        self._invocations = (invocation + 1) % 2**64
        return self._fixed + invocation.to_bytes(8, "big")


def _unlogged(
    self: SSHPacketLogger,
    pkttype: int,
    pktid: int | None,
    packet: "bytes | SSHPacket",
    note: str = "",
) -> None:
    """Say nothing of a packet: it stands below the level of our log."""


class LeanChannel(asyncssh.SSHServerChannel[bytes]):
    """A channel whose packets cost less."""

    log_sent_packet = log_received_packet = _unlogged

    def _process_env_request(self, packet: SSHPacket) -> bool:
        """Keep nothing: nobody reads it, and there is no bound to it."""
        del packet
        return False


class TooMuchBeforeLogin(asyncssh.ProtocolError):
    """A stranger sent more than `BEFORE_LOGIN`: each tiny packet costs as much as a long one."""


class LeanConnection(asyncssh.SSHServerConnection):
    """A connection whose packets cost less, and of which a stranger may not send many."""

    log_sent_packet = log_received_packet = _unlogged

    _heard = False
    """Whether anything came since the keepalive's timer was set."""
    _came_early = 0
    """Bytes, until the login."""
    _left_over = 0
    """Of these, what is not taken yet."""
    _turns: Turns
    _held = b""
    """What came at once and waits for its turn, while nothing more is read."""

    def join(self, turns: Turns) -> None:
        """Take *turns* with others from now on."""
        self._turns = turns
        assert self._transport is not None
        self._transport.set_protocol(self)  # uvloop has looked the methods up before they were ours

    def data_received(self, data: bytes, datatype: int | None = None) -> None:
        if self._held:
            self._held += data
        elif self._auth_complete and len(data) > _LITTLE:
            self._held = data
            self._transport.pause_reading()  # type: ignore[union-attr]
            self._take()
        else:
            super().data_received(data, datatype)

    def _take(self) -> None:
        """Take what is held, as much at a time as others can wait for."""
        while self._held:
            turn = self._turns.ask(min(len(self._held), _PIECE))
            if turn is not None:
                turn.add_done_callback(self._come)
                return
            self._take_a_piece()
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def _come(self, _turn: object) -> None:
        self._take_a_piece()
        self._take()

    def _take_a_piece(self) -> None:
        piece, self._held = self._held[:_PIECE], self._held[_PIECE:]
        if self._transport is None:  # the connection is over
            self._held = b""
        else:
            super().data_received(piece)

    def _recv_data(self) -> None:
        if self._auth_complete:
            super()._recv_data()
            return
        self._came_early += len(self._inpbuf) - self._left_over
        if self._came_early > BEFORE_LOGIN:
            self._inpbuf = b""
            error = TooMuchBeforeLogin(f"more than {BEFORE_LOGIN} bytes before the login")
            self._send_disconnect(error.code, error.reason, error.lang)
            self._force_close(error)
            return
        super()._recv_data()
        self._left_over = len(self._inpbuf)

    def _process_userauth_request(
        self, pkttype: int, pktid: int, packet: SSHPacket
    ) -> Awaitable[None] | None:
        """Refuse a password that is too long before the library prepares it, sign by sign."""
        words = SSHPacket(packet.get_remaining_payload())
        method = [words.get_string() for _ in ("user", "service", "method")][-1]
        if method == b"password" and len(words.get_remaining_payload()) > _LONGEST_PASSWORD:
            raise asyncssh.PermissionDenied(f"a password has {MAX_PASSWORD_BYTES} bytes at most")
        return super()._process_userauth_request(pkttype, pktid, packet)

    _packet_handlers = {  # noqa: RUF012  as the library's
        **asyncssh.SSHServerConnection._packet_handlers,  # noqa: SLF001
        _MSG_USERAUTH_REQUEST: _process_userauth_request,
    }

    def create_server_channel(
        self, *args: Any, **options: Any
    ) -> "asyncssh.SSHServerChannel[bytes]":
        channel = super().create_server_channel(*args, **options)
        channel.__class__ = LeanChannel
        return channel

    def send_packet(
        self, pkttype: int, *args: bytes, handler: SSHPacketLogger | None = None
    ) -> None:
        if pkttype != _MSG_IGNORE:
            super().send_packet(pkttype, *args, handler=handler)

    def send_newkeys(self, k: bytes, h: bytes) -> None:
        super().send_newkeys(k, h)
        for encryption in (self._send_encryption, self._next_recv_encryption):
            if isinstance(encryption, GCMEncryption):
                encryption._cipher = ReadyCipher(encryption._cipher)  # noqa: SLF001

    def _reset_keepalive_timer(self) -> None:
        self._heard = True
        if self._keepalive_timer is None:
            super()._reset_keepalive_timer()

    def _keepalive_timer_callback(self) -> None:
        if self._heard:
            self._heard = False
            self._set_keepalive_timer()
            return
        for encryption in (self._send_encryption, self._recv_encryption):
            if isinstance(encryption, GCMEncryption):
                cipher = encryption._cipher  # noqa: SLF001
                assert isinstance(cipher, ReadyCipher)
                cipher.rest()
        super()._keepalive_timer_callback()


def make_lean(connection: asyncssh.SSHServerConnection, turns: Turns) -> None:
    """
    Let the packets of *connection*, which has just been made, cost less where that is safe.

    It takes *turns* with others to take in much, counted in bytes: `BYTES_A_TURN` in one.
    """
    if _is_tried(asyncssh.__version__):
        connection.__class__ = LeanConnection
        assert isinstance(connection, LeanConnection)
        connection.join(turns)


@functools.cache
def _is_tried(version: str) -> bool:
    """Tell whether *version* of the library is the one that was tried; say it once if not."""
    if version == TRIED:
        return True
    structlog.get_logger("esc_daemon.northbound.ssh").warning(
        "ssh.library_untried",
        version=version,
        tried=TRIED,
        hint="SSH works, at more processor time a packet and without bounds on what strangers send;"
        f" install asyncssh {TRIED}",
    )
    return False


def unread_bytes(channel: "asyncssh.SSHServerChannel[bytes]") -> int:
    """
    Return the bytes that were written to *channel* and that the kernel has not taken yet.

    A client with a huge window that reads nothing fills the transport, one that begins a key
    exchange and never ends it fills the deferred packets: both count, beside the channel's own.
    """
    connection = channel.get_connection()
    transport = connection._transport  # noqa: SLF001
    deferred = connection._deferred_packets  # noqa: SLF001
    below = 0 if transport is None else transport.get_write_buffer_size()
    held = sum(len(part) for _, parts in deferred for part in parts) if deferred else 0
    return channel.get_write_buffer_size() + below + held
