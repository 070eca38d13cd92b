"""Derive from a configuration the edit that takes its entries away; pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from lxml import etree

from esc_nc_cli.payload import Payload, PayloadRefused, as_edit_config, read_edit
from esc_nc_cli.xmltree import BASE, ESC, child, leaf, local_name, qname


class RemovalOperation(StrEnum):
    """RFC 6241 section 7.2: delete is refused where there is nothing, remove is not."""

    DELETE = "delete"
    REMOVE = "remove"


@dataclass(kw_only=True, slots=True, frozen=True)
class Removal:
    """The edit that removes what a file configures; *going* and *staying* name entries."""

    payload: Payload
    going: tuple[str, ...]
    staying: tuple[str, ...]


@dataclass(kw_only=True, slots=True, frozen=True)
class _List:
    """A list of the data model whose entries are made and removed one by one."""

    entry: str
    container: str | None = None
    key: str = "name"
    inside: tuple["_List", ...] = ()
    """Lists in its entries: an entry that holds such entries is the way to them, and stays."""
    own: frozenset[str] = frozenset()
    """Containers of an entry with lists inside that are its own configuration."""
    goes_when_configured: bool = False
    """An entry goes nevertheless when more is said of it than its key."""
    choice: str | None = None
    """A leaf beside the entries that names one of them, and without which that one may go."""

    @property
    def holder(self) -> str:
        return self.container or self.entry


_NETWORKS = _List(
    entry="network",
    container="networks",
    inside=(_List(entry="subnet"),),
    goes_when_configured=True,
)
_ROOTS: Mapping[str, tuple[_List, ...]] = {
    "esc_datamodel": (
        _List(
            entry="tenant",
            container="tenants",
            inside=(
                _List(entry="volume", container="volumes"),
                _NETWORKS,
                _List(entry="deployment", container="deployments"),
            ),
            own=frozenset({"extensions"}),
        ),
        _NETWORKS,
        _List(entry="image", container="images"),
        _List(entry="flavor", container="flavors"),
        _List(entry="file_server", container="file_servers", key="id"),
    ),
    "esc_system_config": (
        _List(
            entry="vim_connector",
            container="vim_connectors",
            key="id",
            choice="default_vim_connector",
        ),
    ),
}


def removal_of(document: bytes, operation: RemovalOperation = RemovalOperation.DELETE) -> Removal:
    """
    Return the edit that takes away what *document* configures; it may be all that read_edit takes.

    Every entry goes, but one that only is the way to others: a tenant to what is inside it, a
    network of which nothing but its name is said to its subnets. Operations in *document* itself
    do not count.

    Raises:
        PayloadRefused: As read_edit; or it names nothing, or what cannot be removed this way.
    """
    payload = read_edit(document)
    walk = _Walk(operation)
    roots = [
        walk.root(root)
        for config in payload.operation.iterfind(qname(BASE, "config"))
        for root in config
    ]
    if not walk.going:
        raise PayloadRefused("it names nothing that could be deleted")
    edit = as_edit_config(*roots)
    # Nothing is made on the way: a tenant that is not there is an error and no new tenant.
    default = etree.Element(qname(BASE, "default-operation"))
    default.text = "none"
    edit.insert(1, default)
    return Removal(
        payload=Payload(operation=edit, warnings=payload.warnings),
        going=tuple(walk.going),
        staying=tuple(walk.staying),
    )


@dataclass(slots=True)
class _Walk:
    operation: RemovalOperation
    going: list[str] = field(default_factory=list)
    staying: list[str] = field(default_factory=list)

    def root(self, source: etree._Element) -> etree._Element:
        name = local_name(source)
        lists = _ROOTS.get(name)
        if lists is None:
            raise _cannot(source, "it is no configuration of ESC")
        _refuse_strangers(source, {a_list.holder for a_list in lists})
        target = etree.Element(qname(ESC, name), nsmap={None: ESC, "nc": BASE})
        for a_list in lists:
            self._entries(source, a_list, target, ())
        return target

    def _entries(
        self, source: etree._Element, of: _List, target: etree._Element, path: tuple[str, ...]
    ) -> None:
        if of.container is None:
            for entry in source.iterfind(qname(ESC, of.entry)):
                self._entry(entry, of, target, path)
            return
        for container in source.iterfind(qname(ESC, of.container)):
            holder = child(target, of.container)
            self._choice(container, of, holder)
            for entry in container.iterfind(qname(ESC, of.entry)):
                self._entry(entry, of, holder, path)
            if not len(holder):
                target.remove(holder)

    def _choice(self, container: etree._Element, of: _List, holder: etree._Element) -> None:
        if of.choice is None:
            return
        for source in container.iterfind(qname(ESC, of.choice)):
            value = (source.text or "").strip()
            self._goes(child(holder, of.choice, value), f"{of.choice} {value}")

    def _entry(
        self, source: etree._Element, of: _List, holder: etree._Element, path: tuple[str, ...]
    ) -> None:
        name = leaf(source, of.key)
        if name is None:
            raise _cannot(source, f"it has no {of.key}")
        here = (*path, name)
        target = child(holder, of.entry)
        child(target, of.key, name)
        said = {local_name(below) for below in source} - {of.key}
        ways = {a_list.holder for a_list in of.inside}
        if ways:
            _refuse_strangers(source, ways | of.own)
        if not said & ways or (of.goes_when_configured and said - ways):
            self._goes(target, f"{of.entry} {'/'.join(here)}")
            return
        known = len(self.going)
        for a_list in of.inside:
            self._entries(source, a_list, target, here)
        if len(self.going) == known:
            holder.remove(target)
        else:
            self.staying.append(f"{of.entry} {'/'.join(here)}")

    def _goes(self, target: etree._Element, name: str) -> None:
        target.set(qname(BASE, "operation"), self.operation.value)
        self.going.append(name)


def _refuse_strangers(source: etree._Element, known: set[str]) -> None:
    """Refuse what holds more than a value and is not *known*: it might be what is meant to go."""
    for below in source:
        if len(below) and local_name(below) not in known:
            raise _cannot(below, f"known here: {', '.join(sorted(known))}")


def _cannot(element: etree._Element, why: str) -> PayloadRefused:
    name = local_name(element)
    return PayloadRefused(f"line {element.sourceline}: <{name}> cannot be deleted: {why}")
