"""
Turn the file a user has into the operation that is sent; pure.

    PayloadRefused   nothing is sent; the text says where and what to do
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from lxml import etree

from esc_nc_cli import mend
from esc_nc_cli.xmltree import (
    BASE,
    ESC,
    NotWellFormed,
    XmlRefused,
    child,
    local_name,
    namespace_of,
    qname,
)

_ANSWERS = frozenset({"hello", "rpc", "rpc-reply", "rpc-error", "data", "ok"})
_EXPECTED = "expected esc_datamodel, esc_system_config, nacm, config, edit-config or rpc"
_ACCESS_RULES = qname("urn:ietf:params:xml:ns:yang:ietf-netconf-acm", "nacm")
"""RFC 8341: the one root that is not ESC's."""
_ROOT_OF: Mapping[str, str] = {
    "tenants": "esc_datamodel",
    "images": "esc_datamodel",
    "flavors": "esc_datamodel",
    "file_servers": "esc_datamodel",
    "vim_connectors": "esc_system_config",
}
"""Parts that have one place only: right below a root."""
_OF_A_GROUP = "put it into a vm_group of a deployment"
_OF_A_DEPLOYMENT = "put it into esc_datamodel/tenants/tenant/deployments/deployment"
_OF_A_TENANT = "put it into esc_datamodel/tenants/tenant"
_PLACES: Mapping[str, str] = {
    **dict.fromkeys(("kpi_data", "kpi", "rules", "admin_rules", "rule"), _OF_A_GROUP),
    **dict.fromkeys(("interfaces", "interface", "scaling", "config_data"), _OF_A_GROUP),
    **dict.fromkeys(("recovery_policy", "image", "flavor"), _OF_A_GROUP),
    **dict.fromkeys(("policies", "policy"), f"{_OF_A_GROUP}, or into a deployment itself"),
    **dict.fromkeys(("vm_group", "vm_groups", "placement"), _OF_A_DEPLOYMENT),
    **dict.fromkeys(("deployment", "deployments"), _OF_A_TENANT),
    **dict.fromkeys(("network", "networks"), f"{_OF_A_TENANT}, or into esc_datamodel"),
    "tenant": "put it into esc_datamodel/tenants",
    "subnet": "put it into a network",
    "vim_connector": "put it into esc_system_config/vim_connectors",
}
"""Where other parts belong; which one is meant, only the user knows."""


class PayloadRefused(Exception):
    """The file is not what the command sends, and cannot be made so."""


class DefaultOperation(StrEnum):
    """RFC 6241 section 7.2."""

    MERGE = "merge"
    REPLACE = "replace"
    NONE = "none"


@dataclass(kw_only=True, slots=True, frozen=True)
class Payload:
    """An operation ready to be sent in an rpc, and what had to be mended for it."""

    operation: etree._Element
    warnings: tuple[str, ...] = ()


def read_edit(document: bytes, *, default_operation: DefaultOperation | None = None) -> Payload:
    """
    Return the edit-config that *document* means.

    It may be a bare esc_datamodel or esc_system_config, a config, an edit-config or a whole
    rpc. An action that stands where configuration is meant is returned as the rpc that it is.
    *default_operation* overrides the file's own.

    Raises:
        PayloadRefused: Not well-formed (with line and column), or no edit-config.
    """
    root, warnings = _read(document)
    edit, wrapping = _edit_config(root)
    payload = _mended_edit(edit, warnings + wrapping)
    if default_operation is not None and payload.operation is edit:
        _set_default_operation(edit, default_operation)
    return payload


def read_rpc(document: bytes) -> Payload:
    """
    Return the operation in *document*, a whole rpc or the bare operation.

    Raises:
        PayloadRefused: Not well-formed (with line and column), or no single operation.
    """
    root, warnings = _read(document)
    operation = _content(root) if root.tag == qname(BASE, "rpc") else root
    namespace, name = namespace_of(operation), local_name(operation)
    if namespace == BASE and name in _ANSWERS:
        raise PayloadRefused(f"{_place(operation)} is no operation")
    if (
        (namespace == BASE and name == "config")
        or (namespace in {None, ESC} and name in mend.ESC_ROOTS | _ROOT_OF.keys() | _PLACES.keys())
        or operation.tag == _ACCESS_RULES
    ):
        raise PayloadRefused(f"{_place(operation)} is configuration; edit-config sends it")
    if namespace is None:
        raise PayloadRefused(f"{_place(operation)} has no namespace")
    if operation.tag == qname(BASE, "edit-config"):
        return _mended_edit(operation, warnings)
    return Payload(operation=operation, warnings=warnings)


