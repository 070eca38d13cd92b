"""
Measure a daemon with very many VMs alive: `make bench-life`, or with fewer `--stored 1000`.

Deploys deployments of 3 VMs that are polled every 15 s. Most have addresses of 127.0.0.0/8, all of
which this machine answers, and are pinged: that needs CAP_NET_RAW, or a group in
net.ipv4.ping_group_range; `--simulated` does without. The others live in a second VIM, whose
guests the simulator plays, and which fails as a whole. Measures what watching all of them costs,
and what the burst means for everybody else, with the blindness guard and without it. Prints rows
in Markdown for docs/benchmarks.md. With `--profile` it says in their place where the daemon's
time goes while it watches, and while it heals.
"""

import argparse
import asyncio
import http.client
import itertools
import json
import re
import shutil
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from client import Session, connected, run
from payloads import KPI, NAMESPACE, inside
from processes import Program, daemon
from run import Row, machine, yardstick
from sampled import sampled, sampler, shares

SETTINGS = """
[vim]
build_seconds = 0
boot_seconds = 0
simulator_http_port = 0
[log]
level = "error"
[monitor]
allow_loopback = true
[healing]
guard = {guard}
recoveries_per_host = 0
recoveries_per_vim = 0
"""
POLL_SECONDS = 15
VMS = 3
TENANT, OF_EDGE = "bench", "edge"
"""What lives in the second VIM has a tenant, and so a project, of its own."""
NETWORKS = {"real": "loop", "simulated": "mgmt-net"}
HOME, EDGE = "default_sim_vim", "edge"
IN_ONE_EDIT = 100
SETTLE_SECONDS = 1200
SPREAD_SECONDS = 1 + 1.5 * POLL_SECONDS
"""Until the polls of VMs that were armed together are spread over the interval."""
NOTICED_SECONDS = 2 * POLL_SECONDS + 10
"""Until a loss is noticed by a poll, its time-out and the guard's window are over."""
PAUSE_SECONDS = 0.02
CALM_SECONDS = 10
HEALED = ("VM_RECOVERY_INIT", "VM_RECOVERY_COMPLETE")
_TYPE = re.compile(rb"<type>([A-Z_]+)</type></event>")
_PROJECT = re.compile(rb"<tenant_id>([^<]+)</tenant_id>")
RULES = KPI.replace("<poll_frequency>1<", f"<poll_frequency>{POLL_SECONDS}<").replace(
    "<metric_occurrences_false>5<", "<metric_occurrences_false>1<"
)


def deployment(name: str, vim: str, guests: str) -> str:
    """Return a deployment of 3 watched VMs in *vim*; a lost one is rebooted."""
    return f"""
<deployment><name>{name}</name><vm_group>
  <name>web</name><locator><vim_id>{vim}</vim_id></locator>
  <image>cirros</image><flavor>m1.tiny</flavor>
  <bootup_time>600</bootup_time><recovery_wait_time>0</recovery_wait_time>
  <recovery_policy><action_on_recovery>REBOOT_ONLY</action_on_recovery></recovery_policy>
  <interfaces><interface><nicid>0</nicid><network>{NETWORKS[guests]}</network></interface></interfaces>
  {RULES}
  <scaling><min_active>{VMS}</min_active><max_active>{VMS}</max_active></scaling>
</vm_group></deployment>
"""


def connectors(guests: str) -> str:
    """Return both VIMs, doors to one simulated cloud; *guests* are those of the first."""
    return f"""
<esc_system_config xmlns="{NAMESPACE}"><vim_connectors>
  {_connector(HOME, guests)}{_connector(EDGE, "simulated")}
</vim_connectors></esc_system_config>
"""


def _connector(name: str, guests: str) -> str:
    return (
        f"<vim_connector><id>{name}</id><type>SIMULATOR</type><properties><property>"
        f"<name>guests</name><value>{guests}</value></property></properties></vim_connector>"
    )


SHARED_NETWORK = f"""
<esc_datamodel xmlns="{NAMESPACE}"><networks><network>
  <name>{NETWORKS["real"]}</name><shared>true</shared>
  <subnet><name>loop-v4</name><ipversion>ipv4</ipversion><dhcp>true</dhcp>
    <address>127.0.0.0</address><netmask>255.0.0.0</netmask><gateway>127.255.255.254</gateway>
  </subnet>
</network></networks></esc_datamodel>
"""


