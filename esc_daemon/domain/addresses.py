"""Which addresses the manager itself may ask, whoever named them."""

from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

Address = IPv4Address | IPv6Address

_METADATA: Final = frozenset(
    map(ip_address, ("100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254"))
)
"""Metadata services of clouds whose addresses are not link-local."""
_WITH_IPV4: Final = frozenset(
    int(IPv6Address(prefix)) >> 32
    for prefix in ("::", "::ffff:0:0", "::ffff:0:0:0", "64:ff9b::", "64:ff9b:1::")
)
"""
What IPv6 addresses that end in the IPv4 address that they stand for begin with: compatible and
mapped (RFC 4291 section 2.5.5), translated (RFC 2765), NAT64 (RFC 6052, RFC 8215).
"""
_NO_IPV4: Final = 0xFFFF
"""The last of those that begin as compatible ones do and are none, as loopback."""


def read_address(text: str) -> Address:
    """
    Return the address that somebody wrote.

    Raises:
        ValueError: It is none, or has a scope (RFC 4007), which names an interface of ours, and
            for which Python takes nearly any text.

    """
    if "%" in text:
        raise ValueError("an address with a scope")
    return ip_address(text)


def may_be_asked(address: Address, *, loopback: bool) -> bool:
    """
    Tell whether the manager may ask *address*: unicast, not link-local, no metadata.

    *loopback*: whether its own loopback may be asked too.
    """
    address = plain(address)
    if address in _METADATA or address.is_link_local:
        return False
    if address.is_loopback:
        return loopback
    broadcast = address.version == 4 and address.is_reserved
    return not (address.is_multicast or address.is_unspecified or broadcast)


def plain(address: Address) -> Address:
    """Return the IPv4 address that *address* is another way of writing, else it without scope."""
    if isinstance(address, IPv4Address):
        return address
    number = int(address)
    if number >> 32 in _WITH_IPV4 and number > _NO_IPV4:
        return IPv4Address(number & 0xFFFF_FFFF)
    return address.sixtofour or without_scope(address)


def without_scope(address: Address) -> Address:
    """Return *address* as those without a scope are compared and written."""
    return address if isinstance(address, IPv4Address) else IPv6Address(int(address))
