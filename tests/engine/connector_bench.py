"""An engine with VIM connectors whose checks find what a test says."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from esc_daemon.domain.connectors import connector_key
from esc_daemon.domain.errors import Refused
from esc_daemon.domain.events import Stream
from esc_daemon.domain.ids import DeploymentName, RecordId, TenantName, VimId, VmGroupName
from esc_daemon.domain.intent import (
    Deployment,
    Locator,
    Scaling,
    Tenant,
    VimConnector,
    VmGroup,
)
from esc_daemon.domain.record import ConnectorRecord
from esc_daemon.domain.specs import VimCheck, VimStatus
from esc_daemon.engine.clock import Clock
from esc_daemon.engine.edit import Change, Edit
from esc_daemon.engine.engine import Engine
from esc_daemon.engine.vims import Vims
from esc_daemon.monitor.base import select
from esc_daemon.monitor.monitor import Monitor
from esc_daemon.vim.base import BadConnector
from esc_daemon.vim.simulator.cloud import Cloud
from tests.connectors import connecting, connector
from tests.dayzero.shelf import Shelf
from tests.engine.engine_bench import BEGAN, DEPLOYMENT, TENANT, record_id
from tests.engine.engine_world import CALL_TIMEOUT, ShakyStore, WatchedVim

pytestmark = pytest.mark.looptime(start=0, end=7200)

LAB, MOON = VimId("lab"), VimId("moon")
LAB_KEY, MOON_KEY = connector_key(LAB), connector_key(MOON)
ONE_LAB = connecting(LAB)
TENANT_CHANGE = Change(key=TENANT, intent=Tenant(name=TenantName("t")))


class CheckedVim(WatchedVim):
    """A VIM whose check finds what the test says; its other verbs are those of `WatchedVim`."""

    def __init__(self, connector: VimConnector, status: VimStatus | None) -> None:
        super().__init__()
        self.connector = connector
        self.status = status
        self.why = ""
        self.checks = 0
        self.closed = False

    async def check(self) -> VimCheck:
        self.checks += 1
        if self.status is None:
            await asyncio.get_running_loop().create_future()
        return VimCheck(status=self.status, detail=self.why)

    async def close(self) -> None:
        self.closed = True
        await super().close()


class Type:
    """A type of connector that remembers the drivers it made, by connector."""

    def __init__(self, *, needs_users: bool = False, migrates: bool = True) -> None:
        self.needs_users = needs_users
        self.migrates = migrates
        self.made: dict[str, list[CheckedVim]] = {}
        self.found: dict[str, VimStatus | None] = {}
        self.clouds: dict[str, Cloud] = {}
        """What the drivers from now on work on; a cloud of its own where there is none."""

    def check(self, connector: VimConnector) -> None:
        if dict(connector.properties).get("colour") == "blue":
            raise BadConnector("property colour: blue is taken", property_name="colour")

    def driver(self, connector: VimConnector, opened) -> CheckedVim:
        assert opened() == connector
        self.check(connector)
        status = self.found.get(connector.name, VimStatus.CONNECTION_SUCCESSFUL)
        made = self.made.setdefault(connector.name, [])
        made.append(CheckedVim(connector, status))
        made[-1].cloud = self.clouds.get(connector.name, made[-1].cloud)
        return made[-1]

    def last(self, vim: VimId) -> CheckedVim:
        return self.made[vim][-1]


@asynccontextmanager
async def an_engine(types: dict[str, Type], store: ShakyStore) -> AsyncIterator[Engine]:
    numbers = itertools.count(1)
    loop = asyncio.get_running_loop()
    vims = Vims(types, call_timeout=CALL_TIMEOUT)
    engine = Engine(
        store=store,
        vims=vims,
        now=Clock(loop, BEGAN).now,
        monitor=lambda crossed: Monitor(select(), crossed),
        day_zero=Shelf(),
        new_id=lambda: RecordId(record_id(next(numbers))),
        last_event=await store.store.last_event(),
    )
    try:
        yield engine
    finally:
        for made in (each for type_ in types.values() for each in type_.made.values()):
            for vim in made:
                vim.gate.set()
        await engine.close()
        await vims.close()


@asynccontextmanager
async def connected(type_: Type, store: ShakyStore) -> AsyncIterator[Engine]:
    """Yield an engine with the connector `LAB`, which is the default."""
    async with an_engine({"SIMULATOR": type_}, store) as engine:
        await engine.restore(lambda: ONE_LAB)
        await asyncio.sleep(1)
        yield engine


def deploying(vim: str = "") -> Change:
    group = VmGroup(
        name=VmGroupName("g"), locator=Locator(vim_id=vim), scaling=Scaling(min_active=1)
    )
    return Change(key=DEPLOYMENT, intent=Deployment(name=DeploymentName("d"), groups=(group,)))


def configuring(vim: VimId, **fields) -> Change:
    return Change(key=connector_key(vim), intent=connector(vim, **fields))


def edit(*changes: Change) -> Edit:
    return Edit(changes=changes)


async def refused(engine: Engine, *changes: Change) -> Refused:
    with pytest.raises(Refused) as refusal:
        await engine.apply(edit(*changes))
    return refusal.value


def status(engine: Engine, vim: VimId) -> VimStatus | None:
    record = engine.record(connector_key(vim))
    assert isinstance(record, ConnectorRecord)
    return record.status


async def told(store: ShakyStore) -> list[str]:
    events = await store.store.events(after=0, limit=1000, stream=Stream.ESC_EVENT)
    return [f"{logged.event.type} {logged.event.status}" for logged in events]
