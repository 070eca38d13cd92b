"""What must hold of deployments when all has come to rest, but for what somebody did by hand."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

from esc_daemon.domain.actions import Effect, events_with
from esc_daemon.domain.ids import Key, ServerKey
from esc_daemon.domain.interruption import recovering, watched
from esc_daemon.domain.kpi import decides_life
from esc_daemon.domain.placing import group_of
from esc_daemon.domain.record import DeploymentRecord, OperationType, RecoveryPhase, VmRecord
from esc_daemon.domain.specs import ServerStatus
from esc_daemon.domain.states import OperationState, ServiceState, VmState
from esc_daemon.engine.engine import Engine
from esc_daemon.vim.simulator.servers import GuestState
from tests.simulation.clouds import Clouds

_LASTS: Final = frozenset(
    {
        VmState.UNDEF,
        VmState.ALIVE,
        VmState.MONITOR_UNSET,
        VmState.MONITOR_DISABLED,
        VmState.SHUTOFF,
        VmState.ERROR,
    }
)
_ON: Final = frozenset({VmState.ALIVE, VmState.MONITOR_UNSET, VmState.MONITOR_DISABLED})
UNNOTICED: Final = "nobody noticed that its guest is silent"
_OPEN: Final = frozenset({OperationState.STARTING, OperationState.PROCESSING})


def vms_rest(record: DeploymentRecord) -> bool:
    """Tell whether nothing is under way with any VM of *record*."""
    return record.action is None and all(_rests(vm) for vm in record.vms.values())


def _rests(vm: VmRecord) -> bool:
    waits = vm.recovery is not None and vm.recovery.phase is not RecoveryPhase.NEEDED
    return vm.state in _LASTS and vm.scale is None and vm.power is None and not waits


def endless(records: Mapping[Key, Any]) -> Iterator[Key]:
    """Yield each deployment that an undeploy alone can end: what is recovered for ever."""
    for key, record in records.items():
        if isinstance(record, DeploymentRecord) and record.intent is not None:
            for vm in record.vms.values():
                if recovering(vm) and group_of(record, vm).recovery.max_retries < 0:
                    yield key
                    break


def unnoticed(records: Mapping[Key, Any], clouds: Clouds) -> bool:
    """Tell whether a guest is silent, and its KPI has perhaps yet to be polled so often."""
    return any(
        fault == UNNOTICED
        for record in records.values()
        if isinstance(record, DeploymentRecord)
        for vm in record.vms.values()
        for fault in _of_a_vm(record, vm, clouds)
    )


def wrong(records: Mapping[Key, Any], clouds: Clouds, engine: Engine) -> Iterator[str]:
    """Yield what is not as it should be once nobody does anything any more."""
    lives = [each for each in records.values() if isinstance(each, DeploymentRecord)]
    for record in lives:
        for fault in (*_unfinished(record), *_unwell(record), *_given_twice(record)):
            yield f"{record.key.name}: {fault}"
        for vm in record.vms.values():
            for fault in _of_a_vm(record, vm, clouds):
                yield f"{vm.name} ({vm.state}): {fault}"
    yield from _watched(lives, engine)


def _unfinished(record: DeploymentRecord) -> Iterator[str]:
    if record.action is not None:
        yield f"{record.action} never ended"
    if record.operation is not None and record.operation.state in _OPEN:
        yield f"its operation never ended: {record.operation}"
    for errand in record.owed:
        yield f"{errand.stage} {errand.name} never ran"
    for vm in record.vms.values():
        if not _rests(vm):
            yield f"{vm.name} never came to rest: {vm.state} {vm.recovery} {vm.scale}"
        elif vm.deadline is not None:
            yield f"{vm.name} is waited for: {vm.state}"


def _unwell(record: DeploymentRecord) -> Iterator[str]:
    """A service is active if all its VMs are well; only then, but after an update that failed."""
    states = {vm.state for vm in record.vms.values()}
    if record.state is ServiceState.ACTIVE and states & {VmState.ERROR, VmState.UNDEF}:
        yield f"it is active with VMs in {states}"
    if record.state is ServiceState.STOPPED and states - {VmState.SHUTOFF}:
        yield f"it is stopped with VMs in {states}"
    as_wanted = all(vm.change is None and vm.migration is None for vm in record.vms.values())
    if record.state is ServiceState.ACTIVE and not as_wanted:
        yield "it is active and a VM is not as it is wanted"
    well = record.vms and states <= _ON | {VmState.SHUTOFF} and as_wanted
    if record.state is ServiceState.ERROR and well and not _update_failed(record):
        yield f"it is in error with VMs in {states}"
    if record.intent is None or record.state is not ServiceState.ACTIVE:
        return
    for group in record.intent.groups:
        size = sum(vm.group == group.name for vm in record.vms.values())
        if not group.scaling.min_active <= size <= group.scaling.max_active:
            yield f"vm_group {group.name} has {size} VMs"


def _update_failed(record: DeploymentRecord) -> bool:
    """Tell whether the last thing that happened is an update that failed, perhaps by what left."""
    last = record.operation
    return last is not None and (last.type, last.state) == (
        OperationType.MODIFY_INFO,
        OperationState.FAILED_TEMP,
    )


def _given_twice(record: DeploymentRecord) -> Iterator[str]:
    """An address is that of one VM, or of a leftover, which may be an earlier server of the VM."""
    if record.intent is None:
        return
    pools = {
        (pool.network, address)
        for group in record.intent.groups
        for pool in (*group.scaling.address_pools, *group.scaling.mac_pools)
        for address in pool.addresses
    }
    left = (each.vm for each in record.leftovers)
    held = {
        (vm.id, interface.nicid, interface.network, address)
        for vm in (*record.vms.values(), *left)
        for interface in vm.interfaces
        for address in (*(a.ip_address for a in interface.addresses), interface.mac_address)
        if (interface.network, address) in pools
    }
    given = Counter((network, address) for _, _, network, address in held)
    if twice := [each for each, count in given.items() if count > 1]:
        yield f"given twice: {twice}"


def _of_a_vm(record: DeploymentRecord, vm: VmRecord, clouds: Clouds) -> Iterator[str]:
    key = ServerKey(vm.id, vm.generation)
    driver = clouds.vims[vm.vim].cloud
    now = driver.now()
    rows = [row for vim, row in clouds.servers() if vim == vm.vim and row.key == key]
    if not rows or key in clouds.switched or record.intent is None:
        return
    [row] = rows
    by_itself = row.off_at is not None and row.off_at <= now
    status = driver.cloud.servers.status(row, now)
    on = vm.state in _ON and vm.recovery is None and not by_itself
    if on and status is not ServerStatus.ACTIVE:
        yield f"its server is {status}"
    if vm.state is VmState.SHUTOFF and status is not ServerStatus.SHUTOFF:
        yield f"its server is {status}"
    answers = driver.cloud.servers.guest_state(row, now) is GuestState.ANSWERS
    reached = vm.change is None or not vm.change.removed  # docs/limits.md: where is its port?
    if vm.state is VmState.ALIVE and not answers and reached and _heals(record, vm):
        yield UNNOTICED


def _heals(record: DeploymentRecord, vm: VmRecord) -> bool:
    """Tell whether a rule asks for the recovery of *vm* when it lives no more."""
    group = group_of(record, vm)
    life = decides_life(group)
    return life is not None and life in events_with(group.rules, Effect.RECOVER)


def _watched(records: list[DeploymentRecord], engine: Engine) -> Iterator[str]:
    """The VMs that are watched are those that should be."""
    performer: Any = engine._performer
    wanted = {vm.id for each in records if each.intent for vm in each.vms.values() if watched(vm)}
    if wanted != set(performer._watched):
        yield f"watched and not to be, or the other way round: {wanted ^ set(performer._watched)}"
