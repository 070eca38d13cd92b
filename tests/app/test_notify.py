"""What a service manager hears."""

import asyncio
import errno
import os
import socket
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import pytest
import structlog

from esc_daemon.app.notify import service_manager, watchdog_seconds
from esc_daemon.app.pulse import Pulse
from esc_daemon.logs import LogFigures


@pytest.mark.parametrize("abstract", [False, True], ids=["a-path", "abstract"])
def test_words_reach_the_socket_of_the_service_manager(tmp_path: Path, abstract: bool):  # noqa: FBT001
    name = f"@esc-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0{name[1:]}" if abstract else name)
        manager.settimeout(30)

        service_manager({"NOTIFY_SOCKET": name})("READY=1", "STATUS=well")

        assert manager.recv(100) == b"READY=1\nSTATUS=well"


def test_without_a_service_manager_nothing_is_told():
    service_manager({})("READY=1")


def test_a_service_manager_that_is_gone_stops_no_work(tmp_path: Path):
    with structlog.testing.capture_logs() as lines:
        service_manager({"NOTIFY_SOCKET": str(tmp_path / "gone")})("READY=1")

    assert [line["event"] for line in lines] == ["service_manager.not_told"]


def test_a_service_manager_that_does_not_read_is_not_waited_for(tmp_path: Path):
    name = str(tmp_path / "notify")
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as filling,
    ):
        manager.bind(name)
        filling.setblocking(False)
        with suppress(BlockingIOError):
            while True:
                filling.sendto(b"WATCHDOG=1", name)
        with structlog.testing.capture_logs() as lines:
            service_manager({"NOTIFY_SOCKET": name})("WATCHDOG=1")

    assert [line["error"] for line in lines] == [os.strerror(errno.EAGAIN)]


@pytest.mark.parametrize(
    ("told", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
    ],
)
def test_the_watchdog_is_for_whom_it_names(told, seconds):
    assert watchdog_seconds(told) == seconds


@pytest.mark.looptime(start=0)
async def test_the_watchdog_is_told_twice_as_often_as_it_asks_for(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("WATCHDOG_USEC", "300000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    now = asyncio.get_running_loop().time
    told = [now()]

    async with Pulse(LogFigures()).beating(lambda *_: told.append(now())):
        await asyncio.sleep(3)

    pauses = [after - before for before, after in pairwise([*told, now()])]
    assert len(told) > 10
    assert max(pauses) <= 0.15
