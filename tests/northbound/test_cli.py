import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from esc_daemon.access.keys import KeyKind, ensure_key_pair
from esc_daemon.access.passwords import Passwords
from esc_daemon.access.users import User, Users
from esc_daemon.cli import cli
from esc_daemon.domain.states import (
    OPERATION_LIFECYCLE,
    RESOURCE_LIFECYCLE,
    SERVICE_LIFECYCLE,
    VM_LIFECYCLE,
)


def call(*words: object, stdin: str | None = None) -> Result:
    return CliRunner().invoke(cli, [str(word) for word in words], input=stdin)


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    file = tmp_path / "password"
    file.write_text("secret word\nnot this line\n")
    return file


async def test_a_user_is_added_with_the_first_line_of_a_file(tmp_path: Path, password_file: Path):
    data = tmp_path / "d"
    added = call("user", "add", "op", "--password-file", password_file, "--data-dir", data)
    assert added.exit_code == 0
    assert added.output.startswith("op is in no group")
    stored = json.loads((data / "users.json").read_text())["users"]["op"]["password"]
    passwords = Passwords()
    assert await passwords.verify(stored, "secret word")
    passwords.close()


def test_a_password_is_asked_for_twice_and_not_shown(tmp_path: Path):
    data = tmp_path / "d"
    added = call("user", "add", "op", "--data-dir", data, stdin="one word\none word\n")
    assert added.exit_code == 0
    assert "one word" not in added.output
    assert call("user", "list", "--data-dir", data).output == "op\tpassword, 0 key(s)\t-\n"


def test_a_user_with_a_key_needs_no_password(tmp_path: Path):
    ensure_key_pair(tmp_path / "k", KeyKind.ED25519)
    data = tmp_path / "d"
    assert (
        call("user", "add", "op", "--public-key", tmp_path / "k.pub", "--data-dir", data).exit_code
        == 0
    )
    assert call("user", "list", "--data-dir", data).output == "op\t1 key(s)\t-\n"


@pytest.mark.parametrize(
    "content", [b"", b"ssh-ed25519 AAAA", b"no key at all", b"\xff", b"ssh-ed25519 \xc3\xa9", None]
)
def test_a_bad_key_leaves_no_user_behind(
    tmp_path: Path, password_file: Path, content: bytes | None
):
    # given
    key, data = tmp_path / "k.pub", tmp_path / "d"
    if content is not None:
        key.write_bytes(content)
    words = ["--password-file", password_file, "--data-dir", data]
    # when
    refused = call("user", "add", "op", "--public-key", key, *words)
    # then
    assert refused.exit_code == 1
    assert refused.output.startswith(f"Error: {key}: ")
    assert len(refused.output.splitlines()) == 1
    assert call("user", "list", "--data-dir", data).output == ""
    assert call("user", "add", "op", *words).exit_code == 0


def test_a_password_is_changed_and_a_user_deleted(tmp_path: Path, password_file: Path):
    words = ["--password-file", password_file, "--data-dir", tmp_path / "d"]
    call("user", "add", "op", *words)
    before = (tmp_path / "d" / "users.json").read_text()
    assert call("user", "passwd", "op", *words).exit_code == 0
    assert (tmp_path / "d" / "users.json").read_text() != before
    assert call("user", "delete", "op", "--data-dir", tmp_path / "d").exit_code == 0
    assert call("user", "list", "--data-dir", tmp_path / "d").output == ""


def test_groups_are_given_shown_and_taken(tmp_path: Path):
    pw = tmp_path / "pw"
    pw.write_text("secret\n")
    data = ("--data-dir", tmp_path / "d")
    added = call("user", "add", "op", "--password-file", pw, "--group", "a", "--group", "b", *data)
    assert (added.exit_code, added.output) == (0, "op is in a, b\n")
    assert call("user", "groups", "op", *data).output == "op is in a, b\n"
    assert call("user", "groups", "op", "--set", "c", "--set", "c", *data).output == "op is in c\n"
    assert call("user", "list", *data).output == "op\tpassword, 0 key(s)\tc\n"

    taken = call("user", "groups", "op", "--none", *data)
    assert taken.output.startswith("op is in no group: may read, but no secrets")
    assert "esc_daemon user groups op --set esc-admin" in taken.output
    assert call("user", "list", *data).output == "op\tpassword, 0 key(s)\t-\n"


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("groups", "nobody", "--set", "g"), 1, "there is no user nobody"),
        (("groups", "nobody"), 1, "there is no user nobody"),
        (("groups", "op", "--set", "*"), 1, "'*' is no group name"),
        (("groups", "op", "--set", "g", "--none"), 2, "exclude each other"),
        (("add", "x", "--public-key", "KEY", "--group", "a b"), 1, "'a b' is no group name"),
    ],
)
def test_groups_that_cannot_be_are_refused(
    tmp_path: Path, words: tuple[str, ...], code: int, text: str
):
    Users(tmp_path / "users.json").add("op", User(groups=("g",)))
    ensure_key_pair(tmp_path / "key", KeyKind.ED25519)
    words = tuple(str(tmp_path / "key.pub") if word == "KEY" else word for word in words)

    refused = call("user", *words, "--data-dir", tmp_path)

    assert refused.exit_code == code
    assert text in refused.output
    assert Users(tmp_path / "users.json").all().keys() == {"op"}
    assert Users(tmp_path / "users.json").find("op").groups == ("g",)


