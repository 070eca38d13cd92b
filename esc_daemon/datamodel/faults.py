"""What is wrong with a document, in the words of RFC 6241 and RFC 7950 section 15."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final, NamedTuple

from lxml import etree

from esc_daemon.datamodel.names import PREFIX, bindings_of
from esc_daemon.datamodel.tree import Node
from esc_daemon.datamodel.wording import there_instead, worded
from esc_daemon.netconf.edit import NodeKind, instance_step
from esc_daemon.netconf.errors import ErrorTag, ErrorType, RpcError
from esc_daemon.netconf.xml import YANG_NS, name_of, qualified

MAX_ERRORS: Final = 50
"""Errors told of one edit; what comes after them is not even looked for."""
_STEP: Final = re.compile(r"/(?:[\w.-]+:)?(?P<name>[\w.-]+)(?:\[[^/]*\])?")
"""A step of libyang's, of a node that the document has not."""
_MISSING_CHOICE: Final = qualified(YANG_NS, "missing-choice")
"""RFC 7950 section 15.6: error-info names the choice."""
_PROTOCOL_TAGS: Final = frozenset(
    {
        ErrorTag.BAD_ELEMENT,
        ErrorTag.MISSING_ELEMENT,
        ErrorTag.UNKNOWN_ELEMENT,
        ErrorTag.UNKNOWN_NAMESPACE,
    }
)


class Finding(NamedTuple):
    """An error as libyang tells it."""

    message: str
    path: str
    app_tag: str


@dataclass(kw_only=True, slots=True, frozen=True)
class SchemaError:
    """
    One fault of a document.

    *path* is an instance path with a prefix on each step (see `names.bindings_of`); *bad* are the
    (name, text) of error-info. *beside* ends the message for who may read all: it tells of the
    data around.
    """

    tag: ErrorTag
    message: str
    path: str
    app_tag: str | None = None
    bad: tuple[tuple[str, str], ...] = ()
    beside: str = ""

    @classmethod
    def unexpected(
        cls, parent: str, element: tuple[str, str], expected: str, known: Collection[str] = ()
    ) -> "SchemaError":
        """Return the fault of an element that nobody knows; see `RpcError.unexpected`."""
        error = RpcError.unexpected(parent, element, expected, known=known)
        return cls(tag=error.tag, message=error.message, path=parent, bad=error.info)

    @classmethod
    def doubled(cls, path: str, name: str) -> "SchemaError":
        """Return the fault of an element that may occur only once."""
        return cls(
            tag=ErrorTag.BAD_ELEMENT,
            message=f"{name} may occur only once",
            path=path,
            bad=(("bad-element", name),),
        )

    @classmethod
    def dangling(cls, spot: "Spot", target: str) -> "SchemaError":
        """Return the fault of a leafref without its *target* (its path in the YANG)."""
        value = "" if spot.element is None else spot.element.text
        found = (  # as libyang says it
            f'Invalid leafref value "{value}" - no target instance "{target}" with the same value.'
        )
        return cls(
            tag=ErrorTag.DATA_MISSING,
            message=worded(found, spot.schema),
            path=spot.path,
            app_tag="instance-required",
            beside=spot.beside(found),
        )

    def as_parameter(self) -> "SchemaError":
        """Return the fault as one of an RPC's parameters: there an absent one is an element."""
        if self.tag is not ErrorTag.DATA_MISSING or self.app_tag is not None:
            return self
        name = self.path.rpartition(":")[2]
        return replace(self, tag=ErrorTag.MISSING_ELEMENT, bad=(("bad-element", name),))

    def rpc_error(self, *, discreet: bool = False) -> RpcError:
        """Return the fault as an rpc-error; a *discreet* one tells of no other data."""
        return RpcError(
            ErrorType.PROTOCOL if self.tag in _PROTOCOL_TAGS else ErrorType.APPLICATION,
            self.tag,
            self.message if discreet else self.message + self.beside,
            path=self.path,
            info=self.bad,
            app_tag=self.app_tag,
            namespaces=bindings_of(self.path) if self.path else None,
        )


class _Rule(NamedTuple):
    """How one kind of libyang's messages is told; *app_tag* only where libyang gives none."""

    pattern: re.Pattern[str]
    tag: ErrorTag
    app_tag: str | None = None
    below: bool = False
    """The path is the parent's: the node that the message names is to be added."""


def _rule(pattern: str, tag: ErrorTag, app_tag: str | None = None, *, below: bool = False) -> _Rule:
    return _Rule(re.compile(pattern), tag, app_tag, below)


