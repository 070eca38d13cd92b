"""What `esc_daemon status` makes of a port, and of a file of ports, that are not the daemon's."""

import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from esc_daemon.app import local
from esc_daemon.app.local import EXIT_NOT_READY, EXIT_READY, LocalStatus, described, local_status
from esc_daemon.settings import load_settings
from esc_daemon.store.sqlite import FileLock

WELL = {
    "version": "1",
    "pid": os.getpid(),
    "uptime_seconds": 1.5,
    "ready": True,
    "reasons": [],
    "degraded": ["vim"],
    "why": ["vim: CONNECTION_FAILED 1; see there"],
    "sessions": 0,
    "connectors": {},
    "deployments": {"ACTIVE": 2},
    "vms": {},
    "in_error": {"image": 1},
    "to_recover": 3,
    "leftovers": 0,
    "warnings": {"edit.accepted_with_warning": 2},
    "errors": [],
}
_NEWER = {"why", "in_error", "to_recover", "warnings"}
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"


@contextmanager
def answering(talk: Callable[[socket.socket], None]) -> Iterator[int]:
    """Listen; *talk* with the first who comes, once it has asked."""

    def serve() -> None:
        with suppress(OSError):
            peer = listening.accept()[0]
            with peer:
                peer.recv(1000)
                talk(peer)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        serving = threading.Thread(target=serve)
        serving.start()
        try:
            yield listening.getsockname()[1]
        finally:
            with suppress(OSError):
                listening.shutdown(socket.SHUT_RDWR)
            serving.join()


def status(folder: Path, ports: object) -> LocalStatus:
    lock = FileLock(folder / "esc.db.lock")
    try:
        text = ports if isinstance(ports, str) else json.dumps(ports)
        (folder / "ports.json").write_text(text)
        return local_status(load_settings(None, {"data_dir": folder}))
    finally:
        lock.release()


def told(folder: Path, body: bytes) -> LocalStatus:
    with answering(lambda peer: peer.sendall(HEAD + body)) as port:
        return status(folder, {"http": port})


def test_an_answer_of_the_daemon_is_taken_with_fields_of_another_version(tmp_path: Path):
    found = told(tmp_path, json.dumps({**WELL, "colour": [1]}).encode())

    assert found.exit_code == EXIT_READY
    lines = described(found)
    assert "deployments     ACTIVE 2" in lines
    assert "in error        image 1" in lines
    assert "warnings        edit.accepted_with_warning 2" in lines
    assert "degraded        vim: CONNECTION_FAILED 1; see there" in lines
    assert json.loads(json.dumps(found.as_object()))["status"] == WELL


def test_a_kind_of_errors_is_one_line_with_how_often_it_came(tmp_path: Path):
    often = {"time": "2026-01-02T03:04:05Z", "level": "error", "event": "step.not_stored"}
    once = {"time": "2026-01-02T03:04:06Z", "level": "error", "event": "rpc.failed", "times": 1}
    errors = [{**often, "times": 30}, once]

    lines = described(told(tmp_path, json.dumps({**WELL, "errors": errors}).encode()))

    assert [line for line in lines if line.startswith("error ")] == [
        "error           2026-01-02T03:04:05Z  step.not_stored (30 times)",
        "error           2026-01-02T03:04:06Z  rpc.failed",
    ]


@pytest.mark.parametrize(
    "text",
    ["[]", "7", "null", '{"http": 99999}', '{"http": "1"}', "[" * 100_000, '{"http": 1e999}'],
)
def test_a_file_of_ports_that_is_none_tells_no_ports(tmp_path: Path, text: str):
    found = status(tmp_path, text)

    assert found.exit_code == EXIT_NOT_READY
    assert "has not told its ports" in described(found)[0]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        json.dumps({"pid": os.getpid()}).encode(),
        json.dumps({**WELL, "degraded": 7}).encode(),
        json.dumps({**WELL, "errors": [{"time": 1}]}).encode(),
        json.dumps({**WELL, "uptime_seconds": -1}).encode(),
        json.dumps(WELL).replace("1.5", "1e999").encode(),
        json.dumps(WELL).replace('"sessions": 0', '"sessions": ' + "9" * 5000).encode(),
        json.dumps({**WELL, "version": "x"}).replace('"x"', '"\\ud800"').encode(),
        json.dumps(WELL).encode()[:-1] + b',"x":' + b"[" * 100_000,
        b"\xff" * 2_000_000,
    ],
    ids=range(11),  # a body may hold the process's number, which differs between workers
)
def test_an_answer_that_is_no_status_cannot_be_told_of(tmp_path: Path, body: bytes):
    found = told(tmp_path, body)

    assert found.exit_code == EXIT_NOT_READY
    assert found.status is None
    (line,) = described(found)
    assert "cannot be told" in line
    assert line.isprintable()


def test_no_text_of_an_answer_begins_a_line_or_moves_the_cursor(tmp_path: Path):
    forged = {**WELL, "version": "\x1b[2J\u202e", "why": ["no\nstate  ready\u2028\x85"]}

    lines = described(told(tmp_path, json.dumps(forged).encode()))

    assert [line for line in lines if not line.isprintable()] == []
    assert len(lines) == 13


def test_a_daemon_of_before_an_upgrade_tells_no_reasons_and_is_shown_nevertheless(tmp_path: Path):
    before = {name: value for name, value in WELL.items() if name not in _NEWER}

    found = told(tmp_path, json.dumps(before).encode())

    assert found.exit_code == EXIT_READY
    assert "degraded        vim" in described(found)


def test_the_whole_of_an_answer_has_one_deadline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    # given a clock that runs a second at each look, and a peer that sends a byte and waits
    seconds = iter(range(1000))
    monkeypatch.setattr(local, "monotonic", lambda: next(seconds))
    monkeypatch.setattr(local, "_READ_BYTES", 1)

    def slowly(peer: socket.socket) -> None:
        peer.sendall(b"HTTP/1.1 200 OK\r\n")
        peer.recv(1)  # until the asker gives up

    with answering(slowly) as port:
        found = status(tmp_path, {"http": port})
    # then it gives up, though each read was in time
    assert found.exit_code == EXIT_NOT_READY
    assert "does not answer: timed out" in described(found)[0]
    assert next(seconds) <= 7
