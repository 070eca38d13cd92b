"""
SNMP: the value of an object, or of one as per cent of another (RFC 3416).

A socket for each sample: it is connected, so the kernel drops what comes from elsewhere. The first
datagram that comes back decides; what is no answer is silence, with the reason.
"""

import asyncio
import math
import os
import socket
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Final

from esc_daemon.domain.errors import excerpt
from esc_daemon.domain.kpi import number_in
from esc_daemon.monitor.base import CollectorError, Question, Sample
from esc_daemon.monitor.catalogue import Measure
from esc_daemon.monitor.collectors.connections import AT_A_TIME
from esc_daemon.monitor.collectors.snmp_question import (
    LARGEST,
    PORT,
    Login,
    Talk,
    Unanswered,
    login_of,
    oids_of,
)
from esc_daemon.monitor.filling import address_of, port_of

_LONGEST_TEXT: Final = 255
_SHOWN: Final = 40

Begin = Callable[[Login, Sequence[str]], Talk]


class Snmp:
    """Asks an agent (Collector)."""

    at_a_time = AT_A_TIME

    def __init__(self) -> None:
        self._begin: Begin | None = None

    async def sample(self, question: Question) -> Sample:
        """See Collector."""
        login, oids = login_of(question), oids_of(question)
        address, port = address_of(question), port_of(question, PORT, "agent_port")
        if self._begin is None:
            self._begin = await asyncio.to_thread(_talk)  # it takes a while to import
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        loop = asyncio.get_running_loop()
        began = loop.time()
        with closing(socket.socket(family, socket.SOCK_DGRAM)) as door:
            door.setblocking(False)
            try:
                await loop.sock_connect(door, (str(address), port))
                values = await _exchanged(door, self._begin(login, oids))
                value = _read(question.measure, values)
            except OSError as error:
                reason = os.strerror(error.errno) if error.errno else str(error)
                return Sample(value=None, detail=f"{address} port {port}: {reason}")
            except Unanswered as error:
                return Sample(value=None, detail=f"{address} port {port} {error}")
        return Sample(value=value, took=loop.time() - began)


def _talk() -> Begin:
    try:
        from esc_daemon.monitor.collectors.snmp_messages import talk  # noqa: PLC0415  an extra
    except ImportError:
        raise CollectorError("SNMP needs the extra snmp: pip install 'esc-daemon[snmp]'") from None
    return talk


async def _exchanged(door: socket.socket, talk: Talk) -> list[float | str]:
    loop = asyncio.get_running_loop()
    datagram = next(talk)
    while True:
        await loop.sock_sendall(door, datagram)
        reply = await loop.sock_recv(door, LARGEST + 1)
        if len(reply) > LARGEST:
            raise Unanswered(f"answers with more than {LARGEST} bytes")
        try:
            datagram = talk.send(reply)
        except StopIteration as end:
            values: list[float | str] = end.value
            return values


def _read(measure: Measure | None, values: Sequence[float | str]) -> float | str:
    if measure is Measure.SNMP_GET_THRESHOLD_RATIO:
        part, whole = map(_number, values)
        if not whole:
            raise Unanswered("has a total of 0, of which nothing can be a part")
        return _finite(part / whole * 100)
    (value,) = values
    if measure is Measure.SNMP_GET_THRESHOLD:
        return _number(value)
    if isinstance(value, str) and len(value) > _LONGEST_TEXT:
        raise Unanswered(f"answers with more than {_LONGEST_TEXT} characters")
    return value


def _number(value: float | str) -> float:
    """Return the number that *value* is or writes, as the load averages of net-snmp do."""
    number = number_in(value)
    if number is None:
        raise Unanswered(f"has no number there: {excerpt(str(value), _SHOWN)!r}")
    return _finite(number)


def _finite(number: float) -> float:
    if not math.isfinite(number):
        raise Unanswered("has a number there that is beyond all ranges")
    return number
