"""
What every door asks of the rest of the daemon, in the words of its protocol.

Configuration goes through the datastore to the engine; state and events come back from the
engine's records and log. It knows no socket and no session.
"""

import functools
import os
import platform
import time
from collections import OrderedDict
from collections.abc import (
    AsyncIterator,
    Callable,
    Collection,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import datetime
from itertools import chain
from typing import Final, NamedTuple

import structlog
from lxml import etree

from esc_daemon.access.control import AccessControl
from esc_daemon.access.rights import Sight
from esc_daemon.access.writing import WriteCheck
from esc_daemon.datamodel import opdata
from esc_daemon.datamodel.candidate import Candidate
from esc_daemon.datamodel.coverage import CoverageError
from esc_daemon.datamodel.datastore import Datastore
from esc_daemon.datamodel.entries import (
    DATAMODEL,
    EMPTY,
    ROOTS,
    RULES,
    WHOLE,
    EntryPath,
    in_root,
)
from esc_daemon.datamodel.escevent import esc_event
from esc_daemon.datamodel.names import NAMESPACE
from esc_daemon.datamodel.opdata import Upload
from esc_daemon.datamodel.operational import Operational, Reader
from esc_daemon.datamodel.rpc_input import (
    leftover_action,
    recovery_guard_release,
    recovery_vm_action,
    service_action,
    vm_action,
)
from esc_daemon.datamodel.schema import Schema
from esc_daemon.domain.errors import Refused
from esc_daemon.domain.events import Audience, Stream
from esc_daemon.domain.ids import Key, Kind, TenantName, VimId
from esc_daemon.domain.leftovers import LeftoverAction, LeftoverActionType
from esc_daemon.domain.requests import Action, ServiceAction
from esc_daemon.engine.broadcast import Listener, ListenerDropped
from esc_daemon.engine.engine import Engine
from esc_daemon.netconf.defaults import WithDefaults
from esc_daemon.netconf.errors import ErrorTag, ErrorType, RpcError, RpcErrors
from esc_daemon.netconf.filters import Filter
from esc_daemon.netconf.library import YangLibrary, modules_state, yang_library
from esc_daemon.netconf.messages import Datastore as Datastores
from esc_daemon.netconf.xml import YANG_LIBRARY_NS, leaf, name_of, serialise
from esc_daemon.northbound.answers import Answers, Prune
from esc_daemon.northbound.replies import HeldReplies
from esc_daemon.northbound.ssh.services import (
    FeedOverrun,
    LoggedNotification,
    StateTree,
    StreamInfo,
)
from esc_daemon.northbound.ways import EVERYWHERE, Way, way_of
from esc_daemon.store.base import LoggedEvent, Store, StoreError

log = structlog.get_logger()

_COUNTER: Final = 2**32
"""Where a counter32 begins anew."""
_REMEMBERED: Final = 4096
"""Rendered events kept for the next listener; when full, the oldest is rendered again."""

STREAMS: Final = (
    StreamInfo("NETCONF", "every event (RFC 5277 section 3.2.3)"),
    StreamInfo("escEvent", "life cycle events of tenants, networks, deployments and VMs"),
)


NOT_YET: Final = frozenset({"hostAction", "vmBackupAction", "snapshotAction"})
"""RPCs of the data model whose time has not come: answered operation-not-supported."""
LEFTOVER_ACTION: Final = "leftoverAction"
GUARD_ACTION: Final = "recoveryGuardAction"
_ACTIONS: Final[Mapping[str, Callable[[etree._Element], Action]]] = {
    "serviceAction": service_action,
    "vmAction": vm_action,
    "recoveryVmAction": recovery_vm_action,
}
"""RPCs whose answer says that they were accepted: how they went is told by events."""
HANDLED: Final = frozenset({LEFTOVER_ACTION, GUARD_ACTION, *_ACTIONS})
_DONE: Final = {
    LeftoverActionType.PURGE: "leftover.purged",
    LeftoverActionType.RETRY: "leftover.retried",
}
"""The line of the log about each leftover."""


_NO_DEPLOYMENT: Final = EntryPath(Kind.DEPLOYMENT, TenantName(""), "")
"""Stands for that of a VM that there is not: only who may update any deployment may update it."""


class UnhandledRpc(CoverageError):
    """The YANG has an RPC that is neither handled nor listed in NOT_YET: half done."""


_CONFIGURED: Final = (*((NAMESPACE, root) for root in ROOTS), WHOLE)
"""The top-level nodes that a get-config may show."""


class _Shown(NamedTuple):
    """What of an answer its asker may read."""

    roots: Collection[tuple[str, str]]
    prune: Prune | None
    """None where nothing has to be taken out of them."""
    by: Reader | None = None
    """Who is shown no tenant of others; None where there is no such."""


class Feed:
    """One listener's live events, rendered."""

    def __init__(self, manager: "Manager", listener: Listener) -> None:
        self._manager = manager
        self._listener = listener

    async def __aiter__(self) -> AsyncIterator[Sequence[LoggedNotification]]:
        """Iterate over batches until the listener is too slow: then FeedOverrun."""
        while True:
            try:
                events = await self._listener.batch()
            except ListenerDropped as error:
                raise FeedOverrun("events were lost; subscribe again with a start time") from error
            batch = self._manager.rendered(events)
            if batch:
                yield batch

    def close(self) -> None:
        """Listen no more; twice is no error."""
        self._listener.close()


class Manager:
    """Implements `northbound.ssh.services.Management`."""

    def __init__(  # noqa: PLR0913  all that a manager stands on
        self,
        *,
        schema: Schema,
        datastore: Datastore,
        candidate: Candidate,
        engine: Engine,
        store: Store,
        library: YangLibrary,
        access: AccessControl,
        state: Sequence[StateTree] = (),
        held: HeldReplies | None = None,
    ) -> None:
        """Make one; *state* is what a get shows beside the data model and the YANG *library*."""
        self._schema = schema
        self._answers = Answers(schema, held or HeldReplies())
        if unhandled := schema.rpcs().keys() - NOT_YET - HANDLED:
            raise UnhandledRpc(f"no handler for the RPCs {', '.join(sorted(unhandled))}")
        self._datastore = datastore
        self._candidate = candidate
        self._engine = engine
        self._store = store
        self._operational = Operational(
            engine,
            functools.partial(_stats, time.monotonic()),
            engine.guard.holds,
            functools.partial(_uploads, engine),
        )
        self._access = access
        self._state = (*state, *_library(library), _rules(datastore, access))
        self._payloads: OrderedDict[int, bytes] = OrderedDict()

    @property
    def actions(self) -> Collection[tuple[str, str]]:
        """RPCs of the esc namespace."""
        return [(NAMESPACE, name) for name in (*sorted(HANDLED), *sorted(NOT_YET))]

    # ---------------------------------------------------------------- configuration

    async def get_config(
        self,
        filter: Filter | None,  # noqa: A002
        user: str,
        with_defaults: WithDefaults = WithDefaults.EXPLICIT,
        *,
        source: Datastores = Datastores.RUNNING,
    ) -> Iterable[bytes]:
        """Return the children of *data*, serialised, in pieces."""
        candidate = self._candidate.configuration
        datastore = candidate if source is Datastores.CANDIDATE else self._datastore
        way = EVERYWHERE if filter is None else way_of(filter)
        shown = self._shown(_CONFIGURED, user)
        pieces = datastore.get_config(way.selection, [name for _, name in shown.roots])
        if filter is None:
            return await self._answers.whole(pieces, with_defaults, shown.prune)
        # alone, the data model is found faster under its one namespace
        beside = way.selection is not None and way.selection.holds(WHOLE[1])
        namespace = None if beside and WHOLE in shown.roots else NAMESPACE
        return await self._answers.filtered(pieces, filter, with_defaults, namespace, shown.prune)

    def _shown(self, roots: Iterable[tuple[str, str]], user: str) -> "_Shown":
        """Return which of *roots* the user may read, and what takes out the rest."""
        if self._access.rights(user).reads_all:
            return _Shown(list(roots), None)
        sights = {root: self._access.sight(user, root) for root in roots}
        whole = Sight.SOME not in sights.values()
        return _Shown(
            [root for root, sight in sights.items() if sight is not Sight.NONE],
            None if whole else self._access.pruner(user),
            None if whole else self._access.tenancy(user),
        )

    # ---------------------------------------------------------------- state

    async def get(
        self,
        filter: Filter | None,  # noqa: A002
        user: str,
        with_defaults: WithDefaults = WithDefaults.EXPLICIT,
    ) -> Iterable[bytes]:
        """
        Return configuration and state as `get_config` does.

        A name of the filter without a prefix may stand in any namespace that is served.
        """
        way = EVERYWHERE if filter is None else way_of(filter)
        roots = way.roots

        def may_be_meant(name: tuple[str, str]) -> bool:
            return roots is None or any(root.is_named(name) for root in roots)

        state = [tree for tree in self._state if may_be_meant(tree.name)]
        model = [(NAMESPACE, root) for root in ROOTS if may_be_meant((NAMESPACE, root))]
        shown = self._shown((*model, *(tree.name for tree in state)), user)
        beside = [await tree.render() for tree in state if tree.name in shown.roots]
        if filter is None:
            pieces = chain(self._model(way, shown), beside)
            return await self._answers.whole(pieces, with_defaults, shown.prune)
        if not model:
            return await self._answers.filtered(beside, filter, with_defaults, None, shown.prune)
        pieces = chain(self._model(way, shown), beside)
        # alone, the data model is found faster under its one namespace
        namespace = None if beside else NAMESPACE
        return await self._answers.filtered(pieces, filter, with_defaults, namespace, shown.prune)

    def _model(self, way: Way, shown: "_Shown") -> Iterable[bytes]:
        """Return what of the data model lies on *way*, configuration and state root by root."""
        inside: dict[str, Iterable[bytes]] = {
            root: self._datastore.inside(root, way.selection) for root in ROOTS
        }
        state = self._operational.pieces(way.part, shown.by)
        inside[DATAMODEL] = chain(inside[DATAMODEL], state)
        roots = (root for root in ROOTS if (NAMESPACE, root) in shown.roots)
        return chain.from_iterable(in_root(root, inside[root]) for root in roots)

    def schema(self, name: str, revision: str | None) -> str | None:
        """Return the text of a YANG module or submodule; *revision* None means any."""
        return self._schema.source(name, revision)

    async def act(self, operation: etree._Element, user: str) -> Sequence[etree._Element]:
        """
        Do what an RPC of the esc namespace asks for, and return what its reply holds.

        Raises:
            RpcError, RpcErrors: It is refused and nothing changed; operation-not-supported in this
                version.

        """
        if errors := [error.rpc_error() for error in self._schema.validate_input(operation)]:
            raise RpcErrors(errors)
        name = name_of(operation)[1]
        if name in NOT_YET:
            raise RpcError.operation_not_supported(f"{name} is not supported in this version")
        if name == LEFTOVER_ACTION:
            await self._act_on_leftovers(name, leftover_action(operation), user)
        elif name == GUARD_ACTION:
            self._release(name, recovery_guard_release(operation), user)
        else:
            await self._operate(name, _ACTIONS[name](operation), user)
        return ()

    async def _operate(self, rpc: str, action: Action, user: str) -> None:
        if (check := self._access.write_check(user)) is not None:
            self._check(action, check)
        about = {"user": user, "rpc": rpc, **self._named(action)}
        with _refusals_logged(about):
            operation = await self._engine.operate(action)
        log.info("action.accepted", **about, operations=[operation])

    def _named(self, action: Action) -> Mapping[str, object]:
        """Return what a line about *action* is found by."""
        if isinstance(action, ServiceAction):
            return asdict(action)
        of_vm = asdict(action)
        vm = of_vm.pop("vm_name")
        with suppress(Refused):  # there is no such VM: no deployment to name
            key = self._engine.concerned(action)
            of_vm |= {"tenant": key.tenant, "deployment": key.name}
        return {**of_vm, "vm": vm, "vm_id": vm.rpartition("_")[2]}

    def _check(self, action: Action, check: WriteCheck) -> None:
        """Who may not act upon a VM learns neither whether it is there nor whose it is."""
        try:
            key = self._engine.concerned(action)
            entry = EntryPath(key.kind, key.tenant, key.name)
        except Refused:
            entry = _NO_DEPLOYMENT
        try:
            check.update(entry)
        except RpcError as denied:
            if isinstance(action, ServiceAction):  # it says itself which deployment is meant
                raise
            raise RpcError.access_denied("") from denied

    def _release(self, rpc: str, vim: VimId | None, user: str) -> None:
        with _refusals_logged({"user": user, "rpc": rpc, "vim": vim}):
            freed = self._engine.guard.release(vim)
        log.warning("guard.release_asked", user=user, vim=vim, vms=freed)

    async def _act_on_leftovers(self, rpc: str, action: LeftoverAction, user: str) -> None:
        with _refusals_logged({"user": user, "rpc": rpc, **asdict(action)}):
            done = await self._engine.act(action, self._access.tenancy(user))
        for each in done:  # no event tells of it
            log.info(_DONE[action.type], user=user, **each.words())

    # ---------------------------------------------------------------- events

    def streams(self) -> Sequence[StreamInfo]:
        """Return the streams that may be subscribed to."""
        return STREAMS

    async def events(
        self, *, after: int, limit: int, since: datetime | None
    ) -> Sequence[LoggedNotification]:
        """Return some of the events that follow *after*; none only when there are none left."""
        while events := await self._store.events(
            after=after, limit=limit, stream=Stream.ESC_EVENT, since=since
        ):
            if batch := self.rendered(events):
                return batch
            after = events[-1].seq  # all of them were for other audiences
        return ()

    def subscribe(self) -> Feed:
        """Return a feed of every event told from now on."""
        return Feed(self, self._engine.broadcast.listen())

    def rendered(self, events: Iterable[LoggedEvent]) -> list[LoggedNotification]:
        """Return *events* as notifications, each rendered once for all listeners."""
        return [
            LoggedNotification(logged.seq, logged.time, self._payload(logged))
            for logged in events
            if logged.event.audience is Audience.ALL
        ]

    def _payload(self, logged: LoggedEvent) -> bytes:
        payload = self._payloads.get(logged.seq)
        if payload is None:
            payload = self._payloads[logged.seq] = esc_event(logged.event)
            if len(self._payloads) > _REMEMBERED:
                self._payloads.popitem(last=False)
        return payload


@contextmanager
def _refusals_logged(about: Mapping[str, object]) -> Iterator[None]:
    """
    Answer, and log, what the engine does not do; *about* says who asked for what.

    Raises:
        RpcError: It is refused and nothing changed.

    """
    try:
        yield
    except Refused as refused:
        log.info("action.refused", **about, tag=refused.tag, error=refused.text)
        tag = ErrorTag(refused.tag)
        raise RpcError(ErrorType.APPLICATION, tag, refused.text) from refused
    except StoreError as error:
        log.error("action.not_stored", **about, error=str(error))  # noqa: TRY400
        raise RpcError.resource_denied(f"nothing was changed: {error}") from error


def _library(library: YangLibrary) -> Iterable[StateTree]:
    """Return the YANG library in both forms; it never changes."""
    for name, rendered in (
        ("yang-library", yang_library(library)),
        ("modules-state", modules_state(library)),
    ):
        yield StateTree((YANG_LIBRARY_NS, name), functools.partial(_unchanged, rendered))


def _rules(datastore: Datastore, access: AccessControl) -> StateTree:
    """Return the access rules with the state that stands among them (RFC 8341)."""

    async def render() -> bytes:
        entry = datastore.entry(RULES)
        root = etree.fromstring(EMPTY if entry is None else entry.xml)
        denied = access.denied
        for name, count in (
            ("denied-operations", denied.operations),
            ("denied-data-writes", denied.data_writes),
            ("denied-notifications", denied.notifications),
        ):
            leaf(root, name, str(count % _COUNTER))
        return serialise(root)

    return StateTree(WHOLE, render)


async def _unchanged(rendered: bytes) -> bytes:
    return rendered


def _uploads(engine: Engine) -> Mapping[Key, Upload]:
    return {at: Upload(each.taken, each.total) for at, each in engine.uploads.items()}


def _stats(started: float) -> opdata.Stats:
    machine = platform.uname()
    return opdata.Stats(
        hostname=machine.node,
        os_name=machine.system,
        os_release=machine.release,
        arch=machine.machine,
        uptime=int(time.monotonic() - started),
        cpu_num=os.cpu_count() or 1,
    )