def read_input(document: bytes) -> tuple[etree._Element, tuple[str, ...]]:
    """
    Return an element that an action of ESC takes beside its leaves, such as properties.

    Raises:
        PayloadRefused: Not well-formed (with line and column), or a request of its own.
    """
    root, warnings = _read(document)
    namespace, name = namespace_of(root), local_name(root)
    if namespace == BASE or name in mend.ESC_ROOTS | mend.ACTIONS:
        raise PayloadRefused(
            f"{_place(root)} is no input of an action; rpc or edit-config sends it"
        )
    if namespace is None:
        for element in root.iter():
            element.tag = qname(ESC, local_name(element))
        warnings += (f'<{name}> is not in its namespace; sent with xmlns="{ESC}"',)
    return root, warnings


def as_edit_config(*roots: etree._Element) -> etree._Element:
    """Return an edit-config of running that holds *roots*."""
    config = etree.Element(qname(BASE, "config"), nsmap={None: BASE})
    config.extend(roots)
    return _around(config)


def _read(document: bytes) -> mend.Mended:
    try:
        return mend.read(document)
    except NotWellFormed as error:
        raise PayloadRefused(f"not well-formed: {error}") from error
    except XmlRefused as error:
        raise PayloadRefused(str(error)) from error


def _edit_config(root: etree._Element) -> tuple[etree._Element, tuple[str, ...]]:
    """Return the edit-config of *root*, with a warning where it had to be put into more."""
    name, namespace = local_name(root), namespace_of(root)
    if namespace == BASE and name == "rpc":
        return _from_rpc(root), ()
    if namespace == BASE and name == "edit-config":
        return root, ()
    if namespace == BASE and name == "config":
        return _around(root), ()
    if (namespace == ESC and name in mend.ESC_ROOTS) or root.tag == _ACCESS_RULES:
        return as_edit_config(root), ()
    if namespace in {None, ESC} and name in _ROOT_OF:
        return _in_its_root(root, _ROOT_OF[name])
    raise PayloadRefused(f"{_place(root)} {_misplaced(name, namespace)}")


def _in_its_root(part: etree._Element, name: str) -> tuple[etree._Element, tuple[str, ...]]:
    for element in part.iter():
        element.tag = qname(namespace_of(element) or ESC, local_name(element))
    root = etree.Element(qname(ESC, name), nsmap={None: ESC})
    root.append(part)
    return as_edit_config(root), (f"<{local_name(part)}> stands alone; sent inside {name}",)


def _misplaced(name: str, namespace: str | None) -> str:
    if namespace in {None, ESC} and name in _PLACES:
        return f"is a part of a configuration: {_PLACES[name]}"
    if namespace == ESC and name in mend.ACTIONS:
        return "is an rpc and no configuration; the command rpc sends it"
    if namespace == BASE and name in mend.BASE_OPERATIONS:
        return "is no edit-config; the command rpc sends it"
    origin = "" if namespace is None else f"of {namespace} "
    return f"{origin}is no configuration; {_EXPECTED}"


def _from_rpc(rpc: etree._Element) -> etree._Element:
    operation = _content(rpc)
    if operation.tag != qname(BASE, "edit-config"):
        raise PayloadRefused(
            f"the rpc holds {local_name(operation)}, no edit-config; the command rpc sends it"
        )
    return operation


def _content(rpc: etree._Element) -> etree._Element:
    if len(rpc) != 1:
        held = ", ".join(local_name(element) for element in rpc) or "nothing"
        raise PayloadRefused(f"the rpc holds {held}; it has to hold one operation")
    return rpc[0]


def _around(config: etree._Element) -> etree._Element:
    edit = etree.Element(qname(BASE, "edit-config"), nsmap={None: BASE})
    child(child(edit, "target", namespace=BASE), "running", namespace=BASE)
    edit.append(config)
    return edit


def _mended_edit(edit: etree._Element, warnings: tuple[str, ...]) -> Payload:
    """Return *edit* with its target, or the action that it holds in place of a configuration."""
    config = edit.find(qname(BASE, "config"))
    held = () if config is None else tuple(config)
    action = next(
        (e for e in held if namespace_of(e) == ESC and local_name(e) in mend.ACTIONS), None
    )
    if action is None:
        return Payload(operation=edit, warnings=(*warnings, *mend.mend_target(edit)))
    name = local_name(action)
    if len(held) > 1:
        raise PayloadRefused(f"{_place(action)} is an rpc of its own; send it apart from the rest")
    slip = f"<{name}> is an rpc and no configuration; sent as an rpc of its own"
    return Payload(operation=action, warnings=(*warnings, slip))


def _place(element: etree._Element) -> str:
    return f"line {element.sourceline}: <{local_name(element)}>"


def _set_default_operation(edit: etree._Element, operation: DefaultOperation) -> None:
    tag = qname(BASE, "default-operation")
    element = edit.find(tag)
    if element is None:
        element = etree.Element(tag)
        target = edit.find(qname(BASE, "target"))
        # The order is that of RFC 6241's schema: target, default-operation, ...
        edit.insert(0 if target is None else edit.index(target) + 1, element)
    element.text = operation.value
