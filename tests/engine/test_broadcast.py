"""The event log's live end."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esc_daemon.engine.broadcast import Broadcast, Listener, ListenerDropped
from esc_daemon.store.base import LoggedEvent
from tests.engine.engine_bench import logged, numbers_of

pytestmark = pytest.mark.looptime(start=0)


async def batch_of(listener: Listener) -> list[LoggedEvent]:
    async with asyncio.timeout(1):  # of virtual time: a wait that nobody ends fails at once
        return await listener.batch()


async def test_an_event_waits_until_all_before_it_have_come():
    broadcast = Broadcast(last=4)
    listener = broadcast.listen()

    broadcast.publish(logged(7))
    broadcast.publish(logged(6))

    assert broadcast.last == 4
    broadcast.publish(logged(5))
    assert numbers_of(await batch_of(listener)) == [5, 6, 7]
    assert broadcast.last == 7


@given(st.permutations(range(1, 9)), st.integers(1, 8))
def test_whatever_order_commits_return_in_every_event_is_told_once_and_in_its_order(order, size):
    async def told() -> list[int]:
        broadcast = Broadcast(last=0)
        listener = broadcast.listen()
        for start in range(0, len(order), size):
            broadcast.publish(logged(*order[start : start + size]))
        return numbers_of(await batch_of(listener))

    assert asyncio.run(told()) == list(range(1, 9))


async def test_a_listener_that_waits_is_woken_by_the_next_event():
    broadcast = Broadcast(last=0)
    waiting = asyncio.create_task(batch_of(broadcast.listen()))
    await asyncio.sleep(0)

    broadcast.publish(logged(1))

    assert numbers_of(await waiting) == [1]


async def test_a_listener_hears_nothing_of_the_time_before_it():
    broadcast = Broadcast(last=0)
    broadcast.publish(logged(1))
    listener = broadcast.listen()

    broadcast.publish(logged(2))

    assert numbers_of(await batch_of(listener)) == [2]


async def test_a_listener_that_is_too_slow_is_dropped_and_told_and_the_others_go_on():
    broadcast = Broadcast(last=0)
    slow, quick = broadcast.listen(limit=2), broadcast.listen()

    broadcast.publish(logged(1, 2))
    broadcast.publish(logged(3))

    with pytest.raises(ListenerDropped):
        await batch_of(slow)
    assert numbers_of(await batch_of(quick)) == [1, 2, 3]


async def test_a_dropped_listener_stays_dropped():
    broadcast = Broadcast(last=0)
    slow = broadcast.listen(limit=1)
    broadcast.publish(logged(1, 2))

    broadcast.publish(logged(3))

    with pytest.raises(ListenerDropped):
        await batch_of(slow)
    with pytest.raises(ListenerDropped):
        await batch_of(slow)


async def test_a_listener_may_hold_as_many_events_as_its_limit():
    broadcast = Broadcast(last=0)
    listener = broadcast.listen(limit=2)

    broadcast.publish(logged(1, 2))

    assert numbers_of(await batch_of(listener)) == [1, 2]


async def test_a_closed_listener_hears_no_more_and_closing_it_twice_is_no_error():
    broadcast = Broadcast(last=0)
    listener = broadcast.listen()

    listener.close()
    listener.close()
    broadcast.publish(logged(1))

    with pytest.raises(TimeoutError):
        await batch_of(listener)
