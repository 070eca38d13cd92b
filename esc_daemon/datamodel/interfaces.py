"""Interfaces of a VM group: their addresses, and what their ports may send."""

from ipaddress import ip_address, ip_network
from typing import Final

from lxml import etree

from esc_daemon.datamodel.addresses import ip, prefix_length
from esc_daemon.datamodel.objection import Objection
from esc_daemon.datamodel.shape import Leaf, Made, Many, Shape, boolean, steps, text_at
from esc_daemon.domain.intent import FixedAddress, Interface


def _texts(path: str) -> Made:
    """Return a field of all values at *path*."""
    at = steps(path)

    def make(element: etree._Element) -> object:
        return tuple(found.text or "" for found in element.findall(at))

    return Made((path,), make, absent=())


def _allowed_addresses(interface: etree._Element) -> object:
    found = interface.findall(steps("allowed_address_pairs/address"))
    return tuple(dict.fromkeys(_allowed(address) for address in found))


def _allowed(element: etree._Element) -> str:
    """Return an allowed address, with a mask as a CIDR."""
    address = ip_address(text_at(element, "ip_address") or "")
    mask = element.find(steps("netmask"))
    if mask is None:
        return str(address)
    text = mask.text or ""
    length = prefix_length(text)
    if length is None or ip_address(text).version != address.version:
        raise Objection(mask, f"{text} is no netmask for {address}")
    return str(ip_network(f"{address}/{length}", strict=False))


_ADDRESS: Final = Shape(
    FixedAddress,
    {
        "address_id": Leaf("address_id", int),
        "subnet": Leaf("subnet"),
        "ip_address": Leaf("ip_address", ip),
    },
)
INTERFACE: Final = Shape(
    Interface,
    {
        "nicid": Leaf("nicid", int),
        "network": Leaf("network"),
        "type": Leaf("type"),
        "model": Leaf("model"),
        "ip_address": Leaf("ip_address", ip),
        "mac_address": Leaf("mac_address", str.lower),
        "admin_state_up": Leaf("admin_state_up", boolean),
        "subnet": Leaf("subnet"),
        "addresses": Many(("addresses/address",), _ADDRESS),
        "port_security_enabled": Leaf("port_security_enabled", boolean),
        "security_groups": _texts("security_groups/security_group"),
        "allowed_networks": _texts("allowed_address_pairs/network/name"),
        "allowed_addresses": Made(
            ("allowed_address_pairs/address/ip_address", "allowed_address_pairs/address/netmask"),
            _allowed_addresses,
            absent=(),
        ),
    },
)
"""
How an interface is read.

Raises `Objection` for an allowed address whose netmask has holes or is of another IP version.
"""
