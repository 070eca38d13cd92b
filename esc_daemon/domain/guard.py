"""
The blindness guard: which lost VMs may be recovered now, and which are held (ruling 18).

When many VMs seem to die at once it is more likely that the manager, or the network between, has
gone blind. What would be lost by healing them then is more than what is lost by waiting. So
recoveries are held by *holds*:

SHARE       more than a share of the VMs of a host, of a VIM or of all were lost within a window
ADDRESSES   none of the manager's own check addresses answers
VIM         the VIM's API cannot be used

A hold ends when there is no reason for it any more, and then for one window longer, in which life
may return; when its time is over; or when the operator releases it. Only that of a VIM has no
time: what begins without the VIM's API can only fail.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, NamedTuple

from esc_daemon.domain.changed import replace
from esc_daemon.domain.ids import VimId, VmId
from esc_daemon.domain.intent import VmGroup
from esc_daemon.domain.policy import GuardPolicy
from esc_daemon.domain.record import DeploymentRecord, Record
from esc_daemon.domain.states import VmState

_ANSWER_SECONDS: Final = 5.0
"""The longest time after which a guest that does not answer is silent (`monitor.base`)."""
_UNWATCHED_SECONDS: Final = 5.0
"""What one look at a VIM finds is told within so many seconds."""


class Why(StrEnum):
    """Why healing is held."""

    SHARE = "share"
    ADDRESSES = "addresses"
    VIM = "vim"


class Scope(NamedTuple):
    """
    What is held for the same reason; None stands for any.

    *watched* tells VMs with KPIs from those that only the VIM's list of servers tells about.
    """

    why: Why
    vim: VimId | None = None
    host: str | None = None
    watched: bool = True


@dataclass(kw_only=True, slots=True, frozen=True)
class Loss:
    """
    A VM that is to be recovered, *since* it was lost, known to the guard since *at*.

    *lived*: it was alive until then. One that never was has not been lost by blindness. *chance*:
    it was lost before the process began, and may have come back: so long it is looked at first.
    """

    vm: VmId
    vim: VimId
    host: str
    since: datetime
    at: datetime
    window: timedelta
    chance: timedelta = timedelta(0)
    lived: bool = True
    watched: bool = True

    @property
    def place(self) -> "Place":
        """Where it is: what holds one VM there holds all."""
        return self.vim, self.host, self.watched


Place = tuple[VimId, str, bool]
"""VIM, host, and whether it is a VM with KPIs."""


@dataclass(kw_only=True, slots=True, frozen=True)
class Hold:
    """
    Healing is held *since* then; *lost* of *number* VMs are lost.

    *calm*: since when there is no reason any more. *ended*: its time is over, or it was released:
    then it holds nothing, and stays until there is no reason for it.
    """

    since: datetime
    lost: int = 0
    number: int = 0
    calm: datetime | None = None
    ended: bool = False


Holds = Mapping[Scope, Hold]
Numbers = Mapping[Scope, int]


@dataclass(kw_only=True, slots=True, frozen=True)
class Sight:
    """What is known beside the losses: VMs *alive* by scope, whether our own sight is gone."""

    alive: Numbers
    blind: bool = False
    unusable: Callable[[VimId], bool] = lambda _: False


def window(group: VmGroup, event_name: str) -> float:
    """Return how many seconds apart the same outage may be noticed in two VMs of *group*."""
    polls = [
        float(max(1, kpi.collector.poll_seconds))
        for kpi in group.kpis
        if kpi.event_name == event_name
    ]
    if not polls:
        return _UNWATCHED_SECONDS
    return max(polls) + min(_ANSWER_SECONDS, max(polls))


def alive_by_scope(records: Iterable[Record]) -> Numbers:
    """Return how many VMs there are that are not lost, by every scope of SHARE."""
    by_host: Counter[tuple[VimId, str, bool]] = Counter()
    for record in records:
        if isinstance(record, DeploymentRecord):
            for vm in record.vms.values():
                watched = vm.state is VmState.ALIVE
                if (watched or vm.state is VmState.MONITOR_UNSET) and vm.recovery is None:
                    # a host's id is not the same to every project
                    by_host[vm.vim, vm.hostname or vm.host_id, watched] += 1
    found: Counter[Scope] = Counter()
    for (vim, host, watched), number in by_host.items():
        for scope in _shares(vim, host, watched=watched):
            found[scope] += number
    return found


def still_alive(counted: Numbers, at: datetime, losses: Iterable[Loss]) -> Numbers:
    """Return *counted*, the VMs that were alive *at* a moment, without those lost since."""
    since = Counter(loss.place for loss in losses if loss.lived and loss.at > at)
    alive = dict(counted)
    for (vim, host, watched), number in since.items():
        for scope in _shares(vim, host, watched=watched):
            alive[scope] = max(0, alive.get(scope, 0) - number)
    return alive


def _shares(vim: VimId, host: str, *, watched: bool) -> Iterator[Scope]:
    """Yield the scopes of SHARE that something is in, the widest first."""
    yield Scope(Why.SHARE, watched=watched)
    yield Scope(Why.SHARE, vim, watched=watched)
    if host:
        yield Scope(Why.SHARE, vim, host, watched)


def judged(
    holds: Holds, losses: Collection[Loss], sight: Sight, now: datetime, policy: GuardPolicy
) -> Holds:
    """Return the holds after a look at *losses*, which are all that wait."""
    if not policy.on:
        return {}
    reasons = dict(_reasons(holds, losses, sight, now, policy))
    calm_for = max((loss.window for loss in losses), default=timedelta(0))
    after: dict[Scope, Hold] = {}
    for scope in dict.fromkeys((*holds, *reasons)):
        hold = _after(holds.get(scope), reasons.get(scope), now)
        if hold.calm is not None and now - hold.calm >= calm_for:
            continue
        if scope.why is not Why.VIM and now - hold.since >= policy.longest:
            hold = replace(hold, ended=True)
        after[scope] = hold
    return after


def _after(hold: Hold | None, reason: Hold | None, now: datetime) -> Hold:
    """Return *hold* where there is still, or no longer, a *reason* for it."""
    if hold is None:
        assert reason is not None
        return reason
    if reason is None:
        return hold if hold.calm is not None else replace(hold, calm=now)
    return replace(hold, lost=reason.lost, number=reason.number, calm=None)


def _reasons(
    holds: Holds, losses: Collection[Loss], sight: Sight, now: datetime, policy: GuardPolicy
) -> Iterator[tuple[Scope, Hold]]:
    """Yield why something is to be held now, as holds that begin."""
    lost, fresh = Counter[Scope](), Counter[Scope]()
    by_place = Counter(loss.place for loss in losses if loss.lived)
    lately = Counter(loss.place for loss in losses if loss.lived and now - loss.at <= loss.window)
    for (vim, host, watched), number in by_place.items():
        for scope in _shares(vim, host, watched=watched):
            lost[scope] += number
            fresh[scope] += lately[vim, host, watched]
    for scope, all_lost in lost.items():
        number = all_lost + sight.alive.get(scope, 0)
        many = all_lost if scope in holds else fresh[scope]
        if many >= policy.least and many > policy.share * number:
            yield scope, Hold(since=now, lost=all_lost, number=number)
    if sight.blind and losses:
        yield Scope(Why.ADDRESSES), Hold(since=now, lost=len(losses), number=len(losses))
    by_vim = Counter(loss.vim for loss in losses)
    for vim, number in by_vim.items():
        if sight.unusable(vim):
            yield Scope(Why.VIM, vim), Hold(since=now, lost=number, number=number)


class HeldPlaces(dict[Place, Scope | None]):
    """Tells of each place which of *holds* is about it, if any; thousands of VMs share a place."""

    def __init__(self, holds: Holds) -> None:
        super().__init__()
        self._acting = {scope for scope, hold in holds.items() if not hold.ended}

    def __missing__(self, place: Place) -> Scope | None:
        """Find it out once."""
        vim, host, watched = place
        scopes = (Scope(Why.ADDRESSES), Scope(Why.VIM, vim), *_shares(vim, host, watched=watched))
        held = self[place] = next((scope for scope in scopes if scope in self._acting), None)
        return held


def held_of(losses: Iterable[Loss], holds: Holds) -> int:
    """Return how many of *losses* are held."""
    places = HeldPlaces(holds)
    return sum(places[loss.place] is not None for loss in losses)


def turns(
    losses: Iterable[Loss],
    holds: Holds,
    under_way: Iterable[tuple[VimId, str]],
    alive: Numbers,
    now: datetime,
    policy: GuardPolicy,
    seen: Callable[[Loss], bool] = lambda _: True,
) -> tuple[list[VmId], datetime | None]:
    """
    Return whose recovery may begin, the longest lost first, and when to look again.

    A VM among many is held for its window, since more may follow, and one that was lost before the
    start until its KPI can have told that it is back. *under_way* are the VIM and the
    host of each recovery that is under way. Who is not *seen* is one of many, and has no turn yet.
    """
    in_order = sorted(losses, key=lambda loss: loss.since)
    per_host, per_vim = Counter[tuple[VimId, str]](), Counter[VimId]()
    for vim, host in under_way:
        per_host[vim, host] += 1
        per_vim[vim] += 1
    lost = Counter(loss.watched for loss in in_order if loss.lived)
    many = {
        watched
        for watched, number in lost.items()
        if number + alive.get(Scope(Why.SHARE, watched=watched), 0) >= policy.least
    }
    held = HeldPlaces(holds)
    given: list[VmId] = []
    again: datetime | None = None
    for loss in in_order:
        if not seen(loss):
            continue
        of_many = policy.on and loss.lived and loss.watched in many
        ripe = loss.at + max(loss.chance, loss.window if of_many else timedelta(0))
        if now < ripe:
            again = ripe if again is None else min(again, ripe)
            continue
        if held[loss.place] is not None:
            continue
        at = loss.vim, loss.host
        full = 0 < policy.per_vim <= per_vim[loss.vim]
        if full or (loss.host and 0 < policy.per_host <= per_host[at]):
            continue
        per_host[at] += 1
        per_vim[loss.vim] += 1
        given.append(loss.vm)
    return given, again


def released(holds: Holds, vim: VimId | None) -> Holds:
    """Return *holds* after the operator has released those of *vim*, None: all."""
    return {
        scope: replace(hold, ended=True) if vim is None or scope.vim == vim else hold
        for scope, hold in holds.items()
    }


def told(holds: Holds) -> dict[Scope, Hold]:
    """Return those of *holds* that hold something and stand within no wider one."""
    acting = {scope: hold for scope, hold in holds.items() if not hold.ended}
    return {scope: hold for scope, hold in acting.items() if not _wider(scope, acting)}


def _wider(scope: Scope, acting: Collection[Scope]) -> bool:
    if scope.why is not Why.SHARE or scope.vim is None:
        return False
    wider = [scope._replace(vim=None, host=None)]
    if scope.host is not None:
        wider.append(scope._replace(host=None))
    return any(each in acting for each in wider)
