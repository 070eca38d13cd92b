"""Subtree filters and XPath, one rule at a time; the users are those of RFC 6241 section 6.4."""

from copy import deepcopy
from typing import Any

import pytest
from lxml import etree

import esc_daemon.netconf.subtree as subtree_module
from esc_daemon.netconf.errors import ErrorTag, RpcError
from esc_daemon.netconf.filters import (
    Filter,
    SubtreeFilter,
    XPathFilter,
    apply_filter,
    check_filter,
    selects,
)
from esc_daemon.netconf.subtree import MAX_FILTER_NODES
from esc_daemon.netconf.xml import BASE_NS, parse
from esc_daemon.netconf.xpath import MAX_EXPRESSION, evaluate

NS = "http://example.com/schema/1.2/config"
OTHER = "urn:other"
DATA = parse(
    f"""<data xmlns="{BASE_NS}">
 <top xmlns="{NS}">
  <users>
   <user><name>root</name><type>superuser</type><full-name>Charlie Root</full-name>
    <company-info><dept>1</dept><id>1</id></company-info></user>
   <user><name>fred</name><type>admin</type><full-name>Fred Flintstone</full-name>
    <company-info><dept>2</dept><id>2</id></company-info></user>
   <user><name>barney</name><type>admin</type><full-name>Barney Rubble</full-name>
    <company-info><dept>2</dept><id>3</id></company-info></user>
  </users>
  <interfaces><interface ifName="eth0"><in>45621</in></interface>
   <interface ifName="eth1"><in>774344</in></interface></interfaces>
  <note xmlns="{OTHER}">o</note>
  <groups><group><name>g</name><member>fred</member><member>root</member></group></groups>
 </top>
 <side xmlns="{OTHER}"><or>1</or><div>2</div></side>
</data>""".encode()
)


def key_names(element: etree._Element) -> tuple[str, ...]:
    return ("name",) if etree.QName(element).localname in {"user", "group"} else ()


def plain(data: etree._Element) -> str:
    """Return what is below data, without white space and declarations."""
    text = "".join(etree.tostring(child, encoding="unicode", with_tail=False) for child in data)
    for namespace in (NS, OTHER, BASE_NS):
        text = text.replace(f' xmlns="{namespace}"', "")
    return "".join(line.strip() for line in text.splitlines())


def subtree(body: str) -> SubtreeFilter:
    document = f'<filter xmlns="{BASE_NS}" type="subtree">{body}</filter>'
    return SubtreeFilter(element=parse(document.encode()))


def applied(data: etree._Element, filter_: Filter, **how: Any) -> etree._Element:
    """Return what is left of a copy of *data*."""
    left = deepcopy(data)
    apply_filter(left, filter_, **how)
    return left


def chosen(body: str) -> str:
    return plain(applied(DATA, subtree(body), key_names=key_names))


def at_top(body: str) -> str:
    return chosen(f'<top xmlns="{NS}">{body}</top>')


