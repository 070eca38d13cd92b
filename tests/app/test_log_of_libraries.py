"""What a library says wrongly harms nobody but its line."""

import logging

import pytest

from esc_daemon.logs import configure_log
from esc_daemon.settings import LogSettings


@pytest.mark.parametrize(
    ("level", "text", "word"),
    [(logging.WARNING, "%d bytes", "many"), (35, "a level of its own: %s", "notice")],
)
def test_a_library_goes_on_whose_line_cannot_be_written(level: int, text: str, word: str) -> None:
    configure_log(LogSettings())

    logging.getLogger("library").log(level, text, word)
