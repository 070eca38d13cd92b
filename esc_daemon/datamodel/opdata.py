"""
Operational data: the records as ``esc_datamodel/opdata`` shows them (rulings 8 and 10b).

Keys are those of ESC 2.1 and later; a deployment's id is the depid of its notifications.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from esc_daemon.datamodel.addresses import prefix_length
from esc_daemon.datamodel.escevent import interfaces
from esc_daemon.datamodel.life import life, tried_again
from esc_daemon.datamodel.markup import inner, leaf
from esc_daemon.datamodel.volumes import volumes
from esc_daemon.domain.guard import Hold, Scope, Why
from esc_daemon.domain.ids import parts_of
from esc_daemon.domain.intent import Flavor, Image, Network, Subnet, Tenant, TenantVolume
from esc_daemon.domain.record import (
    AnyResourceRecord,
    ConnectorRecord,
    DeploymentRecord,
    Leftover,
    ResourceRecord,
    VmRecord,
)
from esc_daemon.domain.states import ResourceState, ServiceState

NetworkRecord = ResourceRecord[Network]
SubnetRecord = ResourceRecord[Subnet]
_IP_VERSION: Final = {"ipv4": "4", "ipv6": "6"}
_STATUS: Final[Mapping[ResourceState, str]] = {
    ResourceState.UNDEF: "BUILD",
    ResourceState.CREATING: "BUILD",
    ResourceState.ACTIVE: "ACTIVE",
    ResourceState.DELETING: "DELETING",
    ResourceState.LEFTOVER: "ERROR",
    ResourceState.ERROR: "ERROR",
}
"""The status of a network, a subnet or a volume, in Neutron's words for the first."""
_UNDER_WAY: Final = frozenset({ResourceState.CREATING, ResourceState.DELETING})


@dataclass(kw_only=True, slots=True, frozen=True)
class Stats:
    """The machine that the manager runs on; *uptime* in seconds."""

    hostname: str
    os_name: str
    os_release: str
    arch: str
    uptime: int
    cpu_num: int


def stats(machine: Stats) -> str:
    """Return ``stats``."""
    return inner(
        "stats",
        leaf("hostname", machine.hostname),
        leaf("os_name", machine.os_name),
        leaf("os_release", machine.os_release),
        leaf("arch", machine.arch),
        leaf("uptime", machine.uptime),
        inner("cpu", leaf("cpu_num", machine.cpu_num)),
    )


class Upload(NamedTuple):
    """How much of an image is in its VIM, in bytes; *total* where that is known."""

    taken: int
    total: int | None


def image(record: ResourceRecord[Image], upload: Upload | None = None) -> str:
    """Return one entry of ``images``; while its content is on its way, with how far that is."""
    handle = record.handle
    return inner(
        "image",
        leaf("name", record.key.name),
        leaf("image_id", handle and handle.resource_id),
        leaf("public", True) if handle else "",
        leaf("status", _STATUS[record.state]),
        _errors(record),
        _upload(upload) if upload else "",
    )


