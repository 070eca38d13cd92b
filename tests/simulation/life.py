"""One life of the daemon: from a start on what was stored last to its end, or to a kill."""

import asyncio
import contextvars
from collections.abc import Coroutine
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import TYPE_CHECKING, Any, Final

from esc_daemon.domain.events import Stream
from esc_daemon.domain.record import DeploymentRecord
from esc_daemon.engine.broadcast import Listener
from esc_daemon.engine.clock import Clock
from esc_daemon.engine.engine import Engine
from esc_daemon.monitor.monitor import Monitor
from tests.connectors import vims_of
from tests.simulation.day_zero import LossyShelf
from tests.simulation.disk import FlakyStore
from tests.simulation.homes import FIRST
from tests.simulation.loop import INCARNATION, Incarnation
from tests.simulation.probes import Probes
from tests.simulation.wishes import edit_of

if TYPE_CHECKING:
    from tests.simulation.world import World

BEGAN: Final = datetime(2026, 1, 1, tzinfo=UTC)
CALL_TIMEOUT: Final = 10.0


class Life:
    """One incarnation of the daemon: its engine and store, in a context that can die."""

    def __init__(self, world: "World", image: bytes | None) -> None:
        self.world = world
        self.number = len(world.graveyard)
        self.mark = Incarnation()
        self.context = contextvars.copy_context()
        self.context.run(INCARNATION.set, self.mark)
        self.image = image
        self.engine: Engine | None = None
        self.store: FlakyStore | None = None
        self.listener: Listener | None = None
        self.tasks: list[asyncio.Task[Any]] = []

    @property
    def now(self) -> datetime:
        """The moment by this daemon's clock."""
        seconds = asyncio.get_running_loop().time()
        return BEGAN + timedelta(seconds=seconds) + self.world.ahead

    def run(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work, context=self.context)
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        self.tasks.append(task)
        return task

    async def start(self) -> None:
        world = self.world
        loop = asyncio.get_running_loop()
        ahead = world.ahead
        now = Clock(loop, BEGAN + timedelta(seconds=loop.time()) + ahead).now
        self.store = FlakyStore.from_image(self.image, on_synced=world.synced)
        self.store.trouble = world.disk_trouble
        self.store.order, self.store.homes = world.order, world.homes
        self.store.lives, self.store.ahead = world.lives, ahead
        self.store.kinds = world.kinds
        found = [record async for record in self.store.load()]
        world.homes.begin(found)
        world.kinds.begin(found)
        world.lives.note(found)
        vims = vims_of(world.clouds.vims, call_timeout=CALL_TIMEOUT)
        probes = self.store.probes = Probes(vims, Random(f"probes {world.seed} {self.number}"))
        for record in found:
            if isinstance(record, DeploymentRecord):
                probes.await_(record, loop.time())
        world.probes.append(probes)
        self.engine = Engine(
            store=self.store,
            vims=vims,
            now=now,
            monitor=lambda crossed: Monitor(probes.select, probes.hears(crossed)),
            day_zero=LossyShelf(lambda: world.weather, Random(f"shelf {world.seed}")),
            policy=world.policy,
            new_id=world.new_id,
            last_event=await self.store.last_event(),
        )
        self.listener = self.engine.broadcast.listen()
        world.missed(
            await self.store.events(after=world.heard, limit=100_000, stream=Stream.ESC_EVENT)
        )
        await self.engine.restore(lambda: replace(edit_of(FIRST), told=False))
        self.run(self._hear())

    async def _hear(self) -> None:
        assert self.listener is not None
        while True:
            for event in await self.listener.batch():
                self.world.hear(event)

    def kill(self) -> None:
        self.world.loop.bury(self.mark)
        if self.store is not None:
            self.store.kill()
        self.world.graveyard.append(self)

    async def end(self) -> None:
        """Stop as a daemon does that is asked to."""
        assert self.engine is not None
        assert self.store is not None
        await self.run(self.engine.close())
        await self.run(self.store.close())
        self.world.loop.bury(self.mark)
