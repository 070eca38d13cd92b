"""Functions of texts are taken from a client where they cost no more than reading the texts."""

import pytest
from lxml import etree

from esc_daemon.netconf.errors import RpcError
from esc_daemon.netconf.messages import CreateSubscription
from esc_daemon.netconf.subscription import Subscription
from esc_daemon.netconf.xpath import XPathFilter, evaluate, price_of, tokens_of

DATA = etree.fromstring("<data><vm><name>Web</name><group>g</group></vm></data>")
CHEAP = [
    "//name[contains(., 'We')]",
    "//name[starts-with(., concat('W', 'eb'))]",
    "//name[translate(., 'ABCDEFGHIJKLMNOPQRSTUVWXYZ', 'abcdefghijklmnopqrstuvwxyz') = 'web']",
    "//name[substring-after(., 'W') = 'eb']",
    "//name[substring-before(concat(., '/', ../group), '/') = 'Web']",
    "//name[contains(concat(' ', normalize-space(.), ' '), ' Web ')]",
]
DEAR = [
    "//name[translate(string(/), string(/), string(/)) = '']",
    "//name[translate(., 'a', ../group) = '']",
    "//name[translate(., concat(., .), '') = '']",
    f"//name[translate(., '{'x' * 65}', '') = 'Web']",
    "//name[contains(., ../group)]",
    "//name[contains(., (string(..)))]",
    "//name[substring-before(/, //group) = '']",
    "//name[substring-after(., translate(., 'a', 'b')) = '']",
    f"//name[concat({', '.join('.' * 17)}) = 'Web']",
    f"//name[concat(concat({', '.join('.' * 8)}), concat({', '.join('.' * 8)})) = 'Web']",
]


@pytest.mark.parametrize("select", CHEAP)
def test_what_clients_write_is_evaluated(select: str) -> None:
    assert [node.text for node in evaluate(DATA, select, {}, None)] == ["Web"]


@pytest.mark.parametrize("select", DEAR)
def test_what_multiplies_texts_is_too_big(select: str) -> None:
    with pytest.raises(RpcError, match="too-big"):
        evaluate(DATA, select, {}, None)


@pytest.mark.parametrize("select", DEAR)
def test_nobody_subscribes_by_what_multiplies_texts(select: str) -> None:
    filter_ = XPathFilter(select=select)
    request = CreateSubscription(stream="NETCONF", filter=filter_, start_time=None, stop_time=None)
    with pytest.raises(RpcError, match="too-big"):
        Subscription(request).check()


@pytest.mark.parametrize(
    "select",
    [
        "/vm[.//name > .//group]",
        "/vm[vm/name = vm/group/text()]",
        "//vm[a/b[c = 'x'] != (d/e)]",
        "//vm[count(a) = 1 and b/c <= d]",
    ],
)
def test_the_price_of_comparing_two_paths_grows_with_the_square(select: str) -> None:
    assert price_of(tokens_of(select)).power == 2


@pytest.mark.parametrize(
    "select",
    ["//vm[name = 'web']", "//vm[count(a/b) > 1]", "//vm['a' = name or b]", "//vm[. = 'x']"],
)
def test_a_comparison_with_a_value_is_cheap(select: str) -> None:
    assert price_of(tokens_of(select)).power == 1