USERS = [
    (
        "<user><name>root</name><type>superuser</type><full-name>Charlie Root</full-name>"
        "<company-info><dept>1</dept><id>1</id></company-info></user>"
    ),
    (
        "<user><name>fred</name><type>admin</type><full-name>Fred Flintstone</full-name>"
        "<company-info><dept>2</dept><id>2</id></company-info></user>"
    ),
    (
        "<user><name>barney</name><type>admin</type><full-name>Barney Rubble</full-name>"
        "<company-info><dept>2</dept><id>3</id></company-info></user>"
    ),
]
ETH0 = '<top><interfaces><interface ifName="eth0"><in>45621</in></interface></interfaces></top>'
ETH1 = ETH0.replace("eth0", "eth1").replace("45621", "774344")
GROUPS = "<groups><group><name>g</name><member>fred</member><member>root</member></group></groups>"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        # 6.4.3 Select the entire <users> subtree
        ("<users/>", f"<top><users>{''.join(USERS)}</users></top>"),
        ("<users><user/></users>", f"<top><users>{''.join(USERS)}</users></top>"),
        # 6.4.4 Select all <name> elements within the <users> subtree
        (
            "<users><user><name/></user></users>",
            (
                "<top><users><user><name>root</name></user><user><name>fred</name></user>"
                "<user><name>barney</name></user></users></top>"
            ),
        ),
        # 6.4.5 One specific <user> entry
        ("<users><user><name>fred</name></user></users>", f"<top><users>{USERS[1]}</users></top>"),
        # 6.4.6 Specific elements from a specific <user> entry
        (
            "<users><user><name>fred</name><type/><full-name/></user></users>",
            (
                "<top><users><user><name>fred</name><type>admin</type>"
                "<full-name>Fred Flintstone</full-name></user></users></top>"
            ),
        ),
        # 6.4.7 Multiple subtrees
        (
            (
                "<users><user><name>root</name><company-info/></user>"
                "<user><name>fred</name><company-info><id/></company-info></user>"
                "<user><name>barney</name><type>superuser</type>"
                "<company-info><dept/></company-info></user></users>"
            ),
            (
                "<top><users><user><name>root</name><company-info><dept>1</dept><id>1</id>"
                "</company-info></user><user><name>fred</name><company-info><id>2</id>"
                "</company-info></user></users></top>"
            ),
        ),
        # 6.4.8 Elements with attribute naming
        (
            '<interfaces><interface ifName="eth0"/></interfaces>',
            ETH0,
        ),
        # keys come along although nobody asked for them
        (
            "<users><user><type>superuser</type><full-name/></user></users>",
            (
                "<top><users><user><name>root</name><type>superuser</type>"
                "<full-name>Charlie Root</full-name></user></users></top>"
            ),
        ),
        # of a leaf-list come the values that match
        (
            "<groups><group><member> root </member><name/></group></groups>",
            "<top><groups><group><name>g</name><member>root</member></group></groups></top>",
        ),
        ("<groups><group><member>root</member></group></groups>", f"<top>{GROUPS}</top>"),
        # both tests have to hold
        ("<groups><group><member>root</member><member>x</member></group></groups>", ""),
        # two ways to the same place are one
        (
            (
                "<users><user><name>fred</name><type/></user><user><name>fred</name><full-name/></user>"
                "</users>"
            ),
            (
                "<top><users><user><name>fred</name><type>admin</type>"
                "<full-name>Fred Flintstone</full-name></user></users></top>"
            ),
        ),
        # a test that holds is told although the rest finds nothing
        (
            "<users><user><name>fred</name><absent/></user></users>",
            "<top><users><user><name>fred</name></user></users></top>",
        ),
        ("<users><user><absent/></user></users>", ""),
        ("<users><absent/></users>", ""),
        ('<note xmlns="urn:other"/>', "<top><note>o</note></top>"),
        ("<note/>", ""),
        ('<note xmlns=""/>', "<top><note>o</note></top>"),
        ('<interfaces><interface ifName="eth9"/></interfaces>', ""),
        ('<interfaces><interface x:ifName="eth0" xmlns:x="urn:x"/></interfaces>', ""),
    ],
)
def test_a_subtree_filter_chooses_what_rfc_6241_says(body, expected):
    assert at_top(body) == expected


@pytest.mark.parametrize(
    ("body", "roots"),
    [
        ("", []),
        ('<top xmlns="">no such text</top>', []),
        ('<side xmlns=""/>', ["side"]),
        ('<side xmlns="urn:other"/>', ["side"]),
        (f'<side xmlns="{NS}"/>', []),
        (f'<top xmlns="{NS}"/><side xmlns="urn:other"/>', ["top", "side"]),
        (f'<side xmlns="urn:other"/><top xmlns="{NS}"/>', ["top", "side"]),
    ],
)
def test_the_top_of_a_filter_is_a_set_of_siblings_too(body, roots):
    result = applied(DATA, subtree(body))

    assert [etree.QName(child).localname for child in result] == roots
    assert selects(DATA, subtree(body)) is bool(roots)


