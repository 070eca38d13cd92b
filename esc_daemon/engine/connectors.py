"""The VIM connectors that are configured: what an edit may do to them, and in them."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from functools import partial
from typing import Final

from esc_daemon.domain.connectors import (
    Connectors,
    check_connectors,
    check_creations,
    check_locators,
    check_migrations,
    connector_key,
    homes,
)
from esc_daemon.domain.errors import Node, Refused
from esc_daemon.domain.ids import Key, VimId
from esc_daemon.domain.intent import VimConnector
from esc_daemon.domain.leftovers import outlived
from esc_daemon.domain.record import ConnectorRecord, Record
from esc_daemon.domain.specs import VimStatus
from esc_daemon.domain.step import Step
from esc_daemon.domain.triggers import LeftoversRetried, Trigger, VimDoubted
from esc_daemon.engine.edit import Change, Edit
from esc_daemon.engine.turns import SharedTurn
from esc_daemon.engine.vims import Vims
from esc_daemon.vim.base import BadConnector

_TYPE: Final = (Node("type"),)


class ConnectorGuard:
    """Knows the connectors as they were last committed, and keeps the drivers up with them."""

    def __init__(
        self,
        vims: Vims,
        record: Callable[[Key], Record | None],
        records: Callable[[], Iterable[Record]],
        tell: Callable[[Key, Trigger], None],
    ) -> None:
        self._vims = vims
        self._record = record
        self._records = records
        self._tell = tell
        self._there = Connectors()
        self._turn = SharedTurn()
        vims.back = self._may_be_back

    def take(self, records: Iterable[Record]) -> None:
        """Take up what was stored: there is a driver before anything is asked of a VIM."""
        self._moved((record.key, record) for record in records)

    def records(self) -> list[ConnectorRecord]:
        """Return the records of the connectors that there are."""
        found = (self._record(connector_key(vim)) for vim in self._there.intents)
        return [record for record in found if isinstance(record, ConnectorRecord)]

    def wanted(self, *, fresh: bool) -> bool:
        """Tell whether there is no connector though one is needed, or nothing yet (*fresh*)."""
        if self._there.intents:
            return False
        records = tuple(self._records())
        unnamed = (home for record in records for home in homes(record) if not home.vim)
        return any(unnamed) or (fresh and not records)

    def committed(self, steps: Sequence[Step]) -> None:
        """Follow what was just committed."""
        self._moved((step.key, step.record) for step in steps)
        for step in steps:
            if _is_back(step):
                self._fence(VimId(step.key.name))

    def _fence(self, vim: VimId) -> None:
        """Let what has moved away from *vim* while it was dead be removed there now."""
        for record in self._records():
            if servers := outlived(record, vim):
                self._tell(record.key, LeftoversRetried(subjects=servers))

    def _moved(self, records: Iterable[tuple[Key, Record | None]]) -> None:
        there = self._there
        for key, record in records:
            there = there.after(key, record.intent if record is not None else None)
        if there != self._there:
            self._there = there
            self._vims.follow(there)

    def turn(self, edit: Edit) -> AbstractAsyncContextManager[None]:
        """Return the turn that *edit* needs: no connector goes while a thing is placed in it."""
        return self._turn.alone() if edit.moves_connectors else self._turn.shared()

    def after(self, edit: Edit) -> Connectors:
        """Return the connectors as *edit* leaves them: those count as there (ruling 14)."""
        there = self._there
        for change in edit.changes:
            there = there.after(change.key, change.intent)
        return there

    def check(self, edit: Edit, steps: Mapping[Key, Step]) -> None:
        """
        Refuse what cannot be made where it is wanted, and what would cut off what is there.

        A connector for which it is refused since it does not work is checked at once, so that the
        same edit is taken as soon as that has found the VIM back.

        *steps* are those that *edit* means, by their records.

        Raises:
            Refused: *key* is that of the record that cannot take it.

        """
        if edit.moves_connectors:
            self._check_types(edit.changes)
        after = self.after(edit)
        check_migrations(steps.values(), after, self._vims.migrates)
        check_creations(steps.values(), after, lambda vim: self._problem(vim, steps))
        if edit.moves_connectors:
            left = partial(self._left, steps)
            check_connectors(self._there, after, left, self._vims.needs_users)

    @contextmanager
    def absent_first(self, edit: Edit) -> Iterator[None]:
        """
        Say of an *edit* that a record refuses that a connector which it names is not there.

        A move to nowhere would else be refused for what a move from here takes.

        Raises:
            Refused: There is none; *key* and *below* lead to the locator.

        """
        try:
            yield
        except Refused:
            check_locators(((each.key, each.intent) for each in edit.changes), self.after(edit))
            raise

    def _left(self, steps: Mapping[Key, Step]) -> Iterable[Record]:
        """Return all records as they are once *steps* are taken; there may be very many."""
        left = {record.key: record for record in self._records()}
        for key, step in steps.items():
            left.pop(key, None)
            if step.record is not None:
                left[key] = step.record
        return left.values()

    def _problem(self, vim: VimId, steps: Mapping[Key, Step]) -> str:
        key = connector_key(vim)
        record = steps[key].record if key in steps else self._record(key)
        if not isinstance(record, ConnectorRecord):
            return ""
        if record.status in {None, VimStatus.CONNECTION_SUCCESSFUL}:
            return ""
        self._may_be_back(vim)
        return record.message

    def _may_be_back(self, vim: VimId) -> None:
        self._tell(connector_key(vim), VimDoubted(back=True))

    def _check_types(self, changes: Sequence[Change]) -> None:
        for change in changes:
            if isinstance(change.intent, VimConnector):
                try:
                    self._vims.check(change.intent)
                except BadConnector as error:
                    below = _property(error.property_name) if error.property_name else _TYPE
                    raise Refused(
                        "invalid-value", str(error), key=change.key, below=below
                    ) from error


def _is_back(step: Step) -> bool:
    """
    Tell whether *step* found a VIM that could not be used to work again.

    What was told last survives an edit of the connector, by which that may have come.
    """
    before, after = step.before, step.record
    if not (isinstance(before, ConnectorRecord) and isinstance(after, ConnectorRecord)):
        return False
    well = VimStatus.CONNECTION_SUCCESSFUL
    return before.told is not None and before.told is not well and after.told is well


def _property(name: str) -> tuple[Node, ...]:
    return Node("properties"), Node("property", name), Node("value")
