"""The events and their texts, each in one place (ESC-WORKFLOWS sections 0 to 2; seed 000)."""

from collections.abc import Iterator, Mapping
from typing import Final

from esc_daemon.domain.causes import vm_and
from esc_daemon.domain.events import Event, EventStatus, EventType, VmRef
from esc_daemon.domain.ids import (
    ADMIN_TENANT,
    DeploymentId,
    DeploymentName,
    Key,
    Kind,
    TenantName,
    VimId,
    parts_of,
)
from esc_daemon.domain.intent import DefaultVimConnector, VimConnector
from esc_daemon.domain.operations import operation_id, operation_of
from esc_daemon.domain.record import (
    AnyResourceRecord,
    DeploymentRecord,
    InterfaceRecord,
    OperationType,
    VmRecord,
)
from esc_daemon.domain.specs import VimStatus

_CREATED: Final[Mapping[Kind, tuple[EventType, str]]] = {
    Kind.TENANT: (EventType.CREATE_TENANT, "Tenant successfully created"),
    Kind.NETWORK: (EventType.CREATE_NETWORK, "Network creation completed successfully"),
    Kind.SUBNET: (EventType.CREATE_SUBNET, "Subnet creation completed successfully"),
    Kind.IMAGE: (EventType.CREATE_IMAGE, "Image creation completed successfully."),
    Kind.FLAVOR: (EventType.CREATE_FLAVOR, "Flavor creation completed successfully."),
    Kind.VOLUME: (EventType.CREATE_VOLUME, "Volume creation completed successfully."),
}
_DELETED: Final[Mapping[Kind, tuple[EventType, str]]] = {
    Kind.TENANT: (EventType.DELETE_TENANT, "Tenant successfully deleted"),
    Kind.NETWORK: (EventType.DELETE_NETWORK, "VIM Driver: Network successfully deleted"),
    Kind.SUBNET: (EventType.DELETE_SUBNET, "VIM Driver: Subnet successfully deleted"),
    Kind.IMAGE: (EventType.DELETE_IMAGE, "Image deletion completed successfully."),
    Kind.FLAVOR: (EventType.DELETE_FLAVOR, "Flavor deletion completed successfully."),
    Kind.VOLUME: (EventType.DELETE_VOLUME, "Volume deletion completed successfully."),
}
_VIM_STATUS: Final[Mapping[VimStatus, str]] = {
    VimStatus.CONNECTION_SUCCESSFUL: "Successfully connected to VIM",
    VimStatus.CONNECTION_FAILED: "Unable to establish VIM connection",
    VimStatus.AUTHENTICATION_FAILED: "VIM authentication failed",
    VimStatus.NO_CREDENTIALS: "No VIM credentials found",
}
_CONNECTORS: Final[Mapping[EventType, str]] = {
    EventType.CREATE_VIM_CONNECTOR: "VIM connector successfully created",
    EventType.UPDATE_VIM_CONNECTOR: "VIM connector successfully updated",
    EventType.DELETE_VIM_CONNECTOR: "VIM connector successfully deleted",
    EventType.CREATE_VIM_USER: "VIM user successfully created",
    EventType.UPDATE_VIM_USER: "VIM user successfully updated",
    EventType.DELETE_VIM_USER: "VIM user successfully deleted",
    EventType.CREATE_DEFAULT_VIM_CONNECTOR: "Default VIM connector successfully created",
    EventType.DELETE_DEFAULT_VIM_CONNECTOR: "Default VIM connector successfully deleted",
}


def resource_created(
    record: AnyResourceRecord, error: str | None = None, *, changed: bool = False
) -> Event:
    """
    Return CREATE_...; FAILURE where there is an *error*.

    *changed*: it was there already and is now as it was asked to be since. There is no event of
    its own for that (seed 000, table 5), so the text says it.
    """
    kind, text = _CREATED[record.key.kind]
    if changed:
        text = text.replace("creation", "update")
    if error is not None:
        deed = "update" if changed else "creation"
        text = f"{record.key.kind.value.capitalize()} {deed} failed: {error}"
    return _of_resource(record, kind, text, error)


def resource_deleted(record: AnyResourceRecord, error: str | None = None) -> Event:
    """Return DELETE_...; FAILURE where there is an *error*."""
    kind, text = _DELETED[record.key.kind]
    if error is not None:
        text = f"{record.key.kind.value.capitalize()} deletion failed: {error}"
    return _of_resource(record, kind, text, error)


