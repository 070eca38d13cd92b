"""
What a service manager is told (sd_notify(3)): READY=1, STOPPING=1, WATCHDOG=1.

Ours, since it is one datagram: the library `systemd` needs a C compiler and libsystemd.
"""

import os
import socket
from collections.abc import Mapping
from typing import Final, Protocol

import structlog

log = structlog.get_logger()

_SOCKET: Final = "NOTIFY_SOCKET"


class Notify(Protocol):
    """Tells the service manager; says nothing where there is none, and never fails."""

    def __call__(self, *words: str) -> None: ...


def service_manager(environment: Mapping[str, str] = os.environ) -> Notify:
    """Return what tells the service manager that *environment* names."""
    address = environment.get(_SOCKET, "")
    if not address:
        return lambda *_: None
    # a name that begins with @ is in the abstract namespace (unix(7))
    path = f"\0{address[1:]}" if address.startswith("@") else address

    def tell(*words: str) -> None:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
                channel.setblocking(False)  # a manager that does not read must not hold the loop
                channel.connect(path)
                channel.sendall("\n".join(words).encode())
        except OSError as error:
            log.warning("service_manager.not_told", words=words, error=error.strerror)

    return tell


def watchdog_seconds(environment: Mapping[str, str] = os.environ) -> float | None:
    """Return how often the service manager wants to hear of us (sd_watchdog_enabled(3))."""
    wanted = environment.get("WATCHDOG_USEC", "")
    meant = environment.get("WATCHDOG_PID", str(os.getpid()))
    if not wanted.isdecimal() or not int(wanted) or meant != str(os.getpid()):
        return None
    return int(wanted) / 1e6
