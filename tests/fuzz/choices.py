"""Chance that is drawn from given bytes, so that a fuzzer steers what generators make."""

from random import Random
from zlib import crc32


class Choices(Random):
    """Draws from *data*; when that is used up, from a generator that the same bytes seeded."""

    def __init__(self, data: bytes) -> None:
        super().__init__(crc32(data))
        self._left = int.from_bytes(data, "little")
        self._bits = 8 * len(data)

    def getrandbits(self, k: int, /) -> int:
        if self._bits < k:
            return super().getrandbits(k)
        drawn = self._left & ((1 << k) - 1)
        self._left >>= k
        self._bits -= k
        return drawn

    def random(self) -> float:
        return self.getrandbits(16) / 65536


def cut(data: bytes, places: bytes) -> list[bytes]:
    """Return *data* in pieces whose lengths the *places* tell, the rest as the last one."""
    pieces = []
    for length in places:
        pieces.append(data[:length])
        data = data[length:]
    return [*pieces, data]
