"""Which rows a commit writes: those whose objects were replaced, no others (law 8)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

from sqlalchemy import Table, bindparam, delete, insert, text, update
from sqlalchemy.sql.elements import ClauseElement, ColumnElement

from esc_daemon.domain.events import Event
from esc_daemon.domain.ids import Key, VmId
from esc_daemon.domain.record import DeploymentRecord, Record, VmRecord
from esc_daemon.domain.step import Step
from esc_daemon.store.base import EntryChange, Undo
from esc_daemon.store.codec import encode, encode_head, to_microseconds
from esc_daemon.store.sealing import Sealing
from esc_daemon.store.tables import ENTRIES, EVENTS, INTENTS, RECORDS, UNDO, VMS

Row = tuple[str | int | None, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Statement:
    """
    One statement for many rows.

    *parameters* names a row's values in order; *exact*: each row must change exactly one.
    *repeats*: an insert that takes many rows at once.
    """

    clause: ClauseElement
    parameters: tuple[str, ...]
    exact: bool = True
    repeats: bool = False


_KEY: Final = ("kind", "tenant", "name")
_VM_KEY: Final = (*_KEY, "vm")
_VERSION: Final = ("old_revision", "old_epoch")


def _at(table: Table, columns: tuple[str, ...]) -> list[ColumnElement[bool]]:
    return [table.c[name] == bindparam(f"at_{name}") for name in columns]


def _unmoved() -> list[ColumnElement[bool]]:
    return [
        RECORDS.c.revision == bindparam("old_revision"),
        RECORDS.c.epoch == bindparam("old_epoch"),
    ]


def _named(columns: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"at_{name}" for name in columns)


INSERT_RECORD: Final = Statement(insert(RECORDS), (*_KEY, "id", "revision", "epoch", "body"))
UPDATE_RECORD: Final = Statement(
    update(RECORDS)
    .values({name: bindparam(name) for name in ("id", "revision", "epoch", "body")})
    .where(*_at(RECORDS, _KEY), *_unmoved()),
    ("id", "revision", "epoch", "body", *_named(_KEY), *_VERSION),
)
DELETE_RECORD: Final = Statement(
    delete(RECORDS).where(*_at(RECORDS, _KEY), *_unmoved()), (*_named(_KEY), *_VERSION)
)
INSERT_INTENT: Final = Statement(insert(INTENTS), (*_KEY, "body"))
UPDATE_INTENT: Final = Statement(
    update(INTENTS).values(body=bindparam("body")).where(*_at(INTENTS, _KEY)),
    ("body", *_named(_KEY)),
)
DELETE_INTENT: Final = Statement(delete(INTENTS).where(*_at(INTENTS, _KEY)), _named(_KEY))
INSERT_VM: Final = Statement(insert(VMS), (*_VM_KEY, "body"), repeats=True)
UPDATE_VM: Final = Statement(
    update(VMS).values(body=bindparam("body")).where(*_at(VMS, _VM_KEY)),
    ("body", *_named(_VM_KEY)),
)
DELETE_VM: Final = Statement(delete(VMS).where(*_at(VMS, _VM_KEY)), _named(_VM_KEY))
INSERT_EVENT: Final = Statement(
    insert(EVENTS),
    ("seq", "time", "stream", "audience", "type", "tenant", "deployment", "payload"),
    repeats=True,
)
# SQLite and PostgreSQL both take this; Core has two `insert` for it, one a dialect.
PUT_ENTRY: Final = Statement(
    text(
        "INSERT INTO entries (kind, tenant, name, position, revision, xml)"
        " VALUES (:kind, :tenant, :name,"
        " CASE WHEN :position = 0 THEN (SELECT coalesce(max(position), 0) + 1 FROM entries)"
        " ELSE :fixed END, 1, :xml)"
        " ON CONFLICT (kind, tenant, name) DO UPDATE SET xml = excluded.xml,"
        " revision = entries.revision + 1,"
        " position = CASE WHEN :moved = 0 THEN entries.position ELSE excluded.position END"
    ),
    (*_KEY, "position", "fixed", "xml", "moved"),
)
DELETE_ENTRY: Final = Statement(
    text("DELETE FROM entries WHERE kind = :kind AND tenant = :tenant AND name = :name"),
    _KEY,
    exact=False,
)

DELETE_UNDO: Final = Statement(delete(UNDO), (), exact=False)
INSERT_UNDO: Final = Statement(insert(UNDO), (*_KEY, "position", "xml"))

Version = tuple[int, int]
"""A record's (revision, epoch)."""


