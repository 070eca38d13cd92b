"""A try about a VM that was in vain: once more after a pause, until its time is over."""

from datetime import datetime

from esc_daemon.domain import causes
from esc_daemon.domain.changed import replace
from esc_daemon.domain.ids import VimId
from esc_daemon.domain.policy import Policy, exhausted, failed
from esc_daemon.domain.record import VmRecord


def once_more(
    vm: VmRecord, vim: VimId, error: str, now: datetime, policy: Policy, *, final: bool = False
) -> tuple[VmRecord, str | None]:
    """Return *vm* after *error* of *vim*, and why it is given up; None: it is to be tried again."""
    if final:
        return vm, error
    assert vm.attempt is not None
    attempt = failed(vm.attempt, error, now, policy, subject=vm.id)
    given_up = causes.given_up(vim, attempt, error, now) if exhausted(attempt, now) else None
    return replace(vm, attempt=attempt), given_up
