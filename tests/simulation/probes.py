"""Who measures KPIs in one life of the daemon, and what must have been told of the samples."""

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from random import Random
from typing import Final

from esc_daemon.domain.events import EventType
from esc_daemon.domain.ids import Key, ServerKey, VmId
from esc_daemon.domain.intent import Kpi
from esc_daemon.domain.kpi import compare, decides_life
from esc_daemon.domain.placing import group_of
from esc_daemon.domain.record import DeploymentRecord, Recovery, RecoveryPhase, VmRecord
from esc_daemon.domain.states import VmState
from esc_daemon.domain.step import Step
from esc_daemon.engine.vims import Vims
from esc_daemon.monitor.base import (
    BatchCollector,
    Choice,
    Collector,
    CollectorError,
    Question,
    Sample,
    Select,
    Target,
    Turn,
    question_of,
    select,
)
from esc_daemon.monitor.catalogue import Catalogue
from esc_daemon.monitor.collectors.simulated import SimulatedGuests
from esc_daemon.monitor.collectors.vim import VimMetrics
from esc_daemon.monitor.monitor import OnCrossing

ODD: Final = ("Hangs", "Raises", "Lies", "Dawdles", "NotChosen", "BatchRaises", "BatchBabbles")
"""Collectors that misbehave, by the metrics that they measure."""
_LIES: Final = (100.0, -1, 0, 10**400, float("nan"), float("inf"), "", "up", "\x1b[2J" * 50, None)
_WATCHED_SECONDS: Final = 20.0
"""A guest that was watched for so long must have been asked again and again."""
_PROMPT_SECONDS: Final = 1.0


class _Run:
    """What one honest KPI measured since its server was armed, and what was told last."""

    def __init__(self, target: Target, kpi: Kpi, earlier: int = 0) -> None:
        self.target = target
        self.kpi = kpi
        self.asked = 0
        self.earlier = earlier
        """How often it was asked before it was armed anew, as an action does while it boots."""
        self.told: bool | None = None
        self.told_of = 0
        """Which of the samples that was."""
        self.told_at = 0.0
        self.blind = False
        """Whether what was told last was blindness."""
        self._last: deque[bool] = deque(maxlen=max(kpi.occurrences_true, kpi.occurrences_false))

    def ripe(self) -> bool | None:
        """Return the outcome that was seen so often in a row that it is to be told, or None."""
        if not self._last:
            return None
        outcome = self._last[-1]
        wanted = self.kpi.occurrences_true if outcome else self.kpi.occurrences_false
        return outcome if list(self._last)[-wanted:] == [outcome] * wanted else None

    def untold(self) -> bool:
        """Tell whether the last sample should have been told and was not."""
        ripe = self.ripe()
        if ripe is None:
            return False
        alarms = self.kpi.collector.continuous_alarm and self.told_of != self.asked
        return ripe is not self.told or alarms

    def tell(self, outcome: bool, now: float) -> None:  # noqa: FBT001  an outcome is nothing else
        self.told, self.told_of, self.told_at = outcome, self.asked, now

    def note(self, outcome: bool) -> None:  # noqa: FBT001  an outcome is nothing else
        self.asked += 1
        self._last.append(outcome)


