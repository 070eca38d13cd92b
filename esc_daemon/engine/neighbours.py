"""Records that wait for other records: looked at anew when what held them up has moved."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from esc_daemon.domain.commands import Await, Until
from esc_daemon.domain.ids import Key, TenantName
from esc_daemon.domain.neighbours import Failures, Held, Kin, Took, look, look_at_kin, members_of
from esc_daemon.domain.record import Record
from esc_daemon.domain.triggers import Trigger

Lookup = Callable[[Key], Record | None]
Children = Callable[[TenantName], Iterable[Record]]

_KEPT: Final = 8
"""Kin that have ended and are remembered; each step of any record is held against all of them."""


@dataclass(slots=True)
class _Crowd:
    """Those who wait for the same kin, which is looked at once for them all."""

    held: Held
    waiting: dict[Key, None] = field(default_factory=dict)


class _Ended(NamedTuple):
    """What failed of a kin, and whose moves may change that."""

    failures: Failures
    keys: frozenset[Key]


class Neighbours:
    """Who waits for whom. Nothing of it is stored: it follows from the plans."""

    def __init__(
        self,
        lookup: Lookup,
        children: Children,
        took: Took,
        tell: Callable[[Key, Trigger], None],
    ) -> None:
        self._lookup = lookup
        self._children = children
        self._took = took
        self._tell = tell
        self._waits: dict[Key, tuple[Await, Held | Kin]] = {}
        self._watched: dict[Key, dict[Key | Kin, None]] = {}
        self._childless: dict[TenantName, Key] = {}
        self._crowds: dict[Kin, _Crowd] = {}
        self._ended: dict[Kin, _Ended] = {}
        """The last kin that were seen to have ended, each good until one of its *keys* moves."""

    def wait(self, key: Key, command: Await) -> None:
        """Tell the record of *key* once *command* is met, at the latest with the next change."""
        self._look(key, command)

    def forget(self, key: Key) -> None:
        """Stop waiting for the sake of *key*."""
        command, held = self._waits.pop(key, (None, Held()))
        if command is None:
            return
        if command.until is Until.CHILDLESS:
            self._childless.pop(TenantName(key.name), None)
        elif isinstance(held, Held):
            self._unwatch(held, key)
        else:
            crowd = self._crowds[held]
            del crowd.waiting[key]
            if not crowd.waiting:
                del self._crowds[held]
                self._unwatch(crowd.held, held)

    def changed(self, key: Key) -> None:
        """Look again at everything that the record of *key* held up."""
        for kin in [kin for kin, ended in self._ended.items() if key in ended.keys]:
            del self._ended[kin]
        for waiting in tuple(self._watched.get(key, ())):
            if isinstance(waiting, Kin):
                self._look_for_all(waiting)
            else:
                self._look_again(waiting)
        if key.tenant is not None and key.tenant in self._childless:
            self._look_again(self._childless[key.tenant])

    def _look_again(self, waiting: Key) -> None:
        command, held = self._waits[waiting]
        self.forget(waiting)
        self._look(waiting, command, held.place if isinstance(held, Held) else 0)

    def _look(self, key: Key, command: Await, place: int = 0) -> None:
        found = look(key, command, self._lookup, self._children, self._failures, place)
        if not isinstance(found, Held | Kin):
            self._tell(key, found)
            return
        self._waits[key] = (command, found)
        if command.until is Until.CHILDLESS:
            self._childless[TenantName(key.name)] = key
        elif isinstance(found, Held):
            self._watch(found, key)
        else:
            self._crowds[found].waiting[key] = None

    def _failures(self, kin: Kin) -> Failures | None:
        """Return what failed of *kin*, None where it has not ended: then there is a crowd."""
        if kin in self._crowds:
            return None
        if kin not in self._ended:
            found = look_at_kin(kin, self._lookup, self._took)
            if isinstance(found, Held):
                self._crowds[kin] = _Crowd(found)
                self._watch(found, kin)
                return None
            self._keep(kin, found)
        return self._ended[kin].failures

    def _keep(self, kin: Kin, failures: Failures) -> None:
        keys = {at for at, _ in members_of(kin, self._lookup, self._took) if at.kind in kin.kinds}
        if kin.owner is not None:
            keys.add(kin.owner[0])
        self._ended[kin] = _Ended(failures, frozenset(keys))
        if len(self._ended) > _KEPT:
            del self._ended[next(iter(self._ended))]

    def _look_for_all(self, kin: Kin) -> None:
        crowd = self._crowds[kin]
        self._unwatch(crowd.held, kin)
        found = look_at_kin(kin, self._lookup, self._took, crowd.held.place)
        if isinstance(found, Held):
            crowd.held = found
            self._watch(found, kin)
            return
        del self._crowds[kin]
        self._keep(kin, found)
        for key in crowd.waiting:
            command, _ = self._waits.pop(key)
            self._look(key, command)

    def _watch(self, held: Held, waiting: Key | Kin) -> None:
        for neighbour in held.by:
            self._watched.setdefault(neighbour, {})[waiting] = None

    def _unwatch(self, held: Held, waiting: Key | Kin) -> None:
        for neighbour in held.by:
            watched = self._watched[neighbour]
            del watched[waiting]
            if not watched:
                del self._watched[neighbour]
