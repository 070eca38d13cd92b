import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncssh
import pytest
import uvloop
from argon2 import PasswordHasher
from prometheus_client import CollectorRegistry

from esc_daemon.access.login import Login
from esc_daemon.access.passwords import Passwords
from esc_daemon.access.throttle import LoginThrottle
from esc_daemon.access.users import User, Users
from esc_daemon.datamodel.schema import Schema
from esc_daemon.netconf.messages import WITH_CANDIDATE, Datastore
from esc_daemon.northbound.http.metrics import NetconfMetrics
from esc_daemon.northbound.ssh.dispatch import Services
from esc_daemon.northbound.ssh.limits import Limits
from esc_daemon.northbound.ssh.listener import netconf_listener
from esc_daemon.northbound.ssh.locks import Locks
from esc_daemon.northbound.ssh.services import Configuration, Guard, Management
from esc_daemon.northbound.ssh.sessions import Sessions
from tests.northbound.managed import Managed, managed
from tests.northbound.memory_management import MemoryManagement
from tests.northbound.netconf_server import NobodyDenied, Server, Serving


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Function
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run what has a listener on the daemon's loop: it raises where that of asyncio forgets."""
    listens = "serving" in item.fixturenames
    return {"uvloop": uvloop.new_event_loop} if listens else {"asyncio": asyncio.new_event_loop}


@pytest.fixture
async def it(schema: Schema) -> AsyncIterator[Managed]:
    """Return the manager over a whole engine, with nothing in it."""
    async with managed(schema) as everything:
        yield everything


@pytest.fixture(scope="session")
def host_key() -> asyncssh.SSHKey:
    return asyncssh.generate_private_key("ssh-ed25519")


@pytest.fixture
def passwords() -> Iterator[Passwords]:
    passwords = Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    yield passwords
    passwords.close()


@pytest.fixture
def serving(host_key: asyncssh.SSHKey, passwords: Passwords, tmp_path: Path) -> Serving:
    """Start a server with other limits, or another manager, than the usual ones."""

    @asynccontextmanager
    async def serve(
        *,
        feed_limit: int = 100_000,
        datastores: frozenset[Datastore] = WITH_CANDIDATE,
        manager: Management | None = None,
        configuration: Configuration | None = None,
        guard: Guard | None = None,
        **limits: Any,
    ) -> AsyncIterator[Server]:
        users = Users(tmp_path / "users.json")
        users.add("admin", User(password=passwords.hash("pw")))
        registry = CollectorRegistry()
        metrics = NetconfMetrics(registry)
        bounds = replace(Limits(), **limits)
        management = MemoryManagement(feed_limit=feed_limit)
        services = Services(
            management=manager or management,
            configuration=configuration or management,
            sessions=Sessions(limits=bounds, metrics=metrics),
            locks=Locks(datastores, on_release=management.let_go),
            limits=bounds,
            metrics=metrics,
            guard=guard or NobodyDenied(),
            now=management.now,
        )
        broken: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, what: broken.append(what))
        login = Login(users=users, passwords=passwords, throttle=LoginThrottle(failures=3))
        async with netconf_listener(
            "127.0.0.1", 0, services=services, login=login, host_keys=[host_key]
        ) as port:
            yield Server(port, services, management, users, registry)
        assert not broken, "an error of ours that only the loop saw"

    return serve


@pytest.fixture
async def server(serving: Serving) -> AsyncIterator[Server]:
    async with serving() as server:
        yield server
        await server.nobody_left()
