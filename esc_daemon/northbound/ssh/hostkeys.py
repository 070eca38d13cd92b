"""The keys by which clients know this server."""

from pathlib import Path
from typing import Final

import asyncssh

from esc_daemon.access.keys import KeyKind, damaged, ensure_key_pair

# Both kinds: old clients know no ed25519, hardened ones refuse RSA.
_FILES: Final = {
    "ssh_host_ed25519_key": KeyKind.ED25519,
    "ssh_host_rsa_key": KeyKind.RSA,
}


def host_keys(directory: Path) -> list[asyncssh.SSHKey]:
    """
    Return the host keys in *directory*, made at the first start. Blocks for up to a second.

    Raises:
        DamagedKey: A key file cannot be read.

    """
    keys = []
    for name, kind in _FILES.items():
        ensure_key_pair(directory / name, kind)
        try:
            # made by us, and checking the primes of RSA takes 0.1 s at every start
            key = asyncssh.read_private_key(directory / name, unsafe_skip_rsa_key_validation=True)
            keys.append(key)
        except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError, OSError) as error:
            raise damaged(directory / name) from error
    return keys
