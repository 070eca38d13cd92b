"""
Commands become calls (DESIGN section 4, step 7).

The performer knows for each record which commands are in flight. A new plan lets finish what
may have taken effect, drops what is only waiting or watching, and starts what is new; every
call answers with exactly one trigger, after which the engine plans again.
"""

import asyncio
import contextvars
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Final, NamedTuple, assert_never

import structlog
from structlog.contextvars import bind_contextvars

from esc_daemon.dayzero.base import DayZeroError, DayZeroReader, DayZeroRefused
from esc_daemon.dayzero.images import ImageError, ImageRefused
from esc_daemon.domain.actions import Effect, effect_of
from esc_daemon.domain.commands import (
    Await,
    AwaitServer,
    CheckVim,
    Command,
    EnsureResource,
    EnsureServer,
    Permit,
    ProveServer,
    RemoveResource,
    RemoveServer,
    RunScripts,
    ServerCall,
    SwitchServer,
    UpdateServer,
    VimCall,
    Watch,
    permit_slot,
    watch_slot,
)
from esc_daemon.domain.connectors import connector_key
from esc_daemon.domain.errors import excerpt
from esc_daemon.domain.ids import (
    Key,
    Kind,
    OperationId,
    RecordId,
    ServerKey,
    VmId,
    parts_of,
    vm_ids,
)
from esc_daemon.domain.intent import Image
from esc_daemon.domain.kpi import actions
from esc_daemon.domain.specs import HookScript
from esc_daemon.domain.triggers import (
    CallFailed,
    KpiCrossed,
    ScriptsRan,
    Trigger,
    VimChecked,
    VimDoubted,
)
from esc_daemon.engine.calls import NothingAsked, perform, run_scripts
from esc_daemon.engine.guard import Guard
from esc_daemon.engine.neighbours import Neighbours
from esc_daemon.engine.uploads import Uploads
from esc_daemon.engine.vims import Vims
from esc_daemon.monitor.hooks import HookFailed, HookRunner
from esc_daemon.monitor.monitor import Monitor, OnCrossing
from esc_daemon.vim.base import OPERATION, VimError, VimRefused, VimUnanswered, VimUnreachable

log = structlog.get_logger()

_CLOSING_SECONDS: Final = 5.0
"""How long a stop waits for calls under way; what is cut off is looked for after the restart."""

_LONGEST_VALUE: Final = 100


@dataclass(slots=True)
class _Running:
    command: Command
    task: asyncio.Task[None] | None = None
    answered: bool = False
    scripted: bool = False
    """Whether a script of it runs, or waits for its turn: meanwhile nothing is asked of the VIM."""
    begun: bool = False
    """Whether the turn of the script that runs has come."""
    seconds: float = 0.0
    """How long its scripts took, their waits for a turn included."""
    about: Mapping[str, str | None] = field(default_factory=dict)


