"""
The YANG modules that are told to clients, and their texts (RFC 6022, RFC 8525), read by pyang.

The protocol's own modules are the IETF's, from pyang's wheel, and two of ours for RFC 5277.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from esc_daemon.datamodel.tree import MODULE, Node, SchemaNotFound, data_node, faults_of
from esc_daemon.netconf.library import YangLibrary, YangModule

ACCESS_MODULE: Final = "ietf-netconf-acm"
_FEATURES: Final[Mapping[str, tuple[str, ...]]] = {
    MODULE: (),
    "ietf-netconf": ("writable-running", "rollback-on-error", "validate", "xpath"),
    "ietf-netconf-monitoring": (),
    "ietf-netconf-with-defaults": (),
    ACCESS_MODULE: (),
    "ietf-yang-library": (),
    "ietf-datastores": (),
    "notifications": (),
    "nc-notifications": (),
}
"""The modules that are implemented, each with its features; what they import is there too."""


@dataclass(kw_only=True, slots=True, frozen=True)
class Library:
    """
    The modules that are served.

    *state* are the top-level nodes beside the data model's, with their state; *rules* is the one
    among them that is configured, without.
    """

    told: YangLibrary
    state: Mapping[tuple[str, str], Node]
    rules: Node
    texts: Mapping[tuple[str, str], str] = field(repr=False)
    """By (name, revision)."""

    def source(self, name: str, revision: str | None) -> str | None:
        """Return the text of the module or submodule *name*; *revision* None means any."""
        for (known, version), text in self.texts.items():
            if known == name and revision in {None, version}:
                return text
        return None


def read_library(context: Any) -> Library:
    """
    Return the library of what pyang's *context* has, and of the protocol's modules.

    Raises:
        SchemaNotFound: One of them is not installed, or wrong.

    """
    for name in _FEATURES:
        if context.get_module(name) is None and context.search_module(None, name) is None:
            raise SchemaNotFound(f"{name}.yang is not installed; install pyang again")
    context.validate()
    if faults := faults_of(context):
        raise SchemaNotFound(f"the YANG files have errors: {'; '.join(faults)}")
    statements = {name: context.get_module(name) for name in _closure(context)}
    texts: dict[tuple[str, str], str] = {}
    for statement in statements.values():
        for part in (statement, *_submodules(context, statement)):
            text = Path(part.pos.ref).read_text(encoding="utf-8")
            texts[part.arg, str(part.i_latest_revision)] = text
    return Library(
        told=YangLibrary(
            modules=tuple(_module(context, each) for each in statements.values()),
            content_id=sha256("".join(texts.values()).encode()).hexdigest()[:16],
        ),
        state={
            (_argument(statement, "namespace"), child.arg): data_node(
                child, _argument(statement, "namespace"), _argument(statement, "prefix")
            )
            for name, statement in statements.items()
            if name != MODULE and name in _FEATURES
            for child in statement.i_children
            if child.keyword == "container"
        },
        rules=_top_node(statements[ACCESS_MODULE], "nacm"),
        texts=texts,
    )


def _top_node(module: Any, name: str) -> Node:
    child = next(each for each in module.i_children if each.arg == name)
    return data_node(
        child, _argument(module, "namespace"), _argument(module, "prefix"), state=False
    )


def implemented() -> tuple[str, ...]:
    """Return the names of the modules that are implemented."""
    return tuple(_FEATURES)


def _closure(context: Any) -> dict[str, None]:
    """Return the names of the implemented modules, then of all that they import."""
    found = dict.fromkeys(_FEATURES)
    todo = list(_FEATURES)
    while todo:
        statement = context.get_module(todo.pop(0))
        for part in (statement, *_submodules(context, statement)):
            for each in part.search("import"):
                if each.arg not in found:
                    found[each.arg] = None
                    todo.append(each.arg)
    return found


def _submodules(context: Any, statement: Any) -> list[Any]:
    return [context.get_module(each.arg) for each in statement.search("include")]


def _module(context: Any, statement: Any) -> YangModule:
    version = statement.search_one("yang-version")
    return YangModule(
        name=statement.arg,
        revision=str(statement.i_latest_revision),
        namespace=_argument(statement, "namespace"),
        submodules=tuple(
            (each.arg, str(each.i_latest_revision)) for each in _submodules(context, statement)
        ),
        features=_FEATURES.get(statement.arg, ()),
        implemented=statement.arg in _FEATURES,
        yang_1_1=version is not None and version.arg == "1.1",
    )


def _argument(statement: Any, keyword: str) -> str:
    return str(statement.search_one(keyword).arg)
