"""The daemon of this machine as others on it see it: whether it runs, and what it tells."""

import os
import socket
from http.client import HTTPException, HTTPResponse
from io import BytesIO
from pathlib import Path
from time import monotonic
from typing import Annotated, Any, Final, NamedTuple, cast

import msgspec

from esc_daemon.app.places import LOCK, PORTS_FILE
from esc_daemon.logs import printable
from esc_daemon.settings import Settings

EXIT_READY: Final = 0
EXIT_NOT_RUNNING: Final = 3
EXIT_NOT_READY: Final = 4
"""As those of an init script (LSB 5.0, 22.2): 0 runs, 3 does not, 4 cannot be told."""
_ANSWER_SECONDS: Final = 5.0
"""For the whole of the answer, from the connection on."""
_LONGEST_ANSWER: Final = 1 << 20
_READ_BYTES: Final = 1 << 16
_ANY_ADDRESS: Final = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104

_Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]
_Seconds = Annotated[float, msgspec.Meta(ge=0, le=1e10)]


class Trouble(msgspec.Struct, frozen=True):
    """A kind of errors of the daemon's log, with the time of the last one."""

    time: str
    event: str
    level: str = ""
    times: int = 1


class Told(msgspec.Struct, frozen=True):
    """What the daemon tells of itself; fields that are not known here are left out."""

    version: str
    pid: int
    uptime_seconds: _Seconds
    ready: bool
    reasons: tuple[str, ...]
    degraded: tuple[str, ...]
    sessions: int
    connectors: dict[str, int]
    deployments: dict[str, int]
    vms: dict[str, int]
    leftovers: int
    errors: tuple[Trouble, ...]
    why: tuple[str, ...] = ()
    in_error: dict[str, int] = {}
    to_recover: int = 0
    warnings: dict[str, int] = {}
    """These four are not told by a daemon that began before an upgrade."""


class LocalStatus(NamedTuple):
    """
    What was found.

    *pid* None: it does not run, or with a *problem*, that cannot be told. *status* is the daemon's
    own answer, None where it gives none; *problem* says why.
    """

    pid: int | None
    ports: dict[str, int]
    status: Told | None
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
        ready = self.status is not None and self.status.ready
        return EXIT_READY if ready else EXIT_NOT_READY

    def as_object(self) -> dict[str, Any]:
        """Return what was found as JSON has it."""
        found = self._asdict() | {"running": self.running}
        return cast("dict[str, Any]", msgspec.to_builtins(found))


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
    try:
        told = msgspec.json.decode(answer, type=Told)
    except (msgspec.DecodeError, RecursionError) as error:
        problem = f"how it is cannot be told: port {ports['http']} answers something else: {error}"
        return LocalStatus(pid, ports, None, problem)
    if told.pid != pid:
        return LocalStatus(pid, ports, None, f"at port {ports['http']} another process answers")
    return LocalStatus(pid, ports, told, "")


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
        return msgspec.json.decode(file.read_bytes(), type=dict[str, _Port])
    except (OSError, msgspec.DecodeError, RecursionError):
        return {}


def _asked(host: str, port: int) -> bytes:
    """
    Return the answer of whoever listens.

    Raises:
        OSError, HTTPException, ValueError: There is none in time, or it is none.

    """
    until = monotonic() + _ANSWER_SECONDS
    with socket.create_connection((host, port), timeout=_ANSWER_SECONDS) as peer:
        name = f"[{host}]" if ":" in host else host
        peer.sendall(f"GET /status HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
        came = bytearray()
        while len(came) < _LONGEST_ANSWER:
            left = until - monotonic()
            if left <= 0:
                raise TimeoutError("timed out")
            peer.settimeout(left)  # of each read: a peer that sends byte by byte has no more
            data = peer.recv(_READ_BYTES)
            if not data:
                break
            came += data
    answer = HTTPResponse(cast("socket.socket", _Came(bytes(came))))
    answer.begin()
    if answer.status != 200:
        raise ValueError(f"HTTP {answer.status}")
    return answer.read()


class _Came:
    """What came of a connection, as the library reads one."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, _: str) -> BytesIO:
        return BytesIO(self._data)


def described(found: LocalStatus) -> list[str]:
    """Return *found* as lines for people; no text of whoever answered begins one."""
    return [printable(line) for line in _described(found)]


def _described(found: LocalStatus) -> list[str]:
    if found.pid is None:
        return [f"cannot be told: {found.problem}" if found.problem else "not running"]
    status = found.status
    if status is None:
        return [f"process {found.pid} runs and is not ready: {found.problem}"]
    state = "ready" if status.ready else f"not ready: {', '.join(status.reasons)}"
    rows = {
        "version": status.version,
        "process": f"{status.pid}, up {_time(status.uptime_seconds)}",
        "ports": _numbers(found.ports),
        "sessions": str(status.sessions),
        "VIM connectors": _numbers(status.connectors),
        "deployments": _numbers(status.deployments),
        "VMs": _numbers(status.vms),
        "in error": _numbers(status.in_error),
        "to recover": str(status.to_recover),
        "leftovers": str(status.leftovers),
        "warnings": _numbers(status.warnings),
    }
    degraded = status.why or (", ".join(status.degraded) or "no",)
    errors = (
        f"{error.time}  {error.event}{f' ({error.times} times)' if error.times > 1 else ''}"
        for error in status.errors
    )
    return [
        _line("state", state),
        *(_line("degraded", why) for why in degraded),
        *(_line(name, value) for name, value in rows.items()),
        *(_line("error", error) for error in errors),
    ]


def _line(name: str, value: str) -> str:
    return f"{name:14}  {value}"


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
