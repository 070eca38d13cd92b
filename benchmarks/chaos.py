"""
Kill the daemon again and again and look what is left: `make chaos`.

    clients (deploy, undeploy, retry) --> daemon, killed at random --> simulator, never killed
    listener (reconnects with replay) -->

Every other kill is at a boundary of a step (`fatal.py`): the daemon kills itself there, at its n-th
coming. The others are at random instants, right after an <ok/>, and while it starts. Meanwhile the
simulator plays faults: none, lost (lost answers, latency, no connection: everything asked for must
still come true), all (also refusals, broken builds, servers that vanish: what was asked for may
fail, once and told).

After the last kill there is calm; then every acknowledged edit must have reached its goal, the
VIM must hold what opdata shows and nothing else, and every event must have been told once and
in a legal order. Last, all is undeployed and the VIM must be empty. Ends with 0 if all that
holds, with 1 if not; a seed repeats the requests and the kinds of kills, not the instants.
"""

import argparse
import asyncio
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from itertools import cycle
from pathlib import Path

import httpx
from client import Notification, Refusal, Session, SessionLost, connected, notification_of, run
from fatal import Boundary
from lxml import etree
from payloads import deletion, deployment, inside, without_tenant
from processes import NotReady, Program, daemon, simulator
from verdict import (
    Goal,
    Told,
    as_asked,
    legal_lives,
    nothing_left,
    same_history,
    same_servers,
    told_of,
)

from esc_daemon.vim.simulator.client import RemoteSimulator
from esc_daemon.vim.simulator.state import StateFile

SETTINGS = """
[vim]
simulator_address = "127.0.0.1:{port}"
call_timeout = 5
settle = 2
[log]
level = "warning"
"""
FATAL = (str(Path(__file__).with_name("fatal.py")),)
BOUNDARY_SECONDS = 10.0
"""So long a daemon may take to come to its boundary; then it is killed where it is."""
LOST = """
[[rule]]
fault = "latency"
seconds = 0.4
probability = 0.1
[[rule]]
fault = "unknown_after"
probability = 0.04
[[rule]]
fault = "unknown_before"
probability = 0.04
[[rule]]
fault = "unreachable"
probability = 0.02
[[rule]]
fault = "slow"
seconds = 2
probability = 0.1
"""
FAULTS = {
    "none": "",
    "lost": LOST,
    "all": LOST
    + """
[[rule]]
fault = "refuse"
verb = "ensure_server"
probability = 0.04
[[rule]]
fault = "quota"
verb = "ensure_port"
probability = 0.02
[[rule]]
fault = "error"
probability = 0.04
[[rule]]
fault = "vanish"
verb = "ensure_server"
seconds = 3
probability = 0.05
[[rule]]
fault = "power_off"
seconds = 3
probability = 0.05
""",
}
"""What the simulator plays until there is calm."""
SIMULATOR = ("--build-seconds", "0.3", "--boot-seconds", "0.5", "--latency-seconds", "0.02")
TENANTS = 4
RETRY_SECONDS = 0.1
NOT_NOW = "nothing can be made in VIM connector"
CALM_SECONDS = 180
LONGEST_LIFE = 4.0
"""Seconds that a daemon serves before it is killed, at most."""


class Endpoint:
    """Where the daemon of the moment serves; it has another port after each kill."""

    def __init__(self, folder: Path) -> None:
        self._data_dir = folder / "data"
        self._serving = asyncio.Event()
        self._port = 0
        self.acknowledged = asyncio.Event()

    def up(self, port: int) -> None:
        self._port = port
        self._serving.set()

    def down(self) -> None:
        self._serving.clear()

    async def insist(self, work: Callable[[Session], Awaitable[None]]) -> int:
        """Do *work* on fresh sessions until it is done once; return how often that failed."""
        failures = 0
        while True:
            await self._serving.wait()
            try:
                async with connected(self._port, self._data_dir) as session:
                    await work(session)
                    return failures
            except (SessionLost, TimeoutError):
                failures += 1
                await asyncio.sleep(RETRY_SECONDS)
            except Refusal as refusal:
                # a check whose answer was lost: nothing is made there for the moment
                if NOT_NOW not in str(refusal):
                    raise
                failures += 1
                await asyncio.sleep(RETRY_SECONDS)


