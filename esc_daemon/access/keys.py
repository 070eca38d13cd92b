"""Key pairs in OpenSSH's own format: the host keys, and the key of the local client."""

import base64
import binascii
from enum import StrEnum
from pathlib import Path
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_public_key,
)

from esc_daemon.access.errors import BadPublicKey, DamagedKey
from esc_daemon.access.files import ensure_directory, replace_file

_RSA_BITS: Final = 3072
_PUBLIC_MODE: Final = 0o644


class KeyKind(StrEnum):
    """What we make; what users bring may be anything that the SSH library takes."""

    ED25519 = "ed25519"
    RSA = "rsa"


def ensure_key_pair(path: Path, kind: KeyKind) -> bool:
    """
    Make the key pair *path* and *path*.pub unless the private key is there; return whether made.

    The private key is readable by the owner only. A lost public half is written again from
    the private one by nobody: delete both to get a new pair.
    """
    if path.exists():
        return False
    ensure_directory(path.parent)
    key: ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey
    if kind is KeyKind.ED25519:
        key = ed25519.Ed25519PrivateKey.generate()
    else:
        key = rsa.generate_private_key(public_exponent=65537, key_size=_RSA_BITS)
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    # The public half first: a private key on disk means that the pair is whole.
    replace_file(path.with_name(f"{path.name}.pub"), public + b"\n", mode=_PUBLIC_MODE)
    replace_file(path, private)
    return True


def public_half(path: Path) -> str:
    """
    Return the public key that belongs to the private key file *path*, as ``type base64``.

    Raises:
        DamagedKey: It is not there or no key.

    """
    public = path.with_name(f"{path.name}.pub")
    try:
        return normal_public_key(public.read_text(encoding="ascii"))
    except (OSError, UnicodeDecodeError, BadPublicKey) as error:
        raise damaged(public) from error


def damaged(path: Path) -> DamagedKey:
    """Return the error that tells of the key file *path*, without its content."""
    pair = path.with_suffix("")
    return DamagedKey(
        f"{path}: no readable key; put it back, or remove {pair} and {pair}.pub to get new ones"
    )


def normal_public_key(line: str) -> str:
    """
    Return the ``type base64`` part of an OpenSSH public key, so that keys compare as text.

    Raises:
        BadPublicKey: It is not one; options in front of the type are not taken.

    """
    words = line.split()
    if len(words) < 2:
        raise BadPublicKey("a public key is 'type base64 [comment]' on one line")
    try:
        base64.b64decode(words[1], validate=True)
        load_ssh_public_key(f"{words[0]} {words[1]}".encode("ascii"))
    except (binascii.Error, ValueError, UnsupportedAlgorithm) as error:
        raise BadPublicKey("not a public key in OpenSSH's format") from error
    return f"{words[0]} {words[1]}"
