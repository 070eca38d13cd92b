"""RFC 6242 framing: what is cut anywhere reads the same, and what is written is read back."""

from esc_daemon.netconf.framing import Framer, FramingError
from tests.fuzz.choices import cut

LIMIT = 2000
SEEDS = (
    b"\x00\x03\x01\x05\x02\n#5\n<a/>\n\n##\n\n#4\n<b/>\n##\n",
    b"\x01\x02\x06\x01<a/>]]>]]><b/>]]>]]>]]",
    b"\x02\x02\x03\x09<hello/>|<rpc/>|]]>|\n##\n|#",
    b"\x03\x01\x07a|bb|ccc",
    b"\x00\x01\x02\n#4294967295\nx",
    b"\x00\x00\n#4294967296\n",
)


def read(pieces: list[bytes], *, chunked: bool) -> tuple[list[bytes], str | None]:
    """Return the messages, and what was wrong."""
    framer = Framer(LIMIT)
    if chunked:
        framer.upgrade()
    found: list[bytes] = []
    for piece in pieces:
        framer.feed(piece)
        try:
            while (message := framer.next_message()) is not None:
                found.append(message)
        except FramingError as error:
            return found, type(error).__name__
        assert len(framer._input) <= LIMIT + len(piece)
        assert len(framer._message) <= LIMIT
    return found, None


def run(data: bytes) -> None:
    if len(data) < 2:
        return
    mode, number = data[0], min(data[1], 32)
    places, stream = data[2 : 2 + number], data[2 + number :]
    chunked = mode % 2 == 0
    if mode % 4 < 2:
        whole, whole_fault = read([stream], chunked=chunked)
        parts, part_fault = read(cut(stream, places), chunked=chunked)
        # a message beyond the limit is noticed the sooner, the more of it is there at once
        assert parts == whole
        assert (part_fault is None) == (whole_fault is None)
        return
    messages = [part for part in stream.split(b"|") if part and len(part) <= LIMIT]
    writer = Framer()
    if chunked:
        writer.upgrade()
    else:
        # a mark inside a message, or one that the end of a message begins, ends it early
        messages = [part for part in messages if (part + b"]]>]]").find(b"]]>]]>") < 0]
        messages = [part.rstrip(b"]>") + b"." for part in messages]
    written = b"".join(writer.encode(message) for message in messages)
    assert read(cut(written, places), chunked=chunked) == (messages, None)
