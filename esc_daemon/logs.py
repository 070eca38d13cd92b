"""
How the log of a process is written: where to, in which form, and how much of it.

Errors of this file: OSError when the file of the log cannot be opened at the start.
"""

import logging
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from time import monotonic
from typing import Final, NamedTuple, TextIO, cast

import structlog
from structlog.typing import EventDict, ExcInfo, Processor, WrappedLogger

from esc_daemon.settings import LogFormat, LogSettings

SHOWN_A_SECOND: Final = 50
"""Lines of one kind that is limited; the others of that second are only counted."""
_ALWAYS_SHOWN: Final = frozenset({"event.told"})
_TROUBLE: Final = frozenset({"warning", "error", "critical"})
"""All of these are limited, but for what is always shown."""
_LIMITED_TOO: Final = frozenset({"access.denied", "action.refused", "edit.refused"})
"""Lines of other levels that a client can cause as often as it likes."""
_REMEMBERED: Final = 10
_MODE: Final = 0o640


class Trouble(NamedTuple):
    """What went wrong, how often and when last: the name of a line without what it told."""

    time: datetime
    level: str
    event: str
    times: int


@dataclass(slots=True)
class _Second:
    """One second of lines of one kind."""

    began: float
    shown: int = 0
    left_out: int = 0


class LogFigures:
    """Counts lines, warnings and errors, and leaves out what comes in floods."""

    def __init__(self, now: Callable[[], float] = monotonic) -> None:
        self.lines: Counter[str] = Counter()
        self.left_out = 0
        self._errors: dict[tuple[str, str], Trouble] = {}
        self.warnings: Counter[str] = Counter()
        self._now = now
        self._seconds: dict[str, _Second] = {}

    def __call__(self, _: WrappedLogger, __: str, line: EventDict) -> EventDict:
        """
        Count *line* and pass it on.

        Raises:
            DropEvent: There were enough of its kind within this second.

        """
        level, event = line["level"], line["event"]
        self.lines[level] += 1
        trouble = level in _TROUBLE
        if level == "warning":
            self.warnings[event] += 1
        elif trouble:
            self._remember(level, event)
        if event in _ALWAYS_SHOWN or not (trouble or event in _LIMITED_TOO):
            return line
        now = self._now()
        second = self._seconds.get(event)
        if second is None or now - second.began >= 1:
            if second is not None and second.left_out:
                line["left_out"] = second.left_out
            second = self._seconds[event] = _Second(now)
        if second.shown >= SHOWN_A_SECOND:
            second.left_out += 1
            self.left_out += 1
            raise structlog.DropEvent
        second.shown += 1
        return line

    @property
    def errors(self) -> Sequence[Trouble]:
        """The last kinds of errors, each once; the one that came last at the end."""
        return tuple(self._errors.values())

    def _remember(self, level: str, event: str) -> None:
        before = self._errors.pop((level, event), None)
        times = 1 if before is None else before.times + 1
        self._errors[level, event] = Trouble(datetime.now(UTC), level, event, times)
        if len(self._errors) > _REMEMBERED:
            del self._errors[next(iter(self._errors))]

    def floods_ended(self) -> Iterator[tuple[str, int]]:
        """Yield, once, each kind of lines of a second that is over and how many were left out."""
        now = self._now()
        for event, second in tuple(self._seconds.items()):
            if now - second.began >= 1:
                del self._seconds[event]
                if second.left_out:
                    yield event, second.left_out


class _LossyFile:
    """
    Where the log goes: what cannot be written is lost, and nothing else with it.

    A full disk or a reader that went away must not stop the work that was being told of.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self.lost = 0
        self.failing = False

    def write(self, text: str) -> None:
        try:
            self._file.write(text)
            self._file.flush()
        except (OSError, ValueError):
            self.lost += 1
            self.failing = True
        else:
            self.failing = False

    def reopen(self) -> None:
        """Standard output is its reader's."""


