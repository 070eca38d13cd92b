"""
What was asked: the part of the configuration that has an effect, without its XML.

Durations are in seconds as in the data model; names are those of `esc_datamodel`.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from esc_daemon.domain.changed import quick
from esc_daemon.domain.ids import TenantName, VmGroupName


@dataclass(kw_only=True, slots=True, frozen=True)
class Tenant:
    """*mapped* false: it lives only inside this VNF manager; *managed* false: never made by us."""

    name: TenantName
    managed: bool = True
    mapped: bool = True


@dataclass(kw_only=True, slots=True, frozen=True)
class Subnet:
    """*address* and *netmask* as configured (``10.0.0.0``, ``255.255.255.0``)."""

    name: str
    network: str
    address: str
    netmask: str
    gateway: str | None = None
    no_gateway: bool = False
    dhcp: bool = True
    ip_version: str = "ipv4"


@dataclass(kw_only=True, slots=True, frozen=True)
class Network:
    """A network; its subnets are records of their own that wait for it."""

    name: str
    shared: bool = True
    admin_state: bool = True
    vlan_id: int = 0
    provider_network_type: str | None = None
    provider_physical_network: str | None = None
    provider_segmentation_id: int | None = None
    subnets: tuple[Subnet, ...] = ()


@dataclass(kw_only=True, slots=True, frozen=True)
class Image:
    """
    An image; its content is read from *src*, a path or a URI (`day_zero.source_of`).

    *checksum* is the digest that it must have, as `checksum.checksum_of` takes it.
    """

    name: str
    src: str | None = None
    checksum: str | None = None
    disk_format: str | None = None
    container_format: str | None = None
    properties: tuple[tuple[str, str], ...] = ()


@dataclass(kw_only=True, slots=True, frozen=True)
class Flavor:
    """Sizes of a VM; memory and disks in MiB."""

    name: str
    vcpus: int
    memory_mb: int
    root_disk_mb: int = 0
    ephemeral_disk_mb: int = 0
    swap_disk_mb: int = 0
    properties: tuple[tuple[str, str], ...] = ()


@quick
@dataclass(kw_only=True, slots=True, frozen=True)
class Locator:
    """Where a group goes; empty strings mean the default connector and the tenant's project."""

    vim_id: str = ""
    vim_project: str = ""


@dataclass(kw_only=True, slots=True, frozen=True)
class FixedAddress:
    """An address that an interface asks for: this one, or any of *subnet* (a name or an id)."""

    address_id: int = 0
    subnet: str | None = None
    ip_address: str | None = None


@quick
@dataclass(kw_only=True, slots=True, frozen=True)
class Interface:
    """
    One network interface of each VM of a group.

    *port_security_enabled* None: as the VIM has it for the network. What the port may send from
    beside its own addresses: all that *allowed_networks* have, and *allowed_addresses* (addresses
    and CIDRs).
    """

    nicid: int
    network: str
    type: str = "virtual"
    model: str = "virtio"
    ip_address: str | None = None
    mac_address: str | None = None
    admin_state_up: bool = True
    subnet: str | None = None
    addresses: tuple[FixedAddress, ...] = ()
    port_security_enabled: bool | None = None
    security_groups: tuple[str, ...] = ()
    allowed_networks: tuple[str, ...] = ()
    allowed_addresses: tuple[str, ...] = ()

    @property
    def wanted(self) -> tuple[FixedAddress, ...]:
        """
        The addresses asked for: the interface's own leaves, then the list, each address once.

        Empty: whatever the network has, one address of each IP version.
        """
        listed = tuple(sorted(self.addresses, key=lambda each: each.address_id))
        if self.subnet is None and self.ip_address is None:
            return listed
        if self.ip_address is not None and any(
            each.ip_address == self.ip_address for each in listed
        ):
            return listed
        return (FixedAddress(subnet=self.subnet, ip_address=self.ip_address), *listed)


@dataclass(kw_only=True, slots=True, frozen=True)
class TenantVolume:
    """A volume of a tenant: it is there before the VMs that name it, and stays after them."""

    name: str
    size_gib: int
    type: str | None = None
    image: str | None = None


