"""What an operator may ask of a deployment or a VM, by the names that a client knows."""

from dataclasses import dataclass

from esc_daemon.domain.record import ActionType


@dataclass(kw_only=True, slots=True, frozen=True)
class ServiceAction:
    """Do *type* to every VM of a deployment."""

    type: ActionType
    tenant: str
    deployment: str


@dataclass(kw_only=True, slots=True, frozen=True)
class VmAction:
    """Do *type* to the VM of that (generated) name; *force*: whatever min_active says."""

    type: ActionType
    vm_name: str
    force: bool = False


@dataclass(kw_only=True, slots=True, frozen=True)
class RecoveryVmAction:
    """Recover the VM of that (generated) name."""

    vm_name: str


Action = ServiceAction | VmAction | RecoveryVmAction
