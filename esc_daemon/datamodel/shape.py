"""
Tables that turn an element into a frozen dataclass: which leaf fills which field.

An absent leaf leaves its field to the dataclass' default, which is the YANG's.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final, Generic, Protocol, TypeVar

from lxml import etree

from esc_daemon.datamodel.names import esc
from esc_daemon.netconf.xml import serialise

T = TypeVar("T")


class _Absent:
    """The answer of a field that the element says nothing about."""


ABSENT: Final = _Absent()
UNTOLD: Final = object()
"""Stands for the value of a field that may come from elsewhere than from below the element."""


_ALIKE: Final = 256
"""Texts whose values are remembered; of more, the longest unused is read anew."""


class Field(Protocol):
    """How one field of a dataclass is filled."""

    def read(self, element: etree._Element) -> object:
        """Return the field's value, or `ABSENT`."""

    def leaves(self) -> Iterator[str]:
        """Yield the paths of the leaves that the field takes in, relative to the element."""

    @property
    def absent(self) -> object:
        """What `read` returns where none of these leaves is there; `UNTOLD`: it has to look."""


@dataclass(slots=True, frozen=True)
class Leaf:
    """One leaf, such as ``kpi_data/enabled``."""

    path: str
    convert: Callable[[str], object] = str
    absent: object = ABSENT
    steps: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", steps(self.path))

    def read(self, element: etree._Element) -> object:
        """Return the leaf's value, converted."""
        found = element.find(self.steps)
        return ABSENT if found is None else self.convert(found.text or "")

    def leaves(self) -> Iterator[str]:
        """Yield the one path."""
        yield self.path


@dataclass(slots=True, frozen=True)
class One:
    """A container."""

    path: str
    shape: "Shape[Any]"
    absent: object = ABSENT

    def read(self, element: etree._Element) -> object:
        """Return the container as a dataclass."""
        found = element.find(steps(self.path))
        return ABSENT if found is None else self.shape.read(found)

    def leaves(self) -> Iterator[str]:
        """Yield the leaves of the container."""
        for leaf in self.shape.leaves():
            yield f"{self.path}/{leaf}"


@dataclass(slots=True, frozen=True)
class Many:
    """Lists; several paths are put one behind the other."""

    paths: tuple[str, ...]
    shape: "Shape[Any]"
    absent: object = ()

    def read(self, element: etree._Element) -> object:
        """Return the entries as a tuple."""
        read = self.shape.read
        return tuple([read(entry) for path in self.paths for entry in element.findall(steps(path))])

    def leaves(self) -> Iterator[str]:
        """Yield the leaves of the lists."""
        for path in self.paths:
            for leaf in self.shape.leaves():
                yield f"{path}/{leaf}"


@dataclass(slots=True, frozen=True)
class Alike:
    """
    What many entries say in the same words below *container*, such as the KPIs of one template.

    It is read once for each text of that container, and the values, which are frozen, are shared:
    10,000 deployments of one template hold its KPIs once. *many* must read nothing else.
    """

    container: str
    many: Many
    absent: object = ()
    _read: "OrderedDict[bytes, object]" = field(
        default_factory=OrderedDict, init=False, repr=False, compare=False
    )

    def read(self, element: etree._Element) -> object:
        """Return what the lists read."""
        found = element.find(steps(self.container))
        if found is None:
            return self.absent
        text = serialise(found)
        if text in self._read:
            self._read.move_to_end(text)
            return self._read[text]
        value = self._read[text] = self.many.read(element)
        if len(self._read) > _ALIKE:
            self._read.popitem(last=False)
        return value

    def leaves(self) -> Iterator[str]:
        """Yield the leaves of the lists."""
        yield from self.many.leaves()


@dataclass(slots=True, frozen=True)
class Made:
    """
    A value that is made of several leaves, or of none below the element.

    *absent* is what *make* makes of nothing, where that is no matter of what stands elsewhere.
    """

    paths: tuple[str, ...]
    make: Callable[[etree._Element], object]
    absent: object = UNTOLD

    def read(self, element: etree._Element) -> object:
        """Return what *make* makes of the element."""
        return self.make(element)

    def leaves(self) -> Iterator[str]:
        """Yield the paths."""
        yield from self.paths


@dataclass(slots=True, frozen=True)
class Shape(Generic[T]):
    """A dataclass and the fields that fill it."""

    make: Callable[..., T]
    fields: Mapping[str, Field]
    _own: Mapping[str, tuple[str, Callable[[str], object]]] = field(init=False, repr=False)
    """The leaves right below, by tag: found in one go, not looked for one by one."""
    _rest: tuple[tuple[str, Field, frozenset[str]], ...] = field(init=False, repr=False)
    """The other fields, each with the tags below which its leaves stand."""

    def __post_init__(self) -> None:
        own = {
            each.steps: (name, each.convert)
            for name, each in self.fields.items()
            if isinstance(each, Leaf) and "/" not in each.path
        }
        taken = {name for name, _ in own.values()}
        rest = tuple(
            (name, each, frozenset(esc(path.partition("/")[0]) for path in each.leaves()))
            for name, each in self.fields.items()
            if name not in taken
        )
        object.__setattr__(self, "_own", own)
        object.__setattr__(self, "_rest", rest)

    def read(self, element: etree._Element) -> T:
        """Return *element*, in which a leaf stands once, as the dataclass."""
        values: dict[str, object] = {}
        own, others = self._own, set[str]()
        for child in element:
            tag = str(child.tag)
            if found := own.get(tag):
                name, convert = found
                values[name] = convert(child.text or "")
            else:
                others.add(tag)
        for name, each, below in self._rest:
            value = each.absent
            if value is UNTOLD or not below.isdisjoint(others):
                value = each.read(element)
            if value is not ABSENT:
                values[name] = value
        return self.make(**values)

    def leaves(self) -> Iterator[str]:
        """Yield the paths of all leaves that the fields take in."""
        for each in self.fields.values():
            yield from each.leaves()


@cache
def steps(path: str) -> str:
    """Return *path* with our namespace on each step."""
    return "/".join(esc(step) for step in path.split("/"))


def text_at(element: etree._Element, path: str) -> str | None:
    """Return the text of the leaf at *path*."""
    found = element.find(steps(path))
    return None if found is None else found.text or ""


def boolean(text: str) -> bool:
    """Return the value of a YANG boolean (RFC 7950 section 9.5)."""
    return text == "true"
