"""
Password hashes: Argon2id, computed off the event loop.

A hash costs some 50 ms and 64 MiB (RFC 9106, second recommended option), so at most two run at
a time, those of one peer wait for each other and not the others for all of them, and a password
that was right a moment ago is remembered, as an HMAC under a key that lives only in this process.
"""

import asyncio
import base64
import hashlib
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import Final
from weakref import WeakValueDictionary

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.low_level import ARGON2_VERSION

from esc_daemon.access.errors import BadPassword

MAX_PASSWORD_BYTES: Final = 1024
_HASHES_AT_A_TIME: Final = 2
_HASHES_OF_A_PEER: Final = 2
"""Under way or in front of the threads; his others wait behind, where they are in nobody's way."""
_REMEMBERED: Final = 256
"""Passwords remembered at once; when full, the oldest is forgotten and costs a hash again."""
_REMEMBER_SECONDS: Final = 60.0


class Passwords:
    """Makes and checks hashes; *close* it to end its threads."""

    def __init__(
        self,
        hasher: PasswordHasher | None = None,
        *,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._hasher = hasher or PasswordHasher()
        self._clock = clock
        self._executor = ThreadPoolExecutor(_HASHES_AT_A_TIME, thread_name_prefix="argon2")
        self._secret = secrets.token_bytes(32)
        self._remembered: OrderedDict[bytes, float] = OrderedDict()
        # Who asks the same while the hash runs waits for the same answer: 50 sessions of one
        # client cost one hash. As many entries as there are logins under way.
        self._running: dict[bytes, asyncio.Future[bool]] = {}
        self._turns: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        # What an unknown user's password is checked against, so that it takes as long.
        self._nobody = _hash_of_nothing(self._hasher)

    def close(self) -> None:
        """End the threads; a hash under way is finished."""
        self._executor.shutdown(wait=True, cancel_futures=True)

    def hash(self, password: str) -> str:
        """
        Return the hash of *password*, to be stored. Blocks for some 50 ms.

        Raises:
            BadPassword: Empty, or over 1,024 bytes of UTF-8.

        """
        if not password:
            raise BadPassword("the password is empty")
        if len(password.encode()) > MAX_PASSWORD_BYTES:
            raise BadPassword(f"the password is longer than {MAX_PASSWORD_BYTES} bytes")
        return self._hasher.hash(password)

    async def verify(self, stored: str | None, password: str, peer: str = "") -> bool:
        """
        Return whether *password*, sent by *peer*, is the one hashed in *stored*.

        None is the hash of a user who does not exist or has no password: the answer is no, and
        takes as long as any other.
        """
        # A shield: who goes away must not take the answer from the others who wait for it.
        return await asyncio.shield(await self.begin(stored, password, peer))

    async def begin(
        self, stored: str | None, password: str, peer: str = ""
    ) -> "asyncio.Future[bool]":
        """
        Return the answer of *verify* to come, once its hash has begun.

        Others may wait for it too: to be shielded. Who goes away before it has begun has asked
        nothing, for nobody will look at his password.
        """
        if not can_be(password):
            return _known(right=False)
        mark = self._mark(stored or self._nobody, password)
        if mark not in self._running and not self._remembers(mark):
            turn = self._turns.setdefault(peer, asyncio.Semaphore(_HASHES_OF_A_PEER))
            await turn.acquire()
            if mark in self._running or self._remembers(mark):
                turn.release()
            else:
                self._start(mark, stored, password, turn)
        return self._running.get(mark) or _known(right=True)  # remembered

    def _start(
        self, mark: bytes, stored: str | None, password: str, turn: asyncio.Semaphore
    ) -> None:
        loop = asyncio.get_running_loop()
        running = loop.run_in_executor(self._executor, self._matches, stored, password)
        self._running[mark] = running
        running.add_done_callback(lambda done: self._finished(mark, done, turn))

    def _matches(self, stored: str | None, password: str) -> bool:
        try:
            return self._hasher.verify(stored or self._nobody, password) and stored is not None
        except (VerificationError, InvalidHashError):
            return False

    def _mark(self, stored: str, password: str) -> bytes:
        # With the hash (and its salt) inside, a changed password is another mark.
        text = f"{stored}\0{password}".encode(errors="replace")
        return hmac.new(self._secret, text, hashlib.sha256).digest()

    def _remembers(self, mark: bytes) -> bool:
        until = self._remembered.get(mark)
        return until is not None and self._clock() < until

    def _finished(self, mark: bytes, done: "asyncio.Future[bool]", turn: asyncio.Semaphore) -> None:
        turn.release()  # not sooner: who went away has left his hash behind
        del self._running[mark]
        if done.cancelled() or done.exception() is not None or not done.result():
            return
        self._remembered[mark] = self._clock() + _REMEMBER_SECONDS
        self._remembered.move_to_end(mark)
        while len(self._remembered) > _REMEMBERED:
            self._remembered.popitem(last=False)


def can_be(password: str) -> bool:
    """Tell whether anybody can have *password*: an empty or a very long one is no guess."""
    return bool(password) and len(password.encode(errors="replace")) <= MAX_PASSWORD_BYTES


def _known(*, right: bool) -> "asyncio.Future[bool]":
    answer = asyncio.get_running_loop().create_future()
    answer.set_result(right)
    return answer


def _hash_of_nothing(hasher: PasswordHasher) -> str:
    """Return what looks like a hash of *hasher* and belongs to no password, without its cost."""
    costs = f"m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}"
    salt, digest = (
        base64.b64encode(secrets.token_bytes(length)).decode().rstrip("=")
        for length in (hasher.salt_len, hasher.hash_len)
    )
    return f"$argon2id$v={ARGON2_VERSION}${costs}${salt}${digest}"
