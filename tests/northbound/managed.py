"""The real manager, on a store in memory and a simulated cloud."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from lxml import etree

from esc_daemon.datamodel.datastore import Datastore
from esc_daemon.datamodel.schema import Schema
from esc_daemon.domain.ids import VimId
from esc_daemon.domain.policy import DEFAULT_POLICY, Policy
from esc_daemon.engine.clock import Clock
from esc_daemon.engine.engine import Engine
from esc_daemon.monitor.base import select
from esc_daemon.monitor.collectors.simulated import SimulatedGuests
from esc_daemon.monitor.monitor import Monitor
from esc_daemon.netconf.errors import RpcError, RpcErrors
from esc_daemon.netconf.messages import WITH_CANDIDATE, EditConfig, Get, GetConfig, parse_request
from esc_daemon.netconf.messages import Datastore as NetconfDatastore
from esc_daemon.netconf.xml import parse
from esc_daemon.northbound.configuration import Configuration
from esc_daemon.northbound.management import Manager
from esc_daemon.northbound.ssh.services import StateTree
from esc_daemon.store.store import SqlStore, open_store
from esc_daemon.vault import Vault, new_key
from esc_daemon.vim.simulator.cloud import Cloud
from esc_daemon.vim.simulator.driver import SimulatorDriver
from esc_daemon.vim.simulator.settings import CloudSettings
from tests.access_control import by_rules, open_to_all
from tests.connectors import known, vims_of
from tests.dayzero.shelf import Shelf

BASE = "urn:ietf:params:xml:ns:netconf:base:1.0"
ESC = "http://www.cisco.com/esc/esc"
VIM = VimId("sim")
SPARE = VimId("spare")
"""A connector that there may be, to the same cloud."""
GROUP = (
    "<vm_group><name>g</name><image>i</image><flavor>f</flavor><bootup_time>60</bootup_time>"
    "<scaling><min_active>1</min_active><max_active>1</max_active></scaling></vm_group>"
)


def config(body: str) -> str:
    """Return a config element around what stands in esc_datamodel."""
    return f'<config><esc_datamodel xmlns="{ESC}">{body}</esc_datamodel></config>'


def tenants(*names: str, attributes: str = "") -> str:
    entries = "".join(f"<tenant {attributes}><name>{name}</name></tenant>" for name in names)
    return f"<tenants>{entries}</tenants>"


def service(group: str = GROUP) -> str:
    deployment = f"<deployments><deployment><name>d</name>{group}</deployment></deployments>"
    return f"<tenants><tenant><name>t</name>{deployment}</tenant></tenants>"


def operation(text: str) -> etree._Element:
    """Return an operation as it comes in an rpc."""
    return parse(f'<rpc xmlns="{BASE}" xmlns:nc="{BASE}">{text}</rpc>'.encode())[0]


@dataclass
class Managed:
    manager: Manager
    configuration: Configuration
    datastore: Datastore
    engine: Engine
    store: SqlStore
    cloud: Cloud

    async def edit(self, body: str, options: str = "", *, target: str = "running") -> None:
        text = f"<edit-config><target><{target}/></target>{options}{config(body)}</edit-config>"
        request = parse_request(operation(text), now=datetime.now(UTC), datastores=WITH_CANDIDATE)
        assert isinstance(request, EditConfig)
        await self.configuration.edit_config(request, "admin")

    async def replace(self, body: str) -> None:
        """Edit as copy-config does."""
        await self.edit(body, "<default-operation>replace</default-operation>")

    async def validate(self, body: str | None = None) -> None:
        running = NetconfDatastore.RUNNING
        source = running if body is None else operation(f"<x>{config(body)}</x>")[0]
        await self.configuration.validate(source, "admin")

    async def get(self, parameters: str = "") -> str:
        request = parse_request(operation(f"<get>{parameters}</get>"), now=datetime.now(UTC))
        assert isinstance(request, Get)
        pieces = await self.manager.get(request.filter, "admin", request.with_defaults)
        return b"".join(pieces).decode()

    async def get_config(self, parameters: str = "", *, source: str = "running") -> str:
        text = f"<get-config><source><{source}/></source>{parameters}</get-config>"
        request = parse_request(operation(text), now=datetime.now(UTC), datastores=WITH_CANDIDATE)
        assert isinstance(request, GetConfig)
        pieces = await self.manager.get_config(
            request.filter, "admin", request.with_defaults, source=request.source
        )
        return b"".join(pieces).decode()

    async def events(self) -> int:
        return await self.store.last_event()


def errors_of(error: Exception) -> list[tuple[str, str]]:
    """Return (error-tag, error-path) of each."""
    assert isinstance(error, RpcError | RpcErrors)
    errors = error.errors if isinstance(error, RpcErrors) else (error,)
    return [(each.tag.value, each.path) for each in errors]


@asynccontextmanager
async def managed(
    schema: Schema,
    state: Sequence[StateTree] = (),
    *,
    groups: Mapping[str, set[str]] | None = None,
    policy: Policy = DEFAULT_POLICY,
) -> AsyncIterator[Managed]:
    """Run one; with *groups*, those of each user, access is controlled."""
    store = await open_store(None)
    cloud = Cloud(CloudSettings(build_seconds=0, boot_seconds=0))
    driver = SimulatorDriver(cloud, vim=VIM)
    vims = vims_of({VIM: driver, SPARE: driver}, call_timeout=5)
    engine = Engine(
        store=store,
        vims=vims,
        now=Clock(asyncio.get_running_loop()).now,
        monitor=lambda crossed: Monitor(select(SimulatedGuests(lambda _: driver)), crossed),
        day_zero=Shelf(),
        policy=policy,
    )
    datastore = Datastore(schema, Vault(new_key()))
    access = open_to_all(schema) if groups is None else by_rules(schema, datastore, groups)
    configuration = Configuration(datastore=datastore, engine=engine, access=access)
    manager = Manager(
        schema=schema,
        datastore=datastore,
        candidate=configuration.candidate,
        library=schema.library().with_candidate(),
        engine=engine,
        store=store,
        access=access,
        state=state,
    )
    known(engine, VIM)
    try:
        yield Managed(manager, configuration, datastore, engine, store, cloud)
    finally:
        await configuration.close()
        await engine.close()
        await vims.close()
        await store.close()