def test_a_filter_of_too_many_elements_is_refused():
    with pytest.raises(RpcError, match="1000 elements") as caught:
        chosen("<a/>" * MAX_FILTER_NODES)

    assert caught.value.tag is ErrorTag.TOO_BIG


def test_a_filter_that_compares_everything_with_everything_is_refused(monkeypatch):
    monkeypatch.setattr(subtree_module, "MAX_COMPARISONS", 10_000)
    many = parse(b"<data><l>" + b"<e><k>1</k></e>" * 100 + b"</l></data>")
    body = "<l xmlns=''>" + "<e><k>2</k></e>" * 60 + "</l>"

    with pytest.raises(RpcError) as caught:
        apply_filter(many, subtree(body))

    assert caught.value.tag is ErrorTag.TOO_BIG


def by_xpath(select: str, default_namespace: str | None = NS, **prefixes: str) -> str:
    filter_ = XPathFilter(select=select, namespaces=tuple(prefixes.items()))
    return plain(applied(DATA, filter_, default_namespace=default_namespace, key_names=key_names))


FRED_TYPE = "<top><users><user><name>fred</name><type>admin</type></user></users></top>"
NAMES = (
    "<top><users><user><name>root</name></user><user><name>fred</name></user>"
    "<user><name>barney</name></user></users></top>"
)


@pytest.mark.parametrize(
    ("select", "expected"),
    [
        ("top/users/user[name='fred']/type", FRED_TYPE),
        ("/top/users/user[name='fred']/type", FRED_TYPE),
        ('/top/users/user[name="fred"]/type', FRED_TYPE),
        (" /top / users / user [ name = 'fred' ] / type ", FRED_TYPE),
        ("/p:top/p:users/user[p:name='fred']/p:type", FRED_TYPE),
        ("//user[name='fred']/type", FRED_TYPE),
        ("child::top/descendant::user[child::name='fred']/type", FRED_TYPE),
        ("top/users/user[2]/type", FRED_TYPE),
        ("top/users/user[position() = 2]/type", FRED_TYPE),
        ("top/users/user[name='fred' or name='wilma'][type='admin']/type", FRED_TYPE),
        ("top/users/user[company-info/id mod 2 = 0]/type", FRED_TYPE),
        ("top/users/user[company-info/id * 2 = 4]/type", FRED_TYPE),
        ("top/users/user[count(*) = 4 and starts-with(name, 'fr')]/type", FRED_TYPE),
        ("top/users/user[company-info[dept = '2' and id < 3]]/type", FRED_TYPE),
        ("top/users/user[name = /top/groups/group/member][2]/type", FRED_TYPE),
        ("top/users/user/name[.='fred']/../type", FRED_TYPE),
        ("top/users/user/name[.='fred']/following-sibling::type", FRED_TYPE),
        ("top/users/user[name='fred']/type/text()", FRED_TYPE),
        ("(top/users/user)[2]/type", FRED_TYPE),
        ("top/*/user[name='fred']/p:*[1] | top/users/user[2]/type", FRED_TYPE),
        ("//name[parent::user]", NAMES),
        ("top/users/user/name | top/users/user[9]", NAMES),
        ("top/groups", f"<top>{GROUPS}</top>"),
        (
            "//@ifName[. = 'eth1']",
            ETH1,
        ),
        (
            "//interface[attribute::ifName='eth1']/in",
            ETH1,
        ),
        ("top/o:note", "<top><note>o</note></top>"),
        ("top/absent/deeper", ""),
        ("top/users/user[name='wilma']", ""),
        ("absent | top/absent", ""),
        ("top/note", ""),
    ],
)
def test_xpath_needs_neither_prefixes_nor_a_leading_slash(select, expected):
    assert by_xpath(select, p=NS, o=OTHER) == expected


