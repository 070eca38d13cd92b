"""What the protocol has to know of a YANG schema: what its data nodes are, how to point at one."""

from collections.abc import Collection
from enum import StrEnum
from typing import Final, Protocol, TypeAlias


class NodeKind(StrEnum):
    """What a data node of a YANG schema is, as far as editing goes."""

    CONTAINER = "container"
    PRESENCE_CONTAINER = "presence container"
    LIST = "list"
    LEAF = "leaf"
    LEAF_LIST = "leaf-list"


class Guard(StrEnum):
    """What RFC 8341 section 3.2.2 lets a module say of a node that no rule speaks of."""

    WRITE = "default-deny-write"
    ALL = "default-deny-all"


class SchemaNode(Protocol):
    """A data node of a YANG schema."""

    @property
    def kind(self) -> NodeKind: ...
    @property
    def keys(self) -> tuple[str, ...]:
        """Names of the key leaves of a list, in the schema's order; else empty."""

    @property
    def user_ordered(self) -> bool: ...
    @property
    def namespace(self) -> str: ...
    @property
    def prefix(self) -> str:
        """For error paths; bound to *namespace* beside them."""

    @property
    def name(self) -> str: ...
    @property
    def default(self) -> str | None: ...
    @property
    def case(self) -> tuple[str, str] | None:
        """(choice, case) when the node stands in a case of a choice of its parent."""

    @property
    def names(self) -> Collection[str]:
        """Names of the data nodes below this one, for who misspells one."""

    def child(self, namespace: str, name: str) -> "SchemaNode | None":
        """Return the data node below this one; choices and cases are looked through."""

    def canonical(self, text: str) -> str:
        """Return *text*, a value of a leaf or a leaf-list, in its one canonical form."""


LEAVES: Final = frozenset({NodeKind.LEAF, NodeKind.LEAF_LIST})


def instance_step(schema: SchemaNode, values: tuple[str, ...] = ()) -> str:
    """Return one step of an instance path, such as ``/esc:tenant[esc:name='t']``."""
    step = f"/{schema.prefix}:{schema.name}"
    if schema.kind is NodeKind.LEAF_LIST:
        return step + "".join(f"[.={_literal(value)}]" for value in values)
    return step + "".join(
        f"[{schema.prefix}:{key}={_literal(value)}]"
        for key, value in zip(schema.keys, values, strict=False)
    )


def _literal(value: str) -> str:
    """Return an XPath expression of *value*; XPath 1.0 literals have no escapes."""
    if "'" not in value:
        return f"'{value}'"
    if '"' not in value:
        return f'"{value}"'
    return "concat('" + value.replace("'", "',\"'\",'") + "')"


class Place:
    """
    The instance path of one node, written out only where an error tells it.

    Measured: the text of every node's path was a seventh of an edit's cost.
    """

    __slots__ = ("_parent", "_schema", "_values")

    def __init__(
        self, parent: "Place | str", schema: SchemaNode, values: tuple[str, ...] = ()
    ) -> None:
        self._parent = parent
        self._schema = schema
        self._values = values

    def __str__(self) -> str:
        return f"{self._parent}{instance_step(self._schema, self._values)}"


Path: TypeAlias = Place | str
"""An instance path, written out or not yet."""
