"""
What a server says of its YANG modules: the YANG library of RFC 8525.

Both forms are served: *yang-library*, and *modules-state* of RFC 7895, which RFC 8525 keeps for
clients that know nothing newer.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from lxml import etree

from esc_daemon.netconf.xml import BASE_NS, YANG_LIBRARY_NS, inner, leaf, qualified, serialise

_DATASTORES_NS: Final = "urn:ietf:params:xml:ns:yang:ietf-datastores"
_SET: Final = "all"
"""The one module set, and the one schema made of it."""
_OF_CANDIDATE: Final = ("candidate", "confirmed-commit")
"""Features of ietf-netconf (RFC 6241 appendix C)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class YangModule:
    """
    One module that the server has.

    *submodules* are (name, revision). A module that is not *implemented* is there for what others
    import from it. *yang_1_1* tells its version of YANG.
    """

    name: str
    revision: str
    namespace: str
    submodules: tuple[tuple[str, str], ...] = ()
    features: tuple[str, ...] = ()
    implemented: bool = True
    yang_1_1: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class YangLibrary:
    """The modules; *content_id* changes whenever they do, and with nothing else."""

    modules: tuple[YangModule, ...]
    content_id: str
    datastores: tuple[str, ...] = ("running",)

    def with_candidate(self) -> "YangLibrary":
        """Return the library of a server that has a candidate and lets a commit be confirmed."""
        return replace(
            self,
            modules=tuple(
                replace(each, features=(*each.features, *_OF_CANDIDATE))
                if each.namespace == BASE_NS
                else each
                for each in self.modules
            ),
            content_id=f"{self.content_id}c",
            datastores=(*self.datastores, "candidate"),
        )


def yang_library(library: YangLibrary) -> bytes:
    """Return the container *yang-library*, serialised (RFC 8525 section 4)."""
    root = _root("yang-library")
    modules = inner(root, "module-set")
    leaf(modules, "name", _SET)
    for module in _implemented(library.modules):
        entry = inner(modules, "module")
        _identity(entry, module)
        for name, revision in module.submodules:
            below = inner(entry, "submodule")
            leaf(below, "name", name)
            leaf(below, "revision", revision)
        for feature in module.features:
            leaf(entry, "feature", feature)
    for module in library.modules:
        if not module.implemented:
            _identity(inner(modules, "import-only-module"), module)
    schema = inner(root, "schema")
    leaf(schema, "name", _SET)
    leaf(schema, "module-set", _SET)
    for name in library.datastores:
        datastore = inner(root, "datastore")
        leaf(datastore, "name", f"ds:{name}", {"ds": _DATASTORES_NS})
        leaf(datastore, "schema", _SET)
    leaf(root, "content-id", library.content_id)
    return serialise(root)


def modules_state(library: YangLibrary) -> bytes:
    """Return the container *modules-state*, serialised (RFC 7895 section 2)."""
    root = _root("modules-state")
    leaf(root, "module-set-id", library.content_id)
    for module in library.modules:
        entry = inner(root, "module")
        _identity(entry, module)
        for feature in module.features:
            leaf(entry, "feature", feature)
        leaf(entry, "conformance-type", "implement" if module.implemented else "import")
        for name, revision in module.submodules:
            below = inner(entry, "submodule")
            leaf(below, "name", name)
            leaf(below, "revision", revision)
    return serialise(root)


def _implemented(modules: Sequence[YangModule]) -> Iterable[YangModule]:
    return (module for module in modules if module.implemented)


def _identity(entry: etree._Element, module: YangModule) -> None:
    leaf(entry, "name", module.name)
    leaf(entry, "revision", module.revision)
    leaf(entry, "namespace", module.namespace)


def _root(name: str) -> etree._Element:
    return etree.Element(qualified(YANG_LIBRARY_NS, name), nsmap={None: YANG_LIBRARY_NS})
