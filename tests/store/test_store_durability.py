"""What survives a crash, a restart, a full disk; who may open what."""

import asyncio
import os
import sqlite3
import stat
import traceback
from dataclasses import replace

import pytest

from esc_daemon.domain.events import Stream
from esc_daemon.domain.step import Step
from esc_daemon.store import (
    EntryChange,
    SqlStore,
    StoreBroken,
    StoreClosed,
    StoreFull,
    StoreInUse,
    fresh_image,
    open_store,
)
from esc_daemon.store.sqlite import translated
from tests.store.store_samples import (
    NOW,
    a_deployment,
    a_path,
    a_tenant,
    a_vm,
    an_event,
    beginning,
    later,
    moving,
)


def telling(*messages):
    events = tuple(an_event(message) for message in messages)
    return Step(key=a_tenant().key, before=None, record=None, events=events)


async def contents(store):
    logged = await store.events(after=0, limit=1000, stream=Stream.ESC_EVENT)
    return (
        [record async for record in store.load()],
        [entry.xml for entry in await store.entries()],
        [one.event.message for one in logged],
    )


def pragma(store, text):
    return store._connection.connection.dbapi_connection.execute(f"PRAGMA {text}").fetchone()


@pytest.fixture
async def in_place(monkeypatch):
    """A simulated loop: what is for the executor runs where it was asked for."""
    loop = asyncio.get_running_loop()

    async def run(work, *args):
        return work(*args)

    monkeypatch.setattr(
        loop, "run_in_executor", lambda _, work, *args: loop.create_task(run(work, *args))
    )


async def test_a_power_failure_leaves_whole_commits():
    # given a life of three commits, each synced
    images = [fresh_image()]
    store = SqlStore.from_image(on_synced=images.append)
    states = [await contents(store)]
    first = a_deployment("web", a_vm("a"), a_vm("b"))
    second = later(first, vms={a_vm("c").id: a_vm("c")})
    for step, xml in (
        (beginning(first, an_event("1"), an_event("2")), "<one/>"),
        (moving(first, second, an_event("3")), "<two/>"),
        (telling("4"), None),
    ):
        await store.commit([step], [EntryChange(path=a_path(), xml=xml)], time=NOW)
        states.append(await contents(store))
    store.kill()

    # when the power fails after any of them
    for image, state in zip(images, states, strict=True):
        survivor = SqlStore.from_image(image)

        # then all of it is there, nothing of the next, and the numbers go on
        assert await contents(survivor) == state
        [logged] = await survivor.commit([telling("next")], time=NOW)
        assert logged.seq == len(state[2]) + 1
        await survivor.close()


async def test_nobody_learns_of_a_commit_before_it_is_synced():
    # given
    order = []
    store = SqlStore.from_image(on_synced=lambda _: order.append("synced"))

    # when
    await store.commit([telling("x")], time=NOW)
    order.append("told")

    # then
    assert order == ["synced", "told"]
    await store.close()


async def test_trimming_reaches_the_disk_too():
    images = []
    store = SqlStore.from_image(on_synced=images.append)
    await store.commit([telling("1", "2", "3")], time=NOW)
    await store.trim(keep_events=1)
    await store.close()

    survivor = SqlStore.from_image(images[-1])
    assert await contents(survivor) == ([], [], ["3"])
    await survivor.close()


async def test_a_killed_store_writes_nothing_more():
    # given a commit that waits
    images = []
    store = SqlStore.from_image(on_synced=images.append)
    waiting = asyncio.create_task(store.commit([telling("x")], time=NOW))
    await asyncio.sleep(0)

    # when
    store.kill()
    store.kill()

    # then
    with pytest.raises(asyncio.CancelledError):
        await waiting
    with pytest.raises(StoreClosed):
        await store.commit([telling("y")], time=NOW)
    assert images == []


async def test_the_power_may_fail_in_the_very_moment_of_the_sync(in_place):
    # given a hook that pulls the plug
    images = []

    def plug(image):
        images.append(image)
        store.kill()

    store = SqlStore.from_image(on_synced=plug)

    # when
    with pytest.raises(asyncio.CancelledError):
        await store.commit([telling("x")], time=NOW)

    # then the commit is there, although nobody was told
    with pytest.raises(StoreClosed):
        await store.commit([telling("y")], time=NOW)
    [image] = images
    survivor = SqlStore.from_image(image)
    assert await contents(survivor) == ([], [], ["x"])
    await survivor.close()


def test_a_store_may_be_killed_after_its_loop():
    # given a commit that was under way when the loop ended
    store = SqlStore.from_image()
    loop = asyncio.new_event_loop()
    waiting = loop.create_task(store.commit([telling("x")], time=NOW))
    loop.run_until_complete(asyncio.sleep(0))
    [writer] = asyncio.all_tasks(loop) - {waiting}
    for task in (writer, waiting):
        task.cancel()
    loop.run_until_complete(asyncio.wait([writer, waiting]))
    loop.close()

    # when, then
    store.kill()


async def test_a_loop_that_runs_the_executors_work_in_place_is_enough(in_place):
    # when
    store = SqlStore.from_image()
    await asyncio.gather(*(store.commit([telling(str(n))], time=NOW) for n in range(20)))

    # then
    assert await contents(store) == ([], [], [str(n) for n in range(20)])
    await store.close()


@pytest.mark.looptime
async def test_a_commit_is_in_time_although_the_time_is_virtual(memory):
    async with asyncio.timeout(1):
        await memory.commit([telling("x")], time=NOW)
        await asyncio.sleep(0.5)

    assert await memory.last_event() == 1


