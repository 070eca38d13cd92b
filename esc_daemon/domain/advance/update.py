"""
An update of a deployment that stands, from the edit to SERVICE_UPDATED (ESC-WORKFLOWS section 3).

    PREPARING   what is new is awaited: networks, images, flavors; VMs that are to leave leave
       PROVING  VIMs are asked whether they could have the VMs that are to move there
      CHANGING  the others are told to be updated; VMs are made once those that leave have left
      CLEARING  networks leave that no VM is in any more
        ARMING  the monitors are on again; who was not watched before has yet to live

The service stays in its state until the end (ruling 10a). A failure ends it: what is under way
comes to its end, nothing more begins, and the monitors are on again all the same.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import Final

from esc_daemon.domain import causes, members, tell_update
from esc_daemon.domain.advance import broken_off, change, held, migrate, updating
from esc_daemon.domain.advance.deploy import begun, networks_among
from esc_daemon.domain.advance.settling import entered, operation, settled, unmoved, with_vm
from esc_daemon.domain.advance.undeploy import going
from esc_daemon.domain.changed import replace
from esc_daemon.domain.changes import Change, ChangeKind, How, compared, replaced
from esc_daemon.domain.errors import Node, Refused
from esc_daemon.domain.events import Event
from esc_daemon.domain.ids import Key, Kind, OperationId, VmGroupName, VmId, parts_of
from esc_daemon.domain.intent import Deployment, Interface, VmGroup
from esc_daemon.domain.interruption import Request, check
from esc_daemon.domain.placing import addresses_of, drawn_by, group_of, owned_by, pooled, uses
from esc_daemon.domain.policy import Policy
from esc_daemon.domain.policy import begin as begin_attempt
from esc_daemon.domain.pools import Pools
from esc_daemon.domain.record import (
    DeploymentRecord,
    InterfaceRecord,
    OperationType,
    Update,
    UpdatePhase,
    VmRecord,
)
from esc_daemon.domain.specs import ResourceHandle
from esc_daemon.domain.startup import awaited_of
from esc_daemon.domain.states import OperationMove, VmMove, VmState
from esc_daemon.domain.step import Step
from esc_daemon.domain.triggers import IntentChanged, NeighboursGone, ServerProven

Kinds = Mapping[VmGroupName, AbstractSet[ChangeKind]]
_KPIS = frozenset({ChangeKind.KPIS, ChangeKind.RULES})
_IN_PLACE = frozenset({ChangeKind.NETWORK, ChangeKind.SUBNET})
_UP = frozenset({VmState.ALIVE, VmState.MONITOR_UNSET, VmState.MONITOR_DISABLED, VmState.SHUTOFF})


def begin(record: DeploymentRecord, told: IntentChanged, now: datetime, policy: Policy) -> Step:
    """
    Return the step by which *record* begins to become what it is told.

    Raises:
        Refused: Not while what is under way (in-use), or a change cannot be taken; *below* leads
            to its node.

    """
    new = told.intent
    assert isinstance(new, Deployment)
    free, ended = broken_off.ended(record, new, now, policy)
    check(free, Request.UPDATE)
    _check_still(free)
    assert free.intent is not None
    changes = compared(free.intent, new)
    _check(free, new, changes)
    if not changes:
        return Step(key=record.key, before=record, record=replace(free, intent=new))
    after = _remembered(free, new, changes, told, now, policy)
    assert after.update is not None
    events = (*ended, tell_update.service_updating(after))
    if after.update.phase is UpdatePhase.PREPARING:
        return Step(key=record.key, before=record, record=after, events=events)
    return _changing(record, after, events, now, policy)


def _check_still(record: DeploymentRecord) -> None:
    for vm in record.vms.values():
        if vm.state is VmState.INERT:
            text = f"update of deployment {record.key.name} cannot be taken: VM [{vm.name}] boots"
            raise Refused("in-use", f"{text}; ask again when it is alive")


def _check(record: DeploymentRecord, new: Deployment, changes: Sequence[Change]) -> None:
    kinds = _by_group(changes)
    for each in changes:
        if each.rule.how is How.REFUSED:
            raise Refused(
                "operation-not-supported",
                f"a deployment that stands cannot take a change of this kind: {each.kind}; "
                f"{each.rule.does}",
                below=each.path,
            )
        look = _CHECKS.get(each.kind)
        if look is not None:
            look(record, new, each)
        if each.kind is ChangeKind.LOCATOR and each.group is not None:
            migrate.check(record, new, each, kinds[each.group])
    migrate.check_wanted(record, new, changes, _staying(record, new))


def _check_pools(record: DeploymentRecord, new: Deployment, it: Change) -> None:
    """An address that a VM has may not leave its pool (ruling 20)."""
    assert record.intent is not None
    [old, now] = [
        next(group for group in each.groups if group.name == it.group)
        for each in (record.intent, new)
    ]
    lost = pooled(old) - pooled(now)
    having = [vm for vm in _staying(record, new) if vm.group == now.name]
    for network, text in addresses_of(port for vm in having for port in _kept(record, new, vm)):
        if (network, text) in lost:
            raise Refused(
                "in-use",
                f"{text} of the static pool of network {network} in vm_group {now.name} is in use: "
                "an address leaves its pool after the VM that has it",
                below=(Node("vm_group", now.name), *it.path[1:]),
            )


def _check_network_added(record: DeploymentRecord, new: Deployment, it: Change) -> None:
    """A VM does not move to another network because that has the same name."""
    name = it.path[-1].key
    for vm in _staying(record, new):
        kept = _kept(record, new, vm) if vm.state is not VmState.UNDEF else ()
        if any(port.network == name for port in kept):
            raise Refused(
                "in-use",
                f"VM [{vm.name}] is in another network {name}: give the new one another name",
                below=it.path,
            )


def _check_network_removed(_: DeploymentRecord, new: Deployment, it: Change) -> None:
    name = it.path[-1].key
    for group in new.groups:
        for interface in group.interfaces:
            if name in {interface.network, *interface.allowed_networks}:
                raise Refused(
                    "in-use",
                    f"network {name} cannot be removed: interface {interface.nicid} of vm_group "
                    f"{group.name} names it",
                    below=_interface(group, interface),
                )


def _check_fixed(record: DeploymentRecord, new: Deployment, it: Change) -> None:
    """What is to be the first VM's is no other VM's, which may give it up later or never."""
    group = next(each for each in new.groups if each.name == it.group)
    nicid = int(it.path[-1].key)
    interface = next(each for each in group.interfaces if each.nicid == nicid)
    fixed = {(interface.network, each.ip_address) for each in interface.wanted}
    for vm in record.vms.values():
        if vm.group == group.name and vm.seat == 0:
            continue
        for network, text in addresses_of(vm.ports):
            if (network, text) in fixed:
                raise Refused(
                    "in-use",
                    f"{text} of network {network} cannot be given to the first VM of vm_group "
                    f"{group.name}: VM [{vm.name}] has it",
                    below=it.path,
                )


def _check_subnet_removed(record: DeploymentRecord, new: Deployment, it: Change) -> None:
    assert record.intent is not None
    network, name = (node.key for node in it.path[-2:])
    subnet = next(
        subnet
        for each in record.intent.networks
        if each.name == network
        for subnet in each.subnets
        if subnet.name == name
    )
    for group in new.groups:
        for interface in group.interfaces:
            if interface.network == network and name in {each.subnet for each in interface.wanted}:
                raise Refused(
                    "in-use",
                    f"subnet {name} cannot be removed: interface {interface.nicid} of vm_group "
                    f"{group.name} names it",
                    below=_interface(group, interface),
                )
    for vm in _staying(record, new):
        kept = _kept(record, new, vm) if vm.state is not VmState.UNDEF else ()
        if used := [port for port in kept if uses(port, subnet)]:
            known = any(each.ip_address for port in used for each in port.addresses)
            raise Refused(
                "in-use",
                f"subnet {name} cannot be removed: VM [{vm.name}] "
                f"{'has' if known else 'may have'} an address of it",
                below=it.path,
            )


def _interface(group: VmGroup, interface: Interface) -> tuple[Node, ...]:
    nicid = Node("interface", str(interface.nicid), "nicid")
    return Node("vm_group", group.name), Node("interfaces"), nicid


def _staying(record: DeploymentRecord, new: Deployment) -> list[VmRecord]:
    gone = members.leaving(record, new)
    return [vm for vm in record.vms.values() if vm.id not in gone]


def _kept(record: DeploymentRecord, new: Deployment, vm: VmRecord) -> list[InterfaceRecord]:
    """Return the interfaces of *vm*, which stays, that this update leaves where they are."""
    old = {each.nicid: each for each in group_of(record, vm).interfaces}
    group = next(each for each in new.groups if each.name == vm.group)
    after = {each.nicid: each for each in group.interfaces}
    return [
        port
        for port in vm.interfaces
        if port.nicid in after and not replaced(old[port.nicid], after[port.nicid], vm.seat)
    ]


_CHECKS: Final[Mapping[ChangeKind, Callable[[DeploymentRecord, Deployment, Change], None]]] = {
    ChangeKind.POOLS: _check_pools,
    ChangeKind.INTERFACE_ADDED: _check_fixed,
    ChangeKind.INTERFACE_REPLACED: _check_fixed,
    ChangeKind.NETWORK_ADDED: _check_network_added,
    ChangeKind.NETWORK_REMOVED: _check_network_removed,
    ChangeKind.SUBNET_REMOVED: _check_subnet_removed,
}
"""What is looked at beyond the table."""


def _remembered(
    record: DeploymentRecord,
    new: Deployment,
    changes: tuple[Change, ...],
    told: IntentChanged,
    now: datetime,
    policy: Policy,
) -> DeploymentRecord:
    """Return *record* with all that the update is to do; what leaves is on its way."""
    gone, kinds = members.leaving(record, new), _by_group(changes)
    shaped = _reshaped(record, new, kinds, gone)
    grown = members.grown(shaped)
    added = grown.vms.keys() - record.vms.keys()
    staying = [vm for vm in shaped.vms.values() if vm.id not in gone]
    owned = owned_by(record.key, record.id, new)
    making = bool(
        added
        or any(vm.state is VmState.UNDEF or vm.migration for vm in staying)
        or set(owned).difference(record.owned)
        or {each.kind for each in changes} & (change.OF_SERVERS | _IN_PLACE)
    )
    left = tuple(each for each in (*record.leaving, *record.owned) if each not in owned)
    works = bool(making or gone or left or any(vm.change for vm in staying))
    attempt = begin_attempt(now, policy)
    vms: dict[VmId, VmRecord] = {}
    for vm in grown.vms.values():
        if vm.id in added:
            vms[vm.id] = vm
        elif vm.id not in gone:
            rearms = works or not _KPIS.isdisjoint(kinds.get(vm.group, ()))
            vms[vm.id] = _standing(held.rearmed(vm, grown) if rearms else vm, new, pause=works)
        elif vm.state is not VmState.UNDEF:  # nothing was ever asked of the VIM for it
            vms[vm.id] = going(vm, attempt, now, policy)
    begun_now = operation(record.id, OperationType.MODIFY_INFO, now, OperationId(told.id))
    return replace(
        grown,
        vms=vms,
        owned=owned,
        leaving=left,
        update=Update(
            phase=UpdatePhase.PREPARING if making else UpdatePhase.CHANGING,
            types=_types(changes),
            broken=tuple(vm.id for vm in staying if vm.state is VmState.ERROR),
        ),
        operation=entered(begun_now, OperationMove.GRANTED, now),
        edit=told.edit if making else None,
    )


def _by_group(changes: Iterable[Change]) -> Kinds:
    kinds: dict[VmGroupName, set[ChangeKind]] = {}
    for each in changes:
        if each.group is not None:
            kinds.setdefault(each.group, set()).add(each.kind)
    return kinds


def _reshaped(
    record: DeploymentRecord, new: Deployment, kinds: Kinds, gone: frozenset[VmId]
) -> DeploymentRecord:
    """Return *record* that wants to be *new*, with those of its VMs as they are to be that stay."""
    assert record.intent is not None
    before = {each.name: each for each in record.intent.groups}
    pools = Pools(new, record.leftovers, record.vms.values(), record.freed)
    after = replace(record, intent=new)
    for group in new.groups:
        drawn = pools.of(group, "an interface")
        of_group: AbstractSet[ChangeKind] = kinds.get(group.name, frozenset())
        for vm in record.vms.values():
            if vm.group == group.name and vm.id not in gone:
                shaped = change.reshaped(vm, before[group.name], group, of_group, drawn)
                if ChangeKind.LOCATOR in of_group:
                    shaped = migrate.relocated(record, shaped, group)
                if shaped is not vm:
                    after = drawn_by(with_vm(after, shaped), shaped)
    return after


def _standing(vm: VmRecord, new: Deployment, *, pause: bool) -> VmRecord:
    """A VM that is up holds nobody up, whatever is waited for now: it began before."""
    awaited = awaited_of(new, vm.group) if vm.state in _UP else frozenset()
    if not awaited.issubset(vm.came_true):
        news = sorted(awaited.difference(vm.came_true))
        vm = replace(vm, came_true=(*vm.came_true, *news))
    return updating.paused(vm) if pause else vm


def _types(changes: Iterable[Change]) -> Mapping[VmGroupName, str]:
    """Return what its VMs' VM_UPDATED says of each group that has one; empty: several things."""
    found: dict[VmGroupName, str] = {}
    for each in changes:
        update_type = each.rule.update_type
        if each.group is not None and update_type:
            same = found.get(each.group, update_type) == update_type
            found[each.group] = update_type if same else ""
    return found


