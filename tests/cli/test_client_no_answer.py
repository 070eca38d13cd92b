"""The program where the daemon does not answer: it says so, and not that nothing was done."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from tests.cli.client_world import DEPLOY, HANG, HANG_UP, FakeServer

Esc = Callable[..., Result]


def test_no_reply_in_time_ends_with_4(esc: Esc, server: FakeServer) -> None:
    # given
    server.answers = {"get": [HANG]}
    # when
    result = esc("--timeout", "0.5", "get")
    # then
    assert result.exit_code == 4
    assert "does not answer" in result.stderr


def test_an_edit_without_an_answer_is_not_told_to_have_failed(
    esc: Esc, server: FakeServer, tmp_path: Path
) -> None:
    # given
    server.answers = {"edit-config": [HANG_UP]}
    (tmp_path / "dep.xml").write_text(DEPLOY)
    # when
    result = esc("edit-config", str(tmp_path / "dep.xml"))
    # then
    assert result.exit_code == 3
    assert server.last("edit-config") is not None
    assert "closed the session before it answered" in result.stderr
    assert "what was to change may have been taken" in result.stderr


@pytest.mark.parametrize(
    ("operation", "words"),
    [
        ("edit-config", ("edit-config", "-")),
        ("edit-config", ("delete-dep", "t", "d")),
        ("get", ("get",)),
        ("get-config", ("get-config",)),
        ("create-subscription", ("watch",)),
    ],
)
def test_a_time_out_may_stand_after_the_command_and_beats_the_one_before_it(
    esc: Esc, server: FakeServer, operation: str, words: tuple[str, ...]
) -> None:
    # given
    server.answers = {operation: [HANG]}
    # when
    result = esc("--timeout", "60", *words, "--timeout", "0.3", stdin=DEPLOY)
    # then
    assert result.exit_code == 4
    assert "does not answer" in result.stderr
