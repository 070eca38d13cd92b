"""
Measure the daemon over NETCONF: `make bench`, or with fewer deployments `run.py --stored 2000`.

Starts a daemon of its own with the simulator (no latency, no building and booting time) in a
directory of its own, and prints a table in Markdown for docs/benchmarks.md.
"""

import argparse
import asyncio
import itertools
import os
import platform
import re
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import wire
from client import Session, connected, run
from everything import REQUESTS, beside
from payloads import deletion, deployment, inside
from processes import Program, daemon

SETTINGS = """
[vim]
build_seconds = 0
boot_seconds = 0
[log]
level = "warning"
[limits]
sessions = 6000
sessions_per_user = 6000
"""
TENANT = "bench"
FEW = 100
IN_ONE_EDIT = 100
EDITS = 60
SESSIONS = 5
DEPLOY_ROUNDS = 3
STARTS = 3
SETTLE_SECONDS = 120
Row = tuple[str, str, str]
ONE_DEPLOYMENT = f"tenants/tenant[name='{TENANT}']/deployments/deployment[name='dep-000050']"
_NAME = re.compile(rb"<depname>([^<]*)</depname>")
_TYPE = re.compile(rb"<type>([A-Z_]+)</type></event>")


class Deployments:
    """What the notifications tell of deployments."""

    def __init__(self) -> None:
        self._awaited: dict[tuple[str, str], asyncio.Future[float]] = {}
        self.events = 0

    def heard(self, message: bytes) -> None:
        self.events += 1
        name, kind = _NAME.search(message), _TYPE.search(message)
        if name is not None and kind is not None:
            awaited = self._awaited.pop((name[1].decode(), kind[1].decode()), None)
            if awaited is not None and not awaited.done():
                awaited.set_result(time.perf_counter())

    def until(self, name: str, event: str) -> "asyncio.Future[float]":
        """Return the moment at which *event* is told of the deployment."""
        awaited: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._awaited[name, event] = awaited
        return awaited


class Bench:
    """The daemon and the sessions to it."""

    def __init__(self, program: Program, folder: Path) -> None:
        self.program = program
        self.folder = folder
        self.heard = Deployments()
        self.numbers = itertools.count()

    @property
    def program_at(self) -> tuple[int, Path, int]:
        """Where clients in processes of their own find it: port, data directory, process id."""
        return self.program.ports["netconf"], self.folder / "data", self.program.pid

    @asynccontextmanager
    async def sessions(self, count: int) -> AsyncIterator[list[Session]]:
        port = self.program.ports["netconf"]
        async with AsyncExitStack() as stack:
            yield [
                await stack.enter_async_context(connected(port, self.folder / "data"))
                for _ in range(count)
            ]

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        async with self.sessions(1) as (session,):
            await session.subscribe(self.heard.heard)
            yield

    def fresh(self, count: int) -> list[str]:
        return [f"dep-{number:06}" for number in itertools.islice(self.numbers, count)]


async def all_of(awaited: Sequence[Awaitable[float]]) -> float:
    """Return the last of the moments."""
    async with asyncio.timeout(SETTLE_SECONDS):
        return max(await asyncio.gather(*awaited))


async def store(bench: Bench, total: int) -> float:
    """Deploy *total* deployments of one unmonitored VM; return how many a second came alive."""
    names = bench.fresh(total)
    began = time.perf_counter()
    async with bench.sessions(1) as (session,):
        for at in range(0, total, IN_ONE_EDIT):
            some = names[at : at + IN_ONE_EDIT]
            alive = [bench.heard.until(name, "SERVICE_ALIVE") for name in some]
            await session.edit(
                inside(TENANT, *(deployment(name, 1, monitored=False) for name in some))
            )
            await all_of(alive)
    return total / (time.perf_counter() - began)


async def edits(bench: Bench) -> list[float]:
    """Return how long an edit of one new deployment took until it was acknowledged, ms."""
    took: list[float] = []
    names = bench.fresh(EDITS)
    async with bench.sessions(1) as (session,):
        for name in names:
            alive = bench.heard.until(name, "SERVICE_ALIVE")
            config = inside(TENANT, deployment(name, monitored=False))
            began = time.perf_counter()
            await session.edit(config)
            took.append(1000 * (time.perf_counter() - began))
            await all_of([alive])  # the next one finds a daemon at rest
        gone = [bench.heard.until(name, "SERVICE_UNDEPLOYED") for name in names]
        await session.edit(inside(TENANT, *map(deletion, names)))
        await all_of(gone)
    return took


class Rate(NamedTuple):
    """Deployments a second, and the daemon's processor time for one of them, ms."""

    each_second: float
    cpu: float


