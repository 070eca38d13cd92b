"""
Who measures the KPIs of which VIM: simulators answer for their guests, the network for all others.

A new collector is named here.
"""

from typing import Final

from esc_daemon.domain.ids import VimId
from esc_daemon.engine.vims import Vims
from esc_daemon.monitor.base import AnyCollector, Select, select
from esc_daemon.monitor.catalogue import Catalogue, Measure
from esc_daemon.monitor.collectors.simulated import SimulatedGuests
from esc_daemon.monitor.measured import Measured
from esc_daemon.vim.base import GuestProbe
from esc_daemon.vim.simulator.connector import has_real_guests

NOT_YET: Final = frozenset(Measure)
"""Measures that a metric may have and nothing here takes; a KPI by them goes FALSE and says so."""


def measuring(vims: Vims) -> Select:
    """Return who measures what on *vims*."""

    def real(vim: VimId) -> bool:
        connector = vims.connector(vim)
        return connector is not None and has_real_guests(connector)

    def simulated(vim: VimId) -> GuestProbe | None:
        return None if real(vim) else vims.guests(vim)

    catalogue = Catalogue()
    return select(SimulatedGuests(simulated, catalogue), Measured(catalogue, collectors(), real))


def collectors() -> dict[Measure, AnyCollector]:
    """Return what takes each measure."""
    return {}
