"""
Group commit: what waits is written together.

While one batch is on its way to the disk the next gathers, so the cost of a sync is shared by all
who came meanwhile. Everything runs through `loop.run_in_executor`: a loop with virtual time sees
it, and a simulated one can run it in place.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from time import perf_counter
from typing import Final

from esc_daemon.histogram import Histogram
from esc_daemon.store.base import StoreBroken, StoreClosed, StoreError
from esc_daemon.store.rows import Job

LONGEST_BATCH: Final = 512
LONGEST_QUEUE: Final = 4096
_SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
_SIZES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)

Outcome = int | StoreError
"""The number of a job's first event, or why the job alone was not written."""


@dataclass(slots=True, frozen=True)
class _Waiting:
    job: Job
    outcome: asyncio.Future[int]


class GroupCommit:
    """The queue before the writer; when it is full, `submit` waits for a place."""

    def __init__(
        self,
        write: Callable[[Sequence[Job]], Sequence[Outcome]],
        executor: Executor,
        *,
        longest_batch: int = LONGEST_BATCH,
        longest_queue: int = LONGEST_QUEUE,
    ) -> None:
        """*write* is called on *executor*, one batch at a time."""
        self._write = write
        self._executor = executor
        self._longest_batch = longest_batch
        self._places = asyncio.Semaphore(longest_queue)
        self._queue: deque[_Waiting] = deque()
        self._drain: asyncio.Task[None] | None = None
        self._closed = False
        self.seconds = Histogram(_SECONDS)
        """From handing a batch to the writer to its sync."""
        self.sizes = Histogram(_SIZES)
        """Commits of one batch."""
        self.failed = 0
        """Commits that the database did not take."""
        self.failing = False
        """Whether the last of them was such a one."""

    @property
    def waiting(self) -> int:
        """Return how many commits wait for the next batch."""
        return len(self._queue)

    async def submit(self, job: Job) -> int:
        """
        Return the number of *job*'s first event once it is durable.

        Raises:
            StoreError: It was not written.

        """
        async with self._places:
            if self._closed:
                raise StoreClosed("the store is closed; nothing was written")
            waiting = _Waiting(job, asyncio.get_running_loop().create_future())
            self._queue.append(waiting)
            if self._drain is None:
                self._drain = asyncio.create_task(self._write_all(), name="store.writer")
                self._drain.add_done_callback(self._give_up)
            return await waiting.outcome

    async def close(self) -> None:
        """Refuse what comes from now on and wait until the queue is written."""
        self._closed = True
        if self._drain is not None:
            await asyncio.wait([self._drain])

    def abandon(self) -> None:
        """Refuse what comes from now on and cancel everybody who waits."""
        self._closed = True
        if self._drain is not None and not self._drain.get_loop().is_closed():
            self._drain.cancel()

    async def _write_all(self) -> None:
        while batch := self._next_batch():
            await self._write_one(batch)
        self._drain = None  # at once: who comes now needs a new task

    def _give_up(self, drain: asyncio.Task[None]) -> None:
        """Send those away who wait for a task that was cancelled, perhaps before it began."""
        if self._drain is drain:
            self._drain = None
            for left in self._queue:
                left.outcome.cancel()
            self._queue.clear()

    def _next_batch(self) -> list[_Waiting]:
        """Take the oldest; who was cancelled while waiting is passed over."""
        batch: list[_Waiting] = []
        while self._queue and len(batch) < self._longest_batch:
            waiting = self._queue.popleft()
            if not waiting.outcome.done():
                batch.append(waiting)
        return batch

    async def _write_one(self, batch: list[_Waiting]) -> None:
        loop = asyncio.get_running_loop()
        began = perf_counter()
        try:
            outcomes = await loop.run_in_executor(
                self._executor, self._write, [waiting.job for waiting in batch]
            )
        except asyncio.CancelledError:
            for waiting in batch:
                waiting.outcome.cancel()
            raise
        except Exception as error:  # noqa: BLE001  (whatever it was, those who wait must learn it)
            outcomes = [_own(error) for _ in batch]
        self.seconds.observe(perf_counter() - began)
        self.sizes.observe(len(batch))
        for outcome in outcomes:
            self.failing = isinstance(outcome, StoreBroken)
            self.failed += self.failing
        for waiting, outcome in zip(batch, outcomes, strict=True):
            if waiting.outcome.done():  # cancelled while it was written
                continue
            if isinstance(outcome, int):
                waiting.outcome.set_result(outcome)
            else:
                waiting.outcome.set_exception(outcome)


def _own(error: Exception) -> StoreError:
    """Return one error for one waiter: a shared one would gather everybody's traceback."""
    mine = type(error)(*error.args) if isinstance(error, StoreError) else StoreError(str(error))
    mine.__cause__ = error
    return mine
