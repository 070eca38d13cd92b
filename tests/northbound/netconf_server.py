"""A real listener around the manager in memory, and what tests ask of it."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from esc_daemon.access.users import Users
from esc_daemon.northbound.ssh.channel import NetconfChannel
from esc_daemon.northbound.ssh.dispatch import Services
from tests.northbound.memory_management import MemoryManagement


@dataclass
class Server:
    port: int
    services: Services
    management: MemoryManagement
    users: Users
    registry: CollectorRegistry

    def figure(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0

    def session(self) -> NetconfChannel:
        """Return the only session that is open, to look inside."""
        (session,) = self.services.sessions.open.values()
        assert isinstance(session, NetconfChannel)
        return session

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait for something that the server does in its own time."""
        async with asyncio.timeout(30):
            while not condition():  # noqa: ASYNC110  the server has no event for every condition
                await asyncio.sleep(0.001)

    async def nobody_left(self) -> None:
        await self.until(
            lambda: (
                not self.services.sessions.open
                and not self.services.sessions.subscriptions
                and not self.management.feeds
                and not [
                    task for task in asyncio.all_tasks() if task.get_name().startswith("netconf s")
                ]
            )
        )


class NobodyDenied:
    """Access control of a server whose every user may do everything."""

    def check_call(self, user: str, operation: tuple[str, str]) -> None:
        pass

    def hears_all(self, user: str) -> bool:
        return True

    def may_hear(self, user: str, notification: tuple[str, str]) -> bool:
        return True


Serving = Callable[..., AbstractAsyncContextManager[Server]]