@pytest.mark.parametrize("select", ["/", ".", "top | side", "*", "//node()", "self::node()"])
def test_the_root_is_all_there_is(select):
    assert by_xpath(select, None) == plain(DATA)


@pytest.mark.parametrize(
    ("select", "expected"),
    [
        ("top/note", "<top><note>o</note></top>"),
        ("side/or", "<side><or>1</or></side>"),
        ("side/or | side/div", "<side><or>1</or><div>2</div></side>"),
        ("side[or or div]/div", "<side><div>2</div></side>"),
        ("side[div div or = 2]/or", "<side><or>1</or></side>"),
        ("//user[2]/type", FRED_TYPE),
    ],
)
def test_without_a_default_namespace_a_name_matches_in_any(select, expected):
    assert by_xpath(select, None) == expected


@pytest.mark.parametrize(
    "select",
    [
        "",
        "   ",
        "count(//user)",
        "'text'",
        "1 + 1",
        "top = 'x'",
        "top[",
        "top]",
        "top//",
        "/top/users/user[name='fred]",
        "top;drop",
        "{top}",
        "unbound:top",
        "no-such-function(top)",
        "top[no-such-function()]",
        "p:test(top, 'x')",
        "$variable",
        "$ root",
        "top[. = '\x01']",
        "top/users/user/namespace::*",
    ],
)
def test_what_is_no_path_is_told_as_an_invalid_value(select):
    if select == "top/users/user/namespace::*":
        assert by_xpath(select, p=NS) == ""  # a node-set without an element
        return
    with pytest.raises(RpcError) as caught:
        by_xpath(select, p=NS)

    assert caught.value.tag is ErrorTag.INVALID_VALUE


def test_regular_expressions_of_exslt_are_not_there():
    with pytest.raises(RpcError) as caught:
        by_xpath("top[re:test(., '(a+)+$')]", re="http://exslt.org/regular-expressions")

    assert caught.value.tag is ErrorTag.INVALID_VALUE


def test_an_overlong_expression_is_refused():
    with pytest.raises(RpcError) as caught:
        by_xpath("a" * (MAX_EXPRESSION + 1))

    assert caught.value.tag is ErrorTag.TOO_BIG


SMALL = parse(b"<data><l>" + b"<e><k>1</k></e>" * 1000 + b"</l></data>")


@pytest.mark.parametrize(
    "select",
    [
        "//*/following::*",
        "l/e/preceding::k",
        "//*[count(//*/following::*) > 0]",
        "//*[count(//*/../*) > 0]",
        "(//e | .)/following::*",
        "//*" + "[count(//*)>0]" * 130 + "[0]",
    ],
)
def test_of_few_nodes_too_an_expression_that_would_take_minutes_is_refused(select):
    with pytest.raises(RpcError) as caught:
        selects(SMALL, XPathFilter(select=select))

    assert caught.value.tag is ErrorTag.TOO_BIG


@pytest.mark.parametrize(
    "select",
    [
        "//k[../../e/k = 1]",
        "//e[k = 1 and ../e/k = 1 and ../e/k != 2]",
        "//e[following-sibling::e]/k",
        "//k/ancestor::l",
    ],
)
def test_what_looks_at_parents_and_siblings_of_few_nodes_is_answered(select):
    assert selects(SMALL, XPathFilter(select=select))


BIG = parse(b"<data><l>" + b"<e><k>1</k></e>" * 30_000 + b"</l></data>")


