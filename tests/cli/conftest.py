"""Fixtures: the fake server, and the program run against it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from esc_nc_cli.cli import main
from tests.cli.client_world import FakeServer


@pytest.fixture(autouse=True)
def quick_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    # ncclient looks at its queue ten times a second; the tests need not wait for that.
    monkeypatch.setattr("ncclient.transport.session.TICK", 0.005)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FakeServer]:
    with FakeServer(tmp_path) as running:
        yield running


@pytest.fixture
def esc(server: FakeServer, tmp_path: Path) -> Callable[..., Result]:
    """Run the program against *server*, logged in by password."""
    secret = tmp_path / "password"
    secret.write_text("s3cret-word\n")
    login = ["--host", "127.0.0.1", "--user", "admin", "--password-file", str(secret)]

    def run(*words: str, stdin: str | None = None) -> Result:
        return CliRunner().invoke(main, [*login, "--port", str(server.port), *words], input=stdin)

    return run
