"""
The composition root: the only place that knows every room.

    settings -> store, schema, datastore, VIM drivers -> engine -> management -> listeners

Built in that order, ended in the other: nobody new comes in, the steps under way are finished,
the store is closed last.
"""

import asyncio
import gc
import sys
from collections.abc import AsyncIterator
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
)
from functools import partial
from pathlib import Path
from typing import Final

import structlog
from prometheus_client import CollectorRegistry

from esc_daemon.access.first_start import (
    KEYS_DIRECTORY,
    USERS_FILE,
    first_password,
    password_from_file,
    prepare,
)
from esc_daemon.access.login import Login
from esc_daemon.access.passwords import Passwords
from esc_daemon.access.throttle import LoginThrottle
from esc_daemon.access.users import Users
from esc_daemon.access.vault_key import VAULT_KEY, vault_key
from esc_daemon.app.listening import listening
from esc_daemon.app.managing import engine_of, reader_of_day_zero
from esc_daemon.app.netconf import services_of
from esc_daemon.app.process import forget_ports, let_the_collector_in, ports_told, stop_event
from esc_daemon.datamodel import entries as configuration
from esc_daemon.datamodel.datastore import Datastore
from esc_daemon.datamodel.schema import Schema
from esc_daemon.domain.events import EventStatus
from esc_daemon.domain.ids import Kind
from esc_daemon.engine.broadcast import Listener
from esc_daemon.engine.engine import Engine
from esc_daemon.engine.file_servers import RecordedFileServers
from esc_daemon.northbound.configuration import Configuration
from esc_daemon.northbound.first_connector import first_connector
from esc_daemon.northbound.http.health import Readiness, health_router
from esc_daemon.northbound.http.listener import create_app, http_listener
from esc_daemon.northbound.http.metrics import EngineMetrics, VimMetrics, metrics_router
from esc_daemon.northbound.management import Manager
from esc_daemon.northbound.ssh.dispatch import Services
from esc_daemon.northbound.ssh.hostkeys import host_keys
from esc_daemon.northbound.ssh.listener import netconf_listener
from esc_daemon.settings import Settings
from esc_daemon.store import is_sealed, open_store
from esc_daemon.store.base import Entry
from esc_daemon.store.upkeep import short_event_log
from esc_daemon.vault import Vault
from esc_daemon.vim.simulator.connector import TYPE as SIMULATOR

log = structlog.get_logger()

DATABASE: Final = "esc.db"
PORTS_FILE: Final = "ports.json"
"""Where the client program of the same machine finds this daemon."""
_STARTING: Final = "starting"


async def serve(
    settings: Settings, port_file: Path | None, admin_password_file: Path | None
) -> None:
    """Serve until SIGTERM or SIGINT; *port_file* tells the ports once everything is ready."""
    stopping = stop_event()
    async with AsyncExitStack() as stack:
        login, passwords = _login(settings, stack, admin_password_file)
        vault = vault_of(settings)
        store = await open_store(settings.data_dir / DATABASE, vault=vault)
        stack.push_async_callback(store.close)
        ports_files = [settings.data_dir / PORTS_FILE, *([port_file] if port_file else [])]
        forget_ports(ports_files)
        keep = settings.limits.events_kept
        await stack.enter_async_context(short_event_log(store, keep_events=keep))
        schema = Schema.load()
        gc.collect()  # the parsed YANG, before there is more to look through
        datastore = Datastore(schema, vault)
        datastore.load(_entry(stored) for stored in await store.entries())
        ports: dict[str, int] = {}  # known when the listeners are there
        # the engine, whose records are asked for file servers, comes after what it reads with
        servers = RecordedFileServers(lambda key: engine.record(key), vault.unseal)  # noqa: PLW0108
        day_zero = reader_of_day_zero(settings, servers, ports.values())
        engine = await engine_of(settings, stack, store, vault, day_zero, ports)
        registry = CollectorRegistry()
        readiness = Readiness([_STARTING])
        http = await stack.enter_async_context(_http(settings, readiness, registry))
        telling = asyncio.create_task(_log_events(engine.broadcast.listen()), name="event log")
        stack.callback(telling.cancel)
        await engine.restore(partial(first_connector, datastore, SIMULATOR))
        _measure(registry, engine)
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
        services = services_of(settings, registry, schema, manager, changing, store)
        netconf = await stack.enter_async_context(_netconf(settings, services, login, passwords))
        let_the_collector_in()
        readiness.clear(_STARTING)
        ports.update(netconf=netconf, http=http)
        for file in ports_files:
            stack.enter_context(ports_told(file, ports))
        log.info("daemon.ready", host=settings.host, **ports, data_dir=str(settings.data_dir))
        await stopping.wait()
        readiness.hold("stopping")
        log.info("daemon.stopping")


