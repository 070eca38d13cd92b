"""The one event log: what listeners read, and how it is kept short."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, delete, select

from esc_daemon.domain.events import Stream
from esc_daemon.store.base import LoggedEvent
from esc_daemon.store.batch import last_seq
from esc_daemon.store.codec import decode_event, from_microseconds, to_microseconds
from esc_daemon.store.tables import EVENTS

LONGEST_CUT: Final = 10_000
"""Events forgotten in one transaction: commits must not wait for a long clean-up."""


def read(
    connection: Connection, after: int, limit: int, stream: Stream, since: datetime | None
) -> Sequence[LoggedEvent]:
    """Return up to *limit* events of *stream* numbered above *after*, not before *since*."""
    query = select(EVENTS.c.seq, EVENTS.c.time, EVENTS.c.payload).where(
        EVENTS.c.stream == stream.value, EVENTS.c.seq > after
    )
    if since is not None:
        query = query.where(EVENTS.c.time >= to_microseconds(since))
    rows = connection.execute(query.order_by(EVENTS.c.seq).limit(limit))
    return [
        LoggedEvent(seq=seq, time=from_microseconds(time), event=decode_event(payload))
        for seq, time, payload in rows
    ]


def cut(connection: Connection, keep_events: int, before: datetime | None = None) -> int:
    """
    Forget the oldest events, `LONGEST_CUT` at most, and return how many went.

    Those go that are older than the newest *keep_events*, and those told *before* that moment, up
    to the first that was not. The newest always stays: the next number is read from it.
    """
    last = last_seq(connection)
    newest_to_go = last - max(keep_events, 1)
    if before is not None:
        newest_to_go = max(newest_to_go, min(_last_before(connection, before), last - 1))
    oldest: int | None = connection.execute(
        select(EVENTS.c.seq).order_by(EVENTS.c.seq).limit(1)
    ).scalar()
    if oldest is None or oldest > newest_to_go:
        return 0
    upto = min(newest_to_go, oldest + LONGEST_CUT - 1)
    return connection.execute(delete(EVENTS).where(EVENTS.c.seq <= upto)).rowcount


def _last_before(connection: Connection, before: datetime) -> int:
    """Return the number of the last of the oldest events that are all older than *before*."""
    rows = connection.execute(
        select(EVENTS.c.seq, EVENTS.c.time).order_by(EVENTS.c.seq).limit(LONGEST_CUT)
    )
    limit, found = to_microseconds(before), 0
    for seq, time in rows:
        if time >= limit:
            break
        found = seq
    return found
