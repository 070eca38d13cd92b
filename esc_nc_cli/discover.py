"""
Find the server and a way in: the options first, then the local daemon's data directory.

    NoWayIn   no credentials; the text says what was looked for
"""

import ipaddress
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 2022  # what netconf-console uses
LOCAL_USER = "esc-nc-admin"
DEFAULT_USER = "admin"
ELSEWHERE = "--data-dir or ESC_DATA_DIR names another data directory"


class NoWayIn(Exception):
    """Neither a password nor a key is at hand."""


@dataclass(kw_only=True, slots=True, frozen=True)
class Options:
    """What the user said; None where nothing was said."""

    host: str | None = None
    port: int | None = None
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    key: Path | None = None
    known_hosts: Path | None = None
    data_dir: Path | None = None


@dataclass(kw_only=True, slots=True, frozen=True)
class Endpoint:
    """Where to connect and as whom. With a *key*, *password* is its passphrase."""

    host: str
    port: int
    user: str
    password: str | None = field(default=None, repr=False)
    key: Path | None = None
    known_hosts: Path | None = None
    silent_directory: Path | None = None
    """Where no daemon has told its ports, so that the port is a guess."""
    ports_file: Path | None = None
    """Where a daemon told this port: one that was killed leaves the file behind."""
    netconf_port: int | None = None
    """Where NETCONF should be, if that is another port than the one that was named."""

    @property
    def is_loopback(self) -> bool:
        """Nobody stands between us and a loopback address: its host key needs no check."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def data_directory(environment: Mapping[str, str], *, is_root: bool) -> Path:
    """Return where a local daemon of this user keeps its data."""
    if given := environment.get("ESC_DATA_DIR"):
        return Path(given)
    if is_root and "XDG_STATE_HOME" not in environment:
        return Path("/var/lib/esc_daemon")
    state = environment.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(state).expanduser() / "esc_daemon"


def locate(
    options: Options,
    environment: Mapping[str, str],
    *,
    is_root: bool,
    ask: Callable[[str], str] | None,
) -> Endpoint:
    """
    Return the endpoint that *options* name, completed from the local daemon's directory.

    *ask* prompts for a password; None where there is no terminal.

    Raises:
        NoWayIn: No password, no key, and nobody to ask.
    """
    directory = options.data_dir or data_directory(environment, is_root=is_root)
    is_local = options.host is None
    host = options.host or DEFAULT_HOST
    is_looked_up = is_local and options.port is None
    told = local_port(directory) if is_looked_up else None
    looked_up = (told or set_port(environment)) if is_looked_up else None
    port = options.port or looked_up or DEFAULT_PORT
    key, password = options.key, options.password
    if key is None and password is None and is_local and options.user in {None, LOCAL_USER}:
        key = _local_key(directory)
        user = LOCAL_USER if key is not None else options.user or DEFAULT_USER
    else:
        user = options.user or DEFAULT_USER
    if key is None and password is None:
        if ask is None:
            raise NoWayIn(_nothing_found(directory, user, is_local=is_local))
        password = ask(
            f"{_why_asked(directory, is_local=is_local)}Password of {user} at {host}:{port}"
        )
    return Endpoint(
        host=host,
        port=port,
        user=user,
        password=password,
        key=key,
        known_hosts=options.known_hosts,
        silent_directory=directory if is_looked_up and not _ports(directory).exists() else None,
        ports_file=None if told is None else _ports(directory),
        netconf_port=_expected_port(directory, is_local=is_local, named=port),
    )


def local_port(directory: Path) -> int | None:
    """Return the NETCONF port that a daemon wrote into *directory*; None if none did."""
    try:
        ports = json.loads(_ports(directory).read_bytes())
    except (OSError, ValueError):
        return None
    port = ports.get("netconf") if isinstance(ports, dict) else None
    return port if isinstance(port, int) and 0 < port < 65536 else None


def set_port(environment: Mapping[str, str]) -> int | None:
    """
    Return the NETCONF port that *environment* sets for a daemon; None if it sets none.

    What a daemon told is nearer: it may have been started with another, or with 0, any free port.
    """
    text = environment.get("ESC_NETCONF_PORT", "")
    port = int(text) if text.isascii() and text.isdigit() and len(text) <= 5 else 0
    return port if 0 < port < 65536 else None


def _expected_port(directory: Path, *, is_local: bool, named: int) -> int | None:
    told = local_port(directory) if is_local else None
    return None if named == (told or DEFAULT_PORT) else told or DEFAULT_PORT


def _ports(directory: Path) -> Path:
    return directory / "ports.json"


def _local_key(directory: Path) -> Path | None:
    key = directory / "keys" / LOCAL_USER
    return key if os.access(key, os.R_OK) else None


def _nothing_found(directory: Path, user: str, *, is_local: bool) -> str:
    how = "give --password-file or --key"
    if not is_local:
        return f"no password and no key: {how}"
    if _local_key(directory) is not None:
        return f"the key of the local daemon is for {LOCAL_USER}, not for {user}: {how}"
    return f"{_no_local_key(directory)}: {how}"


def _why_asked(directory: Path, *, is_local: bool) -> str:
    """Return the line before the question for a password, where a key was looked for in vain."""
    if not is_local or _local_key(directory) is not None:
        return ""
    return f"{_no_local_key(directory)}\n"


def _no_local_key(directory: Path) -> str:
    keys = directory / "keys"
    return f"no local daemon's key in {keys} (has it been started? {ELSEWHERE})"
