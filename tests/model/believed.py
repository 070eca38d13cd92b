"""What the configuration is to be, by what was acknowledged: an edit once more, on plain values."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from lxml import etree

from esc_daemon.datamodel.names import NAMESPACE
from esc_daemon.netconf.xml import BASE_NS
from tests.generation.naive_edit import (
    INNER,
    Change,
    Data,
    NaiveEdit,
    as_data,
    compared,
    values_of,
)
from tests.simulation.papers import schema

ROOT: Final = "esc_datamodel"
_OPERATION: Final = f"{{{BASE_NS}}}operation"
_ALONE: Final = ("tenants", "networks", "deployments")
"""Containers whose entries are edited, committed and refused each by itself."""
Path = tuple[tuple[str, tuple[str, ...]], ...]


def top() -> Any:
    return schema().data_root(NAMESPACE, ROOT)


def change_of(node: Any, element: etree._Element) -> Change:
    """Return an edit as the naive editor takes it."""
    operation = element.get(_OPERATION)
    if node.kind not in INNER:
        return Change(node, operation, (element.text or "",))
    children = []
    for child in element:
        name = etree.QName(child).localname
        if name not in node.keys:
            children.append(change_of(node.child(NAMESPACE, name), child))
    return Change(node, operation, values_of(node, element), tuple(children))


@dataclass
class Outcome:
    """What an edit makes of a configuration, or all that it may be refused for."""

    data: Data
    refusals: list[tuple[str, str]] = field(default_factory=list)


def edited(data: Data, model: str, default: str = "merge") -> Outcome:
    """Return what *model*, an element esc_datamodel, makes of *data*."""
    naive = NaiveEdit()
    after = naive.apply(data, change_of(top(), etree.fromstring(model)), default)
    return Outcome(after or {}, naive.refusals)


def in_reply(reply: etree._Element) -> Data:
    """Return the data model in the answer of a get-config."""
    for root in reply[0]:
        if root.tag == f"{{{NAMESPACE}}}{ROOT}":
            return as_data(top(), root)
    return {}


def same(one: Data, other: Data) -> bool:
    """Tell whether both say the same; order counts where the user makes it."""
    return compared(top(), one) == compared(top(), other)


def entries(data: Data, at: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Yield what is committed by itself: a tenant without what stands in it, a deployment, ..."""
    for identity, below in data.items():
        if identity[0] not in _ALONE:
            continue
        for entry, inside in below.items():
            path = (*at, entry)
            yield path, _own(inside) if entry[0] == "tenant" else inside
            if entry[0] == "tenant":
                yield from entries(inside, path)


def _own(inside: Data) -> Data:
    return {identity: below for identity, below in inside.items() if identity[0] not in _ALONE}


def joined(found: dict[Path, Any]) -> Data:
    """Return the data whose `entries` are *found*."""
    data: Data = {}
    for path in sorted(found, key=len):
        at = data
        for identity in path[:-1]:
            at = at.setdefault(_container(identity), {}).setdefault(identity, {})
        at.setdefault(_container(path[-1]), {})[path[-1]] = dict(found[path])
    return data


def _container(identity: tuple[str, tuple[str, ...]]) -> tuple[str, tuple[str, ...]]:
    return f"{identity[0]}s", ()


def ordered(data: Any) -> Any:
    """Return *data* as a value in which the order of entries of one name counts."""
    if not isinstance(data, dict):
        return data
    groups: dict[str, list[Any]] = {}
    for (name, values), below in data.items():
        groups.setdefault(name, []).append((values, ordered(below)))
    return sorted(groups.items())


class Configuration:
    """Running and the candidate, as they are to be."""

    def __init__(self) -> None:
        self.running: Data = {}
        self.candidate: Data = {}
        self._moves: dict[Path, int] = {}
        """How often each entry of running has changed."""
        self._touched: dict[Path, int | None] = {}
        """The candidate's own entries, and the count when they were touched; None: of nothing."""
        self._orphaned = False
        """The tenant went in running in which the candidate makes something."""

    @property
    def dirty(self) -> bool:
        return bool(self._touched)

    @property
    def conflict(self) -> bool:
        """Tell whether running has moved under something that the candidate changes."""
        there = dict(entries(self.running))
        return self._orphaned or any(
            path in there if since is None else self._moves.get(path, 0) != since
            for path, since in self._touched.items()
        )

    def take(self, after: Data) -> None:
        """Running became *after*; what the candidate does not change follows."""
        before, now = dict(entries(self.running)), dict(entries(after))
        draft = dict(entries(self.candidate))
        self.running = after
        for path in _moved(before, now):
            self._moves[path] = self._moves.get(path, 0) + 1
            if path in self._touched:
                continue
            if path in now:
                draft[path] = now[path]
            else:
                draft.pop(path, None)
        self._orphaned = any(path[:-1] and path[:-1] not in draft for path in draft)
        self.candidate = joined(draft)
        self._settle()

    def touch(self, after: Data) -> None:
        """The candidate became *after*."""
        before, now = dict(entries(self.candidate)), dict(entries(after))
        there = dict(entries(self.running))
        self.candidate = after
        for path in _moved(before, now):
            self._touched.setdefault(path, self._moves.get(path, 0) if path in there else None)
        self._settle()

    def discard(self) -> None:
        self.candidate, self._touched, self._orphaned = self.running, {}, False

    def committed(self) -> None:
        """The candidate became running."""
        after, self._touched = self.candidate, {}
        self.take(after)
        self.discard()

    def _settle(self) -> None:
        """What has become what running has is not touched any more."""
        there, draft = dict(entries(self.running)), dict(entries(self.candidate))
        for path in list(self._touched):
            if ordered(there.get(path)) == ordered(draft.get(path)):
                del self._touched[path]


def _moved(before: dict[Path, Any], after: dict[Path, Any]) -> list[Path]:
    paths = dict.fromkeys((*before, *after))
    return [path for path in paths if ordered(before.get(path)) != ordered(after.get(path))]
