"""SQLite: the file, its lock, its pragmas, its sealing, and images of it in memory."""

import fcntl
import os
import sqlite3
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import StaticPool

from esc_daemon.store import sealing
from esc_daemon.store.base import StoreBroken, StoreError, StoreFull, StoreInUse, StoreSealed
from esc_daemon.store.migrate import upgrade
from esc_daemon.store.tables import SEAL
from esc_daemon.vault import Vault

_DAMAGED: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_PRAGMAS: Final = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",  # an acknowledged commit survives power loss
    "PRAGMA busy_timeout = 5000",  # a backup tool may read beside us
    "PRAGMA foreign_keys = OFF",  # there are none: a record's rows are written together
    "PRAGMA journal_size_limit = 67108864",  # a burst does not keep the disk afterwards
)


FAILURES: Final = (DBAPIError, sqlite3.Error)
"""What a call to the database raises, through SQLAlchemy and past it; see `translated`."""


class FileLock:
    """The lock beside the database that keeps a second daemon out; the kernel frees it."""

    def __init__(self, path: Path) -> None:
        """
        Take it.

        Raises:
            StoreInUse: Somebody else has it.
            StoreBroken: The file cannot be made.

        """
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreBroken(f"{path}: {error.strerror}; check the data directory") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(self._file, 32, 0).decode(errors="replace").strip()
            os.close(self._file)
            raise StoreInUse(
                f"{path}: held by process {holder or 'unknown'};"
                " stop that daemon or choose another data directory"
            ) from error
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let go of it; twice is no error."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def is_sealed(path: Path) -> bool:
    """
    Tell whether there is a database at *path* that is sealed already.

    Raises:
        StoreBroken: It cannot be read.

    """
    if not path.exists():
        return False
    try:
        with closing(sqlite3.connect(path)) as raw:
            known = "SELECT 1 FROM sqlite_master WHERE name = ?"
            if raw.execute(known, [SEAL.name]).fetchone() is None:
                return False
            return raw.execute(f"SELECT 1 FROM {SEAL.name}").fetchone() is not None  # noqa: S608
    except sqlite3.Error as error:
        raise translated(error, f"{path}: ") from error


def open_file(path: Path, vault: Vault | None = None) -> Connection:
    """
    Open the database at *path*, made readable by its owner alone, with a current schema.

    A *vault* seals what is there, unless it is sealed already.

    Raises:
        StoreBroken: It cannot be opened or is no database.
        StoreFull: No room for it.
        StoreTooNew: A newer version wrote it.
        StoreSealed: It is sealed by another key than that of *vault*.

    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        path.chmod(0o600)
        raw = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    except (OSError, sqlite3.Error) as error:
        raise StoreBroken(f"{path}: {error}; check the data directory") from error
    try:
        for pragma in _PRAGMAS:
            raw.execute(pragma)
        return _opened(raw, vault)
    except FAILURES as error:
        raw.close()
        raise translated(error, f"{path}: ") from error
    except StoreSealed as error:
        raw.close()
        raise StoreSealed(f"{path}: {error}") from error
    except StoreError:
        raw.close()
        raise


def open_image(image: bytes, vault: Vault | None = None) -> Connection:
    """Open a database in memory that begins as *image*, with a current schema; see `open_file`."""
    raw = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    raw.deserialize(image)
    return _opened(raw, vault)


@cache
def fresh_image() -> bytes:
    """Return the image of an empty database with the current schema."""
    raw = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    connection = _current(raw)
    image = raw.serialize()
    shut(connection)
    return image


def image_of(connection: Connection) -> bytes:
    """Return the whole database of *connection*."""
    return _raw(connection).serialize()


def shut(connection: Connection) -> None:
    """Close *connection* and the database below it."""
    raw = _raw(connection)
    connection.close()
    connection.engine.dispose()
    raw.close()


def translated(error: DBAPIError | sqlite3.Error, place: str = "") -> StoreBroken:
    """Return *error* as one of ours, without the values that were being written."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    code = getattr(cause, "sqlite_errorcode", 0) & 0xFF  # the primary result code
    if code == sqlite3.SQLITE_FULL:
        return StoreFull(f"{place}{cause}; nothing was written: make room on the disk")
    todo = "check the disk and the data directory"
    if code == sqlite3.SQLITE_IOERR:  # so it speaks of a full disk too, when its shm has no room
        todo = "check the disk, which may be full, and the data directory"
    if code in _DAMAGED:
        todo += ", and put the database back from a backup"
    return StoreBroken(f"{place}{cause}; nothing was acknowledged: {todo}")


def _raw(connection: Connection) -> sqlite3.Connection:
    raw = connection.connection.dbapi_connection
    assert isinstance(raw, sqlite3.Connection)  # both ways of opening made it so
    return raw


def _opened(raw: sqlite3.Connection, vault: Vault | None) -> Connection:
    connection = _current(raw)
    with connection.begin():
        sealed = sealing.check(connection, vault)
    if vault is not None and not sealed:
        _seal(connection, raw, vault)
    return connection


def _seal(connection: Connection, raw: sqlite3.Connection, vault: Vault) -> None:
    """
    Seal what an earlier version left, down to the pages and the log that it used before.

    Marked as sealed only when nothing plain is left: what is interrupted is begun again.
    """
    with connection.begin():
        sealing.seal_rows(connection, vault)
    raw.execute("VACUUM")  # writes every page anew: rows deleted long ago lie in free ones
    busy, *_ = raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if busy:
        raise StoreBroken("somebody else reads the database; it cannot be sealed meanwhile")
    with connection.begin():
        sealing.mark(connection, vault)


def _current(raw: sqlite3.Connection) -> Connection:
    connection = _engine(raw).connect()
    with connection.begin():
        upgrade(connection)
    return connection


def _engine(raw: sqlite3.Connection) -> Engine:
    engine = create_engine(
        "sqlite://", creator=lambda: raw, poolclass=StaticPool, hide_parameters=True
    )
    # The driver begins nothing by itself (isolation_level None), so that savepoints and tables are
    # taken back too; IMMEDIATE, for every transaction here may write.
    event.listen(engine, "begin", _begin)
    return engine


def _begin(connection: Connection) -> None:
    _raw(connection).execute("BEGIN IMMEDIATE")  # past SQLAlchemy, whose way to it costs more
