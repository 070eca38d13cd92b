"""
The composition root: the only place that knows every room.

    settings -> store, schema, datastore, VIM drivers -> engine -> management -> listeners

Built in that order, ended in the other: nobody new comes in, the steps under way are finished,
the store is closed last.
"""

import asyncio
import gc
import sys
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
)
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import structlog

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
from esc_daemon.app.lost import MARK, is_lost, mark_as_made, warn_of_the_lost
from esc_daemon.app.managing import engine_of, reader_of_day_zero
from esc_daemon.app.netconf import access_of, configuration_of, services_of
from esc_daemon.app.notify import service_manager
from esc_daemon.app.observed import STARTING, STOPPING, Observed
from esc_daemon.app.places import DATABASE, PORTS_FILE
from esc_daemon.app.process import (
    forget_ports,
    let_the_collector_in,
    ports_told,
    warn_of_readable_files,
)
from esc_daemon.app.stop import Stop
from esc_daemon.app.told import ToldEvents
from esc_daemon.datamodel import entries as configuration
from esc_daemon.datamodel.datastore import Datastore
from esc_daemon.datamodel.schema import Schema
from esc_daemon.domain.ids import Kind
from esc_daemon.engine.file_servers import RecordedFileServers
from esc_daemon.logs import Log
from esc_daemon.monitor.mapping import NOTHING_OWN, OwnMapping, load_mapping
from esc_daemon.northbound.first_connector import first_connector
from esc_daemon.northbound.http.collectors import AccessMetrics
from esc_daemon.northbound.http.listener import create_app, http_listener
from esc_daemon.northbound.management import Manager
from esc_daemon.northbound.ssh.dispatch import Services
from esc_daemon.northbound.ssh.hostkeys import host_keys
from esc_daemon.northbound.ssh.listener import netconf_listener
from esc_daemon.settings import Settings
from esc_daemon.store import is_sealed, open_store
from esc_daemon.store.base import Entry
from esc_daemon.store.store import SqlStore
from esc_daemon.store.upkeep import short_event_log, warn_of_the_clock
from esc_daemon.vault import Vault
from esc_daemon.vim.simulator.connector import TYPE as SIMULATOR

log = structlog.get_logger()


async def serve(
    settings: Settings, logging: Log, port_file: Path | None, admin_password_file: Path | None
) -> None:
    """Serve until SIGTERM or SIGINT; *port_file* tells the ports once everything is ready."""
    stop = Stop(logging.sink.reopen)
    notify = service_manager()
    async with AsyncExitStack() as stack:
        files = [settings.data_dir / PORTS_FILE, *([port_file] if port_file else [])]
        users = Users(settings.data_dir / USERS_FILE)
        login = _login(settings, stack, users, admin_password_file)
        observed, ports = await _started(settings, stack, logging, users, login, files)
        observed.readiness.clear(STARTING)
        for file in files:
            stack.enter_context(ports_told(file, ports))
        log.info("daemon.ready", host=settings.host, **ports, data_dir=str(settings.data_dir))
        notify("READY=1", f"STATUS=NETCONF on port {ports['netconf']}, HTTP on {ports['http']}")
        await stack.enter_async_context(observed.pulse.beating(notify))
        await stop.wait()
        observed.readiness.hold(STOPPING)
        notify("STOPPING=1")
        log.info("daemon.stopping")
    stop.ended()


