"""What the engine is asked to take: configuration entries and what they are to mean."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from esc_daemon.domain.advance.connector import presumed_well
from esc_daemon.domain.changed import replace
from esc_daemon.domain.ids import Key, Kind
from esc_daemon.domain.intent import Intent
from esc_daemon.domain.record import ConnectorRecord
from esc_daemon.domain.step import Step
from esc_daemon.store.base import EntryChange, Undo

_CONNECTOR_KINDS: Final = frozenset({Kind.VIM_CONNECTOR, Kind.DEFAULT_VIM_CONNECTOR})


@dataclass(kw_only=True, slots=True, frozen=True)
class Change:
    """One configuration entry with an activation: what it is to mean from now on."""

    key: Key
    intent: Intent | None


@dataclass(kw_only=True, slots=True, frozen=True)
class Edit:
    """An accepted edit: the records that it touches and the entries that it writes."""

    changes: tuple[Change, ...]
    entries: tuple[EntryChange, ...] = ()
    undo: Sequence[Undo] | None = None
    """What a confirmed commit would go back to from now on; None leaves that as it is."""
    on_committed: Callable[[], None] = field(default=lambda: None)
    """Called once it is durable, before anybody is told: what it changed is readable then."""
    told: bool = True
    """False: no event tells of it, and its connectors count as working until a check fails."""

    @property
    def moves_connectors(self) -> bool:
        """Tell whether it changes which VIM connectors there are, or which is the default."""
        return any(change.key.kind in _CONNECTOR_KINDS for change in self.changes)


def untold(step: Step) -> Step:
    """Leave the events of *step* out, and presume of a connector that it works."""
    record = step.record
    if isinstance(record, ConnectorRecord):
        record = presumed_well(record)
    return replace(step, record=record, events=())


def numbered(step: Step) -> Step:
    """Give the record its next revision, which the store holds against what it has."""
    if step.record is None:
        return step
    revision = (step.before.revision if step.before else 0) + 1
    epoch = step.before.epoch if step.before else 0
    record = replace(step.record, revision=revision, epoch=epoch)
    return Step(key=step.key, before=step.before, record=record, events=step.events)
