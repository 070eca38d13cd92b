"""The store of the simulation: its disk may be full, and what it takes is looked at."""

from collections.abc import Callable, Sequence
from datetime import datetime

from esc_daemon.domain.step import Step
from esc_daemon.store.base import EntryChange, LoggedEvent, StoreFull, Undo
from esc_daemon.store.store import SqlStore
from tests.simulation.homes import Homes
from tests.simulation.order import Order


class FlakyStore(SqlStore):
    """A store whose disk is full now and then."""

    fails: Callable[[], bool]
    order: Order
    homes: Homes

    async def commit(
        self,
        steps: Sequence[Step],
        entries: Sequence[EntryChange] = (),
        *,
        time: datetime,
        undo: Sequence[Undo] | None = None,
    ) -> Sequence[LoggedEvent]:
        if self.fails():
            raise StoreFull("simulated: no room left")
        self.order.note(steps, time)
        self.homes.note(steps)
        return await super().commit(steps, entries, time=time, undo=undo)
