"""The history of the schema, and how a database is brought up to date."""

import sqlite3
import subprocess
import sys

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect

from esc_daemon.domain.events import Stream
from esc_daemon.store import SqlStore, StoreTooNew, fresh_image, migrate, open_store
from esc_daemon.store.sqlite import open_file
from esc_daemon.store.tables import METADATA
from tests.store.store_samples import NOW, a_tenant, beginning


@pytest.fixture
def history():
    config = Config()
    config.set_main_option("script_location", str(migrate.SCRIPTS))
    config.set_main_option("path_separator", "os")
    return ScriptDirectory.from_config(config)


@pytest.fixture
def empty():
    engine = create_engine("sqlite://")
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def test_the_known_head_is_the_last_of_the_history(history):
    assert history.get_heads() == [migrate.HEAD]


def test_the_migrations_lead_to_the_tables_that_the_code_knows(empty):
    # given an empty database
    assert migrate.current(empty) is None

    # when
    assert migrate.upgrade(empty)

    # then
    assert compare_metadata(MigrationContext.configure(empty), METADATA) == []
    assert migrate.current(empty) == migrate.HEAD


def test_a_current_database_is_left_alone(empty):
    migrate.upgrade(empty)
    assert not migrate.upgrade(empty)


def test_every_migration_can_be_taken_back(empty, history):
    # given
    migrate.upgrade(empty)

    # when
    config = Config()
    config.set_main_option("script_location", str(migrate.SCRIPTS))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = empty
    command.downgrade(config, "base")

    # then
    assert inspect(empty).get_table_names() == ["alembic_version"]


async def test_a_database_of_a_newer_version_is_refused_and_not_touched(tmp_path):
    # given
    path = tmp_path / "esc.db"
    await (await open_store(path)).close()
    raw = sqlite3.connect(path)
    raw.execute("UPDATE alembic_version SET version_num = '9999'")
    raw.commit()

    # when
    for _ in range(2):
        with pytest.raises(StoreTooNew, match="schema 9999, this version of the daemon knows 0003"):
            await open_store(path)

    # then
    assert raw.execute("SELECT version_num FROM alembic_version").fetchall() == [("9999",)]
    raw.close()


def test_a_current_database_is_opened_without_alembic(tmp_path):
    # given a database of today
    path = tmp_path / "esc.db"
    path.write_bytes(fresh_image())

    # when a fresh interpreter opens it
    program = (
        "import asyncio, pathlib, sys; from esc_daemon.store import open_store\n"
        "async def main():\n"
        f"    await (await open_store(pathlib.Path({str(path)!r}))).close()\n"
        "asyncio.run(main()); print('alembic' in sys.modules)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )

    # then
    assert answer.stdout == "False\n"


async def test_an_interrupted_first_start_is_begun_again(tmp_path, monkeypatch):
    # given a first start that dies after its tables were made
    path = tmp_path / "esc.db"

    def upgrade_and_die(connection):
        migrate.upgrade(connection)
        raise KeyboardInterrupt

    monkeypatch.setattr("esc_daemon.store.sqlite.upgrade", upgrade_and_die)
    with pytest.raises(KeyboardInterrupt):
        open_file(path)
    monkeypatch.undo()

    # then nothing of it is left, and the next start does it all
    raw = sqlite3.connect(path)
    assert raw.execute("SELECT name FROM sqlite_master").fetchall() == []
    raw.close()
    store = await open_store(path)
    await store.commit([beginning(a_tenant())], time=NOW)
    await store.close()


async def test_an_old_image_is_brought_up_to_date():
    # given an empty database that knows nothing
    raw = sqlite3.connect(":memory:")
    raw.execute("CREATE TABLE stranger (x)")
    image = raw.serialize()
    raw.close()

    # when
    store = SqlStore.from_image(image)

    # then
    assert await store.last_event() == 0
    await store.close()


@pytest.mark.parametrize("since", [None, NOW])
async def test_reading_events_goes_by_the_index(memory, since):
    # given
    statements = []
    raw = memory._connection.connection.dbapi_connection
    raw.set_trace_callback(statements.append)

    # when
    await memory.events(after=7, limit=10, stream=Stream.ESC_EVENT, since=since)
    raw.set_trace_callback(None)

    # then
    [query] = [text for text in statements if text.startswith("SELECT")]
    plan = [row[3] for row in raw.execute(f"EXPLAIN QUERY PLAN {query}")]
    assert len(plan) == 1
    assert "ix_events_stream_seq_time (stream=? AND seq>?" in plan[0]


@pytest.mark.parametrize("order", ["records", "entries"])
async def test_reading_all_needs_no_sorting(memory, order):
    statements = []
    raw = memory._connection.connection.dbapi_connection
    await memory.commit([beginning(a_tenant())], time=NOW)
    raw.set_trace_callback(statements.append)

    if order == "records":
        assert [record async for record in memory.load()] == [a_tenant()]
    else:
        await memory.entries()
    raw.set_trace_callback(None)

    for query in (text for text in statements if text.startswith("SELECT")):
        plan = [row[3] for row in raw.execute(f"EXPLAIN QUERY PLAN {query}")]
        assert not any("USE TEMP B-TREE FOR ORDER BY" in step for step in plan), plan
