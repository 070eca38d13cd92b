"""The scripts of hooks: run as those of KPIs are, and held to an end that is good and in time."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from esc_daemon.domain.specs import HookScript
from esc_daemon.monitor.hooks import NO_HOOKS, HookFailed, HookRunner, Hooks
from tests.told_hooks import ToldHooks


@pytest.fixture
async def hooks(tmp_path: Path) -> AsyncIterator[Hooks]:
    hooks = Hooks([tmp_path / "scripts"], workers=2, memory_bytes=2**29)
    yield hooks
    await hooks.close()


def a_script(directory: Path, text: str) -> str:
    directory /= "scripts"
    directory.mkdir(exist_ok=True)
    file = directory / "up.sh"
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)
    return str(file)


def asked(path: str, *words: str, seconds: int = 20, secrets: tuple[str, ...] = ()) -> HookScript:
    return HookScript(
        stage="S", action="A", path=path, seconds=seconds, words=words, secrets=secrets
    )


async def test_a_script_that_ends_well_gets_its_words(hooks: Hooks, tmp_path: Path) -> None:
    out = tmp_path / "out"
    await hooks.run(asked(a_script(tmp_path, f'echo "$@" > {out}'), "vm_name", "x y", "n", ""))
    assert out.read_text() == "vm_name x y n \n"


async def test_a_bad_end_is_told_without_secrets(hooks: Hooks, tmp_path: Path) -> None:
    script = asked(a_script(tmp_path, 'echo "no $1" >&2; exit 3'), "s3cret", secrets=("s3cret",))
    with pytest.raises(HookFailed) as failed:
        await hooks.run(script)
    assert str(failed.value) == "script A of S: exit status 3: no ***"


async def test_a_script_that_does_not_end_in_time_is_killed(hooks: Hooks, tmp_path: Path) -> None:
    with pytest.raises(HookFailed, match="no end within 1 s"):
        await hooks.run(asked(a_script(tmp_path, "exec sleep 600"), seconds=1))


@pytest.mark.parametrize("real", [True, False], ids=["real", "told"])
async def test_a_script_that_is_not_there_is_one_that_fails_and_says_so(
    hooks: Hooks, tmp_path: Path, *, real: bool
) -> None:
    runner: HookRunner = hooks if real else ToldHooks()
    path = f"{tmp_path}/scripts/none.sh"
    with pytest.raises(HookFailed) as failed:
        await runner.run(asked(path))
    assert str(failed.value) == f"script A of S: {path}: No such file or directory"


async def test_what_may_not_run_does_not(hooks: Hooks, tmp_path: Path) -> None:
    (tmp_path / "scripts").mkdir()
    for path in ("/bin/true", "/nowhere/up.sh", "up.sh"):
        with pytest.raises(HookFailed, match="script A of S: "):
            await hooks.run(asked(path))
    with pytest.raises(HookFailed, match="NUL"):
        await hooks.run(asked("/bin/true", "a\0b"))
    with pytest.raises(HookFailed, match="no scripts are run here"):
        await NO_HOOKS.run(asked("/bin/true"))


async def test_more_scripts_than_workers_wait_for_their_turn(hooks: Hooks, tmp_path: Path) -> None:
    path = a_script(tmp_path, "exit 0")
    await asyncio.gather(*(hooks.run(asked(path)) for _ in range(6)))


@pytest.mark.parametrize("status", [0, 1])
@pytest.mark.parametrize("real", [True, False], ids=["real", "told"])
async def test_the_fake_begins_and_ends_as_the_real_one(
    hooks: Hooks, tmp_path: Path, status: int, *, real: bool
) -> None:
    path = a_script(tmp_path, f"exit {status}")
    fake = ToldHooks()
    fake.statuses[path] = status
    fake.seconds = 0
    runner: HookRunner = hooks if real else fake
    said, begun = "", list[str]()
    try:
        await runner.run(asked(path), lambda: begun.append(path))
    except HookFailed as failed:
        said = str(failed)
    assert begun == [path]  # from then on it may not be cut off
    assert said == (f"script A of S: exit status {status}" if status else "")
