"""Deploy: from an accepted intent to SERVICE_ALIVE (ESC-WORKFLOWS section 1)."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from esc_daemon.domain import causes, tell, tell_scaling
from esc_daemon.domain.advance import heal, migrate, tries
from esc_daemon.domain.advance.settling import entered, operation, settled, with_vm
from esc_daemon.domain.changed import replace
from esc_daemon.domain.errors import Refused
from esc_daemon.domain.events import Event
from esc_daemon.domain.ids import NO_VIM, EditId, Key, Kind, RecordId, VimId
from esc_daemon.domain.intent import Deployment
from esc_daemon.domain.kpi import monitored
from esc_daemon.domain.machine import next_state
from esc_daemon.domain.placing import (
    given_back,
    group_of,
    network_candidates,
    networks_of,
    owned_by,
    project_in,
    vms_of,
)
from esc_daemon.domain.policy import Attempt, Policy, exhausted
from esc_daemon.domain.policy import begin as begin_attempt
from esc_daemon.domain.record import (
    DeploymentRecord,
    InterfaceRecord,
    OperationOccurrence,
    OperationType,
    Successor,
    UpdatePhase,
    VmRecord,
)
from esc_daemon.domain.specs import Address, Port, ResourceHandle, Server, ServerStatus
from esc_daemon.domain.startup import Turn, turns
from esc_daemon.domain.states import (
    SERVICE_LIFECYCLE,
    VM_LIFECYCLE,
    OperationMove,
    OperationState,
    ServiceMove,
    ServiceState,
    VmMove,
    VmState,
)
from esc_daemon.domain.step import Step
from esc_daemon.domain.triggers import CallFailed
from esc_daemon.domain.volumes import with_volumes

_BEGINNING: Final = frozenset({ServiceState.DEPLOYING, ServiceState.INERT})
"""Where a VM may get its turn: late, where one comes back that had failed for the others."""


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


def resources_ready(
    record: DeploymentRecord, handles: Mapping[Key, ResourceHandle], now: datetime, policy: Policy
) -> Step:
    """The neighbours are there: every VM may be made whose group waits for no other."""
    if record.state is not ServiceState.DEPLOYING or not waits_for_neighbours(record):
        return Step(key=record.key, before=record, record=record)
    tenant = handles.get(Key(Kind.TENANT, None, record.key.tenant or ""))
    ready = replace(
        record,
        tenant=tenant or ResourceHandle(vim=NO_VIM, resource_id=""),
        networks=networks_among(record, handles),
        operation=_granted(record.operation, now),
        edit=None,
    )
    return settled(record, begun(ready, VmMove.RESOURCES_READY, now, policy), (), now)


def _granted(occurrence: OperationOccurrence | None, now: datetime) -> OperationOccurrence | None:
    """A deployment that is resumed was granted before."""
    if occurrence is None or occurrence.state is not OperationState.STARTING:
        return occurrence
    return entered(occurrence, OperationMove.GRANTED, now)


def _rejected(occurrence: OperationOccurrence | None, now: datetime) -> OperationOccurrence | None:
    if occurrence is None or occurrence.state is OperationState.STARTING:
        return entered(occurrence, OperationMove.REJECTED, now)
    return entered(occurrence, OperationMove.BROKE, now)


def networks_among(
    record: DeploymentRecord, handles: Mapping[Key, ResourceHandle]
) -> Mapping[str, ResourceHandle]:
    """Return the networks of our records that its groups are in, by their names."""
    assert record.intent is not None
    return {
        name: next(handles[key] for key in network_candidates(record, name) if key in handles)
        for name in networks_of(record.intent.groups)
        if any(key in handles for key in network_candidates(record, name))
    }


def waits_for_neighbours(record: DeploymentRecord) -> bool:
    """Tell whether the neighbours have not yet been told to be ready."""
    if record.update is not None:
        return record.update.phase is UpdatePhase.PREPARING and record.update.error is None
    return record.state is ServiceState.DEPLOYING and record.tenant is None


def may_begin(record: DeploymentRecord) -> bool:
    """
    Tell whether VMs may be made: while it is deployed, or in an update that has not failed.

    There those that leave go first, so that their places in a quota are free.
    """
    update = record.update
    if update is None:
        return record.state in _BEGINNING
    if update.phase in {UpdatePhase.PREPARING, UpdatePhase.PROVING} or update.error is not None:
        return False
    return not any(
        vm.state is VmState.UNDEPLOYING and vm.recovery is None and vm.migration is None
        for vm in record.vms.values()
    )


def begun(
    record: DeploymentRecord, move: VmMove, now: datetime, policy: Policy
) -> DeploymentRecord:
    """Return *record* with every VM under way whose turn has come."""
    if not may_begin(record):
        return record
    turn = turns(record)
    attempt = begin_attempt(now, policy)
    begun = {
        vm.id: wanted(vm, record.tenant, move, attempt)
        for vm in record.vms.values()
        if vm.state is VmState.UNDEF and turn.get(vm.group, Turn.COME) is Turn.COME
    }
    return replace(record, vms={**record.vms, **begun}) if begun else record


def wanted(vm: VmRecord, tenant: ResourceHandle | None, move: VmMove, attempt: Attempt) -> VmRecord:
    """Return *vm*, which is to be made now, after *move*."""
    project, project_id = project_in(vm.project, tenant, vm.vim)
    return replace(
        vm,
        state=next_state(VM_LIFECYCLE, vm.state, move),
        project=project,
        project_id=project_id,
        attempt=attempt,
    )


def resource_failed(record: DeploymentRecord, error: str, now: datetime) -> Step:
    """A neighbour cannot be had: the deployment fails before its first VM."""
    if record.state is not ServiceState.DEPLOYING or not waits_for_neighbours(record):
        return Step(key=record.key, before=record, record=record)
    broken = replace(
        record,
        state=next_state(SERVICE_LIFECYCLE, record.state, ServiceMove.FAILED),
        operation=_rejected(record.operation, now),
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
    before = record
    seen = replace(
        vm,
        server=ResourceHandle(
            vim=vm.vim, resource_id=server.server_id, project=server.project, name=server.name
        ),
        host_id=server.host_id,
        hostname=server.hostname,
        interfaces=with_ports(vm.interfaces, server.ports),
        volumes=with_volumes(vm.volumes, server.volumes),
        unsure_until=None,
    )
    if server.status is ServerStatus.BUILD:
        if vm.attempt is not None and exhausted(vm.attempt, now):
            error = causes.given_up(vm.vim, vm.attempt, "the VIM is still building it", now)
            return _not_deployed(record, seen, error, now, policy)
        if seen == vm:
            return Step(key=record.key, before=record, record=record)
        return Step(key=record.key, before=record, record=with_vm(record, seen))
    if server.status is ServerStatus.ERROR:
        return _not_deployed(record, seen, server.fault or "the VIM reports ERROR", now, policy)
    group = group_of(record, vm)
    if vm.change is not None:  # by an update: the new server is as it is wanted
        seen = replace(seen, change=None)
        record = given_back(record, vm.change.removed)
    if vm.recovery is not None:
        return replace(heal.deployed(record, seen, now), before=before)
    if migrate.is_under_way(vm):
        after, events = migrate.made(record, seen, now)
        return settled(before, begun(after, VmMove.TURN_COME, now, policy), events, now)
    watched = monitored(group)
    move = VmMove.CREATED_MONITORED if watched else VmMove.CREATED_UNMONITORED
    made = replace(
        seen,
        state=next_state(VM_LIFECYCLE, vm.state, move),
        attempt=None,
        deadline=now + timedelta(seconds=group.bootup_time) if watched else None,
        error=None,
        history=vm.history if watched else replace(vm.history, up_since=now),
    )
    moved = with_vm(record, made)
    told = (_deployed(moved, made),)
    return settled(before, begun(moved, VmMove.TURN_COME, now, policy), told, now)


def _deployed(record: DeploymentRecord, vm: VmRecord) -> Event:
    if vm.scale is None:
        return tell.vm_deployed(record, vm)
    return tell_scaling.out_deployed(record, tell_scaling.source_of(record, vm), vm)


def with_ports(
    interfaces: tuple[InterfaceRecord, ...], ports: tuple[Port, ...]
) -> tuple[InterfaceRecord, ...]:
    """Return *interfaces* with what the VIM has told of their ports."""
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
    error = error or "a create was not answered, and no server was there when the VIM was looked at"
    tried, cause = tries.once_more(vm, vm.vim, error, now, policy)
    if cause is not None:
        return _not_deployed(record, tried, cause, now, policy)
    again = with_vm(record, replace(tried, server=None))
    return Step(key=record.key, before=record, record=again)


def call_failed(
    record: DeploymentRecord, vm: VmRecord, failure: CallFailed, now: datetime, policy: Policy
) -> Step:
    """
    A refusal is final; after anything else look again, and make it anew when that is safe.

    The refusal may be that of a look: *unsure_until* stands, for a create may still turn up.
    """
    if failure.in_doubt and vm.server is None:
        vm = replace(vm, unsure_until=now + policy.settle)
    tried, cause = tries.once_more(vm, vm.vim, failure.error, now, policy, final=failure.final)
    if cause is not None:
        return _not_deployed(record, tried, cause, now, policy)
    return Step(key=record.key, before=record, record=with_vm(record, tried))


def _not_deployed(
    record: DeploymentRecord, vm: VmRecord, cause: str, now: datetime, policy: Policy
) -> Step:
    if vm.recovery is not None:
        return heal.not_deployed(record, vm, cause, now, policy)
    if migrate.is_under_way(vm):
        return migrate.not_made(record, vm, cause, now, policy)
    broken = replace(
        vm,
        state=next_state(VM_LIFECYCLE, vm.state, VmMove.FAILED),
        attempt=None,
        error=causes.of_vm(vm, cause),
    )
    moved = with_vm(record, broken)
    told = tell.vm_not_deployed(moved, broken, cause)
    if vm.scale is not None:
        source = tell_scaling.source_of(moved, broken)
        told = tell_scaling.out_not_deployed(moved, source, causes.of_vm(vm, cause))
    return settled(record, moved, (told,), now)


def too_late(vm: VmRecord, awaited: frozenset[str]) -> str:
    """Return what *vm*, whose deadline has passed, did not do; *awaited* as in `awaited_of`."""
    if vm.state is VmState.INERT:
        return "it did not answer within its bootup_time"
    missing = ", ".join(sorted(awaited.difference(vm.came_true)))
    return f"it answered, but {missing} did not come true within its bootup_time"
