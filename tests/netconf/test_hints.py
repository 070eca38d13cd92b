"""What the datastore may learn from a filter before it builds anything."""

import pytest
from lxml import etree

from esc_daemon.netconf.filters import (
    Hint,
    SubtreeFilter,
    XPathFilter,
    is_whole_root,
    key_hints,
    restrict,
)
from esc_daemon.netconf.xml import parse

DEPLOYMENT = (
    "/esc_datamodel/opdata/tenants/tenant[name='t']/deployments[deployment_name=\"d\"]/state"
)


def steps(select: str, **prefixes: str) -> str | None:
    filter_ = XPathFilter(select=select, namespaces=tuple(prefixes.items()))
    return shown(key_hints(filter_, default_namespace="urn:e"))


def shown(hints: tuple[Hint, ...] | None) -> str | None:
    if hints is None:
        return None
    return " ".join(
        hint.name + "".join(f"[{key}={value}]" for key, value in hint.keys) for hint in hints
    )


@pytest.mark.parametrize(
    ("select", "expected"),
    [
        (
            DEPLOYMENT,
            "esc_datamodel opdata tenants tenant[name=t] deployments[deployment_name=d] state",
        ),
        ("a[x='1' and y='2']/b", "a[x=1][y=2] b"),
        ("a[x='1'][y='2']/b", "a[x=1][y=2] b"),
        ("a[x=' 1 ']", "a[x=1]"),
        ("a[x='1'][2]/b", "a[x=1]"),
        ("a[2][x='1']/b", "a"),
        ("a[x='1' or y='2']/b", "a"),
        ("a[x=1]/b", "a"),
        ("a[x]/b", "a"),
        ("a[x='1' and y]/b", "a"),
        ("a[x='1']/x/c", "a[x=1]"),
        ("a//b/c", "a"),
        ("a/*/c", "a"),
        ("a/@b", "a"),
        ("a/child::b", "a"),
        ("p:a[p:x='1']", "a[x=1]"),
        ("a[p:x='1']", "a"),
        ("q:a", None),
        ("//a", None),
        ("/", None),
        ("", None),
        ("*", None),
        ("(a)[1]", None),
        ("a | b", None),
        ("a/b = 'x'", None),
        ("a/..", None),
        ("a/b[../c='1']", None),
        ("a/b[/a/c='1']", None),
        ("a/b/following-sibling::c", None),
        ("a/id('x')", None),
        ("a;b", None),
    ],
)
def test_the_plain_beginning_of_a_path_gives_the_steps(select, expected):
    assert steps(select, p="urn:p") == expected


def test_a_step_says_its_namespace():
    hints = key_hints(XPathFilter(select="a/p:b", namespaces=(("p", "urn:p"),)))

    assert hints == (Hint(None, "a"), Hint("urn:p", "b"))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("<a/>", "a"),
        ("<a><b><k>1</k></b></a>", "a b[k=1]"),
        ("<a><b><k> 1 </k><l>2</l><c/></b></a>", "a b[k=1][l=2] c"),
        ("<a><b><k>1</k><c/><d/></b></a>", "a b[k=1]"),
        ("<a><b><k>1</k><o:k xmlns:o='urn:o'>2</o:k></b></a>", "a b[k=1]"),
        ("<a><b><k x='1'>1</k></b></a>", "a b"),
        ("<a/><b/>", None),
        ("", None),
    ],
)
def test_a_subtree_filter_with_one_way_down_gives_the_steps(body, expected):
    filter_ = SubtreeFilter(element=parse(f"<filter xmlns='urn:e'>{body}</filter>".encode()))

    assert shown(key_hints(filter_)) == expected


@pytest.mark.parametrize("select", ["a", "/a", "p:a", " a "])
def test_a_path_of_one_name_chooses_that_root_whole(select):
    assert is_whole_root(XPathFilter(select=select, namespaces=(("p", "urn:p"),)))


@pytest.mark.parametrize(
    "select",
    [
        "a/",
        "//a",
        "/",
        "",
        "*",
        "p:*",
        "q:a",
        "a/b",
        "a[1]",
        "a|b",
        "a | a",
        ".",
        "'a'",
        "a a",
        "@a",
    ],
)
def test_any_other_path_may_choose_less_or_be_wrong(select):
    assert not is_whole_root(XPathFilter(select=select, namespaces=(("p", "urn:p"),)))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("<a/>", True),
        ("<a> </a>", True),
        ("<a xmlns='urn:other'/>", True),
        ("<a x='1'/>", False),
        ("<a>1</a>", False),
        ("<a><b/></a>", False),
        ("<a/><b/>", False),
        ("", False),
    ],
)
def test_a_subtree_filter_of_one_empty_element_chooses_that_root_whole(body, expected):
    filter_ = SubtreeFilter(element=parse(f"<filter xmlns='urn:e'>{body}</filter>".encode()))

    assert is_whole_root(filter_) is expected


def test_what_no_result_needs_may_be_left_out():
    data = parse(
        b"<data><a><k>1</k><b><x/><y>z</y></b><c><d/></c></a><a><k>2</k><b/></a><z><y/></z></data>"
    )

    restricted = restrict(data, (Hint(None, "a", (("k", "1"),)), Hint(None, "b")))

    assert etree.tostring(restricted) == b"<data><a><k>1</k><b><x/><y>z</y></b></a></data>"
