"""
What people send that is not in this data model, and what to send instead.

Services of ESC 1.x, and actions that some guides print inside an edit-config.
"""

from collections.abc import Mapping
from typing import Final

_SERVICES: Final = (
    "services of ESC 1.x are not known; send tenants/tenant/deployments/deployment, whose"
    " vm_group names image and flavor (defined in images and flavors where the VIM lacks them)"
)
_ACTION: Final = "an action is an rpc of its own and no configuration; send it inside rpc itself"
_INSTEAD: Final[Mapping[str, str]] = {
    "services": _SERVICES,
    "service_definition": _SERVICES,
    **dict.fromkeys(
        (
            *("serviceAction", "vmAction", "recoveryVmAction"),
            *("hostAction", "vmBackupAction", "snapshotAction", "leftoverAction"),
            "recoveryGuardAction",
        ),
        _ACTION,
    ),
}


def instead(name: str) -> str | None:
    """Return what to send in place of an unknown element *name*, where that is known."""
    hint = _INSTEAD.get(name)
    return None if hint is None else f"the element {name} is not known here: {hint}"
