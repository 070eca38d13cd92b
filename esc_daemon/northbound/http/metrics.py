"""
The figures that the northbound counts, and the page that shows all of a registry.

There is no global registry: the composition root makes one and hands it to every room.
"""

from enum import StrEnum
from typing import Final

from fastapi import APIRouter, Response
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

_RPC_BUCKETS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)


class Limit(StrEnum):
    """
    A limit that refuses or cuts off, by its setting.

    CONNECTIONS follows from `sessions`, PRE_AUTH_BYTES is fixed.
    """

    CONNECTIONS = "connections"
    SESSIONS = "sessions"
    SESSIONS_PER_USER = "sessions_per_user"
    SUBSCRIPTIONS = "subscriptions"
    PRE_AUTH_SECONDS = "pre_auth_seconds"
    PRE_AUTH_BYTES = "pre_auth_bytes"


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
        for result in ("ok", "refused"):  # a first one is a change only of what was there before
            self.logins.labels(result)
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
        limits = Counter(
            "esc_limits_reached",
            "What was refused or cut off by a limit, by the name of its setting",
            ("limit",),
            registry=registry,
        )
        # from 0 on: what first shows as 1 is no increase to Prometheus
        self.limits_reached: Final = {limit: limits.labels(limit) for limit in Limit}
        self.closed = Counter(
            "esc_netconf_sessions_closed",
            "Sessions that ended, by termination reason (RFC 6470) or limit",
            ("reason",),
            registry=registry,
        )

    @property
    def open_sessions(self) -> int:
        """How many sessions are open."""
        (metric,) = self.sessions.collect()
        return int(metric.samples[0].value)

    def rpc_done(self, operation: str, seconds: float) -> None:
        """Count one request; *operation* is a name of our own tables."""
        child = self._operations.get(operation)
        if child is None:
            child = self._operations[operation] = self.rpc_seconds.labels(operation)
        child.observe(seconds)


def metrics_router(registry: CollectorRegistry) -> APIRouter:
    """Return the route ``/metrics`` in Prometheus' text format."""
    router = APIRouter(tags=["health"])

    @router.get("/metrics", summary="Figures for Prometheus", response_class=Response)
    async def metrics() -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return router
