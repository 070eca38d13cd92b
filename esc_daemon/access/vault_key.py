"""The key of what is sealed at rest (`esc_daemon.vault`), in a file of its own."""

import base64
import binascii
from pathlib import Path
from typing import Final

from esc_daemon.access.errors import DamagedKey, LostKey
from esc_daemon.access.files import locked, replace_file
from esc_daemon.vault import KEY_BYTES, new_key

VAULT_KEY: Final = "vault.key"
"""Its name beside the other keys."""


def vault_key(path: Path, *, in_use: bool) -> bytes:
    """
    Return the key in the file *path*, one line of base64; make one unless a key is *in_use*.

    The file is readable by the owner only, and on the disk before anything is sealed with it. Its
    directory must be there: it may be a volume that somebody forgot to mount.

    Raises:
        LostKey: There is none, and something is sealed already: a fresh one would open nothing.
        DamagedKey: It cannot be read, made, or holds no key.

    """
    try:
        if not in_use:
            _make(path)
        line = path.read_bytes().strip()
    except OSError as error:
        if in_use and isinstance(error, FileNotFoundError):
            raise LostKey(
                f"{path}: the key is missing, and without it the configuration in the database"
                " cannot be read; put the file back, or name its place by the setting"
                " vault_key_file"
            ) from error
        raise DamagedKey(f"{path}: {error.strerror}") from error
    try:
        key = base64.b64decode(line, validate=True)
    except binascii.Error:
        key = b""
    if len(key) != KEY_BYTES:
        raise DamagedKey(f"{path}: it holds no key of {KEY_BYTES} bytes; put it back from a backup")
    return key


def _make(path: Path) -> None:
    with locked(path.parent):  # two daemons that start together must not make two keys
        if not path.exists():
            replace_file(path, base64.b64encode(new_key()) + b"\n")
