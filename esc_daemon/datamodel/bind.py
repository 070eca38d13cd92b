"""
From an entry's XML to what the domain wants of it: one table, leaf by leaf.

Leaves that have no effect yet stand in `ACCEPTED_NO_EFFECT`; `coverage.check` refuses to start
when a leaf of the YANG is in neither.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from lxml import etree

from esc_daemon.datamodel.accept import (
    check,
    check_file_server,
    check_image,
    check_network,
    warnings_of,
)
from esc_daemon.datamodel.entries import EntryPath
from esc_daemon.datamodel.idle import unheeded
from esc_daemon.datamodel.interfaces import INTERFACE
from esc_daemon.datamodel.locators import LOCATOR_LEAVES, RemoteField
from esc_daemon.datamodel.objection import Objection
from esc_daemon.datamodel.pools import IP_POOL, MAC_POOL
from esc_daemon.datamodel.shape import (
    ABSENT,
    Alike,
    Leaf,
    Made,
    Many,
    One,
    Shape,
    boolean,
    steps,
    text_at,
)
from esc_daemon.datamodel.tree import Node
from esc_daemon.datamodel.volumes import GROUP_VOLUME, TENANT_VOLUME, check_tenant_volume
from esc_daemon.domain.actions import with_own
from esc_daemon.domain.ids import Kind
from esc_daemon.domain.intent import (
    Collector,
    Condition,
    DayZero,
    DefaultVimConnector,
    Dependency,
    Deployment,
    FileServer,
    Flavor,
    Hook,
    Image,
    Intent,
    Kpi,
    Locator,
    Network,
    PostedEvent,
    RecoveryAction,
    RecoveryPolicy,
    RecoveryType,
    Rule,
    RuleAction,
    RuleWhen,
    Scaling,
    Startup,
    Subnet,
    Tenant,
    VimConnector,
    VimUser,
    VmGroup,
)
from esc_daemon.domain.secrets import FILE_SERVER_PASSWORD

_DAY_ZERO_FILE: Final = "config_data/configuration"
NO_ACTIONS: Final[Mapping[str, PostedEvent]] = {}
HOOK_LEAVES: Final = tuple(
    f"policies/policy/{leaf}"
    for leaf in (
        "name",
        "conditions/condition/name",
        *(f"actions/action/{each}" for each in ("name", "type")),
        *(f"actions/action/properties/property/{each}" for each in ("name", "value")),
    )
)
"""What the hooks of a group, or of a deployment, are made of."""
_SECONDS: Final = {"seconds": 1, "minutes": 60}


def _pairs(path: str, name: str = "name", value: str = "value") -> Made:
    """Return a field of (name, value), such as the properties of an image."""

    def make(element: etree._Element) -> object:
        return _read_pairs(element, path, name, value)

    return Made((f"{path}/{name}", f"{path}/{value}"), make, absent=())


def _read_pairs(
    element: etree._Element, path: str, name: str = "name", value: str = "value"
) -> tuple[tuple[str, str], ...]:
    return tuple(
        (text_at(entry, name) or "", text_at(entry, value) or "")
        for entry in element.findall(steps(path))
    )


def _poll_seconds(collector: etree._Element) -> object:
    frequency = int(text_at(collector, "poll_frequency") or "")
    return frequency * _SECONDS[text_at(collector, "polling_unit") or ""]


def _actions(rule: etree._Element) -> object:
    return tuple(_action(action) for action in rule.findall(steps("action")))


def _action(element: etree._Element) -> RuleAction:
    when, _, name = (element.text or "").strip().partition(" ")
    if when.upper() not in RuleWhen.__members__ or not name.strip():
        text = "an action is ALWAYS, TRUE or FALSE and what is to be done, with a space between"
        raise Objection(element, text)
    return RuleAction(when=RuleWhen[when.upper()], name=name.strip())


def _variables(configuration: etree._Element) -> object:
    return tuple(
        (
            text_at(variable, "name") or "",
            tuple(value.text or "" for value in variable.findall(steps("val"))),
        )
        for variable in configuration.findall(steps("variable"))
    )


def _locator(group: etree._Element) -> object:
    """Return the group's own locator, or its deployment's (ESC 2.3 has it there)."""
    found = group.find(steps("locator"))
    if found is None:
        deployment = group.getparent()
        found = None if deployment is None else deployment.find(steps("locator"))
    return ABSENT if found is None else _LOCATOR.read(found)


def _day_zero(group: etree._Element) -> object:
    """Return the files whose text we can get: one from elsewhere must not reach a VM empty."""
    files = map(_DAY_ZERO.read, group.findall(steps(_DAY_ZERO_FILE)))
    return tuple(file for file in files if (file.data, file.file, file.remote) != (None,) * 3)


def _hooks(owner: etree._Element) -> object:
    """Return each action of each policy, once for each of the policy's stages."""
    return tuple(
        Hook(
            condition=text_at(condition, "name") or "",
            action=text_at(action, "name") or "",
            type=text_at(action, "type") or "",
            properties=_read_pairs(action, "properties/property"),
        )
        for policy in owner.findall(steps("policies/policy"))
        for condition in policy.findall(steps("conditions/condition"))
        for action in policy.findall(steps("actions/action"))
    )


