"""
What a simulated cloud remembers, row by row, as it stands in the state file.

*vanishes_at* is the moment (seconds since 1970) at which a row is gone by itself.
"""

from msgspec import Struct

from esc_daemon.domain.ids import Key, PortKey, ServerKey, VolumeKey
from esc_daemon.domain.intent import Flavor, Image
from esc_daemon.domain.specs import ServerFile


class ProjectRow(Struct, tag="project", kw_only=True, omit_defaults=True):
    """A project; *key* is None where the open catalogue invented it."""

    id: str
    key: Key | None
    name: str
    vanishes_at: float | None = None

    @property
    def project(self) -> str:
        """A project holds itself."""
        return self.id


class NetworkRow(Struct, tag="network", kw_only=True, omit_defaults=True):
    """A network; *key* is None where the open catalogue invented it. *shared*: all may use it."""

    id: str
    key: Key | None
    name: str
    project: str
    default_range: str = ""
    shared: bool = True
    vanishes_at: float | None = None


class SubnetRow(Struct, tag="subnet", kw_only=True, omit_defaults=True):
    """A subnet as CIDR; *gateway* is empty where there is none."""

    id: str
    key: Key
    name: str
    project: str
    network_id: str
    cidr: str
    gateway: str = ""
    vanishes_at: float | None = None


class ImageRow(Struct, tag="image", kw_only=True, omit_defaults=True):
    """
    An image by its name; *want* is what it was asked to be.

    Of its content only the *size* in bytes and the *sha256* are kept. *ready*: it has all of it,
    or needs none.
    """

    id: str
    key: Key
    name: str
    project: str = ""
    want: Image | None = None
    ready: bool = True
    size: int | None = None
    sha256: str = ""


class FlavorRow(Struct, tag="flavor", kw_only=True, omit_defaults=True):
    """A flavor; only its cores count here. *want* is what it was asked to be."""

    id: str
    key: Key
    name: str
    cores: int
    project: str = ""
    want: Flavor | None = None


class PortRow(Struct, tag="port", kw_only=True, omit_defaults=True):
    """
    A port and the addresses that it holds, each with the id of its subnet.

    *ip_address* is the first, *more_addresses* are the others; *allowed_addresses* are addresses
    and CIDRs.
    """

    id: str
    key: PortKey
    project: str
    network_id: str
    subnet_id: str | None
    ip_address: str
    mac_address: str
    more_addresses: tuple[tuple[str | None, str], ...] = ()
    port_security_enabled: bool = True
    security_groups: tuple[str, ...] = ()
    allowed_addresses: tuple[str, ...] = ()
    vanishes_at: float | None = None

    @property
    def addresses(self) -> tuple[tuple[str | None, str], ...]:
        """Each address after the id of its subnet (None: the network's own range)."""
        return ((self.subnet_id, self.ip_address), *self.more_addresses)


class VolumeRow(Struct, tag="volume", kw_only=True, omit_defaults=True):
    """
    A volume; *key* is None where nobody here made it. *content* says what is on it.

    Nothing here has content: it is told from others by that, wherever it goes.
    """

    id: str
    key: VolumeKey | None
    name: str
    project: str
    size_gib: int
    content: str
    volume_type: str | None = None
    image: str | None = None
    vanishes_at: float | None = None


class ServerRow(Struct, tag="server", kw_only=True, omit_defaults=True):
    """
    A server; its status follows from the moments (seconds since 1970), the switch and the fault.

    *gone_at* is set while it is being deleted. *silent*: the guest says nothing until it boots;
    from *quiet_from* to *quiet_until* it is silent by itself. *off_at* is when it goes off by
    itself. *console* may hold lines of the near future. *files* are its day-0 files as its
    guest finds them. *volumes* are what it has, by the ids, with the keys that they were asked for
    by; it boots from *root*, the id of one, or from its image.
    """

    id: str
    serial: int
    key: ServerKey
    name: str
    project: str
    cores: int
    host: int
    built_at: float
    boots_at: float
    ports: list[str]
    flavor: str | None = None
    on: bool = True
    silent: bool = False
    quiet_from: float | None = None
    quiet_until: float | None = None
    off_at: float | None = None
    fault: str = ""
    gone_at: float | None = None
    console: list[tuple[float, str]] = []
    files: tuple[ServerFile, ...] = ()
    volumes: dict[str, VolumeKey] = {}
    root: str = ""
    vanishes_at: float | None = None


class CountersRow(Struct, tag="counters", kw_only=True):
    """
    What must never run backwards.

    *reserved*: no serial number at or above it was ever used. *faults*: how often each rule was
    met and how often it struck.
    """

    id: str = "counters"
    reserved: int = 0
    faults: dict[str, tuple[int, int]] = {}
    hosts_down: list[int] = []


class Gone(Struct, tag="gone", kw_only=True):
    """The row *id* is no more."""

    id: str


Mortal = ProjectRow | NetworkRow | SubnetRow | PortRow | VolumeRow | ServerRow
"""What may vanish."""
Row = Mortal | ImageRow | FlavorRow | CountersRow
Change = Row | Gone