@quick
@dataclass(kw_only=True, slots=True, frozen=True)
class GroupVolume:
    """
    A volume that each VM of a group gets.

    With *size_gib* it is made for the VM and goes with it (ephemeral); without, it is there already
    and stays (out-of-band): then *name* is its name or its id in the VIM. *volid* is its place in
    the order in which volumes are attached. The guest boots from the one whose *boot_index* is 0.
    """

    name: str
    volid: int | None = None
    size_gib: int | None = None
    bus: str | None = None
    type: str | None = None
    image: str | None = None
    boot_index: int | None = None
    device_type: str | None = None

    @property
    def is_ephemeral(self) -> bool:
        """Tell whether it is made for the VM, and goes with it."""
        return self.size_gib is not None

    @property
    def is_root(self) -> bool:
        """Tell whether the guest boots from it."""
        return self.boot_index == 0


class Condition(StrEnum):
    """How a sample is held against the threshold (metric_cond)."""

    GT = "GT"
    LT = "LT"
    EQ = "EQ"
    GE = "GE"
    LE = "LE"


@quick
@dataclass(kw_only=True, slots=True, frozen=True)
class Collector:
    """Who measures, what and how often; *type* is compared without case."""

    type: str
    nicid: int = 0
    poll_seconds: int = 15
    continuous_alarm: bool = False
    properties: tuple[tuple[str, str], ...] = field(default=(), repr=False)


@quick
@dataclass(kw_only=True, slots=True, frozen=True)
class Kpi:
    """A measured value and when it counts as true."""

    event_name: str
    threshold: str
    condition: Condition
    metric_type: str = "UINT32"
    occurrences_true: int = 1
    occurrences_false: int = 1
    collector: Collector


class RuleWhen(StrEnum):
    """The first word of a rule's action."""

    ALWAYS = "ALWAYS"
    TRUE = "TRUE"
    FALSE = "FALSE"


class PostedEvent(StrEnum):
    """What an action of the operator's own tells the engine (`domain.actions`)."""

    VM_ALIVE = "VM_ALIVE"
    VM_RECOVERY = "VM_RECOVERY"
    VM_SCALE_OUT = "VM_SCALE_OUT"
    VM_SCALE_IN = "VM_SCALE_IN"
    LOG = "LOG"


@quick
@dataclass(kw_only=True, slots=True, frozen=True)
class RuleAction:
    """
    ``FALSE recover autohealing`` as (FALSE, "recover autohealing"); case does not count.

    *posts*: it is one of the operator's own, and that is what it posted when it was accepted.
    """

    when: RuleWhen
    name: str
    posts: PostedEvent | None = None


@quick
@dataclass(kw_only=True, slots=True, frozen=True)
class Rule:
    """What follows from the KPI *event_name*."""

    event_name: str
    actions: tuple[RuleAction, ...]


@dataclass(kw_only=True, slots=True, frozen=True)
class AddressPool:
    """The fixed addresses (or MAC addresses) that VMs of a group draw from, in order."""

    network: str
    addresses: tuple[str, ...]
    netmask: str | None = None
    gateway: str | None = None


@quick
@dataclass(kw_only=True, slots=True, frozen=True)
class Scaling:
    """How many VMs a group has."""

    min_active: int = 1
    max_active: int = 1
    elastic: bool = True
    address_pools: tuple[AddressPool, ...] = ()
    mac_pools: tuple[AddressPool, ...] = ()


class RecoveryType(StrEnum):
    """Who starts a recovery."""

    AUTO = "AUTO"
    MANUAL = "MANUAL"


class RecoveryAction(StrEnum):
    """The ladder of a recovery."""

    REBOOT_THEN_REDEPLOY = "REBOOT_THEN_REDEPLOY"
    REBOOT_ONLY = "REBOOT_ONLY"
    REDEPLOY_ONLY = "REDEPLOY_ONLY"


@dataclass(kw_only=True, slots=True, frozen=True)
class RecoveryPolicy:
    """How a silent VM is healed; *max_retries* -1 means without end."""

    type: RecoveryType = RecoveryType.AUTO
    action: RecoveryAction = RecoveryAction.REBOOT_THEN_REDEPLOY
    max_retries: int = 3


