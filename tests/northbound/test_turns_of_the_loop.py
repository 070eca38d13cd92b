"""How those who work share the turns of the event loop."""

import asyncio
from collections.abc import Callable, Sequence

import pytest

from esc_daemon.northbound.ssh.turns import Turns

WHOLE = 200_000


class Loop:
    """Counts the turns of the event loop, and notes who worked in which."""

    def __init__(self) -> None:
        self.turns = Turns(WHOLE)
        self.number = 0
        self.worked: list[tuple[str, int]] = []

    async def work(self, name: str, work: int, times: int = 1) -> None:
        for _ in range(times):
            await self.turns.come(work)
            self.worked.append((name, self.number))

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self.number += 1
            await asyncio.sleep(0)

    async def all(self, *work: tuple[str, int, int]) -> Sequence[str]:
        """Return who worked, in the order in which they did."""
        tasks = [asyncio.create_task(self.work(*each)) for each in work]
        await self.until(lambda: all(task.done() for task in tasks))
        return [name for name, _ in self.worked]

    @property
    def most(self) -> int:
        """The most that was worked in one turn, by its number of times."""
        turns = [turn for _, turn in self.worked]
        return max(map(turns.count, turns))


@pytest.fixture
def loop() -> Loop:
    return Loop()


async def test_who_works_alone_waits_for_nobody(loop: Loop):
    await loop.all(("a", WHOLE // 100, 50))

    assert loop.most == 50


async def test_of_many_with_much_to_do_one_works_in_a_turn(loop: Loop):
    await loop.all(*((f"{number}", WHOLE, 3) for number in range(10)))

    assert len(loop.worked) == 30
    assert loop.most <= 2


async def test_more_than_a_turn_has_room_for_is_done_all_the_same(loop: Loop):
    assert await loop.all(("a", 5 * WHOLE, 2), ("b", WHOLE, 1)) == ["a", "b", "a"]


async def test_those_with_as_much_to_do_take_turns(loop: Loop):
    first, *order = await loop.all(("a", WHOLE, 4), ("b", WHOLE, 3), ("c", WHOLE, 3))

    assert first == "a"
    assert order == [*"abcabcabc"]


async def test_who_has_little_to_do_goes_before_those_with_much(loop: Loop):
    much = [(f"{number}", WHOLE, 1) for number in range(10)]

    order = await loop.all(*much, ("little", 1, 2))

    assert order.index("little") < 3
    assert order.count("little") == 2


async def test_who_has_much_to_do_comes_although_those_with_less_never_stop(loop: Loop):
    # given four who have a little less to do each, and always something
    less = [asyncio.create_task(loop.work(f"{number}", WHOLE * 3 // 4, 100)) for number in range(4)]

    # when one with much to do comes
    much = asyncio.create_task(loop.work("much", WHOLE, 5))
    await loop.until(much.done)

    # then each of the others goes before it once or twice at a time
    order = [name for name, _ in loop.worked]
    assert order.count("much") == 5
    assert len(order) <= 5 * (1 + 2 * len(less))
    for task in less:
        task.cancel()


async def test_who_is_cut_off_while_he_waits_is_left_out(loop: Loop):
    first, second, third = (asyncio.create_task(loop.work(name, WHOLE)) for name in ("a", "b", "c"))
    await asyncio.sleep(0)
    second.cancel()
    await loop.until(lambda: first.done() and third.done())

    assert [name for name, _ in loop.worked] == ["a", "c"]
    assert second.cancelled()
