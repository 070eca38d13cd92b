"""What the house promises about its own files; import contracts are lint's business."""

import ast
import os
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("esc_daemon", "esc_nc_cli")
LONGEST_MODULE = 500
VAGUE_NAMES = {"utils", "util", "common", "helpers", "helper", "misc"}
MADE_FOLDERS = {"build", "dist", "htmlcov", "__pycache__"}
TOP_LEVEL = (
    ".ci/run",
    "CHANGELOG.md",
    "LICENSE",
    "Makefile",
    "README.md",
    "benchmarks",
    "docs",
    "esc_daemon",
    "esc_nc_cli",
    "examples",
    "pyproject.toml",
    "requirements.lock",
    "setup.cfg",
    "tests",
    "yang",
)


def files() -> Iterator[Path]:
    """Every file of ours: what git would take, or without git what is not hidden or made."""
    git = shutil.which("git")
    if git is not None and (ROOT / ".git").exists():
        # CI may run as another user than the one who cloned.
        listed = subprocess.run(
            [git, "-c", f"safe.directory={ROOT}", "ls-files", "-z", "-co", "--exclude-standard"],
            cwd=ROOT,
            capture_output=True,
            check=True,
            timeout=30,
        ).stdout
        yield from (path for name in listed.decode().split("\0") if (path := ROOT / name).is_file())
        return
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [
            name
            for name in folders
            if name == ".ci" or not (name in MADE_FOLDERS or name.startswith("."))
        ]
        yield from (Path(folder, name) for name in names)


def modules() -> list[Path]:
    return [path for path in files() if path.suffix == ".py"]


def names(paths: list[Path]) -> list[str]:
    return sorted(str(path.relative_to(ROOT)) for path in paths)


def setup() -> ConfigParser:
    parser = ConfigParser()
    parser.read(ROOT / "setup.cfg")
    return parser


def requirements() -> list[Requirement]:
    parser = setup()
    lines = parser["options"]["install_requires"] + parser["options.extras_require"]["test"]
    return [Requirement(line) for line in lines.splitlines() if line.strip()]


def test_the_house_looks_at_itself() -> None:
    assert Path(__file__).resolve() in modules()
    assert len(modules()) > 20


def test_no_module_is_longer_than_500_lines() -> None:
    assert not [
        (name, lines)
        for name in names(modules())
        if (lines := len((ROOT / name).read_text().splitlines())) > LONGEST_MODULE
    ]


def test_no_name_says_that_anything_may_go_there() -> None:
    assert not [
        path
        for path in names(list(files()))
        if VAGUE_NAMES & {part.split(".")[0] for part in Path(path).parts}
    ]


def test_every_package_says_what_it_is_for() -> None:
    inits = [path for package in PACKAGES for path in (ROOT / package).rglob("__init__.py")]
    assert inits
    assert not names([path for path in inits if not ast.get_docstring(ast.parse(path.read_text()))])


def test_every_folder_with_modules_is_a_package() -> None:
    revisions = ROOT / "esc_daemon" / "store" / "migrations" / "versions"  # Alembic reads files
    folders = {path.parent for path in modules() if path.relative_to(ROOT).parts[0] in {*PACKAGES}}
    assert not names(
        [folder for folder in folders - {revisions} if not (folder / "__init__.py").is_file()]
    )


def test_no_two_modules_of_tests_and_benchmarks_share_a_name() -> None:
    """Their folders are no packages: of two modules with one name, one would hide the other."""
    stems = Counter(
        path.stem
        for path in modules()
        if any(path.is_relative_to(ROOT / folder) for folder in ("tests", "benchmarks"))
        and not (path.parent / "__init__.py").exists()
        and path.name != "conftest.py"
    )
    assert not [stem for stem, times in stems.items() if times > 1]


def test_every_ignored_type_error_names_its_code() -> None:
    bare = re.compile(r"#\s*type:\s*ignore(?!\[)")
    mine = Path(__file__).resolve()
    assert not names([p for p in modules() if p != mine and bare.search(p.read_text())])


def test_no_file_knows_the_machine_it_was_written_on() -> None:
    private = re.compile(rb"(?<![\w.*}/-])/(?:home|work|root)/")
    assert not names([path for path in files() if private.search(path.read_bytes())])


