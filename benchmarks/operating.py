"""The clients of the chaos campaign: each deploys, changes, switches, undeploys a deployment."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from client import Refusal, Session, SessionLost, connected
from image_server import VERSIONS, digest
from lxml import etree
from payloads import NAMESPACE, deletion, image, inside, tenant_volume, without_image
from shapes import ESC, IMAGE, LICENCE, Shape, another, any_shape, only_adds, shape_of

TENANTS = 4
RETRY_SECONDS = 0.1
HOPELESS = ("leaves nothing to be done", "action_on_recovery is REBOOT_ONLY")
"""A recovery that waits for the operator and that its policy does not let him ask for."""
NOT_NOW = ("nothing can be made in VIM connector", "is still being removed from VIM")
"""
A check whose answer was lost: nothing is made there for the moment. Or the last deployment of that
name had its network in the other VIM.
"""
PATIENCE = (1, 12)
"""How often an update is asked for while another thing goes on."""
BUSY = ("<error-tag>in-use</error-tag>",)
OF_ACTIONS = (
    *BUSY,
    "<error-tag>operation-failed</error-tag>",  # not in its state
    "<error-tag>data-missing</error-tag>",  # the VM has gone
)


class Endpoint:
    """Where the daemon of the moment serves; it has another port after each kill."""

    def __init__(self, folder: Path) -> None:
        self._data_dir = folder / "data"
        self._serving = asyncio.Event()
        self._port = 0
        self.gallery = 0
        """The port at which images are had."""
        self.starts = 0
        """How often a daemon came to serve."""
        self.acknowledged = asyncio.Event()
        self.cut_off = 0

    def up(self, port: int) -> None:
        self._port = port
        self.starts += 1
        self._serving.set()

    def down(self) -> None:
        self._serving.clear()

    async def attempt(self, work: Callable[[Session], Awaitable[None]]) -> bool:
        """Do *work* on a fresh session; False where that was cut off, and who knows when."""
        await self._serving.wait()
        try:
            async with connected(self._port, self._data_dir) as session:
                await work(session)
        except (SessionLost, TimeoutError):
            pass
        except Refusal as refusal:
            if not any(each in str(refusal) for each in NOT_NOW):
                raise
        else:
            return True
        self.cut_off += 1
        await asyncio.sleep(RETRY_SECONDS)
        return False

    async def insist(self, work: Callable[[Session], Awaitable[None]]) -> None:
        """Do *work* on fresh sessions until it is done once."""
        while not await self.attempt(work):
            pass


Doing = tuple[str, str]
"""What is asked (STOP, START, REBOOT, ..., RECOVER), and of which VM; empty: of the service."""


@dataclass(kw_only=True, slots=True)
class Life:
    """What one incarnation was asked for: acknowledged, or cut off so that nobody knows."""

    id: str = ""
    """Its depid, once anything was taken that only one that stands takes."""
    updates: int = 0
    perhaps_updates: int = 0
    """Of commits on trial that nobody answered: these, and their ways back."""
    asked: Counter[Doing] = field(default_factory=Counter)
    perhaps: Counter[Doing] = field(default_factory=Counter)
    lost: Counter[tuple[str, str]] = field(default_factory=Counter)
    """How often updates took a volume from the VMs of a group."""
    last: dict[str, str] = field(default_factory=dict)
    """What was acknowledged last of each VM and of the service: an undeploy may interrupt it."""


class Operator:
    """Has one deployment, or none, until it is told to come to rest."""

    def __init__(self, number: int, seed: int, endpoint: Endpoint) -> None:
        self._random = Random(f"{seed} {number}")
        self._endpoint = endpoint
        self.tenant = f"tenant-{number % TENANTS}"
        self.name = f"dep-{number:03}"
        self.licence = LICENCE + self.name
        """The volume of the tenant that comes and goes with the deployment."""
        self.image = IMAGE + self.name
        self.file = ""
        """The image that comes and goes with it, and what that was made of last."""
        self.shape: Shape | None = None
        """What was acknowledged last, and whatever else stands in running."""
        self.lives: list[Life] = []
        self.doubtful = 0
        """Lives that may have been besides: by commits on trial that nobody answered."""
        self.edits = 0
        self.moves = 0
        self.refused: Counter[str] = Counter()
        self.hopeless: set[str] = set()
        """VMs of which a recovery was asked for in vain."""
        self.faults: list[str] = []

    async def run(self, resting: asyncio.Event) -> None:
        """Do one thing after the other; at rest some are deployed and some are not."""
        while not resting.is_set():
            await self._any_thing()
            # Short waits interrupt what is under way, long ones let it come to its end.
            pause = self._random.choice((0.0, 1.0, 3.0, 8.0)) * self._random.random()
            with suppress(TimeoutError):
                await asyncio.wait_for(resting.wait(), pause)

    async def _any_thing(self) -> None:
        if self.shape is None:
            await self._deploy(any_shape(self.name, self._random))
            return
        roll = self._random.random()
        if roll < 0.08:
            await self.undeploy()
        elif roll < 0.5:
            for _ in range(self._random.choice(PATIENCE)):
                if await self._update(self.shape, another(self.shape, self._random)):
                    break
        else:
            await self._act()

    async def _deploy(self, shape: Shape) -> None:
        self.file = self._any_file()
        await self._insist(self._with(shape.xml()))
        self.shape = shape
        self.lives.append(Life())

    async def undeploy(self) -> None:
        if self.shape is not None:
            await self._insist(self._without())
            self.shape = None

    def _any_file(self) -> str:
        """Return the name of a file that its image may be made of."""
        return f"{self.image}-{self._random.randrange(VERSIONS)}"

    def _with(self, deployment: str) -> str:
        """Return the configuration around *deployment*, with what comes with it."""
        src = f"http://127.0.0.1:{self._endpoint.gallery}/{self.file}"
        return inside(
            self.tenant,
            deployment,
            volumes=tenant_volume(self.licence),
            images=image(self.image, src, digest(self.file)),
        )

    def _without(self) -> str:
        """Return the removal of its deployment, with what came with it."""
        return inside(
            self.tenant,
            deletion(self.name),
            volumes=tenant_volume(self.licence, "remove"),
            images=without_image(self.image),
        )

    async def _insist(self, config: str) -> None:
        await self._endpoint.insist(lambda session: session.edit(config))
        self._acknowledge()

    def _acknowledge(self) -> None:
        self.edits += 1
        self._endpoint.acknowledged.set()

    async def _update(self, before: Shape, after: Shape) -> bool:
        """
        Ask for *after* until that is answered, and tell whether it was taken.

        It may be refused while something goes on.
        """
        operation = "merge" if only_adds(before, after) else "replace"
        config = inside(self.tenant, after.xml(operation))
        in_doubt = False
        try:
            while not await self._endpoint.attempt(lambda session: session.edit(config)):
                in_doubt = True
        except Refusal as refusal:
            await self._expect(refusal, BUSY, "move" if before.moves_to(after) else "update")
            found = await self._running() if in_doubt else before
        else:
            self._acknowledge()
            found = after
        if found not in (before, after):
            self.faults.append(f"{self.name}: expected {before} or {after}, found {found}")
        if found != before:
            self.lives[-1].updates += 1
            if found is not None:
                self.moves += before.moves_to(found)
                self.lives[-1].lost.update(before.without(found))
            await self._learn_the_id()
        self.shape = found
        return found != before

    async def _running(self) -> Shape | None:
        """Return the shape that stands in running."""
        entries = await self.look("get_config", f"deployment[name='{self.name}']")
        return shape_of(entries[0]) if entries else None

    async def look(self, how: str, entry: str) -> list[etree._Element]:
        """Return the elements of an *entry* among the deployments of running (or of opdata)."""
        state = "" if how == "get_config" else "opdata/"
        where = f"esc_datamodel/{state}tenants/tenant[name='{self.tenant}']/"
        where += f"deployments/{entry}" if how == "get_config" else entry
        replies: list[bytes] = []

        async def read(session: Session) -> None:
            replies.append(await getattr(session, how)(where))

        await self._endpoint.insist(read)
        tag = entry.partition("[")[0]
        return etree.fromstring(replies[-1]).findall(f".//{ESC}tenant//{ESC}{tag}")

    async def _act(self) -> None:
        """Ask for one action, of the service or of a VM of it, once."""
        life = self.lives[-1]
        found = await self.look("get", f"deployments[deployment_name='{self.name}']")
        machines = found[0].findall(f".//{ESC}vm_state_machine") if found else []
        states = {
            machine.findtext(f"{ESC}vm_name", ""): machine.findtext(f"{ESC}state", "")
            for machine in machines
        }
        if not states:
            return
        vm = self._random.choice(sorted(states)) if self._random.random() < 0.6 else ""
        state = states[vm] if vm else found[0].findtext(f"{ESC}state_machine/{ESC}state", "")
        what = self._any_action(state, of_a_vm=bool(vm))
        try:
            done = await self._endpoint.attempt(_asking(what, vm, self.tenant, self.name))
        except Refusal as refusal:
            await self._expect(refusal, OF_ACTIONS, what)
            return
        (life.asked if done else life.perhaps)[what, vm] += 1
        if done:
            life.last[vm] = what
            self._endpoint.acknowledged.set()
            await self._learn_the_id()

    async def recover(self, vm: str) -> None:
        """Recover a VM that waits for it, unless something else goes on, or nothing can be done."""
        try:
            done = await self._endpoint.attempt(_asking("RECOVER", vm, self.tenant, self.name))
        except Refusal as refusal:
            if any(each in str(refusal) for each in HOPELESS):
                self.hopeless.add(vm)
            await self._expect(refusal, OF_ACTIONS, "RECOVER")
            return
        life = self.lives[-1]
        (life.asked if done else life.perhaps)["RECOVER", vm] += 1

    async def _learn_the_id(self) -> None:
        """Ask which incarnation it was that took something: the one that stands."""
        life = self.lives[-1]
        if not life.id:
            [found] = await self.look("get", f"deployments[deployment_name='{self.name}']")
            life.id = found.findtext(f"{ESC}deployment_id", "")

    def _any_action(self, state: str, *, of_a_vm: bool) -> str:
        """Return what is asked of a service or a VM in *state*: mostly what is taken there."""
        if state in ("SERVICE_STOPPED_STATE", "VM_SHUTOFF_STATE"):
            return "START" if self._random.random() < 0.9 else "STOP"
        if state == "VM_MONITOR_DISABLED_STATE" and self._random.random() < 0.7:
            return "ENABLE_MONITOR"
        actions = ["STOP", "REBOOT", "DISABLE_MONITOR", "ENABLE_MONITOR"]
        return self._random.choice([*actions, "RECOVER", "START"] if of_a_vm else actions)

    async def _expect(self, refusal: Refusal, tags: tuple[str, ...], what: str) -> None:
        """A refusal for what goes on is none of our concern; others are findings."""
        if not any(tag in str(refusal) for tag in tags):
            self.faults.append(f"{self.name}: {what}: expected one of {tags}, found {refusal}")
        self.refused[what] += 1
        await asyncio.sleep(self._random.uniform(0, 2))


def _asking(
    what: str, vm: str, tenant: str, deployment: str
) -> Callable[[Session], Awaitable[None]]:
    if what == "RECOVER":
        rpc, body = "recoveryVmAction", f"<actionType>DO</actionType><vmName>{vm}</vmName>"
    elif vm:
        rpc = "vmAction"
        body = f"<actionType>{what}</actionType><vmName>{vm}</vmName><force>true</force>"
    else:
        rpc = "serviceAction"
        body = (
            f"<actionType>{what}</actionType><tenantName>{tenant}</tenantName>"
            f"<depName>{deployment}</depName>"
        )

    async def ask(session: Session) -> None:
        await session.rpc(f'<{rpc} xmlns="{NAMESPACE}">{body}</{rpc}>')

    return ask
