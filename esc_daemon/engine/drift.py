"""
Looks at what the VIMs have, for what somebody did behind our back (`domain.drift`).

One list a VIM and look, page by page, and no longer than our records let expect. It may be stale,
so what it shows is looked at again, one server at a time, before the record is told. A VIM that
does not answer has said nothing.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Mapping
from datetime import timedelta
from itertools import count, islice
from time import perf_counter
from typing import Any, Final

import structlog

from esc_daemon.domain.drift import Drift, Looked, Suspect, believable, drift_of
from esc_daemon.domain.ids import Key, ServerKey, VimId, vm_ids
from esc_daemon.domain.policy import Policy
from esc_daemon.domain.record import ConnectorRecord, DeploymentRecord
from esc_daemon.domain.specs import ServerStatus, VimStatus
from esc_daemon.domain.triggers import ServerDrifted, Trigger
from esc_daemon.engine.boxes import Boxes
from esc_daemon.engine.vims import Connection, Vims
from esc_daemon.vim.base import VimError, VimUnknown

log = structlog.get_logger()

AT_A_TIME: Final = 8
"""Servers that are looked at together."""
MOST: Final = 1_000
"""Servers that are looked at in one go; the rest come with the next list."""
LOOK_SECONDS: Final = 600.0
"""How long one look at a VIM may take."""
SPARE: Final = 100_000
"""Servers that a list may have beyond two for each of our VMs; some 30 MB."""
_LONGEST_ID: Final = 64
"""Characters of the id of a VM in a list; ours have 36."""
_HIGHEST_GENERATION: Final = 2**63 - 1
_STRANGERS: Final = 1_000
_A_TURN: Final = 500
"""Records that are held against a list in one go, 5 ms."""
_NAMED: Final = 5


class Drifts:
    """Looks at each VIM from time to time; to be made inside a running loop."""

    def __init__(
        self,
        vims: Vims,
        policy: Policy,
        boxes: Boxes,
        connectors: Callable[[], Iterable[ConnectorRecord]],
        tell: Callable[[Key, Trigger], None],
    ) -> None:
        self._vims = vims
        self._policy = policy
        self._boxes = boxes
        self._connectors = connectors
        self._tell = tell
        self._task: asyncio.Task[None] | None = None
        self._known: dict[VimId, dict[ServerKey, Drift]] = {}
        self._strangers: dict[VimId, frozenset[ServerKey]] = {}
        self._maybe: dict[VimId, frozenset[ServerKey]] = {}

    def start(self, task: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]) -> None:
        """Look from now on, by a *task*; nothing where the policy says never."""
        if self._policy.drift_pause > timedelta(0):
            self._task = task(self._go_on())

    def close(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()

    def figures(self) -> Mapping[str, int]:
        """Return how many servers the last looks found to have drifted, by how."""
        found = Counter(drift.value for known in self._known.values() for drift in known.values())
        strangers = len(frozenset().union(*self._strangers.values()))
        kinds = {drift.value: found[drift.value] for drift in Drift if drift is not Drift.BACK}
        return {**kinds, "unknown": strangers}

    async def _go_on(self) -> None:
        while True:
            await asyncio.sleep(self._policy.drift_pause.total_seconds())
            usable = [
                VimId(each.key.name)
                for each in self._connectors()
                if each.status in {None, VimStatus.CONNECTION_SUCCESSFUL}
            ]
            for kept in (self._known, self._strangers, self._maybe):
                for vim in [vim for vim in kept if vim not in usable]:
                    del kept[vim]
            await asyncio.gather(*map(self._look, usable))

    async def _look(self, vim: VimId) -> None:
        """Look at *vim*; whatever happens, the next look comes."""
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                with self._vims.using(vim) as connection:
                    await self._hold_against(vim, connection)
        except (VimError, TimeoutError) as error:
            log.info("drift.not_looked", vim=vim, error=str(error) or "no answer in time")
        except Exception:
            log.exception("drift.look_broke", vim=vim)

    async def _hold_against(self, vim: VimId, connection: Connection) -> None:
        most = SPARE + 2 * await self._vms()
        seen = await _listed(connection, self._vims.call_timeout, most)
        found = Looked(seen, lambda home: self._vims.is_same(home, vim))
        for number, record in enumerate(self._boxes.records(), 1):
            found.add(record)
            if number % _A_TURN == 0:
                await asyncio.sleep(0)  # a suspect is looked at again, so it may be out of date
        self._note_strangers(vim, found.strangers())
        if not believable(found, self._policy.guard):
            log.warning("drift.not_believed", vim=vim, suspects=len(found.suspects), of=found.of)
            return
        confirmed = await _confirmed(connection, found)
        known = self._known.get(vim, {})
        self._known[vim] = {}
        for suspect, status in confirmed:
            drift = self._still(suspect, status)
            if drift is None:
                continue
            if drift is not Drift.BACK:
                self._known[vim][suspect.server] = drift
            if known.get(suspect.server) is not drift:
                log.warning(
                    "drift.found",
                    vim=vim,
                    drift=drift.value,
                    tenant=suspect.key.tenant,
                    deployment=suspect.key.name,
                    **vm_ids(suspect.name, suspect.server.vm),
                )
            self._tell(suspect.key, ServerDrifted(key=suspect.server, status=status))

    async def _vms(self) -> int:
        """Return how many VMs the records have."""
        vms = 0
        for number, record in enumerate(self._boxes.records(), 1):
            if isinstance(record, DeploymentRecord):
                vms += len(record.vms)
            if number % _A_TURN == 0:
                await asyncio.sleep(0)
        return vms

    def _still(self, suspect: Suspect, status: ServerStatus | None) -> Drift | None:
        """Return what *status* means to the record as it is now."""
        record = self._boxes.record(suspect.key)
        if not isinstance(record, DeploymentRecord):
            return None
        vm = record.vms.get(suspect.server.vm)
        if vm is None or vm.generation != suspect.server.generation:
            return None
        return drift_of(record, vm, status)

    def _note_strangers(self, vim: VimId, found: Iterable[ServerKey]) -> None:
        """Count who is a stranger twice: what is on its way in or out is one for a moment."""
        now = frozenset(islice(found, _STRANGERS))
        strangers = now & self._maybe.get(vim, frozenset())
        before = self._strangers.get(vim, frozenset())
        self._maybe[vim], self._strangers[vim] = now, strangers
        if new := sorted(strangers - before):
            named = ", ".join(f"{key.vm} {key.generation}" for key in new[:_NAMED])
            log.warning("drift.unknown_servers", vim=vim, servers=len(new), first=named)


async def _listed(
    connection: Connection, seconds: float, most: int
) -> dict[ServerKey, ServerStatus]:
    """
    Return the status of each server of ours, *most* of them.

    Raises:
        VimError: As the driver says, or the list does not end, or names what cannot be a server.
        TimeoutError: It did not answer in *seconds*.

    """
    began = perf_counter()
    result = "unknown"
    try:
        async with connection.turns:
            seen: dict[ServerKey, ServerStatus] = {}
            servers = aiter(connection.driver.servers())
            for number in count():
                try:
                    async with asyncio.timeout(seconds):
                        server = await anext(servers)
                except StopAsyncIteration:
                    break
                if number >= most:  # also where the same ones come again and again
                    raise VimUnknown(f"the VIM's list of servers does not end: more than {most}")
                seen[_believed(server.key)] = server.status
        result = "ok"
        return seen
    finally:
        connection.timed("servers", result, perf_counter() - began)


def _believed(key: ServerKey) -> ServerKey:
    if len(key.vm) > _LONGEST_ID or not 0 <= key.generation <= _HIGHEST_GENERATION:
        raise VimUnknown("the VIM's list of servers names what cannot be a server of ours")
    return key


async def _confirmed(
    connection: Connection, found: Looked
) -> list[tuple[Suspect, ServerStatus | None]]:
    """Return the status of each suspect, asked for by itself."""
    waiting = iter(found.suspects[:MOST])
    confirmed: list[tuple[Suspect, ServerStatus | None]] = []

    async def ask() -> None:
        for suspect in waiting:
            try:
                async with connection.asking("find_server"):
                    server = await connection.driver.find_server(suspect.server)
            except (VimError, TimeoutError):
                continue  # nobody knows
            confirmed.append((suspect, None if server is None else server.status))

    async with asyncio.TaskGroup() as group:
        for _ in range(min(AT_A_TIME, len(found.suspects))):
            group.create_task(ask())
    return confirmed
