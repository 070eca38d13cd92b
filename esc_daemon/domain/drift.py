"""
Drift: what somebody did to a server behind our back, as a look at its VIM shows it.

    state of the VM           not there    SHUTOFF      ACTIVE
    ALIVE                     lost         lost         (lives again)
    INERT                     lost         -            -
    MONITOR_UNSET             lost         lost         (lives again)
    MONITOR_DISABLED          remembered   remembered   -
    SHUTOFF                   remembered   -            remembered

What is lost is recovered, or asked for, as `advance.held` says. All other states are passed
through: what is under way there will find out by itself. So is MONITOR_UNSET in an update, which
may change the server, or begin to watch it, and whatever moves to another VIM in one. Nothing is
believed of a list alone.
"""

from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from typing import Final, NamedTuple

from esc_daemon.domain.actions import Effect, events_with
from esc_daemon.domain.ids import Key, ServerKey, VimId, VmId
from esc_daemon.domain.intent import RecoveryType, VmGroup
from esc_daemon.domain.interruption import Request, takes
from esc_daemon.domain.kpi import monitored
from esc_daemon.domain.policy import GuardPolicy
from esc_daemon.domain.record import DeploymentRecord, Record, RecoveryPhase, VmRecord
from esc_daemon.domain.specs import ServerStatus
from esc_daemon.domain.states import ServiceState, VmState

HEALED_VM_STATES: Final = frozenset({VmState.ALIVE, VmState.INERT, VmState.MONITOR_UNSET})
"""Where a VM is that is lost when its server is."""
_GONE_SEEN: Final = HEALED_VM_STATES | {VmState.MONITOR_DISABLED, VmState.SHUTOFF}
_OFF_SEEN: Final = frozenset({VmState.ALIVE, VmState.MONITOR_UNSET, VmState.MONITOR_DISABLED})
_YET_TO_BEGIN: Final = frozenset({RecoveryPhase.HELD, RecoveryPhase.NEEDED})


class Drift(StrEnum):
    """What was done to a server."""

    GONE = "gone"
    OFF = "off"
    STARTED = "started"
    BACK = "back"

    @property
    def said(self) -> str:
        """The same as the cause of a recovery."""
        return _SAID[self]


_SAID: Final[Mapping[Drift, str]] = {
    Drift.GONE: "the VIM no longer has its server",
    Drift.OFF: "its server was shut off in the VIM",
    Drift.STARTED: "its server was started in the VIM",
    Drift.BACK: "its server is there and on again",
}


def drift_of(record: DeploymentRecord, vm: VmRecord, status: ServerStatus | None) -> Drift | None:
    """Return what it means that the server of *vm* has *status* (None: it is not there)."""
    found = _drift(vm, status)
    if found is None or record.intent is None:
        return None
    moves = vm.state is VmState.MONITOR_UNSET or vm.migration is not None
    if record.update is not None and moves:
        return None
    at_rest = record.state is ServiceState.STOPPED or takes(record, Request.HEAL)
    return found if at_rest else None


def _drift(vm: VmRecord, status: ServerStatus | None) -> Drift | None:
    if vm.server is None:
        return None
    recovery = vm.recovery
    match status:
        case None:
            held = recovery is not None and recovery.phase is RecoveryPhase.HELD
            known = recovery is not None and (recovery.gone or not held)
            return Drift.GONE if vm.state in _GONE_SEEN and not known else None
        case ServerStatus.SHUTOFF:
            return Drift.OFF if vm.state in _OFF_SEEN and recovery is None else None
        case ServerStatus.ACTIVE:
            if vm.state is VmState.SHUTOFF:
                return Drift.STARTED
            lost = recovery is not None and recovery.drifted and recovery.phase in _YET_TO_BEGIN
            return Drift.BACK if lost else None
        case _:
            return None


def healed_by_itself(group: VmGroup) -> bool:
    """Tell whether its VMs are to be healed without anybody asking: by policy and by a rule."""
    recovers = events_with(group.rules, Effect.RECOVER)
    healing = any(kpi.event_name in recovers for kpi in group.kpis)
    return healing and monitored(group) and group.recovery.type is RecoveryType.AUTO


class Suspect(NamedTuple):
    """A VM whose server is not as it should be, as far as a list tells."""

    key: Key
    server: ServerKey
    name: str
    drift: Drift


Seen = Mapping[ServerKey, ServerStatus]


class Looked:
    """
    What a list of servers, *seen*, shows: *of* VMs that should be there some are suspect.

    *lives_there* tells the VMs of that VIM. Records are added one by one: there may be very many.
    """

    def __init__(self, seen: Seen, lives_there: Callable[[VimId], bool]) -> None:
        self.suspects: list[Suspect] = []
        self.of = 0
        self._seen = seen
        self._lives_there = lives_there
        self._known: dict[VmId, int | None] = {}
        """The generation that alone may be there; None: others may be, too."""

    def add(self, record: Record) -> None:
        """Hold *record* against the list."""
        if not isinstance(record, DeploymentRecord):
            return
        for vm in record.vms.values():
            at_rest = vm.state in _GONE_SEEN
            self._known[vm.id] = vm.generation if at_rest else None
            if not at_rest or not self._lives_there(vm.vim):
                continue
            self.of += 1
            server = ServerKey(vm.id, vm.generation)
            drift = drift_of(record, vm, self._seen.get(server))
            if drift is not None:
                self.suspects.append(Suspect(record.key, server, vm.name, drift))
        for leftover in record.leftovers:
            self._known[leftover.vm.id] = None

    def strangers(self) -> Iterator[ServerKey]:
        """Yield the servers with our mark that no record knows."""
        for key in self._seen:
            if self._known.get(key.vm, 0) not in {None, key.generation}:
                yield key


def believable(found: Looked, policy: GuardPolicy) -> bool:
    """Tell whether a list is to be believed: not one that shows most VMs to be lost at once."""
    lost = sum(each.drift in {Drift.GONE, Drift.OFF} for each in found.suspects)
    return not policy.on or lost < policy.least or lost <= policy.share * found.of
