"""Scripts at stages in the simulation: which ones policies name, how they end, what must hold."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from random import Random
from typing import Any, Final

from esc_daemon.domain.hooks import OF_DEPLOYMENT, OF_GROUP
from esc_daemon.domain.ids import Key
from esc_daemon.domain.intent import Deployment, Hook, VmGroup
from esc_daemon.domain.record import DeploymentRecord
from esc_daemon.domain.specs import HookScript
from esc_daemon.domain.stages import Errand, Stage
from esc_daemon.domain.step import Step
from esc_daemon.monitor.hooks import HookFailed, named
from tests.domain.untouched import stays_in

_SHARE: Final = 0.3
"""Of seeds whose policies have scripts."""
_SECONDS: Final = 20


class Scripts:
    """What the daemon runs (HookRunner), and whether it forgot any that nothing waits for."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self.some = random.random() < _SHARE
        """Whether there are any."""
        self.problems: list[str] = []
        self._ended: Counter[HookScript] = Counter()
        self._owed: dict[Key, tuple[Errand, ...]] = {}

    def hooked(self, edit: Mapping[Key, Any]) -> dict[Key, Any]:
        """Return *edit* with deployments whose policies name scripts."""
        if not self.some:
            return dict(edit)
        return {
            key: self._hooked(intent) if isinstance(intent, Deployment) else intent
            for key, intent in edit.items()
        }

    def _hooked(self, deployment: Deployment) -> Deployment:
        groups = tuple(map(self._of_group, deployment.groups))
        return replace(deployment, groups=groups, hooks=self._hooks(OF_DEPLOYMENT))

    def _of_group(self, group: VmGroup) -> VmGroup:
        version = self._random.choice([None, "1", "2"])
        return replace(group, software_version=version, hooks=self._hooks(OF_GROUP))

    def _hooks(self, stages: Iterable[Stage]) -> tuple[Hook, ...]:
        there = [stage for stage in sorted(stages) if self._random.random() < 0.5]
        return tuple(map(_hook, there))

    async def run(self, script: HookScript, begins: Callable[[], None] | None = None) -> None:
        """See HookRunner."""
        if begins is not None:
            begins()
        roll = self._random.random()
        await asyncio.sleep(script.seconds if roll < 0.1 else self._random.choice([0.0, 0.1, 5.0]))
        self._ended[script] += 1
        if roll < 0.2:
            raise HookFailed(f"{named(script)}: simulated")

    def note(self, steps: Sequence[Step]) -> None:
        """Learn from a commit: what is owed no more has run, or its VM or deployment goes."""
        for step in steps:
            before, after = self._owed.pop(step.key, ()), step.record
            if not isinstance(after, DeploymentRecord):
                continue
            if owed := after.owed:
                self._owed[step.key] = owed
            stays = isinstance(step.before, DeploymentRecord) and step.before.id == after.id
            if stays and after.intent is not None:
                there = {each for each in before if each.vm is None or stays_in(after, each.vm)}
                self.problems += self._forgotten(there.difference(after.owed))

    def _forgotten(self, gone: Iterable[Errand]) -> Iterator[str]:
        for errand in gone:
            first = errand.scripts[0]
            if not self._ended[first]:
                yield f"{errand.stage} {errand.name}: {named(first)} never ran"
            self._ended[first] -= 1


def _hook(stage: Stage) -> Hook:
    given = {
        "script_filename": "/opt/script.sh",
        "wait_max_timeout": str(_SECONDS),
        "deployment": "",
        "vm_name": "",
    }
    return Hook(condition=stage, action="RUN", type="SCRIPT", properties=tuple(given.items()))
