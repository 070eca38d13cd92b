"""What can be seen of the daemon from outside: figures, whether it is ready, how it is."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from itertools import product
from pathlib import Path
from time import monotonic
from typing import Final

from fastapi import APIRouter
from prometheus_client import CollectorRegistry

from esc_daemon.access.users import Users
from esc_daemon.app.pulse import Pulse
from esc_daemon.app.told import EventFigures
from esc_daemon.domain.events import EventStatus, EventType
from esc_daemon.domain.specs import VimStatus
from esc_daemon.engine.engine import Engine
from esc_daemon.logs import Log
from esc_daemon.northbound.http.collectors import (
    EngineMetrics,
    Process,
    ProcessMetrics,
    StoreMetrics,
    VimMetrics,
    statuses,
)
from esc_daemon.northbound.http.health import Readiness, health_router
from esc_daemon.northbound.http.metrics import NetconfMetrics, metrics_router
from esc_daemon.northbound.http.status import Status, Trouble, status_router, why_degraded
from esc_daemon.store.store import SqlStore

STARTING: Final = "starting"
STOPPING: Final = "stopping"


class Observed:
    """The one place where the figures of all rooms come together."""

    def __init__(
        self, log: Log, engine: Engine, store: SqlStore, database: Path, users: Users
    ) -> None:
        """Look at *engine*, *users* and *store*, whose file is *database*; it is starting."""
        self.registry = CollectorRegistry()
        self.readiness = Readiness([STARTING])
        self.pulse = Pulse(log.figures)
        self.netconf = NetconfMetrics(self.registry)
        # from 0 on: what first shows as 1 is no increase to Prometheus
        self.told: EventFigures = Counter(dict.fromkeys(product(EventType, EventStatus), 0))
        self._log = log
        self._engine = engine
        self._store = store
        self._users = users
        self._began = monotonic()
        VimMetrics(self.registry, self._connectors)
        self._deployed = EngineMetrics(self.registry, engine).deployed
        StoreMetrics(self.registry, store.writer, database)
        process = Process(
            lag=self.pulse.lag,
            ready=lambda: not self.readiness.reasons,
            lines=log.figures.lines,
            lines_left_out=lambda: log.figures.left_out,
            lines_lost=lambda: log.sink.lost,
            events=self.told,
        )
        ProcessMetrics(self.registry, process)

    def routers(self) -> Sequence[APIRouter]:
        """Return the pages that show it."""
        return [
            health_router(self.readiness, self.degraded),
            metrics_router(self.registry),
            status_router(self.status),
        ]

    def degraded(self) -> tuple[str, ...]:
        """
        Return what does not work although the daemon serves.

        A VIM that is away makes nobody unready: whatever asks again would be sent elsewhere, and
        there is no other daemon.
        """
        return tuple(self._why_degraded())

    def _why_degraded(self) -> Mapping[str, str]:
        return why_degraded(
            self._connectors(),
            self._engine.guard.holds(),
            database=self._store.writer.failing,
            log=self._log.sink.failing,
            users=self._users.failing,
        )

    def status(self) -> Status:
        """Return how it is now."""
        there = self._deployed()
        why = self._why_degraded()
        return Status(
            version=version("esc-daemon"),
            pid=os.getpid(),
            uptime_seconds=round(monotonic() - self._began, 3),
            ready=not self.readiness.reasons,
            reasons=self.readiness.reasons,
            degraded=tuple(why),
            why=tuple(f"{word}: {text}" for word, text in why.items()),
            sessions=self.netconf.open_sessions,
            connectors={name: number for name, number in statuses(self._connectors()) if number},
            deployments=there.deployments,
            vms=there.vms,
            in_error=there.in_error,
            to_recover=there.to_recover,
            leftovers=there.leftovers.total(),
            warnings=self._log.figures.warnings,
            errors=[Trouble(**trouble._asdict()) for trouble in self._log.figures.errors],
        )

    def _connectors(self) -> Mapping[VimStatus | None, int]:
        return Counter(connector.status for connector in self._engine.connectors())
