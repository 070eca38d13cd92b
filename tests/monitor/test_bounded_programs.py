"""Real programs, run within bounds."""

import asyncio
import os
import resource
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
import uvloop

from esc_daemon.monitor.base import CollectorError
from esc_daemon.monitor.collectors import programs as module
from esc_daemon.monitor.collectors.programs import KEPT, Ended, Programs
from tests.monitor.questions import until

MEMORY = 2**29
Run = Callable[[Sequence[str]], Awaitable[Ended]]


@pytest.fixture
async def programs() -> AsyncIterator[Programs]:
    programs = Programs(most=4, memory_bytes=MEMORY)
    yield programs
    await programs.close()
    assert children() == []


@pytest.fixture
def run(programs: Programs) -> Run:
    async def run(words: Sequence[str]) -> Ended:
        async with asyncio.timeout(20):
            return await programs.run(lambda: words, 5)

    return run


_OTHERS: set[str] = set()
"""Children of this process before the test: those of tests before it, or of what runs them."""


@pytest.fixture(autouse=True)
def other_children() -> None:
    _OTHERS.clear()
    _OTHERS.update(children())


def children() -> list[str]:
    """Return the children of every thread of this process that the test has made."""
    found: list[str] = []
    for file in Path("/proc/self/task").glob("*/children"):
        with suppress(FileNotFoundError, ProcessLookupError):  # the thread has ended
            found += file.read_text().split()
    return [pid for pid in found if pid not in _OTHERS]


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208


def shell(text: str, *words: str) -> list[str]:
    return ["/bin/sh", "-c", text, "script", *words]


