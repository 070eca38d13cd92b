"""What a library says wrongly harms nobody but its line."""

import json
import logging

import pytest

from esc_daemon import logs
from esc_daemon.logs import configure_log
from esc_daemon.settings import LogFormat, LogSettings


@pytest.mark.parametrize(
    ("level", "text", "word", "said"),
    [
        (logging.WARNING, "%d bytes", "many", "%d bytes"),
        (35, "a level of its own: %s", "notice", "a level of its own: notice"),
    ],
)
def test_a_library_goes_on_whose_line_cannot_be_written(
    level: int, text: str, word: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    # given: our handler alone, for that of pytest raises
    configure_log(LogSettings(format=LogFormat.JSON))
    [ours] = [
        each for each in logging.getLogger().handlers if type(each).__module__ == logs.__name__
    ]
    # when
    ours.handle(logging.LogRecord("library", level, __file__, 1, text, (word,), None))
    # then
    line = json.loads(capsys.readouterr().out)
    assert (line["level"], line["text"]) == ("warning", said)
