"""What the process does for all rooms: its log and its open files."""

import io
import resource
from collections.abc import Iterator

import pytest
import structlog

from esc_daemon import app
from esc_daemon.settings import LogFormat, LogSettings


@pytest.fixture(autouse=True)
def structlog_as_before() -> Iterator[None]:
    before = structlog.get_config()
    yield
    structlog.configure(**before)


DAY_0 = "day-0 password"


def fails_with(secret: str) -> None:
    raise ValueError("told")


@pytest.mark.parametrize("format_", [LogFormat.JSON, LogFormat.CONSOLE])
def test_a_traceback_in_the_log_holds_no_local_variable(capsys, format_):
    app._configure_log(LogSettings(format=format_))
    logger = structlog.get_logger()

    try:
        fails_with(DAY_0)
    except ValueError:
        logger.exception("broke")

    told = capsys.readouterr().out
    assert "fails_with" in told
    assert "ValueError" in told
    assert DAY_0 not in told


class FullDisk(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")

    def flush(self) -> None:
        raise OSError(28, "No space left on device")


def test_a_log_that_cannot_be_written_stops_no_work(monkeypatch):
    monkeypatch.setattr("sys.stdout", FullDisk())
    app._configure_log(LogSettings(format=LogFormat.JSON))

    structlog.get_logger().error("step.not_stored")


@pytest.mark.parametrize(
    ("before", "wanted", "after"),
    [((256, 4096), 1512, 1512), ((256, 1024), 1512, 1024), ((2048, 4096), 1512, 2048)],
)
def test_the_soft_limit_of_open_files_rises_to_what_sessions_need(
    monkeypatch, before, wanted, after
):
    limits = [before]
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _, pair: limits.append(pair))

    app._allow_open_files(wanted)

    assert limits[-1] == (after, before[1])
