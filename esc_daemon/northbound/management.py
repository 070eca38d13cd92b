"""
What every door asks of the rest of the daemon, in the words of its protocol.

Configuration goes through the datastore to the engine; state and events come back from the
engine's records and log. It knows no socket and no session.
"""

import asyncio
import functools
import os
import platform
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterable, Sequence
from datetime import datetime
from typing import Any, Final

import structlog
from lxml import etree

from esc_daemon.datamodel import opdata
from esc_daemon.datamodel.candidate import Candidate
from esc_daemon.datamodel.coverage import CoverageError
from esc_daemon.datamodel.datastore import MAX_ERRORS, Datastore, PendingEdit
from esc_daemon.datamodel.entries import CLOSE_ROOT, OPEN_ROOT, ROOT
from esc_daemon.datamodel.escevent import esc_event
from esc_daemon.datamodel.names import NAMESPACE, NAMESPACES
from esc_daemon.datamodel.operational import Operational, part_of
from esc_daemon.datamodel.schema import Schema
from esc_daemon.datamodel.selection import selection_of
from esc_daemon.domain.errors import Refused
from esc_daemon.domain.events import Audience, Stream
from esc_daemon.engine.broadcast import Listener, ListenerDropped
from esc_daemon.engine.engine import Change, Edit, Engine
from esc_daemon.netconf.defaults import WithDefaults
from esc_daemon.netconf.edit import DefaultOperation
from esc_daemon.netconf.errors import ErrorTag, ErrorType, RpcError, RpcErrors
from esc_daemon.netconf.filters import Filter, Hint, key_hints, root_hints
from esc_daemon.netconf.library import YangLibrary, modules_state, yang_library
from esc_daemon.netconf.messages import CopyConfig, EditConfig, ErrorOption, TestOption
from esc_daemon.netconf.messages import Datastore as Datastores
from esc_daemon.netconf.xml import YANG_LIBRARY_NS, name_of
from esc_daemon.northbound.answers import Answers
from esc_daemon.northbound.ssh.services import (
    FeedOverrun,
    LoggedNotification,
    StateTree,
    StreamInfo,
)
from esc_daemon.store.base import EntryChange, EntryPath, LoggedEvent, Store, StoreError

log = structlog.get_logger()

_REMEMBERED: Final = 4096
"""Rendered events kept for the next listener; when full, the oldest is rendered again."""
_A_TURN: Final = 50
"""Entries looked at in one go, 0.1 ms each, when all of running is validated."""

STREAMS: Final = (
    StreamInfo("NETCONF", "every event (RFC 5277 section 3.2.3)"),
    StreamInfo("escEvent", "life cycle events of tenants, networks, deployments and VMs"),
)


NOT_YET: Final = frozenset(
    {
        *("serviceAction", "vmAction", "recoveryVmAction"),
        *("hostAction", "vmBackupAction", "snapshotAction"),
    }
)
"""RPCs of the data model whose time has not come: answered operation-not-supported."""


