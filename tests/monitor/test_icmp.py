"""Pings over real sockets on loopback, and what happens when there can be none."""

import asyncio
import errno
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from esc_daemon.domain.commands import Watch
from esc_daemon.domain.ids import ServerKey, VmId
from esc_daemon.monitor.base import CollectorError, Sample, select
from esc_daemon.monitor.catalogue import Catalogue, Measure
from esc_daemon.monitor.collectors import icmp as module
from esc_daemon.monitor.collectors.echo import V4, V6
from esc_daemon.monitor.collectors.icmp import Icmp
from esc_daemon.monitor.measured import Measured
from tests.monitor.monitor_bench import PING, VIM, Bench
from tests.monitor.questions import Kept, a_question, until


def may_ping(version: int) -> bool:
    family = V4 if version == 4 else V6
    with suppress(OSError):
        module._opened(family)[0].close()
        return True
    return False


needs_icmp = pytest.mark.skipif(
    not may_ping(4), reason="needs CAP_NET_RAW or a group in net.ipv4.ping_group_range"
)
needs_icmp6 = pytest.mark.skipif(not may_ping(6), reason="as ICMP, and IPv6")


@pytest.fixture
async def icmp():
    icmp = Icmp()
    yield icmp
    icmp.close()


async def answered(*turns: Kept) -> None:
    await until(lambda: all(turn.answers for turn in turns))


async def samples(*turns: Kept) -> list[Sample]:
    """Return the first answer of each turn."""
    await answered(*turns)
    return [turn.sample for turn in turns]


@needs_icmp
async def test_a_thousand_hosts_answer_over_one_socket(icmp: Icmp) -> None:
    # given
    turns = [Kept(a_question("ICMPPing", f"127.0.{n // 250}.{n % 250 + 1}")) for n in range(1_000)]
    # when
    icmp.start(turns)
    found = await samples(*turns)
    # then
    assert {each.value for each in found} == {100.0}
    assert all(0 <= each.took < 20 for each in found)
    assert list(icmp._doors) == [4]


@needs_icmp6
async def test_each_version_is_asked_at_its_own_address(icmp: Icmp) -> None:
    # given
    dual = ("127.0.0.9", "::1")
    turns = [Kept(a_question(metric, *dual)) for metric in ("icmp4_ping", "icmp6_ping")]
    # when
    icmp.start(turns)
    # then
    assert [each.value for each in await samples(*turns)] == [100.0, 100.0]
    assert sorted(icmp._doors) == [4, 6]


@needs_icmp
@pytest.mark.parametrize("size", ["8", "9", "1472"])
async def test_requests_have_the_size_that_is_asked_for(icmp: Icmp, size: str) -> None:
    turn = Kept(a_question("ICMPPing", "127.0.0.1", packet_size=size))
    icmp.start([turn])
    [sample] = await samples(turn)
    assert sample.value == 100.0


@pytest.mark.parametrize("size", ["7", "1473", "x", "-8", "٥٦", "1" * 5000])
async def test_a_size_that_is_none_is_told(icmp: Icmp, size: str) -> None:
    turn = Kept(a_question("ICMPPing", "127.0.0.1", packet_size=size))
    icmp.start([turn])
    [error] = turn.answers
    assert "packet_size should be 8 to 1472" in str(error)


@needs_icmp
async def test_a_question_that_cannot_be_asked_costs_no_other(icmp: Icmp) -> None:
    # given: one without an address, and one that the system refuses to send to
    nowhere, refused = Kept(a_question("ICMPPing")), Kept(a_question("ICMPPing", "127.255.255.255"))
    good = Kept(a_question("ICMPPing", "127.0.0.1"))
    # when
    icmp.start([nowhere, refused, good])
    silence, sample = await samples(refused, good)
    # then
    assert isinstance(nowhere.answers[0], CollectorError)
    assert (silence.value, silence.detail) == (None, "127.255.255.255: Permission denied")
    assert sample.value == 100.0


@needs_icmp
async def test_the_monitor_keeps_vms_alive_by_it(icmp: Icmp, bench: Bench) -> None:
    # given
    offer = Measured(Catalogue(), {Measure.ICMP_PING: icmp}, lambda _: True, loopback=True)
    monitor = bench.monitor_of(select(offer))
    kpi = replace(PING, collector=replace(PING.collector, poll_seconds=1))
    # when
    for n in range(50):
        monitor.arm(
            Watch(
                vim=VIM,
                server=ServerKey(VmId(f"vm-{n}"), 0),
                server_id="s",
                addresses=((0, f"127.0.0.{n + 1}"),),
                kpis=(kpi,),
            )
        )
    # then
    await until(lambda: len(bench.crossings) == 50)
    assert {holds for _, _, _, holds, _ in bench.crossings} == {True}
    assert len({server for _, server, _, _, _ in bench.crossings}) == 50


