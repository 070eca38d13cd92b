"""The order in which groups start, held against the moments at which the cloud made their VMs."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from esc_daemon.domain.changes import LOCATOR_UPDATED
from esc_daemon.domain.events import Event, EventStatus, EventType
from esc_daemon.domain.ids import RecordId, VmId
from esc_daemon.domain.kpi import decides_life, monitored
from esc_daemon.domain.record import DeploymentRecord, VmRecord
from esc_daemon.domain.states import VmState
from esc_daemon.domain.step import Step
from esc_daemon.store.base import LoggedEvent

CLOCKS_DIFFER: Final = timedelta(milliseconds=1)
_UP: Final = frozenset(
    {VmState.ALIVE, VmState.MONITOR_UNSET, VmState.MONITOR_DISABLED, VmState.SHUTOFF}
)

_MADE_BY: Final = dict.fromkeys(
    (
        EventType.VM_RECOVERY_DEPLOYED,
        EventType.VM_RECOVERY_REBOOT,
        EventType.VM_STARTED,
        EventType.VM_REBOOTED,
    ),
    EventType.VM_DEPLOYED,
)
"""A VM that could not be made, and comes up late by something else, tells so in other words."""


class _Wait(NamedTuple):
    """What a VM waits for in *other*: that an event of it is *told*, or that a KPI is *seen*."""

    other: VmId
    name: str
    told: EventType | None
    seen: str

    @property
    def what(self) -> str:
        return self.seen if self.told is None else self.told.value


def _names_of(record: DeploymentRecord, group: str) -> set[str]:
    """Return what the other groups wait for in the VMs of *group*."""
    assert record.intent is not None
    each_on = (on for startup in record.intent.startup for on in startup.depends_on)
    return {on.event_name for on in each_on if on.group == group}


def _is_back(event: Event) -> bool:
    """Tell whether a VM that did not come to another VIM lives again where it was."""
    assert event.source is not None
    return event.message.endswith(f"; it is in VIM {event.source.vim_id} again")


class Order:
    """
    What every VM had to wait for when it was begun, and when that came true.

    It waits by what its deployment wanted then, for the VMs that there were. Who was up when an
    update began holds nobody up, whatever the update made of the order and whatever becomes of it
    later; nor does who came by scaling.
    """

    def __init__(self) -> None:
        self._waits: dict[VmId, tuple[_Wait, ...]] = {}
        self._names: dict[VmId, str] = {}
        self._stood: dict[RecordId, set[tuple[VmId, str]]] = {}
        """Who was up when an update of an incarnation began, with what was waited for then."""
        self._scaled: set[VmId] = set()
        self._seen: dict[tuple[VmId, str], datetime] = {}
        self._at: dict[datetime, datetime] = {}
        """The world's time by the daemon's, which may stand still."""

    def note(self, steps: Sequence[Step], told: datetime, time: datetime) -> None:
        """Learn from a commit at *time*, *told* as of a time of the daemon's clock."""
        self._at.setdefault(told, time)
        for step in steps:
            record = step.record
            if isinstance(record, DeploymentRecord) and record.intent is not None:
                self._note(step.before, record, time)

    def _note(self, before: object, record: DeploymentRecord, time: datetime) -> None:
        same = isinstance(before, DeploymentRecord) and before.id == record.id
        known = before if same and isinstance(before, DeploymentRecord) else None
        vms: Mapping[VmId, VmRecord] = known.vms if known else {}
        if known is not None and record.update is not None and known.update is None:
            up = [vm for vm in vms.values() if vm.state in _UP]
            stood = self._stood.setdefault(record.id, set())
            stood.update((vm.id, name) for vm in up for name in _names_of(record, vm.group))
        for vm in record.vms.values():
            if vm.scale is not None and vm.id not in vms:
                self._scaled.add(vm.id)
            for event_name in vm.came_true:
                self._seen.setdefault((vm.id, event_name), time)
        for vm in record.vms.values():
            unbegun = vm.id not in vms or vms[vm.id].state is VmState.UNDEF
            if unbegun and vm.state is not VmState.UNDEF and vm.id not in self._scaled:
                self._names[vm.id] = vm.name
                self._waits[vm.id] = tuple(self._awaited(record, vm))

    def _awaited(self, record: DeploymentRecord, vm: VmRecord) -> Iterator[_Wait]:
        assert record.intent is not None
        groups = {each.name: each for each in record.intent.groups}
        stood = self._stood.get(record.id, set())
        for startup in record.intent.startup:
            for on in startup.depends_on if startup.group == vm.group else ():
                for other in record.vms.values():
                    if other.group != on.group or other.id in self._scaled:
                        continue
                    if (other.id, on.event_name) in stood:
                        continue
                    told = None
                    if not monitored(groups[on.group]):
                        told = EventType.VM_DEPLOYED
                    elif on.event_name == decides_life(groups[on.group]):
                        told = EventType.VM_ALIVE
                    yield _Wait(other.id, other.name, told, on.event_name)

    def too_early(self, made: Mapping[VmId, datetime], events: Iterable[LoggedEvent]) -> list[str]:
        """Name the servers that the cloud made before what their group waits for was told."""
        told: dict[tuple[str, EventType], datetime] = {}
        vims: dict[str, str | None] = {}
        for logged in events:
            event = logged.event
            if event.source is None:
                continue
            was = vims.get(event.source.vmname)
            vims[event.source.vmname] = event.source.vim_id
            what: tuple[EventType, ...] = ()
            if event.status is EventStatus.SUCCESS:
                what = (_MADE_BY.get(event.type, event.type),)
            moved = bool(what) and was is not None and was != event.source.vim_id
            if event.vm_update_type == LOCATOR_UPDATED and (moved or _is_back(event)):
                what = (EventType.VM_DEPLOYED, EventType.VM_ALIVE)  # it lives there
            for each in what:  # the first, of several
                told.setdefault((event.source.vmname, each), self._at[logged.time])
        return [
            f"{self._names[vm]} was made before {wait.name} had told {wait.what}"
            for vm, at in made.items()
            for wait in self._waits.get(vm, ())
            if not self._in_time(wait, told, at + CLOCKS_DIFFER)
        ]

    def _in_time(
        self, wait: _Wait, told: Mapping[tuple[str, EventType], datetime], at: datetime
    ) -> bool:
        if wait.told is None:
            moment = self._seen.get((wait.other, wait.seen))
        else:
            moment = told.get((wait.name, wait.told))
        return moment is not None and moment <= at
