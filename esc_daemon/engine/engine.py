"""
The engine: one serial mailbox a record, one transaction a step (DESIGN, laws 3, 4 and 7).

    northbound --apply--> |         |--commit--> store
    performer  --tell-->  | mailbox | advance, commit, plan
    monitor    --tell-->  | a record|--ensure--> performer --> VIM, monitor, neighbours
    timers     --tell-->  |         |--wake----> timers
                                    |--publish-> broadcast --> listeners
"""

import asyncio
import contextvars
import logging
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from itertools import chain
from typing import Any, Final, TypeVar
from uuid import uuid4

import structlog

from esc_daemon.dayzero.base import DayZeroReader
from esc_daemon.domain.advance import advance
from esc_daemon.domain.decompose import Told, decompose_edit, entry_of
from esc_daemon.domain.errors import Refused
from esc_daemon.domain.ids import NO_VIM, Key, OperationId, RecordId, VimId
from esc_daemon.domain.leftovers import ANYBODY, Asker, LeftoverAction, LeftoverRef, asked, departed
from esc_daemon.domain.neighbours import ready_already
from esc_daemon.domain.operations import begun_by, operation_of
from esc_daemon.domain.plan import begun_permits, plan
from esc_daemon.domain.policy import DEFAULT_POLICY, Policy
from esc_daemon.domain.record import ConnectorRecord
from esc_daemon.domain.requests import Action
from esc_daemon.domain.step import Step
from esc_daemon.domain.triggers import (
    IntentChanged,
    NeighboursGone,
    RecoveryPermitted,
    ResourceFailed,
    ResourcesReady,
    Restarted,
    Trigger,
    Woken,
)
from esc_daemon.domain.uses import check_uses
from esc_daemon.engine.acting import told_by
from esc_daemon.engine.boxes import Boxes
from esc_daemon.engine.broadcast import Broadcast
from esc_daemon.engine.connectors import ConnectorGuard
from esc_daemon.engine.drift import Drifts
from esc_daemon.engine.edit import Edit, numbered, untold
from esc_daemon.engine.figures import EngineFigures
from esc_daemon.engine.guard import Guard, Reachable
from esc_daemon.engine.mailbox import Mailbox
from esc_daemon.engine.neighbours import Neighbours
from esc_daemon.engine.performer import Performer, parts
from esc_daemon.engine.timers import Timers
from esc_daemon.engine.turns import MailboxTurn, in_order
from esc_daemon.engine.uploads import Uploads
from esc_daemon.engine.vims import Vims
from esc_daemon.histogram import Histogram
from esc_daemon.monitor.hooks import NO_HOOKS, HookRunner
from esc_daemon.monitor.monitor import Monitor, OnCrossing
from esc_daemon.store.base import LoggedEvent, Store, StoreError

log = structlog.get_logger()

_STORE_PAUSE_SECONDS: Final = 1.0
_BROKEN_PAUSE: Final = timedelta(seconds=60)
"""How long a record waits before it tries again to store a step that could not be stored."""
_A_TURN: Final = 100
"""Records of one edit that are planned in one go, 0.1 ms each."""
_NO_EDIT: Final = Edit(changes=())
ResultT = TypeVar("ResultT")


