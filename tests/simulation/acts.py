"""Actions on services and VMs in the simulation, and that each that began comes to its end."""

from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from random import Random
from typing import Final

from esc_daemon.domain.events import Event, EventType
from esc_daemon.domain.ids import Key, RecordId, VmId
from esc_daemon.domain.record import (
    ActionType,
    DeploymentRecord,
    Record,
    RecoveryPhase,
    VmRecord,
)
from esc_daemon.domain.requests import Action, RecoveryVmAction, ServiceAction, VmAction
from esc_daemon.domain.states import ServiceState, VmState
from esc_daemon.domain.step import Step
from esc_daemon.store.base import LoggedEvent

_SERVICES: Final[Mapping[ServiceState, EventType]] = {
    ServiceState.STOPPING: EventType.SERVICE_STOPPED,
    ServiceState.STARTING: EventType.SERVICE_STARTED,
    ServiceState.REBOOTING: EventType.SERVICE_REBOOTED,
    ServiceState.DEPLOYING: EventType.SERVICE_ALIVE,
}
_VMS: Final[Mapping[VmState, EventType]] = {
    VmState.STOPPING: EventType.VM_STOPPED,
    VmState.STARTING: EventType.VM_STARTED,
    VmState.REBOOTING: EventType.VM_REBOOTED,
}
_ENDS: Final = frozenset({*_SERVICES.values(), *_VMS.values(), EventType.VM_RECOVERY_REBOOT})
_QUIET: Final = frozenset({ServiceState.ACTIVE, ServiceState.STOPPED, ServiceState.ERROR})
_ALL: Final = tuple(ActionType)
_RUNS: Final = (ActionType.STOP, ActionType.REBOOT, ActionType.DISABLE_MONITOR)
_OFF: Final = (ActionType.START,)
_FITS: Final = {
    ServiceState.ACTIVE: (*_RUNS, ActionType.ENABLE_MONITOR),
    ServiceState.STOPPED: _OFF,
}
_FITS_VM: Final = {
    VmState.ALIVE: _RUNS,
    VmState.MONITOR_UNSET: _RUNS[:2],
    VmState.MONITOR_DISABLED: (ActionType.ENABLE_MONITOR, ActionType.REBOOT),
    VmState.SHUTOFF: _OFF,
}
"""What is not refused for the state alone."""
_About = tuple[RecordId, str | None, EventType]
"""An incarnation, the name of a VM of it or None for the service, and what tells the end."""


def any_action(records: Iterable[Record], random: Random) -> Action | None:
    """Return what an operator may ask of a deployment or a VM; None where there is none."""
    there = [each for each in records if isinstance(each, DeploymentRecord) and each.intent]
    if not there:
        return None
    quiet = [each for each in there if each.state in _QUIET]
    record = random.choice(quiet if quiet and random.random() < 0.8 else there)
    vms = list(record.vms.values())
    roll = random.random()
    if roll < 0.4 or not vms:
        type_ = _any_type(_FITS.get(record.state, _ALL), random)
        tenant = record.key.tenant or ""
        return ServiceAction(type=type_, tenant=tenant, deployment=record.key.name)
    vm = random.choice(vms)
    if roll < 0.55:
        return RecoveryVmAction(vm_name=vm.name)
    type_ = _any_type(_FITS_VM.get(vm.state, _ALL), random)
    return VmAction(type=type_, vm_name=vm.name, force=random.random() < 0.6)


def _any_type(fitting: Sequence[ActionType], random: Random) -> ActionType:
    return random.choice(fitting if random.random() < 0.8 else _ALL)


class Acts:
    """What began, by what was committed; each is to be told once when it has ended."""

    def __init__(self) -> None:
        self._records: dict[Key, Record] = {}
        self._begun: Counter[_About] = Counter()

    def begin(self, records: Iterable[Record]) -> None:
        """Take up what a start finds: perhaps a commit that nobody answered."""
        found = {record.key: record for record in records}
        for key, record in found.items():
            self._compare(self._records.get(key), record)
        self._records = found

    def note(self, steps: Sequence[Step]) -> None:
        """Learn from a commit."""
        for step in steps:
            if step.record is None:
                self._records.pop(step.key, None)
            else:
                self._compare(self._records.get(step.key), step.record, step.events)
                self._records[step.key] = step.record

    def _compare(self, before: Record | None, after: Record, events: Sequence[Event] = ()) -> None:
        if not isinstance(after, DeploymentRecord):
            return
        same = isinstance(before, DeploymentRecord) and before.id == after.id
        known = before if same and isinstance(before, DeploymentRecord) else None
        told = {event.type for event in events if event.source is None}
        for what in _begun_by_service(known, after, told):
            self._begun[after.id, None, what] += 1
        vms: Mapping[VmId, VmRecord] = known.vms if known else {}
        for vm in after.vms.values():
            for what in _begun_by_vm(vms.get(vm.id), vm):
                self._begun[after.id, vm.name, what] += 1

    def wrong(self, events: Iterable[LoggedEvent]) -> Iterator[str]:
        """Yield what did not end though all is at rest, and what ended more often than it began."""
        told: Counter[_About] = Counter()
        over: set[str] = set()
        for event in (logged.event for logged in events):
            if event.deployment_id is None:
                continue
            id_ = RecordId(event.deployment_id)
            if event.type is EventType.SERVICE_UNDEPLOYED:
                over.add(id_)
            elif event.type in _ENDS:
                name = event.source.vmname if event.source else None
                told[id_, name, event.type] += 1
        for about in {*told, *self._begun}:
            begun, ended = self._begun[about], told[about]
            if ended != begun and not (about[0] in over and ended == begun - 1):
                yield f"{about} began {begun} times and ended {ended} times"


def _begun_by_service(
    before: DeploymentRecord | None, after: DeploymentRecord, told: Container[EventType]
) -> Iterator[EventType]:
    """What ended, as was *told*, may have begun anew in one commit: a deployment goes on."""
    what = _SERVICES.get(after.state)
    if what and (before is None or before.state is not after.state or what in told):
        yield what
    if after.action is ActionType.ENABLE_MONITOR and not (before and before.action):
        yield EventType.SERVICE_ALIVE


def _begun_by_vm(before: VmRecord | None, after: VmRecord) -> Iterator[EventType]:
    if after.state not in _VMS or (before is not None and _rung(before) == _rung(after)):
        return
    if after.recovery is None:
        yield _VMS[after.state]
    elif after.recovery.phase is RecoveryPhase.REBOOTING:
        yield EventType.VM_RECOVERY_REBOOT


def _rung(vm: VmRecord) -> tuple[VmState, int]:
    """A reboot that failed at once may be followed by the next one in the same step."""
    return vm.state, vm.recovery.rounds if vm.recovery else 0
