"""
The composition root: the only place that knows every room.

    settings -> store, schema, datastore, VIM drivers -> engine -> management -> listeners

Built in that order, ended in the other: nobody new comes in, the steps under way are finished,
the store is closed last.
"""

import asyncio
import gc
import json
import os
import resource
import signal
import sys
from collections.abc import AsyncIterator, Callable, Container, Coroutine, Iterator, Mapping
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
)
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

import structlog
from prometheus_client import CollectorRegistry

from esc_daemon.access.errors import AccessError
from esc_daemon.access.first_start import KEYS_DIRECTORY, USERS_FILE, password_from_file, prepare
from esc_daemon.access.login import Login
from esc_daemon.access.passwords import Passwords
from esc_daemon.access.throttle import LoginThrottle
from esc_daemon.access.users import Users
from esc_daemon.access.vault_key import VAULT_KEY, vault_key
from esc_daemon.datamodel import entries as configuration
from esc_daemon.datamodel.coverage import CoverageError
from esc_daemon.datamodel.datastore import Datastore
from esc_daemon.datamodel.schema import Schema
from esc_daemon.datamodel.tree import MODULE
from esc_daemon.dayzero.base import DayZeroReader, FileServers
from esc_daemon.dayzero.reader import day_zero_reader
from esc_daemon.domain.events import Stream
from esc_daemon.domain.ids import Kind
from esc_daemon.domain.policy import Policy
from esc_daemon.domain.secrets import opened_connector
from esc_daemon.engine.broadcast import Listener
from esc_daemon.engine.clock import Clock
from esc_daemon.engine.engine import Engine
from esc_daemon.engine.file_servers import RecordedFileServers
from esc_daemon.engine.vims import Vims
from esc_daemon.logs import configure_log
from esc_daemon.monitor.base import select
from esc_daemon.monitor.collectors.simulated import SimulatedGuests
from esc_daemon.monitor.monitor import Monitor
from esc_daemon.netconf.capabilities import (
    OF_CANDIDATE,
    PROTOCOL_CAPABILITIES,
    library_capabilities,
)
from esc_daemon.netconf.library import YangLibrary
from esc_daemon.netconf.messages import RUNNING_ONLY, WITH_CANDIDATE
from esc_daemon.netconf.messages import Datastore as NetconfDatastore
from esc_daemon.northbound.configuration import Configuration
from esc_daemon.northbound.first_connector import first_connector
from esc_daemon.northbound.http.health import Readiness, health_router
from esc_daemon.northbound.http.listener import create_app, http_listener
from esc_daemon.northbound.http.metrics import NetconfMetrics, VimMetrics, metrics_router
from esc_daemon.northbound.management import STREAMS, Manager
from esc_daemon.northbound.ssh.dispatch import Services
from esc_daemon.northbound.ssh.hostkeys import host_keys
from esc_daemon.northbound.ssh.limits import Limits
from esc_daemon.northbound.ssh.listener import netconf_listener
from esc_daemon.northbound.ssh.locks import Locks
from esc_daemon.northbound.ssh.sessions import Sessions
from esc_daemon.northbound.ssh.state import server_state, stream_list
from esc_daemon.settings import LogSettings, NetconfProfile, Settings
from esc_daemon.store import StoreSealed, is_sealed, open_store
from esc_daemon.store.base import Entry, LoggedEvent, Store, StoreError
from esc_daemon.store.upkeep import short_event_log
from esc_daemon.vault import Vault
from esc_daemon.vim.simulator.client import RemoteSimulator
from esc_daemon.vim.simulator.cloud import Cloud
from esc_daemon.vim.simulator.connector import TYPE as SIMULATOR
from esc_daemon.vim.simulator.connector import SimulatorType
from esc_daemon.vim.simulator.driver import SimulatorDriver
from esc_daemon.vim.simulator.faults import FaultFileError, load_rules
from esc_daemon.vim.simulator.server import SimulatorError, run_simulator
from esc_daemon.vim.simulator.settings import CloudSettings, host_and_port
from esc_daemon.vim.simulator.state import StateError, StateFile

log = structlog.get_logger()

DATABASE: Final = "esc.db"
SIMULATOR_STATE: Final = "simulator.state"
PORTS_FILE: Final = "ports.json"
"""Where the client program of the same machine finds this daemon."""

