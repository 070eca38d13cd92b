"""What a client sees of the daemon: opdata and events, as plain values."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Final

from lxml import etree

from esc_daemon.datamodel.names import NAMESPACE
from esc_daemon.domain.states import ServiceState, VmState
from esc_daemon.vim.simulator.control import CloudView, NetworkView, ProjectView, SubnetView
from tests.model.sheets import INSIDE, Place, addresses

_ID_LENGTH: Final = 36
_POOLS: Final = frozenset(address for name in INSIDE for address in addresses(name))
RESTS: Final = frozenset({ServiceState.ACTIVE, ServiceState.ERROR, ServiceState.STOPPED})
_ON: Final = frozenset({VmState.ALIVE, VmState.MONITOR_UNSET, VmState.MONITOR_DISABLED})
_LASTING: Final = _ON | {VmState.SHUTOFF, VmState.ERROR, VmState.UNDEF}


@dataclass
class Instance:
    """A VM of which the VIM has told."""

    id: str
    name: str
    group: str
    ports: list[str]
    addresses: list[tuple[str, str]]
    """(the network's id, the address) of each interface."""

    @property
    def vm(self) -> str:
        return vm_of(self.name)


@dataclass
class Service:
    """A deployment as opdata shows it."""

    id: str
    state: ServiceState
    vms: dict[str, VmState] = field(default_factory=dict)
    instances: list[Instance] = field(default_factory=list)
    networks: list[str] = field(default_factory=list)


@dataclass
class Opdata:
    """What of opdata the model looks at."""

    services: dict[Place, Service] = field(default_factory=dict)
    tenants: dict[str, str] = field(default_factory=dict)
    networks: list[str] = field(default_factory=list)
    """The ids of all networks and subnets, those of deployments too."""
    left_vms: dict[str, str] = field(default_factory=dict)
    """The VMs that are leftovers, with the id that the VIM told of their server."""
    left: list[str] = field(default_factory=list)
    """What else is left over: its id, or its name where the VIM never told one."""
    left_in: set[str] = field(default_factory=set)
    """The tenants of what is left over."""


def vm_of(name: str) -> str:
    """Return our id of a VM by its generated name."""
    return name[-_ID_LENGTH:]


def _all(element: etree._Element, path: str) -> Iterator[etree._Element]:
    return element.iterfind("/".join(f"{{{NAMESPACE}}}{part}" for part in path.split("/")))


def _text(element: etree._Element, path: str) -> str:
    return next((each.text or "" for each in _all(element, path)), "")


def opdata_in(reply: etree._Element) -> Opdata:
    """Return what the answer of a get tells."""
    seen = Opdata()
    for root in reply.iter(f"{{{NAMESPACE}}}opdata"):
        for kind in ("networks/network", "tenants/tenant/networks/network"):
            seen.networks += _networks(root, kind)
        for tenant in _all(root, "tenants/tenant"):
            name = _text(tenant, "name")
            seen.tenants[name] = _text(tenant, "tenant_id")
            for each in _all(tenant, "deployments"):
                service = seen.services[name, _text(each, "deployment_name")] = _service(each)
                seen.networks += service.networks
        for left in _all(root, "leftovers/leftover"):
            seen.left_in.add(_text(left, "tenant"))
            if _text(left, "kind") == "vm":
                seen.left_vms[vm_of(_text(left, "name"))] = _text(left, "vm_id")
            else:
                seen.left.append(_text(left, "resource_id") or _text(left, "name"))
    return seen


def _networks(element: etree._Element, path: str) -> list[str]:
    found = []
    for network in _all(element, path):
        ids = (
            _text(network, "netid"),
            *(each.text for each in _all(network, "subnets/subnet/subnetid")),
        )
        found += [id_ for id_ in ids if id_]
    return found


def _service(element: etree._Element) -> Service:
    service = Service(
        id=_text(element, "deployment_id"),
        state=ServiceState(_text(element, "state_machine/state")),
        networks=_networks(element, "networks/network"),
    )
    for each in _all(element, "state_machine/vm_state_machines/vm_state_machine"):
        service.vms[_text(each, "vm_name")] = VmState(_text(each, "state"))
    for group in _all(element, "vm_group"):
        for vm in _all(group, "vm_instance"):
            ports = list(_all(vm, "interfaces/interface"))
            service.instances.append(
                Instance(
                    id=_text(vm, "vm_id"),
                    name=_text(vm, "name"),
                    group=_text(group, "name"),
                    ports=[id_ for port in ports if (id_ := _text(port, "port_id"))],
                    addresses=[(_text(p, "network"), _text(p, "ip_address")) for p in ports],
                )
            )
    return service


def lasts(service: Service) -> bool:
    """Tell whether it may stay as it is."""
    return service.state in RESTS and _LASTING.issuperset(service.vms.values())


# ---- what must hold when nothing is under way


def strangers(seen: Opdata, cloud: CloudView) -> Iterator[str]:
    """Yield what is in the VIM and neither in opdata nor among the leftovers."""
    vms = {vm_of(name) for each in seen.services.values() for name in each.vms} | {*seen.left_vms}
    told = {vm.id for each in seen.services.values() for vm in each.instances}
    told |= {*seen.left_vms.values()}
    for server in cloud.servers:
        if server.vm not in vms:
            yield f"server {server.name} is in the VIM and nobody knows of it"
        elif server.id not in told:
            yield f"server {server.id} of {server.name} is not the one that opdata tells of"
    for vm, count in Counter(server.vm for server in cloud.servers).items():
        if count > 1:
            yield f"VM {vm} has {count} servers"
    for port in cloud.ports:
        if port.vm not in vms:
            yield f"port {port.id} of VM {port.vm} is in the VIM and nobody knows of it"
    yield from _strange_resources(seen, cloud)


def _strange_resources(seen: Opdata, cloud: CloudView) -> Iterator[str]:
    ours = [each for each in cloud.networks if each.ours]
    projects = [each for each in cloud.projects if each.ours]
    known = {*seen.networks, *seen.tenants.values(), *seen.left}
    subnets = (subnet for network in ours for subnet in network.subnets)
    resources: Iterable[NetworkView | SubnetView | ProjectView] = chain(ours, subnets, projects)
    for each in resources:
        if not known & {each.id, each.name}:
            yield f"{each} is in the VIM and nobody knows of it"


def missing(seen: Opdata, cloud: CloudView) -> Iterator[str]:
    """Yield what opdata tells of and the VIM does not have."""
    servers = {server.id for server in cloud.servers}
    ports = {port.id for port in cloud.ports}
    networks = {n.id for n in cloud.networks} | {s.id for n in cloud.networks for s in n.subnets}
    for service in seen.services.values():
        for vm in service.instances:
            if vm.id not in servers:
                yield f"{vm.name} has no server {vm.id}"
            yield from (f"{vm.name} has no port {id_}" for id_ in vm.ports if id_ not in ports)
    yield from (f"there is no network or subnet {id_}" for id_ in {*seen.networks} - networks)


def unwell(seen: Opdata, cloud: CloudView, *, powered: bool) -> Iterator[str]:
    """
    Yield what does not fit together in a deployment.

    *powered*: somebody else switches servers on; that of a VM which is off is the operator's.
    """
    servers = {server.vm: server for server in cloud.servers}
    for (_, name), service in seen.services.items():
        states = {*service.vms.values()}
        if not lasts(service):
            yield f"{name} never came to rest: {service.state} with VMs in {states}"
        if service.state is ServiceState.ACTIVE and states - _ON - {VmState.SHUTOFF}:
            yield f"{name} is active with VMs in {states}"
        if service.state is ServiceState.STOPPED and states - {VmState.SHUTOFF}:
            yield f"{name} is stopped with VMs in {states}"
        if service.state is ServiceState.ERROR and states and states <= _ON | {VmState.SHUTOFF}:
            yield f"{name} is in error with VMs in {states}"
        for vm, state in service.vms.items():
            server = servers.get(vm_of(vm))
            runs = server is not None and server.status == "ACTIVE"
            if runs and state is VmState.SHUTOFF and not powered:
                yield f"{vm} is switched off and its server runs"


def given_twice(seen: Opdata, *, by_us: bool) -> Iterator[str]:
    """Yield the addresses that two VMs have; *by_us*: of those only that come from our pools."""
    given = Counter(
        at
        for service in seen.services.values()
        for vm in service.instances
        for at in vm.addresses
        if at[1] and (at[1] in _POOLS or not by_us)
    )
    yield from (f"{at} is given {count} times" for at, count in given.items() if count > 1)


def remains(cloud: CloudView) -> Iterator[str]:
    """Yield what of ours is in the VIM, and quota that is used."""
    yield from (f"server {each.name}" for each in cloud.servers)
    yield from (f"port {each.id} of VM {each.vm}" for each in cloud.ports)
    yield from (f"network {each.name}" for each in cloud.networks if each.ours)
    for each in cloud.projects:
        if each.ours or each.servers or each.ports:
            yield f"project {each.name} with {each.servers} servers and {each.ports} ports"


def sizes(seen: Opdata, wanted: Mapping[Place, Mapping[str, tuple[int, int]]]) -> Iterator[str]:
    """Yield the groups of active services that are too small or too large."""
    for place, groups in wanted.items():
        service = seen.services.get(place)
        if service is None or service.state is not ServiceState.ACTIVE:
            continue
        for group, (low, high) in groups.items():
            size = sum(f"_{group}_" in name for name in service.vms)
            if not low <= size <= high:
                yield f"vm_group {group} of {place} has {size} VMs and not {low} to {high}"


def wanted_sizes(data: Any) -> dict[Place, dict[str, tuple[int, int]]]:
    """Return how many VMs each vm_group may have, by the configuration."""
    found: dict[Place, dict[str, tuple[int, int]]] = {}
    for (_, tenant), inside in data.get(("tenants", ()), {}).items():
        for (_, name), body in inside.get(("deployments", ()), {}).items():
            found[tenant[0], name[0]] = {
                identity[1][0]: _numbers(group.get(("scaling", ()), {}))
                for identity, group in body.items()
                if identity[0] == "vm_group"
            }
    return found


def _numbers(scaling: Any) -> tuple[int, int]:
    low = int(scaling.get(("min_active", ()), 1))
    return low, int(scaling.get(("max_active", ()), 1))
