"""
Trees and edits are judged as a plain reading of RFC 8341 judges each of their nodes.

The reading here knows no schema but what it is told of guards, looks at every node by itself and
searches every rule from the first on.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from esc_daemon.access.effect import effects
from esc_daemon.access.nacm import read_nacm
from esc_daemon.access.rights import Rights, Way
from esc_daemon.datamodel.schema import Schema
from esc_daemon.netconf.xml import NACM_NS
from tests.access_control import modules_of

ESC = "http://www.cisco.com/esc/esc"
KEYS = {"tenant": "name", "deployment": "name", "vm_group": "name", "configuration": "dst"}
CONTAINERS = {"tenants", "deployments", "config_data", "esc_datamodel"}
GUARDED = {"data", "file", "val"}
TAKEN_TURNS = {"file", "data"}
"""Leaves of two cases of one choice."""

Steps = tuple[tuple[str, str | None], ...]
"""Names below the root with the key of each; None where there is none, or any."""


@dataclass(frozen=True)
class Line:
    """One rule, as it is written."""

    action: str
    accesses: frozenset[str]
    module: str
    path: Steps | None
    """None: no path."""

    def xml(self) -> str:
        steps = "".join(
            f"/e:{name}" + (f"[e:{KEYS[name]}='{key}']" if key is not None else "")
            for name, key in self.path or ()
        )
        path = "" if self.path is None else f"<path>{steps or '/'}</path>"
        return (
            f"<rule><name>r</name><module-name>{self.module}</module-name>{path}"
            f"<access-operations>{' '.join(sorted(self.accesses))}</access-operations>"
            f"<action>{self.action}</action></rule>"
        )

    def matches(self, access: str, node: Steps) -> bool:
        if access not in self.accesses or self.module not in {"*", "esc"}:
            return False
        if self.path is None:
            return True
        return len(self.path) <= len(node) and all(
            name == there and key in {None, value}
            for (name, key), (there, value) in zip(self.path, node, strict=False)
        )


@dataclass(frozen=True)
class Reading:
    """Rules and defaults, and what the RFC makes of them."""

    lines: tuple[Line, ...]
    read_default: bool
    write_default: bool

    def permits(self, access: str, node: Steps) -> bool:
        for line in self.lines:
            if line.matches(access, node):
                return line.action == "permit"
        if any(name in GUARDED for name, _ in node):
            return False
        return self.read_default if access == "read" else self.write_default

    def rights(self, schema: Schema) -> Rights:
        word = {True: "permit", False: "deny"}
        rules = "".join(line.xml() for line in self.lines)
        nacm = read_nacm(
            f'<nacm xmlns="{NACM_NS}" xmlns:e="{ESC}">'
            f"<read-default>{word[self.read_default]}</read-default>"
            f"<write-default>{word[self.write_default]}</write-default>"
            f"<rule-list><name>l</name><group>g</group>{rules}</rule-list></nacm>".encode()
        )
        return Rights(nacm, nacm.rules_for("u", {"g"}), modules=modules_of(schema))


def key_of(element: etree._Element) -> str | None:
    key = KEYS.get(etree.QName(element).localname)
    return None if key is None else element.findtext(f"{{{ESC}}}{key}")


def nodes(element: etree._Element, above: Steps = ()) -> Iterator[tuple[Steps, str]]:
    """Yield every node with its text; values of a leaf-list are told apart by the text."""
    name = etree.QName(element).localname
    at = (*above, (name, element.text if name == "val" else key_of(element)))
    yield at, "" if len(element) else element.text or ""
    for child in element:
        yield from nodes(child, at)


NAMES = st.sampled_from("ab")


def leaf(name: str, values: str) -> st.SearchStrategy[str]:
    return st.sampled_from(values).map(lambda value: f"<{name}>{value}</{name}>")


def maybe(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(st.just(""), inner)


def entries(name: str, inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    def written(found: dict[str, str]) -> str:
        key = KEYS[name]
        return "".join(
            f"<{name}><{key}>{value}</{key}>{body}</{name}>" for value, body in found.items()
        )

    return st.dictionaries(NAMES, inner, max_size=2).map(written)


def inside(name: str, inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return inner.map(lambda body: f"<{name}>{body}</{name}>" if body else "")


SOURCE = maybe(st.one_of(leaf("file", "xy"), leaf("data", "xy")))
VALUES = st.lists(st.sampled_from("pq"), unique=True).map(
    lambda found: "".join(f"<val>{value}</val>" for value in found)
)
VARIABLE = VALUES.map(lambda values: f"<variable><name>V</name>{values}</variable>")
CONFIGURATION = entries("configuration", st.tuples(SOURCE, maybe(VARIABLE)).map("".join))
GROUP = entries(
    "vm_group",
    st.tuples(maybe(leaf("bootup_time", "56")), inside("config_data", CONFIGURATION)).map("".join),
)
DEPLOYMENTS = inside("deployments", entries("deployment", GROUP))
TENANTS = inside(
    "tenants",
    entries("tenant", st.tuples(maybe(leaf("vim_mapping", "tf")), DEPLOYMENTS).map("".join)),
)
TREES = TENANTS.map(
    lambda body: etree.fromstring(f'<esc_datamodel xmlns="{ESC}">{body}</esc_datamodel>')
)
WAY = ("tenants", "tenant", "deployments", "deployment", "vm_group", "config_data", "configuration")
ENDS = ("name", "vim_mapping", "bootup_time", "file", "data", "variable")


@st.composite
def paths(draw: st.DrawFn) -> Steps:
    depth = draw(st.integers(-1, len(WAY)))
    if depth < 0:
        return ()
    names = ["esc_datamodel", *WAY[:depth]]
    end = draw(st.one_of(st.none(), st.sampled_from(ENDS)))
    steps = [(name, draw(st.one_of(st.none(), NAMES)) if name in KEYS else None) for name in names]
    if end is not None:
        steps.append((end, None))
    return tuple(steps)


LINES = st.builds(
    Line,
    action=st.sampled_from(["permit", "deny"]),
    accesses=st.frozensets(st.sampled_from(["create", "read", "update", "delete"]), min_size=1),
    module=st.sampled_from(["*", "*", "esc", "ietf-netconf-acm"]),
    path=st.one_of(paths(), paths(), st.none()),
)
READINGS = st.builds(
    Reading,
    lines=st.lists(LINES, max_size=5).map(tuple),
    read_default=st.booleans(),
    write_default=st.booleans(),
)


@settings(max_examples=60, deadline=None)
@given(reading=READINGS, tree=TREES)
def test_a_tree_shows_what_each_node_and_all_above_it_permit(
    schema: Schema, reading: Reading, tree: etree._Element
) -> None:
    before = list(nodes(tree))
    readable = [
        (node, text)
        for node, text in before
        if all(reading.permits("read", node[:length]) for length in range(1, len(node) + 1))
    ]
    parents = {node[:-1] for node, _ in before}
    expected = [
        (node, text)
        for node, text in readable
        if node not in parents or not_emptied(node, tree_nodes(readable))
    ]
    data = etree.Element("data")
    data.append(tree)

    reading.rights(schema).prune(data, schema.data_root)

    # an entry whose key was hidden tells it no more: its place among the expected is by the rest
    shown = [(plain(node), text) for child in data for node, text in nodes(child)]
    assert sorted(shown) == sorted(
        (plain(node), "" if has_children(node, tree_nodes(expected)) else text)
        for node, text in expected
    )


def not_emptied(node: Steps, readable: set[Steps]) -> bool:
    """Tell whether a node that had children is no container, or one that still says something."""
    if node[-1][0] not in CONTAINERS:
        return True
    return any(each[: len(node)] == node and each[-1][0] not in CONTAINERS for each in readable)


def plain(node: Steps) -> tuple[str, ...]:
    return tuple(name for name, _ in node)


def tree_nodes(expected: list[tuple[Steps, str]]) -> set[Steps]:
    return {node for node, _ in expected}


def has_children(node: Steps, known: set[Steps]) -> bool:
    return any(each[:-1] == node for each in known)


def naive_effects(old: etree._Element, new: etree._Element) -> set[tuple[str, Steps]]:
    before, after = dict(nodes(old)), dict(nodes(new))
    found = set()
    for node in before.keys() | after.keys():
        if node[-1][0] in CONTAINERS:
            continue
        if node not in before:
            found.add(("create", node))
        elif node not in after:
            if not made_way(node, after):
                found.add(("delete", node))
        elif before[node] != after[node]:
            found.add(("update", node))
    return found


def made_way(node: Steps, after: dict[Steps, str]) -> bool:
    """Tell whether a leaf gave way to the other case of its choice."""
    others = TAKEN_TURNS - {node[-1][0]}
    return node[-1][0] in TAKEN_TURNS and any(
        (*node[:-1], (each, None)) in after for each in others
    )


def as_steps(way: Way) -> Steps:
    return tuple(
        (at.schema.name, at.values[0] if at.values and key_like(at) else None) for at in way
    )


def key_like(at) -> bool:
    return at.schema.name in KEYS or at.schema.name == "val"


def without_variables_order(tree: etree._Element) -> etree._Element:
    """Put values into one order: what is moved is told by a test of its own."""
    for variable in tree.iter(f"{{{ESC}}}variable"):
        values = sorted(variable.findall(f"{{{ESC}}}val"), key=lambda each: each.text)
        for value in values:
            variable.append(value)
    return tree


@settings(max_examples=60, deadline=None)
@given(reading=READINGS, old=TREES, new=TREES)
def test_an_edit_is_permitted_when_each_node_that_it_changes_permits_it(
    schema: Schema, reading: Reading, old: etree._Element, new: etree._Element
) -> None:
    old, new = without_variables_order(old), without_variables_order(new)
    root = schema.root(ESC, "esc_datamodel")
    expected = naive_effects(old, new)

    found = list(effects(old, new, root, ()))

    assert {(each.access.value, as_steps(each.way)) for each in found} == {
        (access, tuple((name, None if name == "variable" else key) for name, key in node))
        for access, node in expected
    }
    rights = reading.rights(schema)
    for access, way in found:
        # a path of the rules here names a variable without its key
        assert rights.may(access, way) is reading.permits(access.value, as_steps(way))