_EXIT_OK: Final = 0
_EXIT_FAILED: Final = 1
_EXIT_BAD_SETTINGS: Final = 2
_STARTING: Final = "starting"
_TURN_SECONDS: Final = 0.0005
_COLLECTOR_THRESHOLDS: Final = (20_000, 20, 20)
"""Objects made and not yet freed before a search of the youngest; of these before an older one."""
_FILES_BESIDE_SESSIONS: Final = 512
"""Open files: logins under way, HTTP, database, keys, links to VIMs."""


class ListenerRefused(Exception):
    """An address or port cannot be had; the text names the listener and the setting."""


def run_daemon(
    settings: Settings, *, port_file: Path | None, admin_password_file: Path | None
) -> int:
    """Serve until SIGTERM or SIGINT; return the exit code (DESIGN section 9)."""
    configure_log(settings.log)
    _keep_the_collector_off()
    # the thread that syncs the database is not to wait 5 ms for its turn after each sync
    sys.setswitchinterval(_TURN_SECONDS)
    _allow_open_files(settings.limits.sessions + _FILES_BESIDE_SESSIONS)
    return _run(_serve(settings, port_file, admin_password_file))


def upgrade_database(settings: Settings) -> int:
    """Bring the database to this version; the daemon does so itself when it starts."""

    async def upgraded() -> None:
        store = await open_store(settings.data_dir / DATABASE, vault=_vault(settings))
        await store.close()

    return _run(upgraded())


def simulate_vim(
    host: str,
    port: int,
    *,
    state_file: Path | None,
    faults_file: Path | None,
    port_file: Path | None,
    cloud: Mapping[str, Any],
) -> int:
    """Serve a simulated cloud until SIGTERM or SIGINT; *cloud* are fields of CloudSettings."""
    configure_log(LogSettings())
    return _run(
        run_simulator(
            host,
            port,
            state_file=state_file,
            faults_file=faults_file,
            port_file=port_file,
            settings=CloudSettings(**cloud),
        )
    )


def _run(work: Coroutine[None, None, None]) -> int:
    try:
        asyncio.run(work)
    except (AccessError, FaultFileError, StoreSealed) as error:
        print(f"esc_daemon: {error}", file=sys.stderr)  # noqa: T201  for the operator
        return _EXIT_BAD_SETTINGS
    except (
        StoreError,
        StateError,
        SimulatorError,
        CoverageError,
        ListenerRefused,
        OSError,
    ) as error:
        print(f"esc_daemon: {error}", file=sys.stderr)  # noqa: T201  for the operator
        return _EXIT_FAILED
    return _EXIT_OK


async def _serve(
    settings: Settings, port_file: Path | None, admin_password_file: Path | None
) -> None:
    stopping = _stop_event()
    async with AsyncExitStack() as stack:
        login = _login(settings, stack, admin_password_file)
        vault = _vault(settings)
        store = await open_store(settings.data_dir / DATABASE, vault=vault)
        stack.push_async_callback(store.close)
        ports_files = [settings.data_dir / PORTS_FILE, *([port_file] if port_file else [])]
        for file in ports_files:  # of a daemon that was killed: who waits for it waits for us
            file.unlink(missing_ok=True)
        keep = settings.limits.events_kept
        await stack.enter_async_context(short_event_log(store, keep_events=keep))
        schema = Schema.load()
        gc.collect()  # the parsed YANG, before there is more to look through
        datastore = Datastore(schema, vault)
        datastore.load(_entry(stored) for stored in await store.entries())
        ports: dict[str, int] = {}  # known when the listeners are there
        # the engine, whose records are asked for file servers, comes after what it reads with
        servers = RecordedFileServers(lambda key: engine.record(key), vault.unseal)  # noqa: PLW0108
        day_zero = _day_zero_reader(settings, stack, servers, ports.values())
        engine = await _engine(settings, stack, store, vault, day_zero)
        registry = CollectorRegistry()
        readiness = Readiness([_STARTING])
        app = create_app([health_router(readiness), metrics_router(registry)])
        http = await stack.enter_async_context(
            _listening(
                f"HTTP on {settings.http_host} port {settings.http_port}",
                "http_port (--http-port; 0 takes any free port)",
                http_listener(app, settings.http_host, settings.http_port),
            )
        )
        telling = asyncio.create_task(_log_events(engine.broadcast.listen()), name="event log")
        stack.callback(telling.cancel)
        await engine.restore(partial(first_connector, datastore, SIMULATOR))
        VimMetrics(registry, lambda: [each.status for each in engine.connectors()])
        changing = Configuration(datastore=datastore, engine=engine)
        stack.push_async_callback(changing.close)
        await changing.take_back(await store.undo())
        manager = partial(
            Manager,
            schema=schema,
            datastore=datastore,
            candidate=changing.candidate,
            engine=engine,
            store=store,
        )
        services = _services(settings, registry, schema.library(), manager, changing, store)
        keys = await asyncio.to_thread(host_keys, settings.data_dir / KEYS_DIRECTORY)
        netconf = await stack.enter_async_context(
            _listening(
                f"NETCONF on {settings.host} port {settings.netconf_port}",
                "netconf_port (--netconf-port; 0 takes any free port)",
                netconf_listener(
                    settings.host,
                    settings.netconf_port,
                    services=services,
                    login=login,
                    host_keys=keys,
                ),
            )
        )
        _let_the_collector_in()
        readiness.clear(_STARTING)
        ports.update(netconf=netconf, http=http)
        for file in ports_files:
            stack.enter_context(_ports_told(file, ports))
        log.info("daemon.ready", host=settings.host, **ports, data_dir=str(settings.data_dir))
        await stopping.wait()
        readiness.hold("stopping")
        log.info("daemon.stopping")


