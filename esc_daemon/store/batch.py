"""
One batch of commits in one transaction; a stale one fails alone.

At first all rows of a statement go together. Only if some row is not as its step expected is the
batch taken back and written commit by commit, each in a savepoint.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import chain
from typing import Final

from sqlalchemy import Connection, func, select
from sqlalchemy.dialects import registry

from esc_daemon.domain.ids import Key
from esc_daemon.store.base import StaleEpoch, StoreBroken, StoreError
from esc_daemon.store.rows import INSERT_EVENT, Job, Piece, Row, Statement, Version
from esc_daemon.store.tables import EVENTS, RECORDS

_NEWEST: Final = Statement(select(func.max(EVENTS.c.seq)), (), exact=False)
_MOST_ROWS: Final = 64
"""Rows of one statement; eight values each are far from what SQLite takes (32,766)."""


class _Mismatch(Exception):
    """A row was not as a step expected."""


def write_batch(connection: Connection, jobs: Sequence[Job]) -> list[int | StoreError]:
    """
    Write *jobs* in their order and commit.

    Returns for each job the number of its first event (or that the next event will have), or why
    it alone was not written. Any other error means that no job was.
    """
    try:
        with connection.begin():
            return _write_together(connection, jobs)
    except _Mismatch:
        with connection.begin():
            return _write_one_by_one(connection, jobs)


def last_seq(connection: Connection) -> int:
    """Return the number of the newest event, 0 before the first."""
    # Past SQLAlchemy, as `_execute`: it is asked for each batch.
    cursor = connection.connection.cursor()
    try:
        cursor.execute(_compiled(_NEWEST, _dialect_of(connection)))
        (newest,) = cursor.fetchone() or (None,)
    finally:
        cursor.close()
    return newest or 0


def _write_together(connection: Connection, jobs: Sequence[Job]) -> list[int | StoreError]:
    seq = last_seq(connection) + 1
    numbers: list[int | StoreError] = []
    events: list[Row] = []
    for job in jobs:
        numbers.append(seq)
        events.extend((number, *row) for number, row in enumerate(job.events, seq))
        seq += len(job.events)
    _write_pieces(connection, (piece for job in jobs for piece in job.pieces))
    if events:
        _execute(connection, INSERT_EVENT, events)
    return numbers


def _write_one_by_one(connection: Connection, jobs: Sequence[Job]) -> list[int | StoreError]:
    outcomes: list[int | StoreError] = []
    for job in jobs:
        try:
            with connection.begin_nested():
                outcomes.extend(_write_together(connection, [job]))
        except _Mismatch:
            outcomes.append(_reason(connection, job.pieces))
    return outcomes


def _write_pieces(connection: Connection, pieces: Iterable[Piece]) -> None:
    """Write *pieces*; rounds keep what touches one place in order."""
    waiting: dict[Statement, list[Row]] = {}
    places: set[tuple[object, ...]] = set()
    for piece in pieces:
        if piece.place in places:
            _flush(connection, waiting)
            waiting.clear()
            places.clear()
        places.add(piece.place)
        for statement, row in piece.rows:
            waiting.setdefault(statement, []).append(row)
    _flush(connection, waiting)


def _flush(connection: Connection, waiting: dict[Statement, list[Row]]) -> None:
    for statement, rows in waiting.items():
        _execute(connection, statement, rows)


def _execute(connection: Connection, statement: Statement, rows: list[Row]) -> None:
    # Past SQLAlchemy: Core's executemany makes a dictionary for each row and takes it apart again,
    # and what `exec_driver_sql` puts around the driver's costs as much as five rows.
    name = _dialect_of(connection)
    cursor = connection.connection.cursor()
    changed = 0
    try:
        if statement.repeats:
            for some in _parted(rows):
                cursor.execute(_repeated(statement, name, len(some)), list(chain(*some)))
                changed += cursor.rowcount
        else:
            cursor.executemany(_compiled(statement, name), rows)
            changed = cursor.rowcount
    except connection.dialect.loaded_dbapi.IntegrityError as error:
        raise _Mismatch from error
    finally:
        cursor.close()
    if statement.exact and changed != len(rows):
        raise _Mismatch


def _dialect_of(connection: Connection) -> str:
    return f"{connection.dialect.name}.{connection.dialect.driver}"


def _parted(rows: list[Row]) -> Iterator[list[Row]]:
    """Yield *rows* in a few sizes, so that there are few texts of statements."""
    at = 0
    while left := len(rows) - at:
        size = min(_MOST_ROWS, 1 << (left.bit_length() - 1))
        yield rows[at : at + size]
        at += size


@cache
def _repeated(statement: Statement, dialect: str, times: int) -> str:
    """
    Return the text of an insert for so many rows.

    Each statement that SQLite takes lets go of the interpreter's lock and has to get it back.
    """
    sql = _compiled(statement, dialect)
    _, found, values = sql.rpartition(" VALUES ")
    if not found:
        raise StoreError(f"not an insert of values: {sql}")
    return sql + f", {values}" * (times - 1)


@cache
def _compiled(statement: Statement, dialect: str) -> str:
    compiled = statement.clause.compile(dialect=registry.load(dialect)())
    order = tuple(getattr(compiled, "positiontup", None) or ())
    if order != statement.parameters:
        raise StoreError(f"the values of a statement stand in another order: {order}")
    return str(compiled)


def _reason(connection: Connection, pieces: Sequence[Piece]) -> StoreError:
    """Tell which record of *pieces*, none of which is written, is not as expected."""
    versions: dict[tuple[object, ...], Version | None] = {}
    for piece in pieces:
        if piece.key is None:
            continue
        if piece.place not in versions:
            versions[piece.place] = _version(connection, piece.key)
        found = versions[piece.place]
        if found != piece.expected:
            return StaleEpoch(piece.key, _told(piece.expected), _told(found))
        versions[piece.place] = piece.written
    return StoreBroken(
        "a record's rows do not fit together; stop the daemon and restore the database"
        " from a backup"
    )


def _version(connection: Connection, key: Key) -> Version | None:
    row = connection.execute(
        select(RECORDS.c.revision, RECORDS.c.epoch).where(
            RECORDS.c.kind == key.kind.value,
            RECORDS.c.tenant == (key.tenant or ""),
            RECORDS.c.name == key.name,
        )
    ).one_or_none()
    return None if row is None else (row.revision, row.epoch)


def _told(version: Version | None) -> str:
    return "no record" if version is None else f"revision {version[0]} of epoch {version[1]}"
