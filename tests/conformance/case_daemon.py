"""A whole daemon in one loop on virtual time: all but SSH, and every id by a seed."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from random import Random
from typing import Any
from uuid import UUID

from lxml import etree
from msgspec import convert
from prometheus_client import CollectorRegistry

from esc_daemon.access.control import AccessControl
from esc_daemon.datamodel.datastore import Datastore
from esc_daemon.datamodel.schema import Schema
from esc_daemon.dayzero.base import DayZeroReader
from esc_daemon.dayzero.images import ImageSource
from esc_daemon.domain.ids import Key, RecordId, VimId
from esc_daemon.domain.policy import Policy
from esc_daemon.domain.record import DeploymentRecord, ResourceRecord
from esc_daemon.domain.states import ResourceState, ServiceState
from esc_daemon.engine.clock import Clock
from esc_daemon.engine.engine import Engine
from esc_daemon.engine.uploads import UploadLimits, Uploads
from esc_daemon.engine.vims import Vims
from esc_daemon.monitor.base import select
from esc_daemon.monitor.catalogue import CORE, Catalogue
from esc_daemon.monitor.collectors.simulated import SimulatedGuests
from esc_daemon.monitor.collectors.vim import VimMetrics
from esc_daemon.monitor.hooks import NO_HOOKS, HookRunner
from esc_daemon.monitor.mapping import NOTHING_OWN, OwnMapping
from esc_daemon.monitor.monitor import Monitor
from esc_daemon.netconf.errors import RpcError, RpcErrors
from esc_daemon.netconf.messages import Failure, Reply, parse_rpc, render
from esc_daemon.netconf.xml import BASE_NS, parse, serialise
from esc_daemon.northbound.configuration import Configuration
from esc_daemon.northbound.first_connector import first_connector
from esc_daemon.northbound.http.metrics import NetconfMetrics
from esc_daemon.northbound.management import Manager
from esc_daemon.northbound.ssh import rpcs
from esc_daemon.northbound.ssh.dispatch import Services, dispatch
from esc_daemon.northbound.ssh.limits import Limits
from esc_daemon.northbound.ssh.locks import Locks
from esc_daemon.northbound.ssh.services import LoggedNotification
from esc_daemon.northbound.ssh.sessions import Sessions
from esc_daemon.store.store import SqlStore
from esc_daemon.vault import KEY_BYTES, Vault
from esc_daemon.vim.simulator.cloud import Cloud
from esc_daemon.vim.simulator.connector import TYPE as SIMULATOR
from esc_daemon.vim.simulator.connector import SimulatorType
from esc_daemon.vim.simulator.driver import SimulatorDriver
from esc_daemon.vim.simulator.faults import Rule
from esc_daemon.vim.simulator.settings import CloudSettings
from tests.access_control import open_to_all
from tests.simulation.loop import SimulationLoop

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
CALL_TIMEOUT = 30.0
LONGEST_STORY = 3 * 3600
"""Virtual seconds after which what has not come to rest never will."""
QUIET = 5
AT_REST = {
    ServiceState.ACTIVE,
    ServiceState.ERROR,
    ServiceState.STOPPED,
    ServiceState.UNDEF,
    ResourceState.ACTIVE,
    ResourceState.ERROR,
    ResourceState.LEFTOVER,
}
assert rpcs.HANDLERS


class _InOrder(Random):
    """What is ready runs in the order in which it became so, as in a loop of every day."""

    def shuffle(self, x: Any) -> None:
        pass

    def uniform(self, a: float, b: float) -> float:
        return (a + b) / 2


def _under_way(record: Any) -> bool:
    """A connector is checked for ever and has no state to come to rest in."""
    if isinstance(record, DeploymentRecord):
        waits = any(vm.deadline or vm.attempt or vm.power for vm in record.vms.values())
        return waits or record.update is not None or record.state not in AT_REST
    return isinstance(record, ResourceRecord) and record.state not in AT_REST


class NeverAtRestError(AssertionError):
    """Something goes on for ever."""


@dataclass
class OneClient:
    """The session that sends a case's requests."""

    id: int = 1
    user: str = "admin"

    def subscribe(self, request: Any) -> None:
        raise AssertionError("a case listens without asking")

    def close_after_reply(self) -> None:
        raise AssertionError("a case has one session")


