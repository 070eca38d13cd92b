"""
Kill the daemon again and again and look what is left: `make chaos`.

    operators (deploy, update, move, switch, undeploy) --> daemon, killed --> two simulators, never
    one that commits on trial --------------------------->                 <-- weather
    listener (reconnects with replay) ------------------>

Every other kill is at a boundary of a step (`fatal.py`): the daemon kills itself there, sooner in a
step of a kind that was never cut there (`cuts.py`). The others are at random instants, right after
an <ok/>, while it starts and while it stops. Meanwhile
the simulator plays faults (`weather.py`): none; lost (answers lost, late or never, no connection,
guests silent for a while: everything asked for must still come true); all (also refusals, broken
builds, servers that vanish or go off: what was asked for may fail, once and told). Loads that
scale groups come and go.

After the last kill there is calm, and operators recover what waits for them; then every
acknowledged edit must have reached its goal, the
VIM must hold what opdata shows and nothing else, and every event must have been told once and
in a legal order, each action and update as often as it was asked for. Last, all is undeployed and
the VIM must be empty. Ends with 0 if all that holds, with 1 if not; a seed repeats the requests
and the kinds of kills, not the instants. Kills wait more than they compute: --worlds shares them
out among campaigns side by side, each with its own seed, daemon and simulator. Run it with
PYTHONPATH=., for a table of the tests.
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
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from pathlib import Path

from both_vims import Clouds, connector, without_connector
from client import Refusal, Session, run
from cuts import Cuts
from disks import made_anew, same_volumes
from hearing import Ear, told_of, whole_log
from image_server import Gallery, same_images
from lxml import etree
from operating import Endpoint, Operator
from payloads import without_tenant
from processes import NotReady, Program, daemon
from shapes import FAR, NEAR
from standing import (
    as_asked,
    complaints,
    same_ports,
    same_servers,
    seen,
    strangers,
    unnoticed,
)
from trying import Trier
from verdict import History, same_history
from warm import WarmProgram, preload
from weather import FAULTS

from esc_daemon.domain.events import EventType

SETTINGS = """
[vim]
simulator_address = "127.0.0.1:{port}"
call_timeout = 5
settle = 7
longest_pause = 4
leftover_pause = 4
[scaling]
cooldown = 4
[healing]
guard = false
recoveries_an_hour = 0
drift_seconds = 4
[images]
wait = 5
[log]
level = "warning"
"""
"""What takes minutes takes seconds; a request may take effect 6 s after the daemon died."""
BOUNDARY_SECONDS = 20.0
"""So long a daemon may take to come to its boundary; then it is killed where it is."""
CALM_SECONDS = 240
UNANSWERED = (EventType.VIM_OPERATIONAL_STATE, EventType.VM_RECOVERY_REBOOT)
"""These are told as failures where an answer is lost; what is asked for comes true all the same."""
MOST_EVENTS = 60
"""Events of one life that ends at an instant."""
INSTANTS = ("at random", "at random", "after an ok", "while it starts", "while it stops")
"""When a life ends that does not end at a boundary."""
LONGEST_LIFE = 20.0
"""Seconds for that, at most."""


class Campaign:
    """The daemon, the simulator, the operators, and what becomes of them."""

    def __init__(self, seed: int, options: argparse.Namespace, cuts: Cuts) -> None:
        self.seed = seed
        self._random = random.Random(seed)
        self.folder = folder = Path(tempfile.mkdtemp(prefix="esc-chaos-"))
        self._options = options
        self._clouds = Clouds(folder, options.faults, seed)
        self._may_fail = options.faults == "all"
        self._cuts = cuts
        self._gallery = Gallery(options.faults, seed)
        self._told = folder / "cut"
        self._daemon: Program | None = None
        self._endpoint = Endpoint(folder)
        self._ear = Ear(self._endpoint)
        self._trier = Trier(options.deployments, seed, self._endpoint)
        self._operators = [
            *(Operator(number, seed, self._endpoint) for number in range(options.deployments)),
            self._trier,
        ]
        self._findings: dict[str, None] = {}
        self.starts: list[float] = []
        self.deaths: Counter[str] = Counter()
        self.summary = ""

    @property
    def findings(self) -> list[str]:
        """What was found, each once."""
        mine = [fault for operator in self._operators for fault in operator.faults]
        return [*dict.fromkeys([*self._findings, *mine, *self._ear.faults])]

    def _find(self, findings: Iterable[str]) -> None:
        self._findings |= dict.fromkeys(findings)

    async def run(self) -> None:
        await self._clouds.start()
        await self._gallery.open()
        self._endpoint.gallery = self._gallery.port
        settings = SETTINGS.format(port=self._clouds.port(NEAR))
        self._daemon = daemon(self.folder, settings, WarmProgram)
        await self._connect()
        resting, calm = asyncio.Event(), asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            listening = tasks.create_task(self._ear.run())
            blowing = tasks.create_task(self._clouds.blow(calm))
            working = [tasks.create_task(each.run(resting)) for each in self._operators]
            for number in range(-(-self._options.kills // self._options.worlds)):
                await self._life(number)
            await self._serve()
            resting.set()
            await asyncio.wait(working)
            calm.set()
            await asyncio.wait([blowing])
            await self._clouds.clear()
            self._gallery.clear()
            await self._judge()
            listening.cancel()
        self.summary = f"{self._counts()}; by hand: {_listed(self._clouds.done)};"
        self.summary += f" images read: {_listed(self._gallery.answered)}"
        await self._stop()

    async def _connect(self) -> None:
        """Let the daemon know of the second VIM, before anything happens."""
        await self._serve()
        await self._insist(connector(self._clouds.port(FAR)))
        self._endpoint.down()
        assert self._daemon is not None
        await self._daemon.stop()

    async def _life(self, number: int) -> None:
        """Let the daemon live for a while, until it is killed."""
        assert self._daemon is not None
        if number % 2:
            kind = await self._to_a_boundary(self._daemon)
        else:
            kind = await self._at_an_instant(self._daemon, number)
        self._endpoint.down()
        self.deaths[kind] += 1
        self._say(f"kill {number + 1}: {kind}, {len(self._ear.heard)} events so far")

    def _say(self, words: str) -> None:
        print(f"{self.seed}: {words}", flush=True)

    async def _at_an_instant(self, program: Program, number: int) -> str:
        kind = self._random.choice(INSTANTS)
        if kind == "while it starts" and number:
            starting = asyncio.create_task(program.start())
            await asyncio.sleep(self._random.uniform(0.02, 1.0))
            program.kill()
            starting.cancel()
            await asyncio.wait([starting])
            return kind
        await self._serve()
        await self._some_events(self._random.randint(0, MOST_EVENTS))
        await asyncio.sleep(self._random.uniform(0.0, 0.3))
        if kind == "after an ok":
            self._endpoint.acknowledged.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._endpoint.acknowledged.wait(), LONGEST_LIFE)
        if kind == "while it stops":
            program.ask_to_stop()
            await asyncio.sleep(self._random.uniform(0.0, 0.2))
        program.kill()
        return kind

    async def _some_events(self, number: int) -> None:
        """Let so many events be told, however slow the machine is."""
        enough = len(self._ear.heard) + number
        ends = time.monotonic() + LONGEST_LIFE
        while len(self._ear.heard) < enough and time.monotonic() < ends:  # noqa: ASYNC110
            await asyncio.sleep(0.02)

    async def _to_a_boundary(self, program: Program) -> str:
        """Let the daemon kill itself at the next boundary in turn."""
        boundary, fuse = self._cuts.next(self._random, self._told)
        with suppress(NotReady):  # it may die before it serves
            await program.start(**fuse)
            self._endpoint.up(program.ports["netconf"])
        ends = time.monotonic() + BOUNDARY_SECONDS
        while not program.is_over and time.monotonic() < ends:  # noqa: ASYNC110  of another process
            await asyncio.sleep(0.02)
        program.kill()
        cut = self._cuts.cut(boundary, self._told)
        return boundary.value if cut else "on the way to a boundary"

    async def _serve(self) -> None:
        assert self._daemon is not None
        self.starts.append(await self._daemon.start())
        self._endpoint.up(self._daemon.ports["netconf"])

    async def _judge(self) -> None:
        await self._until(self._recovered)
        await self._history()
        self._say(f"calm: {self._counts()}")
        await asyncio.gather(*(operator.undeploy() for operator in self._operators))
        await self._until(self._standing)
        for tenant in sorted({operator.tenant for operator in self._operators}):
            await self._insist(without_tenant(tenant))
        await self._until(self._nothing)
        try:
            await self._insist(without_connector())
        except Refusal as refusal:
            self._find([f"connector {FAR}: expected nothing to live there, found {refusal}"])
        await self._history()

    async def _insist(self, config: str) -> None:
        await self._endpoint.insist(lambda session: session.edit(config))

    async def _until(self, look: Callable[[], Awaitable[list[str]]]) -> None:
        """Look until all is well; find what still is not when time is up."""
        ends = time.monotonic() + CALM_SECONDS
        while (faults := await look()) and time.monotonic() < ends:
            self._say(f"waiting for {len(faults)} things, the first: {faults[0]}")
            await asyncio.sleep(2)
        self._find(faults)

    async def _recovered(self) -> list[str]:
        """Look as `_standing` does, and let operators recover the VMs that wait for them."""
        there = seen(await self._opdata())
        waiting = [
            operator.recover(vm)
            for operator in self._operators
            if operator.name in there
            for vm in there[operator.name].waiting
            if vm not in operator.hopeless
        ]
        await asyncio.gather(*waiting)
        return await self._standing() or ["a recovery that was asked for"] * len(waiting)

    async def _standing(self) -> list[str]:
        opdata = await self._opdata()
        clouds = await self._clouds.look()
        there = seen(opdata)
        heard = History(event for each in self._ear.heard if (event := told_of(each)))
        faults = [*same_servers(opdata, clouds.servers, may_vanish=self._may_fail)]
        faults += unnoticed(opdata, clouds.servers)
        faults += strangers(opdata, clouds)
        asked = {each.image: each.file for each in self._operators if each.shape}
        images = self._clouds.images()
        faults += same_images(opdata, asked, images, may_fail=self._may_fail)
        for each in self._operators:
            found = there.pop(each.name, None)
            told = heard.last(each.name)
            may_fail = self._may_fail or heard.found_no_room(each.name)
            faults += as_asked(each.name, each.shape, found, told, may_fail=may_fail)
            if each.shape and found and found.sizes.keys() == each.shape.names:
                faults += same_ports(each.shape, found, clouds.ports)
                faults += same_volumes(each.shape, found, clouds.volumes)
        faults += (f"{name}: expected nothing, for nobody asked, found it" for name in there)
        return faults

    async def _nothing(self) -> list[str]:
        opdata = await self._opdata()
        found = opdata.findall(".//{*}tenants/{*}tenant/{*}name")
        left = opdata.findall(".//{*}leftover/{*}name")
        return [
            *(f"tenant {name.text}: expected it to be gone, found it" for name in found),
            *(f"leftover {name.text}: expected it to be removed in the end" for name in left),
        ]

    async def _opdata(self) -> etree._Element:
        replies: list[bytes] = []

        async def look(session: Session) -> None:
            replies.append(await session.get("esc_datamodel/opdata"))

        await self._endpoint.insist(look)
        return etree.fromstring(replies[-1])

    async def _history(self) -> None:
        """Compare what was heard with one replay of everything; judge the lives in it."""
        await asyncio.sleep(1)  # for what is on its way to the listener
        replayed = await whole_log(self._endpoint)
        self._find(same_history(list(self._ear.heard), replayed))
        history = History(event for each in replayed if (event := told_of(each)))
        for operator in self._operators:
            there = operator.shape is not None
            lives, doubtful = operator.lives, operator.doubtful
            self._find(history.wrong(operator.name, lives, there=there, doubtful=doubtful))
        vms = {
            vm: life for each in self._operators for vm, life in history.vms(each.name, each.lives)
        }
        licences = {each.licence: len(each.lives) + each.doubtful for each in self._operators}
        self._find(made_anew(vms, licences, self._clouds.disks.values()))
        self._find(history.strangers({operator.name for operator in self._operators}))
        if not self._may_fail:
            self._find(history.failures(UNANSWERED if self._options.faults == "lost" else ()))

    async def _stop(self) -> None:
        assert self._daemon is not None
        if code := await self._daemon.stop():
            self._find([f"the daemon: expected exit code 0, found {code}"])
        with self._daemon.log.open(errors="replace") as log:
            self._find(complaints(log))
        self._gallery.close()
        await self._clouds.stop()
        self._find(self._clouds.remains())

    async def end(self) -> None:
        """End both programs whatever has happened."""
        if self._daemon is not None:
            self._daemon.kill()
        self._clouds.kill()

    def _counts(self) -> str:
        lives = [life for operator in self._operators for life in operator.lives]
        asked = Counter[str]()
        for life in lives:
            asked.update({what: count for (what, _), count in life.asked.items()})
        edits = sum(operator.edits for operator in self._operators)
        there = sum(operator.shape is not None for operator in self._operators)
        moves = sum(operator.moves for operator in self._operators)
        refused = sum((operator.refused for operator in self._operators), Counter[str]())
        return (
            f"{edits} edits acknowledged, {self._endpoint.cut_off} attempts cut off,"
            f" refused: {_listed(refused)}; {len(lives)} deployments made ({there} there now),"
            f" {sum(life.updates for life in lives)} updated ({moves} moved to the other VIM),"
            f" commits on trial: {_listed(self._trier.ended)}, actions: {_listed(asked)};"
            f" {len(self._ear.heard)} events heard in {self._ear.sessions} sessions"
        )

    def last_words(self) -> str:
        return self._daemon.tail(40) if self._daemon is not None else ""


def _without_tenant(name: str) -> Callable[[Session], Awaitable[None]]:
    return lambda session: session.edit(without_tenant(name))


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {what}" for what, count in sorted(counts.items())) or "none"


async def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[1])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--worlds", type=int, default=1)
    parser.add_argument("--deployments", type=int, default=20, help="in each world")
    parser.add_argument("--faults", choices=tuple(FAULTS), default="all")
    parser.add_argument("--seed", type=int, default=1, help="that of the first world")
    options = parser.parse_args()
    began = time.monotonic()
    preload()
    cuts = Cuts()
    seeds = range(options.seed, options.seed + options.worlds)
    campaigns = [Campaign(seed, options, cuts) for seed in seeds]
    async with asyncio.TaskGroup() as side_by_side:
        for campaign in campaigns:
            side_by_side.create_task(_one(campaign))
    took = time.monotonic() - began
    start = statistics.median(start for campaign in campaigns for start in campaign.starts)
    deaths = sum((campaign.deaths for campaign in campaigns), Counter[str]())
    for kind, number in sorted(deaths.items()):
        print(f"{number:4} {kind}")
    print(*cuts.lines(), sep="\n")
    for campaign in campaigns:
        print(f"{campaign.seed}: {campaign.summary}")
    print(f"{deaths.total()} kills in {took:.0f} s; start until it serves: {start:.2f} s (median)")
    return _verdict(campaigns)


async def _one(campaign: Campaign) -> None:
    try:
        await campaign.run()
    except BaseException:
        print(campaign.last_words(), file=sys.stderr)
        raise
    finally:
        await campaign.end()
        if campaign.summary and not campaign.findings:
            shutil.rmtree(campaign.folder, ignore_errors=True)


def _verdict(campaigns: Iterable[Campaign]) -> int:
    """Print what was found; return the exit code."""
    found = 0
    for campaign in campaigns:
        for finding in campaign.findings:
            print(f"VIOLATION, seed {campaign.seed}: {' '.join(finding.split())}")
        if campaign.findings:
            print(f"{len(campaign.findings)} violations; logs in {campaign.folder}")
        found += len(campaign.findings)
    if not found:
        print("nothing lost, nothing doubled, nothing out of order, nothing left behind")
    return 1 if found else 0


if __name__ == "__main__":
    try:
        sys.exit(run(main()))
    except (Refusal, ExceptionGroup) as error:
        print(f"VIOLATION: {error!r}", file=sys.stderr)
        raise
