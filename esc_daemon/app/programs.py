"""The programs: the daemon, the simulated VIM, the upgrade of the database."""

import sys
from collections.abc import Coroutine, Mapping
from errno import ENOSPC
from functools import partial
from pathlib import Path
from typing import Any, Final

from esc_daemon.access.errors import AccessError
from esc_daemon.app.daemon import serve, vault_of
from esc_daemon.app.listening import ListenerRefused
from esc_daemon.app.places import DATABASE
from esc_daemon.app.process import (
    allow_open_files,
    keep_the_collector_off,
    read_enums_at_once,
    run,
    switch_threads_soon,
)
from esc_daemon.app.simulator import simulator_page
from esc_daemon.datamodel.coverage import CoverageError
from esc_daemon.logs import configure_log
from esc_daemon.monitor.mapping import MappingFileError
from esc_daemon.settings import LogSettings, Settings
from esc_daemon.store import StoreSealed, open_store
from esc_daemon.store.base import StoreError
from esc_daemon.vim.simulator.faults import FaultFileError
from esc_daemon.vim.simulator.server import SimulatorError, run_simulator
from esc_daemon.vim.simulator.settings import CloudSettings
from esc_daemon.vim.simulator.state import StateError

_MAKE_ROOM: Final = "the disk of the data directory is full; make room on it"
_EXIT_OK: Final = 0
_EXIT_FAILED: Final = 1
_EXIT_BAD_SETTINGS: Final = 2
_FILES_BESIDE_SESSIONS: Final = 512
"""Open files: logins under way, HTTP, database, keys, links to VIMs."""


def run_daemon(
    settings: Settings, *, port_file: Path | None, admin_password_file: Path | None
) -> int:
    """Serve until SIGTERM or SIGINT; return the exit code (DESIGN section 9)."""
    try:
        logging = configure_log(settings.log)
    except OSError as error:
        text = f"log.file {settings.log.file}: {error.strerror or error}"
        print(f"esc_daemon: {text}", file=sys.stderr)  # noqa: T201  for the operator
        return _EXIT_BAD_SETTINGS
    keep_the_collector_off()
    read_enums_at_once()
    switch_threads_soon()
    allow_open_files(settings.limits.sessions + _FILES_BESIDE_SESSIONS)
    return _run(serve(settings, logging, port_file, admin_password_file))


def upgrade_database(settings: Settings) -> int:
    """Bring the database to this version; the daemon does so itself when it starts."""

    async def upgraded() -> None:
        store = await open_store(settings.data_dir / DATABASE, vault=vault_of(settings))
        await store.close()

    return _run(upgraded())


def simulate_vim(
    host: str,
    port: int,
    *,
    http_port: int | None,
    state_file: Path | None,
    faults_file: Path | None,
    port_file: Path | None,
    cloud: Mapping[str, Any],
) -> int:
    """Serve a simulated cloud until SIGTERM or SIGINT; *cloud* are fields of CloudSettings."""
    configure_log(LogSettings())
    return _run(
        run_simulator(
            host,
            port,
            state_file=state_file,
            faults_file=faults_file,
            port_file=port_file,
            settings=CloudSettings(**cloud),
            page=None if http_port is None else partial(simulator_page, port=http_port),
        )
    )


def _run(work: Coroutine[None, None, None]) -> int:
    try:
        run(work)
    except (AccessError, FaultFileError, MappingFileError, StoreSealed) as error:
        print(f"esc_daemon: {error}", file=sys.stderr)  # noqa: T201  for the operator
        return _EXIT_BAD_SETTINGS
    except (
        StoreError,
        StateError,
        SimulatorError,
        CoverageError,
        ListenerRefused,
    ) as error:
        print(f"esc_daemon: {error}", file=sys.stderr)  # noqa: T201  for the operator
        return _EXIT_FAILED
    except OSError as error:
        hint = f": {_MAKE_ROOM}" if error.errno == ENOSPC else ""
        print(f"esc_daemon: {error}{hint}", file=sys.stderr)  # noqa: T201  for the operator
        return _EXIT_FAILED
    return _EXIT_OK
