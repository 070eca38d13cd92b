"""What the server holds of an edit's goals before and after it is sent; pure."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from lxml import etree

from esc_nc_cli.events import printable
from esc_nc_cli.goals import Goal, Kind, Wish
from esc_nc_cli.xmltree import BASE, ESC, child, leaf, qname

_ACTIVE = "SERVICE_ACTIVE_STATE"
_BROKEN = "ERROR"  # the status of a network, a subnet, an image, a flavor or a volume
_THERE = "ACTIVE"
_VIM_ID = {
    Kind.TENANT: "tenant_id",
    Kind.NETWORK: "netid",
    Kind.SUBNET: "subnetid",
    Kind.IMAGE: "image_id",
    Kind.FLAVOR: "flavor_id",
    Kind.VOLUME: "volume_id",
}
_FAILED = "SERVICE_ERROR_STATE"
_BROKEN_VM = "VM_ERROR_STATE"
_CONNECTED = "CONNECTION_SUCCESSFUL"
_OF_A_CONNECTOR = frozenset({Kind.VIM_CONNECTOR, Kind.DEFAULT_VIM_CONNECTOR})
# A service in one of these tells nothing more until somebody asks for something.
_RESTING = frozenset({_FAILED, "SERVICE_STOPPED_STATE"})


@dataclass(kw_only=True, slots=True, frozen=True)
class Standing:
    """What the server holds of the goals' entries: configuration, or operational data."""

    entries: Mapping[tuple[str, ...], bytes] = field(default_factory=dict)
    states: Mapping[tuple[str, ...], str] = field(default_factory=dict)
    made: Collection[tuple[str, ...]] = frozenset()
    """What the VIM has given an id, and is not changing: not all that is shown is there."""
    known: Collection[tuple[str, ...]] = frozenset()
    """What the VIM has given an id: where the last change of it failed it is there as it was."""
    errors: Mapping[tuple[str, ...], str] = field(default_factory=dict)

    def of(self, goal: Goal) -> bytes | None:
        """Return the canonical XML of *goal*'s entry; None if it is not there."""
        return self.entries.get(entry_key(goal))


def entry_key(goal: Goal) -> tuple[str, ...]:
    if goal.kind is Kind.DEFAULT_VIM_CONNECTOR:  # one leaf, whatever it names
        return (goal.kind, "", "", "")
    return (goal.kind, goal.tenant or "", goal.network or "", goal.name)


def outcome_now(goal: Goal, *, changed: bool, opdata: Standing) -> tuple[bool, str] | None:
    """
    Return the outcome that the operational data already shows, with a text; None: wait.

    *changed* says whether the edit changed the goal's configuration. If it did, a service
    tells its end itself; if not, no event will come.
    """
    here = opdata.of(goal) is not None
    state = opdata.states.get(entry_key(goal))
    if goal.wish is Wish.DELETE:
        return None if changed or here else (True, f"{goal} is not there")
    if goal.kind is Kind.VIM_CONNECTOR:
        return None if changed or state is None else (state == _CONNECTED, f"{goal} is in {state}")
    if goal.kind is Kind.DEFAULT_VIM_CONNECTOR:
        return None if changed else (True, f"{goal} is there")
    if goal.kind is not Kind.DEPLOYMENT:
        if entry_key(goal) in opdata.made:
            return True, f"{goal} is there"
        return (False, _broken(goal, opdata)) if state == _BROKEN and not changed else None
    if changed:
        return None
    if state == _ACTIVE:
        return True, f"{goal} is in {state} and the edit changes nothing"
    if state in _RESTING:
        hint = "; delete-dep it first" if state == _FAILED else ""
        return False, f"{goal} is in {state} and the edit changes nothing{hint}"
    return None


