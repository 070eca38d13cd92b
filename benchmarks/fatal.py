"""
The daemon, which kills itself (SIGKILL) at a boundary of a step.

CHAOS_BOUNDARY names the boundary. It dies there at the CHAOS_NTH step, or, once a quarter of these
came by, at one of a kind that CHAOS_KNOWN does not have (names with commas in between), and writes
before that of which kinds the step was to the file CHAOS_TOLD. Without CHAOS_BOUNDARY it is
`python -m esc_daemon`. The product knows nothing of this: what stands at a boundary is wrapped from
outside.
"""

import os
import signal
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from enum import StrEnum
from functools import wraps
from pathlib import Path
from typing import Any

from sqlalchemy import Engine as SqlEngine
from sqlalchemy import event

from esc_daemon.__main__ import main
from esc_daemon.engine.broadcast import Broadcast
from esc_daemon.engine.engine import Engine
from esc_daemon.store.base import LoggedEvent
from esc_daemon.store.store import SqlStore
from esc_daemon.vim.simulator.client import RemoteSimulator

LOOKS = frozenset({"answers", "check", "measured", "servers"})
"""Calls that are no step of anything: they look, again and again."""


class Boundary(StrEnum):
    """Where a step may be cut, in the order in which one comes to them."""

    BEFORE_COMMIT = "before the commit"
    IN_COMMIT = "written, not committed"
    AFTER_COMMIT = "committed, not seen"
    BEFORE_PUBLISH = "seen, not told"
    AFTER_PUBLISH = "told, not answered"
    BEFORE_CALL = "before a VIM call"
    AFTER_CALL = "VIM answered, not told"
    RESTORING = "taking up records"


class Fuse:
    """Burns at a chosen boundary, once."""

    def __init__(
        self, boundary: Boundary, nth: int, told: Path, known: Collection[str] = ()
    ) -> None:
        self._boundary = boundary
        self._left = nth
        self._soon = nth * 3 // 4
        self._told = told
        self._known = frozenset(known)

    def at(self, boundary: Boundary, kinds: Collection[str]) -> None:
        """Die here if this is the place and the time; what has no *kinds* is no step."""
        if boundary is not self._boundary or not kinds:
            return
        self._left -= 1
        is_new = self._left <= self._soon and not self._known.issuperset(kinds)
        if is_new or self._left <= 0:
            self._told.write_text(",".join(kinds))
            os.kill(os.getpid(), signal.SIGKILL)


Kinds = Callable[..., Collection[str]]
"""Says by the arguments of a call of what kinds the step is that it does."""


def _around(
    fuse: Fuse, method: tuple[Any, str], before: Boundary | None, after: Boundary, kinds: Kinds
) -> None:
    """Let *fuse* burn before and after a coroutine method (class, name), also where that raises."""
    inner: Callable[..., Awaitable[Any]] = getattr(*method)

    @wraps(inner)
    async def outer(self: Any, *args: Any, **more: Any) -> Any:
        step = kinds(*args, **more)
        if before is not None:
            fuse.at(before, step)
        try:
            return await inner(self, *args, **more)
        finally:
            fuse.at(after, step)

    setattr(*method, outer)


def _stored(steps: Sequence[Any], entries: Sequence[Any] = (), **_: Any) -> Collection[str]:
    """The events that a commit writes."""
    told = {each.type.value for step in steps for each in step.events}
    return told or {"entries alone" if entries and not steps else "nothing told"}


def _edited(told: Sequence[tuple[Any, Any]], _: Any) -> Collection[str]:
    """What an edit changes or removes."""
    return {f"{'' if it.intent else 'no '}{key.kind.value}" for key, it in told}


def _asked(told: Mapping[Any, Any]) -> Collection[str]:
    """What an action or a leftover's end asks for."""
    return {type(trigger).__name__ for trigger in told.values()}


def _called(verb: Any, *_: Any) -> Collection[str]:
    return () if verb.name in LOOKS else (verb.name,)


def _around_publish(fuse: Fuse) -> None:
    publish = Broadcast.publish

    def outer(self: Broadcast, events: Sequence[LoggedEvent]) -> None:
        fuse.at(Boundary.BEFORE_PUBLISH, {each.event.type.value for each in events})
        publish(self, events)

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

    def state(record: Any) -> str:
        return getattr(record, "state", type(record).__name__)

    @wraps(follow)
    def followed(self: Engine, box: Any) -> None:
        if starting:
            fuse.at(Boundary.RESTORING, {state(box.record)})
        follow(self, box)

    @wraps(tell)
    def told(self: Engine, key: Any, trigger: Any) -> None:
        if starting:
            fuse.at(Boundary.RESTORING, {state(self.record(key))})
        tell(self, key, trigger)

    Engine.restore = restored  # type: ignore[method-assign]
    Engine._follow = followed  # type: ignore[method-assign]  # noqa: SLF001  as above
    Engine.tell = told  # type: ignore[method-assign]


def lay(fuse: Fuse) -> None:
    """Wrap what stands at the boundaries."""
    event.listen(
        SqlEngine, "commit", lambda _: fuse.at(Boundary.IN_COMMIT, ("transaction",))
    )  # before COMMIT
    commit, call = (SqlStore, "commit"), (RemoteSimulator, "_call")
    _around(fuse, commit, Boundary.BEFORE_COMMIT, Boundary.AFTER_COMMIT, _stored)
    _around_publish(fuse)
    for asked, kinds in (("_taken", _edited), ("_told_at_once", _asked)):
        _around(fuse, (Engine, asked), None, Boundary.AFTER_PUBLISH, kinds)
    _around(fuse, call, Boundary.BEFORE_CALL, Boundary.AFTER_CALL, _called)
    _while_restoring(fuse)


def be_the_daemon() -> None:
    """Run the command line of this process; leaves by SystemExit, or by its own SIGKILL."""
    if "CHAOS_BOUNDARY" in os.environ:
        known = os.environ["CHAOS_KNOWN"].split(",")
        told = Path(os.environ["CHAOS_TOLD"])
        lay(Fuse(Boundary(os.environ["CHAOS_BOUNDARY"]), int(os.environ["CHAOS_NTH"]), told, known))
    main()
