"""Records that wait for other records: looked at anew whenever one of those changes."""

from collections.abc import Callable, Iterable

from esc_daemon.domain.commands import Await, Until
from esc_daemon.domain.ids import Key, RecordId, TenantName
from esc_daemon.domain.plan import holds_vim, released
from esc_daemon.domain.record import DeploymentRecord, Record
from esc_daemon.domain.specs import ResourceHandle
from esc_daemon.domain.states import ResourceState
from esc_daemon.domain.triggers import NeighboursGone, ResourceFailed, ResourcesReady, Trigger

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
        self._waits: dict[Key, Await] = {}
        self._watched: dict[Key, dict[Key, None]] = {}
        self._childless: dict[TenantName, Key] = {}

    def wait(self, key: Key, command: Await) -> None:
        """Tell the record of *key* once *command* is met, at the latest with the next change."""
        answer = evaluate(command, self._lookup, self._children)
        if answer is not None:
            self._tell(key, answer)
            return
        self._waits[key] = command
        if command.until is Until.CHILDLESS:
            self._childless[TenantName(key.name)] = key
            return
        for neighbour, _ in command.neighbours:
            self._watched.setdefault(neighbour, {})[key] = None

    def forget(self, key: Key) -> None:
        """Stop waiting for the sake of *key*."""
        command = self._waits.pop(key, None)
        if command is None:
            return
        if command.until is Until.CHILDLESS:
            self._childless.pop(TenantName(key.name), None)
            return
        for neighbour, _ in command.neighbours:
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
        answer = evaluate(self._waits[waiting], self._lookup, self._children)
        if answer is not None:
            self.forget(waiting)
            self._tell(waiting, answer)


def evaluate(command: Await, lookup: Lookup, children: Children) -> Trigger | None:
    """Return what *command* is answered as things are, or None: wait on."""
    match command.until:
        case Until.READY:
            return _ready(command, lookup)
        case Until.GONE:
            return _gone(command, lookup)
        case Until.RELEASED:
            still = (
                record
                for key, id_ in command.neighbours
                if (record := lookup(key)) is not None and record.id == id_
            )
            return NeighboursGone() if all(released(record) for record in still) else None
        case Until.CHILDLESS:
            tenant = TenantName(command.neighbours[0][0].name)
            return None if any(holds_vim(child) for child in children(tenant)) else NeighboursGone()


def _ready(command: Await, lookup: Lookup) -> Trigger | None:
    handles: dict[Key, ResourceHandle] = {}
    waiting = False
    for key, id_ in command.neighbours:
        record = lookup(key)
        if record is None and id_ is None:
            continue  # not one of ours: the VIM will know
        error = _why_never(record, id_)
        if error is not None:
            return ResourceFailed(key=key, error=error)
        if record is None or not _is_active(record, id_):
            waiting = True
        elif not isinstance(record, DeploymentRecord) and record.handle is not None:
            handles[key] = record.handle
    return None if waiting else ResourcesReady(handles=handles)


def _is_active(record: Record, id_: RecordId | None) -> bool:
    return record.state is ResourceState.ACTIVE and (id_ is None or record.id == id_)


def _why_never(record: Record | None, id_: RecordId | None) -> str | None:
    """Return why *record* will not become ready, or None where it may."""
    if record is None:
        return None
    if record.state is ResourceState.ERROR and (id_ is None or record.id == id_):
        return record.error or "it could not be created"
    if record.state is ResourceState.LEFTOVER:
        return "it is being removed"
    if record.state is ResourceState.DELETING and record.successor is None:
        return "it is being removed"
    return None


def _gone(command: Await, lookup: Lookup) -> Trigger | None:
    failures: list[tuple[Key, str]] = []
    for key, id_ in command.neighbours:
        record = lookup(key)
        if record is None or (id_ is not None and record.id != id_):
            continue
        if record.state is not ResourceState.LEFTOVER:
            return None
        failures.append((key, record.error or "the VIM would not remove it"))
    return NeighboursGone(failures=tuple(failures))
