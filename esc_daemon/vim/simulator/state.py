"""
The state file of a simulated cloud: one JSON row a line, later lines win.

The file begins with a head line, then the whole state, then changes; when the changes outweigh
the state the file is written anew beside itself and put in place. Each change is handed to the
operating system before the cloud answers, so it survives the death of the process; *sync* says
when it also survives a loss of power.

StateError    the file cannot be used; names the file, the line and what to do
"""

import fcntl
import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec

from esc_daemon.vim.simulator.rows import Change, Gone, Row

_HEAD: Final = b'{"simulator":1}\n'
_NEWLINE: Final = b"\n"


class StateError(Exception):
    """The text names the file, the line and what to do."""


class StateFile:
    """
    The journal of one cloud; only one process at a time has it.

    *sync_seconds*: 0 syncs each change, more syncs at most so often (and when it is closed),
    None leaves it to the operating system. *compact_bytes*: below that length the file is never
    written anew.
    """

    def __init__(
        self, path: Path, *, sync_seconds: float | None = None, compact_bytes: int = 1 << 20
    ) -> None:
        self.path = path
        self._sync_seconds = sync_seconds
        self._compact_bytes = compact_bytes
        self._encoder = msgspec.json.Encoder()
        self._synced_at = time.monotonic()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            raise StateError(f"{path}: another simulator uses it; stop that first") from error
        self._file = -1
        try:
            self.rows = self._open()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _open(self) -> tuple[Row, ...]:
        content = self.path.read_bytes() if self.path.exists() else b""
        rows, length = read_rows(content, self.path)
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        if length == 0:
            os.ftruncate(self._file, 0)
            self._append(_HEAD)
            length = len(_HEAD)
        # A line that was cut off was never answered.
        os.ftruncate(self._file, length)
        self._length = length
        self._base = length
        return rows

    @property
    def is_long(self) -> bool:
        """Whether most of the file is past."""
        return self._length > max(self._compact_bytes, 2 * self._base)

    def write(self, changes: Sequence[Change]) -> None:
        """Append *changes*; OSError when the disk does not take them."""
        lines = self._encoder.encode_lines(changes)
        try:
            self._append(lines)
        except OSError:
            # Half a line in the middle would make the file unreadable.
            os.ftruncate(self._file, self._length)
            raise
        self._length += len(lines)
        if self._sync_seconds is not None:
            now = time.monotonic()
            if now - self._synced_at >= self._sync_seconds:
                os.fdatasync(self._file)
                self._synced_at = now

    def _append(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._file, view) :]

    def rewrite(self, rows: Iterable[Row]) -> None:
        """Write the file anew and put it in place; OSError leaves the old one."""
        fresh = self.path.with_name(self.path.name + ".new")
        data = _HEAD + self._encoder.encode_lines(list(rows))
        file = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        old, self._file = self._file, file
        try:
            self._append(data)
            os.fsync(file)
            fresh.replace(self.path)
        except OSError:
            self._file = old
            os.close(file)
            raise
        os.close(old)
        self._length = self._base = len(data)
        directory = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def close(self) -> None:
        """Sync and let another process have the file."""
        if self._file >= 0:
            if self._sync_seconds is not None:
                os.fdatasync(self._file)
            os.close(self._file)
            self._file = -1
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def read_rows(content: bytes, path: Path) -> tuple[tuple[Row, ...], int]:
    """
    Return the rows of a state file and how many bytes of it count.

    Raises:
        StateError: A line is damaged, and not because the process died while writing the last.

    """
    end = content.rfind(_NEWLINE) + 1
    lines = content[:end].splitlines(keepends=True)
    if not lines and _HEAD.startswith(content):
        return (), 0
    if not lines or lines[0] != _HEAD:
        raise StateError(f"{path}: line 1: this is no state file of a simulator; move it away")
    rows: dict[str, Row] = {}
    decoder = msgspec.json.Decoder(Change)
    for number, line in enumerate(lines[1:], 2):
        try:
            change = decoder.decode(line)
        except msgspec.DecodeError as error:
            raise StateError(
                f"{path}: line {number}: {error}; move the file away to start with an empty cloud"
            ) from error
        if isinstance(change, Gone):
            rows.pop(change.id, None)
        else:
            rows[change.id] = change
    return tuple(rows.values()), end