def _broken(goal: Goal, opdata: Standing) -> str:
    """Return what became of *goal*, which is in error, and what to do; deleting may lose data."""
    cause = opdata.errors.get(entry_key(goal))
    because = "" if cause is None else f" ({printable(cause)})"
    if entry_key(goal) in opdata.known:
        return (
            f"the last change of {goal} failed{because} and the edit changes nothing: what the VIM "
            "has of it stays as it was; ask for another value, or for the one that it had"
        )
    return f"{goal} could not be made{because} and the edit changes nothing: delete it first"


def config_filter(goals: Iterable[Goal]) -> etree._Element:
    """Return the subtree filter for get-config of the goals' entries (RFC 6241 section 6)."""
    return _filter(goals, operational=False)


def opdata_filter(goals: Iterable[Goal]) -> etree._Element:
    """Return the subtree filter for get of the goals' operational data."""
    return _filter(goals, operational=True)


def vm_filter(tenant: str, deployment: str) -> etree._Element:
    """Return the subtree filter for get of the states of the VMs of *deployment*."""
    element = etree.Element(qname(BASE, "filter"), {"type": "subtree"}, nsmap={None: BASE})
    datamodel = etree.SubElement(element, qname(ESC, "esc_datamodel"), nsmap={None: ESC})
    entry = child(_keyed(child(datamodel, "opdata"), "tenants", "tenant", tenant), "deployments")
    child(entry, "deployment_name", deployment)
    child(child(entry, "state_machine"), "vm_state_machines")
    return element


def state_of_vm(reply: etree._Element, name: str) -> str | None:
    """Return the state of the VM *name* in the answer to `vm_filter`; None: it has none."""
    for machine in reply.iter(qname(ESC, "vm_state_machine")):
        if leaf(machine, "vm_name") == name:
            return leaf(machine, "state")
    return None


def broken_vms(reply: etree._Element) -> tuple[str, ...]:
    """Return the names of the VMs in error in the answer to `vm_filter`."""
    machines = reply.iter(qname(ESC, "vm_state_machine"))
    broken = (leaf(each, "vm_name") for each in machines if leaf(each, "state") == _BROKEN_VM)
    return tuple(name for name in broken if name is not None)


def _filter(goals: Iterable[Goal], *, operational: bool) -> etree._Element:
    element = etree.Element(qname(BASE, "filter"), {"type": "subtree"}, nsmap={None: BASE})
    wanted = tuple(goals)
    if not operational and any(goal.kind in _OF_A_CONNECTOR for goal in wanted):
        system = etree.SubElement(element, qname(ESC, "esc_system_config"), nsmap={None: ESC})
        child(system, "vim_connectors")
    wanted = tuple(g for g in wanted if operational or g.kind not in _OF_A_CONNECTOR)
    if not wanted:
        return element
    datamodel = etree.SubElement(element, qname(ESC, "esc_datamodel"), nsmap={None: ESC})
    root = child(datamodel, "opdata") if operational else datamodel
    for goal in wanted:  # one entry a tenant, however many goals it holds
        name = goal.tenant or (goal.name if goal.kind is Kind.TENANT else None)
        parent = root if name is None else _keyed(root, "tenants", "tenant", name)
        match goal.kind:
            case Kind.TENANT:
                # Beside the key leaves are asked for: the key alone would bring everything.
                for name_of_leaf in (
                    ("tenant_id", "error") if operational else ("managed_resource",)
                ):
                    child(parent, name_of_leaf)
            case Kind.DEPLOYMENT if operational:
                entry = child(parent, "deployments")
                child(entry, "deployment_name", goal.name)
                child(child(entry, "state_machine"), "state")
            case Kind.NETWORK | Kind.SUBNET:
                _keyed(parent, "networks", "network", goal.network or goal.name)
            case Kind.VIM_CONNECTOR | Kind.DEFAULT_VIM_CONNECTOR:
                if root.find(qname(ESC, "vim_connectors")) is None:
                    child(root, "vim_connectors")
            case _:
                _keyed(parent, f"{goal.kind.lower()}s", goal.kind.lower(), goal.name)
    return element


