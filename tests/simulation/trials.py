"""
Commits of the candidate in the simulation, confirmed ones too, and what must have become of them.

A client knows of a commit on trial what it was told: until when it waits, what it changed, what is
to go with it. Its end, by a word or by time, must be whole: all of it stays or all is as before.
"""

import asyncio
from collections.abc import Awaitable, Iterator, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any, Final

from esc_daemon.datamodel.datastore import Datastore
from esc_daemon.domain.ids import Key, Kind
from esc_daemon.domain.intent import Deployment, Tenant, VmGroup
from esc_daemon.domain.placing import addresses_of, pooled, uses
from esc_daemon.domain.record import DeploymentRecord, Record, VmRecord
from esc_daemon.domain.states import ServiceState, VmState
from esc_daemon.domain.uses import named_by
from esc_daemon.netconf.errors import ErrorTag, RpcError, RpcErrors
from esc_daemon.netconf.messages import Commit
from esc_daemon.northbound.configuration import Configuration
from tests.simulation.homes import CONNECTOR_KINDS
from tests.simulation.papers import intents_in
from tests.simulation.requests import Edit, any_deployment
from tests.simulation.rights import USER
from tests.simulation.sessions import CANDIDATE, RUNNING, Client, Sessions
from tests.simulation.wishes import Wish

if TYPE_CHECKING:
    from tests.simulation.life import Life

REFUSED: Final = (RpcError, RpcErrors)
CLOSE_SECONDS: Final = 1.0
"""So close to its end nobody can say which word came first."""


@dataclass
class Trial:
    """A confirmed commit that waits, by what its client knows; times are those of the loop."""

    undo: dict[Key, Any] = field(default_factory=dict)
    """What was before of all that it made or changed, None for nothing."""
    made: dict[Key, Any] = field(default_factory=dict)
    persist: str | None = None
    session: int = 0
    """The session-id of the client, 0 where it outlives its session."""
    ends: float = 0.0
    ending: bool = False
    """Nobody can confirm it any more: it is being taken back, or was."""
    since: dict[Key, Any] = field(default_factory=dict)
    """What others made of it when it was perhaps over."""

    @property
    def left(self) -> float:
        """For how many seconds it waits still."""
        return self.ends - asyncio.get_running_loop().time()

    @property
    def waits(self) -> bool:
        """Whether it certainly can be confirmed."""
        return not self.ending and self.left > CLOSE_SECONDS


