"""
Echo requests and their replies (RFC 792, RFC 4443 section 4), without sockets.

A reply counts only for the request that it answers: it has to come from the address that was
asked, with the identifier, the sequence number and the random token of that request, and in time.
So a host that answers late, twice, or for another is not believed.
"""

import os
import socket
import struct
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Generic, NamedTuple, TypeVar

TOKEN: Final = 8
"""Bytes at the beginning of the data that nobody can guess."""
HEADER: Final = 8
_ECHO: Final = struct.Struct("!BBHHH")
_TOKENS_AT_A_TIME: Final = 256

Asker = TypeVar("Asker")


@dataclass(kw_only=True, slots=True, frozen=True)
class Family:
    """What differs between ICMP and ICMPv6; *checksum*: whether it is ours to compute."""

    version: int
    request: int
    reply: int
    checksum: bool


V4: Final = Family(version=4, request=8, reply=0, checksum=True)
V6: Final = Family(version=6, request=128, reply=129, checksum=False)


class Flight(NamedTuple, Generic[Asker]):
    """A request under way; *ends* by the caller's clock, *address* as `canonical` writes it."""

    asker: Asker
    address: str
    sequence: int
    ends: float


class Flights(Generic[Asker]):
    """
    The requests of one socket that are under way; as many as there are askers.

    *identifier* is None where the kernel sets it and hands us only replies that have it.
    """

    def __init__(self, family: Family, identifier: int | None) -> None:
        self.family = family
        self._identifier = identifier
        self._sequence = 0
        self._tokens: list[bytes] = []
        self._under_way: dict[bytes, Flight[Asker]] = {}
        self._ending: dict[float, deque[tuple[bytes, Flight[Asker]]]] = {}

    def __len__(self) -> int:
        """Return the number of requests under way."""
        return len(self._under_way)

    def request(
        self, asker: Asker, address: str, *, size: int, now: float, seconds: float
    ) -> bytes:
        """Return the packet, with *size* bytes of data, that asks *address* for *asker*."""
        token = self._token()
        self._sequence = sequence = (self._sequence + 1) & 0xFFFF
        flight = Flight(asker, address, sequence, now + seconds)
        self._under_way[token] = flight
        self._ending.setdefault(seconds, deque()).append((token, flight))
        identifier = self._identifier or 0
        head = _ECHO.pack(self.family.request, 0, 0, identifier, sequence)
        if self.family.checksum:  # the rest of the data is zeroes, which add nothing
            total = sum(struct.unpack("!8H", head + token))
            total = (total & 0xFFFF) + (total >> 16)
            check = ~(total + (total >> 16)) & 0xFFFF
            head = _ECHO.pack(self.family.request, 0, check, identifier, sequence)
        return head + token + bytes(size - TOKEN)

    def forget(self, packet: bytes) -> None:
        """Let go of a request that could not be sent."""
        self._under_way.pop(packet[HEADER : HEADER + TOKEN], None)

    def reply(self, message: bytes, source: str) -> Flight[Asker] | None:
        """Return the request that *message*, from its ICMP header on, answers, or None."""
        token = message[HEADER : HEADER + TOKEN]
        flight = self._under_way.get(token)
        if flight is None:
            return None
        kind, code, _, identifier, sequence = _ECHO.unpack_from(message)
        if (
            (kind, code) != (self.family.reply, 0)
            or sequence != flight.sequence
            or source != flight.address
            or (self._identifier is not None and identifier != self._identifier)
        ):
            return None
        return self._under_way.pop(token)

    def ended(self, now: float) -> Iterator[Flight[Asker]]:
        """Yield the requests whose time is over, and forget them."""
        for seconds, ending in tuple(self._ending.items()):
            while ending and ending[0][1].ends <= now:
                token, flight = ending.popleft()
                if self._under_way.get(token) is flight:
                    del self._under_way[token]
                    yield flight
            if not ending:
                self._ending.pop(seconds, None)

    def next_end(self) -> float | None:
        """Return when the next request ends, at the earliest; None where none is under way."""
        if not self._under_way:
            self._ending.clear()
            return None
        return min(ending[0][1].ends for ending in self._ending.values())

    def _token(self) -> bytes:
        if not self._tokens:
            fresh = os.urandom(_TOKENS_AT_A_TIME * TOKEN)
            self._tokens = [fresh[at : at + TOKEN] for at in range(0, len(fresh), TOKEN)]
        return self._tokens.pop()


def canonical(packed: bytes) -> str:
    """Return an address as the kernel writes it when a packet comes from there."""
    return socket.inet_ntop(socket.AF_INET if len(packed) == 4 else socket.AF_INET6, packed)


def without_ip_header(packet: bytes) -> bytes:
    """Return the message in an IPv4 packet as a raw socket reads it (RFC 791 section 3.1)."""
    return packet[(packet[0] & 0x0F) * 4 :] if packet else packet
