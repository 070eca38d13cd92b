"""How a failure is told: which thing, in which VIM, why, and how long it was tried."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from esc_daemon.domain.ids import Key, VimId, parts_of
from esc_daemon.domain.policy import Attempt
from esc_daemon.domain.record import AnyResourceRecord, VmRecord

IMAGE_ANEW: Final = "delete the image and the deployments that failed for it, and create them anew"
"""What to do once the source of an image is mended: the same edit again changes nothing."""

_NOT_ASKED: Final = "not asked for: "
_MINUTES: Final = 60
"""Of an hour."""


def of_vm(vm: VmRecord, cause: str) -> str:
    """Return "VM [name] of vm_group web in VIM east: *cause*"."""
    return f"VM {vm_and(vm, cause)}"


def vm_and(vm: VmRecord, cause: str) -> str:
    """Return what `of_vm` does, for an event that has said that it is about a VM."""
    return f"[{vm.name}] of vm_group {vm.group} in {_place(vm.vim)}: {_bare(cause, vm.vim)}"


def without_server(vm: VmRecord, error: str) -> str:
    """Return that nothing could be done to *vm*: *error*, of before, says why it has no server."""
    cause = error.removeprefix(of_vm(vm, ""))
    return of_vm(vm, f"no server of it is known ({cause}): recoveryVmAction of it makes one")


def vm_left(vm: VmRecord, cause: str) -> str:
    """Return that *vm* stays in its VIM and why."""
    where = f"VM [{vm.name}] of vm_group {vm.group} is left in {_place(vm.vim)}"
    return f"{where}: {_bare(cause, vm.vim)}"


def of_resource(record: AnyResourceRecord, cause: str) -> str:
    """Return "network shop/inside in VIM east: *cause*"."""
    return f"{named(record.key)} in {_place(record.vim)}: {_bare(cause, record.vim)}"


def resource_left(record: AnyResourceRecord, cause: str) -> str:
    """Return that the resource stays in its VIM and why."""
    return f"{named(record.key)} is left in {_place(record.vim)}: {_bare(cause, record.vim)}"


def named(key: Key) -> str:
    """Return the kind and the name of a record."""
    return f"{key.kind} {'/'.join(parts_of(key.name))}"


def given_up(vim: VimId, attempt: Attempt, cause: str, now: datetime) -> str:
    """Return *cause* after how long, and how often, it was tried; *attempt* counts the last try."""
    tries = f" and {attempt.tries} {'try' if attempt.tries == 1 else 'tries'}"
    span = _span(now - attempt.first)
    return f"gave up after {span}{tries if attempt.tries else ''}: {_bare(cause, vim)}"


def not_asked(error: str) -> str:
    """Return that the VIM was asked for nothing, for *error* came first: the first of them all."""
    return f"{_NOT_ASKED}{error.rpartition(_NOT_ASKED)[2]}"


def first_of(failures: Sequence[tuple[Key, str]]) -> tuple[Key, str]:
    """Return the first of *failures* that does not follow from another one."""
    return next((each for each in failures if _NOT_ASKED not in each[1]), failures[0])


def _span(time: timedelta) -> str:
    seconds = round(time.total_seconds())
    minutes, seconds = divmod(seconds, 60)
    if minutes >= 2 * _MINUTES:
        hours, minutes = divmod(minutes, _MINUTES)
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    if not minutes:
        return f"{seconds} s"
    return f"{minutes} min {seconds} s" if seconds else f"{minutes} min"


def _place(vim: VimId) -> str:
    return f"VIM {vim}" if vim else "the default VIM"


def _bare(cause: str, vim: VimId) -> str:
    """A driver's text begins with its VIM, which has been named."""
    return cause.removeprefix(f"{vim}: ")