async def deploy(bench: Bench, count: int) -> tuple[Rate, Rate]:
    """Deploy and undeploy *count* deployments of 3 VMs with a KPI; return how fast that went."""
    names = bench.fresh(count)
    async with bench.sessions(SESSIONS) as sessions:
        alive = await rate(
            bench, sessions, names, "SERVICE_ALIVE", lambda name: deployment(name, 3)
        )
        gone = await rate(bench, sessions, names, "SERVICE_UNDEPLOYED", deletion)
    return alive, gone


async def rate(
    bench: Bench,
    sessions: Sequence[Session],
    names: Sequence[str],
    event: str,
    config: Callable[[str], str],
) -> Rate:
    awaited = [bench.heard.until(name, event) for name in names]
    began, used = time.perf_counter(), bench.program.cpu_seconds()

    async def edit_share(session: Session, share: Sequence[str]) -> None:
        for name in share:
            await session.edit(inside(TENANT, config(name)))

    shares = [names[at :: len(sessions)] for at in range(len(sessions))]
    await asyncio.gather(*map(edit_share, sessions, shares))
    took = await all_of(awaited) - began
    used = bench.program.cpu_seconds() - used
    return Rate(len(names) / took, 1000 * used / len(names))


async def keyed(bench: Bench, kind: str, rounds: int = 300) -> list[float]:
    """Return how long one stored deployment, asked for by its keys, took to come, ms."""
    at = {
        "get-config": ONE_DEPLOYMENT,
        "get": f"opdata/tenants/tenant[name='{TENANT}']/deployments[deployment_name='dep-000050']",
    }[kind]
    took: list[float] = []
    async with bench.sessions(1) as (session,):
        ask = session.get_config if kind == "get-config" else session.get
        for _ in range(rounds):
            began = time.perf_counter()
            reply = await ask(f"esc_datamodel/{at}")
            took.append(1000 * (time.perf_counter() - began))
            assert b"dep-000050" in reply, reply
    return took


def quantiles(values: Sequence[float]) -> tuple[float, float]:
    cuts = statistics.quantiles(values, n=20)
    return statistics.median(values), cuts[18]


def told(values: Sequence[float]) -> str:
    middle, high = quantiles(values)
    return f"{middle:.2f} / {high:.2f} ms"


async def measure(bench: Bench, stored: int, deployed: int) -> list[Row]:
    rows: list[Row] = []
    rows.append(("first start, keys and all", await starts(bench.program, 1), ""))
    async with bench.listening():
        await store(bench, FEW)
        few = await edits(bench)
        rows.append((f"edit-config of one deployment beside {FEW}, p50 / p95", told(few), ""))
        rows += await wire.gets(*bench.program_at)
        rows += await wire.subscribers(*bench.program_at)
        rows += await deploys(bench, deployed)
        filled = await store(bench, stored - FEW)
        rows.append(
            (f"deployments of 1 VM, {IN_ONE_EDIT} an edit, to SERVICE_ALIVE", f"{filled:.0f}/s", "")
        )
        many = await edits(bench)
        text = f"edit-config of one deployment beside {stored:,}, p50 / p95"
        rows.append((text, told(many), "p50 < 5 ms"))
        ratio = statistics.median(many) / statistics.median(few)
        rows.append((f"p50 beside {stored:,} over p50 beside {FEW}", f"{ratio:.2f}", "<= 1.2"))
        rows.append(
            (
                "keyed get-config of one deployment, p50 / p95",
                told(await keyed(bench, "get-config")),
                "p50 < 2.5 ms",
            )
        )
        rows.append(("keyed get of one deployment, p50 / p95", told(await keyed(bench, "get")), ""))
    rows.append(
        (f"resident memory, {stored:,} deployments", f"{bench.program.memory_mib():.0f} MiB", "")
    )
    stop = time.perf_counter()
    code = await bench.program.stop()
    assert code == 0, f"the daemon's exit code is {code}"
    rows.append((f"stop with {stored:,} deployments", f"{time.perf_counter() - stop:.2f} s", ""))
    text = f"start with {stored:,} deployments until it serves ({STARTS} starts)"
    rows.append((text, await starts(bench.program, STARTS), "<= 3 s"))
    memory = f"{bench.program.memory_mib():.0f} MiB"
    rows.append(("resident memory after that", memory, "<= 350 MiB"))
    rows += await everything(bench)
    memory = f"{bench.program.memory_mib():.0f} MiB"
    rows.append(("resident memory after all of that", memory, ""))
    await bench.program.stop()
    shutil.rmtree(bench.folder / "data")
    await bench.program.start()
    rows += await wire.idle(*bench.program_at)
    return rows


