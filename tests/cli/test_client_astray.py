"""Who took a wrong turn is told the way: another port, another directory, a word too early."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from esc_nc_cli.cli import main
from esc_nc_cli.discover import Options, locate
from tests.cli.client_world import EMPTY, FakeServer

Esc = Callable[..., Result]


@pytest.fixture
def web() -> Iterator[int]:
    """Answer a connection as HTTP does whatever comes; give the port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        yield listening.getsockname()[1]
        thread.join(30)


@pytest.mark.parametrize("told", [None, 40123])
def test_who_connects_to_http_is_told_where_netconf_is(
    web: int, told: int | None, tmp_path: Path
) -> None:
    # given
    if told is not None:
        (tmp_path / "ports.json").write_text(json.dumps({"netconf": told, "http": web}))
    words = ["--data-dir", str(tmp_path), "--port", str(web), "--password", "x", "get"]
    # when
    result = CliRunner().invoke(main, words)
    # then
    assert result.exit_code == 3, result.output
    told_at = f"NETCONF is on port {told or 2022}"
    assert f"no SSH server answers there (is it HTTP?): {told_at}\n" in result.stderr


def test_a_directory_without_a_daemon_is_told_with_how_to_name_another(tmp_path: Path) -> None:
    # when
    result = CliRunner().invoke(main, ["--data-dir", str(tmp_path / "none"), "get"])
    # then
    assert result.exit_code == 3
    assert f"no local daemon's key in {tmp_path}/none/keys" in result.stderr
    assert "--data-dir or ESC_DATA_DIR names another data directory" in result.stderr


def test_who_is_asked_for_a_password_for_want_of_a_key_is_told_so(tmp_path: Path) -> None:
    # given
    asked: list[str] = []

    def ask(question: str) -> str:
        asked.append(question)
        return "x"

    # when
    locate(Options(data_dir=tmp_path), {}, is_root=False, ask=ask)
    locate(Options(host="192.0.2.1"), {}, is_root=False, ask=ask)
    # then
    here, there = asked
    assert here.startswith(f"no local daemon's key in {tmp_path}/keys")
    assert here.endswith("\nPassword of admin at 127.0.0.1:2022")
    assert there == "Password of admin at 192.0.2.1:2022"


def test_the_form_may_stand_before_the_command_and_that_behind_it_wins(
    esc: Esc, server: FakeServer
) -> None:
    server.answers = {"get": [EMPTY]}

    assert esc("-f", "table", "get").stdout.split()[0] in {"PATH", "TENANT"}
    assert esc("-f", "table", "get", "-f", "json").stdout == "{}\n"