class _OwnFile(RotatingFileHandler):
    """A file of our own: renamed when it is full, opened anew when somebody else renamed it."""

    def __init__(self, settings: LogSettings) -> None:
        assert settings.file is not None
        super().__init__(
            settings.file,
            maxBytes=settings.file_bytes,
            backupCount=settings.files_kept,
            encoding="utf-8",
        )
        self.lost = 0
        self.failing = False

    def _open(self) -> TextIOWrapper:
        def owners(path: str, flags: int) -> int:
            return os.open(path, flags, _MODE)

        return open(self.baseFilename, "a", encoding="utf-8", opener=owners)

    def write(self, text: str) -> None:
        self.failing = False
        self.handle(logging.makeLogRecord({"msg": text.rstrip("\n")}))

    def handleError(self, _: logging.LogRecord) -> None:  # noqa: N802  the library's name
        """Lose the line, as `_LossyFile` does."""
        self.lost += 1
        self.failing = True

    def reopen(self) -> None:
        """Go on in a file of the configured name, which is made if it is gone."""
        with suppress(OSError):
            self.close()


class _Lines:
    """A sink as structlog wants a file."""

    def __init__(self, sink: _LossyFile | _OwnFile) -> None:
        self.write = sink.write

    def flush(self) -> None:
        """Do nothing: `write` has flushed the line, or lost it; this would raise once more."""


class _Libraries(logging.Handler):
    """Passes on what libraries say by Python's own way of logging: it would be no line of ours."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = record.getMessage().strip()
        except Exception:  # noqa: BLE001  words that do not fit their text are the library's fault
            text = str(record.msg)
        structlog.get_logger("esc_daemon.logs").log(
            logging.ERROR if record.levelno >= logging.ERROR else logging.WARNING,
            "library.said",
            logger=record.name,
            text=text,
            **({"exc_info": record.exc_info} if record.exc_info else {}),
        )


def _listen_to_libraries() -> None:
    root = logging.getLogger()
    for each in tuple(root.handlers):
        if isinstance(each, _Libraries):
            root.removeHandler(each)
    root.addHandler(_Libraries(logging.WARNING))
    logging.captureWarnings(True)


@dataclass(slots=True)
class Log:
    """
    The log of this process, for who looks after it.

    The *sink* counts the lines that were *lost*, and is *failing* while the last one was.
    """

    sink: _LossyFile | _OwnFile
    figures: LogFigures = field(default_factory=LogFigures)


def configure_log(settings: LogSettings) -> Log:
    """Let every logger of this process write where and as *settings* say."""
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    wanted = settings.format
    terminal = settings.file is None and sys.stdout.isatty()
    people = wanted is LogFormat.CONSOLE or (wanted is LogFormat.AUTO and terminal)
    sink: _LossyFile | _OwnFile = (
        _LossyFile(sys.stdout) if settings.file is None else _OwnFile(settings)
    )
    log = Log(sink)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            log.figures,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *(_for_people(colours=terminal) if people else _for_machines()),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(cast("TextIO", _Lines(sink))),
        cache_logger_on_first_use=True,
    )
    _listen_to_libraries()
    return log


def _for_machines() -> Iterator[Processor]:
    # Never with the local variables: these are passwords, day-0 data and whole configurations.
    yield structlog.processors.ExceptionRenderer(
        structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    )
    yield structlog.processors.JSONRenderer()


def _for_people(*, colours: bool) -> Iterator[Processor]:
    yield _harmless
    yield structlog.dev.ConsoleRenderer(colors=colours, exception_formatter=_plain_traceback)


def _harmless(_: WrappedLogger, __: str, line: EventDict) -> EventDict:
    """Let no text of a peer begin a line or move the cursor."""
    for key, value in line.items():
        if isinstance(value, str) and not value.isprintable():
            line[key] = printable(value)
    return line


def printable(text: str) -> str:
    """Return *text* with what no terminal should obey, and what begins a line, spelt out."""
    return "".join(
        sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text
    )


def _plain_traceback(sio: TextIO, exc_info: ExcInfo) -> None:
    # As in the log for machines, without the local variables.
    told = structlog.processors.format_exc_info(None, "", {"exc_info": exc_info})["exception"]
    sio.writelines(f"\n{printable(line)}" for line in told.split("\n"))