class Performer:
    """Starts, keeps and drops commands; at most one in flight for each slot of a record."""

    def __init__(
        self,
        *,
        vims: Vims,
        monitor: Callable[[OnCrossing], Monitor],
        neighbours: Neighbours,
        guard: Guard,
        day_zero: DayZeroReader,
        hooks: HookRunner,
        uploads: Uploads,
        tell: Callable[[Key, Trigger], None],
    ) -> None:
        self._vims = vims
        self.monitor: Final = monitor(self._crossed)
        self._neighbours = neighbours
        self._guard = guard
        self._day_zero = day_zero
        self._hooks = hooks
        self._uploads = uploads
        self._tell = tell
        self._running: dict[Key, dict[str, _Running]] = {}
        self._watched: dict[VmId, Key] = {}
        self._closed = False

    @property
    def in_flight(self) -> int:
        """Return how many calls and scripts are under way; checks of connectors never end."""
        return sum(
            run.task is not None and not isinstance(run.command, CheckVim)
            for slots in self._running.values()
            for run in slots.values()
        )

    def ensure(
        self, key: Key, commands: Iterable[Command], operation: OperationId | None = None
    ) -> None:
        """
        Make *commands* the ones that are under way for the record of *key*.

        What is started now belongs to *operation*, in the log and in the VIM's.
        """
        if self._closed:
            return
        # in a fixed order, which a set has not: a simulated run must repeat exactly
        wanted = {command.slot: command for command in sorted(commands, key=_slot)}
        running = self._running.get(key)
        if running is None:
            if not wanted:
                return
            running = self._running[key] = {}
        for slot, run in tuple(running.items()):
            if wanted.get(slot) == run.command and not run.answered:
                del wanted[slot]
            elif not self._dropped(key, run, wanted.get(slot)):
                wanted.pop(slot, None)  # its turn comes when the call has answered
            else:
                running.pop(slot, None)
        if wanted:
            under = _under(key, operation)
            for slot, command in wanted.items():
                self._start(key, slot, command, running, under)
        if not running:
            self._running.pop(key, None)

    def _dropped(self, key: Key, run: _Running, instead: Command | None) -> bool:
        match run.command:
            case Await():
                self._neighbours.forget(key)
                return True
            case Watch(server=server):
                self.monitor.disarm(server.vm)
                self._watched.pop(server.vm, None)
                return True
            case Permit(server=server):
                self._guard.forget(server.vm)
                return True
            case _ if _may_be_cut(run, instead):
                if run.task is not None:
                    run.task.cancel()
                return True
            case _:
                return False

    def _start(
        self,
        key: Key,
        slot: str,
        command: Command,
        running: dict[str, _Running],
        under: "_Under",
    ) -> None:
        match command:
            case Await():
                running[slot] = _Running(command)
                self._neighbours.wait(key, command)
            case Watch():
                running[slot] = _Running(command, about=under.about)
                self._watched[command.server.vm] = key
                self.monitor.arm(command, under.about, company=f"{key.tenant}/{key.name}")
            case Permit():
                running[slot] = _Running(command)
                self._guard.ask(key, command)
            case EnsureServer() | AwaitServer() | RemoveServer():
                self._call(key, slot, command, running, under.context)
            case SwitchServer() | UpdateServer() | ProveServer():
                self._call(key, slot, command, running, under.context)
            case EnsureResource() | RemoveResource():
                self._call(key, slot, command, running, under.context)
            case RunScripts() | CheckVim():
                self._call(key, slot, command, running, under.context)
            case _:
                assert_never(command)

    def answered(self, key: Key) -> None:
        """Note that the record's wait for its neighbours is over."""
        self._running.get(key, {}).pop("await", None)

    def permitted(self, key: Key, vm: VmId) -> None:
        """Note that the permit of *vm* was answered: who still wants one asks anew."""
        run = self._running.get(key, {}).get(permit_slot(vm))
        if run is not None:
            run.answered = True

    def _call(
        self,
        key: Key,
        slot: str,
        call: VimCall | RunScripts | CheckVim,
        running: dict[str, _Running],
        context: contextvars.Context,
    ) -> None:
        run = _Running(call)
        running[slot] = run
        own = context.copy()
        if isinstance(call, ServerCall):
            own.run(bind_contextvars, **vm_ids(call.name, call.key.vm))
        elif isinstance(call, RunScripts) and call.errand.vm is not None:
            own.run(bind_contextvars, **vm_ids(call.errand.name, call.errand.vm))
        run.task = asyncio.create_task(self._answer(key, slot, call, run), context=own)

    async def _answer(
        self, key: Key, slot: str, call: VimCall | RunScripts | CheckVim, run: _Running
    ) -> None:
        if isinstance(call, CheckVim):
            trigger: Trigger = await self._checked(call)
        elif isinstance(call, RunScripts):
            trigger = await self._ran(key, call, _Noting(self._hooks, run))
        else:
            trigger = await self._outcome(call, run)
        slots = self._running.get(key)
        if slots is not None and slots.get(slot) is run:
            del slots[slot]
            if not slots:
                del self._running[key]
        self._tell(key, trigger)

    async def _outcome(self, call: VimCall, run: _Running) -> Trigger:
        """Return the call's one answer, whatever happens, and count it."""
        trigger = await self._performed(call, _Noting(self._hooks, run))
        result = "ok"
        if isinstance(trigger, CallFailed):
            result = "refused" if trigger.final else "failed"
            waited = run.seconds
            if isinstance(call, EnsureResource):
                waited = self._uploads.waited.pop(call.key, 0.0)
            trigger = replace(trigger, waited=timedelta(seconds=waited))
        self._vims.count(call.vim, type(call).__name__, result)
        return trigger

    async def _performed(self, call: VimCall, hooks: HookRunner) -> Trigger:
        try:
            with self._vims.using(call.vim) as connection:
                driver, asking = connection.driver, connection.asking
                return await perform(
                    driver,
                    call,
                    asking,
                    self._day_zero,
                    hooks=hooks,
                    uploads=self._uploads,
                )
        except HookFailed as error:
            asked = not isinstance(error, NothingAsked)
            return _told(call, _failure(call, str(error), final=True, reached=asked))
        except DayZeroError as error:
            final = isinstance(error, DayZeroRefused)
            return _told(call, _failure(call, str(error), final=final, reached=False))
        except ImageError as error:
            final = isinstance(error, ImageRefused)
            return _told(call, _failure(call, str(error), final=final))
        except VimRefused as error:
            return _told(call, _failure(call, str(error), final=True))
        except VimUnreachable as error:
            self._doubt(call)
            return _told(call, _failure(call, str(error), reached=False))
        except VimError as error:
            if isinstance(error, VimUnanswered):
                self._doubt(call)
            return _told(call, _failure(call, str(error)))
        except TimeoutError:
            self._doubt(call)
            error_text = f"no answer within {self._vims.call_timeout:g} s"
            return _told(call, _failure(call, error_text))
        except Exception as error:
            log.exception("vim.call_broke", call=type(call).__name__, vim=call.vim)
            return _failure(call, f"internal error in the VIM driver: {type(error).__name__}")

    def _doubt(self, call: VimCall) -> None:
        self._tell(connector_key(call.vim), VimDoubted())

    async def _ran(self, key: Key, run: RunScripts, hooks: HookRunner) -> ScriptsRan:
        """Run the scripts of a stage to their end, whatever happens; nobody but the log is told."""
        about = {**parts(key), "stage": run.errand.stage.value}
        try:
            await run_scripts(run.errand.scripts, hooks)
        except HookFailed as error:
            log.warning("stage.script_failed", **about, error=excerpt(str(error)))
        except Exception:
            log.exception("stage.script_broke", **about)
        else:
            log.info("stage.scripts_ran", **about, scripts=len(run.errand.scripts))
        return ScriptsRan(runner=run.runner, errand=run.errand)

    async def _checked(self, check: CheckVim) -> VimChecked:
        """Return what the check found, whatever happens."""
        found = await self._vims.checked(check.vim)
        detail = excerpt(found.detail)
        return VimChecked(connector=check.connector, status=found.status, detail=detail)

    def _crossed(
        self,
        server: ServerKey,
        event_name: str,
        holds: bool,  # noqa: FBT001  the monitor's signature
        value: str,
        blind: bool = False,  # noqa: FBT001, FBT002  as above
    ) -> None:
        key = self._watched.get(server.vm)
        if key is not None:
            self._log_crossing(key, server, event_name, holds=holds, value=value)
            crossed = KpiCrossed(
                server=server, event_name=event_name, holds=holds, value=value, blind=blind
            )
            self._tell(key, crossed)

    def _log_crossing(
        self,
        key: Key,
        server: ServerKey,
        event_name: str,
        *,
        holds: bool,
        value: str,
    ) -> None:
        """Do what the action ``ALWAYS log`` asks for, once for each crossing."""
        run = self._running.get(key, {}).get(watch_slot(server.vm))
        if run is None or not isinstance(run.command, Watch):
            return
        follows = actions(run.command.rules, event_name, holds=holds)
        if any(effect_of(action) is Effect.LOG for action in follows):
            value = excerpt(value, _LONGEST_VALUE)
            ids = vm_ids(run.command.name, server.vm)
            log.info("rule.log", **run.about, **ids, kpi=event_name, holds=holds, value=value)

    async def close(self) -> None:
        """Start nothing more; give calls under way a moment to answer, then leave them."""
        self._closed = True
        await self.monitor.close()
        running = [run for slots in self._running.values() for run in slots.values()]
        tasks = [run.task for run in running if run.task is not None]
        for run in running:
            cut = isinstance(run.command, CheckVim | EnsureResource) and _may_be_cut(run)
            again = isinstance(run.command, RunScripts)  # after the restart, whatever it does
            if run.task is not None and (cut or again):
                run.task.cancel()
        self._running.clear()
        if tasks:
            _, pending = await asyncio.wait(tasks, timeout=_CLOSING_SECONDS)
            for task in pending:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def _may_be_cut(run: _Running, instead: Command | None = None) -> bool:
    """
    Tell whether nobody needs the answer of *run* once it is wanted no more, but *instead*.

    A look changes nothing. An upload may take hours, and what it leaves is looked for later: who
    is to go waits until nothing can turn up any more, as after a restart. So it is with an update
    whose script runs, if the VM is to go. A script that nothing waits for is let run once begun.
    """
    command = run.command
    if isinstance(command, EnsureResource):
        return isinstance(command.want, Image)
    if isinstance(command, UpdateServer):
        return run.scripted and not isinstance(instead, UpdateServer)
    if isinstance(command, RunScripts):
        return not run.begun
    return isinstance(command, AwaitServer | ProveServer | CheckVim)


