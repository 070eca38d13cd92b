"""
The datastores running and candidate, as the operations of NETCONF change them.

A confirmed commit (RFC 6241 section 8.4) activates at once what it creates and changes; what it
removes goes when it is confirmed, for a service that was removed could not be brought back as it
was. It is taken back by an ordinary edit to the old entries, which are stored with it: also by a
daemon that died meanwhile.
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

import structlog
from lxml import etree

from esc_daemon.access.control import AccessControl
from esc_daemon.datamodel.candidate import Candidate
from esc_daemon.datamodel.datastore import Datastore, Gate, PendingEdit
from esc_daemon.datamodel.entries import EntryPath
from esc_daemon.datamodel.names import bindings_of
from esc_daemon.datamodel.undo import edit_back
from esc_daemon.domain.ids import Kind
from esc_daemon.domain.intent import Resource
from esc_daemon.domain.record import ResourceRecord
from esc_daemon.domain.resource_changes import check_way_back
from esc_daemon.engine.engine import Engine
from esc_daemon.netconf.edit import DefaultOperation
from esc_daemon.netconf.errors import RpcError, RpcErrors
from esc_daemon.netconf.messages import Commit, CopyConfig, EditConfig, ErrorOption, TestOption
from esc_daemon.netconf.messages import Datastore as Datastores
from esc_daemon.netconf.xml import BASE_NS
from esc_daemon.northbound.answers import data_of
from esc_daemon.northbound.editing import Editing
from esc_daemon.store import base as stored

log = structlog.get_logger()

_NOBODY: Final = 0
"""The session-id that RFC 6241 section 7.5 tells where no session is in the way."""
_AGAIN_SECONDS: Final = 10.0
"""Between two tries to take back what was refused: a connector goes after its deployments."""
_MANAGER: Final = "esc_daemon"
"""Who takes back what nobody confirmed."""


@dataclass(kw_only=True, slots=True)
class _Trial:
    """A confirmed commit that is not confirmed yet; *session* None: it outlives its session."""

    undo: Mapping[EntryPath, bytes | None]
    """The entries that it changed as they were; None: there was none."""
    session: int | None = None
    persist: str | None = None
    ending: bool = field(default=False)
    """It is being taken back."""

    def holds(self, path: EntryPath) -> bool:
        """Tell whether the entry at *path* goes another way with it, alone or with its tenant."""
        tenant = EntryPath(Kind.TENANT, None, path.tenant or "")
        return path in self.undo or self.undo.get(tenant, b"") is None


class Configuration:
    """Implements `northbound.ssh.services.Configuration`."""

    def __init__(
        self,
        *,
        datastore: Datastore,
        engine: Engine,
        access: AccessControl,
        confirm_seconds: int = 86_400,
    ) -> None:
        """Make it; *confirm_seconds* is the longest time that a commit may wait to be confirmed."""
        self._access = access
        self._confirm_seconds = confirm_seconds
        self._running = datastore
        self.candidate: Final = Candidate(datastore)
        self._record = engine.record
        self._editing = Editing(datastore, engine, self.candidate.follow)
        self._empty = datastore.without_entries()
        """Never filled: an edit of it judges a configuration by itself."""
        self._turn = asyncio.Lock()
        """One commit at a time: the next one stands on what it left."""
        self._trial: _Trial | None = None
        self._idle_persist: str | None = None
        """The persist of the last confirmed commit that had nothing to change: ok to confirm it."""
        self._timer: asyncio.TimerHandle | None = None
        self._committing: set[int] = set()
        """Sessions whose commit is under way, and that have not ended since."""
        self._tasks: set[asyncio.Task[None]] = set()

    # ---------------------------------------------------------------- edits

    async def edit_config(self, request: EditConfig, user: str) -> None:
        """
        Take an edit whole or not at all; durable when it returns, if it is of running.

        The test-option test-only stops before anything changes (RFC 6241 section 7.2); of running
        the others are alike, since every edit is tested first. Of the candidate they test it
        whole, as it would be.

        Raises:
            RpcError, RpcErrors: It is refused; nothing changed.

        """
        if request.target is Datastores.CANDIDATE:
            await self._edit_candidate(request, user)
            return

        def prepare() -> PendingEdit:
            gate = self._gate(request, user)
            pending = self._running.edit(request.config, request.default_operation, gate)
            self._check_not_on_trial(pending)
            return pending

        if request.test_option is TestOption.TEST_ONLY:
            await self._editing.test(prepare, user)
        else:
            await self._editing.take(prepare, user)

    async def _edit_candidate(self, request: EditConfig, user: str) -> None:
        if request.test_option is not TestOption.SET:
            tried = self.candidate.copy()
            tried.edit(request.config, request.default_operation, self._gate(request, user))
            with self._discreet(user):
                await self._editing.test(tried.pending, user)
        if request.test_option is not TestOption.TEST_ONLY:
            gate = self._gate(request, user)
            self.candidate.edit(request.config, request.default_operation, gate)

    def _gate(self, request: EditConfig, user: str) -> Gate | None:
        """Judge the names in *request* by the rights of now; return what judges its changes."""
        check = self._access.write_check(user)
        if check is not None:
            check.named(request.config, request.default_operation)
        return check

    def _check_not_on_trial(self, pending: PendingEdit) -> None:
        """
        Refuse to change what may be taken back, and what is to go once the commit is confirmed.

        So another's change is never undone, nor removed unseen. A removal is taken: what others
        removed does not come back.
        """
        trial = self._trial
        if trial is None:
            return
        for change in pending.changes:
            held = trial.holds(change.path) or self.candidate.holds(change.path)
            if change.new is not None and held:
                raise _held(change.path, trial)

    async def copy_config(self, request: CopyConfig, session: int, user: str) -> None:
        """
        Make the target what the source is: an edit that replaces all there is.

        Raises:
            RpcError, RpcErrors: It is refused; nothing changed.

        """
        source = request.source
        rights = self._access.rights(user)
        if not etree.iselement(source) and not (rights.reads_all and rights.writes_all):
            if request.target is Datastores.RUNNING:
                self._check_no_trial()
            source = self._readable(source, user)  # RFC 8341 section 3.2.6
        match request.target, source:
            case Datastores.CANDIDATE, Datastores.RUNNING:
                self.candidate.discard()
            case Datastores.RUNNING, Datastores.CANDIDATE:
                self._check_no_trial()
                await self.commit(Commit(), session, user)
            case target, _:
                assert etree.iselement(source)
                edit = EditConfig(
                    target=target,
                    default_operation=DefaultOperation.REPLACE,
                    test_option=TestOption.SET,
                    error_option=ErrorOption.ROLLBACK_ON_ERROR,
                    config=source,
                )
                await self.edit_config(edit, user)

    def _check_no_trial(self) -> None:
        if self._trial is not None:  # a copy is no confirmation
            raise RpcError.in_use("", "a confirmed commit waits: commit or cancel it")

    def _readable(self, source: Datastores, user: str) -> etree._Element:
        """Return what of *source* the user may read, as the config of a copy."""
        candidate = source is Datastores.CANDIDATE
        datastore = self.candidate.configuration if candidate else self._running
        config = data_of(datastore.get_config())
        self._access.prune(config, user)
        return config

    async def validate(self, source: Datastores | etree._Element, user: str) -> None:
        """
        Look whether *source* is a configuration that the data model allows.

        The candidate is judged by what a commit of it would change.

        Raises:
            RpcError, RpcErrors: What is wrong with it, or, to a user who may not read all of it,
                only that something is.

        """
        if etree.iselement(source):
            self._empty.edit(source)
            return
        with self._discreet(user):
            await self._validate(source, user)

    @contextmanager
    def _discreet(self, user: str) -> Iterator[None]:
        """Tell *user* of a whole datastore's faults only that there are some, if he sees a part."""
        try:
            yield
        except (RpcError, RpcErrors) as error:
            if self._access.rights(user).reads_all:
                raise
            raise RpcError.operation_failed(
                "it is not valid; what is wrong with it may stand where you may not read"
            ) from error

    async def _validate(self, source: Datastores, user: str) -> None:
        if source is Datastores.CANDIDATE:
            await self._editing.test(self.candidate.pending, user)
        else:
            await self._editing.validate_running()

    def discard_changes(self) -> None:
        """Make the candidate what running is."""
        self.candidate.discard()

    @property
    def candidate_changed(self) -> bool:
        """Tell whether the candidate holds changes that were not committed."""
        return self.candidate.changed

    # ---------------------------------------------------------------- commits

    @property
    def on_trial(self) -> int | None:
        """The session whose confirmed commit waits, 0 for one that outlives it, None for none."""
        if self._trial is None:
            return None
        return self._trial.session or _NOBODY

    async def commit(self, request: Commit, session: int, user: str) -> None:
        """
        Make the candidate running, whole or not at all; durable when it returns.

        Raises:
            RpcError, RpcErrors: It is refused; running and the candidate are as they were.

        """
        seconds = request.confirm_timeout
        if seconds is not None and seconds > self._confirm_seconds:
            raise _too_long(self._confirm_seconds)
        self._committing.add(session)
        try:
            async with self._turn:
                self._check_owner(request.persist_id, session)
                if seconds is None:
                    await self._confirm(user)
                elif self._trial is None and not self.candidate.changed:
                    self._idle_persist = request.persist  # nothing to wait for, for anybody
                else:
                    await self._try(request, seconds, session, user)
        finally:
            if session not in self._committing:  # it ended meanwhile
                self.session_ended(session)
            self._committing.discard(session)

    async def cancel_commit(self, persist_id: str | None, session: int, user: str) -> None:
        """
        Take back the confirmed commit that waits.

        Who may change everything needs no persist-id: else a word that nobody knows any more would
        stand in everybody's way. A commit that ends with its session is ended by kill-session.

        Raises:
            RpcError: There is none, or it is another's; rollback-failed where some of it was
                refused: that is tried again.

        """
        async with self._turn:
            if not self._may_break(persist_id, user):
                self._check_owner(persist_id, session)
            if self._trial is None:
                raise RpcError.operation_failed("there is no confirmed commit to cancel")
            await self._take_back(f"session {session} of {user} cancelled it")
            if self._trial is not None:
                raise RpcError.rollback_failed(
                    "a part of it was refused and is tried again; the log says why"
                )

    def session_ended(self, session: int) -> None:
        """Take back what *session* has not confirmed (RFC 6241 section 8.4.1)."""
        self._committing.discard(session)
        if self._trial is not None and self._trial.session == session:
            self._soon(self._trial, f"session {session} ended")

    async def take_back(self, undo: Iterable[stored.Undo]) -> None:
        """Take back what an earlier run of the daemon had on trial; before anybody is served."""
        before = {
            EntryPath(Kind(each.path.kind), each.path.tenant or None, each.path.name): (
                None if each.xml is None else each.xml.encode()
            )
            for each in undo
        }
        if before:
            self._trial = _Trial(undo=before)
            async with self._turn:
                await self._take_back("the daemon was started anew")

    async def close(self) -> None:
        """Let what is on trial be taken back by the next start."""
        self._wake_at(None)
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _may_break(self, persist_id: str | None, user: str) -> bool:
        trial = self._trial
        return (
            trial is not None
            and trial.persist is not None
            and not trial.ending
            and persist_id is None
            and self._access.rights(user).writes_all
        )

    def _check_owner(self, persist_id: str | None, session: int) -> None:
        trial = self._trial
        if trial is None or trial.ending:
            if persist_id not in {None, self._idle_persist}:
                raise RpcError.invalid_value("", "no confirmed commit has this persist-id")
            if trial is not None:
                raise RpcError.in_use("", "a confirmed commit is being taken back; try again")
            return
        if trial.persist != persist_id:
            text = "a confirmed commit waits: give the persist-id that it was given"
            raise RpcError.invalid_value("", text if trial.persist else "it has no persist-id")
        if trial.persist is None and trial.session != session:
            text = f"session {trial.session} has a commit that waits for it; kill-session ends both"
            raise RpcError.in_use("", text)

    async def _try(self, request: Commit, seconds: int, session: int, user: str) -> None:
        """Commit all but the removals, and note what to go back to."""
        before = {} if self._trial is None else self._trial.undo
        persist = request.persist
        undo: dict[EntryPath, bytes | None] = {}

        def prepare() -> PendingEdit:
            return self.candidate.pending(self._access.write_check(user), removals=False)

        def note(pending: PendingEdit) -> list[stored.Undo]:
            undo.clear()
            for each in pending.changes:
                # what it changed before and is gone was removed by others, and is not brought back
                undo[each.path] = None if each.old is None else before.get(each.path, each.old.xml)
            undo.update((path, xml) for path, xml in before.items() if path not in undo)
            self._check_way_back(pending, undo)
            return _undo(undo)

        def begin() -> None:
            own = session if persist is None else None
            self._trial = _Trial(undo=undo, session=own, persist=persist)
            self._idle_persist = None
            self.candidate.hold_removals()  # before anybody else's edit is prepared

        await self._editing.take(prepare, user, undo=note, then=begin)
        self._wake_at(seconds)
        log.info("commit.waits_for_confirmation", user=user, seconds=seconds)

    def _check_way_back(self, pending: PendingEdit, undo: Mapping[EntryPath, bytes | None]) -> None:
        """
        Refuse to try what an edit back would be refused for, or all commits would wait.

        What goes again by *undo* has no way back that could be refused.
        """
        for key, intent in pending.intents:
            goes = undo.get(EntryPath(key.kind, key.tenant, key.name)) is None
            record = self._record(key)
            if goes or not isinstance(record, ResourceRecord) or not isinstance(intent, Resource):
                continue
            waiting = record.successor.intent if record.successor else None
            if (old := record.intent or waiting) is not None:
                check_way_back(key, old, intent)

    async def _confirm(self, user: str) -> None:
        def prepare() -> PendingEdit:
            return self.candidate.pending(self._access.write_check(user))

        if self._trial is None:
            await self._editing.take(prepare, user)
            return
        await self._editing.take(prepare, user, undo=lambda _: [])
        self._trial = None
        self.candidate.let_go()  # a discard meanwhile held again what was made anew
        self._wake_at(None)
        log.info("commit.confirmed", user=user)

    # ---------------------------------------------------------------- the way back

    async def _overdue(self, trial: _Trial, why: str) -> None:
        async with self._turn:
            if self._trial is trial:  # nobody has confirmed or prolonged it meanwhile
                await self._take_back(why)

    async def _take_back(self, why: str) -> None:
        """Edit back to the old entries; together, or what is refused alone and later again."""
        trial = self._trial
        assert trial is not None
        self._wake_at(None)
        trial.ending = True
        log.warning("commit.taken_back", why=why, entries=len(trial.undo))
        self.candidate.let_go()
        left = await self._edited_back(trial.undo, {})
        if left and len(trial.undo) > 1:
            for path, xml in reversed(list(trial.undo.items())):
                left.pop(path)
                left |= await self._edited_back({path: xml}, left)
        if left:
            self._trial = _Trial(undo=dict(reversed(list(left.items()))), ending=True)
            self._wake_at(_AGAIN_SECONDS)
        else:
            self._trial = None

    async def _edited_back(
        self, undo: Mapping[EntryPath, bytes | None], left: Mapping[EntryPath, bytes | None]
    ) -> dict[EntryPath, bytes | None]:
        """Go back to *undo*, *left* remaining to be done; return what of *undo* was refused."""
        try:
            await self._editing.take(
                lambda: edit_back(self._running, undo), _MANAGER, undo=lambda _: _undo(left)
            )
        except (RpcError, RpcErrors) as error:
            log.error("commit.not_taken_back", error=str(error), entries=len(undo))  # noqa: TRY400
            return dict(undo)
        except Exception:
            log.exception("commit.not_taken_back", entries=len(undo))
            return dict(undo)
        return {}

    def _wake_at(self, seconds: float | None) -> None:
        """Take what is on trial back after *seconds*, None: do not."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        trial = self._trial
        if seconds is not None and trial is not None:
            loop = asyncio.get_running_loop()
            why = "a part was refused before" if trial.ending else "nobody confirmed it in time"
            self._timer = loop.call_later(seconds, self._soon, trial, why)

    def _soon(self, trial: _Trial, why: str) -> None:
        loop = asyncio.get_running_loop()  # asked first: without one nothing is begun
        task = loop.create_task(self._overdue(trial, why))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _held(path: EntryPath, trial: _Trial) -> RpcError:
    whose = "" if trial.session is None else f" of session {trial.session}"
    text = (
        f"{path.kind} {path.name} is on trial by a confirmed commit{whose}:"
        " it can be changed once that is confirmed or cancelled"
    )
    at = path.instance_path()
    return RpcError.in_use(at, text).at(at, bindings_of(at))


def _too_long(limit: int) -> RpcError:
    path = "/nc:rpc/nc:commit/nc:confirm-timeout"
    text = f"a commit waits for {limit} s at most (limits.confirm_seconds); prolong it in time"
    return RpcError.invalid_value(path, text).at(path, {"nc": BASE_NS})


def _undo(entries: Mapping[EntryPath, bytes | None]) -> list[stored.Undo]:
    return [
        stored.Undo(
            path=stored.EntryPath(path.kind.value, path.tenant or "", path.name),
            xml=None if xml is None else xml.decode(),
        )
        for path, xml in entries.items()
    ]