class Piece(NamedTuple):
    """
    What one step or one entry writes.

    Pieces of the same *place* must be written one after the other. *key* is a step's record,
    *expected* and *written* what is there before and after (None: nothing).
    """

    place: tuple[object, ...]
    rows: Sequence[tuple[Statement, Row]]
    key: Key | None = None
    expected: Version | None = None
    written: Version | None = None


@dataclass(kw_only=True, slots=True, frozen=True)
class Job:
    """One commit, ready to be written; the rows of *events* still lack their number."""

    pieces: Sequence[Piece]
    events: Sequence[Row]


def job_of(
    steps: Sequence[Step],
    entries: Sequence[EntryChange],
    undo: Sequence[Undo] | None,
    time: datetime,
    sealing: Sealing,
) -> Job:
    """Return what committing *steps*, *entries* and *undo* writes."""
    pieces = [_piece_of(step, sealing) for step in steps if step.record is not step.before]
    pieces.extend(_entry_piece(change, sealing) for change in entries)
    if undo is not None:
        pieces.extend(_undo_pieces(undo, sealing))
    moment = to_microseconds(time)
    events = [_event_row(event, moment) for step in steps for event in step.events]
    return Job(pieces=pieces, events=events)


def _piece_of(step: Step, sealing: Sealing) -> Piece:
    key, before, record = step.key, step.before, step.record
    at = (key.kind.value, key.tenant or "", key.name)
    rows = [_head_row(at, before, record, sealing)]
    rows.extend(_intent_rows(at, before, record, sealing))
    rows.extend(_vm_rows(at, _vms_of(before), _vms_of(record)))
    return Piece(("record", *at), rows, key, _version_of(before), _version_of(record))


def _version_of(record: Record | None) -> Version | None:
    return None if record is None else (record.revision, record.epoch)


def _head_row(
    at: tuple[str, str, str], before: Record | None, record: Record | None, sealing: Sealing
) -> tuple[Statement, Row]:
    if record is None:
        assert before is not None  # a piece is made of a step that moved
        return DELETE_RECORD, (*at, before.revision, before.epoch)
    body = sealing.seal(RECORDS, at, encode_head(record))
    head = (record.id, record.revision, record.epoch, body)
    if before is None:
        return INSERT_RECORD, (*at, *head)
    return UPDATE_RECORD, (*head, *at, before.revision, before.epoch)


def _intent_rows(
    at: tuple[str, str, str], before: Record | None, record: Record | None, sealing: Sealing
) -> Iterator[tuple[Statement, Row]]:
    old = None if before is None else before.intent
    new = None if record is None else record.intent
    if new is old:
        return
    if new is None:
        yield DELETE_INTENT, at
        return
    body = sealing.seal(INTENTS, at, encode(new))
    if old is None:
        yield INSERT_INTENT, (*at, body)
    else:
        yield UPDATE_INTENT, (body, *at)


def _vms_of(record: Record | None) -> Mapping[VmId, VmRecord]:
    return record.vms if isinstance(record, DeploymentRecord) else {}


def _vm_rows(
    at: tuple[str, str, str], old: Mapping[VmId, VmRecord], new: Mapping[VmId, VmRecord]
) -> Iterator[tuple[Statement, Row]]:
    if new is old:
        return
    for vm, running in new.items():
        was = old.get(vm)
        if was is None:
            yield INSERT_VM, (*at, vm, encode(running))
        elif was is not running:
            yield UPDATE_VM, (encode(running), *at, vm)
    for vm in old:
        if vm not in new:
            yield DELETE_VM, (*at, vm)


def _entry_piece(change: EntryChange, sealing: Sealing) -> Piece:
    if change.xml is None:
        return Piece(("entry", *change.path), [(DELETE_ENTRY, tuple(change.path))])
    xml = sealing.seal(ENTRIES, change.path, change.xml)
    row = (*change.path, change.order, change.order, xml, change.order)
    return Piece(("entry", *change.path), [(PUT_ENTRY, row)])


def _undo_pieces(undo: Sequence[Undo], sealing: Sealing) -> Iterator[Piece]:
    yield Piece(("undo",), [(DELETE_UNDO, ())])
    rows: list[tuple[Statement, Row]] = []
    for position, each in enumerate(undo, 1):
        xml = None if each.xml is None else sealing.seal(UNDO, each.path, each.xml)
        rows.append((INSERT_UNDO, (*each.path, position, xml)))
    if rows:
        yield Piece(("undo",), rows)


def _event_row(event: Event, moment: int) -> Row:
    return (
        moment,
        event.stream.value,
        event.audience.value,
        event.type.value,
        event.tenant,
        event.deployment,
        encode(event),
    )
