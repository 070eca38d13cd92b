"""What a client configured cannot be read in the files of the database."""

import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Text

from esc_daemon.domain.ids import Key, Kind, RecordId, TenantName, VmGroupName
from esc_daemon.domain.intent import DayZero, Deployment, Image, VmGroup
from esc_daemon.domain.record import Record, ResourceRecord, ResourceSuccessor, Successor
from esc_daemon.domain.states import ResourceState
from esc_daemon.store import (
    EntryChange,
    SqlStore,
    StoreBroken,
    StoreSealed,
    is_sealed,
    open_store,
    sealing,
    sqlite,
)
from esc_daemon.store.tables import EVENTS, METADATA
from esc_daemon.vault import Vault, new_key
from tests.store.store_samples import (
    NOW,
    VAULT,
    a_deployment,
    a_path,
    a_tenant,
    a_vm,
    an_event,
    beginning,
    ending,
    later,
    moving,
)

SECRET = "enable-secret-of-day-0"
XML = f"<deployment><name>web</name><data>{SECRET}</data></deployment>"


def configured(name: str = "web", *, times: int = 1) -> Deployment:
    group = VmGroup(name=VmGroupName("g"), day_zero=(DayZero(dst="/day0", data=SECRET * times),))
    return Deployment(name=name, groups=(group,))


def an_image() -> ResourceRecord[Image]:
    """An image whose source names a password; it is to go, and comes again."""
    image = Image(name="i", src=f"https://me:{SECRET}@files/i.qcow2")
    return ResourceRecord(
        key=Key(Kind.IMAGE, None, "i"),
        id=RecordId("id-of-i"),
        intent=None,
        made=image,
        state=next(iter(ResourceState)),
        successor=ResourceSuccessor(id=RecordId("next"), intent=image, owner=None),
        revision=1,
        epoch=1,
    )


def files(directory: Path) -> bytes:
    """Return all that lies in *directory*: the database, its log, its journal."""
    found = sorted(directory.glob("esc.db*"))
    assert found
    return b"".join(file.read_bytes() for file in found)


def raw(store: SqlStore) -> sqlite3.Connection:
    connection = store._connection.connection.dbapi_connection
    assert isinstance(connection, sqlite3.Connection)
    return connection


async def kept(store: SqlStore) -> tuple[list[Record], list[str]]:
    records = [record async for record in store.load()]
    return records, [entry.xml for entry in await store.entries()]


async def with_secrets(store: SqlStore) -> list[Record]:
    """Store the secret in every kind of row that can hold one; return the records."""
    waiting = a_deployment(
        "old", a_vm(), intent=None, successor=Successor(id=RecordId("n"), intent=configured("old"))
    )
    records: list[Record] = [
        a_deployment("web", a_vm(), intent=configured()),
        waiting,
        an_image(),
    ]
    await store.commit(
        [beginning(record, an_event("told")) for record in records],
        [EntryChange(path=a_path(), xml=XML)],
        time=NOW,
    )
    return records


def test_every_text_of_a_row_is_sealed_or_known_to_hold_no_configuration():
    texts = {
        str(column)
        for table in METADATA.tables.values()
        for column in table.columns
        if isinstance(column.type, Text) and not column.primary_key
    }

    plain = {"records.id", "vms.body", *(f"events.{column.name}" for column in EVENTS.columns)}
    assert texts - plain == {str(column) for _, column in sealing._TEXTS}


async def test_the_files_hold_no_secret_after_edit_restart_and_delete(tmp_path):
    path = tmp_path / "esc.db"
    store = await open_store(path, vault=VAULT)

    # when it is edited
    records = await with_secrets(store)
    changed = later(records[0], intent=replace(configured(), networks=()))
    await store.commit(
        [moving(records[0], changed)], [EntryChange(path=a_path(), xml=XML + " ")], time=NOW
    )
    assert SECRET.encode() not in files(tmp_path)

    # and restarted
    await store.close()
    assert SECRET.encode() not in files(tmp_path)
    store = await open_store(path, vault=VAULT)
    found, [xml] = await kept(store)
    assert xml == XML + " "
    assert sorted(found, key=lambda record: record.id) == sorted(
        [changed, *records[1:]], key=lambda record: record.id
    )

    # and deleted
    await store.commit(
        [ending(record) for record in (changed, *records[1:])],
        [EntryChange(path=a_path(), xml=None)],
        time=NOW,
    )
    assert SECRET.encode() not in files(tmp_path)
    await store.close()

    # then
    assert SECRET.encode() not in files(tmp_path)


async def test_without_a_vault_the_same_search_finds_the_secret(tmp_path):
    store = await open_store(tmp_path / "esc.db")
    await with_secrets(store)
    await store.close()

    assert SECRET.encode() in files(tmp_path)


