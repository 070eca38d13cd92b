from pathlib import Path

import pytest

from esc_daemon.store import SqlStore, open_store
from tests.store.store_samples import VAULT


@pytest.fixture(params=["memory", "file", "sealed file"])
async def store(request, tmp_path: Path):
    path = None if request.param == "memory" else tmp_path / "esc.db"
    opened = await open_store(path, vault=VAULT if request.param == "sealed file" else None)
    yield opened
    await opened.close()


@pytest.fixture
async def memory():
    opened = SqlStore.from_image()
    yield opened
    await opened.close()
