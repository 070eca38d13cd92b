"""
What a session sends: gathered for a tick of the loop, bounded, and waited for.

asyncssh's flow control sees the channel's window only; what the kernel does not take piles up in
the transport below without a bound. So the bytes are counted here, in all three places.
"""

import asyncio
from collections.abc import Callable
from typing import Final

import asyncssh

from esc_daemon.northbound.ssh.limits import KIB, MIB
from esc_daemon.northbound.ssh.transport import unread_bytes

_FLUSH_AT: Final = 32 * KIB
"""One SSH packet's worth: gathering more saves nothing."""
_COMFORTABLE: Final = 1 * MIB
"""Unread output at which a reply stops to wait for the reader."""
_FIRST_LOOK_SECONDS: Final = 0.001
_LAST_LOOK_SECONDS: Final = 0.05


class Output:
    """
    The way out of one session, in order; a notification never falls into the middle of a reply.

    Full (more than *limit* bytes unread) means: *overflowed* is called, once, to close it.
    """

    def __init__(
        self,
        channel: "asyncssh.SSHServerChannel[bytes]",
        *,
        limit: int,
        overflowed: Callable[[int], None],
    ) -> None:
        self._channel = channel
        self._limit = limit
        self._comfortable = min(_COMFORTABLE, limit // 2)
        self._overflowed = overflowed
        self._loop = asyncio.get_running_loop()
        self._gathered: list[bytes] = []
        self._size = 0
        self._scheduled = False
        self._closed = False
        self._in_reply = False
        self._held: list[bytes] = []
        """Notifications that wait for the end of the reply that is being sent."""
        self._held_size = 0

    @property
    def comfortable(self) -> bool:
        """Whether more of a reply may be sent without waiting."""
        return self._unread() <= self._comfortable

    def begin_reply(self) -> None:
        """Hold notifications back until *end_reply*; the reply is sent by *add*."""
        self._in_reply = True

    def end_reply(self, *, more: bool) -> None:
        """Send the reply and what was held back, or let them wait for *more* of this tick."""
        self._in_reply = False
        if self._held:
            held = b"".join(self._held)
            self._held.clear()
            self._held_size = 0
            self._gathered.append(held)
            self._size += len(held)
        if more and self._size < _FLUSH_AT:
            self._send_soon()
        else:
            self.flush()

    def notify(self, data: bytes) -> None:
        """Send a whole message of its own, now or right after the reply that is being sent."""
        if not self._in_reply:
            self.add(data)
            return
        self._held.append(data)
        self._held_size += len(data)
        if self._held_size > self._limit:
            self._overflow(self._held_size)

    def add(self, data: bytes) -> None:
        """Send *data*, at the end of this tick of the loop or of its reply at the latest."""
        self._gathered.append(data)
        self._size += len(data)
        if self._size >= _FLUSH_AT:
            self.flush()
        elif not self._in_reply:
            self._send_soon()

    def flush(self) -> None:
        """Hand what is gathered to SSH; nothing happens once the channel closes."""
        if not self._gathered:
            return
        data = self._gathered[0] if len(self._gathered) == 1 else b"".join(self._gathered)
        self._gathered.clear()
        self._size = 0
        if self._closed or self._channel.is_closing():
            return
        self._channel.write(data)
        unread = unread_bytes(self._channel)
        if unread > self._limit:
            self._overflow(unread)

    async def drained(self, seconds: float) -> None:
        """
        Wait until the reader has taken so much that more of the reply may be sent.

        Raises:
            TimeoutError: It has not within *seconds*.

        """
        self.flush()
        await self._until(lambda: self.comfortable, seconds)

    async def quiet(self, seconds: float) -> None:
        """
        Wait until more notifications may be sent, which is not so while a reply is.

        Raises:
            TimeoutError: It has not come to that within *seconds*.

        """
        if self._in_reply or not self.comfortable:
            await self._until(lambda: not self._in_reply and self.comfortable, seconds)

    async def _until(self, condition: Callable[[], bool], seconds: float) -> None:
        pause = _FIRST_LOOK_SECONDS
        async with asyncio.timeout(seconds):
            # Looked at again and again, since nobody tells when the transport has room.
            while not condition() and not self._channel.is_closing():
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LAST_LOOK_SECONDS)

    def _overflow(self, unread: int) -> None:
        if not self._closed:
            self._closed = True
            self._overflowed(unread)

    def _send_soon(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._tick)

    def _tick(self) -> None:
        self._scheduled = False
        self.flush()

    def _unread(self) -> int:
        if self._closed or self._channel.is_closing():
            return 0
        return self._size + unread_bytes(self._channel)
