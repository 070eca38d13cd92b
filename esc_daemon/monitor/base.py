"""
The collector port: who measures one KPI of one server.

MonitorError
 + CollectorError   nothing could be measured (no address, no driver): not the guest's silence
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from esc_daemon.domain.ids import ServerKey, VimId
from esc_daemon.domain.intent import Kpi


class MonitorError(Exception):
    """Base of what this room raises."""


class CollectorError(MonitorError):
    """Nothing could be measured; the text names the server, the collector and the cause."""


@dataclass(kw_only=True, slots=True, frozen=True)
class Target:
    """The server that is measured; *addresses* by nicid."""

    server: ServerKey
    vim: VimId
    server_id: str
    addresses: Mapping[int, str]


@dataclass(kw_only=True, slots=True, frozen=True)
class Sample:
    """One measurement; *value* None: the guest gave no answer. *detail* is for the operator."""

    value: float | None
    detail: str = ""


class Collector(Protocol):
    """Measures KPIs."""

    async def sample(self, target: Target, kpi: Kpi) -> Sample:
        """
        Measure once. The guest's silence is a sample without a value, no error.

        The monitor puts a time-out around it and drops it by cancelling.

        Raises:
            CollectorError: It could not be asked at all.
        """
        ...


class Offer(Collector, Protocol):
    """
    A collector that knows what it can measure.

    A new one goes into `esc_daemon.monitor.collectors` and is named to `select` by the app.
    """

    def serves(self, vim: VimId, metric: str) -> bool:
        """Tell whether the collector type *metric* (in any case) can be measured on *vim*."""
        ...


Select = Callable[[VimId, str], Collector | None]


def select(*offers: Offer) -> Select:
    """Return the choice among *offers*: the first that serves the VIM and the metric."""

    def chosen(vim: VimId, metric: str) -> Collector | None:
        return next((one for one in offers if one.serves(vim, metric)), None)

    return chosen
