"""
ICMP echo: one shared socket for each IP version.

Without a task, a time-out and a socket for each probe (docs/benchmarks.md). A socket of the kind
SOCK_DGRAM is tried first: it needs only that `net.ipv4.ping_group_range` has one of our groups, and
reads nobody else's replies. Else a raw one, which needs CAP_NET_RAW.
"""

import asyncio
import errno
import os
import socket
import struct
from collections import deque
from collections.abc import Sequence
from time import perf_counter
from typing import Final

import structlog

from esc_daemon.domain.addresses import Address
from esc_daemon.monitor.base import CollectorError, Question, Sample, Turn
from esc_daemon.monitor.catalogue import ANSWERED
from esc_daemon.monitor.collectors.echo import (
    TOKEN,
    V4,
    V6,
    Family,
    Flights,
    canonical,
    without_ip_header,
)
from esc_daemon.monitor.filling import address_of
from esc_daemon.monitor.wheel import TICK

SIZE: Final = "packet_size"
"""The property with the number of bytes of data in a request."""
_SIZES: Final = (TOKEN, 1_472)
_USUAL_SIZE: Final = 56
_AT_ONCE: Final = 256
"""Packets that are sent or read before the loop has a turn again."""
_BUFFER_BYTES: Final = 4 * 1024 * 1024
"""Replies that may wait while the loop is busy."""
_READ_BYTES: Final = 128
"""More than the longest IPv4 header, the ICMP header and the token; the rest is of no interest."""
_TRY_AGAIN_SECONDS: Final = 10.0
_FULL_SECONDS: Final = 0.01
_SOL_RAW: Final = 255
_ICMP_FILTER: Final = 1
_ICMP6_FILTER: Final = 1

log = structlog.get_logger()


class Icmp:
    """Pings (BatchCollector); sockets are opened when they are first needed."""

    def __init__(self) -> None:
        self._doors: dict[int, _Door] = {}

    def start(self, turns: Sequence[Turn]) -> None:
        """See BatchCollector."""
        doors: dict[int, _Door] = {}
        for turn in turns:
            try:
                address, size = address_of(turn.question), _size(turn.question)
            except CollectorError as error:
                turn.answer(error)
                continue
            door = doors[address.version] = self._door(address.version)
            door.outbox.append((turn, address, size))
        for door in doors.values():
            door.send()

    def close(self) -> None:
        """Close the sockets; what is under way is not answered."""
        for door in self._doors.values():
            door.close()

    def _door(self, version: int) -> "_Door":
        if version not in self._doors:
            self._doors[version] = _Door(V4 if version == V4.version else V6)
        return self._doors[version]


