"""
An edit's way into running: prepared on what is there, taken by the engine, stored, told.

Edits that do not collide are stored side by side, in one sync of the disk.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

import structlog

from esc_daemon.datamodel.datastore import MAX_ERRORS, Datastore, PendingEdit
from esc_daemon.datamodel.names import NAMESPACES, PREFIX
from esc_daemon.domain.errors import Refused
from esc_daemon.domain.ids import OperationId
from esc_daemon.engine.edit import Change, Edit
from esc_daemon.engine.engine import Engine
from esc_daemon.netconf.errors import ErrorTag, ErrorType, RpcError, RpcErrors
from esc_daemon.store.base import EntryChange, EntryPath, StoreError, Undo

log = structlog.get_logger()

_A_TURN: Final = 50
"""Entries looked at in one go, 0.1 ms each, when all of running is validated."""
_PATHS_LOGGED: Final = 5
"""Of an edit's entries, the first so many are named in the log."""
_OPERATIONS_LOGGED: Final = 50
"""In one line; each is named, for a line about it is found by that alone."""

Prepare = Callable[[], PendingEdit]
Undoing = Callable[[PendingEdit], Sequence[Undo]]


class Editing:
    """The one way in: whoever changes running comes through here."""

    def __init__(
        self, datastore: Datastore, engine: Engine, on_committed: Callable[[PendingEdit], None]
    ) -> None:
        """Make one; *on_committed* is told of each edit before its events are."""
        self._datastore = datastore
        self._engine = engine
        self._on_committed = on_committed
        self._being_stored: dict[asyncio.Event, PendingEdit] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def take(
        self,
        prepare: Prepare,
        user: str,
        *,
        undo: Undoing | None = None,
        then: Callable[[], None] = lambda: None,
    ) -> None:
        """
        Take the edit that *prepare* returns, whole or not at all; durable when it returns.

        *prepare* is called again after each wait for another edit. *undo* says what is to be noted
        in the same transaction of what the edit replaces; *then* is called once it is stored,
        before an edit that waited for this one is prepared.

        Raises:
            RpcError, RpcErrors: It is refused; nothing changed.

        """
        answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        edit = self._edit(prepare, user, undo=undo, then=then, answered=answered)
        # A session that goes away in the middle must not cut an edit in two.
        task = asyncio.create_task(edit)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(partial(_tell, answered))
        await answered

    async def test(self, prepare: Prepare, user: str) -> None:
        """
        Look whether the edit that *prepare* returns would be taken.

        Raises:
            RpcError, RpcErrors: It would not.

        """
        await self._edit(prepare, user, only_test=True)

    async def _edit(
        self,
        prepare: Prepare,
        user: str,
        *,
        undo: Undoing | None = None,
        then: Callable[[], None] = lambda: None,
        answered: "asyncio.Future[None] | None" = None,
        only_test: bool = False,
    ) -> None:
        """Do what `take` says, or `test`; *answered* is done as soon as the edit is stored."""
        pending = await self._prepared(prepare)
        begun: Sequence[OperationId] = ()
        if not pending.changes and undo is None:
            return
        stored = asyncio.Event()
        self._being_stored[stored] = pending
        durable = False

        def committed() -> None:
            nonlocal durable
            durable = True
            self._committed(pending, then, answered)

        try:
            edit = edit_of(pending, committed)
            if undo is not None:
                edit = replace(edit, undo=undo(pending))
            if only_test:
                self._engine.check(edit)
            else:
                begun = await self._engine.apply(edit)
        except Refused as refused:
            raise _refusal(pending, refused, None if only_test else user) from refused
        except StoreError as error:
            log.error("edit.not_stored", user=user, error=str(error))  # noqa: TRY400
            raise RpcError.resource_denied(f"nothing was changed: {error}") from error
        except Exception:
            if durable:  # who asked may have been told that it is taken, and hears no more of it
                log.exception("edit.broke_after_commit", user=user, paths=_first_paths(pending))
            raise
        finally:
            del self._being_stored[stored]
            stored.set()
        if not only_test:
            _log_accepted(pending, user, begun)

    async def _prepared(self, prepare: Prepare) -> PendingEdit:
        """
        Return the edit as it is to be stored now.

        One that collides with another waits, and is prepared anew on what that has left.
        """
        while True:
            pending = prepare()
            others = (end for end, other in self._being_stored.items() if pending.collides(other))
            end = next(others, None)
            if end is None:
                return pending
            await end.wait()

    def _committed(
        self,
        pending: PendingEdit,
        then: Callable[[], None],
        answered: "asyncio.Future[None] | None",
    ) -> None:
        self._datastore.commit(pending)
        self._on_committed(pending)
        then()
        # Not at the end of the task: the deployment's first calls would come before the answer.
        if answered is not None and not answered.done():
            answered.set_result(None)

    async def validate_running(self) -> None:
        """
        Look whether what is stored is what the data model allows.

        Raises:
            RpcErrors: What is wrong with it.

        """
        errors: list[RpcError] = []
        for number, entry in enumerate(list(self._datastore.entries())):
            if len(errors) >= MAX_ERRORS:
                break
            errors += self._datastore.faults(entry)
            if number % _A_TURN == _A_TURN - 1:
                await asyncio.sleep(0)  # others get a turn
        if errors:
            raise RpcErrors(errors[:MAX_ERRORS])


