"""What the pages of the examples have somebody make, they have him remove."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from esc_nc_cli.cli import main
from tests.programs import ROOT, Program, a_daemon

CHANGE = re.compile(r"\besc_nc_cli ((?:edit-config|delete-)[^`\n]*)")
CHANGES = {
    page.parent.name: CHANGE.findall(page.read_text())
    for page in sorted((ROOT / "examples").glob("*/README.md"))
}
NEEDS_FILES = {"04-csp", "05-day0", "06-dual-stack-in-order"}
"""Their day-0 files lie where a test has no business: that their VMs come up is not waited for."""


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    with a_daemon(tmp_path_factory.mktemp("examples") / "data") as program:
        yield program


@pytest.mark.parametrize("example", [name for name, changes in CHANGES.items() if changes])
def test_an_example_removes_all_that_it_made(
    example: str, daemon: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given: ncclient looks at its queue ten times a second; nobody need wait for that
    monkeypatch.setattr("ncclient.transport.session.TICK", 0.005)
    monkeypatch.chdir(ROOT)

    def said(*words: str) -> str:
        done = CliRunner().invoke(main, words, env={"ESC_DATA_DIR": str(daemon.folder)})
        assert done.exit_code == 0, f"{words}\n{done.output}"
        return done.stdout

    before = said("get-config", "-f", "json")
    # when
    for change in CHANGES[example]:
        words = shlex.split(change)
        if example in NEEDS_FILES and words[0] == "edit-config":
            words = [word for word in words if word != "--wait"]
        said(*words)
    # then
    assert said("get-config", "-f", "json") == before


def test_every_example_with_a_file_to_send_has_a_page_that_sends_it() -> None:
    files = {path.relative_to(ROOT) for path in (ROOT / "examples").glob("*/*.xml")}
    sent = {Path(word) for changes in CHANGES.values() for each in changes for word in each.split()}
    actions = {path for path in files if path.parent.name == "11-actions"}  # these are no edits
    assert files - sent == actions
