"""
Cut a stream of bytes into messages and the other way round (RFC 6242 section 4).

Errors of this file:

* FramingError: the stream cannot be read on; the session ends
  * MessageTooBig: because a message is longer than we take
"""

import re
from collections.abc import Iterable, Iterator
from typing import Final

_END: Final = b"]]>]]>"
_HEADER: Final = re.compile(rb"\n#(?:(?P<size>[1-9][0-9]{0,9})|#)\n")
_PART_OF_HEADER: Final = re.compile(rb"\n?|\n#(?:#|[1-9][0-9]{0,9})?")
_LONGEST_HEADER: Final = len(b"\n#4294967295\n")
_MAX_CHUNK: Final = 4_294_967_295
_PIECE: Final = 64 * 1024
"""Bytes of a chunk of a big reply: large enough to be cheap, small enough to yield between."""
_BEGINNING: Final = 4096

DEFAULT_MAX_MESSAGE: Final = 16 * 1024 * 1024


class FramingError(Exception):
    """The peer broke RFC 6242 or the limit of *max_message*; there is no way to go on."""


class MessageTooBig(FramingError):
    """A message is longer than *max_message*."""


class Framer:
    """
    One side of one stream: end-of-message marks first, chunks after *upgrade*.

    At most *max_message* bytes of one message are kept, plus what one *feed* brought.
    """

    def __init__(self, max_message: int = DEFAULT_MAX_MESSAGE) -> None:
        self.max_message: Final = max_message
        self._chunked = False
        self._input = bytearray()
        self._searched = 0
        """Bytes of *_input* known to hold no start of an end-of-message mark."""
        self._message = bytearray()
        """Chunks of the message under way."""
        self._remaining = 0
        """Bytes that the chunk under way still lacks."""

    @property
    def chunked(self) -> bool:
        """Tell whether chunks are in use."""
        return self._chunked

    @property
    def beginning(self) -> bytes:
        """What is there of the first bytes of the message under way."""
        return bytes(self._message[:_BEGINNING] + self._input[:_BEGINNING])

    def upgrade(self) -> None:
        """Use chunks from the next message on, both ways (RFC 6242 section 4.1)."""
        self._chunked = True

    def feed(self, data: bytes) -> None:
        """Take what the peer sent; *next_message* hands out what that completes."""
        self._input += data

    def next_message(self) -> bytes | None:
        """
        Return the next whole message, None when more input is needed.

        Raises:
            FramingError: No chunk header where one must be, or a message over *max_message*.

        """
        return self._next_by_chunks() if self._chunked else self._next_by_mark()

    def receive(self, data: bytes) -> list[bytes]:
        """
        Return the messages that *data* completes.

        Raises:
            FramingError: As *next_message*; messages before the error are lost with the session.

        """
        self.feed(data)
        return list(iter(self.next_message, None))

    def encode(self, message: bytes) -> bytes:
        """Return *message* ready to be sent."""
        return b"".join(self.encode_chunks((message,)))

    def encode_chunks(self, parts: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the message that *parts* make up in pieces of moderate size, ready to be sent."""
        waiting = bytearray()
        for part in parts:
            waiting += part
            while len(waiting) > _PIECE:
                yield self._chunk(bytes(waiting[:_PIECE]))
                del waiting[:_PIECE]
        last = self._chunk(bytes(waiting)) if waiting else b""
        yield last + (b"\n##\n" if self._chunked else _END)

    def _chunk(self, piece: bytes) -> bytes:
        return b"\n#%d\n%b" % (len(piece), piece) if self._chunked else piece

    def _next_by_mark(self) -> bytes | None:
        end = self._input.find(_END, self._searched)
        # without a mark the input may still end in all but one byte of it
        length = end if end >= 0 else len(self._input) - len(_END) + 1
        self._refuse_beyond_limit(length)
        if end < 0:
            self._searched = max(0, length)
            return None
        message = bytes(self._input[:end])
        del self._input[: end + len(_END)]
        self._searched = 0
        return message

    def _next_by_chunks(self) -> bytes | None:
        while True:
            if self._remaining:
                taken = self._input[: self._remaining]
                del self._input[: len(taken)]
                self._message += taken
                self._remaining -= len(taken)
            if self._remaining:
                return None
            header = _HEADER.match(bytes(self._input[:_LONGEST_HEADER]))
            if header is None:
                self._refuse_unless_header_begins()
                return None
            del self._input[: header.end()]
            if header["size"] is None:
                return self._finished()
            self._begin_chunk(int(header["size"]))

    def _begin_chunk(self, size: int) -> None:
        if size > _MAX_CHUNK:
            raise FramingError(f"a chunk of {size} bytes; RFC 6242 allows {_MAX_CHUNK}")
        self._refuse_beyond_limit(len(self._message) + size)
        self._remaining = size

    def _finished(self) -> bytes:
        if not self._message:
            raise FramingError("the end of chunks without a chunk")
        message = bytes(self._message)
        self._message.clear()
        return message

    def _refuse_unless_header_begins(self) -> None:
        start = bytes(self._input[:_LONGEST_HEADER])
        if not _PART_OF_HEADER.fullmatch(start):
            raise FramingError(f"no chunk header where one must be: {start!r}")

    def _refuse_beyond_limit(self, length: int) -> None:
        if length > self.max_message:
            raise MessageTooBig(f"a message of more than {self.max_message} bytes")
