"""
Where a daemon's time goes: py-spy looks at it from outside, and samples are counted by module.

What runs below Python, in uvloop and in the kernel on its behalf, has no frame that tells it
from waiting: it is left out, as are threads that wait.
"""

import asyncio
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from esc_daemon.app import process as waiting_loop
from esc_daemon.app import stop as waiting_signals

RATE = 250
"""Samples a second: at 30,000 VMs the daemon is on a processor for a tenth of them."""
SHOWN = 12
_WAITING = tuple(
    each.__name__.partition(".")[2].replace(".", "/") for each in (waiting_loop, waiting_signals)
)
"""The innermost frame of ours while the loop, or the thread of signals, has nothing to do."""
_PACKAGE = "esc_daemon/"


class NoSampler(Exception):
    """py-spy is not installed beside this interpreter, or may not look at the process."""


def sampler() -> Path:
    """
    Return where py-spy is.

    Raises:
        NoSampler: Not beside this interpreter.

    """
    spy = Path(sys.executable).with_name("py-spy")
    if not spy.exists():
        raise NoSampler(f"no {spy.name} beside {sys.executable}: pip install py-spy")
    return spy


@asynccontextmanager
async def sampled(pid: int) -> AsyncIterator[Counter[str]]:
    """
    Sample the process *pid* meanwhile; the counter is filled by module when the block is left.

    py-spy stops the process for each look, so figures taken meanwhile are not those to quote.

    Raises:
        NoSampler: There is no py-spy, or it gave up.

    """
    spy = sampler()
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="esc-bench-") as folder:
        found = Path(folder) / "stacks"
        options = ("--pid", str(pid), "--rate", str(RATE), "--format", "raw", "--full-filenames")
        process = await asyncio.create_subprocess_exec(
            spy, "record", *options, "--output", found, stdout=asyncio.subprocess.DEVNULL
        )
        try:
            yield counts
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGINT)
            await process.wait()
        if process.returncode or not found.exists():
            raise NoSampler(f"py-spy ended with {process.returncode}")
        counts.update(by_module(found.read_text()))


def by_module(stacks: str) -> Counter[str]:
    """
    Return samples by the innermost module of ours; *stacks* is py-spy's `raw` format.

    What a library or the interpreter does counts for who of ours called it.
    """
    counts: Counter[str] = Counter()
    for line in stacks.splitlines():
        stack, _, samples = line.rpartition(" ")
        ours = (_module(frame) for frame in reversed(stack.split(";")) if _PACKAGE in frame)
        counts[next(ours, _WAITING[0])] += int(samples)
    for name in _WAITING:
        del counts[name]
    return counts


def shares(counts: Counter[str]) -> list[tuple[str, str]]:
    """Return the largest shares, each a module and its percentage, and what the rest has."""
    total = max(1, counts.total())
    rows = [(name, f"{100 * n / total:.0f} %") for name, n in counts.most_common(SHOWN)]
    rest = total - sum(n for _, n in counts.most_common(SHOWN))
    others = len(counts) - SHOWN
    return [*rows, (f"{others} others", f"{100 * rest / total:.0f} %")] if others > 0 else rows


def _module(frame: str) -> str:
    """Return `room/module` of a frame of ours: `step (/x/esc_daemon/engine/engine.py:375)`."""
    path = frame.rpartition("(")[2].partition(":")[0]
    return path.rpartition(_PACKAGE)[2].removesuffix(".py")
