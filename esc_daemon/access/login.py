"""Who somebody is: the one answer that every door asks for."""

import asyncio
import hmac
from enum import Enum
from typing import Final

from esc_daemon.access.errors import BadPublicKey
from esc_daemon.access.keys import normal_public_key
from esc_daemon.access.passwords import Passwords, can_be
from esc_daemon.access.throttle import LoginThrottle, home
from esc_daemon.access.users import Users


class Verdict(Enum):
    """
    What became of a password: only the right one is true.

    The values of the two others tell the log why, and the peer nothing.
    """

    RIGHT = "right password"
    WRONG = "wrong user or password"
    HELD_OFF = "held off after too many wrong passwords"

    def __bool__(self) -> bool:
        """Tell whether it lets anybody in."""
        return self is Verdict.RIGHT


class Login:
    """Checks passwords and keys against the users, with the brake on guessing in front."""

    def __init__(self, *, users: Users, passwords: Passwords, throttle: LoginThrottle) -> None:
        self._users = users
        self._passwords = passwords
        self.throttle: Final = throttle

    async def by_password(self, name: str, password: str, peer: str) -> Verdict:
        """
        Return whether *name* may come in with *password* from the address *peer*, or why not.

        One who is held off, an unknown and a wrong one are all to get the same no.

        Raises:
            DamagedUsersFile: The users cannot be read.

        """
        if not can_be(password):
            # Not counted: it costs no hash, so that thousands of other names at once, each with
            # one of these, would drive out of the brake's memory whom it holds off.
            return Verdict.WRONG
        if self.throttle.refuses(name, peer):
            return Verdict.HELD_OFF
        user = self._users.find(name)
        stored = None if user is None else user.password
        answer = await self._passwords.begin(stored, password, home(peer))
        try:
            right = await asyncio.shield(answer)
        except asyncio.CancelledError:
            # Who does not wait has guessed all the same, and what was wrong counts once it is
            # known. A right one does not: its owner may have been cut off. Nor is it a way in: it
            # has to be sent once more, past the brake.
            answer.add_done_callback(lambda done: self._found(done, name, peer))
            raise
        # Asked again: guesses sent side by side must not outrun the count.
        if self.throttle.refuses(name, peer):
            return Verdict.HELD_OFF
        if right:
            self.throttle.succeeded(name, peer)
            return Verdict.RIGHT
        self.throttle.failed(name, peer)
        return Verdict.WRONG

    def _found(self, answer: "asyncio.Future[bool]", name: str, peer: str) -> None:
        if not answer.cancelled() and answer.exception() is None and not answer.result():
            self.throttle.failed(name, peer)

    def by_key(self, name: str, public_key: str) -> bool:
        """
        Return whether *public_key* (one OpenSSH line) is authorized for *name*.

        That the peer holds the private half is for the SSH library to check. The brake does not
        stand here: a key cannot be guessed, and a client offers all it has.
        """
        # Read before anybody is looked up: it takes as long for a user who does not exist.
        try:
            offered = normal_public_key(public_key)
        except BadPublicKey:  # of a kind that nobody can have here
            offered = ""
        user = self._users.find(name)
        keys = () if user is None else user.keys
        return any(hmac.compare_digest(offered, key) for key in keys)
