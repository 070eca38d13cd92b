"""What is: the records from which everything else is derived (DESIGN, law 3)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Generic, TypeVar

from esc_daemon.domain.changed import quick, replace
from esc_daemon.domain.history import NO_HISTORY, GroupHistory, VmHistory
from esc_daemon.domain.ids import (
    NO_VIM,
    EditId,
    Key,
    OperationId,
    RecordId,
    VimId,
    VmGroupName,
    VmId,
)
from esc_daemon.domain.intent import (
    DefaultVimConnector,
    Deployment,
    FileServer,
    Flavor,
    Image,
    Network,
    Resource,
    Subnet,
    Tenant,
    TenantVolume,
    VimConnector,
)
from esc_daemon.domain.migration import Migration
from esc_daemon.domain.policy import Attempt
from esc_daemon.domain.specs import NO_ADDRESS, Address, Power, ResourceHandle, VimStatus
from esc_daemon.domain.stages import Errand
from esc_daemon.domain.states import OperationState, ResourceState, ServiceState, VmState
from esc_daemon.domain.volume_record import VolumeRecord


@quick
@dataclass(kw_only=True, slots=True, frozen=True)
class InterfaceRecord:
    """
    An interface as it is; ids and addresses are None until the VIM has told them.

    So is *port_security_enabled*, whatever was asked for. The fields of `Address` are those of its
    first address, the others are in *more_addresses*.
    """

    nicid: int
    network: str
    type: str = "virtual"
    model: str = "virtio"
    admin_state_up: bool = True
    network_id: str | None = None
    subnet_id: str | None = None
    port_id: str | None = None
    ip_address: str | None = None
    mac_address: str | None = None
    netmask: str | None = None
    gateway: str | None = None
    subnet: str | None = None
    more_addresses: tuple[Address, ...] = ()
    port_security_enabled: bool | None = None
    security_groups: tuple[str, ...] = ()
    allowed_addresses: tuple[str, ...] = ()

    @property
    def addresses(self) -> tuple[Address, ...]:
        """All addresses; empty where nothing was asked for and the VIM has told none."""
        first = Address(
            subnet=self.subnet,
            ip_address=self.ip_address,
            subnet_id=self.subnet_id,
            netmask=self.netmask,
            gateway=self.gateway,
        )
        return () if first == NO_ADDRESS else (first, *self.more_addresses)

    def with_addresses(self, addresses: tuple[Address, ...]) -> "InterfaceRecord":
        """Return the interface with *addresses* in place of its own."""
        first, *more = addresses or (Address(),)
        return replace(
            self,
            subnet=first.subnet,
            ip_address=first.ip_address,
            subnet_id=first.subnet_id,
            netmask=first.netmask,
            gateway=first.gateway,
            more_addresses=tuple(more),
        )


class VmTask(StrEnum):
    """What a VM was last put through: what is told of it on the way depends on that."""

    DEPLOY = "deploy"
    START = "start"
    STOP = "stop"
    REBOOT = "reboot"
    SET_MONITOR = "set_monitor"
    UNSET_MONITOR = "unset_monitor"
    RECOVER = "recover"
    UPDATE = "update"


class RecoveryPhase(StrEnum):
    """Where on its ladder a recovery is (ESC-WORKFLOWS section 8)."""

    HELD = "held"
    """Before it begins: for the guard's leave, and for its turn (ruling 18). Nothing was told."""

    WAITING = "waiting"
    """For life to return by itself, until recovery_wait_time is over."""

    REBOOTING = "rebooting"
    """The hard reboot is under way."""

    UNDEPLOYING = "undeploying"
    """The server is removed; its ports, addresses and its name stay."""

    DEPLOYING = "deploying"
    """The next generation of the server is made."""

    BOOTING = "booting"
    """For life, until reboot_time or bootup_time is over."""

    NEEDED = "needed"
    """For the operator: the policy says MANUAL, or the VM was recovered too often."""


