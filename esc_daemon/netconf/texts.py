"""
What an XPath expression may do to texts: nothing that takes longer than reading them.

The price of an expression is counted in nodes (`xpath.price_of`); a few functions of XPath 1.0
multiply characters instead. Measured: ``translate`` of 12 KB by 12 KB 88 s, ``contains`` 5 s. And
where two sets of nodes are compared each text of one may be held against each of the other.
"""

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Final, Protocol

from esc_daemon.netconf.errors import RpcError

MAX_JOINED: Final = 16
"""Arguments of all `concat` of an expression together: each may be all the text there is."""
MAX_SEARCHED: Final = 64
"""Characters of a text that is looked for: the letters of two cases, and some more."""
_COMPARES: Final = frozenset({"=", "!=", "<", "<=", ">", ">="})
_ENDS: Final = _COMPARES | {"and", "or"}
_SEARCHES: Final[Mapping[str, str]] = {
    "contains": "'web'",
    "substring-after": "'web'",
    "substring-before": "'web'",
    "translate": "'ABC', 'abc'",
}
"""Functions that look for their later arguments at each character of the first, with examples."""


class Word(Protocol):
    """What is looked at of a token; see `xpath.Token`."""

    @property
    def kind(self) -> StrEnum: ...
    @property
    def text(self) -> str: ...
    def is_symbol(self, *texts: str) -> bool: ...


def check_texts(tokens: Sequence[Word]) -> None:
    """
    Look whether the functions of texts are cheap: they search for literals, and join few texts.

    Raises:
        RpcError: too-big.

    """
    joined = 0
    for position, token in enumerate(tokens):
        if token.kind != "function":
            continue
        arguments = list(_arguments(tokens, position + 1))
        if token.text == "concat":
            joined += len(arguments)
        example = _SEARCHES.get(token.text)
        if example and not all(map(_is_short_literal, arguments[1:])):
            raise RpcError.too_big(
                f"XPath filter: too expensive; {token.text} may look for literals of up to "
                f"{MAX_SEARCHED} characters only, as in {token.text}(name, {example})"
            )
    if joined > MAX_JOINED:
        raise RpcError.too_big(f"XPath filter: concat may join {MAX_JOINED} texts at most")


def _is_short_literal(argument: Sequence[Word]) -> bool:
    quotes = 2
    return (
        len(argument) == 1
        and argument[0].kind == "literal"
        and len(argument[0].text) <= MAX_SEARCHED + quotes
    )


def _arguments(tokens: Sequence[Word], start: int) -> Iterator[Sequence[Word]]:
    """Yield the arguments of the call whose parenthesis opens at *start*."""
    depth, begins = 0, start + 1
    for position in range(start, len(tokens)):
        token = tokens[position]
        if token.is_symbol("(", "["):
            depth += 1
        elif token.is_symbol(")", "]"):
            depth -= 1
            if not depth:
                yield tokens[begins:position]
                return
        elif depth == 1 and token.is_symbol(","):
            yield tokens[begins:position]
            begins = position + 1


def set_comparisons(tokens: Sequence[Word]) -> int:
    """Return how often paths are compared, each of which may lead to many nodes."""
    words = list(_ungrouped(tokens))
    return sum(
        _is_path(reversed(words[:position]), opens=(")", "]"), closes=("(", "["))
        and _is_path(iter(words[position + 1 :]), opens=("(", "["), closes=(")", "]"))
        for position, word in enumerate(words)
        if word.kind == "operator" and word.text in _COMPARES
    )


def _ungrouped(tokens: Sequence[Word]) -> Iterator[Word]:
    """Yield the tokens without the parentheses that only group, those of no call."""
    calls: list[bool] = []
    for position, token in enumerate(tokens):
        if token.is_symbol("("):
            before = tokens[position - 1].kind if position else ""
            calls.append(before in {"function", "node type"})
        if not token.is_symbol("(", ")") or (calls and calls[-1]):
            yield token
        if token.is_symbol(")") and calls:
            calls.pop()


def _is_path(operand: Iterator[Word], *, opens: tuple[str, str], closes: tuple[str, str]) -> bool:
    """Tell whether the operand that begins here names nodes, outside of calls and predicates."""
    depth = 0
    for token in operand:
        if token.is_symbol(*closes):
            depth -= 1
            if depth < 0:
                return False
        elif token.is_symbol(*opens):
            depth += 1
        elif depth == 0:
            if token.is_symbol(",") or (token.kind == "operator" and token.text in _ENDS):
                return False
            if token.kind in {"name test", "node type"}:
                return True
    return False
