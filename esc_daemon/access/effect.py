"""
What an edit really does to the data, node by node (RFC 8341 section 3.2.5).

Only what changes needs a right: containers without presence say nothing and are passed over, what
an edit repeats is no change, and what another case of a choice takes away is a side effect.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from lxml import etree

from esc_daemon.access.nacm import Access
from esc_daemon.access.rights import At, Guarded, Way
from esc_daemon.netconf.schema import LEAVES, NodeKind
from esc_daemon.netconf.xml import name_of, qualified

_Identity = tuple[str, tuple[str, ...]]
_LISTED: Final = frozenset({NodeKind.LIST, NodeKind.LEAF_LIST})


class Effect(NamedTuple):
    """What happens to one node."""

    access: Access
    way: Way


def values_of(element: etree._Element, schema: Guarded) -> tuple[str, ...]:
    """Return what tells *element* from its siblings, as `At` has it; fewer where keys lack."""
    if schema.kind is NodeKind.LEAF_LIST:
        return (element.text or "",)
    found = (element.findtext(qualified(schema.namespace, key)) for key in schema.keys)
    return tuple(value for value in found if value is not None)


def effects(
    old: etree._Element | None, new: etree._Element | None, schema: Guarded, above: Way
) -> Iterator[Effect]:
    """
    Yield what turns the node *old* into *new*, None for one that is not there.

    *schema* describes the node, *above* is the way to its parent.
    """
    if old is None or new is None:
        if new is not None:
            yield from _all_of(Access.CREATE, new, schema, above)
        if old is not None:
            yield from _all_of(Access.DELETE, old, schema, above)
        return
    way = (*above, At(schema, values_of(new, schema)))
    if schema.kind in LEAVES:
        if (old.text or "") != (new.text or ""):
            yield Effect(Access.UPDATE, way)
        return
    before, after = _children(old, schema), _children(new, schema)
    chosen = {child.case for child in _schemas(after, schema) if child.case is not None}
    for identity, element in before.items():
        child = schema.children[identity[0]]
        if identity not in after and not _made_way(child, chosen):
            yield from effects(element, None, child, way)
    for identity, element in after.items():
        yield from effects(before.get(identity), element, schema.children[identity[0]], way)
    for identity in _moved(list(before), list(after), schema):
        child = schema.children[identity[0]]
        yield Effect(Access.UPDATE, (*way, At(child, identity[1])))


def _all_of(
    access: Access, element: etree._Element, schema: Guarded, above: Way
) -> Iterator[Effect]:
    way = (*above, At(schema, values_of(element, schema)))
    if schema.kind is not NodeKind.CONTAINER:
        yield Effect(access, way)
    for (name, _), child in _children(element, schema).items():
        yield from _all_of(access, child, schema.children[name], way)


def _children(element: etree._Element, schema: Guarded) -> dict[_Identity, etree._Element]:
    """Return what the schema knows; what it does not know any more cannot be changed either."""
    found: dict[_Identity, etree._Element] = {}
    for child in element:
        namespace, name = name_of(child)
        known = schema.children.get(name)
        if known is not None and known.namespace == namespace:
            values = values_of(child, known) if known.kind in _LISTED else ()
            found[name, values] = child
    return found


def _schemas(children: dict[_Identity, etree._Element], schema: Guarded) -> Iterator[Guarded]:
    return (schema.children[name] for name, _ in children)


def _made_way(schema: Guarded, chosen: set[tuple[str, str]]) -> bool:
    """Tell whether a node is gone because another case of its choice came."""
    return schema.case is not None and any(
        each[0] == schema.case[0] and each != schema.case for each in chosen
    )


def _moved(before: list[_Identity], after: list[_Identity], schema: Guarded) -> Iterator[_Identity]:
    """Yield the entries of lists in the user's order that stand elsewhere among those that stay."""
    ordered = {name for name, _ in after if schema.children[name].user_ordered}
    for name in sorted(ordered):
        stays = set(before) & set(after)
        was = [each for each in before if each[0] == name and each in stays]
        now = [each for each in after if each[0] == name and each in stays]
        yield from (new for old, new in zip(was, now, strict=True) if old != new)
