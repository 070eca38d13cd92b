"""What the way to a simulated cloud notices of switches: that one overtakes another."""

import asyncio
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from esc_daemon.domain.ids import ServerKey, VmId
from esc_daemon.domain.specs import Power
from tests.simulation.network import LossyVim

pytestmark = pytest.mark.looptime

KEY = ServerKey(VmId("vm"), 1)


async def switched(_key: ServerKey, _power: Power) -> None:
    return None


def lossy() -> LossyVim:
    cloud: Any = SimpleNamespace(set_power=switched)
    return LossyVim(cloud, Random(0))


async def test_a_switch_that_is_sent_while_another_one_is_on_its_way_is_noticed():
    vim = lossy()

    await asyncio.gather(vim.set_power(KEY, Power.OFF), vim.set_power(KEY, Power.ON))

    assert vim.overtaken == [f"{Power.ON} of {KEY} while {Power.OFF} has yet to arrive"]


async def test_switches_one_after_the_other_or_in_the_same_direction_overtake_nobody():
    vim = lossy()

    await asyncio.gather(vim.set_power(KEY, Power.OFF), vim.set_power(KEY, Power.OFF))
    await vim.set_power(KEY, Power.ON)

    assert vim.overtaken == []
