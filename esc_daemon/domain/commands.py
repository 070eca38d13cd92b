"""
What is to be done next, derived by `plan` and never stored.

Two commands with the same `slot` are never in flight together. A command that no longer stands
in the plan is dropped where that is safe (waiting, watching) and otherwise let finish: a call
to a VIM may have taken effect already.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from esc_daemon.domain.changed import quick
from esc_daemon.domain.ids import (
    EditId,
    Key,
    PortKey,
    RecordId,
    ServerKey,
    VimId,
    VmId,
    VolumeKey,
)
from esc_daemon.domain.intent import DayZero, Kpi, Resource, Rule, VimConnector
from esc_daemon.domain.specs import HookScript, Power, ResourceHandle, ServerSpec
from esc_daemon.domain.stages import Errand


class Until(StrEnum):
    """What a record waits for in its neighbours."""

    READY = "ready"
    """They are active. Without a record: not ours, the VIM will know."""

    GONE = "gone"
    """They have left, or rest as leftovers."""

    RELEASED = "released"
    """A deployment has no VM any more."""

    CHILDLESS = "childless"
    """No other record stands under the tenant."""


@quick
@dataclass(kw_only=True, slots=True, frozen=True)
class Await:
    """
    Wait for neighbours; answered by ResourcesReady, ResourceFailed or NeighboursGone.

    *neighbours* are keys with the incarnation that counts (None: whichever there is). *waiter*
    is the incarnation that waits: it stands in the answer, which may come after its end. *edit*:
    what this edit brought or takes away, and is of a kind before, is waited for too.
    """

    until: Until
    waiter: RecordId
    neighbours: tuple[tuple[Key, RecordId | None], ...]
    edit: EditId | None = None

    @property
    def slot(self) -> str:
        """One wait at a time."""
        return "await"


def call_slot(vim: VimId, vm: VmId) -> str:
    """Return the slot of calls about *vm* in *vim*; another one may still have a leftover of it."""
    return f"server {vm} {vim}"


@quick
@dataclass(kw_only=True, slots=True, frozen=True)
class EnsureServer:
    """
    Day-0 files, ports and volumes, then the server; answered by ServerSeen or CallFailed.

    *removed* are ports of the generation before that go first, as in `UpdateServer`; so are
    *deleted* volumes that were made for it.
    *day_zero* is read anew each time. *index* is the VM's number in its group, which chooses the
    values of its variables; *given* are variables besides these (`day_zero.configured`).
    """

    vim: VimId
    key: ServerKey
    spec: ServerSpec = field(compare=False, repr=False)
    day_zero: tuple[DayZero, ...] = field(default=(), compare=False, repr=False)
    index: int = field(default=0, compare=False)
    given: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)
    removed: tuple[tuple[PortKey, str | None], ...] = field(default=(), compare=False)
    deleted: tuple[VolumeKey, ...] = field(default=(), compare=False)

    @property
    def name(self) -> str:
        """The VM's name."""
        return self.spec.name

    @property
    def slot(self) -> str:
        """One call about a VM at a time in a VIM."""
        return call_slot(self.vim, self.key.vm)


@quick
@dataclass(kw_only=True, slots=True, frozen=True)
class AwaitServer:
    """
    Look until the server has left BUILD.

    Answered by ServerSeen, ServerGone with *looked*, or CallFailed. *name* is the VM's.
    """

    vim: VimId
    key: ServerKey
    name: str = field(default="", compare=False)

    @property
    def slot(self) -> str:
        """One call about a VM at a time in a VIM."""
        return call_slot(self.vim, self.key.vm)


@quick
@dataclass(kw_only=True, slots=True, frozen=True)
class RemoveServer:
    """
    The server, then its VM's ports; answered by ServerGone or CallFailed. *name* is the VM's.

    *ports* False: these stay, for the next generation of the server. *volumes* were made for the
    VM and go with it.
    """

    vim: VimId
    key: ServerKey
    name: str = field(default="", compare=False)
    ports: bool = True
    volumes: tuple[VolumeKey, ...] = field(default=(), compare=False)

    @property
    def slot(self) -> str:
        """One call about a VM at a time in a VIM."""
        return call_slot(self.vim, self.key.vm)


@quick
@dataclass(kw_only=True, slots=True, frozen=True)
class SwitchServer:
    """
    Switch the server, then look until it is so.

    Answered by ServerSwitched, ServerGone with *looked*, or CallFailed. *name* is the VM's;
    *number*, which of its switches this is, stands in the first and in the last of these.
    """

    vim: VimId
    key: ServerKey
    power: Power
    number: int
    name: str = field(default="", compare=False)

    @property
    def slot(self) -> str:
        """One call about a VM at a time in a VIM."""
        return call_slot(self.vim, self.key.vm)


@quick
@dataclass(kw_only=True, slots=True, frozen=True)
class EnsureResource:
    """
    Answered by ResourceMade or CallFailed.

    *parent* is the tenant's or the network's handle, *handle* what it was before it changed.
    """

    vim: VimId
    key: Key
    id: RecordId
    want: Resource = field(compare=False)
    parent: ResourceHandle | None = field(default=None, compare=False)
    handle: ResourceHandle | None = field(default=None, compare=False)

    @property
    def slot(self) -> str:
        """One call about a resource at a time."""
        return "resource"


@quick
@dataclass(kw_only=True, slots=True, frozen=True)
class RemoveResource:
    """Answered by ResourceGone or CallFailed."""

    vim: VimId
    key: Key
    id: RecordId
    made: Resource = field(compare=False)
    handle: ResourceHandle | None = field(default=None, compare=False)
    parent: ResourceHandle | None = field(default=None, compare=False)

    @property
    def slot(self) -> str:
        """One call about a resource at a time."""
        return "resource"


