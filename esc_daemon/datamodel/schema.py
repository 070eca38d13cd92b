"""The YANG of `yang/`, loaded: validation by libyang (the one file that knows it), the tree."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, Final

import oopt_gnpy_libyang as libyang
from lxml import etree

from esc_daemon.datamodel.awaited import missing_events, too_many_waits
from esc_daemon.datamodel.entries import WHOLE
from esc_daemon.datamodel.faults import (
    Finding,
    SchemaError,
    only_keys,
    schema_errors,
    structure_errors,
)
from esc_daemon.datamodel.library import implemented, read_library
from esc_daemon.datamodel.names import NAMESPACE, PREFIX
from esc_daemon.datamodel.tree import (
    Node,
    open_modules,
    read_tree,
    search_path,
    yang_directory,
)
from esc_daemon.netconf.library import YangLibrary
from esc_daemon.netconf.schema import Guard
from esc_daemon.netconf.xml import name_of, qualified, serialise

_ORDER: Final = b"depends_on>"
"""Stands in each document with an order of start."""
_LONG: Final = 2**18
"""Bytes beyond which the first fault of a document is all that is told: libyang cannot be told to
stop at the fiftieth, and nobody else is served while it looks for thousands."""
_SHADOW_MODULE: Final = "esc_validation"
_SHADOW_NAMESPACE: Final = "urn:esc_daemon:validation"
_Parse: Final = libyang.ParseOptions
_Check: Final = libyang.ValidationOptions
_CONFIGURATION: Final = _Parse.Strict | _Parse.NoState


class Schema:
    """The loaded data model. Loading takes about 0.2 s; a validation 0.1 ms an entry."""

    def __init__(self, directory: Path) -> None:
        modules = open_modules(directory)
        self._tree = read_tree(modules)
        self._library = read_library(modules)
        beside = {node.namespace: node.prefix for node in self._library.state.values()}
        self._prefixes = {NAMESPACE: PREFIX, **beside}
        libyang.set_log_options(libyang.LogOptions.Store)
        self._context = libyang.Context(
            search_path(directory),
            libyang.ContextOptions.NoYangLibrary | libyang.ContextOptions.DisableSearchCwd,
        )
        # all that are served: a rule of access may name any node of theirs
        for module in (*implemented(), _SHADOW_MODULE):
            self._context.load_module(module)
        self._context.clean_all_errors()

    @classmethod
    def load(cls) -> "Schema":
        """
        Return the schema of this installation.

        Raises:
            SchemaNotFound: The YANG files are not there.

        """
        return cls(yang_directory())

    def library(self) -> YangLibrary:
        """Return the modules to be advertised."""
        return self._library.told

    def source(self, name: str, revision: str | None = None) -> str | None:
        """Return the text of the module or submodule *name* (RFC 6022, get-schema)."""
        return self._library.source(name, revision)

    def roots(self) -> Sequence[Node]:
        """Return the data model's top-level nodes of the configuration."""
        return tuple(self._tree.roots.values())

    def root(self, namespace: str, name: str) -> Node | None:
        """Return one top-level node of the configuration: the data model's, or the rules."""
        if (namespace, name) == WHOLE:
            return self._library.rules
        return self._tree.roots.get(name) if namespace == NAMESPACE else None

    def prefixes(self) -> Mapping[str, str]:
        """Return the prefix of each module with top-level nodes, by its namespace."""
        return self._prefixes

    def data_root(self, namespace: str, name: str) -> Node | None:
        """Return one top-level node with its operational data: what a get may show."""
        if namespace == NAMESPACE:
            return self._tree.data.get(name)
        return self._library.state.get((namespace, name))

    def node(self, path: str) -> Node:
        """
        Return the node at *path*, such as ``esc_datamodel/tenants/tenant``.

        Raises:
            KeyError: There is none; the message is the path.

        """
        first, *rest = path.split("/")
        found = self._tree.roots.get(first)
        for name in rest:
            found = None if found is None else found.children.get(name)
        if found is None:
            raise KeyError(path)
        return found

    def rpcs(self) -> Mapping[str, Node]:
        """Return the RPCs of the module by name, each with the node of its parameters."""
        return self._tree.inputs

    def guards_call(self, namespace: str, name: str) -> bool:
        """Tell whether only who has a rule for it may call the operation *name*."""
        rpc = self._tree.inputs.get(name) if namespace == NAMESPACE else None
        return rpc is not None and rpc.guard is Guard.ALL

    def event_types(self) -> frozenset[str]:
        """Return the values that ``event/type`` of an escEvent may have."""
        return self._tree.event_types

    def validate(self, document: bytes) -> list[SchemaError]:
        """
        Return what is wrong with configuration: one entry inside its parents with their keys.

        *document* comes from `netconf.xml` or from our own store: well-formed UTF-8.
        """
        if _ORDER in document and (found := too_many_waits(etree.fromstring(document))):
            return found
        return self._validate(document, self._tree.roots, NAMESPACE)

    def validate_rules(self, document: bytes) -> list[SchemaError]:
        """Return what is wrong with the access rules, the paths in them included."""
        rules = self._library.rules
        return self._validate(document, {rules.name: rules}, rules.namespace)

    def validate_input(self, rpc: etree._Element) -> list[SchemaError]:
        """Return what is wrong with the parameters of one of `rpcs`; *rpc* is its element."""
        if name_of(rpc)[0] != NAMESPACE or name_of(rpc)[1] not in self._tree.inputs:
            return [SchemaError.unexpected("", name_of(rpc), NAMESPACE, self._tree.inputs)]
        # an element of another namespace must not slip into the shadow of ours
        if found := structure_errors(rpc, self._tree.inputs, NAMESPACE):
            return found
        errors = self._validate(serialise(_shadow(rpc)), self._tree.inputs, _SHADOW_NAMESPACE)
        return [error.as_parameter() for error in errors]

    def validate_state(self, document: bytes) -> list[SchemaError]:
        """Return what libyang has against our own operational data."""
        found = self._parse(document.decode(), _Parse.Strict, _Check.Present)
        return schema_errors(found, etree.fromstring(document), self._tree.data)

    def validate_event(self, event: etree._Element) -> list[SchemaError]:
        """Return what libyang has against an ``escEvent`` of ours."""
        shadow = _shadow(event)
        found = self._parse(serialise(shadow).decode(), _CONFIGURATION, _Check.NoState)
        return schema_errors(found, shadow, {})

    def _validate(
        self, document: bytes, roots: Mapping[str, Node], namespace: str
    ) -> list[SchemaError]:
        text = document.decode()
        # Of the modules that it has data of: what stands nowhere cannot be wrong, and a look at all
        # modules takes longer than the entry itself.
        first = self._parse(text, _CONFIGURATION, _Check.NoState | _Check.Present)
        if not first:
            return missing_events(etree.fromstring(document), roots) if _ORDER in document else []
        # With MultiError libyang may crash on an entry that lacks a valid key (leafrefs below it
        # are looked up after it was freed). Such documents are told apart first; only what is
        # safe is asked for all of its errors.
        tree = etree.fromstring(document)
        if found := structure_errors(tree, roots, namespace):
            return found
        if len(document) > _LONG:
            return schema_errors(first, tree, roots)
        keys = serialise(only_keys(tree, roots)).decode()
        if wrong := self._parse(keys, _CONFIGURATION | _Parse.ParseOnly, _Check.NoState):
            return schema_errors(wrong, tree, roots)
        wrong = self._parse(text, _CONFIGURATION, _Check.NoState | _Check.MultiError)
        errors = schema_errors(wrong, tree, roots)
        return errors + missing_events(tree, roots, beside=errors)

    def _parse(self, text: str, parse: Any, check: Any) -> list[Finding]:
        try:
            self._context.parse_data(text, libyang.DataFormat.XML, parse, check)
        except libyang.Error as error:
            found = [
                Finding(item.message or "", item.data_path or "", item.app_tag or "")
                for item in self._context.errors()
                if item.level == libyang.LogLevel.Error
            ]
            return found or [Finding(str(error), "", "")]
        finally:
            self._context.clean_all_errors()
        return []


def _shadow(element: etree._Element) -> etree._Element:
    """Return *element* in the namespace of the module that libyang can validate it by."""
    copied = deepcopy(element)
    for node in copied.iter():
        node.tag = qualified(_SHADOW_NAMESPACE, name_of(node)[1])
    return copied
