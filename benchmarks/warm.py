"""
Programs whose start is a fork of one process that has imported the daemon already.

An import takes some 2 s of processor time, the rest of a start 0.1 s. What is forked is a process
of its own, with its own id: a SIGKILL ends it as any other.
"""

import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path

from processes import ROOT, Process, Program

PRELOADED = ("esc_daemon.app.programs", "esc_daemon.cli", "fatal")
_CONTEXT = get_context("forkserver")


class WarmProgram(Program):
    """A daemon, or one that kills itself (`fatal.py`) where its environment says so."""

    def _launch(self, arguments: Sequence[str], environment: dict[str, str]) -> Process:
        return WarmProcess([*arguments], environment, self.log)


class WarmProcess:
    """One process, with those methods of subprocess.Popen that a `Program` calls."""

    def __init__(self, arguments: list[str], environment: dict[str, str], log: Path) -> None:
        self._process = _CONTEXT.Process(target=_be, args=(arguments, environment, log))
        self._process.start()
        assert self._process.pid is not None
        self.pid: int = self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def send_signal(self, sig: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, sig)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def wait(self) -> int:
        self._process.join()
        assert self._process.exitcode is not None
        return self._process.exitcode


def preload() -> None:
    """Let what programs need be imported before the first of them starts."""
    here = str(Path(__file__).parent)
    os.environ["PYTHONPATH"] = os.pathsep.join((str(ROOT), here))
    _CONTEXT.set_forkserver_preload([*PRELOADED])


def _be(arguments: list[str], environment: dict[str, str], log: Path) -> None:
    """Become the program: its environment, its log, its arguments."""
    os.environ.clear()
    os.environ.update(environment)
    with suppress(OSError):
        os.setsid()  # what ends the terminal's other programs is not for it
    with log.open("ab") as sink:
        os.dup2(sink.fileno(), 1)
        os.dup2(sink.fileno(), 2)
    sys.argv = ["esc_daemon", *arguments]
    import fatal  # noqa: PLC0415  in the process that it may end

    fatal.be_the_daemon()
