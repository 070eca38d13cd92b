"""What an edit asks for, looked at before it is taken (RFC 8341 section 3.2.5)."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Final, Protocol

from lxml import etree

from esc_daemon.access.effect import effects, values_of
from esc_daemon.access.nacm import Access
from esc_daemon.access.rights import At, Guarded, Rights, Trail, Way
from esc_daemon.datamodel.entries import PLACES, RULES, WHOLE, EntryChange, EntryPath, to_element
from esc_daemon.datamodel.names import NAMESPACE
from esc_daemon.netconf.edit import DefaultOperation, Operation
from esc_daemon.netconf.errors import RpcError
from esc_daemon.netconf.schema import LEAVES, NodeKind, instance_step
from esc_daemon.netconf.xml import BASE_NS, name_of, qualified

_OPERATION: Final = qualified(BASE_NS, "operation")
_ASKS: Final = {
    Operation.CREATE: (Access.CREATE,),
    Operation.DELETE: (Access.DELETE,),
    Operation.REMOVE: (Access.DELETE,),
}
_WORDS: Final = {word.value: word for word in Operation}
_SETS: Final = (Access.CREATE, Access.UPDATE)
"""What any other operation may come to."""


class Model(Protocol):
    """The YANG schema."""

    def root(self, namespace: str, name: str) -> Guarded | None:
        """Return one top-level node of the configuration."""

    def data_root(self, namespace: str, name: str) -> Guarded | None:
        """Return one top-level node with its state."""

    def guards_call(self, namespace: str, name: str) -> bool:
        """Tell whether the operation *name* is denied where no rule permits it."""


class WriteCheck:
    """Looks at the edits of one user; to be asked before anything else is said of an edit."""

    def __init__(self, rights: Rights, model: Model, refused: Callable[[str], None]) -> None:
        """Make one; *refused* is called with the path of what is denied."""
        self._rights = rights
        self._model = model
        self._refused = refused

    def named(self, config: etree._Element, default_operation: DefaultOperation) -> None:
        """
        Look whether an edit names what its author may neither read nor write.

        The RFC asks for no right where an edit changes nothing. Of hidden nodes that would be an
        answer to every guess: what is there, and what it says.

        Raises:
            RpcError: access-denied.

        """
        for child in config:
            schema = self._model.root(*name_of(child))
            if schema is not None:
                trail = self._rights.trail(Access.READ, schema.namespace)
                self._named(child, schema, (), trail, Operation(default_operation.value))

    def _named(
        self,
        element: etree._Element,
        schema: Guarded,
        above: Way,
        trail: Trail,
        inherited: Operation,
    ) -> None:
        at = At(schema, values_of(element, schema))
        way, trail = (*above, at), trail.to(at)
        word = element.get(_OPERATION)
        operation = _WORDS.get(word or "", inherited)
        says = schema.kind is not NodeKind.CONTAINER or word is not None
        if not trail.permit and says:
            asks = _ASKS.get(operation, _SETS)
            if not any(self._rights.may(access, way) for access in asks):
                raise self._denied(way)
        for child in element:
            namespace, name = name_of(child)
            below = schema.children.get(name)
            # A key says no more than its entry.
            if below is None or below.namespace != namespace or name in schema.keys:
                continue
            self._named(child, below, way, _hidden(trail), operation)

    def __call__(self, changes: Iterable[EntryChange]) -> None:
        """
        Look whether each change of each node is permitted.

        Raises:
            RpcError: access-denied; the path leads to the node, or to what can be seen above it.

        """
        for change in changes:
            schema, above = self._place(change.path)
            old = None if change.old is None else to_element(change.old.xml)
            new = None if change.new is None else to_element(change.new)
            trails: dict[tuple[Access, Way], Trail] = {}
            for effect in effects(old, new, schema, above):
                if not self._trail(effect.access, effect.way, trails).permit:
                    raise self._denied(effect.way)

    def update(self, path: EntryPath) -> None:
        """
        Look whether the entry at *path*, there or not, may be updated.

        Raises:
            RpcError: access-denied.

        """
        schema, above = self._place(path)
        way = (*above, At(schema, (path.name,)))
        if not self._rights.may(Access.UPDATE, way):
            raise self._denied(way)

    def _trail(self, access: Access, way: Way, trails: dict[tuple[Access, Way], Trail]) -> Trail:
        """Return what is decided at the end of *way*; *trails* are kept from node to node."""
        found = trails.get((access, way))
        if found is None:
            above = (
                self._trail(access, way[:-1], trails)
                if len(way) > 1
                else self._rights.trail(access, way[0].schema.namespace)
            )
            found = above.to(way[-1])
            if way[-1].schema.kind not in LEAVES:
                trails[access, way] = found
        return found

    def _denied(self, way: Way) -> RpcError:
        self._refused(_path(way))
        seen = self._rights.seen(way)
        namespaces = {at.schema.prefix: at.schema.namespace for at in seen}
        return RpcError.access_denied(_path(seen)).at(_path(seen), namespaces)

    def _place(self, path: EntryPath) -> tuple[Guarded, Way]:
        """Return the schema of the entry at *path*, and the way to its parent."""
        if path == RULES:
            return self._root(*WHOLE), ()
        place = PLACES[path.kind]
        node = self._root(NAMESPACE, place.root)
        way = [At(node)]
        if path.tenant is not None:
            tenants = node.children["tenants"]
            node = tenants.children["tenant"]
            way += [At(tenants), At(node, (path.tenant,))]
        container = node.children[place.container]
        return container.children[place.name], (*way, At(container))

    def _root(self, namespace: str, name: str) -> Guarded:
        root = self._model.root(namespace, name)
        assert root is not None
        return root


def _hidden(trail: Trail) -> Trail:
    """Return *trail* for what is below: under a hidden node all is hidden, whatever rules say."""
    return trail if trail.permit else replace(trail, left=(), default=False)


def _path(way: Sequence[At]) -> str:
    return "".join(instance_step(at.schema, at.values) for at in way)
