"""
XPath 1.0 as clients of ESC write it: without prefixes, with or without a leading slash.

An expression is cut into tokens by the rules of XPath 1.0 section 3.7, judged for what it may
cost, and written anew for lxml; nothing of the client's reaches the library unread.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Final, cast

from lxml import etree

from esc_daemon.netconf.errors import RpcError
from esc_daemon.netconf.texts import check_texts, set_comparisons

MAX_EXPRESSION: Final = 2048
"""Characters; the longest of ESC's guides has about 150."""
MAX_WORK: Final = 500_000_000
"""Looks at nodes that one evaluation may come to by our estimate; measured: 1 to 3 ns each."""

ROOT: Final = "root"
"""The variable that stands for the data element in a rewritten expression."""
_DEFAULT_PREFIX: Final = "default-namespace"

_TOKEN: Final = re.compile(
    r"""\s*(?:
        (?P<literal>"[^"]*"|'[^']*')
      | (?P<number>\d+(?:\.\d*)?|\.\d+)
      | (?P<variable>\$\s*[^\W\d][\w.-]*(?::[^\W\d][\w.-]*)?)
      | (?P<name>[^\W\d][\w.-]*(?::(?!:)(?:[^\W\d][\w.-]*|\*))?)
      | (?P<symbol>::|\.\.|//|!=|<=|>=|[()\[\].@,/|+\-=<>*])
    )""",
    re.VERBOSE,
)
_NODE_TYPES: Final = frozenset({"comment", "text", "processing-instruction", "node"})
_OPERATOR_NAMES: Final = frozenset({"and", "or", "mod", "div"})
_OPERATORS: Final = frozenset({"/", "//", "|", "+", "-", "=", "!=", "<", "<=", ">", ">="})
_OPENERS: Final = frozenset({"@", "::", "(", "[", ","})
_COUNT: Final = etree.XPath("count(.//*) + 1")
_DESCENDANT: Final = frozenset({"descendant", "descendant-or-self"})
_DOWNWARD: Final = frozenset({"child", "self", "attribute"}) | _DESCENDANT
_ALL_TO_A_SIDE: Final = frozenset({"following", "preceding"})
_GOES_ON_WITH_NODES: Final = frozenset({"/", "//", "|"})
_MERGED: Final = frozenset({"child", "self"}) | _DESCENDANT
"""Axes that the library makes one walk of, together with the two slashes before them."""
_COMPARES: Final = frozenset({"=", "!=", "<", "<=", ">", ">=", "and", "or"})
_COUNTS: Final = frozenset({"+", "-", "*", "div", "mod"})
_LOGICAL: Final = frozenset({"not", "contains", "starts-with", "boolean"})
"""Functions that give true or false, never a number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class XPathFilter:
    """An XPath 1.0 expression and the prefixes that were bound where it stood."""

    select: str
    namespaces: tuple[tuple[str, str], ...] = ()


class TokenKind(StrEnum):
    """XPath 1.0 section 3.7, ExprToken."""

    LITERAL = "literal"
    NUMBER = "number"
    VARIABLE = "variable"
    SYMBOL = "symbol"
    OPERATOR = "operator"
    AXIS = "axis"
    FUNCTION = "function"
    NODE_TYPE = "node type"
    NAME_TEST = "name test"


@dataclass(frozen=True, slots=True)
class Token:
    """One token; *text* as the client wrote it."""

    kind: TokenKind
    text: str

    def is_symbol(self, *texts: str) -> bool:
        """Tell whether this is one of these signs."""
        return self.kind in {TokenKind.SYMBOL, TokenKind.OPERATOR} and self.text in texts


@lru_cache(maxsize=256)
def tokens_of(select: str) -> tuple[Token, ...]:
    """
    Return the tokens of *select*.

    Raises:
        RpcError: invalid-value at a character that begins no token, too-big.

    """
    if len(select) > MAX_EXPRESSION:
        raise RpcError.too_big(f"an XPath filter may have {MAX_EXPRESSION} characters")
    found: list[Token] = []
    position, end = 0, len(select.rstrip())
    while position < end:
        match = _TOKEN.match(select, position)
        if match is None:
            raise _invalid(f"XPath filter: nothing known begins at {select[position:][:20]!r}")
        position = match.end()
        kind = str(match.lastgroup)
        text = match[kind]
        before = found[-1] if found else None
        found.append(_token(kind, text, before, select[position:].lstrip()))
    return tuple(found)


def _token(kind: str, text: str, before: Token | None, rest: str) -> Token:
    operand_before = before is not None and not (
        before.kind is TokenKind.OPERATOR
        or (before.kind is TokenKind.SYMBOL and before.text in _OPENERS)
    )
    if kind == "symbol" and text in _OPERATORS:
        return Token(TokenKind.OPERATOR, text)
    if operand_before and (text == "*" or text in _OPERATOR_NAMES):
        return Token(TokenKind.OPERATOR, text)
    if kind != "name" and text != "*":
        return Token(TokenKind(kind), text)
    return Token(_kind_of_name(text, rest), text)


def _kind_of_name(text: str, rest: str) -> TokenKind:
    if rest.startswith("("):
        return TokenKind.NODE_TYPE if text in _NODE_TYPES else TokenKind.FUNCTION
    return TokenKind.AXIS if rest.startswith("::") else TokenKind.NAME_TEST


def begins_at_root(tokens: Sequence[Token], position: int) -> bool:
    """Tell whether the slash at *position* begins a path instead of going on with one."""
    if not tokens[position].is_symbol("/", "//"):
        return False
    if position == 0:
        return True
    before = tokens[position - 1]
    return before.kind is TokenKind.OPERATOR or before.is_symbol("(", "[", ",")


def escapes(tokens: Sequence[Token], position: int) -> bool:
    """Tell whether the token leads out of the subtree of the node that it starts from."""
    token = tokens[position]
    return (
        token.is_symbol("..")
        or (token.kind is TokenKind.AXIS and token.text not in _DOWNWARD)
        or (token.kind is TokenKind.FUNCTION and token.text == "id")
        or begins_at_root(tokens, position)
    )


@dataclass(frozen=True, slots=True)
class Price:
    """What an expression may cost: *times* the number of nodes to the *power*, by our estimate."""

    steps: int
    """Tokens: a path looks at each node once a step."""
    power: int
    times: int
    """How many of its parts may be that expensive: they come one after the other."""

    def work(self, nodes: int) -> int:
        """Return a bound of the looks at nodes that an evaluation over *nodes* nodes takes."""
        return max(self.steps * nodes, self.times * int(nodes**self.power))


def work_of(tokens: Sequence[Token], nodes: int) -> int:
    """Return a bound of the looks at nodes that an evaluation over *nodes* nodes takes."""
    return price_of(tokens).work(nodes)


@dataclass(slots=True)
class _Level:
    """The whole expression, or a predicate that is open."""

    leaves: bool = False
    """Whether it leaves the subtree of its node."""
    many: bool = False
    """Whether the path under way may have come to many nodes."""


def price_of(tokens: Sequence[Token]) -> Price:
    """
    Return what an evaluation may cost.

    What makes a short expression expensive: a predicate that leaves its node's subtree (once more
    for every node, and again for each one nested in it), an axis to the sides or upwards, two
    steps that each take all there is below, and one such step that begins at many nodes: the
    library looks for doubles in what these yield. So is a comparison of two paths. Measured:
    ``//*/following::*`` 1.2 s over 2,000 nodes and eight times as much over twice as many.
    """
    gluttons = 0
    dear = set_comparisons(tokens)
    swept = any(sweeps(tokens, position) for position in range(len(tokens)))
    power = 2 if swept or dear else 1
    levels = [_Level()]
    for position, token in enumerate(tokens):
        glutton = _takes_all_below(tokens, position)
        gluttons += glutton
        from_the_root = len(levels) == 1 and begins_at_root(tokens, position)
        dear += (
            glutton or sweeps(tokens, position) or (escapes(tokens, position) and not from_the_root)
        )
        if token.is_symbol("["):
            levels.append(_Level())
        elif token.is_symbol("]"):
            levels = levels[:-1] or [_Level()]
        else:
            power = max(power, _power_at(tokens, position, levels))
    return Price(len(tokens), max(power, 2 if gluttons > 1 else 1), max(dear, 1))


def _power_at(tokens: Sequence[Token], position: int, levels: Sequence[_Level]) -> int:
    """Return the power that the token asks for, and note in the last of *levels* what it does."""
    token, level = tokens[position], levels[-1]
    power = 1
    if escapes(tokens, position):
        level.leaves = len(levels) > 1
        # the library looks for doubles in what such an axis yields, each against each
        away = not begins_at_root(tokens, position)
        beyond = (2 if token.text in _ALL_TO_A_SIDE else 1) if away and level.many else 0
        power = max(1 + sum(each.leaves for each in levels) + beyond, 2 if away else 1)
    if _leads_to_many(tokens, position):
        level.many = True
    elif token.is_symbol(",") or (
        token.kind is TokenKind.OPERATOR and token.text not in _GOES_ON_WITH_NODES
    ):
        level.many = False
    return power


def _leads_to_many(tokens: Sequence[Token], position: int) -> bool:
    token = tokens[position]
    if token.kind not in {TokenKind.NAME_TEST, TokenKind.NODE_TYPE, TokenKind.FUNCTION}:
        return token.is_symbol("//")
    one = position > 1 and tokens[position - 2].text in {"self", "parent"}
    return not (one and tokens[position - 1].is_symbol("::"))


def _takes_all_below(tokens: Sequence[Token], position: int) -> bool:
    downwards = tokens[position].is_symbol("//") or tokens[position].text.startswith("descendant")
    return downwards and any(
        token.text in {"*", "node"} for token in tokens[position + 1 : position + 3]
    )


def sweeps(tokens: Sequence[Token], position: int) -> bool:
    """
    Tell whether the token makes the library hold all that lies below many nodes against itself.

    What is below one node, the first of a path, is taken as it comes; what is below many is
    looked for among all that was found before. That is cheap for the nodes of one name and dear
    for all there are. Measured with 1,000 deployments: ``//deployment//*`` 4 s,
    ``//deployment//name[1]`` over 8 s, ``//deployment/descendant::name`` 0.1 s.
    """
    token = tokens[position]
    if token.kind is TokenKind.AXIS and token.text in _DESCENDANT:
        merged = position > 0 and tokens[position - 1].is_symbol("//")
        return not (
            merged or _starts_at_one_node(tokens, position) or _is_name(tokens, position + 2)
        )
    if not token.is_symbol("//") or _starts_at_one_node(tokens, position):
        return False
    if _is_one_descent(tokens, position):
        return False
    step = position + 1
    if step < len(tokens) and tokens[step].kind is TokenKind.AXIS:
        if tokens[step].text not in _MERGED:
            return True
        step += 2
    followed = step + 1 < len(tokens) and tokens[step + 1].is_symbol("[")
    return followed or not _is_name(tokens, step)


def _starts_at_one_node(tokens: Sequence[Token], position: int) -> bool:
    """Tell whether the slashes or the axis at *position* are what a path begins with."""
    if begins_at_root(tokens, position) or position == 0:
        return True
    before = tokens[position - 1]
    if before.is_symbol("/"):
        return begins_at_root(tokens, position - 1)
    if before.is_symbol("."):
        position -= 1
        before = tokens[position - 1] if position else Token(TokenKind.OPERATOR, "")
        return not before.is_symbol("/", "//") and _opens(before)
    return _opens(before)


def _opens(token: Token) -> bool:
    """Tell whether a path may begin after *token*, which is no slash."""
    slash = token.is_symbol("/", "//")
    return (token.kind is TokenKind.OPERATOR and not slash) or token.is_symbol("(", "[", ",")


def _is_name(tokens: Sequence[Token], position: int) -> bool:
    """Tell whether there is a test for one name."""
    test = tokens[position] if position < len(tokens) else None
    return test is not None and test.kind is TokenKind.NAME_TEST and not test.text.endswith("*")


def _is_one_descent(tokens: Sequence[Token], position: int) -> bool:
    """Tell whether ``//name[...]`` at *position* says the same as ``/descendant::name[...]``."""
    if not _is_name(tokens, position + 1):
        return False
    position += 2
    while position < len(tokens) and tokens[position].is_symbol("["):
        end = _end_of_predicate(tokens, position)
        if not _is_condition(tokens[position + 1 : end]):
            return False
        position = end + 1
    return True


