"""
`plan`: what to do next, derived from the record alone (DESIGN, law 3).

Called twice it says the same; what is in the record's future is left out and named in
`Plan.wake_at`.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from esc_daemon.domain.actions import Effect, events_with
from esc_daemon.domain.advance import updating
from esc_daemon.domain.advance.deploy import waits_for_neighbours
from esc_daemon.domain.advance.migrate import moved_to
from esc_daemon.domain.advance.resource_intent import waits
from esc_daemon.domain.commands import (
    Await,
    AwaitServer,
    CheckVim,
    Command,
    EnsureResource,
    EnsureServer,
    Permit,
    ProveServer,
    RemoveResource,
    RemoveServer,
    RunScripts,
    SwitchServer,
    Until,
    UpdateServer,
    Watch,
)
from esc_daemon.domain.day_zero import configured
from esc_daemon.domain.guard import window
from esc_daemon.domain.hooks import scripts_at
from esc_daemon.domain.ids import Key, Kind, PortKey, RecordId, ServerKey, VimId
from esc_daemon.domain.intent import Network, Resource, TenantVolume, VmGroup
from esc_daemon.domain.interruption import Request, takes, watched
from esc_daemon.domain.kpi import decides_life, seconds_to_tell
from esc_daemon.domain.placing import (
    group_of,
    needed_by,
    ports_of,
    server_spec,
    subnets_of,
    uses,
)
from esc_daemon.domain.policy import Attempt
from esc_daemon.domain.record import (
    AnyResourceRecord,
    ConnectorRecord,
    DefaultConnectorRecord,
    DeploymentRecord,
    Record,
    RecoveryPhase,
    ResourceRecord,
    UpdatePhase,
    VmRecord,
)
from esc_daemon.domain.specs import Power
from esc_daemon.domain.stages import Stage
from esc_daemon.domain.states import (
    MONITORED_VM_STATES,
    ResourceState,
    ServiceState,
    VmState,
)
from esc_daemon.domain.step import Plan
from esc_daemon.domain.volumes import deleted_with, detached_from, made_for

_Due = tuple[Command | None, datetime | None]
"""A command that is due now, or the moment at which to look again."""


def plan(record: Record, now: datetime) -> Plan:
    """Return what *record* wants done at *now*."""
    commands: set[Command] = set()
    moments: list[datetime] = []
    for command, moment in _due(record, now):
        if command is not None:
            commands.add(command)
        if moment is not None:
            moments.append(moment)
    return Plan(commands=frozenset(commands), wake_at=min(moments, default=None))


def _due(record: Record, now: datetime) -> Iterator[_Due]:
    match record:
        case DeploymentRecord():
            return _deployment(record, now)
        case ConnectorRecord():
            return iter([_check(record, now)])
        case DefaultConnectorRecord():
            return iter(())
        case _:
            return _resource(record, now)


def holds_vim(record: Record) -> bool:
    """Tell whether *record* may have something in a VIM: its tenant cannot go before it."""
    if isinstance(record, DeploymentRecord):
        return any(vm.state is not VmState.UNDEF for vm in record.vms.values())
    if not isinstance(record, ResourceRecord):
        return False
    if record.state in {ResourceState.CREATING, ResourceState.DELETING}:
        return not (record.state is ResourceState.CREATING and waits(record))
    return record.state is not ResourceState.LEFTOVER


def released(record: Record | None, waiting: Record | None = None) -> bool:
    """
    Tell whether a deployment has no VM any more that could use its networks.

    Where it goes on: none that is in *waiting*, a network or subnet which an update took away, or
    none that will leave it, since the update has come to its end.
    """
    if not isinstance(record, DeploymentRecord):
        return True
    if record.intent is not None and isinstance(waiting, ResourceRecord):
        return keeper(record, waiting) is None or not _moves(record)
    return record.state in {ServiceState.UNDEPLOYING, ServiceState.UNDEF} and not record.vms


def keeper(record: DeploymentRecord, waiting: ResourceRecord[Any]) -> VmRecord | None:
    """Return the first VM of *record* that has a port in the network or subnet *waiting*."""
    return next(
        (
            vm
            for vm in record.vms.values()
            if any(uses(port, waiting.made) for port in ports_of([vm]))
        ),
        None,
    )


def _moves(record: DeploymentRecord) -> bool:
    """Tell whether VMs may still leave networks: ports of a change that failed stay in them."""
    update = record.update
    before = {UpdatePhase.PREPARING, UpdatePhase.PROVING, UpdatePhase.CHANGING}
    return update is not None and update.phase in before


def _when(attempt: Attempt | None, command: Command, now: datetime) -> _Due:
    if attempt is None or attempt.next <= now:
        return command, None
    return None, attempt.next


def _when_sure(
    goer: VmRecord | AnyResourceRecord, removal: RemoveServer | RemoveResource, now: datetime
) -> _Due:
    """
    Leave a removal out until nothing can turn up after it.

    A removal that began earlier proves nothing, however late its answer comes.
    """
    if goer.unsure_until is not None and now < goer.unsure_until:
        return None, goer.unsure_until
    return _when(goer.attempt, removal, now)


def _await(
    record: DeploymentRecord | AnyResourceRecord,
    until: Until,
    neighbours: tuple[tuple[Key, RecordId | None], ...],
) -> Await:
    return Await(until=until, waiter=record.id, neighbours=neighbours, edit=record.edit)


def _check(record: ConnectorRecord, now: datetime) -> _Due:
    assert record.intent is not None
    if record.next_check is not None and now < record.next_check:
        return None, record.next_check
    return CheckVim(vim=VimId(record.key.name), connector=record.intent), None


def _deployment(record: DeploymentRecord, now: datetime) -> Iterator[_Due]:
    if waits_for_neighbours(record):
        yield _await(record, Until.READY, needed_by(record)), None
    heals = takes(record, Request.HEAL)  # it looks at all VMs: once, not for each of them
    for vm in record.vms.values():
        yield from _vm(record, vm, now, heals=heals)
    yield from _permits(record, heals=heals)
    if record.state is ServiceState.UNDEPLOYING and not record.vms:
        yield _await(record, Until.GONE, (*record.owned, *record.leaving)), None
    elif record.leaving and record.update and record.update.phase is UpdatePhase.CLEARING:
        yield _await(record, Until.GONE, record.leaving), None
    for leftover in record.leftovers:
        yield _when(leftover.attempt, _removal(leftover.vm), now)
    for errand in record.owed:
        yield RunScripts(runner=record.id, errand=errand), None


def _vm(record: DeploymentRecord, vm: VmRecord, now: datetime, *, heals: bool) -> Iterator[_Due]:
    key = ServerKey(vm.id, vm.generation)
    if vm.state is VmState.DEPLOYING:
        yield _making(record, vm, key, now)
    elif vm.state is VmState.UNDEPLOYING:
        if vm.recovery is None or vm.recovery.queued is None:
            yield _when_sure(vm, _removal(vm), now)
    elif updating.is_proving(vm):
        yield _proving(record, vm, key, now)
    elif updating.is_changing(vm):
        yield _changing(record, vm, key, now)
    elif vm.power is not None:
        yield _switching(vm, key, vm.power, now)
    elif watched(vm):
        yield _watch(record, vm, key, heals=heals), vm.deadline


def _removal(vm: VmRecord) -> RemoveServer:
    """What is redeployed leaves its ports and volumes to the next generation."""
    goes = vm.recovery is None
    return RemoveServer(
        vim=vm.vim,
        key=ServerKey(vm.id, vm.generation),
        name=vm.name,
        ports=goes,
        volumes=made_for(vm) if goes else (),
    )


def _permits(record: DeploymentRecord, *, heals: bool) -> Iterator[_Due]:
    """
    Whoever is recovered holds a permit; who is to be asks for one once it can be used.

    So does who has yet another round to come: one without an end would keep others from theirs.
    """
    for vm in record.vms.values():
        if vm.recovery is None:
            continue
        held, queued = vm.recovery.phase is RecoveryPhase.HELD, vm.recovery.queued
        if vm.recovery.phase is RecoveryPhase.NEEDED or (held and not heals):
            continue
        group, event_name = group_of(record, vm), vm.recovery.event_name
        permit = Permit(
            vim=vm.vim,
            host=vm.recovery.hostname or vm.recovery.host_id,
            server=ServerKey(vm.id, vm.generation),
            since=queued or vm.recovery.began,
            begun=not held and queued is None,
            lived=vm.state is not VmState.INERT and not vm.recovery.rounds,
            watched=vm.state in MONITORED_VM_STATES,
            window=window(group, event_name),
            chance=min(seconds_to_tell(group, {event_name}), group.bootup_time),
        )
        yield permit, None


def begun_permits(record: Record) -> list[Command]:
    """Return those of its commands that say of its recoveries that they are under way."""
    if not isinstance(record, DeploymentRecord):
        return []
    permits = (command for command, _ in _permits(record, heals=False))
    return [permit for permit in permits if isinstance(permit, Permit) and permit.begun]


def _switching(vm: VmRecord, key: ServerKey, power: Power, now: datetime) -> _Due:
    """A switch that may still take effect is not overtaken by another one."""
    assert vm.attempt is not None
    command = SwitchServer(vim=vm.vim, key=key, power=power, number=vm.switches, name=vm.name)
    if not vm.attempt.tries and vm.late_switch is not None and now < vm.late_switch:
        return None, vm.late_switch
    return _when(vm.attempt, command, now)


def _changing(record: DeploymentRecord, vm: VmRecord, key: ServerKey, now: datetime) -> _Due:
    """What an earlier try may still do is not overtaken."""
    if vm.unsure_until is not None and now < vm.unsure_until:
        return None, vm.unsure_until
    change = vm.change
    assert change is not None
    lost = [
        each.want.name
        for each in change.detached
        if change.asked or each.volume_id is not None  # else it never came
    ]
    command = UpdateServer(
        vim=vm.vim,
        key=key,
        spec=server_spec(record, vm),
        removed=_removed(vm),
        rooted=change.rooted,
        resized=change.resized,
        before_detach=scripts_at(record, vm, Stage.PRE_VOLUME_DETACH, lost) if lost else (),
        after_attach=scripts_at(record, vm, Stage.VOLUME_ATTACHED, change.attached)
        if change.attached
        else (),
        scripts=scripts_at(record, vm, Stage.SOFTWARE_VERSION_UPDATED) if change.upgraded else (),
        detached=detached_from(vm),
        deleted=deleted_with(vm),
    )
    return _when(vm.attempt, command, now)


def _proving(record: DeploymentRecord, vm: VmRecord, key: ServerKey, now: datetime) -> _Due:
    there = moved_to(record, vm)
    spec, files = server_spec(record, there), group_of(record, vm).day_zero
    return _when(vm.attempt, ProveServer(vim=there.vim, key=key, spec=spec, day_zero=files), now)


def _removed(vm: VmRecord) -> tuple[tuple[PortKey, str | None], ...]:
    """
    Return the ports that go first; one without a known id was never told of, and may be there.

    It would be in the way of the one that takes its place: what is plugged in is not replaced.
    """
    return tuple(
        (PortKey(vm.id, each.nicid), each.port_id)
        for each in (vm.change.removed if vm.change else ())
    )


def _unplugged(vm: VmRecord) -> tuple[tuple[PortKey, str | None], ...]:
    """Return the ports that go before a server is made; one that is in none is replaced."""
    wanted = {each.nicid for each in vm.interfaces}
    return tuple(
        (port, id_) for port, id_ in _removed(vm) if id_ is not None or port.nicid not in wanted
    )


def _making(record: DeploymentRecord, vm: VmRecord, key: ServerKey, now: datetime) -> _Due:
    looking = vm.server is not None
    if vm.unsure_until is not None and now < vm.unsure_until:
        looking = True  # a create may still turn up: a second one now could double the server
    if looking:
        return _when(vm.attempt, AwaitServer(vim=vm.vim, key=key, name=vm.name), now)
    group = group_of(record, vm)
    command = EnsureServer(
        vim=vm.vim,
        key=key,
        spec=server_spec(record, vm),
        day_zero=group.day_zero,
        index=vm.seat,
        given=configured(vm) if group.day_zero else {},
        removed=_unplugged(vm),
        deleted=deleted_with(vm),
    )
    return _when(vm.attempt, command, now)


def _watch(record: DeploymentRecord, vm: VmRecord, key: ServerKey, *, heals: bool) -> Watch:
    assert vm.server is not None
    group = group_of(record, vm)
    return Watch(
        vim=vm.vim,
        server=key,
        server_id=vm.server.resource_id,
        addresses=tuple(
            (interface.nicid, address.ip_address)
            for interface in vm.interfaces
            for address in interface.addresses
            if address.ip_address
        ),
        kpis=group.kpis,
        rules=group.rules,
        heals=heals and _hears(vm, group),
        armings=vm.armings,
        name=vm.name,
    )


def _hears(vm: VmRecord, group: VmGroup) -> bool:
    """
    Tell whether a loss of *vm* would be taken up, whichever of its KPIs told of it.

    Of several that recover, all but the first to be lost are passed over until the VM lives again.
    """
    if len(group.kpis) == 1:
        return True  # as most groups have it: nothing to compare
    life = decides_life(group)
    recovers = events_with(group.rules, Effect.RECOVER)
    several = any(kpi.event_name != life and kpi.event_name in recovers for kpi in group.kpis)
    return not several or (vm.state is VmState.ALIVE and vm.recovery is None)


def _resource(record: AnyResourceRecord, now: datetime) -> Iterator[_Due]:
    if record.state is ResourceState.CREATING:
        yield _creating(record, now)
    elif record.state is ResourceState.DELETING:
        if waits(record):
            yield _leaving(record), None
        else:
            yield _removing(record, now)
    elif record.state is ResourceState.LEFTOVER:
        yield _removing(record, now)


def _creating(record: AnyResourceRecord, now: datetime) -> _Due:
    if waits(record):
        return _await(record, Until.READY, (*_above(record.key), *_source(record.made))), None
    command = EnsureResource(
        vim=record.vim,
        key=record.key,
        id=record.id,
        want=record.made,
        parent=record.parent,
        handle=record.handle,
    )
    return _when(record.attempt, command, now)


def _removing(record: AnyResourceRecord, now: datetime) -> _Due:
    command = RemoveResource(
        vim=record.vim,
        key=record.key,
        id=record.id,
        made=record.made,
        handle=record.handle,
        parent=record.parent,
    )
    return _when_sure(record, command, now)


def _above(key: Key) -> tuple[tuple[Key, None], ...]:
    """A subnet stands in its network, a network or a volume in its tenant."""
    if key.kind is Kind.SUBNET:
        network = key.name.rpartition("/")[0]
        return ((Key(Kind.NETWORK, key.tenant, network), None),)
    if key.kind in {Kind.NETWORK, Kind.VOLUME} and key.tenant is not None:
        return ((Key(Kind.TENANT, None, key.tenant), None),)
    return ()


def _source(made: Resource) -> tuple[tuple[Key, None], ...]:
    """What a volume of a tenant is filled from; its parent is what it stands in, which is first."""
    if isinstance(made, TenantVolume) and made.image:
        return ((Key(Kind.IMAGE, None, made.image), None),)
    return ()


def _leaving(record: AnyResourceRecord) -> Await:
    """What has to leave first: a tenant's children, a network's subnets, a deployment's VMs."""
    if record.key.kind is Kind.TENANT:
        return _await(record, Until.CHILDLESS, ((record.key, None),))
    if isinstance(record.made, Network) and record.made.subnets:
        subnets = tuple(subnets_of(record.key, record.id, record.made))
        return _await(record, Until.GONE, subnets)
    if record.owner is not None:
        return _await(record, Until.RELEASED, (record.owner,))
    return _await(record, Until.GONE, ())
