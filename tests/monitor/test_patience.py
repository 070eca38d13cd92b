"""A guest is silent when nothing came in time, not when nobody looked."""

import asyncio
import socket
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

from esc_daemon.monitor.patience import patience

Run = Callable[[Coroutine[Any, Any, Any]], Any]
on_each_loop = pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])


@on_each_loop
def test_what_came_while_the_loop_was_busy_is_taken(run: Run) -> None:
    async def heard() -> list[bytes]:
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(False)

            def answer() -> None:
                theirs.send(b"x")
                time.sleep(0.1)

            async with patience(0.05):
                # an exchange of several messages, each of which finds the loop busy
                answers = []
                for _ in range(3):
                    loop.call_soon(answer)
                    answers.append(await loop.sock_recv(ours, 1))
                return answers

    assert run(heard()) == [b"x"] * 3


@on_each_loop
def test_what_does_not_come_ends_in_time(run: Run) -> None:
    async def ended() -> float:
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            async with patience(0.05):
                await asyncio.Event().wait()
        await asyncio.sleep(0.01)  # nothing of it is left to end anything else
        return time.monotonic() - began

    assert 0.05 <= run(ended()) < 5


@on_each_loop
def test_who_is_cancelled_is_not_out_of_time(run: Run) -> None:
    async def cancelled() -> bool:
        async def asks() -> None:
            async with patience(60):
                await asyncio.Event().wait()

        task = asyncio.ensure_future(asks())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        return task.cancelled()

    assert run(cancelled())