def gone(pid: int) -> bool:
    """Tell whether the process ended, whoever has to reap it."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state == "Z"


@pytest.mark.parametrize("status", [0, 1, 126, 127, 255])
async def test_the_status_is_what_the_program_ended_with(run: Run, status: int) -> None:
    ended = await run(shell(f"echo out; echo err >&2; exit {status}"))
    assert ended == Ended(status=status, out=b"out\n", err=b"err\n")


async def test_words_are_arguments_and_nothing_of_them_is_run(run: Run, tmp_path: Path) -> None:
    # given
    words = ["$(touch x)", ";", "a b", "*", "", "-x", "é\n"]
    # when
    ended = await run([sys.executable, "-c", "import sys; print(sys.argv[1:])", *words])
    # then
    assert ended.out.decode().strip() == repr(words)


async def test_the_environment_is_ours_and_neither_input_nor_descriptors_are_passed_on(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given: what a child would inherit
    monkeypatch.setenv("SECRET", "s3cret")
    mine, other = os.pipe()
    os.set_inheritable(mine, True)
    # when
    try:
        ended = await run(shell("env; pwd; umask; cat; ls /proc/self/fd"))
    finally:
        os.close(mine)
        os.close(other)
    # then: PWD and such are the shell's own
    lines = ended.out.decode().splitlines()
    end = lines.index("/")
    ours = [f"{name}={value}" for name, value in module.ENVIRONMENT.items()]
    assert (
        set(ours) <= set(lines[:end]) <= {*ours, "PWD=/", "OLDPWD=/", "SHLVL=0", "_=/usr/bin/env"}
    )
    assert lines[end + 1] == "0077"
    assert lines[end + 2 :] == ["0", "1", "2", "3"]  # the last one is of ls itself
    assert ended.err == b""


async def test_a_program_has_a_session_of_its_own(run: Run) -> None:
    ended = await run(
        [sys.executable, "-c", "import os; print(os.getsid(0) == os.getpid() == os.getpgid(0))"]
    )
    assert ended.out == b"True\n"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("x = bytearray(2**29)", "memory"),
        ("import os; [os.open('/', 0) for _ in range(400)]", "descriptors"),
        (
            "open('/dev/null', 'w'); import tempfile; tempfile.TemporaryFile().truncate(2**27)",
            "file",
        ),
    ],
    ids=["memory", "descriptors", "file"],
)
async def test_what_is_beyond_a_limit_fails_in_the_program_alone(
    run: Run, text: str, name: str
) -> None:
    ended = await run([sys.executable, "-c", text])
    assert ended.status != 0, name


async def test_limits_hold_for_what_a_program_starts(run: Run) -> None:
    ended = await run(shell("sh -c 'ulimit -n; ulimit -t; ulimit -c'"))
    assert ended.out.split() == [str(module.OPEN_FILES).encode(), b"6", b"0"]


def test_every_limit_is_asked_for_where_this_process_has_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    endless = resource.RLIM_INFINITY
    monkeypatch.setattr(resource, "getrlimit", lambda _: (endless, endless))

    assert module._limits(4.5, MEMORY)[1:] == [
        "--cpu=6",
        f"--as={MEMORY}",
        f"--fsize={module.FILE_BYTES}",
        f"--nofile={module.OPEN_FILES}",
        "--core=0",
        "--",
    ]


async def test_a_program_that_is_killed_has_no_status(run: Run) -> None:
    assert (await run(shell("kill -KILL $$"))) == Ended(status=None, signal="SIGKILL")


async def test_output_beyond_what_is_kept_is_thrown_away(run: Run) -> None:
    ended = await run(shell("head -c 1000000 /dev/zero; head -c 1000000 /dev/zero >&2; exit 3"))
    assert (ended.status, len(ended.out), len(ended.err)) == (3, KEPT, KEPT)


async def test_a_program_that_writes_without_end_is_killed(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_OUTPUT", 200_000)
    with pytest.raises(CollectorError, match="wrote more than 200000 bytes"):
        await run(shell("exec yes"))


async def test_who_stays_behind_with_the_output_is_killed_and_keeps_nobody_waiting(
    run: Run,
) -> None:
    # given: a background process that ignores SIGTERM and SIGHUP
    ended = await run(shell("trap '' TERM HUP; sleep 1000 & echo $!; exit 4"))
    # then
    assert ended.status == 4
    await until(lambda: gone(int(ended.out)))


async def test_who_left_the_group_keeps_nobody_waiting_either(run: Run) -> None:
    # given: a daemon that holds the output, and writes to it on and on
    ended = await run(
        shell("setsid sh -c 'echo $$; while :; do echo; sleep 0.1; done' & sleep 0.5")
    )
    # then: it is beyond our reach, and ends by itself when nobody reads
    assert ended.status == 0
    await until(lambda: gone(int(ended.out.split()[0])))


async def test_who_is_cancelled_has_the_whole_group_killed(
    programs: Programs, tmp_path: Path
) -> None:
    # given
    told = tmp_path / "pids"
    text = (
        f"trap '' TERM; sleep 1000 & echo $$ $! > {told}.new; mv {told}.new {told}; wait; sleep 9"
    )
    task = asyncio.create_task(programs.run(lambda: shell(text), 60))
    await until(told.exists)
    # when
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    # then
    for pid in map(int, told.read_text().split()):
        await until(lambda pid=pid: gone(pid))  # type: ignore[misc]
    await until(lambda: not children())


async def test_who_is_cancelled_while_it_starts_leaves_nothing(programs: Programs) -> None:
    # given
    tasks = [asyncio.create_task(programs.run(lambda: shell("sleep 1000"), 60)) for _ in range(4)]
    await asyncio.sleep(0)
    # when
    for task in tasks:
        task.cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    # then
    assert all(isinstance(each, asyncio.CancelledError) for each in outcomes)
    await until(lambda: not children() and not programs._starting)


async def test_a_close_kills_what_runs() -> None:
    # given
    programs = Programs(most=1, memory_bytes=MEMORY)
    task = asyncio.create_task(programs.run(lambda: shell("exec sleep 1000"), 60))
    await until(lambda: bool(programs._children))
    # when
    await programs.close()
    # then
    assert (await task).signal == "SIGKILL"
    assert children() == []


async def test_no_more_are_started_than_can_end(
    programs: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given: a kill that has no effect, as on a process in a dead file system
    kill = os.killpg
    monkeypatch.setattr(os, "killpg", lambda *_: None)
    for _ in range(8):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await programs.run(lambda: shell("exec sleep 1000"), 60)
    await until(lambda: not programs._starting)
    # when, then
    try:
        with pytest.raises(CollectorError, match="have not ended"):
            await programs.run(lambda: shell("exit 0"), 60)
    finally:
        for pid in map(int, children()):
            kill(pid, signal.SIGKILL)
    await until(lambda: not programs._children)
    assert (await programs.run(lambda: shell("exit 0"), 60)).status == 0


_SEIZED = """
import ctypes, os, pathlib, sys, time
libc, here, parent = ctypes.CDLL(None), pathlib.Path(sys.argv[1]), os.getpid()
libc.prctl(0x59616D61, ctypes.c_long(-1))  # PR_SET_PTRACER, for Yama
if os.fork() == 0:
    os.setsid()
    seized = libc.ptrace(0x4206, parent, None, None)  # PTRACE_SEIZE
    (here / "parent.part").write_text("" if seized else str(parent))
    (here / "parent.part").rename(here / "parent")
    for _ in range(500):
        if (here / "let-go").exists():
            os._exit(0)
        time.sleep(0.01)
    (here / "nobody-came").touch()
    os._exit(0)
