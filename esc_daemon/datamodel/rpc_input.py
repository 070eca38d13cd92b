"""The RPCs of the data model: from their input to what the domain is asked to do."""

from lxml import etree

from esc_daemon.datamodel.names import NAMESPACE
from esc_daemon.domain.leftovers import LeftoverAction, LeftoverActionType
from esc_daemon.netconf.xml import qualified


def leftover_action(rpc: etree._Element) -> LeftoverAction:
    """Return what the valid input of a leftoverAction asks for."""

    def given(leaf: str) -> str | None:
        return rpc.findtext(qualified(NAMESPACE, leaf))

    return LeftoverAction(
        type=LeftoverActionType((given("actionType") or "").strip()),
        kind=given("kind"),
        name=given("name"),
        id=given("id"),
        tenant=given("tenantName"),
        deployment=given("depName"),
        vim=given("vimId"),
    )
