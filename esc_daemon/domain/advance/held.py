"""
Before a recovery begins: a VM that was lost is held until the guard lets it go (ruling 18).

It stays in its state, nothing is told of it, and life that returns ends it without a trace. The
guard answers when neither blindness nor a limit stands against it: so it is asked anew after a
restart, and an action or an undeploy takes the place of what it waits for.
"""

from datetime import datetime

from esc_daemon.domain.advance import heal
from esc_daemon.domain.advance.settling import settled, unmoved, with_vm
from esc_daemon.domain.changed import replace
from esc_daemon.domain.ids import ServerKey
from esc_daemon.domain.intent import RecoveryType
from esc_daemon.domain.interruption import Request, takes
from esc_daemon.domain.placing import group_of
from esc_daemon.domain.policy import Policy
from esc_daemon.domain.record import DeploymentRecord, Recovery, RecoveryPhase, VmRecord
from esc_daemon.domain.states import VmState
from esc_daemon.domain.step import Step


def is_held(vm: VmRecord) -> bool:
    """Tell whether *vm* waits for its recovery to begin."""
    return vm.recovery is not None and vm.recovery.phase is RecoveryPhase.HELD


def life_lost(
    record: DeploymentRecord, vm: VmRecord, event_name: str, now: datetime, p: Policy
) -> Step:
    """The KPI *event_name* of *vm*, which was alive, no longer holds: a rule asks for recovery."""
    if vm.state is not VmState.ALIVE or vm.recovery is not None or not takes(record, Request.HEAL):
        return unmoved(record)
    after, told = hold(record, vm, f"{event_name} no longer holds", event_name, now, p)
    return settled(record, after, told, now)


def hold(
    record: DeploymentRecord, vm: VmRecord, cause: str, event_name: str, now: datetime, p: Policy
) -> heal.Move:
    """
    Let *vm* wait for its recovery, or ask the operator for it; by the KPI *event_name* it lives.

    The operator is asked, at once, where the policy says MANUAL, and for a VM that was recovered
    too often.
    """
    lately = len(heal.lately(vm, now))
    flaps = 0 < p.recoveries_an_hour <= lately
    if flaps:
        cause = f"{cause}; it was recovered {lately} times in an hour"
    found = Recovery(
        phase=RecoveryPhase.HELD,
        cause=cause,
        began=now,
        event_name=event_name,
        server=vm.server,
        host_id=vm.host_id,
        hostname=vm.hostname,
    )
    lost = replace(vm, recovery=found, deadline=None)
    if flaps or group_of(record, vm).recovery.type is RecoveryType.MANUAL:
        return heal.needed(record, lost)
    return with_vm(record, lost), ()


def permitted(record: DeploymentRecord, server: ServerKey, now: datetime, p: Policy) -> Step:
    """The recovery of the VM of *server* may begin."""
    vm = record.vms.get(server.vm)
    if vm is None or vm.generation != server.generation or not is_held(vm):
        return unmoved(record)
    if not takes(record, Request.HEAL):
        return unmoved(record)  # it is asked again when what is under way has ended
    after, told = heal.begin(record, vm, now, p)
    return settled(record, after, told, now)


def freed(record: DeploymentRecord, vm: VmRecord) -> tuple[DeploymentRecord, VmRecord]:
    """Return the record and *vm* without the recovery that it waits for: it is not needed."""
    lives = replace(vm, recovery=None)
    return with_vm(record, lives), lives
