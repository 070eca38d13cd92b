"""
Mend what printed guides get wrong, each slip with a warning; pure.

Reading a page, a copy of it or an older guide, these are met: a prefix without its declaration,
an element without its namespace, an attribute without its prefix, source in place of target.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from lxml import etree

from esc_nc_cli.xmltree import (
    BASE,
    ESC,
    Flaw,
    NotWellFormed,
    local_name,
    namespace_of,
    parse,
    qname,
)

# What may stand before the root element's name: a byte order mark, declaration, comments.
# Nothing is taken back (++, *+): a run of blanks could else be cut up in endless ways.
_PROLOG = re.compile(rb"\A(?:\xef\xbb\xbf)?(?:\s++|<\?.*?\?>|<!--.*?-->)*+<[^\s<>/!?]+", re.DOTALL)
# A declaration after blank lines; UTF-8 is what XML is read as without it.
_LATE_DECLARATION = re.compile(rb"\A\s+<\?xml\s[^>]*?\?>", re.IGNORECASE)
_OTHER_ENCODING = re.compile(rb"encoding\s*=\s*[\"'](?!utf-8|us-ascii)", re.IGNORECASE)
_NC_UNDECLARED = "Namespace prefix nc "
_OPERATIONS = frozenset({"merge", "replace", "create", "delete", "remove"})

ESC_ROOTS = frozenset({"esc_datamodel", "esc_system_config"})
ACTIONS = frozenset(
    {
        *("serviceAction", "vmAction", "recoveryVmAction"),
        *("hostAction", "vmBackupAction", "snapshotAction", "leftoverAction"),
        "recoveryGuardAction",
    }
)
"""RPCs of ESC's data model."""
BASE_OPERATIONS = frozenset(
    {
        *("get", "get-config", "edit-config", "copy-config", "delete-config", "validate"),
        *("lock", "unlock", "close-session", "kill-session"),
        *("commit", "discard-changes", "cancel-commit"),
    }
)
"""RFC 6241 sections 7 and 8."""
_BASE_ROOTS = BASE_OPERATIONS | {"rpc", "config"}


class Mended(NamedTuple):
    """A document that can be sent, and what had to be mended for it."""

    root: etree._Element
    warnings: tuple[str, ...]


def read(document: bytes) -> Mended:
    """
    Return *document*, well-formed and with every element in the namespace that it is meant in.

    Raises:
        XmlRefused: It is not well-formed and cannot be mended; places are those of *document*.
    """
    document, late = _with_early_declaration(document)
    root, undeclared = _with_nc_declared(document)
    return Mended(root, (*late, *undeclared, *_with_namespaces(root), *_with_prefixes(root)))


def mend_target(edit: etree._Element) -> Iterator[str]:
    """Put the target of an edit-config in the place of its source."""
    source = edit.find(qname(BASE, "source"))
    if source is not None and edit.find(qname(BASE, "target")) is None:
        source.tag = qname(BASE, "target")
        yield "<source> stands where <target> is meant; sent as <target>"


def _with_early_declaration(document: bytes) -> tuple[bytes, tuple[str, ...]]:
    late = _LATE_DECLARATION.match(document)
    if late is None or _OTHER_ENCODING.search(late[0]):
        return document, ()
    blank = re.sub(rb"\S", b" ", late[0])  # lines and columns stay what they are
    return blank + document[late.end() :], (
        "blank lines stand before the XML declaration; sent without",
    )


def _with_nc_declared(document: bytes) -> tuple[etree._Element, tuple[str, ...]]:
    try:
        return parse(document), ()
    except NotWellFormed as error:
        prolog = _PROLOG.match(document)
        flaws = error.flaws
        if prolog is None or not any(map(_is_undeclared_nc, flaws)):
            raise
    declaration = b' xmlns:nc="' + BASE.encode() + b'"'
    try:
        root = parse(document[: prolog.end()] + declaration + document[prolog.end() :])
    except NotWellFormed as error:
        others = tuple(flaw for flaw in flaws if not _is_undeclared_nc(flaw))
        raise NotWellFormed(others or flaws) from error
    return root, (f'the prefix nc is used without a declaration; sent with xmlns:nc="{BASE}"',)


def _is_undeclared_nc(flaw: Flaw) -> bool:
    return flaw.reason.startswith(_NC_UNDECLARED)


def _with_namespaces(root: etree._Element) -> tuple[str, ...]:
    """Move each element that a missing xmlns has left in no or the wrong namespace."""
    warnings: dict[str, None] = {}
    left: list[tuple[etree._Element, str | None]] = [(root, None)]
    while left:
        element, around = left.pop()
        name, namespace = local_name(element), namespace_of(element)
        home = _home(name, namespace, around)
        if home is not None and home != namespace:
            element.tag = qname(home, name)
            if around != home or element is root:
                warnings[f'<{name}> is not in its namespace; sent with xmlns="{home}"'] = None
        if (namespace or home, name) != (BASE, "filter"):  # no namespace means any in a filter
            left += [(below, home) for below in reversed(element)]
    return tuple(warnings)


def _home(name: str, namespace: str | None, around: str | None) -> str | None:
    """Return the namespace that an element is meant in; None: nobody knows."""
    if namespace not in {None, BASE}:
        return namespace
    if around == ESC or name in ESC_ROOTS | ACTIONS:
        return ESC
    if BASE in {namespace, around} or (around is None and name in _BASE_ROOTS):
        return BASE
    return None


def _with_prefixes(root: etree._Element) -> tuple[str, ...]:
    """Give the attribute operation inside a config the namespace that it has to have."""
    mended = False
    for element in root.iter(f"{{{ESC}}}*"):
        if (
            element.get("operation") in _OPERATIONS
            and qname(BASE, "operation") not in element.attrib
        ):
            element.set(qname(BASE, "operation"), element.attrib.pop("operation"))
            mended = True
    return ("the attribute operation has no prefix; sent as nc:operation",) if mended else ()