def _login(
    settings: Settings, stack: AsyncExitStack, password_file: Path | None
) -> tuple[Login, Passwords]:
    passwords = Passwords()
    stack.callback(passwords.close)
    wanted = password_from_file(password_file) if password_file else None
    prepare(settings.data_dir, passwords, admin_password=wanted)
    throttle = LoginThrottle(failures=settings.limits.login_failures)
    users = Users(settings.data_dir / USERS_FILE)
    return Login(users=users, passwords=passwords, throttle=throttle), passwords


def _show_first_password(settings: Settings, passwords: Passwords) -> None:
    made_up = first_password(settings.data_dir, passwords)
    if made_up is not None:
        text = f"password of the user admin, shown this once: {made_up}"
        print(text, file=sys.stderr, flush=True)  # noqa: T201  never in the log


def _measure(registry: CollectorRegistry, engine: Engine) -> None:
    VimMetrics(registry, lambda: [each.status for each in engine.connectors()])
    EngineMetrics(registry, engine.records, engine.vim_calls)


def vault_of(settings: Settings) -> Vault:
    """Return the vault by the key of *settings*, which is made if nothing is sealed yet."""
    file = settings.vault_key_file or settings.data_dir / KEYS_DIRECTORY / VAULT_KEY
    return Vault(vault_key(file, in_use=is_sealed(settings.data_dir / DATABASE)))


def _http(
    settings: Settings, readiness: Readiness, registry: CollectorRegistry
) -> AbstractAsyncContextManager[int]:
    app = create_app([health_router(readiness), metrics_router(registry)])
    host, port = settings.http_host, settings.http_port
    return listening(
        f"HTTP on {host} port {port}",
        "http_port (--http-port; 0 takes any free port)",
        http_listener(app, host, port),
    )


@asynccontextmanager
async def _netconf(
    settings: Settings, services: Services, login: Login, passwords: Passwords
) -> AsyncIterator[int]:
    keys = await asyncio.to_thread(host_keys, settings.data_dir / KEYS_DIRECTORY)
    host, port = settings.host, settings.netconf_port
    async with listening(
        f"NETCONF on {host} port {port}",
        "netconf_port (--netconf-port; 0 takes any free port)",
        netconf_listener(host, port, services=services, login=login, host_keys=keys),
    ) as taken:
        _show_first_password(settings, passwords)  # both listeners are there: it is not used up
        yield taken


async def _log_events(listener: Listener) -> None:
    """Write every event that is told into the log, where operators look for a deployment."""
    while True:
        for logged in await listener.batch():
            event = logged.event
            tell = log.warning if event.status is EventStatus.FAILURE else log.info
            tell(
                "event.told",
                seq=logged.seq,
                operation=event.operation,
                type=event.type,
                status=event.status,
                tenant=event.tenant,
                deployment=event.deployment,
                vm_group=event.vm_group,
                vm=event.source and event.source.generated_vmname,
                vim=event.vim_connector_id or (event.source and event.source.vim_id),
                message=event.message,
                details=event.details,
            )


def _entry(stored: Entry) -> configuration.Entry:
    kind, tenant, name = stored.path
    return configuration.Entry(
        path=configuration.EntryPath(Kind(kind), tenant or None, name),
        xml=stored.xml.encode(),
        revision=stored.revision,
    )
