"""
Who has locked what in the simulation (RFC 6241 section 7.5), as the clients know it.

A lock is certainly held from its grant to the word that gives it up, and perhaps held from the word
that asks for it to the answer of the one that gives it up: between these nobody can tell.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from esc_daemon.netconf.errors import ErrorTag, RpcError, RpcErrors
from esc_daemon.netconf.messages import Datastore

_LOCKED: Final = re.compile(r"(running|candidate) is locked by session (\d+)")
_NOBODY: Final = 0
"""The session-id where no session is in the way."""


@dataclass(slots=True)
class _Hold:
    """One lock, asked for and perhaps held; moments are counted, not measured."""

    session: int
    target: Datastore
    asked: int
    granted: int | None = None
    going: int | None = None
    gone: int | None = None

    def surely(self, since: int) -> bool:
        """Tell whether it was held from *since* to this very moment."""
        return self.granted is not None and self.granted < since and self.going is None

    def perhaps(self, since: int) -> bool:
        """Tell whether it may have been held at some moment from *since* on."""
        return self.gone is None or self.gone > since


class Locking:
    """
    The locks of one life of the daemon, and what was answered because of them or in spite of them.

    *in_the_way* tells which session stands in the way of a lock though nobody holds it, 0 where it
    is none and None where it may be had; *on_trial* the same, of a commit that certainly waits.
    """

    def __init__(
        self,
        in_the_way: Callable[[Datastore], int | None],
        on_trial: Callable[[], int | None],
    ) -> None:
        self._in_the_way = in_the_way
        self._on_trial = on_trial
        self._holds: list[_Hold] = []
        self._moment = 0
        self.problems: list[str] = []

    def now(self) -> int:
        """Return the moment, which is after all others that were asked for."""
        self._moment += 1
        return self._moment

    def held(self, session: int) -> list[Datastore]:
        """Return what *session* certainly has locked."""
        return [each.target for each in self._holds if each.session == session and _is_held(each)]

    # ------------------------------------------------------------------ changes

    def answered(
        self,
        session: int,
        writes: Iterable[Datastore],
        since: int,
        error: RpcError | RpcErrors | None,
    ) -> None:
        """Look at the answer to a change of *writes* that *session* asked for at *since*."""
        others = [each for each in self._holds if each.session != session and each.target in writes]
        locked = _LOCKED.fullmatch(error.message) if isinstance(error, RpcError) else None
        named = (locked[1], int(locked[2])) if locked else None
        in_use = isinstance(error, RpcError) and error.tag is ErrorTag.IN_USE
        sure = {(each.target.value, each.session) for each in others if each.surely(since)}
        maybe = {(each.target.value, each.session) for each in others if each.perhaps(since)}
        if sure and not (in_use and named in sure):
            self.problems.append(f"session {session} changed what {sure} has locked: {error}")
        if named is not None and named not in maybe:
            self.problems.append(f"session {session} was kept off by a lock of nobody: {error}")

    # ------------------------------------------------------------------ locks

    def asks(self, session: int, target: Datastore) -> Callable[[RpcError | None], None]:
        """Note that *session* asks for the lock of *target*; return what looks at the answer."""
        since = self.now()
        hold = _Hold(session, target, since)
        self._holds.append(hold)
        before, waits = self._in_the_way(target), self._on_trial()

        def answered(error: RpcError | None) -> None:
            others = [each for each in self._holds if each.target is target and each is not hold]
            sure = [each.session for each in others if each.surely(since)]
            if error is None:
                hold.granted = self.now()
                waiting = target is Datastore.RUNNING and waits not in {None, session}
                if sure or (waiting and waits == self._on_trial()):
                    who = sure or f"the commit of session {waits} that waits"
                    self.problems.append(f"session {session} was given {target} in spite of {who}")
                return
            hold.going = hold.gone = self.now()
            named = int(dict(error.info).get("session-id", -1))
            maybe = {each.session for each in others if each.perhaps(since)}
            maybe |= {each for each in (before, self._in_the_way(target)) if each is not None}
            denied = error.tag is ErrorTag.LOCK_DENIED
            if not denied or named not in (set(sure) or maybe):
                self.problems.append(
                    f"session {session} was denied {target}, in whose way is {maybe}: {error}"
                )

        return answered

    def lets_go(self, session: int, target: Datastore | None = None) -> Callable[[], None]:
        """Note that *session* gives up *target*, None: all; return what notes that it has."""
        going = [
            each
            for each in self._holds
            if each.session == session and target in {None, each.target} and each.going is None
        ]
        moment = self.now()
        for each in going:
            each.going = moment

        def has() -> None:
            for each in going:
                each.gone = self.now()

        return has


def _is_held(hold: _Hold) -> bool:
    return hold.granted is not None and hold.going is None
