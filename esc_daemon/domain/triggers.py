"""
What happens to a record.

Northbound triggers (`IntentChanged`, `ActionTrigger`) may be refused; all others are answers to
commands or observations: they may come late, twice, or not at all, and a record takes what still
concerns it and ignores the rest.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from esc_daemon.domain.changed import quick
from esc_daemon.domain.ids import (
    NO_VIM,
    EditId,
    Key,
    OperationId,
    RecordId,
    ServerKey,
    VimId,
    VmId,
)
from esc_daemon.domain.intent import Intent, VimConnector
from esc_daemon.domain.record import ActionType
from esc_daemon.domain.specs import Power, ResourceHandle, Server, ServerStatus, VimStatus
from esc_daemon.domain.stages import Errand


@quick
@dataclass(kw_only=True, slots=True, frozen=True)
class IntentChanged:
    """
    The configuration entry changed; *intent* None: it is gone.

    *id* names the incarnation in case this creates one (law 1: ids come from outside).
    *owner* is set for the ephemeral networks of a deployment. *vim* is the connector in which
    lives what the intent gives no place to. *edit* is set where the order of kinds of that edit
    holds beyond what needs what (`decompose_edit`).
    """

    id: RecordId
    intent: Intent | None
    owner: tuple[Key, RecordId] | None = None
    vim: VimId = NO_VIM
    edit: EditId | None = None


@quick
@dataclass(kw_only=True, slots=True, frozen=True)
class ResourcesReady:
    """
    Every neighbour that was awaited is ready; those without a record of ours are absent.

    *waiter*, here and in the two below, is that of the `Await` which is answered: an answer to
    an incarnation that has ended since must not move the next one under its name.
    """

    waiter: RecordId
    handles: Mapping[Key, ResourceHandle] = field(default_factory=dict)


@quick
@dataclass(kw_only=True, slots=True, frozen=True)
class ResourceFailed:
    """A neighbour that was awaited will not become ready."""

    waiter: RecordId
    key: Key
    error: str


@quick
@dataclass(kw_only=True, slots=True, frozen=True)
class NeighboursGone:
    """Those of *gone*, which had to leave first, have left; *failures* could not be removed."""

    waiter: RecordId
    failures: tuple[tuple[Key, str], ...] = ()
    gone: tuple[Key, ...] = field(default=(), compare=False)


@quick
@dataclass(kw_only=True, slots=True, frozen=True)
class ServerSeen:
    """The VIM has this server, in the status that it tells."""

    server: Server


@quick
@dataclass(kw_only=True, slots=True, frozen=True)
class ServerGone:
    """
    The VIM has no such server and no ports of its VM (any more).

    *looked*: this is the answer to a look, not to a removal; the VM's ports may be there. So may
    they where *ports* is False: they were to stay.
    """

    key: ServerKey
    looked: bool = False
    ports: bool = True


@quick
@dataclass(kw_only=True, slots=True, frozen=True)
class ServerSwitched:
    """The server was switched as asked by this *number*, and this is how it is now."""

    server: Server
    power: Power
    number: int


@quick
@dataclass(kw_only=True, slots=True, frozen=True)
class ServerUpdated:
    """The server has the ports and the flavor that were asked for, and this is how it is now."""

    server: Server


@quick
@dataclass(kw_only=True, slots=True, frozen=True)
class ServerProven:
    """The VIM *vim* could have the server that this one is to become, as far as it can tell."""

    key: ServerKey
    vim: VimId


@dataclass(kw_only=True, slots=True, frozen=True)
class ResourceMade:
    """The VIM has this resource."""

    id: RecordId
    handle: ResourceHandle


@quick
@dataclass(kw_only=True, slots=True, frozen=True)
class ResourceGone:
    """The VIM has no such resource (any more)."""

    id: RecordId


@quick
@dataclass(kw_only=True, slots=True, frozen=True)
class CallFailed:
    """
    A VIM call did not succeed.

    *subject* is the server, or the incarnation of the resource, that the call was about;
    *removal* tells a removal from a creation. *final*: the VIM refused. *reached*: the request
    may have got there, so nobody knows whether it took, or will take, effect. *switch* is the
    number of a `SwitchServer`; None: it was another call. *proof*: it was a `ProveServer`; another
    VIM may still be asked for what an update broke off. *waited* is how long the call waited for
    its turn, or for scripts, which is none of the time after which the goal is given up.
    """

    subject: ServerKey | RecordId
    removal: bool
    error: str
    final: bool = False
    reached: bool = True
    switch: int | None = None
    proof: bool = False
    waited: timedelta = timedelta(0)

    @property
    def in_doubt(self) -> bool:
        """Whether what was asked for may have taken effect, or will yet."""
        return self.reached and not self.final


@quick
@dataclass(kw_only=True, slots=True, frozen=True)
class LeftoversPurged:
    """The operator wants these leftovers forgotten, whatever becomes of them in the VIM."""

    subjects: frozenset[ServerKey | RecordId]


@quick
@dataclass(kw_only=True, slots=True, frozen=True)
class LeftoversRetried:
    """The operator wants the removal of these leftovers to be tried now."""

    subjects: frozenset[ServerKey | RecordId]


@quick
@dataclass(kw_only=True, slots=True, frozen=True)
class KpiCrossed:
    """
    A KPI of this server became true or false (after its occurrences).

    *blind*: it is false because nothing could be measured, not because the guest is silent.
    """

    server: ServerKey
    event_name: str
    holds: bool
    value: str = ""
    blind: bool = False


@quick
@dataclass(kw_only=True, slots=True, frozen=True)
class ServerDrifted:
    """A look at the VIM found this server, unasked, in that status; None: it is not there."""

    key: ServerKey
    status: ServerStatus | None


@quick
@dataclass(kw_only=True, slots=True, frozen=True)
class RecoveryPermitted:
    """The recovery of this server's VM, which was held, may begin."""

    server: ServerKey