def _keep_the_collector_off() -> None:
    """
    Search for no cyclic garbage while the daemon starts: nearly all that is made then stays.

    Measured, with 10,000 deployments: the searches were a third of the start's processor time.
    """
    gc.freeze()
    gc.disable()


def _let_the_collector_in() -> None:
    """
    Leave what is there for good out of the search for cyclic garbage, and search less often.

    Records, entries and modules are no garbage, yet each full search walked all of them: measured,
    with the defaults a twelfth of the processor time of a deployment.
    """
    gc.freeze()
    gc.set_threshold(*_COLLECTOR_THRESHOLDS)
    gc.enable()


def _stop_event() -> asyncio.Event:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    return stopping


def _login(settings: Settings, stack: AsyncExitStack, password_file: Path | None) -> Login:
    passwords = Passwords()
    stack.callback(passwords.close)
    wanted = password_from_file(password_file) if password_file else None
    made_up = prepare(settings.data_dir, passwords, admin_password=wanted)
    if made_up is not None:
        print(f"password of the user admin, shown this once: {made_up}", flush=True)  # noqa: T201
    throttle = LoginThrottle(failures=settings.limits.login_failures)
    users = Users(settings.data_dir / USERS_FILE)
    return Login(users=users, passwords=passwords, throttle=throttle)


def _vault(settings: Settings) -> Vault:
    file = settings.vault_key_file or settings.data_dir / KEYS_DIRECTORY / VAULT_KEY
    return Vault(vault_key(file, in_use=is_sealed(settings.data_dir / DATABASE)))


@asynccontextmanager
async def _listening(
    what: str, setting: str, listener: AbstractAsyncContextManager[int]
) -> AsyncIterator[int]:
    """Say which listener could not be had, and which setting moves it."""
    async with AsyncExitStack() as stack:
        try:
            port = await stack.enter_async_context(listener)
        except OSError as error:
            text = f"{what} cannot listen: {error.strerror or error}; see the setting {setting}"
            raise ListenerRefused(text) from error
        yield port


async def _log_events(listener: Listener) -> None:
    """Write every event that is told into the log, where operators look for a deployment."""
    while True:
        for logged in await listener.batch():
            event = logged.event
            log.info(
                "event.told",
                seq=logged.seq,
                type=event.type,
                status=event.status,
                tenant=event.tenant,
                deployment=event.deployment,
                vim=event.vim_connector_id,
                message=event.message,
            )


def _day_zero_reader(
    settings: Settings, stack: AsyncExitStack, servers: FileServers, own_ports: Container[int]
) -> DayZeroReader:
    reader = day_zero_reader(
        settings.data_dir,
        directories=settings.day0.directories,
        servers=servers,
        max_bytes=settings.day0.max_bytes,
        timeout=settings.day0.timeout,
        own_ports=own_ports,
    )
    stack.callback(reader.close)
    return reader


