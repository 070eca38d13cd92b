"""
A loop for deterministic simulation: virtual time, seeded order, and death at any await.

Everything that is ready at one moment runs in an order that the seed decides. A handle whose
context belongs to a dead incarnation never runs: that is what a kill is, since tasks, timers
and callbacks are all handles that carry the context they were made in.
"""

import asyncio
import contextvars
from asyncio.base_events import BaseEventLoop
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from random import Random
from typing import Any, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
INCARNATION: contextvars.ContextVar["Incarnation | None"] = contextvars.ContextVar(
    "incarnation", default=None
)


class Incarnation:
    """One life of the daemon."""

    def __init__(self) -> None:
        self.dead = False


class Deadlock(Exception):
    """Nothing is ready and nothing is scheduled, yet somebody waits."""


class _Clock:
    """Stands in for the selector: waiting is jumping."""

    def __init__(self, loop: "SimulationLoop") -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> list[Any]:
        if timeout is None:
            raise Deadlock("nothing is ready and nothing is scheduled")
        self._loop.advance(timeout)
        return []


class SimulationLoop(BaseEventLoop):
    _ready: deque[asyncio.Handle]
    _scheduled: list[asyncio.TimerHandle]

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.random = Random(seed)
        self._now = 0.0
        self._selector = _Clock(self)
        self._clock_resolution = 1e-9
        self.steps = 0

    def time(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        self._now += max(seconds, 0.0)

    def _check_closed(self) -> None:
        """What is left of a dead daemon may still tidy itself away when it is collected."""

    def _process_events(self, event_list: list[Any]) -> None:
        pass

    def _write_to_self(self) -> None:
        pass

    def bury(self, life: Incarnation) -> None:
        """Let nothing of *life* run any more, not even what is ready now."""
        life.dead = True
        for handle in (*self._scheduled, *self._ready):
            if not handle._cancelled and _is_dead(handle):
                handle.cancel()

    def _run_once(self) -> None:
        self.steps += 1
        ready = [handle for handle in self._ready if not _is_dead(handle)]
        if len(ready) > 1:
            self.random.shuffle(ready)
        self._ready.clear()
        self._ready.extend(ready)
        super()._run_once()  # type: ignore[misc]  # not in its stubs

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts
    ) -> "asyncio.Future[T]":
        """The work runs a little later in this very thread; a kill may come before or after."""
        answer: asyncio.Future[T] = self.create_future()

        def work() -> None:
            try:
                result = func(*args)
            except BaseException as error:  # noqa: BLE001  whatever it is, it is the caller's
                self.call_later(self.random.uniform(0, 0.002), _fail, answer, error)
            else:
                self.call_later(self.random.uniform(0, 0.002), _succeed, answer, result)

        self.call_later(self.random.uniform(0, 0.003), work)
        return answer


def _is_dead(handle: asyncio.Handle) -> bool:
    context: contextvars.Context | None = getattr(handle, "_context", None)
    life = context.get(INCARNATION) if context is not None else None
    return life is not None and life.dead


def _succeed(answer: "asyncio.Future[Any]", result: Any) -> None:
    if not answer.done():
        answer.set_result(result)


def _fail(answer: "asyncio.Future[Any]", error: BaseException) -> None:
    if not answer.done():
        answer.set_exception(error)


def unhandled(problems: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return those of *problems* that are none of a task which died with its daemon."""
    return [each for each in problems if not _of_the_dead(each)]


def _of_the_dead(context: dict[str, Any]) -> bool:
    return "was destroyed but it is pending" in str(context.get("message"))
