"""Which entries a get may need: from the steps that a filter must pass to a part of the index."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from esc_daemon.datamodel.entries import INSIDE_TENANT, LISTS, ROOT, TOP
from esc_daemon.datamodel.names import NAMESPACE
from esc_daemon.domain.ids import Kind


class Step(Protocol):
    """A step down from the root that every result of a filter passes; see `netconf.hints`."""

    @property
    def namespace(self) -> str | None: ...
    @property
    def name(self) -> str: ...
    @property
    def keys(self) -> tuple[tuple[str, str], ...]: ...


@dataclass(kw_only=True, slots=True, frozen=True)
class Selection:
    """
    A part of the configuration; None stands for any.

    *top* and *name* are of what stands at the root, *inside* and *inside_name* of what stands in
    a tenant. An entry is returned whole and with its parents: a filter is still to be applied.
    """

    top: Kind | None = None
    name: str | None = None
    inside: Kind | None = None
    inside_name: str | None = None


EVERYTHING = Selection()


def selection_of(path: Sequence[Step]) -> Selection | None:
    """Return what of the configuration lies on *path*; None is nothing at all."""
    if not path:
        return EVERYTHING
    if not _is(path[0], ROOT):
        return None
    if len(path) == 1:
        return EVERYTHING
    top = _kind(path[1], TOP)
    if top is None:
        return None
    if not _goes_on(path, 2, top):
        return None
    name = _name(path, 2)
    if top is not Kind.TENANT or len(path) <= 3:
        return Selection(top=top, name=name)
    inside = _kind(path[3], INSIDE_TENANT)
    if inside is None:  # one of the tenant's own leaves
        return Selection(top=top, name=name)
    if not _goes_on(path, 4, inside):
        return None
    return Selection(top=top, name=name, inside=inside, inside_name=_name(path, 4))


def _is(step: Step, name: str) -> bool:
    return step.name == name and step.namespace in {None, NAMESPACE}


def _kind(step: Step, kinds: Sequence[Kind]) -> Kind | None:
    return next((kind for kind in kinds if _is(step, LISTS[kind][0])), None)


def _goes_on(path: Sequence[Step], at: int, kind: Kind) -> bool:
    return len(path) <= at or _is(path[at], LISTS[kind][1])


def _name(path: Sequence[Step], at: int) -> str | None:
    return dict(path[at].keys).get("name") if len(path) > at else None
