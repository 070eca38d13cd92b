"""Records that wait for other records: looked at anew whenever one of those changes."""

from collections.abc import Callable, Iterable

from esc_daemon.domain.commands import Await, Until
from esc_daemon.domain.ids import Key, TenantName
from esc_daemon.domain.neighbours import answer, looked_at
from esc_daemon.domain.record import Record
from esc_daemon.domain.triggers import Trigger

Lookup = Callable[[Key], Record | None]
Children = Callable[[TenantName], Iterable[Record]]


class Neighbours:
    """Who waits for whom. Nothing of it is stored: it follows from the plans."""

    def __init__(
        self, lookup: Lookup, children: Children, tell: Callable[[Key, Trigger], None]
    ) -> None:
        self._lookup = lookup
        self._children = children
        self._tell = tell
        self._waits: dict[Key, tuple[Await, tuple[Key, ...]]] = {}
        self._watched: dict[Key, dict[Key, None]] = {}
        self._childless: dict[TenantName, Key] = {}

    def wait(self, key: Key, command: Await) -> None:
        """Tell the record of *key* once *command* is met, at the latest with the next change."""
        found = answer(key, command, self._lookup, self._children)
        if found is not None:
            self._tell(key, found)
            return
        looked = tuple(looked_at(key, command, self._lookup))
        self._waits[key] = (command, looked)
        if command.until is Until.CHILDLESS:
            self._childless[TenantName(key.name)] = key
            return
        for neighbour in looked:
            self._watched.setdefault(neighbour, {})[key] = None

    def forget(self, key: Key) -> None:
        """Stop waiting for the sake of *key*."""
        command, looked = self._waits.pop(key, (None, ()))
        if command is None:
            return
        if command.until is Until.CHILDLESS:
            self._childless.pop(TenantName(key.name), None)
            return
        for neighbour in looked:
            waiting = self._watched.get(neighbour)
            if waiting is not None:
                waiting.pop(key, None)
                if not waiting:
                    del self._watched[neighbour]

    def changed(self, key: Key) -> None:
        """Look again at everything that waits for the record of *key*."""
        for waiting in tuple(self._watched.get(key, ())):
            self._look(waiting)
        if key.tenant is not None and key.tenant in self._childless:
            self._look(self._childless[key.tenant])

    def _look(self, waiting: Key) -> None:
        command, _ = self._waits[waiting]
        self.forget(waiting)  # what there is to look at may be more by now
        self.wait(waiting, command)
