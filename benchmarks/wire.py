"""
The wire: small gets, many subscribers, many idle sessions; each client a process of its own.

`run.py` calls `gets`, `subscribers` and `idle`; by hand, against a daemon that runs:

    python benchmarks/wire.py gets --port 2022 --data-dir DIR --pid PID
    python benchmarks/wire.py idle --port 2022 --data-dir DIR --pid PID --sessions 5000
"""

import argparse
import asyncio
import json
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from client import Session, connected, run
from payloads import NAMESPACE
from processes import cpu_seconds, memory_kib

GETTERS = 50
GET_SECONDS = 4.0
SUBSCRIBERS = 100
NOTIFICATIONS = 500
ROUNDS = 3
IDLE = 5000
LOGINS_AT_A_TIME = 20
REST_SECONDS = 5.0
"""How long the idle sessions are watched."""
END = b"</notification>"
DELIVERY_SECONDS = 60
Row = tuple[str, str, str]


async def client(mode: str, port: int, data_dir: Path, pid: int, *words: str) -> dict[str, Any]:
    """Run one of the clients below to its end; return what it found."""
    where = ("--port", str(port), "--data-dir", str(data_dir), "--pid", str(pid))
    process = await asyncio.create_subprocess_exec(
        sys.executable, __file__, mode, *where, *words, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, f"the client {mode} failed"
    found: dict[str, Any] = json.loads(said)
    return found


async def gets(port: int, data_dir: Path, pid: int) -> list[Row]:
    """Return how many empty gets a second 50 sessions get answered, each one at a time."""
    found = await client("gets", port, data_dir, pid)
    rows = [(f"small get on {GETTERS} sessions", f"{found['rate']:.0f}/s", ">= 8,000/s")]
    used = f"{found['server']:.0f} us, the client's {found['client']:.0f} us"
    return [*rows, ("processor time of one, of the daemon", used, "")]


async def subscribers(port: int, data_dir: Path, pid: int) -> list[Row]:
    """Return how many notifications a second reach the subscribers."""
    found = await client("subscribers", port, data_dir, pid)
    what = f"{SUBSCRIBERS} subscribers x {NOTIFICATIONS} notifications, delivered"
    rates = found["rates"]
    told = f"{statistics.median(rates):,.0f}/s ({min(rates):,.0f}-{max(rates):,.0f})"
    used = f"{found['server']:.1f} us, the client's {found['client']:.1f} us"
    return [
        (what, told, ">= 200,000/s"),
        ("processor time of one delivered, of the daemon", used, ""),
    ]


async def idle(port: int, data_dir: Path, pid: int, sessions: int = IDLE) -> list[Row]:
    """Return what sessions cost that do nothing, and how fast they came."""
    found = await client("idle", port, data_dir, pid, "--sessions", str(sessions))
    what = f"{sessions:,} idle sessions"
    return [
        (f"{what}: set up", f"{found['rate']:.0f}/s, CPU {found['login']:.1f} ms each", ""),
        (f"{what}: resident memory of each", f"{found['kib']:.1f} KiB", "<= 40 KiB"),
        (f"{what}: processor while nothing is asked", f"{100 * found['load']:.1f} %", ""),
        (f"{what}: all answer a get, {found['answered']}", f"{found['seconds']:.1f} s", ""),
    ]


class Delivery:
    """Counts what reaches all sessions of this process."""

    def __init__(self, wanted: int) -> None:
        self.wanted = wanted
        self.count = 0
        self.first = 0.0
        self.done: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    def came(self, number: int) -> None:
        if number and not self.count:
            self.first = time.perf_counter()
        self.count += number
        if self.count >= self.wanted and not self.done.done():
            self.done.set_result(time.perf_counter())


class Subscriber(Session):
    """Once it listens, a session that counts notifications without looking at them."""

    def __init__(self) -> None:
        super().__init__()
        self.delivered: Callable[[int], None] | None = None
        self._end = b""

    def data_received(self, data: bytes, datatype: int | None) -> None:
        if self.delivered is None:
            super().data_received(data, datatype)
            return
        whole = self._end + data
        self._end = whole[-len(END) + 1 :]
        self.delivered(whole.count(END))


async def ask(options: argparse.Namespace) -> dict[str, float]:
    """Ask for what is not there, on each session as soon as it was answered."""
    async with AsyncExitStack() as stack:
        sessions = [await enter(stack, options) for _ in range(GETTERS)]
        counting, asking = False, True
        answers = 0

        def again(session: Session) -> None:
            def answered(reply: "asyncio.Future[bytes]") -> None:
                nonlocal answers
                assert b"<data/>" in reply.result()
                answers += counting
                if asking:
                    again(session)

            session.send(
                '<get><filter type="xpath" select="esc_datamodel/none"/></get>'
            ).add_done_callback(answered)

        for session in sessions:
            again(session)
        await asyncio.sleep(GET_SECONDS / 8)
        counting = True
        used = Used(options.pid)
        await asyncio.sleep(GET_SECONDS)
        found = {"rate": answers / used.seconds, **used.each(answers)}
        asking = False
        await asyncio.sleep(GET_SECONDS / 8)  # the last answers
        return found


async def listen(options: argparse.Namespace) -> dict[str, Any]:
    """Let every session listen, and make and take away tenants: one event each."""
    rates: list[float] = []
    costs: list[dict[str, float]] = []
    async with AsyncExitStack() as stack:
        editor = await enter(stack, options)
        sessions = [await enter(stack, options, Subscriber) for _ in range(SUBSCRIBERS)]
        for session in sessions:
            await session.subscribe(lambda _: None)
        for _ in range(ROUNDS):
            for config in (tenants(""), tenants(' operation="delete"')):
                delivery = Delivery(SUBSCRIBERS * NOTIFICATIONS)
                for session in sessions:
                    session.delivered = delivery.came
                used = Used(options.pid)
                await editor.edit(config)
                async with asyncio.timeout(DELIVERY_SECONDS):
                    last = await delivery.done
                costs.append(used.each(delivery.wanted))
                rates.append(delivery.wanted / (last - delivery.first))
    middle = {key: statistics.median(cost[key] for cost in costs) for key in costs[0]}
    return {"rates": rates, **middle}


def tenants(operation: str) -> str:
    names = (f"<name>crowd-{number:03}</name>" for number in range(NOTIFICATIONS))
    inner = "".join(f"<tenant{operation}>{name}</tenant>" for name in names)
    nc = "urn:ietf:params:xml:ns:netconf:base:1.0"
    inner = inner.replace(" operation=", f' xmlns:nc="{nc}" nc:operation=')
    return f'<esc_datamodel xmlns="{NAMESPACE}"><tenants>{inner}</tenants></esc_datamodel>'


async def rest(options: argparse.Namespace) -> dict[str, float]:
    """Open many sessions, do nothing for a while, then ask each for something."""
    async with AsyncExitStack() as stack:
        for _ in range(LOGINS_AT_A_TIME):  # what the first ones cost is not each one's
            await enter(stack, options)
        before = memory_kib(options.pid)
        used = Used(options.pid)
        sessions: list[Session] = []

        async def log_in() -> None:
            while len(sessions) + LOGINS_AT_A_TIME <= options.sessions:
                sessions.append(await enter(stack, options))

        await asyncio.gather(*(log_in() for _ in range(LOGINS_AT_A_TIME)))
        number = len(sessions)
        found = {"rate": number / used.seconds, "login": 1000 * used.server / number}
        await asyncio.sleep(1)
        found["kib"] = (memory_kib(options.pid) - before) / number
        used = Used(options.pid)
        await asyncio.sleep(REST_SECONDS)
        found["load"] = used.server / used.seconds
        began = time.perf_counter()
        replies = await asyncio.gather(*(session.get("esc_datamodel/none") for session in sessions))
        found["seconds"] = time.perf_counter() - began
        found["answered"] = sum(b"<data/>" in reply for reply in replies)
        assert found["answered"] == number, f"{found['answered']} of {number} sessions answered"
        return found


class Used:
    """Time and processor time since it was made, of the daemon and of this process."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._began = time.perf_counter()
        self._server = cpu_seconds(pid)
        self._client = cpu_seconds(os.getpid())

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._began

    @property
    def server(self) -> float:
        return cpu_seconds(self._pid) - self._server

    def each(self, number: int) -> dict[str, float]:
        """Return the processor time of one of *number*, us."""
        client = cpu_seconds(os.getpid()) - self._client
        return {"server": 1e6 * self.server / number, "client": 1e6 * client / number}


async def enter(
    stack: AsyncExitStack, options: argparse.Namespace, kind: type[Any] = Session
) -> Any:
    return await stack.enter_async_context(connected(options.port, options.data_dir, kind))


MODES = {"gets": ask, "subscribers": listen, "idle": rest}


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[1])
    parser.add_argument("mode", choices=sorted(MODES))
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--pid", type=int, required=True, help="of the daemon")
    parser.add_argument("--sessions", type=int, default=IDLE)
    options = parser.parse_args(words)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    print(json.dumps(run(MODES[options.mode](options))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
