"""A whole daemon and its VIM in one loop on virtual time: all but SSH, killed and started anew."""

import asyncio
import contextvars
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from random import Random
from typing import Any, Final, cast
from uuid import UUID

from asyncssh import SSHServerChannel
from prometheus_client import CollectorRegistry

from esc_daemon.app.netconf import configuration_of, services_of
from esc_daemon.datamodel.entries import Entry, EntryPath
from esc_daemon.domain.ids import Kind, RecordId, VimId
from esc_daemon.domain.policy import GuardPolicy, Policy
from esc_daemon.domain.record import ConnectorRecord
from esc_daemon.engine.clock import Clock
from esc_daemon.engine.engine import Engine
from esc_daemon.engine.vims import Vims
from esc_daemon.monitor.base import select
from esc_daemon.monitor.catalogue import Catalogue
from esc_daemon.monitor.collectors.simulated import SimulatedGuests
from esc_daemon.monitor.collectors.vim import VimMetrics
from esc_daemon.monitor.monitor import Monitor
from esc_daemon.netconf.xml import name_of
from esc_daemon.northbound.first_connector import first_connector
from esc_daemon.northbound.http.metrics import NetconfMetrics
from esc_daemon.northbound.management import Manager
from esc_daemon.northbound.ssh import rpcs
from esc_daemon.northbound.ssh.channel import NetconfChannel
from esc_daemon.northbound.ssh.notifications import FramedNotifications
from esc_daemon.settings import LimitSettings, NetconfProfile, Settings
from esc_daemon.vim.simulator.cloud import Cloud
from esc_daemon.vim.simulator.connector import TYPE as SIMULATOR
from esc_daemon.vim.simulator.connector import SimulatorType
from esc_daemon.vim.simulator.control import CloudView, Control
from esc_daemon.vim.simulator.driver import SimulatorDriver
from esc_daemon.vim.simulator.faults import Rule
from esc_daemon.vim.simulator.settings import CloudSettings
from tests.access_control import open_to_all
from tests.dayzero.shelf import Shelf
from tests.model.peer import PATIENCE_SECONDS, Peer, Pipe
from tests.simulation.disk import SharedStore
from tests.simulation.goals import at_rest
from tests.simulation.loop import INCARNATION, Incarnation, SimulationLoop
from tests.simulation.papers import new_datastore, schema

BEGAN: Final = datetime(2020, 1, 1, tzinfo=UTC)
"""Before any real moment: a replay may be asked for from here on."""
CALL_TIMEOUT: Final = 10.0
LONGEST_STORY: Final = 4 * 3600
"""Virtual seconds after which what has not come to rest never will."""
QUIET: Final = 3
"""Looks in a row that find everything at rest."""
POLICY: Final = Policy(
    give_up_after=timedelta(seconds=120),
    first_pause=timedelta(seconds=1),
    longest_pause=timedelta(seconds=20),
    removal_tries=3,
    leftover_pause=timedelta(seconds=60),
    settle=timedelta(seconds=20),
    drift_pause=timedelta(seconds=10),
    scaling_pause=timedelta(seconds=5),
    guard=GuardPolicy(on=False),
)
_SETTINGS: Final = Settings.model_construct(
    limits=LimitSettings(), netconf_profile=NetconfProfile.STANDARD
)
assert rpcs.HANDLERS


class NeverAtRestError(AssertionError):
    """Something goes on for ever."""


class _InOrder(Random):
    """What is ready runs in the order in which it became so."""

    def shuffle(self, x: Any) -> None:
        pass

    def uniform(self, a: float, b: float) -> float:
        return (a + b) / 2


class _Outliving(SimulatorDriver):
    """Requests that were sent arrive, whoever has died meanwhile."""

    world: contextvars.Context

    async def _ask(self, *words: Any, **more: Any) -> Any:
        sent = self.world.run(asyncio.ensure_future, super()._ask(*words, **more))
        sent.add_done_callback(_looked_at, context=self.world)
        return await asyncio.shield(sent)


def _looked_at(done: "asyncio.Future[Any]") -> None:
    if not done.cancelled():
        done.exception()


