"""One seed: a daemon that dies and comes back, clients, a cloud, and what must always hold."""

import asyncio
import contextvars
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

from esc_daemon.domain.connectors import connector_key
from esc_daemon.domain.errors import Refused
from esc_daemon.domain.events import Stream
from esc_daemon.domain.ids import (
    DeploymentName,
    Key,
    Kind,
    RecordId,
    TenantName,
)
from esc_daemon.domain.intent import Deployment, Resource, Tenant
from esc_daemon.domain.policy import Policy
from esc_daemon.domain.record import DeploymentRecord, ResourceRecord
from esc_daemon.domain.states import ResourceState, ServiceState
from esc_daemon.engine.broadcast import Listener
from esc_daemon.engine.clock import Clock
from esc_daemon.engine.edit import Edit
from esc_daemon.engine.engine import Engine
from esc_daemon.monitor.base import select
from esc_daemon.monitor.collectors.simulated import SimulatedGuests
from esc_daemon.monitor.monitor import Monitor
from esc_daemon.store.base import LoggedEvent, StoreBroken, StoreError, StoreFull
from tests.connectors import connector, vims_of
from tests.simulation import belongings, memory
from tests.simulation.clouds import FAR, NEAR, Clouds
from tests.simulation.day_zero import LossyShelf
from tests.simulation.disk import FlakyStore
from tests.simulation.draws import any_policy, any_rules, any_settings, any_step, any_weather
from tests.simulation.homes import CONNECTOR_KINDS, FIRST, Homes, any_connector_edit
from tests.simulation.kinds import Kinds
from tests.simulation.loop import INCARNATION, Incarnation, SimulationLoop
from tests.simulation.network import CALM, Weather
from tests.simulation.order import Order
from tests.simulation.requests import any_deployment, any_networks_beside, any_resource
from tests.simulation.story import Lives, unprovoked
from tests.simulation.wishes import Wish, edit_of, path_of, text_of

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
POLICY = Policy(
    give_up_after=timedelta(seconds=300),
    first_pause=timedelta(seconds=1),
    longest_pause=timedelta(seconds=20),
    removal_tries=6,
    leftover_pause=timedelta(seconds=60),
    settle=timedelta(seconds=40),
)
CALL_TIMEOUT = 10.0


class Broken(AssertionError):
    """An invariant did not hold."""


