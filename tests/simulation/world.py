"""One seed: a daemon that dies and comes back, clients, a cloud, and what must always hold."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from random import Random
from typing import Any
from uuid import UUID

from esc_daemon.domain.connectors import connector_key
from esc_daemon.domain.errors import Refused
from esc_daemon.domain.ids import DEFAULT_VIM, Key, RecordId
from esc_daemon.domain.leftovers import LeftoverAction
from esc_daemon.domain.policy import Policy
from esc_daemon.engine.engine import Engine
from esc_daemon.store.base import LoggedEvent, StoreError
from tests.connectors import connector
from tests.simulation import belongings, memory, moves, resting, tenant_volumes, volumes
from tests.simulation.acts import Acts
from tests.simulation.clouds import FAR, NEAR, Clouds
from tests.simulation.deeds import Deeds
from tests.simulation.disk import BEGAN
from tests.simulation.draws import (
    STUBBORN,
    any_guard,
    any_policy,
    any_rules,
    any_settings,
    any_step,
    any_weather,
)
from tests.simulation.goals import at_rest, lives_of, unmet
from tests.simulation.homes import CONNECTOR_KINDS, FIRST, Homes
from tests.simulation.kinds import Kinds
from tests.simulation.life import Life
from tests.simulation.loop import SimulationLoop, unhandled
from tests.simulation.moves import Moves
from tests.simulation.network import CALM, Weather
from tests.simulation.operators import Operator
from tests.simulation.order import Order
from tests.simulation.outage import GUARD, Outage
from tests.simulation.papers import intents_in
from tests.simulation.probes import Probes
from tests.simulation.requests import Edit, any_edit, changed_minds, without
from tests.simulation.rights import Rights
from tests.simulation.rivals import Rivals
from tests.simulation.scripts import Scripts
from tests.simulation.sessions import Client, Sessions
from tests.simulation.story import Lives, unprovoked, updated
from tests.simulation.tenant_volumes import Disks
from tests.simulation.trials import Trials
from tests.simulation.volumes import any_volume_rules, rearranged, stored
from tests.simulation.wishes import Wish, crossing

POLICY = Policy(
    give_up_after=timedelta(seconds=300),
    first_pause=timedelta(seconds=1),
    longest_pause=timedelta(seconds=20),
    removal_tries=6,
    leftover_pause=timedelta(seconds=60),
    settle=timedelta(seconds=40),
    drift_pause=timedelta(seconds=7),
)

TRIED_AGAIN_SECONDS = 12
"""Once in these the daemon tries again to take back what was refused, and may begin anew."""


class Broken(AssertionError):
    """An invariant did not hold."""


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
        self.acts = Acts()
        self.harmless = True
        """Whether no cloud has done anything but what it was asked for."""
        self.ahead = timedelta(0)
        """By how much the machine's clock was set forward since the beginning."""
        self.weather = CALM
        self.wishes: dict[Key, Wish] = {}
        self.graveyard: list[Life] = []
        self.life: Life | None = None
        self.operator = Operator()
        self.probes: list[Probes] = []
        self.trials = Trials(self.wishes, Random(f"trials {seed}"))
        self.by_configuration = self.random.random() < 0.25
        """Whether edits come through the datastores of the daemon, candidate and all."""
        self.rights = Rights(Random(f"rights {seed}"))
        self.sessions: list[Sessions] = []
        self._ids = Random(f"ids {seed}")
        self._living = Random(f"living {seed}")
        self.lively = self._living.random() < 0.5
        """Whether groups heal and operators act upon what they have deployed."""
        self.deeds = Deeds(self, self._living, lively=self.lively)
        self.rivals = Rivals(self, Random(f"rivals {seed}"))
        self._guarded = Random(f"guarded {seed}")
        self.outage = Outage(self, self._guarded) if self._guarded.random() < 0.08 else None
        """What the world begins with, if the guard is to be looked at alone."""
        self._volumes = Random(f"volumes {seed}")
        self.stores = self._volumes.random() < 0.4
        """Whether VMs have volumes."""
        self.moves = Moves(self, Random(f"moves {seed}"))
        self.scripts = Scripts(Random(f"scripts {seed}"))

    @property
    def alive(self) -> Life:
        """The daemon as it is."""
        return self.life

    @property
    def engine(self) -> Engine:
        assert self.alive.engine is not None
        return self.alive.engine

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
        guard = any_guard(self._guarded) if self.outage is None else GUARD
        self.policy = replace(any_policy(POLICY, self.random), guard=guard)
        if self.lively:
            pause = timedelta(seconds=self._living.choice([2, 15, 60]))
            self.policy = replace(self.policy, scaling_pause=pause)
        loop = asyncio.get_running_loop()
        start = BEGAN.timestamp()
        self.clouds = Clouds(settings, self.random, lambda: start + loop.time())
        self.moves.watch()
        await self._begin()
        self.wishes.update((key, Wish(intent)) for key, intent in FIRST.items())
        for wrong in await self.outage.happens() if self.outage else ():
            raise Broken(wrong)
        if self.random.random() < 0.5:
            await self.asks({connector_key(FAR): connector(FAR)})
        tenants_disks = Disks(self, Random(f"disks {self.seed}"))
        self._rules = any_rules(self.random)
        if self.stores:
            self._rules += any_volume_rules(self._volumes)
        self._rules += tenants_disks.any_rules()
        self._turns(any_weather(self.random))
        self.clouds.play(self._rules)
        self.harmless = self.weather is CALM and not self._rules and not self.scripts.some
        things = self.random.randint(4, 10)
        for _ in range(things // 2 if self.lively else things):
            await self._one_thing()
            await self.deeds.do_some(self._living.choice([0, 1, 2]))
            await self._swap_volumes()
            await self.rivals.do_some()
            await self.moves.some()
            await tenants_disks.some()
        if self._living.random() < 0.5:
            await self.deeds.live()
        self._turns(CALM)
        self.clouds.play(())
        self.clouds.all_hosts_up()
        await self.deeds.live()
        self.clouds.load(())
        await self._rest()
        self._check_goals()
        await self._clear_away()

    async def _begin(self) -> None:
        self.life = Life(self, self.image)
        await self.alive.run(self.life.start())
        await self._learn()

    async def dies(self) -> None:
        """Kill the daemon, and start it anew at once."""
        self.alive.kill()
        await self._begin()

    async def _learn(self) -> None:
        """Find out by get-config what became of the edits that nobody answered."""
        said = await self.alive.said()
        if self.alive.configuration is not None:
            self.trials.learn(self.alive.configuration, said)
            return
        for key, wish in self.wishes.items():
            choices = {self.alive.word_of(each): each for each in (wish.intent, *wish.unsure)}
            if said.get(key) not in choices:
                raise Broken(f"the acknowledged entry of {key} is lost")
            wish.intent = choices[said.get(key)]
            wish.unsure.clear()

    def _turns(self, weather: Weather) -> None:
        self.weather = weather
        self.clouds.weather(weather)

    def disk_trouble(self) -> StoreError | None:
        return self.weather.disk_trouble(self.random.random())

    async def _one_thing(self) -> None:
        what = self.random.random()
        if what < 0.22:
            await self._kill_soon()
        elif what < 0.26:
            for _ in range(self.random.choice([1, 1, 5])):  # once, or a guest that flaps
                self.clouds.silence(self.random)
                await asyncio.sleep(self.random.choice([0.0, 2.0, 7.0]))
        elif what < 0.31:
            self.harmless = False
            self.clouds.mischief(self.random)
        elif what < 0.35:
            await self._outage()
        elif what < 0.39:
            await self._change_minds()
        elif what < 0.41:
            self.harmless = False
            self.clouds.host_goes(self.random)
        elif what < 0.45:
            await self._refused_removals()
        elif what < 0.5:
            await asyncio.sleep(self.random.choice([0.01, 0.5, 3.0, 30.0, 90.0]))
        else:
            await self._change_something()

    async def _swap_volumes(self) -> None:
        """Change what is attached to VMs that are perhaps there by now."""
        for _ in range(self._volumes.choice([0, 0, 1, 2]) if self.stores else 0):
            await asyncio.sleep(self._volumes.choice([2.0, 20.0, 60.0]))
            await self.asks(rearranged(self.wanted(), self._volumes) or {})

    def any_edit(self) -> Edit:
        """Return what a client asks for next."""
        if self.stores and self._volumes.random() < 0.2:
            edit = rearranged(self.wanted(), self._volumes)
            if edit is not None:
                return edit
        drawn = self.deeds.enlivened(any_edit(self.wishes, self.random))
        return stored(drawn, self._volumes) if self.stores else drawn

    async def _change_something(self) -> None:
        edit = self.any_edit()
        if meddling := self.trials.any_meddling():
            await self.asks(meddling)
        elif self.by_configuration and self.random.random() < 0.6:
            await self.alive.run(self.trials.go_on(self.alive, edit))
        else:
            await self.asks(edit)

    async def _outage(self) -> None:
        """One of the VIMs cannot be reached for a while, whatever is asked of it meanwhile."""
        self.harmless = False
        vim = self.clouds.vims[self.random.choice([NEAR, FAR])]
        vim.weather = replace(self.weather, unreachable=1.0)
        await asyncio.sleep(self.random.choice([0.5, 20.0, 90.0]))
        await self.asks(self.any_edit())
        vim.weather = self.weather

    async def _change_minds(self) -> None:
        for edit, pause in changed_minds(self.random):
            await self.asks(self.deeds.enlivened(edit))
            await asyncio.sleep(pause)

    async def _refused_removals(self) -> None:
        """Something goes that the clouds do not let go; the operator looks after what is left."""
        self.harmless = False
        self.clouds.play((*self.random.sample(STUBBORN, self.random.randint(1, 3)), *self._rules))
        there = [key for key in self.wanted() if key.kind not in CONNECTOR_KINDS]
        if there:
            await self.asks(without(self.random.choice(there), there))
        for _ in range(self.random.randint(1, 3)):
            await asyncio.sleep(self.random.choice([5.0, 40.0, 120.0]))
            if action := self.operator.any_action(self.engine.records(), self.random):
                await self.alive.run(self._act(action))
        self.clouds.play(self._rules)

    async def _act(self, action: LeftoverAction) -> None:
        self.harmless = False
        meant = self.operator.asks(action, self.engine.records(), self.alive.now)
        with suppress(Refused, StoreError):
            found = await self.engine.act(action)
            await self.operator.look(action, meant, found, self.clouds, self.engine.records)

    async def _kill_soon(self) -> None:
        """Kill at any await: after a random number of turns of the loop, edits under way."""
        if self.by_configuration and self.random.random() < 0.4:
            # alone: what a commit changes is known if nothing else is under way
            self.alive.run(self.trials.go_on(self.alive, self.any_edit()))
        else:
            self._send_some()
        if action := self.operator.any_action(self.engine.records(), self.random):
            self.alive.run(self._act(action))
        for _ in range(self._living.choice([0, 1, 3]) if self.lively else 0):
            self.deeds.act_upon_one()
        self.rivals.do_perhaps_one()
        if self.random.random() < 0.6:  # so that it meets calls to the clouds, late ones too
            await asyncio.sleep(self.random.uniform(0, self.random.choice([0.5, 3.0, 12.0])))
        for _ in range(self.random.randint(0, 60)):
            await asyncio.sleep(0)
        self.alive.kill()
        await asyncio.sleep(self.random.choice([0.0, 0.1, 15.0]))
        self.ahead += timedelta(seconds=any_step(self.random))
        await self._begin()

    def _send_some(self) -> None:
        """Send up to three edits that are perhaps never answered."""
        for _ in range(self.random.randint(0, 3)):
            edit = self.any_edit()
            if not crossing(edit, self.wishes):
                self.sends(edit)

    async def asks(self, edit: Edit, client: Client | None = None) -> None:
        """Send an edit-config, through *client* or any session, and wait for its answer."""
        await self.sends(edit, client)

    def sends(self, edit: Edit, client: Client | None = None) -> asyncio.Task[None]:
        """Send an edit-config; what it means is known once it is answered."""
        for key, intent in edit.items():
            self.wishes.setdefault(key, Wish(None)).unsure.append(intent)
        return self.alive.run(self._answered(edit, client))

    async def _answered(self, edit: Edit, client: Client | None) -> None:
        taken = await self.alive.edit(edit, client)
        for key, intent in edit.items():
            wish = self.wishes[key]
            wish.unsure.remove(intent)
            if taken:
                self.trials.edited(key, intent, wish.intent)
                wish.intent = intent
                self._check_readable(key, intent)

    # ------------------------------------------------------------------ what must hold

    def _check_readable(self, key: Key, intent: Any) -> None:
        if intent is not None and self.engine.record(key) is None:
            raise Broken(f"{key} was acknowledged and has no record")

    async def _rest(self) -> None:
        """Give everything the time that it may take when nothing goes wrong any more."""
        await asyncio.sleep(40)  # the latest request has arrived
        for turn in range(120):
            await asyncio.sleep(20)
            if turn == 60 and (endless := list(resting.endless(self._records()))):
                await self._undeploys(endless)
            if self._no_trials() and self._is_calm():
                await asyncio.sleep(2 if self._no_trial_waits() else TRIED_AGAIN_SECONDS)
                if self._is_calm() and not any(self.trials.overdue(self._records())):
                    return  # what healed meanwhile stood in the way of the last try

    def _is_calm(self) -> bool:
        records = self._records()
        return at_rest(records.values()) and not resting.unnoticed(records, self.clouds)

    def _no_trials(self) -> bool:
        """Learn of commits whose time is over; tell whether none waits to be confirmed."""
        configuration, datastore = self.alive.configuration, self.alive.datastore
        if configuration is None or datastore is None:
            return True
        self.trials.look(configuration, datastore)
        return self.trials.rests(configuration)

    def _no_trial_waits(self) -> bool:
        return self.alive.configuration is None or self.alive.configuration.on_trial is None

    def _records(self) -> dict[Key, Any]:
        return {record.key: record for record in self.engine.records()}

    def wanted(self) -> dict[Key, Any]:
        return {key: wish.intent for key, wish in self.wishes.items()}

    def _check_goals(self) -> None:
        self._no_trials()
        records = self._records()
        wishes = self.wanted()
        for wrong in unmet(wishes, records):
            raise Broken(wrong)
        if misplaced := self.homes.wrong(self.events, records, wishes):
            raise Broken(f"connectors: {misplaced}")
        self._check_told(records)

    def _check_told(self, records: Mapping[Key, Any]) -> None:
        made = {vm: BEGAN + timedelta(seconds=at) for vm, at in self.clouds.made().items()}
        wrong = (
            *(unprovoked(self.events) if self.harmless else ()),
            *belongings.wrong(records, self.clouds, self.operator.purged, updated(self.events)),
            *volumes.wrong(records, self.clouds, self.operator.purged),
            *tenant_volumes.wrong(records, self.clouds, self.operator.purged),
            *(problem for probes in self.probes for problem in probes.problems),
            *self.moves.problems,
            *self.scripts.problems,
            *moves.at_risk(records.values()),
            *self.operator.problems,
            *self.trials.problems,
            *self.rights.problems,
            *self.rivals.problems,
            *(problem for each in self.sessions for problem in each.problems),
            *self.trials.overdue(records),
            *self._misread(),
            *self.operator.remembered(records.values()),
            *self.lives.wrong(self.events, records),
            *self.kinds.problems,
            *self.acts.wrong(self.events),
            *resting.wrong(records, self.clouds, self.engine),
            *(f"out of order: {early}" for early in self.order.too_early(made, self.events)),
        )
        if wrong:
            raise Broken(" | ".join(wrong))

    def _misread(self) -> Iterator[str]:
        """Yield where running is not what was acknowledged."""
        if self.alive.datastore is None:
            return
        there = intents_in(self.alive.datastore)
        for key, wish in self.wishes.items():
            if there.get(key) != wish.intent:
                yield f"running has another {key} than what was acknowledged or taken back"

    async def _undeploys(self, keys: list[Key]) -> None:
        """Remove *keys* when nobody is in the way any more."""
        self.rights.no_more_guests()
        await self.rivals.no_more()
        await self.sends(dict.fromkeys(keys))

    async def _clear_away(self) -> None:
        """Everything is undeployed on a good day: then nothing may be left anywhere."""
        self.clouds.tidy(self.operator.purged)
        there = [key for key, intent in self.wanted().items() if intent is not None]
        await self._undeploys([key for key in there if key.kind not in CONNECTOR_KINDS])
        for _ in range(120):
            await asyncio.sleep(20)
            if not lives_of(self.engine.records()):
                break
        if not self._no_trial_waits():  # for what others have made the default, perhaps
            await self.sends({DEFAULT_VIM: None})
        await asyncio.sleep(20)  # what stood in a trial's way back is gone
        self._check_goals()
        if left := lives_of(self.engine.records()):
            raise Broken(f"records are left: {left}")
        if remains := self.clouds.remains():
            raise Broken(f"the clouds still have {remains}")
        if not self._no_trial_waits():
            raise Broken("a commit is on trial for ever")
        await self.sends({key: None for key in there if key.kind in CONNECTOR_KINDS})
        if used := list(self.engine.records()):
            raise Broken(f"nothing lives in them and they do not go: {used}")
        await asyncio.sleep(30)  # the last calls end
        for problem in memory.kept(self.engine):
            raise Broken(problem)
        await self.alive.end()


def _check_unhandled(problems: list[dict[str, Any]]) -> None:
    if serious := unhandled(problems):
        raise Broken(f"unhandled: {serious}")