class Trials:
    """The client that commits; *wishes* are what running should be."""

    def __init__(self, wishes: dict[Key, Wish], random: Random) -> None:
        self._wishes = wishes
        self._random = random
        self._client: Client | None = None
        self._draft: dict[Key, Any] = {}
        """
        What the candidate holds that running does not: what a commit on trial is to remove, and
        what a commit that was refused left there. The next commit takes all of it.
        """
        self._held: dict[Key, Any] = {}
        """What of it goes once the commit on trial is confirmed, whoever discards the rest."""
        self._trial: Trial | None = None
        self._asked: Trial | None = None
        """A confirmed commit that was not answered yet."""
        self._confirming = False
        """Whether a confirmation was not answered yet."""
        self.problems: list[str] = []

    def _wanted(self, key: Key) -> Any:
        return self._wishes[key].intent if key in self._wishes else None

    # ------------------------------------------------------------------ what it does

    async def go_on(self, life: "Life", edit: Edit) -> None:
        """Commit *edit*, or go on with the commit that waits."""
        sessions = life.sessions
        assert life.configuration is not None
        assert life.datastore is not None
        assert sessions is not None
        self.look(life.configuration, life.datastore)
        trial = self._trial
        if self._client is None or not self._client.open:
            self._client = await sessions.connected(USER)
        client = self._client
        if self._random.random() < 0.5:
            await self._unlock(client)
        if trial is None:
            await self._begin(client, self._some_removal() or edit)
        elif trial.waits:
            await self._decide(sessions, client, trial, edit)

    def _some_removal(self) -> Edit | None:
        """Return now and then what takes a deployment away, once it is confirmed."""
        there = [
            key
            for key, wish in self._wishes.items()
            if isinstance(wish.intent, Deployment) and not wish.unsure
        ]
        if not there or self._random.random() < 0.6:
            return None
        return {self._random.choice(there): None}

    def any_meddling(self) -> Edit | None:
        """
        Return now and then what others ask of a deployment on trial; None: nothing.

        That is also one that goes once the commit is confirmed.
        """
        trial = self._trial
        waits = trial.made | self._held if trial is not None and not trial.ending else {}
        there = [key for key in waits if isinstance(self._wanted(key), Deployment)]
        if not there or self._random.random() < 0.5:
            return None
        key = self._random.choice(there)
        assert key.tenant is not None
        tenant = Tenant(name=key.tenant)
        return {
            Key(Kind.TENANT, None, key.tenant): tenant,
            key: any_deployment(key.name, self._random),
        }

    async def _begin(self, client: Client, edit: Edit) -> None:
        if not await _done(client.discard_changes()):
            return
        self._draft, self._held = {}, {}
        if self._random.random() < 0.3:
            for target in (CANDIDATE, RUNNING):
                await _done(client.lock(target))
        if await self._prepared(client, edit):
            if self._random.random() < 0.3:
                await self._commit_for_good(client, self._draft)
            else:
                fresh = Trial(persist=self._random.choice([None, "word"]))
                await self._try(client, fresh)
        if self._random.random() < 0.7:
            await self._unlock(client)

    async def _unlock(self, client: Client) -> None:
        for target in client.locks:
            await client.unlock(target)
            if target is CANDIDATE:
                self.discarded()

    async def _prepared(self, client: Client, edit: Edit) -> bool:
        """Put *edit* into the candidate; tell whether it was taken."""
        if not await _done(client.edit(edit, CANDIDATE)):
            return False
        draft = self._draft | edit
        self._draft = {key: each for key, each in draft.items() if each != self._wanted(key)}
        return True

    async def _commit_for_good(self, client: Client, changed: Edit) -> None:
        for key, intent in changed.items():
            self._wishes.setdefault(key, Wish(None)).unsure.append(intent)
        taken = await _done(client.commit(Commit()))
        for key, intent in changed.items():
            self._wishes[key].unsure.remove(intent)
            if taken:
                self._wishes[key].intent = intent

    async def _try(self, client: Client, before: Trial) -> None:
        """Commit the candidate on trial, which prolongs *before* if that waits."""
        seconds = self._random.choice([2, 20, 100])
        made = {key: intent for key, intent in self._draft.items() if intent is not None}
        asked = self._asked = Trial(
            undo={key: self._wanted(key) for key in made} | before.undo,
            made=before.made | made,
            persist=before.persist,
            session=0 if before.persist else client.id,
            ends=asyncio.get_running_loop().time() + seconds,
        )
        for key in made:
            self._wishes.setdefault(key, Wish(None))
        known = before.persist if before is self._trial else None
        request = Commit(confirm_timeout=seconds, persist=before.persist, persist_id=known)
        if await _done(client.commit(request)):
            for key, intent in made.items():
                self._wishes[key].intent = intent
            self._trial = asked if self._draft or before is self._trial else None
            self._draft = {key: None for key in self._draft if key not in made}
            self._held = dict(self._draft)
        self._asked = None

    async def _decide(self, sessions: Sessions, client: Client, trial: Trial, edit: Edit) -> None:
        """Confirm, prolong or cancel what waits, end its session, or let it be."""
        roll = self._random.random()
        if roll < 0.4:
            self._confirming = True
            if await _done(client.commit(Commit(persist_id=trial.persist))):
                self._is_confirmed()
            self._confirming = False
        elif roll < 0.6:
            if await self._prepared(client, edit):
                await self._try(client, trial)
        elif roll < 0.8:
            await self._cancel(client, trial)
        elif roll < 0.9:
            trial.ending = trial.persist is None
            locked = client.locks
            await sessions.end(client, self._random)
            if CANDIDATE in locked:
                self.discarded()
        elif RUNNING not in client.locks:  # its own commit does not stand in its way
            await _done(client.lock(RUNNING))

    async def _cancel(self, client: Client, trial: Trial) -> None:
        trial.ending = True
        try:
            await client.cancel_commit(trial.persist)
        except RpcError as error:
            trial.ending = error.tag is not ErrorTag.IN_USE or trial.left <= CLOSE_SECONDS
        else:
            self._is_back(trial)

    # ------------------------------------------------------------------ what must hold

    def _is_confirmed(self) -> None:
        for key, intent in self._draft.items():
            self._wishes[key].intent = intent
        self._trial = None

    def _is_back(self, trial: Trial) -> None:
        for key, old in trial.undo.items():
            self._wishes[key].intent = old
        self._trial = None

    def discarded(self) -> None:
        """Note that the candidate is what running is, but for what goes with a confirmation."""
        held = self._held if self._trial is not None else {}
        self._held = {key: None for key in held if self._wanted(key)}
        self._draft = dict(self._held)

    def _goes(self, key: Key) -> bool:
        """Tell whether *key* goes once the commit on trial is confirmed, alone or in its tenant."""
        return any(key == each or _is_in(key, each) for each in self._held)

    def waiting(self) -> int | None:
        """Return whose commit certainly waits, 0 for one that outlives its session; None: none."""
        trial = self._trial
        sure = trial is not None and trial.waits and not self._confirming and self._asked is None
        return trial.session if trial is not None and sure else None

    def edited(self, key: Key, intent: Any, before: Any) -> None:
        """Note that *key* became *intent* by an edit of running that was acknowledged."""
        trial = self._trial
        if trial is None:
            return
        if intent != before:  # the candidate has the same now, or cannot be committed any more
            self._draft.pop(key, None)
        if intent is None:  # what others remove is not brought back
            self._held.pop(key, None)
            trial.undo.pop(key, None)
            trial.since.pop(key, None)
        elif not trial.waits:
            if key in trial.undo:
                trial.since[key] = intent
        elif intent != before and key in trial.undo:
            self.problems.append(f"{key} was changed by others while it was on trial")
        elif intent != before and not self._confirming and self._goes(key):
            self.problems.append(f"{key} was changed by others while it was to go")

    def look(self, configuration: Configuration, datastore: Datastore) -> None:
        """Note that what waited too long is back as it was, once it is."""
        trial = self._trial
        if trial is None or (not trial.ending and trial.left > -CLOSE_SECONDS):
            return
        trial.ending = True
        if configuration.on_trial is None and not trial.since:
            self._is_back(trial)
            return
        # a part waits for what others made since, or they made something of a part since
        there = intents_in(datastore)
        for key, old in trial.undo.items():
            choices = [old, trial.since.get(key, old)]
            if configuration.on_trial is not None:
                choices.append(self._wanted(key))
            self._wishes[key].intent = there.get(key) if there.get(key) in choices else old
        if configuration.on_trial is None:
            self._trial = None

    def rests(self, configuration: Configuration) -> bool:
        """Tell whether no commit waits, but for one whose way back others stand in."""
        return configuration.on_trial is None or (self._trial is not None and self._trial.ending)

    def overdue(self, records: Mapping[Key, Any]) -> Iterator[str]:
        """
        Yield what should be back as it was.

        Connectors, static pools and what deployments name may be in use meanwhile, and a service
        that was stopped meanwhile takes no update before it is started.
        """
        if self._trial is not None and self._trial.ending:
            for key, old in self._trial.undo.items():
                ended = self._wanted(key) in (old, self._trial.since.get(key, old))
                if not ended and not _in_use(key, old, records):
                    yield f"{key} was on trial and is not taken back"

    def learn(self, configuration: Configuration, there: Mapping[Key, Any]) -> None:
        """Hold *there*, running after a start, against what may have become of what waited."""
        trials = [each for each in (self._trial, self._asked) if each is not None]
        broken_off = configuration.on_trial is not None
        for key, wish in self._wishes.items():
            choices = [*self._choices(key, wish, broken_off=broken_off), *wish.unsure]
            if there.get(key) not in choices:
                self.problems.append(f"after a start {key} is none of {choices}")
        if self._confirming and self._trial is not None and not broken_off:
            self._look_whole(self._trial, there)
        for key, wish in self._wishes.items():
            wish.intent = there.get(key)
            wish.unsure.clear()
        undo = {key: old for trial in trials for key, old in trial.undo.items()}
        since = {key: new for trial in trials for key, new in trial.since.items()}
        self._trial = Trial(undo=undo, since=since, ending=True) if broken_off else None
        self._asked, self._confirming = None, False
        self._client = None

    def _choices(self, key: Key, wish: Wish, *, broken_off: bool) -> Iterator[Any]:
        """Yield what *key* may be after a start: a trial that nobody confirmed was taken back."""
        trial, asked = self._trial, self._asked
        if asked is not None and broken_off and key in asked.made:
            yield asked.made[key]
        if trial is None:
            yield wish.intent
            return
        if key in trial.undo:
            yield trial.undo[key]
        if key in trial.since:
            yield trial.since[key]
        if key not in trial.undo or self._confirming or broken_off:
            yield wish.intent
        if key in self._draft and self._confirming:
            yield self._draft[key]

    def _look_whole(self, trial: Trial, there: Mapping[Key, Any]) -> None:
        """A confirmation that nobody answered took effect as a whole or not at all."""
        now = {key: wish.intent for key, wish in self._wishes.items() if not wish.unsure}
        kept = {
            there.get(key) == after
            for key, after in (now | self._draft).items()
            if key in now and after != trial.undo.get(key, now[key])
        }
        if len(kept) > 1:
            self.problems.append(f"half of a trial was confirmed: {trial}")


