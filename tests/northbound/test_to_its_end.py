"""What changes something is done to its end, whoever asked for it is gone."""

import asyncio
import gc
from typing import Any

import pytest
from structlog.testing import capture_logs

from esc_daemon.netconf.errors import RpcError
from esc_daemon.northbound.ssh.dispatch import to_its_end


@pytest.mark.parametrize(
    ("error", "logged"),
    [(None, []), (RpcError.in_use("", "not now"), []), (KeyError("x"), ["rpc.failed"])],
)
async def test_who_hangs_up_is_told_nothing_and_only_what_is_no_refusal_is_logged(
    error: Exception | None, logged: list[str]
) -> None:
    # given: somebody waits for work that goes on
    unhandled: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, about: unhandled.append(about))
    goes_on, done = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        await goes_on.wait()
        done.set()
        if error is not None:
            raise error

    waiting = asyncio.create_task(to_its_end(work()))
    await asyncio.sleep(0)
    # when: it goes before that ends
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    with capture_logs() as lines:
        goes_on.set()
        await done.wait()
        for _ in range(3):
            await asyncio.sleep(0)
    del waiting
    gc.collect()
    # then
    assert [line["event"] for line in lines] == logged
    assert unhandled == []


async def test_who_waits_is_told_what_came_of_it() -> None:
    async def refused() -> None:
        raise RpcError.in_use("", "not now")

    with capture_logs() as lines, pytest.raises(RpcError, match="not now"):
        await to_its_end(refused())
    assert lines == []
