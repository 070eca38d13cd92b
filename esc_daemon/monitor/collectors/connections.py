"""
Whether somebody listens: TCP connections and UDP datagrams, a socket for each sample.

* TCP: alive is who accepts a connection to the property `port`; it is closed at once, nothing is
  sent. Who refuses it is not.
* UDP: alive is who answers the property `payload` (text; empty unless given) with anything at all,
  from the address and the port that were asked.
"""

import asyncio
import os
import socket
import struct
from contextlib import closing
from time import perf_counter
from typing import Final

from esc_daemon.monitor.base import Question, Sample
from esc_daemon.monitor.catalogue import ANSWERED
from esc_daemon.monitor.filling import address_of, port_of

AT_A_TIME: Final = 128
"""Samples under way of each kind, so that they leave most file descriptors to the clients."""
PAYLOAD: Final = "payload"
_LONGEST_PAYLOAD: Final = 1_024
_RESET: Final = struct.pack("ii", 1, 0)


class TcpPing:
    """Connects and hangs up (Collector)."""

    at_a_time = AT_A_TIME

    async def sample(self, question: Question) -> Sample:
        """See Collector."""
        return await _asked(question, socket.SOCK_STREAM)


class UdpPing:
    """Sends a datagram and waits for one (Collector)."""

    at_a_time = AT_A_TIME

    async def sample(self, question: Question) -> Sample:
        """See Collector."""
        payload = question.properties.get(PAYLOAD, "").encode()[:_LONGEST_PAYLOAD]
        return await _asked(question, socket.SOCK_DGRAM, payload)


async def _asked(
    question: Question, kind: socket.SocketKind, payload: bytes | None = None
) -> Sample:
    address, port = address_of(question), port_of(question)
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    loop = asyncio.get_running_loop()
    began = perf_counter()
    with closing(socket.socket(family, kind)) as door:
        door.setblocking(False)
        try:
            await loop.sock_connect(door, (str(address), port))
            if payload is None:
                # A reset in place of a farewell leaves no TIME_WAIT behind for each poll.
                door.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            else:
                door.send(payload)  # not by the loop: uvloop sends no empty datagram
                await loop.sock_recv(door, 1)
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else str(error)
            return Sample(value=None, detail=f"{address} port {port}: {reason}")
        return Sample(value=ANSWERED, took=perf_counter() - began)