def resources_ready(
    record: DeploymentRecord, handles: Mapping[Key, ResourceHandle], now: datetime, policy: Policy
) -> Step:
    """What is new is there: the VMs' turn has come."""
    update = record.update
    if update is None or update.phase is not UpdatePhase.PREPARING or update.error is not None:
        return unmoved(record)
    if any(key not in handles for key, _ in record.owned):
        return unmoved(record)  # of a wait before this one
    tenant = handles.get(Key(Kind.TENANT, None, record.key.tenant or "")) or record.tenant
    ready = replace(
        record,
        tenant=tenant or ResourceHandle(vim=record.vim, resource_id=""),
        networks={**record.networks, **networks_among(record, handles)},
        edit=None,
    )
    proving, told = migrate.begun(ready, begin_attempt(now, policy), now)
    if proving is ready:
        return _changing(record, ready, (), now, policy)
    assert proving.update is not None
    after = replace(proving, update=replace(proving.update, phase=UpdatePhase.PROVING))
    return settled(record, after, told, now)


def proven(
    record: DeploymentRecord, vm: VmRecord, proof: ServerProven, now: datetime, policy: Policy
) -> Step:
    """A VIM could have *vm*; once all could that are to move they do."""
    if not updating.is_proving(vm) or vm.migration is None or vm.migration.vim != proof.vim:
        return unmoved(record)
    after = with_vm(record, migrate.proven(vm))
    if any(map(updating.is_proving, after.vms.values())):
        return Step(key=record.key, before=record, record=after)
    return _changing(record, after, (), now, policy)


