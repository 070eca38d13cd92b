"""
Answers that were made for one reader: held until it has taken them, and bounded together.

What stands serialised already is shared by all readers and costs nothing; what a filter or
with-defaults made exists once more for each of them.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final

from lxml import etree

from esc_daemon.netconf.errors import RpcError

SMALL: Final = 128 * 1024
"""Bytes that are made within some milliseconds, and that a session's output takes at once."""
_PIECE: Final = 64 * 1024
"""Bytes that are given up together once they are sent."""
DEFAULT_MOST: Final = 256 * 1024 * 1024


def serialised(data: etree._Element) -> list[bytes]:
    """Return the children of *data* in pieces of moderate size, so that each is held by itself."""
    texts = map(etree.tostring, data)
    return [text[at : at + _PIECE] for text in texts for at in range(0, len(text), _PIECE)]


class HeldReplies:
    """Counts what is held for all sessions: at most *most* bytes, but one answer of any size."""

    def __init__(self, most: int = DEFAULT_MOST) -> None:
        self._most = most
        self._bytes = 0

    @property
    def waiting(self) -> int:
        """How many bytes wait to be taken."""
        return self._bytes

    def hold(self, pieces: list[bytes]) -> Iterable[bytes]:
        """
        Return *pieces*, to be taken once; each is forgotten when it is.

        Raises:
            RpcError: resource-denied when too much is held already.

        """
        size = sum(map(len, pieces))
        if size <= SMALL:
            return pieces
        if self._bytes and self._bytes + size > self._most:
            raise RpcError.resource_denied(
                f"{self._bytes} bytes of large answers wait for their readers, and this one has"
                f" {size}: together more than limits.replies_bytes; read what was asked for,"
                " ask for less, or ask again later"
            )
        self._bytes += size
        return _Held(pieces, size, self)

    def _give_back(self, size: int) -> None:
        self._bytes -= size


class _Held(Iterator[bytes]):
    """One answer; what nobody takes is given back when the last one forgets it."""

    def __init__(self, pieces: list[bytes], size: int, owner: HeldReplies) -> None:
        self._pieces = deque(pieces)
        self._size = size
        self._owner = owner

    def __next__(self) -> bytes:
        if not self._pieces:
            raise StopIteration
        piece = self._pieces.popleft()
        self._size -= len(piece)
        self._owner._give_back(len(piece))  # noqa: SLF001  made by it
        return piece

    def __del__(self) -> None:
        self._owner._give_back(self._size)  # noqa: SLF001  made by it