time.sleep(1000)
"""


async def test_a_debugger_that_does_not_let_go_of_a_dead_program_holds_up_nobody_else(
    run: Run, tmp_path: Path
) -> None:
    # given a program that somebody traces, as gdb -p does, and who does not look at its end
    ending = asyncio.ensure_future(run([sys.executable, "-c", _SEIZED, str(tmp_path)]))
    await until((tmp_path / "parent").exists)
    pid = (tmp_path / "parent").read_text()
    if not pid:
        pytest.skip("nobody may trace here")
    # when it dies: to us it is a zombie that cannot be reaped yet (ptrace(2))
    os.kill(int(pid), signal.SIGKILL)
    await until(lambda: gone(int(pid)))
    await asyncio.sleep(0)
    (tmp_path / "let-go").touch()
    # then
    assert (await ending).signal == "SIGKILL"
    assert not (tmp_path / "nobody-came").exists(), "the loop stood still"


@pytest.mark.parametrize("bad", ["/nonexistent/program", "/etc/passwd", "/"])
async def test_what_cannot_be_run_is_told(run: Run, bad: str) -> None:
    with pytest.raises(CollectorError, match="the script cannot be run: "):
        await run([bad])


async def test_a_first_line_that_ends_with_cr_is_told(run: Run, tmp_path: Path) -> None:
    script = tmp_path / "dos.sh"
    script.write_bytes(b"#!/bin/sh\r\nexit 0\r\n")
    script.chmod(0o755)
    with pytest.raises(CollectorError, match="end with LF alone"):
        await run([str(script)])


async def test_without_prlimit_it_is_said_what_to_install(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(module.ENVIRONMENT, "PATH", "/nonexistent")
    with pytest.raises(CollectorError, match="install util-linux"):
        await run(shell("exit 0"))


async def test_a_word_that_no_argument_can_be_is_told(run: Run) -> None:
    with pytest.raises(CollectorError, match="cannot be started"):
        await run(shell("exit 0", "a\0b"))
    with pytest.raises(CollectorError, match="cannot be started"):
        await run(shell("exit 0", "x" * 2**22))


async def _many() -> None:
    programs = Programs(most=4, memory_bytes=MEMORY)
    assert (await programs.run(lambda: shell("echo first"), 5)).out == b"first\n"
    before = descriptors()
    for number in range(10):
        ended = await programs.run(lambda number=number: shell(f"echo x; exit {number}"), 5)  # type: ignore[misc]
        assert (ended.status, ended.out) == (number, b"x\n")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await programs.run(lambda: shell("sleep 1000"), 5)
    await programs.close()
    assert descriptors() == before
    assert children() == []


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_neither_zombies_nor_descriptors_are_left_on_either_loop(
    new_loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(_many())
