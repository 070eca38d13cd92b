"""The recipes of the pages, run as they stand there."""

import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.client_contract import SECONDS, Door
from tests.programs import ROOT, surroundings
from tests.witness import client

DOCS = ROOT / "docs"
SHOWN = (
    *("unknown-element", "/esc:esc_datamodel"),
    *("CREATE_TENANT", "VM_DEPLOYED", "VM_ALIVE", "SERVICE_ALIVE"),
    *("SERVICE_ACTIVE_STATE", "SERVICE_ACTIVE_STATE", "<name>hello-dep</name>"),
)
"""What every recipe for a client prints, in this order."""
WAITING = ("ncclient", "netconf_client", "scrapli-netconf")
"""Their recipes hear the events of their own edit."""
HELLO = ROOT / "examples" / "01-hello" / "hello.xml"
RUN = {
    "python": (sys.executable, "-"),
    "sh": ("bash", "-eu", "-s"),
}
"""What runs a block of a language; blocks of others are shown only."""


def blocks(page: str) -> dict[str, list[tuple[str, str]]]:
    """Return the blocks that can be run by their section: language and text."""
    found: dict[str, list[tuple[str, str]]] = {}
    for section in re.split(r"^## ", (DOCS / page).read_text(), flags=re.MULTILINE)[1:]:
        title = section.partition("\n")[0]
        of_section = re.findall(r"^```(\w+)\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
        runnable = [(language, text) for language, text in of_section if language in RUN]
        if runnable:
            found[title] = runnable
    return found


def printed(language: str, text: str, door: Door, folder: Path) -> str:
    """Run a block in a folder that looks like the checkout; return what it printed."""
    done = ended(language, text, door, folder)
    assert done.returncode == 0, done.stderr
    return done.stdout


def ended(language: str, text: str, door: Door, folder: Path) -> "subprocess.CompletedProcess[str]":
    """Run a block in a folder that looks like the checkout; what is there already stays."""
    for name in ("examples", "yang"):
        if not (folder / name).exists():
            (folder / name).symlink_to(ROOT / name)
    programs = os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"]])
    before = set(folder.iterdir())
    done = subprocess.run(
        RUN[language],
        input=re.sub(r"\b2022\b", str(door.port), text),
        cwd=folder,
        env=surroundings(
            ESC_DATA_DIR=str(door.daemon.folder), PASSWORD=door.password, PATH=programs
        ),
        capture_output=True,
        text=True,
        timeout=3 * SECONDS,
        check=False,
    )
    assert set(folder.iterdir()) == before, "a recipe leaves files in the checkout"
    return done


def assert_in_order(words: tuple[str, ...], text: str) -> None:
    at = 0
    for word in words:
        found = text.find(word, at)
        assert found >= 0, f"{word} is not in what follows {text[:at][-200:]!r}: {text[at:]}"
        at = found + len(word)


def brought(door: Door, *words: str) -> None:
    """Let our own client do it, and wait."""
    done = client(door.daemon, *words, "--wait")
    assert done.exit_code == 0, done.stderr


@pytest.fixture
def deployed(door: Door) -> None:
    """Have the example live, so that a recipe that does not wait finds it."""
    brought(door, "edit-config", str(HELLO))


@pytest.fixture(scope="module")
def deployed_before(door: Door) -> None:
    """Have in the event log that the example lived."""
    brought(door, "edit-config", str(HELLO))


@pytest.fixture
def deployed_once(deployed_before: None, door: Door) -> Iterator[None]:
    """Have in the event log that the example lived, and nothing of it any more."""
    take_away(door)
    yield
    take_away(door)


def take_away(door: Door) -> None:
    """Let nothing of the example be there, whether or not it was."""
    done = client(door.daemon, "delete-tenant", "hello", "--wait")
    assert done.exit_code == 0 or "data-missing" in done.stderr, done.stderr


def test_every_client_of_the_page_has_a_recipe_that_can_be_run() -> None:
    assert list(blocks("clients.md")) == [
        *("ncclient", "netconf_client", "scrapli-netconf", "netconf-console2", "Plain ssh"),
    ]


@pytest.mark.usefixtures("deployed_once", "ssh")
@pytest.mark.parametrize("title", WAITING)
def test_a_recipe_that_waits_takes_no_earlier_deployment_for_its_own(
    title: str, door: Door, tmp_path: Path
) -> None:
    ((language, text),) = blocks("clients.md")[title]
    shown = printed(language, text, door, tmp_path)
    assert_in_order(SHOWN, shown)
    assert shown.count("CREATE_TENANT") == 1


@pytest.mark.usefixtures("deployed_once", "ssh")
@pytest.mark.parametrize("title", WAITING)
def test_a_recipe_that_waits_ends_with_the_reason_of_a_failure(
    title: str, door: Door, tmp_path: Path
) -> None:
    # given: a day-0 file that there is not
    folder = tmp_path / "examples" / "01-hello"
    folder.mkdir(parents=True)
    day_zero = """<config_data><configuration><dst>iosxe_config.txt</dst>
      <file>file://not/there.txt</file></configuration></config_data></vm_group>"""
    (folder / "hello.xml").write_text(HELLO.read_text().replace("</vm_group>", day_zero))
    ((language, text),) = blocks("clients.md")[title]
    # when
    done = ended(language, text, door, tmp_path)
    # then
    assert done.returncode == 1, done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith("Service group deployment failed: ")


@pytest.mark.usefixtures("deployed", "ssh")
@pytest.mark.parametrize("title", [each for each in blocks("clients.md") if each not in WAITING])
def test_a_recipe_shows_what_it_promises(title: str, door: Door, tmp_path: Path) -> None:
    ((language, text),) = blocks("clients.md")[title]
    assert_in_order(SHOWN, printed(language, text, door, tmp_path))


def test_the_lines_of_the_nso_page_do_what_nso_does(door: Door, tmp_path: Path) -> None:
    lines = [text for section in blocks("nso.md").values() for _, text in section]
    shown = printed("sh", "\n".join(lines), door, tmp_path)
    assert "<name>esc_deployment</name>" in shown
    assert "<name>escEvent</name>" in shown
    assert "<state>SERVICE_ACTIVE_STATE</state>" in shown
    for event in ("CREATE_TENANT", "CREATE_NETWORK", "VM_ALIVE", "SERVICE_ALIVE"):
        assert f"<type>{event}</type>" in shown


def test_the_page_names_the_versions_that_are_tried() -> None:
    locked = (ROOT / "requirements.lock").read_text()
    text = (DOCS / "clients.md").read_text()
    for pattern, said in (
        (r"ncclient==(\S+)", "[ncclient](#ncclient) | {} |"),
        (r"netconf-client==(\S+)", "[netconf_client](#netconf_client) | {} |"),
        (r"netconf-console2==(\S+)", "[netconf-console2](#netconf-console2) | {} |"),
        (r"scrapli_netconf==(\S+)", "[scrapli-netconf](#scrapli-netconf) | {} with"),
        (r"scrapli==(\S+)", "with scrapli {} |"),
    ):
        version = re.search(f"^{pattern}$", locked, re.MULTILINE)
        assert version is not None, pattern
        assert said.format(version[1]) in text
