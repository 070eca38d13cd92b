"""The programs under measurement, each a process of its own that ends with the measurement."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

ROOT = Path(__file__).resolve().parent.parent
READY_SECONDS = 240
STOP_SECONDS = 20


class Process(Protocol):
    """What of subprocess.Popen is used here."""

    @property
    def pid(self) -> int: ...
    @property
    def returncode(self) -> int | None: ...
    def poll(self) -> int | None: ...
    def send_signal(self, sig: int) -> None: ...
    def terminate(self) -> None: ...
    def wait(self) -> int: ...


class NotReady(Exception):
    """A program ended, or did not say in time where it listens."""


class Program:
    """One of our programs: started, waited for until it serves, ended by its own process id."""

    def __init__(self, name: str, arguments: Sequence[str], folder: Path) -> None:
        """*name* tells its log and its port file in *folder* from those of others."""
        self._ports = folder / f"{name}.ports"
        self._arguments = (*arguments, "--port-file", str(self._ports))
        self.log = folder / f"{name}.log"
        self._process: Process | None = None
        self.ports: dict[str, int] = {}

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def start(self, **environment: str) -> float:
        """
        Start it, with *environment*; return the seconds until it serves.

        Raises:
            NotReady: It ended, or does not serve in time.

        """
        self._ports.unlink(missing_ok=True)
        began = time.perf_counter()
        self._process = self._launch(self._arguments, _surroundings() | environment)
        while time.perf_counter() - began < READY_SECONDS:
            if self._process.poll() is not None:
                raise NotReady(f"{self._arguments[0]} ended with {self._process.returncode}")
            with suppress(FileNotFoundError, ValueError):
                self.ports = json.loads(self._ports.read_text())
                return time.perf_counter() - began
            await asyncio.sleep(0.005)
        raise NotReady(f"{self._arguments[0]} does not serve after {READY_SECONDS} s")

    def _launch(self, arguments: Sequence[str], environment: dict[str, str]) -> "Process":
        with self.log.open("ab") as sink:
            return subprocess.Popen(
                [sys.executable, "-m", "esc_daemon", *arguments],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                env=environment,
            )

    @property
    def is_over(self) -> bool:
        """Whether it has ended, by itself or not."""
        return self._process is None or self._process.poll() is not None

    def kill(self) -> None:
        """End it as a power failure does, as far as a process can be."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGKILL)
            self._process.wait()

    def ask_to_stop(self) -> None:
        """Ask it politely to end, and do not wait for that."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    async def stop(self) -> int:
        """End it politely; return its exit code."""
        if self._process is None:
            return 0
        self.ask_to_stop()
        if self._process.poll() is None:
            ends = time.perf_counter() + STOP_SECONDS
            while self._process.poll() is None and time.perf_counter() < ends:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
            self.kill()
        return self._process.wait()

    def memory_mib(self) -> float:
        """Return its resident set, MiB."""
        return memory_kib(self.pid) / 1024

    def cpu_seconds(self) -> float:
        """Return the processor time that it has used."""
        return cpu_seconds(self.pid)

    def tail(self, lines: int = 20) -> str:
        """Return the end of what it said."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


def memory_kib(pid: int) -> int:
    """Return the resident set of a process, KiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0


def cpu_seconds(pid: int) -> float:
    """Return the processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _surroundings() -> dict[str, str]:
    """Return our environment without settings of a daemon; it finds this tree's own modules."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("ESC_")}
    return ours | {"PYTHONPATH": str(ROOT)}


def daemon(folder: Path, settings: str, kind: type[Program] = Program) -> Program:
    """Return a daemon with *settings* (TOML) and a data directory in *folder*, not started."""
    config = folder / "settings.toml"
    config.write_text(settings)
    ports = ("--netconf-port", "0", "--http-port", "0")
    where = ("--config", str(config), "--data-dir", str(folder / "data"))
    return kind("daemon", ("run", *where, *ports), folder)


def simulator(folder: Path, *options: str, name: str = "simulator") -> Program:
    """Return a VIM simulator that keeps its state in *folder* by its *name*, not started."""
    state = folder / f"{name}.state"
    return Program(name, ("simulate", "--state-file", str(state), *options), folder)
