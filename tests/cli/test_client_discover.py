"""Where to connect and as whom, from options and a data directory."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from esc_nc_cli.cli import main
from esc_nc_cli.discover import (
    ELSEWHERE,
    Endpoint,
    NoWayIn,
    Options,
    data_directory,
    local_port,
    locate,
)
from tests.cli.client_world import EMPTY, FakeServer

SECRET = "hush-hush"


@pytest.fixture
def daemon(tmp_path: Path) -> Path:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "esc-nc-admin").write_text("a key")
    (tmp_path / "ports.json").write_text('{"netconf": 40123, "http": 40124}')
    return tmp_path


def located(options: Options, **environment: str) -> Endpoint:
    return locate(options, environment, is_root=False, ask=None)


def test_the_local_daemon_gives_port_user_and_key(daemon: Path) -> None:
    # when
    endpoint = located(Options(data_dir=daemon))
    # then
    assert (endpoint.host, endpoint.port, endpoint.user) == ("127.0.0.1", 40123, "esc-nc-admin")
    assert endpoint.key == daemon / "keys" / "esc-nc-admin"
    assert endpoint.is_loopback


def test_a_password_keeps_the_local_port_but_not_the_local_key(daemon: Path) -> None:
    endpoint = located(Options(password=SECRET), ESC_DATA_DIR=str(daemon))
    assert (endpoint.port, endpoint.user, endpoint.key) == (40123, "admin", None)


def test_another_user_does_not_get_the_local_key(daemon: Path) -> None:
    asked = []

    def ask(question: str) -> str:
        asked.append(question)
        return SECRET

    endpoint = locate(Options(user="ann", data_dir=daemon), {}, is_root=False, ask=ask)
    assert (endpoint.user, endpoint.key, endpoint.password) == ("ann", None, SECRET)
    assert asked == ["Password of ann at 127.0.0.1:40123"]


def test_a_named_host_is_never_given_the_local_key_or_port(daemon: Path) -> None:
    # when
    with pytest.raises(NoWayIn, match="give --password-file or --key"):
        located(Options(host="192.0.2.1", data_dir=daemon))
    endpoint = located(Options(host="192.0.2.1", password=SECRET, data_dir=daemon))
    # then
    assert (endpoint.port, endpoint.user) == (2022, "admin")
    assert not endpoint.is_loopback


def test_for_another_user_the_text_says_whose_the_local_key_is(daemon: Path) -> None:
    with pytest.raises(NoWayIn, match="is for esc-nc-admin, not for ann: give --password-file"):
        located(Options(user="ann", data_dir=daemon))


def test_without_a_daemon_the_text_says_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(NoWayIn, match=str(tmp_path)):
        located(Options(), XDG_STATE_HOME=str(tmp_path))


@pytest.mark.parametrize(
    "text", ["", "no json", "[]", '"x"', '{"netconf": "2022"}', '{"netconf": 0}', "{}"]
)
def test_a_ports_file_that_makes_no_sense_is_as_good_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "ports.json").write_text(text)
    assert local_port(tmp_path) is None


@pytest.mark.parametrize(
    ("value", "port"),
    [("2030", 2030), ("65535", 65535), ("0", 2022), ("65536", 2022), ("-1", 2022), ("", 2022)],
)
def test_where_no_daemon_tells_its_port_it_is_that_of_the_environment(
    daemon: Path, value: str, port: int
) -> None:
    # given: it told one, and was stopped
    told = located(Options(data_dir=daemon), ESC_NETCONF_PORT=value)
    (daemon / "ports.json").unlink()
    # when
    guessed = located(Options(data_dir=daemon), ESC_NETCONF_PORT=value)
    # then
    assert told.port == 40123
    assert (guessed.port, guessed.silent_directory) == (port, daemon)


def test_the_port_of_the_environment_is_none_of_another_host(daemon: Path) -> None:
    options = Options(host="192.0.2.1", password=SECRET, data_dir=daemon)
    assert located(options, ESC_NETCONF_PORT="2030").port == 2022


def test_the_data_directory_is_that_of_the_daemon() -> None:
    assert data_directory({}, is_root=True) == Path("/var/lib/esc_daemon")
    assert data_directory({"XDG_STATE_HOME": "/s"}, is_root=False) == Path("/s/esc_daemon")
    assert data_directory({"XDG_STATE_HOME": "/s"}, is_root=True) == Path("/s/esc_daemon")
    assert data_directory({"ESC_DATA_DIR": "/d"}, is_root=True) == Path("/d")
    local = data_directory({}, is_root=False)
    assert local == Path("~/.local/state/esc_daemon").expanduser()


@pytest.mark.parametrize(
    ("host", "is_loopback"),
    [("localhost", True), ("::1", True), ("127.9.9.9", True), ("example.org", False)],
)
def test_only_loopback_needs_no_host_key(host: str, *, is_loopback: bool) -> None:
    assert Endpoint(host=host, port=1, user="u").is_loopback is is_loopback


def test_no_password_shows_up_in_a_representation() -> None:
    options = Options(password=SECRET)
    assert SECRET not in f"{options}{located(options)}"


def test_without_a_daemons_ports_the_text_asks_whether_it_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given: nobody at the default port
    with FakeServer(tmp_path) as gone:
        monkeypatch.setattr("esc_nc_cli.discover.DEFAULT_PORT", gone.port)
    # when
    result = CliRunner().invoke(main, ["--data-dir", str(tmp_path), "--password", "x", "get"])
    # then
    assert result.exit_code == 3
    assert result.stderr.endswith(
        f"; is esc_daemon running? (data directory {tmp_path} has no ports.json; {ELSEWHERE})\n"
    )


def test_the_ports_of_a_daemon_that_was_killed_raise_the_question_whether_it_runs(
    tmp_path: Path,
) -> None:
    # given: nobody at the port that is told
    with FakeServer(tmp_path) as gone:
        (tmp_path / "ports.json").write_text(json.dumps({"netconf": gone.port, "http": 1}))
    # when
    result = CliRunner().invoke(main, ["--data-dir", str(tmp_path), "--password", "x", "get"])
    # then
    assert result.exit_code == 3
    assert result.stderr.endswith(
        f"; is esc_daemon running? ({tmp_path}/ports.json stays behind when it is killed)\n"
    )


def test_whoever_answers_at_a_port_that_was_guessed_may_be_another_server(
    server: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given
    monkeypatch.setattr("esc_nc_cli.discover.DEFAULT_PORT", server.port)
    # when
    result = CliRunner().invoke(main, ["--data-dir", str(tmp_path), "--password", "x", "get"])
    # then
    assert result.exit_code == 3
    assert "this password; is esc_daemon running?" in result.stderr


def test_without_options_the_local_daemon_is_found_by_its_directory(
    server: FakeServer, tmp_path: Path
) -> None:
    # given
    (tmp_path / "keys").mkdir()
    server.key.rename(tmp_path / "keys" / "esc-nc-admin")
    (tmp_path / "ports.json").write_text(json.dumps({"netconf": server.port, "http": 1}))
    server.answers = {"get": [EMPTY]}
    # when
    result = CliRunner().invoke(main, ["-v", "get"], env={"ESC_DATA_DIR": str(tmp_path)})
    # then
    assert result.exit_code == 0, result.output
    assert f"--user esc-nc-admin --key {tmp_path}/keys/esc-nc-admin get" in result.stdout
