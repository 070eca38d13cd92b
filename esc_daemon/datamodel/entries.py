"""
The entries of the configuration: what has an activation of its own.

Most are entries of a list; one is a leaf, the choice of the default VIM connector, and one is a
root of its own, the access rules. A stored entry is its XML without the declaration of our
namespace: it is sent inside parents that declare it. `wrapped` puts it there.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from lxml import etree

from esc_daemon.datamodel.markup import escaped
from esc_daemon.datamodel.names import NACM_PREFIX, NAMESPACE, PREFIX
from esc_daemon.domain.ids import Key, Kind, TenantName, joined
from esc_daemon.netconf.xml import NACM_NS, serialise

DATAMODEL: Final = "esc_datamodel"
SYSTEM_CONFIG: Final = "esc_system_config"
ROOTS: Final = (DATAMODEL, SYSTEM_CONFIG)
_DECLARATION: Final = f' xmlns="{NAMESPACE}"'.encode()


class Place(NamedTuple):
    """Where the entries of a kind stand; *key* None: they are one leaf, which is there or not."""

    root: str
    container: str
    name: str
    key: str | None = "name"


PLACES: Final[Mapping[Kind, Place]] = {
    Kind.VOLUME: Place(DATAMODEL, "volumes", "volume"),
    Kind.NETWORK: Place(DATAMODEL, "networks", "network"),
    Kind.IMAGE: Place(DATAMODEL, "images", "image"),
    Kind.FLAVOR: Place(DATAMODEL, "flavors", "flavor"),
    Kind.FILE_SERVER: Place(DATAMODEL, "file_servers", "file_server", "id"),
    Kind.TENANT: Place(DATAMODEL, "tenants", "tenant"),
    Kind.DEPLOYMENT: Place(DATAMODEL, "deployments", "deployment"),
    Kind.DEFAULT_VIM_CONNECTOR: Place(
        SYSTEM_CONFIG, "vim_connectors", "default_vim_connector", None
    ),
    Kind.VIM_CONNECTOR: Place(SYSTEM_CONFIG, "vim_connectors", "vim_connector", "id"),
}
"""In the order of the schema."""
INSIDE_TENANT: Final = (Kind.VOLUME, Kind.NETWORK, Kind.DEPLOYMENT)
"""What stands inside a tenant and is an entry of its own."""
ONLY_INSIDE_TENANT: Final = frozenset({Kind.VOLUME, Kind.DEPLOYMENT})
"""Of these, what stands nowhere else."""
TOP: Final[Mapping[str, tuple[Kind, ...]]] = {
    root: tuple(
        kind
        for kind, place in PLACES.items()
        if place.root == root and kind not in ONLY_INSIDE_TENANT
    )
    for root in ROOTS
}
"""What stands at the top of each root."""


WHOLE: Final = (NACM_NS, "nacm")
"""The root that is one entry (RFC 8341); it is never gone, but may be empty."""
EMPTY: Final = f'<nacm xmlns="{NACM_NS}"/>'.encode()
"""What is left of that root when somebody deletes it: so nobody makes it anew at the next start."""


def by_container(kinds: Iterable[Kind]) -> dict[str, list[Kind]]:
    """Return *kinds* by the container that they stand in, in the order of the schema."""
    found: dict[str, list[Kind]] = {}
    for kind in kinds:
        found.setdefault(PLACES[kind].container, []).append(kind)
    return found


class EntryPath(NamedTuple):
    """
    Where an entry stands; *tenant* is None at the root (a tenant itself stands there).

    *name* is the value of the entry's key; an entry that is a leaf has the name of its record.
    """

    kind: Kind
    tenant: str | None
    name: str

    def key(self) -> Key:
        """Return the address of the record that the entry activates."""
        tenant = None if self.tenant is None else TenantName(self.tenant)
        name = joined(self.name) if self.kind is Kind.NETWORK else self.name
        return Key(self.kind, tenant, name)

    def instance_path(self) -> str:
        """Return the instance path, with a prefix on each step."""
        if self.kind is Kind.NACM:
            return f"/{NACM_PREFIX}:{WHOLE[1]}"
        place = PLACES[self.kind]
        owner = ""
        if self.tenant is not None:
            owner = f"/{PREFIX}:tenants/{PREFIX}:tenant{_predicate('name', self.tenant)}"
        keys = "" if place.key is None else _predicate(place.key, self.name)
        step = f"/{PREFIX}:{place.container}/{PREFIX}:{place.name}{keys}"
        return f"/{PREFIX}:{place.root}{owner}{step}"


RULES: Final = EntryPath(Kind.NACM, None, WHOLE[1])
"""Where the access rules stand."""


@dataclass(kw_only=True, slots=True, frozen=True)
class Entry:
    """
    One entry as running has it.

    *xml* is ready to be sent inside its parents; *revision* is 1 when it is created and one more
    with each write, as the store counts it.
    """

    path: EntryPath
    xml: bytes = field(repr=False)
    revision: int


@dataclass(kw_only=True, slots=True, frozen=True)
class EntryChange:
    """What a commit does to one entry: *old* None creates it, *new* None removes it."""

    path: EntryPath
    old: Entry | None
    new: bytes | None = field(repr=False)


def _predicate(key: str, name: str) -> str:
    if "'" not in name:
        return f"[{PREFIX}:{key}='{name}']"
    if '"' not in name:
        return f'[{PREFIX}:{key}="{name}"]'
    # XPath 1.0 literals have no escapes
    parts = name.replace("'", "',\"'\",'")
    return f"[{PREFIX}:{key}=concat('{parts}')]"


def to_xml(element: etree._Element) -> bytes:
    """Return *element* of our namespace in the form that entries are kept in."""
    text = serialise(element)
    head, _, rest = text.partition(b">")
    return head.replace(_DECLARATION, b"", 1) + b">" + rest


def to_element(xml: bytes) -> etree._Element:
    """Return the tree of an entry that we stored ourselves."""
    return etree.fromstring(b"".join(in_root(DATAMODEL, [xml])))[0]


def in_root(root: str, inside: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the pieces *inside*, as they come, between the tags of *root*; nothing around none."""
    return _around(f'<{root} xmlns="{NAMESPACE}">', inside, f"</{root}>")


def in_container(name: str, inside: Iterable[bytes]) -> Iterator[bytes]:
    """As `in_root`, for a container below a root."""
    return _around(f"<{name}>", inside, f"</{name}>")


def _around(start: str, inside: Iterable[bytes], end: str) -> Iterator[bytes]:
    opened = False
    for piece in inside:
        if not opened:
            opened = True
            yield start.encode()
        yield piece
    if opened:
        yield end.encode()


def wrapped(path: EntryPath, xml: bytes) -> bytes:
    """Return the entry *xml* as a document: inside its parents with their keys."""
    if path.kind is Kind.NACM:
        return xml
    place = PLACES[path.kind]
    body = in_container(place.container, [xml])
    if path.tenant is not None:
        tenant = f"<tenant><name>{escaped(path.tenant)}</name>".encode()
        body = in_container("tenants", [tenant, *body, b"</tenant>"])
    return b"".join(in_root(place.root, body))
