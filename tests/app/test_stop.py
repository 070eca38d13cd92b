"""The end of a process, by whole processes: what hangs must not keep it."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.programs import ROOT, soon, surroundings

WITHIN = 30
BEGIN = """
import asyncio, time
from esc_daemon.app.process import run
from esc_daemon.app.stop import Stop

async def main():
    stop = Stop(lambda: print("reopened", flush=True), seconds=SECONDS)
    print("begun", flush=True)
"""


@contextmanager
def running(body: str, seconds: float = 45) -> Iterator["subprocess.Popen[str]"]:
    """Run *body* as the rest of the main function; it may take *seconds* to end."""
    begin = BEGIN.replace("SECONDS", str(seconds))
    lines = "".join(f"    {line}\n" for line in body.strip().splitlines())
    process = subprocess.Popen(
        [sys.executable, "-c", f"{begin}{lines}\nrun(main())"],
        cwd=ROOT,
        env=surroundings(PYTHONPATH=str(ROOT)),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        yield process
    finally:
        process.kill()
        process.communicate(timeout=WITHIN)


def test_a_thread_that_looks_up_a_name_for_ever_keeps_no_process_that_is_done():
    body = """
asyncio.get_running_loop().run_in_executor(None, time.sleep, 600)
await stop.wait()
stop.ended()
"""
    with running(body) as process:
        process.send_signal(signal.SIGTERM)

        assert process.wait(WITHIN) == 0


def test_a_second_signal_ends_it_at_once():
    body = """
await stop.wait()
print("asked", flush=True)
await asyncio.sleep(600)
"""
    with running(body) as process:
        process.send_signal(signal.SIGTERM)
        assert process.stdout is not None
        assert process.stdout.readline() == "asked\n"
        process.send_signal(signal.SIGTERM)

        assert process.wait(WITHIN) == 1
        assert "a second signal" in process.stdout.read()


def test_a_loop_that_hangs_is_cut_short():
    body = """
await stop.wait()
time.sleep(600)
"""
    with running(body, seconds=0.2) as process:
        process.send_signal(signal.SIGTERM)

        assert process.wait(WITHIN) == 1
        assert process.stdout is not None
        assert "daemon.stop_cut_short" in process.stdout.read()


@pytest.mark.parametrize("signals", [1, 2])
def test_a_log_that_nobody_reads_keeps_no_process_that_shall_end(signals: int):
    # the loop waits in a write for a reader that never comes, and so would a last line of the log
    body = 'print("x" * 2**20)'
    with running(body, seconds=600 if signals == 2 else 0.2) as process:
        for _ in range(signals):
            process.send_signal(signal.SIGTERM)
            wait_until_it_is_taken(process.pid)

        assert process.wait(WITHIN) == 1


def wait_until_it_is_taken(pid: int) -> None:
    """Wait until no signal waits for the process *pid*, or it has ended."""

    def taken() -> bool | None:
        try:
            status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
        except FileNotFoundError:
            return True
        return True if re.search(r"^ShdPnd:\s*0+$", status, re.MULTILINE) else None

    soon(taken, WITHIN)


def test_a_hangup_only_opens_the_log_anew_and_says_so():
    with running("await stop.wait()\nstop.ended()") as process:
        process.send_signal(signal.SIGHUP)
        assert process.stdout is not None
        assert process.stdout.readline() == "reopened\n"
        assert "log.opened_anew" in process.stdout.readline()
        process.send_signal(signal.SIGINT)

        assert process.wait(WITHIN) == 0
