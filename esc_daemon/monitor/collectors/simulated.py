"""
Life probes of guests that exist only in a simulator VIM.

Every collector type is served by asking whether the guest answers:

* ping-like types (ICMPPing, icmp4_ping, http_ping, ... in any case): 100 for an answer;
* any other type is a metric that we cannot measure yet. The guest's answer stands in for it, in
  the words of the KPI: a check for exit status 0 (``EQ 0``, the contract of custom scripts)
  gets 0, all others 100. A log line says so once for each type.

A guest that does not answer gives no value.
"""

from collections.abc import Callable
from typing import Final, Protocol

import structlog

from esc_daemon.domain.ids import ServerKey, VimId
from esc_daemon.domain.intent import Condition, Kpi
from esc_daemon.domain.kpi import compare
from esc_daemon.monitor.base import CollectorError, Sample, Target

ANSWERED: Final = 100.0
"""ICMPPing's value for a guest that answers: per cent."""

EXIT_OK: Final = 0.0
"""What a custom script exits with when all is well."""

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

    def __init__(self, guests: Callable[[VimId], Guests | None]) -> None:
        self._guests = guests
        self._named: set[str] = set()

    def serves(self, vim: VimId, metric: str) -> bool:  # noqa: ARG002  # the port's signature
        """Every metric of every simulator."""
        return self._guests(vim) is not None

    async def sample(self, target: Target, kpi: Kpi) -> Sample:
        """Ask the guest at the address of the KPI's nicid."""
        guests = self._guests(target.vim)
        if guests is None:
            raise CollectorError(f"VIM {target.vim} of VM {target.server.vm} is no simulator")
        address = target.addresses.get(kpi.collector.nicid)
        if address is None:
            raise CollectorError(
                f"KPI {kpi.event_name} of VM {target.server.vm} polls nicid "
                f"{kpi.collector.nicid}, which has no address"
            )
        took = await guests.answers(target.server, address)
        if took is None:
            return Sample(value=None, detail=f"{address} does not answer")
        return Sample(value=self._success(kpi), detail=f"{address} answered in {took:g} ms")

    def _success(self, kpi: Kpi) -> float:
        if ping_like(kpi.collector.type):
            return ANSWERED
        self._name(kpi.collector.type)
        exit_status = kpi.condition is Condition.EQ and compare(kpi, EXIT_OK)
        return EXIT_OK if exit_status else ANSWERED

    def _name(self, metric: str) -> None:
        if metric not in self._named and len(self._named) < REMEMBERED_METRICS:
            self._named.add(metric)
            log.info("monitor.metric_is_a_ping_here", metric=metric)


def ping_like(metric: str) -> bool:
    """Tell whether the collector type asks only whether somebody is there."""
    return "ping" in metric.lower()