async def _started(
    settings: Settings,
    stack: AsyncExitStack,
    logging: Log,
    users: Users,
    login: tuple[Login, Passwords],
    port_files: Iterable[Path],
) -> tuple[Observed, Mapping[str, int]]:
    """Build everything and listen, until *stack* ends; return what shows it, and the ports."""
    vault = vault_of(settings)
    store = await _stored(settings, stack, vault)
    forget_ports(port_files)  # not before the lock is ours
    schema = Schema.load()
    gc.collect()  # the parsed YANG, before there is more to look through
    own = own_mapping(settings)
    datastore = Datastore(schema, vault, own.actions, settings.limits.entry_elements)
    datastore.load(_entry(stored) for stored in await store.entries())
    ports: dict[str, int] = {}  # known when the listeners are there
    # the engine, whose records are asked for file servers, comes after what it reads with
    servers = RecordedFileServers(lambda key: engine.record(key), vault.unseal)  # noqa: PLW0108
    day_zero = reader_of_day_zero(settings, servers, ports.values())
    # what the engine tells at its end is written after that
    after_engine = await stack.enter_async_context(AsyncExitStack())
    engine = await engine_of(settings, stack, store, vault, day_zero, ports, own.metrics)
    observed = Observed(logging, engine, store, settings.data_dir / DATABASE, users)
    http = await stack.enter_async_context(_http(settings, observed))
    told = ToldEvents(engine.broadcast, store, observed.told)
    await after_engine.enter_async_context(told.writing())
    await engine.restore(partial(first_connector, datastore, SIMULATOR))
    access = access_of(schema, datastore, users)
    AccessMetrics(observed.registry, access.denied, login[0].throttle)
    changing = await configuration_of(
        stack, datastore, engine, access, await store.undo(), settings.limits.confirm_seconds
    )
    manager = partial(
        Manager,
        schema=schema,
        datastore=datastore,
        candidate=changing.candidate,
        engine=engine,
        store=store,
        access=access,
    )
    services = services_of(settings, observed.netconf, schema, manager, changing, access, store)
    netconf = await stack.enter_async_context(_netconf(settings, services, *login))
    let_the_collector_in()
    ports.update(netconf=netconf, http=http)
    return observed, ports


async def _stored(settings: Settings, stack: AsyncExitStack, vault: Vault) -> SqlStore:
    """Open the database, and keep its event log short until *stack* ends."""
    warn_of_readable_files(_secret_files(settings))
    database, mark = settings.data_dir / DATABASE, settings.data_dir / KEYS_DIRECTORY / MARK
    lost = is_lost(database, mark)
    store = await open_store(database, vault=vault)
    stack.push_async_callback(store.close)
    if lost:
        warn_of_the_lost(database)
    mark_as_made(mark)
    await warn_of_the_clock(store, datetime.now(UTC))
    keep, days = settings.limits.events_kept, settings.limits.events_days
    short = short_event_log(store, keep_events=keep, keep_days=days)
    await stack.enter_async_context(short)
    return store


def own_mapping(settings: Settings) -> OwnMapping:
    """
    Return the operator's own metrics and actions.

    Raises:
        MappingFileError: Their file cannot be used.

    """
    file = settings.monitor.mapping_file
    return NOTHING_OWN if file is None else load_mapping(file)


def _login(
    settings: Settings, stack: AsyncExitStack, users: Users, password_file: Path | None
) -> tuple[Login, Passwords]:
    passwords = Passwords()
    stack.callback(passwords.close)
    wanted = password_from_file(password_file) if password_file else None
    prepare(settings.data_dir, passwords, admin_password=wanted)
    throttle = LoginThrottle(failures=settings.limits.login_failures)
    return Login(users=users, passwords=passwords, throttle=throttle), passwords


def _show_first_password(settings: Settings, passwords: Passwords) -> None:
    made_up = first_password(settings.data_dir, passwords)
    if made_up is not None:
        text = f"password of the user admin, shown this once: {made_up}"
        print(text, file=sys.stderr, flush=True)  # noqa: T201  never in the log


def _secret_files(settings: Settings) -> Iterator[Path]:
    """Yield the files that nobody but the daemon's user is to read."""
    yield settings.data_dir / USERS_FILE
    yield settings.data_dir / DATABASE
    yield settings.vault_key_file or settings.data_dir / KEYS_DIRECTORY / VAULT_KEY
    keys = (settings.data_dir / KEYS_DIRECTORY).glob("*")
    others = {VAULT_KEY, MARK}
    yield from sorted(key for key in keys if key.suffix != ".pub" and key.name not in others)


def vault_of(settings: Settings) -> Vault:
    """Return the vault by the key of *settings*, which is made if nothing is sealed yet."""
    file = settings.vault_key_file or settings.data_dir / KEYS_DIRECTORY / VAULT_KEY
    return Vault(vault_key(file, in_use=is_sealed(settings.data_dir / DATABASE)))


def _http(settings: Settings, observed: Observed) -> AbstractAsyncContextManager[int]:
    host, port = settings.http_host, settings.http_port
    app = create_app(observed.routers(), host=host)
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


def _entry(stored: Entry) -> configuration.Entry:
    kind, tenant, name = stored.path
    return configuration.Entry(
        path=configuration.EntryPath(Kind(kind), tenant or None, name),
        xml=stored.xml.encode(),
        revision=stored.revision,
    )