class UnhandledRpc(CoverageError):
    """The YANG has an RPC that is neither handled nor listed in NOT_YET: half done."""


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

    def __init__(
        self,
        *,
        schema: Schema,
        datastore: Datastore,
        engine: Engine,
        store: Store,
        state: Sequence[StateTree] = (),
    ) -> None:
        """Make one; *state* is what a get shows beside the data model and the YANG library."""
        self._schema = schema
        self._answers = Answers(schema)
        if unhandled := schema.rpcs().keys() - NOT_YET:
            raise UnhandledRpc(f"no handler for the RPCs {', '.join(sorted(unhandled))}")
        self._datastore = datastore
        self._candidate = Candidate(datastore)
        self._empty = Datastore(schema)
        """Never filled: an edit of it judges a configuration by itself."""
        self._engine = engine
        self._store = store
        self._operational = Operational(engine, functools.partial(_stats, time.monotonic()))
        self._state = (*state, *_library(schema.library()))
        self._being_stored: dict[asyncio.Event, PendingEdit] = {}
        self._edits: set[asyncio.Task[None]] = set()
        self._payloads: OrderedDict[int, bytes] = OrderedDict()

    @property
    def actions(self) -> Collection[tuple[str, str]]:
        """RPCs of the esc namespace."""
        return [(NAMESPACE, name) for name in NOT_YET]

    # ---------------------------------------------------------------- configuration

    async def edit_config(self, request: EditConfig, user: str) -> None:
        """
        Take an edit whole or not at all; durable when it returns.

        The test-option test-only stops before anything changes (RFC 6241 section 7.2); the others
        are alike, since every edit is tested first.

        Raises:
            RpcError, RpcErrors: It is refused; nothing changed.

        """
        if request.target is Datastores.CANDIDATE:
            await self._edit_candidate(request, user)
            return
        only_test = request.test_option is TestOption.TEST_ONLY

        def prepare() -> PendingEdit:
            return self._datastore.edit(request.config, request.default_operation)

        await self._to_its_end(self._edit(prepare, user, only_test=only_test))

    async def _edit_candidate(self, request: EditConfig, user: str) -> None:
        """The test options test the whole candidate as it would be."""
        if request.test_option is not TestOption.SET:
            tried = self._candidate.copy()
            tried.edit(request.config, request.default_operation)
            await self._edit(tried.pending, user, only_test=True)
        if request.test_option is not TestOption.TEST_ONLY:
            self._candidate.edit(request.config, request.default_operation)

    async def copy_config(self, request: CopyConfig, user: str) -> None:
        """
        Make the target what the source is: an edit that replaces all there is.

        Raises:
            RpcError, RpcErrors: It is refused; nothing changed.

        """
        match request.target, request.source:
            case Datastores.CANDIDATE, Datastores.RUNNING:
                self._candidate.discard()
            case Datastores.RUNNING, Datastores.CANDIDATE:
                await self.commit(user)
            case target, source:
                assert etree.iselement(source)
                await self.edit_config(
                    EditConfig(
                        target=target,
                        default_operation=DefaultOperation.REPLACE,
                        test_option=TestOption.SET,
                        error_option=ErrorOption.ROLLBACK_ON_ERROR,
                        config=source,
                    ),
                    user,
                )

    async def commit(self, user: str) -> None:
        """
        Make the candidate running, whole or not at all; durable when it returns.

        Raises:
            RpcError, RpcErrors: It is refused; running and the candidate are as they were.

        """
        await self._to_its_end(self._edit(self._candidate.pending, user))

    def discard_changes(self) -> None:
        """Make the candidate what running is."""
        self._candidate.discard()

    @property
    def candidate_changed(self) -> bool:
        """Tell whether the candidate holds changes that were not committed."""
        return self._candidate.changed

    async def _to_its_end(self, work: Coroutine[Any, Any, None]) -> None:
        """A session that goes away in the middle must not cut an edit in two."""
        task = asyncio.create_task(work)
        self._edits.add(task)
        task.add_done_callback(self._edits.discard)
        await asyncio.shield(task)

    async def _edit(
        self, prepare: Callable[[], PendingEdit], user: str, *, only_test: bool = False
    ) -> None:
        pending = await self._prepared(prepare)
        if not pending.changes:
            return
        stored = asyncio.Event()
        self._being_stored[stored] = pending
        try:
            await self._take(pending, only_test=only_test)
        except Refused as refused:
            raise RpcError(
                ErrorType.APPLICATION,
                ErrorTag(refused.tag),
                refused.text,
                path=refused.path or _path_of(pending, refused),
                namespaces=NAMESPACES,
            ) from refused
        except StoreError as error:
            log.exception("edit.not_stored", user=user)
            raise RpcError.resource_denied(f"nothing was changed: {error}") from error
        finally:
            del self._being_stored[stored]
            stored.set()
        if only_test:
            return
        for warning in pending.warnings:
            log.warning("edit.accepted_with_warning", user=user, warning=warning)
        log.info("edit.accepted", user=user, entries=len(pending.changes))

    async def _prepared(self, prepare: Callable[[], PendingEdit]) -> PendingEdit:
        """
        Return the edit as it is to be stored now.

        Edits that do not collide are stored side by side, in one sync of the disk. One that
        collides waits, and is prepared anew on what the other has left.
        """
        while True:
            pending = prepare()
            others = (end for end, other in self._being_stored.items() if pending.collides(other))
            end = next(others, None)
            if end is None:
                return pending
            await end.wait()

    async def _take(self, pending: PendingEdit, *, only_test: bool) -> None:
        edit = Edit(
            changes=tuple(Change(key=key, intent=intent) for key, intent in pending.intents),
            entries=tuple(_entry_changes(pending)),
            on_committed=lambda: self._committed(pending),
        )
        if only_test:
            self._engine.check(edit)
        else:
            await self._engine.apply(edit)

    def _committed(self, pending: PendingEdit) -> None:
        self._datastore.commit(pending)
        self._candidate.follow(pending)

    async def validate(self, source: Datastores | etree._Element, user: str) -> None:
        """
        Look whether *source* is a configuration that the data model allows.

        The candidate is judged by what a commit of it would change.

        Raises:
            RpcError, RpcErrors: What is wrong with it.

        """
        if etree.iselement(source):
            self._empty.edit(source)
            return
        if source is Datastores.CANDIDATE:
            await self._edit(self._candidate.pending, user, only_test=True)
            return
        errors: list[RpcError] = []
        for number, entry in enumerate(list(self._datastore.entries())):
            if len(errors) >= MAX_ERRORS:
                break
            errors += self._datastore.faults(entry)
            if number % _A_TURN == _A_TURN - 1:
                await asyncio.sleep(0)  # others get a turn
        if errors:
            raise RpcErrors(errors[:MAX_ERRORS])

    async def get_config(
        self,
        filter: Filter | None,  # noqa: A002
        user: str,
        with_defaults: WithDefaults = WithDefaults.EXPLICIT,
        *,
        source: Datastores = Datastores.RUNNING,
    ) -> Iterable[bytes]:
        """Return the children of *data*, serialised, in pieces."""
        del user
        candidate = self._candidate.configuration
        datastore = candidate if source is Datastores.CANDIDATE else self._datastore
        if filter is None:
            return self._answers.whole(datastore.get_config(), with_defaults)
        hints = key_hints(filter, default_namespace=NAMESPACE) or ()
        pieces = datastore.get_config(selection_of(hints))
        return await self._answers.filtered(pieces, filter, with_defaults)

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
        del user
        if filter is None:
            beside = [await tree.render() for tree in self._state]
            return [*self._answers.whole(self._model(()), with_defaults), *beside]
        roots = root_hints(filter)

        def may_be_meant(name: tuple[str, str]) -> bool:
            return roots is None or any(root.is_named(name) for root in roots)

        beside = [await tree.render() for tree in self._state if may_be_meant(tree.name)]
        if not may_be_meant((NAMESPACE, ROOT)):
            return await self._answers.filtered(beside, filter, with_defaults, None)
        hints = key_hints(filter, default_namespace=NAMESPACE) or ()
        pieces = [*self._model(hints), *beside]
        # alone, the data model is found faster under its one namespace
        return await self._answers.filtered(
            pieces, filter, with_defaults, None if beside else NAMESPACE
        )

    def _model(self, hints: Sequence[Hint]) -> Sequence[bytes]:
        """Return what of the data model lies on *hints*, configuration and state in one root."""
        config = self._datastore.get_config(selection_of(hints))
        inside = [*config[1:-1], *self._operational.pieces(part_of(hints))]
        return [OPEN_ROOT, *inside, CLOSE_ROOT] if inside else []

    def schema(self, name: str, revision: str | None) -> str | None:
        """Return the text of a YANG module or submodule; *revision* None means any."""
        return self._schema.source(name, revision)

    async def act(self, operation: etree._Element, user: str) -> Sequence[etree._Element]:
        """
        Check what an RPC of the esc namespace asks for.

        Raises:
            RpcError, RpcErrors: Its input is wrong; operation-not-supported in this version.

        """
        del user
        if errors := [error.rpc_error() for error in self._schema.validate_input(operation)]:
            raise RpcErrors(errors)
        raise RpcError.operation_not_supported(
            f"{name_of(operation)[1]} is not supported in this version"
        )

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


def _library(library: YangLibrary) -> Iterable[StateTree]:
    """Return the YANG library in both forms; it never changes."""
    for name, rendered in (
        ("yang-library", yang_library(library)),
        ("modules-state", modules_state(library)),
    ):
        yield StateTree((YANG_LIBRARY_NS, name), functools.partial(_unchanged, rendered))


async def _unchanged(rendered: bytes) -> bytes:
    return rendered


def _entry_changes(pending: PendingEdit) -> Iterable[EntryChange]:
    for change in pending.changes:
        path = EntryPath(change.path.kind.value, change.path.tenant or "", change.path.name)
        yield EntryChange(path=path, xml=change.new.decode() if change.new is not None else None)


def _path_of(pending: PendingEdit, refused: Refused) -> str:
    paths = (change.path for change in pending.changes)
    return next((path.instance_path() for path in paths if path.key() == refused.key), "")


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
