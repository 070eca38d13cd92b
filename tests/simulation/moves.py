"""Moves between the two clouds: groups whose locator changes, also from a VIM that is dead."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any

from esc_daemon.domain.ids import Key, Kind, ServerKey, VimId
from esc_daemon.domain.intent import Deployment, Locator, VmGroup
from esc_daemon.domain.placing import group_of
from esc_daemon.domain.record import DeploymentRecord, Record
from tests.simulation.clouds import FAR, NEAR
from tests.simulation.requests import Edit

if TYPE_CHECKING:
    from tests.simulation.world import World


class Moves:
    """All of it drawn from *random*, and nothing in half of the seeds."""

    def __init__(self, world: "World", random: Random) -> None:
        self._world = world
        self._random = random
        self._moving = random.random() < 0.5
        self.problems: list[str] = []
        """Servers that were made while another cloud had one of the same VM."""

    def watch(self) -> None:
        """Look at every server that a cloud makes from now on."""
        for name, vim in self._world.clouds.vims.items():
            vim.on_make = partial(self._look, name)

    def _look(self, vim: VimId, key: ServerKey) -> None:
        """A leftover may be beside it, and what the operator had forgotten: nobody can tell."""
        known = {*_left_behind(self._world.homes.records), *self._world.operator.purged}
        self.problems += (
            f"{key} was made in {vim} beside {row.key} in {other}"
            for other, row in self._world.clouds.servers()
            if row.key.vm == key.vm
            and other != vim
            and row.gone_at is None
            and (other, row.key) not in known
        )

    async def some(self) -> None:
        """Move a group, perhaps away from a cloud that is dead by then, or to one that dies."""
        random = self._random
        for _ in range(random.choice([0, 1, 1, 2]) if self._moving else 0):
            await asyncio.sleep(random.choice([0.5, 5.0, 40.0]))
            edit = moved(self._world.wanted(), random)
            if edit is None:
                continue
            if random.random() < 0.4:
                await self._while_one_is_dead(edit)
            else:
                await self._world.asks(edit)
            if random.random() < 0.15:
                for _ in range(random.randint(0, 80)):
                    await asyncio.sleep(0)
                await asyncio.sleep(random.choice([0.0, 0.1, 3.0]))
                await self._world.dies()

    async def _while_one_is_dead(self, edit: Edit) -> None:
        world, random = self._world, self._random
        world.harmless = False
        vim = world.clouds.vims[random.choice([NEAR, FAR])]
        vim.weather = replace(world.weather, unreachable=1.0)
        if random.random() < 0.5:  # before it is known to be dead
            await asyncio.sleep(random.choice([0.0, 15.0]))
        await world.asks(edit)
        await asyncio.sleep(random.choice([0.5, 20.0, 90.0, 400.0]))
        vim.weather = world.weather


def moved(wanted: Mapping[Key, Any], random: Random) -> Edit | None:
    """Return an edit that changes nothing but the locator of one group, if there is one to move."""
    there = [
        (key, group)
        for key, intent in wanted.items()
        if isinstance(intent, Deployment) and wanted.get(Key(Kind.TENANT, None, key.tenant or ""))
        for group in intent.groups
        if random.random() < 0.1 or _movable(intent, group)
    ]
    if not there:
        return None
    key, group = random.choice(there)
    elsewhere = [vim for vim in ("", NEAR, FAR, FAR) if vim != group.locator.vim_id]
    after = replace(group, locator=Locator(vim_id=random.choice(elsewhere)))
    groups = tuple(after if each is group else each for each in wanted[key].groups)
    return {key: replace(wanted[key], groups=groups)}


def _movable(intent: Deployment, group: VmGroup) -> bool:
    own = {network.name for network in intent.networks}
    return not group.volumes and own.isdisjoint(each.network for each in group.interfaces)


def at_risk(records: Iterable[Record]) -> Iterator[str]:
    """Yield the VMs that would lose a volume, since a move of theirs is wanted all the same."""
    for record in records:
        if isinstance(record, DeploymentRecord) and record.intent is not None:
            for vm in record.vms.values():
                if vm.migration is not None and group_of(record, vm).volumes:
                    yield f"{vm.name}, which has volumes, is to move to {vm.migration.vim}"


def _left_behind(records: Iterable[Record]) -> Iterator[tuple[VimId, ServerKey]]:
    """Yield the servers that are known to have been left behind in a VIM."""
    for record in records:
        if isinstance(record, DeploymentRecord):
            for left in record.leftovers:
                yield left.vm.vim, ServerKey(left.vm.id, left.vm.generation)