@pytest.mark.parametrize(
    "select",
    [
        "l/e[/l/e/k = 2]",
        "l/e[../e/k = 2]",
        "l/e[k][preceding-sibling::e/k = 2]",
        "//e/preceding::k",
        "//k/ancestor::l",
        "//k/..",
        "//*//*",
        "/descendant::node()/descendant-or-self::*",
        "//e//*",
        "l/e//text()",
        "//e//p:*",
        "//e//@x",
        "//e//k[1]",
        "//e//k[position() = last()]",
        "//e//descendant::k[. = 2]",
        "//e/descendant::*",
        "(//e)//.",
        ".//.//.//k",
        "//self::*//self::*",
        "l[e//k[2]]",
    ],
)
def test_an_expression_that_would_take_minutes_is_refused(select):
    with pytest.raises(RpcError) as caught:
        selects(BIG, XPathFilter(select=select, namespaces=(("p", "urn:p"),)))

    assert caught.value.tag is ErrorTag.TOO_BIG


@pytest.mark.parametrize(
    "select",
    [
        *("l/e[k='2']", "//e[k='2']", "l/e[.//k='2']", "//e[7]", "/l[1]/e[last()]"),
        # as the library takes them these are a matter of minutes
        *("//e//k[.='2']", "l//e//k[not(. != '2')][.='2']", "l/e[1] | //l//k[. = '2']"),
    ],
)
def test_a_search_through_much_is_allowed(select):
    assert selects(BIG, XPathFilter(select=select)) is not select.startswith(
        ("l/e[k", "//e[k", "l/e[.", "//e//k", "l//e")
    )


NESTED = parse(
    b"<data><a><k>1</k><a><k>2</k><b><k>2</k><k>3</k></b></a><b/></a>"
    b"<a><b><a><k>2</k></a></b></a></data>"
)


@pytest.mark.parametrize("condition", ["", "[. = '2']", "[../b]", "[not(. = 1)][. < 3]", "[*][1]"])
@pytest.mark.parametrize("path", [".//a//{}", "a//{}", ".//a//b//{}", ".//a[.//{}]", "(.//b)//{}"])
@pytest.mark.parametrize("name", ["k", "a"])
def test_two_slashes_find_what_they_find_in_the_library(path, name, condition):
    select = path.format(name + condition)

    found = evaluate(NESTED, select, {}, None)

    assert set(found) == set(NESTED.xpath(select))


def test_a_filter_inside_a_predicate_inside_a_predicate_counts_twice():
    small = parse(b"<data>" + b"<e><k>1</k></e>" * 800 + b"</data>")

    assert selects(small, XPathFilter(select="e[/e/k = 1]"))
    with pytest.raises(RpcError):
        selects(small, XPathFilter(select="e[/e[/e/k = 2]]"))


def test_prefixes_of_the_way_down_stay_bound():
    data = parse(
        b"<data><top xmlns='urn:t' xmlns:i='urn:i'><l><k>1</k><ref>i:x</ref></l></top></data>"
    )

    apply_filter(data, XPathFilter(select="//ref"))

    ref = data.find(".//{urn:t}ref")
    assert ref is not None
    assert ref.nsmap["i"] == "urn:i"


@pytest.mark.parametrize(
    "select", ["a/b", "/", "", "a[", "x:a", "count(a)", "unknown(a)", "a" * 9999]
)
@pytest.mark.parametrize("default", [None, "urn:default"])
def test_a_filter_of_nothing_is_judged_as_it_is_on_no_data_however_often(select, default):
    wanted = XPathFilter(select=select)

    def refusal(judge, *data) -> str:
        try:
            judge(*data, wanted, default_namespace=default)
        except RpcError as error:
            return f"{error.tag}: {error.message}"
        return ""

    expected = refusal(apply_filter, etree.Element("data"))
    assert [refusal(check_filter) for _ in range(2)] == [expected] * 2


def test_a_subtree_filter_that_is_too_big_is_refused_without_data_too():
    many = parse(b"<filter>" + b"<a/>" * (MAX_FILTER_NODES + 1) + b"</filter>")
    with pytest.raises(RpcError) as refused:
        check_filter(SubtreeFilter(element=many))
    assert refused.value.tag is ErrorTag.TOO_BIG
