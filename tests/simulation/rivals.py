"""Others at the same daemon: they lock, hold on to it and go, and read what they may see."""

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from random import Random
from typing import TYPE_CHECKING, Final

from lxml import etree

from esc_daemon.datamodel.entries import EntryPath
from esc_daemon.datamodel.names import NAMESPACE
from esc_daemon.domain.ids import Key, Kind, TenantName
from esc_daemon.domain.intent import Tenant
from esc_daemon.netconf.errors import RpcError, RpcErrors
from esc_daemon.netconf.xml import NACM_NS
from tests.simulation.acts import any_action
from tests.simulation.rights import GUEST, READER, USER
from tests.simulation.sessions import CANDIDATE, RUNNING, Client, Sessions

if TYPE_CHECKING:
    from tests.simulation.world import World

_PREPARED: Final = TenantName("prepared")
"""What a holder of the candidate's lock puts there, and never commits."""
_TARGETS: Final = ((RUNNING,), (RUNNING,), (CANDIDATE,), (CANDIDATE,), (CANDIDATE, RUNNING))


def _get(chosen: str) -> str:
    inside = f'<esc_datamodel xmlns="{NAMESPACE}">{chosen}</esc_datamodel>'
    return f"<get><filter>{inside}</filter></get>"


_READS: Final = (
    "<get-config><source><running/></source></get-config>",
    "<get-config><source><candidate/></source></get-config>",
    _get("<tenants/><opdata><tenants/></opdata>"),
    _get("<opdata><tenants><tenant><name>b</name></tenant></tenants></opdata>"),
)
_COUNTED: Final = f'<get><filter><nacm xmlns="{NACM_NS}"/></filter></get>'
_REFUSED: Final = (RpcError, RpcErrors)


class Rivals:
    """All of it drawn from *random*, and nothing where edits do not come through sessions."""

    def __init__(self, world: "World", random: Random) -> None:
        self._world = world
        self._random = random
        self._client: Client | None = None
        self.problems: list[str] = []

    @property
    def _sessions(self) -> Sessions:
        sessions = self._world.alive.sessions
        assert sessions is not None
        return sessions

    async def do_some(self) -> None:
        """Do a few things, one after another, and let time pass between them."""
        if self._world.alive.sessions is None:
            return
        for _ in range(self._random.choice([0, 1, 1, 2])):
            await self._world.alive.run(self._one_thing())
            await asyncio.sleep(self._random.choice([0.0, 0.0, 0.5, 5.0, 20.0]))

    def do_perhaps_one(self) -> None:
        """Do something, or nothing, and do not wait for its end."""
        if self._world.alive.sessions is not None and self._random.random() < 0.5:
            self._world.alive.run(self._one_thing())

    async def no_more(self) -> None:
        """Let everybody give up what he has locked, and count what was denied."""
        if self._world.alive.sessions is not None:
            await self._world.alive.run(self._all_let_go())
            await self._world.alive.run(self._count())

    async def _all_let_go(self) -> None:
        for client in self._sessions.clients:
            await self._unlock(client)

    async def _one_thing(self) -> None:
        roll = self._random.random()
        if roll < 0.5:
            client = await self._mine()
            await (self._hold_on(client) if client.locks else self._lock(client))
        elif roll < 0.7:
            await self._read()
        elif roll < 0.9:
            await self._try_what_is_denied()
        else:
            await self._count()

    async def _mine(self) -> Client:
        """Return the session that locks, which may have ended or died with the daemon."""
        if self._client is None or self._client not in self._sessions.clients:
            self._client = None
        if self._client is None or not self._client.open:
            self._client = await self._sessions.connected(USER)
        return self._client

    # ------------------------------------------------------------------ locks

    async def _lock(self, client: Client) -> None:
        targets = self._random.choice(_TARGETS)
        if self._world.trials.waiting() is not None and self._random.random() < 0.5:
            targets = (RUNNING,)  # which is denied for the commit that waits
        for target in targets:
            with suppress(RpcError):
                await client.lock(target)
        if CANDIDATE in client.locks and self._random.random() < 0.6:
            edit = {Key(Kind.TENANT, None, _PREPARED): Tenant(name=_PREPARED)}
            with suppress(*_REFUSED):  # with what a commit on trial is to remove it may be invalid
                await client.edit(edit, CANDIDATE)

    async def _hold_on(self, client: Client) -> None:
        """Use what is locked, or let others try it, or give it up."""
        roll = self._random.random()
        if roll < 0.2 and RUNNING in client.locks:
            await self._world.asks(self._world.any_edit(), client)
        elif roll < 0.4:
            other = await self._sessions.free(USER, (client,))
            with suppress(RpcError):
                await other.lock(self._random.choice((*client.locks, CANDIDATE)))
            await self._unlock(other)
        elif roll < 0.7:
            await self._unlock(client)
        else:
            await self._let_go(client, self._sessions.end(client, self._random))

    async def _unlock(self, client: Client) -> None:
        for target in client.locks:
            await self._let_go(client, client.unlock(target))

    async def _let_go(self, client: Client, going: Awaitable[None]) -> None:
        """Whoever lets go of the candidate leaves nothing in it (RFC 6241 section 8.3.5.2)."""
        configuration = self._world.alive.configuration
        assert configuration is not None
        locked = CANDIDATE in client.locks
        if locked:
            self._world.trials.discarded()  # nobody else puts anything there before it is gone
        await going
        prepared = EntryPath(Kind.TENANT, None, _PREPARED)
        left = configuration.candidate.configuration.entry(prepared) is not None
        if left and locked and CANDIDATE not in client.locks:
            self.problems.append("what was prepared under a lock outlived it")

    # ------------------------------------------------------------------ rights

    async def _read(self) -> None:
        """Read as one who may see a part of what another sees, at the same moment."""
        user = self._random.choice([READER, READER, GUEST])
        operation = self._random.choice(_READS)
        sees_all, sees_some = await self._sessions.free(USER), await self._sessions.free(user)
        before = await sees_all.ask(operation)
        try:
            seen = await sees_some.ask(operation)
        except _REFUSED as error:
            self.problems.append(f"{user} was refused to read: {error}")
            return
        after = await sees_all.ask(operation)
        if _text(before) == _text(after):  # else something moved meanwhile
            self._world.rights.shown(user, after, seen)

    async def _try_what_is_denied(self) -> None:
        client = await self._sessions.free(READER)
        action = any_action(self._world.engine.records(), self._random)
        if action is not None and self._random.random() < 0.8:
            await self._world.deeds.act(action, client)
            return
        answer = None
        try:
            await client.ask("<lock><target><running/></target></lock>")
        except RpcError as error:
            answer = error
        self._world.rights.acted(READER, Key(Kind.TENANT, None, ""), answer)

    async def _count(self) -> None:
        """What was denied is counted (RFC 8341 section 3.5), where no answer is under way."""
        client = await self._sessions.free(USER)
        if any(each.asking for each in self._sessions.clients):
            return
        calls, writes = self._sessions.denied_calls, self._sessions.denied_writes
        told = await client.ask(_COUNTED)
        if any(each.asking for each in self._sessions.clients):
            return
        for name, count in (("operations", calls), ("data-writes", writes)):
            found = told.findtext(f".//{{{NACM_NS}}}denied-{name}")
            if found != str(count):
                self.problems.append(f"denied-{name} is {found} and should be {count}")


def _text(reply: etree._Element) -> bytes:
    return etree.tostring(reply)