class _Noting:
    """Runs scripts of a command, and notes in *run* what becomes of them (HookRunner)."""

    def __init__(self, hooks: HookRunner, run: _Running) -> None:
        self._hooks = hooks
        self._run = run

    async def run(self, script: HookScript, begins: Callable[[], None] | None = None) -> None:
        """See HookRunner."""
        loop = asyncio.get_running_loop()
        came = loop.time()
        self._run.scripted = True
        try:
            await self._hooks.run(script, begins or self._begins)
        finally:
            self._run.scripted = self._run.begun = False
            self._run.seconds += loop.time() - came

    def _begins(self) -> None:
        self._run.begun = True


def _told(call: VimCall, failure: CallFailed) -> CallFailed:
    """Let the operator see it: a call that is tried again tells no event."""
    log.warning(
        "vim.call_failed",
        call=type(call).__name__,
        **_about(call),
        vim=call.vim,
        error=failure.error,
        refused=failure.final,
    )
    return failure


def _about(call: VimCall) -> dict[str, object]:
    match call:
        case EnsureResource(key=key) | RemoveResource(key=key):
            name = "/".join(parts_of(key.name))
            return {"kind": key.kind.value, "tenant": key.tenant, "name": name}
        case _:
            return {**vm_ids(call.name, call.key.vm), "generation": call.key.generation}


