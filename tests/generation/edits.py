"""Edits of a configuration of the whole model: every operation at every depth."""

from random import Random

from tests.generation.configurations import document
from tests.generation.naive_edit import INNER, Change, Data, Identity, Insert, as_data
from tests.generation.specs import Spec, leaves
from tests.generation.values import few, few_values, one_in

OF_WHAT_IS_THERE = (None,) * 8 + ("merge", "merge", "replace", "replace", "delete", "remove")
OF_WHAT_IS_NOT = (None,) * 8 + ("merge", "create", "create", "replace", "remove")
IN_VAIN = 50
"""One in so many is created although it is there, or deleted although it is not."""
PLACES = ("first", "last", "before", "before", "after", "after")


def any_data(rng: Random, top: Spec) -> Data:
    """Return a valid configuration below *top*, of the few values that are often met."""
    below = [leaf for leaf in leaves() if leaf.path.startswith(f"{top.path}/")]
    data: Data = as_data(top, document(rng, values=few_values, at=rng.choice(below)))
    return data


def any_edit(rng: Random, top: Spec, now: Data) -> Change:
    """Return an edit of *now*, the data of the top-level node *top*, which may be empty."""
    root: Identity = (top.name, ())
    here, there = ({root: each} if each else {} for each in (now, any_data(rng, top)))
    return _change(rng, top, root, here, there)


def _change(rng: Random, spec: Spec, identity: Identity, now: Data, other: Data) -> Change:
    """Edit one of the nodes that are *now* there, or that might be as in *other*."""
    mine = now.get(identity)
    operation = _operation(rng, spec, there=mine is not None)
    insert = _insert(rng, spec, [*now, *other])
    if spec.kind not in INNER:
        values = identity[1] or (rng.choice((other.get(identity, mine), few(spec)[0])),)
        return Change(spec, operation, values, insert=insert)
    mine, theirs = mine or {}, other.get(identity) or {}
    if operation in {"delete", "remove"} and not one_in(rng, 3):
        chosen = []  # keys say enough
    elif operation == "replace" or not mine:
        chosen = list(theirs or mine)
    else:
        known = list(dict.fromkeys([*theirs, *mine]))
        chosen = rng.sample(known, rng.randint(0, min(3, len(known))))
    if chosen and one_in(rng, 30):
        chosen.append(rng.choice(chosen))
    children = [_change(rng, spec.children[each[0]], each, mine, theirs) for each in chosen]
    return Change(spec, operation, identity[1], tuple(children), insert)


def _operation(rng: Random, spec: Spec, *, there: bool) -> str | None:
    if one_in(rng, IN_VAIN):
        return "create" if there else "delete"
    word = rng.choice(OF_WHAT_IS_THERE if there else OF_WHAT_IS_NOT)
    # what has to be there is taken away now and then only: else no edit would ever be taken
    if word in {"delete", "remove"} and spec.required() and not one_in(rng, 5):
        return None
    return word


def _insert(rng: Random, spec: Spec, siblings: list[Identity]) -> Insert | None:
    if not spec.user_ordered or one_in(rng, 3):
        return None
    where = rng.choice(PLACES)
    points = [values for name, values in siblings if name == spec.name]
    return Insert(where, rng.choice(points) if where in {"before", "after"} else None)
