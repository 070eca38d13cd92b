"""
What the domain refuses.

DomainError
 + IllegalTransition   a move that no table has: a bug or an answer that came too late
 + Refused             a northbound request that cannot be taken now
"""

from esc_daemon.domain.ids import Key


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

    *tag* is an error-tag of RFC 6241 appendix A, *path* an instance path of the data model
    (empty: the entry *key* as a whole), *text* tells the client what to do. *key* is set by the
    one who knows which entry told the record; an edit may hold many.
    """

    def __init__(self, tag: str, text: str, *, path: str = "", key: Key | None = None) -> None:
        self.tag = tag
        self.text = text
        self.path = path
        self.key = key
        super().__init__(text)
