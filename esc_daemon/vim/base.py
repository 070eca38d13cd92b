"""
The VIM port: what the engine asks of any VIM (DESIGN, law 5).

Every verb is idempotent and safe to repeat after a crash: it looks for what is there, by the
key that it left in the VIM's metadata, before it makes anything. Verbs raise only:

VimError
 + VimRefused        the VIM said no; asking again would not help (quota, bad request)
 + VimUnknown        nobody knows whether it took effect (time-out, reset, 5xx): look again
    + VimUnreachable the request never got there
    + VimUnanswered  it was sent, and no answer came
 + VimNotSupported   this VIM cannot do that

BadConnector         a connector that no driver can be made for
"""

from collections.abc import AsyncIterator, Callable
from contextvars import ContextVar
from enum import StrEnum
from typing import Final, Protocol, runtime_checkable

from esc_daemon.domain.ids import Key, PortKey, ServerKey, VmId, VolumeKey
from esc_daemon.domain.intent import Flavor, Image, Network, Subnet, Tenant, VimConnector
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

OPERATION: Final = ContextVar("OPERATION", default="")
"""What the calls of this task belong to; a driver tells its VIM, where that takes such a thing."""


class VimError(Exception):
    """Base of what a driver raises; the text names the VIM, the resource and the cause."""


class VimRefused(VimError):
    """Final: the VIM refused."""


class VimUnknown(VimError):
    """Not known whether it took effect: look again."""


class VimUnreachable(VimUnknown):
    """The VIM's API does not answer."""


class VimUnanswered(VimUnknown):
    """The request was sent and no answer came: it hangs, or the connection was lost."""


class VimNotSupported(VimRefused):
    """This VIM has no such capability."""


class BadConnector(ValueError):
    """
    A connector that cannot be used as it is configured; the text names no secret.

    *property_name* is the property that is wrong; empty: it is the type.
    """

    def __init__(self, text: str, *, property_name: str = "") -> None:
        self.property_name = property_name
        super().__init__(text)


class Capability(StrEnum):
    """What not every VIM can do."""

    TENANTS = "tenants"
    VOLUMES = "volumes"
    RESIZE = "resize"
    EXCHANGE_ROOT = "exchange_root"


