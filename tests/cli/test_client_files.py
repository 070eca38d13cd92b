"""What the program makes of files that cannot be read, and of an output that takes nothing."""

import errno
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import Result

from tests.cli.client_world import DEPLOY, FakeServer

Esc = Callable[..., Result]


def test_an_answer_that_nobody_can_write_down_ends_with_4_and_one_line(
    esc: Esc, server: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a disk without room for the answer
    echo = click.echo

    def full(message: object = None, *, err: bool = False, **words: object) -> None:
        if not err:
            raise OSError(errno.ENOSPC, "No space left on device")
        echo(message, err=True)

    monkeypatch.setattr("esc_nc_cli.output.click.echo", full)
    # when
    (tmp_path / "dep.xml").write_text(DEPLOY)
    result = esc("edit-config", str(tmp_path / "dep.xml"))
    # then the edit was taken, which is no failure of it
    assert result.exit_code == 4, result.output
    assert server.last("edit-config") is not None
    assert result.stderr.splitlines() == [
        "esc_nc_cli: the answer cannot be shown: No space left on device; look with get"
    ]


def test_a_file_that_cannot_be_read_is_named(esc: Esc) -> None:
    result = esc("edit-config", "/proc/self/mem")
    assert result.exit_code == 2
    assert result.stderr.splitlines() == ["esc_nc_cli: /proc/self/mem: Input/output error"]