@dataclass(kw_only=True, slots=True, frozen=True)
class RemoteFile:
    """The file at *path* below the base URL of the file server *server* (`FileServer`)."""

    server: str
    path: str
    checksum: str | None = None


@dataclass(kw_only=True, slots=True, frozen=True)
class DayZero:
    """
    One day-0 file of every VM of a group, known to the guest as *dst*.

    Its text is one of: inline *data*, a *file* (path or URI, `day_zero.source_of`) or a *remote*
    file; the last two are read at each activation. *variables* have a value for each VM.
    """

    dst: str
    data: str | None = field(default=None, repr=False)
    file: str | None = None
    remote: RemoteFile | None = None
    variables: tuple[tuple[str, tuple[str, ...]], ...] = field(default=(), repr=False)


@dataclass(kw_only=True, slots=True, frozen=True)
class Hook:
    """
    One *action* of a policy at one of its stages, the *condition* (`domain.hooks`).

    *type* is SCRIPT for a script on the manager. Its properties are shown to all readers.
    """

    condition: str
    action: str
    type: str = ""
    properties: tuple[tuple[str, str], ...] = field(default=(), repr=False)


@quick
@dataclass(kw_only=True, slots=True, frozen=True)
class VmGroup:
    """VMs of one make. *bootup_time* -1 means: deployed is enough, nobody watches."""

    name: VmGroupName
    image: str | None = None
    flavor: str | None = None
    locator: Locator = Locator()
    bootup_time: int = -1
    recovery_wait_time: int = 0
    reboot_time: int | None = None
    interfaces: tuple[Interface, ...] = ()
    kpis: tuple[Kpi, ...] = ()
    monitoring_enabled: bool = True
    rules: tuple[Rule, ...] = ()
    scaling: Scaling = Scaling()
    recovery: RecoveryPolicy = RecoveryPolicy()
    day_zero: tuple[DayZero, ...] = ()
    software_version: str | None = None
    hooks: tuple[Hook, ...] = ()
    volumes: tuple[GroupVolume, ...] = ()


@dataclass(kw_only=True, slots=True, frozen=True)
class Dependency:
    """What is waited for: that the KPI *event_name* of *group* becomes true."""

    group: VmGroupName
    event_name: str


@dataclass(kw_only=True, slots=True, frozen=True)
class Startup:
    """VMs of *group* are made once all of *depends_on* came true; there are no circles."""

    group: VmGroupName
    depends_on: tuple[Dependency, ...]


@quick
@dataclass(kw_only=True, slots=True, frozen=True)
class Deployment:
    """A service: its ephemeral networks, its groups of VMs, the order of their start, its hooks."""

    name: str
    networks: tuple[Network, ...] = ()
    groups: tuple[VmGroup, ...] = ()
    startup: tuple[Startup, ...] = ()
    hooks: tuple[Hook, ...] = ()


@dataclass(kw_only=True, slots=True, frozen=True)
class FileServer:
    """
    Where day-0 files are fetched from.

    *password* is sealed text (`esc_daemon.vault`), and so are the secrets among *properties*;
    `domain.secrets` opens them.
    """

    name: str
    base_url: str
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    properties: tuple[tuple[str, str], ...] = field(default=(), repr=False)


@dataclass(kw_only=True, slots=True, frozen=True)
class VimUser:
    """
    A login at a VIM.

    Those of the *credentials* that are secrets (a password, a token) are sealed text, which
    `domain.secrets` opens.
    """

    name: str
    credentials: tuple[tuple[str, str], ...] = field(default=(), repr=False)


@dataclass(kw_only=True, slots=True, frozen=True)
class VimConnector:
    """
    How one VIM is reached and logged in to; the first of *users* is the one that is used.

    Secrets among *properties* are sealed text, as those of its users.
    """

    name: str
    type: str
    properties: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    users: tuple[VimUser, ...] = ()


@dataclass(kw_only=True, slots=True, frozen=True)
class DefaultVimConnector:
    """The connector *vim_id* is the one of all that names none."""

    vim_id: str


Resource = Tenant | Network | Subnet | Image | Flavor | TenantVolume | FileServer
Intent = Resource | Deployment | VimConnector | DefaultVimConnector