class Engine:
    """Everything that has a state. Build it, `restore()`, use it, `close()`."""

    def __init__(  # noqa: PLR0913  all that an engine stands on
        self,
        *,
        store: Store,
        vims: Vims,
        now: Callable[[], datetime],
        monitor: Callable[[OnCrossing], Monitor],
        day_zero: DayZeroReader,
        hooks: HookRunner = NO_HOOKS,
        uploads: Uploads | None = None,
        policy: Policy = DEFAULT_POLICY,
        reachable: Reachable | None = None,
        new_id: Callable[[], RecordId] = lambda: RecordId(str(uuid4())),
        last_event: int = 0,
    ) -> None:
        self._store = store
        self._vims = vims
        self._now = now
        self._policy = policy
        self._new_id = new_id
        self._boxes = Boxes()
        self.record, self.records = self._boxes.record, self._boxes.records
        self.records_under = self._boxes.records_under
        self._tasks: set[asyncio.Task[Any]] = set()
        self.steps = self.broken = self.not_stored = 0
        self._closed = False
        # What a request binds to its log lines stays outside: what follows bears the operation.
        self._context = contextvars.copy_context()
        self._connectors = ConnectorGuard(vims, self.record, self.records, self.tell)
        self.broadcast = Broadcast(last_event)
        self._neighbours = Neighbours(
            self.record, self.records_under, self._boxes.index.took, self.tell
        )
        self.guard = Guard(policy.guard, self._boxes, now, self.tell, self._task, reachable)
        self._drifts = Drifts(vims, policy, self._boxes, self._connectors.records, self.tell)
        self._uploads = uploads or Uploads()
        self.uploads = self._uploads.under_way
        self._performer = Performer(
            vims=vims,
            monitor=monitor,
            neighbours=self._neighbours,
            guard=self.guard,
            day_zero=day_zero,
            hooks=hooks,
            uploads=self._uploads,
            tell=self.tell,
        )
        self._timers = Timers(asyncio.get_running_loop(), now, self._wake)

    # ---------------------------------------------------------------- what others see

    def vim_calls(self) -> Iterable[tuple[VimId, str, str, int]]:
        """Return the calls since the start: connector, kind of call, result, how many."""
        return self._vims.outcomes()

    def connectors(self) -> Iterable[ConnectorRecord]:
        """Return the records of the VIM connectors."""
        return self._connectors.records()

    def vim_durations(self) -> Iterable[tuple[VimId, str, str, Histogram]]:
        """Return how long single verbs took: connector, verb, result."""
        return self._vims.durations()

    def figures(self) -> EngineFigures:
        """Return how much there is to do, counted now, and how much was done."""
        waiting = [len(box.waiting) for box in self._boxes.all()]
        monitor = self._performer.monitor
        return EngineFigures(
            records=len(waiting),
            triggers_waiting=sum(waiting),
            deepest_mailbox=max(waiting, default=0),
            calls_in_flight=self._performer.in_flight,
            timers=len(self._timers),
            steps=self.steps,
            broken=self.broken,
            not_stored=self.not_stored,
            last_event=self.broadcast.last,
            listeners=len(self.broadcast),
            lag=self.broadcast.lag,
            listeners_dropped=self.broadcast.dropped,
            watches=len(monitor),
            turns_missed=monitor.missed,
            crossings=monitor.crossings,
            samples=dict(monitor.samples),
            healing=self.guard.figures(),
            drifted=self._drifts.figures(),
            uploads=len(self.uploads),
            image_bytes=self._uploads.bytes,
        )

    @property
    def at_rest(self) -> bool:
        """
        Tell whether nothing is waiting to be told and no VIM call is under way.

        Checks of connectors go on for ever and do not count.
        """
        return not self._performer.in_flight and not any(
            box.waiting or box.draining for box in self._boxes.all()
        )

    # ---------------------------------------------------------------- what others do

    async def restore(self, first: Callable[[], Edit] | None = None) -> None:
        """
        Take up every stored record where it stood.

        What *first* returns is taken where nothing was ever told, and where what is there lives in
        no connector: a database of before there were any.
        """
        async for record in self._store.load():
            self._boxes.put(record.key, record)
        self._connectors.take(self.records())
        if first is not None and self._connectors.wanted(fresh=not self.broadcast.last):
            await self._apply(first())
        for box in self._boxes.all():
            assert box.record is not None
            step = advance(box.key, box.record, Restarted(), self._now(), self._policy)
            if step.moved:
                self.tell(box.key, Restarted())
                self._performer.ensure(box.key, begun_permits(box.record))  # they count from now on
            else:
                self._follow(box)
        self._drifts.start(self._task)

    async def apply(self, edit: Edit) -> Sequence[OperationId]:
        """
        Take an edit: all touched records and entries, or none; durable when it returns.

        Returns the operations that it began, in the order of the edit.

        A caller that is cancelled does not learn how it ended; the edit itself is not cut off.

        Raises:
            Refused: A record cannot take it; nothing changed. Its *key* is that of the change.
            StoreError: It could not be stored; nothing changed.

        """
        return await asyncio.shield(self._task(self._apply(edit)))

    def check(self, edit: Edit) -> None:
        """
        Look whether `apply` would take *edit* as the records stand now; nothing changes.

        Raises:
            Refused: A record cannot take it.

        """
        self._steps(self._told(edit), edit)

    async def _apply(self, edit: Edit) -> Sequence[OperationId]:
        async with self._connectors.turn(edit):
            while True:
                keys = {key for key, _ in self._told(edit)}
                async with AsyncExitStack() as turns:
                    for key in sorted(keys, key=in_order):
                        await turns.enter_async_context(self._turn(key))
                    told = self._told(edit)
                    if keys.issuperset(key for key, _ in told):
                        return await self._taken(told, edit)

    def _told(self, edit: Edit) -> list[Told]:
        """Return what each touched record is told, as the records stand now."""
        default = self._connectors.after(edit).default or NO_VIM
        changes = [(change.key, change.intent) for change in edit.changes]
        return decompose_edit(changes, self.record, self._new_id, default)

    async def _taken(self, told: list[Told], edit: Edit) -> Sequence[OperationId]:
        moved = self._steps(told, edit)
        broken = await self._commit(moved, edit)
        await self._follow_all(moved)
        if broken is not None:
            raise broken
        return [operation for step in moved if (operation := begun_by(step)) is not None]

    async def act(self, action: LeftoverAction, asker: Asker = ANYBODY) -> Sequence[LeftoverRef]:
        """
        Do *action* to all leftovers that it means to *asker*, durably, and return them.

        Raises:
            Refused: It means none (data-missing); or what `Asker.check` raises.
            StoreError: It could not be stored; nothing changed.

        """
        return await asyncio.shield(self._task(self._act(action, asker)))

    async def _act(self, action: LeftoverAction, asker: Asker) -> Sequence[LeftoverRef]:
        keys = [each.key for each in self.records() if any(action.chosen(each, asker))]
        async with AsyncExitStack() as turns:
            for key in sorted(keys, key=in_order):
                await turns.enter_async_context(self._turn(key))
            found = {key: tuple(action.chosen(self.record(key), asker)) for key in keys}
            await self._told_at_once(asked(action, found, asker, self.records()))
        return [each for left in found.values() for each in left]

    def concerned(self, action: Action) -> Key:
        """
        Return the key of the deployment that *action* is for; there need be none.

        Raises:
            Refused: There is no such VM (data-missing).

        """
        return told_by(action, OperationId(""), self._boxes)[0]

    async def operate(self, action: Action) -> OperationId:
        """
        Begin what is asked of a deployment or of a VM, durably; return its operation.

        Raises:
            Refused: There is no such thing (data-missing), or it cannot be taken now.
            StoreError: It could not be stored; nothing changed.

        """
        return await asyncio.shield(self._task(self._operate(action)))

    async def _operate(self, action: Action) -> OperationId:
        id_ = OperationId(self._new_id())
        key, trigger = told_by(action, id_, self._boxes)
        async with self._turn(key):
            await self._told_at_once({key: trigger})
        return id_

    async def _told_at_once(self, told: Mapping[Key, Trigger]) -> None:
        steps: dict[Key, Step] = {}
        for key, trigger in told.items():
            self._advance(steps, key, trigger)
        moved = [step for step in steps.values() if step.moved]
        await self._commit(moved)
        await self._follow_all(moved)

    def _steps(self, told: list[Told], edit: Edit) -> list[Step]:
        steps: dict[Key, Step] = {}
        with self._connectors.absent_first(edit):
            for key, trigger in told:
                self._advance(steps, key, trigger)
        try:
            self._connectors.check(edit, steps)
            check_uses(steps, self._boxes.index.users, self.record)
        except Refused as refused:
            refused.key = next((entry_of(*each) for each in told if each[0] == refused.key), None)
            raise
        if len(steps) == 1:
            self._go_on_at_once(steps)
        moved = [step for step in steps.values() if step.moved]
        return moved if edit.told else [untold(step) for step in moved]

    def _go_on_at_once(self, steps: dict[Key, Step]) -> None:
        """Let a deployment that an edit makes alone begin by that step where it need not wait."""
        [(key, step)] = steps.items()
        if (ready := ready_already(step.record, self.record)) is not None:
            self._advance(steps, key, ready)

    def tell(self, key: Key, trigger: Trigger) -> None:
        """Let the record of *key* know; never refused, coalesced by subject (law 9)."""
        if self._closed:
            return
        if isinstance(trigger, ResourcesReady | ResourceFailed | NeighboursGone):
            self._performer.answered(key)
        elif isinstance(trigger, RecoveryPermitted):
            self._performer.permitted(key, trigger.server.vm)
        box = self._boxes.get(key)
        if box is None:
            return  # it came after the end
        box.put(trigger)
        self._drain_soon(box)

    async def close(self) -> None:
        """Finish the steps under way and stop; what is open goes on after the next start."""
        self._timers.close()
        self.guard.close()
        self._drifts.close()
        await self._performer.close()
        self._closed = True
        while self._tasks:
            await asyncio.wait(self._tasks)

    # ---------------------------------------------------------------- one step

    def _task(self, work: Coroutine[Any, Any, ResultT]) -> asyncio.Task[ResultT]:
        task = asyncio.create_task(work, context=self._context.copy())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _turn(self, key: Key) -> MailboxTurn:
        """Hold the mailbox of *key*: nobody else moves its record meanwhile."""
        return MailboxTurn(self._boxes.box(key), self._boxes.unused)

    def _drain_soon(self, box: Mailbox) -> None:
        if not box.draining:
            box.draining = True
            self._task(self._drain(box))

    async def _drain(self, box: Mailbox) -> None:
        try:
            async with self._turn(box.key):
                while box.waiting:
                    triggers = box.take()
                    if not await self._stepped(box, triggers):
                        box.put_back(triggers)
                        break
                    self._follow_when_read(box)
        finally:
            box.draining = False
            self._boxes.unused(box)
        if box.waiting and not self._closed:
            await asyncio.sleep(_STORE_PAUSE_SECONDS)
            self._drain_soon(box)

    async def _stepped(self, box: Mailbox, triggers: list[Trigger]) -> bool:
        """
        Tell whether *triggers* were taken; not when the step could not be stored.

        One that the domain breaks on is given up with a log line, and the rest is taken: a bug
        must not silence a record, whose plan asks again for what it still needs.
        """
        steps: dict[Key, Step] = {}
        for trigger in triggers:
            try:
                self._advance(steps, box.key, trigger)
            except Exception:
                self.broken += 1
                log.exception("trigger.broke", **_about(box), trigger=type(trigger).__name__)
        moved = [step for step in steps.values() if step.moved]
        try:
            await self._commit(moved)
        except StoreError as error:
            self.not_stored += 1
            log.error("step.not_stored", **_about(box), error=str(error))  # noqa: TRY400
            return False
        for left in chain.from_iterable(map(departed, moved)):
            log.info("leftover.gone", **left.words())
        return True

    def _advance(self, steps: dict[Key, Step], key: Key, trigger: Trigger) -> None:
        """Advance the record of *key*, within the same transaction, by one trigger more."""
        before = steps.get(key)
        record = before.record if before else self.record(key)
        try:
            step = advance(key, record, trigger, self._now(), self._policy)
        except Refused as refused:
            if isinstance(trigger, IntentChanged):
                refused.key = entry_of(key, trigger)
            raise
        steps[key] = before.then(step) if before else step

    async def _commit(self, steps: Sequence[Step], edit: Edit = _NO_EDIT) -> Exception | None:
        """
        Store *steps*, then let their records be seen, then tell their events.

        Returns what broke in who was to be told of *edit*: what is stored is followed all the same.
        """
        sealed = [numbered(step) for step in steps]
        logged: Sequence[LoggedEvent] = ()
        if sealed or edit.entries or edit.undo is not None:
            logged = await self._store.commit(
                sealed, edit.entries, time=self._now(), undo=edit.undo
            )
        self.steps += len(sealed)
        for step in sealed:
            self._boxes.put(step.key, step.record)
        if sealed and log.is_enabled_for(logging.DEBUG):
            for step in sealed:
                told = [event.type.value for event in step.events]
                log.debug("step.taken", **_about(self._boxes.box(step.key)), events=told)
        self._connectors.committed(sealed)
        broken: Exception | None = None
        try:
            edit.on_committed()
        except Exception as error:  # noqa: BLE001  raised again by who follows
            broken = error
        self.broadcast.publish(logged)  # also then: the numbers have no gaps
        return broken

    def _follow_when_read(self, box: Mailbox) -> None:
        """
        Plan once every trigger that waits is taken.

        A call that has answered no longer holds its slot. A plan made before its answer is in the
        record would send the call again at once: a create that nobody answered would be doubled.
        """
        if not box.waiting:
            self._follow(box)

    async def _follow_all(self, moved: Sequence[Step]) -> None:
        for number, step in enumerate(moved, 1):
            self._follow_when_read(self._boxes.box(step.key))
            if number % _A_TURN == 0:
                await asyncio.sleep(0)  # others get a turn; these records are ours still

    def _follow(self, box: Mailbox) -> None:
        """Do what the record now wants done, and let its neighbours look at it."""
        key, record = box.key, box.record
        if record is None:
            self._performer.ensure(key, ())
            self._timers.wake(key, None)
        else:
            try:
                todo = plan(record, self._now())
            except Exception:  # a bug must not silence a record
                self.broken += 1
                log.exception("plan.broke", **_about(box))
                self._timers.wake(key, self._now() + _BROKEN_PAUSE)
                return
            self._performer.ensure(key, todo.commands, operation_of(record))
            self._timers.wake(key, todo.wake_at)
        self._neighbours.changed(key)

    def _wake(self, key: Key) -> None:
        self.tell(key, Woken())


def _about(box: Mailbox) -> dict[str, str | None]:
    """Return what a line about the record of *box* is found by."""
    return {
        **parts(box.key),
        "operation": None if box.record is None else operation_of(box.record),
    }
