"""
What the domain refuses.

DomainError
 + IllegalTransition   a move that no table has: a bug or an answer that came too late
 + Refused             a northbound request that cannot be taken now
"""

from typing import Final, NamedTuple

from esc_daemon.domain.ids import Key

LONGEST_TEXT: Final = 1000
"""Characters of what a VIM or a server says that go into records, events and the log."""


def excerpt(text: str, longest: int = LONGEST_TEXT) -> str:
    """Return *text*, or its beginning with an ellipsis: at most *longest* characters."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


class Node(NamedTuple):
    """A step down the configuration: an element, or the entry of a list whose *leaf* is *key*."""

    name: str
    key: str = ""
    leaf: str = "name"


class DomainError(Exception):
    """Base of this room's errors."""


class IllegalTransition(DomainError):
    """A move that the table of states does not have; nothing was changed."""

    def __init__(self, state: str, move: str) -> None:
        self.state = state
        self.move = move
        super().__init__(f"{state} has no move {move}")


class Refused(DomainError):
    """
    A northbound request that the record cannot take; nothing was changed.

    *tag* is an error-tag of RFC 6241 appendix A, *text* tells the client what to do. *key* is set
    by the one who knows which entry told the record; an edit may hold many. *below* leads from
    the entry to the node at fault.
    """

    def __init__(
        self,
        tag: str,
        text: str,
        *,
        key: Key | None = None,
        below: tuple[Node, ...] = (),
    ) -> None:
        self.tag = tag
        self.text = text
        self.key = key
        self.below = below
        super().__init__(text)
