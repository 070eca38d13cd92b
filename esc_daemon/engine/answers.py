"""
What a VIM tells of what it has, judged before any record takes it.

Its texts go into records, events and the log, and stay there. Of a text for people the beginning is
kept; an id or an address that is cut means something else, so the answer counts as none.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final, TypeVar

from msgspec import to_builtins

from esc_daemon.domain.errors import LONGEST_TEXT, excerpt
from esc_daemon.domain.specs import Port, ResourceHandle, Server, VimImage, Volume
from esc_daemon.vim.base import VimUnknown

AnswerT = TypeVar("AnswerT", Port, ResourceHandle, VimImage, Volume)

_OURS: Final = frozenset(
    {"key", "name", "project", "subnet", "security_groups", "allowed_addresses"}
)
"""Fields in which a VIM tells again what an operator wrote, which may be long."""
_LONGEST_OF_OURS: Final = 20_000
"""Characters; a generated name is made of four of up to 4096."""
MOST_TEXTS: Final = 20_000
"""In one answer; a server with 500 ports has half as many."""


def judged(answer: AnswerT) -> AnswerT:
    """Return *answer*; VimUnknown where it has a text that is too long, or too many of them."""
    _check(answer)
    return answer


def judged_server(server: Server) -> Server:
    """Return *server* as `judged`, with the beginning of its fault."""
    server = replace(server, fault=excerpt(server.fault)) if server.fault else server
    _check(server)
    return server


def _check(answer: object) -> None:
    for number, (name, text) in enumerate(_texts(to_builtins(answer), "answer"), 1):
        if len(text) > (_LONGEST_OF_OURS if name in _OURS else LONGEST_TEXT):
            raise VimUnknown(f"the VIM tells a {name} of {len(text)} characters")
        if number > MOST_TEXTS:
            raise VimUnknown(f"the VIM tells more than {MOST_TEXTS} texts in one answer")


def _texts(value: object, name: str) -> Iterator[tuple[str, str]]:
    """Yield each text in *value* and the name of its field."""
    match value:
        case str():
            yield name, value
        case dict():
            for key, each in value.items():
                yield from _texts(each, key)
        case list() | tuple():
            for each in value:
                yield from _texts(each, name)
        case _:
            pass