async def test_a_restart_finds_everything(tmp_path):
    # given
    path = tmp_path / "esc.db"
    first = a_deployment("web", a_vm("a"))
    store = await open_store(path)
    await store.commit(
        [beginning(first, an_event("1"))], [EntryChange(path=a_path(), xml="<x/>")], time=NOW
    )
    before = await contents(store)
    await store.close()

    # when
    store = await open_store(path)

    # then
    assert await contents(store) == before == ([first], ["<x/>"], ["1"])
    [loaded] = [record async for record in store.load()]
    await store.commit([moving(loaded, later(loaded))], time=NOW)
    await store.close()


async def test_an_acknowledged_commit_is_in_the_file_before_the_store_is_closed(tmp_path):
    # given
    store = await open_store(tmp_path / "esc.db")
    await store.commit([telling("x")], time=NOW)

    # when somebody else reads the file
    other = sqlite3.connect(tmp_path / "esc.db")
    rows = other.execute("SELECT seq FROM events").fetchall()
    other.close()

    # then
    assert rows == [(1,)]
    assert pragma(store, "journal_mode") == ("wal",)
    assert pragma(store, "synchronous") == (2,)  # FULL
    await store.close()


async def test_only_the_owner_can_read_the_files(tmp_path):
    # given a database that was once open to all
    path = tmp_path / "esc.db"
    path.touch(0o644)

    # when
    store = await open_store(path)
    await store.commit([telling("x")], time=NOW)

    # then
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
    assert modes == dict.fromkeys(["esc.db", "esc.db-wal", "esc.db-shm", "esc.db.lock"], 0o600)
    await store.close()


async def test_a_second_daemon_is_refused(tmp_path):
    # given
    store = await open_store(tmp_path / "esc.db")

    # when
    with pytest.raises(StoreInUse, match=f"esc.db.lock: held by process {os.getpid()}; stop"):
        await open_store(tmp_path / "esc.db")

    # then the first goes on, and when it is gone the next may come
    await store.commit([telling("x")], time=NOW)
    await store.close()
    await (await open_store(tmp_path / "esc.db")).close()


async def test_a_directory_that_is_not_there_is_named(tmp_path):
    with pytest.raises(StoreBroken, match=r"missing/esc\.db\.lock: No such file"):
        await open_store(tmp_path / "missing" / "esc.db")


@pytest.mark.parametrize("damage", ["a directory", "no database"])
async def test_what_is_no_database_is_refused_and_the_lock_given_back(tmp_path, damage):
    # given
    path = tmp_path / "esc.db"
    if damage == "a directory":
        path.mkdir()
    else:
        path.write_bytes(b"Dear diary, " * 100)

    # when
    for _ in range(2):
        with pytest.raises(StoreBroken, match=r"esc\.db: .*check") as caught:
            await open_store(path)
        # then its text says what to do
        assert ("backup" in str(caught.value)) is (damage == "no database")

    # and it was not touched
    assert path.is_dir() or path.read_bytes().startswith(b"Dear diary")


async def test_a_full_disk_refuses_the_batch_and_loses_nothing(tmp_path):
    # given a database that cannot grow
    store = await open_store(tmp_path / "esc.db")
    await store.commit([telling("before")], time=NOW)
    [pages] = pragma(store, "page_count")
    pragma(store, f"max_page_count = {pages}")

    # when a batch comes, of which one is too big
    big = EntryChange(path=a_path(), xml="secret" * 10_000)
    outcomes = await asyncio.gather(
        store.commit([telling("small")], time=NOW),
        store.commit([], [big], time=NOW),
        return_exceptions=True,
    )

    # then nobody is told that it was written, and nothing was
    assert [type(outcome) for outcome in outcomes] == [StoreFull, StoreFull]
    assert "make room" in str(outcomes[0])
    assert isinstance(outcomes[1], StoreFull)
    assert "secret" not in "".join(traceback.format_exception(outcomes[1]))
    assert await contents(store) == ([], [], ["before"])
    assert (store.writer.failing, store.writer.failed) == (True, 2)

    # and when there is room again, the same commits work
    pragma(store, "max_page_count = 1000000")
    await store.commit([telling("small")], [big], time=NOW)
    assert await contents(store) == ([], [big.xml], ["before", "small"])
    assert (store.writer.failing, store.writer.failed) == (False, 2)
    await store.close()


async def test_a_database_that_refuses_writes_is_told_apart_from_a_full_one(memory):
    # given
    pragma(memory, "query_only = ON")

    # when
    with pytest.raises(StoreBroken, match="nothing was acknowledged") as caught:
        await memory.commit([telling("x")], time=NOW)
    assert not isinstance(caught.value, StoreFull)

    # then it goes on when the cause is gone
    pragma(memory, "query_only = OFF")
    [logged] = await memory.commit([telling("x")], time=NOW)
    assert logged.seq == 1


def test_a_disk_that_fails_may_be_a_full_one():
    # given what SQLite says where the shared memory of its log finds no room
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_SHMSIZE

    # then
    assert "check the disk, which may be full, and" in str(translated(error))


async def test_rows_that_contradict_their_head_are_called_damage(memory):
    # given a deployment whose VM's row somebody removed
    first = a_deployment("web", a_vm("a"))
    await memory.commit([beginning(first)], time=NOW)
    memory._connection.connection.dbapi_connection.execute("DELETE FROM vms")

    # when
    moved = replace(a_vm("a"), hostname="compute-1")
    with pytest.raises(StoreBroken, match="backup"):
        await memory.commit([moving(first, later(first, vms={moved.id: moved}))], time=NOW)

    # then
    [record] = [record async for record in memory.load()]
    assert record.revision == 1


async def test_a_read_that_fails_says_so(memory):
    memory._connection.connection.dbapi_connection.execute("DROP TABLE entries")

    with pytest.raises(StoreBroken, match="no such table: entries"):
        await memory.entries()
