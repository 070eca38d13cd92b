"""
The guard of healing: who holds a permit, who waits for one, and why (`domain.guard`).

Plans ask for permits and let go of them, so that nothing here is stored: after a restart the
records ask again. What waits is bounded by the VMs that there are.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import structlog

from esc_daemon.domain.commands import Permit
from esc_daemon.domain.connectors import connector_key
from esc_daemon.domain.errors import Refused
from esc_daemon.domain.guard import (
    HeldPlaces,
    Hold,
    Loss,
    Numbers,
    Scope,
    Sight,
    alive_by_scope,
    held_of,
    judged,
    released,
    still_alive,
    told,
    turns,
)
from esc_daemon.domain.ids import Key, VimId, VmId, vm_ids
from esc_daemon.domain.interruption import activity
from esc_daemon.domain.operations import operation_of
from esc_daemon.domain.policy import GuardPolicy
from esc_daemon.domain.record import ConnectorRecord, DeploymentRecord
from esc_daemon.domain.specs import VimStatus
from esc_daemon.domain.triggers import RecoveryPermitted, Trigger
from esc_daemon.engine.boxes import Boxes

log = structlog.get_logger()

COUNTED_SECONDS: Final = 5.0
"""How long the number of VMs that are alive is good for: to count it is to walk all records."""
LOOK_SECONDS: Final = 5.0
"""Between two looks while healing is held, and between two looks at the check addresses."""
_A_SECOND: Final = 5_000
"""Of VMs that wait, so many are looked at in a second: about 5 ms."""
_A_TURN: Final = 50
"""Recoveries that begin in one go, 0.3 ms each."""

Reachable = Callable[[], Awaitable[bool]]
"""Tells whether any of the manager's own check addresses answers."""


@dataclass(slots=True)
class _Asked:
    key: Key
    permit: Permit
    loss: Loss
    given: bool
    logged: bool = False
    """That it is held: one line for each."""


@dataclass(kw_only=True, slots=True, frozen=True)
class GuardFigures:
    """How many recoveries are under way, wait for their turn and are held; *holds* by reason."""

    under_way: int
    waiting: int
    held: int
    holds: Mapping[str, int]

    @property
    def recoveries(self) -> Mapping[str, int]:
        """The numbers of recoveries, by how far they are."""
        return {"under_way": self.under_way, "waiting": self.waiting, "held": self.held}


