"""
The states and every legal move between them, as data (DESIGN, law 2).

Service and VM states are those of seed 000, tables 1 and 2; operation states those of SOL003
v3.3.1, 5.6.2.2, that an operation can come to: nobody retries, rolls back or fails one yet.
`machine.next_state` reads these tables and the docs are drawn from them. Tests prove that every
state can be reached and left, and that every move is made.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class ServiceState(StrEnum):
    """The state of a deployment as a whole."""

    UNDEF = "SERVICE_UNDEF_STATE"
    DEPLOYING = "SERVICE_DEPLOYING_STATE"
    INERT = "SERVICE_INERT_STATE"
    ACTIVE = "SERVICE_ACTIVE_STATE"
    UNDEPLOYING = "SERVICE_UNDEPLOYING_STATE"
    STOPPING = "SERVICE_STOPPING_STATE"
    STOPPED = "SERVICE_STOPPED_STATE"
    STARTING = "SERVICE_STARTING_STATE"
    REBOOTING = "SERVICE_REBOOTING_STATE"
    ERROR = "SERVICE_ERROR_STATE"


class ServiceMove(StrEnum):
    """Why a service's state changes."""

    ACCEPTED = "accepted"
    VMS_DEPLOYED = "vms_deployed"
    VMS_ALIVE = "vms_alive"
    FAILED = "failed"
    REPAIRED = "repaired"
    RESUMED = "resumed"
    REMOVAL_WANTED = "removal_wanted"
    REMOVED = "removed"
    STOP_WANTED = "stop_wanted"
    STOPPED = "stopped"
    START_WANTED = "start_wanted"
    REBOOT_WANTED = "reboot_wanted"


class VmState(StrEnum):
    """The state of one VM."""

    UNDEF = "VM_UNDEF_STATE"
    DEPLOYING = "VM_DEPLOYING_STATE"
    MONITOR_UNSET = "VM_MONITOR_UNSET_STATE"
    MONITOR_DISABLED = "VM_MONITOR_DISABLED_STATE"
    STOPPING = "VM_STOPPING_STATE"
    SHUTOFF = "VM_SHUTOFF_STATE"
    STARTING = "VM_STARTING_STATE"
    REBOOTING = "VM_REBOOTING_STATE"
    INERT = "VM_INERT_STATE"
    ALIVE = "VM_ALIVE_STATE"
    UNDEPLOYING = "VM_UNDEPLOYING_STATE"
    ERROR = "VM_ERROR_STATE"


class VmMove(StrEnum):
    """Why a VM's state changes."""

    RESOURCES_READY = "resources_ready"
    TURN_COME = "turn_come"
    CREATED_MONITORED = "created_monitored"
    CREATED_UNMONITORED = "created_unmonitored"
    ANSWERED = "answered"
    FAILED = "failed"
    REMOVAL_WANTED = "removal_wanted"
    REDEPLOY_WANTED = "redeploy_wanted"
    REMOVED = "removed"
    MONITOR_OFF = "monitor_off"
    MONITOR_ON = "monitor_on"
    MONITOR_UNWANTED = "monitor_unwanted"
    MONITOR_RESUMED = "monitor_resumed"
    STOP_WANTED = "stop_wanted"
    STOPPED = "stopped"
    START_WANTED = "start_wanted"
    STARTED = "started"
    REBOOT_WANTED = "reboot_wanted"
    REBOOTED = "rebooted"


class ResourceState(StrEnum):
    """The state of a tenant, network, subnet, image or flavor."""

    UNDEF = "RESOURCE_UNDEF_STATE"
    CREATING = "RESOURCE_CREATING_STATE"
    ACTIVE = "RESOURCE_ACTIVE_STATE"
    DELETING = "RESOURCE_DELETING_STATE"
    LEFTOVER = "RESOURCE_LEFTOVER_STATE"
    ERROR = "RESOURCE_ERROR_STATE"


class ResourceMove(StrEnum):
    """Why a resource's state changes."""

    ACCEPTED = "accepted"
    CREATED = "created"
    FAILED = "failed"
    REMOVAL_WANTED = "removal_wanted"
    REMOVED = "removed"
    LEFT_BEHIND = "left_behind"
    KEPT = "kept"
    CHANGED = "changed"
    PURGED = "purged"


class OperationState(StrEnum):
    """The state of an operation occurrence."""

    STARTING = "STARTING"
    PROCESSING = "PROCESSING"
    COMPLETED = "COMPLETED"
    FAILED_TEMP = "FAILED_TEMP"
    ROLLED_BACK = "ROLLED_BACK"


class OperationMove(StrEnum):
    """Why an operation's state changes (SOL003 v3.3.1, 5.6.2.3)."""

    GRANTED = "granted"
    REJECTED = "rejected"
    SUCCEEDED = "succeeded"
    BROKE = "broke"


