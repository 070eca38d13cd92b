"""
One batch of commits in one transaction; a stale one fails alone.

At first all rows of a statement go together. Only if some row is not as its step expected is the
batch taken back and written commit by commit, each in a savepoint.
"""

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Final

from sqlalchemy import Connection, func, select
from sqlalchemy.dialects import registry
from sqlalchemy.exc import IntegrityError

from esc_daemon.domain.ids import Key
from esc_daemon.store.base import StaleEpoch, StoreBroken, StoreError
from esc_daemon.store.rows import INSERT_EVENT, Job, Piece, Row, Statement, Version
from esc_daemon.store.tables import EVENTS, RECORDS

_NEWEST: Final = select(func.max(EVENTS.c.seq))


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
    newest: int | None = connection.execute(_NEWEST).scalar()
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
    # Measured (benchmarks/bench_store.py): Core's own executemany costs 2.5 to 3 times as much a
    # row (9.5 us against 3.2), for it makes a dictionary for each and takes it apart again.
    try:
        dialect = connection.dialect
        sql = _compiled(statement, f"{dialect.name}.{dialect.driver}")
        result = connection.exec_driver_sql(sql, rows)
    except IntegrityError as error:
        raise _Mismatch from error
    if statement.exact and result.rowcount != len(rows):
        raise _Mismatch


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
