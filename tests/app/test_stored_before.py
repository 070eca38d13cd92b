"""What a start finds in its data directory, and tells of it."""

from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from structlog.testing import capture_logs

from esc_daemon.access.first_start import KEYS_DIRECTORY
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
