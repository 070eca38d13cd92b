"""The pages say what the code does: generated parts are fresh, and every word has its place."""

import importlib
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

import click
import pytest
from click.testing import CliRunner

from esc_daemon.cli import cli
from esc_daemon.domain import tell, tell_actions, tell_recovery, tell_scaling, tell_update
from esc_daemon.domain.events import EventType
from esc_daemon.northbound.management import NOT_YET
from esc_daemon.northbound.ssh.rpcs import HANDLERS
from esc_daemon.settings import Settings, load_settings, setting_keys
from esc_daemon.vim.simulator.faults import Fault, Rule, Verb
from esc_nc_cli.cli import main as client

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.glob("*.md"), *ROOT.glob("examples/**/*.md")])


def page(name: str) -> str:
    return (DOCS / name).read_text()


def unsaid(words: Iterable[str], text: str) -> list[str]:
    return [word for word in words if not re.search(rf"\b{re.escape(word)}\b", text)]


Generate: TypeAlias = Callable[..., tuple[int, str]]


@pytest.fixture
def generate(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Generate:
    """Run docs/generate.py, in this process: its exit code, and what it says of errors."""
    monkeypatch.syspath_prepend(DOCS)
    program = importlib.import_module("generate")

    def run(*words: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["generate.py", *map(str, words)])
        return program.main(), capsys.readouterr().err

    return run


def test_the_generated_parts_of_the_pages_are_fresh(generate: Generate) -> None:
    assert generate("--check") == (0, "")


def test_whatever_can_be_drawn_stands_on_a_page(generate: Generate) -> None:
    generate("--check")
    drawn = importlib.import_module("generate").BLOCKS
    asked = {
        name
        for path in PAGES
        for name in re.findall(r"<!-- generated: (\w+) -->", path.read_text())
    }

    assert set(drawn) == asked


def test_a_stale_page_is_named_and_made_anew(tmp_path: Path, generate: Generate) -> None:
    # given
    for name in ("configuration.md", "events.md"):
        shutil.copy(DOCS / name, tmp_path)
    stale = tmp_path / "configuration.md"
    fresh = stale.read_text()
    stale.write_text(fresh.replace("| `8080` |", "| `80` |"))
    assert stale.read_text() != fresh
    # when
    checked = generate("--check", "--directory", tmp_path)
    made = generate("--directory", tmp_path)
    # then
    assert checked == (1, "docs/configuration.md is stale: make docs\n")
    assert made == (0, "")
    assert stale.read_text() == fresh


def test_the_index_of_the_examples_names_each_in_order() -> None:
    there = sorted(each.name for each in (ROOT / "examples").iterdir() if each.name[0].isdigit())
    text = (ROOT / "examples" / "README.md").read_text()

    assert re.findall(r"^\| \[(\d[^]]*)\]", text, re.MULTILINE) == there


def test_the_sample_file_is_fresh_and_is_a_file_of_settings(tmp_path: Path) -> None:
    # given: every key in use
    text = (ROOT / "examples" / "esc_daemon.toml").read_text()
    used = tmp_path / "all.toml"
    used.write_text(re.sub(r"^#(?=\w+ = )", "", text, flags=re.MULTILINE))
    # when
    settings = load_settings(used)
    # then
    plain, default = settings.model_dump(), Settings.model_construct().model_dump()
    assert plain.keys() == default.keys()
    without = [key for key in setting_keys() if value_of(default, key) is None]
    assert without
    for key in setting_keys():
        given = value_of(plain, key)
        if key in without:
            assert re.search(
                rf"^# default: none; for example:\n#{key.split('.')[-1]} = ", text, re.MULTILINE
            )
            assert given is not None
        elif key != "data_dir":  # its default is another for who is not root
            assert given == value_of(default, key), key
    assert text.count("default: none;") == len(without)
    assert len(re.findall(r"^#\w+ = ", text, re.MULTILINE)) == len(setting_keys())


def value_of(settings: dict[str, Any], key: str) -> object:
    found: Any = settings
    for part in key.split("."):
        found = found[part]
    return found


def test_a_stale_manual_page_is_named_and_made_anew(tmp_path: Path, generate: Generate) -> None:
    # given
    stale = tmp_path / "esc_nc_cli.1"
    stale.write_text(page("esc_nc_cli.1").replace("watch", "stare"))
    # when
    checked = generate("--check", "--directory", tmp_path)
    made = generate("--directory", tmp_path)
    # then
    assert checked == (1, "docs/esc_nc_cli.1 is stale: make docs\n")
    assert made == (0, "")
    assert stale.read_text() == page("esc_nc_cli.1")


def test_every_command_and_option_of_the_client_stands_in_its_manual_page() -> None:
    text = page("esc_nc_cli.1").replace("\\-", "-")
    options = {
        option for command in (client, *client.commands.values()) for option in opts(command)
    }
    assert {"--wait", "--known-hosts", "--force"} <= options
    assert not unsaid(client.commands, text)
    assert not [option for option in sorted(options) if option not in text]


def opts(command: click.Command) -> Iterator[str]:
    for param in command.params:
        if isinstance(param, click.Option):
            yield from param.opts


def test_roff_has_nothing_to_say_against_the_manual_page() -> None:
    groff = shutil.which("groff")
    if groff is None:
        pytest.skip("no groff here to read the manual page with")
    done = subprocess.run(
        [groff, "-man", "-ww", "-Tascii", DOCS / "esc_nc_cli.1"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stderr == ""
    assert "drive an ESC over NETCONF" in done.stdout


def test_the_page_of_states_is_fresh() -> None:
    assert CliRunner().invoke(cli, ["show-states", "--markdown"]).output == page("states.md")


def test_every_event_and_its_text_stand_on_the_page_of_events() -> None:
    text = page("events.md")
    assert not unsaid(EventType, text)
    fixed = re.findall(
        r'"((?:VIM Driver: |Service group |Tenant |Network |Subnet |Image |Flavor )'
        r'[^"{\[]*?)[,:]? ?(?:VM Name: \[\{|\{|")',
        Path(tell.__file__).read_text(),
    )
    assert len(fixed) > 15
    assert not [words for words in fixed if words not in text]


@pytest.mark.parametrize(
    ("module", "least"),
    [(tell_actions, 15), (tell_recovery, 12), (tell_scaling, 7), (tell_update, 7)],
)
def test_what_is_told_of_a_service_that_is_up_stands_on_the_page_of_events(
    module: ModuleType, least: int
) -> None:
    source = Path(str(module.__file__)).read_text()
    begins = "VM|VIM Locator|Unset|Set|Service group|Recovery|Manual"
    fixed = re.findall(rf'"((?:{begins})[ _:][^"]*?)(?:, VM ID: [^"]*)?"', source)
    told = [re.sub(r"\[\{vm.name\}\]", r"\\[[vm]\\]", words) for words in fixed]
    plain = [words.split("{")[0].strip() for words in told]

    assert len(plain) >= least
    assert not [words for words in plain if words not in page("events.md")]


def test_every_rpc_stands_on_the_page_of_netconf() -> None:
    assert not unsaid([*NOT_YET, *(name for _, name in HANDLERS)], page("netconf.md"))


def test_every_word_of_a_faults_file_stands_on_the_page_of_operations() -> None:
    words = {*Fault, *Rule.__struct_fields__, *(verb for verb in Verb if verb is not Verb.ANY)}
    assert not unsaid(sorted(words), page("operations.md"))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_link_leads_nowhere(path: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text())
    assert not [link for link in links if "://" not in link and not (path.parent / link).exists()]


def test_every_target_that_a_page_names_is_one_of_make() -> None:
    makefile = (ROOT / "Makefile").read_text()
    named = {
        target
        for path in PAGES
        for target in re.findall(r"(?:`|^)make ([a-z-]+)", path.read_text(), re.MULTILINE)
    }
    assert {"demo", "test"} <= named
    assert not [t for t in sorted(named) if not re.search(rf"^{t}:", makefile, re.MULTILINE)]
