"""Whether the manager itself sees anything: addresses that it pings before it believes a loss."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from esc_daemon.domain.ids import NO_VIM, ServerKey, VmId
from esc_daemon.domain.intent import Collector, Condition, Kpi
from esc_daemon.monitor.base import BatchCollector, CollectorError, Question, Sample, Target
from esc_daemon.monitor.catalogue import ADDRESS, Measure

SECONDS: Final = 3.0
"""How long an address may take to answer."""
_SPARE: Final = 1.0

log = structlog.get_logger()

_TARGET: Final = Target(server=ServerKey(VmId(""), 0), vim=NO_VIM, server_id="", addresses={})
_PING: Final = Kpi(
    event_name="check address",
    threshold="0",
    condition=Condition.GT,
    collector=Collector(type=Measure.ICMP_PING),
)


@dataclass(slots=True, eq=False)
class _Ping:
    """One question to one address (Turn)."""

    question: Question
    answered: "asyncio.Future[Sample | Exception]"

    def answer(self, outcome: Sample | Exception) -> None:
        """See Turn."""
        if not self.answered.done():
            self.answered.set_result(outcome)


class CheckAddresses:
    """Looks whether any of *addresses* answers to *pings*; call it inside a loop."""

    def __init__(self, pings: BatchCollector, addresses: Sequence[str]) -> None:
        self._pings = pings
        self._addresses = tuple(addresses)

    async def __call__(self) -> bool:
        """Tell whether one answers; also where none of them can be asked, since nobody knows."""
        loop = asyncio.get_running_loop()
        turns = [_Ping(_question(each), loop.create_future()) for each in self._addresses]
        self._pings.start(turns)
        waiting = {turn.answered for turn in turns}
        done, _ = await asyncio.wait(waiting, timeout=SECONDS + _SPARE)
        outcomes = [each.result() for each in done]
        if any(isinstance(each, Sample) and each.value is not None for each in outcomes):
            return True
        errors = [each for each in outcomes if isinstance(each, CollectorError)]
        if len(errors) < len(turns):
            return False
        log.warning("guard.check_addresses_not_asked", error=str(errors[0]))
        return True


def _question(address: str) -> Question:
    return Question(
        target=_TARGET,
        kpi=_PING,
        measure=Measure.ICMP_PING,
        properties={ADDRESS: address},
        seconds=SECONDS,
        loopback=True,  # it is the operator's word, not a client's
    )