class _Door:
    """One socket, what waits to be sent through it (a turn at most once) and what is under way."""

    def __init__(self, family: Family) -> None:
        self.outbox: deque[tuple[Turn, Address, int]] = deque()
        self._family = family
        self._flights: Flights[tuple[Turn, float]] = Flights(family, None)
        self._socket: socket.socket | None = None
        self._raw = False
        self._closed = False
        self._loop = asyncio.get_running_loop()
        self._sending: asyncio.Handle | None = None
        self._ending: asyncio.TimerHandle | None = None
        self._problem: CollectorError | None = None
        self._again = 0.0

    def send(self) -> None:
        """Send what is in the outbox, some of it later so that the loop has its turns."""
        if self._sending is None and not self._closed:
            self._send()

    def close(self) -> None:
        self._closed = True
        for handle in (self._sending, self._ending):
            if handle is not None:
                handle.cancel()
        if self._socket is not None:
            self._loop.remove_reader(self._socket)
            self._socket.close()
            self._socket = None

    def _send(self) -> None:
        self._sending = None
        try:
            door = self._open()
        except CollectorError as error:
            while self.outbox:
                self.outbox.popleft()[0].answer(error)
            return
        now = self._loop.time()
        for _ in range(min(_AT_ONCE, len(self.outbox))):
            if not self._sent(door, now):
                self._sending = self._loop.call_later(_FULL_SECONDS, self._send)
                break
            self.outbox.popleft()
        else:
            if self.outbox:
                self._sending = self._loop.call_soon(self._send)
        self._wind()

    def _sent(self, door: socket.socket, now: float) -> bool:
        """Send the first of the outbox; False where the system has no room at the moment."""
        turn, address, size = self.outbox[0]
        host = canonical(address.packed)
        packet = self._flights.request(
            (turn, perf_counter()), host, size=size, now=now, seconds=turn.question.seconds
        )
        try:
            door.sendto(packet, (host, 0))
        except OSError as error:
            self._flights.forget(packet)
            if isinstance(error, BlockingIOError) or error.errno == errno.ENOBUFS:
                return False
            reason = os.strerror(error.errno) if error.errno else str(error)
            turn.answer(Sample(value=None, detail=f"{host}: {reason}"))
        return True

    def _open(self) -> socket.socket:
        """Return the socket; raise CollectorError where we may have none, and try again later."""
        if self._socket is not None:
            return self._socket
        now = self._loop.time()
        if self._problem is not None and now < self._again:
            raise self._problem
        try:
            self._socket, identifier = _opened(self._family)
        except OSError as error:
            self._again = now + _TRY_AGAIN_SECONDS
            problem = CollectorError(_missing(self._family, error))
            if str(problem) != str(self._problem):
                log.error("monitor.no_icmp", error=str(problem))  # noqa: TRY400  # it says it all
            self._problem = problem
            raise problem from None
        self._problem = None
        self._raw = identifier is not None
        self._flights = Flights(self._family, identifier)
        self._loop.add_reader(self._socket, self._read)
        return self._socket

    def _read(self) -> None:
        door = self._socket
        if door is None:
            return
        header = self._raw and self._family is V4
        for _ in range(_AT_ONCE):
            try:
                packet, source = door.recvfrom(_READ_BYTES)
            except BlockingIOError:
                return
            except OSError:  # of a packet that could not be delivered: its time will be over
                continue
            message = without_ip_header(packet) if header else packet
            flight = self._flights.reply(message, source[0])
            if flight is not None:
                turn, sent = flight.asker
                turn.answer(Sample(value=ANSWERED, took=perf_counter() - sent))

    def _wind(self) -> None:
        """Have a timer for the first request that ends."""
        first = self._flights.next_end()
        if first is None:
            return
        end = max(first, self._loop.time() + TICK)
        if self._ending is not None:
            if self._ending.when() <= end:
                return
            self._ending.cancel()
        self._ending = self._loop.call_at(end, self._end)

    def _end(self) -> None:
        self._ending = None
        self._read()  # what has come while the loop was busy is no silence
        for flight in self._flights.ended(self._loop.time()):
            flight.asker[0].answer(Sample(value=None, detail=f"{flight.address} does not answer"))
        self._wind()


def _opened(family: Family) -> tuple[socket.socket, int | None]:
    """Return a socket, and our identifier in requests where the kernel sets none (a raw one)."""
    number = socket.AF_INET if family is V4 else socket.AF_INET6
    protocol = socket.IPPROTO_ICMP if family is V4 else socket.IPPROTO_ICMPV6
    identifier = None
    try:
        door = socket.socket(number, socket.SOCK_DGRAM, protocol)
    except PermissionError:
        door = socket.socket(number, socket.SOCK_RAW, protocol)
        identifier = int.from_bytes(os.urandom(2), "big") or 1
        _only_replies(door, family)
    door.setblocking(False)
    door.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
    return door, identifier


def _only_replies(door: socket.socket, family: Family) -> None:
    """Have the kernel drop all that is no reply: a raw socket is given every ICMP message."""
    if family is V4:
        dropped = ~(1 << family.reply) & 0xFFFF_FFFF
        door.setsockopt(_SOL_RAW, _ICMP_FILTER, struct.pack("=I", dropped))
        return
    words = [0xFFFF_FFFF] * 8
    words[family.reply >> 5] &= ~(1 << (family.reply & 31)) & 0xFFFF_FFFF
    door.setsockopt(socket.IPPROTO_ICMPV6, _ICMP6_FILTER, struct.pack("=8I", *words))


def _missing(family: Family, error: OSError) -> str:
    if not isinstance(error, PermissionError):
        reason = os.strerror(error.errno) if error.errno else str(error)
        return f"no socket for ICMP over IPv{family.version}: {reason}"
    return (
        f"no VM can be pinged over IPv{family.version}: give the daemon the capability "
        "CAP_NET_RAW, or its group ping sockets (sysctl net.ipv4.ping_group_range)"
    )


def _size(question: Question) -> int:
    given = question.properties.get(SIZE, "").strip()
    if not given:
        return _USUAL_SIZE
    lowest, highest = _SIZES
    if not (given.isascii() and given.isdigit() and len(given) <= 5) or not (
        lowest <= int(given) <= highest
    ):
        raise CollectorError(f"property {SIZE} should be {lowest} to {highest} bytes, such as 56")
    return int(given)
