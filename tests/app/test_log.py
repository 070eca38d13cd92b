"""How the log is written: in one line, without secrets, within bounds, whatever happens."""

import io
import json
import logging
import warnings
from collections.abc import MutableMapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from esc_daemon.logs import SHOWN_A_SECOND, LogFigures, configure_log
from esc_daemon.settings import LogFormat, LogSettings

DAY_0 = "day-0 password"


def fails_with(secret: str) -> None:
    raise ValueError("told\x1b[2J\nfrom a peer")


@pytest.mark.parametrize("format_", [LogFormat.JSON, LogFormat.CONSOLE])
def test_a_traceback_in_the_log_holds_no_local_variable(capsys, format_):
    configure_log(LogSettings(format=format_))
    logger = structlog.get_logger()

    try:
        fails_with(DAY_0)
    except ValueError:
        logger.exception("broke")

    told = capsys.readouterr().out
    assert "fails_with" in told
    assert "ValueError" in told
    assert DAY_0 not in told
    assert "\x1b[2J" not in told


@pytest.mark.parametrize("times", [1, 2], ids=["configured once", "configured anew"])
def test_what_a_library_says_is_a_line_like_any_other(capsys, times: int):
    for _ in range(times):
        configure_log(LogSettings(format=LogFormat.JSON))
    library = logging.getLogger("uvicorn.error")

    library.info("Started server process")
    library.warning("Invalid %s request received.", "HTTP")
    try:
        fails_with(DAY_0)
    except ValueError:
        library.exception("Exception in ASGI application\n")

    told = capsys.readouterr()
    warned, failed = (json.loads(line) for line in told.out.splitlines())
    assert not told.err
    assert (warned["event"], warned["level"]) == ("library.said", "warning")
    assert (warned["logger"], warned["text"]) == ("uvicorn.error", "Invalid HTTP request received.")
    assert (failed["level"], failed["text"]) == ("error", "Exception in ASGI application")
    assert failed["exception"][0]["exc_type"] == "ValueError"
    assert DAY_0 not in told.out


@pytest.mark.filterwarnings("default")
def test_a_warning_of_a_library_is_a_line_too(capsys):
    configure_log(LogSettings(format=LogFormat.JSON))

    warnings.warn("to be removed", UserWarning, stacklevel=1)

    told = capsys.readouterr()
    line = json.loads(told.out)
    assert not told.err
    assert (line["event"], line["logger"]) == ("library.said", "py.warnings")
    assert "UserWarning: to be removed" in line["text"]