@quick
@dataclass(kw_only=True, slots=True, frozen=True)
class Recovery:
    """
    A recovery on its way, *cause* says why it began, or is to begin.

    *drifted*: the VIM said so, unasked; *gone*: the server is not there any more. *rounds* counts
    the reboots or redeploys that max_retries allows, *event_name* is the KPI by which it lives
    again. *queued*: since when another round waits for its turn. *server*, *host_id* and *hostname*
    are those that the VM had when it was lost: the vm_source of what is told.
    """

    phase: RecoveryPhase
    cause: str
    began: datetime
    event_name: str = ""
    rounds: int = 0
    queued: datetime | None = None
    rebooted: bool = False
    redeployed: bool = False
    drifted: bool = False
    gone: bool = False
    server: ResourceHandle | None = None
    host_id: str = ""
    hostname: str = ""


class ScaleDirection(StrEnum):
    """Whether a VM comes or leaves."""

    OUT = "out"
    IN = "in"


@quick
@dataclass(kw_only=True, slots=True, frozen=True)
class Scale:
    """
    Why a VM comes or leaves by itself: a KPI of the VM *source* asked for it.

    *failure* says why a VM that was to come is removed instead.
    """

    direction: ScaleDirection
    source: VmId
    failure: str | None = None


@quick
@dataclass(kw_only=True, slots=True, frozen=True)
class VmChange:
    """
    What an update has yet to do to a VM in the VIM; under way while the VM has an attempt.

    *removed* are interfaces whose ports go, *rooted*: its guest boots from another volume,
    *resized*: the server gets another flavor, *upgraded*: the hooks of a changed software_version
    are to run. *detached* are volumes that it loses, and
    *attached* the names of those that it gets, where hooks are to run for them. *asked*: something
    of it may have been done.
    """

    removed: tuple[InterfaceRecord, ...] = ()
    rooted: bool = False
    resized: bool = False
    upgraded: bool = False
    detached: tuple[VolumeRecord, ...] = ()
    attached: tuple[str, ...] = ()
    asked: bool = True


@quick
@dataclass(kw_only=True, slots=True, frozen=True)
class VmRecord:
    """
    One VM.

    *project* is the name of the project that holds it, *project_id* the VIM's id of the project
    where that is the tenant's. *server* is known from the VIM's first answer on; *unsure_until* is
    the moment up to which a create that nobody answered may still turn up; *deadline* is the end of
    the wait for life, and for the KPI events that other groups wait for. *came_true* are those of
    them that were seen.

    *power* is what its server is being switched to; until *late_switch* a switch that nobody
    answered may still take effect, and none in another direction is sent. *switches* counts what
    was ever asked of it: an answer to an earlier one, which may come twice, ends no later one.
    *armings* counts how often its monitors were switched on again: they tell all anew each time,
    also where nobody had the time to switch them off.

    *index* is never that of another VM of its group again. *place* is the number by which the
    values that the group has for each of its VMs are dealt out; None: its index. *change* is what
    an update has yet to do to it, *migration* where it is to live instead. *operation* is the last
    action that was asked of it alone. *errands* are scripts that nothing else waits for.
    """

    id: VmId
    name: str
    group: VmGroupName
    index: int
    generation: int
    state: VmState
    vim: VimId
    project: str
    project_id: str = ""
    interfaces: tuple[InterfaceRecord, ...] = ()
    server: ResourceHandle | None = None
    host_id: str = ""
    hostname: str = ""
    attempt: Attempt | None = None
    unsure_until: datetime | None = None
    deadline: datetime | None = None
    error: str | None = None
    came_true: tuple[str, ...] = ()
    task: VmTask = VmTask.DEPLOY
    power: Power | None = None
    late_switch: datetime | None = None
    switches: int = 0
    armings: int = 0
    recovery: Recovery | None = None
    history: VmHistory = NO_HISTORY
    scale: Scale | None = None
    place: int | None = None
    change: VmChange | None = None
    migration: Migration | None = None
    operation: OperationId | None = None
    volumes: tuple[VolumeRecord, ...] = ()
    errands: tuple[Errand, ...] = ()

    @property
    def ports(self) -> tuple[InterfaceRecord, ...]:
        """The interfaces, and those whose ports have yet to go."""
        return (*self.interfaces, *(self.change.removed if self.change else ()))

    @property
    def seat(self) -> int:
        """The number of the group's values that it has."""
        return self.index if self.place is None else self.place


