"""The operator of the simulation: has leftovers forgotten, or tried again at once."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from random import Random
from typing import Final

from esc_daemon.domain.ids import Key, RecordId, ServerKey, VimId
from esc_daemon.domain.leftovers import (
    LeftoverAction,
    LeftoverActionType,
    LeftoverRef,
    leftovers_of,
)
from esc_daemon.domain.record import DeploymentRecord, Record, ResourceRecord, VmRecord
from esc_daemon.domain.step import Step
from tests.simulation.clouds import Clouds

AT_ONCE_SECONDS: Final = 5.0
"""
In which something that is tried again is asked of its cloud.

A second would do, but that another step of the same record may not be stored at first: then its
plan waits for a second, and again.
"""
JUST_NOW_SECONDS: Final = 0.5
"""A removal that was asked for no longer before is the one that is meant."""

_Place = tuple[VimId, ServerKey | Key]
"""What a leftover is in its cloud."""


class Operator:
    """What was asked about leftovers, and what must hold since."""

    def __init__(self) -> None:
        self.purged: set[_Place] = set()
        """What nobody need know of any more: whatever stays of it is the operator's own."""
        self._asked: list[LeftoverAction] = []
        """Purges whose answer has not come, and perhaps never will."""
        self._forgotten: set[ServerKey | RecordId] = set()
        self.problems: list[str] = []

    def any_action(self, records: Iterable[Record], random: Random) -> LeftoverAction | None:
        """Return an action about one leftover or several; None where there is none."""
        there = [ref for record in records for ref in leftovers_of(record)]
        if not there:
            return None
        ref = random.choice(there)
        type_ = random.choice(list(LeftoverActionType))
        roll = random.random()
        if roll < 0.6:
            return LeftoverAction(type=type_, kind=ref.kind, name=ref.name, tenant=ref.tenant)
        return LeftoverAction(type=type_, **({"vim": ref.vim} if roll < 0.9 else {}))

    def asks(
        self, action: LeftoverAction, records: Iterable[Record], now: datetime
    ) -> dict[_Place, bool]:
        """
        Note *action*, which may take effect; return what it means, and what of it would wait.

        *now* is the daemon's.
        """
        meant = {
            (ref.vim, _subject(record, ref)): _would_wait(record, ref, now)
            for record in records
            for ref in action.chosen(record)
        }
        if action.type is LeftoverActionType.PURGE:
            self.purged |= meant.keys()
            self._asked.append(action)
        return meant

    def note(self, steps: Iterable[Step]) -> None:
        """Learn from a commit: what became a leftover while a purge was under way goes with it."""
        for step in steps if self._asked else ():
            stay = {ref.subject for ref in leftovers_of(step.record)}
            for action in self._asked:
                for ref in action.chosen(step.before):
                    if ref.subject not in stay and step.before is not None:
                        self.purged.add((ref.vim, _subject(step.before, ref)))

    def begin(self) -> None:
        """Note a start: what was asked before takes effect no more."""
        self._asked.clear()

    async def look(
        self,
        action: LeftoverAction,
        meant: Mapping[_Place, bool],
        found: Iterable[LeftoverRef],
        clouds: Clouds,
        records: Callable[[], Iterable[Record]],
    ) -> None:
        """Look what became of an *action* that was acknowledged for *found* just now."""
        if action.type is LeftoverActionType.PURGE:
            self._asked.remove(action)
            self._forgotten |= {ref.subject for ref in found}
            self.problems += self.remembered(records())
            return
        asked = asyncio.get_running_loop().time()
        await asyncio.sleep(AT_ONCE_SECONDS)
        stay = {
            (ref.vim, _subject(record, ref))
            for record in records()
            if not _in_doubt(record)
            for ref in leftovers_of(record)
        }
        for vim, subject in stay:
            waited = meant.get((vim, subject), False)
            if waited and clouds.last_removal(vim, subject) < asked - JUST_NOW_SECONDS:
                self.problems.append(f"{subject} in {vim} was not tried again")

    def remembered(self, records: Iterable[Record]) -> Iterator[str]:
        """Yield what a purge has forgotten and is shown all the same."""
        for record in records:
            for ref in leftovers_of(record):
                if ref.subject in self._forgotten:
                    yield f"{ref} was forgotten and is there again"


def _subject(record: Record, ref: LeftoverRef) -> ServerKey | Key:
    return record.key if isinstance(ref.subject, str) else ref.subject


def _would_wait(record: Record, ref: LeftoverRef, now: datetime) -> bool:
    """Tell whether the next try is a matter of patience alone."""
    if isinstance(record, DeploymentRecord):
        mine = (each for each in record.leftovers if _key(each.vm) == ref.subject)
        return next(mine).attempt.next > now
    assert isinstance(record, ResourceRecord)
    assert record.attempt is not None
    return record.attempt.next > now and (record.unsure_until is None or record.unsure_until <= now)


def _in_doubt(record: Record) -> bool:
    """Tell whether a start that came first lets the try wait until nothing can turn up any more."""
    if not isinstance(record, ResourceRecord) or record.attempt is None:
        return False
    return record.unsure_until is not None and record.attempt.next < record.unsure_until


def _key(vm: VmRecord) -> ServerKey:
    return ServerKey(vm.id, vm.generation)
