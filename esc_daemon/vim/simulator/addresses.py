"""Handing out the addresses of one range."""

from heapq import heappop, heappush
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

from esc_daemon.vim.base import VimRefused


def parse_address(text: str) -> IPv4Address | IPv6Address:
    """Return the address; VimRefused if *text* is none."""
    try:
        return ip_address(text)
    except ValueError:
        raise VimRefused(f"{text!r} is no IP address") from None


def parse_range(address: str, netmask: str) -> IPv4Network | IPv6Network:
    """Return the range of *address* with *netmask*, which may be a length or a mask."""
    start = parse_address(address)
    try:
        length = int(netmask) if netmask.isdecimal() else _length(netmask)
        return ip_network(f"{start}/{length}", strict=False)
    except ValueError:
        raise VimRefused(f"{netmask!r} is no netmask for {address}") from None


def _length(netmask: str) -> int:
    mask = ip_address(netmask)
    bits = f"{int(mask):0{mask.max_prefixlen}b}"
    if "01" in bits:
        raise ValueError(netmask)
    return bits.count("1")


class Pool:
    """
    The free addresses of a range, lowest first; network, broadcast and gateway are never given.

    With *anything_goes* an address from outside the range may be claimed too: the network has
    no subnet that could say otherwise.
    """

    def __init__(
        self, network: IPv4Network | IPv6Network, gateway: str = "", *, anything_goes: bool = False
    ) -> None:
        self.network = network
        self.gateway = gateway
        self._anything_goes = anything_goes
        self._used: set[int] = set()
        self._outside: set[str] = set()
        self._returned: list[int] = []
        self._in_returned: set[int] = set()
        first, last = int(network.network_address), int(network.broadcast_address)
        if network.num_addresses > 2:
            first += 1
            # RFC 4291 section 2.6: IPv6 has no broadcast.
            last -= network.version == 4
        self._next, self._first, self._last = first, first, last
        self._gateway = int(ip_address(gateway)) if gateway else -1

    def __len__(self) -> int:
        return len(self._used) + len(self._outside)

    @property
    def is_empty(self) -> bool:
        """Whether `take` would find nothing."""
        beside = int(self._first <= self._gateway <= self._last)
        return len(self._used) >= self._last - self._first + 1 - beside

    def in_use(self, network: IPv4Network | IPv6Network) -> str:
        """Return an address of *network* that somebody has; empty where there is none."""
        kind = type(self.network.network_address)
        held = (*(str(kind(number)) for number in self._used), *self._outside)
        return next((text for text in held if ip_address(text) in network), "")

    def take(self) -> str:
        """Return an address that nobody has; VimRefused when there is none."""
        while self._returned:
            number = heappop(self._returned)
            self._in_returned.discard(number)
            if number not in self._used and number != self._gateway:
                return self._mark(number)
        while self._next <= self._last:
            number = self._next
            self._next += 1
            if number not in self._used and number != self._gateway:
                return self._mark(number)
        raise VimRefused(f"no address is left in {self.network}")

    def claim(self, text: str) -> str:
        """Return the address *text* in its usual spelling; VimRefused if it is not to be had."""
        address = parse_address(text)
        if address in self.network:
            number = int(address)
            if number == self._gateway or not self._first <= number <= self._last:
                raise VimRefused(f"address {address} of {self.network} is not for ports")
            if number in self._used:
                raise VimRefused(f"address {address} of {self.network} is in use")
            self._used.add(number)
            return str(address)
        if not self._anything_goes:
            raise VimRefused(f"address {address} is not in {self.network}")
        if str(address) in self._outside:
            raise VimRefused(f"address {address} is in use")
        self._outside.add(str(address))
        return str(address)

    def move_gateway(self, gateway: str) -> None:
        """Keep *gateway* (empty: none) from ports from now on; VimRefused if a port has it."""
        number = int(ip_address(gateway)) if gateway else -1
        if number in self._used:
            raise VimRefused(f"address {gateway} of {self.network} is in use")
        old, self._gateway, self.gateway = self._gateway, number, gateway
        if self._first <= old < self._next and old not in self._in_returned:
            self._in_returned.add(old)
            heappush(self._returned, old)

    def give_back(self, text: str) -> None:
        """Let the next one have the address."""
        address = ip_address(text)
        if address not in self.network:
            self._outside.discard(text)
            return
        number = int(address)
        self._used.discard(number)
        if number < self._next and number not in self._in_returned:
            self._in_returned.add(number)
            heappush(self._returned, number)

    def _mark(self, number: int) -> str:
        self._used.add(number)
        return str(IPv4Address(number) if self.network.version == 4 else IPv6Address(number))