@pytest.mark.parametrize("name", TOP_LEVEL)
def test_the_top_level_is_complete(name: str) -> None:
    assert (ROOT / name).exists()


def test_what_setup_cfg_names_exists() -> None:
    parser = setup()
    for section in ("metadata", "options.data_files", "options.package_data"):
        assert parser.has_section(section)
    assert (ROOT / parser["metadata"]["license_files"]).is_file()
    for pattern in parser["options.data_files"].values():
        assert list(ROOT.glob(pattern)), pattern
    for package, patterns in parser["options.package_data"].items():
        folder = ROOT.joinpath(*package.split("."))
        for pattern in patterns.split(","):
            assert list(folder.glob(pattern.strip())), (package, pattern)


def test_the_license_is_the_whole_apache_license() -> None:
    text = (ROOT / "LICENSE").read_text()
    assert "Version 2.0, January 2004" in text
    assert "TERMS AND CONDITIONS FOR USE, REPRODUCTION, AND DISTRIBUTION" in text
    assert "END OF TERMS AND CONDITIONS" in text


def locked() -> dict[str, str]:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    pin = re.compile(r"([A-Za-z0-9._-]+)==([A-Za-z0-9.!+]+)")
    pins = [match.groups() for line in lines if (match := pin.fullmatch(line))]
    assert len(pins) == len(lines), "name==version and nothing else: no host, no path"
    return {canonicalize_name(name): version for name, version in pins}


@pytest.mark.parametrize("wanted", requirements(), ids=lambda wanted: wanted.name)
def test_the_lock_file_pins_what_setup_cfg_allows(wanted: Requirement) -> None:
    pinned = locked().get(canonicalize_name(wanted.name))
    assert pinned is not None, "make lock"
    assert wanted.specifier.contains(pinned)


def phony() -> set[str]:
    text = (ROOT / "Makefile").read_text().replace("\\\n", " ")
    return {
        name
        for line in text.splitlines()
        if line.startswith(".PHONY:")
        for name in line.removeprefix(".PHONY:").split()
    }


def test_an_installation_has_the_manual_page_where_man_looks_for_it(tmp_path: Path) -> None:
    # given
    page = tmp_path / "docs" / "esc_nc_cli.1"
    page.parent.mkdir()
    page.write_text((ROOT / "docs" / page.name).read_text())
    env = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    make = shutil.which("make")
    assert make is not None
    # when: of what make would do, what has to do with the page
    asked = [make, "-n", "-W", "setup.cfg", "install"]
    steps = subprocess.run(
        asked, cwd=ROOT, env=env, capture_output=True, text=True, check=True, timeout=60
    ).stdout.splitlines()
    script = "\n".join(step for step in steps if "man1" in step)
    subprocess.run(["sh", "-ec", script], cwd=tmp_path, env=env, check=True, timeout=60)
    # then
    assert (tmp_path / ".venv/share/man/man1/esc_nc_cli.1").resolve() == page.resolve()


def test_make_help_lists_every_target() -> None:
    # given: a make of its own, not a child of the one that runs the tests
    env = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    make = shutil.which("make")
    assert make is not None
    # when
    listed = subprocess.run(
        [make, "help"], cwd=ROOT, env=env, capture_output=True, text=True, check=True, timeout=30
    ).stdout
    # then
    assert {line.split()[0] for line in listed.splitlines()} == phony()
    assert {"install", "demo", "test", "check", "help", "bench", "chaos", "simulate"} <= phony()


def test_ci_runs_a_script_that_bash_understands() -> None:
    script = ROOT / ".ci" / "run"
    bash = shutil.which("bash")
    assert bash is not None
    assert os.access(script, os.X_OK)
    subprocess.run([bash, "-n", script], check=True, timeout=30)
    assert "set -euo pipefail" in script.read_text()


def test_the_ci_script_pipes_into_nothing_that_stops_reading() -> None:
    """With pipefail the writer's SIGPIPE fails the whole run, but only now and then."""
    text = (ROOT / ".ci" / "run").read_text()
    code = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    assert not re.search(r"\|\s*(head|grep -q|sed -n)", code)