@quick
@dataclass(kw_only=True, slots=True, frozen=True)
class ScriptsRan:
    """The scripts of *errand* of the incarnation *runner* have come to their end, well or not."""

    runner: RecordId
    errand: Errand


@dataclass(kw_only=True, slots=True, frozen=True)
class VimChecked:
    """
    The check of *connector*, as it was when the check began, found *status*.

    *detail* says why where it found that the VIM cannot be used.
    """

    connector: VimConnector
    status: VimStatus
    detail: str = ""


@quick
@dataclass(kw_only=True, slots=True, frozen=True)
class VimDoubted:
    """
    What the last check of this connector found may be true no more.

    *back*: its VIM, which could not be used, may be there again, for it answered another call, or
    an edit needs it. Else a call got no answer from a VIM that could be used.
    """

    back: bool = False


@quick
@dataclass(kw_only=True, slots=True, frozen=True)
class Restarted:
    """The process began anew: what was in flight may still take effect, and nobody will tell."""


@quick
@dataclass(kw_only=True, slots=True, frozen=True)
class Woken:
    """A moment that the plan named has come."""


@quick
@dataclass(kw_only=True, slots=True, frozen=True)
class ServiceActed:
    """The operator asks for *action* on every VM of the deployment."""

    id: OperationId
    action: ActionType


@quick
@dataclass(kw_only=True, slots=True, frozen=True)
class VmActed:
    """The operator asks for *action* on one VM; *force*: whatever min_active says."""

    id: OperationId
    vm: VmId
    action: ActionType
    force: bool = False


@quick
@dataclass(kw_only=True, slots=True, frozen=True)
class RecoveryAsked:
    """The operator wants the VM to be recovered now."""

    id: OperationId
    vm: VmId


ActionTrigger = ServiceActed | VmActed | RecoveryAsked
ServerTrigger = ServerSeen | ServerGone | ServerSwitched | ServerUpdated | ServerProven
LeftoverTrigger = LeftoversPurged | LeftoversRetried
NeighbourTrigger = ResourcesReady | ResourceFailed | NeighboursGone
Trigger = (
    IntentChanged
    | NeighbourTrigger
    | ServerTrigger
    | KpiCrossed
    | RecoveryPermitted
    | ServerDrifted
    | ResourceMade
    | ResourceGone
    | CallFailed
    | LeftoverTrigger
    | ActionTrigger
    | ScriptsRan
    | VimChecked
    | VimDoubted
    | Restarted
    | Woken
)
