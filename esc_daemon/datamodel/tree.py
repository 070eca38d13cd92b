"""
The tree of data nodes, read by pyang: libyang's wheel has no view of the schema.

SchemaNotFound   the YANG files are not where an installation or a checkout has them
"""

import os
import site
import sys
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyang
import pyang.context
import pyang.error
import pyang.repository

from esc_daemon.datamodel.allowed import allowed_of
from esc_daemon.datamodel.names import NAMESPACE, PREFIX
from esc_daemon.datamodel.spelling import Spelling, as_written, spelling_of
from esc_daemon.netconf.schema import LEAVES, Guard, NodeKind

MODULE: Final = "esc"
_NACM: Final = "ietf-netconf-acm"
_TELLING: Final = LEAVES | {NodeKind.PRESENCE_CONTAINER}


class SchemaNotFound(Exception):
    """The YANG files are missing or broken: the installation is incomplete."""


@dataclass(kw_only=True, slots=True, frozen=True, eq=False)
class Node:
    """A data node that holds configuration; satisfies `netconf.edit.SchemaNode`."""

    kind: NodeKind
    name: str
    children: Mapping[str, "Node"]
    keys: tuple[str, ...] = ()
    user_ordered: bool = False
    default: str | None = None
    case: tuple[str, str] | None = None
    namespace: str = NAMESPACE
    prefix: str = PREFIX
    spelling: Spelling = as_written
    allowed: tuple[str, ...] = ()
    """What the values of a leaf may be, where that can be told in few words."""
    guard: Guard | None = None
    guards: bool = False
    """Whether it or anything below it has a guard."""

    @property
    def names(self) -> Collection[str]:
        """Return the names of the data nodes below this one."""
        return self.children.keys()

    def canonical(self, text: str) -> str:
        """Return *text*, a value of this leaf or leaf-list, as it is to be stored."""
        return self.spelling(text)

    def child(self, namespace: str, name: str) -> "Node | None":
        """Return the data node below this one; choices and cases are looked through."""
        return self.children.get(name) if namespace == self.namespace else None

    def leaves(self, parent: str = "") -> Iterator[str]:
        """
        Yield the path of each node below that says something, such as ``tenants/tenant/name``.

        These are leaves, leaf-lists and presence containers.
        """
        for node in self.children.values():
            path = f"{parent}/{node.name}" if parent else node.name
            if node.kind in _TELLING:
                yield path
            yield from node.leaves(path)


@dataclass(kw_only=True, slots=True, frozen=True)
class Tree:
    """
    What pyang tells of the module.

    *roots* hold the configuration, *data* operational data too, *inputs* the RPCs' parameters.
    """

    revision: str
    roots: Mapping[str, Node]
    data: Mapping[str, Node]
    inputs: Mapping[str, Node]
    event_types: frozenset[str]


def yang_directory() -> Path:
    """
    Return where our YANG files are: beside the package in a checkout, else under the prefix.

    Raises:
        SchemaNotFound: In neither.

    """
    checkout = Path(__file__).resolve().parents[2] / "yang"
    places = (checkout, *(share / "esc-daemon" for share in _shares()))
    for place in places:
        if (place / f"{MODULE}.yang").is_file():
            return place
    raise SchemaNotFound(
        f"{MODULE}.yang is in none of {', '.join(map(str, places))}; install the package again"
    )


def open_modules(directory: Path) -> Any:
    """
    Return pyang's context with the module in *directory* in it.

    Raises:
        SchemaNotFound: pyang finds errors in it.

    """
    places = os.pathsep.join(map(str, (directory, *_shares())))
    repository = pyang.repository.FileRepository(places, use_env=False)
    context = pyang.context.Context(repository)
    file = directory / f"{MODULE}.yang"
    context.add_module(str(file), file.read_text(encoding="utf-8"))
    context.validate()
    if faults := faults_of(context):
        raise SchemaNotFound(f"the YANG files have errors: {'; '.join(faults)}")
    return context


