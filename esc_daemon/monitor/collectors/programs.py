"""
Programs of the operator, run within bounds: no shell, no terminal, no strays.

A program runs in a session of its own, in ``/``, with a clean environment and an empty standard
input. prlimit (util-linux) sets its limits before it begins, so that whatever it starts has them
too; a hook between fork and exec would not be safe beside our threads. When it ends, or is no
longer wanted, all that is left of its process group is killed: neither a background process that
holds its output nor one that ignores SIGTERM keeps anybody waiting.
"""

import asyncio
import os
import resource
import shutil
import signal
import subprocess
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from math import ceil
from typing import IO, Final

from esc_daemon.monitor.base import CollectorError

KEPT: Final = 16 * 1024
"""Bytes of each output that are kept; more is read and thrown away."""
MOST_OUTPUT: Final = 16 * 2**20
"""Bytes of output after which a program is killed: to read on would cost more than its own KPI."""
ENVIRONMENT: Final = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
}
FILE_BYTES: Final = 64 * 2**20
OPEN_FILES: Final = 256
NICE: Final = 10
CLOSING_SECONDS: Final = 5.0

_LAUNCHER: Final = "prlimit"
_LAUNCHER_FAILED: Final = (126, 127)
_STARTING_THREADS: Final = 4
_CHUNK: Final = 64 * 1024
_LOOK_AGAIN_SECONDS: Final = 0.1
"""To wait for the end would hold up the loop."""


@dataclass(kw_only=True, slots=True, frozen=True)
class Ended:
    """How a program ended: with a *status* of 0 to 255, or by a *signal*."""

    status: int | None
    signal: str = ""
    out: bytes = b""
    err: bytes = b""