def _network_of(subnet: etree._Element) -> object:
    network = subnet.getparent()
    return ABSENT if network is None else text_at(network, "name")


_TENANT: Final = Shape(
    Tenant,
    {
        "name": Leaf("name"),
        "managed": Leaf("managed_resource", boolean),
        "mapped": Leaf("vim_mapping", boolean),
    },
)
_SUBNET: Final = Shape(
    Subnet,
    {
        "name": Leaf("name"),
        "network": Made((), _network_of),
        "address": Leaf("address"),
        "netmask": Leaf("netmask"),
        "gateway": Leaf("gateway"),
        "no_gateway": Leaf("no_gateway", boolean),
        "dhcp": Leaf("dhcp", boolean),
        "ip_version": Leaf("ipversion"),
    },
)
_NETWORK: Final = Shape(
    Network,
    {
        "name": Leaf("name"),
        "shared": Leaf("shared", boolean),
        "admin_state": Leaf("admin_state", boolean),
        "vlan_id": Leaf("vlanid", int),
        "provider_network_type": Leaf("provider_network_type"),
        "provider_physical_network": Leaf("provider_physical_network"),
        "provider_segmentation_id": Leaf("provider_segmentation_id", int),
        "subnets": Many(("subnet",), _SUBNET),
    },
)
_IMAGE: Final = Shape(
    Image,
    {
        "name": Leaf("name"),
        "src": Leaf("src"),
        "checksum": Leaf("checksum"),
        "disk_format": Leaf("disk_format"),
        "container_format": Leaf("container_format"),
        "properties": _pairs("properties/property"),
    },
)
_FLAVOR: Final = Shape(
    Flavor,
    {
        "name": Leaf("name"),
        "vcpus": Leaf("vcpus", int),
        "memory_mb": Leaf("memory_mb", int),
        "root_disk_mb": Leaf("root_disk_mb", int),
        "ephemeral_disk_mb": Leaf("ephemeral_disk_mb", int),
        "swap_disk_mb": Leaf("swap_disk_mb", int),
        "properties": _pairs("properties/property"),
    },
)
_FILE_SERVER: Final = Shape(
    FileServer,
    {
        "name": Leaf("id"),
        "base_url": Leaf("base_url"),
        "user": Leaf("file_server_user"),
        "password": Leaf(FILE_SERVER_PASSWORD),
        "properties": _pairs("properties/property"),
    },
)
_VIM_USER: Final = Shape(
    VimUser, {"name": Leaf("id"), "credentials": _pairs("credentials/properties/property")}
)
_VIM_CONNECTOR: Final = Shape(
    VimConnector,
    {
        "name": Leaf("id"),
        "type": Leaf("type"),
        "properties": _pairs("properties/property"),
        "users": Many(("users/user",), _VIM_USER),
    },
)
_DEFAULT_VIM_CONNECTOR: Final = Shape(
    DefaultVimConnector, {"vim_id": Made((), lambda leaf: leaf.text or "")}
)
_LOCATOR: Final = Shape(Locator, {"vim_id": Leaf("vim_id"), "vim_project": Leaf("vim_project")})
_COLLECTOR: Final = Shape(
    Collector,
    {
        "type": Leaf("type"),
        "nicid": Leaf("nicid", int),
        "poll_seconds": Made(("poll_frequency", "polling_unit"), _poll_seconds),
        "continuous_alarm": Leaf("continuous_alarm", boolean),
        "properties": _pairs("properties/property"),
    },
)
_KPI: Final = Shape(
    Kpi,
    {
        "event_name": Leaf("event_name"),
        "threshold": Leaf("metric_value"),
        "condition": Leaf("metric_cond", Condition),
        "metric_type": Leaf("metric_type"),
        "occurrences_true": Leaf("metric_occurrences_true", int),
        "occurrences_false": Leaf("metric_occurrences_false", int),
        "collector": One("metric_collector", _COLLECTOR),
    },
)
_RULE: Final = Shape(
    Rule, {"event_name": Leaf("event_name"), "actions": Made(("action",), _actions)}
)
_DAY_ZERO: Final = Shape(
    DayZero,
    {
        "dst": Leaf("dst"),
        "data": Leaf("data"),
        "file": Leaf("file"),
        "remote": RemoteField(),
        "variables": Made(("variable/name", "variable/val"), _variables, absent=()),
    },
)
_SCALING: Final = Shape(
    Scaling,
    {
        "min_active": Leaf("min_active", int),
        "max_active": Leaf("max_active", int),
        "elastic": Leaf("elastic", boolean),
        "address_pools": IP_POOL.field("static_ip_address_pool"),
        "mac_pools": MAC_POOL.field("static_mac_address_pool"),
    },
)
_RECOVERY: Final = Shape(
    RecoveryPolicy,
    {
        "type": Leaf("recovery_type", RecoveryType),
        "action": Leaf("action_on_recovery", RecoveryAction),
        "max_retries": Leaf("max_retries", int),
    },
)
_GROUP: Final = Shape(
    VmGroup,
    {
        "name": Leaf("name"),
        "image": Leaf("image"),
        "flavor": Leaf("flavor"),
        "locator": Made(("locator/vim_id", "locator/vim_project"), _locator),
        "bootup_time": Leaf("bootup_time", int),
        "recovery_wait_time": Leaf("recovery_wait_time", int),
        "reboot_time": Leaf("reboot_time", int),
        "interfaces": Many(("interfaces/interface",), INTERFACE),
        "kpis": Alike("kpi_data", Many(("kpi_data/kpi",), _KPI)),
        "monitoring_enabled": Leaf("kpi_data/enabled", boolean),
        "rules": Alike("rules", Many(("rules/admin_rules/rule", "rules/user_rules/rule"), _RULE)),
        "scaling": One("scaling", _SCALING),
        "recovery": One("recovery_policy", _RECOVERY),
        "volumes": Many(("volumes/volume",), GROUP_VOLUME),
        "day_zero": Made(tuple(Many((_DAY_ZERO_FILE,), _DAY_ZERO).leaves()), _day_zero, absent=()),
        "software_version": Leaf("software_version"),
        "hooks": Made(HOOK_LEAVES, _hooks, absent=()),
    },
)
_DEPENDENCY: Final = Shape(
    Dependency, {"group": Leaf("vm_group_ref"), "event_name": Leaf("kpi_event_ref")}
)
_STARTUP: Final = Shape(
    Startup,
    {"group": Leaf("target_vm_group_ref"), "depends_on": Many(("depends_on",), _DEPENDENCY)},
)
_DEPLOYMENT: Final = Shape(
    Deployment,
    {
        "name": Leaf("name"),
        "startup": Many(("policies/startup",), _STARTUP),
        "networks": Many(("networks/network",), _NETWORK),
        "groups": Many(("vm_group",), _GROUP),
        "hooks": Made(HOOK_LEAVES, _hooks, absent=()),
    },
)
SHAPES: Final[Mapping[Kind, Shape[Any]]] = {
    Kind.TENANT: _TENANT,
    Kind.VOLUME: TENANT_VOLUME,
    Kind.NETWORK: _NETWORK,
    Kind.IMAGE: _IMAGE,
    Kind.FLAVOR: _FLAVOR,
    Kind.FILE_SERVER: _FILE_SERVER,
    Kind.DEPLOYMENT: _DEPLOYMENT,
    Kind.DEFAULT_VIM_CONNECTOR: _DEFAULT_VIM_CONNECTOR,
    Kind.VIM_CONNECTOR: _VIM_CONNECTOR,
}
INHERITED: Final[Mapping[Kind, tuple[str, ...]]] = {
    Kind.DEPLOYMENT: (
        "locator/vim_id",
        "locator/vim_project",
        *LOCATOR_LEAVES,
    ),
}
"""
Leaves that take effect through a table below: a group without a locator has its deployment's, and
a day-0 file may name one of its deployment's file locators.
"""


@dataclass(kw_only=True, slots=True, frozen=True)
class Binding:
    """What an entry means; *warnings* are for the log."""

    intent: Intent
    warnings: tuple[str, ...] = ()


def bind(
    path: EntryPath,
    element: etree._Element,
    schema: Node,
    actions: Mapping[str, PostedEvent] = NO_ACTIONS,
) -> Binding:
    """
    Return what the entry *element*, which is valid by its YANG, asks for.

    *schema* is the node of the entry, *actions* are the operator's own (`domain.actions.with_own`).

    Raises:
        RpcError: The entry cannot be activated; the path is that of the element at fault.

    """
    try:
        check_tenant_volume(path.kind, element)
        intent: Intent = SHAPES[path.kind].read(element)
        match intent:
            case Deployment():
                intent = with_own(intent, actions)
                check(intent, element)
            case Network():
                check_network(intent, element)
            case FileServer():
                check_file_server(intent, element)
            case Image():
                check_image(intent, element)
            case _:
                pass
    except Objection as objection:
        raise objection.rpc_error(path, element, schema) from None
    warnings = tuple(warnings_of(intent)) if isinstance(intent, Deployment) else ()
    return Binding(intent=intent, warnings=(*warnings, *unheeded(path.kind, element)))