async def _engine(
    settings: Settings,
    stack: AsyncExitStack,
    store: Store,
    vault: Vault,
    day_zero: DayZeroReader,
) -> Engine:
    vims = Vims(
        {SIMULATOR: _simulator_type(settings, stack)},
        call_timeout=settings.vim.call_timeout,
        opened=partial(opened_connector, unseal=vault.unseal),
    )
    stack.push_async_callback(vims.close)
    engine = Engine(
        store=store,
        vims=vims,
        now=Clock(asyncio.get_running_loop()).now,
        monitor=lambda crossed: Monitor(select(SimulatedGuests(vims.guests)), crossed),
        day_zero=day_zero,
        policy=Policy(
            give_up_after=timedelta(seconds=settings.vim.give_up_after),
            settle=timedelta(seconds=settings.vim.settle),
            check_pause=timedelta(seconds=settings.vim.check_seconds),
        ),
        last_event=await store.last_event(),
    )
    stack.push_async_callback(engine.close)
    return engine


def _simulator_type(settings: Settings, stack: AsyncExitStack) -> SimulatorType:
    """Return the type SIMULATOR: connectors without an address are doors to one cloud."""
    timeout = settings.vim.call_timeout
    if settings.vim.simulator_address is not None:
        host, port = host_and_port(settings.vim.simulator_address)
        return SimulatorType(
            lambda vim: RemoteSimulator(host, port, vim=vim, timeout_seconds=timeout),
            timeout_seconds=timeout,
        )
    faults = settings.vim.faults_file
    state = stack.enter_context(StateFile(settings.data_dir / SIMULATOR_STATE))
    cloud = Cloud(
        CloudSettings(
            build_seconds=settings.vim.build_seconds, boot_seconds=settings.vim.boot_seconds
        ),
        rules=load_rules(faults) if faults is not None else (),
        rows=state.rows,
        journal=state,
    )
    return SimulatorType(lambda vim: SimulatorDriver(cloud, vim=vim), timeout_seconds=timeout)


def _services(
    settings: Settings,
    registry: CollectorRegistry,
    library: YangLibrary,
    manager: Callable[..., Manager],
    changing: Configuration,
    store: Store,
) -> Services:
    given = settings.limits
    limits = Limits(
        sessions=given.sessions,
        sessions_per_user=given.sessions_per_user,
        pre_auth_seconds=given.pre_auth_seconds,
        rpcs_in_flight=given.rpcs_in_flight,
        max_message_bytes=given.max_message_bytes,
        subscriptions=given.subscriptions,
        output_bytes=given.output_bytes,
        output_seconds=given.output_seconds,
    )
    metrics = NetconfMetrics(registry)
    standard = settings.netconf_profile is NetconfProfile.STANDARD
    capabilities = (
        *(each for each in PROTOCOL_CAPABILITIES if standard or each not in OF_CANDIDATE),
        *library_capabilities(library, MODULE),
    )
    now = Clock(asyncio.get_running_loop()).now
    sessions = Sessions(limits=limits, metrics=metrics)
    started = now()

    def let_go(datastore: NetconfDatastore) -> None:
        if datastore is NetconfDatastore.CANDIDATE:  # RFC 6241 section 8.3.5.2
            changing.discard_changes()

    locks = Locks(WITH_CANDIDATE if standard else RUNNING_ONLY, on_release=let_go)

    async def oldest() -> LoggedEvent | None:
        found = await store.events(after=0, limit=1, stream=Stream.ESC_EVENT)
        return found[0] if found else None

    state = (
        server_state(
            sessions=sessions,
            locks=locks,
            capabilities=capabilities,
            library=library,
            started=started,
        ),
        stream_list(STREAMS, oldest, started),
    )
    return Services(
        management=manager(state=state),
        configuration=changing,
        sessions=sessions,
        locks=locks,
        limits=limits,
        metrics=metrics,
        now=now,
        capabilities=capabilities,
    )


def _entry(stored: Entry) -> configuration.Entry:
    kind, tenant, name = stored.path
    return configuration.Entry(
        path=configuration.EntryPath(Kind(kind), tenant or None, name),
        xml=stored.xml.encode(),
        revision=stored.revision,
    )


@contextmanager
def _ports_told(file: Path, ports: Mapping[str, int]) -> Iterator[None]:
    """Keep *file* there, whole from the first moment, for as long as we serve."""
    fresh = file.with_name(f"{file.name}.{os.getpid()}")
    fresh.write_text(json.dumps(ports), encoding="utf-8")
    fresh.replace(file)
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


def _allow_open_files(wanted: int) -> None:
    """
    Raise the soft limit of open files to *wanted*, as far as the hard one lets us.

    At the limit no connection is accepted any more, and the loop tells so without end.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    if most < wanted:
        log.warning("open_files.too_few", allowed=most, wanted=wanted, hint="limits.sessions")
