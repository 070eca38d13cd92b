"""Moves between the two clouds: groups whose locator changes, also from a VIM that is dead."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any

from esc_daemon.domain.ids import Key, Kind, ServerKey, VimId, VmGroupName
from esc_daemon.domain.intent import Deployment, Locator, VmGroup
from esc_daemon.domain.placing import group_of
from esc_daemon.domain.record import DeploymentRecord, Record, VmRecord
from esc_daemon.domain.requests import RecoveryVmAction
from esc_daemon.domain.states import ServiceState
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
        self._lost = Random(f"moves of the lost {world.seed}")
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
                await self._dies_soon(random)
        if self._moving and self._lost.random() < 0.5:
            await self._while_it_is_recovered(self._lost)

    async def _dies_soon(self, random: Random) -> None:
        for _ in range(random.randint(0, 80)):
            await asyncio.sleep(0)
        await asyncio.sleep(random.choice([0.0, 0.1, 3.0]))
        await self._world.dies()

    async def _while_it_is_recovered(self, random: Random) -> None:
        """
        Move the group of a VM whose recovery the operator has asked for, wherever that is by then.

        Its cloud may be dead before, or die in the middle.
        """
        world = self._world
        world.harmless = False
        there = [
            (record.key, vm)
            for record in world.homes.records
            if isinstance(record, DeploymentRecord)
            for vm in record.vms.values()
            if _may_be_asked_for(record, vm)
        ]
        if not there:
            return
        key, vm = random.choice(there)
        world.alive.run(world.deeds.act(RecoveryVmAction(vm_name=vm.name)))
        cloud = world.clouds.vims[vm.vim or NEAR]
        if random.random() < 0.5:
            cloud.weather = replace(world.weather, unreachable=1.0)
        await asyncio.sleep(random.choice([0.01, 0.1, 0.5, 2.0, 5.0, 20.0, 60.0]))
        if random.random() < 0.3:
            cloud.weather = replace(world.weather, unreachable=1.0)
        if (wanted := world.wanted().get(key)) is not None:
            other = FAR if vm.vim != FAR else NEAR
            await world.asks({key: _relocated(wanted, vm.group, other)})
        if random.random() < 0.3:
            await self._dies_soon(random)
        await asyncio.sleep(random.choice([0.5, 20.0, 90.0, 400.0]))
        cloud.weather = world.weather

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
    return {key: _relocated(wanted[key], group.name, random.choice(elsewhere))}


def _relocated(wanted: Deployment, name: VmGroupName, vim: str) -> Deployment:
    """Return *wanted* with its group *name* in *vim*."""
    groups = (
        replace(each, locator=Locator(vim_id=vim)) if each.name == name else each
        for each in wanted.groups
    )
    return replace(wanted, groups=tuple(groups))


def _may_be_asked_for(record: DeploymentRecord, vm: VmRecord) -> bool:
    """Tell whether *vm* may be recovered, and then move."""
    intent = record.intent
    quiet = record.state in {ServiceState.ACTIVE, ServiceState.ERROR} and record.update is None
    if intent is None or not quiet:
        return False
    return any(group.name == vm.group and _movable(intent, group) for group in intent.groups)


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
