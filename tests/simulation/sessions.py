"""The clients' NETCONF sessions in the simulation: the daemon's own, with all but SSH."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from functools import cache, partial
from random import Random
from typing import Any, Final, cast
from xml.sax.saxutils import escape

from asyncssh import SSHServerChannel
from lxml import etree
from prometheus_client import CollectorRegistry

from esc_daemon.access.control import AccessControl
from esc_daemon.app.netconf import services_of
from esc_daemon.datamodel.datastore import Datastore
from esc_daemon.datamodel.names import NAMESPACE
from esc_daemon.domain.requests import Action, ServiceAction, VmAction
from esc_daemon.engine.engine import Engine
from esc_daemon.netconf.errors import ErrorTag, ErrorType, RpcError, RpcErrors
from esc_daemon.netconf.messages import Commit
from esc_daemon.netconf.messages import Datastore as Datastores
from esc_daemon.netconf.xml import BASE_NS, name_of, qualified
from esc_daemon.northbound.configuration import Configuration
from esc_daemon.northbound.http.metrics import NetconfMetrics
from esc_daemon.northbound.management import Manager
from esc_daemon.northbound.ssh import rpcs
from esc_daemon.northbound.ssh.channel import NetconfChannel
from esc_daemon.northbound.ssh.dispatch import Services
from esc_daemon.northbound.ssh.notifications import FramedNotifications
from esc_daemon.settings import LimitSettings, NetconfProfile, Settings
from esc_daemon.store.base import Store
from tests.model.peer import Peer, Pipe
from tests.simulation.locking import Locking
from tests.simulation.papers import config_of, schema
from tests.simulation.rights import is_denied

RUNNING, CANDIDATE = Datastores.RUNNING, Datastores.CANDIDATE
_BOTH: Final = (RUNNING, CANDIDATE)
_SETTINGS: Final = Settings.model_construct(
    limits=LimitSettings(), netconf_profile=NetconfProfile.STANDARD
)
assert rpcs.HANDLERS


@cache
def _metrics() -> NetconfMetrics:
    """Return figures that nobody reads."""
    return NetconfMetrics(CollectorRegistry())


class Client:
    """One session, and what its client asks for; whatever is refused is raised."""

    def __init__(self, peer: Peer, channel: NetconfChannel, sessions: "Sessions") -> None:
        self._peer = peer
        self._sessions = sessions
        self._locking = sessions.locking
        self.channel: Final = channel
        self.id: Final = channel.id
        self.user: Final = channel.user
        self.asking = 0
        """Requests that were not answered yet."""
        self.open = True

    @property
    def locks(self) -> list[Datastores]:
        """What it has certainly locked."""
        return self._locking.held(self.id)

    async def ask(self, operation: str, writes: Iterable[Datastores] = ()) -> etree._Element:
        """
        Send *operation*, which changes *writes*; return the reply.

        Raises:
            RpcError, RpcErrors: It was refused.

        """
        since = self._locking.now()
        self.asking += 1
        reply = await self._peer.post(operation)
        self.asking -= 1
        error = _error_in(reply)
        self._locking.answered(self.id, writes, since, error)
        if error is not None:
            self._sessions.count(operation, error)
            raise error
        return reply

    async def edit(self, edit: Mapping[Any, Any], target: Datastores = RUNNING) -> None:
        """Make each key what it is in *edit*."""
        config = etree.tostring(config_of(edit)).decode()
        await self.ask(
            f"<edit-config><target><{target}/></target><default-operation>none</default-operation>"
            "<test-option>test-then-set</test-option><error-option>rollback-on-error"
            f"</error-option>{config}</edit-config>",
            (target,),
        )

    async def commit(self, request: Commit) -> None:
        """Commit the candidate as *request* says."""
        seconds = request.confirm_timeout
        tried = f"<confirmed/><confirm-timeout>{seconds}</confirm-timeout>" if seconds else ""
        words = _leaf("persist", request.persist) + _leaf("persist-id", request.persist_id)
        await self.ask(f"<commit>{tried}{words}</commit>", _BOTH)

    async def cancel_commit(self, persist_id: str | None) -> None:
        """Have the confirmed commit that waits taken back."""
        word = _leaf("persist-id", persist_id)
        await self.ask(f"<cancel-commit>{word}</cancel-commit>", (RUNNING,))

    async def discard_changes(self) -> None:
        """Make the candidate what running is."""
        await self.ask("<discard-changes/>", (CANDIDATE,))

    async def lock(self, target: Datastores) -> None:
        """Ask for the lock of *target*."""
        answered = self._locking.asks(self.id, target)
        error: RpcError | None = None
        try:
            await self.ask(f"<lock><target><{target}/></target></lock>")
        except RpcError as denied:
            error = denied
        answered(error)
        if error is not None:
            raise error

    async def unlock(self, target: Datastores) -> None:
        """Give the lock of *target* back."""
        gone = self._locking.lets_go(self.id, target)
        await self.ask(f"<unlock><target><{target}/></target></unlock>")
        gone()

    async def act(self, action: Action) -> None:
        """Ask for *action*."""
        await self.ask(_rpc_of(action))

    async def close(self) -> None:
        """End the session by its own word."""
        gone = self._ends()
        await self.ask("<close-session/>")
        gone()

    async def killed_by(self, other: "Client") -> None:
        """End the session by the word of another."""
        gone = self._ends()
        await other.ask(f"<kill-session><session-id>{self.id}</session-id></kill-session>")
        gone()

    def drop(self) -> None:
        """Let the connection break."""
        gone = self._ends()
        self.channel.connection_lost(None)
        gone()

    def _ends(self) -> Callable[[], None]:
        self.open = False
        return self._locking.lets_go(self.id)


class Sessions:
    """All sessions with one life of the daemon."""

    def __init__(
        self,
        *,
        datastore: Datastore,
        engine: Engine,
        store: Store,
        configuration: Configuration,
        access: AccessControl,
        on_trial: Callable[[], int | None],
    ) -> None:
        """Stand the daemon's doors before *configuration*, as its composition root does."""
        manager = partial(
            Manager,
            schema=schema(),
            datastore=datastore,
            candidate=configuration.candidate,
            engine=engine,
            store=store,
            access=access,
        )
        self._services: Services = services_of(
            _SETTINGS, _metrics(), schema(), manager, configuration, access, store
        )
        self._framed = FramedNotifications()

        def in_the_way(target: Datastores) -> int | None:
            if target is RUNNING:
                return configuration.on_trial
            return 0 if configuration.candidate_changed else None

        self.locking: Final = Locking(in_the_way, on_trial)
        self.clients: list[Client] = []
        self.denied_calls = 0
        self.denied_writes = 0
        self.problems: Final = self.locking.problems

    def count(self, operation: str, error: RpcError | RpcErrors) -> None:
        """Look at why *operation* was refused: for want of a right it counts, by a fault never."""
        if "internal error" in str(error):
            self.problems.append(f"{operation[:60]} was answered by {error}")
        if is_denied(error):
            called = "access to the operation" in str(error)
            self.denied_calls += called
            self.denied_writes += not called

    async def connected(self, user: str) -> Client:
        """Return a new session of *user*; to be called by what dies with the daemon."""
        loop = asyncio.get_running_loop()
        channel = NetconfChannel(
            user=user,
            peer="127.0.0.1",
            services=self._services,
            framed=self._framed,
            closed=lambda: None,
        )
        sent: deque[bytes] = deque()

        def arrive() -> None:
            channel.data_received(sent.popleft(), None)

        def send(data: bytes) -> None:
            sent.append(data)
            loop.call_soon(arrive)

        peer = Peer(send)

        def ended() -> None:
            peer.lost()
            loop.call_soon(channel.connection_lost, None)

        channel.connection_made(cast("SSHServerChannel[bytes]", Pipe(peer.received, ended)))
        assert channel.subsystem_requested("netconf")
        channel.session_started()
        client = Client(peer, channel, self)
        client.asking += 1
        self.clients.append(client)
        await peer.greeted()
        client.asking -= 1
        return client

    async def free(self, user: str, besides: Iterable[Client] = ()) -> Client:
        """Return a session of *user* that waits for no answer, but none of *besides*."""
        for client in self.clients:
            if client.open and client.user == user and not client.asking and client not in besides:
                return client
        return await self.connected(user)

    async def end(self, client: Client, random: Random) -> None:
        """Let *client*'s session end in one way or another."""
        roll = random.random()
        if roll < 0.3:
            await client.close()
        elif roll < 0.6:
            await client.killed_by(await self.free(client.user, (client,)))
        else:
            client.drop()

    async def stop(self) -> None:
        """Stop as a daemon does that is asked to."""
        for client in self.clients:
            if client.open:
                await client.channel.stop()