def _keyed(parent: etree._Element, container: str, entry: str, name: str) -> etree._Element:
    holder = parent.find(qname(ESC, container))
    if holder is None:
        holder = child(parent, container)
    for element in holder.iterfind(qname(ESC, entry)):
        if leaf(element, "name") == name:
            return element
    element = child(holder, entry)
    child(element, "name", name)
    return element


def standing(reply: etree._Element) -> Standing:
    """Read the answer to either filter; more than was asked for does no harm."""
    entries: dict[tuple[str, ...], bytes] = {}
    states: dict[tuple[str, ...], str] = {}
    known: set[tuple[str, ...]] = set()
    errors: dict[tuple[str, ...], str] = {}
    for datamodel in reply.iterfind(f"{qname(BASE, 'data')}/*"):
        opdata = datamodel.find(qname(ESC, "opdata"))
        root = datamodel if opdata is None else opdata
        for key, entry in _standing_entries(root):
            entries[key] = etree.tostring(entry, method="c14n")
            if state := leaf(entry, "state_machine", "state") or _status(entry):
                states[key] = state
            if error := leaf(entry, "error"):
                errors[key] = error
            vim_id = _VIM_ID.get(Kind(key[0]))
            if vim_id and leaf(entry, vim_id):
                known.add(key)
    made = {key for key in known if states.get(key, _THERE) == _THERE}
    return Standing(entries=entries, states=states, made=made, known=known, errors=errors)


def _status(entry: etree._Element) -> str | None:
    """Return the status of *entry*; a tenant, and a subnet of ESC, have none but what is wrong."""
    return leaf(entry, "status") or (_BROKEN if leaf(entry, "error") else None)


def _standing_entries(root: etree._Element) -> Iterator[tuple[tuple[str, ...], etree._Element]]:
    for kind in (Kind.IMAGE, Kind.FLAVOR):
        for entry in root.iterfind(f"{qname(ESC, kind.lower() + 's')}/{qname(ESC, kind.lower())}"):
            yield (kind, "", "", leaf(entry, "name") or ""), entry
    yield from _standing_connectors(root)
    yield from _standing_networks(root, "")
    for tenant in root.iterfind(f"{qname(ESC, 'tenants')}/{qname(ESC, 'tenant')}"):
        name = leaf(tenant, "name") or ""
        yield (Kind.TENANT, "", "", name), tenant
        for volume in tenant.iterfind(f"{qname(ESC, 'volumes')}/{qname(ESC, 'volume')}"):
            yield (Kind.VOLUME, name, "", leaf(volume, "name") or ""), volume
        yield from _standing_networks(tenant, name)
        for holder in tenant.iterfind(qname(ESC, "deployments")):
            # A container in the configuration, the list itself in the operational data.
            for entry in holder.findall(qname(ESC, "deployment")) or [holder]:
                own = leaf(entry, "name") or leaf(entry, "deployment_name")
                if own is not None:
                    yield (Kind.DEPLOYMENT, name, "", own), entry


def _standing_connectors(
    root: etree._Element,
) -> Iterator[tuple[tuple[str, ...], etree._Element]]:
    for holder in root.iterfind(qname(ESC, "vim_connectors")):
        for choice in holder.iterfind(qname(ESC, "default_vim_connector")):
            yield (Kind.DEFAULT_VIM_CONNECTOR, "", "", ""), choice
        for entry in holder.iterfind(qname(ESC, "vim_connector")):
            yield (Kind.VIM_CONNECTOR, "", "", leaf(entry, "id") or ""), entry


def _standing_networks(
    parent: etree._Element, tenant: str
) -> Iterator[tuple[tuple[str, ...], etree._Element]]:
    for network in parent.iterfind(f"{qname(ESC, 'networks')}/{qname(ESC, 'network')}"):
        name = leaf(network, "name") or ""
        yield (Kind.NETWORK, tenant, "", name), network
        for subnet in network.iter(qname(ESC, "subnet")):
            yield (Kind.SUBNET, tenant, name, leaf(subnet, "name") or ""), subnet