@pytest.mark.parametrize("end", ["stopped", "crashed"])
async def test_the_database_of_an_earlier_version_is_sealed_to_its_last_page(tmp_path, end):
    # given one that was not sealed: with rows, with a row that was deleted, after a stop or a crash
    earlier = tmp_path / "earlier"
    earlier.mkdir()
    store = await open_store(earlier / "esc.db")
    raw(store).execute("PRAGMA secure_delete = OFF")  # a build of SQLite may have it on
    records = await with_secrets(store)
    gone = a_deployment("gone", intent=configured("gone", times=10_000))  # pages of its own
    await store.commit([beginning(gone)], time=NOW)
    await store.commit([ending(gone)], time=NOW)
    if end == "stopped":
        await store.close()
    data = shutil.copytree(earlier, tmp_path / "data")
    await store.close()
    assert SECRET.encode() in files(data)
    assert not is_sealed(data / "esc.db")

    # when
    store = await open_store(data / "esc.db", vault=VAULT)

    # then
    assert SECRET.encode() not in files(data)
    assert is_sealed(data / "esc.db")
    found, [xml] = await kept(store)
    assert xml == XML
    assert {record.id for record in found} == {record.id for record in records}
    await store.close()
    assert SECRET.encode() not in files(data)


async def test_sealing_that_was_interrupted_is_begun_again(tmp_path, monkeypatch):
    # given a start that died before all was done
    path = tmp_path / "esc.db"
    store = await open_store(path)
    records = await with_secrets(store)
    await store.close()

    def die(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(sealing, "mark", die)
    with pytest.raises(KeyboardInterrupt):
        sqlite.open_file(path, VAULT)
    monkeypatch.undo()
    assert not is_sealed(path)

    # when another key comes, then it is refused
    with pytest.raises(StoreSealed):
        await open_store(path, vault=Vault(new_key()))

    # and the right one finds everything
    store = await open_store(path, vault=VAULT)
    found, xmls = await kept(store)
    assert len(found) == len(records)
    assert xmls == [XML]
    await store.close()


async def test_nothing_is_sealed_while_somebody_reads_the_old_text(tmp_path, monkeypatch):
    # given a program that has the database open, and no patience
    monkeypatch.setattr(sqlite, "_PRAGMAS", ("PRAGMA journal_mode = WAL",))
    path = tmp_path / "esc.db"
    store = await open_store(path)
    await with_secrets(store)
    await store.close()
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("PRAGMA journal_mode = WAL")
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM entries").fetchall()

    # when
    with pytest.raises(StoreBroken, match="somebody else reads the database"):
        await open_store(path, vault=VAULT)
    reader.close()

    # then it is done when that one is gone
    store = await open_store(path, vault=VAULT)
    assert SECRET.encode() not in files(tmp_path)
    await store.close()


@pytest.mark.parametrize("vault", [None, Vault(new_key())], ids=["no-key", "another-key"])
async def test_a_sealed_database_is_not_opened_by_another_key(tmp_path, vault):
    path = tmp_path / "esc.db"
    store = await open_store(path, vault=VAULT)
    await store.commit([beginning(a_tenant())], time=NOW)
    await store.close()

    with pytest.raises(StoreSealed, match=r"esc\.db: it is sealed.*key"):
        await open_store(path, vault=vault)

    store = await open_store(path, vault=VAULT)
    assert await kept(store) == ([a_tenant()], [])
    await store.close()


async def test_a_row_cannot_be_put_in_the_place_of_another():
    # given two deployments, the one's configuration copied over the other's
    store = SqlStore.from_image(vault=VAULT)
    paths = [a_path("mine"), a_path("yours")]
    await store.commit([], [EntryChange(path=path, xml=XML) for path in paths], time=NOW)
    query = "UPDATE entries SET xml = (SELECT xml FROM entries WHERE name = 'mine')"
    raw(store).execute(query)

    # when, then
    with pytest.raises(StoreBroken, match='"entries","deployment","acme","yours"'):
        await store.entries()
    await store.close()


async def test_plain_text_in_a_sealed_database_is_damage():
    store = SqlStore.from_image(vault=VAULT)
    await store.commit([beginning(a_tenant())], time=NOW)
    raw(store).execute("UPDATE intents SET body = '{}'")

    with pytest.raises(StoreBroken, match="it is not sealed; restore the database from a backup"):
        await kept(store)
    await store.close()


async def test_names_that_look_alike_when_joined_have_places_of_their_own():
    store = SqlStore.from_image(vault=VAULT)
    paths = [
        replace_tenant(a_path("c"), "a/b"),
        replace_tenant(a_path("b/c"), "a"),
    ]
    await store.commit([], [EntryChange(path=path, xml=XML) for path in paths], time=NOW)

    rows = raw(store).execute("SELECT xml FROM entries").fetchall()

    assert len(set(rows)) == 2
    await store.close()


def replace_tenant(path, tenant):
    return path._replace(tenant=TenantName(tenant))


def test_what_is_not_there_or_no_database_is_not_taken_for_sealed(tmp_path):
    assert not is_sealed(tmp_path / "esc.db")
    assert not (tmp_path / "esc.db").exists()
    (tmp_path / "esc.db").write_bytes(b"Dear diary, " * 100)
    with pytest.raises(StoreBroken, match=r"esc\.db: file is not a database"):
        is_sealed(tmp_path / "esc.db")