class Guard:
    """Gives permits; to be made inside a running loop."""

    def __init__(
        self,
        policy: GuardPolicy,
        boxes: Boxes,
        now: Callable[[], datetime],
        tell: Callable[[Key, Trigger], None],
        task: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
        reachable: Reachable | None = None,
    ) -> None:
        """*reachable* None: there are no check addresses; *task* starts what looks at them."""
        self._task = task
        self._policy = policy
        self._boxes = boxes
        self._now = now
        self._began = now()
        self._tell = tell
        self._reachable = reachable
        self._loop = asyncio.get_running_loop()
        self._asked: dict[VmId, _Asked] = {}
        self._holds: Mapping[Scope, Hold] = {}
        self._counted: tuple[datetime, Numbers] | None = None
        self._next: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._blind = False
        self._sighted: datetime | None = None
        self._looking: asyncio.Task[None] | None = None
        self._closed = False

    def ask(self, key: Key, permit: Permit) -> None:
        """Answer *permit* of the record of *key* once it may be used; count it from then on."""
        if self._closed:
            return
        loss = _loss(permit, self._now(), self._policy, self._began)
        self._asked[permit.server.vm] = _Asked(key, permit, loss, permit.begun)
        if not permit.begun:
            self._look_in(self._pause())

    def forget(self, vm: VmId) -> None:
        """The permit of *vm* is not needed any more, or no longer wanted."""
        if self._asked.pop(vm, None) is not None and not self._closed:
            self._look_in(self._pause())

    def release(self, vim: VimId | None) -> int:
        """
        Let go what is held in *vim* alone, None: everywhere; return how many VMs that frees.

        Raises:
            Refused: Nothing is held there (data-missing).

        """
        self._judge()
        before, waiting = self._holds, self._losses()
        self._holds = released(before, vim)
        freed = held_of(waiting, before) - held_of(waiting, self._holds)
        if not freed:
            self._holds = before
            where = "" if vim is None else f" in VIM connector {vim} alone"
            there = ", ".join(_called(scope) for scope in told(before)) or "nothing is held"
            raise Refused("data-missing", f"the guard holds no recovery{where} ({there})")
        for scope, hold in told(before).items():
            if self._holds[scope].ended:
                log.warning("guard.released", **_words(scope, hold))
        self._look_in(0.0)
        return freed

    def holds(self) -> Mapping[Scope, Hold]:
        """Return what is held, each by its widest reason."""
        return told(self._holds)

    def figures(self) -> GuardFigures:
        """Return how it is now."""
        waiting = self._losses()
        held = held_of(waiting, self._holds)
        return GuardFigures(
            under_way=len(self._asked) - len(waiting),
            waiting=len(waiting) - held,
            held=held,
            holds=Counter(scope.why.value for scope in told(self._holds)),
        )

    def close(self) -> None:
        """Give nobody a permit any more."""
        self._closed = True
        if self._next is not None:
            self._next.cancel()
        if self._looking is not None:
            self._looking.cancel()
        self._asked.clear()

    # ---------------------------------------------------------------- looks

    def _pause(self) -> float:
        """A burst is looked at as a whole; a single VM is looked at now."""
        return len(self._asked) / _A_SECOND if len(self._asked) > 1 else 0.0

    def _look_in(self, seconds: float) -> None:
        due = self._loop.time() + seconds
        if self._next is not None:
            if self._due <= due:
                return
            self._next.cancel()
        self._due = due
        self._next = self._loop.call_later(seconds, self._look)

    def _look(self) -> None:
        self._next = None
        try:
            self._look_around()
        except Exception:  # others than the one that broke it wait for their turns too
            log.exception("guard.look_broke")
            self._look_in(LOOK_SECONDS)

    def _look_around(self) -> None:
        now = self._now()
        self._judge()
        losses = self._losses()
        running = [
            (asked.permit.vim, asked.permit.host) for asked in self._asked.values() if asked.given
        ]
        alive = self._alive() if losses and self._policy.on else {}
        given, again = turns(losses, self._holds, running, alive, now, self._policy, self._is_seen)
        for vm in given:
            self._asked[vm].given = True
        self._give([self._asked[vm] for vm in given])
        if self._holds:
            self._look_in(LOOK_SECONDS)
        if again is not None:
            self._look_in((again - now).total_seconds())

    def _give(self, given: Sequence[_Asked]) -> None:
        """Let the recoveries of *given* begin, some in one go: others get a turn in between."""
        for asked in given[:_A_TURN]:
            if self._asked.get(asked.permit.server.vm) is asked:
                self._tell(asked.key, RecoveryPermitted(server=asked.permit.server))
        if len(given) > _A_TURN and not self._closed:
            self._loop.call_soon(self._give, given[_A_TURN:])

    def _judge(self) -> None:
        losses = self._losses()
        if not self._policy.on or (not losses and not self._holds):
            return  # where it is off there are no holds, and nobody needs to be counted
        sight = Sight(
            alive=self._alive() if len(losses) >= self._policy.least else {},
            blind=self._is_blind(losses),
            unusable=self._unusable,
        )
        before = self._holds
        self._holds = judged(before, losses, sight, self._now(), self._policy)
        _log_changes(told(before), told(self._holds), self._holds)
        self._log_awaited()

    def _log_awaited(self) -> None:
        """Log each VM that is held and that something waits for, maybe without a limit."""
        places = HeldPlaces(self._holds)
        for vm, asked in self._asked.items():
            if asked.given or asked.logged or asked.permit.lived:
                continue
            scope, record = places[asked.loss.place], self._boxes.record(asked.key)
            if scope is None or not isinstance(record, DeploymentRecord) or vm not in record.vms:
                continue
            asked.logged = True
            log.warning(
                "recovery.held",
                tenant=asked.key.tenant,
                deployment=asked.key.name,
                operation=operation_of(record),
                **vm_ids(record.vms[vm].name, vm),
                vim=asked.permit.vim,
                why=scope.why.value,
                since=asked.permit.since.isoformat(),
                awaited_by=activity(record).value,
            )

    def _losses(self) -> list[Loss]:
        return [asked.loss for asked in self._asked.values() if not asked.given]

    def _alive(self) -> Numbers:
        now = self._now()
        if self._counted is None or now - self._counted[0] >= timedelta(seconds=COUNTED_SECONDS):
            self._counted = now, alive_by_scope(self._boxes.records())
        at, counted = self._counted
        return still_alive(counted, at, (asked.loss for asked in self._asked.values()))

    def _unusable(self, vim: VimId) -> bool:
        record = self._boxes.record(connector_key(vim))
        if not isinstance(record, ConnectorRecord):
            return False
        return record.status not in {None, VimStatus.CONNECTION_SUCCESSFUL}

    # ---------------------------------------------------------------- the check addresses

    def _is_blind(self, losses: list[Loss]) -> bool:
        """Tell what the last look at the check addresses found, and look again while it matters."""
        if self._reachable is None or not self._policy.on or not losses:
            return False
        old = self._sighted is None or self._now() - self._sighted >= timedelta(
            seconds=LOOK_SECONDS
        )
        if (old or not all(map(self._is_seen, losses))) and self._looking is None:
            self._looking = self._task(self._see(self._reachable, self._now()))
        return self._blind

    async def _see(self, reachable: Reachable, began: datetime) -> None:
        try:
            self._blind = not await reachable()
        except Exception:
            log.exception("guard.sight_broke")
            self._blind = False
        finally:
            self._looking = None
        self._sighted = began
        self._look_in(0.0)

    def _is_seen(self, loss: Loss) -> bool:
        """Tell whether the check addresses were looked at since *loss*."""
        if self._reachable is None or not self._policy.on:
            return True
        return self._sighted is not None and self._sighted >= loss.at


