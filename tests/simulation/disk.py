"""The store of the simulation: its disk may be full or broken, and what it takes is looked at."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from esc_daemon.domain.step import Step
from esc_daemon.store.base import EntryChange, LoggedEvent, StoreError, Undo
from esc_daemon.store.store import SqlStore
from tests.simulation.homes import Homes
from tests.simulation.kinds import Kinds
from tests.simulation.order import Order
from tests.simulation.probes import Probes
from tests.simulation.story import Lives


class FlakyStore(SqlStore):
    """A store whose disk is full now and then, or breaks."""

    trouble: Callable[[], StoreError | None]
    order: Order
    homes: Homes
    kinds: Kinds
    lives: Lives
    probes: Probes
    ahead: timedelta
    """By how much the daemon's clock is before the world's."""

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
        self.order.note(steps, time, self.ahead)
        logged = await super().commit(steps, entries, time=time, undo=undo)
        self.kinds.note(steps)
        self.homes.note(steps)  # not of what came after the store was closed
        self.lives.note([step.record for step in steps if step.record is not None])
        return logged
