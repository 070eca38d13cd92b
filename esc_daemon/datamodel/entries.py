"""
The entries of the configuration: the list entries that have an activation of their own.

A stored entry is its XML without the declaration of our namespace: it is sent inside parents that
declare it. `wrapped` puts it there.
"""

from dataclasses import dataclass, field
from typing import Final, NamedTuple

from lxml import etree

from esc_daemon.datamodel.markup import escaped
from esc_daemon.datamodel.names import NAMESPACE, PREFIX
from esc_daemon.domain.ids import Key, Kind, TenantName, joined
from esc_daemon.netconf.xml import serialise

ROOT: Final = "esc_datamodel"
_DECLARATION: Final = f' xmlns="{NAMESPACE}"'.encode()
OPEN_ROOT: Final = f'<{ROOT} xmlns="{NAMESPACE}">'.encode()
CLOSE_ROOT: Final = f"</{ROOT}>".encode()
LISTS: Final = {
    Kind.NETWORK: ("networks", "network"),
    Kind.IMAGE: ("images", "image"),
    Kind.FLAVOR: ("flavors", "flavor"),
    Kind.TENANT: ("tenants", "tenant"),
    Kind.DEPLOYMENT: ("deployments", "deployment"),
}
"""The container and the list of each kind, in the order of the schema."""
TOP: Final = (Kind.NETWORK, Kind.IMAGE, Kind.FLAVOR, Kind.TENANT)
"""What stands at the root."""
INSIDE_TENANT: Final = (Kind.NETWORK, Kind.DEPLOYMENT)
"""What stands inside a tenant and is an entry of its own."""


class EntryPath(NamedTuple):
    """Where an entry stands; *tenant* is None at the root (a tenant itself stands there)."""

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
        container, name = LISTS[self.kind]
        owner = ""
        if self.tenant is not None:
            owner = f"/{PREFIX}:tenants/{PREFIX}:tenant{_predicate(self.tenant)}"
        step = f"/{PREFIX}:{container}/{PREFIX}:{name}{_predicate(self.name)}"
        return f"/{PREFIX}:{ROOT}{owner}{step}"


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


def _predicate(name: str) -> str:
    if "'" not in name:
        return f"[{PREFIX}:name='{name}']"
    if '"' not in name:
        return f'[{PREFIX}:name="{name}"]'
    # XPath 1.0 literals have no escapes
    parts = name.replace("'", "',\"'\",'")
    return f"[{PREFIX}:name=concat('{parts}')]"


def to_xml(element: etree._Element) -> bytes:
    """Return *element* of our namespace in the form that entries are kept in."""
    text = serialise(element)
    head, _, rest = text.partition(b">")
    return head.replace(_DECLARATION, b"", 1) + b">" + rest


def to_element(xml: bytes) -> etree._Element:
    """Return the tree of an entry that we stored ourselves."""
    return etree.fromstring(OPEN_ROOT + xml + CLOSE_ROOT)[0]


def wrapped(path: EntryPath, xml: bytes) -> bytes:
    """Return the entry *xml* as a document: inside its parents with their keys."""
    container = LISTS[path.kind][0].encode()
    body = b"<%b>%b</%b>" % (container, xml, container)
    if path.tenant is not None:
        tenant = f"<tenant><name>{escaped(path.tenant)}</name>".encode()
        body = b"<tenants>%b%b</tenant></tenants>" % (tenant, body)
    return OPEN_ROOT + body + CLOSE_ROOT
