"""What the page of esc_nc_cli says is so: its examples, run, and its completion, asked for."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from esc_nc_cli.cli import main
from tests.programs import COMMAND_SECONDS, ROOT, Program, a_daemon, surroundings

PAGE = ROOT / "docs" / "esc_nc_cli.md"
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.DOTALL | re.MULTILINE)
EXIT_CODE = re.compile(r"#.*exit code (\d)")


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    with a_daemon(tmp_path_factory.mktemp("page") / "data") as program:
        yield program


def examples() -> list[str]:
    blocks = BLOCK.findall(PAGE.read_text())
    return [line for block in blocks for line in block.splitlines() if line.strip()]


def test_every_example_of_the_page_does_what_it_says(
    daemon: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given: ncclient looks at its queue ten times a second; the examples need not wait for that
    monkeypatch.setattr("ncclient.transport.session.TICK", 0.005)
    monkeypatch.chdir(ROOT)
    lines = examples()
    # when
    for line in lines:
        program, *words = shlex.split(line, comments=True)
        stdin = None
        if words[-2:-1] == ["<"]:
            stdin = Path(words.pop()).read_text()
        elif words[-2:-1] == ["<<<"]:
            stdin = words.pop()
        words = words if stdin is None else words[:-1]
        environment = {"ESC_DATA_DIR": str(daemon.folder)}
        result = CliRunner().invoke(main, words, input=stdin, env=environment)
        # then
        said = EXIT_CODE.search(line)
        assert program == "esc_nc_cli"
        assert result.exit_code == (int(said[1]) if said else 0), f"{line}\n{result.output}"
    named = {shlex.split(line)[1] for line in lines}
    assert named == set(main.commands)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_is_given_a_script_and_completes_what_was_begun(
    shell: str, tmp_path: Path
) -> None:
    # given
    def asked(how: str, **environment: str) -> str:
        variables = {"_ESC_NC_CLI_COMPLETE": f"{shell}_{how}", **environment}
        done = CliRunner().invoke(main, env=variables, prog_name="esc_nc_cli")
        assert done.stderr == ""
        return done.stdout

    # fish gives the word that was begun, the others its number
    begun = "vm-" if shell == "fish" else "1"
    # when
    script = asked("source")
    found = asked("complete", COMP_WORDS="esc_nc_cli vm-", COMP_CWORD=begun)
    # then
    assert f"_ESC_NC_CLI_COMPLETE={shell}_complete" in script
    assert re.findall(r"vm(?:-\w+)*-action", found) == ["vm-action", "vm-backup-action"]
    program = shutil.which(shell)
    if program is not None:
        file = tmp_path / "completion"
        file.write_text(script)
        subprocess.run([program, "-n", file], check=True, timeout=COMMAND_SECONDS)


def test_bash_completes_words_of_an_action_typed_in_small_letters(tmp_path: Path) -> None:
    # given: the program by its name, and the page's line for ~/.bashrc
    bash = shutil.which("bash")
    assert bash is not None
    program = tmp_path / "esc_nc_cli"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m esc_nc_cli "$@"\n')
    program.chmod(0o755)
    (line,) = re.findall(r"`(eval [^`]*bash_source[^`]*)`", PAGE.read_text())
    script = f"""{line}
    COMP_WORDS=(esc_nc_cli svc-action en) COMP_CWORD=2
    _esc_nc_cli_completion esc_nc_cli
    echo "${{COMPREPLY[@]}}"; complete -p esc_nc_cli"""
    # when
    done = subprocess.run(
        [bash, "--norc", "-c", script],
        cwd=ROOT,
        env=surroundings(PATH=f"{tmp_path}:{os.environ['PATH']}"),
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
        check=False,
    )
    # then
    assert done.stdout.splitlines() == [
        "ENABLE_MONITOR",
        "complete -o nosort -F _esc_nc_cli_completion esc_nc_cli",
    ]