class Client:
    """Deploys and undeploys one deployment until it is told to come to rest."""

    def __init__(self, number: int, seed: int, endpoint: Endpoint) -> None:
        self._random = random.Random(f"{seed} {number}")
        self._endpoint = endpoint
        self.tenant = f"tenant-{number % TENANTS}"
        self.name = f"dep-{number:03}"
        self.vms = 0
        self.incarnations = 0
        self.edits = 0
        self.unanswered = 0

    @property
    def goal(self) -> Goal:
        return Goal(name=self.name, vms=self.vms, incarnations=self.incarnations)

    async def run(self, resting: asyncio.Event) -> None:
        """Change its mind again and again; at rest some are deployed and some are not."""
        while not resting.is_set():
            await self._change()
            # Short waits interrupt what is under way, long ones let it come alive.
            pause = self._random.choice((0.0, 0.3, 1.0, 3.0, 6.0)) * self._random.random()
            with suppress(TimeoutError):
                await asyncio.wait_for(resting.wait(), pause)

    async def _change(self) -> None:
        if self.vms:
            await self.undeploy()
            return
        vms = self._random.randint(1, 3)
        own = self._random.random() < 0.5
        await self._edit(deployment(self.name, vms, own_network=own))
        self.vms = vms
        self.incarnations += 1

    async def undeploy(self) -> None:
        if self.vms:
            await self._edit(deletion(self.name))
            self.vms = 0

    async def _edit(self, change: str) -> None:
        config = inside(self.tenant, change)
        self.unanswered += await self._endpoint.insist(lambda session: session.edit(config))
        self.edits += 1
        self._endpoint.acknowledged.set()


