"""Addresses and masks as the configuration writes them, in the one spelling that is compared."""

from ipaddress import ip_address


def ip(text: str) -> str:
    """Return an IP address in its usual spelling."""
    return str(ip_address(text))


def prefix_length(netmask: str) -> int | None:
    """Return how many bits *netmask* has; None when it has holes."""
    mask = ip_address(netmask)
    host_bits = ~int(mask) & ((1 << mask.max_prefixlen) - 1)
    return None if host_bits & (host_bits + 1) else int(mask).bit_count()