@contextmanager
def a_door(monkeypatch: pytest.MonkeyPatch, sends: list[int | None]) -> Iterator[list[bytes]]:
    """Replace the socket: a send fails with the next error in *sends*, or goes nowhere."""
    packets: list[bytes] = []
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    ours.setblocking(False)

    class Door:
        def fileno(self) -> int:
            return ours.fileno()

        def sendto(self, packet: bytes, _: object) -> None:
            error = sends.pop(0) if sends else None
            if error is not None:
                raise OSError(error, "no")
            packets.append(packet)

        def recvfrom(self, most: int) -> tuple[bytes, tuple[str, int]]:
            return ours.recvfrom(most)[0], ("10.0.0.5", 0)

        def close(self) -> None:
            ours.close()

    monkeypatch.setattr(module, "_opened", lambda _: (Door(), None))
    with theirs:
        yield packets


@pytest.mark.looptime(start=0)
async def test_silence_is_told_when_the_time_is_over(
    icmp: Icmp, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given
    loop = asyncio.get_running_loop()
    short, usual = (
        Kept(a_question("ICMPPing", "10.0.0.5", timeout_sec="1")),
        Kept(a_question("ICMPPing", "10.0.0.5")),
    )
    with a_door(monkeypatch, []):
        # when
        icmp.start([usual, short])
        # then
        await samples(short)
        assert 1 <= loop.time() < 1.2
        [sample] = await samples(usual)
        assert 5 <= loop.time() < 5.2
    assert (sample.value, sample.detail) == (None, "10.0.0.5 does not answer")


@pytest.mark.looptime(start=0)
async def test_a_silence_is_told_in_its_time_though_a_longer_one_is_under_way(
    icmp: Icmp, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given
    loop = asyncio.get_running_loop()
    seconds = {5: 0.0, 1: 0.5, 3: 0.7, 2: 1.0}
    turns = {
        each: Kept(a_question("ICMPPing", "10.0.0.5", timeout_sec=str(each))) for each in seconds
    }
    told: dict[int, float] = {}
    with a_door(monkeypatch, []):
        # when
        for each, at in seconds.items():
            await asyncio.sleep(at - loop.time())
            icmp.start([turns[each]])
        for _ in range(600):
            await asyncio.sleep(0.01)
            for each in turns.keys() - told.keys():
                if turns[each].answers:
                    told[each] = loop.time() - seconds[each]
    # then
    assert {each: round(took, 1) for each, took in told.items()} == {5: 5.0, 1: 1.0, 3: 3.0, 2: 2.0}


@pytest.mark.looptime(start=0)
@pytest.mark.parametrize("full", [errno.EAGAIN, errno.ENOBUFS])
async def test_what_finds_no_room_is_sent_later_and_nothing_is_lost(
    icmp: Icmp, monkeypatch: pytest.MonkeyPatch, full: int
) -> None:
    # given
    turns = [Kept(a_question("ICMPPing", "10.0.0.5")) for _ in range(1_000)]
    with a_door(monkeypatch, [None, full, full, None, full]) as packets:
        # when
        icmp.start(turns[:600])
        icmp.start(turns[600:])
        await asyncio.sleep(1)
        # then
        assert len(set(packets)) == 1_000
        assert not any(turn.answers for turn in turns)
        await asyncio.sleep(6)
    assert {len(turn.answers) for turn in turns} == {1}


@pytest.mark.looptime(start=0)
async def test_without_a_privilege_it_says_what_to_do_once_and_tries_again(
    icmp: Icmp, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given
    tries = 0

    def refused(_: object) -> None:
        nonlocal tries
        tries += 1
        raise PermissionError(errno.EPERM, "no")

    monkeypatch.setattr(module, "_opened", refused)
    # when
    with capture_logs() as lines:
        for _ in range(60):
            turns = [Kept(a_question("ICMPPing", "10.0.0.5")) for _ in range(10)]
            icmp.start(turns)
            assert {type(turn.answers[0]) for turn in turns} == {CollectorError}
            await asyncio.sleep(1)
    # then
    assert [line["event"] for line in lines] == ["monitor.no_icmp"]
    assert "CAP_NET_RAW" in lines[0]["error"]
    assert "ping_group_range" in lines[0]["error"]
    assert tries == 6
    # when: the operator did it
    with a_door(monkeypatch, []) as packets:
        await asyncio.sleep(10)
        icmp.start([Kept(a_question("ICMPPing", "10.0.0.5"))])
        # then
        assert len(packets) == 1
        icmp.close()


async def test_a_closed_collector_holds_no_socket_and_answers_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    icmp = Icmp()
    with a_door(monkeypatch, []) as packets:
        icmp.start([Kept(a_question("ICMPPing", "10.0.0.5"))])
        icmp.close()
        icmp.close()
        icmp.start([Kept(a_question("ICMPPing", "10.0.0.5"))])
    assert len(packets) == 1
