"""A VIM that waits for the test, and an engine on a store that can fail."""

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

from esc_daemon.dayzero.base import DayZeroReader
from esc_daemon.domain.commands import Watch
from esc_daemon.domain.events import Stream
from esc_daemon.domain.ids import Key, RecordId, ServerKey, VmId
from esc_daemon.domain.intent import Tenant
from esc_daemon.domain.policy import Policy
from esc_daemon.domain.record import Record
from esc_daemon.domain.specs import Port, ResourceHandle, Server, ServerSpec, VimCheck
from esc_daemon.domain.step import Step
from esc_daemon.engine.clock import Clock
from esc_daemon.engine.engine import Engine
from esc_daemon.engine.guard import Reachable
from esc_daemon.engine.uploads import Uploads
from esc_daemon.monitor.base import Select, select
from esc_daemon.monitor.collectors.simulated import SimulatedGuests
from esc_daemon.monitor.monitor import Monitor, OnCrossing
from esc_daemon.store.base import Entry, EntryChange, LoggedEvent, StoreFull, Undo
from esc_daemon.store.store import SqlStore
from esc_daemon.vim.simulator.cloud import Cloud
from esc_daemon.vim.simulator.driver import SimulatorDriver
from esc_daemon.vim.simulator.settings import CloudSettings
from tests.connectors import known, vims_of
from tests.dayzero.shelf import Shelf
from tests.engine.engine_bench import BEGAN, VIM, record_id

CALL_TIMEOUT = 30.0


class WatchedVim(SimulatorDriver):
    """The simulator, whose checks and verbs about tenants and removals wait at a gate or break."""

    def __init__(self) -> None:
        super().__init__(Cloud(CloudSettings()), vim=VIM)
        self.gate = asyncio.Event()
        self.gate.set()
        self.breaks: Exception | None = None
        self.always: Server | None = None
        """What it answers whichever server it is asked about."""
        self.asked: Counter[str] = Counter()
        self.cut_off: Counter[str] = Counter()

    async def _passed(self, verb: str) -> None:
        self.asked[verb] += 1
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cut_off[verb] += 1
            raise
        if self.breaks is not None:
            raise self.breaks

    async def check(self) -> VimCheck:
        await self._passed("check")
        return await super().check()

    async def ensure_tenant(self, key: Key, want: Tenant) -> ResourceHandle:
        await self._passed("ensure_tenant")
        return await super().ensure_tenant(key, want)

    async def remove_tenant(self, key: Key) -> None:
        await self._passed("remove_tenant")
        await super().remove_tenant(key)

    async def find_server(self, key: ServerKey) -> Server | None:
        await self._passed("find_server")
        return self.always or await super().find_server(key)

    async def ensure_server(
        self, key: ServerKey, want: ServerSpec, ports: tuple[Port, ...]
    ) -> Server:
        return self.always or await super().ensure_server(key, want, ports)


class WatchfulMonitor(Monitor):
    """The monitor, which remembers who was armed."""

    def __init__(self, on_crossing: OnCrossing) -> None:
        super().__init__(select(), on_crossing)
        self.on_crossing = on_crossing
        self.armed: list[Watch] = []
        self.disarmed: list[str] = []

    def arm(self, watch: Watch, *about: Any, **company: Any) -> None:
        self.armed.append(watch)
        super().arm(watch, *about, **company)

    def disarm(self, vm: VmId) -> None:
        self.disarmed.append(vm)
        super().disarm(vm)


class ShakyStore:
    """A real store in memory, which refuses as many commits as the test says."""

    def __init__(self) -> None:
        self.store = SqlStore.from_image()
        self.failing = 0
        self.held = asyncio.Event()
        self.held.set()

    async def commit(
        self,
        steps: Sequence[Step],
        entries: Sequence[EntryChange] = (),
        *,
        time: datetime,
        undo: Sequence[Undo] | None = None,
    ) -> Sequence[LoggedEvent]:
        await self.held.wait()
        if self.failing:
            self.failing -= 1
            raise StoreFull("no room on the disk")
        return await self.store.commit(steps, entries, time=time, undo=undo)

    def load(self) -> AsyncIterator[Record]:
        return self.store.load()

    async def events(
        self, *, after: int, limit: int, stream: Stream, since: datetime | None = None
    ) -> Sequence[LoggedEvent]:
        return await self.store.events(after=after, limit=limit, stream=stream, since=since)

    async def last_event(self) -> int:
        return await self.store.last_event()

    async def entries(self) -> Sequence[Entry]:
        return await self.store.entries()

    async def undo(self) -> Sequence[Undo]:
        return await self.store.undo()

    async def trim(self, *, keep_events: int, before: datetime | None = None) -> int:
        return await self.store.trim(keep_events=keep_events, before=before)

    async def close(self) -> None:
        await self.store.close()


@asynccontextmanager
async def an_engine(
    vim: SimulatorDriver,
    store: ShakyStore,
    policy: Policy | None = None,
    day_zero: DayZeroReader | None = None,
    collectors: Select | None = None,
    *,
    reachable: Reachable | None = None,
    uploads: Uploads | None = None,
    close: bool = True,
    began: datetime = BEGAN,
) -> AsyncIterator[Engine]:
    measuring = collectors or select(SimulatedGuests(lambda _: vim))
    numbers = itertools.count(1)
    engine = Engine(
        store=store,
        vims=vims_of({VIM: vim}, call_timeout=CALL_TIMEOUT),
        now=Clock(asyncio.get_running_loop(), began).now,
        monitor=lambda crossed: Monitor(measuring, crossed),
        day_zero=day_zero or Shelf(),
        policy=policy or Policy(settle=timedelta(seconds=10)),
        reachable=reachable,
        uploads=uploads,
        new_id=lambda: RecordId(record_id(next(numbers))),
    )
    known(engine, VIM)
    try:
        yield engine
    finally:
        await engine.close()
        if close:
            await store.store.close()
