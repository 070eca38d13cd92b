"""Follow events: until every goal of an edit is decided, or as many as asked for."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Protocol

from esc_nc_cli.events import Event, read_event
from esc_nc_cli.goals import Goal, Kind, Wish

_AGO = re.compile(r"(\d{1,9})([smhd])")
_PATIENCE = 1.0  # seconds; the longest single wait
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class OutOfTime(Exception):
    """The deadline passed before the end was seen."""


class Awaited(Protocol):
    """What is waited for; *failures* are sentences for the user, *open* what is undecided."""

    failures: list[str]

    @property
    def open(self) -> Iterable[object]: ...

    def over(self) -> bool:
        """Return whether to stop."""
        ...

    def concerns(self, event: Event) -> bool:
        """Return whether *event* belongs to what was asked for."""
        ...

    def observe(self, event: Event) -> None:
        """Take what *event* decides."""
        ...


@dataclass(slots=True)
class Waiting:
    """
    The goals still open; *failures* are sentences for the user.

    *heard* are the (tenant, deployment) of which some event has come.
    """

    goals: Sequence[Goal]
    open: list[Goal] = field(init=False)
    failures: list[str] = field(default_factory=list)
    heard: set[tuple[str | None, str]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.open = list(self.goals)

    def over(self) -> bool:
        """Return whether to stop: each goal is decided, whatever became of the others."""
        return not self.open

    def concerns(self, event: Event) -> bool:
        """Return whether *event* belongs to what was asked for."""
        if any(goal.concerns(event) for goal in self.goals):
            return True
        services = {(g.tenant, g.name) for g in self.goals if g.kind is Kind.DEPLOYMENT}
        if event.deployment is not None:
            return (event.tenant, event.deployment) in services
        return event.tenant is not None and event.tenant in {tenant for tenant, _ in services}

    def observe(self, event: Event) -> None:
        if event.deployment is not None:
            self.heard.add((event.tenant, event.deployment))
        for goal in tuple(self.open):
            if goal.fails_with(event):  # the entry itself may go all the same
                self.failures.append(f"{goal}: {event.type} FAILURE: {event.text}")
            match goal.outcome(event):
                case True:
                    self.reached(goal)
                case False:
                    self.failed(goal, f"{goal}: {event.type} FAILURE: {event.text}")
                case None:
                    pass

    def reached(self, goal: Goal) -> None:
        """Close *goal*, and its tenant's: a service ends after the tenant came, or failed."""
        self.open = [
            other
            for other in self.open
            if other != goal and not (_is_service(goal) and _is_tenant_of(other, goal))
        ]

    def failed(self, goal: Goal, text: str) -> None:
        """Close *goal* as `reached` does; *text* says why it will not come true."""
        self.failures.append(text)
        self.reached(goal)


def _is_service(goal: Goal) -> bool:
    return goal.kind is Kind.DEPLOYMENT and goal.wish is Wish.CREATE


def _is_tenant_of(goal: Goal, service: Goal) -> bool:
    return (goal.kind, goal.wish, goal.name) == (Kind.TENANT, Wish.CREATE, service.tenant)


def events(
    take: Callable[[float], str | None],
    *,
    clock: Callable[[], float],
    deadline: float | None,
    over: Callable[[], bool] = lambda: False,
) -> Iterator[Event]:
    """
    Yield each escEvent that *take* brings; *take* waits the given seconds at most.

    *deadline* is in the seconds of *clock*; None: no end. Once *over* says so, only what
    has come already is yielded, for a moment at most: a busy server never falls silent.

    Raises:
        OutOfTime: The deadline has passed.
    """
    last = None
    while True:
        now = clock()
        if over():
            last = now + _PATIENCE if last is None else last
            notification = take(0) if now < last else None
            if notification is None:
                return
        else:
            left = _PATIENCE if deadline is None else min(deadline - now, _PATIENCE)
            if left <= 0:
                raise OutOfTime("the time is over")
            notification = take(left)
        event = None if notification is None else read_event(notification)
        if event is not None:
            yield event


def since(text: str, now: datetime) -> str:
    """
    Return the startTime (RFC 5277 section 2.1.1) that *text* means.

    *text* is an RFC 3339 time, or an age such as 90s, 10m, 2h, 1d.

    Raises:
        ValueError: It is neither, or not in the past.
    """
    ago = _AGO.fullmatch(text)
    if ago is not None:
        try:
            moment = now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        except OverflowError as error:
            raise ValueError(f"{text} is too long ago") from error
    else:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError as error:
            raise ValueError(f"{text!r} is no time") from error
        if moment.tzinfo is None:
            moment = moment.astimezone()
    if moment > now:
        raise ValueError(f"{text} is in the future")
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