class _Life:
    """One incarnation of the daemon, from its start on what was stored last."""

    def __init__(self, around: "OneLoop", image: bytes | None) -> None:
        self._around = around
        self.mark = Incarnation()
        self.context = contextvars.copy_context()
        self.context.run(INCARNATION.set, self.mark)
        self.store = self.context.run(SharedStore.from_image, image, on_synced=around.synced)
        self.datastore = new_datastore()
        self.engine: Engine | None = None
        self.peers: list[Peer] = []
        self._stack = AsyncExitStack()
        self._channels: list[NetconfChannel] = []

    async def start(self) -> None:
        """Build it in the order of `app.daemon`."""
        loop = asyncio.get_running_loop()
        self.datastore.load(map(_entry, await self.store.entries()))
        simulators = SimulatorType(self._around.driver, timeout_seconds=CALL_TIMEOUT)
        vims = Vims({SIMULATOR: simulators}, call_timeout=CALL_TIMEOUT)
        self.engine = engine = Engine(
            store=self.store,
            vims=vims,
            now=Clock(loop, BEGAN + timedelta(seconds=loop.time())).now,
            monitor=partial(
                Monitor,
                select(
                    VimMetrics(vims.metrics, Catalogue()),
                    SimulatedGuests(vims.guests, at_hand=vims.guests_at_hand),
                ),
            ),
            day_zero=Shelf(),
            policy=POLICY,
            new_id=self._around.new_id,
            last_event=await self.store.last_event(),
        )
        await engine.restore(partial(first_connector, self.datastore, SIMULATOR))
        access = open_to_all(schema())
        changing = await configuration_of(
            self._stack, self.datastore, engine, access, await self.store.undo(), 3600
        )
        manager = partial(
            Manager,
            schema=schema(),
            datastore=self.datastore,
            candidate=changing.candidate,
            engine=engine,
            store=self.store,
            access=access,
        )
        metrics = NetconfMetrics(CollectorRegistry())
        self._services = services_of(
            _SETTINGS, metrics, schema(), manager, changing, access, self.store
        )
        self._framed = FramedNotifications()

    def connect(self) -> Peer:
        """Open a session; what the peer sends arrives a turn of the loop later, and here."""
        loop = asyncio.get_running_loop()
        channel = NetconfChannel(
            user="admin",
            peer="127.0.0.1",
            services=self._services,
            framed=self._framed,
            closed=lambda: None,
        )

        sent: deque[bytes] = deque()

        def arrive() -> None:
            channel.data_received(sent.popleft(), None)

        def send(data: bytes) -> None:
            sent.append(data)
            loop.call_soon(arrive, context=self.context)

        peer = Peer(send)
        pipe = cast("SSHServerChannel[bytes]", Pipe(peer.received, peer.lost))
        self.context.run(channel.connection_made, pipe)
        assert self.context.run(channel.subsystem_requested, "netconf")
        self.context.run(channel.session_started)
        self._channels.append(channel)
        self.peers.append(peer)
        return peer

    async def end(self) -> None:
        """Stop as a daemon does that is asked to."""
        assert self.engine is not None
        for channel in self._channels:
            await channel.stop()
        await self._stack.aclose()
        await self.engine.close()
        await self.store.close()


@dataclass(kw_only=True, frozen=True)
class State:
    """The daemon and its VIM at one moment; *rests*: nothing is under way."""

    rests: bool
    moment: float
    records: dict[Any, Any]
    entries: dict[Any, bytes]
    rows: dict[str, str]
    told: int


