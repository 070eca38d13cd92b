"""
The figures that the northbound counts, and the page that shows all of a registry.

There is no global registry: the composition root makes one and hands it to every room.
"""

from collections import Counter as Counts
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from fastapi import APIRouter, Response
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from esc_daemon.domain.record import DeploymentRecord, Record
from esc_daemon.domain.specs import VimStatus
from esc_daemon.domain.states import ServiceState, VmState

_RPC_BUCKETS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
_UNCHECKED: Final = "UNCHECKED"
"""The status of a connector before its first check."""


class NetconfMetrics:
    """Figures of NETCONF over SSH. Label values come from our own tables, never from a peer."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.sessions = Gauge(
            "esc_netconf_sessions", "NETCONF sessions that are open", registry=registry
        )
        self.subscriptions = Gauge(
            "esc_netconf_subscriptions", "Notification subscriptions", registry=registry
        )
        self.logins = Counter(
            "esc_netconf_logins",
            "Logins by result: ok, refused (a wrong password)",
            ("result",),
            registry=registry,
        )
        self.rpc_seconds = Histogram(
            "esc_rpc_seconds",
            "Time from reading a request to its reply, seconds",
            ("operation",),
            buckets=_RPC_BUCKETS,
            registry=registry,
        )
        self._operations: dict[str, Histogram] = {}
        self.rpc_errors = Counter(
            "esc_rpc_errors", "rpc-error replies by error-tag", ("tag",), registry=registry
        )
        self.notifications = Counter(
            "esc_netconf_notifications", "Notifications handed to sessions", registry=registry
        )
        self.closed = Counter(
            "esc_netconf_sessions_closed",
            "Sessions that ended, by termination reason (RFC 6470) or limit",
            ("reason",),
            registry=registry,
        )

    def rpc_done(self, operation: str, seconds: float) -> None:
        """Count one request; *operation* is a name of our own tables."""
        child = self._operations.get(operation)
        if child is None:
            child = self._operations[operation] = self.rpc_seconds.labels(operation)
        child.observe(seconds)


class VimMetrics(Collector):
    """How the VIM connectors are; *statuses* is asked at each look at the page."""

    def __init__(
        self, registry: CollectorRegistry, statuses: Callable[[], Iterable[VimStatus | None]]
    ) -> None:
        self._statuses = statuses
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """Yield the number of connectors of each status, 0 too."""
        counts = Counts(status or _UNCHECKED for status in self._statuses())
        family = GaugeMetricFamily(
            "esc_vim_connectors", "VIM connectors by what the last check found", labels=["status"]
        )
        for status in (*VimStatus, _UNCHECKED):
            family.add_metric([status], counts[status])
        yield family


class EngineMetrics(Collector):
    """
    What is deployed, and what was asked of the VIMs.

    Computed at each look at the page, in one pass over *records*: no step of a record pays for
    it. *calls* yields connector, kind of call, result and number, of configured connectors only.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        records: Callable[[], Iterable[Record]],
        calls: Callable[[], Iterable[tuple[str, str, str, int]]],
    ) -> None:
        self._records = records
        self._calls = calls
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """Yield deployments and VMs by state, 0 too, leftovers, and calls by their result."""
        deployments: Counts[str] = Counts()
        vms: Counts[str] = Counts()
        leftovers = 0
        for record in self._records():
            if isinstance(record, DeploymentRecord):
                deployments[record.state] += 1
                vms.update(vm.state for vm in record.vms.values())
                leftovers += len(record.leftovers)
        yield _by_state("esc_deployments", "Deployments by state", ServiceState, deployments)
        yield _by_state("esc_vms", "VMs of deployments by state", VmState, vms)
        yield GaugeMetricFamily(
            "esc_leftovers", "VMs that could not be removed and are left in a VIM", value=leftovers
        )
        family = CounterMetricFamily(
            "esc_vim_calls",
            "Calls to a VIM by result: ok, failed (tried again), refused",
            labels=["vim", "call", "result"],
        )
        for vim, call, result, number in self._calls():
            family.add_metric([vim, call, result], number)
        yield family


def _by_state(name: str, text: str, states: Iterable[str], counts: Counts[str]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=["state"])
    for state in states:
        family.add_metric([state], counts[state])
    return family


def metrics_router(registry: CollectorRegistry) -> APIRouter:
    """Return the route ``/metrics`` in Prometheus' text format."""
    router = APIRouter(tags=["health"])

    @router.get("/metrics", summary="Figures for Prometheus", response_class=Response)
    async def metrics() -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return router