class Life:
    """One incarnation of the daemon: its engine and store, in a context that can die."""

    def __init__(self, world: "World", image: bytes | None) -> None:
        self.world = world
        self.mark = Incarnation()
        self.context = contextvars.copy_context()
        self.context.run(INCARNATION.set, self.mark)
        self.image = image
        self.engine: Engine | None = None
        self.store: FlakyStore | None = None
        self.listener: Listener | None = None
        self.tasks: list[asyncio.Task[Any]] = []

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
        self.engine = Engine(
            store=self.store,
            vims=vims,
            now=now,
            monitor=lambda crossed: Monitor(
                select(SimulatedGuests(vims.guests, at_hand=vims.guests_at_hand)), crossed
            ),
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
        self.mark.dead = True
        if self.store is not None:
            self.store.kill()
        self.world.graveyard.append(self)


class World:
    """Everything around the daemon, and the invariants."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.loop = SimulationLoop(seed)
        self.random = Random(f"world {seed}")
        self.image: bytes | None = None
        self.heard = 0
        self.events: list[LoggedEvent] = []
        self.order = Order()
        self.homes = Homes()
        self.kinds = Kinds()
        self.lives = Lives()
        self.harmless = True
        """Whether no cloud has done anything but what it was asked for."""
        self.ahead = timedelta(0)
        """By how much the machine's clock was set forward since the beginning."""
        self.weather = CALM
        self.wishes: dict[Key, Wish] = {}
        self.graveyard: list[Life] = []
        self.life: Life | None = None
        self._ids = Random(f"ids {seed}")

    def new_id(self) -> RecordId:
        return RecordId(str(UUID(int=self._ids.getrandbits(128))))

    def synced(self, image: bytes) -> None:
        self.image = image

    def missed(self, events: Any) -> None:
        """What was committed before a kill and never told: read back by number (replay)."""
        for event in events:
            self.hear(event)

    def hear(self, event: LoggedEvent) -> None:
        if event.seq <= self.heard:
            return  # replay and live overlap; a client drops what it has
        if event.seq != self.heard + 1:
            raise Broken(f"event {event.seq} came after {self.heard}")
        self.heard = event.seq
        self.events.append(event)

    # ------------------------------------------------------------------ one seed

    def run(self) -> None:
        loop = self.loop
        problems: list[Any] = []
        loop.set_exception_handler(lambda _, context: problems.append(context))
        asyncio.set_event_loop(loop)
        try:
            main = loop.create_task(self._main())
            loop.run_until_complete(main)
            _check_unhandled(problems)
        except Exception as error:
            error.add_note(f"seed {self.seed}")
            raise
        finally:
            asyncio.set_event_loop(None)
            for task in asyncio.all_tasks(loop):
                task._log_destroy_pending = False  # type: ignore[attr-defined]
                with suppress(RuntimeError):  # a dead daemon's clean-up that wants to wait
                    task.get_coro().close()
            loop.close()

    async def _main(self) -> None:
        settings = any_settings(self.seed, self.random)
        self.policy = any_policy(POLICY, self.random)
        loop = asyncio.get_running_loop()
        start = BEGAN.timestamp()
        self.clouds = Clouds(settings, self.random, lambda: start + loop.time())
        await self._begin()
        self.wishes.update((key, Wish(intent)) for key, intent in FIRST.items())
        if self.random.random() < 0.5:
            await self._edit({connector_key(FAR): connector(FAR)})
        rules = any_rules(self.random)
        self._turns(any_weather(self.random))
        self.clouds.play(rules)
        self.harmless = self.weather is CALM and not rules
        for _ in range(self.random.randint(4, 10)):
            await self._one_thing()
        self._turns(CALM)
        self.clouds.play(())
        await self._rest()
        self._check_goals()
        await self._clear_away()

    async def _begin(self) -> None:
        self.life = Life(self, self.image)
        await self.life.run(self.life.start())
        await self._learn()

    async def _learn(self) -> None:
        """Find out by get-config what became of the edits that nobody answered."""
        assert self.life is not None
        assert self.life.store is not None
        entries = {
            entry.path: entry.xml for entry in await self.life.run(self.life.store.entries())
        }
        for key, wish in self.wishes.items():
            if wish.unsure:
                xml = entries.get(path_of(key))
                choices = [wish.intent, *wish.unsure]
                wish.intent = next(c for c in choices if text_of(c) == xml)
                wish.unsure.clear()
            elif text_of(wish.intent) != entries.get(path_of(key)):
                raise Broken(f"the acknowledged entry of {key} is lost")

    def _turns(self, weather: Weather) -> None:
        self.weather = weather
        self.clouds.weather(weather)

    def disk_trouble(self) -> StoreError | None:
        roll = self.random.random()
        if roll < self.weather.disk_full:
            return StoreFull("simulated: no room left")
        if roll < self.weather.disk_full + self.weather.disk_broken:
            return StoreBroken("simulated: I/O error")
        return None

    async def _one_thing(self) -> None:
        what = self.random.random()
        if what < 0.22:
            await self._kill_soon()
        elif what < 0.27:
            self.clouds.silence(self.random)
        elif what < 0.32:
            self.harmless = False
            self.clouds.mischief(self.random)
        elif what < 0.36:
            await self._outage()
        elif what < 0.4:
            await self._change_minds()
        elif what < 0.5:
            await asyncio.sleep(self.random.choice([0.01, 0.5, 3.0, 30.0, 90.0]))
        else:
            await self._edit(self._any_edit())

    async def _outage(self) -> None:
        """One of the VIMs cannot be reached for a while, whatever is asked of it meanwhile."""
        self.harmless = False
        vim = self.clouds.vims[self.random.choice([NEAR, FAR])]
        vim.weather = replace(self.weather, unreachable=1.0)
        await asyncio.sleep(self.random.choice([0.5, 20.0, 90.0]))
        await self._edit(self._any_edit())
        vim.weather = self.weather

    async def _change_minds(self) -> None:
        """Deploy and undeploy the same again and again, while the last one is still under way."""
        tenant = TenantName(self.random.choice(["a", "b"]))
        name = DeploymentName(self.random.choice(["x", "y"]))
        key = Key(Kind.DEPLOYMENT, tenant, name)
        tenant_key = Key(Kind.TENANT, None, tenant)
        for _ in range(self.random.randint(1, 3)):
            deployment = any_deployment(name, self.random)
            await self._edit({tenant_key: Tenant(name=tenant), key: deployment})
            await asyncio.sleep(self.random.choice([0.0, 0.3, 2.0]))
            await self._edit({key: None})

    async def _kill_soon(self) -> None:
        """Kill at any await: after a random number of turns of the loop, edits under way."""
        assert self.life is not None
        for _ in range(self.random.randint(0, 3)):
            edit = self._any_edit()
            if not self._outdated(edit):
                self._send(edit)  # perhaps never answered
        if self.random.random() < 0.6:  # so that it meets calls to the clouds, late ones too
            await asyncio.sleep(self.random.uniform(0, self.random.choice([0.5, 3.0, 12.0])))
        for _ in range(self.random.randint(0, 60)):
            await asyncio.sleep(0)
        self.life.kill()
        await asyncio.sleep(self.random.choice([0.0, 0.1, 15.0]))
        self.ahead += timedelta(seconds=any_step(self.random))
        await self._begin()

    def _outdated(self, edit: Mapping[Key, Any]) -> bool:
        """
        Tell whether *edit* puts something into a tenant that an edit under way takes away.

        The datastore would make the later one of the two anew; here nobody does.
        """
        going = {
            key.name
            for key, wish in self.wishes.items()
            if key.kind is Kind.TENANT and None in wish.unsure
        }
        return any(
            intent is not None and (key.tenant or key.name) in going for key, intent in edit.items()
        )

    def _any_edit(self) -> dict[Key, Deployment | Resource | None]:
        tenant = TenantName(self.random.choice(["a", "b"]))
        tenant_key = Key(Kind.TENANT, None, tenant)
        if self.random.random() < 0.12:
            return self._resource_edit()
        if self.random.random() < 0.1:
            return any_connector_edit(self.random)
        name = DeploymentName(self.random.choice(["x", "y"]))
        key = Key(Kind.DEPLOYMENT, tenant, name)
        roll = self.random.random()
        if roll < 0.65:
            edit = {tenant_key: Tenant(name=tenant), key: any_deployment(name, self.random)}
            if self.random.random() < 0.1:  # together with what it may need (ruling 14)
                edit |= {connector_key(FAR): connector(FAR)}
            if self.random.random() < 0.3:
                edit |= any_networks_beside(tenant, self.random)
            return edit
        if roll < 0.9:
            beside = any_networks_beside(tenant, self.random) if self.random.random() < 0.3 else ()
            return {key: None, **dict.fromkeys(beside)}
        return {
            k: None
            for k in dict.fromkeys((*self.wishes, tenant_key))
            if k.tenant == tenant or k == tenant_key
        }

    def _resource_edit(self) -> dict[Key, Deployment | Resource | None]:
        """Something shared: it is refused while it stands and wants to be another."""
        key, intent = any_resource(self.random)
        return {key: intent if self.random.random() < 0.6 else None}

    async def _edit(self, edit: dict[Key, Deployment | Resource | None]) -> None:
        await self._send(edit)

    def _send(self, edit: dict[Key, Deployment | Resource | None]) -> asyncio.Task[None]:
        """Send an edit-config; what it means is known once it is answered."""
        assert self.life is not None
        assert self.life.engine is not None
        for key, intent in edit.items():
            self.wishes.setdefault(key, Wish(None)).unsure.append(intent)
        return self.life.run(self._answered(edit, edit_of(edit)))

    async def _answered(self, edit: dict[Key, Any], request: Edit) -> None:
        assert self.life is not None
        assert self.life.engine is not None
        try:
            await self.life.engine.apply(request)
        except (Refused, StoreError):
            taken = False
        else:
            taken = True
        for key, intent in edit.items():
            wish = self.wishes[key]
            wish.unsure.remove(intent)
            if taken:
                wish.intent = intent
                self._check_readable(key, intent)

    # ------------------------------------------------------------------ what must hold

    def _check_readable(self, key: Key, intent: Any) -> None:
        assert self.life is not None
        assert self.life.engine is not None
        if intent is not None and self.life.engine.record(key) is None:
            raise Broken(f"{key} was acknowledged and has no record")

    async def _rest(self) -> None:
        """Give everything the time that it may take when nothing goes wrong any more."""
        assert self.life is not None
        for _ in range(40):
            await asyncio.sleep(60)
            if self._at_goal():
                await asyncio.sleep(2)
                return

    def _records(self) -> dict[Key, Any]:
        assert self.life is not None
        assert self.life.engine is not None
        return {record.key: record for record in self.life.engine.records()}

    def _lively_wishes(self) -> list[tuple[Key, Wish]]:
        return [each for each in self.wishes.items() if each[0].kind not in CONNECTOR_KINDS]

    def _lives(self) -> dict[Key, Any]:
        """Return the records that have a state: a connector is checked for ever."""
        lives = DeploymentRecord | ResourceRecord
        return {key: each for key, each in self._records().items() if isinstance(each, lives)}

    def _at_goal(self) -> bool:
        return all(
            record.state
            in {
                ServiceState.ACTIVE,
                ServiceState.ERROR,
                ServiceState.UNDEF,
                ResourceState.ACTIVE,
                ResourceState.ERROR,
                ResourceState.LEFTOVER,
            }
            for record in self._lives().values()
        )

    def _check_goals(self) -> None:
        records = self._records()
        for key, wish in self._lively_wishes():
            record = records.get(key)
            if wish.intent is None:
                resting = record is None or record.state in {
                    ServiceState.UNDEF,
                    ResourceState.LEFTOVER,
                }
                if not resting:
                    raise Broken(f"{key} was removed and is {record.state}")
            elif record is None:
                raise Broken(f"{key} is configured and has no record")
            elif record.intent != wish.intent and record.state is not ServiceState.ERROR:
                raise Broken(f"{key} is not what was asked")
            elif record.state not in {
                ServiceState.ACTIVE,
                ServiceState.ERROR,
                ResourceState.ACTIVE,
                ResourceState.ERROR,
            }:
                raise Broken(f"{key} never came to rest: {record.state}")
        wishes = {key: wish.intent for key, wish in self.wishes.items()}
        if wrong := self.homes.wrong(self.events, records, wishes):
            raise Broken(f"connectors: {wrong}")
        self._check_told(records)

    def _check_told(self, records: Mapping[Key, Any]) -> None:
        made = {vm: BEGAN + timedelta(seconds=at) for vm, at in self.clouds.made().items()}
        wrong = (
            *(unprovoked(self.events) if self.harmless else ()),
            *belongings.wrong(records, self.clouds),
            *self.lives.wrong(self.events, records),
            *self.kinds.problems,
            *(f"out of order: {early}" for early in self.order.too_early(made, self.events)),
        )
        if wrong:
            raise Broken(" | ".join(wrong))

    async def _clear_away(self) -> None:
        """Everything is undeployed on a good day: then nothing may be left anywhere."""
        await self._send({key: None for key, _ in self._lively_wishes()})
        for _ in range(40):
            await asyncio.sleep(60)
            if not self._lives():
                break
        self._check_goals()
        if left := self._lives():
            raise Broken(f"records are left: {left}")
        if remains := self.clouds.remains():
            raise Broken(f"the clouds still have {remains}")
        assert self.life is not None
        assert self.life.engine is not None
        await self._send({key: None for key in self.wishes if key.kind in CONNECTOR_KINDS})
        if used := list(self.life.engine.records()):
            raise Broken(f"nothing lives in them and they do not go: {used}")
        await asyncio.sleep(30)  # the last calls end
        for problem in memory.kept(self.life.engine):
            raise Broken(problem)
        assert self.life.store is not None
        await self.life.run(self.life.engine.close())
        await self.life.run(self.life.store.close())
        self.life.mark.dead = True


def _check_unhandled(problems: list[dict[str, Any]]) -> None:
    serious = [problem for problem in problems if not _of_the_dead(problem)]
    if serious:
        raise Broken(f"unhandled: {serious}")


def _of_the_dead(context: dict[str, Any]) -> bool:
    """A task that died with its daemon is garbage, not a problem."""
    return "was destroyed but it is pending" in str(context.get("message"))
