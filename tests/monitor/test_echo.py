"""Which replies are believed: the packets of ICMP echo without a socket."""

import socket
import struct
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esc_daemon.monitor.collectors.echo import (
    TOKEN,
    V4,
    V6,
    Family,
    Flights,
    canonical,
    without_ip_header,
)

HOST = "10.0.0.5"
OURS = 4_711


def asked(flights: Flights[str], who: str = "vm-1", host: str = HOST, seconds: float = 5) -> bytes:
    return flights.request(who, host, size=56, now=100.0, seconds=seconds)


@dataclass
class Reply:
    """A reply to a request, right in all but what is given."""

    request: bytes
    family: Family = V4
    kind: int | None = None
    code: int = 0
    identifier: int | None = None
    sequence: int | None = None
    token: bytes | None = None

    def packet(self) -> bytes:
        _, _, _, identifier, sequence = struct.unpack("!BBHHH", self.request[:8])
        head = struct.pack(
            "!BBHHH",
            self.family.reply if self.kind is None else self.kind,
            self.code,
            0,
            identifier if self.identifier is None else self.identifier,
            sequence if self.sequence is None else self.sequence,
        )
        token = self.request[8:16] if self.token is None else self.token
        return head + token + self.request[16:]


@pytest.mark.parametrize("family", [V4, V6], ids=["ICMP", "ICMPv6"])
def test_a_reply_to_a_request_is_its_asker_s(family: Family) -> None:
    flights: Flights[str] = Flights(family, OURS)
    packet = asked(flights)
    flight = flights.reply(Reply(packet, family).packet(), HOST)
    assert flight is not None
    assert (flight.asker, flight.ends) == ("vm-1", 105.0)
    assert len(flights) == 0


@given(st.integers(TOKEN, 1_472))
def test_a_request_has_its_size_and_a_checksum_that_is_right(size: int) -> None:
    packet = Flights[str](V4, OURS).request("vm-1", HOST, size=size, now=0, seconds=5)
    assert len(packet) == 8 + size
    total = sum(struct.unpack(f"!{(len(packet) + 1) // 2}H", packet + bytes(len(packet) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    assert total == 0xFFFF  # RFC 1071: the sum of a packet with its checksum


@pytest.mark.parametrize(
    "lie",
    [
        {"kind": V4.request},
        {"kind": 3},
        {"code": 1},
        {"identifier": OURS + 1},
        {"sequence": 2},
        {"token": bytes(TOKEN)},
        {"token": b""},
    ],
    ids=str,
)
def test_a_reply_that_is_not_quite_right_is_not_believed(lie: dict[str, Any]) -> None:
    flights: Flights[str] = Flights(V4, OURS)
    packet = asked(flights)
    assert flights.reply(Reply(packet, **lie).packet(), HOST) is None
    assert flights.reply(Reply(packet).packet(), HOST) is not None


def test_a_reply_from_elsewhere_is_not_believed() -> None:
    flights: Flights[str] = Flights(V4, OURS)
    packet = asked(flights)
    assert flights.reply(Reply(packet).packet(), "10.0.0.6") is None
    assert len(flights) == 1


def test_a_reply_never_counts_for_another_probe() -> None:
    # given: two VMs are asked; the host of the first answers with what it makes of the second's
    flights: Flights[str] = Flights(V4, OURS)
    asked(flights, "vm-1", "10.0.0.1")
    second = asked(flights, "vm-2", "10.0.0.2")
    # when, then
    assert flights.reply(Reply(second).packet(), "10.0.0.1") is None
    assert flights.reply(Reply(second, sequence=1).packet(), "10.0.0.2") is None
    flight = flights.reply(Reply(second).packet(), "10.0.0.2")
    assert flight is not None
    assert flight.asker == "vm-2"


def test_a_second_reply_and_one_that_is_late_are_no_one_s() -> None:
    flights: Flights[str] = Flights(V4, OURS)
    twice, late = asked(flights, "vm-1"), asked(flights, "vm-2", seconds=1)
    assert flights.reply(Reply(twice).packet(), HOST) is not None
    assert flights.reply(Reply(twice).packet(), HOST) is None
    assert [each.asker for each in flights.ended(101.0)] == ["vm-2"]
    assert flights.reply(Reply(late).packet(), HOST) is None


def test_a_kernel_that_sets_the_identifier_is_trusted_with_it() -> None:
    flights: Flights[str] = Flights(V6, None)
    packet = asked(flights)
    reply = Reply(packet, V6, identifier=99).packet()
    assert flights.reply(reply, HOST) is not None


@given(st.binary(max_size=80), st.text(max_size=20))
def test_no_message_is_an_error(message: bytes, source: str) -> None:
    flights: Flights[str] = Flights(V4, OURS)
    packet = asked(flights)
    assert flights.reply(without_ip_header(message), source) is None
    assert flights.reply(message + packet[8:], source) is None


@given(st.integers(5, 15), st.binary(max_size=40))
def test_an_ip_header_of_any_length_is_left_out(words: int, message: bytes) -> None:
    header = bytes([0x40 | words]) + bytes(words * 4 - 1)
    assert without_ip_header(header + message) == message


@given(st.lists(st.tuples(st.sampled_from([1.0, 2.0, 5.0]), st.booleans()), max_size=60))
def test_each_request_is_answered_or_ends_once_and_nothing_stays(
    requests: list[tuple[float, bool]],
) -> None:
    # given: requests with different times, some of them answered
    flights: Flights[int] = Flights(V4, OURS)
    packets = [
        flights.request(n, HOST, size=56, now=100.0, seconds=seconds)
        for n, (seconds, _) in enumerate(requests)
    ]
    # when
    heard = [
        flights.reply(Reply(packets[n]).packet(), HOST).asker
        for n, (_, answered) in enumerate(requests)
        if answered
    ]
    over = {
        now: [each.asker for each in flights.ended(now)] for now in (100.5, 101.0, 102.0, 105.0)
    }
    # then
    assert over[100.5] == []
    for now, seconds in ((101.0, 1.0), (102.0, 2.0), (105.0, 5.0)):
        assert over[now] == [
            n for n, (each, answered) in enumerate(requests) if each == seconds and not answered
        ]
    assert heard == [n for n, (_, answered) in enumerate(requests) if answered]
    assert flights.next_end() is None
    assert len(flights) == 0
    assert flights._ending == {}


def test_requests_for_ever_leave_nothing_behind() -> None:
    # given: a VM that is asked every second and always answers
    flights: Flights[str] = Flights(V4, OURS)
    for second in range(70_000):
        packet = flights.request("vm-1", HOST, size=56, now=float(second), seconds=5)
        # when
        assert flights.reply(Reply(packet).packet(), HOST) is not None
        list(flights.ended(float(second)))
    # then: the sequence went round, and what is remembered is no more than the last five
    assert sum(map(len, flights._ending.values())) <= 6


@pytest.mark.parametrize("address", ["10.0.0.5", "2001:db8::5", "::1", "::ffff:10.0.0.5"])
def test_an_address_is_written_as_the_kernel_writes_it(address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    assert canonical(socket.inet_pton(family, address)) == address
