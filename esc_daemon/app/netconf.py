"""The NETCONF server's own state around the manager and the configuration."""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack

from esc_daemon.access.control import AccessControl, groups_in
from esc_daemon.access.users import Users
from esc_daemon.datamodel.datastore import Datastore
from esc_daemon.datamodel.entries import RULES
from esc_daemon.datamodel.schema import Schema
from esc_daemon.datamodel.tree import MODULE
from esc_daemon.domain.events import Stream
from esc_daemon.engine.clock import Clock
from esc_daemon.engine.engine import Engine
from esc_daemon.netconf.capabilities import (
    OF_CANDIDATE,
    PROTOCOL_CAPABILITIES,
    library_capabilities,
)
from esc_daemon.netconf.messages import RUNNING_ONLY, WITH_CANDIDATE
from esc_daemon.netconf.messages import Datastore as NetconfDatastore
from esc_daemon.northbound.configuration import Configuration
from esc_daemon.northbound.first_rules import first_rules
from esc_daemon.northbound.http.metrics import NetconfMetrics
from esc_daemon.northbound.management import STREAMS, Manager
from esc_daemon.northbound.replies import HeldReplies
from esc_daemon.northbound.ssh.dispatch import Services
from esc_daemon.northbound.ssh.limits import Limits
from esc_daemon.northbound.ssh.locks import Locks
from esc_daemon.northbound.ssh.sessions import Sessions
from esc_daemon.northbound.ssh.state import server_state, stream_list
from esc_daemon.settings import NetconfProfile, Settings
from esc_daemon.store.base import LoggedEvent, Store, Undo


def access_of(schema: Schema, datastore: Datastore, users: Users) -> AccessControl:
    """Return who decides by the rules in *datastore* what *users* may do."""

    def rules() -> bytes | None:
        entry = datastore.entry(RULES)
        return None if entry is None else entry.xml

    return AccessControl(
        rules=rules,
        groups_of=groups_in(users),
        model=schema,
        modules={each.namespace: each.name for each in schema.library().modules},
    )


async def configuration_of(
    stack: AsyncExitStack,
    datastore: Datastore,
    engine: Engine,
    access: AccessControl,
    undo: Iterable[Undo],
    confirm_seconds: int,
) -> Configuration:
    """Return what changes the datastores, with access rules there and *undo* taken back."""
    first = first_rules(datastore)
    if first is not None:
        await engine.apply(first)
    changing = Configuration(
        datastore=datastore, engine=engine, access=access, confirm_seconds=confirm_seconds
    )
    stack.push_async_callback(changing.close)
    await changing.take_back(undo)
    return changing


def services_of(
    settings: Settings,
    metrics: NetconfMetrics,
    schema: Schema,
    manager: Callable[..., Manager],
    changing: Configuration,
    access: AccessControl,
    store: Store,
) -> Services:
    """Return what the RPCs work with; *manager* lacks nothing but `state` and `library`."""
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
    standard = settings.netconf_profile is NetconfProfile.STANDARD
    library = schema.library().with_candidate() if standard else schema.library()
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
        management=manager(state=state, library=library, held=HeldReplies(given.replies_bytes)),
        configuration=changing,
        sessions=sessions,
        locks=locks,
        limits=limits,
        metrics=metrics,
        guard=access,
        now=now,
        capabilities=capabilities,
    )