class Ear:
    """Hears every event in spite of the kills: it comes back with a replay from the last one."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self.heard: dict[Notification, None] = {}
        self.faults: list[str] = []
        self.sessions = 0

    async def run(self) -> None:
        await self._endpoint.insist(self._listen)

    async def _listen(self, session: Session) -> None:
        self.sessions += 1
        now: set[Notification] = set()
        """What this session has told; what earlier ones told may come again in the replay."""

        def take(message: bytes) -> None:
            notification = notification_of(message)
            if told_of(notification) is None:
                return
            if notification in now:
                self.faults.append(f"one session told twice: {notification}")
            now.add(notification)
            self.heard[notification] = None

        last = next(reversed(self.heard), None)
        start = last.time if last else "2020-01-01T00:00:00+00:00"
        await session.subscribe(take, start)
        await session.ended.wait()
        raise SessionLost("the daemon is gone")


class Campaign:
    """The daemon, the simulator, the clients, and what becomes of them."""

    def __init__(self, folder: Path, options: argparse.Namespace) -> None:
        self._random = random.Random(options.seed)
        self._folder = folder
        self._kills = options.kills
        faults = folder / "faults.toml"
        faults.write_text(FAULTS[options.faults])
        more = ("--http-port", "0", "--faults-file", str(faults))
        self._simulator = simulator(folder, *SIMULATOR, *more)
        self._may_fail = options.faults == "all"
        self._of_the_vim = ("VIM_OPERATIONAL_STATE",) if options.faults != "none" else ()
        self._boundaries = cycle(Boundary)
        self._daemon: Program | None = None
        self._endpoint = Endpoint(folder)
        self._ear = Ear(self._endpoint)
        self._clients = [
            Client(number, options.seed, self._endpoint) for number in range(options.deployments)
        ]
        self.faults: list[str] = []
        self.starts: list[float] = []
        self.deaths: Counter[str] = Counter()

    async def run(self) -> None:
        await self._simulator.start()
        port = self._simulator.ports["simulator"]
        self._daemon = daemon(self._folder, SETTINGS.format(port=port))
        resting = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            listening = tasks.create_task(self._ear.run())
            working = [tasks.create_task(client.run(resting)) for client in self._clients]
            for number in range(self._kills):
                await self._life(number)
            await self._serve()
            resting.set()
            await asyncio.wait(working)
            await self._good_weather()
            await self._judge(port)
            listening.cancel()
        await self._stop()

    async def _life(self, number: int) -> None:
        """Let the daemon live for a while, until it is killed."""
        assert self._daemon is not None
        if number % 2:
            kind = await self._to_a_boundary(self._daemon)
        else:
            kind = await self._at_an_instant(self._daemon, number)
        self._endpoint.down()
        self.deaths[kind] += 1
        print(f"kill {number + 1}: {kind}, {len(self._ear.heard)} events so far", flush=True)

    async def _at_an_instant(self, program: Program, number: int) -> str:
        kind = self._random.choice(("at random", "at random", "after an ok", "while it starts"))
        if kind == "while it starts" and number:
            starting = asyncio.create_task(program.start())
            await asyncio.sleep(self._random.uniform(0.2, 1.5))
            program.kill()
            starting.cancel()
            await asyncio.wait([starting])
            return kind
        await self._serve()
        await asyncio.sleep(self._random.uniform(0.05, LONGEST_LIFE))
        if kind == "after an ok":
            self._endpoint.acknowledged.clear()
            await self._endpoint.acknowledged.wait()
        program.kill()
        return kind

    async def _to_a_boundary(self, program: Program) -> str:
        """Let the daemon kill itself at the next boundary in turn."""
        boundary = next(self._boundaries)
        nth = self._random.randint(1, 8 if boundary is Boundary.RESTORING else 60)
        fuse = {"CHAOS_BOUNDARY": boundary.value, "CHAOS_NTH": str(nth)}
        with suppress(NotReady):  # it may die before it serves
            await program.start(FATAL, **fuse)
            self._endpoint.up(program.ports["netconf"])
        ends = time.monotonic() + BOUNDARY_SECONDS
        while not program.is_over and time.monotonic() < ends:  # noqa: ASYNC110  of another process
            await asyncio.sleep(0.02)
        came = program.is_over
        program.kill()
        return boundary.value if came else "on the way to a boundary"

    async def _good_weather(self) -> None:
        """No fault is played any more."""
        port = self._simulator.ports["http"]
        async with httpx.AsyncClient(trust_env=False) as client:
            done = await client.post(f"http://127.0.0.1:{port}/faults/remove")
            done.raise_for_status()

    async def _serve(self) -> None:
        assert self._daemon is not None
        self.starts.append(await self._daemon.start())
        self._endpoint.up(self._daemon.ports["netconf"])

    async def _judge(self, port: int) -> None:
        self.faults += await self._calm(port)
        self.faults += await self._history()
        print(f"calm: {self._counts()}", flush=True)
        await asyncio.gather(*(client.undeploy() for client in self._clients))
        self.faults += await self._calm(port)
        for number in range(TENANTS):
            await self._endpoint.insist(
                lambda session, tenant=f"tenant-{number}": session.edit(without_tenant(tenant))
            )
        await self._until(self._tenants)
        self.faults += await self._history()

    async def _calm(self, port: int) -> list[str]:
        """Wait until all is as asked; return what still is not when time is up."""
        vim = RemoteSimulator("127.0.0.1", port)
        try:
            return await self._until(lambda: self._standing(vim))
        finally:
            await vim.close()

    async def _until(self, look: Callable[[], Awaitable[list[str]]]) -> list[str]:
        ends = time.monotonic() + CALM_SECONDS
        while (faults := await look()) and time.monotonic() < ends:  # noqa: ASYNC110  no event tells
            await asyncio.sleep(0.5)
        return faults

    async def _standing(self, vim: RemoteSimulator) -> list[str]:
        opdata = await self._opdata()
        servers = {
            server.server_id: (server.name, str(server.key.vm)) async for server in vim.servers()
        }
        goals = [client.goal for client in self._clients]
        return [
            *as_asked(opdata, goals, may_fail=self._may_fail),
            *same_servers(opdata, servers, may_vanish=self._may_fail),
        ]

    async def _tenants(self) -> list[str]:
        opdata = await self._opdata()
        found = opdata.findall(".//{*}tenants/{*}tenant/{*}name")
        return [f"tenant {name.text} is still there" for name in found]

    async def _opdata(self) -> etree._Element:
        replies: list[bytes] = []

        async def look(session: Session) -> None:
            replies.append(await session.get("esc_datamodel/opdata"))

        await self._endpoint.insist(look)
        return etree.fromstring(replies[-1])

    async def _history(self) -> list[str]:
        """Compare what was heard with one replay of everything; judge the lives in it."""
        replayed: list[Notification] = []

        async def read(session: Session) -> None:
            done = asyncio.Event()

            def take(message: bytes) -> None:
                notification = notification_of(message)
                if b"replayComplete" in notification.payload:
                    done.set()
                elif not done.is_set() and told_of(notification) is not None:
                    replayed.append(notification)

            await session.subscribe(take, "2020-01-01T00:00:00+00:00")
            await asyncio.wait_for(done.wait(), CALM_SECONDS)

        await asyncio.sleep(1)  # for what is on its way to the listener
        await self._endpoint.insist(read)
        goals = [client.goal for client in self._clients]
        return [
            *self._ear.faults,
            *same_history(list(self._ear.heard), replayed),
            *legal_lives(
                _told(replayed), goals, may_fail=self._may_fail, of_the_vim=self._of_the_vim
            ),
        ]

    async def _stop(self) -> None:
        assert self._daemon is not None
        if code := await self._daemon.stop():
            self.faults.append(f"the daemon's exit code is {code}")
        await self._simulator.stop()
        with StateFile(self._folder / "simulator.state") as state:
            self.faults += nothing_left(state.rows)

    async def end(self) -> None:
        """End both programs whatever has happened."""
        if self._daemon is not None:
            self._daemon.kill()
        self._simulator.kill()

    def _counts(self) -> str:
        edits = sum(client.edits for client in self._clients)
        lives = sum(client.incarnations for client in self._clients)
        deployed = sum(client.vms > 0 for client in self._clients)
        unanswered = sum(client.unanswered for client in self._clients)
        return (
            f"{edits} edits acknowledged, {unanswered} attempts cut off, {lives} deployments made"
            f" ({deployed} there now), {len(self._ear.heard)} events heard"
            f" in {self._ear.sessions} sessions"
        )

    def last_words(self) -> str:
        return self._daemon.tail(40) if self._daemon is not None else ""


def _told(history: list[Notification]) -> Iterator[Told]:
    for notification in history:
        told = told_of(notification)
        if told is not None:
            yield told


async def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[1])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--deployments", type=int, default=40)
    parser.add_argument("--faults", choices=tuple(FAULTS), default="lost")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    began = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="esc-chaos-"))
    campaign = Campaign(folder, options)
    try:
        await campaign.run()
    except BaseException:
        print(campaign.last_words(), file=sys.stderr)
        raise
    finally:
        await campaign.end()
        if not campaign.faults:
            shutil.rmtree(folder, ignore_errors=True)
    start = statistics.median(campaign.starts)
    took = time.monotonic() - began
    for kind, number in sorted(campaign.deaths.items()):
        print(f"{number:4} {kind}")
    print(f"{options.kills} kills in {took:.0f} s; start until it serves: {start:.2f} s (median)")
    for fault in campaign.faults:
        print(f"VIOLATION: {fault}")
    if campaign.faults:
        print(f"{len(campaign.faults)} violations; seed {options.seed}; logs in {folder}")
        return 1
    print("nothing lost, nothing doubled, nothing left behind")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(run(main()))
    except (Refusal, ExceptionGroup) as error:
        print(f"VIOLATION: {error!r}", file=sys.stderr)
        raise
