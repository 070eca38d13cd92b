"""The RPCs of the data model: from their input to what the domain is asked to do."""

from lxml import etree

from esc_daemon.datamodel.names import NAMESPACE
from esc_daemon.domain.ids import VimId
from esc_daemon.domain.leftovers import LeftoverAction, LeftoverActionType
from esc_daemon.domain.record import ActionType
from esc_daemon.domain.requests import RecoveryVmAction, ServiceAction, VmAction
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


def service_action(rpc: etree._Element) -> ServiceAction:
    """Return what the valid input of a serviceAction asks for."""
    return ServiceAction(
        type=ActionType(_given(rpc, "actionType")),
        tenant=_given(rpc, "tenantName"),
        deployment=_given(rpc, "depName"),
    )


def vm_action(rpc: etree._Element) -> VmAction:
    """Return what the valid input of a vmAction asks for."""
    return VmAction(
        type=ActionType(_given(rpc, "actionType")),
        vm_name=_given(rpc, "vmName"),
        force=_given(rpc, "force") in {"true", "1"},
    )


def recovery_vm_action(rpc: etree._Element) -> RecoveryVmAction:
    """Return what the valid input of a recoveryVmAction asks for."""
    return RecoveryVmAction(vm_name=_given(rpc, "vmName"))


def _given(rpc: etree._Element, leaf: str) -> str:
    return (rpc.findtext(qualified(NAMESPACE, leaf)) or "").strip()


def recovery_guard_release(rpc: etree._Element) -> VimId | None:
    """Return in which VIM a valid recoveryGuardAction releases what is held, None: everywhere."""
    vim = _given(rpc, "vimId")
    return VimId(vim) if vim else None