def parts(key: Key) -> dict[str, str | None]:
    """Return what a log line calls the record of *key*."""
    name = "/".join(parts_of(key.name))
    if key.kind is Kind.DEPLOYMENT:
        return {"tenant": key.tenant, "deployment": name}
    return {"kind": key.kind.value, "tenant": key.tenant, "name": name}


class _Under(NamedTuple):
    """What all commands of one plan are started under."""

    about: Mapping[str, str | None]
    context: contextvars.Context


def _under(key: Key, operation: OperationId | None) -> _Under:
    about = {"operation": operation, **parts(key)}
    context = contextvars.copy_context()
    if operation is not None:
        context.run(_belong, operation, about)
    return _Under(about, context)


def _belong(operation: OperationId, about: Mapping[str, str | None]) -> None:
    """Bind to this context what each line of a call is found by, and tell the driver."""
    OPERATION.set(operation)
    bind_contextvars(**about)


def _slot(command: Command) -> str:
    return command.slot


def _failure(call: VimCall, error: str, *, final: bool = False, reached: bool = True) -> CallFailed:
    subject: ServerKey | RecordId
    match call:
        case EnsureResource(id=id_) | RemoveResource(id=id_):
            subject = id_
        case _:
            subject = call.key
    # looking changes nothing in the VIM, so it cannot leave anything there unknown
    looked = isinstance(call, AwaitServer | ProveServer)
    return CallFailed(
        subject=subject,
        removal=isinstance(call, RemoveServer | RemoveResource),
        error=excerpt(error),
        final=final and not isinstance(call, AwaitServer),
        reached=reached and not looked,
        switch=call.number if isinstance(call, SwitchServer) else None,
        proof=isinstance(call, ProveServer),
    )
