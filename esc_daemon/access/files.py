"""Small secret files: readable by the owner only, replaced whole or not at all."""

import os
import tempfile
from pathlib import Path
from typing import Final

OWNER_ONLY_DIRECTORY: Final = 0o700
OWNER_ONLY_FILE: Final = 0o600


def ensure_directory(path: Path) -> None:
    """Create *path*, readable by the owner only; one that exists keeps its mode."""
    path.mkdir(mode=OWNER_ONLY_DIRECTORY, parents=True, exist_ok=True)


def replace_file(path: Path, content: bytes, *, mode: int = OWNER_ONLY_FILE) -> None:
    """
    Give *path* a new content; a crash leaves the old one or the new one.

    Durable when it returns: the file and its directory are synced.
    """
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), mode)
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
