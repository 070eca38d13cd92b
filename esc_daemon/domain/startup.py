"""
The order in which groups start: whose turn has come, and whose never will (policies/startup).

A group waits until the KPI events that it depends on have come true in every VM of the groups
that it names. A VM notes in its record what came true in it, so the order outlives a restart.
Once a VM has failed nothing more begins: what is under way beside it ends, then all has failed.

The same order holds where the whole service is started or rebooted (seed 002: what VMs have to do
with each other counts over all their life). There a VM that fails holds up its own dependents only.
"""

from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum
from functools import lru_cache
from graphlib import TopologicalSorter
from typing import Final, TypeAlias

from esc_daemon.domain.ids import VmGroupName
from esc_daemon.domain.intent import Deployment, Startup
from esc_daemon.domain.record import DeploymentRecord, VmRecord, VmTask
from esc_daemon.domain.states import SWITCHED_VM_STATES, ServiceState, VmState

_BEGINNING: Final = frozenset({ServiceState.DEPLOYING, ServiceState.INERT})
_AGAIN: Final = frozenset({ServiceState.STARTING, ServiceState.REBOOTING})
_SWITCHED_ON: Final = frozenset({VmTask.START, VmTask.REBOOT})
_COMING: Final = SWITCHED_VM_STATES | {VmState.INERT}
UP: Final = frozenset({VmState.ALIVE, VmState.MONITOR_UNSET})
_NOT_UP: Final = frozenset({VmState.UNDEF, VmState.ERROR})
_Awaited: TypeAlias = tuple[VmGroupName, str]
"""A group and the KPI event of it that is waited for."""
_NAMED: Final = 5
"""Groups that a text names, and dependencies of each: an event must stay readable."""


class Turn(StrEnum):
    """Whether the VMs of a group may be made."""

    COME = "come"
    LATER = "later"
    NEVER = "never"
    """What it waits for, or anything else, failed before it began."""


def turns(record: DeploymentRecord) -> Mapping[VmGroupName, Turn]:
    """Return the turn of every group that waits, or is waited for; the turn of others has come."""
    if record.intent is None or not record.intent.startup:
        return {}
    vms = _by_group(record)
    before = record.update.broken if record.update else ()
    failed = any(vm.state is VmState.ERROR and vm.id not in before for vm in record.vms.values())
    found: dict[VmGroupName, Turn] = {}
    after: dict[_Awaited, Turn] = {}
    for group, awaited in _in_order(_Same(record.intent.startup)):
        if failed and awaited is not None and _unbegun(vms.get(group, ())):
            found[group] = Turn.NEVER
            continue
        for each in awaited or ():
            if each not in after:  # many may wait for one
                of, event_name = each
                after[each] = _after(vms.get(of, ()), event_name, found[of])
        found[group] = _last({after[each] for each in awaited or ()})
    return found


def turns_to_switch(record: DeploymentRecord) -> Mapping[VmGroupName, Turn]:
    """
    Return as `turns` does whose servers may be switched on, by an action on the whole service.

    Waited for is what the action has yet to bring up: not a VM without a server, nor one that was
    stopped by itself and stays so.
    """
    if record.intent is None or not record.intent.startup:
        return {}
    vms = _by_group(record)
    found: dict[VmGroupName, Turn] = {}
    after: dict[_Awaited, Turn] = {}
    for group, awaited in _in_order(_Same(record.intent.startup)):
        for each in awaited or ():
            if each not in after:  # many may wait for one
                of, event_name = each
                after[each] = _last({_comes(vm, event_name, found[of]) for vm in vms.get(of, ())})
        found[group] = _last({after[each] for each in awaited or ()})
    return found


def _comes(vm: VmRecord, event_name: str, turn: Turn) -> Turn:
    """Return the turn of who waits for *event_name* in *vm*, whose own turn is *turn*."""
    if _came_true(vm, event_name):
        return Turn.COME
    if vm.state is VmState.ERROR:
        return Turn.COME if vm.server is None else Turn.NEVER
    if vm.state in _COMING or vm.deadline is not None:
        return Turn.NEVER if turn is Turn.NEVER else Turn.LATER
    return Turn.COME


