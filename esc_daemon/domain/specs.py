"""What a VIM is asked for, and what it answers: the words that the domain and the drivers share."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from esc_daemon.domain.changed import quick
from esc_daemon.domain.ids import PortKey, ServerKey, VimId, VolumeKey


@quick
@dataclass(kw_only=True, slots=True, frozen=True)
class ResourceHandle:
    """
    Where a thing of ours is in a VIM (ETSI NFV: ResourceHandle).

    *resource_id* is the VIM's id. *project* is the VIM's project that holds it; for a tenant it
    is the project that the tenant became (empty: the tenant has none of its own). *size_gib* is how
    large a volume is there, whatever was asked for since; 0 of anything else.
    """

    vim: VimId
    resource_id: str
    project: str = ""
    name: str = ""
    size_gib: int = 0


@dataclass(kw_only=True, slots=True, frozen=True)
class VimImage:
    """An image in a VIM; until it is *ready* its content is still to be uploaded."""

    handle: ResourceHandle
    ready: bool = True


@quick
@dataclass(kw_only=True, slots=True, frozen=True)
class Address:
    """
    One address of a port (Neutron: fixed_ips), wanted or given.

    Wanted: *ip_address*, or any of *subnet*, which is a name or an id; with both, the address has
    to lie in the subnet. The VIM tells *subnet_id*, *netmask* and *gateway*.
    """

    subnet: str | None = None
    ip_address: str | None = None
    subnet_id: str | None = None
    netmask: str | None = None
    gateway: str | None = None


NO_ADDRESS: Final = Address()
"""Nothing was asked for, and nothing was told."""


@quick
@dataclass(kw_only=True, slots=True, frozen=True)
class NetworkRef:
    """A network by its name, or its id in the VIM; *id* is set where it is one of our records."""

    name: str
    id: str | None = None


@quick
@dataclass(kw_only=True, slots=True, frozen=True)
class PortSpec:
    """
    A port that is wanted; *network_id* is set where the network is one of our records.

    Without *addresses* it gets one of each IP version that the network has. *allowed_addresses*
    (addresses and CIDRs) and all that *allowed_networks* have are its allowed address pairs.
    *port_security_enabled* None: as the VIM has it for the network.
    """

    key: PortKey
    project: str
    network: str
    network_id: str | None = None
    addresses: tuple[Address, ...] = ()
    mac_address: str | None = None
    admin_state_up: bool = True
    port_security_enabled: bool | None = None
    security_groups: tuple[str, ...] = ()
    allowed_networks: tuple[NetworkRef, ...] = ()
    allowed_addresses: tuple[str, ...] = ()


@quick
@dataclass(kw_only=True, slots=True, frozen=True)
class Port:
    """
    A port that exists; its *addresses* were asked for or handed out by the VIM.

    *allowed_addresses* are its allowed address pairs, as addresses and CIDRs.
    """

    key: PortKey
    port_id: str
    network_id: str
    addresses: tuple[Address, ...] = ()
    mac_address: str | None = None
    port_security_enabled: bool = True
    security_groups: tuple[str, ...] = ()
    allowed_addresses: tuple[str, ...] = ()

    @property
    def ip_address(self) -> str | None:
        """The first address, by which the VM is known where one is enough."""
        return self.addresses[0].ip_address if self.addresses else None


@quick
@dataclass(kw_only=True, slots=True, frozen=True)
class VolumeSpec:
    """
    A volume that is wanted: to be made where *size_gib* says how large, else to be there already.

    *name* is the one that it gets in the VIM, or the name or id by which it is found there.
    *volume_id* is what it was last known to be: of one that is to be there already, that one alone
    will do; one that was made for the VM is made anew where it is gone, but not one that is
    *lasting*. *boot_index* 0: the guest boots from it; *image* is what it is filled from.
    """

    key: VolumeKey
    project: str
    name: str
    volume_id: str | None = None
    size_gib: int | None = None
    type: str | None = None
    image: str | None = None
    bus: str | None = None
    boot_index: int | None = None
    device_type: str | None = None
    lasting: bool = False


@quick
@dataclass(kw_only=True, slots=True, frozen=True)
class Volume:
    """A volume that exists; *key* is what was asked for by whoever found or made it."""

    key: VolumeKey
    volume_id: str
    name: str
    size_gib: int = 0


@dataclass(kw_only=True, slots=True, frozen=True)
class ServerFile:
    """A file that the guest finds under *dst* at its first boot; *text* may hold secrets."""

    dst: str
    text: str = field(repr=False)


@quick
@dataclass(kw_only=True, slots=True, frozen=True)
class ServerSpec:
    """
    A server that is wanted: its name in the VIM, what it is made of, its ports by nicid.

    *files* are its day-0 files as this VM gets them: nothing is left to be read or replaced.
    *volumes* are attached in this order.
    """

    name: str
    project: str
    image: str | None
    flavor: str | None
    ports: tuple[PortSpec, ...] = ()
    files: tuple[ServerFile, ...] = ()
    volumes: tuple[VolumeSpec, ...] = ()


class ServerStatus(StrEnum):
    """The VIM's view of a server, in Nova's words."""

    BUILD = "BUILD"
    ACTIVE = "ACTIVE"
    SHUTOFF = "SHUTOFF"
    ERROR = "ERROR"


class Power(StrEnum):
    """What can be done to a server's power."""

    ON = "ON"
    OFF = "OFF"
    HARD_REBOOT = "HARD_REBOOT"


@quick
@dataclass(kw_only=True, slots=True, frozen=True)
class Server:
    """A server that exists. *fault* says why *status* is ERROR."""

    key: ServerKey
    server_id: str
    name: str
    project: str
    status: ServerStatus
    host_id: str = ""
    hostname: str = ""
    fault: str = ""
    ports: tuple[Port, ...] = ()
    volumes: tuple[Volume, ...] = ()


class VimMetric(StrEnum):
    """What a VIM may measure of its servers."""

    CPU = "cpu"
    """Of all its cores, per cent."""

    MEMORY = "memory"
    """In use of what it has, per cent."""

    NETWORK = "network"
    """In and out of all its ports, bits a second."""


class VimStatus(StrEnum):
    """What a check of the connection found."""

    CONNECTION_SUCCESSFUL = "CONNECTION_SUCCESSFUL"
    CONNECTION_FAILED = "CONNECTION_FAILED"
    AUTHENTICATION_FAILED = "AUTHENTICATION_FAILED"
    NO_CREDENTIALS = "NO_CREDENTIALS"


@dataclass(kw_only=True, slots=True, frozen=True)
class VimCheck:
    """
    What a check of the connection found.

    *detail* says why where the VIM cannot be used: which address, what happened; never a secret.
    """

    status: VimStatus
    detail: str = ""


@dataclass(kw_only=True, slots=True, frozen=True)
class HookScript:
    """
    A script that runs for a VM: *words* are its arguments, *seconds* what it may take.

    *stage* and *action* are for people. No text holds a word that is one of *secrets*.
    """

    stage: str
    action: str
    path: str
    seconds: int
    words: tuple[str, ...] = field(default=(), repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)
