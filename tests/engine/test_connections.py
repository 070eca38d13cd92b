"""How the connections to a VIM end, and what the next one to it keeps of the one before."""

import asyncio
import gc
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager

import pytest
from structlog.testing import capture_logs

from esc_daemon.domain.connectors import Connectors
from esc_daemon.domain.ids import VimId
from esc_daemon.domain.intent import VimConnector
from esc_daemon.engine.vims import Vims
from tests.connectors import connector, vims_of
from tests.engine.engine_bench import VIM
from tests.engine.engine_world import WatchedVim

pytestmark = pytest.mark.looptime(start=0, end=3600)

OTHER = VimId("other")


class EndingVim(WatchedVim):
    """A VIM whose connection ends as *end* does."""

    def __init__(self, end: Callable[[], Awaitable[None]]) -> None:
        super().__init__()
        self.closed = 0
        self._end = end

    async def close(self) -> None:
        self.closed += 1
        await super().close()
        await self._end()


async def well() -> None:
    pass


async def never() -> None:
    await asyncio.get_running_loop().create_future()


async def badly() -> None:
    raise RuntimeError("a bug")


def follow(vims: Vims, *connectors: VimConnector) -> None:
    vims.follow(Connectors(intents={VimId(each.name): each for each in connectors}))


@pytest.mark.parametrize("end", [never, badly])
async def test_a_driver_that_does_not_close_holds_up_neither_the_stop_nor_the_others(end):
    drivers = {VIM: EndingVim(end), OTHER: EndingVim(well)}
    vims = vims_of(drivers, call_timeout=30)
    follow(vims, connector(VIM), connector(OTHER))

    with capture_logs() as logs:
        async with asyncio.timeout(60):
            await vims.close()

    assert [driver.closed for driver in drivers.values()] == [1, 1]
    assert [(line["event"], line["vim"]) for line in logs] == [("vim.close_broke", VIM)]


@pytest.mark.parametrize("end", [never, badly])
async def test_a_connection_that_went_before_the_stop_does_not_hold_it_up_either(end):
    vims = vims_of({VIM: EndingVim(end)}, call_timeout=30)
    follow(vims, connector(VIM))

    with capture_logs() as logs:
        follow(vims)
        async with asyncio.timeout(60):
            await vims.close()

    assert [line["event"] for line in logs] == ["vim.close_broke"]


async def test_what_was_replaced_is_closed_at_the_stop_also_with_calls_under_way():
    drivers = {VIM: EndingVim(well)}
    old, new = drivers[VIM], EndingVim(well)
    vims = vims_of(drivers, call_timeout=30)
    follow(vims, connector(VIM))

    with vims.using(VIM):
        drivers[VIM] = new
        follow(vims, connector(VIM, properties=(("a", "b"),)))
        await asyncio.sleep(1)
        assert old.closed == 0
        await vims.close()
        assert (old.closed, new.closed) == (1, 1)

    # and once only, when the call ends after all
    await asyncio.sleep(1)
    assert (old.closed, new.closed) == (1, 1)


async def test_old_and_new_connection_share_the_turns_of_their_vim():
    # given a connection all of whose turns are held
    vims = vims_of({VIM: EndingVim(well)}, call_timeout=30, calls_at_a_time=1)
    follow(vims, connector(VIM))
    ended = asyncio.Event()

    async def ask() -> None:
        with vims.using(VIM) as connection:
            async with connection.asking("check"):
                await ended.wait()

    first = asyncio.create_task(ask())
    await asyncio.sleep(1)

    # when its connector is edited and the new one is asked
    follow(vims, connector(VIM, properties=(("a", "b"),)))
    reached = asyncio.Event()

    async def ask_anew() -> None:
        with vims.using(VIM) as connection:
            async with connection.asking("check"):
                reached.set()

    second = asyncio.create_task(ask_anew())
    await asyncio.sleep(1)

    # then it waits for a turn of the old one
    assert not reached.is_set()
    ended.set()
    await asyncio.gather(first, second)
    assert reached.is_set()
    await vims.close()


def test_a_call_that_is_thrown_away_after_its_loop_leaves_nobody_to_close_for():
    async def begin() -> AbstractContextManager[object]:
        vims = vims_of({VIM: EndingVim(well)}, call_timeout=30)
        follow(vims, connector(VIM))
        call = vims.using(VIM)
        call.__enter__()
        follow(vims)
        return call

    with asyncio.Runner() as runner:
        call = runner.run(begin())

    call.__exit__(None, None, None)

    gc.collect()  # a coroutine that nobody awaited would be told here
