"""What an operator has of whole processes: status, figures, signals, files."""

import json
import os
import re
import shutil
import socket
import subprocess
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from esc_daemon.app.local import (
    EXIT_NOT_READY,
    EXIT_NOT_RUNNING,
    LocalStatus,
    described,
    local_status,
)
from esc_daemon.settings import load_settings
from esc_daemon.store.sqlite import FileLock
from tests.programs import ROOT, Program, a_daemon, run, soon
from tests.witness import client, connected

EXAMPLES = ROOT / "examples"
BOARD = EXAMPLES / "grafana" / "esc_daemon.json"
WITHIN = 30
NAME = re.compile(r"\b(?:esc|process)_[a-z_]+\b")


@contextmanager
def a_service_manager(folder: Path) -> Iterator[socket.socket]:
    """What a service manager listens on."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(folder / "notify"))
        listening.settimeout(WITHIN)
        yield listening


@pytest.fixture(scope="module")
def manager_socket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[socket.socket]:
    with a_service_manager(tmp_path_factory.mktemp("manager")) as listening:
        yield listening


@pytest.fixture(scope="module")
def daemon(
    tmp_path_factory: pytest.TempPathFactory, manager_socket: socket.socket
) -> Iterator[Program]:
    data = tmp_path_factory.mktemp("operated") / "data"
    told = {"NOTIFY_SOCKET": manager_socket.getsockname(), "WATCHDOG_USEC": "600000"}
    with a_daemon(data, ESC_LOG__FILE=str(data / "esc.log"), **told) as program:
        yield program


def fetched(program: Program, path: str) -> str:
    address = f"http://127.0.0.1:{program.ports['http']}{path}"
    with urllib.request.urlopen(address, timeout=30) as answer:
        return answer.read().decode()


@pytest.fixture(scope="module")
def metrics(daemon: Program) -> dict[str, str]:
    """Every metric of the page, with its type."""
    found = dict(re.findall(r"^# TYPE (\S+) (\S+)$", fetched(daemon, "/metrics"), re.MULTILINE))
    return {name: kind for name, kind in found.items() if not name.endswith("_created")}


def heard(manager_socket: socket.socket) -> str:
    return manager_socket.recv(4096).decode()


def test_the_service_manager_hears_that_it_is_ready_and_that_it_lives(
    daemon: Program, manager_socket: socket.socket
) -> None:
    first = heard(manager_socket)

    assert first.startswith("READY=1\nSTATUS=NETCONF on port ")
    assert heard(manager_socket) == "WATCHDOG=1"


# ---------------------------------------------------------------- figures


def test_every_metric_stands_in_the_table_and_the_table_names_no_other(
    metrics: dict[str, str],
) -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    table = re.findall(r"^\| (`(?:esc|process)_.*?`) \|", page, re.MULTILINE)
    said = {name for cell in table for name in NAME.findall(re.sub(r"\{.*?\}", "", cell))}

    ours = {name for name in metrics if name.startswith("esc_")}
    assert ours - said == set()
    assert said - metrics.keys() == set()


def known(names: set[str], metrics: dict[str, str]) -> set[str]:
    """Return those of *names* that no metric has."""
    parts = {
        f"{name}_{part}"
        for name, kind in metrics.items()
        if kind == "histogram"
        for part in ("bucket", "count", "sum")
    }
    return names - metrics.keys() - parts


def test_every_alert_is_about_a_metric_that_there_is(metrics: dict[str, str]) -> None:
    text = (EXAMPLES / "grafana" / "rules.yml").read_text()
    expressions = re.findall(r"expr: (?:>-\n)?(.*?)\n(?: {8})(?=for|labels)", text, re.DOTALL)
    assert len(expressions) == text.count("- alert:")
    names = {name for expression in expressions for name in NAME.findall(expression)}
    names -= {"esc_daemon"}  # the job
    assert known(names, metrics) == set()


def test_every_panel_of_the_board_is_about_a_metric_that_there_is(metrics: dict[str, str]) -> None:
    panels = json.loads(BOARD.read_text())["panels"]
    expressions = [target["expr"] for panel in panels for target in panel.get("targets", ())]
    names = {name for expression in expressions for name in NAME.findall(expression)}

    assert len(names) > 25
    assert known(names, metrics) == set()
    healing = {"esc_recoveries", "esc_guard_holds", "esc_drifted_servers", "esc_image_bytes_total"}
    assert healing <= names


def test_the_board_has_the_form_that_grafana_reads() -> None:
    board = json.loads(BOARD.read_text())
    variables = {each["name"]: each for each in board["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    ids = Counter(panel["id"] for panel in board["panels"])
    assert set(ids.values()) == {1}
    for panel in board["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        if panel["type"] == "row":
            continue
        assert panel["datasource"]["uid"] == "${datasource}"
        assert panel["description"]
        for target in panel["targets"]:
            assert "$job" in target["expr"]
            assert target["datasource"]["uid"] == "${datasource}"


# ---------------------------------------------------------------- status


def status(folder: Path) -> LocalStatus:
    return local_status(load_settings(None, {"data_dir": folder}))


def test_the_status_of_a_daemon_that_serves(daemon: Program) -> None:
    told = run("esc_daemon", "status", "--data-dir", str(daemon.folder), "--json")

    assert told.returncode == 0, told.stderr
    found = json.loads(told.stdout)
    assert found["running"] is True
    assert found["pid"] == found["status"]["pid"] == daemon.process.pid
    assert found["ports"] == daemon.ports
    assert found["status"]["degraded"] == []
    lines = "\n".join(described(status(daemon.folder)))
    assert re.search(r"^state +ready$", lines, re.MULTILINE)
    assert re.search(r"^VIM connectors +CONNECTION_SUCCESSFUL 1$", lines, re.MULTILINE)


def test_a_daemon_that_was_never_there_or_was_killed_does_not_run(tmp_path: Path) -> None:
    assert status(tmp_path / "nothing").exit_code == EXIT_NOT_RUNNING
    with a_daemon(tmp_path / "data") as daemon:
        daemon.kill()
        assert (daemon.folder / "ports.json").exists()

        killed = status(daemon.folder)

    assert killed.exit_code == EXIT_NOT_RUNNING
    assert described(killed) == ["not running"]


def test_a_daemon_that_holds_its_database_and_tells_no_ports_is_not_ready(tmp_path: Path) -> None:
    lock = FileLock(tmp_path / "esc.db.lock")
    try:
        starting = status(tmp_path)
        (tmp_path / "ports.json").write_text('{"netconf": 1, "http": 1}')
        silent = status(tmp_path)
    finally:
        lock.release()

    assert (starting.pid, starting.exit_code) == (os.getpid(), EXIT_NOT_READY)
    assert silent.exit_code == EXIT_NOT_READY
    assert "does not answer" in described(silent)[0]
    assert status(tmp_path).exit_code == EXIT_NOT_RUNNING


def test_the_answer_of_another_process_is_not_taken_for_the_daemons(
    daemon: Program, tmp_path: Path
) -> None:
    lock = FileLock(tmp_path / "esc.db.lock")
    try:
        (tmp_path / "ports.json").write_text(json.dumps(daemon.ports))
        found = status(tmp_path)
    finally:
        lock.release()

    assert (found.exit_code, found.status) == (EXIT_NOT_READY, None)
    assert "another process answers" in found.problem


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), OSError(5, "I/O")])
def test_who_cannot_look_is_not_told_that_nothing_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    def refused(*_: object, **__: object) -> str:
        raise error

    settings = load_settings(None, {"data_dir": tmp_path})
    monkeypatch.setattr(Path, "read_text", refused)
    found = local_status(settings)

    assert (found.running, found.exit_code) == (None, EXIT_NOT_READY)
    assert described(found)[0].startswith("cannot be told")


def test_status_tells_no_name_that_a_client_chose(daemon: Program) -> None:
    deploy(daemon, "secret-name")

    assert "secret-name" not in fetched(daemon, "/status") + fetched(daemon, "/metrics")


# ---------------------------------------------------------------- the log file, and the end


def deploy(program: Program, tenant: str) -> None:
    file = program.folder / "deployment.xml"
    hello = (EXAMPLES / "01-hello" / "hello.xml").read_text()
    file.write_text(hello.replace("<name>hello</name>", f"<name>{tenant}</name>"))
    done = client(program, "edit-config", str(file))
    assert done.exit_code == 0, done.stderr


def events(file: Path) -> list[str]:
    return [json.loads(line)["event"] for line in file.read_text().splitlines()]


def test_a_daemon_asked_to_end_in_the_middle_of_work_says_so_and_ends_well(tmp_path: Path) -> None:
    # given: a VIM that never answers, an open session, a subscription, a log of its own
    faults = tmp_path / "faults.toml"
    faults.write_text('[[rule]]\nfault = "hang"\nverb = "ensure_server"\n')
    log = tmp_path / "esc.log"
    settings = {"ESC_VIM__FAULTS_FILE": str(faults), "ESC_LOG__FILE": str(log)}
    with (
        a_service_manager(tmp_path) as manager,
        a_daemon(
            tmp_path / "data",
            ESC_LOG__LEVEL="debug",
            NOTIFY_SOCKET=manager.getsockname(),
            **settings,
        ) as daemon,
        connected(daemon) as session,
    ):
        session.create_subscription(stream_name="escEvent")
        deploy(daemon, "stuck")
        asks = re.compile(r"^esc_engine_calls_in_flight [1-9]", re.MULTILINE)
        soon(lambda: asks.search(fetched(daemon, "/metrics")), WITHIN)
        # when
        code = daemon.stop()
        # then
        assert heard(manager).startswith("READY=1\n")
        assert heard(manager) == "STOPPING=1"
    assert code == 0
    assert events(log)[-1] == "daemon.stopped"
    assert "daemon.stop_cut_short" not in events(log)
    assert daemon.log.read_text().count("\n") <= 1  # the first password alone


# ---------------------------------------------------------------- files for service managers


def test_systemd_finds_nothing_wrong_with_the_unit_and_little_exposed(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("no systemd-analyze here")
    unit = tmp_path / "esc_daemon.service"
    text = (EXAMPLES / "systemd" / unit.name).read_text()
    program = shutil.which("true")
    unit.write_text(re.sub(r"^ExecStart=\S+", f"ExecStart={program}", text, flags=re.MULTILINE))

    for words in (["verify", "--man=no"], ["security", "--offline=true", "--threshold=20"]):
        checked = subprocess.run(
            [analyze, *words, str(unit)],
            capture_output=True,
            text=True,
            check=False,
            timeout=WITHIN,
        )
        assert checked.returncode == 0, checked.stdout + checked.stderr
        assert "Unknown" not in checked.stderr


def test_the_unit_stops_and_restarts_as_the_daemon_ends() -> None:
    text = (EXAMPLES / "systemd" / "esc_daemon.service").read_text()
    unit = dict(re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE))
    assert unit["Type"] == "notify"
    assert unit["RestartPreventExitStatus"] == "2"
    assert int(unit["TimeoutStopSec"]) > 45
    assert "esc_daemon run --config" in unit["ExecStart"]
    # what bounds scripts and takes their priority down, out of a set that is refused
    calls = re.findall(r"^SystemCallFilter=(?!~)(.*)$", text, re.MULTILINE)
    assert {"prlimit64", "setpriority"} <= set(" ".join(calls).split())


def test_what_the_container_file_copies_is_there() -> None:
    text = (EXAMPLES / "container" / "Containerfile").read_text()
    copied = [
        word
        for words in re.findall(r"^COPY ((?!--from).*)$", text, re.MULTILINE)
        for word in words.split()[:-1]
    ]
    assert "esc_daemon" in copied
    assert not [path for path in copied if not (ROOT / path).exists()]
    # what setup.cfg takes from outside the packages
    assert {"setup.cfg", "yang", "docs/esc_nc_cli.1", "LICENSE", "README.md"} <= {*copied}
    assert re.search(r"^USER (?!root)", text, re.MULTILINE)
