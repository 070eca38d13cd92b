"""A reload that comes too early: it finds nothing to reload, and ends nothing."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.programs import READY_SECONDS, ROOT, STOP_SECONDS, soon, surroundings


def ignores_hangups(pid: int) -> bool:
    """Read the mask of ignored signals, proc_pid_status(5); bit 0 is signal 1."""
    status = Path(f"/proc/{pid}/status").read_text()
    (mask,) = (line.split()[1] for line in status.splitlines() if line.startswith("SigIgn:"))
    return bool(int(mask, 16) & 1 << (signal.SIGHUP - 1))


@pytest.mark.parametrize(
    "words",
    [
        ("run", "--data-dir", "{folder}/data", "--netconf-port", "0", "--http-port", "0"),
        ("simulate", "--state-file", "{folder}/state"),
    ],
    ids=["daemon", "simulator"],
)
def test_hangups_from_the_first_moment_until_it_serves_do_not_end_it(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    ports = tmp_path / "ports.json"
    options = [word.format(folder=tmp_path) for word in words]
    process = subprocess.Popen(
        [sys.executable, "-m", "esc_daemon", *options, "--port-file", str(ports)],
        cwd=ROOT,
        env=surroundings(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def ready() -> bool | None:
        process.send_signal(signal.SIGHUP)
        assert process.poll() is None
        return ports.exists() or None

    try:
        # given: it has begun, and is far from serving
        soon(lambda: ignores_hangups(process.pid) or None, READY_SECONDS)
        assert not ports.exists()
        # when
        soon(ready, READY_SECONDS)
        # then
        process.terminate()
        assert process.wait(STOP_SECONDS) == 0
    finally:
        process.kill()
        process.wait(STOP_SECONDS)
