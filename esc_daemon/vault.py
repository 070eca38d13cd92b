"""
Secrets at rest: text that only this manager can read (DESIGN section 8).

Deterministic authenticated encryption, AES-SIV (RFC 5297): the same text sealed for the same place
looks the same, so that a password which is sent again is no change, and text that was moved to
another place cannot be opened there.

VaultError   sealed by another key, for another place, or damaged
"""

import base64
import binascii
import os
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

KEY_BYTES: Final = 64
MARK: Final = "$esc1$"
"""What sealed text begins with; a later way of sealing gets another mark."""
_END: Final = b"\0"
"""Stands behind each text: AES-SIV takes no empty one."""


class VaultError(Exception):
    """Sealed text that cannot be opened; the text of the error holds nothing of it."""


def new_key() -> bytes:
    """Return a fresh key."""
    return os.urandom(KEY_BYTES)


def is_sealed(text: str) -> bool:
    """Tell whether *text* has the form of sealed text; only `Vault.unseal` knows whether it is."""
    return text.startswith(MARK)


class Vault:
    """One key and what it seals."""

    def __init__(self, key: bytes) -> None:
        """
        Take a *key* of `KEY_BYTES` bytes.

        Raises:
            VaultError: It has another length.

        """
        if len(key) != KEY_BYTES:
            raise VaultError(f"the key has {len(key)} bytes, not {KEY_BYTES}")
        self._cipher = AESSIV(key)

    def seal(self, text: str, place: str) -> str:
        """Return *text* sealed for *place*, a name that is asked for again when it is opened."""
        sealed = self._cipher.encrypt(text.encode() + _END, [place.encode()])
        return MARK + base64.b64encode(sealed).decode()

    def unseal(self, sealed: str, place: str) -> str:
        """
        Return what was sealed for *place*.

        Raises:
            VaultError: It was not sealed by this key for this place.

        """
        if not is_sealed(sealed):
            raise VaultError(f"{place}: it is not sealed")
        try:
            raw = base64.b64decode(sealed[len(MARK) :], validate=True)
            opened = self._cipher.decrypt(raw, [place.encode()])
            return opened.removesuffix(_END).decode()
        except (InvalidTag, binascii.Error, ValueError) as error:
            raise VaultError(f"{place}: sealed by another key or damaged") from error
