"""How an action on a service or on a VM ends, by the events that follow it; pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from esc_nc_cli.events import Event

_LIVES: Final = frozenset({"VM_ALIVE_STATE", "VM_MONITOR_UNSET_STATE"})
_FAILED: Final = "VM_ERROR_STATE"
_OF_A_SERVICE: Final[Mapping[str, frozenset[str]]] = {
    # ESC of before 2.3 ends a start and a reboot with SERVICE_ALIVE.
    "START": frozenset({"SERVICE_STARTED", "SERVICE_ALIVE"}),
    "STOP": frozenset({"SERVICE_STOPPED"}),
    "REBOOT": frozenset({"SERVICE_REBOOTED", "SERVICE_ALIVE"}),
    "ENABLE_MONITOR": frozenset({"SERVICE_ALIVE"}),
    "DISABLE_MONITOR": frozenset({"SERVICE_MONITOR_UNSET"}),
}
_OF_A_VM: Final[Mapping[str, frozenset[str]]] = {
    "START": frozenset({"VM_ALIVE", "VM_RECOVERY_COMPLETE"}),
    "STOP": frozenset({"VM_STOPPED"}),
    "REBOOT": frozenset({"VM_ALIVE", "VM_RECOVERY_COMPLETE"}),
    "ENABLE_MONITOR": frozenset({"VM_MONITOR_SET", "VM_RECOVERY_COMPLETE"}),
    "DISABLE_MONITOR": frozenset({"VM_MONITOR_UNSET"}),
    "DO": frozenset({"VM_RECOVERY_COMPLETE", "VM_RECOVERY_CANCELLED"}),
}
"""What tells the end, by its status: a guest that stays silent after a start is recovered."""
_SWITCHES: Final[Mapping[str, str]] = {"START": "VM_STARTED", "REBOOT": "VM_REBOOTED"}
"""What tells that the server is on. Where nobody watches the VM nothing follows it."""
_NOT_SWITCHED: Final = frozenset({"VM_STARTED", "VM_REBOOTED", "VM_STOPPED"})
"""With FAILURE of a VM that is in error now, as one that is gone from the VIM."""
_ENDED: Final = frozenset({"VM_UNDEPLOYED", "SERVICE_UNDEPLOYED"})
_ASKED: Final = "VM_MANUAL_RECOVERY_NEEDED"
_RECOVERY: Final = "DO"
"""Where it failed nobody need be told that there is such an action."""


@dataclass(slots=True)
class Outcome:
    """
    The end of *action* on the VM *name*, or on the deployment *name* of *tenant*.

    *failures* are sentences for the user. *switched* is the event that told that the server of the
    VM is on: how it stands after that is to be looked up.
    """

    action: str
    name: str
    tenant: str | None = None
    done: bool = False
    failures: list[str] = field(default_factory=list)
    switched: Event | None = None
    _broken: str | None = field(default=None, init=False)
    """The first VM that could not be switched."""
    _gone: bool = field(default=False, init=False)
    """Somebody undeployed it."""

    def __str__(self) -> str:
        what = f"VM {self.name}" if self.tenant is None else f"deployment {self.tenant}/{self.name}"
        return f"{self.action} of {what}"

    @property
    def open(self) -> "tuple[Outcome, ...]":
        """What is undecided."""
        return () if self.over() else (self,)

    def over(self) -> bool:
        """Return whether it is decided."""
        return self.done or bool(self.failures)

    def concerns(self, event: Event) -> bool:
        """Return whether *event* is about what is acted upon."""
        if self.tenant is None:
            return self.name in event.vms
        return (event.tenant, event.deployment) == (self.tenant, self.name)

    def observe(self, event: Event) -> None:
        """Take what *event*, which concerns it, says of the end."""
        if self.tenant is None and event.type == _SWITCHES.get(self.action) and event.succeeded:
            self.switched = event
        if event.type in _NOT_SWITCHED and not event.succeeded and self._broken is None:
            self._broken = event.vms[-1] if event.vms else None
        self._gone = self._gone or event.type in _ENDED
        decided = self._decided(event)
        if decided is False:
            self.failures.append(f"{self}: {event.type} {event.status}: {event.text}")
            if self.tenant is None and not self._gone and self.action != _RECOVERY:
                self._broken = self.name
            if self._broken is not None:
                self._advise(self._broken)
        elif decided:
            self.done = True

    @property
    def unexplained(self) -> bool:
        """Whether a service failed without a word of which VM: it is to be looked up."""
        stays = bool(self.failures) and not self._gone
        return stays and self.tenant is not None and self._broken is None

    def broke(self, names: Sequence[str]) -> None:
        """Take the *names* of its VMs that are in error, looked up after a failure."""
        if names:
            self._advise(names[0], more=len(names) - 1)

    def _advise(self, name: str, *, more: int = 0) -> None:
        others = f" (and {more} more in {_FAILED})" if more else ""
        command = f"esc_nc_cli recovery-vm-action DO {name}"
        self.failures.append(f"to recover it: {command}{others}")

    def _decided(self, event: Event) -> bool | None:
        if event.type in _ENDED:
            return False
        if self.tenant is not None:
            ends = event.type in _OF_A_SERVICE[self.action]
            return event.succeeded if ends else None
        if event.type in _OF_A_VM[self.action]:
            return event.succeeded
        failed_to_switch = event.type == _SWITCHES.get(self.action) and not event.succeeded
        return False if failed_to_switch or event.type == _ASKED else None

    def stands(self, state: str | None) -> None:
        """Take the *state* of the VM, looked up some time after its server was switched on."""
        if state in _LIVES:
            self.done = True
        elif state == _FAILED:
            self.failures.append(f"{self}: it is in {state}")
            if self.action != _RECOVERY:
                self._advise(self.name)