# RFC 7950 section 15 gives tag and app-tag; for a mandatory leaf it says nothing: data-missing is
# what ESC's own server answers.
_RULES: Final = (
    _rule(r'^Mandatory node "(?P<name>[^"]+)" instance', ErrorTag.DATA_MISSING, below=True),
    _rule(r'^Mandatory choice "(?P<choice>[^"]+)" data', ErrorTag.DATA_MISSING, "missing-choice"),
    _rule(r"^Invalid leafref value", ErrorTag.DATA_MISSING, "instance-required"),
    _rule(r'^(Invalid|Unsatisfied|Unsupported|Value ")', ErrorTag.INVALID_VALUE),
    _rule(r'^Node "(?P<bad>[^"]+)" not found', ErrorTag.UNKNOWN_ELEMENT),
    _rule(r'^Child element "(?P<bad>[^"]+)"', ErrorTag.UNKNOWN_ELEMENT),
    _rule(r"^No module with namespace", ErrorTag.UNKNOWN_NAMESPACE),
    _rule(r'^List instance is missing its key "(?P<bad>[^"]+)"', ErrorTag.MISSING_ELEMENT),
    _rule(r'^Duplicate instance of "(?P<bad>[^"]+)"', ErrorTag.BAD_ELEMENT),
    _rule(r'^Data for both cases "(?P<bad>[^"]+)"', ErrorTag.BAD_ELEMENT),
    _rule(r"^Too few", ErrorTag.OPERATION_FAILED, "too-few-elements"),
    _rule(r"^Too many", ErrorTag.OPERATION_FAILED, "too-many-elements"),
)
_MUST: Final = _rule("", ErrorTag.OPERATION_FAILED, "must-violation")
_LEFT_OUT: Final = frozenset({ErrorTag.INVALID_VALUE, ErrorTag.BAD_ELEMENT})
"""What keeps a node out of the tree in which libyang looks for the rest."""


def schema_errors(
    findings: Sequence[Finding], document: etree._Element, roots: Mapping[str, Node]
) -> list[SchemaError]:
    """
    Return libyang's first *findings* in the protocol's words, each once, without consequences.

    *document* is what libyang has judged, *roots* are what may be its top-level node.
    """
    first = findings[:MAX_ERRORS]  # what keeps others out of the tree is found before them
    ways = _Ways(document, roots)
    errors = list(dict.fromkeys(_error(finding, ways) for finding in first))
    left_out = [error for error in errors if error.tag in _LEFT_OUT]
    return [error for error in errors if not any(_follows(error, bad) for bad in left_out)]


def _follows(error: SchemaError, bad: SchemaError) -> bool:
    """
    Tell whether *error* may be there only because libyang has left out the node of *bad*.

    It then finds the node missing, counts too few or too many of it, and leaves out the defaults
    beside it as well, so that a must compares what is not there.
    """
    if error.tag is ErrorTag.OPERATION_FAILED:
        return f"{bad.path}/".startswith((f"{error.path}/", f"{error.path}["))
    return error.tag is ErrorTag.DATA_MISSING and error.path == bad.path


class Spot(NamedTuple):
    """Where something was found: its path, and what of the node is known."""

    path: str
    schema: Node | None
    element: etree._Element | None

    def beside(self, message: str) -> str:
        """Return the end of libyang's *message* for who may read what stands around it."""
        return "" if self.element is None else there_instead(message, self.element)


def _error(finding: Finding, ways: "_Ways") -> SchemaError:
    for rule in _RULES:
        if match := rule.pattern.search(finding.message):
            break
    else:
        rule, match = _MUST, None
    named = {} if match is None else match.groupdict()
    spot = ways.spot(finding.path)
    below = f"/{ways.prefix}:{named['name']}" if rule.below else ""
    bad = {"bad-element": named.get("bad"), _MISSING_CHOICE: named.get("choice")}
    return SchemaError(
        tag=rule.tag,
        message=worded(finding.message, spot.schema, spot.path),
        path=spot.path + below,
        app_tag=finding.app_tag or rule.app_tag,
        bad=tuple((name, text) for name, text in bad.items() if text),
        beside=spot.beside(finding.message),
    )


class _Level(NamedTuple):
    """What stands side by side: each by libyang's step to it, and how long these are."""

    steps: Mapping[str, tuple[etree._Element, Node]]
    lengths: Sequence[int]

    @classmethod
    def of(cls, elements: Iterable[tuple[etree._Element, Node | None]]) -> "_Level":
        steps: dict[str, tuple[etree._Element, Node]] = {}
        for element, schema in elements:
            if schema is not None:
                steps.setdefault(_libyang_step(element, schema), (element, schema))
        return cls(steps, sorted({len(step) for step in steps}, reverse=True))

    def first_of(self, path: str) -> str | None:
        """Return the longest step that *path* may begin with."""
        ends = (length for length in self.lengths if path[length : length + 1] in {"", "/"})
        return next((path[:end] for end in ends if path[:end] in self.steps), None)


