from pathlib import Path

import pytest

from esc_daemon.store import SqlStore, open_store


@pytest.fixture(params=["memory", "file"])
async def store(request, tmp_path: Path):
    path = tmp_path / "esc.db" if request.param == "file" else None
    opened = await open_store(path)
    yield opened
    await opened.close()


@pytest.fixture
async def memory():
    opened = SqlStore.from_image()
    yield opened
    await opened.close()