_S = ServiceState
_SM = ServiceMove

SERVICE_LIFECYCLE: Final[Mapping[ServiceState, Mapping[ServiceMove, ServiceState]]] = {
    _S.UNDEF: {_SM.ACCEPTED: _S.DEPLOYING},
    _S.DEPLOYING: {
        _SM.VMS_DEPLOYED: _S.INERT,
        _SM.VMS_ALIVE: _S.ACTIVE,
        _SM.FAILED: _S.ERROR,
        _SM.REMOVAL_WANTED: _S.UNDEPLOYING,
    },
    _S.INERT: {
        _SM.VMS_ALIVE: _S.ACTIVE,
        _SM.FAILED: _S.ERROR,
        _SM.REMOVAL_WANTED: _S.UNDEPLOYING,
    },
    _S.ACTIVE: {
        _SM.FAILED: _S.ERROR,
        _SM.STOP_WANTED: _S.STOPPING,
        _SM.START_WANTED: _S.STARTING,
        _SM.REBOOT_WANTED: _S.REBOOTING,
        _SM.REMOVAL_WANTED: _S.UNDEPLOYING,
    },
    _S.STOPPING: {
        _SM.STOPPED: _S.STOPPED,
        _SM.FAILED: _S.ERROR,
        _SM.REMOVAL_WANTED: _S.UNDEPLOYING,
    },
    _S.STOPPED: {_SM.START_WANTED: _S.STARTING, _SM.REMOVAL_WANTED: _S.UNDEPLOYING},
    _S.STARTING: {
        _SM.VMS_ALIVE: _S.ACTIVE,
        _SM.FAILED: _S.ERROR,
        _SM.REMOVAL_WANTED: _S.UNDEPLOYING,
    },
    _S.REBOOTING: {
        _SM.VMS_ALIVE: _S.ACTIVE,
        _SM.FAILED: _S.ERROR,
        _SM.REMOVAL_WANTED: _S.UNDEPLOYING,
    },
    # a failed operation leaves the deployment usable: recovery, update, or undeploy
    _S.ERROR: {
        _SM.REPAIRED: _S.ACTIVE,
        # a deployment that had stopped half-way goes on when what had failed is there
        _SM.RESUMED: _S.DEPLOYING,
        _SM.STOP_WANTED: _S.STOPPING,
        _SM.START_WANTED: _S.STARTING,
        _SM.REBOOT_WANTED: _S.REBOOTING,
        _SM.REMOVAL_WANTED: _S.UNDEPLOYING,
    },
    _S.UNDEPLOYING: {_SM.REMOVED: _S.UNDEF},
}

_V = VmState
_VM = VmMove

