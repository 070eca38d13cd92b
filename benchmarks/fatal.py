"""
The daemon, which kills itself (SIGKILL) at the n-th time that it comes to a boundary of a step.

CHAOS_BOUNDARY names the boundary, CHAOS_NTH the time; else it is `python -m esc_daemon`. The
product knows nothing of this: what stands at a boundary is wrapped from outside.
"""

import os
import signal
from collections.abc import Awaitable, Callable
from enum import StrEnum
from functools import wraps
from typing import Any

from sqlalchemy import Engine as SqlEngine
from sqlalchemy import event

from esc_daemon.__main__ import main
from esc_daemon.engine.broadcast import Broadcast
from esc_daemon.engine.engine import Engine
from esc_daemon.store.store import SqlStore
from esc_daemon.vim.simulator.client import RemoteSimulator


class Boundary(StrEnum):
    """Where a step may be cut, in the order in which one comes to them."""

    BEFORE_COMMIT = "before the commit"
    IN_COMMIT = "written, not committed"
    AFTER_COMMIT = "committed, not seen"
    BEFORE_PUBLISH = "seen, not told"
    AFTER_PUBLISH = "told, edit not answered"
    BEFORE_CALL = "before a VIM call"
    AFTER_CALL = "VIM answered, not told"
    RESTORING = "taking up records"


class Fuse:
    """Burns at the chosen boundary; it is lit once, for this life."""

    def __init__(self, boundary: Boundary, nth: int) -> None:
        self._boundary = boundary
        self._left = nth

    def at(self, boundary: Boundary) -> None:
        """Die here if this is the place and the time."""
        if boundary is not self._boundary:
            return
        self._left -= 1
        if self._left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)


def _around(owner: Any, name: str, before: Callable[[], None], after: Callable[[], None]) -> None:
    """Call *before* and *after* around the coroutine method *name* of the class *owner*."""
    inner: Callable[..., Awaitable[Any]] = getattr(owner, name)

    @wraps(inner)
    async def outer(*args: Any, **more: Any) -> Any:
        before()
        result = await inner(*args, **more)
        after()
        return result

    setattr(owner, name, outer)


def _around_publish(fuse: Fuse) -> None:
    publish = Broadcast.publish

    @wraps(publish)
    def outer(self: Broadcast, logged: Any) -> None:
        if logged:
            fuse.at(Boundary.BEFORE_PUBLISH)
        publish(self, logged)

    Broadcast.publish = outer  # type: ignore[method-assign]


def _while_restoring(fuse: Fuse) -> None:
    """Each record that a start takes up, follows or tells that the daemon is back."""
    restore, follow, tell = Engine.restore, Engine._follow, Engine.tell  # noqa: SLF001  from outside
    starting: set[int] = set()

    @wraps(restore)
    async def restored(self: Engine, *args: Any, **more: Any) -> None:
        starting.add(id(self))
        await restore(self, *args, **more)
        starting.clear()

    def dangerous(inner: Callable[..., None]) -> Callable[..., None]:
        @wraps(inner)
        def outer(self: Engine, *args: Any) -> None:
            if starting:
                fuse.at(Boundary.RESTORING)
            inner(self, *args)

        return outer

    Engine.restore = restored  # type: ignore[method-assign]
    Engine._follow = dangerous(follow)  # type: ignore[method-assign]  # noqa: SLF001  as above
    Engine.tell = dangerous(tell)  # type: ignore[method-assign]


def lay(fuse: Fuse) -> None:
    """Wrap what stands at the boundaries."""

    def at(boundary: Boundary) -> Callable[[], None]:
        return lambda: fuse.at(boundary)

    def nothing() -> None:
        pass

    event.listen(SqlEngine, "commit", lambda _: fuse.at(Boundary.IN_COMMIT))  # before COMMIT
    _around(SqlStore, "commit", at(Boundary.BEFORE_COMMIT), at(Boundary.AFTER_COMMIT))
    _around_publish(fuse)
    _around(Engine, "_taken", nothing, at(Boundary.AFTER_PUBLISH))
    _around(RemoteSimulator, "_call", at(Boundary.BEFORE_CALL), at(Boundary.AFTER_CALL))
    _while_restoring(fuse)


def be_the_daemon() -> None:
    """Run the command line of this process; leaves by SystemExit, or by its own SIGKILL."""
    if "CHAOS_BOUNDARY" in os.environ:
        lay(Fuse(Boundary(os.environ["CHAOS_BOUNDARY"]), int(os.environ["CHAOS_NTH"])))
    main()
