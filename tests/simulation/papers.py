"""What the simulation draws, as the XML in which a client sends it, and back."""

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any, Final
from xml.sax.saxutils import escape

from lxml import etree

from esc_daemon.datamodel.bind import bind
from esc_daemon.datamodel.coverage import entry_nodes
from esc_daemon.datamodel.datastore import Datastore
from esc_daemon.datamodel.entries import PLACES, ROOTS, to_element
from esc_daemon.datamodel.names import NAMESPACE
from esc_daemon.datamodel.schema import Schema
from esc_daemon.datamodel.tree import Node
from esc_daemon.domain.ids import Key, Kind
from esc_daemon.domain.intent import (
    AddressPool,
    DayZero,
    DefaultVimConnector,
    Deployment,
    Flavor,
    GroupVolume,
    Hook,
    Image,
    Interface,
    Kpi,
    Network,
    RecoveryPolicy,
    Subnet,
    Tenant,
    TenantVolume,
    VimConnector,
    VmGroup,
)
from esc_daemon.netconf.edit import DefaultOperation
from esc_daemon.netconf.xml import BASE_NS
from esc_daemon.vault import Vault

VAULT: Final = Vault(bytes(range(64)))


@cache
def schema() -> Schema:
    """Return the data model, which is read once for all seeds."""
    return Schema.load()


@cache
def _empty() -> Datastore:
    return Datastore(schema(), VAULT)


def new_datastore() -> Datastore:
    """Return an empty one, by a data model that was looked through before."""
    return _empty().without_entries()


@cache
def nodes() -> Mapping[Kind, Node]:
    """Return the node of each kind of entry."""
    return entry_nodes(schema())


def config_of(edit: Mapping[Key, Any]) -> etree._Element:
    """
    Return the config that makes each key what it is in *edit*, by the default-operation none.

    A tenant is merged, for what stands in it is an entry of its own, and removed with all of that.
    """
    roots = {root: "".join(_containers(edit, root)) for root in ROOTS}
    body = "".join(
        f'<{root} xmlns="{NAMESPACE}">{inside}</{root}>' for root, inside in roots.items() if inside
    )
    return etree.fromstring(f'<config xmlns="{BASE_NS}" xmlns:nc="{BASE_NS}">{body}</config>')


def intents_in(datastore: Datastore) -> dict[Key, Any]:
    """Return what *datastore* has, as the domain reads it; the access rules aside."""
    return {
        entry.path.key(): bind(entry.path, to_element(entry.xml), nodes()[entry.path.kind]).intent
        for entry in datastore.entries()
        if entry.path.kind is not Kind.NACM
    }


def as_sent(edit: Mapping[Key, Any]) -> dict[Key, Any]:
    """Return *edit* as the domain reads it once it was sent."""
    there = {
        Key(Kind.TENANT, None, key.tenant): Tenant(name=key.tenant) for key in edit if key.tenant
    }
    wanted = {key: intent for key, intent in (there | dict(edit)).items() if intent is not None}
    pending = new_datastore().edit(config_of(wanted), DefaultOperation.NONE)
    return {key: dict(pending.intents).get(key) for key in edit}


def _containers(edit: Mapping[Key, Any], root: str) -> Iterator[str]:
    """Yield the containers of *root*, each with what *edit* says of its entries."""
    found: dict[str, list[str]] = {}
    for key, intent in edit.items():
        place = PLACES[key.kind]
        if place.root == root and key.tenant is None:
            found.setdefault(place.container, []).append(_entry(key, intent, edit))
    loose = {key.tenant for key in edit if key.tenant is not None}
    for name in sorted(loose - {key.name for key in edit if key.kind is Kind.TENANT}):
        tenant = _leaf("name", name) + _inside_tenant(name, edit)
        if root == PLACES[Kind.TENANT].root:
            found.setdefault("tenants", []).append(_within("tenant", tenant))
    return (_within(container, "".join(inside)) for container, inside in found.items())


