"""
Digests that a fetched file must have.

Written as ``sha256:9f86...``, as tools print them (``SHA256 (a.sh) = 9f86...``), or as the bare
digits, whose number then tells the algorithm.
"""

import hashlib
import re
from dataclasses import dataclass
from hmac import compare_digest
from typing import Final

_DIGITS: Final = {"md5": 32, "sha1": 40, "sha256": 64, "sha384": 96, "sha512": 128}
_TEXT: Final = re.compile(
    r"(?:(?P<algorithm>md5|sha-?(?:1|256|384|512))\s*(?:\([^)]*\)\s*)?[:=]\s*)?"
    r"(?P<digits>[0-9a-f]+)",
    re.IGNORECASE,
)


@dataclass(kw_only=True, slots=True, frozen=True)
class Checksum:
    """A digest as lower-case hexadecimal *digits*."""

    algorithm: str
    digits: str

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.digits}"

    def fits(self, content: bytes) -> bool:
        """Tell whether *content* has this digest; md5 and sha1 tell accidents, not forgeries."""
        running = self.running()
        running.update(content)
        return self.found(running) is None

    def running(self) -> "hashlib._Hash":
        """Return what takes a content part by part."""
        return hashlib.new(self.algorithm, usedforsecurity=False)

    def found(self, running: "hashlib._Hash") -> str | None:
        """Return the digest that *running* has come to if it is another one, else None."""
        digits = running.hexdigest()
        return None if compare_digest(digits, self.digits) else f"{self.algorithm}:{digits}"


def checksum_of(text: str) -> Checksum:
    """
    Return the digest that *text* writes.

    Raises:
        ValueError: It writes none; the text says what would be one.

    """
    match = _TEXT.fullmatch(text.strip())
    if match is not None:
        digits = match["digits"].lower()
        named = (match["algorithm"] or "").lower().replace("-", "")
        for algorithm, length in _DIGITS.items():
            if named in {"", algorithm} and len(digits) == length:
                return Checksum(algorithm=algorithm, digits=digits)
    algorithms = ", ".join(_DIGITS)
    raise ValueError(
        f"a checksum is one of {algorithms}, a colon and all hexadecimal digits of the digest"
    )