def service_action(action: str, name: str) -> str:
    return (
        f'<serviceAction xmlns="{NAMESPACE}"><actionType>{action}</actionType>'
        f"<tenantName>{TENANT}</tenantName><depName>{name}</depName></serviceAction>"
    )


def bootup_time(name: str, seconds: int) -> str:
    """Return an update of a live deployment."""
    return inside(
        TENANT,
        f"<deployment><name>{name}</name><vm_group><name>web</name>"
        f"<bootup_time>{seconds}</bootup_time></vm_group></deployment>",
    )


class Heard:
    """How often each event was told, and when last."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.last: dict[str, float] = {}
        self._changed = asyncio.Event()

    def heard(self, message: bytes) -> None:
        for kind in _TYPE.findall(message):
            name = kind.decode()
            self.counts[name] += 1
            self.last[name] = time.perf_counter()
        self._changed.set()

    async def until(self, kind: str, count: int) -> None:
        """Wait until *kind* was told *count* times."""
        async with asyncio.timeout(SETTLE_SECONDS):
            while self.counts[kind] < count:
                self._changed.clear()
                await self._changed.wait()


class Lab:
    """The daemon, and who listens to it."""

    def __init__(self, folder: Path, stored: int, burst: int, guests: str) -> None:
        self.folder = folder
        self.guests = guests
        self.stored = stored
        self.edge = -(-burst // VMS)
        self.heard = Heard()
        self.program: Program
        """There once it runs."""

    @property
    def burst(self) -> int:
        return self.edge * VMS

    @asynccontextmanager
    async def running(self, *, guard: bool) -> AsyncIterator[Session]:
        """Run the daemon with the guard, or without it; yields a session."""
        self.program = daemon(self.folder, SETTINGS.format(guard=str(guard).lower()))
        self.heard = Heard()
        await self.program.start()
        try:
            async with self.session() as listening, self.session() as session:
                await listening.subscribe(self.heard.heard)
                yield session
        except BaseException:
            print(self.program.tail(), file=sys.stderr)
            raise
        finally:
            await self.program.stop()

    def session(self) -> AbstractAsyncContextManager[Session]:
        return connected(self.program.ports["netconf"], self.folder / "data")

    async def fill(self, session: Session) -> float:
        """Deploy everything; return the processor time of one deployment, ms."""
        await session.edit(connectors(self.guests))
        await session.edit(SHARED_NETWORK)
        await self.heard.until("CREATE_SUBNET", 1)
        before = self.program.cpu_seconds()
        await self._deploy(session, OF_EDGE, EDGE, "simulated", self.edge)
        await self._deploy(session, TENANT, HOME, self.guests, self.stored - self.edge)
        return 1000 * (self.program.cpu_seconds() - before) / self.stored

    async def _deploy(
        self, session: Session, tenant: str, vim: str, guests: str, count: int
    ) -> None:
        before = self.heard.counts["SERVICE_ALIVE"]
        for at in range(0, count, IN_ONE_EDIT):
            some = range(at, min(at + IN_ONE_EDIT, count))
            wanted = (deployment(name_of(vim, number), vim, guests) for number in some)
            await session.edit(inside(tenant, *wanted))
            await self.heard.until("SERVICE_ALIVE", before + some.stop)

    async def watching(self, seconds: float) -> Row:
        """Return what it costs to do nothing but watch."""
        await asyncio.sleep(SPREAD_SECONDS)
        before, began = self.program.cpu_seconds(), time.perf_counter()
        samples = self.samples()
        await asyncio.sleep(seconds)
        used, lasted = self.program.cpu_seconds() - before, time.perf_counter() - began
        taken = self.samples()
        taken.subtract(samples)
        results = ", ".join(f"{kind} {n / lasted:,.0f}/s" for kind, n in sorted(taken.items()) if n)
        per_sample = 1e6 * used / max(1, taken.total())
        figure = f"{100 * used / lasted:.1f} % ({per_sample:.0f} us a sample; {results})"
        what = f"{VMS * self.stored:,} VMs watched every {POLL_SECONDS} s"
        return f"{what}: share of a core", figure, "<= 50 %"

    def samples(self) -> Counter[str]:
        """Return how many samples were taken, by collector and result."""
        counts: Counter[str] = Counter()
        for line in self.http("GET", "/metrics", "http").decode().splitlines():
            found = re.match(
                r'esc_monitor_samples_total\{collector="(\w+)",result="(\w+)"\} (\S+)', line
            )
            if found:
                counts[f"{found[1]} {found[2]}"] += int(float(found[3]))
        return counts

    def http(self, method: str, path: str, port: str) -> bytes:
        door = http.client.HTTPConnection("127.0.0.1", self.program.ports[port], timeout=60)
        try:
            door.request(method, path)
            answer = door.getresponse()
            body = answer.read()
            assert answer.status == 200, body
            return body
        finally:
            door.close()

    async def guests_of_edge(self, session: Session, action: str) -> None:
        """Let all guests of the second VIM fall silent, or answer, by the simulator's page."""
        reply = await session.get(
            f"esc_datamodel/opdata/tenants/tenant[name='{OF_EDGE}']/tenant_id"
        )
        found = _PROJECT.search(reply)
        assert found is not None, reply
        path = f"/projects/{found[1].decode()}/{action}"
        await asyncio.to_thread(self.http, "POST", path, "simulator_http")