def _end_of_predicate(tokens: Sequence[Token], start: int) -> int:
    depth = 0
    for position in range(start, len(tokens)):
        depth += tokens[position].is_symbol("[") - tokens[position].is_symbol("]")
        if not depth:
            return position
    return len(tokens)


def _is_condition(predicate: Sequence[Token]) -> bool:
    """Tell whether *predicate* surely looks at the node itself and not at its place."""
    places = {"last", "position"}
    if not predicate or any(
        token.kind is TokenKind.FUNCTION and token.text in places for token in predicate
    ):
        return False
    operators = {token.text for token in predicate if token.kind is TokenKind.OPERATOR}
    if operators & _COUNTS:
        return False
    first = predicate[0]
    if first.kind is TokenKind.FUNCTION and first.text in _LOGICAL:
        return True
    depth, compared, valued = 0, False, False
    for token in predicate:
        depth += token.is_symbol("[") - token.is_symbol("]")
        if depth == 0:
            compared = compared or token.text in _COMPARES
            valued = valued or token.kind in {TokenKind.FUNCTION, TokenKind.NUMBER}
    return compared or not valued


def rewrite(tokens: Sequence[Token], default_namespace: str | None) -> str:
    """
    Return an expression for lxml in which names without a prefix match our nodes.

    They match in *default_namespace*, or in any namespace when it is None. A leading slash starts
    at the variable *ROOT*, since the data element is no document.
    """
    return " ".join(_rewritten(tokens, default_namespace))


