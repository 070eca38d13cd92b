"""
The day-0 port: what the engine asks before it makes a server.

DayZeroError
 + DayZeroRefused   reading it again would not help (no such file, not allowed, wrong digest)
 + DayZeroUnknown   it could not be read now (time-out, connection lost, 5xx): try again
"""

from collections.abc import Sequence
from typing import Final, Protocol

from esc_daemon.domain.intent import DayZero, FileServer

TOO_LONG: Final = (
    "the day-0 files of a VM have more bytes together than the setting day0.max_bytes allows"
)


class DayZeroError(Exception):
    """Base of what this room raises; the text names the source and what to do, never a secret."""


class DayZeroRefused(DayZeroError):
    """Final: it cannot be read until the operator does what the text says."""


class DayZeroUnknown(DayZeroError):
    """It could not be read this time."""


class DayZeroReader(Protocol):
    """Where the text of day-0 files comes from."""

    max_bytes: int
    """The files of one VM may have so many together, as they are read and as they are filled."""

    async def texts(self, files: Sequence[DayZero]) -> tuple[str, ...]:
        """
        Return the text of each of the *files* of one VM as it is now; variables stay in it.

        Raises:
            DayZeroRefused: One of them cannot be read, or they are too long.
            DayZeroUnknown: One of them could not be read now, or not within the time for all.

        """
        ...


class FileServers(Protocol):
    """The file servers that are configured (esc_datamodel/file_servers)."""

    def opened(self, name: str) -> FileServer | None:
        """
        Return the file server *name* as it is now, its password as it was sent; None: none is.

        Raises:
            DayZeroRefused: Its password cannot be opened.

        """
        ...
