"""The operations of commands that take words in place of a file; pure."""

from collections.abc import Mapping

from lxml import etree

from esc_nc_cli.payload import Payload, as_edit_config
from esc_nc_cli.xmltree import BASE, ESC, child, qname


def delete_deployment(tenant: str, deployment: str) -> Payload:
    """Return the edit-config that undeploys *deployment*."""
    datamodel, entry = _tenant(tenant)
    doomed = child(child(entry, "deployments"), "deployment")
    doomed.set(qname(BASE, "operation"), "delete")
    child(doomed, "name", deployment)
    return Payload(operation=as_edit_config(datamodel))


def create_tenant(tenant: str, *, vim_mapping: bool = True, managed: bool = True) -> Payload:
    """Return the edit-config that makes *tenant*; what is the default is not sent."""
    datamodel, entry = _tenant(tenant)
    if not managed:
        child(entry, "managed_resource", "false")
    if not vim_mapping:
        child(entry, "vim_mapping", "false")
    return Payload(operation=as_edit_config(datamodel))


def delete_tenant(tenant: str) -> Payload:
    """Return the edit-config that removes *tenant* and what is configured inside it."""
    datamodel, entry = _tenant(tenant)
    entry.set(qname(BASE, "operation"), "delete")
    return Payload(operation=as_edit_config(datamodel))


def action_rpc(
    name: str, leaves: Mapping[str, str | None], further: etree._Element | None = None
) -> etree._Element:
    """Return the RPC *name* of ESC with *leaves*, but those that are None, and *further* input."""
    element = etree.Element(qname(ESC, name), nsmap={None: ESC})
    for leaf, value in leaves.items():
        if value is not None:
            child(element, leaf, value)
    if further is not None:
        element.append(further)
    return element


def _tenant(name: str) -> tuple[etree._Element, etree._Element]:
    """Return an esc_datamodel and the tenant in it."""
    datamodel = etree.Element(qname(ESC, "esc_datamodel"), nsmap={None: ESC, "nc": BASE})
    entry = child(child(datamodel, "tenants"), "tenant")
    child(entry, "name", name)
    return datamodel, entry
