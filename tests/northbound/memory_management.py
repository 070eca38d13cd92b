"""A manager in memory: what the composition root makes of engine, store and data model."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import UTC, datetime, timedelta

from lxml import etree

from esc_daemon.netconf.errors import RpcError
from esc_daemon.netconf.filters import Filter, apply_filter
from esc_daemon.netconf.messages import Commit, CopyConfig, Datastore, EditConfig, WithDefaults
from esc_daemon.netconf.xml import parse
from esc_daemon.northbound.ssh.dispatch import to_its_end
from esc_daemon.northbound.ssh.services import FeedOverrun, LoggedNotification, StreamInfo

ESC = "http://www.cisco.com/esc/esc"
START = datetime(2026, 1, 1, tzinfo=UTC)


class MemoryFeed:
    def __init__(self, log: "MemoryManagement", limit: int) -> None:
        self._log = log
        self._limit = limit
        self._queue: deque[LoggedNotification] = deque()
        self._arrived = asyncio.Event()
        self._overrun = False

    def put(self, logged: LoggedNotification) -> None:
        if len(self._queue) >= self._limit:
            self._overrun = True
        else:
            self._queue.append(logged)
        self._arrived.set()

    async def __aiter__(self) -> AsyncIterator[Sequence[LoggedNotification]]:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            if self._overrun:
                raise FeedOverrun("the feed is full")
            batch = tuple(self._queue)
            self._queue.clear()
            if batch:
                yield batch

    def close(self) -> None:
        self._log.feeds.discard(self)


class MemoryManagement:
    """Configuration is whatever was sent last for each child of config."""

    def __init__(self, *, feed_limit: int = 100_000) -> None:
        self.actions = frozenset({(ESC, "serviceAction"), (ESC, "explode")})
        self.children: dict[str, etree._Element] = {}
        self.edited_by: list[str] = []
        self.committed_by: list[str] = []
        self.candidate_changed = False
        self.on_trial: int | None = None
        self.operations: list[str] = []
        self.acted: list[str] = []
        self.log: list[LoggedNotification] = []
        self.feeds: set[MemoryFeed] = set()
        self.clock = START
        self.gate: asyncio.Event | None = None
        self.blob: bytes = b""
        self.breaks_off = False
        self.log_is_lost = False
        self.for_others: set[int] = set()
        self.told_after_the_last_page: list[str] = []
        self.told_while_feeding: list[str] = []
        self._feed_limit = feed_limit

    def now(self) -> datetime:
        return self.clock

    async def edit_config(self, request: EditConfig, user: str) -> None:
        await to_its_end(self._do_edit_config(request, user))

    async def _do_edit_config(self, request: EditConfig, user: str) -> None:
        if self.gate is not None:
            await self.gate.wait()
        for child in request.config:
            if child.get("bad"):
                raise RpcError.bad_element("/config", "bad", "this is bad")
            self.children[str(child.tag)] = child
        if request.target is Datastore.CANDIDATE:
            self.candidate_changed = True
        self.edited_by.append(user)
        self.operations.append(request.default_operation.value)

    async def copy_config(self, request: CopyConfig, session: int, user: str) -> None:
        assert etree.iselement(request.source)
        self.edited_by.append(user)
        self.operations.append("replace")

    async def validate(self, source: Datastore | etree._Element, user: str) -> None:
        for child in source if etree.iselement(source) else self.children.values():
            if child.get("bad"):
                raise RpcError.bad_element("/config", "bad", "this is bad")

    async def commit(self, request: Commit, session: int, user: str) -> None:
        self.candidate_changed = False
        self.committed_by.append(user)
        self.on_trial = session if request.confirm_timeout else None

    async def cancel_commit(self, persist_id: str | None, session: int, user: str) -> None:
        self.on_trial = None

    def session_ended(self, session: int) -> None:
        if self.on_trial == session:
            self.on_trial = None

    def let_go(self, datastore: Datastore) -> None:
        if datastore is Datastore.CANDIDATE:
            self.discard_changes()

    def discard_changes(self) -> None:
        self.candidate_changed = False

    async def get_config(
        self,
        filter: Filter | None,  # noqa: A002
        user: str,
        with_defaults: WithDefaults = WithDefaults.EXPLICIT,
        *,
        source: Datastore = Datastore.RUNNING,
    ) -> Iterable[bytes]:
        data = etree.Element("data")
        data.extend([parse(etree.tostring(child)) for child in self.children.values()])
        if filter is not None:
            apply_filter(data, filter)
        return [etree.tostring(child) for child in data]

    async def get(
        self,
        filter: Filter | None,  # noqa: A002
        user: str,
        with_defaults: WithDefaults = WithDefaults.EXPLICIT,
    ) -> Iterable[bytes]:
        if self.breaks_off:
            return self._breaking_off()
        if self.blob:
            return (self.blob,)
        return await self.get_config(filter, user)

    def _breaking_off(self) -> Iterable[bytes]:
        yield b"<half>"
        raise ZeroDivisionError("secret details")

    def schema(self, name: str, revision: str | None) -> str | None:
        return "module m {}" if (name, revision) in {("m", None), ("m", "2026-01-01")} else None

    async def act(self, operation: etree._Element, user: str) -> Sequence[etree._Element]:
        name = etree.QName(operation).localname
        if name == "explode":
            raise ZeroDivisionError("secret details")
        self.acted.append(name)
        return []

    def streams(self) -> Sequence[StreamInfo]:
        return (StreamInfo("NETCONF", "all"), StreamInfo("escEvent", "ESC"))

    async def events(
        self, *, after: int, limit: int, since: datetime | None
    ) -> Sequence[LoggedNotification]:
        await asyncio.sleep(0)
        if self.log_is_lost:
            raise OSError("the log is lost")
        if self.feeds and self.told_while_feeding:
            self.tell(self.told_while_feeding.pop(0))
        page = self._page(after, limit, since)
        if not page and self.told_after_the_last_page:
            self.tell(self.told_after_the_last_page.pop(0))
        return page

    def _page(self, after: int, limit: int, since: datetime | None) -> Sequence[LoggedNotification]:
        for start in range(after, len(self.log), limit):
            found = [
                logged
                for logged in self.log[start : start + limit]
                if logged.seq not in self.for_others and (since is None or logged.time >= since)
            ]
            if found:
                return found
        return ()

    def subscribe(self) -> MemoryFeed:
        feed = MemoryFeed(self, self._feed_limit)
        self.feeds.add(feed)
        return feed

    def tell(self, text: str, *, padding: int = 0) -> None:
        """Log an event a second after the last one and feed it to whoever listens."""
        self.clock += timedelta(seconds=1)
        seq = len(self.log) + 1
        body = f'<escEvent xmlns="{ESC}"><status>{text}</status>{"x" * padding}</escEvent>'
        logged = LoggedNotification(seq, self.clock, body.encode())
        self.log.append(logged)
        for feed in self.feeds:
            feed.put(logged)
