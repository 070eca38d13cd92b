"""The order of kinds of every edit, held against what is committed."""

from collections.abc import Iterable, Sequence

from esc_daemon.domain.ids import Key
from esc_daemon.domain.record import Record
from esc_daemon.domain.step import Step
from tests.order_of_kinds import out_of_turn


class Kinds:
    """What was committed last of every record."""

    def __init__(self) -> None:
        self._records: dict[Key, Record] = {}
        self.problems: list[str] = []

    def begin(self, records: Iterable[Record]) -> None:
        """Take up what a start finds."""
        self._records = {record.key: record for record in records}

    def note(self, steps: Sequence[Step]) -> None:
        """Learn from a commit, and look whether it was the turn of each."""
        for step in steps:
            if step.record is None:
                self._records.pop(step.key, None)
            else:
                self._records[step.key] = step.record
        for step in steps:
            self.problems += out_of_turn(step, self._records)
