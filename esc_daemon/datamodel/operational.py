"""
The whole of ``esc_datamodel/opdata``, or the part that a filter may need, piece by piece.

Who holds the records is not known here: `Records` is what is asked of him.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeGuard

from esc_daemon.datamodel import opdata
from esc_daemon.datamodel.entries import DATAMODEL
from esc_daemon.datamodel.markup import inner, leaf
from esc_daemon.datamodel.names import NAMESPACE
from esc_daemon.datamodel.selection import Step
from esc_daemon.domain.connectors import Connectors
from esc_daemon.domain.ids import DEFAULT_VIM, Key, Kind, RecordId, TenantName
from esc_daemon.domain.intent import Flavor, Image, Network, Subnet, Tenant
from esc_daemon.domain.placing import subnets_of
from esc_daemon.domain.record import ConnectorRecord, DeploymentRecord, Record, ResourceRecord

_OPER_UP: Final = "OPER_UP"
_WAY: Final = (DATAMODEL, "opdata")


class Records(Protocol):
    """Where the records are."""

    def record(self, key: Key) -> Record | None:
        """Return the record of *key*."""
        ...

    def records(self) -> Iterable[Record]:
        """Return every record, in the order of arrival."""
        ...

    def records_under(self, tenant: TenantName | None) -> Iterable[Record]:
        """Return what stands under *tenant*, None: at the root, in the order of arrival."""
        ...


@dataclass(kw_only=True, slots=True, frozen=True)
class Part:
    """
    A part of opdata; None stands for any. A filter is still to be applied.

    *tenants* false: only what lies beside them.
    """

    tenants: bool = True
    tenant: str | None = None
    deployment: str | None = None


EVERYTHING: Final = Part()


def part_of(path: Sequence[Step]) -> Part | None:
    """Return what of opdata lies on *path* (`netconf.hints`); None is nothing at all."""
    if any(step.namespace not in {None, NAMESPACE} for step in path):
        return None
    names = [step.name for step in path]
    if any(name != known for name, known in zip(names, _WAY, strict=False)):
        return None
    if len(names) > 2 and names[2] != "tenants":
        return Part(tenants=False)
    if len(names) > 3 and names[3] != "tenant":
        return None
    tenant = dict(path[3].keys).get("name") if len(names) > 3 else None
    if len(names) > 4 and names[4] == "deployments":
        return Part(tenant=tenant, deployment=dict(path[4].keys).get("deployment_name"))
    return Part(tenant=tenant)


class Operational:
    """Renders opdata from the records."""

    def __init__(self, records: Records, stats: Callable[[], opdata.Stats]) -> None:
        self._records = records
        self._stats = stats

    def pieces(self, part: Part | None = EVERYTHING) -> Iterator[bytes]:
        """Yield the element ``opdata``, a piece about as long as one deployment."""
        if part is None:
            return
        yield b"<opdata>"
        if part.tenant is None:
            yield "".join(self._beside_tenants()).encode()
        opened = False
        for name in self._named(part):
            for piece in self._tenant(TenantName(name), part.deployment):
                if not opened:
                    opened = True
                    yield b"<tenants>"
                yield piece.encode()
        if opened:
            yield b"</tenants>"
        if part.tenant is None:
            yield inner("leftovers", *map(_leftovers, self._records.records())).encode()
        yield b"</opdata>"

    def _named(self, part: Part) -> Iterable[str]:
        if not part.tenants:
            return ()
        return tuple(self._tenants()) if part.tenant is None else (part.tenant,)

    def _beside_tenants(self) -> Iterator[str]:
        yield leaf("status", _OPER_UP)
        yield opdata.stats(self._stats())
        root = list(self._records.records_under(None))
        yield from self._vims([each for each in root if is_connector(each)])
        yield inner("networks", *(self._network(each) for each in root if is_network(each)))
        yield inner("images", *(opdata.image(each) for each in root if is_image(each)))
        yield inner("flavors", *(opdata.flavor(each) for each in root if is_flavor(each)))

    def _vims(self, connectors: Sequence[ConnectorRecord]) -> Iterator[str]:
        default = self._default_vim(connectors)
        types = [each.intent.type for each in connectors if each is default and each.intent]
        yield inner("system_config", *(leaf("active_vim", type_) for type_ in types))
        shown = (opdata.vim_connector(each, default=each is default) for each in connectors)
        yield inner("vim_connectors", *shown)

    def _default_vim(self, connectors: Sequence[ConnectorRecord]) -> ConnectorRecord | None:
        """Return the connector that is chosen to be the default, else the only one there is."""
        chosen = self._records.record(DEFAULT_VIM)
        there = Connectors()
        for record in (*connectors, *([chosen] if chosen else [])):
            there = there.after(record.key, record.intent)
        return next((each for each in connectors if each.key.name == there.default), None)

    def _tenants(self) -> Iterator[str]:
        for record in self._records.records_under(None):
            if is_tenant(record):
                yield record.key.name

    def _tenant(self, name: TenantName, deployment: str | None) -> Iterator[str]:
        record = self._records.record(Key(Kind.TENANT, None, name))
        if record is None or not is_tenant(record):
            return
        head = opdata.tenant(record, name).removesuffix("</tenant>")
        if deployment is not None:
            found = self._records.record(Key(Kind.DEPLOYMENT, name, deployment))
            body = self._deployment(found) if isinstance(found, DeploymentRecord) else ""
            yield f"{head}{body}</tenant>"
            return
        yield head
        under = list(self._records.records_under(name))
        own = (each for each in under if is_network(each) and each.owner is None)
        yield inner("networks", *(self._network(each) for each in own))
        for each in under:
            if isinstance(each, DeploymentRecord):
                yield self._deployment(each)
        yield "</tenant>"

    def _deployment(self, record: DeploymentRecord) -> str:
        owned = (self._records.record(key) for key, _ in record.owned)
        networks = (each for each in owned if each is not None and is_network(each))
        return opdata.deployment(record, (self._network(each) for each in networks))

    def _network(self, record: ResourceRecord[Network]) -> str:
        found = (self._records.record(key) for key, _ in _subnets(record))
        return opdata.network(record, (each for each in found if each and is_subnet(each)))


def _leftovers(record: Record) -> str:
    """What the VIM would not remove (ruling 8), though its tenant or deployment may be gone."""
    if isinstance(record, DeploymentRecord):
        return opdata.leftovers(record)
    return opdata.leftover_resource(record) if isinstance(record, ResourceRecord) else ""


def _subnets(record: ResourceRecord[Network]) -> Iterable[tuple[Key, RecordId]]:
    return subnets_of(record.key, record.id, record.made)


def is_tenant(record: Record) -> TypeGuard[ResourceRecord[Tenant]]:
    """Tell by its key, which is what decides the kind of its intent."""
    return record.key.kind is Kind.TENANT


def is_network(record: Record) -> TypeGuard[ResourceRecord[Network]]:
    """As `is_tenant`."""
    return record.key.kind is Kind.NETWORK


def is_subnet(record: Record) -> TypeGuard[ResourceRecord[Subnet]]:
    """As `is_tenant`."""
    return record.key.kind is Kind.SUBNET


def is_image(record: Record) -> TypeGuard[ResourceRecord[Image]]:
    """As `is_tenant`."""
    return record.key.kind is Kind.IMAGE


def is_flavor(record: Record) -> TypeGuard[ResourceRecord[Flavor]]:
    """As `is_tenant`."""
    return record.key.kind is Kind.FLAVOR


def is_connector(record: Record) -> TypeGuard[ConnectorRecord]:
    """As `is_tenant`."""
    return record.key.kind is Kind.VIM_CONNECTOR
