"""One record's inbox: in order, keyed, bounded by what can happen to one record."""

import asyncio
from collections.abc import Hashable

from esc_daemon.domain.ids import Key
from esc_daemon.domain.record import Record
from esc_daemon.domain.triggers import (
    CallFailed,
    KpiCrossed,
    RecoveryPermitted,
    ResourceGone,
    ResourceMade,
    ScriptsRan,
    ServerDrifted,
    ServerGone,
    ServerProven,
    ServerSeen,
    ServerSwitched,
    ServerUpdated,
    Trigger,
)


class Mailbox:
    """
    A record and what waits to be told to it.

    A trigger about the same subject takes the place of the one before it (law 9): so a mailbox
    holds at most a few triggers for each server of the record.
    """

    __slots__ = ("draining", "key", "record", "turn", "users", "waiting")

    def __init__(self, key: Key, record: Record | None = None) -> None:
        self.key = key
        self.record = record
        self.turn = asyncio.Lock()
        self.waiting: dict[Hashable, Trigger] = {}
        self.draining = False
        self.users = 0

    @property
    def unused(self) -> bool:
        """Tell whether nobody would miss it."""
        idle = not self.waiting and not self.draining and not self.users
        return idle and self.record is None

    def put(self, trigger: Trigger) -> None:
        """Let *trigger* wait behind the others."""
        subject = _subject(trigger)
        self.waiting.pop(subject, None)
        self.waiting[subject] = trigger

    def take(self) -> list[Trigger]:
        """Return everything that waits, oldest first."""
        triggers = list(self.waiting.values())
        self.waiting.clear()
        return triggers

    def put_back(self, triggers: list[Trigger]) -> None:
        """Let *triggers*, which could not be stored, wait again before the newer ones."""
        newer = self.waiting
        self.waiting = {}
        for trigger in (*triggers, *newer.values()):
            self.put(trigger)


def _subject(trigger: Trigger) -> Hashable:
    match trigger:
        case ServerSeen(server=server) | ServerUpdated(server=server):
            return (type(trigger), server.key)
        case ServerGone(key=key, looked=looked, ports=ports):
            return ("gone", key, looked, ports)
        case ServerSwitched(server=server, number=number):
            return ("switched", server.key, number)
        case ServerProven() | ScriptsRan():
            return trigger
        case KpiCrossed(server=server_key, event_name=event_name):
            return ("kpi", server_key, event_name)
        case RecoveryPermitted(server=server_key):
            return ("permitted", server_key)
        case ServerDrifted(key=key):
            return ("drifted", key)
        case CallFailed(subject=subject, removal=removal, switch=switch, proof=proof):
            return ("failed", subject, removal, switch, proof)
        case ResourceMade(id=id_) | ResourceGone(id=id_):
            return (type(trigger), id_)
        case _:
            return (type(trigger),)