class _Ways:
    """Where libyang's paths lead in *document*. Each level is looked at once: it may be long."""

    def __init__(self, document: etree._Element, roots: Mapping[str, Node]) -> None:
        self.prefix = _prefix(document, roots)
        self._top = _Level.of([(document, roots.get(name_of(document)[1]))])
        self._below: dict[etree._Element, _Level] = {}

    def spot(self, path: str) -> Spot:
        """
        Return the place at libyang's *path*, an XPath expression with a prefix on each step.

        libyang puts quotes around a key whatever quotes are in it, so that its path cannot always
        be read: the way is looked up in the document. What is not there is read from the path.
        """
        rest = re.sub(r"^/[\w.-]+:", "/", path)  # the first step has a prefix
        told = ""
        level = self._top
        element: etree._Element | None = None
        schema: Node | None = None
        while rest and (step := level.first_of(rest)):
            element, schema = level.steps[step]
            told += instance_step(schema, _values(element, schema))
            rest = rest[len(step) :]
            level = self._level_below(element, schema)
        for left in _STEP.finditer(rest):
            told += f"/{self.prefix}:{left['name']}"
            element, schema = None, schema and schema.children.get(left["name"])
        return Spot(told, schema, element)

    def _level_below(self, element: etree._Element, schema: Node) -> _Level:
        if element not in self._below:
            self._below[element] = _Level.of(
                (child, schema.child(schema.namespace, name_of(child)[1])) for child in element
            )
        return self._below[element]


def spot_of(element: etree._Element, roots: Mapping[str, Node]) -> Spot:
    """Return the place of *element*, which the schema knows."""
    top, *below = [*reversed(list(element.iterancestors())), element]
    schema = roots[name_of(top)[1]]
    path = instance_step(schema, _values(top, schema))
    for each in below:
        known = schema.child(*name_of(each))
        assert known is not None
        schema = known
        path += instance_step(schema, _values(each, schema))
    return Spot(path, schema, element)


def _prefix(document: etree._Element, roots: Mapping[str, Node]) -> str:
    root = roots.get(name_of(document)[1])
    return PREFIX if root is None else root.prefix


def _libyang_step(element: etree._Element, schema: Node) -> str:
    """Return how libyang writes the step to *element*."""
    names = schema.keys or (".",)
    predicates = zip(names, _values(element, schema), strict=False)
    return f"/{schema.name}" + "".join(
        f'[{name}="{value}"]' if "'" in value else f"[{name}='{value}']"
        for name, value in predicates
    )


def _values(element: etree._Element, schema: Node) -> tuple[str, ...]:
    """Return what tells an entry of a list or a leaf-list from the others."""
    if schema.kind is NodeKind.LEAF_LIST:
        return (element.text or "",)
    namespace = name_of(element)[0]
    found = (element.findtext(qualified(namespace, key)) for key in schema.keys)
    return tuple(value for value in found if value is not None)


def structure_errors(
    document: etree._Element, roots: Mapping[str, Node], namespace: str
) -> list[SchemaError]:
    """Return what is wrong with the shape of *document*: it does not depend on values."""
    space, name = name_of(document)
    if space != namespace or name not in roots:
        return [SchemaError.unexpected("", (space, name), namespace, roots)]
    return list(islice(_shape(document, roots[name], "", namespace), MAX_ERRORS))


def _shape(
    element: etree._Element, schema: Node, parent: str, namespace: str
) -> Iterator[SchemaError]:
    values = [element.findtext(qualified(namespace, key)) for key in schema.keys]
    path = parent + instance_step(schema, tuple(value for value in values if value is not None))
    for key, value in zip(schema.keys, values, strict=True):
        if value is None:
            yield SchemaError(
                tag=ErrorTag.MISSING_ELEMENT,
                message=f"an entry of the list {schema.name} needs its key {key}",
                path=path,
                bad=(("bad-element", key),),
            )
    inner = schema.kind not in {NodeKind.LEAF, NodeKind.LEAF_LIST}
    if inner and _has_text(element):
        yield SchemaError(
            tag=ErrorTag.BAD_ELEMENT,
            message="text where elements belong",
            path=path,
            bad=(("bad-element", schema.name),),
        )
    singles: set[str] = set()
    for child in element:
        space, name = name_of(child)
        known = schema.child(schema.namespace, name) if inner and space == namespace else None
        if known is None:
            known_here = schema.names if inner else ()
            yield SchemaError.unexpected(path, (space, name), namespace, known_here)
            continue
        if name in singles:
            yield SchemaError.doubled(path + instance_step(known), name)
        elif known.kind not in {NodeKind.LIST, NodeKind.LEAF_LIST}:
            singles.add(name)
        yield from _shape(child, known, path, namespace)


def _has_text(element: etree._Element) -> bool:
    return any(text and text.strip() for text in (element.text, *(each.tail for each in element)))


def only_keys(document: etree._Element, roots: Mapping[str, Node]) -> etree._Element:
    """Return *document*, whose shape is right, with nothing but containers, entries and keys."""
    return _keys_of(document, roots[name_of(document)[1]])


def _keys_of(element: etree._Element, schema: Node) -> etree._Element:
    copied = etree.Element(element.tag, nsmap=element.nsmap)
    for child in element:
        known = schema.child(schema.namespace, name_of(child)[1])
        assert known is not None
        if known.name in schema.keys:
            etree.SubElement(copied, child.tag, nsmap=child.nsmap).text = child.text
        elif known.kind not in {NodeKind.LEAF, NodeKind.LEAF_LIST}:
            copied.append(_keys_of(child, known))
    return copied