def faults_of(context: Any) -> list[str]:
    """Return what pyang calls errors, for people."""
    return [
        f"{position}: {pyang.error.err_to_str(tag, values)}"
        for position, tag, values in context.errors
        if _is_error(tag)
    ]


def read_tree(context: Any) -> Tree:
    """Return the tree of the module that `open_modules` found."""
    module = context.get_module(MODULE)
    types = context.get_module("esc_notifications").i_typedefs["event-type"]
    containers = [each for each in module.i_children if each.keyword == "container"]
    return Tree(
        revision=str(module.i_latest_revision),
        roots={each.arg: _Reader(state=False).node(each) for each in containers},
        data={each.arg: _Reader(state=True).node(each) for each in containers},
        inputs={each.arg: _input(each) for each in module.i_children if each.keyword == "rpc"},
        event_types=frozenset(word.arg for word in types.search_one("type").search("enum")),
    )


def data_node(statement: Any, namespace: str, prefix: str, *, state: bool = True) -> Node:
    """Return the tree of a data node of another module, operational data included if *state*."""
    return _Reader(state=state, namespace=namespace, prefix=prefix).node(statement)


def search_path(directory: Path) -> str:
    """Return where modules are looked for, as pyang and libyang write it."""
    ietf = (share / "ietf" for share in _shares())
    return os.pathsep.join(str(each) for each in (directory, *ietf) if each.is_dir())


def _shares() -> Iterator[Path]:
    """Yield where wheels put their YANG files: ours, and the IETF's that pyang brings."""
    package = Path(pyang.__file__).parents
    # package[1] is a --target folder, package[4] the prefix above lib/pythonX/site-packages
    for prefix in (Path(sys.prefix), Path(site.getuserbase()), *package[1:5:3]):
        yield prefix / "share" / "yang" / "modules"


def _is_error(tag: str) -> bool:
    return bool(pyang.error.is_error(pyang.error.err_level(tag)))


def _input(rpc: Any) -> Node:
    statement = next(child for child in rpc.i_children if child.keyword == "input")
    children = _Reader(state=False).children(statement)
    return Node(
        kind=NodeKind.PRESENCE_CONTAINER, name=rpc.arg, children=children, guard=_guard(rpc)
    )


@dataclass(slots=True, frozen=True)
class _Reader:
    """Turns pyang's statements into nodes; *state* tells whether operational data is wanted."""

    state: bool
    namespace: str = NAMESPACE
    prefix: str = PREFIX

    def node(self, statement: Any, case: tuple[str, str] | None = None) -> Node:
        order = statement.search_one("ordered-by")
        default = statement.search_one("default")
        kind = _kind(statement)
        spelling = spelling_of(statement) if kind in LEAVES else as_written
        children = self.children(statement)
        guard = _guard(statement)
        return Node(
            kind=kind,
            name=statement.arg,
            children=children,
            keys=tuple(key.arg for key in getattr(statement, "i_key", None) or ()),
            user_ordered=order is not None and order.arg == "user",
            default=None if default is None else spelling(default.arg),
            case=case,
            namespace=self.namespace,
            prefix=self.prefix,
            spelling=spelling,
            allowed=allowed_of(statement) if kind in LEAVES else (),
            guard=guard,
            guards=guard is not None or any(child.guards for child in children.values()),
        )

    def children(self, statement: Any, case: tuple[str, str] | None = None) -> dict[str, Node]:
        found: dict[str, Node] = {}
        for child in getattr(statement, "i_children", ()):
            if child.keyword == "choice":
                for option in child.i_children:
                    found |= self.children(option, (child.arg, option.arg))
            elif self.state or getattr(child, "i_config", True) is not False:
                found[child.arg] = self.node(child, case)
        return found


def _guard(statement: Any) -> Guard | None:
    return next((guard for guard in Guard if statement.search_one((_NACM, guard.value))), None)


def _kind(statement: Any) -> NodeKind:
    if statement.keyword == "container" and statement.search_one("presence") is not None:
        return NodeKind.PRESENCE_CONTAINER
    return NodeKind(statement.keyword)
