"""The store of the simulation: its disk may be full or broken, and what it takes is looked at."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Engine, event

from esc_daemon.domain.step import Step
from esc_daemon.store.base import EntryChange, LoggedEvent, StoreError, Undo
from esc_daemon.store.store import SqlStore
from tests.simulation.acts import Acts
from tests.simulation.homes import Homes
from tests.simulation.kinds import Kinds
from tests.simulation.loop import INCARNATION
from tests.simulation.operators import Operator
from tests.simulation.order import Order
from tests.simulation.probes import Probes
from tests.simulation.scripts import Scripts
from tests.simulation.story import Lives

_COMPILED: Final[dict[Any, Any]] = {}
_DIALECTS: Final[list[Any]] = []


def _share_compiled(connection: Connection) -> None:
    """
    Let all stores of simulations have one dialect, and with it one cache of compiled statements.

    Each start opens a database of its own, for which every statement would be compiled anew.
    """
    if INCARNATION.get() is not None:
        if not _DIALECTS:
            _DIALECTS.append(connection.dialect)
        connection.dialect = _DIALECTS[0]
        connection.execution_options(compiled_cache=_COMPILED)


event.listen(Engine, "engine_connect", _share_compiled)


BEGAN: Final = datetime(2026, 1, 1, tzinfo=UTC)
"""The world's time at the beginning."""


class SharedStore(SqlStore):
    """A store in memory: what is compiled for one is not compiled again for the next."""


class FlakyStore(SharedStore):
    """A store whose disk is full now and then, or breaks."""

    trouble: Callable[[], StoreError | None]
    order: Order
    homes: Homes
    kinds: Kinds
    lives: Lives
    acts: Acts
    operator: Operator
    probes: Probes
    scripts: Scripts

    async def commit(
        self,
        steps: Sequence[Step],
        entries: Sequence[EntryChange] = (),
        *,
        time: datetime,
        undo: Sequence[Undo] | None = None,
    ) -> Sequence[LoggedEvent]:
        if trouble := self.trouble():
            raise trouble
        self.probes.stored(steps)
        world_time = BEGAN + timedelta(seconds=asyncio.get_running_loop().time())
        self.order.note(steps, time, world_time)
        self.operator.note(steps)  # before: whether it was committed a kill may hide
        logged = await super().commit(steps, entries, time=time, undo=undo)
        self.kinds.note(steps)
        self.acts.note(steps)
        self.scripts.note(steps)
        self.homes.note(steps)  # not of what came after the store was closed
        self.lives.note([step.record for step in steps if step.record is not None])
        return logged
