"""Connectors in the simulation: edits of them, and what must hold of them at any moment."""

from collections.abc import Iterable, Mapping, Sequence
from random import Random
from typing import Any

from esc_daemon.domain.connectors import Connectors, connector_key, homes
from esc_daemon.domain.events import EventType
from esc_daemon.domain.ids import DEFAULT_VIM, Key, Kind
from esc_daemon.domain.intent import DefaultVimConnector, VimUser
from esc_daemon.domain.record import ConnectorRecord, Record
from esc_daemon.domain.specs import VimStatus
from esc_daemon.domain.step import Step
from esc_daemon.domain.tell import vim_status_text
from esc_daemon.store.base import LoggedEvent
from tests.connectors import connector
from tests.simulation.clouds import FAR, NEAR

CONNECTOR_KINDS = {Kind.VIM_CONNECTOR, Kind.DEFAULT_VIM_CONNECTOR}
FIRST: Mapping[Key, Any] = {
    connector_key(NEAR): connector(NEAR),
    DEFAULT_VIM: DefaultVimConnector(vim_id=NEAR),
}
WELL = vim_status_text(VimStatus.CONNECTION_SUCCESSFUL)


def any_connector_edit(random: Random) -> dict[Key, Any]:
    """A connector comes, changes or goes, or another one becomes the default."""
    vim = random.choice([NEAR, FAR, FAR])
    roll = random.random()
    if roll < 0.5:
        users = tuple(VimUser(name=name) for name in random.choice(["", "u", "uv"]))
        note = (("note", str(random.randint(1, 2))),)
        return {connector_key(vim): connector(vim, properties=note, users=users)}
    if roll < 0.7:
        return {connector_key(vim): None}
    default = DefaultVimConnector(vim_id=vim)
    return {DEFAULT_VIM: default if roll < 0.95 else None}


class Homes:
    """What was committed last of every record, as far as the commits tell."""

    def __init__(self) -> None:
        self._records: dict[Key, Record] = {}
        self._there = Connectors()
        self.problems: list[str] = []

    @property
    def records(self) -> Iterable[Record]:
        """Return all as they were committed last."""
        return self._records.values()

    def begin(self, records: Iterable[Record]) -> None:
        """Take up what a start finds."""
        self._records = {record.key: record for record in records}
        self._count()
        self._look(self._records.values())

    def note(self, steps: Sequence[Step]) -> None:
        """Learn from a commit, and look whether everything has a connector after it."""
        for step in steps:
            if step.record is None:
                self._records.pop(step.key, None)
            else:
                self._records[step.key] = step.record
        moved = any(step.key.kind in CONNECTOR_KINDS for step in steps)
        if moved:
            self._count()
        self._look(
            self._records.values() if moved else [step.record for step in steps if step.record]
        )

    def _count(self) -> None:
        """Take stock of the connectors that there are."""
        self._there = Connectors()
        for key, record in self._records.items():
            if key.kind in CONNECTOR_KINDS:
                self._there = self._there.after(key, record.intent)

    def _look(self, records: Iterable[Record]) -> None:
        there = self._there
        for record in records:
            for home in homes(record):
                if home.vim not in there.intents:
                    self.problems.append(f"{record.key} {home.what} lives in no VIM: {home.vim!r}")
        if there.named is not None and there.named not in there.intents:
            self.problems.append(f"the default is {there.named}, which there is not")

    def wrong(
        self,
        events: Iterable[LoggedEvent],
        records: Mapping[Key, Record],
        wishes: Mapping[Key, Any],
    ) -> list[str]:
        """
        Return what does not hold of connectors.

        What lived nowhere, connectors that are not as was asked, states that were told twice.
        """
        wrong = list(self.problems)
        for key, wish in wishes.items():
            record = records.get(key)
            if key.kind in CONNECTOR_KINDS and (record and record.intent) != wish:
                wrong.append(f"{key} is {record} and should be {wish}")
        return wrong + self._told_wrong(events, records.values())

    def _told_wrong(self, events: Iterable[LoggedEvent], records: Iterable[Record]) -> list[str]:
        wrong: list[str] = []
        last: dict[str | None, str | None] = {NEAR: WELL}
        for event in (logged.event for logged in events):
            vim = event.vim_connector_id
            match event.type:
                case EventType.CREATE_VIM_CONNECTOR:
                    last[vim] = None
                case EventType.DELETE_VIM_CONNECTOR:
                    del last[vim]
                case EventType.VIM_OPERATIONAL_STATE:
                    if last.get(vim, event.message) == event.message:
                        wrong.append(f"{vim}: {event.message} again, or of no connector")
                    last[vim] = event.message
                case _:
                    pass
        for record in records:
            if isinstance(record, ConnectorRecord) and record.status is not None:
                told = last.get(record.key.name)
                if told != record.message:
                    wrong.append(f"{record.key.name} is {record.status} and told {told}")
        return wrong