def _of_resource(record: AnyResourceRecord, kind: EventType, text: str, error: str | None) -> Event:
    key = record.key
    owner = key.tenant or (ADMIN_TENANT if key.kind in {Kind.NETWORK, Kind.SUBNET} else None)
    if key.kind is Kind.TENANT:
        owner = TenantName(key.name)
    return Event(
        type=kind,
        message=text,
        status=EventStatus.SUCCESS if error is None else EventStatus.FAILURE,
        status_code=200 if error is None else 500,
        tenant=owner,
        network=_network_id(key, owner),
        subnet=_subnet_id(key, owner),
        image=key.name if key.kind is Kind.IMAGE else None,
        flavor=key.name if key.kind is Kind.FLAVOR else None,
        volume=key.name if key.kind is Kind.VOLUME else None,
        deployment=DeploymentName(record.owner[0].name) if record.owner else None,
        deployment_id=record.owner[1] if record.owner else None,
        operation=operation_of(record),
        vim=record.vim or (record.handle.vim if record.handle else None),
    )


def _network_id(key: Key, owner: str | None) -> str | None:
    """ESC's internal id of a network is its tenant's name and its own, run together."""
    if key.kind is Kind.NETWORK:
        return f"{owner}{''.join(parts_of(key.name))}"
    if key.kind is Kind.SUBNET:
        return f"{owner}{''.join(parts_of(key.name)[:-1])}"
    return None


def _subnet_id(key: Key, owner: str | None) -> str | None:
    if key.kind is not Kind.SUBNET:
        return None
    return f"{owner}{''.join(parts_of(key.name))}"


def vm_ref(vm: VmRecord, *, interfaces: bool = False) -> VmRef:
    """Return *vm* as an event names it."""
    shown: tuple[InterfaceRecord, ...] = vm.interfaces if interfaces else ()
    return VmRef(
        vmid=vm.server.resource_id if vm.server else None,
        vmname=vm.name,
        generated_vmname=vm.name,
        vim_id=vm.vim,
        vim_project=vm.project,
        vim_project_id=vm.project_id,
        hostid=vm.host_id,
        hostname=vm.hostname,
        interfaces=shown,
    )


def vm_deployed(record: DeploymentRecord, vm: VmRecord) -> Event:
    """Return VM_DEPLOYED SUCCESS; NSO reads the management address from its interfaces."""
    text = f"VIM Driver: VM successfully created, VM Name: [{vm.name}]"
    return of_vm(record, vm, EventType.VM_DEPLOYED, text, interfaces=True)


def vm_not_deployed(record: DeploymentRecord, vm: VmRecord, cause: str) -> Event:
    """Return VM_DEPLOYED FAILURE; NSO expects no vm_group in it."""
    text = f"VIM Driver: VM creation failed, VM Name: {vm_and(vm, cause)}"
    return of_service(
        record, EventType.VM_DEPLOYED, text, source=vm_ref(vm), status=EventStatus.FAILURE
    )


def vm_alive(record: DeploymentRecord, vm: VmRecord) -> Event:
    """Return VM_ALIVE SUCCESS."""
    text = f"VM_Alive event received, VM ID: [{vm.name}]"
    return of_vm(record, vm, EventType.VM_ALIVE, text, interfaces=True)


def vm_undeployed(record: DeploymentRecord, vm: VmRecord, cause: str | None = None) -> Event:
    """Return VM_UNDEPLOYED; FAILURE where there is a *cause*."""
    text = "VIM Driver: VM successfully deleted"
    if cause is not None:
        text = f"VIM Driver: VM deletion failed, VM Name: {vm_and(vm, cause)}"
    return of_vm(record, vm, EventType.VM_UNDEPLOYED, text, error=cause)


def service_alive(record: DeploymentRecord, error: str | None = None) -> Event:
    """Return SERVICE_ALIVE; FAILURE where there is an *error*."""
    text = "Service group deployment completed successfully!"
    if error is not None:
        text = f"Service group deployment failed: {error}"
    return of_service(record, EventType.SERVICE_ALIVE, text, status=status_of(error))


def service_undeployed(
    record: DeploymentRecord,
    error: str | None = None,
    *,
    left: int = 0,
    id_: DeploymentId | None = None,
) -> Event:
    """
    Return SERVICE_UNDEPLOYED; *id_* names an incarnation that never began.

    *left* counts what stays in VIMs of the one that ends with *error*.
    """
    text = "Service group undeployment completed successfully"
    if error is not None:
        text = f"Service group undeployment failed: {error}"
        if left:
            text += f"; {left} leftover{'s' if left > 1 else ''}, shown by esc_nc_cli leftovers"
    return of_service(record, EventType.SERVICE_UNDEPLOYED, text, status=status_of(error), id_=id_)


def status_of(error: str | None) -> EventStatus:
    """Return FAILURE where there is an *error*."""
    return EventStatus.SUCCESS if error is None else EventStatus.FAILURE


