"""Deploy: from an accepted intent to SERVICE_ALIVE (ESC-WORKFLOWS section 1)."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from esc_daemon.domain import causes, tell
from esc_daemon.domain.changed import replace
from esc_daemon.domain.errors import Refused
from esc_daemon.domain.events import Event
from esc_daemon.domain.ids import NO_VIM, EditId, Key, Kind, RecordId, VimId
from esc_daemon.domain.intent import Deployment
from esc_daemon.domain.kpi import decides_life, monitored
from esc_daemon.domain.machine import next_state
from esc_daemon.domain.operations import operation_id
from esc_daemon.domain.placing import (
    group_of,
    lives_in,
    network_candidates,
    networks_of,
    owned_by,
    vms_of,
)
from esc_daemon.domain.policy import Attempt, Policy, exhausted, failed
from esc_daemon.domain.policy import begin as begin_attempt
from esc_daemon.domain.record import (
    DeploymentRecord,
    InterfaceRecord,
    OperationOccurrence,
    OperationType,
    Successor,
    VmRecord,
)
from esc_daemon.domain.specs import Address, Port, ResourceHandle, Server, ServerStatus
from esc_daemon.domain.startup import Turn, awaited_of, never_started, turns
from esc_daemon.domain.states import (
    MONITORED_VM_STATES,
    OPERATION_LIFECYCLE,
    SERVICE_LIFECYCLE,
    SETTLED_VM_STATES,
    VM_LIFECYCLE,
    OperationMove,
    OperationState,
    ServiceMove,
    ServiceState,
    VmMove,
    VmState,
)
from esc_daemon.domain.step import Step
from esc_daemon.domain.triggers import CallFailed, KpiCrossed


def begin(
    key: Key,
    id_: RecordId,
    intent: Deployment,
    vim: VimId,
    now: datetime,
    *,
    before: DeploymentRecord | None = None,
    edit: EditId | None = None,
) -> DeploymentRecord:
    """
    Return the record of a deployment that was just accepted.

    *vim* is the connector of the groups that name none. *before* is the incarnation whose place it
    takes, with its leftovers and its versions. *edit* as in `DeploymentRecord`.

    Raises:
        Refused: The intent cannot be placed (`placing.vms_of`).

    """
    leftovers = before.leftovers if before else ()
    return DeploymentRecord(
        key=key,
        id=id_,
        intent=intent,
        state=next_state(SERVICE_LIFECYCLE, ServiceState.UNDEF, ServiceMove.ACCEPTED),
        vim=vim,
        vms=vms_of(key, id_, intent, vim, leftovers),
        owned=owned_by(key, id_, intent),
        leftovers=leftovers,
        operation=operation(id_, OperationType.INSTANTIATE, now),
        edit=edit,
        revision=before.revision if before else 0,
        epoch=before.epoch if before else 0,
    )


def succeed(
    before: DeploymentRecord, waiting: Successor, now: datetime
) -> tuple[DeploymentRecord, tuple[Event, ...]]:
    """
    Return the record of *waiting*, whose turn has come, and what is told of it.

    It was placed when it was accepted; a leftover since then may have taken its addresses away,
    and then it fails before its first VM.
    """
    id_, vim, edit = waiting.id, waiting.vim, waiting.edit
    try:
        fresh = begin(before.key, id_, waiting.intent, vim, now, before=before, edit=edit)
    except Refused as refused:
        bare = replace(waiting.intent, groups=())
        fresh = begin(before.key, id_, bare, vim, now, before=before)
        step = resource_failed(replace(fresh, intent=waiting.intent), refused.text, now)
        assert isinstance(step.record, DeploymentRecord)
        return step.record, step.events
    return fresh, ()


def operation(id_: RecordId, kind: OperationType, now: datetime) -> OperationOccurrence:
    """Return the occurrence of a request that was just accepted."""
    return OperationOccurrence(
        id=operation_id(id_, kind),
        type=kind,
        state=OperationState.STARTING,
        started=now,
        entered=now,
    )


def entered(
    occurrence: OperationOccurrence | None, move: OperationMove, now: datetime
) -> OperationOccurrence | None:
    """Return *occurrence* after *move*."""
    if occurrence is None:
        return None
    state = next_state(OPERATION_LIFECYCLE, occurrence.state, move)
    return replace(occurrence, state=state, entered=now)


def resources_ready(
    record: DeploymentRecord, handles: Mapping[Key, ResourceHandle], now: datetime, policy: Policy
) -> Step:
    """The neighbours are there: every VM may be made whose group waits for no other."""
    if record.state is not ServiceState.DEPLOYING or not waits_for_neighbours(record):
        return Step(key=record.key, before=record, record=record)
    assert record.intent is not None
    networks = {
        name: next(handles[key] for key in network_candidates(record, name) if key in handles)
        for name in networks_of(record.intent.groups)
        if any(key in handles for key in network_candidates(record, name))
    }
    tenant = handles.get(Key(Kind.TENANT, None, record.key.tenant or ""))
    ready = replace(
        record,
        tenant=tenant or ResourceHandle(vim=NO_VIM, resource_id=""),
        networks=networks,
        operation=entered(record.operation, OperationMove.GRANTED, now),
        edit=None,
    )
    return settled(record, _begun(ready, VmMove.RESOURCES_READY, now, policy), (), now)


def waits_for_neighbours(record: DeploymentRecord) -> bool:
    """Tell whether the neighbours have not yet been told to be ready."""
    return record.state is ServiceState.DEPLOYING and record.tenant is None


def _begun(
    record: DeploymentRecord, move: VmMove, now: datetime, policy: Policy
) -> DeploymentRecord:
    """Return *record* with every VM under way whose turn has come."""
    if record.state is not ServiceState.DEPLOYING:
        return record
    turn = turns(record)
    attempt = begin_attempt(now, policy)
    begun = {
        vm.id: _wanted(vm, record.tenant, move, attempt)
        for vm in record.vms.values()
        if vm.state is VmState.UNDEF and turn.get(vm.group, Turn.COME) is Turn.COME
    }
    return replace(record, vms={**record.vms, **begun}) if begun else record


def _wanted(
    vm: VmRecord, tenant: ResourceHandle | None, move: VmMove, attempt: Attempt
) -> VmRecord:
    """In a VIM that the tenant does not live in its project is known by its name alone."""
    project, project_id = vm.project, ""
    if not project and tenant is not None:
        project = tenant.project and (tenant.name or tenant.project)
        if tenant.project != project and lives_in(tenant, vm.vim):
            project_id = tenant.project
    return replace(
        vm,
        state=next_state(VM_LIFECYCLE, vm.state, move),
        project=project,
        project_id=project_id,
        attempt=attempt,
    )


def resource_failed(record: DeploymentRecord, error: str, now: datetime) -> Step:
    """A neighbour cannot be had: the deployment fails before its first VM."""
    if not waits_for_neighbours(record):
        return Step(key=record.key, before=record, record=record)
    broken = replace(
        record,
        state=next_state(SERVICE_LIFECYCLE, record.state, ServiceMove.FAILED),
        operation=entered(record.operation, OperationMove.REJECTED, now),
        edit=None,
        error=error,
    )
    return Step(
        key=record.key,
        before=record,
        record=broken,
        events=(tell.service_alive(broken, error),),
    )


def server_seen(
    record: DeploymentRecord, vm: VmRecord, server: Server, now: datetime, policy: Policy
) -> Step:
    """The VIM has the server: being built, there, or broken."""
    seen = replace(
        vm,
        server=ResourceHandle(
            vim=vm.vim, resource_id=server.server_id, project=server.project, name=server.name
        ),
        host_id=server.host_id,
        hostname=server.hostname,
        interfaces=_with_ports(vm.interfaces, server.ports),
        unsure_until=None,
    )
    if server.status is ServerStatus.BUILD:
        if vm.attempt is not None and exhausted(vm.attempt, now):
            error = causes.given_up(vm.vim, vm.attempt, "the VIM is still building it", now)
            return _not_deployed(record, seen, error, now)
        if seen == vm:
            return Step(key=record.key, before=record, record=record)
        return Step(key=record.key, before=record, record=with_vm(record, seen))
    if server.status is ServerStatus.ERROR:
        return _not_deployed(record, seen, server.fault or "the VIM reports ERROR", now)
    group = group_of(record, vm)
    watched = monitored(group)
    move = VmMove.CREATED_MONITORED if watched else VmMove.CREATED_UNMONITORED
    made = replace(
        seen,
        state=next_state(VM_LIFECYCLE, vm.state, move),
        attempt=None,
        deadline=now + timedelta(seconds=group.bootup_time) if watched else None,
        error=None,
    )
    moved = with_vm(record, made)
    told = (tell.vm_deployed(moved, made),)
    return settled(record, _begun(moved, VmMove.TURN_COME, now, policy), told, now)


def _with_ports(
    interfaces: tuple[InterfaceRecord, ...], ports: tuple[Port, ...]
) -> tuple[InterfaceRecord, ...]:
    by_nicid = {port.key.nicid: port for port in ports}
    return tuple(
        _with_port(interface, by_nicid[interface.nicid])
        if interface.nicid in by_nicid
        else interface
        for interface in interfaces
    )


def _with_port(interface: InterfaceRecord, port: Port) -> InterfaceRecord:
    told = replace(
        interface,
        network_id=port.network_id,
        port_id=port.port_id,
        mac_address=port.mac_address or interface.mac_address,
        port_security_enabled=port.port_security_enabled,
        security_groups=port.security_groups,
        allowed_addresses=port.allowed_addresses,
    )
    if not port.addresses:
        return told
    asked = {address.ip_address: address for address in interface.addresses}
    return told.with_addresses(
        tuple(_as_told(each, asked.get(each.ip_address)) for each in port.addresses)
    )


def _as_told(address: Address, asked: Address | None) -> Address:
    """Where the VIM knows no subnet, the mask and the gateway are those of the static pool."""
    if asked is None:
        return address
    return replace(
        address,
        netmask=address.netmask or asked.netmask,
        gateway=address.gateway or asked.gateway,
    )


def server_missing(record: DeploymentRecord, vm: VmRecord, now: datetime, policy: Policy) -> Step:
    """
    The VIM has no such server.

    Either a create that nobody answered has not turned up (yet), or the server vanished while
    it was built: then it is made again, and that counts as a try.
    """
    assert vm.attempt is not None
    error = "the server vanished while it was built" if vm.server else vm.attempt.error
    error = error or "no such server"
    attempt = failed(vm.attempt, error, now, policy, subject=vm.id)
    if exhausted(attempt, now):
        return _not_deployed(record, vm, causes.given_up(vm.vim, attempt, error, now), now)
    return Step(
        key=record.key,
        before=record,
        record=with_vm(record, replace(vm, server=None, attempt=attempt)),
    )


def call_failed(
    record: DeploymentRecord, vm: VmRecord, failure: CallFailed, now: datetime, policy: Policy
) -> Step:
    """
    A refusal is final; after anything else look again, and make it anew when that is safe.

    The refusal may be that of a look: *unsure_until* stands, for a create may still turn up.
    """
    assert vm.attempt is not None
    if failure.final:
        return _not_deployed(record, vm, failure.error, now)
    attempt = failed(vm.attempt, failure.error, now, policy, subject=vm.id)
    unsure = now + policy.settle if failure.reached and vm.server is None else vm.unsure_until
    tried = replace(vm, attempt=attempt, unsure_until=unsure)
    if exhausted(attempt, now):
        return _not_deployed(
            record, tried, causes.given_up(vm.vim, attempt, failure.error, now), now
        )
    return Step(key=record.key, before=record, record=with_vm(record, tried))


def _not_deployed(record: DeploymentRecord, vm: VmRecord, cause: str, now: datetime) -> Step:
    broken = replace(
        vm,
        state=next_state(VM_LIFECYCLE, vm.state, VmMove.FAILED),
        attempt=None,
        error=causes.of_vm(vm, cause),
    )
    moved = with_vm(record, broken)
    return settled(record, moved, (tell.vm_not_deployed(moved, broken, cause),), now)


def kpi_crossed(
    record: DeploymentRecord, crossed: KpiCrossed, now: datetime, policy: Policy
) -> Step:
    """
    Life is what the KPI with the TRUE rule says, not the VM's power state.

    A VM that other groups wait for has booted when it lives and all that they wait for came true.
    """
    unmoved = Step(key=record.key, before=record, record=record)
    vm = record.vms.get(crossed.server.vm)
    if vm is None or vm.generation != crossed.server.generation or record.intent is None:
        return unmoved
    if vm.state not in MONITORED_VM_STATES or not crossed.holds:
        return unmoved
    event_name = crossed.event_name
    lives = vm.state is VmState.INERT and event_name == decides_life(group_of(record, vm))
    awaited = awaited_of(record.intent, vm.group)
    news = event_name in awaited and event_name not in vm.came_true
    if not lives and not news:
        return unmoved
    came_true = (*vm.came_true, event_name) if news else vm.came_true
    state = next_state(VM_LIFECYCLE, vm.state, VmMove.ANSWERED) if lives else vm.state
    booted = state is VmState.ALIVE and awaited.issubset(came_true)
    seen = replace(vm, state=state, came_true=came_true, deadline=None if booted else vm.deadline)
    moved = with_vm(record, seen)
    told = (tell.vm_alive(moved, seen),) if lives else ()
    return settled(record, _begun(moved, VmMove.TURN_COME, now, policy), told, now)


def boot_deadlines(record: DeploymentRecord, now: datetime) -> Step:
    """A VM that has not answered within bootup_time counts as failed."""
    late = [
        vm
        for vm in record.vms.values()
        if vm.state in MONITORED_VM_STATES and vm.deadline is not None and vm.deadline <= now
    ]
    if not late or record.intent is None:
        return Step(key=record.key, before=record, record=record)
    moved = record
    for vm in late:
        state = next_state(VM_LIFECYCLE, vm.state, VmMove.FAILED)
        cause = _too_late(vm, awaited_of(record.intent, vm.group))
        cause = f"{cause} of {group_of(record, vm).bootup_time} s"
        broken = replace(vm, state=state, deadline=None, error=causes.of_vm(vm, cause))
        moved = with_vm(moved, broken)
    return settled(record, moved, (), now)


def _too_late(vm: VmRecord, awaited: frozenset[str]) -> str:
    if vm.state is VmState.INERT:
        return "it did not answer within its bootup_time"
    missing = ", ".join(sorted(awaited.difference(vm.came_true)))
    return f"it answered, but {missing} did not come true within its bootup_time"


def with_vm(record: DeploymentRecord, vm: VmRecord) -> DeploymentRecord:
    """Return *record* with *vm* in it; the other VMs stay the same objects (law 8)."""
    return replace(record, vms={**record.vms, vm.id: vm})


def settled(
    before: DeploymentRecord, record: DeploymentRecord, events: tuple[Event, ...], now: datetime
) -> Step:
    """Return the step to *record* after the service's state has followed its VMs' states."""
    unsettled = Step(key=record.key, before=before, record=record, events=events)
    if record.state not in {ServiceState.DEPLOYING, ServiceState.INERT}:
        return unsettled
    turn = turns(record)
    vms = [
        vm
        for vm in record.vms.values()
        if vm.state is not VmState.UNDEF or turn.get(vm.group) is not Turn.NEVER
    ]
    if any(vm.state in {VmState.UNDEF, VmState.DEPLOYING} for vm in vms):
        return unsettled
    if any(vm.state not in SETTLED_VM_STATES or vm.deadline is not None for vm in vms):
        if record.state is ServiceState.DEPLOYING:
            state = next_state(SERVICE_LIFECYCLE, record.state, ServiceMove.VMS_DEPLOYED)
            record = replace(record, state=state)
        return Step(key=record.key, before=before, record=record, events=events)
    error = _first_error(record)
    service_move, operation_move = (
        (ServiceMove.VMS_ALIVE, OperationMove.SUCCEEDED)
        if error is None
        else (ServiceMove.FAILED, OperationMove.BROKE)
    )
    record = replace(
        record,
        state=next_state(SERVICE_LIFECYCLE, record.state, service_move),
        operation=entered(record.operation, operation_move, now),
        error=error,
    )
    told = (*events, tell.service_alive(record, error))
    return Step(key=record.key, before=before, record=record, events=told)


def _first_error(record: DeploymentRecord) -> str | None:
    broken = [vm for vm in record.vms.values() if vm.state is VmState.ERROR]
    if not broken:
        return None
    error = broken[0].error or "the VM failed"
    more = f" (and {len(broken) - 1} more VMs)" if len(broken) > 1 else ""
    barred = never_started(record)
    return error + more + (f"; never started: {barred}" if barred else "")