def _leaf(name: str, text: str | None) -> str:
    return "" if text is None else f"<{name}>{escape(text)}</{name}>"


def _rpc_of(action: Action) -> str:
    """Return the RPC that asks for *action*."""
    if isinstance(action, ServiceAction):
        where = _leaf("tenantName", action.tenant) + _leaf("depName", action.deployment)
        return _rpc("serviceAction", _leaf("actionType", action.type.value) + where)
    vm = _leaf("vmName", action.vm_name)
    if isinstance(action, VmAction):
        force = _leaf("force", str(action.force).lower())
        return _rpc("vmAction", _leaf("actionType", action.type.value) + vm + force)
    return _rpc("recoveryVmAction", _leaf("actionType", "DO") + vm)


def _rpc(name: str, inside: str) -> str:
    return f'<{name} xmlns="{NAMESPACE}">{inside}</{name}>'


def _error_in(reply: etree._Element) -> RpcError | RpcErrors | None:
    """Return what *reply* is refused with, None: it is not."""
    errors = [_error(each) for each in reply.iterfind(qualified(BASE_NS, "rpc-error"))]
    if len(errors) > 1:
        return RpcErrors(errors)
    return errors[0] if errors else None


def _error(element: etree._Element) -> RpcError:
    def said(name: str) -> str:
        return element.findtext(qualified(BASE_NS, name)) or ""

    info = element.find(qualified(BASE_NS, "error-info"))
    return RpcError(
        ErrorType(said("error-type")),
        ErrorTag(said("error-tag")),
        said("error-message"),
        path=said("error-path"),
        info=[] if info is None else [(name_of(each)[1], each.text or "") for each in info],
    )
