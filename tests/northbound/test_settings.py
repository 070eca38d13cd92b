import re
from pathlib import Path

import pytest

from esc_daemon.settings import (
    BadSettings,
    LogLevel,
    default_data_dir,
    load_settings,
    setting_keys,
)


def a_file(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "esc.toml"
    file.write_text(text)
    return file


def problems(config: Path | None = None, **overrides: object) -> tuple[str, ...]:
    with pytest.raises(BadSettings) as caught:
        load_settings(config, overrides)
    return caught.value.problems


def test_without_a_file_the_documented_defaults_hold():
    settings = load_settings()
    assert (settings.host, settings.netconf_port, settings.http_port) == ("127.0.0.1", 2022, 8080)
    assert settings.vim.check_seconds == 60
    assert settings.vim.give_up_after == 20 * 60


def test_the_command_line_beats_the_environment_beats_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    config = a_file(
        tmp_path, "host = '::1'\nnetconf_port = 1\nhttp_port = 1\n[vim]\ncall_timeout = 7\n"
    )
    monkeypatch.setenv("ESC_NETCONF_PORT", "2")
    monkeypatch.setenv("ESC_HTTP_PORT", "2")
    monkeypatch.setenv("ESC_VIM__SETTLE", "0.5")
    settings = load_settings(config, {"http_port": 3})
    assert (settings.host, settings.netconf_port, settings.http_port) == ("::1", 2, 3)
    assert (settings.vim.call_timeout, settings.vim.settle) == (7, 0.5)


def test_an_unknown_key_is_refused_with_a_hint(tmp_path: Path):
    config = a_file(tmp_path, "netconf_prot = 1\n[vim]\ncal_timeout = 7\n")
    assert sorted(problems(config)) == [
        f"netconf_prot: unknown key; did you mean netconf_port? (in {config})",
        f"vim.cal_timeout: unknown key; did you mean vim.call_timeout? (in {config})",
    ]


def test_an_unknown_environment_variable_is_refused_with_a_hint(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ESC_VIM__CALL_TIMOUT", "1")
    (problem,) = problems()
    assert problem.startswith("ESC_VIM__CALL_TIMOUT: unknown")
    assert problem.endswith("did you mean ESC_VIM__CALL_TIMEOUT?")


def test_variables_of_the_client_program_are_left_alone(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ESC_NC_CLI_PASSWORD", "x")
    monkeypatch.setenv("ESC_CONFIG", "x")
    load_settings()


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("netconf_port = 70000", "netconf_port"),
        ("http_port = 'web'", "http_port"),
        ("[vim]\ncall_timeout = 0", "vim.call_timeout"),
        ("[vim]\ncall_timeout = inf", "vim.call_timeout"),
        ("[vim]\nsimulator_address = 'nowhere'", "vim.simulator_address"),
        ("[vim]\nremoval_tries = 0", "vim.removal_tries"),
        ("[vim]\nleftover_pause = 1e15", "vim.leftover_pause"),
        ("[log]\nlevel = 'loud'", "log.level"),
        ("vim = 3", "vim"),
    ],
)
def test_a_wrong_value_is_told_by_its_key(tmp_path: Path, text: str, key: str):
    assert [problem.split(":")[0] for problem in problems(a_file(tmp_path, text))] == [key]


@pytest.mark.parametrize("longer", ["longest_pause", "give_up_after", "leftover_pause"])
def test_a_first_pause_that_is_longer_than_the_others_is_refused(tmp_path: Path, longer: str):
    config = a_file(tmp_path, f"[vim]\nfirst_pause = 40\n{longer} = 30")

    assert problems(config) == (f"vim: first_pause is longer than {longer} (in {config})",)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("http_port = 'web'", "http_port: it has to be a whole number"),
        ("http_port = 1.5", "http_port: it has to be a whole number"),
        ("netconf_port = 70000", "netconf_port: it has to be less than or equal to 65535"),
        ("vim = 3", "vim: it has to be a table with keys of its own"),
        ("host = 3", "host: it has to be a text, in quotes"),
        ("data_dir = 3", "data_dir: it has to be a path, in quotes"),
        ("[vim]\ncall_timeout = 'long'", "vim.call_timeout: it has to be a number"),
        ("[vim]\nimage_content = 3", "vim.image_content: it has to be true or false"),
        (
            "[images]\ndirectories = '/i'",
            'images.directories: it has to be a list, such as ["one", "two"]',
        ),
    ],
)
def test_a_wrong_value_is_told_with_what_it_has_to_be_and_the_file(
    tmp_path: Path, text: str, told: str
):
    config = a_file(tmp_path, text)

    assert problems(config) == (f"{told} (in {config})",)


def test_a_wrong_variable_is_told_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    config = a_file(tmp_path, "http_port = 1")
    monkeypatch.setenv("ESC_HTTP_PORT", "web")
    assert problems(config) == ("http_port: it has to be a whole number (in ESC_HTTP_PORT)",)
    monkeypatch.setenv("ESC_LIMITS", "{")
    assert problems(config) == ("ESC_LIMITS: a list or a table has to be JSON there",)


def test_so_is_one_of_a_list_that_is_no_json(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ESC_IMAGES__DIRECTORIES", "/images")
    assert problems() == ("ESC_IMAGES__DIRECTORIES: a list or a table has to be JSON there",)


def test_where_a_wrong_value_comes_from_is_not_guessed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    config = a_file(tmp_path, "[vim]\nlongest_pause = 30")
    assert problems(config, http_port="web") == ("http_port: it has to be a whole number",)
    monkeypatch.setenv("ESC_VIM__FIRST_PAUSE", "40")
    assert problems(config) == ("vim: first_pause is longer than longest_pause",)


def test_a_wrong_value_is_never_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert "hunter2" not in "".join(problems(a_file(tmp_path, "http_port = 'hunter2'")))
    monkeypatch.setenv("ESC_LIMITS", "{hunter2")
    assert "hunter2" not in "".join(problems())


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path):
    assert "No such file" in problems(tmp_path / "none.toml")[0]
    assert "not TOML" in problems(a_file(tmp_path, "host ="))[0]


def test_root_keeps_its_data_in_var_lib_and_others_in_their_state_directory(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert default_data_dir() == Path("/var/lib/esc_daemon")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setenv("HOME", "/nowhere/u")
    assert default_data_dir() == Path("/nowhere/u/.local/state/esc_daemon")
    monkeypatch.setenv("XDG_STATE_HOME", "/s")
    assert default_data_dir() == Path("/s/esc_daemon")


def test_every_setting_says_what_it_is_and_numbers_say_their_unit():
    keys = setting_keys()
    assert "limits.max_message_bytes" in keys
    assert all(keys.values())
    for key, text in keys.items():
        if re.search(r"seconds|timeout|after$|settle|poll", key):
            assert text.endswith("seconds"), key
        if key.endswith("bytes"):
            assert text.endswith("bytes"), key


def test_the_log_level_is_a_word_of_ours(tmp_path: Path):
    assert load_settings(a_file(tmp_path, "[log]\nlevel='debug'")).log.level is LogLevel.DEBUG
