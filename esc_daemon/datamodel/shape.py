"""
Tables that turn an element into a frozen dataclass: which leaf fills which field.

An absent leaf leaves its field to the dataclass' default, which is the YANG's.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final, Generic, Protocol, TypeVar

from lxml import etree

from esc_daemon.datamodel.names import esc

T = TypeVar("T")


class _Absent:
    """The answer of a field that the element says nothing about."""


ABSENT: Final = _Absent()


class Field(Protocol):
    """How one field of a dataclass is filled."""

    def read(self, element: etree._Element) -> object:
        """Return the field's value, or `ABSENT`."""

    def leaves(self) -> Iterator[str]:
        """Yield the paths of the leaves that the field takes in, relative to the element."""


@dataclass(slots=True, frozen=True)
class Leaf:
    """One leaf, such as ``kpi_data/enabled``."""

    path: str
    convert: Callable[[str], object] = str
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

    def read(self, element: etree._Element) -> object:
        """Return the entries as a tuple."""
        return tuple(
            self.shape.read(entry) for path in self.paths for entry in element.findall(steps(path))
        )

    def leaves(self) -> Iterator[str]:
        """Yield the leaves of the lists."""
        for path in self.paths:
            for leaf in self.shape.leaves():
                yield f"{path}/{leaf}"


@dataclass(slots=True, frozen=True)
class Made:
    """A value that is made of several leaves, or of none below the element."""

    paths: tuple[str, ...]
    make: Callable[[etree._Element], object]

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
    _rest: tuple[tuple[str, Field], ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        own = {
            each.steps: (name, each.convert)
            for name, each in self.fields.items()
            if isinstance(each, Leaf) and "/" not in each.path
        }
        taken = {name for name, _ in own.values()}
        rest = tuple((name, each) for name, each in self.fields.items() if name not in taken)
        object.__setattr__(self, "_own", own)
        object.__setattr__(self, "_rest", rest)

    def read(self, element: etree._Element) -> T:
        """Return *element*, in which a leaf stands once, as the dataclass."""
        values: dict[str, object] = {}
        for child in element:
            if found := self._own.get(str(child.tag)):
                name, convert = found
                values[name] = convert(child.text or "")
        for name, each in self._rest:
            if (value := each.read(element)) is not ABSENT:
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
