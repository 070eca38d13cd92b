"""What collectors are asked in tests, and turns that keep what they are answered."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from esc_daemon.domain.ids import ServerKey, VmId
from esc_daemon.monitor.base import Question, Sample, Target, question_of
from esc_daemon.monitor.catalogue import Catalogue
from tests.monitor.monitor_bench import PING, VIM


def a_question(metric: str, *addresses: str, poll_seconds: int = 15, **properties: Any) -> Question:
    """Return what a KPI by a core metric asks of a VM at *addresses*, perhaps on loopback."""
    target = Target(
        server=ServerKey(VmId("vm-1"), 0), vim=VIM, server_id="s", addresses={0: addresses}
    )
    collector = replace(
        PING.collector,
        type=metric,
        poll_seconds=poll_seconds,
        properties=tuple(properties.items()),
    )
    kpi = replace(PING, collector=collector)
    return question_of(target, kpi, Catalogue().get(metric), loopback=True)


@dataclass
class Kept:
    """A turn that keeps its answers."""

    question: Question
    answers: list[Sample | Exception] = field(default_factory=list)

    def answer(self, outcome: Sample | Exception) -> None:
        self.answers.append(outcome)

    @property
    def sample(self) -> Sample:
        """The first answer, which is no trouble."""
        first = self.answers[0]
        assert isinstance(first, Sample), first
        return first


async def until(condition: Callable[[], bool], seconds: int = 20) -> None:
    """Wait for *condition*, with a deadline."""
    for _ in range(seconds * 100):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"not within {seconds} s")
