"""
The loaded YANG as the generators need it, read from pyang and not from our own tree of it.

All configuration below the top-level containers of the module: types with their restrictions,
mandatory nodes, musts and leafrefs are here, which `esc_daemon.datamodel.tree` leaves to libyang.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from esc_daemon.datamodel.names import NAMESPACE, PREFIX
from esc_daemon.datamodel.tree import MODULE, open_modules, yang_directory
from esc_daemon.netconf.edit import NodeKind

INNER = {NodeKind.CONTAINER, NodeKind.PRESENCE_CONTAINER, NodeKind.LIST}
MANY = {NodeKind.LIST, NodeKind.LEAF_LIST}


@dataclass(frozen=True, slots=True)
class Key:
    """A predicate of a leafref's path: the list's key *name* equals the node *up* and then down."""

    name: str
    up: int
    down: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Reference:
    """A leafref: as many steps *up*, then down, each step with its predicates."""

    up: int
    down: tuple[tuple[str, tuple[Key, ...]], ...]


@dataclass(frozen=True, slots=True)
class Type:
    """A type; *name* is that of its typedef or of the built-in type that it restricts."""

    name: str
    base: str
    ranges: tuple[tuple[int, int], ...] = ()
    """Of an integer's value, or of a string's length."""
    patterned: bool = False
    enums: tuple[str, ...] = ()
    members: tuple["Type", ...] = ()
    """Of a union; of a leafref the type of its target."""
    reference: Reference | None = None


@dataclass(slots=True, eq=False, kw_only=True)
class Spec:
    """A data node of the configuration."""

    name: str
    kind: NodeKind
    parent: "Spec | None"
    case: tuple[str, str] | None
    keys: tuple[str, ...] = ()
    user_ordered: bool = False
    mandatory: bool = False
    default: str | None = None
    least: int = 0
    most: int | None = None
    type: Type | None = None
    musts: tuple[str, ...] = ()
    app_tags: tuple[str, ...] = ()
    """Of the musts, one each; empty where the YANG gives none."""
    children: dict[str, "Spec"] = field(default_factory=dict)
    mandatory_choices: frozenset[str] = frozenset()

    @property
    def namespace(self) -> str:
        return NAMESPACE

    @property
    def prefix(self) -> str:
        return PREFIX

    @property
    def path(self) -> str:
        return self.name if self.parent is None else f"{self.parent.path}/{self.name}"

    def child(self, namespace: str, name: str) -> "Spec | None":
        return self.children.get(name) if namespace == NAMESPACE else None

    def is_key(self) -> bool:
        return self.parent is not None and self.name in self.parent.keys

    def points(self) -> bool:
        """Tell whether this is a leafref."""
        return self.type is not None and self.type.reference is not None

    def required(self) -> bool:
        """Tell whether the node has to be there when its parent is."""
        if self.case is not None:
            return False  # the case of a mandatory choice is the generator's choice
        if self.kind is NodeKind.CONTAINER:
            return bool(self.mandatory_choices) or any(
                child.required() for child in self.children.values()
            )
        return self.mandatory or self.least > 0 or self.is_key()

    def walk(self) -> Iterator["Spec"]:
        yield self
        for child in self.children.values():
            yield from child.walk()


@cache
def roots() -> dict[str, Spec]:
    """Return the top-level nodes of the configuration by name."""
    module = open_modules(yang_directory()).get_module(MODULE)
    return {
        child.arg: _spec(child, None)
        for child in module.i_children
        if child.keyword == "container" and child.i_config
    }


def leaves() -> list[Spec]:
    """Return every leaf, leaf-list and presence container."""
    telling = {NodeKind.LEAF, NodeKind.LEAF_LIST, NodeKind.PRESENCE_CONTAINER}
    return [spec for root in roots().values() for spec in root.walk() if spec.kind in telling]


def _spec(statement: Any, parent: Spec | None, case: tuple[str, str] | None = None) -> Spec:
    def argument(keyword: str, default: str | None = None) -> str | None:
        found = statement.search_one(keyword)
        return default if found is None else str(found.arg)

    kind = NodeKind(statement.keyword)
    if kind is NodeKind.CONTAINER and argument("presence") is not None:
        kind = NodeKind.PRESENCE_CONTAINER
    most = argument("max-elements", "unbounded")
    musts = statement.search("must")
    made = Spec(
        name=statement.arg,
        kind=kind,
        parent=parent,
        case=case,
        keys=tuple(key.arg for key in getattr(statement, "i_key", None) or ()),
        user_ordered=argument("ordered-by") == "user",
        mandatory=argument("mandatory") == "true",
        default=argument("default"),
        least=int(argument("min-elements", "0") or ""),
        most=None if most == "unbounded" else int(most or ""),
        type=None if kind in INNER else _type(statement.search_one("type"), statement),
        musts=tuple(must.arg for must in musts),
        app_tags=tuple(_app_tag(must) for must in musts),
    )
    assert argument("when") is None, f"{made.path}: teach the generator about when"
    _add_children(statement, made)
    return made


def _app_tag(must: Any) -> str:
    found = must.search_one("error-app-tag")
    return "must-violation" if found is None else str(found.arg)


def _add_children(statement: Any, spec: Spec) -> None:
    mandatory = set()
    for child in getattr(statement, "i_children", ()):
        if child.keyword == "choice":
            told = child.search_one("mandatory")
            if told is not None and told.arg == "true":
                mandatory.add(child.arg)
            assert child.search_one("default") is None, "teach the generator about default cases"
            for option in child.i_children:
                for below in option.i_children:
                    spec.children[below.arg] = _spec(below, spec, (child.arg, option.arg))
        elif getattr(child, "i_config", True) is not False:
            spec.children[child.arg] = _spec(child, spec)
    spec.mandatory_choices = frozenset(mandatory)


def _type(statement: Any, leaf: Any) -> Type:
    spec = statement.i_type_spec
    name = str(statement.arg).rpartition(":")[2]
    if spec.name == "union":
        return Type(name, "union", members=tuple(_type(each, leaf) for each in spec.types))
    if spec.name == "leafref":
        target = leaf.i_leafref_ptr[0]
        members = (_type(target.search_one("type"), target),)
        return Type(name, "leafref", members=members, reference=_reference(spec.path_spec))
    specs = list(_chain(spec))
    enums = next((each.enums for each in specs if hasattr(each, "enums")), ())
    return Type(
        name,
        spec.name,
        ranges=_ranges(specs),
        patterned=any(hasattr(each, "res") for each in specs),
        enums=tuple(word for word, _ in enums),
    )


def _chain(spec: Any) -> Iterator[Any]:
    while spec is not None:
        yield spec
        spec = getattr(spec, "base", None)


def _ranges(specs: list[Any]) -> tuple[tuple[int, int], ...]:
    """Return the innermost restriction's ranges; each is a part of the ones around it."""
    for spec in specs:
        told = getattr(spec, "ranges", None) or getattr(spec, "lengths", None)
        if told:
            ends = {"min": spec.min, "max": spec.max}
            pairs = ((first, first if last is None else last) for first, last in told)
            return tuple((ends.get(first, first), ends.get(last, last)) for first, last in pairs)
        if type(spec).__name__ == "IntTypeSpec":
            return ((spec.min, spec.max),)
    return ()


def _reference(path: Any) -> Reference:
    up, down, dereferenced, _ = path
    assert dereferenced == 0, "teach the generator about deref()"
    steps: list[tuple[str, tuple[Key, ...]]] = []
    for step in down:
        if isinstance(step, str):
            steps.append((step, ()))
        else:
            _, key, key_up, key_down = step
            name, keys = steps[-1]
            steps[-1] = name, (*keys, Key(key, key_up, tuple(key_down)))
    return Reference(up, tuple(steps))
