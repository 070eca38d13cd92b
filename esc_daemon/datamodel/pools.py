"""Static address pools: ranges and single addresses, in the order of the configuration."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

from lxml import etree

from esc_daemon.datamodel.names import esc
from esc_daemon.datamodel.objection import Objection
from esc_daemon.datamodel.shape import Made, steps, text_at
from esc_daemon.domain.intent import AddressPool

MAX_ADDRESSES: Final = 1024
"""Addresses taken of one pool and IP version: twice what a deployment has VMs (ruling 15c)."""
_MAC_DIGITS: Final = 12
_ENDS: Final = ("start", "end")


@dataclass(slots=True, frozen=True)
class PoolReader:
    """How one kind of pool is read; *what* is ``ip`` or ``mac``."""

    what: str
    number: Callable[[str], tuple[int, int]]
    """From an address to (family, number)."""
    address: Callable[[int, int], str]
    """And back."""

    def field(self, path: str) -> Made:
        """Return the pools at *path* as a field."""
        leaves = ("network", "netmask", "gateway") if self.what == "ip" else ("network",)
        own = (f"{self.what}_address", *(f"{self.what}_address_range/{end}" for end in _ENDS))

        def make(element: etree._Element) -> object:
            return tuple(self.read(pool) for pool in element.findall(steps(path)))

        return Made(tuple(f"{path}/{leaf}" for leaf in (*leaves, *own)), make, absent=())

    def read(self, pool: etree._Element) -> AddressPool:
        """
        Return the pool.

        Raises:
            Objection: A range goes backwards or joins two versions of IP.

        """
        return AddressPool(
            network=text_at(pool, "network") or "",
            addresses=tuple(self._addresses(pool)),
            netmask=text_at(pool, "netmask"),
            gateway=text_at(pool, "gateway"),
        )

    def _addresses(self, pool: etree._Element) -> Iterator[str]:
        """Yield each address once."""
        found: dict[int, set[int]] = {}
        for family, numbers in self._spans(pool):
            of_family = found.setdefault(family, set())
            for number in numbers:
                if len(of_family) == MAX_ADDRESSES:
                    break
                if number not in of_family:
                    of_family.add(number)
                    yield self.address(family, number)

    def _spans(self, pool: etree._Element) -> Iterator[tuple[int, range]]:
        for element in pool:
            if element.tag == esc(f"{self.what}_address"):
                family, number = self.number(element.text or "")
                yield family, range(number, number + 1)
            elif element.tag == esc(f"{self.what}_address_range"):
                yield self._span(element)

    def _span(self, element: etree._Element) -> tuple[int, range]:
        start, end = text_at(element, "start") or "", text_at(element, "end") or ""
        (family, first), (other, last) = self.number(start), self.number(end)
        if family != other or last < first:
            raise Objection(element, f"the range from {start} to {end} holds no address")
        return family, range(first, last + 1)


def _ip_number(text: str) -> tuple[int, int]:
    address = ip_address(text)
    return address.version, int(address)


def _ip_text(family: int, number: int) -> str:
    size = 4 if family == 4 else 16
    return str(ip_address(number.to_bytes(size, "big")))


def _mac_number(text: str) -> tuple[int, int]:
    return 0, int(text.replace(":", ""), 16)


def _mac_text(_family: int, number: int) -> str:
    digits = f"{number:0{_MAC_DIGITS}x}"
    return ":".join(digits[at : at + 2] for at in range(0, _MAC_DIGITS, 2))


IP_POOL: Final = PoolReader("ip", _ip_number, _ip_text)
MAC_POOL: Final = PoolReader("mac", _mac_number, _mac_text)
