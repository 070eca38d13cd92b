"""The manager's own check addresses: whether it sees anything at all."""

import asyncio
from collections.abc import Sequence

import pytest

from esc_daemon.monitor.base import CollectorError, Sample, Turn
from esc_daemon.monitor.catalogue import ADDRESS
from esc_daemon.monitor.collectors.icmp import Icmp
from esc_daemon.monitor.sight import CheckAddresses

pytestmark = pytest.mark.looptime(start=0)

NEAR, FAR, NOWHERE = "192.0.2.1", "192.0.2.2", "192.0.2.3"


class Pings:
    """Answers by address: up, silent, not to be asked; else never."""

    def start(self, turns: Sequence[Turn]) -> None:
        for turn in turns:
            address = turn.question.properties[ADDRESS]
            if address == NEAR:
                turn.answer(Sample(value=100.0))
                turn.answer(Sample(value=None))
            elif address == FAR:
                asyncio.get_running_loop().call_later(3, turn.answer, Sample(value=None))
            elif address == NOWHERE:
                turn.answer(CollectorError("no privilege"))


@pytest.mark.parametrize(
    ("addresses", "sees"),
    [
        ((NEAR,), True),
        ((NEAR, FAR), True),
        ((FAR, NEAR, NOWHERE, "192.0.2.9"), True),
        ((FAR,), False),
        ((FAR, NOWHERE), False),
        (("192.0.2.9",), False),
        ((NOWHERE,), True),
    ],
)
async def test_one_address_that_answers_is_enough(addresses: tuple[str, ...], *, sees: bool):
    assert await CheckAddresses(Pings(), addresses)() is sees
    assert asyncio.get_running_loop().time() <= 4


async def test_a_collector_that_has_no_socket_says_nothing_of_the_network(monkeypatch):
    def forbidden(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("socket.socket", forbidden)
    icmp = Icmp()
    assert await CheckAddresses(icmp, (NEAR,))()
    icmp.close()