class ActionType(StrEnum):
    """What a serviceAction or a vmAction asks for."""

    START = "START"
    STOP = "STOP"
    REBOOT = "REBOOT"
    ENABLE_MONITOR = "ENABLE_MONITOR"
    DISABLE_MONITOR = "DISABLE_MONITOR"


class OperationType(StrEnum):
    """What an operation does (SOL003 v3.3.1 table 5.5.4.5-1, LcmOperationType)."""

    INSTANTIATE = "INSTANTIATE"
    TERMINATE = "TERMINATE"
    OPERATE = "OPERATE"
    HEAL = "HEAL"
    SCALE = "SCALE"
    MODIFY_INFO = "MODIFY_INFO"


@quick
@dataclass(kw_only=True, slots=True, frozen=True)
class OperationOccurrence:
    """An accepted request on its way (SOL003 v3.3.1, 5.5.2.13 VnfLcmOpOcc)."""

    id: OperationId
    type: OperationType
    state: OperationState
    started: datetime
    entered: datetime


@dataclass(kw_only=True, slots=True, frozen=True)
class Leftover:
    """A server that the VIM would not remove; tried again, never forgotten (ruling 8)."""

    vm: VmRecord
    deployment: RecordId
    attempt: Attempt


@dataclass(kw_only=True, slots=True, frozen=True)
class Successor:
    """The next incarnation under the same name: it waits for the last removal of this one."""

    id: RecordId
    intent: Deployment
    vim: VimId = NO_VIM
    edit: EditId | None = None


class UpdatePhase(StrEnum):
    """Where an update is; one kind of work begins when the one before it has ended."""

    PREPARING = "preparing"
    """What new VMs need gets ready: networks, images, flavors."""

    PROVING = "proving"
    """VIMs are asked whether they could have the VMs that are to move there."""

    CHANGING = "changing"
    """VMs leave, then VMs are made."""

    CLEARING = "clearing"
    """Networks leave, and subnets."""

    ARMING = "arming"
    """The monitors are on again; VMs that were not watched before have yet to live."""


@quick
@dataclass(kw_only=True, slots=True, frozen=True)
class Update:
    """
    An update on its way.

    *types* are the groups whose VMs are told to be updated, with their vm_update_type. *broken*
    are VMs that were in error before it began. *error* is why it has failed: what is under way
    ends, and nothing more begins.
    """

    phase: UpdatePhase
    types: Mapping[VmGroupName, str] = field(default_factory=dict)
    broken: tuple[VmId, ...] = ()
    error: str | None = None


