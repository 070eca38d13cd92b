"""How much is asked of one VIM at a time, and for how long."""

import asyncio

import pytest

from esc_daemon.domain.commands import AwaitServer, EnsureResource, RemoveResource, RemoveServer
from esc_daemon.domain.connectors import Connectors
from esc_daemon.domain.ids import ServerKey, VmId
from esc_daemon.domain.intent import Tenant
from esc_daemon.domain.specs import ServerSpec
from esc_daemon.domain.triggers import ResourceGone, ResourceMade
from esc_daemon.engine.calls import perform
from esc_daemon.engine.turns import SharedTurn
from esc_daemon.engine.uploads import Uploads
from esc_daemon.monitor.hooks import NO_HOOKS
from esc_daemon.vim.simulator.cloud import Cloud
from esc_daemon.vim.simulator.driver import SimulatorDriver
from esc_daemon.vim.simulator.settings import CloudSettings
from tests.connectors import connector, vims_of
from tests.dayzero.shelf import Shelf
from tests.engine.engine_bench import SERVER, TENANT, VIM, T, record_id
from tests.engine.engine_world import WatchedVim

pytestmark = pytest.mark.looptime(start=0)

MAKE = EnsureResource(vim=VIM, key=TENANT, id=record_id(1), want=Tenant(name=T))
REMOVE = RemoveResource(vim=VIM, key=TENANT, id=record_id(1), made=Tenant(name=T))
SPEC = ServerSpec(name="s", project="", image=None, flavor=None)


@pytest.fixture
async def vim():
    vim = WatchedVim()
    yield vim
    vim.gate.set()
    await vim.close()


def asking(vim, turns=1, seconds=30.0):
    vims = vims_of({VIM: vim}, call_timeout=seconds, calls_at_a_time=turns)
    vims.follow(Connectors(intents={VIM: connector(VIM)}))
    with vims.using(VIM) as connection:
        return connection.asking


async def performed(driver, call, turn):
    return await perform(driver, call, turn, Shelf(), hooks=NO_HOOKS, uploads=Uploads())


async def test_a_server_that_is_long_in_build_holds_no_turn_between_two_looks(vim):
    slow = SimulatorDriver(Cloud(CloudSettings(build_seconds=20.0)), vim=VIM)
    await slow.ensure_server(SERVER, SPEC, ())
    turn = asking(vim)
    looking = asyncio.create_task(performed(slow, AwaitServer(vim=VIM, key=SERVER), turn))
    await asyncio.sleep(0.1)

    began = asyncio.get_running_loop().time()
    made = await performed(vim, MAKE, turn)

    assert isinstance(made, ResourceMade)
    assert asyncio.get_running_loop().time() - began < 0.1
    assert not looking.done()
    looking.cancel()


async def test_no_more_is_asked_at_a_time_than_there_are_turns(vim):
    turn = asking(vim, turns=2)
    vim.gate.clear()
    calls = [asyncio.create_task(performed(vim, MAKE, turn)) for _ in range(5)]
    await asyncio.sleep(1)
    assert vim.asked["ensure_tenant"] == 2

    vim.gate.set()
    await asyncio.gather(*calls)

    assert vim.asked["ensure_tenant"] == 5


async def test_who_waits_for_a_turn_loses_none_of_its_time(vim):
    turn = asking(vim, seconds=30.0)
    vim.gate.clear()
    first = asyncio.create_task(performed(vim, MAKE, turn))
    second = asyncio.create_task(performed(vim, REMOVE, turn))
    await asyncio.sleep(31)  # the first had no answer: now it is the second's turn
    await asyncio.sleep(20)

    vim.gate.set()

    with pytest.raises(TimeoutError):
        await first
    assert isinstance(await second, ResourceGone)


class SilentVim(WatchedVim):
    """Never answers to one of the verbs about servers."""

    def __init__(self, verb: str) -> None:
        super().__init__()
        self.verb = verb

    async def remove_server(self, key: ServerKey) -> None:
        await self._perhaps("remove_server")
        await super().remove_server(key)

    async def remove_ports(self, vm: VmId, only: frozenset[str] | None = None) -> None:
        await self._perhaps("remove_ports")
        await super().remove_ports(vm, only)

    async def _perhaps(self, verb: str) -> None:
        if verb == self.verb:
            await asyncio.get_running_loop().create_future()


@pytest.mark.parametrize("verb", ["remove_server", "remove_ports"])
async def test_each_verb_of_a_removal_is_bounded_by_itself(verb):
    silent = SilentVim(verb)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(100):
            await performed(silent, RemoveServer(vim=VIM, key=SERVER), asking(silent))

    assert asyncio.get_running_loop().time() < 50


async def test_a_shared_turn_is_held_together_or_by_one_alone_in_the_order_of_asking():
    turn, held = SharedTurn(), []

    async def hold(name: str, *, alone: bool) -> None:
        async with turn.alone() if alone else turn.shared():
            held.append(name)
            await asyncio.sleep(10)
            held.remove(name)

    order = [("a", False), ("b", False), ("c", True), ("d", False), ("e", False), ("f", True)]
    tasks = [asyncio.create_task(hold(name, alone=alone)) for name, alone in order]
    seen = []
    for _ in range(5):
        await asyncio.sleep(1)
        seen.append("".join(held))
        await asyncio.sleep(9)

    await asyncio.gather(*tasks)
    assert seen == ["ab", "c", "de", "f", ""]


async def test_who_stops_asking_for_a_turn_alone_holds_nobody_up():
    turn = SharedTurn()
    async with turn.shared():
        asking_alone = asyncio.create_task(turn.alone().__aenter__())
        await asyncio.sleep(1)
        asking_alone.cancel()
        await asyncio.sleep(1)

        async with asyncio.timeout(1), turn.shared():
            pass
