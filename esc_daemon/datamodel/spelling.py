"""
The canonical form of values (RFC 7950 section 9.1): one spelling where a type allows several.

What is no value of the type stays as it is: libyang refuses it later.
"""

import re
from collections.abc import Callable, Mapping
from socket import AF_INET6, inet_ntop, inet_pton
from typing import Any, Final, TypeAlias

Spelling: TypeAlias = Callable[[str], str]
"""From a value as somebody wrote it to its canonical form."""

_INTEGER: Final = re.compile(r"[ \t\r\n]*(?P<sign>[+-]?)0*(?P<digits>[0-9]+)[ \t\r\n]*")


def as_written(text: str) -> str:
    """Return *text*: of most types no value has two spellings."""
    return text


def _integer(text: str) -> str:
    found = _INTEGER.fullmatch(text)
    if found is None:
        return text
    negative = found["sign"] == "-" and found["digits"] != "0"
    return f"-{found['digits']}" if negative else found["digits"]


def _ip_address(text: str) -> str:
    """RFC 6991: of version 6 in the form of RFC 5952; version 4 has one spelling only."""
    if ":" not in text:
        return text
    try:
        return inet_ntop(AF_INET6, inet_pton(AF_INET6, text))
    except (OSError, ValueError):
        return text


_INTEGERS: Final = frozenset(f"{sign}int{size}" for sign in ("", "u") for size in (8, 16, 32, 64))
_OF_TYPEDEF: Final[Mapping[str, Spelling]] = {
    "ip-address-no-zone": _ip_address,
    "ipv6-address-no-zone": _ip_address,
    "mac-address": str.lower,
}
"""Of RFC 6991, by the name that the typedef has there."""


def spelling_of(leaf: Any) -> Spelling:
    """Return what makes the values of *leaf*, a leaf or leaf-list of pyang, canonical."""
    kind = leaf.search_one("type")
    if kind.i_type_spec.name == "leafref" and leaf.i_leafref_ptr is not None:
        return spelling_of(leaf.i_leafref_ptr[0])
    if kind.i_type_spec.name in _INTEGERS:
        return _integer
    while kind is not None:
        found = _OF_TYPEDEF.get(str(kind.arg).rpartition(":")[2])
        if found is not None:
            return found
        typedef = getattr(kind, "i_typedef", None)
        kind = None if typedef is None else typedef.search_one("type")
    return as_written
