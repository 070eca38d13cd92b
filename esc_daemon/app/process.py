"""What the daemon does to its process: its loop, garbage collection, open files, signals, ports."""

import asyncio
import gc
import json
import os
import resource
import stat
import sys
from collections.abc import Coroutine, Iterable, Iterator, Mapping
from contextlib import (
    contextmanager,
)
from enum import EnumType
from pathlib import Path
from typing import Final

import structlog
import uvloop

log = structlog.get_logger()

_TURN_SECONDS: Final = 0.0005
_COLLECTOR_THRESHOLDS: Final = (20_000, 20, 20)
"""Objects made and not yet freed before a search of the youngest; of these before an older one."""


def run(work: Coroutine[None, None, None]) -> None:
    """
    Run *work* to its end on uvloop, which is asyncio's loop in C: half as many requests again.

    Its clock counts milliseconds; it gathers what a tick writes to a socket.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work)


def switch_threads_soon() -> None:
    """Let the thread that syncs the database not wait 5 ms for its turn after each sync."""
    sys.setswitchinterval(_TURN_SECONDS)


def read_enums_at_once() -> None:
    """
    Let a member of an enum be found as any other attribute of a class, as from Python 3.12 on.

    3.11 keeps a hook for missing names that it no longer needs (python/cpython#95083); through it
    a member takes 0.2 us and not 0.01, five hundred times for each deployment.
    """
    if "__getattr__" in vars(EnumType):
        del EnumType.__getattr__  # type: ignore[attr-defined]


def keep_the_collector_off() -> None:
    """
    Search for no cyclic garbage while the daemon starts: nearly all that is made then stays.

    Measured, with 10,000 deployments: the searches were a third of the start's processor time.
    """
    gc.freeze()
    gc.disable()


def let_the_collector_in() -> None:
    """
    Leave what is there for good out of the search for cyclic garbage, and search less often.

    Records, entries and modules are no garbage, yet each full search walked all of them: measured,
    with the defaults a twelfth of the processor time of a deployment.
    """
    gc.freeze()
    gc.set_threshold(*_COLLECTOR_THRESHOLDS)
    gc.enable()


def warn_of_readable_files(files: Iterable[Path]) -> None:
    """Say which of *files*, that only we are to read, others of this machine can read too."""
    for file in files:
        try:
            mode = file.stat().st_mode
        except OSError:  # who reads it tells what is wrong
            continue
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            shown = f"{stat.S_IMODE(mode):04o}"
            log.warning("file.not_ours_alone", file=str(file), mode=shown, hint="chmod 600")


def forget_ports(files: Iterable[Path]) -> None:
    """Remove what a daemon that was killed left: who waits for it waits for us."""
    for file in files:
        file.unlink(missing_ok=True)


@contextmanager
def ports_told(file: Path, ports: Mapping[str, int]) -> Iterator[None]:
    """Keep *file* there, whole from the first moment, for as long as we serve."""
    fresh = file.with_name(f"{file.name}.{os.getpid()}")
    fresh.write_text(json.dumps(ports), encoding="utf-8")
    fresh.replace(file)
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


def allow_open_files(wanted: int) -> None:
    """
    Raise the soft limit of open files to *wanted*, as far as the hard one lets us.

    At the limit no connection is accepted any more, and the loop tells so without end.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    if most < wanted:
        log.warning("open_files.too_few", allowed=most, wanted=wanted, hint="limits.sessions")