@dataclass(kw_only=True, slots=True, frozen=True)
class UpdateServer:
    """
    Exchange what it boots from, remove what it loses, add what it lacks of *spec*, resize, look.

    Answered by ServerUpdated, ServerGone with *looked*, or CallFailed. *removed* are ports with
    their ids in the VIM, where these are known; so are *detached* volumes, of which *deleted* were
    made for the VM. *rooted*: it is to boot from another of its volumes than before. Of *spec* the
    ports, the volumes and, if *resized*, the flavor count.
    *before_detach* run before all else, *after_attach* once it has its volumes, *scripts* last; if
    nobody hears of their end, they run again.
    """

    vim: VimId
    key: ServerKey
    spec: ServerSpec = field(compare=False, repr=False)
    removed: tuple[tuple[PortKey, str | None], ...] = ()
    rooted: bool = False
    resized: bool = False
    before_detach: tuple[HookScript, ...] = ()
    after_attach: tuple[HookScript, ...] = ()
    scripts: tuple[HookScript, ...] = ()
    detached: tuple[tuple[VolumeKey, str | None], ...] = ()
    deleted: tuple[VolumeKey, ...] = ()

    @property
    def name(self) -> str:
        """The VM's name."""
        return self.spec.name

    @property
    def slot(self) -> str:
        """One call about a VM at a time in a VIM."""
        return call_slot(self.vim, self.key.vm)


@quick
@dataclass(kw_only=True, slots=True, frozen=True)
class ProveServer:
    """
    Look whether *vim* could have the server *key* as *spec* says; nothing is made.

    Answered by ServerProven or CallFailed. Its *day_zero* files are read as for a server.
    """

    vim: VimId
    key: ServerKey
    spec: ServerSpec = field(compare=False, repr=False)
    day_zero: tuple[DayZero, ...] = field(default=(), compare=False, repr=False)

    @property
    def name(self) -> str:
        """The VM's name."""
        return self.spec.name

    @property
    def slot(self) -> str:
        """One call about a VM at a time in a VIM."""
        return call_slot(self.vim, self.key.vm)


def watch_slot(vm: VmId) -> str:
    """Return the slot of the watch of *vm*."""
    return f"watch {vm}"


@quick
@dataclass(kw_only=True, slots=True, frozen=True)
class Watch:
    """
    Keep the server's KPIs under watch for as long as this stands; answered by KpiCrossed.

    *addresses* are (nicid, address), those of one nicid in their order. *rules* are those of the
    group, by which a crossing is logged, *name* is the VM's. *heals* tells whether a loss of life
    would be taken up now, by whichever KPI: as soon as it is, the KPIs are watched anew and what
    was lost meanwhile is told again. So it is with each of the *armings*.
    """

    vim: VimId
    server: ServerKey
    server_id: str
    addresses: tuple[tuple[int, str], ...]
    kpis: tuple[Kpi, ...] = field(hash=False)
    rules: tuple[Rule, ...] = field(default=(), hash=False)
    heals: bool = True
    armings: int = 0
    name: str = field(default="", compare=False)

    @property
    def slot(self) -> str:
        """One watch a VM; the next generation's takes its place."""
        return watch_slot(self.server.vm)


def permit_slot(vm: VmId) -> str:
    """Return the slot of the permit of *vm*."""
    return f"permit {vm}"


@quick
@dataclass(kw_only=True, slots=True, frozen=True)
class Permit:
    """
    Leave to recover a VM, held from before a round of its recovery begins to its end (ruling 18).

    It is asked for anew before each further round. Answered by RecoveryPermitted
    where it has not *begun*. *since* is when the VM was lost, or when its last round had failed;
    *lived*: it was alive until then, *watched*: it has KPIs. *window* is how many seconds later
    another VM may be known to be lost by what ended this one's life, *chance* how many it takes
    until life that returns is told, and never more than a boot has.
    """

    vim: VimId
    host: str
    server: ServerKey
    since: datetime
    begun: bool = False
    lived: bool = field(default=True, compare=False)
    watched: bool = field(default=True, compare=False)
    window: float = field(default=0.0, compare=False)
    chance: float = field(default=0.0, compare=False)

    @property
    def slot(self) -> str:
        """One recovery of a VM at a time."""
        return permit_slot(self.server.vm)


@quick
@dataclass(kw_only=True, slots=True, frozen=True)
class RunScripts:
    """
    Run the scripts of *errand* of the incarnation *runner*, which waits for nothing of them.

    Answered by ScriptsRan, however they end. If nobody hears of their end, they run again.
    """

    runner: RecordId
    errand: Errand

    @property
    def slot(self) -> str:
        """Nothing waits for another's scripts, nor for those of the incarnation before."""
        return f"scripts {self.runner} {self.errand.stage} {self.errand.vm or ''}"


@quick
@dataclass(kw_only=True, slots=True, frozen=True)
class CheckVim:
    """Look whether the VIM of *connector* can be reached and lets us in; answered by VimChecked."""

    vim: VimId
    connector: VimConnector

    @property
    def slot(self) -> str:
        """One check of a connector at a time."""
        return "check"


ServerCall = EnsureServer | AwaitServer | RemoveServer | SwitchServer | UpdateServer | ProveServer
VimCall = ServerCall | EnsureResource | RemoveResource
Command = Await | VimCall | Watch | Permit | RunScripts | CheckVim
