"""One life of the daemon: from a start on what was stored last to its end, or to a kill."""

import asyncio
import contextvars
from collections.abc import Coroutine, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random
from typing import TYPE_CHECKING, Any, Final

from esc_daemon.datamodel.datastore import Datastore, PendingEdit
from esc_daemon.datamodel.entries import Entry, EntryPath
from esc_daemon.domain.errors import Refused
from esc_daemon.domain.events import Stream
from esc_daemon.domain.ids import Key, Kind, TenantName
from esc_daemon.domain.record import DeploymentRecord
from esc_daemon.engine.broadcast import Listener
from esc_daemon.engine.clock import Clock
from esc_daemon.engine.edit import Edit
from esc_daemon.engine.engine import Engine
from esc_daemon.engine.uploads import Uploads
from esc_daemon.monitor.monitor import Monitor
from esc_daemon.netconf.edit import DefaultOperation
from esc_daemon.northbound.configuration import Configuration
from esc_daemon.northbound.editing import edit_of as paper_edit
from esc_daemon.store.base import Entry as StoredEntry
from esc_daemon.store.base import StoreError
from tests.connectors import vims_of
from tests.simulation.day_zero import LossyShelf
from tests.simulation.disk import BEGAN, FlakyStore
from tests.simulation.homes import FIRST
from tests.simulation.loop import INCARNATION, Incarnation
from tests.simulation.papers import config_of, intents_in, new_datastore
from tests.simulation.pictures import LossyGallery
from tests.simulation.probes import Probes
from tests.simulation.rights import USER, access
from tests.simulation.sessions import Client, Sessions
from tests.simulation.trials import REFUSED
from tests.simulation.wishes import edit_of, text_of

if TYPE_CHECKING:
    from tests.simulation.world import World

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
        self.datastore: Datastore | None = None
        self.configuration: Configuration | None = None
        """Where edits go, if they do not go to the engine at once."""
        self.sessions: Sessions | None = None
        """What stands before it."""
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
        now = Clock(loop, BEGAN + timedelta(seconds=loop.time()) + world.ahead).now
        self.store = FlakyStore.from_image(self.image, on_synced=world.synced)
        self.store.trouble = world.disk_trouble
        self.store.order, self.store.homes = world.order, world.homes
        self.store.lives, self.store.kinds = world.lives, world.kinds
        self.store.acts, self.store.scripts = world.acts, world.scripts
        self.store.operator = world.operator
        found = [record async for record in self.store.load()]
        world.homes.begin(found)
        world.kinds.begin(found)
        world.acts.begin(found)
        world.operator.begin()
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
            hooks=world.scripts,
            uploads=Uploads(LossyGallery(lambda: world.weather, Random(f"gallery {world.seed}"))),
            policy=world.policy,
            reachable=world.outage.sees if world.outage else None,
            new_id=world.new_id,
            last_event=await self.store.last_event(),
        )
        self.listener = self.engine.broadcast.listen()
        world.missed(
            await self.store.events(after=world.heard, limit=100_000, stream=Stream.ESC_EVENT)
        )
        if world.by_configuration:
            await self._configured(self.engine, self.store)
        else:
            await self.engine.restore(lambda: replace(edit_of(FIRST), told=False))
        self.run(self._hear())

    async def _configured(self, engine: Engine, store: FlakyStore) -> None:
        """Stand the datastores before the engine, as the daemon does."""
        datastore = self.datastore = new_datastore()
        datastore.load(map(_entry, await store.entries()))

        def first() -> Edit:
            pending = datastore.edit(config_of(FIRST), DefaultOperation.NONE)
            return replace(paper_edit(pending, lambda: _commit(datastore, pending)), told=False)

        await engine.restore(first)
        judge = access()
        self.configuration = Configuration(datastore=datastore, engine=engine, access=judge)
        await self.configuration.take_back(await store.undo())
        self.sessions = Sessions(
            datastore=datastore,
            engine=engine,
            store=store,
            configuration=self.configuration,
            access=judge,
            on_trial=self.world.trials.waiting,
        )
        self.world.sessions.append(self.sessions)

    async def said(self) -> Mapping[Key, Any]:
        """Return what get-config tells of the configuration, in the words of `word_of`."""
        assert self.store is not None
        if self.datastore is not None:
            return intents_in(self.datastore)
        found = await self.run(self.store.entries())
        return {
            Key(Kind(kind), TenantName(tenant) if tenant else None, name): entry.xml
            for entry in found
            for kind, tenant, name in (entry.path,)
        }

    def word_of(self, intent: Any) -> Any:
        """Return what `said` has for *intent*."""
        return intent if self.datastore is not None else text_of(intent)

    async def edit(self, edit: Mapping[Key, Any], client: Client | None = None) -> bool:
        """Send an edit-config, through *client* or any session; tell whether it was taken."""
        assert self.engine is not None
        rights = self.world.rights
        user = USER
        try:
            if self.sessions is not None:
                user = client.user if client else rights.any_user()
                await (client or await self.sessions.free(user)).edit(edit)
            else:
                await self.engine.apply(edit_of(edit))
        except (Refused, StoreError, *REFUSED) as error:
            rights.refused(user, edit, error)
            return False
        rights.taken(user, edit)
        return True

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
        if self.configuration is not None and self.sessions is not None:
            await self.run(self.sessions.stop())
            await self.run(self.configuration.close())
        await self.run(self.engine.close())
        await self.run(self.store.close())
        self.world.loop.bury(self.mark)


def _entry(stored: StoredEntry) -> Entry:
    kind, tenant, name = stored.path
    path = EntryPath(Kind(kind), tenant or None, name)
    return Entry(path=path, xml=stored.xml.encode(), revision=stored.revision)


def _commit(datastore: Datastore, pending: PendingEdit) -> None:
    datastore.commit(pending)
