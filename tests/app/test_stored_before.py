"""What a start finds in its data directory, and tells of it."""

from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from esc_daemon.access.first_start import KEYS_DIRECTORY, USERS_FILE
from esc_daemon.access.vault_key import VAULT_KEY
from esc_daemon.app import daemon
from esc_daemon.domain.events import Event, EventType
from esc_daemon.domain.step import Step
from esc_daemon.settings import Settings
from esc_daemon.vault import Vault, new_key
from tests.engine.engine_bench import TENANT, T

HOURS = timedelta(hours=2)


async def start(folder: Path, vault: Vault, *, told_at: datetime | None = None) -> list[Any]:
    """Return what the log has of a start on *folder*, in which a tenant is told of perhaps."""
    (folder / KEYS_DIRECTORY).mkdir(exist_ok=True)
    with capture_logs() as lines:
        async with AsyncExitStack() as stack:
            store = await daemon._stored(Settings(data_dir=folder), stack, vault)
            if told_at is not None:
                event = Event(type=EventType.CREATE_TENANT, message="", tenant=T)
                step = Step(key=TENANT, before=None, record=None, events=(event,))
                await store.commit([step], time=told_at)
    return [line for line in lines if line["log_level"] == "warning"]


async def test_a_clock_that_was_set_back_and_a_database_that_others_read_are_told(tmp_path: Path):
    # given
    vault = Vault(new_key())
    assert await start(tmp_path, vault, told_at=datetime.now(UTC) + HOURS) == []
    database = tmp_path / "esc.db"
    database.chmod(0o640)
    # when
    lines = await start(tmp_path, vault)
    # then
    assert {line["event"] for line in lines} == {"clock.set_back", "file.not_ours_alone"}
    assert {line["file"] for line in lines if "file" in line} == {str(database)}


@pytest.mark.parametrize("empty", [False, True])
async def test_a_database_that_is_gone_is_told_once_and_none_that_never_was(
    tmp_path: Path, *, empty: bool
):
    # given: keys and users that were made before any database
    vault = Vault(new_key())
    (tmp_path / KEYS_DIRECTORY).mkdir()
    (tmp_path / KEYS_DIRECTORY / VAULT_KEY).touch(mode=0o600)
    (tmp_path / USERS_FILE).touch(mode=0o600)
    assert await start(tmp_path, vault) == []
    assert await start(tmp_path, vault) == []
    # when
    for name in ("esc.db", "esc.db-wal", "esc.db-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    if empty:
        (tmp_path / "esc.db").touch(mode=0o600)
    # then
    (line,) = await start(tmp_path, vault)
    assert (line["event"], line["file"]) == ("database.lost", str(tmp_path / "esc.db"))
    assert await start(tmp_path, vault) == []


async def test_a_mark_that_cannot_be_made_keeps_nobody_from_starting(tmp_path: Path):
    # given: keys that are no directory, into which root could not write either
    (tmp_path / KEYS_DIRECTORY).touch()

    async with AsyncExitStack() as stack:
        assert await daemon._stored(Settings(data_dir=tmp_path), stack, Vault(new_key()))
