"""What is wrong with a document, in the words of RFC 6241 and RFC 7950 section 15."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from lxml import etree

from esc_daemon.datamodel.names import PREFIX, bindings_of
from esc_daemon.netconf.edit import NodeKind, SchemaNode, instance_step
from esc_daemon.netconf.errors import ErrorTag, ErrorType, RpcError
from esc_daemon.netconf.xml import YANG_NS, name_of, qualified

MAX_ERRORS: Final = 50
"""Errors told of one edit; what comes after them is not even looked for."""
_STEP: Final = re.compile(r"/(?:[\w.-]+:)?(?P<name>[\w.-]+)(?:\[[^/]*\])?")
"""A step of libyang's, of a node that the document has not."""
_QUOTED: Final = re.compile(r'"[^"]*"')
_NO_TYPE: Final = re.compile(
    r'^Invalid union value (".*?") - no matching subtype found:', re.DOTALL
)
_NO_TARGET: Final = re.compile(
    r'^Invalid leafref value (".*")( - no target instance "[^"]*" with the same value\.)$',
    re.DOTALL,
)
_LONGEST_QUOTE: Final = 64
"""Characters of a refused value that an error may repeat; day-0 data may hold secrets."""
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
    (name, text) of error-info.
    """

    tag: ErrorTag
    message: str
    path: str
    app_tag: str | None = None
    bad: tuple[tuple[str, str], ...] = ()

    @classmethod
    def unexpected(cls, parent: str, element: tuple[str, str], expected: str) -> "SchemaError":
        """Return the fault of an element that nobody knows; see `RpcError.unexpected`."""
        error = RpcError.unexpected(parent, element, expected)
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
    def dangling(cls, path: str, value: str, target: str) -> "SchemaError":
        """Return the fault of a leafref without its *target* (its path in the YANG)."""
        quoted = _shortened(f'"{value}"')
        return cls(
            tag=ErrorTag.DATA_MISSING,
            message=f'Invalid leafref value {quoted} - no target instance "{target}" with the'
            " same value.",
            path=path,
            app_tag="instance-required",
        )

    def as_parameter(self) -> "SchemaError":
        """Return the fault as one of an RPC's parameters: there an absent one is an element."""
        if self.tag is not ErrorTag.DATA_MISSING or self.app_tag is not None:
            return self
        name = self.path.rpartition(":")[2]
        return replace(self, tag=ErrorTag.MISSING_ELEMENT, bad=(("bad-element", name),))

    def rpc_error(self) -> RpcError:
        """Return the fault as an rpc-error."""
        return RpcError(
            ErrorType.PROTOCOL if self.tag in _PROTOCOL_TAGS else ErrorType.APPLICATION,
            self.tag,
            self.message,
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
    findings: Sequence[Finding], document: etree._Element, roots: Mapping[str, SchemaNode]
) -> list[SchemaError]:
    """
    Return libyang's first *findings* in the protocol's words, each once, without consequences.

    *document* is what libyang has judged, *roots* are what may be its top-level node.
    """
    first = findings[:MAX_ERRORS]  # what keeps others out of the tree is found before them
    errors = list(dict.fromkeys(_error(finding, document, roots) for finding in first))
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


def _error(
    finding: Finding, document: etree._Element, roots: Mapping[str, SchemaNode]
) -> SchemaError:
    for rule in _RULES:
        if match := rule.pattern.search(finding.message):
            break
    else:
        rule, match = _MUST, None
    named = {} if match is None else match.groupdict()
    path = _instance_path(finding.path, document, roots)
    if rule.below:
        path += f"/{_prefix(document, roots)}:{named['name']}"
    bad = {"bad-element": named.get("bad"), _MISSING_CHOICE: named.get("choice")}
    return SchemaError(
        tag=rule.tag,
        message=_plain(finding.message),
        path=path,
        app_tag=finding.app_tag or rule.app_tag,
        bad=tuple((name, text) for name, text in bad.items() if text),
    )


def _plain(message: str) -> str:
    """Return libyang's *message* in one line and without long values."""
    if found := _NO_TYPE.search(message):
        value = _shortened(found[1])
        return f"Invalid value {value} - it is of none of the types that may stand here."
    if found := _NO_TARGET.search(message):
        # the path is the schema's: it says what has to be there
        return f"Invalid leafref value {_shortened(found[1])}{found[2]}"
    return _QUOTED.sub(lambda quoted: _shortened(quoted[0]), message)


