"""
The schema's version: up to the newest, never down.

Alembic costs 0.1 s to import and run, so it is left alone when the database is up to date.
"""

from pathlib import Path
from typing import Final

from sqlalchemy import Connection, column, inspect, select, table

from esc_daemon.store.base import StoreTooNew

HEAD: Final = "0003"
"""The newest version; a test holds it against `migrations/versions`."""

SCRIPTS: Final = Path(__file__).parent / "migrations"

_VERSIONS: Final = table("alembic_version", column("version_num"))


def current(connection: Connection) -> str | None:
    """Return the version of the schema, None for an empty database."""
    if not inspect(connection).has_table(_VERSIONS.name):
        return None
    version: str | None = connection.execute(select(_VERSIONS.c.version_num)).scalar()
    return version


def upgrade(connection: Connection) -> bool:
    """
    Bring the schema up to `HEAD` inside the caller's transaction; tell whether it was older.

    Raises:
        StoreTooNew: The version is not in our history.

    """
    version = current(connection)
    if version == HEAD:
        return False
    from alembic import command  # noqa: PLC0415  (see above)
    from alembic.config import Config  # noqa: PLC0415
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    history = ScriptDirectory.from_config(config)
    if version is not None and version not in {step.revision for step in history.walk_revisions()}:
        raise StoreTooNew(
            f"the database has schema {version}, this version of the daemon knows {HEAD} at most;"
            " start the newer daemon again, or restore the backup made before its first start"
        )
    command.upgrade(config, "head")
    return True
