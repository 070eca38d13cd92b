"""
Deploy a service and take it away again, with nothing but a shell's two programs.

Starts a daemon of its own on free loopback ports with a directory of its own, and leaves
nothing behind. Ends with 0 when every event came in its order, else with 1.
"""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

HERE = Path(__file__).resolve().parent
HELLO = HERE / "01-hello" / "hello.xml"
UP = ("CREATE_TENANT", "VM_DEPLOYED", "VM_ALIVE", "SERVICE_ALIVE")
DOWN = ("VM_UNDEPLOYED", "SERVICE_UNDEPLOYED")
READY_SECONDS = 60
STEP_SECONDS = 120  # one command, or the rest of the events
STOP_SECONDS = 15
EVENT = re.compile(r"(?P<time>\S+) (?P<type>[A-Z_]+) (?P<status>\S+) (?P<rest>.*)")


class Deviation(Exception):
    """Something is not as it should be; the text says what."""


def main() -> int:
    """Return the exit code."""
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # a pipe shows it live too
    # SIGTERM unwinds as an error does, so that the daemon is ended and the directory removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    folder = Path(tempfile.mkdtemp(prefix="esc-demo-"))
    log = folder / "daemon.log"
    try:
        with a_daemon(folder, log):
            show_it(folder)
    except Deviation as error:
        print(f"\nFAILED: {error}")
        print_tail(log)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted")
        return 130
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print("\nThe demo went as it should.")
    return 0


def show_it(folder: Path) -> None:
    with watched(folder) as seen:
        heading("Deploy one VM")
        esc(folder, "edit-config", os.path.relpath(HELLO))
        seen(UP)

        heading("What there is now")
        esc(folder, "get", "-f", "table", "esc_datamodel/opdata/tenants")
        reply = esc(folder, "get", "esc_datamodel/opdata/tenants")
        expect("SERVICE_ACTIVE_STATE" in reply, "the service is not in SERVICE_ACTIVE_STATE")
        expect("VM_ALIVE_STATE" in reply, "the VM is not in VM_ALIVE_STATE")

        heading("Undeploy it")
        esc(folder, "delete-dep", "hello", "hello-dep")
        seen(DOWN)

        heading("What is left")
        reply = esc(folder, "get", "esc_datamodel/opdata/tenants")
        expect("hello-dep" not in reply, "the deployment is still there")


@contextmanager
def a_daemon(folder: Path, log: Path) -> Iterator[None]:
    """Run a daemon for as long as the body lasts, and wait until it is ready."""
    ports = folder / "ports.json"
    command = [program("esc_daemon"), "run", "--data-dir", str(folder), "--host", "127.0.0.1"]
    command += ["--netconf-port", "0", "--http-port", "0", "--port-file", str(ports)]
    print_command("esc_daemon", *command[1:])
    with log.open("wb") as sink:
        daemon = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            env=surroundings(),
        )
    try:
        port = wait_until_ready(daemon, ports)
        print(f"ready: NETCONF on 127.0.0.1:{port}")
        yield
        expect(daemon.poll() is None, f"the daemon ended by itself with {daemon.poll()}")
        code = stop(daemon)
        expect(code == 0, f"the daemon's exit code is {code}, expected 0")
    finally:
        stop(daemon)


def wait_until_ready(daemon: subprocess.Popen[bytes], ports: Path) -> int:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        expect(daemon.poll() is None, f"the daemon ended at once with {daemon.poll()}")
        with suppress(FileNotFoundError, ValueError, KeyError):
            return int(json.loads(ports.read_text())["netconf"])
        time.sleep(0.05)
    raise Deviation(f"the daemon was not ready after {READY_SECONDS} seconds")


def stop(process: subprocess.Popen[bytes] | subprocess.Popen[str]) -> int:
    """End *process*, politely first; return its exit code."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
    return process.wait()


@contextmanager
def watched(folder: Path) -> Iterator[Callable[[tuple[str, ...]], None]]:
    """Subscribe; give a function that waits for events and compares them with a list."""
    watch = subprocess.Popen(
        command_of(folder, "watch"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=surroundings(),
    )
    # A command that hangs would block the reading of its output: time ends it.
    alarm = threading.Timer(STEP_SECONDS, watch.kill)
    alarm.start()
    assert watch.stdout is not None
    assert watch.stderr is not None
    lines = watch.stdout
    try:
        print_command("esc_nc_cli", *command_of(folder, "watch")[1:], "&")
        said = watch.stderr.readline().strip()
        expect(said.startswith("watching "), f"no subscription: {said}")
        yield lambda wanted: compare(lines, wanted)
        stop(watch)
        rest = lines.read()
        expect(not rest, f"more events than there should be:\n{rest}")
    finally:
        alarm.cancel()
        stop(watch)
        watch.stdout.close()
        watch.stderr.close()


def compare(lines: Iterator[str], wanted: tuple[str, ...]) -> None:
    for expected in wanted:
        line = next(lines, None)
        if line is None:
            raise Deviation(f"{expected} did not come")
        event = EVENT.fullmatch(line.strip())
        if event is None:
            raise Deviation(f"no event: {line.strip()}")
        print(f"  {event['time']}  {event['type']:<20} {event['status']:<8} {event['rest']}")
        expect(event["type"] == expected, f"{event['type']} came, expected {expected}")
        expect(event["status"] == "SUCCESS", f"{expected} is a {event['status']}")


def esc(folder: Path, *words: str) -> str:
    """Run esc_nc_cli as a user would; return what it prints."""
    print_command("esc_nc_cli", *command_of(folder, *words)[1:])
    try:
        done = subprocess.run(
            command_of(folder, *words),
            capture_output=True,
            text=True,
            timeout=STEP_SECONDS,
            check=False,
            env=surroundings(),
        )
    except subprocess.TimeoutExpired as error:
        raise Deviation(f"{words[0]} did not end within {STEP_SECONDS} seconds") from error
    for line in (done.stdout + done.stderr).splitlines():
        print(f"  {line}")
    expect(done.returncode == 0, f"{words[0]} ended with {done.returncode}")
    return done.stdout


def command_of(folder: Path, *words: str) -> list[str]:
    return [program("esc_nc_cli"), "--data-dir", str(folder), *words]


def program(name: str) -> str:
    """Return the program *name* of the environment that runs this script."""
    path = Path(sys.executable).parent / name
    if not path.exists():
        raise Deviation(f"{path} is missing: run make install")
    return str(path)


def surroundings() -> dict[str, str]:
    """Return our environment without settings meant for another daemon."""
    return {name: value for name, value in os.environ.items() if not name.startswith("ESC_")}


def expect(is_so: bool, otherwise: str) -> None:  # noqa: FBT001  reads as a sentence
    if not is_so:
        raise Deviation(otherwise)


def heading(text: str) -> None:
    print(f"\n== {text}")


def print_command(*words: str) -> None:
    print(f"$ {shlex.join(words[:-1])} &" if words[-1] == "&" else f"$ {shlex.join(words)}")


def print_tail(log: Path) -> None:
    with suppress(OSError):
        tail = log.read_text(errors="replace").splitlines()[-20:]
        print("\n".join(["the daemon's last words:", *(f"  {line}" for line in tail)]))


if __name__ == "__main__":
    sys.exit(main())