class OneLoop:
    """The daemon, its VIM and the time around them, for one who waits for each answer."""

    def __init__(self, seed: int, settings: CloudSettings) -> None:
        """*seed* decides in which order ready tasks run; 0: in which they became ready."""
        self._loop = SimulationLoop(seed)
        if seed == 0:
            self._loop.random = _InOrder()
        self._problems: list[dict[str, Any]] = []
        self._loop.set_exception_handler(lambda _, context: self._problems.append(context))
        self.cloud = Cloud(settings)
        self.cloud.offset = BEGAN.timestamp()
        self.control = Control(self.cloud)
        self._world = contextvars.copy_context()
        self._image: bytes | None = None
        self._ids = Random(seed)
        self._dead: list[_Life] = []
        self._life = _Life(self, None)
        self.start()

    # ---- for a life

    def driver(self, vim: VimId) -> SimulatorDriver:
        driver = _Outliving(self.cloud, vim=vim)
        driver.world = self._world
        return driver

    def new_id(self) -> RecordId:
        return RecordId(str(UUID(int=self._ids.getrandbits(128), version=4)))

    def synced(self, image: bytes) -> None:
        self._image = image

    # ---- the daemon

    def start(self) -> None:
        """Start the daemon with two sessions, the second of which hears all that was ever told."""
        life = self._life
        self._do(life.start(), life)
        self._do(self._greet(life))

    async def _greet(self, life: _Life) -> None:
        asking, hearing = life.connect(), life.connect()
        await asking.greeted()
        await hearing.greeted()
        reply = await hearing.ask(subscription(BEGAN))
        assert name_of(reply[0])[1] == "ok", reply
        async with asyncio.timeout(PATIENCE_SECONDS):
            await hearing.replayed.wait()

    def kill(self) -> None:
        """Let nothing of the daemon run any more, and start it on what was stored last."""
        dead = self._life
        self._loop.bury(dead.mark)
        dead.store.kill()
        for peer in dead.peers:
            peer.lost()
        self._dead.append(dead)
        self._life = _Life(self, self._image)
        self.start()

    def ask(self, operation: str) -> Any:
        """Return the rpc-reply."""
        return self._do(self._life.peers[0].ask(operation))

    def ask_and_kill(self, operation: str, turns: int) -> Any:
        """Kill the daemon *turns* turns of the loop after the request; return the reply or None."""

        async def some_turns() -> Any:
            answer = self._life.peers[0].post(operation)
            for _ in range(turns):
                await asyncio.sleep(0)
            return answer

        answer = self._do(some_turns())
        self.kill()
        return None if answer.exception() else answer.result()

    def told(self) -> list[Any]:
        """Return the events, each with its moment; this life's began with all that were told."""
        return self._life.peers[1].told

    # ---- time

    def wait(self, seconds: float) -> None:
        self._do(asyncio.sleep(seconds))

    def rest(self) -> None:
        """Let time pass until nothing is under way."""
        self._do(self._rest())

    async def _rest(self) -> None:
        quiet = 0
        for _ in range(LONGEST_STORY):
            await asyncio.sleep(1)
            quiet = quiet + 1 if self._rests() else 0
            if quiet == QUIET:
                return
        there = {str(each.key): each for each in self._engine.records()}
        raise NeverAtRestError(f"still under way after {LONGEST_STORY} s: {there}")

    def _rests(self) -> bool:
        engine = self._engine
        waits = any(
            vm.deadline or vm.attempt
            for record in engine.records()
            for vm in getattr(record, "vms", {}).values()
        )
        return not waits and engine.at_rest and at_rest(engine.records())

    @property
    def _engine(self) -> Engine:
        assert self._life.engine is not None
        return self._life.engine

    # ---- the VIM, as its operator has it in hand

    def look(self) -> CloudView:
        return self._do(_later(self.control.look))

    def act(self, kind: str, id_: str, action: str) -> None:
        self._do(_later(lambda: self.control.act(kind, id_, action)))

    def play(self, rules: tuple[Rule, ...]) -> None:
        """Let what goes wrong from now on be *rules*."""
        self.cloud.faults.replace(rules)

    # ---- whether anything changed

    def state(self) -> "State":
        """Return all that a refused request must leave as it is."""
        return self._do(self._state())

    async def _state(self) -> "State":
        for _ in range(10_000):
            if not self._loop._ready:
                break
            await asyncio.sleep(0)  # what is ready now has nothing to do with the request
        records = self._engine.records()
        return State(
            rests=self._rests(),
            moment=self._loop.time(),
            records={each.key: each for each in records if not isinstance(each, ConnectorRecord)},
            entries={each.path: each.xml for each in self._life.datastore.entries()},
            rows={row.id: repr(row) for row in self.cloud.rows() if row.id != "counters"},
            told=len(self.told()),
        )

    def changed(self, before: "State") -> list[str]:
        """
        Return what is not as it was *before* a request.

        If time went by and something was under way, that alone may have moved the rest.
        """
        after = self.state()
        names = ["entries"]
        if before.rests or before.moment == after.moment:
            names += ["records", "rows", "told"]
        return [name for name in names if getattr(before, name) != getattr(after, name)]

    # ---- the end

    def end(self) -> None:
        """Stop the daemon; whatever nobody handled is an error."""
        try:
            self._do(self._life.end(), self._life)
        finally:
            self.close()
        serious = [each for each in self._problems if not (self._dead and _of_the_dead(each))]
        assert not serious, serious

    def close(self) -> None:
        loop = self._loop
        if loop.is_closed():
            return
        for task in asyncio.all_tasks(loop):
            task._log_destroy_pending = False  # type: ignore[attr-defined]  # not in its stubs
            with suppress(RuntimeError):  # a dead daemon's clean-up that wants to wait
                task.get_coro().close()
        loop.close()

    def _do(self, work: Coroutine[Any, Any, Any], life: _Life | None = None) -> Any:
        asyncio.set_event_loop(self._loop)
        try:
            context = life.context if life else self._world
            task = self._loop.create_task(work, context=context)
            return self._loop.run_until_complete(task)
        finally:
            asyncio.set_event_loop(None)


async def _later(work: Callable[[], Any]) -> Any:
    return work()


def subscription(since: datetime) -> str:
    return (
        '<create-subscription xmlns="urn:ietf:params:xml:ns:netconf:notification:1.0">'
        f"<startTime>{since.isoformat()}</startTime></create-subscription>"
    )


def _entry(stored: Any) -> Entry:
    kind, tenant, name = stored.path
    path = EntryPath(Kind(kind), tenant or None, name)
    return Entry(path=path, xml=stored.xml.encode(), revision=stored.revision)


def _of_the_dead(context: dict[str, Any]) -> bool:
    """A task that died with its daemon is garbage, and so is what it would have looked at."""
    message = str(context.get("message"))
    return "was destroyed but it is pending" in message or "never retrieved" in message
