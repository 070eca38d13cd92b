"""
Fuzz each target for a time: `python -m tests.fuzz.fuzzing --seconds 60 [TARGET ...]`.

Each runs in a process of its own, which is started anew after a find, and prints how many inputs
it tried, how much of the code they reached and what they found. A find is kept with the command
that runs it again; then the program ends with 1.
"""

import argparse
import importlib
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

TARGETS = ("framing", "messages", "filters", "edits", "files")
MOST_FINDS = 5
"""Of one target: then it is given up."""
_KEPT = "Test unit written to"
_DONE = re.compile(r"stat::number_of_executed_units:\s+(\d+)")
_COVERED = re.compile(r"\bcov: (\d+) ft: (\d+)")
_SO_FAR = re.compile(r"^#(\d+)\s", re.MULTILINE)
_OPTIONS = ("-timeout=20", "-rss_limit_mb=2048", "-max_len=4096", "-print_final_stats=1")


@dataclass(kw_only=True)
class Outcome:
    name: str
    tried: int = 0
    covered: int = 0
    seconds: float = 0.0
    finds: tuple[Path, ...] = ()
    broken: bool = False
    """The worker ended with an error and left no input that would tell."""

    def told(self) -> str:
        figures = f"{self.tried:>10} inputs {self.seconds:>6.0f} s {self.covered:>6} places reached"
        lines = [f"{self.name:10} {figures} {len(self.finds):>3} found"]
        lines += [
            f"  replay: python -m tests.fuzz.worker {self.name} {file}" for file in self.finds
        ]
        if self.broken:
            lines.append("  ended with an error: see its log")
        return "\n".join(lines)


def fuzz(name: str, seconds: float, folder: Path) -> Outcome:
    """Run one target for *seconds*; what it makes goes below *folder*."""
    place = folder / name
    seeds, grown, finds = place / "seeds", place / "corpus", place / "finds"
    for each in (seeds, grown, finds):
        each.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(importlib.import_module(f"tests.fuzz.{name}_target").SEEDS):
        (seeds / f"{number:03}").write_bytes(seed)
    outcome = Outcome(name=name)
    before = set(finds.iterdir())
    began, ends = time.monotonic(), 0
    with (place / "log").open("wb") as log:
        while (left := seconds - (time.monotonic() - began)) >= 1:
            command = [sys.executable, "-m", "tests.fuzz.worker", name, *_OPTIONS]
            command += [f"-max_total_time={int(left)}", f"-artifact_prefix={finds}/"]
            begins = log.tell()
            done = subprocess.run(
                [*command, str(grown), str(seeds)], stdout=log, stderr=log, check=False
            )
            text = (place / "log").read_bytes()[begins:].decode(errors="replace")
            log.seek(0, 2)
            _count(outcome, text)
            outcome.finds = tuple(sorted(set(finds.iterdir()) - before))
            outcome.broken = done.returncode != 0 and _KEPT not in text
            ends += done.returncode != 0
            if outcome.broken or ends >= MOST_FINDS:
                break
    outcome.seconds = time.monotonic() - began
    return outcome


def _count(outcome: Outcome, text: str) -> None:
    """Add what one run of the worker told; one that found something tells no final figures."""
    counts = _DONE.findall(text) or _SO_FAR.findall(text)[-1:]
    outcome.tried += sum(map(int, counts))
    outcome.covered = max([outcome.covered, *(int(each) for each, _ in _COVERED.findall(text))])


def main(arguments: Sequence[str] | None = None) -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("targets", nargs="*", help=f"of {', '.join(TARGETS)}; none: all")
    options.add_argument("--seconds", type=float, default=300, help="for all targets together")
    options.add_argument("--at-once", type=int, default=2, help="targets that run side by side")
    options.add_argument("--folder", type=Path, default=Path("build/fuzz"), help="for what is made")
    chosen = options.parse_args(arguments)
    names = chosen.targets or TARGETS
    if unknown := set(names) - set(TARGETS):
        options.error(f"no target {', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}")
    share = chosen.seconds * min(chosen.at_once, len(names)) / len(names)
    failed = False
    with ThreadPoolExecutor(chosen.at_once) as pool:
        for outcome in pool.map(lambda name: fuzz(name, share, chosen.folder), names):
            print(outcome.told(), flush=True)
            failed = failed or bool(outcome.finds) or outcome.broken
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
