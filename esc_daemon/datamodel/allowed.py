"""What the values of a leaf may be, for who wrote another one."""

from collections.abc import Mapping
from typing import Any, Final

_OF_TYPEDEF: Final[Mapping[str, str]] = {
    "ip-address-no-zone": "an IP address",
    "ipv4-address-no-zone": "an IPv4 address",
    "ipv6-address-no-zone": "an IPv6 address",
    "mac-address": "a MAC address such as fa:16:3e:00:00:01",
}
"""Of RFC 6991, by the name that the typedef has there."""


def allowed_of(leaf: Any) -> tuple[str, ...]:
    """
    Return the values of *leaf*, a leaf or leaf-list of pyang: each, or what they are.

    Nothing where its type is one that a few words do not tell, as of texts.
    """
    kind = leaf.search_one("type")
    told = _OF_TYPEDEF.get(str(kind.arg).rpartition(":")[2])
    if told is not None:
        return (told,)
    type_ = kind.i_type_spec
    if type_.name == "leafref" and leaf.i_leafref_ptr is not None:
        return allowed_of(leaf.i_leafref_ptr[0])
    if type_.name == "enumeration":
        return tuple(word for word, _ in type_.enums)
    if type_.name == "boolean":
        return ("true", "false")
    if "int" in type_.name and isinstance(type_.min, int):
        return (f"a whole number from {type_.min} to {type_.max}",)
    return ()