@quick
@dataclass(kw_only=True, slots=True, frozen=True)
class DeploymentRecord:
    """
    A deployment.

    *intent* None: it is to go. *vim* is the connector of the groups that name none: what was the
    default when the deployment was accepted (here and elsewhere empty in rows of before there were
    connectors, where it stands for the present default). *owned* are its ephemeral networks and
    subnets, *leaving* those that an update took away and that are not gone. *tenant* and *networks*
    are what its neighbours told when they were ready. *edit* is that by which it came, until then,
    or that by which it goes: None where the edit moved nothing else that it must wait for. *action*
    is the action on the whole service that is under way, *update* an update. A record with neither
    intent nor VMs may rest for its *leftovers* alone; then *state* is SERVICE_UNDEF_STATE and
    opdata does not show it.

    *freed* are the pool addresses, IP and MAC, that VMs left behind which were removed, each with
    its network, the longest free one first. *errands* are scripts that nothing else waits for,
    those of its VMs aside.
    """

    key: Key
    id: RecordId
    intent: Deployment | None
    state: ServiceState
    vim: VimId = NO_VIM
    vms: Mapping[VmId, VmRecord] = field(default_factory=dict)
    owned: tuple[tuple[Key, RecordId], ...] = ()
    leaving: tuple[tuple[Key, RecordId], ...] = ()
    tenant: ResourceHandle | None = None
    networks: Mapping[str, ResourceHandle] = field(default_factory=dict)
    operation: OperationOccurrence | None = None
    action: ActionType | None = None
    update: Update | None = None
    successor: Successor | None = None
    edit: EditId | None = None
    leftovers: tuple[Leftover, ...] = ()
    scaled: Mapping[VmGroupName, GroupHistory] = field(default_factory=dict)
    freed: tuple[tuple[str, str], ...] = ()
    errands: tuple[Errand, ...] = ()
    error: str | None = None
    revision: int = 0
    epoch: int = 0

    @property
    def owed(self) -> tuple[Errand, ...]:
        """The errands that have yet to run, those of its VMs too."""
        of_vms = (errand for vm in self.vms.values() for errand in vm.errands)
        return (*self.errands, *of_vms)


ResourceT = TypeVar("ResourceT", bound=Resource)


@dataclass(kw_only=True, slots=True, frozen=True)
class ResourceSuccessor(Generic[ResourceT]):
    """As `Successor`, for a resource."""

    id: RecordId
    intent: ResourceT
    owner: tuple[Key, RecordId] | None
    vim: VimId = NO_VIM
    edit: EditId | None = None


@quick
@dataclass(kw_only=True, slots=True, frozen=True)
class ResourceRecord(Generic[ResourceT]):
    """
    A tenant, network, subnet, image, flavor, volume or file server.

    *vim* is where it lives, fixed when it was accepted. *made* is what was last asked of the VIM:
    a removal needs it after *intent* is None. *owner* is the deployment whose ephemeral network it
    is. *edit* is the edit by which it came or goes, None where it is waited for by need alone.
    *successor* waits for its removal, of a leftover only where it cannot adopt that. *late_removal*
    is until when a removal that nobody answered may still take effect.
    """

    key: Key
    id: RecordId
    intent: ResourceT | None
    made: ResourceT
    state: ResourceState
    vim: VimId = NO_VIM
    owner: tuple[Key, RecordId] | None = None
    parent: ResourceHandle | None = None
    handle: ResourceHandle | None = None
    attempt: Attempt | None = None
    unsure_until: datetime | None = None
    late_removal: datetime | None = None
    successor: ResourceSuccessor[ResourceT] | None = None
    edit: EditId | None = None
    error: str | None = None
    revision: int = 0
    epoch: int = 0


@dataclass(kw_only=True, slots=True, frozen=True)
class ConnectorRecord:
    """
    A VIM connector.

    *status* is what the last check of the connector as it now is found, None before the first;
    *message* says it in words, and why. *told* is the status that was told last. *checked* is when
    the last check ended, *next_check* when it is looked at again.
    """

    key: Key
    id: RecordId
    intent: VimConnector | None
    status: VimStatus | None = None
    message: str = ""
    told: VimStatus | None = None
    checked: datetime | None = None
    next_check: datetime | None = None
    revision: int = 0
    epoch: int = 0


@dataclass(kw_only=True, slots=True, frozen=True)
class DefaultConnectorRecord:
    """Which VIM connector is named as the default; there is one such record, or none."""

    key: Key
    id: RecordId
    intent: DefaultVimConnector | None
    revision: int = 0
    epoch: int = 0


AnyResourceRecord = (
    ResourceRecord[Tenant]
    | ResourceRecord[Network]
    | ResourceRecord[Subnet]
    | ResourceRecord[Image]
    | ResourceRecord[Flavor]
    | ResourceRecord[TenantVolume]
    | ResourceRecord[FileServer]
)
Record = DeploymentRecord | AnyResourceRecord | ConnectorRecord | DefaultConnectorRecord