def _inside_tenant(name: str, edit: Mapping[Key, Any]) -> str:
    return "".join(
        _within(PLACES[key.kind].container, _entry(key, intent, edit))
        for key, intent in edit.items()
        if key.tenant == name
    )


def _entry(key: Key, intent: Any, edit: Mapping[Key, Any]) -> str:
    place = PLACES[key.kind]
    how = "merge" if isinstance(intent, Tenant) else "remove" if intent is None else "replace"
    head = f'{place.name} nc:operation="{how}"'
    if intent is None:
        return f"<{head}>{_leaf(place.key, key.name) if place.key else ''}</{place.name}>"
    inside = _inside(intent)
    if isinstance(intent, Tenant):
        inside += _inside_tenant(intent.name, edit)
    return f"<{head}>{inside}</{place.name}>"


def _within(name: str, inside: str) -> str:
    return f"<{name}>{inside}</{name}>"


def _leaf(name: str, value: object) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return _within(name, escape(text))


def _leaves(**values: object) -> str:
    return "".join(_leaf(name, value) for name, value in values.items() if value is not None)


def _inside(intent: Any) -> str:
    match intent:
        case Tenant():
            return _leaves(name=intent.name)
        case Network():
            own = _leaves(
                name=intent.name,
                shared=None if intent.shared else False,
                admin_state=None if intent.admin_state else False,
            )
            return own + "".join(map(_subnet, intent.subnets))
        case Image():
            formats = (intent.disk_format, intent.container_format)
            return (
                _leaves(name=intent.name, src=intent.src, checksum=intent.checksum)
                + "".join(map(_leaf, ("disk_format", "container_format"), formats))
                + _properties(intent.properties)
            )
        case Flavor():
            sizes = _leaves(name=intent.name, vcpus=intent.vcpus, memory_mb=intent.memory_mb)
            return sizes + _properties(intent.properties)
        case TenantVolume():
            return _leaves(name=intent.name, size=intent.size_gib, type=intent.type)
        case VimConnector():
            return _connector(intent)
        case DefaultVimConnector():
            return escape(intent.vim_id)
        case Deployment():
            return _deployment(intent)
        case _:
            raise NotImplementedError(type(intent).__name__)


def _properties(properties: Iterable[tuple[str, str]]) -> str:
    each = "".join(
        _within("property", _leaves(name=name, value=value)) for name, value in properties
    )
    return _within("properties", each) if each else ""


def _connector(connector: VimConnector) -> str:
    users = "".join(_within("user", _leaves(id=user.name)) for user in connector.users)
    return (
        _leaves(id=connector.name, type=connector.type)
        + _properties(connector.properties)
        + (_within("users", users) if users else "")
    )


def _subnet(subnet: Subnet) -> str:
    inside = _leaves(
        name=subnet.name,
        ipversion=subnet.ip_version,
        dhcp=subnet.dhcp,
        address=subnet.address,
        netmask=subnet.netmask,
        gateway=subnet.gateway,
    )
    return _within("subnet", inside)


def _deployment(deployment: Deployment) -> str:
    networks = "".join(_within("network", _inside(each)) for each in deployment.networks)
    policies = "".join(
        _within(
            "startup",
            _leaves(target_vm_group_ref=each.group)
            + "".join(
                _within("depends_on", _leaves(vm_group_ref=on.group, kpi_event_ref=on.event_name))
                for on in each.depends_on
            ),
        )
        for each in deployment.startup
    ) + _policies(deployment.hooks)
    return (
        _leaf("name", deployment.name)
        + (_within("networks", networks) if networks else "")
        + (_within("policies", policies) if policies else "")
        + "".join(_within("vm_group", _group(group)) for group in deployment.groups)
    )


