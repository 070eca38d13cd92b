"""
The driver's verbs as JSON lines over a socket: `Request` one way, `Reply` the other.

Requests carry an id of the client's choice, many may be in flight and replies come in any
order. A request with the verb ``cancel`` and the id of another one says that nobody waits for
that any more; it is not answered. No line is longer than `MAX_LINE`.

The two ends may be of different versions: fields that one of them does not know are ignored by it.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final, Generic, TypeVar

import msgspec

from esc_daemon.domain.ids import Key, PortKey, ServerKey, VmId, VolumeKey
from esc_daemon.domain.intent import Flavor, Image, Network, Subnet, Tenant
from esc_daemon.domain.specs import (
    Port,
    PortSpec,
    Power,
    ResourceHandle,
    Server,
    ServerSpec,
    VimCheck,
    VimImage,
    VimMetric,
    Volume,
    VolumeSpec,
)
from esc_daemon.vim.base import (
    VimError,
    VimNotSupported,
    VimRefused,
    VimUnanswered,
    VimUnknown,
    VimUnreachable,
)
from esc_daemon.vim.simulator.driver import SimulatorDriver

ResultT = TypeVar("ResultT")

MAX_LINE: Final = 4 << 20
"""Bytes of one line; day-0 data may be large."""

CANCEL: Final = "cancel"

ERRORS: Final[dict[str, type[VimError]]] = {
    kind.__name__: kind
    for kind in (VimRefused, VimNotSupported, VimUnknown, VimUnreachable, VimUnanswered)
}


class Request(msgspec.Struct, kw_only=True, omit_defaults=True):
    """
    What is asked; *arguments* in the order of the verb.

    *operation* is the asker's own id of what the request belongs to; it stands in the log.
    """

    id: int
    verb: str
    arguments: msgspec.Raw = msgspec.Raw(b"[]")
    operation: str = ""


class Reply(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What came of it: *result*, or the name of an *error* of the VIM port and its *text*."""

    id: int
    result: msgspec.Raw = msgspec.Raw(b"null")
    error: str = ""
    text: str = ""


class WireVerb(Generic[ResultT]):
    """How the arguments and the result of one verb are read, and who answers it."""

    def __init__(
        self,
        name: str,
        arguments: Any,
        result: Any,
        call: Callable[..., Awaitable[ResultT]],
    ) -> None:
        self.name = name
        self.arguments: msgspec.json.Decoder[tuple[Any, ...]] = msgspec.json.Decoder(arguments)
        self.result: msgspec.json.Decoder[ResultT] = msgspec.json.Decoder(result)
        self.call = call


def _ensure_network(
    driver: SimulatorDriver, key: Key, want: Network, project: str
) -> Awaitable[ResourceHandle]:
    return driver.ensure_network(key, want, project=project)


def _ensure_subnet(
    driver: SimulatorDriver, key: Key, want: Subnet, network_id: str, project: str
) -> Awaitable[ResourceHandle]:
    return driver.ensure_subnet(key, want, network_id=network_id, project=project)


_Driver = SimulatorDriver

