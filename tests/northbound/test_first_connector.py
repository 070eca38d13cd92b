"""The connector of the first start is configuration like any other."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from esc_daemon.datamodel.datastore import Datastore
from esc_daemon.datamodel.entries import Entry as Loaded
from esc_daemon.datamodel.entries import EntryPath
from esc_daemon.datamodel.schema import Schema
from esc_daemon.domain.ids import Kind
from esc_daemon.domain.specs import VimStatus
from esc_daemon.engine.clock import Clock
from esc_daemon.engine.engine import Engine
from esc_daemon.engine.vims import Vims
from esc_daemon.monitor.base import select
from esc_daemon.monitor.monitor import Monitor
from esc_daemon.netconf.xml import parse
from esc_daemon.northbound.editing import edit_of
from esc_daemon.northbound.first_connector import first_connector
from esc_daemon.store.store import SqlStore
from esc_daemon.vault import Vault, new_key
from esc_daemon.vim.simulator.cloud import Cloud
from esc_daemon.vim.simulator.connector import TYPE, SimulatorType
from esc_daemon.vim.simulator.driver import SimulatorDriver
from tests.dayzero.shelf import Shelf

DELETED = b"""<config xmlns:nc="urn:ietf:params:xml:ns:netconf:base:1.0"><esc_system_config
 xmlns="http://www.cisco.com/esc/esc"><vim_connectors><default_vim_connector nc:operation="delete"/>
 <vim_connector nc:operation="delete"><id>default_sim_vim</id></vim_connector></vim_connectors>
</esc_system_config></config>"""


@asynccontextmanager
async def started(store: SqlStore, schema: Schema) -> AsyncIterator[tuple[Datastore, Engine]]:
    """Start as the daemon does on what *store* holds."""
    datastore = Datastore(schema, Vault(new_key()))
    datastore.load(
        Loaded(
            path=EntryPath(Kind(entry.path.kind), entry.path.tenant or None, entry.path.name),
            xml=entry.xml.encode(),
            revision=entry.revision,
        )
        for entry in await store.entries()
    )
    simulators = SimulatorType(lambda vim: SimulatorDriver(Cloud(), vim=vim), timeout_seconds=5)
    vims = Vims({TYPE: simulators}, call_timeout=5)
    engine = Engine(
        store=store,
        vims=vims,
        now=Clock(asyncio.get_running_loop()).now,
        monitor=lambda crossed: Monitor(select(), crossed),
        day_zero=Shelf(),
        last_event=await store.last_event(),
    )
    await engine.restore(partial(first_connector, datastore, TYPE))
    try:
        yield datastore, engine
    finally:
        await engine.close()
        await vims.close()


def shown(datastore: Datastore) -> str:
    return b"".join(datastore.get_config()).decode()


async def test_it_is_there_and_stays_there_and_nothing_was_told(schema: Schema) -> None:
    store = SqlStore.from_image()
    async with started(store, schema) as (datastore, engine):
        first = shown(datastore)
        assert "<default_vim_connector>default_sim_vim</default_vim_connector>" in first
        assert "<id>default_sim_vim</id><type>SIMULATOR</type>" in first
        (record,) = engine.connectors()
        assert record.status is VimStatus.CONNECTION_SUCCESSFUL
        assert record.id

    async with started(store, schema) as (datastore, engine):
        assert shown(datastore) == first
        assert [each.id for each in engine.connectors()] == [record.id]
        assert await store.last_event() == 0
    await store.close()


async def test_it_can_be_deleted_for_good(schema: Schema) -> None:
    store = SqlStore.from_image()
    async with started(store, schema) as (datastore, engine):
        pending = datastore.edit(parse(DELETED))
        await engine.apply(edit_of(pending, lambda: None))

    async with started(store, schema) as (datastore, engine):
        assert shown(datastore) == ""
        assert not list(engine.connectors())
    await store.close()
