"""
Custom scripts: what an executable of the operator says is the metric (ESC: script contract).

The property `script_filename` names it; all others are its arguments, name and value in turn, in
their order. Success/failure: the value is the exit status. Threshold: a script that ends with
status 0 and whose whole output is one number has measured that number; else it is the exit
status, as ESC's scripts have it.
"""

import math
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import structlog

from esc_daemon.domain.errors import excerpt
from esc_daemon.domain.kpi import number_in
from esc_daemon.monitor.base import CollectorError, Question, Sample
from esc_daemon.monitor.catalogue import SCRIPT_FILENAME, Measure
from esc_daemon.monitor.collectors.programs import Ended, Programs
from esc_daemon.monitor.filling import filled

REMEMBERED: Final = 1_024
"""KPIs of which is known that their script complains, so that the log tells it once."""
_ENDLESS: Final = "the number that it wrote is beyond all ranges"
_LONGEST_LINE: Final = 200
_LONGEST_NUMBER: Final = 64
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH

log = structlog.get_logger()


class Scripts:
    """
    Runs scripts below *directories*, at most *workers* at a time (Collector).

    A script has to be an executable file that belongs to root or to the daemon's own user and that
    nobody else may write; so have all directories above it, up to ``/``, but a sticky one (as
    ``/var/tmp``) may be written by all.
    """

    def __init__(self, directories: Sequence[Path], *, workers: int, memory_bytes: int) -> None:
        self.at_a_time = workers
        self._directories = tuple(directories)
        self._programs = Programs(most=workers, memory_bytes=memory_bytes)
        self._complaining: dict[tuple[str, str], None] = {}

    async def sample(self, question: Question) -> Sample:
        """See Collector."""
        properties = filled(question)
        given = properties.pop(SCRIPT_FILENAME, "").strip()
        words = [word for pair in properties.items() for word in pair]
        if any("\0" in word for word in words):
            raise CollectorError("a property has a NUL byte, which no argument can have")
        directories = self._directories
        ended = await self._programs.run(
            lambda: [str(allowed(given, directories)), *words], question.seconds
        )
        told = how_it_ended(ended, [properties.get(name, "") for name in question.hidden])
        self._tell(question, given, told, complains=bool(ended.err.strip()))
        if ended.status is None:
            return Sample(value=None, detail=told)
        value = _value(question.measure, ended.status, ended.out)
        return Sample(value=value, detail=_ENDLESS if value is None else told)

    async def close(self) -> None:
        """Kill the scripts under way."""
        await self._programs.close()

    def _tell(self, question: Question, script: str, told: str, *, complains: bool) -> None:
        """Log that a script begins to write to its standard error."""
        about = question.target.server.vm, question.kpi.event_name
        known = about in self._complaining
        if complains:
            self._complaining[about] = None
        else:
            self._complaining.pop(about, None)
        if len(self._complaining) > REMEMBERED:
            del self._complaining[next(iter(self._complaining))]
        if complains and not known:
            ids = question.target.log_ids
            log.info("monitor.script_complains", **ids, kpi=about[1], script=script, said=told)


def allowed(given: str, directories: Sequence[Path]) -> Path:
    """
    Return the script *given*, without symbolic links.

    Raises:
        CollectorError: It may not be run; the text says why.

    """
    if not given:
        raise CollectorError(f"property {SCRIPT_FILENAME} should be the path of the script")
    path = Path(given)
    if not path.is_absolute():
        raise CollectorError(f"property {SCRIPT_FILENAME}: {given} is no absolute path")
    try:
        real = path.resolve(strict=True)
        root = next((each for each in _real(directories) if real.is_relative_to(each)), None)
        if root is None or real == root:
            where = ", ".join(map(str, directories))
            raise CollectorError(f"{given} is in none of monitor.script_directories ({where})")
        _check_file(real)
        # Up to the root: whoever may write one above may put another directory in this one's place.
        for directory in real.parents:
            _check_directory(directory)
    except (OSError, RuntimeError) as error:  # the latter: links in a circle
        reason = error.strerror if isinstance(error, OSError) else "links that lead in a circle"
        raise CollectorError(f"{given}: {reason}") from None
    return real


def _real(directories: Sequence[Path]) -> list[Path]:
    return [each.resolve() for each in directories]


def _check_file(file: Path) -> None:
    found = file.stat()
    if not stat.S_ISREG(found.st_mode):
        raise CollectorError(f"{file} is no regular file")
    if not _trusted(found):
        raise CollectorError(
            f"{file} belongs to another user than root and the daemon's own; chown it"
        )
    if found.st_mode & _OTHERS_WRITE:
        raise CollectorError(f"{file} can be written by others than its owner; chmod go-w")
    if not os.access(file, os.X_OK):
        raise CollectorError(f"{file} is not executable; chmod +x")


def _check_directory(directory: Path) -> None:
    found = directory.stat()
    if not _trusted(found):
        raise CollectorError(
            f"directory {directory} belongs to another user than root and the daemon's own"
        )
    if found.st_mode & _OTHERS_WRITE and not found.st_mode & stat.S_ISVTX:
        raise CollectorError(
            f"directory {directory} can be written by others than its owner; chmod go-w"
        )


def _trusted(found: os.stat_result) -> bool:
    return found.st_uid in {0, os.geteuid()}


def how_it_ended(ended: Ended, secrets: Sequence[str]) -> str:
    """Return how it ended and the first line of what it complained of, without secrets."""
    how = f"ended by {ended.signal}" if ended.status is None else f"exit status {ended.status}"
    text = ended.err.decode(errors="replace")
    # The longest first: one secret may be the beginning of another.
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, "***")
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    line = "".join(letter if letter.isprintable() else " " for letter in line)
    return f"{how}: {excerpt(line, _LONGEST_LINE)}" if line else how


def _value(measure: Measure | None, status: int, out: bytes) -> float | None:
    """Return what was measured; None for a number that is beyond all ranges, as 1e999."""
    if measure is Measure.CUSTOM_SCRIPT_THRESHOLD and status == 0 and out:
        number = number_in(out.strip()[: _LONGEST_NUMBER + 1].decode(errors="replace"))
        if number is not None and len(out.strip()) <= _LONGEST_NUMBER:
            return number if math.isfinite(number) else None
    return float(status)
