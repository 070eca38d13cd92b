"""What is read: records by the page, the running configuration."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Final, NamedTuple

from sqlalchemy import Connection, and_, select, tuple_

from esc_daemon.domain.ids import VmId
from esc_daemon.domain.record import Record
from esc_daemon.store.base import Entry, EntryPath, Undo
from esc_daemon.store.codec import decode_record
from esc_daemon.store.sealing import Sealing
from esc_daemon.store.tables import ENTRIES, INTENTS, RECORDS, UNDO, VMS

LONGEST_PAGE: Final = 256

_RECORD_KEY: Final = (RECORDS.c.kind, RECORDS.c.tenant, RECORDS.c.name)
_VM_OWNER: Final = (VMS.c.kind, VMS.c.tenant, VMS.c.name)


class Place(NamedTuple):
    """A record's key as it is stored."""

    kind: str
    tenant: str
    name: str


START: Final = Place("", "", "")
"""Before every record."""


def records_after(
    connection: Connection, sealing: Sealing, place: Place, limit: int = LONGEST_PAGE
) -> tuple[Sequence[Record], Place]:
    """
    Return up to *limit* records behind *place* and the place of the last; none: that was all.

    Raises:
        StoreBroken: A row cannot be read.

    """
    heads = connection.execute(
        select(*_RECORD_KEY, RECORDS.c.body, INTENTS.c.body.label("intent"))
        .outerjoin(
            INTENTS,
            and_(*(INTENTS.c[column.name] == column for column in _RECORD_KEY)),
        )
        .where(tuple_(*_RECORD_KEY) > place)
        .order_by(*_RECORD_KEY)
        .limit(limit)
    ).all()
    if not heads:
        return (), place
    last = Place(*heads[-1][:3])
    vms = _vms_between(connection, Place(*heads[0][:3]), last)
    records = []
    for *at, body, intent in heads:
        found = Place(*at)
        head = sealing.unseal(RECORDS, found, body)
        wanted = None if intent is None else sealing.unseal(INTENTS, found, intent)
        records.append(decode_record(found.kind, head, wanted, vms[found]))
    return records, last


def _vms_between(
    connection: Connection, first: Place, last: Place
) -> defaultdict[Place, dict[VmId, str]]:
    rows = connection.execute(
        select(*_VM_OWNER, VMS.c.vm, VMS.c.body).where(
            tuple_(*_VM_OWNER) >= first, tuple_(*_VM_OWNER) <= last
        )
    ).all()
    vms: defaultdict[Place, dict[VmId, str]] = defaultdict(dict)
    for kind, tenant, name, vm, body in rows:
        vms[Place(kind, tenant, name)][VmId(vm)] = body
    return vms


def all_entries(connection: Connection, sealing: Sealing) -> Sequence[Entry]:
    """
    Return the running configuration in the order of the document.

    Raises:
        StoreBroken: A row cannot be read.

    """
    key = (ENTRIES.c.kind, ENTRIES.c.tenant, ENTRIES.c.name)
    rows = connection.execute(
        select(*key, ENTRIES.c.xml, ENTRIES.c.revision, ENTRIES.c.position).order_by(
            ENTRIES.c.position, *key
        )
    ).all()
    entries = []
    for *at, text, revision, position in rows:
        path = EntryPath(*at)
        xml = sealing.unseal(ENTRIES, path, text)
        entries.append(Entry(path=path, xml=xml, revision=revision, order=position))
    return entries


def all_undo(connection: Connection, sealing: Sealing) -> Sequence[Undo]:
    """
    Return what a confirmed commit goes back to, in the order in which it was noted.

    Raises:
        StoreBroken: A row cannot be read.

    """
    key = (UNDO.c.kind, UNDO.c.tenant, UNDO.c.name)
    found = []
    for *at, text in connection.execute(select(*key, UNDO.c.xml).order_by(UNDO.c.position)):
        path = EntryPath(*at)
        xml = None if text is None else sealing.unseal(UNDO, path, text)
        found.append(Undo(path=path, xml=xml))
    return found