def _is_in(key: Key, tenant: Key) -> bool:
    return tenant.kind is Kind.TENANT and key.tenant == tenant.name


def _in_use(key: Key, old: Any, records: Mapping[Key, Any]) -> bool:
    """Tell whether others stand in the way of making *key* what it was."""
    named = (each for record in records.values() for each in named_by(record))
    record = records.get(key)
    off = isinstance(record, DeploymentRecord) and record.state is ServiceState.STOPPED
    held = in_a_pool(record, old) or in_a_subnet(record, old)
    return key.kind in CONNECTOR_KINDS or key in named or (off and old) or held


def in_a_pool(record: Record | None, old: Any) -> bool:
    """Tell whether a VM that *old* lets stay has an address whose pool *old* does not have."""
    if not isinstance(record, DeploymentRecord) or record.intent is None or old is None:
        return False
    now = {group.name: pooled(group) for group in record.intent.groups}
    return any(
        having in now[group.name] - pooled(group)
        for group in old.groups
        for vm in sorted(_of(record, group), key=lambda vm: vm.index)[: group.scaling.max_active]
        for having in addresses_of(vm.ports)
    )


def in_a_subnet(record: Record | None, old: Any) -> bool:
    """Tell whether a VM has, or may have, an address of a subnet that *old* does not have."""
    if not isinstance(record, DeploymentRecord) or record.intent is None or old is None:
        return False
    kept = {(each.network, each.name) for network in old.networks for each in network.subnets}
    there = (each for network in record.intent.networks for each in network.subnets)
    gone = [each for each in there if (each.network, each.name) not in kept]
    made = (vm for vm in record.vms.values() if vm.state is not VmState.UNDEF)
    return any(uses(port, subnet) for vm in made for port in vm.interfaces for subnet in gone)


def _of(record: DeploymentRecord, group: VmGroup) -> Iterator[VmRecord]:
    return (vm for vm in record.vms.values() if vm.group == group.name)


async def _done(asked: Awaitable[None]) -> bool:
    """Tell whether it was answered by ok."""
    try:
        await asked
    except REFUSED:
        return False
    return True
