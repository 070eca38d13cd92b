"""The order in which groups start, held against the moments at which the cloud made their VMs."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from esc_daemon.domain.events import EventStatus, EventType
from esc_daemon.domain.ids import RecordId, VmGroupName, VmId
from esc_daemon.domain.intent import Deployment
from esc_daemon.domain.kpi import decides_life, monitored
from esc_daemon.domain.record import DeploymentRecord, Record, VmRecord
from esc_daemon.domain.step import Step
from esc_daemon.store.base import LoggedEvent

CLOCKS_DIFFER = timedelta(milliseconds=1)


class Order:
    """What every incarnation of a deployment asked for, and when what others wait for came true."""

    def __init__(self) -> None:
        self._wants: dict[RecordId, Deployment] = {}
        self._vms: dict[VmId, tuple[RecordId, VmGroupName, str]] = {}
        self._scaled: set[VmId] = set()
        self._seen: dict[tuple[VmId, str], datetime] = {}
        self._updated: set[RecordId] = set()
        """Where what stood when the order changed holds nobody up."""
        self._ahead: dict[datetime, timedelta] = {}

    def note(self, steps: Sequence[Step], told: datetime, ahead: timedelta) -> None:
        """Learn from a commit at *told* by the daemon's clock, which is *ahead* of the world's."""
        self._ahead[told] = ahead
        time = told - ahead
        for step in steps:
            record = step.record
            if isinstance(record, DeploymentRecord) and _changed(step.before, record):
                self._updated.add(record.id)
            if isinstance(record, DeploymentRecord) and record.intent and record.intent.startup:
                self._wants[record.id] = record.intent
                for vm in record.vms.values():
                    self._note_vm(record.id, vm, time)

    def _note_vm(self, deployment: RecordId, vm: VmRecord, time: datetime) -> None:
        if vm.id not in self._vms and vm.scale is not None:
            self._scaled.add(vm.id)  # one more, for which nobody waits
        if vm.id in self._scaled:
            return
        self._vms[vm.id] = (deployment, vm.group, vm.name)
        for event_name in vm.came_true:
            self._seen.setdefault((vm.id, event_name), time)

    def too_early(self, made: Mapping[VmId, datetime], events: Iterable[LoggedEvent]) -> list[str]:
        """Name the servers that the cloud made before what their group waits for was told."""
        told: dict[tuple[str, EventType], datetime] = {}
        for logged in events:
            event = logged.event
            if event.source is not None and event.status is EventStatus.SUCCESS:
                at = logged.time - self._ahead[logged.time]
                told.setdefault((event.source.vmname, event.type), at)  # the first, of several
        return [
            f"{self._vms[vm][2]} was made before {name} had told {what}"
            for vm, at in made.items()
            if vm in self._vms and self._vms[vm][0] not in self._updated
            for name, what, moment in self._awaited(vm, told)
            if moment is None or moment > at + CLOCKS_DIFFER
        ]

    def _awaited(
        self, vm: VmId, told: Mapping[tuple[str, EventType], datetime]
    ) -> Iterable[tuple[str, str, datetime | None]]:
        """Yield the VMs that *vm* waits for, what of each, and when that was."""
        deployment, group, _ = self._vms[vm]
        want = self._wants[deployment]
        groups = {each.name: each for each in want.groups}
        awaited = {on for each in want.startup if each.group == group for on in each.depends_on}
        for on in sorted(awaited, key=lambda on: on.group):
            for other, (owner, its_group, name) in self._vms.items():
                if (owner, its_group) != (deployment, on.group):
                    continue
                if not monitored(groups[on.group]):
                    yield name, "VM_DEPLOYED", told.get((name, EventType.VM_DEPLOYED))
                elif on.event_name == decides_life(groups[on.group]):
                    yield name, "VM_ALIVE", told.get((name, EventType.VM_ALIVE))
                else:
                    yield name, on.event_name, self._seen.get((other, on.event_name))


def _changed(before: Record | None, after: DeploymentRecord) -> bool:
    """Tell whether an update goes on, or came and ended at once: nothing of a VM had to move."""
    same = isinstance(before, DeploymentRecord) and before.id == after.id
    intent = before.intent if same and isinstance(before, DeploymentRecord) else after.intent
    return after.update is not None or after.intent != intent
