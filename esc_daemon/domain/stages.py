"""The stages of life cycles at which scripts run, and what has yet to run of those that came."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from esc_daemon.domain.changed import quick
from esc_daemon.domain.ids import VmId
from esc_daemon.domain.specs import HookScript


class Stage(StrEnum):
    """A stage that policies may name, each one that runs (ESC User Guide 5.1, supported LCS)."""

    POST_DEPLOY_ALIVE = "LCS::POST_DEPLOY_ALIVE"
    """A deployment is active."""

    DEPLOY_ERR = "LCS::DEPLOY_ERR"
    """A deployment has failed."""

    POST_VM_ALIVE = "LCS::DEPLOY::POST_VM_ALIVE"
    """A VM that is new, or was recovered, is alive."""

    RECOVERY_ERR = "LCS::POST_DEPLOY::VM_RECOVERY_ERR"
    """The recovery of a VM has failed."""

    RECOVERY_REDEPLOY_ERR = "LCS::POST_DEPLOY::VM_RECOVERY_REDEPLOY_ERR"
    """The recovery of a VM has failed that had come to a redeploy."""

    PRE_VOLUME_DETACH = "LCS::DEPLOY_UPDATE::VM_PRE_VOLUME_DETACH"
    """An update is about to take volumes from a VM."""

    VOLUME_ATTACHED = "LCS::DEPLOY_UPDATE::VM_VOLUME_ATTACHED"
    """An update has given a VM new volumes."""

    SOFTWARE_VERSION_UPDATED = "LCS::DEPLOY_UPDATE::VM_SOFTWARE_VERSION_UPDATED"
    """An update changes the version of what is in a VM."""


@quick
@dataclass(kw_only=True, slots=True, frozen=True)
class Errand:
    """
    The *scripts* of a stage that came at *came*, as they were then; nobody has told of their end.

    *vm* is the VM that it came for, and *name* that VM's; None: for the deployment.
    """

    stage: Stage
    scripts: tuple[HookScript, ...]
    came: datetime
    vm: VmId | None = None
    name: str = ""