def resource_failed(record: DeploymentRecord, error: str, now: datetime) -> Step:
    """What is new cannot be had: nothing is made."""
    if record.update is None or record.update.phase is not UpdatePhase.PREPARING:
        return unmoved(record)
    return settled(record, replace(updating.failed(record, error), edit=None), (), now)


def cleared(record: DeploymentRecord, answer: NeighboursGone, now: datetime) -> Step:
    """The networks and subnets that were to leave have left, or stay behind."""
    assert record.update is not None
    awaited = {key for key, _ in record.leaving}
    if record.update.phase is not UpdatePhase.CLEARING or awaited != set(answer.gone):
        return unmoved(record)
    names = {parts_of(key.name)[-1] for key, _ in record.leaving if key.kind is Kind.NETWORK}
    networks = {name: it for name, it in record.networks.items() if name not in names}
    after = replace(record, leaving=(), networks=networks)
    if answer.failures:
        after = updating.failed(after, causes.first_of(answer.failures)[1])
    return settled(record, after, (), now)


def _changing(
    before: DeploymentRecord,
    record: DeploymentRecord,
    events: tuple[Event, ...],
    now: datetime,
    policy: Policy,
) -> Step:
    assert record.update is not None
    after = replace(record, update=replace(record.update, phase=UpdatePhase.CHANGING))
    attempt = begin_attempt(now, policy)
    started = {
        vm.id: it
        for vm in after.vms.values()
        if (it := change.begun(migrate.leaving(vm, attempt), attempt)) is not vm
    }
    done = {
        vm.id: _noted(record, vm, now)
        for vm in after.vms.values()
        if vm.group in record.update.types
        and vm.server
        and vm.id not in started
        and _is_as_wanted(vm)
    }
    after = replace(after, vms={**after.vms, **started, **done})
    told = tuple(
        tell_update.vm_updated(after, vm, record.update.types[vm.group]) for vm in done.values()
    )
    making = begun(after, VmMove.RESOURCES_READY, now, policy)
    return settled(before, making, (*events, *told), now)


def _noted(record: DeploymentRecord, vm: VmRecord, now: datetime) -> VmRecord:
    """Return *vm*, the same object where the same was noted at this moment already (law 8)."""
    history = change.noted(record, vm, now)
    return vm if history == vm.history else replace(vm, history=history)


def _is_as_wanted(vm: VmRecord) -> bool:
    moves = vm.state is VmState.UNDEPLOYING or vm.migration is not None
    return not moves and not updating.is_changing(vm)
