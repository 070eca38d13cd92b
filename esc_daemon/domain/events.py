"""What is told northbound: one event, as one listener or another will see it."""

from dataclasses import dataclass
from enum import StrEnum

from esc_daemon.domain.changed import quick
from esc_daemon.domain.ids import (
    DeploymentId,
    DeploymentName,
    OperationId,
    TenantName,
    VimId,
    VmGroupName,
)
from esc_daemon.domain.record import InterfaceRecord


class Stream(StrEnum):
    """Where an event belongs (RFC 5277 section 3)."""

    ESC_EVENT = "escEvent"


class Audience(StrEnum):
    """Who hears it (ruling 7)."""

    ALL = "all"
    REST = "rest"


class EventStatus(StrEnum):
    """How it went."""

    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"


class EventType(StrEnum):
    """The events of seed 000, tables 3 to 5, that this version tells, and those of connectors."""

    CREATE_TENANT = "CREATE_TENANT"
    DELETE_TENANT = "DELETE_TENANT"
    CREATE_NETWORK = "CREATE_NETWORK"
    DELETE_NETWORK = "DELETE_NETWORK"
    CREATE_SUBNET = "CREATE_SUBNET"
    DELETE_SUBNET = "DELETE_SUBNET"
    CREATE_IMAGE = "CREATE_IMAGE"
    DELETE_IMAGE = "DELETE_IMAGE"
    CREATE_FLAVOR = "CREATE_FLAVOR"
    DELETE_FLAVOR = "DELETE_FLAVOR"
    CREATE_VOLUME = "CREATE_VOLUME"
    DELETE_VOLUME = "DELETE_VOLUME"
    VM_DEPLOYED = "VM_DEPLOYED"
    VM_ALIVE = "VM_ALIVE"
    VM_UNDEPLOYED = "VM_UNDEPLOYED"
    VM_RECOVERY_INIT = "VM_RECOVERY_INIT"
    VM_RECOVERY_CANCELLED = "VM_RECOVERY_CANCELLED"
    VM_RECOVERY_REBOOT = "VM_RECOVERY_REBOOT"
    VM_RECOVERY_UNDEPLOYED = "VM_RECOVERY_UNDEPLOYED"
    VM_RECOVERY_DEPLOYED = "VM_RECOVERY_DEPLOYED"
    VM_RECOVERY_COMPLETE = "VM_RECOVERY_COMPLETE"
    VM_MANUAL_RECOVERY_NEEDED = "VM_MANUAL_RECOVERY_NEEDED"
    VM_MANUAL_RECOVERY_NO_NEED = "VM_MANUAL_RECOVERY_NO_NEED"
    VM_SCALE_OUT_INIT = "VM_SCALE_OUT_INIT"
    VM_SCALE_OUT_DEPLOYED = "VM_SCALE_OUT_DEPLOYED"
    VM_SCALE_OUT_COMPLETE = "VM_SCALE_OUT_COMPLETE"
    VM_SCALE_IN_INIT = "VM_SCALE_IN_INIT"
    VM_SCALE_IN_COMPLETE = "VM_SCALE_IN_COMPLETE"
    VM_STARTED = "VM_STARTED"
    VM_STOPPED = "VM_STOPPED"
    VM_REBOOTED = "VM_REBOOTED"
    VM_MONITOR_SET = "VM_MONITOR_SET"
    VM_MONITOR_UNSET = "VM_MONITOR_UNSET"
    VM_UPDATED = "VM_UPDATED"
    VM_SOFTWARE_VERSION_UPDATED = "VM_SOFTWARE_VERSION_UPDATED"
    SERVICE_ALIVE = "SERVICE_ALIVE"
    SERVICE_UNDEPLOYED = "SERVICE_UNDEPLOYED"
    SERVICE_STARTED = "SERVICE_STARTED"
    SERVICE_STOPPED = "SERVICE_STOPPED"
    SERVICE_REBOOTED = "SERVICE_REBOOTED"
    SERVICE_MONITOR_UNSET = "SERVICE_MONITOR_UNSET"
    SERVICE_UPDATING_STATE = "SERVICE_UPDATING_STATE"
    SERVICE_UPDATED = "SERVICE_UPDATED"
    VIM_OPERATIONAL_STATE = "VIM_OPERATIONAL_STATE"
    CREATE_VIM_CONNECTOR = "CREATE_VIM_CONNECTOR"
    UPDATE_VIM_CONNECTOR = "UPDATE_VIM_CONNECTOR"
    DELETE_VIM_CONNECTOR = "DELETE_VIM_CONNECTOR"
    CREATE_VIM_USER = "CREATE_VIM_USER"
    UPDATE_VIM_USER = "UPDATE_VIM_USER"
    DELETE_VIM_USER = "DELETE_VIM_USER"
    CREATE_DEFAULT_VIM_CONNECTOR = "CREATE_DEFAULT_VIM_CONNECTOR"
    DELETE_DEFAULT_VIM_CONNECTOR = "DELETE_DEFAULT_VIM_CONNECTOR"


@quick
@dataclass(kw_only=True, slots=True, frozen=True)
class VmRef:
    """A VM in an event; *vmid* is the VIM's id (ruling 4), None where the VIM has none."""

    vmid: str | None
    vmname: str
    generated_vmname: str
    vim_id: str = ""
    vim_project: str = ""
    vim_project_id: str = ""
    hostid: str = ""
    hostname: str = ""
    interfaces: tuple[InterfaceRecord, ...] = ()


@quick
@dataclass(kw_only=True, slots=True, frozen=True)
class Event:
    """
    One escEvent (ESC-WORKFLOWS section 0); empty and None fields are left out.

    *operation* is what it belongs to (`operation_of`), *vim* where lives what it is about; both are
    for the log and no part of the escEvent.
    """

    type: EventType
    message: str
    status: EventStatus = EventStatus.SUCCESS
    status_code: int = 200
    stream: Stream = Stream.ESC_EVENT
    audience: Audience = Audience.ALL
    tenant: TenantName | None = None
    tenant_id: str | None = None
    deployment: DeploymentName | None = None
    deployment_id: DeploymentId | None = None
    vm_group: VmGroupName | None = None
    vm_update_type: str | None = None
    network: str | None = None
    subnet: str | None = None
    image: str | None = None
    flavor: str | None = None
    volume: str | None = None
    vim_connector_id: VimId | None = None
    source: VmRef | None = None
    target: VmRef | None = None
    details: str | None = None
    operation: OperationId | None = None
    vim: VimId | None = None
