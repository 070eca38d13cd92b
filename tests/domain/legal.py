"""What may follow what in the events of one incarnation of a deployment, as tables."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from esc_daemon.domain.changes import LOCATOR_UPDATED
from esc_daemon.domain.events import Event, EventStatus, EventType

E = EventType


class At(StrEnum):
    """Where a VM stands by what was told of it."""

    BEGIN = "not yet told of"
    UP = "its server is on"
    ALIVE = "it lives"
    OFF = "its server is off"
    BROKEN = "it failed"
    NEEDED = "the operator is asked for"
    INIT = "its recovery began"
    BOOTING = "its recovery waits for life"
    REMOVED = "its recovery removed the server"
    UNMADE = "its recovery got no server"
    STUCK = "its recovery could not remove the server"
    RECOVERED = "its recovery ended well"
    MOVED = "it lives where its locator says"
    UNMOVED = "it was to move to another VIM"
    LEAVING = "it leaves its group"
    GONE = "it is undeployed"


Said = tuple[EventType, bool]
"""An event and whether it was a SUCCESS."""


def _well(kind: EventType) -> Said:
    return kind, True


def _badly(kind: EventType) -> Said:
    return kind, False


_END: Final = {_well(E.VM_UNDEPLOYED): At.GONE, _badly(E.VM_UNDEPLOYED): At.GONE}
_ASKED: Final = {_well(E.VM_RECOVERY_INIT): At.INIT}
_HEALED: Final = _ASKED | {_well(E.VM_MANUAL_RECOVERY_NEEDED): At.NEEDED}
_STARTED: Final = {_well(E.VM_STARTED): At.UP, _badly(E.VM_STARTED): At.BROKEN}
_SWITCHED: Final = {
    _well(E.VM_STOPPED): At.OFF,
    _badly(E.VM_STOPPED): At.BROKEN,
    _well(E.VM_REBOOTED): At.UP,
    _badly(E.VM_REBOOTED): At.BROKEN,
}
_UPDATED: Final = {
    _well(E.VM_UPDATED): At.UP,
    _badly(E.VM_UPDATED): At.UP,
    _well(E.VM_SOFTWARE_VERSION_UPDATED): At.UP,
}
"""It may boot anew, or begin to be watched."""


def _updated_where_it_is(at: At) -> dict[Said, At]:
    """A VM that is not up is updated too, scripts of its software included."""
    return dict.fromkeys(_UPDATED, at)


_LIVES: Final = {_well(E.VM_ALIVE): At.ALIVE}
_MONITORED: Final = {_well(E.VM_MONITOR_SET): At.ALIVE, _well(E.VM_MONITOR_UNSET): At.UP}
_FAILED: Final = {_badly(E.VM_RECOVERY_COMPLETE): At.BROKEN}
_REDEPLOYS: Final = {
    _well(E.VM_RECOVERY_UNDEPLOYED): At.REMOVED,
    _badly(E.VM_RECOVERY_UNDEPLOYED): At.STUCK,
}
_RUNGS: Final = _REDEPLOYS | {
    _well(E.VM_RECOVERY_REBOOT): At.BOOTING,
    _badly(E.VM_RECOVERY_REBOOT): At.BOOTING,
}
_LEAVES: Final = {_well(E.VM_SCALE_IN_INIT): At.LEAVING}
_DONE: Final = {_well(E.VM_RECOVERY_COMPLETE): At.RECOVERED}
_AFTER_A_MOVE: Final = (
    {_well(E.VM_MANUAL_RECOVERY_NO_NEED): At.RECOVERED}
    | _SWITCHED
    | _STARTED
    | _MONITORED
    | _HEALED
    | _LEAVES
    | _UPDATED
    | _END
)

OF_A_VM: Final[Mapping[At, Mapping[Said, At]]] = {
    At.BEGIN: {
        _well(E.VM_DEPLOYED): At.UP,
        _badly(E.VM_DEPLOYED): At.BROKEN,
    }
    | _END,
    At.UP: _LIVES | _SWITCHED | _STARTED | _MONITORED | _HEALED | _LEAVES | _UPDATED | _END,
    At.ALIVE: _SWITCHED | _STARTED | _MONITORED | _HEALED | _LEAVES | _UPDATED | _END,
    At.OFF: _updated_where_it_is(At.OFF) | _STARTED | _END,
    At.BROKEN: _updated_where_it_is(At.BROKEN) | _SWITCHED | _STARTED | _ASKED | _END,
    At.NEEDED: {
        _well(E.VM_MANUAL_RECOVERY_NO_NEED): At.RECOVERED,
        _well(E.VM_MONITOR_UNSET): At.UP,
    }
    | _updated_where_it_is(At.NEEDED)
    | _SWITCHED
    | _STARTED
    | _ASKED
    | _END,
    At.INIT: {_well(E.VM_RECOVERY_CANCELLED): At.RECOVERED} | _RUNGS | _FAILED | _END,
    At.BOOTING: _RUNGS | _DONE | _FAILED | _END,
    At.REMOVED: {
        _well(E.VM_RECOVERY_DEPLOYED): At.BOOTING,
        _badly(E.VM_RECOVERY_DEPLOYED): At.UNMADE,
    }
    | _END,
    At.UNMADE: _REDEPLOYS | _FAILED | _END,
    At.STUCK: _FAILED | _END,
    # VM_ALIVE follows where it never lived before
    At.RECOVERED: _LIVES | _SWITCHED | _STARTED | _MONITORED | _HEALED | _LEAVES | _UPDATED | _END,
    At.MOVED: _AFTER_A_MOVE,
    # wherever it is: it may be as it was before, or up again
    At.UNMOVED: _AFTER_A_MOVE | _LIVES,
    At.LEAVING: {
        _well(E.VM_SCALE_IN_COMPLETE): At.GONE,
        _badly(E.VM_SCALE_IN_COMPLETE): At.GONE,
    }
    | _END,
    At.GONE: {},
}
"""
No event tells that a guest stayed silent after a start or a reboot: it is broken and UP. Nor does
one tell that a VM which lives failed, for a KPI that others wait for never came true.
"""


class Scaling(StrEnum):
    """How far a group has come that gets one VM more, or one less."""

    RESTS = "not being scaled"
    OUT = "its scaling out began"
    MADE = "its new VM is made"
    UNMADE = "its new VM could not be made"
    IN = "its scaling in began"


OF_A_GROUP: Final[Mapping[Scaling, Mapping[Said, Scaling]]] = {
    Scaling.RESTS: {
        _well(E.VM_SCALE_OUT_INIT): Scaling.OUT,
        _well(E.VM_SCALE_IN_INIT): Scaling.IN,
    },
    Scaling.OUT: {
        _well(E.VM_SCALE_OUT_DEPLOYED): Scaling.MADE,
        _badly(E.VM_SCALE_OUT_DEPLOYED): Scaling.UNMADE,
    },
    Scaling.MADE: {
        _well(E.VM_SCALE_OUT_COMPLETE): Scaling.RESTS,
        _badly(E.VM_SCALE_OUT_COMPLETE): Scaling.RESTS,
    },
    Scaling.UNMADE: {_badly(E.VM_SCALE_OUT_COMPLETE): Scaling.RESTS},
    Scaling.IN: {
        _well(E.VM_SCALE_IN_COMPLETE): Scaling.RESTS,
        _badly(E.VM_SCALE_IN_COMPLETE): Scaling.RESTS,
    },
}
_BEGINS: Final = frozenset({E.VM_SCALE_OUT_INIT, E.VM_SCALE_IN_INIT})


class Service(StrEnum):
    """Where a deployment stands by what was told of it."""

    BEGIN = "being deployed"
    LIVES = "deployed"
    STOPPED = "stopped"
    UPDATING = "updated"
    OVER = "undeployed"


_OVER: Final = {
    _well(E.SERVICE_UNDEPLOYED): Service.OVER,
    _badly(E.SERVICE_UNDEPLOYED): Service.OVER,
}
_ACTED: Final = {
    _well(E.SERVICE_STOPPED): Service.STOPPED,
    _badly(E.SERVICE_STOPPED): Service.LIVES,
    _well(E.SERVICE_REBOOTED): Service.LIVES,
    _badly(E.SERVICE_REBOOTED): Service.LIVES,
    _well(E.SERVICE_STARTED): Service.LIVES,
    _badly(E.SERVICE_STARTED): Service.LIVES,
    _well(E.SERVICE_MONITOR_UNSET): Service.LIVES,
    _well(E.SERVICE_ALIVE): Service.LIVES,
    _badly(E.SERVICE_ALIVE): Service.LIVES,
}
OF_A_SERVICE: Final[Mapping[Service, Mapping[Said, Service]]] = {
    Service.BEGIN: {_well(E.SERVICE_ALIVE): Service.LIVES, _badly(E.SERVICE_ALIVE): Service.LIVES}
    | _OVER,
    Service.LIVES: {_well(E.SERVICE_UPDATING_STATE): Service.UPDATING} | _ACTED | _OVER,
    Service.UPDATING: {
        _well(E.SERVICE_UPDATED): Service.LIVES,
        _badly(E.SERVICE_UPDATED): Service.LIVES,
    }
    | _OVER,
    Service.STOPPED: {
        _well(E.SERVICE_STARTED): Service.LIVES,
        _badly(E.SERVICE_STARTED): Service.LIVES,
        _well(E.SERVICE_MONITOR_UNSET): Service.STOPPED,
    }
    | _OVER,
    Service.OVER: {},
}

_RESOURCES: Final = ("CREATE_", "DELETE_")
_SWITCHES: Final[Mapping[EventType, frozenset[Service]]] = {
    E.VM_STARTED: frozenset({Service.LIVES, Service.STOPPED}),
    E.VM_STOPPED: frozenset({Service.LIVES}),
    E.VM_REBOOTED: frozenset({Service.LIVES}),
}
"""In which services VMs are switched: those that are made, and not while they are updated."""
_OF_ANOTHER: Final = (E.VM_SCALE_OUT_INIT, E.VM_SCALE_OUT_DEPLOYED, E.VM_SCALE_OUT_COMPLETE)
"""Their vm_source is the VM that asked for another one, their vm_target that one."""


_WATCHES: Final = frozenset(
    {E.VM_MONITOR_UNSET, E.VM_MONITOR_SET, E.VM_ALIVE, E.VM_STARTED, E.VM_REBOOTED}
)
"""They tell whether a VM is watched from now on."""
_UNDER_WAY: Final = {At.INIT, At.BOOTING, At.REMOVED, At.UNMADE, At.STUCK, At.LEAVING}
"""Where no VM stays: an event follows by itself."""


@dataclass(kw_only=True, slots=True)
class Life:
    """Where a service and its VMs stand by what was told, and what of that may not be so."""

    service: Service = Service.BEGIN
    vms: dict[str, At] = field(default_factory=dict)
    watched: dict[str, bool] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    coming: dict[str | None, str] = field(default_factory=dict)
    """The VM by which each group is being scaled out: if that fails it is gone."""
    groups: dict[str | None, Scaling] = field(default_factory=dict)

    @property
    def is_over(self) -> bool:
        return self.service is Service.OVER

    def unended(self) -> Iterator[str]:
        """Yield what began and was not told to have ended; an end of all ends it too."""
        if self.is_over:
            return
        if self.service is Service.UPDATING:
            yield "its update"
        yield from self.under_way()

    def under_way(self) -> Iterator[str]:
        """Yield the groups that are being scaled and the VMs that are being recovered."""
        for name, scaling in self.groups.items():
            if scaling is not Scaling.RESTS:
                yield f"{name}, {scaling}"
        yield from (f"{name}, {at}" for name, at in self.vms.items() if at in _UNDER_WAY)


def life_of(story: Sequence[Event]) -> Life:
    """Return what *story*, told of one incarnation in this order, tells of it."""
    life = Life()
    for event in story:
        if event.type.startswith(_RESOURCES):
            continue
        if event.source is not None:
            if life.is_over:
                life.faults.append(f"{event.type} after the end")
            _move_a_vm(life, event)
            continue
        _move_the_service(life, event)
    if life.is_over:
        left = (f"{name} at the end: {at}" for name, at in life.vms.items() if at is not At.GONE)
        life.faults += left
    return life


def illegal(story: Sequence[Event]) -> Iterator[str]:
    """Yield what of *story*, told of one incarnation in this order, may not be so."""
    yield from life_of(story).faults


def _move_the_service(life: Life, event: Event) -> None:
    """Note what is wrong about *event*, and where the service stands now."""
    said = _said(event)
    if said not in OF_A_SERVICE[life.service]:
        life.faults.append(f"{_name(said)} of a service that is {life.service}")
    life.service = OF_A_SERVICE[life.service].get(said, life.service)
    if event.type is E.SERVICE_UPDATING_STATE:
        life.faults += (f"{_name(said)} in the middle of {what}" for what in life.under_way())
    if said == _well(E.SERVICE_STOPPED):
        on = (f"{name}: {at}" for name, at in life.vms.items() if at not in {At.OFF, At.GONE})
        life.faults += (f"{_name(said)} with {vm}" for vm in on)


def _move_a_vm(life: Life, event: Event) -> None:
    """Note what is wrong about *event*, and where its VM stands now."""
    assert event.source is not None
    said, name = _said(event), event.source.vmname
    if life.service not in _SWITCHES.get(event.type, Service):
        life.faults.append(f"{_name(said)} of {name} in a service that is {life.service}")
    if event.type.startswith("VM_SCALE_"):
        _move_a_group(life, event)
    if event.type in _OF_ANOTHER:
        if event.type is not E.VM_SCALE_OUT_DEPLOYED or event.target is None:
            return
        said, name = _well(E.VM_DEPLOYED), event.target.vmname
        life.coming[event.vm_group] = name
    at = life.vms.get(name, At.BEGIN)
    moves = event.vm_update_type == LOCATOR_UPDATED
    if moves and not said[1] and at in _UNDER_WAY:
        return  # its recovery, which goes on, holds the move up
    if said not in OF_A_VM[at]:
        life.faults.append(f"{_name(said)} of {name}: {at}")
    life.vms[name] = OF_A_VM[at].get(said, at)
    if event.type in _WATCHES:
        life.watched[name] = event.type is not E.VM_MONITOR_UNSET
    if moves and at is not At.OFF:
        # where it is not watched, ENABLE_MONITOR tells of its life
        unwatched = at is At.UP or not life.watched.get(name, True)
        stays = At.UNMOVED if at is At.UNMOVED else At.MOVED  # it may have been there again
        life.vms[name] = At.UNMOVED if not said[1] else At.UP if unwatched else stays


def _move_a_group(life: Life, event: Event) -> None:
    """Note what is wrong about *event* of a scaling, and how far that is now."""
    said, group = _said(event), event.vm_group
    at = life.groups.get(group, Scaling.RESTS)
    if event.type in _BEGINS and life.service is not Service.LIVES:
        life.faults.append(f"{_name(said)} of {group} in a service that is {life.service}")
    if said not in OF_A_GROUP[at]:
        life.faults.append(f"{_name(said)} of {group}: {at}")
    life.groups[group] = OF_A_GROUP[at].get(said, at)
    if event.type is E.VM_SCALE_OUT_COMPLETE:
        came = life.coming.pop(group, None)
        if came is not None and not said[1]:
            life.vms[came] = At.GONE


def _said(event: Event) -> Said:
    return event.type, event.status is EventStatus.SUCCESS


def _name(said: Said) -> str:
    return f"{said[0]} {'SUCCESS' if said[1] else 'FAILURE'}"