class Probes:
    """The collectors of one life; *problems* is what they were right about and nobody told."""

    def __init__(self, vims: Vims, random: Random) -> None:
        guests = _Honest(vims, self)
        measured = VimMetrics(vims.metrics, Catalogue())
        self.select: Select = select(_Odd(random), measured, guests)
        self.problems: list[str] = []
        self._runs: dict[tuple[ServerKey, str], _Run] = {}
        self._inert: dict[VmId, float] = {}
        """VMs that are awaited, and since when (loop time)."""
        self._asked: set[ServerKey] = set()
        """Servers whose guest was asked anything since the start."""

    def asks(self, question: Question) -> None:
        """Note whom an honest collector asks now."""
        self._asked.add(question.target.server)

    def sampled(self, question: Question, value: float | str | None) -> None:
        """Note what an honest collector is about to answer."""
        target, kpi = question.target, question.kpi
        at = (target.server, kpi.event_name)
        run = self._runs.get(at)
        if run is None or run.target is not target:
            earlier = run.asked + run.earlier if run else 0
            run = self._runs[at] = _Run(target, kpi, earlier)
        elif run.untold():
            self.problems.append(f"{at} was {run.ripe()} often enough and was not told")
        run.note(value is not None and compare(kpi, value))

    def hears(self, tell: OnCrossing) -> OnCrossing:
        """Return what is told of crossings in place of *tell*, which is told after."""

        def crossed(
            server: ServerKey,
            event_name: str,
            holds: bool,  # noqa: FBT001  the monitor's
            value: str,
            blind: bool,  # noqa: FBT001  as above
        ) -> None:
            run = self._runs.get((server, event_name))
            if run is not None:
                self._judge(run, holds=holds, blind=blind)
            tell(server, event_name, holds, value, blind)

        return crossed

    def _judge(self, run: _Run, *, holds: bool, blind: bool) -> None:
        what = f"{run.kpi.event_name} of {run.target.server} is {holds}"
        if run.ripe() is not holds:
            self.problems.append(f"{what}: told before it was so often enough")
        again = run.told is holds and not (run.blind and not blind)
        if again and not run.kpi.collector.continuous_alarm:
            self.problems.append(f"{what}: told again")
        run.tell(holds, asyncio.get_running_loop().time())
        run.blind = blind

    def stored(self, steps: Sequence[Step]) -> None:
        """Look at what a commit says of VMs that were awaited."""
        now = asyncio.get_running_loop().time()
        for step in steps:
            before, after = step.before, step.record
            if isinstance(before, DeploymentRecord) and before.vms:
                self._look(step, now)
            if isinstance(after, DeploymentRecord):
                self.await_(after, now)
        self.problems += [f"{key} was written unchanged" for key in unchanged(steps)]

    def await_(self, record: DeploymentRecord, now: float) -> None:
        """Note which VMs of *record* are awaited from *now* on."""
        for vm in record.vms.values():
            if vm.state is VmState.INERT:
                self._inert.setdefault(vm.id, now)
            else:
                self._inert.pop(vm.id, None)

    def _look(self, step: Step, now: float) -> None:
        before, after = step.before, step.record
        assert isinstance(before, DeploymentRecord)
        if not isinstance(after, DeploymentRecord) or before.intent is None:
            return
        if any(event.type is EventType.SERVICE_UPDATING_STATE for event in step.events):
            return  # a recovery that was broken off, by a move: no guest was given up
        for vm in before.vms.values():
            then = after.vms.get(vm.id)
            if then and _ran_out(vm, then) and ServerKey(vm.id, vm.generation) not in self._asked:
                self.problems.append(f"the time of {vm.name} was over and nobody had looked")
            given_up = vm.state is VmState.INERT and then and then.state is VmState.ERROR
            if given_up and vm.id in self._inert and not _drifted(vm, then):
                self._given_up(before, vm, now)

    def _given_up(self, record: DeploymentRecord, vm: VmRecord, now: float) -> None:
        """A guest that was given up must have been asked, and must not have been told alive."""
        group = group_of(record, vm)
        life = next(kpi for kpi in group.kpis if kpi.event_name == decides_life(group))
        run = self._runs.get((ServerKey(vm.id, vm.generation), life.event_name))
        watched = now - self._inert[vm.id]
        due = watched / life.collector.poll_seconds / 2 if watched > _WATCHED_SECONDS else 0
        if (run.asked + run.earlier if run else 0) < due:
            self.problems.append(f"{vm.name} was given up and hardly ever asked")
        if run and run.told and now - run.told_at > _PROMPT_SECONDS:
            self.problems.append(f"{vm.name} was given up after it had been told alive")


def _ran_out(before: VmRecord, after: VmRecord) -> bool:
    """Tell whether *after* follows from the end of a wait for the life of *before*."""
    if _drifted(before, after):
        return False
    phase = after.recovery.phase if after.recovery else None
    if before.recovery is not None and before.recovery.phase is RecoveryPhase.HELD:
        if _set_back(before.recovery, after.recovery):
            return False  # it counts as lost since the start, as docs/decisions.md says
        by_itself = before.history.recoveries != after.history.recoveries
        return phase in {RecoveryPhase.WAITING, RecoveryPhase.NEEDED} or by_itself
    if before.deadline is None or after.deadline is not None:
        return False
    goes_on = phase is not None and (before.recovery is None or before.recovery.phase is not phase)
    return after.state is VmState.ERROR or goes_on


def _set_back(held: Recovery, begun: Recovery | None) -> bool:
    """Tell whether the clock was set back between the loss and the start of its recovery."""
    return begun is not None and begun.began < held.began