def _by_group(record: DeploymentRecord) -> Mapping[VmGroupName, Sequence[VmRecord]]:
    vms: dict[VmGroupName, list[VmRecord]] = {}
    for vm in record.vms.values():
        vms.setdefault(vm.group, []).append(vm)
    return vms


class _Same:
    """An order of start, told from others by what it is: to look at what is in it takes longer."""

    __slots__ = ("startup",)

    def __init__(self, startup: tuple[Startup, ...]) -> None:
        self.startup = startup

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.startup is other.startup

    def __hash__(self) -> int:
        return id(self.startup)


@lru_cache(maxsize=64)
def _in_order(same: _Same) -> Sequence[tuple[VmGroupName, Sequence[_Awaited] | None]]:
    """
    Return the groups that wait or are waited for, each with what it waits for and after that.

    None stands with those that are only waited for. Each step of a deployment asks for it, and it
    changes with its edits only.
    """
    awaited = {
        each.group: [(on.group, on.event_name) for on in each.depends_on] for each in same.startup
    }
    waits = {group: [of for of, _ in events] for group, events in awaited.items()}
    return [(group, awaited.get(group)) for group in TopologicalSorter(waits).static_order()]


def _unbegun(vms: Sequence[VmRecord]) -> bool:
    return bool(vms) and all(vm.state is VmState.UNDEF for vm in vms)


def _last(each: Collection[Turn]) -> Turn:
    return next((turn for turn in (Turn.NEVER, Turn.LATER) if turn in each), Turn.COME)


def _after(vms: Sequence[VmRecord], event_name: str, turn: Turn) -> Turn:
    """Return the turn of who waits for *event_name* in *vms*, whose own turn is *turn*."""
    missing = [vm for vm in vms if not _came_true(vm, event_name)]
    if not missing:
        return Turn.COME
    if turn is Turn.NEVER or any(vm.state is VmState.ERROR for vm in missing):
        return Turn.NEVER
    return Turn.LATER


def _came_true(vm: VmRecord, event_name: str) -> bool:
    """Nobody watches the KPIs of an unmonitored VM: it counts as soon as it is deployed."""
    return event_name in vm.came_true or vm.state is VmState.MONITOR_UNSET


def awaited_of(intent: Deployment, group: VmGroupName) -> frozenset[str]:
    """Return the KPI events of *group* that others wait for."""
    return frozenset(
        on.event_name for each in intent.startup for on in each.depends_on if on.group == group
    )


def booted(record: DeploymentRecord, vm: VmRecord) -> bool:
    """Tell whether nobody waits for an event of *vm*, which lives, any more."""
    if record.intent is None:
        return True
    again = record.state in _AGAIN and vm.task in _SWITCHED_ON
    begins = record.state in _BEGINNING or record.update is not None or vm.scale is not None
    if not (again or begins):
        return True
    return awaited_of(record.intent, vm.group).issubset(vm.came_true)


def waits_for(startup: Startup) -> str:
    """Return what a group waits for, in words; of many the first ones."""
    events = (f"{on.event_name} of {on.group}" for on in startup.depends_on[:_NAMED])
    return f"waits for {', '.join(events)}"


def never_started(record: DeploymentRecord) -> str:
    """Name the groups whose turn never comes and what they wait for; empty where there are none."""
    turn = turns(record)
    down = {vm.group for vm in record.vms.values() if vm.state in _NOT_UP}
    barred = [
        f"vm_group {each.group} ({waits_for(each)})"
        for each in (record.intent.startup if record.intent else ())
        if turn[each.group] is Turn.NEVER and each.group in down
    ]
    more = len(barred) - _NAMED
    return "; ".join(barred[:_NAMED]) + (f" (and {more} more groups)" if more > 0 else "")


def is_up(vm: VmRecord) -> bool:
    """Tell whether *vm* lives, and nobody is to bring it up."""
    return vm.state in UP and vm.recovery is None


def has_stopped_half_way(record: DeploymentRecord) -> bool:
    """Tell whether what was never made of *record* is groups that wait for others, and no more."""
    assert record.intent is not None
    waiting = {each.group for each in record.intent.startup}
    unmade = [vm.group in waiting for vm in record.vms.values() if vm.state is VmState.UNDEF]
    return bool(unmade) and all(unmade)
