"""
A world without I/O for the domain: records, a VIM of dicts, calls under way, and time.

What an engine and a VIM do is done here one small deed at a time, so that a test chooses every
interleaving: a call takes effect at once, later than anybody waits, or never; its answer comes
at once, late, twice, or never.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import partial
from typing import Final, assert_never
from uuid import UUID, uuid5

from esc_daemon.domain.actions import Effect, events_with
from esc_daemon.domain.advance import advance
from esc_daemon.domain.advance.held import is_held
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
    SwitchServer,
    UpdateServer,
    VimCall,
    Watch,
)
from esc_daemon.domain.decompose import decompose_edit
from esc_daemon.domain.events import Event
from esc_daemon.domain.ids import Key, Kind, RecordId, ServerKey, VimId, VmId
from esc_daemon.domain.intent import Deployment, Resource, TenantVolume
from esc_daemon.domain.neighbours import answer
from esc_daemon.domain.plan import plan
from esc_daemon.domain.policy import DEFAULT_POLICY, Policy
from esc_daemon.domain.record import DeploymentRecord, Record, ResourceRecord
from esc_daemon.domain.specs import ResourceHandle, ServerStatus
from esc_daemon.domain.stages import Errand
from esc_daemon.domain.states import ResourceState
from esc_daemon.domain.step import Step
from esc_daemon.domain.triggers import (
    CallFailed,
    KpiCrossed,
    NeighbourTrigger,
    RecoveryPermitted,
    ResourceGone,
    ResourceMade,
    Restarted,
    ScriptsRan,
    ServerGone,
    Trigger,
    Woken,
)
from tests.domain.fake_vim import FakeServer
from tests.domain.fake_vims import FakeVims, Ghost
from tests.domain.untouched import check_untouched
from tests.order_of_kinds import out_of_turn, took

START: Final = datetime(2026, 1, 1, tzinfo=UTC)
VIM: Final = VimId("sim")
ROOM: Final = UUID(int=7)
_LOADS: Final = (Effect.SCALE_OUT, Effect.SCALE_IN)
MOST_DEEDS: Final = 3000
"""More deeds than this before everything rests: there is no end to them."""


class Luck(StrEnum):
    """What becomes of one call to the VIM."""

    DONE = "done"
    REFUSED = "refused"
    UNREACHED = "unreached"
    LOST = "lost"
    """It took effect, and nobody was told."""
    LATE = "late"
    """It takes effect after everybody stopped waiting, within the time to settle."""
    NEVER = "never"
    """Nobody was told, and it takes no effect either."""


@dataclass
class Flight:
    """A command under way; *answer* is on its way back once the VIM has done with it."""

    command: Command
    answer: Trigger | None = None
    luck: Luck | None = None


Edit = Mapping[Key, Deployment | Resource | None]
Slot = tuple[Key, str]


@dataclass
class World(FakeVims):
    """Everything there is."""

    policy: Policy = DEFAULT_POLICY
    now: datetime = START
    records: dict[Key, Record] = field(default_factory=dict)
    flights: dict[Slot, Flight] = field(default_factory=dict)
    strays: list[tuple[Key, Trigger]] = field(default_factory=list)
    """Answers that come although nobody waits: dropped after they were sent, or sent twice."""
    ghosts: list[Ghost] = field(default_factory=list)
    wakes: dict[Key, datetime] = field(default_factory=dict)
    log: list[Event] = field(default_factory=list)
    ids: int = 0
    ran: list[Errand] = field(default_factory=list)
    """Whose scripts ran to their end, well or not."""
    hanging: bool = False
    """Scripts that nothing waits for do not end."""
    asked: int = 0
    """How many commands were ever started."""
    bad_vms: set[VmId] = field(default_factory=set)
    """VMs that the VIM cannot build."""
    silent_vms: set[VmId] = field(default_factory=set)
    """VMs that never answer."""
    guarded: bool = False
    """Permits of recoveries come when a test lets them, else at once."""
    stuck: bool = False
    """The VIM refuses every removal."""

    # ---- northbound

    def apply(self, edit: Edit) -> None:
        """Take all of *edit* or, where one record refuses, nothing."""
        changes = [(key, edit[key]) for key in sorted(edit, key=str)]
        steps = [
            advance(at, self.records.get(at), trigger, self.now, self.policy)
            for at, trigger in decompose_edit(changes, self.records.get, self._new_id, VIM)
        ]
        assert len({step.key for step in steps}) == len(steps)
        for step in steps:
            self._commit(step)
        for step in steps:
            self._replan(step.key)
        self._permit()

    def _new_id(self) -> RecordId:
        self.ids += 1
        return RecordId(str(uuid5(ROOM, str(self.ids))))

    # ---- steps

    def tell(self, key: Key, trigger: Trigger) -> None:
        step = advance(key, self.records.get(key), trigger, self.now, self.policy)
        check_untouched(step, trigger)
        self._commit(step)
        self._replan(key)
        self._permit()

    def _permit(self) -> None:
        for slot, flight in list(self.flights.items()):
            asked = isinstance(flight.command, Permit) and not flight.command.begun
            if asked and not self.guarded and self.flights.get(slot) is flight:
                self.perform(slot, Luck.DONE)
                self.deliver(slot)

    def permits(self) -> list[Permit]:
        """Return the permits that are asked for or held."""
        return [f.command for f in self.flights.values() if isinstance(f.command, Permit)]

    def _commit(self, step: Step) -> None:
        assert step.before is self.records.get(step.key)
        if step.record is None:
            self.records.pop(step.key, None)
        else:
            self.records[step.key] = step.record
        assert not list(out_of_turn(step, self.records))
        self.log.extend(step.events)

    def _replan(self, key: Key) -> None:
        record = self.records.get(key)
        wanted: dict[str, Command] = {}
        self.wakes.pop(key, None)
        if record is not None:
            todo = plan(record, self.now)
            assert todo == plan(record, self.now)
            wanted = {command.slot: command for command in todo.commands}
            assert len(wanted) == len(todo.commands), "two commands with one slot"
            if todo.wake_at is not None:
                self.wakes[key] = todo.wake_at
        for (at, slot), flight in list(self.flights.items()):
            stands = flight.command == wanted.get(slot)
            droppable = Await | AwaitServer | Watch | Permit
            if at == key and not stands and isinstance(flight.command, droppable):
                del self.flights[at, slot]
                if flight.answer is not None:  # it was in the mailbox already
                    self.strays.append((at, flight.answer))
        for slot, command in sorted(wanted.items()):
            if (key, slot) not in self.flights:
                self.flights[key, slot] = Flight(command)
                self.asked += 1

    # ---- the VIM and the neighbours

    def perform(self, slot: Slot, luck: Luck) -> bool:
        """Let the call of *slot* happen; tell whether there is an answer now."""
        flight = self.flights[slot]
        if flight.answer is None:
            flight.luck = luck
            flight.answer = self._answer(slot[0], flight.command, luck)
        return flight.answer is not None

    def deliver(self, slot: Slot, *, twice: bool = False) -> None:
        """Bring the answer of *slot* home; *twice*: a copy of it comes later."""
        flight = self.flights.pop(slot)
        assert flight.answer is not None
        if twice:
            self.strays.append((slot[0], flight.answer))
        self.tell(slot[0], flight.answer)

    def _answer(self, at: Key, command: Command, luck: Luck) -> Trigger | None:
        match command:
            case Await():
                return self._neighbours(at, command)
            case AwaitServer(key=key):
                return self._look(command.vim, key, luck)
            case (
                EnsureServer()
                | ProveServer()
                | RemoveServer()
                | SwitchServer()
                | UpdateServer()
                | EnsureResource()
                | RemoveResource()
            ):
                return self._call(command, luck)
            case RunScripts(runner=runner, errand=errand):
                if self.hanging:
                    return None
                self.ran.append(errand)
                return ScriptsRan(runner=runner, errand=errand)
            case Watch():
                return None
            case Permit():
                return None if command.begun else RecoveryPermitted(server=command.server)
            case CheckVim():
                raise AssertionError("this world has no connectors")
            case _:
                assert_never(command)

    def _look(self, vim: VimId, key: ServerKey, luck: Luck) -> Trigger | None:
        luck = Luck.UNREACHED if vim in self.dead else luck
        if luck is not Luck.DONE:
            return CallFailed(
                subject=key, removal=False, error="no look", reached=luck is not Luck.UNREACHED
            )
        server = self.at(vim).found(key)
        if server is None:
            return ServerGone(key=key, looked=True)
        return None if server.status is ServerStatus.BUILD else self.at(vim).seen(server)

    def _call(self, command: VimCall, luck: Luck) -> Trigger:
        removal = isinstance(command, RemoveServer | RemoveResource)
        subject = command.key if isinstance(command.key, ServerKey) else command.id
        if removal and self.stuck:
            luck = Luck.REFUSED
        if command.vim in self.dead:
            luck = Luck.UNREACHED
        switch = command.number if isinstance(command, SwitchServer) else None
        failed = CallFailed(
            subject=subject,
            removal=removal,
            error=f"call {luck}",
            switch=switch,
            proof=isinstance(command, ProveServer),
        )
        if luck is Luck.REFUSED:
            return replace(failed, final=True)
        if luck is Luck.UNREACHED:
            return replace(failed, reached=False)
        if luck is Luck.NEVER:
            return failed
        if luck is Luck.LATE:
            self._haunt(command)
            return failed
        if isinstance(command, EnsureServer) and self.at(command.vim).full:
            return replace(failed, error="no host is up", final=True)
        answer = self._perform(command)
        return answer if luck is Luck.DONE else failed

    def _haunt(self, command: Command) -> None:
        """Send *command* after everybody stopped waiting: no look comes before it any more."""
        targets: tuple[str, ...] = ()
        if isinstance(command, ProveServer):
            return
        if isinstance(command, EnsureServer) and self.at(command.vim).found(command.key):
            return
        if isinstance(command, EnsureResource) and self.vim.resource(command.key):
            return
        if isinstance(command, RemoveServer):
            servers = self.at(command.vim).servers
            targets = tuple(i for i, s in servers.items() if s.key == command.key)
        if isinstance(command, RemoveResource):
            targets = tuple(i for i, at in self.vim.resources.items() if at == command.key)
        self.ghosts.append(Ghost(self.now + self.policy.settle, command, targets))

    def appear(self, ghost: Ghost) -> None:
        """Let a request that nobody waits for take effect after all."""
        self.ghosts.remove(ghost)
        match ghost.command:
            case EnsureServer():
                self._create(ghost.command)
            case EnsureResource(key=key, want=want):
                self.vim.create_resource(key, want)
            case SwitchServer(key=key, power=power):
                if (server := self.at(ghost.command.vim).found(key)) is not None:
                    server.switch(power)
            case UpdateServer():
                self.at(ghost.command.vim).update(ghost.command)
            case RemoveServer() | RemoveResource():
                for target in ghost.targets:
                    self.at(ghost.command.vim).servers.pop(target, None)
                    self.at(ghost.command.vim).resources.pop(target, None)
            case _:
                raise AssertionError(ghost)

    def _create(self, command: EnsureServer) -> FakeServer:
        deployments = (r for r in self.records.values() if isinstance(r, DeploymentRecord))
        self.note_beside(command, [left.vm for each in deployments for left in each.leftovers])
        return self.at(command.vim).create_server(command.key, command.spec)

    def _perform(self, command: VimCall) -> Trigger:
        vim = self.at(command.vim)
        match command:
            case EnsureServer(key=key):
                vim.remove_ports(command.removed)
                vim.stored.before(command)
                return vim.seen(vim.found(key) or self._create(command))
            case ProveServer():
                return vim.prove(command)
            case RemoveServer():
                return vim.remove(command)
            case SwitchServer():
                return vim.switch(command)
            case UpdateServer():
                return vim.update(command)
            case EnsureResource(key=at, id=id_, want=want):
                made = vim.resource(at) or vim.create_resource(at, want)
                vim.wants[at] = want
                project = want.name if at.kind is Kind.TENANT else ""
                size_gib = want.size_gib if isinstance(want, TenantVolume) else 0
                handle = ResourceHandle(
                    vim=command.vim, resource_id=made, project=project, size_gib=size_gib
                )
                return ResourceMade(id=id_, handle=handle)
            case RemoveResource(key=at, id=id_):
                vim.resources = {i: k for i, k in vim.resources.items() if k != at}
                return ResourceGone(id=id_)
            case AwaitServer():
                raise AssertionError(command)  # a look is no call that changes anything
            case _:
                assert_never(command)

    def build(self, server: FakeServer) -> None:
        """Let the VIM end the building of *server*."""
        bad = server.key.vm in self.bad_vms
        server.status = ServerStatus.ERROR if bad else ServerStatus.ACTIVE
        server.fault = "No valid host was found" if bad else ""

    def _neighbours(self, key: Key, wait: Await) -> NeighbourTrigger | None:
        return answer(
            key,
            wait,
            self.records.get,
            lambda tenant: [r for at, r in self.records.items() if at.tenant == tenant],
            partial(took, self.records),
        )

    # ---- monitors

    def watches(self) -> list[tuple[Key, Watch]]:
        return [
            (key, flight.command)
            for (key, _), flight in self.flights.items()
            if isinstance(flight.command, Watch)
        ]

    def cross(self, key: Key, watch: Watch, *, holds: bool = True) -> None:
        """Let the monitor see the VM's KPIs cross, but those of its load."""
        for kpi in watch.kpis:
            if any(kpi.event_name in events_with(watch.rules, effect) for effect in _LOADS):
                continue
            self.tell(key, KpiCrossed(server=watch.server, event_name=kpi.event_name, holds=holds))

    def speaks(self, watch: Watch) -> bool:
        """Tell whether the guest under *watch* is there to answer."""
        server = self.at(watch.vim).found(watch.server)
        return server is not None and server.is_on and watch.server.vm not in self.silent_vms

    # ---- time and restarts

    def sleep(self, seconds: float, *, ghosts_act: bool = True) -> None:
        """Let time go by; a ghost acts at its last moment, or vanishes."""
        self.now += timedelta(seconds=seconds)
        for ghost in [g for g in self.ghosts if g.until <= self.now]:
            if ghosts_act:
                self.appear(ghost)
            else:
                self.ghosts.remove(ghost)
        for key in [key for key, wake in self.wakes.items() if wake <= self.now]:
            self.tell(key, Woken())

    def restart(self, lucks: Mapping[Slot, Luck] | None = None) -> None:
        """Forget all that is not a record; a call that was under way may still take effect."""
        flights, self.flights = self.flights, {}
        self.strays.clear()
        self.wakes.clear()
        for slot, flight in flights.items():
            luck = (lucks or {}).get(slot, Luck.NEVER)
            calls = isinstance(flight.command, VimCall) and not isinstance(
                flight.command, AwaitServer
            )
            if calls and flight.answer is None:
                self._answer(slot[0], flight.command, luck)
        self.sleep(1)
        for key in list(self.records):
            self.tell(key, Restarted())

    def set_clock(self, seconds: float) -> None:
        """Set the clock before a restart; what is on its way takes as long as it did."""
        self.now += timedelta(seconds=seconds)
        for ghost in self.ghosts:
            ghost.until += timedelta(seconds=seconds)

    # ---- to the end

    def rest(self, *, strays: bool = True) -> None:
        """Let everything go well until nothing is left to do."""
        for _ in range(MOST_DEEDS):
            if not self._deed(strays=strays):
                return
        raise AssertionError("it never comes to rest", self.flights, self.wakes)

    def _deed(self, *, strays: bool) -> bool:
        for each in self.servers():
            if each.status is ServerStatus.BUILD:
                self.build(each)
        for key, watch in self.watches():
            if self.speaks(watch) and self._inert(key, watch):
                self.cross(key, watch)
                return True
        if strays and self.strays:
            self.tell(*self.strays.pop(0))
            return True
        for slot in list(self.flights):
            if self.perform(slot, Luck.DONE):
                self.deliver(slot)
                return True
        moments = [*self.wakes.values(), *(ghost.until for ghost in self.ghosts)]
        if not moments or ((self.stuck or self.dead) and not self._hurried()):
            return False
        self.sleep(max(0.0, (min(moments) - self.now).total_seconds()))
        return True

    def _inert(self, key: Key, watch: Watch) -> bool:
        record = self.records[key]
        assert isinstance(record, DeploymentRecord)
        vm = record.vms[watch.server.vm]
        queued = vm.recovery is not None and vm.recovery.queued is not None
        return vm.deadline is not None or is_held(vm) or queued

    def _hurried(self) -> bool:
        """Tell whether anybody but a leftover waits for a moment."""
        for record in self.records.values():
            if isinstance(record, DeploymentRecord):
                if any(vm.attempt or vm.deadline for vm in record.vms.values()):
                    return True
            elif (
                isinstance(record, ResourceRecord)
                and record.attempt is not None
                and record.state is not ResourceState.LEFTOVER
            ):
                return True
        return bool(self.ghosts)

    # ---- what is there

    def deployment(self, key: Key) -> DeploymentRecord:
        record = self.records[key]
        assert isinstance(record, DeploymentRecord)
        return record

    def told(self, *kinds: str) -> list[Event]:
        return [event for event in self.log if not kinds or event.type in kinds]

    def types(self) -> list[str]:
        return [event.type + " FAILURE" * (event.status != "SUCCESS") for event in self.log]