def of_vm(
    record: DeploymentRecord,
    vm: VmRecord,
    kind: EventType,
    text: str,
    *,
    error: str | None = None,
    interfaces: bool = False,
    source: VmRef | None = None,
    target: VmRef | None = None,
) -> Event:
    """
    Return an event about *vm*; FAILURE where there is an *error*.

    Its vm_source is *source*, or else *vm* as it is, with its *interfaces* where they are to be
    shown.
    """
    return Event(
        type=kind,
        message=text,
        status=status_of(error),
        status_code=200 if error is None else 500,
        tenant=record.key.tenant,
        tenant_id=tenant_id(record),
        deployment=DeploymentName(record.key.name),
        deployment_id=record.id,
        vm_group=vm.group,
        source=source or vm_ref(vm, interfaces=interfaces),
        target=target,
        operation=operation_of(record),
    )


def of_service(
    record: DeploymentRecord,
    kind: EventType,
    text: str,
    *,
    status: EventStatus = EventStatus.SUCCESS,
    source: VmRef | None = None,
    id_: DeploymentId | None = None,
) -> Event:
    """Return an event about the deployment; *id_* names an incarnation that never began."""
    return Event(
        type=kind,
        message=text,
        status=status,
        status_code=200 if status is EventStatus.SUCCESS else 500,
        tenant=record.key.tenant,
        tenant_id=tenant_id(record),
        deployment=DeploymentName(record.key.name),
        deployment_id=id_ or record.id,
        source=source,
        operation=operation_id(id_, OperationType.INSTANTIATE) if id_ else operation_of(record),
    )


def tenant_id(record: DeploymentRecord) -> str | None:
    """Return the VIM's id of the tenant, or its name where it has none there (seed 003)."""
    if record.tenant is None:
        return None
    return record.tenant.resource_id or record.key.tenant


def vim_status_text(status: VimStatus, detail: str = "") -> str:
    """Return what a check found, in words: the status's own, then why."""
    text = _VIM_STATUS[status]
    return f"{text}: {detail}" if detail else text


def vim_operational_state(vim: VimId, status: VimStatus, detail: str = "") -> Event:
    """Return VIM_OPERATIONAL_STATE; FAILURE unless the VIM lets us in."""
    well = status is VimStatus.CONNECTION_SUCCESSFUL
    return Event(
        type=EventType.VIM_OPERATIONAL_STATE,
        message=vim_status_text(status),
        status=EventStatus.SUCCESS if well else EventStatus.FAILURE,
        status_code=200 if well else 500,
        vim_connector_id=vim,
        details=detail or None,
    )


def connector_created(vim: VimId, intent: VimConnector) -> Iterator[Event]:
    """Yield CREATE_VIM_CONNECTOR, then CREATE_VIM_USER of each user."""
    yield _of_connector(vim, EventType.CREATE_VIM_CONNECTOR)
    for user in intent.users:
        yield _of_connector(vim, EventType.CREATE_VIM_USER, user.name)


def connector_updated(vim: VimId, old: VimConnector, new: VimConnector) -> Iterator[Event]:
    """Yield what is told when *old* becomes *new*: the users that differ, and the rest as one."""
    was = {user.name: user for user in old.users}
    now = {user.name: user for user in new.users}
    kept = [name for name in was if name in now]
    reordered = kept != [name for name in now if name in was]
    if (old.type, old.properties) != (new.type, new.properties) or reordered:
        yield _of_connector(vim, EventType.UPDATE_VIM_CONNECTOR)
    for name in was:
        if name not in now:
            yield _of_connector(vim, EventType.DELETE_VIM_USER, name)
    for name, user in now.items():
        if name not in was:
            yield _of_connector(vim, EventType.CREATE_VIM_USER, name)
        elif was[name] != user:
            yield _of_connector(vim, EventType.UPDATE_VIM_USER, name)


def connector_deleted(vim: VimId, intent: VimConnector | None) -> Iterator[Event]:
    """Yield DELETE_VIM_USER of each user, then DELETE_VIM_CONNECTOR."""
    for user in intent.users if intent else ():
        yield _of_connector(vim, EventType.DELETE_VIM_USER, user.name)
    yield _of_connector(vim, EventType.DELETE_VIM_CONNECTOR)


def default_connector_created(intent: DefaultVimConnector) -> Event:
    """Return CREATE_DEFAULT_VIM_CONNECTOR, also where another one was the default."""
    return _of_connector(VimId(intent.vim_id), EventType.CREATE_DEFAULT_VIM_CONNECTOR)


def default_connector_deleted(intent: DefaultVimConnector) -> Event:
    """Return DELETE_DEFAULT_VIM_CONNECTOR."""
    return _of_connector(VimId(intent.vim_id), EventType.DELETE_DEFAULT_VIM_CONNECTOR)


def _of_connector(vim: VimId, kind: EventType, user: str | None = None) -> Event:
    text = _CONNECTORS[kind] if user is None else f"{_CONNECTORS[kind]}: {user}"
    return Event(type=kind, message=text, vim_connector_id=vim)
