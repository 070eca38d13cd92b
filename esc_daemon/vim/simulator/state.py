"""
The state file of a simulated cloud: one JSON row a line, later lines win.

The file begins with a head line, then the whole state, then changes; when the changes outweigh
the state the file is written anew beside itself and put in place. Each change is handed to the
operating system before the cloud answers, so it survives the death of the process; *sync* says
when it also survives a loss of power.

A manager that keeps its own cloud has the texts of day-0 files sealed in it (`esc_daemon.vault`);
the head line says so.

StateError    the file cannot be used; names the file, the line and what to do
"""

import fcntl
import os
import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

import msgspec

from esc_daemon.domain.ids import ServerKey
from esc_daemon.domain.secrets import without_login
from esc_daemon.vault import Vault, VaultError
from esc_daemon.vim.simulator.rows import Change, Gone, ImageRow, Row, ServerRow

_HEAD: Final = b'{"simulator":1}\n'
_SEALED_HEAD: Final = b'{"simulator":1,"sealed":true}\n'
_NEWLINE: Final = b"\n"
_LOGIN: Final = re.compile(rb'"src":"https?://[^"]*[@?#]', re.IGNORECASE)
"""Where earlier versions kept the source of an image with its login or its query."""

_ChangeT = TypeVar("_ChangeT", bound=Change)


class StateError(Exception):
    """The text names the file, the line and what to do."""


class StateFile:
    """
    The journal of one cloud; only one process at a time has it.

    *sync_seconds*: 0 syncs each change, more syncs at most so often (and when it is closed),
    None leaves it to the operating system. *compact_bytes*: below that length the file is never
    written anew. *vault* seals the texts of day-0 files; a file that was kept without one is
    written anew with it when it is opened.
    """

    def __init__(
        self,
        path: Path,
        *,
        sync_seconds: float | None = None,
        compact_bytes: int = 1 << 20,
        vault: Vault | None = None,
    ) -> None:
        self.path = path
        self._vault = vault
        self._head = _HEAD if vault is None else _SEALED_HEAD
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
        rows, length = read_rows(content, self.path, self._vault)
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        if length and (not content.startswith(self._head) or _LOGIN.search(content)):
            rows = tuple(map(_without_login, rows))
            self.rewrite(rows)  # whole: what is gone has plain lines too
            return rows
        if length == 0:
            os.ftruncate(self._file, 0)
            self._append(self._head)
            os.fsync(self._file)  # a file of zeros after a loss of power would be none of ours
            self._sync_directory()
            length = len(self._head)
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
        lines = self._lines(changes)
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

    def _lines(self, changes: Iterable[Change]) -> bytes:
        vault = self._vault
        if vault is not None:
            changes = [_with_texts(each, vault.seal) for each in changes]
        return self._encoder.encode_lines(list(changes))

    def _append(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._file, view) :]

    def rewrite(self, rows: Iterable[Row]) -> None:
        """Write the file anew and put it in place; OSError leaves the old one."""
        fresh = self.path.with_name(self.path.name + ".new")
        data = self._head + self._lines(rows)
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
        self._sync_directory()

    def _sync_directory(self) -> None:
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


def read_rows(
    content: bytes, path: Path, vault: Vault | None = None
) -> tuple[tuple[Row, ...], int]:
    """
    Return the rows of a state file, with their texts in clear, and how many bytes of it count.

    Raises:
        StateError: A line is damaged, and not because the process died while writing the last;
            or the *vault* cannot open what is sealed.

    """
    end = content.rfind(_NEWLINE) + 1
    lines = content[:end].splitlines(keepends=True)
    if not lines and any(head.startswith(content) for head in (_HEAD, _SEALED_HEAD)):
        return (), 0
    if not lines or lines[0] not in (_HEAD, _SEALED_HEAD):
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
    if lines[0] == _SEALED_HEAD:
        return _opened(rows.values(), path, vault), end
    return tuple(rows.values()), end


def _opened(rows: Iterable[Row], path: Path, vault: Vault | None) -> tuple[Row, ...]:
    if vault is None:
        raise StateError(f"{path}: line 1: it is sealed, and the key is with the esc_daemon of it")
    try:
        return tuple(_with_texts(row, vault.unseal) for row in rows)
    except VaultError as error:
        raise StateError(
            f"{path}: {error}; put the key back, or move the file away to start with an empty cloud"
        ) from error


def _with_texts(row: _ChangeT, changed: Callable[[str, str], str]) -> _ChangeT:
    """Return *row* with each text as *changed* makes it of the text and its place."""
    if not isinstance(row, ServerRow) or not row.files:
        return row
    files = tuple(
        replace(file, text=changed(file.text, _place(row.key, file.dst))) for file in row.files
    )
    return msgspec.structs.replace(row, files=files)


def _without_login(row: Row) -> Row:
    """Return *row* without the login that earlier versions kept with the source of an image."""
    if not isinstance(row, ImageRow) or row.want is None:
        return row
    return msgspec.structs.replace(row, want=without_login(row.want))


def _place(key: ServerKey, dst: str) -> str:
    return f"simulator/{key.vm}/{key.generation}/{dst}"
