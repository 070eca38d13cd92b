"""Measures of real hosts: which collector stands behind a metric of the catalogue."""

from collections.abc import Callable, Mapping

from esc_daemon.domain.ids import VimId
from esc_daemon.domain.intent import Kpi
from esc_daemon.monitor.base import AnyCollector, Choice, CollectorError, Target, question_of
from esc_daemon.monitor.catalogue import Catalogue, Measure


class Measured:
    """
    Offers *collectors* for the metrics of *catalogue*, on VIMs whose VMs are *real*.

    A new collector goes into `esc_daemon.monitor.collectors` and is named here by the app. Only
    with *loopback* (labs, tests) may the manager's own be asked: no VM is there.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        collectors: Mapping[Measure, AnyCollector],
        real: Callable[[VimId], bool],
        *,
        loopback: bool = False,
    ) -> None:
        self._catalogue = catalogue
        self._collectors = dict(collectors)
        self._real = real
        self._loopback = loopback

    def choice(self, target: Target, kpi: Kpi) -> Choice | None:
        """
        Return the metric's collector; None where the VIM is not for us.

        Raises:
            CollectorError: There is no such metric, or nothing that measures it.

        """
        if not self._real(target.vim):
            return None
        name = kpi.collector.type
        metric = self._catalogue.get(name)
        if metric is None:
            known = ", ".join(each.name for each in self._catalogue)
            raise CollectorError(f"there is no metric {name} (there are: {known})")
        collector = self._collectors.get(metric.measure)
        if collector is None:
            raise CollectorError(f"metric {name}: nothing here measures {metric.measure}")
        question = question_of(target, kpi, metric, loopback=self._loopback)
        return Choice(collector=collector, question=question)
