"""
The rooms below the doors: the engine with its VIMs, its monitor and its reader of day-0 files.

A new VIM driver is named here.
"""

import asyncio
from collections.abc import Container, Iterable
from contextlib import AsyncExitStack
from datetime import timedelta
from functools import partial
from typing import Final

from esc_daemon.app.measuring import hooks_of, measuring, pings, sight
from esc_daemon.app.simulator import simulator_page
from esc_daemon.dayzero.base import DayZeroReader, FileServers
from esc_daemon.dayzero.images import image_source
from esc_daemon.dayzero.reader import day_zero_reader
from esc_daemon.domain.policy import GuardPolicy, Policy
from esc_daemon.domain.secrets import opened_connector
from esc_daemon.engine.clock import Clock
from esc_daemon.engine.engine import Engine
from esc_daemon.engine.uploads import UploadLimits, Uploads
from esc_daemon.engine.vims import Vims
from esc_daemon.monitor.catalogue import Metric
from esc_daemon.monitor.monitor import Monitor
from esc_daemon.settings import (
    HealingSettings,
    ImageSettings,
    ScalingSettings,
    Settings,
    VimSettings,
)
from esc_daemon.store.base import Store
from esc_daemon.vault import Vault
from esc_daemon.vim.simulator.client import RemoteSimulator
from esc_daemon.vim.simulator.cloud import Cloud
from esc_daemon.vim.simulator.connector import TYPE as SIMULATOR
from esc_daemon.vim.simulator.connector import SimulatorType
from esc_daemon.vim.simulator.control import Control
from esc_daemon.vim.simulator.driver import SimulatorDriver
from esc_daemon.vim.simulator.faults import load_rules
from esc_daemon.vim.simulator.settings import CloudSettings, host_and_port
from esc_daemon.vim.simulator.state import StateFile

SIMULATOR_STATE: Final = "simulator.state"


def reader_of_day_zero(
    settings: Settings, servers: FileServers, own_ports: Container[int]
) -> DayZeroReader:
    """Return what reads day-0 files; it does not ask the daemon itself, at *own_ports*."""
    return day_zero_reader(
        settings.data_dir,
        directories=settings.day0.directories,
        servers=servers,
        max_bytes=settings.day0.max_bytes,
        timeout=settings.day0.timeout,
        own_ports=own_ports,
    )


def uploads_of(settings: Settings, own_ports: Container[int]) -> Uploads:
    """Return what brings images to VIMs, never from the daemon itself, at *own_ports*."""
    source = image_source(
        settings.data_dir,
        directories=settings.images.directories,
        max_bytes=settings.images.max_bytes,
        wait=settings.images.wait,
        own_ports=own_ports,
    )
    return Uploads(source, upload_limits_of(settings.images))


def upload_limits_of(images: ImageSettings) -> UploadLimits:
    """Return how patient we are with an image on its way, and how many there are at a time."""
    return UploadLimits(wait=images.wait, longest=images.timeout, at_a_time=images.at_a_time)


def policy_of(vim: VimSettings, scaling: ScalingSettings, healing: HealingSettings) -> Policy:
    """Return how patient we are with a VIM and between two scalings, and how careful in healing."""
    return Policy(
        give_up_after=timedelta(seconds=vim.give_up_after),
        first_pause=timedelta(seconds=vim.first_pause),
        longest_pause=timedelta(seconds=vim.longest_pause),
        removal_tries=vim.removal_tries,
        leftover_pause=timedelta(seconds=vim.leftover_pause),
        settle=timedelta(seconds=vim.settle),
        check_pause=timedelta(seconds=vim.check_seconds),
        recheck_pause=timedelta(seconds=vim.recheck_seconds),
        scaling_pause=timedelta(seconds=scaling.cooldown),
        recoveries_an_hour=healing.recoveries_an_hour,
        drift_pause=timedelta(seconds=healing.drift_seconds),
        guard=guard_of(healing),
    )


def guard_of(healing: HealingSettings) -> GuardPolicy:
    """Return when the operator wants healing to be held."""
    window = healing.guard_window
    return GuardPolicy(
        on=healing.guard,
        share=healing.guard_percent / 100,
        least=healing.guard_least,
        window=None if window is None else timedelta(seconds=window),
        longest=timedelta(seconds=healing.guard_seconds),
        per_host=healing.recoveries_per_host,
        per_vim=healing.recoveries_per_vim,
    )


async def engine_of(
    settings: Settings,
    stack: AsyncExitStack,
    store: Store,
    vault: Vault,
    day_zero: DayZeroReader,
    ports: dict[str, int],
    metrics: Iterable[Metric],
) -> Engine:
    """
    Return the engine, nothing restored yet; a port that it opens is added to *ports*.

    *metrics* are the operator's own.
    """
    vims = Vims(
        {SIMULATOR: await _simulator_type(settings, stack, vault, ports)},
        call_timeout=settings.vim.call_timeout,
        opened=partial(opened_connector, unseal=vault.unseal),
    )
    stack.push_async_callback(vims.close)
    icmp = pings(stack)
    engine = Engine(
        store=store,
        vims=vims,
        now=Clock(asyncio.get_running_loop()).now,
        monitor=partial(Monitor, measuring(vims, stack, settings, metrics, icmp)),
        day_zero=day_zero,
        hooks=hooks_of(stack, settings),
        uploads=uploads_of(settings, ports.values()),
        policy=policy_of(settings.vim, settings.scaling, settings.healing),
        reachable=sight(icmp, settings.healing),
        last_event=await store.last_event(),
    )
    stack.push_async_callback(engine.close)
    return engine


async def _simulator_type(
    settings: Settings, stack: AsyncExitStack, vault: Vault, ports: dict[str, int]
) -> SimulatorType:
    """Return the type SIMULATOR: connectors without an address are doors to one cloud."""
    timeout = settings.vim.call_timeout
    if settings.vim.simulator_address is not None:
        host, port = host_and_port(settings.vim.simulator_address)
        return SimulatorType(
            lambda vim: RemoteSimulator(host, port, vim=vim, timeout_seconds=timeout),
            timeout_seconds=timeout,
        )
    faults = settings.vim.faults_file
    state = stack.enter_context(StateFile(settings.data_dir / SIMULATOR_STATE, vault=vault))
    cloud = Cloud(
        CloudSettings(
            build_seconds=settings.vim.build_seconds,
            boot_seconds=settings.vim.boot_seconds,
            image_content=settings.vim.image_content,
        ),
        rules=load_rules(faults) if faults is not None else (),
        rows=state.rows,
        journal=state,
    )
    if settings.vim.simulator_http_port is not None:
        page = simulator_page(
            Control(cloud, faults_file=faults), port=settings.vim.simulator_http_port
        )
        ports["simulator_http"] = await stack.enter_async_context(page)
    return SimulatorType(lambda vim: SimulatorDriver(cloud, vim=vim), timeout_seconds=timeout)
