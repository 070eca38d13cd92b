"""The answers of the two pure entrances, `advance` and `plan`."""

from dataclasses import dataclass
from datetime import datetime

from esc_daemon.domain.changed import quick
from esc_daemon.domain.commands import Command
from esc_daemon.domain.events import Event
from esc_daemon.domain.ids import Key
from esc_daemon.domain.record import Record


@quick
@dataclass(kw_only=True, slots=True, frozen=True)
class Step:
    """
    One move of one record: committed whole or not at all (law 4).

    *before* None: it begins here. *record* None: it ends here. *record* is *before* (the same
    object): nothing happened, and *events* is empty.
    """

    key: Key
    before: Record | None
    record: Record | None
    events: tuple[Event, ...] = ()

    @property
    def moved(self) -> bool:
        """Tell whether there is anything to commit."""
        return self.record is not self.before or bool(self.events)

    def then(self, later: "Step") -> "Step":
        """Return this step and *later*, which began where this one ended, as one."""
        return Step(
            key=self.key,
            before=self.before,
            record=later.record,
            events=self.events + later.events,
        )


@quick
@dataclass(kw_only=True, slots=True, frozen=True)
class Plan:
    """What is to be done, and when to look again although nothing happened."""

    commands: frozenset[Command]
    wake_at: datetime | None = None