def test_what_cannot_be_done_is_told_in_one_line(tmp_path: Path):
    gone = call("user", "delete", "op", "--data-dir", tmp_path)
    assert (gone.exit_code, gone.output) == (1, "Error: there is no user op\n")
    empty = tmp_path / "empty"
    empty.write_text("\n")
    refused = call("user", "add", "op", "--password-file", empty, "--data-dir", tmp_path)
    assert refused.exit_code == 1
    assert refused.output == f"Error: {empty}: the first line is empty\n"


def test_bad_settings_end_with_2_and_name_the_keys(tmp_path: Path):
    config = tmp_path / "c.toml"
    config.write_text("htp_port = 1\n[limits]\nsessions = 0\n")
    checked = call("check-config", "--config", config)
    assert checked.exit_code == 2
    assert "htp_port: unknown key; did you mean http_port?" in checked.output
    assert "limits.sessions: " in checked.output
    assert "Traceback" not in checked.output


def test_a_flaw_in_the_file_of_own_metrics_is_a_bad_setting(tmp_path: Path):
    mapping, config = tmp_path / "m.xml", tmp_path / "c.toml"
    mapping.write_text("<dynamic_mapping><metrics><metric/></metrics></dynamic_mapping>")
    config.write_text(f'[monitor]\nmapping_file = "{mapping}"\n')
    checked = call("check-config", "--config", config)
    assert checked.exit_code == 2
    assert f"{mapping}: /dynamic_mapping/metrics/metric[1]/name: " in checked.output


def test_bad_settings_stop_the_daemon_before_it_starts():
    refused = call("run", "--netconf-port", "70000")
    assert refused.exit_code == 2
    assert "netconf_port: " in refused.output


def test_good_settings_are_shown_with_their_meaning(tmp_path: Path):
    shown = call("check-config", "--data-dir", tmp_path)
    assert shown.exit_code == 0
    assert f"data_dir = {tmp_path}  # " in shown.output
    assert "vim.check_seconds = 60  # " in shown.output


def test_the_environment_may_name_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    config = tmp_path / "c.toml"
    config.write_text("http_port = 4711\n")
    monkeypatch.setenv("ESC_CONFIG", str(config))
    assert "http_port = 4711  #" in call("check-config").output


def test_the_drawn_states_are_those_of_the_tables():
    table = call("show-states").output
    for lifecycle in (SERVICE_LIFECYCLE, VM_LIFECYCLE, OPERATION_LIFECYCLE):
        for state, moves in lifecycle.items():
            for move, target in moves.items():
                assert re.search(rf"^  {state} +{move} +{target}$", table, re.MULTILINE)
    count = sum(len(moves) for moves in VM_LIFECYCLE.values())
    assert call("show-states", "--machine", "vm", "--dot").output.count(" -> ") == count
    assert call("show-states", "--machine", "vm", "--mermaid").output.count(" --> ") == count


def test_the_page_of_states_has_a_picture_and_a_table_of_each_machine():
    page = call("show-states", "--markdown").output
    assert page.count("```mermaid\nstateDiagram-v2\n") == 4
    for lifecycle in (SERVICE_LIFECYCLE, VM_LIFECYCLE, RESOURCE_LIFECYCLE, OPERATION_LIFECYCLE):
        for state, moves in lifecycle.items():
            for move, target in moves.items():
                assert f"    {state} --> {target}: {move}\n" in page
                assert f"| {state} | {move} | {target} |\n" in page


def test_the_program_runs_as_a_module_and_tells_its_version():
    ran = subprocess.run(
        [sys.executable, "-m", "esc_daemon", "--version"],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
        cwd=Path(__file__).parents[2],
    )
    assert ran.stdout.startswith("esc_daemon, version ")


def test_a_simulator_that_cannot_start_says_why_in_one_line(tmp_path: Path):
    refused = call("simulate", "--faults-file", tmp_path / "none")
    assert refused.exit_code == 2
    assert refused.output.startswith("esc_daemon: ")
    assert "Traceback" not in refused.output
