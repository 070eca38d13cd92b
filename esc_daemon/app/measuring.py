"""
Who measures the KPIs of which VIM: simulators answer for their guests, the network for all others.

The load of its servers each VIM measures itself.
A new collector is named here.
"""

from collections.abc import Iterable
from contextlib import AsyncExitStack
from pathlib import Path

from esc_daemon.domain.ids import VimId
from esc_daemon.engine.vims import Vims
from esc_daemon.monitor.base import AnyCollector, Select, select
from esc_daemon.monitor.catalogue import CORE, Catalogue, Measure, Metric
from esc_daemon.monitor.collectors.connections import TcpPing, UdpPing
from esc_daemon.monitor.collectors.http import HttpPing
from esc_daemon.monitor.collectors.icmp import Icmp
from esc_daemon.monitor.collectors.script import Scripts
from esc_daemon.monitor.collectors.simulated import SimulatedGuests
from esc_daemon.monitor.collectors.snmp import Snmp
from esc_daemon.monitor.collectors.vim import VimMetrics
from esc_daemon.monitor.hooks import Hooks
from esc_daemon.monitor.measured import Measured
from esc_daemon.monitor.sight import CheckAddresses
from esc_daemon.settings import HealingSettings, Settings
from esc_daemon.vim.base import GuestProbe
from esc_daemon.vim.simulator.connector import has_real_guests


def pings(stack: AsyncExitStack) -> Icmp:
    """Return what sends every ping of the daemon, with one socket a family; *stack* closes it."""
    icmp = Icmp()
    stack.callback(icmp.close)
    return icmp


def measuring(
    vims: Vims, stack: AsyncExitStack, settings: Settings, own: Iterable[Metric], icmp: Icmp
) -> Select:
    """Return who measures what on *vims*, *own* metrics too; *stack* lets go of what they hold."""

    def real(vim: VimId) -> bool:
        connector = vims.connector(vim)
        return connector is not None and has_real_guests(connector)

    def simulated(vim: VimId) -> GuestProbe | None:
        return None if real(vim) else vims.guests(vim)

    catalogue = Catalogue((*CORE, *own))
    measured = Measured(
        catalogue,
        collectors(stack, settings, icmp),
        real,
        loopback=settings.monitor.allow_loopback,
    )
    return select(
        VimMetrics(vims.metrics, catalogue),
        SimulatedGuests(simulated, catalogue, vims.guests_at_hand),
        measured,
    )


def sight(icmp: Icmp, healing: HealingSettings) -> CheckAddresses | None:
    """Return what looks whether the manager's own check addresses answer; None: there are none."""
    return CheckAddresses(icmp, healing.check_addresses) if healing.check_addresses else None


def collectors(
    stack: AsyncExitStack, settings: Settings, icmp: Icmp
) -> dict[Measure, AnyCollector]:
    """Return what takes each measure but the VIMs' own; *stack* lets go of what they hold."""
    http, scripts, snmp = HttpPing(), _scripts(settings), Snmp()
    stack.push_async_callback(http.close)
    stack.push_async_callback(scripts.close)
    return {
        Measure.ICMP_PING: icmp,
        Measure.ICMP4_PING: icmp,
        Measure.ICMP6_PING: icmp,
        Measure.TCP_PING: TcpPing(),
        Measure.UDP_PING: UdpPing(),
        Measure.HTTP_PING: http,
        Measure.CUSTOM_SCRIPT: scripts,
        Measure.CUSTOM_SCRIPT_THRESHOLD: scripts,
        Measure.SNMP_GET: snmp,
        Measure.SNMP_GET_THRESHOLD: snmp,
        Measure.SNMP_GET_THRESHOLD_RATIO: snmp,
    }


def hooks_of(stack: AsyncExitStack, settings: Settings) -> Hooks:
    """Return what runs the scripts of hooks, bound as those of KPIs are; *stack* lets go of it."""
    hooks = Hooks(
        _directories(settings),
        workers=settings.monitor.script_workers,
        memory_bytes=settings.monitor.script_memory_bytes,
    )
    stack.push_async_callback(hooks.close)
    return hooks


def _scripts(settings: Settings) -> Scripts:
    return Scripts(
        _directories(settings),
        workers=settings.monitor.script_workers,
        memory_bytes=settings.monitor.script_memory_bytes,
    )


def _directories(settings: Settings) -> list[Path]:
    return [settings.data_dir / each for each in settings.monitor.script_directories]