class VimDriver(Protocol):
    """
    One connection to one VIM.

    *key* is the record's key: it goes into the VIM's metadata and is what a later call finds
    the resource by. An `ensure_` of what is there makes it as it is wanted now, where that can be
    changed (`resource_changes`), and refuses where it cannot. A `remove_` of what is not there is
    no error. Where the VIM works asynchronously, a removal returns when the resource is gone from
    the VIM's own view; a creation may return a server in status BUILD. A list may be stale:
    `find_server` may not.
    """

    capabilities: frozenset[Capability]

    async def check(self) -> VimCheck:
        """Tell whether the VIM can be reached and lets us in, and if not, why; never raises."""
        ...

    async def ensure_tenant(self, key: Key, want: Tenant) -> ResourceHandle:
        """Return the tenant's project."""
        ...

    async def remove_tenant(self, key: Key) -> None:
        """Remove the project; VimRefused while something stands in it."""
        ...

    async def ensure_network(self, key: Key, want: Network, *, project: str) -> ResourceHandle:
        """
        Return the network in *project* (empty: the administrator's).

        Raises:
            VimRefused: Others are in the network, which is to be shared no more.

        """
        ...

    async def remove_network(self, key: Key) -> None:
        """Remove the network; VimRefused while ports use it."""
        ...

    async def ensure_subnet(
        self, key: Key, want: Subnet, *, network_id: str, project: str
    ) -> ResourceHandle:
        """
        Return the subnet of the network *network_id*.

        Raises:
            VimRefused: Its addresses cannot be had, or it is there with others; or a port has the
                address of the new gateway.

        """
        ...

    async def remove_subnet(self, key: Key) -> None:
        """Remove the subnet; VimRefused while ports have addresses of it."""
        ...

    async def ensure_image(self, key: Key, want: Image) -> VimImage:
        """
        Return the image; VimRefused where another one is in its place.

        The source in *want* has neither login nor query: the content comes by `upload_image`.
        """
        ...

    async def upload_image(self, key: Key, image_id: str, content: AsyncIterator[bytes]) -> None:
        """
        Give the image its content, in place of what an earlier try has left of it.

        It is ready when *content* has ended by itself and not before; what *content* raises is
        raised. This may take hours: whoever asks bounds it, and may stop it at any moment.

        Raises:
            VimRefused: The image is not there, or the VIM takes no such content.

        """
        ...

    async def remove_image(self, key: Key) -> None:
        """Remove the image."""
        ...

    async def ensure_flavor(self, key: Key, want: Flavor) -> ResourceHandle:
        """Return the flavor; VimRefused where one of another size is in its place."""
        ...

    async def remove_flavor(self, key: Key) -> None:
        """Remove the flavor."""
        ...

    async def ensure_port(self, want: PortSpec) -> Port:
        """
        Return the port with its addresses, one of each IP version where it asks for none.

        What it may send is as wanted now, also of a port that a server has.

        Raises:
            VimRefused: A subnet has no address left or not the one asked for, the quota is used
                up, or something that is named is not there; the text names the port.

        """
        ...

    async def remove_ports(self, vm: VmId) -> None:
        """Remove every port that the VM has when it is asked for; not one that is made later."""
        ...

    async def ensure_volume(self, want: VolumeSpec) -> Volume:
        """
        Return the volume: the one made for the key, made if need be, or the one that was named.

        Without a size nothing is made. What was made before for the same key and is smaller grows,
        also while a server has it; what is larger stays as large as it is. Of another type, or
        from another image, it is replaced, unless a server has it. Where one that is lasting is
        gone, and its id is known, none is made in its place.

        Raises:
            VimRefused: The quota is used up, or what is named is not there, or several are, or a
                server has it and this VIM lets none grow meanwhile; the text names the volume.
            VimUnknown: It is being made, or grows.
            VimNotSupported: Without `Capability.VOLUMES`; so do the three below.

        """
        ...

    async def remove_volume(self, key: VolumeKey) -> None:
        """
        Delete what `ensure_volume` made for *key*; what was there before is not touched.

        Raises:
            VimRefused: A server has it.

        """
        ...

    async def attach_volume(self, key: ServerKey, volume: VolumeSpec) -> None:
        """
        Attach *volume*, whose id is set, to the server while it is there; no error where it is.

        Raises:
            VimRefused: There is no such server or volume, or another server has the volume.
            VimUnknown: The server is being built.

        """
        ...

    async def detach_volume(self, key: ServerKey, volume: VolumeKey, volume_id: str | None) -> None:
        """
        Take the volume from the server, if it has it; it stays in the VIM.

        *volume_id*: that one alone, and not what has taken its place since.

        Raises:
            VimRefused: The guest boots from it.

        """
        ...

    async def exchange_root(self, key: ServerKey, volume: VolumeSpec) -> None:
        """
        Let the guest boot from *volume*, whose id is set, in the place of the volume it boots from.

        The server keeps its id and its ports, what it has booted from so far is taken from it and
        stays in the VIM; the guest boots anew, unless the server is off or boots from *volume*
        already.

        Raises:
            VimRefused: There is no such server or volume, the server boots from no volume, or
                another server has *volume*.
            VimUnknown: The server is being built.
            VimNotSupported: Without `Capability.EXCHANGE_ROOT`.

        """
        ...

    async def ensure_server(
        self, key: ServerKey, want: ServerSpec, ports: tuple[Port, ...]
    ) -> Server:
        """
        Return the server, made or adopted; it may still be in status BUILD.

        Its volumes are there: their ids are set.
        """
        ...

    async def find_server(self, key: ServerKey) -> Server | None:
        """Return the server as it is now."""
        ...

    async def remove_server(self, key: ServerKey) -> None:
        """
        Remove the server and wait until it is gone; its ports stay.

        It takes away the generation in *key* alone, however late it takes effect: never the next
        one of the same VM, nor another server of the same name or with its ports.
        """
        ...

    async def attach_port(self, key: ServerKey, port: Port) -> None:
        """
        Plug *port* into the server while it is there; no error where it is in already.

        Raises:
            VimRefused: There is no such server or port, or the port is in another server.
            VimUnknown: The server is being built.

        """
        ...

    async def detach_port(self, key: ServerKey, port: PortKey, port_id: str | None) -> None:
        """
        Unplug the port from the server, if it is in, and remove it; no error without one.

        *port_id*: that one alone, and not what has taken its place since.
        """
        ...

    async def resize_server(self, key: ServerKey, flavor: str | None) -> None:
        """
        Give the server another flavor; its guest boots anew, unless the server has it already.

        Raises:
            VimRefused: There is no such server or flavor, or a quota is used up.
            VimUnknown: The server is being built.
            VimNotSupported: Without `Capability.RESIZE`.

        """
        ...

    async def set_power(self, key: ServerKey, power: Power) -> None:
        """Switch the server on or off, or reset it."""
        ...

    def servers(self) -> AsyncIterator[Server]:
        """Iterate over our servers only, by metadata."""
        ...

    async def close(self) -> None:
        """Let go of connections; what is in the VIM stays."""
        ...


@runtime_checkable
class TakesServers(Protocol):
    """A VIM that VMs move to from others of its type; see `VimType`."""

    async def check_server(self, want: ServerSpec) -> None:
        """
        Look whether the server could be made, with its ports, as things stand; nothing is made.

        What the VIM has of that VM already is not in its way.

        Raises:
            VimRefused: Something that is named is not there, an address is not to be had, or a
                quota is used up.

        """
        ...


@runtime_checkable
class GuestProbe(Protocol):
    """A VIM that can tell by itself whether the guest in a server answers (the simulator)."""

    async def answers(self, key: ServerKey, address: str) -> float | None:
        """Return the round-trip time in ms of a life probe of the guest at *address*, or None."""
        ...


@runtime_checkable
class ServerMetrics(Protocol):
    """A VIM that measures by itself what its servers do."""

    async def measured(self, key: ServerKey, metric: VimMetric) -> float | None:
        """Return the latest value of *metric*, in its unit; None of a server that does not run."""
        ...


@runtime_checkable
class GuestsAtHand(Protocol):
    """A VIM that knows without asking anybody: it is part of this process."""

    def answers_now(self, key: ServerKey, address: str) -> float | None:
        """Return what GuestProbe's `answers` returns, at once."""
        ...


Opened = Callable[[], VimConnector]
"""Returns a connector with its secrets in clear: to log in with, never to be kept."""


class VimType(Protocol):
    """A type of VIM connector: it knows what its properties mean, and makes drivers of them."""

    needs_users: bool
    """Whether nobody gets in without a login."""

    migrates: bool
    """Whether a VM may move between its VIMs: all that it is can be made anew in another one."""

    def check(self, connector: VimConnector) -> None:
        """
        Look at the form of the properties; nothing is asked of the VIM.

        Raises:
            BadConnector: One of them is missing or wrong.

        """
        ...

    def driver(self, connector: VimConnector, opened: Opened) -> VimDriver:
        """
        Return a driver that is not connected yet.

        *connector* has its secrets sealed, *opened* returns it with them.

        Raises:
            BadConnector: As `check`.

        """
        ...
