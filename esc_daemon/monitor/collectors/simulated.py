"""
Life probes of guests that exist only in a simulator VIM.

Every metric is served by asking whether the guest answers:

* a ping (`PINGS`): 100 for an answer;
* any other metric has nothing to be measured in a simulator. The guest's answer stands in for it,
  in the words of the KPI: a check for exit status 0 (``EQ 0``, the contract of custom scripts)
  gets 0, all others 100. A log line says so once for each metric.

A guest that does not answer gives no value.
"""

from collections.abc import Callable
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
    question_of,
)
from esc_daemon.monitor.catalogue import ANSWERED, EXIT_OK, PINGS, Catalogue
from esc_daemon.monitor.filling import address_of

REMEMBERED_METRICS: Final = 256
"""So many unknown types are named in the log; types are the user's, their number is not ours."""

log = structlog.get_logger()


class Guests(Protocol):
    """A VIM that knows by itself whether a guest answers (the VIM port's GuestProbe)."""

    async def answers(self, key: ServerKey, address: str) -> float | None:
        """Return the round-trip time in ms of a life probe of the guest at *address*, or None."""
        ...


class SimulatedGuests:
    """Collector for VMs of simulator VIMs; *guests* finds a VIM's guests (None: not simulated)."""

    at_a_time = 512

    def __init__(
        self, guests: Callable[[VimId], Guests | None], catalogue: Catalogue | None = None
    ) -> None:
        self._guests = guests
        self._catalogue = catalogue or Catalogue()
        self._named: set[str] = set()

    def choice(self, target: Target, kpi: Kpi) -> Choice | None:
        """Every metric of every simulator."""
        if self._guests(target.vim) is None:
            return None
        metric = self._catalogue.get(kpi.collector.type)
        return Choice(collector=self, question=question_of(target, kpi, metric))

    async def sample(self, question: Question) -> Sample:
        """Ask the guest at the address of the KPI's nicid."""
        target = question.target
        guests = self._guests(target.vim)
        if guests is None:
            raise CollectorError(f"VIM {target.vim} of VM {target.server.vm} is no simulator")
        address = str(address_of(question))
        took = await guests.answers(target.server, address)
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
