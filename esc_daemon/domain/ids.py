"""Names and keys that must not be mixed up."""

from enum import StrEnum
from functools import lru_cache
from hashlib import sha1
from typing import Final, NamedTuple, NewType
from uuid import UUID

TenantName = NewType("TenantName", str)
DeploymentName = NewType("DeploymentName", str)
RecordId = NewType("RecordId", str)
"""The uuid of one incarnation of a record: the same name deployed again gets another one."""
DeploymentId = RecordId
EditId = NewType("EditId", str)
"""Names one edit: see `decompose_edit`."""
VmGroupName = NewType("VmGroupName", str)
VmId = NewType("VmId", str)
"""Ours, made when the VM is first wanted, stable over recovery; ends the generated VM name."""
VimId = NewType("VimId", str)
OperationId = NewType("OperationId", str)

NO_VIM: Final = VimId("")
"""The id where no connector is named."""

ADMIN_TENANT: Final = TenantName("SystemAdminTenantId")
"""ESC's name for the owner of networks that stand at the root of the data model."""


class Kind(StrEnum):
    """What is an entry of the configuration; all but NACM have a record and a mailbox too."""

    TENANT = "tenant"
    NETWORK = "network"
    SUBNET = "subnet"
    IMAGE = "image"
    FLAVOR = "flavor"
    VOLUME = "volume"
    VIM_CONNECTOR = "vim_connector"
    DEFAULT_VIM_CONNECTOR = "default_vim_connector"
    FILE_SERVER = "file_server"
    HOST = "host"
    DEPLOYMENT = "deployment"
    NACM = "nacm"
    """The rules of access: they ask nothing of any VIM."""


class Key(NamedTuple):
    """
    The address of a record.

    *tenant* is None for what stands at the root. *name* is made by `joined` where one word does
    not suffice: ``network/subnet``, ``deployment/network`` and ``deployment/network/subnet``.
    """

    kind: Kind
    tenant: TenantName | None
    name: str


DEFAULT_VIM: Final = Key(Kind.DEFAULT_VIM_CONNECTOR, None, "default")
"""The one address of its kind: the choice of the connector of all that names none."""


class ServerKey(NamedTuple):
    """What has a server in a VIM: a redeploy is the next generation (DESIGN, law 5)."""

    vm: VmId
    generation: int


class PortKey(NamedTuple):
    """What has a port in a VIM: kept over a redeploy, so it carries no generation."""

    vm: VmId
    nicid: int


class VolumeKey(NamedTuple):
    """
    What has a volume in a VIM: kept over a redeploy, as a port.

    *owner* is the id of its VM. *number* tells it from a volume of the same name that the VM had
    before and that may still be there: what was made for another wish is never taken for it.
    """

    owner: str
    name: str
    number: int = 0


def vm_ids(name: str, vm: VmId) -> dict[str, str]:
    """Return what every line of the log calls a VM: *vm* by its name, *vm_id* by ours."""
    return {"vm": name, "vm_id": vm}


_UUID_MASK: Final = ~(0xF000 << 64 | 0xC000 << 48)
_UUID_5: Final = 0x5000 << 64 | 0x8000 << 48
"""Version and variant."""


def joined(*parts: str) -> str:
    """Return one name for *parts*; a slash inside a part cannot pretend to be a border."""
    return "/".join(part.replace("%", "%25").replace("/", "%2F") for part in parts)


def parts_of(name: str) -> tuple[str, ...]:
    """Return the parts that `joined` took."""
    return tuple(part.replace("%2F", "/").replace("%25", "%") for part in name.split("/"))


def derived(parent: str, *path: object) -> str:
    """Return the uuid that *path* has under the record *parent* (no randomness: law 1)."""
    return named_uuid(_bytes_of(parent), "\x1f".join(map(str, path)))


@lru_cache(maxsize=1024)  # of one record many are derived at once
def _bytes_of(uuid: str) -> bytes:
    return UUID(uuid).bytes


def named_uuid(namespace: bytes, name: str) -> str:
    """
    Return the uuid of version 5 (RFC 9562 section 5.5) that *name* has in *namespace*, as text.

    As `uuid.uuid5`, without the object that would be thrown away: a deployment asks for dozens.
    """
    digest = sha1(namespace + name.encode(), usedforsecurity=False).digest()
    number = int.from_bytes(digest[:16]) & _UUID_MASK | _UUID_5
    text = f"{number:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
