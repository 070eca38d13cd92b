"""
The whole of ``esc_datamodel/opdata``, or the part that a filter may need, piece by piece.

Who holds the records is not known here: `Records` is what is asked of him.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, starmap
from typing import Final, Protocol, TypeGuard

from esc_daemon.datamodel import opdata
from esc_daemon.datamodel.entries import DATAMODEL
from esc_daemon.datamodel.markup import inner, leaf
from esc_daemon.datamodel.names import NAMESPACE
from esc_daemon.datamodel.selection import Step
from esc_daemon.domain.connectors import Connectors
from esc_daemon.domain.guard import Holds
from esc_daemon.domain.ids import DEFAULT_VIM, Key, Kind, RecordId, TenantName
from esc_daemon.domain.intent import Flavor, Image, Network, Subnet, Tenant, TenantVolume
from esc_daemon.domain.leftovers import LeftoverRef, leftovers_of
from esc_daemon.domain.placing import subnets_of
from esc_daemon.domain.record import ConnectorRecord, DeploymentRecord, Record, ResourceRecord
from esc_daemon.domain.states import ResourceState

_OPER_UP: Final = "OPER_UP"
_WAY: Final = (DATAMODEL, "opdata")

_Piece = str | Callable[[], str]
"""Text, or how it is made of records that were looked up and never change."""


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


class Reader(Protocol):
    """Who reads: what he may not see leaves no trace, not even an empty container."""

    def shows(self, tenant: str) -> bool:
        """Tell whether he may read the state of *tenant*."""
        ...

    def sees(self, left: LeftoverRef) -> bool:
        """Tell whether he may know of *left*."""
        ...


@dataclass(kw_only=True, slots=True, frozen=True)
class Part:
    """
    A part of opdata; None stands for any. A filter is still to be applied.

    *tenants* false: only what lies beside them. With *leftovers* every record is looked at.
    """

    tenants: bool = True
    tenant: str | None = None
    deployment: str | None = None
    leftovers: bool = False


EVERYTHING: Final = Part(leftovers=True)


def part_of(path: Sequence[Step]) -> Part | None:
    """Return what of opdata lies on *path* (`netconf.hints`); None is nothing at all."""
    if any(step.namespace not in {None, NAMESPACE} for step in path):
        return None
    names = [step.name for step in path]
    if any(name != known for name, known in zip(names, _WAY, strict=False)):
        return None
    if len(names) < 3 or _compares_more_than_status(path[1]):
        return EVERYTHING
    if names[2] != "tenants":
        return Part(tenants=False, leftovers=names[2] == "leftovers")
    if len(names) > 3 and names[3] != "tenant":
        return None
    tenant = dict(path[3].keys).get("name") if len(names) > 3 else None
    if len(names) > 4 and names[4] == "deployments":
        return Part(tenant=tenant, deployment=dict(path[4].keys).get("deployment_name"))
    return Part(tenant=tenant)


def _compares_more_than_status(step: Step) -> bool:
    """Tell whether a container is compared as if it were a leaf: it is to be whole then."""
    return any(name != "status" for name, _ in step.keys)


class Operational:
    """Renders opdata from the records."""

    def __init__(
        self,
        records: Records,
        stats: Callable[[], opdata.Stats],
        holds: Callable[[], Holds] = dict,
        uploads: Callable[[], Mapping[Key, opdata.Upload]] = dict,
    ) -> None:
        self._records = records
        self._stats = stats
        self._holds = holds
        self._uploads = uploads

    def pieces(
        self, part: Part | None = EVERYTHING, reader: Reader | None = None
    ) -> Iterator[bytes]:
        """
        Return the element ``opdata``, a piece about as long as one deployment.

        Without the tenants that *reader*, None: who sees all, may not see, and what they left.

        The records are looked up now, all at one moment. They are rendered as the pieces are
        taken, which may be later and in another thread.
        """
        found = [] if part is None else list(self._found(part, reader))
        return (_rendered(piece).encode() for piece in found)

    def _found(self, part: Part, reader: Reader | None) -> Iterator[_Piece]:
        yield "<opdata>"
        yield leaf("status", _OPER_UP)
        if part.tenant is None:
            yield from self._beside_tenants()
        names = (each for each in self._named(part) if reader is None or reader.shows(each))
        tenants = (self._tenant(TenantName(name), part.deployment) for name in names)
        yield from _contained("tenants", chain.from_iterable(tenants))
        if part.leftovers:
            left: Iterable[Record] = filter(_holds_leftovers, self._records.records())
            if reader is not None:
                sees = reader.sees
                left = (each for each in left if any(map(sees, leftovers_of(each))))
            yield from _contained("leftovers", (partial(_leftovers, each) for each in left))
        yield "</opdata>"

    def _named(self, part: Part) -> Iterable[str]:
        if not part.tenants:
            return ()
        return tuple(self._tenants()) if part.tenant is None else (part.tenant,)

    def _beside_tenants(self) -> Iterator[_Piece]:
        yield opdata.stats(self._stats())
        root = list(self._records.records_under(None))
        yield from self._vims([each for each in root if is_connector(each)])
        yield from _contained("recovery_guard", starmap(opdata.hold, self._holds().items()))
        yield from _contained("networks", map(self._network, filter(is_network, root)))
        uploads = self._uploads()
        images = (
            partial(opdata.image, each, uploads.get(each.key)) for each in root if is_image(each)
        )
        yield from _contained("images", images)
        flavors = (partial(opdata.flavor, each) for each in root if is_flavor(each))
        yield from _contained("flavors", flavors)

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

    def _tenant(self, name: TenantName, deployment: str | None) -> Iterator[_Piece]:
        record = self._records.record(Key(Kind.TENANT, None, name))
        if record is None or not is_tenant(record):
            return
        yield opdata.tenant(record, name).removesuffix("</tenant>")
        if deployment is not None:
            found = self._records.record(Key(Kind.DEPLOYMENT, name, deployment))
            under = [] if found is None else [found]
        else:
            under = list(self._records.records_under(name))
        own = (each for each in under if is_network(each) and each.owner is None)
        stored = (partial(opdata.volume, each) for each in under if is_volume(each))
        yield from _contained("volumes", stored)
        yield from _contained("networks", map(self._network, own))
        for each in under:
            if isinstance(each, DeploymentRecord):
                yield self._deployment(each)
        yield "</tenant>"

    def _deployment(self, record: DeploymentRecord) -> _Piece:
        owned = (self._records.record(key) for key, _ in record.owned)
        networks = [self._network(each) for each in owned if each is not None and is_network(each)]
        return lambda: opdata.deployment(record, map(_rendered, networks))

    def _network(self, record: ResourceRecord[Network]) -> _Piece:
        found = (self._records.record(key) for key, _ in _subnets(record))
        return partial(opdata.network, record, [each for each in found if each and is_subnet(each)])


def _rendered(piece: _Piece) -> str:
    return piece if isinstance(piece, str) else piece()


def _contained(name: str, pieces: Iterable[_Piece]) -> Iterator[_Piece]:
    """Yield *pieces* inside a container, which is not there without any."""
    opened = False
    for piece in pieces:
        if not opened:
            opened = True
            yield f"<{name}>"
        yield piece
    if opened:
        yield f"</{name}>"


def _holds_leftovers(record: Record) -> bool:
    if isinstance(record, DeploymentRecord):
        return bool(record.leftovers)
    return isinstance(record, ResourceRecord) and record.state is ResourceState.LEFTOVER


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


def is_volume(record: Record) -> TypeGuard[ResourceRecord[TenantVolume]]:
    """As `is_tenant`."""
    return record.key.kind is Kind.VOLUME


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
