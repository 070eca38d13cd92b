"""A `HookRunner` without a machine: what scripts end with stands in a dictionary."""

import asyncio

from esc_daemon.domain.specs import HookScript
from esc_daemon.monitor.hooks import HookFailed, named


class ToldHooks:
    """*statuses* by the path of a script, *ran* are those that ran; each takes *seconds*."""

    def __init__(self, **statuses: int) -> None:
        self.statuses: dict[str, int] = statuses
        self.ran: list[HookScript] = []
        self.seconds = 1.0

    async def run(self, script: HookScript) -> None:
        if script.path not in self.statuses:
            raise HookFailed(f"{named(script)}: {script.path}: No such file or directory")
        if self.seconds > script.seconds:
            raise HookFailed(f"{named(script)}: no end within {script.seconds} s")
        await asyncio.sleep(self.seconds)
        self.ran.append(script)
        if status := self.statuses[script.path]:
            raise HookFailed(f"{named(script)}: exit status {status}")
