"""Filters of a configuration: subtrees and XPath that mostly name what is there."""

import re
from dataclasses import dataclass, replace
from random import Random

from esc_daemon.datamodel.names import NAMESPACE
from esc_daemon.netconf.defaults import TAG
from tests.generation.naive_filter import Node
from tests.generation.values import one_in

_NAME = re.compile(r"⟦([^⟧]+)⟧")
AXES = (
    "ancestor::",
    "ancestor-or-self::",
    "following-sibling::",
    "preceding-sibling::",
    "parent::",
)


def any_subtree(rng: Random, level: tuple[Node, ...]) -> tuple[Node, ...]:
    """Return the children of a subtree filter of data whose top is *level*."""
    tests = []
    for _ in range(rng.choice((1, 1, 2, 3)) if level else 0):
        node = rng.choice(level)
        namespace = rng.choice((NAMESPACE,) * 6 + ("", "", "urn:elsewhere"))
        attributes = ((TAG, "true"),) if one_in(rng, 25) else ()
        name = "no_such_node" if one_in(rng, 40) else node.name
        test = Node(namespace, name, attributes=attributes)
        if node.children and not one_in(rng, 6):
            test = replace(test, children=any_subtree(rng, node.children))
        elif not node.children and not one_in(rng, 3):
            # a content match; the white space around it does not count
            text = rng.choice((node.text, node.text, f" {node.text}\n", "another"))
            test = replace(test, text=text)
        tests.append(test)
    return tuple(tests)


@dataclass(frozen=True, slots=True)
class XPath:
    """An expression with its names in brackets of their own, so that it can be written twice."""

    text: str

    def without_prefixes(self) -> str:
        """As clients of ESC write it."""
        return _NAME.sub(lambda name: "" if name[1] == "root" else name[1], self.text)

    def with_prefixes(self, prefix: str, root: str = "") -> str:
        """With *prefix* on each name and *root* before what begins at the root."""
        return _NAME.sub(
            lambda name: root if name[1] == "root" else f"{prefix}:{name[1]}", self.text
        )


def any_xpath(rng: Random, data: tuple[Node, ...]) -> XPath:
    """Return a location path over *data*, or a union of two."""
    path = _path(rng, data)
    return XPath(f"{path} | {_path(rng, data)}" if one_in(rng, 8) else path)


def _path(rng: Random, data: tuple[Node, ...]) -> str:
    path = rng.choice(("", "⟦root⟧/", "⟦root⟧/", "⟦root⟧//"))
    level = tuple(_all(data)) if path.endswith("//") else data
    while level:
        node = rng.choice(level)
        path += "*" if one_in(rng, 12) else f"⟦{node.name}⟧"
        path += "".join(_predicate(rng, node, data) for _ in range(rng.choice((0, 0, 1, 1, 2))))
        if not node.children or one_in(rng, 7):
            break
        slash = rng.choice(("/",) * 8 + ("//", "/child::", "/descendant::"))
        level = node.children if slash in {"/", "/child::"} else tuple(_all(node.children))
        path += slash
    return path + rng.choice(
        ("",) * 9 + ("/..", "/text()", "/@*", "/self::node()", "/" + _axis(rng))
    )


def _axis(rng: Random) -> str:
    return f"{rng.choice(AXES)}*"


def _all(level: tuple[Node, ...]) -> list[Node]:
    return [each for node in level for each in (node, *_all(node.children))]


def _predicate(rng: Random, node: Node, data: tuple[Node, ...]) -> str:
    condition = _condition(rng, node, data)
    match rng.choice(("alone",) * 6 + ("not", "and", "or", "place")):
        case "not":
            return f"[not({condition})]"
        case "and" | "or" as word:
            return f"[{condition} {word} {_condition(rng, node, data)}]"
        case "place":
            return rng.choice(("[1]", "[last()]", "[position() > 1]", f"[{condition}][1]"))
        case _:
            return f"[{condition}]"


def _condition(rng: Random, node: Node, data: tuple[Node, ...]) -> str:
    leaves = [child for child in node.children if not child.children]
    if not leaves:
        return rng.choice(("true()", "count(*) > 1", "@*", f"{_axis(rng)}", "string-length() > 3"))
    leaf = rng.choice(leaves)
    name = f"⟦{leaf.name}⟧"
    text = _literal(rng.choice((leaf.text, leaf.text, "another")))
    other = rng.choice(_all(data))
    return rng.choice(
        (
            *(f"{name}={text}", f"{name} = {text}", f"{text} = {name}", name, f"{name} != {text}"),
            *(f"starts-with({name}, 'a')", f"contains({name}, {text})", f"number({name}) > 0"),
            *(f".//{name}={text}", f"../{name}", f"count({name}) = 1", f"{_axis(rng)}[{name}]"),
            *(f"⟦root⟧//⟦{other.name}⟧ = {name}", f"local-name() = '{node.name}'"),
            *(f"translate({name}, 'a', 'b') = {text}", f"name(*[1]) = '{leaf.name}'"),
        )
    )


def _literal(text: str) -> str:
    return f'"{text}"' if "'" in text else f"'{text}'"