def _group(group: VmGroup) -> str:
    rules = "".join(
        _within(
            "rule",
            _leaf("event_name", rule.event_name)
            + "".join(_leaf("action", f"{each.when} {each.name}") for each in rule.actions),
        )
        for rule in group.rules
    )
    pools = [_pool(pool, "ip") for pool in group.scaling.address_pools]
    pools += [_pool(pool, "mac") for pool in group.scaling.mac_pools]
    scaling = _leaves(
        min_active=group.scaling.min_active,
        max_active=group.scaling.max_active,
        elastic=None if group.scaling.elastic else False,
    )
    files = "".join(map(_file, group.day_zero))
    locator = group.locator.vim_id and _within("locator", _leaf("vim_id", group.locator.vim_id))
    return (
        _leaves(name=group.name)
        + locator
        + _leaves(
            image=group.image,
            flavor=group.flavor,
            bootup_time=group.bootup_time,
            recovery_wait_time=group.recovery_wait_time or None,
            reboot_time=group.reboot_time,
        )
        + _recovery(group.recovery)
        + (_within("volumes", "".join(map(_volume, group.volumes))) if group.volumes else "")
        + _within("interfaces", "".join(map(_interface, group.interfaces)))
        + _within("kpi_data", "".join(map(_kpi, group.kpis)))
        + _within("rules", _within("admin_rules", rules))
        + (_within("config_data", files) if files else "")
        + _within("scaling", scaling + "".join(pools))
        + _leaves(software_version=group.software_version)
        + (_within("policies", _policies(group.hooks)) if group.hooks else "")
    )


def _policies(hooks: Iterable[Hook]) -> str:
    return "".join(_within("policy", _policy(f"p{at}", hook)) for at, hook in enumerate(hooks))


def _policy(name: str, hook: Hook) -> str:
    action = _leaves(name=hook.action, type=hook.type) + _properties(hook.properties)
    return (
        _leaf("name", name)
        + _within("conditions", _within("condition", _leaf("name", hook.condition)))
        + _within("actions", _within("action", action))
    )


def _recovery(policy: RecoveryPolicy) -> str:
    if policy == RecoveryPolicy():
        return ""
    leaves = _leaves(
        recovery_type=policy.type,
        action_on_recovery=policy.action,
        max_retries=policy.max_retries,
    )
    return _within("recovery_policy", leaves)


def _volume(volume: GroupVolume) -> str:
    leaves = _leaves(
        name=volume.name,
        volid=volume.volid,
        size=volume.size_gib,
        bus=volume.bus,
        type=volume.type,
        image=volume.image,
        boot_index=volume.boot_index,
    )
    return _within("volume", leaves)


def _interface(interface: Interface) -> str:
    pairs = "".join(_within("network", _leaf("name", each)) for each in interface.allowed_networks)
    return _within(
        "interface",
        _leaves(nicid=interface.nicid, network=interface.network)
        + _within("allowed_address_pairs", pairs),
    )


def _kpi(kpi: Kpi) -> str:
    collector = _leaves(
        type=kpi.collector.type,
        nicid=kpi.collector.nicid,
        poll_frequency=kpi.collector.poll_seconds,
        polling_unit="seconds",
        continuous_alarm=kpi.collector.continuous_alarm,
    )
    return _within(
        "kpi",
        _leaves(
            event_name=kpi.event_name,
            metric_value=kpi.threshold,
            metric_cond=kpi.condition,
            metric_type=kpi.metric_type,
            metric_occurrences_true=kpi.occurrences_true,
            metric_occurrences_false=kpi.occurrences_false,
        )
        + _within("metric_collector", collector),
    )


def _file(file: DayZero) -> str:
    variables = "".join(
        _within("variable", _leaf("name", name) + "".join(_leaf("val", each) for each in values))
        for name, values in file.variables
    )
    return _within(
        "configuration", _leaves(dst=file.dst, data=file.data, file=file.file) + variables
    )


def _pool(pool: AddressPool, what: str) -> str:
    addresses = "".join(_leaf(f"{what}_address", each) for each in pool.addresses)
    name = "static_ip_address_pool" if what == "ip" else "static_mac_address_pool"
    return _within(name, _leaf("network", pool.network) + addresses)
