"""
Files of this machine (ruling 11): below the directories of a setting and nowhere else.

The way is walked step by step and no symbolic link is followed, so that what was looked at is
what is read, whoever moves things meanwhile.
"""

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from esc_daemon.dayzero.base import TOO_LONG, DayZeroRefused

ReadT = TypeVar("ReadT")

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_STEP: Final = _DIRECTORY | os.O_NOFOLLOW
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
"""Not blocking: to open a pipe would wait for somebody who writes."""


@dataclass(kw_only=True, slots=True, frozen=True)
class FilePart:
    """
    A part of a file of *size* bytes; empty *content*: its end.

    *mark* is another one once the file was written to or put in the place of another.
    """

    content: bytes
    size: int
    mark: tuple[int, ...]


class LocalFiles:
    """
    The regular files below *directories*.

    What is not absolute stands below the first of them. Nothing inside *private*, the manager's
    own directory, is given away but through a directory of *directories* that is inside it.
    *setting* is where they come from, *again* what to do once a file is where it should be.
    """

    def __init__(
        self,
        directories: Sequence[Path],
        *,
        private: Path,
        setting: str = "day0.directories",
        again: str = "deploy anew",
    ) -> None:
        self._directories = [each.absolute() for each in directories]
        self._private = private.stat()
        self._setting = setting
        self._again = again

    def read(self, path: str, max_bytes: int) -> bytes:
        """
        Return the content of the file at *path*; this blocks.

        Raises:
            DayZeroRefused: It is not there, not allowed, no regular file, or longer than
                *max_bytes*.

        """
        return self._read(path, lambda file, at: _content(file, at, max_bytes))

    def part(self, path: str, offset: int, length: int) -> "FilePart":
        """
        Return at most *length* bytes of the file at *path*, from *offset* on; this blocks.

        Raises:
            DayZeroRefused: It is not there, not allowed, or no regular file.

        """
        return self._read(path, lambda file, at: _part(file, at, offset, length))

    def _read(self, path: str, taken: Callable[[int, Path], ReadT]) -> ReadT:
        directory, below = self._allowed(path)
        try:
            with self._opened(directory, below) as file:
                return taken(file, directory / below)
        except FileNotFoundError:
            text = f"there is no file {directory / below}; put it there, then {self._again}"
            raise DayZeroRefused(text) from None
        except OSError as error:
            text = f"{directory / below} cannot be read: {error.strerror}"
            raise DayZeroRefused(text) from None

    def _allowed(self, path: str) -> tuple[Path, Path]:
        """Return the directory that *path* stands below, and the way down from it."""
        if not path.startswith("/") and self._directories:
            return self._directories[0], Path(path)
        wanted = Path(path)
        holding = [each for each in self._directories if each in wanted.parents]
        if not holding:
            allowed = ", ".join(map(str, self._directories)) or "none"
            raise DayZeroRefused(
                f"{path} stands in no directory that files are read from ({allowed}); put"
                f" the file into one of them or change the setting {self._setting}"
            )
        nearest = max(holding, key=lambda each: len(each.parts))
        return nearest, wanted.relative_to(nearest)

    @contextmanager
    def _opened(self, directory: Path, below: Path) -> Iterator[int]:
        at = os.open(directory, _DIRECTORY)
        try:
            for step in below.parts[:-1]:
                at, above = self._stepped(at, step, directory / below), at
                os.close(above)
            file = _followed(below.parts[-1], _FILE, at, directory / below)
        finally:
            os.close(at)
        try:
            yield file
        finally:
            os.close(file)

    def _stepped(self, at: int, step: str, path: Path) -> int:
        below = _followed(step, _STEP, at, path)
        if os.path.samestat(os.fstat(below), self._private):
            os.close(below)
            raise DayZeroRefused(f"{path} is in the data directory, which is the manager's own")
        return below


def _followed(step: str, flags: int, at: int, path: Path) -> int:
    try:
        return os.open(step, flags, dir_fd=at)
    except OSError:
        if stat.S_ISLNK(os.stat(step, dir_fd=at, follow_symlinks=False).st_mode):
            text = f"{path}: {step} is a symbolic link, which is not followed; put the file there"
            raise DayZeroRefused(text) from None
        raise


def _regular(file: int, path: Path) -> os.stat_result:
    found = os.fstat(file)
    if not stat.S_ISREG(found.st_mode):
        raise DayZeroRefused(f"{path} is no regular file")
    return found


def _part(file: int, path: Path, offset: int, length: int) -> FilePart:
    found = _regular(file, path)
    mark = found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
    return FilePart(content=os.pread(file, length, offset), size=found.st_size, mark=mark)


def _content(file: int, path: Path, max_bytes: int) -> bytes:
    _regular(file, path)
    content = bytearray()
    while part := os.read(file, min(1 << 16, max_bytes + 1 - len(content))):
        content += part
    if len(content) > max_bytes:
        raise DayZeroRefused(f"{path}: {TOO_LONG}")
    return bytes(content)
