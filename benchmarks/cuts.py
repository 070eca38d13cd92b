"""At which boundaries of which kinds of steps the daemon of the chaos campaign was cut off."""

from collections import Counter
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from random import Random

from fatal import Boundary

MOST_STEPS = {Boundary.RESTORING: 8, Boundary.AFTER_PUBLISH: 24}
STEPS = 160
"""So many steps, at most, come to a boundary where no step of a new kind does."""


class Cuts:
    """Chooses the next boundary, in turn; steps of kinds that were never cut there come first."""

    def __init__(self) -> None:
        self._boundaries = cycle(Boundary)
        self._kinds: dict[Boundary, Counter[str]] = {each: Counter() for each in Boundary}

    def next(self, random: Random, told: Path) -> tuple[Boundary, dict[str, str]]:
        """Return a boundary and the environment of a daemon that dies there (see `fatal.py`)."""
        boundary = next(self._boundaries)
        told.unlink(missing_ok=True)
        return boundary, {
            "CHAOS_BOUNDARY": boundary.value,
            "CHAOS_KNOWN": ",".join(self._kinds[boundary]),
            "CHAOS_NTH": str(random.randint(1, MOST_STEPS.get(boundary, STEPS))),
            "CHAOS_TOLD": str(told),
        }

    def cut(self, boundary: Boundary, told: Path) -> str:
        """Take note of what the daemon *told*; return that, or nothing: it did not come so far."""
        kinds = told.read_text() if told.exists() else ""
        self._kinds[boundary].update(kinds.split(",") if kinds else ())
        return kinds

    def lines(self) -> Iterator[str]:
        """Yield, for each boundary, the kinds of steps that were cut there and how often."""
        for boundary, kinds in self._kinds.items():
            counted = ", ".join(f"{kind} {count}" for kind, count in sorted(kinds.items()))
            yield f"{boundary.value}: {len(kinds)} kinds of steps: {counted or 'none'}"
