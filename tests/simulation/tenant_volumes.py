"""Volumes of tenants: made, grown, asked to shrink, deleted, and what must be there of them."""

import asyncio
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING, Any, Final

from esc_daemon.domain.ids import Key, Kind, TenantName, VimId, VolumeKey
from esc_daemon.domain.intent import Tenant, TenantVolume
from esc_daemon.domain.record import ResourceRecord
from esc_daemon.domain.states import ResourceState
from esc_daemon.engine.volumes import key_of_tenant
from esc_daemon.vim.simulator.faults import Fault, Rule, Verb
from esc_daemon.vim.simulator.rows import VolumeRow
from tests.simulation.clouds import Clouds, in_the_clouds
from tests.simulation.requests import Edit
from tests.simulation.wishes import crossing

if TYPE_CHECKING:
    from tests.simulation.world import World

_STEPS: Final = (-1, 0, 1, 1, 2, 3)
"""By how many GiB the next one is larger."""
_TENANTS: Final = (TenantName("a"), TenantName("b"))
_OWNERS: Final = frozenset(key_of_tenant(Key(Kind.VOLUME, at, "disk")).owner for at in _TENANTS)


class Disks:
    """All of it drawn from *random*, and nothing in six of seven seeds."""

    def __init__(self, world: "World", random: Random) -> None:
        self._world = world
        self._random = random
        self._some = random.random() < 1 / 7

    def any_rules(self) -> tuple[Rule, ...]:
        """Return what goes wrong with them, and ends with the bad weather."""
        if not self._some or self._random.random() < 0.6:
            return ()
        there = [
            Rule(fault=Fault.QUOTA, verb=Verb.ENSURE_VOLUME, probability=0.3),
            Rule(fault=Fault.REFUSE, verb=Verb.REMOVE_VOLUME, count=self._random.choice([1, 7])),
            Rule(fault=Fault.UNKNOWN_AFTER, verb=Verb.ENSURE_VOLUME, probability=0.5),
        ]
        return tuple(self._random.sample(there, self._random.randint(1, 2)))

    async def some(self) -> None:
        """Change them; the daemon may die in the middle."""
        world, random = self._world, self._random
        for _ in range(random.choice([0, 1, 2, 3]) if self._some else 0):
            edit = self._any_edit()
            if random.random() < 0.3:
                if crossing(edit, world.wishes):
                    continue
                world.sends(edit)
                for _ in range(random.randint(0, 80)):
                    await asyncio.sleep(0)
                await asyncio.sleep(random.choice([0.0, 0.1, 3.0]))
                await world.dies()
            else:
                await world.asks(edit)
            await asyncio.sleep(random.choice([0.0, 0.5, 5.0, 40.0]))

    def _any_edit(self) -> Edit:
        tenant = self._random.choice(_TENANTS)
        key = Key(Kind.VOLUME, tenant, "disk")
        old = self._world.wanted().get(key)
        if old is not None and self._random.random() < 0.2:
            return {key: None}
        new = old or TenantVolume(name="disk", size_gib=1)
        new = replace(new, size_gib=max(1, new.size_gib + self._random.choice(_STEPS)))
        if self._random.random() < 0.1:
            new = replace(new, type=self._random.choice([None, "lvm"]))
        return {Key(Kind.TENANT, None, tenant): Tenant(name=tenant), key: new}


def of_a_tenant(key: VolumeKey) -> bool:
    """Tell whether *key* is that of a volume of a tenant."""
    return key.owner in _OWNERS


def wrong(
    records: Mapping[Key, Any], clouds: Clouds, purged: Collection[tuple[VimId, Any]] = ()
) -> Iterator[str]:
    """Yield what is left behind, and what is not as large as its record says."""
    rows = {(vim, row.key): row for vim, row in clouds.rows(VolumeRow)}
    there = {
        (record.vim, key_of_tenant(key)): record
        for key, record in records.items()
        if key.kind is Kind.VOLUME
    }
    known = there.keys() | in_the_clouds(purged)
    for at, row in rows.items():
        if at[1] is not None and of_a_tenant(at[1]) and at not in known:
            yield f"left behind: {row}"
    for at, record in there.items():
        if isinstance(record, ResourceRecord) and record.state is ResourceState.ACTIVE:
            if (row := rows.get(at)) is not None:
                yield from _otherwise(record, row)
            elif at[1] not in clouds.vanished:
                yield f"lost: {record}"


def _otherwise(record: Any, row: VolumeRow) -> Iterator[str]:
    if record.handle.size_gib != record.intent.size_gib:
        yield f"not as large as was asked for: {record}"
    if row.size_gib != record.intent.size_gib or row.volume_type != record.intent.type:
        yield f"not as it was asked to be: {row}"
    if row.id != record.handle.resource_id:
        yield f"another one than is known: {row}"
