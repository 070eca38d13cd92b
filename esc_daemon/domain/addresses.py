"""Which addresses the manager itself may ask, whoever named them."""

from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

Address = IPv4Address | IPv6Address

_METADATA: Final = frozenset(
    map(ip_address, ("100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254"))
)
"""Metadata services of clouds whose addresses are not link-local."""
_NAT64: Final = 0x0064_FF9B << 64
"""What IPv6 addresses that stand for an IPv4 address begin with (RFC 6052)."""


def may_be_asked(address: Address) -> bool:
    """Tell whether the manager may ask *address*: unicast, not link-local, no metadata."""
    address = plain(address)
    if address in _METADATA or address.is_link_local:
        return False
    broadcast = address.version == 4 and address.is_reserved
    return not (address.is_multicast or address.is_unspecified or broadcast)


def plain(address: Address) -> Address:
    """Return the IPv4 address that *address* is another way of writing, else *address*."""
    if isinstance(address, IPv4Address):
        return address
    if int(address) >> 32 == _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour or address
