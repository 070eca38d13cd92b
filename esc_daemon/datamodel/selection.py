"""Which entries a get may need: from the steps that a filter must pass to a part of the index."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from esc_daemon.datamodel.entries import INSIDE_TENANT, PLACES, ROOTS, TOP, WHOLE
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

    *top* and *name* are of what stands at the top of a root, *inside* and *inside_name* of what
    stands in a tenant; *root* is told where *top* is not. An entry is returned whole and with its
    parents, and a tenant also with nothing inside: a filter, which may match the leaves of all
    these, is still to be applied.
    """

    root: str | None = None
    top: Kind | None = None
    name: str | None = None
    inside: Kind | None = None
    inside_name: str | None = None

    def holds(self, root: str) -> bool:
        """Tell whether anything inside *root* is part of it."""
        if self.top is not None:
            return PLACES[self.top].root == root
        return self.root in {None, root}


EVERYTHING = Selection()


def selection_of(path: Sequence[Step]) -> Selection | None:
    """Return what of the configuration lies on *path*; None is nothing at all."""
    if not path:
        return EVERYTHING
    root = next((root for root in ROOTS if _is(path[0], root)), None)
    if root is None:
        # a name without a prefix may mean it: none of ours is called so
        meant = path[0].name == WHOLE[1] and path[0].namespace in {None, *WHOLE, NAMESPACE}
        return Selection(root=WHOLE[1]) if meant else None
    if len(path) == 1:
        return Selection(root=root)
    kinds = _kinds(path[1], TOP[root])
    if len(path) == 2 and len(kinds) > 1:
        return Selection(root=root)
    top = _kind(path, 2, kinds)
    if top is None:
        # Nothing of ours; but a leaf beside it that is an entry may be matched by the filter.
        leaf = next((kind for kind in kinds if PLACES[kind].key is None), None)
        return None if leaf is None else Selection(top=leaf)
    name = _name(path, 2, top)
    if top is not Kind.TENANT or len(path) <= 3:
        return Selection(top=top, name=name)
    kinds = _kinds(path[3], INSIDE_TENANT)
    if not kinds:  # one of the tenant's own leaves
        return Selection(top=top, name=name)
    inside = _kind(path, 4, kinds)
    if inside is None:
        return None
    return Selection(top=top, name=name, inside=inside, inside_name=_name(path, 4, inside))


def _is(step: Step, name: str) -> bool:
    return step.name == name and step.namespace in {None, NAMESPACE}


def _kinds(step: Step, kinds: Sequence[Kind]) -> Sequence[Kind]:
    """Return those of *kinds* that stand in the container which *step* names."""
    return [kind for kind in kinds if _is(step, PLACES[kind].container)]


def _kind(path: Sequence[Step], at: int, kinds: Sequence[Kind]) -> Kind | None:
    """Return the one of *kinds* that the step *at* names, or the first when there is no step."""
    return next(
        (kind for kind in kinds if len(path) <= at or _is(path[at], PLACES[kind].name)), None
    )


def _name(path: Sequence[Step], at: int, kind: Kind) -> str | None:
    key = PLACES[kind].key
    return None if key is None or len(path) <= at else dict(path[at].keys).get(key)
