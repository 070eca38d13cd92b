"""
The host keys that a known_hosts file gives a server, read as OpenSSH does (sshd(8)).

Paramiko's own reading offers "ssh-rsa", which it no longer speaks, looks at one key of a type
only, and knows neither patterns nor revoked keys.

    BadKnownHosts   the file cannot be read; the text names it
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final, Protocol

import asyncssh

# The signatures that paramiko takes by type of key (RFC 8332 for RSA), the best first.
_ALGORITHMS: Final[Mapping[str, tuple[str, ...]]] = {
    "ssh-ed25519": ("ssh-ed25519",),
    "ecdsa-sha2-nistp256": ("ecdsa-sha2-nistp256",),
    "ecdsa-sha2-nistp384": ("ecdsa-sha2-nistp384",),
    "ecdsa-sha2-nistp521": ("ecdsa-sha2-nistp521",),
    "ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256"),
}
_DEFAULT_PORT: Final = 22  # stands in the file without brackets and number


class BadKnownHosts(Exception):
    """The file is no known_hosts file, or not readable."""


class ServerKey(Protocol):
    """What a server showed."""

    def asbytes(self) -> bytes:
        """Return it as RFC 4253 section 6.6 encodes it."""


class KnownHosts:
    """
    The keys of one server, in place of ncclient's own table of host keys.

    *load*, *lookup* and *check* are what ncclient asks; it names the server with and without
    its port, which has been settled here, so that the name is not looked at.
    """

    def __init__(self, path: Path, host: str, port: int) -> None:
        """
        Read the keys of *host* at *port*.

        Raises:
            BadKnownHosts: See there. Keys of unknown types are passed over, as ssh does.
        """
        try:
            file = asyncssh.import_known_hosts(path.read_text(encoding="utf-8"))
            found = file.match(host, "", None if port == _DEFAULT_PORT else port)
        except OSError as error:
            raise BadKnownHosts(f"{path} cannot be read: {error.strerror}") from error
        except ValueError as error:
            raise BadKnownHosts(
                f"{path} is no known_hosts file; its lines are 'host type base64'"
            ) from error
        revoked = {key.public_data for key in found[2]}
        keys = [key for key in found[0] if key.public_data not in revoked]
        self._keys = frozenset(key.public_data for key in keys)
        kinds = {key.algorithm.decode("ascii") for key in keys}
        self._algorithms = tuple(
            name for kind, names in _ALGORITHMS.items() if kind in kinds for name in names
        )

    def load(self, _: str) -> None:
        """Leave out what ncclient adds of itself: the user's own known_hosts was not given."""

    def lookup(self, _: str) -> Mapping[str, None]:
        """Return the host key algorithms to offer, as keys in the order of preference."""
        return dict.fromkeys(self._algorithms)

    def check(self, _: str, key: ServerKey) -> bool:
        """Return whether *key* is one of the server's."""
        return key.asbytes() in self._keys
