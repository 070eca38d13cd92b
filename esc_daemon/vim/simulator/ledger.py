"""The rows of a cloud, the ids they get, and the journal they go to."""

import random
from collections.abc import Iterable, Sequence
from typing import Final, Protocol

from esc_daemon.domain.ids import named_uuid
from esc_daemon.vim.simulator.rows import Change, CountersRow, Gone, Row

# So that the counters are written once for so many ids, not once for each.
_RESERVE: Final = 1000

MOMENT: Final = 1e-6
"""Two moments nearer than this (seconds) are the same: sums of floats are not exact."""


class Journal(Protocol):
    """Where changes go before the cloud answers."""

    @property
    def is_long(self) -> bool:
        """Whether it is worth writing the whole state anew."""
        ...

    def write(self, changes: Sequence[Change]) -> None:
        """Make *changes* survive this process; OSError when that fails."""
        ...

    def rewrite(self, rows: Iterable[Row]) -> None:
        """Put *rows* in the place of all that was written; OSError when that fails."""
        ...


class Ledger:
    """All rows by id; ids follow from the seed and a serial number, never from chance."""

    def __init__(self, seed: int, journal: Journal | None = None) -> None:
        self.rows: dict[str, Row] = {}
        self.counters = CountersRow()
        self.fresh: list[Row] = []
        """What came since somebody cleared this."""
        self._namespace = random.Random(seed).getrandbits(128).to_bytes(16)  # noqa: S311 - no secret
        self._serial = 0
        self._journal = journal
        self._changes: list[Change] = []
        self._behind = False

    def serial(self) -> int:
        """Return a number that no row ever had."""
        self._serial += 1
        if self._serial >= self.counters.reserved:
            self.counters.reserved = self._serial + _RESERVE
            self.put(self.counters)
        return self._serial

    def new_id(self) -> str:
        """Return a uuid that no row ever had."""
        return self.named_id(f"serial {self.serial()}")

    def named_id(self, name: str) -> str:
        """Return the uuid that *name* has in this cloud."""
        return named_uuid(self._namespace, name)

    def put(self, row: Row) -> None:
        """Remember *row* as it is now."""
        if row.id not in self.rows:
            self.fresh.append(row)
        self.rows[row.id] = row
        if self._journal is not None:
            self._changes.append(row)

    def drop(self, row: Row) -> None:
        """Forget *row*."""
        del self.rows[row.id]
        if self._journal is not None:
            self._changes.append(Gone(id=row.id))

    def restore(self, rows: Iterable[Row]) -> None:
        """Take over what a journal kept."""
        for row in rows:
            self.rows[row.id] = row
            if isinstance(row, CountersRow):
                self.counters = row
                self._serial = row.reserved

    def commit(self) -> None:
        """Hand the changes since the last time to the journal; OSError when it cannot."""
        if self._journal is None or not self._changes:
            return
        changes, self._changes = self._changes, []
        if self._behind or self._journal.is_long:
            self._behind = True
            self._journal.rewrite(self.rows.values())
            self._behind = False
            return
        try:
            self._journal.write(changes)
        except OSError:
            # The whole state makes up for it: changes must not pile up while a disk is full.
            self._behind = True
            raise
