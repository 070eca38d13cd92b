"""Default data in retrievals and edits (RFC 6243)."""

from collections.abc import Collection, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from esc_daemon.netconf.defaults import TAG, add_defaults, trim_defaults
from esc_daemon.netconf.edit import DefaultOperation, NodeKind, apply_edit
from esc_daemon.netconf.errors import ErrorTag, RpcError
from esc_daemon.netconf.messages import Get, GetConfig, WithDefaults, parse_request
from esc_daemon.netconf.xml import BASE_NS, DEFAULT_TAG_NS, WITH_DEFAULTS_NS, parse

NS = "urn:toy"


@dataclass(frozen=True)
class Part:
    name: str
    kind: NodeKind
    children: Mapping[str, "Part"] = field(default_factory=dict)
    keys: tuple[str, ...] = ()
    user_ordered: bool = False
    case: tuple[str, str] | None = None
    namespace: str = NS
    prefix: str = "t"
    default: str | None = None

    @property
    def names(self) -> Collection[str]:
        return self.children.keys()

    def child(self, namespace: str, name: str) -> "Part | None":
        return self.children.get(name) if namespace == NS else None

    def canonical(self, text: str) -> str:
        return text.lower()


def part(name: str, kind: NodeKind, *children: Part, keys: tuple[str, ...] = ()) -> Part:
    return Part(name, kind, {child.name: child for child in children}, keys)


def leaf(name: str, default: str | None = None, case: tuple[str, str] | None = None) -> Part:
    return Part(name, NodeKind.LEAF, default=default, case=case)


ENTRY = part(
    "entry",
    NodeKind.LIST,
    leaf("name", "unused"),
    leaf("size", "1"),
    leaf("note"),
    part("box", NodeKind.CONTAINER, leaf("colour", "red"), part("in", NodeKind.CONTAINER)),
    part("bare", NodeKind.CONTAINER, leaf("word")),
    part("lid", NodeKind.PRESENCE_CONTAINER, leaf("shut", "true")),
    leaf("left", "l", ("side", "left")),
    leaf("wide", "w", ("side", "left")),
    replace(part("right", NodeKind.CONTAINER, leaf("deep", "d")), case=("side", "right")),
    keys=("name",),
)
TOP = part("top", NodeKind.CONTAINER, ENTRY)


def roots(namespace: str, name: str) -> Part | None:
    return TOP if (namespace, name) == (NS, "top") else None


def data(entry: str) -> etree._Element:
    return parse(f'<data><top xmlns="{NS}"><entry>{entry}</entry></top></data>'.encode())


def inside(tree: etree._Element) -> str:
    """Return what stands in the entry, without the declaration of its namespace."""
    entry = tree[0][0]
    return "".join(etree.tostring(each).decode() for each in entry).replace(f' xmlns="{NS}"', "")


def with_all(entry: str, *, tagged: bool = False) -> str:
    tree = data(entry)
    add_defaults(tree, roots, tagged=tagged)
    return inside(tree)


def trimmed(entry: str) -> str:
    tree = data(entry)
    trim_defaults(tree, roots)
    return inside(tree)


BOX = "<box><colour>red</colour></box>"


@pytest.mark.parametrize(
    ("stored", "reported"),
    [
        ("<name>a</name>", f"<name>a</name><size>1</size>{BOX}"),
        ("<name>a</name><size>2</size>", f"<name>a</name><size>2</size>{BOX}"),
        (
            "<name>a</name><box><colour>blue</colour></box>",
            "<name>a</name><box><colour>blue</colour></box><size>1</size>",
        ),
        # a presence container says something by being there
        (
            "<name>a</name><lid/>",
            f"<name>a</name><lid><shut>true</shut></lid><size>1</size>{BOX}",
        ),
        # RFC 7950 section 7.6.1: only the defaults of the case that is chosen
        (
            "<name>a</name><left>x</left>",
            f"<name>a</name><left>x</left><size>1</size>{BOX}<wide>w</wide>",
        ),
        (
            "<name>a</name><right><deep>x</deep></right>",
            f"<name>a</name><right><deep>x</deep></right><size>1</size>{BOX}",
        ),
    ],
)
def test_report_all_adds_the_defaults_that_are_in_use(stored: str, reported: str):
    assert with_all(stored) == reported


def test_nothing_is_added_where_there_is_no_entry():
    tree = parse(f'<data><top xmlns="{NS}"/></data>'.encode())
    add_defaults(tree, roots, tagged=False)

    assert len(tree[0]) == 0


def test_only_what_nobody_set_is_tagged():
    wd = f'xmlns:wd="{DEFAULT_TAG_NS}"'

    assert with_all("<name>a</name><size>1</size>", tagged=True) == (
        f'<name>a</name><size>1</size><box><colour {wd} wd:default="true">red</colour></box>'
    )


