"""The store on SQLite: one connection, one thread, one transaction a batch."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from threading import RLock
from typing import Self, TypeVar

from sqlalchemy import Connection

from esc_daemon.domain.events import Stream
from esc_daemon.domain.record import Record
from esc_daemon.domain.step import Step
from esc_daemon.store import event_log, reader, sqlite
from esc_daemon.store.base import Entry, EntryChange, LoggedEvent, StoreClosed, Undo
from esc_daemon.store.batch import last_seq, write_batch
from esc_daemon.store.rows import Job, job_of
from esc_daemon.store.sealing import Sealing
from esc_daemon.store.writer import LONGEST_BATCH, LONGEST_QUEUE, GroupCommit, Outcome
from esc_daemon.vault import Vault

ResultT = TypeVar("ResultT")


class SqlStore:
    """`Store` over SQLAlchemy; made by `open_store` (a file) or `from_image` (memory)."""

    def __init__(
        self,
        connection: Connection,
        *,
        vault: Vault | None = None,
        lock: sqlite.FileLock | None = None,
        on_synced: Callable[[bytes], None] | None = None,
        longest_batch: int = LONGEST_BATCH,
        longest_queue: int = LONGEST_QUEUE,
    ) -> None:
        """
        Take over *connection*, opened with *vault*, and *lock*.

        *on_synced* is called as `from_image` says.
        """
        self._connection = connection
        self._sealing = Sealing(vault)
        self._lock = lock
        self._on_synced = on_synced
        self._open = True
        # Held by one thread at a time anyway, except for `kill`; a hook may kill from within.
        self._busy = RLock()
        # One thread makes SQLite's calls one after the other; it starts with the first of them.
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        self._writer = GroupCommit(
            self._write,
            self._executor,
            longest_batch=longest_batch,
            longest_queue=longest_queue,
        )

    @property
    def writer(self) -> GroupCommit:
        """What writes; it counts."""
        return self._writer

    @classmethod
    def from_image(
        cls,
        image: bytes | None = None,
        *,
        vault: Vault | None = None,
        on_synced: Callable[[bytes], None] | None = None,
        longest_batch: int = LONGEST_BATCH,
        longest_queue: int = LONGEST_QUEUE,
    ) -> Self:
        """
        Return a store in memory that begins as *image*, None for an empty one.

        *on_synced* gets the whole database after each COMMIT, before anybody learns of it: what
        it got last is what a power failure leaves.

        Raises:
            StoreSealed: *image* is sealed by another key than that of *vault*.

        """
        return cls(
            sqlite.open_image(sqlite.fresh_image() if image is None else image, vault),
            vault=vault,
            on_synced=on_synced,
            longest_batch=longest_batch,
            longest_queue=longest_queue,
        )

    async def commit(
        self,
        steps: Sequence[Step],
        entries: Sequence[EntryChange] = (),
        *,
        time: datetime,
        undo: Sequence[Undo] | None = None,
    ) -> Sequence[LoggedEvent]:
        """Write all or nothing (see `Store.commit`)."""
        job = job_of(steps, entries, undo, time, self._sealing)
        if not job.pieces and not job.events:
            return ()
        first = await self._writer.submit(job)
        moment = time.astimezone(UTC)
        events = (event for step in steps for event in step.events)
        return [
            LoggedEvent(seq=seq, time=moment, event=event)
            for seq, event in enumerate(events, first)
        ]

    async def load(self) -> AsyncIterator[Record]:
        """Give every record, in the order of the keys."""
        place = reader.START
        while True:
            records, place = await self._call(
                partial(reader.records_after, sealing=self._sealing, place=place)
            )
            if not records:
                return
            for record in records:
                yield record

    async def events(
        self, *, after: int, limit: int, stream: Stream, since: datetime | None = None
    ) -> Sequence[LoggedEvent]:
        """Return up to *limit* events of *stream* numbered above *after*, not before *since*."""
        return await self._call(
            lambda connection: event_log.read(connection, after, limit, stream, since)
        )

    async def last_event(self) -> int:
        """Return the number of the newest event, 0 before the first."""
        return await self._call(last_seq)

    async def entries(self) -> Sequence[Entry]:
        """Return the running configuration in the order of the document."""
        return await self._call(partial(reader.all_entries, sealing=self._sealing))

    async def undo(self) -> Sequence[Undo]:
        """Return what was noted to go back to, in the order in which it was noted."""
        return await self._call(partial(reader.all_undo, sealing=self._sealing))

    async def trim(self, *, keep_events: int, before: datetime | None = None) -> int:
        """Forget old events and return how many went (see `Store.trim`)."""
        gone = 0
        work = partial(event_log.cut, keep_events=keep_events, before=before)
        while cut := await self._call(work, writes=True):
            gone += cut
        return gone

    async def close(self) -> None:
        """Finish what was accepted, then let go of the database; twice is no error."""
        await self._writer.close()
        if self._open:
            self._open = False
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._executor, sqlite.shut, self._connection)
            self._let_go()

    def kill(self) -> None:
        """Let go of the database as a crash does, for simulations: who waits is cancelled."""
        with self._busy:  # SQLite does not bear to be closed under a thread that is at work
            if self._open:
                self._open = False
                self._writer.abandon()
                sqlite.shut(self._connection)
                self._let_go()

    def _let_go(self) -> None:
        self._executor.shutdown(wait=False)
        if self._lock is not None:
            self._lock.release()

    async def _call(
        self, work: Callable[[Connection], ResultT], *, writes: bool = False
    ) -> ResultT:
        """Run *work* on the writer's thread in a transaction of its own."""
        self._check_open()
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self._executor, partial(self._in_transaction, work, writes=writes)
        )

    def _in_transaction(self, work: Callable[[Connection], ResultT], *, writes: bool) -> ResultT:
        with self._busy:
            self._check_open()
            try:
                with self._connection.begin():
                    result = work(self._connection)
            except sqlite.FAILURES as error:
                raise sqlite.translated(error) from error
            if writes:
                self._synced()
            return result

    def _write(self, jobs: Sequence[Job]) -> Sequence[Outcome]:
        with self._busy:
            self._check_open()
            try:
                outcomes = write_batch(self._connection, jobs)
            except sqlite.FAILURES as error:
                raise sqlite.translated(error) from error
            self._synced()
            return outcomes

    def _check_open(self) -> None:
        if not self._open:
            raise StoreClosed("the store is closed; nothing was read or written")

    def _synced(self) -> None:
        if self._on_synced is not None:
            self._on_synced(sqlite.image_of(self._connection))


async def open_store(
    path: Path | None, *, vault: Vault | None = None, longest_queue: int = LONGEST_QUEUE
) -> SqlStore:
    """
    Open the store in the file *path*, None for one in memory; make or migrate it as needed.

    What clients configured is sealed by *vault*, also what an earlier version left; None: it
    stays as it is, which is for simulations.

    Raises:
        StoreInUse: Another daemon has it.
        StoreTooNew: A newer version wrote it.
        StoreSealed: It is sealed by another key than that of *vault*.
        StoreBroken: It cannot be opened.

    """
    if path is None:
        return SqlStore.from_image(vault=vault, longest_queue=longest_queue)
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(None, _open, path, vault, longest_queue)


def _open(path: Path, vault: Vault | None, longest_queue: int) -> SqlStore:
    lock = sqlite.FileLock(path.with_name(f"{path.name}.lock"))
    try:
        connection = sqlite.open_file(path, vault)
    except BaseException:
        lock.release()
        raise
    return SqlStore(connection, vault=vault, lock=lock, longest_queue=longest_queue)
