"""Pings without CAP_NET_RAW: sockets that the sysctl lets a group have."""

import asyncio
from pathlib import Path

import pytest

from esc_daemon.monitor.collectors.icmp import Icmp
from tests.monitor.questions import Kept, a_question, until
from tests.net.net_lab import Lab

pytestmark = pytest.mark.net
RANGE = Path("/proc/sys/net/ipv4/ping_group_range")


def test_where_ping_sockets_are_allowed_no_raw_one_is_opened(lab: Lab) -> None:
    # given
    with lab.near.inside():
        closed = RANGE.read_text()
        RANGE.write_text("0 2147483647")
        # when, then
        try:
            asyncio.run(pinged_without_a_raw_socket())
        finally:
            RANGE.write_text(closed)


async def pinged_without_a_raw_socket() -> None:
    icmp = Icmp()
    hosts = {"10.77.1.1": "icmp4_ping", "fd00:77:1::1": "icmp6_ping"}
    turns = [Kept(a_question(metric, host)) for host, metric in hosts.items() for _ in range(100)]
    nobody = Kept(a_question("ICMPPing", "10.77.1.99", timeout_sec="0.5"))
    icmp.start([*turns, nobody])
    await until(lambda: all(turn.answers for turn in (*turns, nobody)))
    assert {turn.sample.value for turn in turns} == {100.0}
    assert nobody.sample.value is None
    assert [door._raw for door in icmp._doors.values()] == [False, False]
    icmp.close()
