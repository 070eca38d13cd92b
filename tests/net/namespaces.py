"""Network namespaces with real hosts in them, made and taken away by the test."""

import ctypes
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
_CLONE_NEWNET = 0x4000_0000
_SECONDS = 20


def missing() -> str:
    """Return what this machine lacks for these tests; empty where they can run."""
    if os.geteuid() != 0:
        return "needs root: namespaces, veth and tun devices"
    if shutil.which("ip") is None:
        return "needs the program ip (iproute2)"
    if not Path("/dev/net/tun").exists():
        return "needs /dev/net/tun"
    name = f"escd{os.getpid()}try"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if made.returncode:
        return f"no network namespace can be made here: {made.stderr.strip()}"
    ip("netns", "del", name)
    return ""


def ip(*words: str) -> None:
    """Run ip; its complaint is the error."""
    done = subprocess.run(
        ["ip", *words], capture_output=True, text=True, timeout=_SECONDS, check=False
    )
    assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr}"


@dataclass
class Namespace:
    """One network namespace; its name has our process id, so that nobody else has it."""

    short: str
    programs: list["subprocess.Popen[bytes]"] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f"escd{os.getpid()}{self.short}"

    def ip(self, *words: str) -> None:
        ip("-n", self.name, *words)

    def address(self, device: str, *addresses: str) -> None:
        """Give *device* its addresses and bring it up."""
        for each in addresses:
            self.ip("addr", "add", each, "dev", device, *(["nodad"] if ":" in each else []))
        self.ip("link", "set", device, "up")

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Let this thread be in the namespace; sockets made meanwhile stay there."""
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        there = os.open(f"/run/netns/{self.name}", os.O_RDONLY)
        try:
            _enter(there)
            yield
        finally:
            _enter(home)
            os.close(there)
            os.close(home)

    def start(self, script: str, *words: str, log: Path) -> "subprocess.Popen[bytes]":
        """Run a program of this folder in the namespace until the namespace goes."""
        with log.open("ab") as sink:
            program = subprocess.Popen(
                ["ip", "netns", "exec", self.name, sys.executable, str(HERE / script), *words],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
            )
        self.programs.append(program)
        return program

    def remove(self) -> None:
        """End our programs in it, by their ids, and take it away with its devices."""
        for program in self.programs:
            if program.poll() is None:
                program.send_signal(signal.SIGTERM)
        for program in self.programs:
            try:
                program.wait(_SECONDS)
            except subprocess.TimeoutExpired:
                program.kill()
                program.wait(_SECONDS)
        ip("netns", "del", self.name)


@contextmanager
def namespaces(*names: str) -> Iterator[list[Namespace]]:
    """Make namespaces with a loopback; all of them go in the end, also after a failure."""
    made: list[Namespace] = []
    try:
        for short in names:
            namespace = Namespace(short)
            ip("netns", "add", namespace.name)
            made.append(namespace)
            namespace.ip("link", "set", "lo", "up")
        yield made
    finally:
        for namespace in reversed(made):
            namespace.remove()


def _enter(namespace: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, _CLONE_NEWNET):
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