def _upload(upload: Upload) -> str:
    taken, total = upload
    percent = min(100, 100 * taken // total) if total else None
    return inner("upload", leaf("bytes", taken), leaf("total", total), leaf("percent", percent))


def _errors(record: AnyResourceRecord) -> str:
    """Return what is wrong, and, while it is tried again, what the last try failed of."""
    error = leaf("error", record.error)
    return error + (tried_again(record.attempt) if record.state in _UNDER_WAY else "")


def flavor(record: ResourceRecord[Flavor]) -> str:
    """Return one entry of ``flavors``."""
    handle = record.handle
    return inner(
        "flavor",
        leaf("name", record.key.name),
        leaf("flavor_id", handle and handle.resource_id),
        leaf("status", _STATUS[record.state]),
        _errors(record),
    )


def vim_connector(record: ConnectorRecord, *, default: bool) -> str:
    """Return one entry of ``vim_connectors``: how the VIM is, and nothing of its login."""
    return inner(
        "vim_connector",
        leaf("id", record.key.name),
        leaf("type", record.intent and record.intent.type),
        leaf("status", record.status),
        leaf("status_message", record.message),
        leaf("default", default),
        leaf("next_check", record.next_check and record.next_check.isoformat()),
    )


def hold(scope: Scope, held: Hold) -> str:
    """Return one entry of ``recovery_guard``."""
    return inner(
        "hold",
        leaf("reason", scope.why),
        leaf("vim_id", scope.vim),
        leaf("hostname", scope.host),
        leaf("monitored", scope.watched) if scope.why is Why.SHARE else "",
        leaf("since", held.since.isoformat()),
        leaf("lost", held.lost),
        leaf("vms", held.number),
    )


def network(record: NetworkRecord, subnets: Iterable[SubnetRecord] = ()) -> str:
    """Return one entry of ``networks``."""
    handle, made = record.handle, record.made
    return inner(
        "network",
        leaf("name", parts_of(record.key.name)[-1]),
        leaf("netid", handle and handle.resource_id),
        leaf("shared", made.shared),
        leaf("admin_state", made.admin_state),
        leaf("provider_network_type", made.provider_network_type),
        leaf("status", _STATUS[record.state]),
        _errors(record),
        inner("subnets", *(_subnet(each) for each in subnets)),
    )


def volume(record: ResourceRecord[TenantVolume]) -> str:
    """Return one entry of a tenant's ``volumes``."""
    handle, made = record.handle, record.made
    return inner(
        "volume",
        leaf("name", made.name),
        leaf("volume_id", handle and handle.resource_id),
        leaf("size", (handle and handle.size_gib) or made.size_gib),
        leaf("sizeunit", "GiB"),
        leaf("type", made.type),
        leaf("status", _STATUS[record.state]),
        _errors(record),
    )


def _subnet(record: SubnetRecord) -> str:
    handle, made = record.handle, record.made
    return inner(
        "subnet",
        leaf("name", made.name),
        leaf("subnetid", handle and handle.resource_id),
        leaf("status", _STATUS[record.state]),
        _errors(record),
        leaf("cidr", cidr(made)),
        leaf("gateway", made.gateway),
        leaf("no_gateway", made.no_gateway),
        leaf("dhcp", made.dhcp),
        leaf("ipversion", _IP_VERSION.get(made.ip_version, made.ip_version)),
    )


def cidr(subnet: Subnet) -> str:
    """Return the range of *subnet* with its prefix length."""
    return f"{subnet.address}/{prefix_length(subnet.netmask)}"


def tenant(record: ResourceRecord[Tenant] | None, name: str, *content: str) -> str:
    """
    Return one entry of ``tenants`` around its networks and deployments.

    *record* is None for a tenant that is gone from the records before what stood in it.
    """
    handle = None if record is None else record.handle
    # a tenant without a project of its own is known by its name, as in notifications
    tenant_id = (handle.resource_id or name) if handle else None
    errors = _errors(record) if record else ""
    return inner("tenant", leaf("name", name), leaf("tenant_id", tenant_id), errors, *content)


def shown(record: DeploymentRecord) -> bool:
    """Tell whether opdata shows the deployment: not when only leftovers hold its record."""
    return record.state is not ServiceState.UNDEF or record.intent is not None


def deployment(record: DeploymentRecord, networks: Iterable[str] = ()) -> str:
    """
    Return one entry of ``deployments``; nothing when it is not `shown`.

    *networks* are its ephemeral ones, as `network` returns them. A VM that the VIM has not told
    of yet stands in the state machine only: its entry's key is the VIM's id.
    """
    if not shown(record):
        return ""
    groups: dict[str, list[VmRecord]] = {}
    for group in record.intent.groups if record.intent else ():
        groups[group.name] = []
    for vm in record.vms.values():
        groups.setdefault(vm.group, []).append(vm)
    machines = (
        inner("vm_state_machine", leaf("vm_name", vm.name), leaf("state", vm.state), life(vm))
        for vm in record.vms.values()
    )
    return inner(
        "deployments",
        leaf("deployment_name", record.key.name),
        leaf("deployment_id", record.id),
        inner("networks", *networks),
        leaf("error", record.error),
        *(
            inner("vm_group", leaf("name", name), *(_vm_instance(vm) for vm in vms))
            for name, vms in groups.items()
        ),
        inner(
            "state_machine",
            leaf("state", record.state),
            inner("vm_state_machines", *machines),
        ),
    )


def _vm_instance(vm: VmRecord) -> str:
    if vm.server is None:
        return ""
    return inner(
        "vm_instance",
        leaf("vm_id", vm.server.resource_id),
        leaf("name", vm.name),
        leaf("generated_vmname", vm.name),
        leaf("host_id", vm.host_id),
        leaf("hostname", vm.hostname),
        leaf("vim_id", vm.vim),
        leaf("vim_project", vm.project),
        interfaces(vm.interfaces, options=True),
        volumes(vm),
    )


def leftovers(record: DeploymentRecord) -> str:
    """Return the entries of ``leftovers`` that *record* holds."""
    return "".join(_leftover(record, each) for each in record.leftovers)


def leftover_resource(record: AnyResourceRecord) -> str:
    """Return the entry of ``leftovers`` for what is no VM; nothing while it is none."""
    if record.state is not ResourceState.LEFTOVER:
        return ""
    owner, owner_id = record.owner or (None, None)
    handle, attempt = record.handle, record.attempt
    return inner(
        "leftover",
        leaf("kind", record.key.kind),
        leaf("name", parts_of(record.key.name)[-1]),
        leaf("resource_id", handle and handle.resource_id),
        leaf("tenant", record.key.tenant),
        leaf("deployment_name", owner and owner.name),
        leaf("deployment_id", owner_id),
        leaf("vim_id", record.vim or (handle and handle.vim)),
        leaf("vim_project", handle and handle.project),
        leaf("error", (attempt and attempt.error) or record.error),
        leaf("tries", attempt and attempt.tries),
        leaf("next_try", attempt and attempt.next.isoformat()),
    )


def _leftover(record: DeploymentRecord, leftover: Leftover) -> str:
    vm = leftover.vm
    return inner(
        "leftover",
        leaf("kind", "vm"),
        leaf("name", vm.name),
        leaf("vm_id", vm.server and vm.server.resource_id),
        leaf("tenant", record.key.tenant),
        leaf("deployment_name", record.key.name),
        leaf("deployment_id", leftover.deployment),
        leaf("vim_id", vm.vim),
        leaf("vim_project", vm.project),
        leaf("error", leftover.attempt.error),
        leaf("tries", leftover.attempt.tries),
        leaf("next_try", leftover.attempt.next.isoformat()),
    )
