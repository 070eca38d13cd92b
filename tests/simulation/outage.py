"""
An outage of many guests at once, or of our own sight, in worlds that begin with a crowd of VMs.

The blindness guard (ruling 18) is on: none of them may be touched, whatever dies meanwhile; when
they answer again nothing has happened; and one guest alone that falls silent is healed.
"""

import asyncio
from collections.abc import Iterator
from random import Random
from typing import TYPE_CHECKING, Final

from esc_daemon.domain.events import Event, EventStatus, EventType
from esc_daemon.domain.ids import DeploymentName, Key, Kind, ServerKey, TenantName
from esc_daemon.domain.intent import Tenant
from esc_daemon.domain.policy import GuardPolicy
from esc_daemon.domain.record import DeploymentRecord
from esc_daemon.domain.states import ServiceState, VmState
from esc_daemon.vim.simulator.cloud import Cloud
from tests.simulation.clouds import NEAR
from tests.simulation.requests import CROWD, any_crowd

if TYPE_CHECKING:
    from tests.simulation.world import World

GUARD: Final = GuardPolicy(share=0.5, least=CROWD - 1)
_TENANT: Final = TenantName("a")
_NAME: Final = DeploymentName("x")
_KEY: Final = Key(Kind.DEPLOYMENT, _TENANT, _NAME)
_DEPLOYED_SECONDS: Final = 60
_QUIET_SECONDS: Final = 15
"""In these a guest that answers again is seen to."""
_HEALED_SECONDS: Final = 120


class Outage:
    """What one world begins with."""

    def __init__(self, world: "World", random: Random) -> None:
        self._world = world
        self._random = random
        self._sees = True

    async def sees(self) -> bool:
        """Tell whether any of the manager's check addresses answers."""
        return self._sees

    async def happens(self) -> Iterator[str]:
        """Let it come and go; return what should not have been."""
        world = self._world
        wanted = {
            Key(Kind.TENANT, None, _TENANT): Tenant(name=_TENANT),
            _KEY: any_crowd(_NAME, self._random),
        }
        await world.asks(wanted)
        if not await self._becomes(ServiceState.ACTIVE, _DEPLOYED_SECONDS):
            return iter([f"the crowd does not live: {self._record}"])
        told, servers = len(world.events), self._servers()
        blind = self._random.random() < 0.3
        hit = self._random.sample(servers, 1 if blind else self._random.choice([CROWD - 1, CROWD]))
        self._sees = not blind
        for key in hit:
            self._cloud.silence(key)
            await asyncio.sleep(self._random.choice([0.0, 0.3]))
        await self._time_goes_by()
        for key in hit:
            self._cloud.wake(key)
        await asyncio.sleep(_QUIET_SECONDS)
        self._sees = True
        touched = list(self._touched(told, servers))
        return iter([*touched, *(await self._one_alone())])

    async def _time_goes_by(self) -> None:
        await asyncio.sleep(self._random.choice([4, 20, 60]))
        if self._random.random() < 0.3:
            await self._world.dies()
            await asyncio.sleep(self._random.choice([0, 20]))

    def _touched(self, told: int, servers: list[ServerKey]) -> Iterator[str]:
        record = self._record
        for logged in self._world.events[told:]:
            if record is None or logged.event.deployment_id == record.id:
                yield f"the guard was on and {logged.event.type} was told"
        if record is None or self._servers() != servers:
            yield "the guard was on and a VM was redeployed"
        elif any(vm.recovery or vm.history.rebooted for vm in record.vms.values()):
            yield f"the guard was on and a VM was touched: {record.vms}"

    async def _one_alone(self) -> Iterator[str]:
        told, key = len(self._world.events), self._random.choice(self._servers())
        self._cloud.silence(key)
        for _ in range(_HEALED_SECONDS // 3):
            await asyncio.sleep(3)
            if any(self._healed(each.event, key) for each in self._world.events[told:]):
                return iter(())
        return iter([f"one guest alone was silent and was not healed: {self._record}"])

    def _healed(self, event: Event, key: ServerKey) -> bool:
        record = self._record
        vm = record.vms[key.vm] if record else None
        well = (event.type, event.status) == (EventType.VM_RECOVERY_COMPLETE, EventStatus.SUCCESS)
        return vm is not None and well and vm.state is VmState.ALIVE

    async def _becomes(self, state: ServiceState, seconds: int) -> bool:
        for _ in range(seconds // 3):
            await asyncio.sleep(3)
            if self._record is not None and self._record.state is state:
                return True
        return False

    def _servers(self) -> list[ServerKey]:
        vms = self._record.vms.values() if self._record else ()
        return sorted(ServerKey(vm.id, vm.generation) for vm in vms)

    @property
    def _record(self) -> DeploymentRecord | None:
        record = self._world.engine.record(_KEY)
        return record if isinstance(record, DeploymentRecord) else None

    @property
    def _cloud(self) -> Cloud:
        return self._world.clouds.vims[NEAR].cloud.cloud
