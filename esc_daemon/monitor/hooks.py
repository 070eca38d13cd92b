"""
The scripts of hooks: programs of the operator that an update runs for a VM.

They are held to what custom scripts of KPIs are held to, and run in the same way
(`collectors.script`, `collectors.programs`); what counts is that one ends with status 0, in time.
"""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Protocol

from esc_daemon.domain.specs import HookScript
from esc_daemon.monitor.base import CollectorError
from esc_daemon.monitor.collectors.programs import Programs
from esc_daemon.monitor.collectors.script import allowed, how_it_ended


class HookFailed(Exception):
    """The script did not do what it is for; the text names it, and says why, without a secret."""


class HookRunner(Protocol):
    """Who runs the scripts of hooks."""

    async def run(self, script: HookScript, begins: Callable[[], None] | None = None) -> None:
        """
        Run *script* to its end; *begins* is called when its turn has come.

        Whoever cancels this has it killed.

        Raises:
            HookFailed: It may not be run, ended badly, or not in its time.

        """
        ...


class NoHooks:
    """Where no scripts may run (HookRunner)."""

    async def run(
        self,
        script: HookScript,
        begins: Callable[[], None] | None = None,  # noqa: ARG002  the protocol's
    ) -> None:
        """See HookRunner."""
        raise HookFailed(f"{named(script)}: no scripts are run here")


NO_HOOKS: Final = NoHooks()


class Hooks:
    """Runs scripts below *directories*, at most *workers* at a time; more wait (HookRunner)."""

    def __init__(self, directories: Sequence[Path], *, workers: int, memory_bytes: int) -> None:
        self._directories = tuple(directories)
        self._programs = Programs(most=workers, memory_bytes=memory_bytes)
        self._turns = asyncio.Semaphore(workers)

    async def run(self, script: HookScript, begins: Callable[[], None] | None = None) -> None:
        """See HookRunner."""
        if any("\0" in word for word in script.words):
            raise HookFailed(f"{named(script)}: a property has a NUL byte, which no argument can")
        directories = self._directories
        try:
            async with self._turns, asyncio.timeout(script.seconds):
                if begins is not None:
                    begins()
                ended = await self._programs.run(
                    lambda: [str(allowed(script.path, directories)), *script.words], script.seconds
                )
        except CollectorError as error:
            raise HookFailed(f"{named(script)}: {error}") from None
        except TimeoutError:
            raise HookFailed(f"{named(script)}: no end within {script.seconds} s") from None
        if ended.status != 0:
            raise HookFailed(f"{named(script)}: {how_it_ended(ended, script.secrets)}")

    async def close(self) -> None:
        """Kill the scripts under way."""
        await self._programs.close()


def named(script: HookScript) -> str:
    """Return how *script* is called in a text."""
    return f"script {script.action} of {script.stage}"