VM_LIFECYCLE: Final[Mapping[VmState, Mapping[VmMove, VmState]]] = {
    # a VM whose group waits for another group (policies/startup) rests here until its turn; nothing
    # was ever asked of the VIM for it, so there is nothing to be removed
    _V.UNDEF: {_VM.RESOURCES_READY: _V.DEPLOYING, _VM.TURN_COME: _V.DEPLOYING},
    _V.DEPLOYING: {
        _VM.CREATED_MONITORED: _V.INERT,
        _VM.CREATED_UNMONITORED: _V.MONITOR_UNSET,
        _VM.FAILED: _V.ERROR,
        _VM.REMOVAL_WANTED: _V.UNDEPLOYING,
    },
    _V.INERT: {
        _VM.ANSWERED: _V.ALIVE,
        _VM.MONITOR_OFF: _V.MONITOR_DISABLED,
        _VM.FAILED: _V.ERROR,
        _VM.REMOVAL_WANTED: _V.UNDEPLOYING,
    },
    _V.ALIVE: {
        _VM.MONITOR_OFF: _V.MONITOR_DISABLED,
        _VM.FAILED: _V.ERROR,
        _VM.REMOVAL_WANTED: _V.UNDEPLOYING,
    },
    _V.MONITOR_UNSET: {
        _VM.MONITOR_ON: _V.INERT,
        _VM.STOP_WANTED: _V.STOPPING,
        _VM.REBOOT_WANTED: _V.REBOOTING,
        _VM.REDEPLOY_WANTED: _V.UNDEPLOYING,
        _VM.FAILED: _V.ERROR,
        _VM.REMOVAL_WANTED: _V.UNDEPLOYING,
    },
    # monitoring is off while an action, an update or a recovery works on the VM; where an update
    # has not restarted it, it is held to live on until its first sample says otherwise
    _V.MONITOR_DISABLED: {
        _VM.MONITOR_ON: _V.INERT,
        _VM.MONITOR_UNWANTED: _V.MONITOR_UNSET,
        _VM.MONITOR_RESUMED: _V.ALIVE,
        _VM.ANSWERED: _V.ALIVE,
        _VM.STOP_WANTED: _V.STOPPING,
        _VM.REBOOT_WANTED: _V.REBOOTING,
        _VM.REDEPLOY_WANTED: _V.UNDEPLOYING,
        _VM.FAILED: _V.ERROR,
        _VM.REMOVAL_WANTED: _V.UNDEPLOYING,
    },
    _V.STOPPING: {
        _VM.STOPPED: _V.SHUTOFF,
        _VM.FAILED: _V.ERROR,
        _VM.REMOVAL_WANTED: _V.UNDEPLOYING,
    },
    _V.SHUTOFF: {_VM.START_WANTED: _V.STARTING, _VM.REMOVAL_WANTED: _V.UNDEPLOYING},
    _V.STARTING: {
        _VM.STARTED: _V.INERT,
        _VM.CREATED_UNMONITORED: _V.MONITOR_UNSET,
        _VM.FAILED: _V.ERROR,
        _VM.REMOVAL_WANTED: _V.UNDEPLOYING,
    },
    _V.REBOOTING: {
        _VM.REBOOTED: _V.INERT,
        _VM.CREATED_UNMONITORED: _V.MONITOR_UNSET,
        _VM.FAILED: _V.ERROR,
        _VM.REMOVAL_WANTED: _V.UNDEPLOYING,
    },
    _V.ERROR: {
        _VM.ANSWERED: _V.ALIVE,
        _VM.MONITOR_UNWANTED: _V.MONITOR_UNSET,
        _VM.STOP_WANTED: _V.STOPPING,
        _VM.START_WANTED: _V.STARTING,
        _VM.REBOOT_WANTED: _V.REBOOTING,
        _VM.REDEPLOY_WANTED: _V.UNDEPLOYING,
        _VM.REMOVAL_WANTED: _V.UNDEPLOYING,
    },
    _V.UNDEPLOYING: {
        _VM.REMOVED: _V.UNDEF,
        _VM.FAILED: _V.ERROR,
        _VM.RESOURCES_READY: _V.DEPLOYING,
        _VM.REMOVAL_WANTED: _V.UNDEPLOYING,
    },
}

_R = ResourceState
_RM = ResourceMove

RESOURCE_LIFECYCLE: Final[Mapping[ResourceState, Mapping[ResourceMove, ResourceState]]] = {
    _R.UNDEF: {_RM.ACCEPTED: _R.CREATING},
    _R.CREATING: {
        _RM.CREATED: _R.ACTIVE,
        _RM.FAILED: _R.ERROR,
        _RM.REMOVAL_WANTED: _R.DELETING,
    },
    # the VIM is asked to have it as it is wanted now
    _R.ACTIVE: {_RM.CHANGED: _R.CREATING, _RM.REMOVAL_WANTED: _R.DELETING},
    _R.ERROR: {_RM.CHANGED: _R.CREATING, _RM.REMOVAL_WANTED: _R.DELETING},
    # a network that an update took away is kept if another wants it before its VMs have left it
    _R.DELETING: {_RM.REMOVED: _R.UNDEF, _RM.LEFT_BEHIND: _R.LEFTOVER, _RM.KEPT: _R.ACTIVE},
    # tried again with long pauses; the same name may be asked for again meanwhile, and the operator
    # may have it forgotten
    _R.LEFTOVER: {
        _RM.REMOVED: _R.UNDEF,
        _RM.PURGED: _R.UNDEF,
        _RM.ACCEPTED: _R.CREATING,
    },
}

_O = OperationState
_OM = OperationMove

OPERATION_LIFECYCLE: Final[Mapping[OperationState, Mapping[OperationMove, OperationState]]] = {
    _O.STARTING: {_OM.GRANTED: _O.PROCESSING, _OM.REJECTED: _O.ROLLED_BACK},
    _O.PROCESSING: {_OM.SUCCEEDED: _O.COMPLETED, _OM.BROKE: _O.FAILED_TEMP},
    _O.COMPLETED: {},
    _O.FAILED_TEMP: {},
    _O.ROLLED_BACK: {},
}

SETTLED_VM_STATES: Final = frozenset({_V.ALIVE, _V.MONITOR_UNSET, _V.ERROR})
"""A VM that a deployment no longer waits for."""

SWITCHED_VM_STATES: Final = frozenset({_V.STOPPING, _V.STARTING, _V.REBOOTING})
"""A VM whose server is being switched off or on, or reset."""

MONITORED_VM_STATES: Final = frozenset({_V.INERT, _V.ALIVE})
"""A VM whose KPIs are watched: derived, so a restart arms the same monitors."""
