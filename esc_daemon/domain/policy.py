"""How patient we are: the numbers behind attempts, back-off, give-up, and behind healing."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from zlib import crc32

from esc_daemon.domain.changed import quick, replace


@dataclass(kw_only=True, slots=True, frozen=True)
class GuardPolicy:
    """
    When healing is held, and how much of it may be under way.

    *share* (0 to 1) is that of the VMs of a host, a VIM or all, *least* the number of VMs below
    which a loss is none of many. *window* is the time within which losses count as one, None: a
    poll of the KPI and its time-out. A hold lasts *longest* at most. *per_host* and *per_vim*
    limit the recoveries under way, 0: not at all.
    """

    on: bool = True
    share: float = 0.5
    least: int = 5
    window: timedelta | None = None
    longest: timedelta = timedelta(minutes=30)
    per_host: int = 10
    per_vim: int = 100


@dataclass(kw_only=True, slots=True, frozen=True)
class Policy:
    """
    Budgets of one VIM call (DESIGN, law 5), and of healing.

    *settle* is the longest time after which a request that nobody answered may still take
    effect in the VIM; a removal is believed only when nothing can turn up any more. A connector
    is checked every *check_pause*, while it does not work every *recheck_pause*, and when what was
    found is doubted (VimDoubted) no sooner than *doubt_pause* after the last check. A VM that is
    recovered *recoveries_an_hour* times (0: however often) waits for the operator (ruling 18).
    A group that was scaled is not scaled again for *scaling_pause*.
    Each VIM is looked at for drift every *drift_pause* (0: never).
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
    drift_pause: timedelta = timedelta(seconds=60)
    guard: GuardPolicy = field(default_factory=GuardPolicy)


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


def begin_again(now: datetime, policy: Policy, *, rounds: int, subject: str) -> Attempt:
    """
    Return the attempt of a goal after *rounds* in which it came to nothing; the first begins *now*.

    Pauses as those of `failed`, for a round may fail in no time at all.
    """
    if not rounds:
        return begin(now, policy)
    return begin(now + _apart(_pause(rounds, policy), subject, rounds), policy)


def failed(attempt: Attempt, error: str, now: datetime, policy: Policy, *, subject: str) -> Attempt:
    """
    Return *attempt* after one more try without success; pauses double up to the longest.

    *subject* is the id of what was tried: each has pauses of its own (`_apart`).
    """
    pause = _pause(attempt.tries, policy)
    tries = attempt.tries + 1
    return replace(attempt, tries=tries, next=now + _apart(pause, subject, tries), error=error)


def left(attempt: Attempt, now: datetime, policy: Policy, *, subject: str) -> Attempt:
    """Return *attempt* of what is left in the VIM: tried again after the long pause."""
    return replace(attempt, next=now + _apart(policy.leftover_pause, subject, attempt.tries))


def _pause(doublings: int, policy: Policy) -> timedelta:
    return min(policy.first_pause * (1 << min(doublings, 16)), policy.longest_pause)


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
