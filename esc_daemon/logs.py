"""How the log of a process is written."""

import logging
import sys
from contextlib import suppress
from typing import TextIO, cast

import structlog

from esc_daemon.settings import LogFormat, LogSettings


class _LossyFile:
    """
    Where the log goes: what cannot be written is lost, and nothing else with it.

    A full disk or a reader that went away must not stop the work that was being told of.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, text: str) -> None:
        with suppress(OSError, ValueError):
            self._file.write(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._file.flush()


def configure_log(settings: LogSettings) -> None:
    """Let every logger of this process write to standard output as *settings* say."""
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    wanted = settings.format
    people = wanted is LogFormat.CONSOLE or (wanted is LogFormat.AUTO and sys.stdout.isatty())
    renderer: structlog.typing.Processor = structlog.processors.JSONRenderer()
    if people:
        renderer = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    # Never with the local variables: these are passwords, day-0 data and whole configurations.
    tracebacks = structlog.processors.ExceptionRenderer(
        structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *([] if people else [tracebacks]),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(cast("TextIO", _LossyFile(sys.stdout))),
        cache_logger_on_first_use=True,
    )
