"""
What the VIM measures of its servers: load of processors, memory and network (`VIM_METRICS`).

A server that does not run has no load, which is no sample.
"""

from collections.abc import Callable
from typing import Protocol

from esc_daemon.domain.ids import ServerKey, VimId
from esc_daemon.domain.intent import Kpi
from esc_daemon.domain.specs import VimMetric
from esc_daemon.monitor.base import Choice, CollectorError, Question, Sample, Target, question_of
from esc_daemon.monitor.catalogue import VIM_METRICS, Catalogue


class Servers(Protocol):
    """A VIM that measures its servers (the VIM port's ServerMetrics)."""

    async def measured(self, key: ServerKey, metric: VimMetric) -> float | None:
        """Return the latest value of *metric*; None of a server that does not run."""
        ...


class VimMetrics:
    """Collector of what VIMs measure; *servers* finds a VIM's servers (None: it cannot tell)."""

    at_a_time = 128

    def __init__(self, servers: Callable[[VimId], Servers | None], catalogue: Catalogue) -> None:
        self._servers = servers
        self._catalogue = catalogue

    def choice(self, target: Target, kpi: Kpi) -> Choice | None:
        """Every VIM, and those metrics alone."""
        metric = self._catalogue.get(kpi.collector.type)
        if metric is None or metric.measure not in VIM_METRICS:
            return None
        return Choice(collector=self, question=question_of(target, kpi, metric))

    async def sample(self, question: Question) -> Sample:
        """See Collector."""
        target = question.target
        assert question.measure is not None
        metric = VIM_METRICS[question.measure]
        servers = self._servers(target.vim)
        if servers is None:
            raise CollectorError(
                f"VIM {target.vim} does not tell the {metric} of its servers; measure it by SNMP or"
                " by a script"
            )
        value = await servers.measured(target.server, metric)
        return Sample(value=value, detail="" if value is not None else "the server does not run")
