"""Say what there is where something was named that is not there."""

from collections.abc import Iterator, Sequence
from difflib import get_close_matches

from lxml import etree

from esc_nc_cli.apply import operation
from esc_nc_cli.client import ClientError, Reply, Session
from esc_nc_cli.xmltree import BASE, ESC, child, leaf, qname

_MOST_TOLD = 10
_MOST_COMPARED = 1000
_DATA_MISSING = "data-missing"


def what_is_there(reply: Reply, session: Session, tenant: str, deployment: str | None) -> str:
    """
    Return a line on the *tenant*, or the *deployment* in it, for which *reply* is data-missing.

    Empty where it is something else, or where the server does not tell what it has.
    """
    if not any(error.tag == _DATA_MISSING for error in reply.errors):
        return ""
    try:
        tenants = list(_names(session, None))
        if deployment is None or tenant not in tenants:
            return f"there is no tenant {tenant}{_known(tenant, tenants)}" if tenants else ""
        there = list(_names(session, tenant))
    except ClientError:
        return ""
    return f"there is no deployment {deployment} of tenant {tenant}{_known(deployment, there)}"


def _known(name: str, there: Sequence[str]) -> str:
    close = get_close_matches(name, there[:_MOST_COMPARED], n=1)
    if close:
        return f"; did you mean {close[0]}?"
    more = len(there) - _MOST_TOLD
    told = [*there[:_MOST_TOLD], *([f"{more} more"] if more > 0 else [])]
    return f" (there are: {', '.join(told) or 'none'})"


def _names(session: Session, tenant: str | None) -> Iterator[str]:
    """Yield the names of the tenants, or of the deployments of *tenant*, that are configured."""
    query = etree.Element(qname(BASE, "filter"), {"type": "subtree"}, nsmap={None: BASE})
    datamodel = etree.SubElement(query, qname(ESC, "esc_datamodel"), nsmap={None: ESC})
    entry = child(child(datamodel, "tenants"), "tenant")
    child(entry, "name", tenant)
    listed = "tenant"
    if tenant is not None:
        listed = "deployment"
        child(child(child(entry, "deployments"), listed), "name")
    for found in session.request(operation("get-config", query)).root.iter(qname(ESC, listed)):
        yield leaf(found, "name") or ""