def _drifted(before: VmRecord, after: VmRecord) -> bool:
    """Tell whether *after* was lost by what its VIM said of its server, whatever its guest said."""
    held = before.recovery is not None and before.recovery.drifted
    return held or before.history.drifted != after.history.drifted


class _Honest(SimulatedGuests):
    """Asks the guests of the clouds, and lets *probes* know what it heard."""

    def __init__(self, vims: Vims, probes: Probes) -> None:
        super().__init__(vims.guests, at_hand=vims.guests_at_hand)
        self._probes = probes

    async def sample(self, question: Question) -> Sample:
        """See Collector."""
        self._probes.asks(question)
        try:
            sample = await super().sample(question)
        except BaseException:
            self._probes.sampled(question, None)
            raise
        self._probes.sampled(question, sample.value)
        return sample

    def sample_now(self, question: Question) -> Sample:
        """See SimulatedGuests."""
        self._probes.asks(question)
        try:
            sample = super().sample_now(question)
        except Exception:
            self._probes.sampled(question, None)
            raise
        self._probes.sampled(question, sample.value)
        return sample


class _Odd:
    """Offers collectors that hang, raise, lie or babble, for the metrics of `ODD`."""

    def __init__(self, random: Random) -> None:
        self._collectors: dict[str, Collector | BatchCollector] = {
            "Hangs": _Alone(random, hangs=1.0),
            "Raises": _Alone(random, raises=1.0),
            "Lies": _Alone(random),
            "Dawdles": _Alone(random, hangs=0.1, raises=0.1, dawdles=0.5),
            "BatchRaises": _Together(random, raises=0.7),
            "BatchBabbles": _Together(random),
        }

    def choice(self, target: Target, kpi: Kpi) -> Choice | None:
        """See Offer; it may raise as well."""
        if kpi.collector.type not in ODD:
            return None
        if kpi.collector.type not in self._collectors:
            raise RuntimeError("the catalogue fell down")
        question = question_of(target, kpi, None)
        return Choice(collector=self._collectors[kpi.collector.type], question=question)


class _Alone:
    """A Collector that one sample after the other goes wrong in."""

    at_a_time = 2

    def __init__(
        self, random: Random, *, hangs: float = 0.0, raises: float = 0.0, dawdles: float = 0.0
    ) -> None:
        self._random = random
        self._hangs, self._raises, self._dawdles = hangs, raises, dawdles

    async def sample(self, question: Question) -> Sample:
        """See Collector; what comes is not what is."""
        roll = self._random.random
        if roll() < self._hangs:
            await asyncio.get_running_loop().create_future()
        if roll() < self._dawdles:
            await asyncio.sleep(self._random.uniform(0, 2 * question.seconds))
        if roll() < self._raises:
            raise self._random.choice([CollectorError("no privilege"), ValueError("\x07" * 999)])
        return Sample(value=self._random.choice(_LIES), detail="\x1b]0;pwned\x07" * 99)


class _Together:
    """A BatchCollector that raises, or answers late, twice or never."""

    def __init__(self, random: Random, *, raises: float = 0.0) -> None:
        self._random = random
        self._raises = raises

    def start(self, turns: Sequence[Turn]) -> None:
        """See BatchCollector."""
        if self._random.random() < self._raises:
            raise RuntimeError("the socket is gone")
        loop = asyncio.get_running_loop()
        for turn in turns:
            for _ in range(self._random.choice([0, 1, 1, 2])):
                late = self._random.choice([0.0, 1.0, 20.0])
                value = self._random.choice(_LIES)
                loop.call_later(late, turn.answer, Sample(value=value))


def unchanged(steps: Iterable[Step]) -> Iterable[Key]:
    """Yield the deployments that a commit writes though nothing of them moved."""
    for step in steps:
        before, after = step.before, step.record
        if isinstance(before, DeploymentRecord) and isinstance(after, DeploymentRecord):
            same = before.vms == after.vms and before.state is after.state
            if same and not step.events and _rest(before) == _rest(after):
                yield step.key


def _rest(record: DeploymentRecord) -> tuple[object, ...]:
    return (
        record.error,
        record.leftovers,
        record.errands,
        record.successor,
        record.update,
        record.leaving,
        record.tenant,
        record.networks,
        record.owned,
        record.operation,
        record.action,
        record.scaled,
        record.freed,
        record.intent,
        record.id,
    )