def _rewritten(tokens: Sequence[Token], default_namespace: str | None) -> Iterator[str]:
    for position, token in enumerate(tokens):
        if (
            token.is_symbol("//")
            and not _starts_at_one_node(tokens, position)
            and _is_one_descent(tokens, position)
        ):
            yield "/descendant::"
        elif begins_at_root(tokens, position):
            alone = position + 1 == len(tokens) or not _starts_step(tokens[position + 1])
            yield f"${ROOT}" if alone and token.text == "/" else f"${ROOT}{token.text}"
        elif (
            token.kind is TokenKind.NAME_TEST
            and token.text != "*"
            and ":" not in token.text
            and not _names_attribute(tokens, position)
        ):
            if default_namespace is None:
                # a position after it still counts the nodes of that name only
                yield f"*[local-name() = '{token.text}']"
            else:
                yield f"{_DEFAULT_PREFIX}:{token.text}"
        else:
            yield token.text


def _starts_step(token: Token) -> bool:
    return token.kind in {
        TokenKind.NAME_TEST,
        TokenKind.AXIS,
        TokenKind.NODE_TYPE,
    } or token.is_symbol("@", ".", "..")


def _names_attribute(tokens: Sequence[Token], position: int) -> bool:
    before = tokens[position - 1] if position else None
    if before is None:
        return False
    if before.is_symbol("::"):
        return tokens[position - 2].text in {"attribute", "namespace"}
    return before.is_symbol("@")


