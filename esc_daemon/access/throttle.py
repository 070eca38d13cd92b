"""The brake on guessing passwords."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from time import monotonic
from typing import Final

_MOST_PAIRS: Final = 16384
"""
Pairs remembered at once; when full, the one that failed longest ago is forgotten.

More than can fail within the window, at the cost of a hash each: nobody is to be let off sooner for
the wrong passwords of others.
"""


@dataclass(slots=True)
class _Failures:
    count: int
    since: float


_HOME_BITS: Final = 64
"""Of an IPv6 address: who has one has all that share them."""


class LoginThrottle:
    """
    Refuses a (user, peer) after *failures* wrong logins within *window_seconds*.

    The addresses of one /64 network of IPv6 count as one. A pair takes the same little memory
    whatever is sent as a name. The refusal ends *window_seconds* after the first failure; a right
    login forgets the failures.
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
        self._pairs: OrderedDict[bytes, _Failures] = OrderedDict()
        self.refused = 0
        """How often somebody had to wait."""

    def refuses(self, user: str, peer: str) -> bool:
        """Return whether this pair has to wait; to be asked before the password is looked at."""
        failures = self._current(_pair(user, peer))
        waits = failures is not None and failures.count >= self._limit
        self.refused += waits
        return waits

    def failed(self, user: str, peer: str) -> None:
        """Count a wrong login."""
        pair = _pair(user, peer)
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
        self._pairs.pop(_pair(user, peer), None)

    def _current(self, pair: bytes) -> _Failures | None:
        failures = self._pairs.get(pair)
        if failures is None:
            return None
        if self._clock() - failures.since >= self._window:
            del self._pairs[pair]
            return None
        return failures


def _pair(user: str, peer: str) -> bytes:
    text = f"{home(peer)}\0{user}"
    return hashlib.sha256(text.encode(errors="surrogatepass")).digest()


def home(peer: str) -> str:
    """Return what stands for all the addresses that the owner of *peer* can choose from."""
    try:
        address = ip_address(peer.partition("%")[0])
    except ValueError:
        return peer
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return f"{int(address) >> _HOME_BITS:x}/64"
