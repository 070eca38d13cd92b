"""Hostile and unlucky peers of a whole daemon: others are served, and nothing stays behind."""

import asyncio
import os
import socket
import struct
import time
import urllib.request
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from tests.northbound.raw_client import BASE, BASE_1_1, Client, connected
from tests.programs import LOCAL_USER, Program, a_daemon, soon

SILENT = 1000
SETTINGS = {
    "ESC_LIMITS__PRE_AUTH_SECONDS": "3",
    "ESC_LIMITS__OUTPUT_SECONDS": "1",
}
GET = "<get/>"
SUBSCRIBE = '<create-subscription xmlns="urn:ietf:params:xml:ns:netconf:notification:1.0"/>'
TICKS = os.sysconf("SC_CLK_TCK")
NO_LINGER = struct.pack("ii", 1, 0)


@asynccontextmanager
async def session(daemon: Program) -> AsyncIterator[Client]:
    login: dict[str, Any] = {
        "username": LOCAL_USER,
        "client_keys": [str(daemon.key)],
        "password": None,
    }
    async with connected(daemon.ports["netconf"], **login) as client:
        yield client


def files(daemon: Program) -> int:
    return len(os.listdir(f"/proc/{daemon.process.pid}/fd"))  # noqa: PTH208


def resident(daemon: Program) -> int:
    """Return the daemon's memory in MiB."""
    pages = Path(f"/proc/{daemon.process.pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE") // 2**20


def worked(daemon: Program) -> float:
    """Return the processor time that the daemon has used, in seconds."""
    fields = Path(f"/proc/{daemon.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def healthy(daemon: Program) -> bool:
    address = f"http://127.0.0.1:{daemon.ports['http']}/healthz"
    with urllib.request.urlopen(address, timeout=30) as answer:
        return answer.status == 200


def silent(stack: ExitStack, port: int, number: int) -> list[socket.socket]:
    return [
        stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(number)
    ]


async def vanish(daemon: Program) -> None:
    """Ask for much, and reset the connection while the answer comes."""
    async with session(daemon) as client:
        for _ in range(20):
            client.ask(GET)
        await client.message()
        raw = client.connection.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
        client.connection.abort()


async def deaf(daemon: Program) -> AsyncExitStack:
    """Ask on and on with a window of 2 GiB, and take nothing from the line."""
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(session(daemon))
        writer, reader, _ = await client.connection.open_session(
            subsystem="netconf", encoding=None, window=2**31 - 1
        )
        hearing = Client(client.connection, writer, reader)
        await hearing.greet(BASE_1_1)
        await hearing.ok(SUBSCRIBE)
        client.connection._transport.pause_reading()
        for _ in range(1000):
            hearing.ask(GET)
        return stack.pop_all()


async def served(daemon: Program) -> None:
    async with session(daemon) as client:
        assert (await client.rpc(GET))[0].tag == f"{{{BASE}}}data"
    assert healthy(daemon)


async def test_hostile_peers_disturb_nobody_and_leave_nothing_behind(tmp_path: Path) -> None:
    with ExitStack() as stack:
        daemon = stack.enter_context(a_daemon(tmp_path / "data", **SETTINGS))
        # given a daemon that has served somebody
        await served(daemon)
        memory = resident(daemon)
        opened = soon(lambda: files(daemon), 5)

        # when a thousand say nothing, at either door
        silent(stack, daemon.ports["netconf"], SILENT)
        idle = silent(stack, daemon.ports["http"], 300)
        # then others are served
        await served(daemon)
        assert files(daemon) > opened + SILENT
        # and so they are when others vanish in the middle of an answer, or read nothing
        for _ in range(5):
            await vanish(daemon)
        slow = [await deaf(daemon) for _ in range(2)]
        await served(daemon)

        # and all of them are let go, while their side is still open
        for each in idle:
            each.close()
        await asyncio.to_thread(soon, lambda: let_go(daemon, opened, len(slow)), 60)
        for listener in slow:
            await listener.aclose()
        # and the processor rests
        await asyncio.to_thread(soon, lambda: at_rest(daemon), 20)
        assert resident(daemon) < memory + 100
        assert daemon.stop() == 0
    log = daemon.log.read_text()
    assert "Traceback" not in log
    assert BASE not in log


def let_go(daemon: Program, opened: int, slow: int) -> bool | None:
    """Tell whether hardly more files are open than were, and *slow* readers were given up."""
    given_up = daemon.log.read_text().count("session.slow_reader")
    return True if files(daemon) <= opened + 5 and given_up == slow else None


def at_rest(daemon: Program) -> bool | None:
    """Tell whether hardly any of a second is worked in."""
    before = worked(daemon)
    time.sleep(1)
    return True if worked(daemon) - before < 0.2 else None
