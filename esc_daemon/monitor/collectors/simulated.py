"""
Life probes of guests that exist only in a simulator VIM.

Every metric is served by asking whether the guest answers:

* a ping (`PINGS`): 100 for an answer;
* any other metric has nothing to be measured in a simulator. The guest's answer stands in for it,
  in the words of the KPI: a check for exit status 0 (``EQ 0``, the contract of custom scripts)
  gets 0, all others 100. A log line says so once for each metric.

A guest that does not answer gives no value.

Where the VIM is part of this process nothing has to be waited for: all that is due is answered in
a go, without a task and a time-out for each.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import structlog

from esc_daemon.domain.ids import ServerKey, VimId
from esc_daemon.domain.intent import Condition, Kpi
from esc_daemon.domain.kpi import compare
from esc_daemon.monitor.base import (
    Choice,
    CollectorError,
    Question,
    Sample,
    Target,
    Turn,
    question_of,
)
from esc_daemon.monitor.catalogue import ANSWERED, EXIT_OK, PINGS, Catalogue
from esc_daemon.monitor.filling import address_of

REMEMBERED_METRICS: Final = 256
"""So many unknown types are named in the log; types are the user's, their number is not ours."""

_AT_ONCE: Final = 256
"""Guests that are asked before the loop has a turn again."""

log = structlog.get_logger()


class Guests(Protocol):
    """A VIM that knows by itself whether a guest answers (the VIM port's GuestProbe)."""

    async def answers(self, key: ServerKey, address: str) -> float | None:
        """Return the round-trip time in ms of a life probe of the guest at *address*, or None."""
        ...


class GuestsAtHand(Protocol):
    """A VIM that knows it without asking anybody (the VIM port's GuestsAtHand)."""

    def answers_now(self, key: ServerKey, address: str) -> float | None:
        """Return what `Guests.answers` returns, at once."""
        ...


def _nothing_at_hand(_: VimId) -> None:
    return None


class SimulatedGuests:
    """
    Collector for VMs of simulator VIMs.

    *guests* finds a VIM's guests (None: not simulated), *at_hand* those that need no wait.
    """

    at_a_time = 512

    def __init__(
        self,
        guests: Callable[[VimId], Guests | None],
        catalogue: Catalogue | None = None,
        at_hand: Callable[[VimId], GuestsAtHand | None] = _nothing_at_hand,
    ) -> None:
        self._guests = guests
        self._at_hand = at_hand
        self._catalogue = catalogue or Catalogue()
        self._named: set[str] = set()
        self._in_a_go = SimulatedGuestsAtHand(self)

    def choice(self, target: Target, kpi: Kpi) -> Choice | None:
        """Every metric of every simulator."""
        if self._guests(target.vim) is None:
            return None
        question = question_of(target, kpi, self._catalogue.get(kpi.collector.type))
        if self._at_hand(target.vim) is None:
            return Choice(collector=self, question=question)
        return Choice(collector=self._in_a_go, question=question)

    async def sample(self, question: Question) -> Sample:
        """Ask the guest at the address of the KPI's nicid."""
        target = question.target
        guests = self._guests(target.vim)
        if guests is None:
            raise CollectorError(f"VIM {target.vim} of VM {target.server.vm} is no simulator")
        address = str(address_of(question))
        return self._sample(question, address, await guests.answers(target.server, address))

    def sample_now(self, question: Question) -> Sample:
        """
        Ask in the same way, where nothing has to be waited for.

        Raises:
            CollectorError: As `sample`.

        """
        target = question.target
        guests = self._at_hand(target.vim)
        if guests is None:
            raise CollectorError(f"VIM {target.vim} of VM {target.server.vm} is no simulator here")
        address = str(address_of(question))
        return self._sample(question, address, guests.answers_now(target.server, address))

    def _sample(self, question: Question, address: str, took: float | None) -> Sample:
        if took is None:
            return Sample(value=None, detail=f"{address} does not answer")
        return Sample(value=self._success(question), took=took / 1000)

    def _success(self, question: Question) -> float:
        if question.measure in PINGS:
            return ANSWERED
        kpi = question.kpi
        self._name(kpi.collector.type)
        exit_status = kpi.condition is Condition.EQ and compare(kpi, EXIT_OK)
        return EXIT_OK if exit_status else ANSWERED

    def _name(self, metric: str) -> None:
        if metric not in self._named and len(self._named) < REMEMBERED_METRICS:
            self._named.add(metric)
            log.info("monitor.metric_is_a_ping_here", metric=metric)


class SimulatedGuestsAtHand:
    """What `SimulatedGuests` answers in a go (BatchCollector)."""

    def __init__(self, guests: SimulatedGuests) -> None:
        self._guests = guests
        self._waiting: deque[Turn] = deque()
        """Bounded: a probe stands here at most once."""
        self._going_on = False

    def start(self, turns: Sequence[Turn]) -> None:
        """See BatchCollector; what is more than a few waits for the loop's next turn."""
        self._waiting.extend(turns)
        if not self._going_on:
            self._some()

    def _some(self) -> None:
        for _ in range(min(_AT_ONCE, len(self._waiting))):
            turn = self._waiting.popleft()
            try:
                outcome: Sample | Exception = self._guests.sample_now(turn.question)
            except Exception as error:  # noqa: BLE001  # it must cost only its own KPI
                outcome = error
            turn.answer(outcome)
        self._going_on = bool(self._waiting)
        if self._going_on:
            asyncio.get_running_loop().call_soon(self._some)
