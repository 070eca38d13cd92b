"""Events as lines of the log, and as figures."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Final

import structlog

from esc_daemon.domain.events import Event, EventStatus, Stream
from esc_daemon.engine.broadcast import LISTENER_LIMIT, Broadcast, ListenerDropped
from esc_daemon.store.base import LoggedEvent, Store, StoreError

log = structlog.get_logger()

_PAGE: Final = 1000
"""Events that are read from the store at a time."""

EventFigures = Counter[tuple[str, str]]
"""Events that were told since the start, by type and status."""


class ToldEvents:
    """Writes every event that is told into the log, where operators look for a deployment."""

    def __init__(
        self,
        broadcast: Broadcast,
        store: Store,
        figures: EventFigures,
        limit: int = LISTENER_LIMIT,
    ) -> None:
        """Listen from now on; *limit* events may wait, beyond they are read from *store*."""
        self._broadcast = broadcast
        self._store = store
        self._figures = figures
        self._limit = limit
        self._listener = broadcast.listen(limit)
        self._last = broadcast.last

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[None]:
        """Write until the context ends, and then what was told up to there."""
        writer = asyncio.create_task(self._write(), name="events told")
        writer.add_done_callback(_broken)
        try:
            yield
        finally:
            writer.cancel()
            await asyncio.wait([writer])
            while self._listener.waiting:
                await self._write_some()

    async def _write(self) -> None:
        while True:
            await self._write_some()

    async def _write_some(self) -> None:
        try:
            batch = await self._listener.batch()
        except ListenerDropped:
            log.error(  # noqa: TRY400  the line says all
                "events.overrun",
                after=self._last,
                hint="the log is written too slowly; what was missed is read from the database",
            )
            await self._catch_up()
        else:
            self._tell(batch)

    async def _catch_up(self) -> None:
        """Listen anew, and write from the store what was missed."""
        self._listener.close()
        self._listener = self._broadcast.listen(self._limit)
        until = self._broadcast.last
        try:
            while self._last < until:
                page = await self._store.events(
                    after=self._last, limit=_PAGE, stream=Stream.ESC_EVENT
                )
                self._tell([each for each in page if each.seq <= until])
                if not page or page[-1].seq >= until:
                    break
        except StoreError as error:
            log.error("events.missed", after=self._last, until=until, error=str(error))  # noqa: TRY400
        self._last = until

    def _tell(self, batch: Iterable[LoggedEvent]) -> None:
        for logged in batch:
            event = logged.event
            self._last = logged.seq
            self._figures[event.type, event.status] += 1
            tell = log.warning if event.status is EventStatus.FAILURE else log.info
            tell(
                "event.told",
                seq=logged.seq,
                operation=event.operation,
                type=event.type,
                status=event.status,
                tenant=event.tenant,
                deployment=event.deployment,
                vm_group=event.vm_group,
                vm=event.source and event.source.generated_vmname,
                vim=_vim(event),
                message=event.message,
                details=event.details,
            )


def _vim(event: Event) -> str | None:
    """Return the VIM that *event* is about."""
    return event.vim_connector_id or event.vim or (event.source.vim_id if event.source else None)


def _broken(writer: asyncio.Task[None]) -> None:
    if not writer.cancelled() and (error := writer.exception()) is not None:
        log.error("events.unwritten", exc_info=error)