class Clouds:
    """One cloud behind all connectors but those *apart*, each of which has one of its own."""

    def __init__(self, settings: CloudSettings, apart: Sequence[str]) -> None:
        self._first = Cloud(settings)
        numbers = enumerate(apart, settings.seed + 1)
        self._apart = {VimId(vim): Cloud(replace(settings, seed=n)) for n, vim in numbers}

    def of(self, vim: VimId) -> Cloud:
        return self._apart.get(vim, self._first)

    def play(self, rules: Sequence[dict[str, Any]]) -> None:
        """Put *rules* in force: in the cloud of their *vim*, or in all of them."""
        for vim, cloud in ((None, self._first), *self._apart.items()):
            own = [rule for rule in rules if rule.get("vim", vim) == vim]
            bare = [{name: it for name, it in rule.items() if name != "vim"} for rule in own]
            cloud.faults.replace(convert(bare, list[Rule]))


class Daemon:
    """Asked as a client asks, told as a client is told."""

    def __init__(
        self,
        schema: Schema,
        clouds: Clouds,
        engine: Engine,
        manager: Manager,
        configuration: Configuration,
        access: AccessControl,
    ) -> None:
        self.schema = schema
        self.clouds = clouds
        self.engine = engine
        self.manager = manager
        self.told: list[LoggedNotification] = []
        self._services = Services(
            management=manager,
            configuration=configuration,
            sessions=Sessions(limits=Limits(), metrics=_metrics()),
            locks=Locks(),
            limits=Limits(),
            metrics=_metrics(),
            guard=access,
            now=Clock(asyncio.get_running_loop(), BEGAN).now,
        )

    async def ask(self, rpc: etree._Element) -> bytes:
        """Return the whole rpc-reply."""
        request = parse_rpc(parse(serialise(rpc)))
        answer: Reply
        try:
            answer = await dispatch(request.operation, OneClient(), self._services)
        except (RpcError, RpcErrors) as error:
            answer = Failure.of(error)
        return b"".join(render(request, answer))

    async def listen(self) -> None:
        async for batch in self.manager.subscribe():
            self.told += batch

    async def passed(self, seconds: float) -> None:
        """Let so much virtual time pass."""
        await asyncio.sleep(seconds)

    async def rest(self) -> None:
        """Let time pass until nothing is under way."""
        quiet = 0
        for _ in range(LONGEST_STORY):
            await asyncio.sleep(1)
            quiet = quiet + 1 if self._at_rest() else 0
            if quiet == QUIET:
                return
        states = {str(key): state for key, state in self._states()}
        raise NeverAtRestError(f"still under way after {LONGEST_STORY} s: {states}")

    def _at_rest(self) -> bool:
        records = self.engine.records()
        return self.engine.at_rest and not any(map(_under_way, records))

    def _states(self) -> list[tuple[Key, Any]]:
        lives = DeploymentRecord | ResourceRecord
        return [(each.key, each.state) for each in self.engine.records() if isinstance(each, lives)]

    async def replayed(self) -> Sequence[LoggedNotification]:
        return await self.manager.events(after=0, limit=100_000, since=None)


