"""How patient we are with a VIM: the numbers behind attempts, back-off and give-up."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from zlib import crc32

from esc_daemon.domain.changed import quick, replace


@dataclass(kw_only=True, slots=True, frozen=True)
class Policy:
    """
    Budgets of one VIM call (DESIGN, law 5).

    *settle* is the longest time after which a request that nobody answered may still take
    effect in the VIM; a removal is believed only when nothing can turn up any more. A connector
    is checked every *check_pause*, while it does not work every *recheck_pause*, and after calls
    that did not reach its VIM no sooner than *doubt_pause* after the last check. A VM that is
    recovered more than *recoveries_an_hour* waits for the operator (ruling 18). A group that was
    scaled is not scaled again for *scaling_pause*.
    """

    give_up_after: timedelta = timedelta(minutes=20)
    first_pause: timedelta = timedelta(seconds=1)
    longest_pause: timedelta = timedelta(seconds=60)
    removal_tries: int = 5
    leftover_pause: timedelta = timedelta(minutes=5)
    settle: timedelta = timedelta(seconds=60)
    check_pause: timedelta = timedelta(seconds=60)
    recheck_pause: timedelta = timedelta(seconds=10)
    doubt_pause: timedelta = timedelta(seconds=1)
    recoveries_an_hour: int = 6
    scaling_pause: timedelta = timedelta(seconds=60)


DEFAULT_POLICY = Policy()


@quick
@dataclass(kw_only=True, slots=True, frozen=True)
class Attempt:
    """One goal's tries at the VIM, durable: when it began, when it goes on, when it ends."""

    tries: int
    first: datetime
    next: datetime
    give_up: datetime
    error: str | None = None


def begin(now: datetime, policy: Policy) -> Attempt:
    """Return the attempt of a goal that was set *now*."""
    return Attempt(tries=0, first=now, next=now, give_up=now + policy.give_up_after)


def failed(attempt: Attempt, error: str, now: datetime, policy: Policy, *, subject: str) -> Attempt:
    """
    Return *attempt* after one more try without success; pauses double up to the longest.

    *subject* is the id of what was tried: each has pauses of its own (`_apart`).
    """
    pause = min(policy.first_pause * 2 ** min(attempt.tries, 16), policy.longest_pause)
    tries = attempt.tries + 1
    return replace(attempt, tries=tries, next=now + _apart(pause, subject, tries), error=error)


def left(attempt: Attempt, now: datetime, policy: Policy, *, subject: str) -> Attempt:
    """Return *attempt* of what is left in the VIM: tried again after the long pause."""
    return replace(attempt, next=now + _apart(policy.leftover_pause, subject, attempt.tries))


def _apart(pause: timedelta, subject: str, tries: int) -> timedelta:
    """
    Return between a half of *pause* and the whole of it.

    What failed together at one VIM must not come back together; that depends on the id and the try
    alone, so that a run repeats exactly.
    """
    return pause * (1 - crc32(f"{subject} {tries}".encode()) / 2**33)


def exhausted(attempt: Attempt, now: datetime) -> bool:
    """Tell whether the goal is to be given up."""
    return now >= attempt.give_up