def name_of(vim: str, number: int) -> str:
    return f"{vim}-{number:05}"


async def beside(lab: Lab, work: Coroutine[None, None, None]) -> dict[str, list[float]]:
    """Return how long clients of other deployments waited for answers while *work* was done, ms."""
    where = ("--port", str(lab.program.ports["netconf"]), "--data-dir", str(lab.folder / "data"))
    pipe = asyncio.subprocess.PIPE
    clients = await asyncio.create_subprocess_exec(
        sys.executable, __file__, "others", *where, stdin=pipe, stdout=pipe
    )
    await work
    assert clients.stdin is not None
    assert clients.stdout is not None
    clients.stdin.close()
    said = await clients.stdout.read()
    assert await clients.wait() == 0, "the clients of other deployments failed"
    took: dict[str, list[float]] = json.loads(said)
    return took


async def others(port: int, data_dir: Path) -> None:
    """Act upon deployments of the other VIM and change some, one by one, until stdin ends."""
    told = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    took: dict[str, list[float]] = {"actions": [], "edits": []}

    async def acting() -> None:
        async with connected(port, data_dir) as session:
            for name in itertools.cycle(_others(0)):
                for action in ("DISABLE_MONITOR", "ENABLE_MONITOR"):
                    await timed("actions", session.rpc(service_action(action, name)))
                    await asyncio.sleep(PAUSE_SECONDS)
                if told.done():
                    return

    async def editing() -> None:
        times = itertools.count(int(time.time()) % 100_000)  # each edit is to change something
        async with connected(port, data_dir) as session:
            for name in itertools.cycle(_others(1)):
                await timed("edits", session.edit(bootup_time(name, 600 + next(times))))
                await asyncio.sleep(PAUSE_SECONDS)
                if told.done():
                    return

    async def timed(what: str, answer: Awaitable[object]) -> None:
        began = time.perf_counter()
        await answer
        took[what].append(1000 * (time.perf_counter() - began))

    async with asyncio.TaskGroup() as group:
        group.create_task(acting())
        group.create_task(editing())
    print(json.dumps(took))


def _others(first: int) -> list[str]:
    """Return every other one of the first deployments that nothing befalls."""
    return [name_of(HOME, number) for number in range(first, 200, 2)]


def waits(what: str, took: dict[str, list[float]]) -> list[Row]:
    """Return p50 / p99 / most of each kind of request."""
    rows: list[Row] = []
    for kind, each in took.items():
        high = statistics.quantiles(each, n=100, method="inclusive")[98]
        figure = f"{statistics.median(each):.1f} / {high:.0f} / {max(each):.0f} ms ({len(each)})"
        text = f"{what}: {kind} of other deployments answered, p50 / p99 / most (how many)"
        rows.append((text, figure, "most < 100 ms"))
    return rows


