"""A service whose groups scale by KPIs, for the tests of scaling."""

from dataclasses import replace
from typing import Final

from esc_daemon.domain.ids import OperationId, ServerKey
from esc_daemon.domain.intent import (
    Collector,
    Condition,
    Kpi,
    RecoveryPolicy,
    Rule,
    RuleAction,
    RuleWhen,
    VmGroup,
)
from esc_daemon.domain.record import VmRecord
from esc_daemon.domain.triggers import KpiCrossed
from tests.domain.pure_world import World
from tests.domain.stories import SHOP, UNHEALED, a_deployment, a_group

OP: Final = OperationId("33333333-3333-3333-3333-333333333333")
OUT: Final = ["VM_SCALE_OUT_INIT", "VM_SCALE_OUT_DEPLOYED", "VM_ALIVE", "VM_SCALE_OUT_COMPLETE"]
OUT_FAILED: Final = [
    "VM_SCALE_OUT_INIT",
    "VM_SCALE_OUT_DEPLOYED FAILURE",
    "VM_SCALE_OUT_COMPLETE FAILURE",
]
IN: Final = ["VM_SCALE_IN_INIT", "VM_SCALE_IN_COMPLETE"]


def a_load(event_name: str, action: str) -> tuple[Kpi, Rule]:
    kpi = Kpi(
        event_name=event_name,
        threshold="70",
        condition=Condition.GT,
        collector=Collector(type="cpu", continuous_alarm=True),
    )
    return kpi, Rule(event_name=event_name, actions=(RuleAction(when=RuleWhen.TRUE, name=action),))


def elastic(
    *networks: str,
    least: int = 1,
    most: int = 3,
    by_kpi: bool = True,
    pool: tuple[str, ...] = (),
    recovery: RecoveryPolicy = UNHEALED,
    name: str = "web",
) -> VmGroup:
    group = a_group(name, *networks, vms=least, pool=pool, recovery=recovery)
    (high, out), (low, back) = (
        a_load("OVERLOADED", "servicescaleup.sh"),
        a_load("UNDERLOADED", "ESC_VM_scale_in_notification"),
    )
    return replace(
        group,
        kpis=(*group.kpis, high, low),
        rules=(*group.rules, out, back),
        scaling=replace(group.scaling, max_active=most, elastic=by_kpi),
    )


def up(*groups: VmGroup) -> World:
    """Return a world whose service is active."""
    world = World()
    world.apply({SHOP: a_deployment(*groups)})
    world.rest()
    world.log.clear()
    return world


def the_vms(world: World) -> list[VmRecord]:
    return list(world.deployment(SHOP).vms.values())


def cross(world: World, event_name: str, vm: VmRecord | None = None) -> None:
    vm = vm or the_vms(world)[0]
    key = ServerKey(vm.id, vm.generation)
    world.tell(SHOP, KpiCrossed(server=key, event_name=event_name, holds=True, value="90"))


def overload(world: World, vm: VmRecord | None = None) -> None:
    cross(world, "OVERLOADED", vm)


def underload(world: World, vm: VmRecord | None = None) -> None:
    cross(world, "UNDERLOADED", vm)


def settle(world: World) -> None:
    """Let everything end, and the group's rest too."""
    world.rest()
    world.sleep(world.policy.scaling_pause.total_seconds())


def addresses(world: World) -> list[str | None]:
    return [vm.interfaces[0].ip_address for vm in the_vms(world)]
