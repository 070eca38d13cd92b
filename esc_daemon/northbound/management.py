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
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from datetime import datetime
from typing import Final

import structlog
from lxml import etree

from esc_daemon.datamodel import opdata
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
from esc_daemon.netconf.defaults import WithDefaults, add_defaults, trim_defaults
from esc_daemon.netconf.errors import ErrorTag, ErrorType, RpcError, RpcErrors
from esc_daemon.netconf.filters import Filter, Hint, apply_filter, key_hints, root_hints
from esc_daemon.netconf.library import YangLibrary, modules_state, yang_library
from esc_daemon.netconf.messages import EditConfig, TestOption
from esc_daemon.netconf.xml import YANG_LIBRARY_NS, name_of
from esc_daemon.northbound.ssh.services import (
    FeedOverrun,
    LoggedNotification,
    StateTree,
    StreamInfo,
)
from esc_daemon.store.base import EntryChange, EntryPath, LoggedEvent, Store, StoreError

log = structlog.get_logger()

_SMALL: Final = 128 * 1024
"""Bytes that are parsed and filtered within some milliseconds."""
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
        if unhandled := schema.rpcs().keys() - NOT_YET:
            raise UnhandledRpc(f"no handler for the RPCs {', '.join(sorted(unhandled))}")
        self._datastore = datastore
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
        # a session that goes away in the middle must not cut an edit in two
        task = asyncio.create_task(self._edit(request, user))
        self._edits.add(task)
        task.add_done_callback(self._edits.discard)
        await asyncio.shield(task)

    async def _edit(self, request: EditConfig, user: str) -> None:
        pending = await self._prepared(request)
        if not pending.changes:
            return
        stored = asyncio.Event()
        self._being_stored[stored] = pending
        try:
            await self._take(pending, only_test=request.test_option is TestOption.TEST_ONLY)
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
        if request.test_option is TestOption.TEST_ONLY:
            return
        for warning in pending.warnings:
            log.warning("edit.accepted_with_warning", user=user, warning=warning)
        log.info("edit.accepted", user=user, entries=len(pending.changes))

    async def _prepared(self, request: EditConfig) -> PendingEdit:
        """
        Return the edit as it is to be stored now.

        Edits that do not collide are stored side by side, in one sync of the disk. One that
        collides waits, and is prepared anew on what the other has left.
        """
        while True:
            pending = self._datastore.edit(request.config, request.default_operation)
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

    async def validate(self, config: etree._Element | None, user: str) -> None:
        """
        Look whether *config*, None: running, is a configuration that the data model allows.

        Raises:
            RpcError, RpcErrors: What is wrong with it.

        """
        del user
        if config is not None:
            self._empty.edit(config)
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
    ) -> Iterable[bytes]:
        """Return the children of *data*, serialised, in pieces."""
        del user
        if filter is None:
            return self._reported(self._datastore.get_config(), with_defaults)
        hints = key_hints(filter, default_namespace=NAMESPACE) or ()
        pieces = self._datastore.get_config(selection_of(hints))
        return await self._filtered(pieces, filter, with_defaults)

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
            return [*self._reported(self._model(()), with_defaults), *beside]
        roots = root_hints(filter)

        def may_be_meant(name: tuple[str, str]) -> bool:
            return roots is None or any(root.is_named(name) for root in roots)

        beside = [await tree.render() for tree in self._state if may_be_meant(tree.name)]
        if not may_be_meant((NAMESPACE, ROOT)):
            return await self._filtered(beside, filter, with_defaults, None)
        hints = key_hints(filter, default_namespace=NAMESPACE) or ()
        pieces = [*self._model(hints), *beside]
        # alone, the data model is found faster under its one namespace
        return await self._filtered(pieces, filter, with_defaults, None if beside else NAMESPACE)

    def _model(self, hints: Sequence[Hint]) -> Sequence[bytes]:
        """Return what of the data model lies on *hints*, configuration and state in one root."""
        config = self._datastore.get_config(selection_of(hints))
        inside = [*config[1:-1], *self._operational.pieces(part_of(hints))]
        return [OPEN_ROOT, *inside, CLOSE_ROOT] if inside else []

    def _reported(self, pieces: Sequence[bytes], with_defaults: WithDefaults) -> Sequence[bytes]:
        """Return all of *pieces*, with or without default data (RFC 6243 section 3)."""
        if with_defaults is WithDefaults.EXPLICIT:
            return pieces
        data = self._with_defaults(_data(pieces), with_defaults)
        if with_defaults is WithDefaults.TRIM:
            trim_defaults(data, self._schema.data_root)
        return [etree.tostring(child) for child in data]

    async def _filtered(
        self,
        pieces: Sequence[bytes],
        filter_: Filter,
        with_defaults: WithDefaults,
        default_namespace: str | None = NAMESPACE,
    ) -> Sequence[bytes]:
        """Filter here what is small, and off the loop what would hold the other sessions up."""
        work = functools.partial(self._chosen, pieces, filter_, with_defaults, default_namespace)
        if sum(map(len, pieces)) < _SMALL:
            return work()
        return await asyncio.to_thread(work)

    def _chosen(
        self,
        pieces: Sequence[bytes],
        filter_: Filter,
        with_defaults: WithDefaults,
        default_namespace: str | None = NAMESPACE,
    ) -> Sequence[bytes]:
        data = self._with_defaults(_data(pieces), with_defaults)
        found = apply_filter(
            data, filter_, default_namespace=default_namespace, key_names=self._key_names
        )
        if with_defaults is WithDefaults.TRIM:  # what the filter compares is still there before
            trim_defaults(found, self._schema.data_root)
        return [etree.tostring(child) for child in found]

    def _with_defaults(self, data: etree._Element, mode: WithDefaults) -> etree._Element:
        """Put default data in where *mode* reports it, so that a filter can choose it."""
        if mode in {WithDefaults.REPORT_ALL, WithDefaults.REPORT_ALL_TAGGED}:
            tagged = mode is WithDefaults.REPORT_ALL_TAGGED
            add_defaults(data, self._schema.data_root, tagged=tagged)
        return data

    def _key_names(self, element: etree._Element) -> tuple[str, ...]:
        path = []
        while (parent := element.getparent()) is not None:
            path.append(name_of(element))
            element = parent
        return self._keys_at(tuple(reversed(path)))

    @functools.cache  # noqa: B019  one manager a process, and paths of the schema are few
    def _keys_at(self, path: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
        node = self._schema.data_root(*path[0]) if path else None
        for namespace, name in path[1:]:
            if node is None:
                return ()
            node = node.child(namespace, name)
        return node.keys if node is not None else ()

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


def _data(pieces: Iterable[bytes]) -> etree._Element:
    return etree.fromstring(b"".join((b"<data>", *pieces, b"</data>")))


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