async def deploys(bench: Bench, deployed: int) -> list[Row]:
    """Return how many deployments come and go in a second, and what one costs the daemon."""
    rates = [await deploy(bench, deployed) for _ in range(DEPLOY_ROUNDS)]
    used = [statistics.median(each.cpu for each in way) for way in zip(*rates, strict=True)]
    return [
        (
            f"deployments of 3 VMs, edit-config to SERVICE_ALIVE ({deployed}, {SESSIONS} sessions)",
            spread([alive.each_second for alive, _ in rates]),
            ">= 200/s",
        ),
        (
            "the same, edit-config to SERVICE_UNDEPLOYED",
            spread([gone.each_second for _, gone in rates]),
            "",
        ),
        (
            "the daemon's processor time for one of these, deploying / undeploying",
            f"{used[0]:.1f} / {used[1]:.1f} ms",
            "",
        ),
    ]


async def everything(bench: Bench) -> list[Row]:
    """Return what reading everything takes, and what that means for another session."""
    rows: list[Row] = []
    for what in REQUESTS:
        port, select = bench.program.ports["netconf"], f"esc_datamodel/{ONE_DEPLOYMENT}"
        reading = await beside(port, bench.folder / "data", what, select)
        size = f"{reading.size / 1e6:.1f} MB"
        target = "" if "XPath" in what else "< 0.8 s"
        rows.append((f"everything by {what}, {size}", reading.told(), target))
        text = "keyed get-config of another session meanwhile, p50 / p99 / most (how many)"
        rows.append((text, reading.told_beside(), "most < 100 ms"))
    return rows


async def starts(program: Program, rounds: int) -> str:
    """Start *program* so often and let the last go on; return the medians of time and CPU time."""
    took: list[float] = []
    used: list[float] = []
    for _ in range(rounds):
        await program.stop()
        took.append(await program.start())
        used.append(program.cpu_seconds())
    return f"{statistics.median(took):.2f} s, CPU {statistics.median(used):.2f} s"


def spread(rates: Sequence[float]) -> str:
    """Return the median of the rounds with the least and the most."""
    return f"{statistics.median(rates):.0f}/s ({min(rates):.0f}-{max(rates):.0f})"


def machine(folder: Path) -> list[str]:
    """Return what the figures depend on."""
    model = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text())
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    processor = f"{model[1] if model else platform.machine()}, {os.cpu_count()} cores"
    system = f"{platform.system()} {platform.release()}, Python {platform.python_version()}"
    return [
        f"- {time.strftime('%Y-%m-%d %H:%M', time.gmtime())} UTC, load before: {load}",
        f"- yardstick (100,000 rounds of Python) before: {yardstick():.0f} ms",
        f"- {processor}, {system}",
        f"- fdatasync of one page in the data directory: {1000 * sync_seconds(folder):.2f} ms",
    ]


def yardstick(rounds: int = 9) -> float:
    """Return how long a fixed piece of Python takes, ms: by it runs on a busy machine compare."""
    took: list[float] = []
    for _ in range(rounds):
        began = time.perf_counter()
        counts: dict[str, int] = {}
        for number in range(100_000):
            name = f"dep-{number % 1000}"
            counts[name] = counts.get(name, 0) + 1
        took.append(1000 * (time.perf_counter() - began))
    return statistics.median(took)


def sync_seconds(folder: Path, rounds: int = 100) -> float:
    """Return the median time of writing one page through to the disk."""
    took: list[float] = []
    file = os.open(folder / "sync", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        for _ in range(rounds):
            began = time.perf_counter()
            os.pwrite(file, bytes(4096), 0)
            os.fdatasync(file)
            took.append(time.perf_counter() - began)
    finally:
        os.close(file)
    return statistics.median(took)


async def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[1])
    parser.add_argument("--stored", type=int, default=10_000, help="deployments in the datastore")
    parser.add_argument("--deployed", type=int, default=1000, help="deployments of a round")
    parser.add_argument("--keep", action="store_true", help="keep the directory")
    options = parser.parse_args()
    began = time.perf_counter()
    folder = Path(tempfile.mkdtemp(prefix="esc-bench-"))
    program = daemon(folder, SETTINGS)
    try:
        facts = machine(folder)
        rows = await measure(Bench(program, folder), options.stored, options.deployed)
    except BaseException:
        print(program.tail(), file=sys.stderr)
        raise
    finally:
        await program.stop()
        if not options.keep:
            shutil.rmtree(folder, ignore_errors=True)
    facts.insert(2, f"- yardstick after: {yardstick():.0f} ms")
    print("\n".join(facts))
    print("\n| what | figure | target |\n| --- | --- | --- |")
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print(f"\n{time.perf_counter() - began:.0f} s in all")
    return 0


if __name__ == "__main__":
    sys.exit(run(main()))