class Programs:
    """Runs programs, each in at most *memory_bytes* of address space; *most* of them at a time."""

    def __init__(self, *, most: int, memory_bytes: int) -> None:
        self._memory_bytes = memory_bytes
        # What was killed and cannot end, as one that hangs in a dead file system, counts too.
        self._most = 2 * most
        self._threads = ThreadPoolExecutor(_STARTING_THREADS, thread_name_prefix="programs")
        self._starting: set[asyncio.Future[_Started]] = set()
        self._children: set[_Child] = set()

    async def run(self, words: Callable[[], Sequence[str]], seconds: float) -> Ended:
        """
        Run the program that *words* returns, its path first, for *seconds* of processor time.

        *words* is called in a thread, since a file system may hang. Whoever cancels this has the
        program killed.

        Raises:
            CollectorError: It cannot be started, or wrote without end, or *words* says why not.

        """
        if len(self._children) + len(self._starting) >= self._most:
            raise CollectorError("scripts that were killed have not ended; look for them with ps")
        loop = asyncio.get_running_loop()
        starting = loop.run_in_executor(self._threads, self._start, words, seconds)
        self._starting.add(starting)
        starting.add_done_callback(self._starting.discard)
        try:
            process, pidfd = await asyncio.shield(starting)
        except asyncio.CancelledError:
            starting.add_done_callback(self._unwanted)
            raise
        except (OSError, ValueError) as error:
            raise CollectorError(f"the script cannot be started: {error}") from None
        child = self._child(process, pidfd)
        try:
            ended = await asyncio.shield(child.ended)  # it ends, wanted or not
        finally:
            child.kill()
        _look_at_launcher(ended)
        return ended

    async def close(self) -> None:
        """Kill all that runs and wait for its end, within `CLOSING_SECONDS`."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self._starting:
            await asyncio.wait(self._starting, timeout=CLOSING_SECONDS)
        for child in self._children:
            child.kill()
        if self._children:
            ends = [child.ended for child in self._children]
            await asyncio.wait(ends, timeout=CLOSING_SECONDS)

    def _start(self, words: Callable[[], Sequence[str]], seconds: float) -> "_Started":
        process = subprocess.Popen(  # noqa: S603  no shell; the caller says what may run
            [*_limits(seconds, self._memory_bytes), *words()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            cwd="/",
            env=ENVIRONMENT,
            umask=0o077,
            start_new_session=True,
        )
        try:
            with suppress(OSError):
                os.setpriority(os.PRIO_PGRP, process.pid, NICE)
            return process, os.pidfd_open(process.pid)
        except BaseException:
            _kill(process.pid)
            process.communicate()
            raise

    def _unwanted(self, starting: "asyncio.Future[_Started]") -> None:
        if not starting.cancelled() and starting.exception() is None:
            self._child(*starting.result()).kill()

    def _child(self, process: "subprocess.Popen[bytes]", pidfd: int) -> "_Child":
        child = _Child(process, pidfd)
        self._children.add(child)
        child.ended.add_done_callback(lambda _: self._children.discard(child))
        return child


_Started = tuple[subprocess.Popen[bytes], int]


class _Child:
    """A process under way, until it is reaped."""

    def __init__(self, process: subprocess.Popen[bytes], pidfd: int) -> None:
        assert process.stdout is not None
        assert process.stderr is not None
        self._loop = asyncio.get_running_loop()
        self._process = process
        self._pidfd = pidfd
        self._kept = {process.stdout: bytearray(), process.stderr: bytearray()}
        self._read_on = dict.fromkeys(self._kept)
        self._bytes = 0
        self.ended: asyncio.Future[Ended] = self._loop.create_future()
        for pipe in self._kept:
            os.set_blocking(pipe.fileno(), False)
            self._loop.add_reader(pipe.fileno(), self._read, pipe)
        self._loop.add_reader(pidfd, self._over)

    def kill(self) -> None:
        """Kill the process and its group, if it has not ended."""
        if self._pidfd >= 0:
            _kill(self._process.pid)

    def _read(self, pipe: IO[bytes]) -> bool:
        """Tell whether there may be more."""
        try:
            data = os.read(pipe.fileno(), _CHUNK)
        except BlockingIOError:
            return False
        kept = self._kept[pipe]
        kept += data[: KEPT - len(kept)]
        self._bytes += len(data)
        if self._bytes > MOST_OUTPUT:
            self.kill()
        if not data:
            self._loop.remove_reader(pipe.fileno())
            del self._read_on[pipe]
        return bool(data)

    def _over(self) -> None:
        """Take what was written before the end, kill what is left, reap."""
        # Not reaped yet, it still keeps the number of its group from being another's.
        self.kill()
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._pidfd = -1
        for pipe in tuple(self._read_on):
            # What escaped the group may write for ever.
            while self._bytes <= MOST_OUTPUT and self._read(pipe):
                pass
            self._loop.remove_reader(pipe.fileno())
        self._reap()

    def _reap(self) -> None:
        """Take the status, once a debugger that looks at the end first has done so (ptrace(2))."""
        code = self._process.poll()
        if code is None:
            self._loop.call_later(_LOOK_AGAIN_SECONDS, self._reap)
            return
        out, err = (bytes(kept) for kept in self._kept.values())
        for pipe in self._kept:
            pipe.close()
        if self._bytes > MOST_OUTPUT:
            text = f"the script wrote more than {MOST_OUTPUT} bytes"
            self.ended.set_exception(CollectorError(text))
            self.ended.exception()  # perhaps nobody waits for it any more
        elif code < 0:
            self.ended.set_result(Ended(status=None, signal=_name(-code), out=out, err=err))
        else:
            self.ended.set_result(Ended(status=code, out=out, err=err))


def _limits(seconds: float, memory_bytes: int) -> list[str]:
    launcher = shutil.which(_LAUNCHER, path=ENVIRONMENT["PATH"])
    if launcher is None:
        raise CollectorError(f"{_LAUNCHER} is not there; install util-linux")
    limits = {
        "cpu": (resource.RLIMIT_CPU, ceil(seconds) + 1),
        "as": (resource.RLIMIT_AS, memory_bytes),
        "fsize": (resource.RLIMIT_FSIZE, FILE_BYTES),
        "nofile": (resource.RLIMIT_NOFILE, OPEN_FILES),
        "core": (resource.RLIMIT_CORE, 0),
    }
    words = [f"--{name}={_most(kind, wanted)}" for name, (kind, wanted) in limits.items()]
    return [launcher, *words, "--"]


def _most(kind: int, wanted: int) -> int:
    """Nobody but root may raise what this process itself is bound to."""
    hard = resource.getrlimit(kind)[1]
    return wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)


def _look_at_launcher(ended: Ended) -> None:
    """Tell a script that could not be run from one that ended with such a status."""
    said = f"{_LAUNCHER}: failed to execute ".encode()
    if ended.status in _LAUNCHER_FAILED and ended.err.startswith(said):
        reason = ended.err.decode(errors="replace").strip().rpartition(": ")[2]
        raise CollectorError(
            f"the script cannot be run: {reason}; its first line should name an interpreter that is"
            " there, and its lines end with LF alone"
        )


def _kill(pid: int) -> None:
    # A group that is gone, or that became another user's, is not ours to kill.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
