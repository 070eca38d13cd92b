"""
Turn the file a user has into the edit-config that is sent; pure.

    PayloadRefused   nothing is sent; the text says where and what to do
"""

import re
from dataclasses import dataclass
from enum import StrEnum

from lxml import etree

from esc_nc_cli.xmltree import (
    BASE,
    ESC,
    Flaw,
    NotWellFormed,
    XmlRefused,
    child,
    local_name,
    namespace_of,
    parse,
    qname,
)

# What may stand before the root element's name: a byte order mark, declaration, comments.
_PROLOG = re.compile(rb"\A(?:\xef\xbb\xbf)?(?:\s+|<\?.*?\?>|<!--.*?-->)*<[^\s<>/!?]+", re.DOTALL)
_NC_UNDECLARED = "Namespace prefix nc "
_ESC_ROOTS = frozenset({"esc_datamodel", "esc_system_config"})
_BASE_ROOTS = frozenset({"config", "edit-config", "rpc"})
_EXPECTED = "expected esc_datamodel, config, edit-config or rpc"


class PayloadRefused(Exception):
    """The file is no edit-config and cannot be made one."""


class DefaultOperation(StrEnum):
    """RFC 6241 section 7.2."""

    MERGE = "merge"
    REPLACE = "replace"
    NONE = "none"


@dataclass(kw_only=True, slots=True, frozen=True)
class Payload:
    """An edit-config ready to send, and what had to be mended for it."""

    edit_config: etree._Element
    warnings: tuple[str, ...] = ()


def read(document: bytes, *, default_operation: DefaultOperation | None = None) -> Payload:
    """
    Return the edit-config that *document* means.

    It may be a bare esc_datamodel, a config, an edit-config or a whole rpc. Two slips that
    printed guides have are mended with a warning: source in place of target, and the
    prefix nc without its declaration. *default_operation* overrides the file's own.

    Raises:
        PayloadRefused: Not well-formed (with line and column), or no edit-config.
    """
    root, warnings = _parse_mending(document)
    edit = _edit_config(root)
    if _mend_source(edit):
        warnings += ("<source> stands where <target> is meant; sent as <target>",)
    if default_operation is not None:
        _set_default_operation(edit, default_operation)
    return Payload(edit_config=edit, warnings=warnings)


def delete_deployment(tenant: str, deployment: str) -> Payload:
    """Return the edit-config that undeploys *deployment*."""
    datamodel = etree.Element(qname(ESC, "esc_datamodel"), nsmap={None: ESC, "nc": BASE})
    entry = child(child(datamodel, "tenants"), "tenant")
    child(entry, "name", tenant)
    doomed = child(child(entry, "deployments"), "deployment")
    doomed.set(qname(BASE, "operation"), "delete")
    child(doomed, "name", deployment)
    return Payload(edit_config=_edit_config(datamodel))


def _parse_mending(document: bytes) -> tuple[etree._Element, tuple[str, ...]]:
    try:
        return parse(document), ()
    except NotWellFormed as error:
        prolog = _PROLOG.match(document)
        mendable = any(flaw.reason.startswith(_NC_UNDECLARED) for flaw in error.flaws)
        if prolog is None or not mendable:
            raise PayloadRefused(f"not well-formed: {error}") from error
        return _with_nc_declared(document, prolog.end(), error.flaws)
    except XmlRefused as error:
        raise PayloadRefused(str(error)) from error


def _with_nc_declared(
    document: bytes, at: int, flaws: tuple[Flaw, ...]
) -> tuple[etree._Element, tuple[str, ...]]:
    declared = document[:at] + b' xmlns:nc="' + BASE.encode() + b'"' + document[at:]
    try:
        root = parse(declared)
    except XmlRefused as error:
        # The places are those of the user's file, not of the mended one.
        others = tuple(f for f in flaws if not f.reason.startswith(_NC_UNDECLARED))
        raise PayloadRefused(f"not well-formed: {NotWellFormed(others or flaws)}") from error
    return root, (f'the prefix nc is used without a declaration; sent with xmlns:nc="{BASE}"',)


def _edit_config(root: etree._Element) -> etree._Element:
    name, namespace = local_name(root), namespace_of(root)
    match namespace, name:
        case _, "rpc" if namespace == BASE:
            return _from_rpc(root)
        case _, "edit-config" if namespace == BASE:
            return root
        case _, "config" if namespace == BASE:
            return _around(root)
        case _, _ if namespace == ESC and name in _ESC_ROOTS:
            config = etree.Element(qname(BASE, "config"), nsmap={None: BASE})
            config.append(root)
            return _around(config)
        case None, _ if name in _ESC_ROOTS | _BASE_ROOTS:
            wanted = ESC if name in _ESC_ROOTS else BASE
            raise PayloadRefused(
                f"line {root.sourceline}: <{name}> has no namespace; "
                f'write <{name} xmlns="{wanted}">'
            )
        case _:
            origin = "" if namespace is None else f" of {namespace}"
            raise PayloadRefused(
                f"line {root.sourceline}: <{name}>{origin} is no configuration; {_EXPECTED}"
            )


def _from_rpc(rpc: etree._Element) -> etree._Element:
    edit = rpc.find(qname(BASE, "edit-config"))
    if edit is None:
        held = ", ".join(local_name(element) for element in rpc) or "nothing"
        raise PayloadRefused(f"the rpc holds {held}, no edit-config")
    return edit


def _around(config: etree._Element) -> etree._Element:
    edit = etree.Element(qname(BASE, "edit-config"), nsmap={None: BASE})
    child(child(edit, "target", namespace=BASE), "running", namespace=BASE)
    edit.append(config)
    return edit


def _mend_source(edit: etree._Element) -> bool:
    source = edit.find(qname(BASE, "source"))
    if source is None or edit.find(qname(BASE, "target")) is not None:
        return False
    source.tag = qname(BASE, "target")
    return True


def _set_default_operation(edit: etree._Element, operation: DefaultOperation) -> None:
    tag = qname(BASE, "default-operation")
    element = edit.find(tag)
    if element is None:
        element = etree.Element(tag)
        target = edit.find(qname(BASE, "target"))
        # The order is that of RFC 6241's schema: target, default-operation, ...
        edit.insert(0 if target is None else edit.index(target) + 1, element)
    element.text = operation.value