def _loss(permit: Permit, at: datetime, policy: GuardPolicy, began: datetime) -> Loss:
    window = timedelta(seconds=permit.window) if policy.window is None else policy.window
    window = min(window, policy.longest)  # no hold lasts longer, and a KPI may be polled in years
    in_this_run = began <= permit.since <= at  # after it is one before a clock that was set back
    return Loss(
        vm=permit.server.vm,
        vim=permit.vim,
        host=permit.host,
        since=permit.since,
        at=at,
        window=window,
        chance=timedelta(seconds=0.0 if in_this_run else permit.chance),
        lived=permit.lived,
        watched=permit.watched,
    )


def _log_changes(
    before: Mapping[Scope, Hold], after: Mapping[Scope, Hold], all_after: Mapping[Scope, Hold]
) -> None:
    for scope, hold in after.items():
        if scope not in before:
            log.warning("guard.holds", **_words(scope, hold))
    for scope, hold in before.items():
        if scope not in all_after:
            log.warning("guard.over", **_words(scope, hold))
        elif all_after[scope].ended:
            log.warning("guard.time_is_over", **_words(scope, hold))


def _called(scope: Scope) -> str:
    place = " ".join(each for each in (scope.vim, scope.host) if each) or "everywhere"
    return f"{scope.why.value}: {place}"


def _words(scope: Scope, hold: Hold) -> dict[str, object]:
    return {
        "why": scope.why.value,
        "vim": scope.vim,
        "host": scope.host,
        "since": hold.since.isoformat(),
        "lost": hold.lost,
        "of": hold.number,
    }
