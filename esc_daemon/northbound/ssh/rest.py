"""
The rest of a message that is too long, thrown away.

ncclient reads nothing before it has sent its message as a whole: hung up on in the middle of it,
it would never learn why. So the rest is taken after the answer, within bounds.
"""

import asyncio
from contextlib import suppress
from typing import Final

from esc_daemon.northbound.ssh.limits import MIB

_ENDS: Final = (b"]]>]]>", b"\n##\n")
"""Of a message (RFC 6242 section 4), whichever framing is in use."""
_LONGEST_END: Final = max(map(len, _ENDS))
_MOST_BYTES: Final = 64 * MIB
_SECONDS: Final = 30.0
_SILENT_SECONDS: Final = 1.0
"""After these without a byte nothing more is waited for."""


class Rest:
    """What still comes of one message."""

    def __init__(self, data: bytes) -> None:
        """Begin with *data*, which showed that the message is too long."""
        self._bytes = 0
        self._tail = data[-_LONGEST_END:]
        self._over = asyncio.Event()
        if self._tail.endswith(_ENDS):
            self.end()

    def take(self, data: bytes) -> None:
        """Throw *data* away."""
        self._bytes += len(data)
        seen = self._tail + data
        self._tail = seen[-_LONGEST_END:]
        if self._bytes > _MOST_BYTES or any(end in seen for end in _ENDS):
            self.end()

    def end(self) -> None:
        """Wait for nothing more."""
        self._over.set()

    async def over(self) -> None:
        """Return when the message has ended, or is given up."""
        loop = asyncio.get_running_loop()
        until = loop.time() + _SECONDS
        came = -1
        while came != self._bytes and loop.time() < until and not self._over.is_set():
            came = self._bytes
            with suppress(TimeoutError):
                async with asyncio.timeout(_SILENT_SECONDS):
                    await self._over.wait()
