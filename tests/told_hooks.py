"""A `HookRunner` without a machine: what scripts end with stands in a dictionary."""

import asyncio
from collections.abc import Callable

from esc_daemon.domain.specs import HookScript
from esc_daemon.monitor.hooks import HookFailed, named


class ToldHooks:
    """
    *statuses* by the path of a script, *ran* are those that ran.

    Each waits for its turn while *turns* is not set, and takes *seconds*.
    """

    def __init__(self, **statuses: int) -> None:
        self.statuses: dict[str, int] = statuses
        self.ran: list[HookScript] = []
        self.seconds = 1.0
        self.turns = asyncio.Event()
        self.turns.set()

    async def run(self, script: HookScript, begins: Callable[[], None] | None = None) -> None:
        await self.turns.wait()
        if begins is not None:
            begins()
        if script.path not in self.statuses:
            raise HookFailed(f"{named(script)}: {script.path}: No such file or directory")
        if self.seconds > script.seconds:
            raise HookFailed(f"{named(script)}: no end within {script.seconds} s")
        await asyncio.sleep(self.seconds)
        self.ran.append(script)
        if status := self.statuses[script.path]:
            raise HookFailed(f"{named(script)}: exit status {status}")