async def burst(lab: Lab, session: Session, *, guard: bool) -> list[Row]:
    """Let all VMs of one VIM fail at once; return what became of them and of the others."""
    what = f"{lab.burst:,} VMs lost at once, guard {'on' if guard else 'off'}"
    calm = {} if guard else await beside(lab, asyncio.sleep(CALM_SECONDS))
    began = time.perf_counter()
    used = lab.program.cpu_seconds()
    took = await beside(lab, lost(lab, session, guard=guard))
    used = 1000 * (lab.program.cpu_seconds() - used) / lab.burst
    if guard:
        figure = await held(lab, session)
        await lab.guests_of_edge(session, "answer")
        await asyncio.sleep(NOTICED_SECONDS)
        assert not any(lab.heard.counts[kind] for kind in HEALED), "a held VM was recovered"
    else:
        figure = f"all healed {lab.heard.last[HEALED[1]] - began:.1f} s after they fell silent"
    figure += f"; CPU {used:.1f} ms a VM, the others' requests included"
    return [(what, figure, target(guard=guard)), *waits("at rest", calm), *waits(what, took)]


async def lost(lab: Lab, session: Session, *, guard: bool) -> None:
    await lab.guests_of_edge(session, "silence")
    if guard:
        await asyncio.sleep(NOTICED_SECONDS)
    else:
        await lab.heard.until(HEALED[1], lab.burst)


def target(*, guard: bool) -> str:
    return "none touched" if guard else f"<= {POLL_SECONDS + 5} s"


async def held(lab: Lab, session: Session) -> str:
    """Return how many are held and how many were touched."""
    reply = await session.get("esc_datamodel/opdata/recovery_guard")
    lost = re.findall(rb"<lost>(\d+)</lost>", reply)
    touched = sum(lab.heard.counts[kind] for kind in HEALED)
    assert lost, f"nothing is held: {reply!r}"
    return f"{int(lost[0])} held, {touched} touched"


async def measure(lab: Lab, seconds: float) -> list[Row]:
    rows: list[Row] = []
    async with lab.running(guard=True) as session:
        spent = await lab.fill(session)
        rows.append(
            (f"processor time of one deployment, {IN_ONE_EDIT} an edit", f"{spent:.1f} ms", "")
        )
        rows.append(await lab.watching(seconds))
        rows += await burst(lab, session, guard=True)
    async with lab.running(guard=False) as session:
        await asyncio.sleep(SPREAD_SECONDS)
        rows += await burst(lab, session, guard=False)
        rows.append(("resident memory after it", f"{lab.program.memory_mib():.0f} MiB", ""))
    return rows


async def profile(lab: Lab, seconds: float) -> list[Row]:
    """Return the shares of modules while all is watched, and while what was lost is healed."""
    rows: list[Row] = []
    sampler()  # before all is deployed in vain
    async with lab.running(guard=False) as session:
        await lab.fill(session)
        await asyncio.sleep(SPREAD_SECONDS)
        async with sampled(lab.program.pid) as watching:
            await asyncio.sleep(seconds)
        async with sampled(lab.program.pid) as healing:
            await lost(lab, session, guard=False)
    for what, counts in (("watching", watching), ("healing", healing)):
        rows += [(what, f"{name}: {share}", "") for name, share in shares(counts)]
    return rows


async def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[1])
    commands = parser.add_subparsers(dest="command")
    client = commands.add_parser("others", help="the clients of other deployments, by itself")
    client.add_argument("--port", type=int, required=True)
    client.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--stored", type=int, default=10_000, help="deployments of 3 VMs")
    parser.add_argument("--burst", type=int, default=1_000, help="VMs that fail at once")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long watching is measured")
    parser.add_argument("--simulated", action="store_true", help="ping nobody")
    parser.add_argument("--profile", action="store_true", help="where the time goes, by py-spy")
    options = parser.parse_args()
    if options.command == "others":
        await others(options.port, options.data_dir)
        return 0
    began = time.perf_counter()
    folder = Path(tempfile.mkdtemp(prefix="esc-bench-"))
    try:
        facts = machine(folder)
        guests = "simulated" if options.simulated else "real"
        lab = Lab(folder, options.stored, options.burst, guests)
        rows = await (profile if options.profile else measure)(lab, options.seconds)
    finally:
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
