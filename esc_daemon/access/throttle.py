"""The brake on guessing passwords."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Final

_MOST_PAIRS: Final = 4096
"""Pairs remembered at once; when full, the one that failed longest ago is forgotten."""


@dataclass(slots=True)
class _Failures:
    count: int
    since: float


class LoginThrottle:
    """
    Refuses a (user, peer) after *failures* wrong logins within *window_seconds*.

    The refusal ends *window_seconds* after the first failure; a right login forgets the failures.
    """

    def __init__(
        self,
        *,
        failures: int,
        window_seconds: float = 60.0,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._limit = failures
        self._window = window_seconds
        self._clock = clock
        self._pairs: OrderedDict[tuple[str, str], _Failures] = OrderedDict()

    def refuses(self, user: str, peer: str) -> bool:
        """Return whether this pair has to wait; to be asked before the password is looked at."""
        failures = self._current((user, peer))
        return failures is not None and failures.count >= self._limit

    def failed(self, user: str, peer: str) -> None:
        """Count a wrong login."""
        pair = (user, peer)
        failures = self._current(pair)
        if failures is None:
            self._pairs[pair] = _Failures(count=1, since=self._clock())
        else:
            failures.count += 1
            self._pairs.move_to_end(pair)
        while len(self._pairs) > _MOST_PAIRS:
            self._pairs.popitem(last=False)

    def succeeded(self, user: str, peer: str) -> None:
        """Forget the failures of this pair."""
        self._pairs.pop((user, peer), None)

    def _current(self, pair: tuple[str, str]) -> _Failures | None:
        failures = self._pairs.get(pair)
        if failures is None:
            return None
        if self._clock() - failures.since >= self._window:
            del self._pairs[pair]
            return None
        return failures
