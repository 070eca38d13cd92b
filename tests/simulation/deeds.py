"""What the operator does with what lives, and what becomes of it meanwhile: loads, and silence."""

import asyncio
from contextlib import suppress
from random import Random
from typing import TYPE_CHECKING

from esc_daemon.domain.errors import Refused
from esc_daemon.domain.requests import Action
from esc_daemon.store.base import StoreError
from tests.simulation.acts import any_action
from tests.simulation.living import any_load, lively
from tests.simulation.requests import Edit, any_new_deployment
from tests.simulation.sessions import Client
from tests.simulation.trials import REFUSED

if TYPE_CHECKING:
    from tests.simulation.world import World


class Deeds:
    """All of it drawn from *random*, and nothing where *lively* is not so."""

    def __init__(self, world: "World", random: Random, *, lively: bool) -> None:
        self._world = world
        self._random = random
        self._lively = lively

    def enlivened(self, edit: Edit) -> Edit:
        """Return *edit* with groups that heal and scale, and scripts at their stages."""
        drawn = lively(edit, self._random) if self._lively else edit
        return self._world.scripts.hooked(drawn)

    async def live(self) -> None:
        """Deploy something and let it live for a while: actions, loads, silence, perhaps a kill."""
        if not self._lively:
            return
        await self._world.asks(self.enlivened(any_new_deployment(self._random)))
        await asyncio.sleep(self._random.choice([5.0, 20.0, 40.0]))
        if self._random.random() < 0.3:
            await self._grow_and_shrink()
        await self.do_some(self._random.choice([2, 4, 8]))
        if self._random.random() < 0.3:
            self.act_upon_one()
            for _ in range(self._random.randint(0, 60)):
                await asyncio.sleep(0)
            await self._world.dies()
            await self.do_some(self._random.choice([0, 2]))

    async def _grow_and_shrink(self) -> None:
        """Let there be much to do, and then little, each for long enough to scale."""
        for much in (True, False):
            self._world.clouds.load(any_load(self._random, much=much))
            await self.do_some(self._random.choice([0, 1]))
            await asyncio.sleep(self._random.choice([12.0, 30.0]))

    async def do_some(self, deeds: int) -> None:
        """The operator acts upon services and VMs, their load changes, guests fall silent."""
        for _ in range(deeds if self._lively else 0):
            roll = self._random.random()
            if roll < 0.2:
                self._world.clouds.load(any_load(self._random))
            elif roll < 0.35:
                self._world.clouds.silence(self._random)
            else:
                self.act_upon_one()
            await asyncio.sleep(self._random.choice([0.0, 0.05, 2.0, 10.0, 40.0]))

    def act_upon_one(self) -> None:
        """Ask for an action, and do not wait for the answer."""
        action = any_action(self._world.engine.records(), self._random)
        if action is not None:
            self._world.alive.run(self.act(action))

    async def act(self, action: Action, client: Client | None = None) -> None:
        """Ask for *action*, through *client* or any session."""
        world, answer = self._world, None
        sessions = world.alive.sessions
        with suppress(Refused, StoreError):
            if sessions is None:
                await world.engine.operate(action)
                return
            key = world.engine.concerned(action)
            asks = client or await sessions.free(world.rights.any_user())
            try:
                await asks.act(action)
            except REFUSED as error:
                answer = error
            world.rights.acted(asks.user, key, answer)
