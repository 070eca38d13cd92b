"""The daemon of this machine as others on it see it: whether it runs, and what it tells."""

import json
import os
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, Final, NamedTuple

from esc_daemon.app.places import LOCK, PORTS_FILE
from esc_daemon.settings import Settings

EXIT_READY: Final = 0
EXIT_NOT_RUNNING: Final = 3
EXIT_NOT_READY: Final = 4
"""As those of an init script (LSB 5.0, 22.2): 0 runs, 3 does not, 4 cannot be told."""
_ANSWER_SECONDS: Final = 5.0
_LONGEST_ANSWER: Final = 1 << 20
_ANY_ADDRESS: Final = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104


class LocalStatus(NamedTuple):
    """
    What was found.

    *pid* None: it does not run, or with a *problem*, that cannot be told. *status* is the daemon's
    own answer, None where it gives none; *problem* says why.
    """

    pid: int | None
    ports: dict[str, int]
    status: dict[str, Any] | None
    problem: str

    @property
    def running(self) -> bool | None:
        """Tell whether it runs; None: that cannot be told."""
        return None if self.pid is None and self.problem else self.pid is not None

    @property
    def exit_code(self) -> int:
        """Return what a script learns."""
        if self.pid is None:
            return EXIT_NOT_READY if self.problem else EXIT_NOT_RUNNING
        ready = self.status is not None and self.status.get("ready") is True
        return EXIT_READY if ready else EXIT_NOT_READY


def local_status(settings: Settings) -> LocalStatus:
    """Look at the daemon that uses the data directory of *settings*; nothing is changed."""
    try:
        pid = _holder(settings.data_dir / LOCK)
    except PermissionError:
        return LocalStatus(None, {}, None, f"{settings.data_dir} may not be read; ask its owner")
    except OSError as error:  # the disk fails
        return LocalStatus(None, {}, None, str(error))
    if pid is None:
        return LocalStatus(None, {}, None, "")
    ports = _ports(settings.data_dir / PORTS_FILE)
    if "http" not in ports:
        return LocalStatus(pid, ports, None, "it has not told its ports: it is starting or ending")
    host = _ANY_ADDRESS.get(settings.http_host, settings.http_host)
    try:
        answer = _asked(host, ports["http"])
    except (OSError, HTTPException, ValueError) as error:
        problem = f"{host} port {ports['http']} does not answer: {error}"
        return LocalStatus(pid, ports, None, problem)
    if not isinstance(answer, dict) or answer.get("pid") != pid:
        return LocalStatus(pid, ports, None, f"at port {ports['http']} another process answers")
    return LocalStatus(pid, ports, answer, "")


def _holder(lock: Path) -> int | None:
    """
    Return the process that holds *lock*.

    The kernel's list is read. To try the lock would hold it for a moment, in which a daemon that
    starts would be refused.
    """
    try:
        pid, inode = int(lock.read_text(encoding="ascii")), lock.stat().st_ino
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    try:
        held = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    except OSError:  # not mounted: that there is such a process has to do
        return pid if Path(f"/proc/{pid}").exists() or _lives(pid) else None
    for line in held:
        words = line.split()
        if "FLOCK" in words and str(pid) in words and line.split(":")[-1].split()[0] == str(inode):
            return pid
    return None


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _ports(file: Path) -> dict[str, int]:
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {name: port for name, port in told.items() if isinstance(port, int)}


def _asked(host: str, port: int) -> Any:
    connection = HTTPConnection(host, port, timeout=_ANSWER_SECONDS)
    try:
        connection.request("GET", "/status")
        answer = connection.getresponse()
        if answer.status != 200:
            raise ValueError(f"HTTP {answer.status}")
        return json.loads(answer.read(_LONGEST_ANSWER))
    finally:
        connection.close()


def described(found: LocalStatus) -> list[str]:
    """Return *found* as lines for people."""
    if found.pid is None:
        return [f"cannot be told: {found.problem}" if found.problem else "not running"]
    status = found.status
    if status is None:
        return [f"process {found.pid} runs and is not ready: {found.problem}"]
    state = "ready" if status["ready"] else f"not ready: {', '.join(status['reasons'])}"
    rows = {
        "state": state,
        "degraded": ", ".join(status["degraded"]) or "no",
        "version": status["version"],
        "process": f"{status['pid']}, up {_time(status['uptime_seconds'])}",
        "ports": _numbers(found.ports),
        "sessions": str(status["sessions"]),
        "VIM connectors": _numbers(status["connectors"]),
        "deployments": _numbers(status["deployments"]),
        "VMs": _numbers(status["vms"]),
        "leftovers": str(status["leftovers"]),
    }
    lines = [f"{name:14}  {value}" for name, value in rows.items()]
    errors = (f"{error['time']}  {error['event']}" for error in status["errors"])
    return [*lines, *(f"{'error':14}  {error}" for error in errors)]


def _numbers(counted: dict[str, int]) -> str:
    return ", ".join(f"{name} {number}" for name, number in counted.items()) or "none"


def _time(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return (
        f"{days} d {hours:02}:{minutes:02}:{rest:02}"
        if days
        else f"{hours:02}:{minutes:02}:{rest:02}"
    )