@lru_cache(maxsize=256)
def _compiled(
    select: str, namespaces: tuple[tuple[str, str], ...], default_namespace: str | None
) -> tuple[etree.XPath, Price]:
    """Return the expression and what it may cost."""
    tokens = tokens_of(select)
    if not tokens:
        raise _invalid("XPath filter: the expression is empty")
    for token in tokens:
        if token.kind is TokenKind.FUNCTION and ":" in token.text:
            raise _invalid(f"XPath filter: no function {token.text}")
        if token.kind is TokenKind.VARIABLE:
            raise _invalid(f"XPath filter: no variable {token.text}")
    check_texts(tokens)
    bound = {prefix: uri for prefix, uri in namespaces if prefix != _DEFAULT_PREFIX}
    if default_namespace is not None:
        bound[_DEFAULT_PREFIX] = default_namespace
    try:
        made = etree.XPath(rewrite(tokens, default_namespace), namespaces=bound, regexp=False)
    except (etree.XPathSyntaxError, ValueError) as error:  # ValueError: no characters of XML
        raise _invalid(f"XPath filter: {error}: {select[:200]!r}") from error
    return made, price_of(tokens)


def evaluate(
    data: etree._Element,
    select: str,
    namespaces: Mapping[str, str],
    default_namespace: str | None,
) -> list[etree._Element]:
    """
    Return the elements that *select* finds below *data*; for a text or an attribute its element.

    Raises:
        RpcError: invalid-value for bad syntax, an unknown prefix or function, or a result that is
            no node-set (RFC 6241 section 8.9.5.1); too-big beyond *MAX_WORK*, and for what
            `check_texts` forbids.

    """
    path, price = _compiled(select, tuple(sorted(namespaces.items())), default_namespace)
    if price.work(int(cast("float", _COUNT(data)))) > MAX_WORK:
        raise RpcError.too_big(
            "XPath filter: too expensive; leave out paths from the root, parents and siblings "
            "inside predicates"
        )
    try:
        result = path(data, **{ROOT: [data]})
    except etree.XPathError as error:
        raise _invalid(f"XPath filter: {error}: {select[:200]!r}") from error
    if not isinstance(result, list):
        raise _invalid("XPath filter: the result is no set of nodes")
    return [node for node in map(_element_of, result) if node is not None]


def _element_of(found: object) -> etree._Element | None:
    if etree.iselement(found):
        return found
    parent = getattr(found, "getparent", None)
    return None if parent is None else parent()


def _invalid(message: str) -> RpcError:
    return RpcError.invalid_value("", message)
