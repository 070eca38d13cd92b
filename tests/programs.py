"""Whole programs for the tests: start, wait until ready, end by their id; each with a deadline."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

ROOT = Path(__file__).resolve().parents[1]
READY_SECONDS = 60
STOP_SECONDS = 60
COMMAND_SECONDS = 60
LOCAL_USER = "esc-nc-admin"
T = TypeVar("T")


def surroundings(**settings: str) -> dict[str, str]:
    """Return our environment without settings meant for another daemon, and with *settings*."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("ESC_")}
    return ours | settings


@dataclass
class Program:
    """A process of ours."""

    process: subprocess.Popen[bytes]
    folder: Path
    ports: dict[str, int]
    log: Path

    @property
    def key(self) -> Path:
        return self.folder / "keys" / LOCAL_USER

    def stop(self) -> int:
        """End it as an operator does; return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_SECONDS)

    def kill(self) -> None:
        """End it as a power failure does."""
        self.process.kill()
        self.process.wait(STOP_SECONDS)


def run(*words: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    """Run a program of ours to its end: `run("esc_nc_cli", "get")`."""
    return subprocess.run(
        [sys.executable, "-m", *words],
        cwd=ROOT,
        env=surroundings(**settings),
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
        check=False,
        stdin=subprocess.DEVNULL,
    )


@contextmanager
def a_daemon(folder: Path, *options: str, **settings: str) -> Iterator[Program]:
    """Run a daemon on free ports with *folder* as its data directory."""
    words = ["esc_daemon", "run", "--data-dir", str(folder), "--host", "127.0.0.1"]
    words += ["--netconf-port", "0", "--http-port", "0", *options]
    with _started(words, folder, "daemon", settings) as program:
        yield program


@contextmanager
def a_simulator(folder: Path, *words: str) -> Iterator[Program]:
    """Run a VIM that goes on when a daemon dies."""
    with _started(["esc_daemon", "simulate", *words], folder, "simulator", {}) as program:
        yield program


@contextmanager
def _started(
    words: list[str], folder: Path, name: str, settings: dict[str, str]
) -> Iterator[Program]:
    folder.mkdir(exist_ok=True)
    ports, log = folder / f"{name}-port-file.json", folder / f"{name}.log"
    ports.unlink(missing_ok=True)
    with log.open("ab") as sink:
        process = subprocess.Popen(
            [sys.executable, "-m", *words, "--port-file", str(ports)],
            cwd=ROOT,
            env=surroundings(**settings),
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
        )
    try:
        yield Program(process, folder, _ports(process, ports, log), log)
    finally:
        if process.poll() is None:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(STOP_SECONDS)
        if process.poll() is None:
            process.kill()
            process.wait(STOP_SECONDS)


def _ports(process: "subprocess.Popen[bytes]", file: Path, log: Path) -> dict[str, int]:
    def told() -> dict[str, int] | None:
        assert process.poll() is None, f"it ended with {process.poll()}: {log.read_text()[-2000:]}"
        return json.loads(file.read_text()) if file.exists() else None

    return soon(told, READY_SECONDS)


def soon(look: Callable[[], T | None], seconds: float) -> T:
    """Return what *look* finds, at the latest after *seconds*."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found is not None:
            return found
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.05)