def _tell(answered: "asyncio.Future[None]", task: "asyncio.Task[None]") -> None:
    """Let who waits know how *task* ended, if he does not know yet."""
    if answered.done():  # nobody waits any more: what broke since it was stored is in the log
        task.cancelled() or task.exception()
    elif task.cancelled():
        answered.cancel()
    elif (error := task.exception()) is not None:
        answered.set_exception(error)
    else:
        answered.set_result(None)


def edit_of(pending: PendingEdit, on_committed: Callable[[], None]) -> Edit:
    """Return what the engine is asked to take for *pending*."""
    return Edit(
        changes=tuple(Change(key=key, intent=intent) for key, intent in pending.intents),
        entries=tuple(_entry_changes(pending)),
        on_committed=on_committed,
    )


def _entry_changes(pending: PendingEdit) -> Iterable[EntryChange]:
    for change in pending.changes:
        path = EntryPath(change.path.kind.value, change.path.tenant or "", change.path.name)
        yield EntryChange(path=path, xml=change.new.decode() if change.new is not None else None)


def _log_accepted(pending: PendingEdit, user: str, begun: Sequence[OperationId]) -> None:
    for warning in pending.warnings:
        log.warning("edit.accepted_with_warning", user=user, warning=warning)
    log.info(
        "edit.accepted",
        user=user,
        entries=len(pending.changes),
        paths=_first_paths(pending),
        operations=begun[:_OPERATIONS_LOGGED],
    )
    for first in range(_OPERATIONS_LOGGED, len(begun), _OPERATIONS_LOGGED):
        rest = begun[first : first + _OPERATIONS_LOGGED]
        log.info("edit.accepted_more", user=user, operations=rest)


def _refusal(pending: PendingEdit, refused: Refused, user: str | None) -> RpcError:
    """Return the answer to an edit that the engine does not take, logged for *user*, if any."""
    if user is not None:
        log.info(
            "edit.refused",
            user=user,
            entries=len(pending.changes),
            paths=_first_paths(pending),
            tag=refused.tag,
            error=refused.text,
        )
    return RpcError(
        ErrorType.APPLICATION,
        ErrorTag(refused.tag),
        refused.text,
        path=_path_of(pending, refused),
        namespaces=NAMESPACES,
    )


def _first_paths(pending: PendingEdit) -> list[str]:
    return [change.path.instance_path() for change in pending.changes[:_PATHS_LOGGED]]


def _path_of(pending: PendingEdit, refused: Refused) -> str:
    """Return the path of the node at fault."""
    paths = (change.path for change in pending.changes)
    entry = next((path.instance_path() for path in paths if path.key() == refused.key), "")
    below = (
        f"/{PREFIX}:{node.name}" + (f"[{PREFIX}:{node.leaf}='{node.key}']" if node.key else "")
        for node in refused.below
    )
    return entry and entry + "".join(below)