CHECK = WireVerb[VimCheck]("check", tuple[()], VimCheck, _Driver.check)
ENSURE_TENANT = WireVerb[ResourceHandle](
    "ensure_tenant", tuple[Key, Tenant], ResourceHandle, _Driver.ensure_tenant
)
REMOVE_TENANT = WireVerb[None]("remove_tenant", tuple[Key], None, _Driver.remove_tenant)
ENSURE_NETWORK = WireVerb[ResourceHandle](
    "ensure_network", tuple[Key, Network, str], ResourceHandle, _ensure_network
)
REMOVE_NETWORK = WireVerb[None]("remove_network", tuple[Key], None, _Driver.remove_network)
ENSURE_SUBNET = WireVerb[ResourceHandle](
    "ensure_subnet", tuple[Key, Subnet, str, str], ResourceHandle, _ensure_subnet
)
REMOVE_SUBNET = WireVerb[None]("remove_subnet", tuple[Key], None, _Driver.remove_subnet)
ENSURE_IMAGE = WireVerb[VimImage]("ensure_image", tuple[Key, Image], VimImage, _Driver.ensure_image)
UPLOADING = WireVerb[None]("uploading", tuple[Key, str, int], None, _Driver.uploading)
UPLOADED = WireVerb[None]("uploaded", tuple[Key, str, int, str], None, _Driver.uploaded)
REMOVE_IMAGE = WireVerb[None]("remove_image", tuple[Key], None, _Driver.remove_image)
ENSURE_FLAVOR = WireVerb[ResourceHandle](
    "ensure_flavor", tuple[Key, Flavor], ResourceHandle, _Driver.ensure_flavor
)
REMOVE_FLAVOR = WireVerb[None]("remove_flavor", tuple[Key], None, _Driver.remove_flavor)
ENSURE_PORT = WireVerb[Port]("ensure_port", tuple[PortSpec], Port, _Driver.ensure_port)
REMOVE_PORTS = WireVerb[None]("remove_ports", tuple[VmId], None, _Driver.remove_ports)
ENSURE_VOLUME = WireVerb[Volume]("ensure_volume", tuple[VolumeSpec], Volume, _Driver.ensure_volume)
REMOVE_VOLUME = WireVerb[None]("remove_volume", tuple[VolumeKey], None, _Driver.remove_volume)
ATTACH_VOLUME = WireVerb[None](
    "attach_volume", tuple[ServerKey, VolumeSpec], None, _Driver.attach_volume
)
DETACH_VOLUME = WireVerb[None](
    "detach_volume", tuple[ServerKey, VolumeKey, str | None], None, _Driver.detach_volume
)
EXCHANGE_ROOT = WireVerb[None](
    "exchange_root", tuple[ServerKey, VolumeSpec], None, _Driver.exchange_root
)
ENSURE_SERVER = WireVerb[Server](
    "ensure_server",
    tuple[ServerKey, ServerSpec, tuple[Port, ...]],
    Server,
    _Driver.ensure_server,
)
CHECK_SERVER = WireVerb[None]("check_server", tuple[ServerSpec], None, _Driver.check_server)
FIND_SERVER = WireVerb[Server | None](
    "find_server", tuple[ServerKey], Server | None, _Driver.find_server
)
REMOVE_SERVER = WireVerb[None]("remove_server", tuple[ServerKey], None, _Driver.remove_server)
ATTACH_PORT = WireVerb[None]("attach_port", tuple[ServerKey, Port], None, _Driver.attach_port)
DETACH_PORT = WireVerb[None](
    "detach_port", tuple[ServerKey, PortKey, str | None], None, _Driver.detach_port
)
RESIZE_SERVER = WireVerb[None](
    "resize_server", tuple[ServerKey, str | None], None, _Driver.resize_server
)
SET_POWER = WireVerb[None]("set_power", tuple[ServerKey, Power], None, _Driver.set_power)
SERVERS = WireVerb[tuple[list[Server], int]](
    "servers", tuple[int, int], tuple[list[Server], int], _Driver.page
)
ANSWERS = WireVerb[float | None]("answers", tuple[ServerKey, str], float | None, _Driver.answers)
MEASURED = WireVerb[float | None](
    "measured", tuple[ServerKey, VimMetric], float | None, _Driver.measured
)

VERBS: Final[dict[str, WireVerb[Any]]] = {
    verb.name: verb
    for verb in (
        CHECK,
        ENSURE_TENANT,
        REMOVE_TENANT,
        ENSURE_NETWORK,
        REMOVE_NETWORK,
        ENSURE_SUBNET,
        REMOVE_SUBNET,
        ENSURE_IMAGE,
        UPLOADING,
        UPLOADED,
        REMOVE_IMAGE,
        ENSURE_FLAVOR,
        REMOVE_FLAVOR,
        ENSURE_PORT,
        REMOVE_PORTS,
        ENSURE_VOLUME,
        REMOVE_VOLUME,
        ATTACH_VOLUME,
        DETACH_VOLUME,
        EXCHANGE_ROOT,
        ENSURE_SERVER,
        CHECK_SERVER,
        FIND_SERVER,
        REMOVE_SERVER,
        ATTACH_PORT,
        DETACH_PORT,
        RESIZE_SERVER,
        SET_POWER,
        SERVERS,
        ANSWERS,
        MEASURED,
    )
}