@pytest.mark.parametrize(
    ("stored", "reported"),
    [
        ("<name>a</name><size>1</size><note>1</note>", "<name>a</name><note>1</note>"),
        ("<name>a</name><size>2</size>", "<name>a</name><size>2</size>"),
        (f"<name>a</name>{BOX}", "<name>a</name>"),
        ("<name>a</name><lid><shut>true</shut></lid>", "<name>a</name><lid/>"),
        ("<name>unused</name>", "<name>unused</name>"),
        ("<name>a</name><later>1</later>", "<name>a</name><later>1</later>"),
    ],
)
def test_trim_takes_values_that_are_the_default(stored: str, reported: str):
    assert trimmed(stored) == reported


STORED = st.builds(
    "".join,
    st.tuples(
        st.just("<name>a</name>"),
        st.sampled_from(["", "<size>1</size>", "<size>2</size>"]),
        st.sampled_from(["", "<note/>", "<note>1</note>"]),
        st.sampled_from(["", BOX, "<box><colour>blue</colour></box>"]),
        st.sampled_from(["", "<lid/>", "<lid><shut>true</shut></lid>"]),
        st.sampled_from(["", "<left>l</left>", "<wide>x</wide>", "<right><deep>d</deep></right>"]),
    ),
)


@given(STORED)
@settings(max_examples=60)
def test_what_is_tagged_is_exactly_what_was_added(stored: str):
    tree = data(stored)
    add_defaults(tree, roots, tagged=True)
    assert inside(_untagged(deepcopy(tree))) == with_all(stored)

    for marked in [each for each in tree.iter() if each.get(TAG)]:
        above = marked.getparent()
        above.remove(marked)
        if above.tag == f"{{{NS}}}box" and len(above) == 0:
            above.getparent().remove(above)

    assert inside(tree) == inside(data(stored))


@given(STORED)
@settings(max_examples=60)
def test_reporting_all_twice_is_reporting_all(stored: str):
    once = with_all(stored)

    assert with_all(once) == once


def _untagged(tree: etree._Element) -> etree._Element:
    for each in tree.iter():
        each.attrib.pop(TAG, None)
    etree.cleanup_namespaces(tree)
    return tree


# RFC 6243 section 4.5.1


@pytest.mark.parametrize("mode", WithDefaults)
def test_get_and_get_config_take_the_parameter(mode: WithDefaults):
    parameter = f'<with-defaults xmlns="{WITH_DEFAULTS_NS}">{mode}</with-defaults>'

    assert _request(f"<get>{parameter}</get>") == Get(filter=None, with_defaults=mode)
    asked = _request(f"<get-config><source><running/></source>{parameter}</get-config>")
    assert isinstance(asked, GetConfig)
    assert asked.with_defaults is mode


@pytest.mark.parametrize(
    ("operation", "tag"),
    [
        (
            f'<get><with-defaults xmlns="{WITH_DEFAULTS_NS}">some</with-defaults></get>',
            ErrorTag.INVALID_VALUE,
        ),
        ("<get><with-defaults>trim</with-defaults></get>", ErrorTag.UNKNOWN_ELEMENT),
        (
            f'<lock><with-defaults xmlns="{WITH_DEFAULTS_NS}">trim</with-defaults></lock>',
            ErrorTag.UNKNOWN_ELEMENT,
        ),
    ],
)
def test_any_other_use_of_the_parameter_is_refused(operation: str, tag: ErrorTag):
    with pytest.raises(RpcError) as caught:
        _request(operation)

    assert caught.value.tag is tag


def _request(operation: str) -> object:
    root = parse(f'<rpc xmlns="{BASE_NS}">{operation}</rpc>'.encode())
    return parse_request(root[0], now=datetime(2026, 1, 1, tzinfo=UTC))


# RFC 6243 section 4.5.2


def edited(target: str, edit: str) -> str | None:
    declared = f'xmlns="{NS}" xmlns:wd="{DEFAULT_TAG_NS}" xmlns:nc="{BASE_NS}"'
    after = apply_edit(
        parse(f"<entry {declared}>{target}</entry>".encode()),
        parse(f"<entry {declared}>{edit}</entry>".encode()),
        ENTRY,
        default_operation=DefaultOperation.MERGE,
    )
    return None if after is None else "".join(each.text or "" for each in after)


@pytest.mark.parametrize(("word", "left"), [("true", "a"), ("1", "a"), ("false", "a1")])
def test_a_leaf_that_is_sent_as_default_data_is_set_no_longer(word: str, left: str):
    edit = f'<name>a</name><size wd:default="{word}">1</size>'

    assert edited("<name>a</name><size>2</size>", edit) == left


@pytest.mark.parametrize(
    ("edit", "tag"),
    [
        ('<size wd:default="true">2</size>', ErrorTag.INVALID_VALUE),
        ('<note wd:default="true">2</note>', ErrorTag.INVALID_VALUE),
        ('<size wd:default="true" nc:operation="create">1</size>', ErrorTag.DATA_EXISTS),
    ],
)
def test_default_data_that_is_none_is_refused(edit: str, tag: ErrorTag):
    with pytest.raises(RpcError) as caught:
        edited("<name>a</name><size>2</size>", f"<name>a</name>{edit}")

    assert caught.value.tag is tag
