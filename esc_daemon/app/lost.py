"""
A database that is gone: told, where the daemon would begin with nothing as on its first start.

That there was one is known by a mark beside the keys, which are kept longer than the rest: a file
that is made once a database is there. Keys and users say nothing, they may be made before it.
"""

from pathlib import Path
from typing import Final

import structlog

from esc_daemon.access.files import replace_file

MARK: Final = "database-made"
"""Its name beside the keys."""
_TEXT: Final = b"esc_daemon made or opened a database in this data directory.\n"

log = structlog.get_logger()


def is_lost(database: Path, mark: Path) -> bool:
    """Tell whether there was a *database* once and is none, or an empty file."""
    there = database.exists() and database.stat().st_size > 0
    return mark.exists() and not there


def warn_of_the_lost(database: Path) -> None:
    """Say that *database* was missing, and what that means."""
    log.warning(
        "database.lost",
        file=str(database),
        hint="there was one and it is gone, so this start begins with none: deployments of before "
        "are unknown, their VMs go on in the VIM and nobody watches or removes them; "
        "if that is not meant, stop the daemon, put the database back from a backup, and restart",
    )


def mark_as_made(mark: Path) -> None:
    """Note for later starts that there is a database."""
    if mark.exists():
        return
    try:
        replace_file(mark, _TEXT)
    except OSError as error:  # the keys may be where only the operator writes
        log.info("database.not_marked", file=str(mark), error=error.strerror)
