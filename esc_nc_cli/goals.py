"""What an edit wants to come true, and the event that says so; pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from lxml import etree

from esc_nc_cli.events import Event
from esc_nc_cli.xmltree import BASE, ESC, leaf, qname

_REMOVING = frozenset({"delete", "remove"})
_MAKING_A_CONNECTOR = frozenset(
    f"{verb}_VIM_{what}"
    for verb in ("CREATE", "UPDATE", "DELETE")
    for what in ("CONNECTOR", "USER")
)


class Kind(StrEnum):
    """What ends in an event of its own, in the words of the event types."""

    DEPLOYMENT = "DEPLOYMENT"
    TENANT = "TENANT"
    NETWORK = "NETWORK"
    SUBNET = "SUBNET"
    IMAGE = "IMAGE"
    FLAVOR = "FLAVOR"
    VOLUME = "VOLUME"
    VIM_CONNECTOR = "VIM_CONNECTOR"
    DEFAULT_VIM_CONNECTOR = "DEFAULT_VIM_CONNECTOR"


class Wish(StrEnum):
    """Event types are made of it: CREATE_TENANT, DELETE_NETWORK."""

    CREATE = "CREATE"
    DELETE = "DELETE"


@dataclass(kw_only=True, slots=True, frozen=True)
class Goal:
    """One entry of the edit that comes into being, changes or goes."""

    kind: Kind
    wish: Wish
    name: str
    tenant: str | None = None
    network: str | None = None

    def __str__(self) -> str:
        path = "/".join(part for part in (self.tenant, self.network, self.name) if part)
        return f"{self.kind.lower()} {path}"

    def outcome(self, event: Event) -> bool | None:
        """Return whether *event* fulfils (True) or fails (False) this goal; None: neither."""
        if not self._is_named_by(event):
            return None
        if event.type in self._final_events():
            return event.succeeded
        # Nothing is checked of a connector that could not be made.
        broken = event.type in _MAKING_A_CONNECTOR and not event.succeeded
        return False if broken and self._is_a_new_connector() else None

    def concerns(self, event: Event) -> bool:
        """Return whether *event* tells of this entry, or of what goes with it."""
        if self.outcome(event) is not None:
            return True
        if self.wish is not Wish.DELETE:
            # What changes may be deleted and created anew: why that failed is told by the first.
            gone_first = event.type == f"{Wish.DELETE}_{self.kind}"
            return (gone_first or self._is_a_new_connector()) and self._is_named_by(event)
        match self.kind:
            case Kind.TENANT:
                return event.tenant == self.name
            case Kind.VIM_CONNECTOR:
                return self._is_named_by(event)
            case Kind.NETWORK:  # the events of its subnets name it too
                return event.type == "DELETE_SUBNET" and self._is_named_by(event)
            case _:
                return False

    def fails_with(self, event: Event) -> bool:
        """Return whether *event* tells that something did not go that goes with this entry."""
        ends = event.type == "SERVICE_UNDEPLOYED" or event.type.startswith(f"{Wish.DELETE}_")
        removal = self.wish is Wish.DELETE and self.outcome(event) is None
        return removal and ends and not event.succeeded and self.concerns(event)

    def _is_a_new_connector(self) -> bool:
        return self.kind is Kind.VIM_CONNECTOR and self.wish is Wish.CREATE

    def _final_events(self) -> frozenset[str]:
        if self._is_a_new_connector():
            return frozenset({"VIM_OPERATIONAL_STATE"})
        if self.kind is not Kind.DEPLOYMENT:
            return frozenset({f"{self.wish}_{self.kind}"})
        if self.wish is Wish.DELETE:
            return frozenset({"SERVICE_UNDEPLOYED"})
        return frozenset({"SERVICE_ALIVE", "SERVICE_UPDATED"})

    def _is_named_by(self, event: Event) -> bool:
        # At the root a network has no tenant here and SystemAdminTenantId in the event; the
        # event names networks and subnets by the parts joined without a separator.
        tenant = self.tenant or event.tenant or ""
        match self.kind:
            case Kind.DEPLOYMENT:
                return (event.tenant, event.deployment) == (self.tenant, self.name)
            case Kind.TENANT:
                return event.tenant == self.name
            case Kind.NETWORK:
                return event.tenant in {tenant, None} and event.network in {
                    self.name,
                    f"{tenant}{self.name}",
                }
            case Kind.SUBNET:
                return event.tenant in {tenant, None} and event.subnet in {
                    self.name,
                    f"{tenant}{self.network}{self.name}",
                }
            case Kind.IMAGE:
                return event.image == self.name
            case Kind.FLAVOR:
                return event.flavor == self.name
            case Kind.VOLUME:
                return (event.tenant, event.volume) == (self.tenant, self.name)
            case Kind.VIM_CONNECTOR:
                return event.connector == self.name
            case Kind.DEFAULT_VIM_CONNECTOR:  # who takes the choice back need not say which it was
                return event.connector is not None and self.name in {event.connector, ""}


def goals_of(edit_config: etree._Element) -> tuple[Goal, ...]:
    """Return what *edit_config* creates, changes and deletes, outermost first."""
    default = leaf(edit_config, "default-operation", namespace=BASE) or "merge"
    found: list[Goal] = []
    for name, goals_in in (
        ("esc_datamodel", _datamodel_goals),
        ("esc_system_config", _connector_goals),
    ):
        for root in edit_config.iterfind(f"{qname(BASE, 'config')}/{qname(ESC, name)}"):
            found += goals_in(root, _operation(root, default))
    return tuple(dict.fromkeys(found))


def _datamodel_goals(datamodel: etree._Element, inherited: str) -> Iterator[Goal]:
    for entry, operation, name in _entries(datamodel, inherited, "tenants", "tenant"):
        yield from _tenant_goals(entry, operation, name)
    yield from _network_goals(datamodel, inherited, None)
    for kind, container in ((Kind.IMAGE, "images"), (Kind.FLAVOR, "flavors")):
        for entry, operation, name in _entries(datamodel, inherited, container, kind.lower()):
            if (wish := _wish(entry, operation)) is not None:
                yield Goal(kind=kind, wish=wish, name=name)


def _connector_goals(system: etree._Element, inherited: str) -> Iterator[Goal]:
    for entry, operation, name in _entries(
        system, inherited, "vim_connectors", "vim_connector", key="id"
    ):
        if (wish := _wish(entry, operation)) is not None:
            yield Goal(kind=Kind.VIM_CONNECTOR, wish=wish, name=name)
    for holder in system.iterfind(qname(ESC, "vim_connectors")):
        for choice in holder.iterfind(qname(ESC, "default_vim_connector")):
            wish = _wish(choice, _operation(choice, _operation(holder, inherited)))
            if wish is not None:
                name = (choice.text or "").strip()
                yield Goal(kind=Kind.DEFAULT_VIM_CONNECTOR, wish=wish, name=name)


def _tenant_goals(tenant: etree._Element, operation: str, name: str) -> Iterator[Goal]:
    if operation in _REMOVING:
        yield Goal(kind=Kind.TENANT, wish=Wish.DELETE, name=name)
        return
    if operation != "none":
        yield Goal(kind=Kind.TENANT, wish=Wish.CREATE, name=name)
    for entry, own, volume in _entries(tenant, operation, "volumes", "volume"):
        if (wish := _wish(entry, own)) is not None:
            yield Goal(kind=Kind.VOLUME, wish=wish, name=volume, tenant=name)
    yield from _network_goals(tenant, operation, name)
    for entry, own, deployment in _entries(tenant, operation, "deployments", "deployment"):
        if (wish := _wish(entry, own)) is not None:
            yield Goal(kind=Kind.DEPLOYMENT, wish=wish, name=deployment, tenant=name)


def _network_goals(parent: etree._Element, inherited: str, tenant: str | None) -> Iterator[Goal]:
    for network, operation, name in _entries(parent, inherited, "networks", "network"):
        if operation in _REMOVING:
            yield Goal(kind=Kind.NETWORK, wish=Wish.DELETE, name=name, tenant=tenant)
            continue
        if operation != "none":
            yield Goal(kind=Kind.NETWORK, wish=Wish.CREATE, name=name, tenant=tenant)
        for subnet in network.iterfind(qname(ESC, "subnet")):
            wish = _wish(subnet, _operation(subnet, operation))
            own = leaf(subnet, "name")
            if wish is not None and own is not None:
                yield Goal(kind=Kind.SUBNET, wish=wish, name=own, tenant=tenant, network=name)


def _entries(
    parent: etree._Element, inherited: str, container: str, entry: str, *, key: str = "name"
) -> Iterator[tuple[etree._Element, str, str]]:
    for holder in parent.iterfind(qname(ESC, container)):
        for element in holder.iterfind(qname(ESC, entry)):
            name = leaf(element, key)
            if name is not None:  # without its key the server refuses it
                yield element, _operation(element, _operation(holder, inherited)), name


def _operation(element: etree._Element, inherited: str) -> str:
    """Return the operation in force at *element* (RFC 6241 section 7.2)."""
    return element.get(qname(BASE, "operation"), inherited)


def _wish(entry: etree._Element, operation: str) -> Wish | None:
    if operation in _REMOVING:
        return Wish.DELETE
    if operation != "none":
        return Wish.CREATE
    inside = any(element.get(qname(BASE, "operation")) for element in entry.iterdescendants())
    return Wish.CREATE if inside else None