@asynccontextmanager
async def a_daemon(
    schema: Schema,
    simulator: dict[str, Any],
    day_zero: DayZeroReader,
    *,
    images: ImageSource | None = None,
    hooks: HookRunner = NO_HOOKS,
    own: OwnMapping = NOTHING_OWN,
) -> AsyncIterator[Daemon]:
    """Run a daemon, from its first start, on a cloud with the *settings* of *simulator*."""
    loop = asyncio.get_running_loop()
    settings = convert(simulator.get("settings", {}), CloudSettings)
    clouds = Clouds(settings, simulator.get("clouds", ()))

    def driver(vim: VimId) -> SimulatorDriver:
        cloud = clouds.of(vim)
        return SimulatorDriver(cloud, vim=vim, now=lambda: BEGAN.timestamp() + loop.time())

    simulators = SimulatorType(driver, timeout_seconds=CALL_TIMEOUT)
    ids = Random(0)
    store = SqlStore.from_image()
    vims = Vims({SIMULATOR: simulators}, call_timeout=CALL_TIMEOUT)
    engine = Engine(
        store=store,
        vims=vims,
        now=Clock(loop, BEGAN).now,
        monitor=lambda crossed: Monitor(
            select(
                VimMetrics(vims.metrics, Catalogue((*CORE, *own.metrics))),
                SimulatedGuests(vims.guests, at_hand=vims.guests_at_hand),
            ),
            crossed,
        ),
        day_zero=day_zero,
        hooks=hooks,
        uploads=Uploads(images, UploadLimits(least_rate=0)),
        policy=Policy(
            settle=timedelta(seconds=10),
            drift_pause=timedelta(seconds=simulator.get("drift_seconds", 0)),
        ),
        new_id=lambda: RecordId(str(UUID(int=ids.getrandbits(128), version=4))),
    )
    datastore = Datastore(schema, Vault(bytes(range(KEY_BYTES))), own.actions)
    access = open_to_all(schema)
    configuration = Configuration(datastore=datastore, engine=engine, access=access)
    manager = Manager(
        schema=schema,
        datastore=datastore,
        candidate=configuration.candidate,
        library=schema.library().with_candidate(),
        engine=engine,
        store=store,
        access=access,
    )
    daemon = Daemon(schema, clouds, engine, manager, configuration, access)
    listening = loop.create_task(daemon.listen())
    await engine.restore(partial(first_connector, datastore, SIMULATOR))
    await daemon.passed(0.1)  # the first check of the first connector is no part of the story
    ids.seed(0)
    try:
        yield daemon
    finally:
        listening.cancel()
        with suppress(asyncio.CancelledError):
            await listening
        await engine.close()
        await store.close()


def play_rules(clouds: Clouds, simulator: dict[str, Any]) -> None:
    """Let what goes wrong from now on be the rules of *simulator*, where it has any."""
    if "rule" in simulator:
        clouds.play(simulator["rule"])


def run(story: Any) -> None:
    """Run a coroutine to its end on virtual time; whatever nobody handled is an error."""
    loop = SimulationLoop(0)
    loop.random = _InOrder()
    problems: list[Any] = []
    loop.set_exception_handler(lambda _, context: problems.append(context))
    asyncio.set_event_loop(loop)
    try:
        loop.run_until_complete(story)
    finally:
        asyncio.set_event_loop(None)
        loop.close()
    assert not problems


def enveloped(request: etree._Element) -> etree._Element:
    """Return the rpc of what a case holds: a root of the data model, config, operation or rpc."""
    name = etree.QName(request).localname
    if name == "rpc":
        return request
    if name in {"esc_datamodel", "esc_system_config"}:
        config = etree.Element(f"{{{BASE_NS}}}config", nsmap={None: BASE_NS})
        config.append(request)
        request, name = config, "config"
    if name == "config":
        edit = etree.Element(f"{{{BASE_NS}}}edit-config", nsmap={None: BASE_NS})
        target = etree.SubElement(edit, f"{{{BASE_NS}}}target")
        etree.SubElement(target, f"{{{BASE_NS}}}running")
        edit.append(request)
        request = edit
    rpc = etree.Element(f"{{{BASE_NS}}}rpc", {"message-id": "1"}, nsmap={None: BASE_NS})
    rpc.append(request)
    return rpc


def _metrics() -> NetconfMetrics:
    return NetconfMetrics(CollectorRegistry())