class FullDisk(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")

    def flush(self) -> None:
        raise OSError(28, "No space left on device")


def test_a_log_that_cannot_be_written_stops_no_work_and_is_counted(monkeypatch):
    monkeypatch.setattr("sys.stdout", FullDisk())
    log = configure_log(LogSettings(format=LogFormat.JSON))

    structlog.get_logger().error("step.not_stored")

    assert (log.sink.lost, log.sink.failing) == (1, True)


def test_a_line_that_stays_in_a_buffer_is_counted_as_lost(monkeypatch):
    with Path("/dev/full").open("w") as full:  # takes what is written and fails when it is flushed
        monkeypatch.setattr("sys.stdout", full)
        log = configure_log(LogSettings(format=LogFormat.JSON))

        structlog.get_logger().error("step.not_stored")
        assert (log.sink.lost, log.sink.failing) == (1, True)

        with suppress(OSError):
            full.close()


def test_a_log_file_on_a_full_disk_stops_no_work_and_is_counted():
    log = configure_log(LogSettings(file=Path("/dev/full"), format=LogFormat.JSON))

    structlog.get_logger().info("session.opened")
    structlog.get_logger().error("step.not_stored")

    assert (log.sink.lost, log.sink.failing) == (2, True)
    log.sink.reopen()


@given(user=st.text())
def test_whatever_a_peer_calls_itself_makes_one_line(user):
    for format_ in (LogFormat.JSON, LogFormat.CONSOLE):
        with pytest.MonkeyPatch.context() as patch:
            written = io.StringIO()
            patch.setattr("sys.stdout", written)
            configure_log(LogSettings(format=format_))
            structlog.get_logger().warning("login.refused", user=user)

        (line, rest) = written.getvalue().split("\n")
        assert rest == ""
        assert line.isprintable()
        if format_ is LogFormat.JSON:
            assert json.loads(line)["user"] == user


# ---------------------------------------------------------------- floods


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def shown(
    figures: LogFigures, number: int, *, level: str, event: str
) -> list[MutableMapping[str, Any]]:
    found = []
    for _ in range(number):
        try:
            found.append(figures(None, level, {"level": level, "event": event}))
        except structlog.DropEvent:
            continue
    return found


def test_of_a_flood_of_warnings_a_second_shows_some_and_the_next_one_tells_how_many_were_not():
    clock = Clock()
    figures = LogFigures(clock)

    first = shown(figures, SHOWN_A_SECOND + 7, level="warning", event="vim.call_failed")
    other = shown(figures, 1, level="warning", event="login.refused")
    clock.now += 1
    (later,) = shown(figures, 1, level="warning", event="vim.call_failed")

    assert len(first) == SHOWN_A_SECOND
    assert len(other) == 1
    assert later["left_out"] == 7
    assert figures.left_out == 7
    assert figures.lines["warning"] == SHOWN_A_SECOND + 9


def test_a_flood_of_refusals_that_clients_cause_at_will_is_held_back_and_is_no_error():
    clock = Clock()
    figures = LogFigures(clock)

    first = shown(figures, SHOWN_A_SECOND + 7, level="info", event="access.denied")
    clock.now += 1

    assert len(first) == SHOWN_A_SECOND
    assert not figures.errors
    assert list(figures.floods_ended()) == [("access.denied", 7)]


def test_the_end_of_a_flood_is_told_once_though_no_line_follows():
    clock = Clock()
    figures = LogFigures(clock)
    shown(figures, SHOWN_A_SECOND + 7, level="error", event="step.not_stored")
    assert list(figures.floods_ended()) == []
    clock.now += 1

    assert list(figures.floods_ended()) == [("step.not_stored", 7)]
    assert list(figures.floods_ended()) == []


@pytest.mark.parametrize(
    ("level", "event"), [("info", "session.opened"), ("warning", "event.told")]
)
def test_what_tells_of_work_is_never_left_out(level, event):
    assert len(shown(LogFigures(Clock()), 500, level=level, event=event)) == 500


def test_warnings_are_counted_by_their_names_also_those_of_a_flood_and_errors_are_none():
    figures = LogFigures(Clock())
    shown(figures, SHOWN_A_SECOND + 7, level="warning", event="edit.accepted_with_warning")
    shown(figures, 3, level="warning", event="event.told")
    shown(figures, 1, level="error", event="step.not_stored")
    shown(figures, 1, level="info", event="event.told")

    assert figures.warnings == {
        "edit.accepted_with_warning": SHOWN_A_SECOND + 7,
        "event.told": 3,
    }


def test_the_last_errors_are_remembered_by_their_names_alone():
    figures = LogFigures(Clock())
    figures(None, "error", {"level": "error", "event": "rpc.failed", "user": "mallory"})
    shown(figures, 30, level="error", event="step.not_stored")
    figures(None, "error", {"level": "error", "event": "rpc.failed", "user": "mallory"})

    assert [(error.event, error.times) for error in figures.errors] == [
        ("step.not_stored", 30),
        ("rpc.failed", 2),
    ]
    assert "mallory" not in repr(figures.errors)


def test_of_the_kinds_of_errors_the_last_ten_are_remembered():
    figures = LogFigures(Clock())
    for number in [*range(12), 3]:
        shown(figures, 1, level="error", event=f"kind.{number}")

    last = [*(f"kind.{number}" for number in range(4, 12)), "kind.3"]
    assert [error.event for error in figures.errors][-9:] == last
    assert len(figures.errors) == 10


# ---------------------------------------------------------------- a file


def a_file(folder: Path, **more: Any) -> LogSettings:
    return LogSettings(file=folder / "esc.log", format=LogFormat.JSON, **more)


def events(file: Path) -> list[int]:
    return [json.loads(line)["number"] for line in file.read_text().splitlines()]


def test_a_full_file_is_put_aside_and_the_oldest_is_forgotten(tmp_path):
    log = configure_log(a_file(tmp_path, file_bytes=400, files_kept=2))

    for number in range(40):
        structlog.get_logger().info("told", number=number)

    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["esc.log", "esc.log.1", "esc.log.2"]
    assert all(file.stat().st_size <= 400 for file in files)
    assert max(number for file in files for number in events(file)) == 39
    assert log.sink.lost == 0
    assert {file.stat().st_mode & 0o777 for file in files} == {0o640}
    log.sink.reopen()


def test_a_file_that_somebody_else_renamed_is_opened_anew(tmp_path):
    log = configure_log(a_file(tmp_path, file_bytes=0))
    structlog.get_logger().info("told", number=1)
    (tmp_path / "esc.log").rename(tmp_path / "esc.log.old")

    log.sink.reopen()
    structlog.get_logger().info("told", number=2)

    assert events(tmp_path / "esc.log.old") == [1]
    assert events(tmp_path / "esc.log") == [2]
    log.sink.reopen()


def test_a_file_that_cannot_be_opened_again_stops_no_work(tmp_path):
    folder = tmp_path / "log"
    folder.mkdir()
    log = configure_log(a_file(folder))
    (folder / "esc.log").unlink()
    folder.rmdir()

    log.sink.reopen()
    structlog.get_logger().info("told", number=1)
    folder.mkdir()
    structlog.get_logger().info("told", number=2)

    assert (log.sink.lost, log.sink.failing) == (1, False)
    assert events(folder / "esc.log") == [2]
    log.sink.reopen()
