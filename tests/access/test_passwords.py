import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Literal

import pytest
from argon2 import PasswordHasher, extract_parameters
from argon2.exceptions import VerifyMismatchError

from esc_daemon.access.errors import BadPassword
from esc_daemon.access.passwords import Passwords


class CountingHasher(PasswordHasher):
    """A real one at its lowest cost, that counts."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.verified = 0

    def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:  # noqa: A002  argon2's name
        self.verified += 1
        return super().verify(hash, password)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def hasher() -> CountingHasher:
    return CountingHasher()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def passwords(hasher: CountingHasher, clock: Clock) -> Iterator[Passwords]:
    passwords = Passwords(hasher, clock=clock)
    yield passwords
    passwords.close()


def test_the_hash_of_nobody_is_held_against_a_password_like_any_other(
    hasher: CountingHasher, passwords: Passwords
):
    nobody = passwords._nobody

    assert extract_parameters(nobody) == extract_parameters(passwords.hash("anything"))
    with pytest.raises(VerifyMismatchError):  # not InvalidHashError, which would be quick
        hasher.verify(nobody, "anything")


async def test_only_the_right_password_fits(passwords: Passwords):
    stored = passwords.hash("correct horse")
    assert stored.startswith("$argon2id$")
    assert "correct" not in stored
    assert await passwords.verify(stored, "correct horse")
    assert not await passwords.verify(stored, "correct horsf")
    assert not await passwords.verify(stored, "")


async def test_a_user_without_a_hash_costs_a_hash_and_is_never_let_in(
    passwords: Passwords, hasher: CountingHasher
):
    assert not await passwords.verify(None, "anything")
    assert hasher.verified == 1


async def test_a_password_that_was_right_a_moment_ago_costs_no_second_hash(
    passwords: Passwords, hasher: CountingHasher, clock: Clock
):
    stored = passwords.hash("pw")
    for _ in range(3):
        assert await passwords.verify(stored, "pw")
    assert hasher.verified == 1
    clock.now += 61
    assert await passwords.verify(stored, "pw")
    assert hasher.verified == 2


async def test_a_wrong_password_is_never_remembered(passwords: Passwords, hasher: CountingHasher):
    stored = passwords.hash("pw")
    for _ in range(2):
        assert not await passwords.verify(stored, "px")
    assert hasher.verified == 2


async def test_logins_side_by_side_share_one_hash(passwords: Passwords, hasher: CountingHasher):
    stored = passwords.hash("pw")
    answers = await asyncio.gather(*(passwords.verify(stored, "pw") for _ in range(20)))
    assert answers == [True] * 20
    assert hasher.verified == 1


async def test_one_who_goes_away_does_not_take_the_answer_from_the_others(passwords: Passwords):
    stored = passwords.hash("pw")
    impatient = asyncio.create_task(passwords.verify(stored, "pw"))
    patient = asyncio.create_task(passwords.verify(stored, "pw"))
    await asyncio.sleep(0)
    impatient.cancel()
    assert await patient


class GatedHasher(PasswordHasher):
    """Tells each hash that begins, and ends none of them before it is let through."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self._loop = loop
        self.begun: asyncio.Queue[str | bytes] = asyncio.Queue()
        self.gate = threading.Semaphore(0)

    def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:  # noqa: A002  argon2's name
        self._loop.call_soon_threadsafe(self.begun.put_nowait, password)
        self.gate.acquire()
        return super().verify(hash, password)


@pytest.fixture
async def gated() -> AsyncIterator[GatedHasher]:
    hasher = GatedHasher(asyncio.get_running_loop())
    yield hasher
    hasher.gate.release(100)  # threads that wait for ever would be waited for


async def test_the_many_passwords_of_one_peer_are_in_nobody_elses_way(gated: GatedHasher):
    passwords = Passwords(gated)
    stored = passwords.hash("right")
    # given many guesses of a stranger, who does not wait for the answers
    guesses = [
        asyncio.create_task(passwords.verify(None, f"guess {number}", "10.0.0.1"))
        for number in range(20)
    ]
    assert [await gated.begun.get() for _ in range(2)] == ["guess 0", "guess 1"]
    for guess in guesses[:10]:
        guess.cancel()
    # when another one comes, and one of the two that were begun ends
    other = asyncio.create_task(passwords.verify(stored, "right", "10.0.0.2"))
    await asyncio.sleep(0)
    gated.gate.release()
    # then it is his turn
    assert await gated.begun.get() == "right"
    gated.gate.release(100)
    assert await other
    # and of the stranger's those are looked at that he still waits for
    assert not any(await asyncio.gather(*guesses[10:]))
    assert gated.begun.qsize() == 10
    passwords.close()


async def test_a_changed_password_is_not_taken_for_the_remembered_one(passwords: Passwords):
    old = passwords.hash("pw")
    assert await passwords.verify(old, "pw")
    assert not await passwords.verify(passwords.hash("other"), "pw")


@pytest.mark.parametrize("password", ["", "x" * 1025], ids=["empty", "too long"])
def test_a_password_that_cannot_be_used_is_refused(passwords: Passwords, password: str):
    with pytest.raises(BadPassword):
        passwords.hash(password)


async def test_a_damaged_hash_lets_nobody_in(passwords: Passwords):
    assert not await passwords.verify("$argon2id$nonsense", "pw")