def _shortened(quoted: str) -> str:
    long = len(quoted) > _LONGEST_QUOTE + 2
    return f"of {len(quoted) - 2} characters" if long else quoted


def _instance_path(path: str, document: etree._Element, roots: Mapping[str, SchemaNode]) -> str:
    """
    Return libyang's *path* as an XPath expression with a prefix on each step.

    libyang puts quotes around a key whatever quotes are in it, so that its path cannot always be
    read: the way is looked up in *document*. What is not there is read from the path.
    """
    rest = re.sub(r"^/[\w.-]+:", "/", path)  # the first step has a prefix
    told = ""
    level = [(document, roots.get(name_of(document)[1]))]
    while rest:
        steps = (
            (_libyang_step(element, schema), element, schema)
            for element, schema in level
            if schema is not None and rest.startswith(f"/{schema.name}")
        )
        passed = [step for step in steps if f"{rest}/".startswith(f"{step[0]}/")]
        if not passed:
            break
        step, element, schema = max(passed, key=lambda each: len(each[0]))
        told += instance_step(schema, _values(element, schema))
        rest = rest[len(step) :]
        level = [(child, schema.child(schema.namespace, name_of(child)[1])) for child in element]
    prefix = _prefix(document, roots)
    return told + "".join(f"/{prefix}:{step['name']}" for step in _STEP.finditer(rest))


def path_of(element: etree._Element, roots: Mapping[str, SchemaNode]) -> str:
    """Return the instance path of *element*, which the schema knows."""
    top, *below = [*reversed(list(element.iterancestors())), element]
    schema = roots[name_of(top)[1]]
    path = instance_step(schema, _values(top, schema))
    for each in below:
        known = schema.child(*name_of(each))
        assert known is not None
        schema = known
        path += instance_step(schema, _values(each, schema))
    return path


def _prefix(document: etree._Element, roots: Mapping[str, SchemaNode]) -> str:
    root = roots.get(name_of(document)[1])
    return PREFIX if root is None else root.prefix


def _libyang_step(element: etree._Element, schema: SchemaNode) -> str:
    """Return how libyang writes the step to *element*."""
    names = schema.keys or (".",)
    predicates = zip(names, _values(element, schema), strict=False)
    return f"/{schema.name}" + "".join(
        f'[{name}="{value}"]' if "'" in value else f"[{name}='{value}']"
        for name, value in predicates
    )


def _values(element: etree._Element, schema: SchemaNode) -> tuple[str, ...]:
    """Return what tells an entry of a list or a leaf-list from the others."""
    if schema.kind is NodeKind.LEAF_LIST:
        return (element.text or "",)
    namespace = name_of(element)[0]
    found = (element.findtext(qualified(namespace, key)) for key in schema.keys)
    return tuple(value for value in found if value is not None)


def structure_errors(
    document: etree._Element, roots: Mapping[str, SchemaNode], namespace: str
) -> list[SchemaError]:
    """Return what is wrong with the shape of *document*: it does not depend on values."""
    space, name = name_of(document)
    if space != namespace or name not in roots:
        return [SchemaError.unexpected("", (space, name), namespace)]
    return list(_shape(document, roots[name], "", namespace))


def _shape(
    element: etree._Element, schema: SchemaNode, parent: str, namespace: str
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
            yield SchemaError.unexpected(path, (space, name), namespace)
            continue
        if name in singles:
            yield SchemaError.doubled(path + instance_step(known), name)
        elif known.kind not in {NodeKind.LIST, NodeKind.LEAF_LIST}:
            singles.add(name)
        yield from _shape(child, known, path, namespace)


def _has_text(element: etree._Element) -> bool:
    return any(text and text.strip() for text in (element.text, *(each.tail for each in element)))


def only_keys(document: etree._Element, roots: Mapping[str, SchemaNode]) -> etree._Element:
    """Return *document*, whose shape is right, with nothing but containers, entries and keys."""
    return _keys_of(document, roots[name_of(document)[1]])


def _keys_of(element: etree._Element, schema: SchemaNode) -> etree._Element:
    copied = etree.Element(element.tag, nsmap=element.nsmap)
    for child in element:
        known = schema.child(schema.namespace, name_of(child)[1])
        assert known is not None
        if known.name in schema.keys:
            etree.SubElement(copied, child.tag, nsmap=child.nsmap).text = child.text
        elif known.kind not in {NodeKind.LEAF, NodeKind.LEAF_LIST}:
            copied.append(_keys_of(child, known))
    return copied
