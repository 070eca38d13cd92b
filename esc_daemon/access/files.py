"""Small secret files: readable by the owner only, replaced whole or not at all."""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

OWNER_ONLY_DIRECTORY: Final = 0o700
OWNER_ONLY_FILE: Final = 0o600


def ensure_directory(path: Path) -> None:
    """Create *path*, readable by the owner only; one that exists keeps its mode."""
    path.mkdir(mode=OWNER_ONLY_DIRECTORY, parents=True, exist_ok=True)


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """
    Keep other processes that ask for the same lock out; waits for them without a limit.

    The lock is on the directory itself, so that no file of root's lies in a service's way.
    """
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def replace_file(path: Path, content: bytes, *, mode: int = OWNER_ONLY_FILE) -> None:
    """
    Give *path* a new content; a crash leaves the old one or the new one.

    Written by root, it belongs to whom the directory belongs: a service can still read it.
    Durable when it returns: the file and its directory are synced.
    """
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), mode)
            if os.geteuid() == 0:
                owner = path.parent.stat()
                os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
