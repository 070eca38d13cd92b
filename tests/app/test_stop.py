"""The end of a process, by whole processes: what hangs must not keep it."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from programs import ROOT, surroundings

WITHIN = 20
BEGIN = """
import asyncio, time
from esc_daemon.app import stop as end

async def main():
    stop = end.Stop(lambda: print("reopened", flush=True))
    print("begun", flush=True)
"""


@contextmanager
def running(body: str) -> Iterator["subprocess.Popen[str]"]:
    """Run *body* as the rest of the main function."""
    lines = "".join(f"    {line}\n" for line in body.strip().splitlines())
    process = subprocess.Popen(
        [sys.executable, "-c", f"{BEGIN}{lines}\nasyncio.run(main())"],
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
end.STOP_SECONDS = 0.2
await stop.wait()
time.sleep(600)
"""
    with running(body) as process:
        process.send_signal(signal.SIGTERM)

        assert process.wait(WITHIN) == 1
        assert process.stdout is not None
        assert "daemon.stop_cut_short" in process.stdout.read()


def test_a_hangup_only_opens_the_log_anew():
    with running("await stop.wait()\nstop.ended()") as process:
        process.send_signal(signal.SIGHUP)
        assert process.stdout is not None
        assert process.stdout.readline() == "reopened\n"
        process.send_signal(signal.SIGINT)

        assert process.wait(WITHIN) == 0
