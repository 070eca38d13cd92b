"""Which record is told of an action that an operator asks for."""

from typing import Final

from esc_daemon.domain.errors import Refused
from esc_daemon.domain.ids import Key, Kind, OperationId, TenantName, VmId
from esc_daemon.domain.record import DeploymentRecord
from esc_daemon.domain.requests import Action, RecoveryVmAction, ServiceAction, VmAction
from esc_daemon.domain.triggers import ActionTrigger, RecoveryAsked, ServiceActed, VmActed
from esc_daemon.engine.boxes import Boxes

_ID_LENGTH: Final = 36
"""A VM's name ends with its id."""
_NAMES: Final = "state_machine/vm_state_machines/vm_state_machine/vm_name"
"""Where they are in a deployment of opdata, also those of VMs that were never made."""


def told_by(action: Action, id_: OperationId, boxes: Boxes) -> tuple[Key, ActionTrigger]:
    """
    Return the key of the record that *action*, the operation *id_*, is for, and what it is told.

    Raises:
        Refused: There is no such VM (data-missing).

    """
    match action:
        case ServiceAction():
            key = Key(Kind.DEPLOYMENT, TenantName(action.tenant), action.deployment)
            return key, ServiceActed(id=id_, action=action.type)
        case VmAction():
            key, vm = _vm_of(action.vm_name, boxes)
            return key, VmActed(id=id_, vm=vm, action=action.type, force=action.force)
        case RecoveryVmAction():
            key, vm = _vm_of(action.vm_name, boxes)
            return key, RecoveryAsked(id=id_, vm=vm)


def _vm_of(name: str, boxes: Boxes) -> tuple[Key, VmId]:
    vm = VmId(name[-_ID_LENGTH:])
    key = boxes.index.vms.get(vm)
    record = boxes.record(key) if key is not None else None
    if key is None or not isinstance(record, DeploymentRecord) or record.vms[vm].name != name:
        text = f"there is no VM [{name}]; opdata has the generated names ({_NAMES})"
        raise Refused("data-missing", text)
    return key, vm
