"""What the tests of updates share: a service that stands, its edit, and what is told of it."""

from dataclasses import replace
from typing import Any

from esc_daemon.domain.ids import ServerKey
from esc_daemon.domain.intent import Deployment, VmGroup
from esc_daemon.domain.record import VmRecord
from esc_daemon.domain.triggers import KpiCrossed
from tests.domain.pure_world import World
from tests.domain.stories import SHOP, a_deployment, a_group

POOL = tuple(f"192.0.2.{number}" for number in range(10, 16))
BEGUN, DONE, CHANGED = "SERVICE_UPDATING_STATE", "SERVICE_UPDATED", "VM_UPDATED"
MADE, LIVES, GONE = "VM_DEPLOYED", "VM_ALIVE", "VM_UNDEPLOYED"


def standing(*groups: VmGroup, **more: Any) -> World:
    """Return a world whose service is active."""
    world = World()
    world.apply({SHOP: a_deployment(*groups, **more)})
    world.rest()
    world.log.clear()
    return world


def change(world: World, new: Deployment, *, rest: bool = True) -> World:
    world.apply({SHOP: new})
    if rest:
        world.rest()
    return world


def the_vms(world: World, group: str = "web") -> list[VmRecord]:
    return [vm for vm in world.deployment(SHOP).vms.values() if vm.group == group]


def addresses(world: World, group: str = "web") -> list[str | None]:
    return [vm.interfaces[0].ip_address for vm in the_vms(world, group)]


def indices(world: World, group: str = "web") -> list[int]:
    return [vm.index for vm in the_vms(world, group)]


def cross(world: World, *, holds: bool, index: int = 0, group: str = "web") -> None:
    vm = the_vms(world, group)[index]
    key = ServerKey(vm.id, vm.generation)
    world.tell(SHOP, KpiCrossed(server=key, event_name="VM_ALIVE", holds=holds))


def of(low: int, high: int | None = None, **more: Any) -> VmGroup:
    """Return the group web with *low* to *high* VMs in a network, from a pool."""
    made = a_group("web", "net", pool=POOL)
    scaling = replace(made.scaling, min_active=low, max_active=low if high is None else high)
    return replace(made, scaling=scaling, **more)
