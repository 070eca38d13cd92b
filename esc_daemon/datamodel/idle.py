"""
Leaves of the configuration that are accepted and kept, and have no effect yet, each with why.

`coverage.check_coverage` holds these tables against the YANG and the bindings: a new leaf is either
bound or stands in ACCEPTED_NO_EFFECT, and a leaf that gets its effect is taken out. An edit that
uses one of those is accepted with a warning in the log (`unheeded`), for what the client keeps to
itself excepted. BOUND_FOR_LATER names what reaches the intent, and there nobody acts upon it.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from lxml import etree

from esc_daemon.datamodel.names import esc
from esc_daemon.domain.ids import Kind


class Waits(StrEnum):
    """What a leaf waits for; for `_IN_VAIN`: what it asks for, which will not come."""

    CLIENT = "kept for the client that wrote it and for the VIM drivers that will read it"
    DESCRIPTION = "kept for people"
    PLACEMENT = "placement on hosts and zones: affinity, anti-affinity, zone_host"
    POLICIES = "scripts of policies on lifecycle stages that are fetched from elsewhere"
    FILES = "copies of fetched files that the manager keeps; they are fetched anew each time"
    SECRETS = "encrypted data: a key of the manager that clients encrypt for"
    STORAGE = "where a VIM that keeps disks as files keeps them, and in which format"
    STANDBY = "standby VMs"
    LICENCES = "a pool of licences, drawn from as addresses are"
    SHARED_ADDRESS = "one address that moves between the VMs of a group: no VIM makes one by itself"
    DEVICES = "device options of OpenStack images: bus, console, watchdog"
    SIGNATURES = "checks of image signatures"
    NFVIS = "what only NFVIS can do: forwarded ports, VNC, names chosen by the client"
    VMWARE = "VIMs of VMware: regions, data centres, switches"
    ESC_1 = "what only ESC 1.x did: bandwidth, anycast addresses, properties of a group"
    PROXY = "metrics taken by another VM, or at one of several addresses"
    DRIVERS = "kept for the VIM drivers that will use them; the simulator needs none of them"


_SILENT: Final = frozenset({Waits.CLIENT, Waits.DESCRIPTION})
"""What nobody expects an effect of."""
_IN_VAIN: Final = frozenset({Waits.ESC_1, Waits.SHARED_ADDRESS})
"""What will have no effect in any later version either."""


def _below(parent: str, *leaves: str) -> tuple[str, ...]:
    return tuple(f"{parent}/{leaf}" for leaf in leaves)


_PROPERTY: Final = _below("properties/property", "name", "value")


def _properties(parent: str) -> tuple[str, ...]:
    return _below(parent, *_PROPERTY)


def _extensions(parent: str = "") -> tuple[str, ...]:
    extension = f"{parent}extensions/extension"
    part = f"{extension}/containers/container"
    return (f"{extension}/name", *_properties(extension), f"{part}/name", *_properties(part))


def _copies(parent: str) -> tuple[str, ...]:
    remote = f"{parent}file_locators/file_locator/remote_file"
    return (*_below(remote, "local_target", "persistence"), *_properties(remote))


def _file_locators(parent: str) -> tuple[str, ...]:
    locator = f"{parent}file_locators/file_locator"
    remote = _below(f"{locator}/remote_file", "file_server_id", "remote_path")
    return (f"{locator}/name", *remote, *_copies(parent), f"{locator}/checksum")


_OF_POLICIES: Final = _file_locators("policies/policy/actions/action/")

_GROUP: Final[Mapping[Waits, Iterable[str]]] = {
    Waits.CLIENT: _extensions(),
    Waits.PLACEMENT: _below("placement", "type", "enforcement", "host", "zone"),
    Waits.POLICIES: _OF_POLICIES,
    Waits.FILES: _copies("config_data/configuration/"),
    Waits.SECRETS: ("config_data/configuration/encrypted_data",),
    Waits.STORAGE: _below("volumes/volume", "format", "storage_location"),
    Waits.STANDBY: _below("scaling", "min_standby", "max_standby", "standby_ratio"),
    Waits.LICENCES: _below(
        "scaling/static_license_pool/license",
        *("license_key_value", "license_key_type", "license_file", "license_data"),
    ),
    Waits.SHARED_ADDRESS: _below("shared_ip", "nicid", "static", "ip_address"),
    Waits.DEVICES: _below("misc/watchdog", "hardware", "action"),
    Waits.NFVIS: (
        "vim_vm_name",
        "vnc",
        *_below(
            "interfaces/interface/port_forwarding/port",
            *("type", "protocol", "vnf_port", "source_bridge"),
            *_below("external_port_range", "start", "end"),
        ),
    ),
    Waits.VMWARE: ("locator/vim_region",),
    Waits.ESC_1: (
        *_below("interfaces/interface", "anycast_address", "bandwidth/min", "bandwidth/max"),
        *_below("properties/property", "prop_key", "prop_value"),
    ),
    Waits.PROXY: _below(
        "kpi_data/kpi",
        "metric_proxy",
        *_below("metric_collector", "proxy", "address_id"),
    ),
}
_DEPLOYMENT: Final[Mapping[Waits, Iterable[str]]] = {
    Waits.CLIENT: _extensions(),
    Waits.VMWARE: ("locator/vim_region", *_below("locators", "datacenter", "vdc", "switch_name")),
    Waits.FILES: _copies(""),
    Waits.PLACEMENT: (
        *_below("placement", "target_vm_group_ref", "type", "enforcement", "vm_group_ref"),
        *_below("policies/placement", "target_vm_group_ref", "type", "enforcement", "vm_group_ref"),
        *_below("policies/placement_group", "name", "type", "enforcement", "vm_group_ref"),
    ),
    Waits.POLICIES: _OF_POLICIES,
}


def _by_leaf(table: Mapping[Waits, Iterable[str]], parent: str = "") -> dict[str, Waits]:
    return {parent + leaf: why for why, leaves in table.items() for leaf in leaves}


ACCEPTED_NO_EFFECT: Final[Mapping[Kind, Mapping[str, Waits]]] = {
    Kind.NETWORK: {},
    Kind.IMAGE: _by_leaf(
        {
            Waits.CLIENT: ("properties/property/type",),
            Waits.DEVICES: ("serial_console", "e1000_net", "virtio_net", "disk_bus"),
            Waits.SIGNATURES: ("certificate_validation", "certificate_string"),
        }
    ),
    Kind.FLAVOR: {"description": Waits.DESCRIPTION},
    Kind.FILE_SERVER: {"encrypted_data": Waits.SECRETS},
    Kind.TENANT: _by_leaf({Waits.CLIENT: _extensions()}),
    Kind.VOLUME: {"bus": Waits.DRIVERS},
    Kind.DEPLOYMENT: _by_leaf(_DEPLOYMENT) | _by_leaf(_GROUP, "vm_group/"),
    Kind.DEFAULT_VIM_CONNECTOR: {},
    Kind.VIM_CONNECTOR: {},
}
"""By kind: the path of each leaf (and of a presence container) below the entry, and its reason."""

_NETWORK_LATER: Final = (
    *("admin_state", "vlanid", "provider_network_type", "provider_physical_network"),
    *("provider_segmentation_id", "subnet/dhcp"),
)
_DEPLOYMENT_LATER: Final[Mapping[Waits, Iterable[str]]] = {
    Waits.DRIVERS: _below("networks/network", *_NETWORK_LATER),
}
BOUND_FOR_LATER: Final[Mapping[Kind, Mapping[str, Waits]]] = {
    Kind.NETWORK: _by_leaf({Waits.DRIVERS: _NETWORK_LATER}),
    Kind.IMAGE: _by_leaf(
        {Waits.DRIVERS: ("disk_format", "container_format", *_PROPERTY)},
    ),
    Kind.FLAVOR: _by_leaf(
        {
            Waits.DRIVERS: (
                *("memory_mb", "root_disk_mb", "ephemeral_disk_mb", "swap_disk_mb"),
                *_PROPERTY,
            )
        }
    ),
    Kind.DEPLOYMENT: _by_leaf(_DEPLOYMENT_LATER),
}
"""
As ACCEPTED_NO_EFFECT, of leaves that are bound: checked on acceptance, stored, perhaps shown, and
acted upon by nobody. Nearly every payload has some, so the log does not warn of them.
"""


@dataclass(slots=True)
class _Loud:
    """A node that is worth a look: *why* its *path* will do nothing, or what stands *below* it."""

    path: str
    why: Waits | None = None
    below: "dict[str, _Loud]" = field(default_factory=dict)
    """By tag."""


def _loud(table: Mapping[str, Waits]) -> _Loud:
    """Return the tree of the leaves of *table* that somebody may expect an effect of."""
    root = _Loud("")
    for leaf, why in table.items():
        if why in _SILENT:
            continue
        node = root
        for name in leaf.split("/"):
            path = f"{node.path}/{name}" if node.path else name
            node = node.below.setdefault(esc(name), _Loud(path))
        node.why = why
    return root


_LOUD: Final = {kind: _loud(table) for kind, table in ACCEPTED_NO_EFFECT.items()}


def unheeded(kind: Kind, entry: etree._Element) -> Iterator[str]:
    """Yield a warning for each reason why parts of *entry* will do nothing."""
    found: dict[Waits, dict[str, None]] = {}
    _look(entry, _LOUD[kind], found)
    for why, paths in found.items():
        reason = why if why in _IN_VAIN else f"waits for {why}"
        yield f"kept without effect: {', '.join(paths)}; {reason}"


def _look(element: etree._Element, known: _Loud, found: dict[Waits, dict[str, None]]) -> None:
    for child in element:
        node = known.below.get(str(child.tag))
        if node is None:
            continue
        if node.why is not None:
            found.setdefault(node.why, {})[node.path] = None
        else:
            _look(child, node, found)
