"""
One write to the kernel for all that a tick of the loop sends on a connection.

asyncssh writes each packet by itself and puts an ignore packet before each: two system calls for
one small reply. Gathering them took the server's time for a small get from 172-188 us to
139-164 us (two busy cores).
"""

import asyncio
from collections.abc import Iterable
from typing import Any, Final

import asyncssh

from esc_daemon.northbound.ssh.limits import KIB

_FLUSH_AT: Final = 64 * KIB


class CorkedTransport(asyncio.Transport):
    """Stands before a connection's transport; everything but writing goes straight through."""

    def __init__(self, inner: asyncio.Transport) -> None:
        super().__init__()
        self._inner = inner
        self._loop = asyncio.get_running_loop()
        self._gathered: list[bytes | bytearray | memoryview[Any]] = []
        self._size = 0

    def write(self, data: "bytes | bytearray | memoryview[Any]") -> None:
        """Send *data* at the end of this tick of the loop at the latest."""
        if not self._gathered:
            self._loop.call_soon(self.flush)
        self._gathered.append(data)
        self._size += len(data)
        if self._size >= _FLUSH_AT:
            self.flush()

    def writelines(self, list_of_data: "Iterable[bytes | bytearray | memoryview[Any]]") -> None:
        """Send all of *list_of_data*."""
        for data in list_of_data:
            self.write(data)

    def flush(self) -> None:
        """Hand what is gathered to the kernel, or to the transport's buffer."""
        if self._gathered:
            data = b"".join(self._gathered)
            self._gathered.clear()
            self._size = 0
            self._inner.write(data)

    def get_write_buffer_size(self) -> int:
        """Return the bytes that the kernel has not taken."""
        return self._size + self._inner.get_write_buffer_size()

    def abort(self) -> None:
        """Close at once; what was written in this tick is given up."""
        self._gathered.clear()
        self._size = 0
        self._inner.abort()

    def close(self) -> None:
        """Close when everything is sent."""
        self.flush()
        self._inner.close()

    def is_closing(self) -> bool:
        return self._inner.is_closing()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._inner.get_extra_info(name, default)

    def pause_reading(self) -> None:
        self._inner.pause_reading()

    def resume_reading(self) -> None:
        self._inner.resume_reading()


# asyncssh offers no public way to what is below a connection: the two functions of this file are
# the only places that know its names, and tests of the listener fail when they change.


def cork(connection: asyncssh.SSHServerConnection) -> None:
    """Put a CorkedTransport under *connection*, which has just been made."""
    transport = connection._transport  # noqa: SLF001
    if transport is not None:
        connection._transport = CorkedTransport(transport)  # noqa: SLF001


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
